// Long prompts while others generate: they are read aside, in time slices between the others' steps.
#include "worker.h"

#include <algorithm>

#if defined(__linux__)
#include <sys/resource.h>
#endif

namespace llama_sessions {

// A shorter rest is read in the steps of those who generate, a little in each.
static constexpr int long_prompt = 128;
// Beside a prompt that is read aside, those who generate wait so many times as long as usual; the promise is 4, the rest is for
// what takes longer than expected.
static constexpr double stretch = 2.7;
static constexpr double slice_unknown_ms = 20, least_slice_ms = 2;
// KV of so many tokens is copied between two pauses.
static constexpr int copied_at_once = 256;
static constexpr int capacity_steps = 1024;
// The second context takes memory; without a long prompt for so long it goes.
static constexpr std::chrono::seconds kept_for(60);
// To make it takes a tenth of a second. On a busy machine it may take long: prompts are read without it then.
static constexpr std::chrono::seconds waited_for(1);

// The one that is done first; -1: none, or nobody would be kept waiting.
llama_seq_id Worker::next_aside() const {
    llama_seq_id shortest = -1;
    if (!may_read_aside_ || !generating()) return shortest;
    if (making_aside_.valid() && Clock::now() - making_since_ > waited_for && !made()) return shortest;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = at(i);
        if (!sequence.takes_part() || sequence.generating() || sequence.pending() <= long_prompt) continue;
        if (shortest < 0 || sequence.pending() < at(shortest).pending()) shortest = i;
    }
    return shortest;
}

// A thread that takes a core from ggml's makes all of them wait. (On Linux niceness is a thread's own.)
static void give_way_to_others() {
#if defined(__linux__)
    setpriority(PRIO_PROCESS, 0, std::min(19, getpriority(PRIO_PROCESS, 0) + 5));
#endif
}

// The second context is made on another thread, as that takes its time.
bool Worker::aside_is_ready(int tokens) {
    if (aside_ && aside_->capacity() >= tokens) return true;
    if (!making_aside_.valid()) {
        making_since_ = Clock::now();
        const int capacity = std::min((tokens / capacity_steps + 1) * capacity_steps, context_.session_tokens());
        making_aside_ =
            std::async(std::launch::async, [this, capacity, options = options_]() -> std::unique_ptr<Aside> {
                give_way_to_others();
                try {
                    return std::make_unique<Aside>(model_, options, threads_, capacity);
                } catch (const std::exception&) {
                    return nullptr; // no memory for it
                }
            });
    }
    if (!made()) return false;
    aside_ = making_aside_.get();
    may_read_aside_ = aside_ != nullptr;
    return aside_ && aside_->capacity() >= tokens;
}

bool Worker::made() const { return making_aside_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

// False: it could not; then the others have their step.
bool Worker::read_aside(llama_seq_id id) {
    const Sequence& sequence = at(id);
    Turn& turn = *sequence.turn;
    const auto from = static_cast<int>(sequence.tokens.size());
    if (!aside_is_ready(static_cast<int>(turn.target.size()))) return false;
    // The last token gives the logits, in a step with the others.
    const double slice = slice_ms();
    const int count = std::min({aside_->at_once(slice), sequence.pending() - 1, free_cells() / 2});
    if (count < 1) return false;
    if (turn.started == Clock::time_point{}) turn.started = Clock::now();

    const uint64_t order = turn.order;
    const Tokens tokens(turn.target.begin() + from, turn.target.begin() + from + count);
    // Whatever happens in an interlude: it is cancelled, gives way, its model is closed.
    const Aside::Interlude goes_on = [&] {
        return interlude_() && sequence.turn && sequence.turn->order == order && sequence.takes_part() &&
               static_cast<int>(sequence.tokens.size()) == from;
    };
    aside_used_ = Clock::now();
    aside_->use_threads(thread_count_.current());
    const std::optional<Bytes> kv =
        catch_up_aside(id, goes_on) ? aside_->read(tokens, from, slice, goes_on) : std::nullopt;
    if (!kv) {
        // Nobody has ended it: llama.cpp could not. In a step with the others it will say why, or can.
        if (!aside_->ended()) may_read_aside_ = false;
        return true;
    }
    if (copy_in(id, tokens, kv->data.get(), kv->size, true)) {
        follow();
        this->count([&](Counters& c) {
            c.prefilled_tokens += count;
            c.aside_tokens += count;
        });
    }
    return true;
}

// Gives it the KV that the sequence holds already.
bool Worker::catch_up_aside(llama_seq_id id, const Aside::Interlude& goes_on) {
    const size_t held = at(id).tokens.size();
    auto from = static_cast<size_t>(aside_->go_on(at(id).turn->order, static_cast<int>(held)));
    while (from < held) {
        const size_t to = std::min(held, from + copied_at_once);
        if (!aside_->take(static_cast<int>(to - from), copy_out(id, from, to))) return false;
        if (!aside_->pause(goes_on)) return false;
        from = to;
    }
    return true;
}

void Worker::forget_unused_aside() {
    if (aside_ && Clock::now() - aside_used_ >= kept_for) aside_.reset();
}

double Worker::slice_ms() const {
    const auto speaking = static_cast<int>(std::count_if(
        sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.takes_part() && s.generating(); }));
    const double usual_ms = pace_.usual_ms(speaking);
    return usual_ms > 0 ? std::max(least_slice_ms, (stretch - 1) * usual_ms) : slice_unknown_ms;
}

} // namespace llama_sessions
