// How many tokens a step carries along as drafts, so that it pays: learnt from how long steps of each size take. Pure: knows
// neither llama.cpp nor threads.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace llama_sessions {

class DraftSizes {
  public:
    // Most tokens of a step with drafts. So few are read for hardly more than the price of one; and the limit keeps the memory
    // for logits small.
    static constexpr int most_rows = 16;

    // chances: for each sequence that generates, how likely each token of its draft is right, if those before it were. As
    // many as it could use; none: no draft. Returns how many each of them gets.
    std::vector<int> plan(const std::vector<std::vector<double>>& chances, int rows) const;
    // What a step took in which so many generated, and nobody prefilled.
    void record(int generating, int drafted, double milliseconds);
    // How many times as long as one without drafts such a step takes; 0: not known.
    double times_plain(int generating, int drafted) const;

  private:
    struct Time {
        double ms = 0; // smoothed
        int measures = 0;
        uint64_t last = 0; // the step in which it was measured
    };
    double known_ms(int generating, int rows) const;

    std::map<std::pair<int, int>, Time> times_; // by sequences that generate, and rows
    uint64_t steps_ = 0;
};

} // namespace llama_sessions
