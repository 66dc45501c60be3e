#include "priority.h"

#include "ggml.h"

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

namespace llama_sessions {

// Not by niceness: only who is idle by policy leaves the processor at the moment in which another thread wakes up. The system
// call itself, as musl has no more than the name of its function.
bool step_aside() {
#ifdef __linux__
    const sched_param none{};
    return syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &none) == 0;
#elif defined(_WIN32)
    return SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_BELOW_NORMAL) != 0;
#else
    return false;
#endif
}

#ifdef __linux__
// Of the process, as its first thread has them. Most machines with more than 1,024 need no care for one.
static cpu_set_t processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(getpid(), sizeof set, &set) != 0) CPU_ZERO(&set);
    return set;
}
#endif

bool processors_for(int threads, bool* marks) {
#ifdef __linux__
    const cpu_set_t set = processors();
    const int count = CPU_COUNT(&set);
    if (count < threads || count >= 2 * threads) return false;
    for (int i = 0; i < GGML_MAX_N_THREADS; i++) marks[i] = CPU_ISSET(i, &set);
    return true;
#else
    (void)threads, (void)marks;
    return false;
#endif
}

bool use_only(int processor) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
#else
    (void)processor;
    return false;
#endif
}

void use_any_processor() {
#ifdef __linux__
    const cpu_set_t set = processors();
    if (CPU_COUNT(&set) > 0) sched_setaffinity(0, sizeof set, &set);
#endif
}

double processor_ms(std::thread& thread) {
#ifdef __linux__
    clockid_t clock;
    timespec time{};
    if (pthread_getcpuclockid(thread.native_handle(), &clock) == 0 && clock_gettime(clock, &time) == 0)
        return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
#else
    (void)thread;
#endif
    return -1;
}

} // namespace llama_sessions
