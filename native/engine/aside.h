// Reads a long prompt beside those who generate: in a context of its own, on threads that have the processor only while
// those do not want it, so that it may read large parts, which is fast, and keeps nobody waiting.
#pragma once

#include "context.h"
#include "starvation.h"
#include "turn.h"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace llama_sessions {

// All but `done` on the engine thread.
class Aside {
  public:
    // Makes its context on its own thread; no use before `working` is false. tokens: of the longest prompt that it takes.
    // done: called from that thread whenever `working` has become false.
    Aside(std::shared_ptr<const Model> model, ContextOptions options, int tokens, std::function<void()> done);
    // Ends what is being computed and waits for it, an operation of the graph at most.
    ~Aside();

    bool working() const;
    // It has no context, or llama.cpp could not read in it.
    bool failed() const { return failed_; }
    // What is being computed goes on until hold(): where the system lets threads step aside, these may still end an operation
    // while nobody else wants the processor.
    void go_on();
    void hold();
    // Other programs take all of the time that it is given.
    bool starved() const { return starvation_.starved(); }

    int capacity() const { return capacity_; }
    // Whose tokens it holds, and how many: of a turn, by its order. It may be ahead of what everybody else has.
    uint64_t turn() const { return turn_; }
    int held() const { return held_; }
    // The turn has no use for it any more.
    void abandon();

    // Not while it is working.
    void begin(uint64_t turn);
    // Takes KV of the next tokens. False: refused.
    bool take(int tokens, const Bytes& kv);
    Bytes kv(int from, int to) { return context_->export_kv(0, from, to); }
    // Sets out to read the next tokens, as many at once as are good.
    void read(const Tokens& tokens, int threads);
    // How many have been read since this was asked last.
    int take_count();

  private:
    void work(const ContextOptions& options);
    void make(const ContextOptions& options);
    void compute();
    static bool on_operation(ggml_tensor* operation, bool ask, void* self);
    bool wait_for_time();

    const std::shared_ptr<const Model> model_;
    const int capacity_;
    const std::function<void()> done_;
    uint64_t turn_;
    std::atomic<int> held_{0}, count_{0};
    std::atomic<bool> never_{false}, failed_{false};

    mutable std::mutex mutex_; // of what follows
    std::condition_variable changed_;
    bool working_ = true, waiting_ = false; // waiting: for time, between two operations
    bool may_go_on_ = false, stopped_ = false, closing_ = false;
    bool steps_aside_ = true;

    // Its own thread's while it is working.
    Tokens tokens_;
    std::optional<ThreadPool> threads_;
    std::unique_ptr<Context> context_;

    Clock::time_point gave_{};
    double had_ms_ = 0;
    Starvation starvation_;

    std::thread thread_; // last: it uses the rest
};

} // namespace llama_sessions
