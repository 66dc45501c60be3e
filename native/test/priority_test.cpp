// Threads that step aside, and what keeps them from starving.
#include "check.h"
#include "priority.h"
#include "short_turns.h"
#include "starvation.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#ifdef __linux__
#include <filesystem>
#include <fstream>
#include <map>
#include <sched.h>
#include <set>
#include <string>
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
    bool one = false;
    std::thread([&] {
        one = use_only(static_cast<int>(std::find(marks, marks + 512, true) - marks));
        use_any_processor();
        sched_getaffinity(0, sizeof after, &after);
    }).join();
    CHECK(one);
    CHECK(CPU_EQUAL(&before, &after));
#endif
}

#ifdef __linux__
// How often a thread of this process has waited, by its number.
static std::map<std::string, int> waits() {
    std::map<std::string, int> all;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream status(task.path() / "status");
        static const std::string name = "voluntary_ctxt_switches:";
        for (std::string line; std::getline(status, line);)
            if (line.compare(0, name.size(), name) == 0)
                all[task.path().filename()] = std::stoi(line.substr(name.size()));
    }
    return all;
}

static int processor_of(const std::string& task) {
    cpu_set_t set;
    sched_getaffinity(std::stoi(task), sizeof set, &set);
    if (CPU_COUNT(&set) != 1) return -1;
    int processor = 0;
    while (!CPU_ISSET(static_cast<size_t>(processor), &set)) processor++;
    return processor;
}
#endif

TEST(short_turns_wake_up_on_each_processor_while_they_work) {
#ifdef __linux__
    cpu_set_t processors;
    sched_getaffinity(0, sizeof processors, &processors);
    const auto before = waits();
    const auto theirs = [&] {
        auto all = waits();
        for (const auto& [task, count] : before) all.erase(task);
        return all;
    };
    ShortTurns turns(CPU_COUNT(&processors));
    const auto have_waited = [&](int times) {
        std::set<int> on;
        for (const auto& [task, count] : theirs())
            if (count >= times) on.insert(processor_of(task));
        return static_cast<int>(on.size() - on.count(-1)) == CPU_COUNT(&processors);
    };
    turns.keep_from(ShortTurns::Clock::now());
    while (!have_waited(20)) std::this_thread::yield();
    turns.keep_from(ShortTurns::never);
    for (auto last = theirs(), now = last;; last = now) { // until they wait for good
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        if ((now = theirs()) == last) break;
    }
    turns.keep_from(ShortTurns::Clock::now());
    while (!have_waited(60)) std::this_thread::yield();
#endif
}

TEST(short_turns_are_nothing_where_there_are_processors_for_all) {
#ifdef __linux__
    const auto before = waits();
    ShortTurns turns(1'000);
    turns.keep_from(ShortTurns::Clock::now());
    for (const auto& [task, count] : waits()) CHECK(before.count(task)); // others may still be going
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
