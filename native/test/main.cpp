// Runs the cases whose names contain the first argument. `ok NAME` or `not ok NAME: reason` for each.
#include "check.h"
#include "error.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace llama_sessions::test {

static std::mutex mutex;
static std::string complaint;

void complain(const std::string& what) {
    std::lock_guard<std::mutex> lock(mutex);
    if (complaint.empty()) complaint = what;
}

static std::string take_complaint() {
    std::lock_guard<std::mutex> lock(mutex);
    std::string taken;
    taken.swap(complaint);
    return taken;
}

std::string error_code(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.code();
    }
    return "";
}

static std::string run(const Case& test) {
    std::string reason;
    try {
        test.run();
    } catch (const std::exception& error) {
        reason = error.what();
    } catch (...) {
        reason = "an unknown exception";
    }
    const std::string elsewhere = take_complaint();
    return reason.empty() ? elsewhere : reason;
}

// A deadlock must fail the run, not hang it: nothing but ending the process helps then.
static constexpr int longest_case_seconds = 100;
static std::atomic<const char*> running{""};
static std::atomic<int> seconds{0}, passed{0}, failed{0};

static void watch() {
    for (;;) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        if (++seconds < longest_case_seconds) continue;
        std::printf("not ok %s: still running after %d s\n", running.load(), longest_case_seconds);
        std::printf("%d passed, %d failed\n", passed.load(), failed + 1);
        std::fflush(stdout);
        std::_Exit(1);
    }
}

} // namespace llama_sessions::test

int main(int argc, char** argv) {
    using namespace llama_sessions::test;
    std::thread(watch).detach();
    for (const Case& test : cases()) {
        if (argc > 1 && std::string(test.name).find(argv[1]) == std::string::npos) continue;
        seconds = 0;
        running = test.name;
        const std::string reason = run(test);
        if (reason.empty()) std::printf("ok %s\n", test.name);
        else std::printf("not ok %s: %s\n", test.name, reason.c_str());
        ++(reason.empty() ? passed : failed);
        std::fflush(stdout);
    }
    std::printf("%d passed, %d failed\n", passed.load(), failed.load());
    return failed > 0;
}
