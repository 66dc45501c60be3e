// Which tokens go into the next step. Pure: knows neither llama.cpp nor threads.
#pragma once

#include <cstdint>
#include <vector>

namespace llama_sessions {

// A sequence that wants to take part in the next step.
struct StepCandidate {
    int sequence;
    uint64_t order;  // of arrival
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

// One token of EVERY generating sequence, then tokens of one prompt, then the others that fit in whole, and 64 tokens or more of one
// that does not: fewer of each take llama.cpp several times as long, and whoever is read first speaks first. The one prompt is
// that which lacks least, or the one that came first: who changes between them with each step lets short ones pass, and keeps
// nobody waiting for ever. The shares come in the order of the sequences' numbers: llama.cpp puts only consecutive ones into one
// micro-batch when each has its own stream.
std::vector<StepShare> plan_step(const std::vector<StepCandidate>& candidates, const StepLimits& limits,
                                 bool oldest_first);

} // namespace llama_sessions
