// process.exit() runs no cleanup hook of the main thread, only C++'s own: engine threads must have ended before the
// static objects of llama.cpp that they use are destroyed.
#pragma once

namespace llama_sessions {

class Engine;

// While it lives, its engine is closed and joined when the process exits.
class ExitGuard {
  public:
    explicit ExitGuard(Engine& engine);
    ~ExitGuard();
    ExitGuard(const ExitGuard&) = delete;
    ExitGuard& operator=(const ExitGuard&) = delete;

  private:
    Engine& engine_;
};

} // namespace llama_sessions
