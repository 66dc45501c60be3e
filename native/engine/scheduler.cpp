#include "scheduler.h"

#include <algorithm>

namespace llama_sessions {

// Fewer prompt tokens than this per sequence and step cost more in overhead than their fairness is worth.
static constexpr int least_share = 16;

// The sequence number of the last one served.
static int share_prefill(const std::vector<StepCandidate>& prefilling, int tokens, std::vector<StepShare>& plan) {
    const int enough_for = std::max(1, tokens / least_share);
    const size_t count = std::min(prefilling.size(), static_cast<size_t>(enough_for));

    // Smallest first: what it leaves of its share is there for the larger ones.
    std::vector<StepCandidate> served(prefilling.begin(), prefilling.begin() + static_cast<std::ptrdiff_t>(count));
    std::stable_sort(served.begin(), served.end(), [](const auto& a, const auto& b) { return a.pending < b.pending; });
    int sharers = static_cast<int>(count);
    for (const StepCandidate& candidate : served) {
        const int share = std::min(candidate.pending, tokens / sharers);
        if (share > 0) plan.push_back({candidate.sequence, share});
        tokens -= share;
        sharers--;
    }
    return prefilling[count - 1].sequence;
}

std::vector<StepShare> plan_step(const std::vector<StepCandidate>& candidates, const StepLimits& limits, int& after) {
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
    std::sort(prefilling.begin(), prefilling.end(), [after](const auto& a, const auto& b) {
        const bool a_late = a.sequence <= after, b_late = b.sequence <= after;
        return a_late != b_late ? b_late : a.sequence < b.sequence;
    });
    const int tokens = std::min(room, limits.prefill_tokens);
    if (tokens > 0 && !prefilling.empty()) after = share_prefill(prefilling, tokens, plan);

    std::sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    return plan;
}

} // namespace llama_sessions
