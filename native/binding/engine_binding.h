// The JavaScript class `Engine` (lib/native.ts: NativeEngine). JavaScript thread only (R2).
//
// Owns the engine and its thread. It ends in one of three ways: close(); garbage collection, when nothing runs; the end
// of the environment (worker terminated, process about to end), through a cleanup hook.
#pragma once

#include "engine.h"
#include "exit_guard.h"
#include "outbox.h"

#include <map>
#include <optional>

namespace llama_sessions {

class EngineBinding : public Napi::ObjectWrap<EngineBinding> {
  public:
    static Napi::Function define(Napi::Env env);

    explicit EngineBinding(const Napi::CallbackInfo& info);
    ~EngineBinding() override;

  private:
    // Something the engine was asked for and has not answered yet.
    struct Pending {
        Napi::Promise::Deferred promise;
        Napi::ObjectReference kept; // memory of JavaScript's that the engine reads meanwhile
    };

    // What a step has to tell, as it crosses.
    struct Told {
        std::string text;
        std::vector<int32_t> numbers;
        std::vector<EndEvent> ends;
        int cells_wanted;
    };

    Napi::Value open(const Napi::CallbackInfo& info);
    Napi::Value tokenize(const Napi::CallbackInfo& info);
    Napi::Value detokenize(const Napi::CallbackInfo& info);
    Napi::Value prepare_chat(const Napi::CallbackInfo& info);
    Napi::Value prepare_text(const Napi::CallbackInfo& info);
    void submit(const Napi::CallbackInfo& info);
    void cancel(const Napi::CallbackInfo& info);
    Napi::Value adopt_prefix(const Napi::CallbackInfo& info);
    Napi::Value export_kv(const Napi::CallbackInfo& info);
    Napi::Value import_kv(const Napi::CallbackInfo& info);
    Napi::Value clear_sequence(const Napi::CallbackInfo& info);
    Napi::Value stats(const Napi::CallbackInfo& info);
    Napi::Value close(const Napi::CallbackInfo& info);

    Engine::Callbacks callbacks();
    std::shared_ptr<const Model> loaded_model() const;
    template <class Result> Engine::Done<Result> answer(uint32_t id, Napi::Value (*to_value)(Napi::Env, Result));
    uint32_t expect(Napi::Env env, Napi::Promise* promise, Napi::Value kept = {});
    void settle(Napi::Env env, uint32_t id, const std::function<void(Napi::Promise::Deferred&)>& how);
    static Told as_told(StepEvents events);
    void report_step(Napi::Env env, const Told& told);
    Napi::Int32Array array_of(Napi::Env env, const std::vector<int32_t>& numbers);
    void on_closed(Napi::Env env);
    void begin_work(Napi::Env env);
    void end_work(Napi::Env env, size_t count = 1);
    static void environment_ends(void* self);

    Napi::Env env_;
    Outbox outbox_;
    Engine engine_; // after the outbox: its thread writes there until it is joined
    std::optional<ExitGuard> exit_guard_;
    Napi::FunctionReference on_step_;           // weak
    Napi::Reference<Napi::Int32Array> numbers_; // of the step that is being told
    std::map<uint32_t, Pending> pending_;
    uint32_t next_pending_ = 0;
    size_t work_ = 0; // requests and pending answers: while there are any, neither the process nor this object goes
    bool opened_ = false, thread_ended_ = false, closed_ = false;
    std::optional<Napi::Promise::Deferred> closing_;
    Napi::Reference<Napi::Promise> closing_promise_; // close() gives everybody the same one
};

} // namespace llama_sessions
