// ggml's compute threads, kept from step to step: without them ggml makes new ones for each.
#pragma once

#include "ggml-backend.h"
#include "llama.h"

#include <functional>
#include <memory>

namespace llama_sessions {

class ThreadPool {
  public:
    // eager: they spin for some milliseconds while they wait for the next step. patient: they sleep, and leave the processor to
    // those of the background, which are made by a thread that has stepped aside (priority.h).
    enum class Kind { eager, patient, background };

    ThreadPool(int threads, Kind kind);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    void attach(llama_context* context);

    // Calls work(0) to work(count - 1) on so many of its threads, the caller's among them, and returns when all have returned.
    // Not while a context computes. `work` must not throw.
    void each(int count, int threads, const std::function<void(int)>& work);

  private:
    struct Loop;

    // By name: with backends as run-time modules these functions can't be linked.
    template <class Function> static Function find(const char* name) {
        ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
        void* address = cpu ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name) : nullptr;
        return reinterpret_cast<Function>(address);
    }

    ggml_threadpool* pool_ = nullptr;
    std::unique_ptr<Loop> loop_; // from the first `each` on
};

} // namespace llama_sessions
