// Long prompts while others generate: they are read aside, in the time between the others' steps.
#include "priority.h"
#include "worker.h"

#include <algorithm>
#include <system_error>

namespace llama_sessions {

// A shorter rest is read in the steps of those who generate, a little in each.
static constexpr int long_prompt = 128;
// KV of so many tokens is copied at once.
static constexpr int copied_at_once = 256;
static constexpr int capacity_steps = 1024;
// The second context takes memory; without a long prompt for so long it goes.
static constexpr std::chrono::seconds kept_for(60);
// Where other programs leave it no time, prompts are read in the steps for so long.
static constexpr std::chrono::seconds busy_for(10);

// What of a turn's prompt nobody has read yet, aside or not.
int Worker::unread(llama_seq_id id) const {
    const Sequence& sequence = at(id);
    const int ahead = is_aside(id) ? aside_->held() - static_cast<int>(sequence.tokens.size()) : 0;
    return sequence.pending() - std::max(0, ahead);
}

bool Worker::has_long_prompt(llama_seq_id id) const { return unread(id) > long_prompt; }

bool Worker::is_aside(llama_seq_id id) const {
    return aside_ && at(id).takes_part() && at(id).turn->order == aside_->turn();
}

// Whether its prompt goes on from what is there, or is being read: it takes no part in the steps until that is brought home.
bool Worker::is_ahead(llama_seq_id id) const {
    return may_read_aside_ && is_aside(id) &&
           (aside_->working() || aside_->held() >= static_cast<int>(at(id).tokens.size()));
}

// Whose prompt comes next: the one that is done first; -1: none, or nobody would be kept waiting.
llama_seq_id Worker::next_aside() const {
    llama_seq_id next = -1;
    if (!may_read_aside_) return next;
    const bool useful = generating() && !burst() && Clock::now() >= no_aside_until_;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = at(i);
        if (!sequence.takes_part() || sequence.generating()) continue;
        if (!is_ahead(i) && (!useful || !has_long_prompt(i))) continue;
        if (next < 0 || unread(i) < unread(next)) next = i;
    }
    return next;
}

// The others' step begins.
void Worker::hold_aside() {
    if (!aside_) return;
    aside_->hold();
    const int read = aside_->take_count();
    count([&](Counters& c) {
        c.prefilled_tokens += read;
        c.aside_tokens += read;
    });
    if (aside_->starved()) {
        no_aside_until_ = Clock::now() + busy_for;
        aside_->abandon();
    }
}

// The others have had their step: the time until the next one.
bool Worker::read_aside() {
    const llama_seq_id id = next_aside();
    wait_patiently(id >= 0);
    if (id < 0) {
        served_ = {};
        forget_unused_aside();
        return false;
    }
    const Clock::time_point now = Clock::now();
    const double usual_ms = usual_step_ms();
    if (served_ != Clock::time_point{})
        time_slice_.record(milliseconds(served_, now), milliseconds(served_, rest_until_), usual_ms);
    served_ = aside_used_ = now;
    const std::chrono::duration<double, std::milli> slice(time_slice_.milliseconds(usual_ms));
    rest_until_ = now + std::chrono::duration_cast<Clock::duration>(slice);
    short_turns_->keep_from(rest_until_);
    if (aside_is_ready(static_cast<int>(at(id).turn->target.size()))) go_on_aside(id);
    if (aside_ && aside_->working()) aside_->go_on();
    return true;
}

// The threads that compute the steps spin while they wait, which leaves those that read aside nothing.
void Worker::wait_patiently(bool patiently) {
    if (patient_ == patiently) return;
    if (!patient_threads_) {
        patient_threads_.emplace(options_.threads, ThreadPool::Kind::patient);
        short_turns_.emplace(options_.threads);
    }
    if (patiently) {
        context_.use_threads(*patient_threads_);
    } else {
        short_turns_->keep_from(ShortTurns::never);
        context_.use_threads(threads_);
        use_any_processor();
    }
    patient_ = patiently;
}

