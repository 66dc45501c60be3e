#include "check.h"
#include "thread_count.h"

using llama_sessions::ThreadCount;
using std::chrono::milliseconds;

namespace {

// Steps of a machine: `free` cores are ours; a step with more threads than that is held up.
struct Machine {
    ThreadCount count{4};
    ThreadCount::Time now{};
    int free = 4;
    double work = 8; // milliseconds on one thread

    double step() {
        const int threads = count.current();
        const double took = threads > free ? work * 20 : work / threads;
        now += std::chrono::microseconds(static_cast<long>(took * 1000));
        count.record(1, took, now);
        return took;
    }
    void run(int steps) {
        for (int i = 0; i < steps; i++) step();
    }
};

} // namespace

TEST(thread_count_stays_while_the_cores_are_ours) {
    Machine machine;
    machine.run(1000);
    CHECK_EQ(machine.count.current(), 4);
}

TEST(thread_count_does_not_take_a_short_prompt_for_a_slow_one) {
    ThreadCount count(4);
    ThreadCount::Time now{};
    const auto read = [&](int tokens, double per_token) { // as tokens cost on a 0.5B model
        now += std::chrono::milliseconds(100);
        count.record(ThreadCount::shape_of_prompt(tokens), per_token, now);
    };
    for (int i = 0; i < 20; i++) read(512, 2);
    for (int i = 0; i < 10; i++) read(1, 9);
    for (int i = 0; i < 10; i++) read(2, 6);
    CHECK_EQ(count.current(), 4);
    for (int i = 0; i < 3; i++) read(600, 10); // this one is
    CHECK_EQ(count.current(), 2);
}

TEST(thread_count_gives_way_to_others_within_some_steps) {
    Machine machine;
    machine.run(20);
    machine.free = 2;
    machine.run(4);
    CHECK_EQ(machine.count.current(), 2);
    machine.free = 1;
    machine.run(4);
    CHECK_EQ(machine.count.current(), 1);
}

TEST(thread_count_tries_again_rarely_and_comes_back) {
    Machine machine;
    machine.run(20);
    machine.free = 1;
    machine.run(10);
    double slow = 0, all = 0;
    while (all < 60000) {
        const double took = machine.step();
        all += took;
        if (took > 100) slow += took;
    }
    CHECK(slow / all < 0.1); // the price of trying
    machine.free = 4;
    machine.run(20000);
    CHECK_EQ(machine.count.current(), 4);
}

TEST(thread_count_takes_one_slow_step_for_what_it_is) {
    Machine machine;
    machine.run(20);
    for (int i = 0; i < 20; i++) {
        machine.count.record(1, 500, machine.now);
        machine.run(5);
    }
    CHECK_EQ(machine.count.current(), 4);
}

TEST(thread_count_follows_steps_that_grow_by_themselves) {
    Machine machine;
    machine.run(20);
    for (int i = 0; i < 2000; i++) {
        machine.work *= 1.005;
        machine.step();
        CHECK_EQ(machine.count.current(), 4);
    }
    // At once: a pool that has filled. It may give way for a moment, no longer.
    machine.work *= 10;
    machine.run(2000);
    CHECK_EQ(machine.count.current(), 4);
}
