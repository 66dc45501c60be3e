#include "thread_pool.h"

#include "ggml-cpu.h"
#include "priority.h"

#include <algorithm>

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
#ifdef __linux__
    // Their graph pauses after each large operation, and to wake up takes as long as a small one. Nobody else wants the time.
    if (kind == Kind::background) params.poll = 1;
#elif defined(_WIN32)
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

void ThreadPool::each(int count, int threads, const std::function<void(int)>& work) {
    work_ = &work;
    count_ = count;
    next_ = 0;
    if (pool_ && std::min(count, threads) > 1) {
        if (!graph_) make_graph();
        find<ggml_backend_set_n_threads_t>("ggml_backend_set_n_threads")(backend_.get(), threads);
        ggml_backend_graph_compute(backend_.get(), graph_);
    }
    take_part(); // in what is left: all, where there are no such threads
}

void ThreadPool::make_graph() {
    backend_.reset(ggml_backend_dev_init(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), nullptr));
    find<decltype(&ggml_backend_cpu_set_threadpool)>("ggml_backend_cpu_set_threadpool")(backend_.get(), pool_);
    memory_.reset(ggml_init({ggml_graph_overhead_custom(1, false) + 2 * ggml_tensor_overhead(), nullptr, false}));
    graph_ = ggml_new_graph_custom(memory_.get(), 1, false);
    const auto take_part = [](ggml_tensor*, int, int, void* self) { static_cast<ThreadPool*>(self)->take_part(); };
    ggml_build_forward_expand(graph_, ggml_custom_4d(memory_.get(), GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, take_part,
                                                     GGML_N_TASKS_MAX, this));
}

void ThreadPool::take_part() {
    for (int i = next_++; i < count_; i = next_++) (*work_.load())(i);
}

} // namespace llama_sessions
