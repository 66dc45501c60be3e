// Work on a libuv pool thread whose result settles a promise.
#pragma once

#include "error.h"
#include "values.h"

#include <functional>
#include <optional>

namespace llama_sessions {

template <class Result> class PromiseWorker : public Napi::AsyncWorker {
  public:
    using Work = std::function<Result()>;
    using ToValue = std::function<Napi::Value(Napi::Env, const Result&)>;

    static Napi::Promise start(Napi::Env env, Work work, ToValue to_value) {
        auto* worker = new PromiseWorker(env, std::move(work), std::move(to_value)); // deletes itself
        const Napi::Promise promise = worker->deferred_.Promise();
        worker->Queue();
        return promise;
    }

  private:
    PromiseWorker(Napi::Env env, Work work, ToValue to_value)
        : AsyncWorker(env, "llama-sessions"), deferred_(env), work_(std::move(work)), to_value_(std::move(to_value)) {}

    void Execute() override {
        try {
            result_ = work_();
        } catch (...) {
            failure_ = current_failure();
        }
    }
    void OnOK() override {
        try {
            if (failure_) deferred_.Reject(error_value(Env(), *failure_).Value());
            else deferred_.Resolve(to_value_(Env(), result_));
        } catch (const Napi::Error&) {
            // The worker thread is being terminated: no value can be made any more, and nobody waits for one.
        }
    }

    Napi::Promise::Deferred deferred_;
    Work work_;
    ToValue to_value_;
    Result result_{};
    std::optional<Failure> failure_;
};

} // namespace llama_sessions
