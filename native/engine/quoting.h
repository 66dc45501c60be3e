// Whoever writes a message may write what a control token is called, <|im_end|> say: that is text, not the end of the message. The
// template knows no difference, so these names are marked before it is rendered, and read as text after.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace llama_sessions {

// A rendered conversation, and where names in it are text.
struct QuotedText {
    std::string text;
    std::vector<size_t> borders; // a name's beginning, its end, the next one's beginning …
};

class Quoting {
  public:
    // names: of the control tokens.
    explicit Quoting(const std::vector<std::string>& names);

    // Marks the names in a text. It stays valid UTF-8.
    void mark(std::string& text) const;
    // Takes the marks out again.
    QuotedText unmark(const std::string& marked) const;

  private:
    size_t name_at(std::string_view text) const;
    std::set<std::string, std::less<>> names_;
    std::set<size_t, std::greater<>> lengths_[256]; // of those that begin with a byte; some vocabularies have thousands
    size_t longest_ = 0;
};

} // namespace llama_sessions