bool Worker::aside_is_ready(int tokens) {
    if (aside_ && aside_->working()) return false;
    if (aside_ && aside_->failed()) may_read_aside_ = false;
    if (!may_read_aside_) return false;
    if (aside_ && aside_->capacity() >= tokens) return true;
    if (bring_home_whoever_is_aside()) return false; // the next one goes on there
    aside_.reset();
    int capacity = std::min((tokens / capacity_steps + 1) * capacity_steps, context_.session_tokens());
    // On the pool's side of the border, or its KV would mean something else there.
    if (context_.cells() > model_->rope_border()) capacity = std::max(capacity, model_->rope_border() + 1);
    make_aside(capacity);
    return false;
}

void Worker::make_aside(int tokens) {
    ContextOptions options = options_;
    if (options.memory > 0) { // the pool and the weights have their parts
        const double taken =
            context_.kv_bytes_per_token() * context_.cells() + static_cast<double>(llama_model_size(model_->get()));
        options.memory = std::max(1.0, options.memory - taken);
    }
    try {
        aside_ = std::make_unique<Aside>(model_, options, tokens, wake_);
    } catch (const std::system_error&) {
        may_read_aside_ = false; // the system gives no more threads
    }
}

void Worker::go_on_aside(llama_seq_id id) {
    Turn& turn = *at(id).turn;
    if (turn.started == Clock::time_point{}) turn.started = Clock::now();
    if (!is_aside(id)) {
        if (bring_home_whoever_is_aside()) return;
        aside_->begin(turn.order);
    }
    // The last token gives the logits, in a step with the others.
    if (unread(id) <= 1 || !generating()) return bring_home(id);
    if (aside_->held() < static_cast<int>(at(id).tokens.size())) return catch_up_aside(id);
    aside_->read(Tokens(turn.target.begin() + aside_->held(), turn.target.end() - 1), thread_count_.current());
}

// Gives it the KV that the sequence holds already.
void Worker::catch_up_aside(llama_seq_id id) {
    const auto held = static_cast<int>(at(id).tokens.size());
    while (may_read_aside_ && aside_->held() < held && Clock::now() < rest_until_) {
        const int from = aside_->held(), to = std::min(held, from + copied_at_once);
        const Bytes kv = copy_out(id, from, to);
        may_read_aside_ = aside_->take(to - from, kv);
    }
}

// Takes what was read aside into the pool. Not before the end: there, others would pass over its cells in every step. The step with
// the prompt's last token takes two or three usual ones, as attention goes over all of it: no copying and no reading before that.
void Worker::bring_home(llama_seq_id id) {
    const Sequence& sequence = at(id);
    bool copied = false;
    for (;;) {
        const auto from = static_cast<int>(sequence.tokens.size());
        const int to = std::min({aside_->held(), from + copied_at_once, from + free_cells() / 2});
        if (to <= from) break;
        const auto begin = sequence.turn->target.begin();
        const Bytes kv = aside_->kv(from, to);
        if (!copy_in(id, Tokens(begin + from, begin + to), kv.data.get(), kv.size, true)) break;
        copied = true;
        if (Clock::now() >= rest_until_) return;
    }
    const int lacking = aside_->held() - static_cast<int>(sequence.tokens.size());
    if (lacking > 0 && generating()) { // others will end, or give way
        ask_idle_ones(lacking);
        return;
    }
    if (copied) return;
    aside_->abandon(); // what does not fit is read again where the pool's rules are kept
    follow();
}

// It goes on later from there. False: nobody is aside.
bool Worker::bring_home_whoever_is_aside() {
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        if (!is_aside(i)) continue;
        bring_home(i);
        return true;
    }
    return false;
}

void Worker::forget_unused_aside() {
    if (aside_ && Clock::now() - aside_used_ >= kept_for) aside_.reset();
}

double Worker::usual_step_ms() const {
    const auto speaking = static_cast<int>(std::count_if(
        sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.takes_part() && s.generating(); }));
    return pace_.usual_ms(speaking);
}

} // namespace llama_sessions
