// Turns that begin with the same tokens read them once. Many sessions that arrive together with one system prompt have
// nothing to share yet: the oldest reads it, the others wait until it has, and share its cells.
#include "worker.h"

#include "prefix.h"

#include <algorithm>

namespace llama_sessions {

// Fewer tokens than this are not worth waiting for: they go along in a step or two of those that are to come anyway.
static constexpr size_t least_gain = 32;

// What others hold of the prompt. A turn that gave way has more of it in RAM: only who holds all of that is of use.
void Worker::reuse_kv(llama_seq_id id) {
    Sequence& sequence = at(id);
    Turn& turn = *sequence.turn;
    const size_t own = sequence.tokens.size(), stowed = sequence.stowed_tokens();
    const size_t beyond = stowed > 0 ? own + stowed - 1 : own;
    const size_t length = share_longest(id, turn.target, beyond, turn.target.size() - 1);
    if (length == 0) return;
    sequence.stowed.clear();
    const size_t cached = std::min(turn.prompt_tokens, length) - std::min(turn.prompt_tokens, own + stowed);
    turn.cached_tokens += cached;
    count([&](Counters& c) { c.cached_tokens += static_cast<double>(cached); });
}

// The oldest of those turns that will know most of this one's prompt. Only an older turn can be followed: so nobody waits
// for himself, however long the chain, and its first one waits for nobody.
std::optional<Following> Worker::find_leader(llama_seq_id id) const {
    if (!context_.shares_kv()) return std::nullopt;
    const Sequence& sequence = at(id);
    const Tokens& target = sequence.turn->target;
    const size_t own = sequence.tokens.size() + sequence.stowed_tokens();
    std::optional<Following> found;
    size_t best = own + least_gain - 1;
    for (const llama_seq_id other : by_age()) {
        const Turn& leader = *at(other).turn;
        if (leader.order >= sequence.turn->order) break;
        if (!leader.admitted) continue;
        const size_t length = longer_prefix(leader.target, target, best, target.size() - 1);
        const size_t known = at(other).tokens.size();
        if (length == 0 || known >= length) continue;
        if (own > known && own - known > length - own) continue; // by the time it is where we are, we are there
        found = Following{other, leader.order, length};
        best = length;
    }
    return found;
}

// The oldest first: who follows a follower finds that one served.
void Worker::follow() {
    const auto follows = [](const Sequence& s) { return s.turn && s.turn->follows; };
    if (std::none_of(sequences_.begin(), sequences_.end(), follows)) return;
    for (const llama_seq_id id : by_age()) {
        Turn& turn = *at(id).turn;
        if (!turn.follows) continue;
        const Sequence& leader = at(turn.follows->leader);
        const bool reads = leader.turn && leader.turn->order == turn.follows->order && leader.turn->admitted;
        if (reads && leader.tokens.size() < turn.follows->until) continue;
        turn.follows.reset();
        reuse_kv(id);
        turn.follows = find_leader(id);
    }
}

} // namespace llama_sessions
