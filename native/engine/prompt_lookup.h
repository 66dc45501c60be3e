// Guesses what a session says next from what was said in it: a reply that quotes goes on as the passage does that it quotes.
#pragma once

#include "model.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace llama_sessions {

// Of one turn; engine thread only. It knows the tokens of this turn's conversation and of no other. Each token costs one hash;
// the table takes 8 to 16 bytes per token of the conversation, as long as the turn generates.
class PromptLookup {
  public:
    // Takes in what has come since; `tokens` only ever grows. From `spoken` on they are the reply: what the passage would have
    // had it say there is compared with what it said, whether somebody has asked for a draft or not.
    void read(const Tokens& tokens, size_t spoken);
    // Whether there is a passage to go on from, and the last drafts were not too bad to try another one.
    bool ready() const { return source_ > 0 && pause_ == 0; }
    // How likely the passage goes on to be right, once `right` more of its tokens were.
    double chance(int right) const;
    // The next `count` tokens of the passage. One that reaches the end goes on with itself, as a reply does that repeats.
    Tokens draft(const Tokens& tokens, int count) const;
    // What came of a draft.
    void tell(int drafted, int accepted);

  private:
    void compare(llama_token token, const Tokens& tokens);
    void find(const Tokens& tokens, size_t end);
    void note(const Tokens& tokens, size_t end);
    void grow(const Tokens& tokens, size_t end);
    size_t slot(const Tokens& tokens, size_t end) const;

    std::vector<uint32_t> follows_; // by the hash of a few tokens: the position behind their last occurrence; 0: none
    size_t read_ = 0;               // tokens that were taken in
    size_t source_ = 0;             // position in the passage whose token should come next; 0: there is none
    int right_ = 0;                 // tokens in a row that the passage said rightly
    double trust_ = 0.5;            // how often the first one of a passage was right
    int passages_ = 0;
    int pause_ = 0, next_pause_ = 0; // tokens without a draft, after one that was of no use
};

} // namespace llama_sessions
