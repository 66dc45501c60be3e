// Engine thread → JavaScript thread. What a step has to say crosses in one call (R10); what piles up while JavaScript is
// busy crosses together.
#pragma once

#include "napi_setup.h"

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace llama_sessions {

class Outbox {
  public:
    using Letter = std::function<void(Napi::Env)>;

    explicit Outbox(Napi::Env env);

    // Any thread. The letter is run, or dropped when the environment has gone, on the JavaScript thread.
    void post(Letter letter);

    // The rest: JavaScript thread.
    void hold_process(Napi::Env env) { function_.Ref(env); }     // R5
    void let_process_go(Napi::Env env) { function_.Unref(env); } // R5
    // The last call: nothing is delivered from now on.
    void close();
    // The environment is going and takes its thread-safe functions along.
    void abandon();

  private:
    // Shared with the thread-safe function, which may outlive the outbox by one delivery.
    struct Shared {
        std::mutex mutex;
        std::vector<Letter> letters;
        bool scheduled = false;
        bool closed = false;
        // Held for the call that wakes the JavaScript thread, whose first look is for the letters. Taken before the other one.
        std::mutex calling;
    };
    using SharedPointer = std::shared_ptr<Shared>;

    static void deliver(Napi::Env env, Napi::Function, SharedPointer* shared, void*);
    using Function = Napi::TypedThreadSafeFunction<SharedPointer, void, deliver>;

    SharedPointer shared_ = std::make_shared<Shared>();
    Function function_;
};

} // namespace llama_sessions
