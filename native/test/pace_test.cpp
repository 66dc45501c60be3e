// On a simulated machine: a step takes a fixed time, some more for each sequence, and some for each prompt token.
#include "check.h"
#include "pace.h"

#include <random>

using namespace llama_sessions;

namespace {
struct Machine {
    double step_ms, sequence_ms, prompt_ms;
    double noise = 0; // a fraction
    std::mt19937 random{5};

    double usual(int generating) const { return step_ms + sequence_ms * generating; }
    double mean(int generating, int prefilled) const { return usual(generating) + prompt_ms * prefilled; }
    double took(int generating, int prefilled) {
        std::uniform_real_distribution<double> factor(1 - noise, 1 + noise);
        return mean(generating, prefilled) * factor(random);
    }
};
} // namespace

// Runs steps while prompts wait; the longest step, as a multiple of one that only generates, after `warm` steps.
static double worst_stretch(Pace& pace, Machine& machine, int generating, int steps, int warm) {
    double worst = 0;
    for (int i = 0; i < steps; i++) {
        const int prefill = pace.prefill_tokens(generating);
        pace.record(generating, prefill, machine.took(generating, prefill));
        if (i >= warm) worst = std::max(worst, machine.mean(generating, prefill) / machine.usual(generating));
    }
    return worst;
}

// What the next step that carries prompt tokens may carry: the one in between that carries none only measures.
static int allowance(Pace& pace, Machine& machine, int generating) {
    if (pace.prefill_tokens(generating) == 0) pace.record(generating, 0, machine.took(generating, 0));
    return pace.prefill_tokens(generating);
}

TEST(pace_keeps_a_step_within_its_stretch) {
    for (const double prompt_ms : {0.01, 0.1, 0.3, 1.0}) {
        Pace pace(512);
        Machine machine{8, 0.2, prompt_ms, 0.15};
        const double worst = worst_stretch(pace, machine, 8, 500, 20);
        CHECK(worst < 4);
        const int prefill = pace.prefill_tokens(8);
        if (prefill > 0 && prefill < 512)
            CHECK(machine.mean(8, prefill) / machine.usual(8) > 1.8); // and uses what it may
    }
}

TEST(pace_measures_a_step_without_prompts_first_and_again) {
    Pace pace(512);
    Machine machine{8, 0.2, 0.1};
    CHECK_EQ(pace.prefill_tokens(4), 0); // never seen
    int since = 0, longest = 0, measured = 0;
    for (int i = 0; i < 1000; i++) {
        const int prefill = pace.prefill_tokens(4);
        pace.record(4, prefill, machine.took(4, prefill));
        since = prefill == 0 ? 0 : since + 1;
        measured += prefill == 0;
        longest = std::max(longest, since);
    }
    CHECK(longest >= 30 && longest <= 64);
    CHECK(measured <= 30); // it costs prefill speed
}

TEST(pace_shrinks_and_grows_with_the_machine) {
    Pace pace(512);
    Machine machine{8, 0, 0.1};
    worst_stretch(pace, machine, 4, 200, 0);
    const int usual = allowance(pace, machine, 4);
    machine.prompt_ms = 0.5; // somebody else takes the cores
    worst_stretch(pace, machine, 4, 20, 0);
    const int slow = allowance(pace, machine, 4);
    CHECK(slow < usual / 3);
    machine.prompt_ms = 0.05;
    worst_stretch(pace, machine, 4, 40, 0);
    CHECK(allowance(pace, machine, 4) > usual);
}

// Sessions arrive while two speak. Each joins them once it is read, and makes the steps longer.
TEST(pace_charges_the_prompt_for_nothing_but_itself) {
    Pace pace(512);
    Machine machine{1, 0.2, 0.1};
    for (int i = 0; i < 20; i++) pace.record(2, 0, machine.took(2, 0)); // nobody prefills yet
    for (int generating = 2; generating <= 64; generating++) {
        worst_stretch(pace, machine, generating, 3, 0);
        const int prefill = allowance(pace, machine, generating);
        CHECK(machine.mean(generating, prefill) / machine.usual(generating) > 1.4);
    }
}

TEST(pace_forgets_one_slow_step) {
    Pace pace(2048);
    Machine machine{8, 0, 0.1};
    worst_stretch(pace, machine, 4, 200, 0);
    while (pace.prefill_tokens(4) != 0) pace.record(4, 8, machine.took(4, 8));
    pace.record(4, 0, 1000); // the machine slept in the very step that is the measure of the others
    CHECK(worst_stretch(pace, machine, 4, 60, 2) < 4);
}

TEST(pace_bounds_a_step_of_prompts_alone) {
    Pace fresh(512);
    CHECK(fresh.prefill_tokens(0) <= 128); // before anything is known
    for (const double prompt_ms : {0.01, 0.5, 2.0, 3.9}) {
        Pace pace(4096);
        Machine machine{1, 0, prompt_ms};
        for (int i = 0; i < 50; i++) {
            const int prefill = pace.prefill_tokens(0);
            CHECK(prefill > 0);
            pace.record(0, prefill, machine.took(0, prefill));
            if (i > 0) CHECK(machine.mean(0, prefill) < 300);
        }
    }
}

TEST(pace_stays_within_the_batch_and_keeps_shapes) {
    std::mt19937 random(6);
    for (int round = 0; round < 300; round++) {
        const int batch = 32 + static_cast<int>(random() % 1000);
        Pace pace(batch);
        Machine machine{0.001 + random() % 100, 0.01 * (random() % 100), 0.001 + 0.01 * (random() % 500), 0.5};
        for (int i = 0; i < 300; i++) {
            const int generating = static_cast<int>(random() % 3 ? random() % 5 : random() % 257);
            const int prefill = pace.prefill_tokens(generating);
            CHECK(prefill >= 0 && prefill <= batch);
            CHECK(prefill % 8 == 0 || prefill < 16 || prefill == batch);
            if (generating == 0) CHECK((prefill > 0 && prefill % 64 == 0) || prefill == batch);
            pace.record(generating, std::max(prefill, generating == 0 ? 1 : 0), machine.took(generating, prefill));
        }
    }
}
