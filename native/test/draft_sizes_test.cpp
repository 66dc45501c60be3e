// On simulated machines: a step takes a fixed time, and some more for each row.
#include "check.h"
#include "draft_sizes.h"

#include <algorithm>
#include <numeric>
#include <random>

using namespace llama_sessions;

using Chances = std::vector<std::vector<double>>;

static Chances alike(int generating, double chance, int most = 16) {
    return Chances(static_cast<size_t>(generating), std::vector<double>(static_cast<size_t>(most), chance));
}

static int sum(const std::vector<int>& counts) { return std::accumulate(counts.begin(), counts.end(), 0); }

namespace {
struct Machine {
    double step_ms, row_ms;
    double noise = 0; // a fraction
    std::mt19937 random{5};

    double took(int rows) {
        std::uniform_real_distribution<double> factor(1 - noise, 1 + noise);
        return (step_ms + row_ms * rows) * factor(random);
    }
};

// Of steps in which drafts are as good as promised, beside steps without any.
struct Outcome {
    double gain;
    int drafted; // in the last step
};
} // namespace

static Outcome run(Machine machine, int generating, double chance, int steps) {
    DraftSizes sizes;
    std::uniform_real_distribution<double> dice(0, 1);
    std::mt19937 random(7);
    double ms = 0, plain_ms = 0, tokens = 0;
    int drafted = 0;
    for (int i = 0; i < steps; i++) {
        const std::vector<int> counts = sizes.plan(alike(generating, chance), DraftSizes::most_rows);
        drafted = sum(counts);
        const double took = machine.took(generating + drafted);
        sizes.record(generating, drafted, took);
        ms += took;
        plain_ms += machine.step_ms + machine.row_ms * generating;
        for (const int count : counts) {
            int right = 0;
            while (right < count && dice(random) < chance) right++;
            tokens += 1 + right;
        }
    }
    return {tokens / ms / (steps * generating / plain_ms), drafted};
}

TEST(drafts_wait_until_a_step_without_them_was_measured) {
    DraftSizes sizes;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(sum(sizes.plan(alike(1, 0.9), 16)), 0);
        sizes.record(1, 0, 10);
    }
    CHECK(sum(sizes.plan(alike(1, 0.9), 16)) > 0);
    CHECK_EQ(sum(sizes.plan(alike(2, 0.9), 16)), 0); // two are another matter
}

TEST(drafts_are_long_where_rows_cost_little_and_none_where_they_cost_all) {
    const Outcome memory_bound = run({10, 0.2}, 1, 0.9, 300);
    CHECK_EQ(memory_bound.drafted, 15);
    CHECK(memory_bound.gain > 3);
    const Outcome between = run({10, 3}, 1, 0.7, 300);
    CHECK(between.drafted == 3 && between.gain > 1.1);
    const Outcome compute_bound = run({0.1, 10}, 1, 0.9, 2000);
    CHECK_EQ(compute_bound.drafted, 0);
    CHECK(compute_bound.gain > 0.97);
}

TEST(drafts_cost_next_to_nothing_where_they_do_not_pay) {
    for (const double row_ms : {0.01, 0.1, 1.0, 10.0, 100.0}) {
        for (const double chance : {0.0, 0.1, 0.3, 0.5, 0.7, 0.95}) {
            for (const int generating : {1, 2, 3, 4, 7, 8, 12, 15, 16, 40}) {
                const Outcome outcome = run({10, row_ms, 0.1}, generating, chance, 3000);
                CHECK(outcome.gain > 0.97);
                if (generating >= DraftSizes::most_rows) CHECK_EQ(outcome.drafted, 0);
            }
        }
    }
}

TEST(drafts_go_to_those_who_can_use_them) {
    DraftSizes sizes;
    for (int i = 0; i < 2; i++) sizes.record(3, 0, 10);
    const std::vector<int> counts = sizes.plan({{}, std::vector<double>(20, 0.95), {0.9, 0.1}}, 16);
    CHECK_EQ(counts[0], 0);
    CHECK(counts[1] > counts[2] && counts[2] >= 1);
    CHECK_EQ((3 + sum(counts)) % 4, 0);
    // Nobody gets more than is of use, and a size that nobody can fill is left out.
    CHECK_EQ(sum(sizes.plan({{0.99, 0.99}, {}, {}}, 16)), 1);
    DraftSizes one;
    for (int i = 0; i < 2; i++) one.record(1, 0, 10);
    CHECK_EQ(sum(one.plan({{0.99, 0.99}}, 16)), 0);
}

TEST(drafts_keep_to_few_sizes_and_to_the_rows_there_are) {
    std::mt19937 random(6);
    for (int round = 0; round < 200; round++) {
        DraftSizes sizes;
        for (int i = 0; i < 200; i++) {
            const int generating = 1 + static_cast<int>(random() % 20), rows = static_cast<int>(random() % 40);
            Chances chances = alike(generating, 0.01 * (random() % 101));
            for (std::vector<double>& each : chances) each.resize(random() % 20, 0.9);
            const std::vector<int> counts = sizes.plan(chances, rows);
            CHECK_EQ(counts.size(), chances.size());
            for (size_t k = 0; k < counts.size(); k++) CHECK(counts[k] <= static_cast<int>(chances[k].size()));
            const int drafted = sum(counts), size = generating + drafted;
            if (drafted > 0) CHECK(size % 4 == 0 && size <= rows && size <= DraftSizes::most_rows);
            sizes.record(generating, drafted, 0.1 * (1 + random() % 1000));
        }
    }
}

TEST(drafts_forget_a_step_that_was_held_up) {
    DraftSizes sizes;
    for (int i = 0; i < 10; i++) sizes.record(1, 0, 10);
    sizes.record(1, 3, 5000); // the first one ever, and the machine slept: it is tried once more
    CHECK_EQ(sum(sizes.plan(alike(1, 0.9), 4)), 3);
    sizes.record(1, 3, 5000);
    CHECK_EQ(sum(sizes.plan(alike(1, 0.9), 4)), 0);
    for (int i = 0; i < 600; i++) sizes.record(1, 0, 10); // long ago
    CHECK_EQ(sum(sizes.plan(alike(1, 0.9), 4)), 3);
}

TEST(drafts_are_known_to_make_a_step_longer) {
    DraftSizes sizes;
    CHECK_EQ(sizes.times_plain(1, 0), 0.0);
    for (int i = 0; i < 2; i++) {
        sizes.record(1, 0, 10);
        sizes.record(1, 3, 15);
        sizes.record(1, 7, 500); // held up
        sizes.record(1, 11, 5);  // who held up the others?
    }
    CHECK_EQ(sizes.times_plain(1, 0), 1.0);
    CHECK_EQ(sizes.times_plain(1, 3), 1.5);
    CHECK_EQ(sizes.times_plain(1, 7), 8.0);
    CHECK_EQ(sizes.times_plain(1, 11), 1.0);
    CHECK_EQ(sizes.times_plain(1, 15), 0.0);
}
