#include "check.h"
#include "scheduler.h"

#include <algorithm>
#include <map>
#include <random>

using namespace llama_sessions;

static std::vector<StepShare> plan_after(const std::vector<StepCandidate>& candidates, const StepLimits& limits,
                                         int after = -1) {
    return plan_step(candidates, limits, after);
}

static int tokens_of(const std::vector<StepShare>& plan, int sequence) {
    for (const StepShare& share : plan) {
        if (share.sequence == sequence) return share.tokens;
    }
    return 0;
}

TEST(scheduler_gives_every_generating_sequence_its_token) {
    std::vector<StepCandidate> candidates;
    for (int i = 0; i < 8; i++) candidates.push_back({i, i % 2 ? 500 : 1, i % 2 == 0});
    const auto plan = plan_after(candidates, {512, 10000, 64});
    for (int i = 0; i < 8; i += 2) CHECK_EQ(tokens_of(plan, i), 1);
    for (int i = 1; i < 8; i += 2) CHECK_EQ(tokens_of(plan, i), 16);
}

TEST(scheduler_plans_nothing_from_nothing) {
    CHECK(plan_after({}, {512, 10000, 64}).empty());
    CHECK(plan_after({{0, 1, true}, {1, 40, false}}, {512, 0, 64}).empty());
    CHECK(plan_after({{0, 1, true}, {1, 40, false}}, {512, -3, 64}).empty());
    CHECK(plan_after({{1, 40, false}}, {512, 100, 0}).empty());
}

TEST(scheduler_gives_on_what_one_does_not_need) {
    const auto plan = plan_after({{0, 500, false}, {1, 10, false}, {2, 500, false}}, {512, 10000, 100});
    CHECK_EQ(tokens_of(plan, 1), 10);
    CHECK_EQ(tokens_of(plan, 0), 45);
    CHECK_EQ(tokens_of(plan, 2), 45);
}

TEST(scheduler_lets_prompts_take_only_the_cells_that_are_left) {
    const auto plan = plan_after({{0, 1, true}, {1, 500, false}, {2, 1, true}}, {512, 30, 512});
    CHECK_EQ(tokens_of(plan, 0), 1);
    CHECK_EQ(tokens_of(plan, 2), 1);
    CHECK_EQ(tokens_of(plan, 1), 28);
}

TEST(scheduler_serves_prompts_in_turn) {
    std::vector<StepCandidate> candidates;
    for (int i = 0; i < 5; i++) candidates.push_back({i * 3, 1000, false});
    int after = -1;
    std::vector<int> order;
    for (int step = 0; step < 10; step++) {
        const auto plan = plan_step(candidates, {512, 10000, 16}, after);
        CHECK_EQ(plan.size(), 1u);
        CHECK_EQ(plan[0].sequence, after);
        order.push_back(after);
    }
    CHECK((order == std::vector<int>{0, 3, 6, 9, 12, 0, 3, 6, 9, 12}));
}

// However many are served at once, nobody is served twice before everybody has been served.
TEST(scheduler_serves_several_prompts_in_turn) {
    for (int sharers = 1; sharers <= 7; sharers++) {
        std::vector<StepCandidate> candidates;
        for (int i = 0; i < 7; i++) candidates.push_back({i * 2, 100000, false});
        std::map<int, int> times;
        int after = -1;
        for (int step = 0; step < 70; step++) {
            for (const StepShare& share : plan_step(candidates, {512, 10000, 16 * sharers}, after))
                times[share.sequence]++;
        }
        CHECK_EQ(times.size(), 7u);
        for (const auto& [sequence, count] : times) CHECK_EQ(count, 10 * sharers);
    }
}

TEST(scheduler_keeps_its_promises_whatever_comes) {
    std::mt19937 random(4);
    for (int round = 0; round < 20000; round++) {
        std::vector<StepCandidate> candidates;
        int generating = 0, prompt = 0;
        std::map<int, StepCandidate> by_sequence;
        for (int i = 0; i < 40; i++) {
            if (random() % 3) continue;
            const bool generates = random() % 2;
            candidates.push_back({i, generates ? 1 : 1 + static_cast<int>(random() % 300), generates});
            by_sequence[i] = candidates.back();
            if (generates) generating++;
            else prompt += candidates.back().pending;
        }
        const StepLimits limits = {64 + static_cast<int>(random() % 512), static_cast<int>(random() % 600),
                                   static_cast<int>(random() % 300)};
        const int room = std::min(limits.batch_tokens, limits.free_cells);
        const auto plan = plan_after(candidates, limits, static_cast<int>(random() % 42) - 1);

        int last = -1, generated = 0, prefilled = 0, prefilling = 0;
        for (const StepShare& share : plan) {
            CHECK(share.sequence > last); // in order, each once
            last = share.sequence;
            const StepCandidate& candidate = by_sequence.at(share.sequence);
            CHECK(share.tokens > 0 && share.tokens <= candidate.pending);
            if (candidate.generating) {
                generated++;
            } else {
                prefilled += share.tokens;
                prefilling++;
            }
        }
        CHECK_EQ(generated, std::min(generating, room));
        CHECK(prefilled <= limits.prefill_tokens);
        CHECK(generated + prefilled <= room);
        const int budget = std::min(room - generated, limits.prefill_tokens);
        if (budget > 0 && prompt > 0) CHECK(prefilled > 0);
        // Nothing is left over while somebody who is served wants more.
        for (const StepShare& share : plan) {
            const StepCandidate& candidate = by_sequence.at(share.sequence);
            if (!candidate.generating && share.tokens < candidate.pending) CHECK_EQ(prefilled, budget);
        }
        // Equal shares: who wants more than it gets, gets as much as anybody (but for the rounding).
        for (const StepShare& a : plan) {
            if (by_sequence.at(a.sequence).generating || a.tokens == by_sequence.at(a.sequence).pending) continue;
            for (const StepShare& b : plan) CHECK(b.tokens <= a.tokens + 1 + prefilling);
        }
    }
}
