#include "time_slice.h"

#include <algorithm>

namespace llama_sessions {

// The promise to the user is that nobody waits four times as long as usual. The rest is for delays that are the first of their kind,
// and for what is usual: here that is what steps take after a slice, up to a fifth more than with nobody beside.
static constexpr double longest_gap = 3.05;
// Always expected, in usual steps: most delays are announced by none before. A memory longer than twenty gaps took from the prompt
// as much as from the gaps, and the longest were no shorter.
static constexpr double least_delay = 0.3;
static constexpr double forgotten = 0.95; // of a delay after another gap
// However slow the machine is, the prompt is to get somewhere.
static constexpr double least = 0.8, least_ms = 2;
static constexpr double unknown_ms = 20;

double TimeSlice::milliseconds(double usual_ms) const {
    if (usual_ms <= 0) return unknown_ms;
    return std::max(least_ms, usual_ms * std::max(least, longest_gap - 1 - delay_));
}

void TimeSlice::record(double gap_ms, double slice_ms, double usual_ms) {
    if (usual_ms <= 0) return;
    const double delay = (gap_ms - slice_ms) / usual_ms - 1;
    delay_ = std::min(std::max({delay, forgotten * delay_, least_delay}), longest_gap - 1 - least);
}

} // namespace llama_sessions
