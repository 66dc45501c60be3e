// Work on ggml's threads that is none of ggml's.
#include "check.h"
#include "thread_pool.h"

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

using namespace llama_sessions;

TEST(thread_pool_calls_work_once_for_each_number) {
    ThreadPool pool(2, ThreadPool::Kind::eager);
    for (int count = 0; count < 70; count++) {
        std::vector<int> calls(static_cast<size_t>(count));
        pool.each(count, 2, [&](int i) { calls[static_cast<size_t>(i)]++; });
        CHECK(std::set<int>(calls.begin(), calls.end()) == (count ? std::set<int>{1} : std::set<int>{}));
    }
}

// Each of the two waits for the other to begin.
TEST(thread_pool_works_side_by_side) {
    for (const ThreadPool::Kind kind : {ThreadPool::Kind::eager, ThreadPool::Kind::patient}) {
        ThreadPool pool(2, kind);
        std::atomic<int> begun{0}, alone{0};
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        pool.each(2, 2, [&](int) {
            begun++;
            while (begun < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
            if (begun < 2) alone++;
        });
        CHECK_EQ(alone, 0);
    }
}

TEST(thread_pool_asks_no_other_thread_for_one_number_or_with_one_thread) {
    ThreadPool pool(2, ThreadPool::Kind::eager);
    const std::thread::id own = std::this_thread::get_id();
    std::atomic<int> elsewhere{0};
    const auto look = [&](int) { elsewhere += std::this_thread::get_id() != own; };
    pool.each(1, 2, look);
    pool.each(8, 1, look);
    CHECK_EQ(elsewhere, 0);
}
