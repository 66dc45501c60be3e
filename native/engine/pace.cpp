#include "pace.h"

#include <algorithm>

namespace llama_sessions {

// A step that also prefills takes about this many times as long as one that only generates. The promise to the user is 4;
// the rest is room for the noise of the machine and for attention, which grows while a long prompt is read.
static constexpr double stretch = 2.75;
// The longest step that only prefills, in milliseconds: what a cancel and a newcomer wait for.
static constexpr double longest_alone_ms = 250;
static constexpr int least_tokens = 8, least_alone = 64, first_guess = 16;
static constexpr int most_mixed_steps = 48; // between two measures; they cost a fiftieth of the prefill speed

// What the machine does besides makes a step longer, sometimes a hundred times: one such step must not count for many.
static double smooth(double old, double fresh) { return old == 0 ? fresh : 0.7 * old + 0.3 * std::min(fresh, 2 * old); }

// Multiples of 8 keep the shape of steps, and with it llama.cpp's compute graph, stable.
static int whole_eights(double tokens, int least, int most) {
    if (tokens >= most) return most;
    return std::min(most, std::max(least, static_cast<int>(tokens) / 8 * 8));
}

// Of the nearest number of sequences that was measured; 0 when none was.
double Pace::generate_ms(int generating) const {
    const int last = static_cast<int>(generate_ms_.size()) - 1;
    for (int distance = 0; distance <= last; distance++) {
        const int fewer = generating - distance, more = generating + distance;
        if (fewer >= 0 && generate_ms_[static_cast<size_t>(fewer)] > 0) return generate_ms_[static_cast<size_t>(fewer)];
        if (more <= last && generate_ms_[static_cast<size_t>(more)] > 0) return generate_ms_[static_cast<size_t>(more)];
    }
    return 0;
}

int Pace::prefill_tokens(int generating) {
    if (generating == 0) {
        if (alone_ms_ == 0) return std::min(batch_tokens_, 128);
        return whole_eights(longest_alone_ms / alone_ms_, least_alone, batch_tokens_);
    }
    const double usual_ms = generate_ms(generating);
    if (usual_ms == 0 || mixed_steps_ >= measure_after_) return 0;
    if (prefill_ms_ == 0) return std::min(batch_tokens_, first_guess);
    return whole_eights(usual_ms * (stretch - 1) / prefill_ms_, least_tokens, batch_tokens_);
}

void Pace::record(int generating, int prefilled, double milliseconds) {
    if (generating == 0) {
        alone_ms_ = smooth(alone_ms_, milliseconds / prefilled);
    } else if (prefilled == 0) {
        double& usual_ms = generate_ms_[static_cast<size_t>(generating)];
        usual_ms = smooth(usual_ms, milliseconds);
        if (mixed_steps_ > 0) measure_after_ = std::min(most_mixed_steps, 2 * measure_after_);
        mixed_steps_ = 0;
    } else {
        const double extra = std::max(milliseconds - generate_ms(generating), milliseconds * 0.05);
        prefill_ms_ = smooth(prefill_ms_, extra / prefilled);
        mixed_steps_++;
    }
}

} // namespace llama_sessions
