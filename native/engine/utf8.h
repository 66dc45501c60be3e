// Tokens end where they like, also within a character; what leaves the engine is always whole UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace llama_sessions {

class Utf8Stream {
  public:
    // The whole characters that `bytes` completes. What can't become UTF-8 comes out as U+FFFD.
    std::string push(std::string_view bytes);
    // A character has begun and not ended.
    bool in_character() const { return !pending_.empty(); }
    // What is left when nothing more comes.
    std::string finish();

  private:
    std::string pending_; // at most 3 bytes: a character that has begun
};

// How long whole UTF-8 is in UTF-16, as JavaScript counts.
size_t utf16_length(std::string_view utf8);

} // namespace llama_sessions
