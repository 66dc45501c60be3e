// Threads that step aside, and what keeps them from starving.
#include "check.h"
#include "priority.h"
#include "starvation.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#ifdef __linux__
#include <sched.h>
#endif

using namespace llama_sessions;

TEST(priority_of_a_thread_is_its_own) {
#ifdef __linux__
    bool possible = false;
    int aside = -1, child = -1;
    std::thread([&] {
        possible = step_aside();
        aside = sched_getscheduler(0);
        std::thread([&] { child = sched_getscheduler(0); }).join();
    }).join();
    CHECK(possible);
    CHECK_EQ(aside, SCHED_IDLE);
    CHECK_EQ(child, SCHED_IDLE);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
#endif
}

TEST(priority_processor_time_is_what_a_thread_computes) {
#ifdef __linux__
    std::atomic<bool> end{false};
    std::thread busy([&] {
        while (!end) {
        }
    });
    std::thread idle([&] {
        while (!end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    while (processor_ms(busy) < 20) std::this_thread::yield();
    CHECK(processor_ms(idle) < processor_ms(busy));
    end = true;
    busy.join();
    idle.join();
#endif
}

TEST(priority_gives_each_thread_a_processor_only_where_they_are_scarce) {
#ifdef __linux__
    cpu_set_t before;
    sched_getaffinity(0, sizeof before, &before);
    const int all = CPU_COUNT(&before);
    bool marks[512] = {};
    CHECK(!processors_for(all + 1, marks));
    CHECK(!processors_for(all / 2, marks));
    CHECK_EQ(std::count(marks, marks + 512, true), 0);
    CHECK(processors_for(all, marks));
    CHECK_EQ(std::count(marks, marks + 512, true), all);

    cpu_set_t after;
    std::thread([&] {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<size_t>(std::find(marks, marks + 512, true) - marks), &one);
        sched_setaffinity(0, sizeof one, &one);
        use_any_processor();
        sched_getaffinity(0, sizeof after, &after);
    }).join();
    CHECK(CPU_EQUAL(&before, &after));
#endif
}

TEST(starvation_is_little_of_much) {
    Starvation starvation;
    for (int i = 0; i < 99; i++) starvation.record(10, 0);
    CHECK(!starvation.starved()); // too early to tell
    starvation.record(10, 0);
    CHECK(starvation.starved());
    for (int i = 0; i < 100; i++) starvation.record(10, 2);
    CHECK(!starvation.starved());
}
