#include "exit_guard.h"

#include "backend.h"
#include "engine.h"

#include <mutex>
#include <set>

namespace llama_sessions {

namespace {
struct Guarded {
    std::mutex mutex;
    std::set<Engine*> engines;

    // Static objects die in the reverse order of their birth: llama.cpp's must be born first.
    Guarded() { ensure_backends(); }
    ~Guarded() {
        std::lock_guard<std::mutex> lock(mutex);
        for (Engine* engine : engines) engine->close();
        for (Engine* engine : engines) engine->join();
        engines.clear();
    }
};

Guarded& guarded() {
    static Guarded all;
    return all;
}
} // namespace

ExitGuard::ExitGuard(Engine& engine) : engine_(engine) {
    Guarded& all = guarded();
    std::lock_guard<std::mutex> lock(all.mutex);
    all.engines.insert(&engine_);
}

ExitGuard::~ExitGuard() {
    Guarded& all = guarded();
    std::lock_guard<std::mutex> lock(all.mutex);
    all.engines.erase(&engine_);
}

} // namespace llama_sessions
