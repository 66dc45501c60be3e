#include "exit_guard.h"

#include "backend.h"
#include "engine.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>

namespace llama_sessions {

namespace {
struct Guarded {
    std::mutex mutex;
    std::map<Engine*, const void*> engines; // and the environment of each

    // Static objects die in the reverse order of their birth: llama.cpp's must be born first.
    Guarded() { ensure_backends(); }
    ~Guarded() { end_all(); }

    void end_all() {
        std::lock_guard<std::mutex> lock(mutex);
        for (const auto& [engine, env] : engines) engine->close();
        for (const auto& [engine, env] : engines) engine->join();
        engines.clear();
    }
};

// Whether an engine was ever made: without one there is nothing to end, and backends may not even be there.
std::atomic<bool> in_use{false};

Guarded& guarded() {
    static Guarded all;
    in_use = true;
    return all;
}
} // namespace

void guard_exit_again() {
    std::atexit([] { guarded().end_all(); });
}

void end_engines_of(const void* env) {
    if (!in_use) return;
    Guarded& all = guarded();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (const auto& [engine, owner] : all.engines) {
        if (owner == env) engine->close();
    }
    for (const auto& [engine, owner] : all.engines) {
        if (owner == env) engine->join();
    }
}

ExitGuard::ExitGuard(Engine& engine, const void* env) : engine_(engine) {
    Guarded& all = guarded();
    std::lock_guard<std::mutex> lock(all.mutex);
    all.engines.emplace(&engine_, env);
}

ExitGuard::~ExitGuard() {
    Guarded& all = guarded();
    std::lock_guard<std::mutex> lock(all.mutex);
    all.engines.erase(&engine_);
}

} // namespace llama_sessions
