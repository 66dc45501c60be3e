// Which tokens go into the next step. Pure: knows neither llama.cpp nor threads.
#pragma once

#include <cstddef>
#include <vector>

namespace llama_sessions {

// A sequence that wants to take part in the next step.
struct StepCandidate {
    int sequence;
    int pending;     // tokens not in the KV yet
    bool generating; // its one pending token is the one it has just chosen
};

struct StepLimits {
    int batch_tokens;   // most tokens in one step
    int free_cells;     // most tokens that the KV pool takes
    int prefill_tokens; // most prompt tokens
};

struct StepShare {
    int sequence;
    int tokens;
};

// One token of EVERY generating sequence, then prompt tokens in equal shares; what one does not need goes to the others.
// When there are fewer prompt tokens than sequences that prefill, those that come next after sequence `after` go first,
// so that all have their turn; `after` becomes the last one served. The shares come in the order of the sequences'
// numbers: llama.cpp puts only consecutive ones into one micro-batch when each has its own stream.
std::vector<StepShare> plan_step(const std::vector<StepCandidate>& candidates, const StepLimits& limits, int& after);

} // namespace llama_sessions
