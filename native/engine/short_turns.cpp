#include "short_turns.h"

#include "ggml.h"
#include "priority.h"

#include <algorithm>
#include <array>
#include <system_error>

namespace llama_sessions {

// Linux gives a thread that is idle by policy 3 of 1,027 parts of a processor, and not in small ones: once it has that, it is until the
// next tick, 4 ms at 250 Hz. In one of twenty-five steps of a 0.5B model that made 4 or 8 ms of 10 (Linux 6.18). Whoever wakes up
// there takes it away at once. Each millisecond would be too often: who wakes up holds up the others, too.
static constexpr std::chrono::milliseconds longest_turn(2);

ShortTurns::ShortTurns(int threads) {
#ifdef __linux__ // elsewhere nobody steps aside like that
    std::array<bool, GGML_MAX_N_THREADS> marks{};
    if (!processors_for(threads, marks.data())) return;
    try {
        for (int processor = 0; processor < GGML_MAX_N_THREADS; processor++) {
            if (marks[static_cast<size_t>(processor)])
                threads_.emplace_back([this, processor] { wake_up_on(processor); });
        }
    } catch (const std::system_error&) {
        // The system gives no more threads: some turns are long then.
    }
#else
    (void)threads;
#endif
}

ShortTurns::~ShortTurns() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
        changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
}

void ShortTurns::keep_from(Clock::time_point time) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (from_ == never) changed_.notify_all(); // else they wake up soon
    from_ = time;
}

void ShortTurns::wake_up_on(int processor) {
    if (!use_only(processor)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!closing_) {
        if (from_ == never) changed_.wait(lock);
        else changed_.wait_until(lock, std::max(from_, Clock::now()) + longest_turn);
    }
}

} // namespace llama_sessions
