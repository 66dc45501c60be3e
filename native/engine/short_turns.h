// Threads that step aside (priority.h) have their turn all the same, now and then, while others want the processor. This keeps it short.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace llama_sessions {

class ShortTurns {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr Clock::time_point never = Clock::time_point::max();

    // threads: that compute, and have to share the processors with as many in the background. Nothing where there are enough for all.
    explicit ShortTurns(int threads);
    ShortTurns(const ShortTurns&) = delete;
    ShortTurns& operator=(const ShortTurns&) = delete;
    ~ShortTurns();

    // Turns are short from then on, until this is called again.
    void keep_from(Clock::time_point time);

  private:
    void wake_up_on(int processor);

    std::mutex mutex_;
    std::condition_variable changed_;
    Clock::time_point from_ = never;
    bool closing_ = false;
    std::vector<std::thread> threads_; // last: they use the rest
};

} // namespace llama_sessions
