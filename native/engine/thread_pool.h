// ggml's compute threads, kept from step to step: without them ggml makes new ones for each.
#pragma once

#include "ggml-cpp.h"
#include "llama.h"

#include <atomic>
#include <functional>

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
    void make_graph();
    void take_part();

    // By name: with backends as run-time modules these functions can't be linked.
    template <class Function> static Function find(const char* name) {
        ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
        void* address = cpu ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name) : nullptr;
        return reinterpret_cast<Function>(address);
    }

    // Before the threads, so that they find them made.
    std::atomic<const std::function<void(int)>*> work_{nullptr};
    std::atomic<int> count_{0};
    // Also what orders the memory: who takes a number sees what was written before there were any, and who comes after the last
    // one sees what the others have done.
    std::atomic<int> next_{0};

    ggml_threadpool* pool_ = nullptr;
    // The threads compute graphs and nothing else: one of a single operation, which takes part. From the first `each` on.
    ggml_backend_ptr backend_;
    ggml_context_ptr memory_;
    ggml_cgraph* graph_ = nullptr;
};

} // namespace llama_sessions
