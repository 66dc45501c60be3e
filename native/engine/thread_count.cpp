#include "thread_count.h"

#include <algorithm>

namespace llama_sessions {

static constexpr double slow = 4;       // times the best step: nothing but being held up explains it …
static constexpr int slow_in_a_row = 3; // … when it happens again and again
static constexpr double growth = 1.01;  // of the best step per step: histories grow, and with them attention
static constexpr int trial_length = 4;  // steps
static constexpr std::chrono::milliseconds first_pause(250), longest_pause(30000);

// A token costs four times as much alone as among hundreds, but about the same among 256 as among 511.
int ThreadCount::shape_of_prompt(int tokens) {
    int shape = -1;
    for (; tokens > 1; tokens /= 2) shape--;
    return shape;
}

void ThreadCount::change(int threads) {
    current_ = threads;
    usual_ = 0;
    slow_steps_ = 0;
}

void ThreadCount::record(int shape, double milliseconds, Time now) {
    double& best = best_ms_[shape];
    best = best == 0 ? milliseconds : std::min(best * growth, milliseconds);
    const double times = milliseconds / best;
    if (trying_) return record_trial(times, shape, milliseconds, now);

    usual_ = usual_ == 0 ? times : 0.8 * usual_ + 0.2 * times;
    slow_steps_ = times > slow ? slow_steps_ + 1 : 0;
    if (slow_steps_ >= slow_in_a_row && current_ > 1) {
        change(current_ / 2);
        if (pause_ == std::chrono::milliseconds{}) pause_ = first_pause;
        next_trial_ = now + pause_;
    } else if (current_ < most_ && now >= next_trial_ && slow_steps_ == 0 && usual_ < slow) {
        trying_ = true;
        trial_steps_ = 0;
        trial_sum_ = 0;
        current_ = std::min(most_, current_ * 2);
    }
}

void ThreadCount::record_trial(double times, int shape, double milliseconds, Time now) {
    trial_sum_ += times;
    const bool hopeless = trial_sum_ > 2 * trial_length * usual_; // the price of trying stays small
    if (++trial_steps_ < trial_length && !hopeless) return;
    trying_ = false;
    if (!hopeless &&
        trial_sum_ / trial_length <= usual_) { // the cores are free again, or steps have become longer by themselves
        best_ms_.clear();
        best_ms_[shape] = milliseconds;
        pause_ = first_pause;
        change(current_);
    } else {
        pause_ = std::min(longest_pause, pause_ * 2);
        change(std::max(1, current_ / 2));
    }
    next_trial_ = now + pause_;
}

} // namespace llama_sessions
