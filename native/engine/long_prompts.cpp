// Long prompts while others generate: they are read aside, in time slices between the others' steps.
#include "worker.h"

#include <algorithm>
#include <climits>
#include <thread>

namespace llama_sessions {

// A shorter rest is read in the steps of those who generate, a little in each.
static constexpr int long_prompt = 128;
// KV of so many tokens is copied between two pauses.
static constexpr int copied_at_once = 256;
static constexpr int capacity_steps = 1024;
// The second context takes memory; without a long prompt for so long it goes.
static constexpr std::chrono::seconds kept_for(60);
// To make it takes a tenth of a second. On a busy machine it may take long: prompts are read without it then.
static constexpr std::chrono::seconds waited_for(1);

// What of a turn's prompt nobody has read yet, aside or not.
int Worker::unread(llama_seq_id id) const {
    const Sequence& sequence = at(id);
    const int ahead = is_aside(id) ? aside_->held() - static_cast<int>(sequence.tokens.size()) : 0;
    return sequence.pending() - std::max(0, ahead);
}

bool Worker::is_aside(llama_seq_id id) const {
    return aside_ && at(id).takes_part() && at(id).turn->order == aside_->turn();
}

// Whose prompt comes next: the one that is done first; -1: none, or nobody would be kept waiting.
llama_seq_id Worker::next_aside() const {
    llama_seq_id next = -1;
    if (!may_read_aside_) return next;
    const bool too_slow = making_aside_.valid() && Clock::now() - making_since_ > waited_for && !made();
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = at(i);
        if (!sequence.takes_part() || sequence.generating()) continue;
        const bool ahead = is_aside(i) && aside_->held() > static_cast<int>(sequence.tokens.size());
        if (!ahead && (!generating() || too_slow || unread(i) <= long_prompt)) continue;
        if (next < 0 || unread(i) < unread(next)) next = i;
    }
    return next;
}

// A thread that takes a core from one of ggml's makes all of them wait: while the second context is made, they leave it one.
void Worker::use_threads() {
    const int cores = static_cast<int>(std::thread::hardware_concurrency()); // 0: not known
    const int spare = making_aside_.valid() && cores > 1 ? cores - 1 : INT_MAX;
    context_.use_threads(std::min(thread_count_.current(), spare));
}

// The second context is made on another thread, as that takes its time.
bool Worker::aside_is_ready(int tokens) {
    if (aside_ && aside_->capacity() >= tokens) return true;
    if (!making_aside_.valid()) {
        making_since_ = Clock::now();
        const int capacity = std::min((tokens / capacity_steps + 1) * capacity_steps, context_.session_tokens());
        making_aside_ =
            std::async(std::launch::async, [this, capacity, options = options_]() -> std::unique_ptr<Aside> {
                try {
                    return std::make_unique<Aside>(model_, options, threads_, capacity);
                } catch (const std::exception&) {
                    return nullptr; // no memory for it
                }
            });
        use_threads();
    }
    if (!made()) return false;
    aside_ = making_aside_.get();
    use_threads();
    may_read_aside_ = aside_ != nullptr;
    return aside_ && aside_->capacity() >= tokens;
}

bool Worker::made() const { return making_aside_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

// False: it could not; then the others have their step.
bool Worker::read_aside(llama_seq_id id) {
    Turn& turn = *at(id).turn;
    if (!aside_is_ready(static_cast<int>(turn.target.size()))) return false;
    if (turn.started == Clock::time_point{}) turn.started = Clock::now();
    aside_used_ = Clock::now();
    aside_->use_threads(thread_count_.current());
    aside_->use_slice(time_slice_.milliseconds(usual_step_ms()));
    if (!is_aside(id)) {
        for (llama_seq_id i = 0; i < context_.sequences(); i++) {
            if (is_aside(i)) return bring_home(i); // it goes on later from there
        }
        aside_->begin(turn.order);
    }
    // The last token gives the logits, in a step with the others.
    if (unread(id) <= 1 || !generating()) return bring_home(id);
    if (aside_->held() < static_cast<int>(at(id).tokens.size())) return catch_up_aside(id);

    const int from = aside_->held(), count = aside_->at_once(unread(id) - 1);
    const Tokens tokens(turn.target.begin() + from, turn.target.begin() + from + count);
    if (aside_->read(tokens, while_it_goes_on(id))) {
        this->count([&](Counters& c) {
            c.prefilled_tokens += count;
            c.aside_tokens += count;
        });
    } else if (!aside_->ended()) {
        may_read_aside_ = false; // llama.cpp could not. In a step with the others it will say why, or can.
    }
    return true;
}

// Whatever happens in an interlude: the turn is cancelled, gives way, its model is closed.
Aside::Interlude Worker::while_it_goes_on(llama_seq_id id) {
    return [this, id] { return interlude_() && is_aside(id); };
}

// Gives it the KV that the sequence holds already.
bool Worker::catch_up_aside(llama_seq_id id) {
    const Aside::Interlude goes_on = while_it_goes_on(id);
    const auto held = static_cast<int>(at(id).tokens.size());
    while (aside_->held() < held) {
        const int from = aside_->held(), to = std::min(held, from + copied_at_once);
        const Bytes kv = copy_out(id, static_cast<size_t>(from), static_cast<size_t>(to));
        if (!aside_->take(to - from, kv)) may_read_aside_ = false;
        if (!may_read_aside_ || !aside_->pause_if_due(goes_on)) break;
    }
    return true;
}

// Takes what was read aside into the pool. Not before the end: there, others would pass over its cells in every step.
bool Worker::bring_home(llama_seq_id id) {
    const Aside::Interlude goes_on = while_it_goes_on(id);
    const Sequence& sequence = at(id);
    for (;;) {
        const auto from = static_cast<int>(sequence.tokens.size());
        const int to = std::min({aside_->held(), from + copied_at_once, from + free_cells() / 2});
        if (to <= from) break;
        const auto begin = sequence.turn->target.begin();
        const Bytes kv = aside_->kv(from, to);
        if (!copy_in(id, Tokens(begin + from, begin + to), kv.data.get(), kv.size, true)) break;
        if (!aside_->pause_if_due(goes_on)) return true;
    }
    const int lacking = aside_->held() - static_cast<int>(sequence.tokens.size());
    if (lacking > 0 && generating()) { // others will end, or give way
        ask_idle_ones(lacking);
        return false;
    }
    aside_->begin(UINT64_MAX); // what does not fit is read again where the pool's rules are kept
    follow();
    return true;
}

void Worker::forget_unused_aside() {
    if (aside_ && Clock::now() - aside_used_ >= kept_for) aside_.reset();
}

double Worker::usual_step_ms() const {
    const auto speaking = static_cast<int>(std::count_if(
        sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.takes_part() && s.generating(); }));
    return pace_.usual_ms(speaking);
}

// Those who generate have had a step.
void Worker::others_served() {
    if (!aside_) return;
    const double gap_ms = aside_->others_served();
    if (reading_aside_ < 0) return;
    const double usual_ms = usual_step_ms();
    time_slice_.record(gap_ms, aside_->slice_ms(), usual_ms);
    aside_->use_slice(time_slice_.milliseconds(usual_ms));
}

} // namespace llama_sessions
