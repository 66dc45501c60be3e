// Stop strings, found also where they cross the border of two tokens.
#pragma once

#include <string>
#include <vector>

namespace llama_sessions {

class StopStrings {
  public:
    // Empty strings are ignored: they would stop before the first character.
    explicit StopStrings(std::vector<std::string> strings);

    // Takes text in, gives back what is certain to be no part of a stop string. True: one was found; the text that
    // comes out ends where the first of them begins.
    bool push(const std::string& text, std::string& out);
    // What was held back, when nothing more comes.
    std::string finish();

  private:
    std::vector<std::string> strings_;
    std::string held_; // shorter than the longest stop string
};

} // namespace llama_sessions
