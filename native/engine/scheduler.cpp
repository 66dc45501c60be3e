#include "scheduler.h"

#include "pace.h"

#include <algorithm>
#include <tuple>

namespace llama_sessions {

// Whose turn it is comes first, then the others, those before who lack less.
static void put_in_order(std::vector<StepCandidate>& prefilling, bool oldest_first) {
    std::sort(prefilling.begin(), prefilling.end(),
              [](const auto& a, const auto& b) { return std::tie(a.pending, a.order) < std::tie(b.pending, b.order); });
    if (!oldest_first) return;
    const auto oldest = std::min_element(prefilling.begin(), prefilling.end(),
                                         [](const auto& a, const auto& b) { return a.order < b.order; });
    std::rotate(prefilling.begin(), oldest, oldest + 1);
}

std::vector<StepShare> plan_step(const std::vector<StepCandidate>& candidates, const StepLimits& limits,
                                 bool oldest_first) {
    std::vector<StepShare> plan;
    std::vector<StepCandidate> prefilling;
    int room = std::min(limits.batch_tokens, limits.free_cells);
    for (const StepCandidate& candidate : candidates) {
        if (!candidate.generating) {
            prefilling.push_back(candidate);
        } else if (room > 0) {
            plan.push_back({candidate.sequence, 1});
            room--;
        }
    }

    int tokens = std::min(room, limits.prefill_tokens);
    if (tokens > 0 && !prefilling.empty()) {
        put_in_order(prefilling, oldest_first);
        for (size_t i = 0; i < prefilling.size(); i++) {
            const StepCandidate& candidate = prefilling[i];
            if (i > 0 && candidate.pending > tokens && tokens < attention_tile) break;
            plan.push_back({candidate.sequence, std::min(candidate.pending, tokens)});
            tokens -= plan.back().tokens;
        }
    }

    std::sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    return plan;
}

} // namespace llama_sessions
