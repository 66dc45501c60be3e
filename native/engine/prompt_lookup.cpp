#include "prompt_lookup.h"

#include <algorithm>

namespace llama_sessions {

// So many tokens have to agree for a passage to be taken as the one that is quoted. Two agree all the time by chance.
static constexpr size_t agreeing = 3;
static constexpr size_t least_slots = 256;
static constexpr int first_pause = 4, longest_pause = 64;
// What is known of a passage before its first token: as much as so many tokens of its own would tell.
static constexpr double prior = 2;
// Passages that `trust_` remembers.
static constexpr double remembered = 16;

void PromptLookup::read(const Tokens& tokens, size_t spoken) {
    if (2 * tokens.size() > follows_.size()) grow(tokens, read_);
    for (; read_ < tokens.size(); read_++) {
        if (read_ > spoken) compare(tokens[read_], tokens);
        else source_ = 0; // the reply's first token follows what somebody else has said
        note(tokens, read_);
    }
    if (source_ == 0) find(tokens, read_);
}

void PromptLookup::compare(llama_token token, const Tokens& tokens) {
    pause_ = std::max(0, pause_ - 1);
    if (source_ == 0) find(tokens, read_);
    if (source_ == 0) return;
    const bool right = tokens[source_] == token;
    if (right_ == 0) {
        passages_++;
        trust_ += ((right ? 1 : 0) - trust_) / std::min(remembered, passages_ + prior);
    }
    right_ = right ? right_ + 1 : 0;
    source_ = right ? source_ + 1 : 0;
}

// Each right token makes the next one likelier (Laplace's rule of succession, with what passages are worth here as the prior).
double PromptLookup::chance(int right) const {
    const double all = right_ + right;
    return (prior * trust_ + all) / (prior + all);
}

Tokens PromptLookup::draft(const Tokens& tokens, int count) const {
    Tokens draft;
    for (size_t at = source_; count > 0; at++, count--) {
        draft.push_back(at < tokens.size() ? tokens[at] : draft[at - tokens.size()]);
    }
    return draft;
}

void PromptLookup::tell(int drafted, int accepted) {
    if (accepted == drafted) next_pause_ = 0;
    if (accepted > 0) return;
    pause_ = next_pause_ = std::clamp(2 * next_pause_, first_pause, longest_pause);
}

// The passage behind the last occurrence of the tokens that come before `end`.
void PromptLookup::find(const Tokens& tokens, size_t end) {
    if (end < agreeing) return;
    const size_t found = follows_[slot(tokens, end)];
    const auto last = tokens.begin() + static_cast<std::ptrdiff_t>(end);
    const auto there = tokens.begin() + static_cast<std::ptrdiff_t>(found);
    const auto length = static_cast<std::ptrdiff_t>(agreeing);
    // Other tokens may have the same hash.
    if (found > 0 && std::equal(last - length, last, there - length)) source_ = found;
}

// That the token at `end` follows those before it.
void PromptLookup::note(const Tokens& tokens, size_t end) {
    if (end >= agreeing) follows_[slot(tokens, end)] = static_cast<uint32_t>(end);
}

void PromptLookup::grow(const Tokens& tokens, size_t end) {
    size_t slots = std::max(least_slots, follows_.size());
    while (slots < 2 * tokens.size()) slots *= 2;
    follows_.assign(slots, 0);
    for (size_t i = 0; i < end; i++) note(tokens, i);
}

size_t PromptLookup::slot(const Tokens& tokens, size_t end) const {
    uint64_t hash = 0;
    for (size_t i = end - agreeing; i < end; i++) {
        hash = (hash ^ static_cast<uint64_t>(static_cast<uint32_t>(tokens[i]))) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    return static_cast<size_t>(hash) & (follows_.size() - 1);
}

} // namespace llama_sessions
