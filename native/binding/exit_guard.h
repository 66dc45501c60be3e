// process.exit() runs no cleanup hook of the main thread, only C++'s own: engine threads must have ended before the
// static objects of llama.cpp that they use are destroyed.
#pragma once

namespace llama_sessions {

class Engine;

// llama.cpp has made static objects since the last guard: the engines of this process must end before these are destroyed, too,
// where no 'exit' event comes. From any thread.
void guard_exit_again();

// Closes and joins the engines of this environment; no other thread may join them meanwhile, so it is called on its JavaScript
// thread, from the 'exit' event. The guard alone comes too late: llama.cpp makes static objects as late as in a step, and these
// die before any that was made when the addon was loaded.
void end_engines_of(const void* env);

// While it lives, its engine is closed and joined when the process exits.
class ExitGuard {
  public:
    ExitGuard(Engine& engine, const void* env);
    ~ExitGuard();
    ExitGuard(const ExitGuard&) = delete;
    ExitGuard& operator=(const ExitGuard&) = delete;

  private:
    Engine& engine_;
};

} // namespace llama_sessions
