#include "thread_pool.h"

#include "ggml-cpu.h"

namespace llama_sessions {

ThreadPool::ThreadPool(int threads) {
    const auto make = find<decltype(&ggml_threadpool_new)>("ggml_threadpool_new");
    if (!make) return; // then ggml makes threads for each graph by itself
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    pool_ = make(&params);
}

ThreadPool::~ThreadPool() {
    if (pool_) find<decltype(&ggml_threadpool_free)>("ggml_threadpool_free")(pool_);
}

void ThreadPool::attach(llama_context* context) {
    if (pool_) llama_attach_threadpool(context, pool_, pool_);
}

} // namespace llama_sessions
