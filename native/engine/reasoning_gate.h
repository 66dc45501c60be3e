// Keeps what a model thinks from a grammar that waits for a call to begin: to think of one is not to call. Pure: knows
// nothing of llama.cpp but its numbers of tokens.
#pragma once

#include "llama.h"

#include <string>
#include <utility>
#include <vector>

namespace llama_sessions {

class ReasoningGate {
  public:
    // The tags around what is thought; prompt_end: what the prompt ends with, where it may have begun.
    ReasoningGate(const std::string& begin, const std::vector<std::string>& ends, const std::string& prompt_end);

    // The next token and its text. Returns what may be seen: nothing while it thinks, then the tag that ends it, as with some
    // models a call ends it.
    std::vector<llama_token> push(llama_token token, const std::string& text);

  private:
    std::string begin_;
    std::vector<std::string> ends_;
    bool thinking_;
    std::vector<std::pair<llama_token, std::string>> recent_; // enough of them to hold a tag
};

} // namespace llama_sessions
