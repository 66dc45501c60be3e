#include "pace.h"

#include <algorithm>

namespace llama_sessions {

// A step that also prefills takes about this many times as long as one that only generates. The promise to the user is 4;
// the rest is room for the noise of the machine and for attention, which grows while a long prompt is read.
static constexpr double stretch = 2.5;
// The longest step that only prefills, in milliseconds: what a cancel and a newcomer wait for.
static constexpr double longest_alone_ms = 250;
static constexpr int least_tokens = 1, first_guess = 4;
static constexpr int most_mixed_steps = 48; // between two measures; they cost a fiftieth of the prefill speed

// What the machine does besides makes a step longer, sometimes a hundred times: one such step must not count for many.
static double smooth(double old, double fresh) { return old == 0 ? fresh : 0.7 * old + 0.3 * std::min(fresh, 2 * old); }

// What is usual is the median: the promise to those who generate is made in it, and what holds up a few steps must not change
// it. The first steps of a cold machine are soon forgotten.
static double follow_median(double old, double fresh) {
    if (old == 0) return fresh;
    return fresh > old ? std::min(fresh, 1.01 * old) : std::max(fresh, (fresh < 0.7 * old ? 0.9 : 0.99) * old);
}

// Multiples of 8 keep the shape of steps, and with it llama.cpp's compute graph, stable. Below that every token counts: far
// into a long prompt one token's attention can take as long as a whole step of those that generate.
static int stable_size(double tokens, int least, int most) {
    if (tokens >= most) return most;
    const int whole = static_cast<int>(tokens);
    return std::min(most, std::max(least, whole < 16 ? whole : whole / 8 * 8));
}

// Of the nearest number of sequences that was measured, at most so far away; 0 when there is none.
double Pace::nearest(const StepTimes& times, int generating, int farthest) {
    const int last = static_cast<int>(times.size()) - 1;
    for (int distance = 0; distance <= std::min(farthest, last); distance++) {
        const int fewer = generating - distance, more = generating + distance;
        if (fewer >= 0 && times[static_cast<size_t>(fewer)] > 0) return times[static_cast<size_t>(fewer)];
        if (more <= last && times[static_cast<size_t>(more)] > 0) return times[static_cast<size_t>(more)];
    }
    return 0;
}

int Pace::prefill_tokens(int generating) {
    if (generating == 0) {
        if (alone_ms_ == 0) return std::min(batch_tokens_, 128);
        const int whole_tiles = static_cast<int>(longest_alone_ms / alone_ms_) / attention_tile * attention_tile;
        return std::clamp(whole_tiles, std::min(attention_tile, batch_tokens_), batch_tokens_);
    }
    // What fewer took says little: the rest would seem to be the price of the prompt.
    const int alike = generating / 4;
    const double present_ms = nearest(present_ms_, generating, alike);
    measuring_ = present_ms == 0 || mixed_steps_ >= measure_after_;
    if (measuring_) return 0;
    if (prefill_ms_ == 0) return std::min(batch_tokens_, first_guess);
    const double usual_ms = nearest(usual_ms_, generating, alike);
    const double limit_ms = stretch * (usual_ms > 0 ? std::min(usual_ms, present_ms) : present_ms);
    return stable_size((limit_ms - present_ms) / prefill_ms_, least_tokens, batch_tokens_);
}

void Pace::record(int generating, int prefilled, double milliseconds) {
    const auto count = static_cast<size_t>(generating);
    if (generating == 0) {
        alone_ms_ = smooth(alone_ms_, milliseconds / prefilled);
    } else if (prefilled > 0) {
        const double extra = std::max(milliseconds - nearest(present_ms_, generating, any), milliseconds * 0.05);
        prefill_ms_ = smooth(prefill_ms_, extra / prefilled);
        mixed_steps_++;
    } else {
        present_ms_[count] = smooth(present_ms_[count], milliseconds);
        if (!measuring_) usual_ms_[count] = follow_median(usual_ms_[count], milliseconds);
        if (mixed_steps_ > 0) measure_after_ = std::min(most_mixed_steps, 2 * measure_after_);
        mixed_steps_ = 0;
        measuring_ = false;
    }
}

} // namespace llama_sessions
