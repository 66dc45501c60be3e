// ggml's backends and log, which exist once per process.
#pragma once

#include <mutex>
#include <string>
#include <vector>

namespace llama_sessions {

// Loads the backends and takes over the log. Any thread, any number of times: ggml's registry has no lock of its own.
// Throws BINDING_NOT_FOUND when the files beside the addon don't belong to it, or no CPU code runs here.
void ensure_backends();
// A backend module from elsewhere (a GPU package), before the first model is loaded. Any thread, any number of times.
// Why it was refused; empty: it is loaded.
std::string load_module(const std::string& path);

// To be held by whoever reads ggml's registry: a module may come at any time.
std::unique_lock<std::mutex> lock_backends();
// Names of the accelerators, then the CPU.
std::vector<std::string> device_names();
// Whether something else than the CPU computes.
bool has_accelerator();

// While it lives, what llama.cpp logs as an error on this thread is kept instead of printed.
class ErrorLog {
  public:
    ErrorLog();
    ~ErrorLog();
    ErrorLog(const ErrorLog&) = delete;
    ErrorLog& operator=(const ErrorLog&) = delete;
    std::string text() const { return text_; }

  private:
    friend void log_line(int level, const char* text);
    std::string text_;
    ErrorLog* outer_;
};

} // namespace llama_sessions
