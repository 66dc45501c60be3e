// Whoever writes a message may write what a control token is called, <|im_end|> say: that is text, not the end of the message. The
// template knows no difference, so these names are marked before it is rendered, and read as text after.
#pragma once

#include <string>
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
    size_t name_at(const std::string& text, size_t at) const;
    std::vector<std::string> names_[256]; // by their first byte, the longest first
    size_t longest_ = 0;
};

} // namespace llama_sessions
