#include "turn.h"

namespace llama_sessions {

// The ends of tokens are counted in bytes that come out of utf8_: a replacement character has other lengths than what
// it replaces.
bool ReplyText::push(llama_token token, const std::string& piece, std::string& text, Tokens& tokens) {
    const std::string whole = utf8_.push(piece);
    held_bytes_ += whole.size();
    held_.push_back({token, held_bytes_ + (utf8_.in_character() ? 1 : 0)}); // its character ends later
    const size_t before = text.size();
    const bool stopped = stop_.push(whole, text);
    release(text.size() - before, tokens);
    return stopped;
}

void ReplyText::finish(std::string& text, Tokens& tokens) {
    text += stop_.finish() + utf8_.finish();
    for (const Held& held : held_) tokens.push_back(held.token);
    held_.clear();
}

void ReplyText::release(size_t bytes, Tokens& tokens) {
    if (bytes == 0) return;
    size_t count = 0;
    while (count < held_.size() && held_[count].end <= bytes) tokens.push_back(held_[count++].token);
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
    for (Held& held : held_) held.end -= bytes;
    held_bytes_ -= bytes;
}

} // namespace llama_sessions
