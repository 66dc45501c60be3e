// How many compute threads a step uses. ggml's threads wait for each other by spinning: where other programs want the same
// cores, one thread that is not scheduled holds up all others many times in each step, and a step takes up to a hundred
// times as long. Fewer threads are faster then. Pure: told what steps took, says how many to use.
#pragma once

#include <chrono>
#include <map>

namespace llama_sessions {

class ThreadCount {
  public:
    using Time = std::chrono::steady_clock::time_point;

    explicit ThreadCount(int most) : most_(most), current_(most) {}

    int current() const { return current_; }
    // What a step took. `shape`: steps of one shape should take about as long as each other: that of a step that generates is
    // how many do, of one that only prefills it is this, and its milliseconds are those per token.
    static int shape_of_prompt(int tokens);
    void record(int shape, double milliseconds, Time now);

  private:
    void change(int threads);
    void record_trial(double times, int shape, double milliseconds, Time now);

    int most_, current_;
    std::map<int, double> best_ms_; // by shape; grows slowly, as sessions do
    double usual_ = 0;              // how many times the best a step takes at present, smoothed
    int slow_steps_ = 0;            // in a row

    // Now and then more threads are tried again, for some steps.
    std::chrono::milliseconds pause_{};
    Time next_trial_{};
    bool trying_ = false;
    int trial_steps_ = 0;
    double trial_sum_ = 0;
};

} // namespace llama_sessions
