#include "thread_pool.h"

#include "ggml-cpu.h"
#include "priority.h"

namespace llama_sessions {

ThreadPool::ThreadPool(int threads, Kind kind) {
    const auto make = find<decltype(&ggml_threadpool_new)>("ggml_threadpool_new");
    if (!make) return; // then ggml makes threads for each graph by itself
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    if (kind != Kind::eager) params.poll = 0;
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
