#include "check.h"
#include "scheduler.h"

#include <algorithm>
#include <map>
#include <random>

using namespace llama_sessions;

static int tokens_of(const std::vector<StepShare>& plan, int sequence) {
    for (const StepShare& share : plan) {
        if (share.sequence == sequence) return share.tokens;
    }
    return 0;
}

// Unless it is said otherwise, they came in the order of their sequences.
static StepCandidate prompt(int sequence, int pending, uint64_t order) { return {sequence, order, pending, false}; }
static StepCandidate prompt(int sequence, int pending) {
    return prompt(sequence, pending, static_cast<uint64_t>(sequence));
}
static StepCandidate speaker(int sequence) { return {sequence, static_cast<uint64_t>(sequence), 1, true}; }

TEST(scheduler_gives_every_generating_sequence_its_token) {
    std::vector<StepCandidate> candidates;
    for (int i = 0; i < 8; i++) candidates.push_back(i % 2 ? prompt(i, 500) : speaker(i));
    const auto plan = plan_step(candidates, {512, 10000, 64}, true);
    for (int i = 0; i < 8; i += 2) CHECK_EQ(tokens_of(plan, i), 1);
    CHECK_EQ(plan.size(), 5u);
    CHECK_EQ(tokens_of(plan, 1), 64);
}

TEST(scheduler_plans_nothing_from_nothing) {
    CHECK(plan_step({}, {512, 10000, 64}, true).empty());
    CHECK(plan_step({speaker(0), prompt(1, 40)}, {512, 0, 64}, true).empty());
    CHECK(plan_step({speaker(0), prompt(1, 40)}, {512, -3, 64}, true).empty());
    CHECK(plan_step({prompt(1, 40)}, {512, 100, 0}, true).empty());
}

TEST(scheduler_gives_on_what_one_does_not_need_to_those_who_need_no_more) {
    const std::vector<StepCandidate> candidates = {prompt(0, 30), prompt(1, 71), prompt(2, 10), prompt(3, 60),
                                                   prompt(4, 61)};
    const auto plan = plan_step(candidates, {512, 10000, 100}, true);
    CHECK_EQ(plan.size(), 3u); // a part of a prompt would be dear
    CHECK_EQ(tokens_of(plan, 0), 30);
    CHECK_EQ(tokens_of(plan, 2), 10);
    CHECK_EQ(tokens_of(plan, 3), 60);
    const auto larger = plan_step(candidates, {512, 10000, 195}, true);
    CHECK_EQ(larger.size(), 4u);
    CHECK_EQ(tokens_of(larger, 4), 61);
    CHECK_EQ(tokens_of(plan_step(candidates, {512, 10000, 160}, false), 1), 0);
    const auto parts = plan_step({prompt(0, 30), prompt(1, 500), prompt(2, 600)}, {512, 10000, 94}, true);
    CHECK_EQ(tokens_of(parts, 1), 64);
}

TEST(scheduler_lets_prompts_take_only_the_cells_that_are_left) {
    const auto plan = plan_step({speaker(0), prompt(1, 500), speaker(2)}, {512, 30, 512}, true);
    CHECK_EQ(tokens_of(plan, 0), 1);
    CHECK_EQ(tokens_of(plan, 2), 1);
    CHECK_EQ(tokens_of(plan, 1), 28);
}

TEST(scheduler_serves_the_oldest_or_who_lacks_least) {
    const std::vector<StepCandidate> candidates = {prompt(0, 900, 3), prompt(1, 1000, 1), prompt(2, 800, 2),
                                                   prompt(3, 800, 4)};
    const auto served = [&](bool oldest_first) {
        const auto plan = plan_step(candidates, {512, 10000, 100}, oldest_first);
        CHECK_EQ(plan.size(), 1u);
        CHECK_EQ(plan.at(0).tokens, 100);
        return plan.at(0).sequence;
    };
    CHECK_EQ(served(true), 1);
    CHECK_EQ(served(false), 2); // of those who lack the same the older one
}

// More short prompts come than can be read.
TEST(scheduler_keeps_nobody_waiting_for_ever) {
    std::vector<StepCandidate> candidates = {prompt(0, 10000, 1), prompt(1, 9000, 2)};
    uint64_t order = 3;
    int steps = 0;
    const auto waits = [&](int sequence) {
        return std::any_of(candidates.begin(), candidates.end(),
                           [&](const StepCandidate& candidate) { return candidate.sequence == sequence; });
    };
    for (; (waits(0) || waits(1)) && steps < 1000; steps++) {
        for (int i = 2; i < 16; i++) {
            if (!waits(i)) candidates.push_back(prompt(i, 90, order++));
        }
        std::vector<StepCandidate> unread;
        const auto plan = plan_step(candidates, {512, 10000, 100}, steps % 2 == 0);
        for (StepCandidate& candidate : candidates) {
            candidate.pending -= tokens_of(plan, candidate.sequence);
            if (candidate.pending > 0) unread.push_back(candidate);
        }
        candidates = unread;
    }
    CHECK_EQ(steps, 379); // every other one is for the oldest: 100 + 90 of them
}

TEST(scheduler_keeps_its_promises_whatever_comes) {
    std::mt19937 random(4);
    for (int round = 0; round < 20000; round++) {
        std::vector<StepCandidate> candidates;
        int generating = 0, unread = 0;
        std::map<int, StepCandidate> by_sequence;
        for (int i = 0; i < 40; i++) {
            if (random() % 3) continue;
            const bool generates = random() % 2;
            candidates.push_back(generates ? speaker(i) : prompt(i, 1 + static_cast<int>(random() % 300), random()));
            by_sequence[i] = candidates.back();
            if (generates) generating++;
            else unread += candidates.back().pending;
        }
        const StepLimits limits = {64 + static_cast<int>(random() % 512), static_cast<int>(random() % 600),
                                   static_cast<int>(random() % 300)};
        const int room = std::min(limits.batch_tokens, limits.free_cells);
        const auto plan = plan_step(candidates, limits, random() % 2);

        int last = -1, generated = 0, prefilled = 0, unfinished = 0;
        for (const StepShare& share : plan) {
            CHECK(share.sequence > last); // in order, each once
            last = share.sequence;
            const StepCandidate& candidate = by_sequence.at(share.sequence);
            CHECK(share.tokens > 0 && share.tokens <= candidate.pending);
            if (candidate.generating) {
                generated++;
            } else {
                prefilled += share.tokens;
                unfinished += share.tokens < candidate.pending;
            }
        }
        CHECK_EQ(generated, std::min(generating, room));
        CHECK(prefilled <= limits.prefill_tokens);
        CHECK(generated + prefilled <= room);
        const int budget = std::min(room - generated, limits.prefill_tokens);
        if (budget > 0 && unread > 0) CHECK(prefilled > 0);
        CHECK(unfinished <= 1);
        // Nothing is left over while one that is served wants more, or another one wants no more than that, or as much is left as is
        // worth a part.
        if (unread > prefilled) CHECK(budget - prefilled < 64);
        if (unfinished == 1) CHECK_EQ(prefilled, budget);
        for (const auto& [sequence, candidate] : by_sequence) {
            if (!candidate.generating && tokens_of(plan, sequence) == 0) CHECK(candidate.pending > budget - prefilled);
        }
    }
}
