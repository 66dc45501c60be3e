#include "thread_pool.h"

#include "ggml-cpu.h"
#include "priority.h"

namespace llama_sessions {

// Of ggml's unit, 131,072 looks whether there is work: 3.5 ms each (AMD EPYC), and there is less between two steps. ggml's own 50 take
// a core from JavaScript for 170 ms after every turn.
static constexpr uint32_t some_milliseconds = 2;

ThreadPool::ThreadPool(int threads, Kind kind) {
    const auto make = find<decltype(&ggml_threadpool_new)>("ggml_threadpool_new");
    if (!make) return; // then ggml makes threads for each graph by itself
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    params.poll = kind == Kind::eager ? some_milliseconds : 0;
    if (kind == Kind::patient) params.strict_cpu = processors_for(threads, params.cpumask);
#ifdef _WIN32
    if (kind == Kind::background) params.prio = GGML_SCHED_PRIO_LOW; // elsewhere threads inherit it
#endif
    pool_ = make(&params);
}

ThreadPool::~ThreadPool() {
    if (pool_) find<decltype(&ggml_threadpool_free)>("ggml_threadpool_free")(pool_);
}

void ThreadPool::attach(llama_context* context) {
    if (pool_) llama_attach_threadpool(context, pool_, pool_);
}

} // namespace llama_sessions
