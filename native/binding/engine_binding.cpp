#include "engine_binding.h"

#include "lent_memory.h"
#include "promise_worker.h"
#include "utf8.h"
#include "values.h"

#include <utility>

namespace llama_sessions {

static Napi::Error closed_error(Napi::Env env) { return error_value(env, closed_failure()); }

Napi::Function EngineBinding::define(Napi::Env env) {
    return DefineClass(
        env, "Engine",
        {InstanceMethod("open", &EngineBinding::open), InstanceMethod("tokenize", &EngineBinding::tokenize),
         InstanceMethod("detokenize", &EngineBinding::detokenize),
         InstanceMethod("prepareChat", &EngineBinding::prepare_chat),
         InstanceMethod("prepareText", &EngineBinding::prepare_text), InstanceMethod("submit", &EngineBinding::submit),
         InstanceMethod("cancel", &EngineBinding::cancel), InstanceMethod("adoptPrefix", &EngineBinding::adopt_prefix),
         InstanceMethod("exportKv", &EngineBinding::export_kv), InstanceMethod("importKv", &EngineBinding::import_kv),
         InstanceMethod("clearSequence", &EngineBinding::clear_sequence),
         InstanceMethod("stats", &EngineBinding::stats), InstanceMethod("close", &EngineBinding::close)});
}

// The listeners are properties of the JavaScript object: held from C++ they would hold the object in turn, for ever.
EngineBinding::EngineBinding(const Napi::CallbackInfo& info)
    : ObjectWrap(info), env_(info.Env()), outbox_(info.Env()), engine_(callbacks()) {
    if (!info[0].IsFunction() || !info[1].IsFunction()) {
        throw Napi::TypeError::New(info.Env(), "Engine takes two functions.");
    }
    Napi::Object self = info.This().As<Napi::Object>();
    self.Set("onStep", info[0]);
    self.Set("onProgress", info[1]);
    on_step_ = Napi::Weak(info[0].As<Napi::Function>()); // a look at the property would cost as much as two pieces
    exit_guard_.emplace(engine_, static_cast<napi_env>(info.Env()));
    // R6: hooks run in reverse order, so this one before that of the thread-safe function made above.
    napi_add_env_cleanup_hook(info.Env(), environment_ends, this);
}

EngineBinding::~EngineBinding() {
    if (closed_) return;
    napi_remove_env_cleanup_hook(env_, environment_ends, this);
    engine_.close();
    engine_.join();
    outbox_.close();
}

void EngineBinding::environment_ends(void* data) {
    auto* self = static_cast<EngineBinding*>(data);
    self->outbox_.abandon();
    self->engine_.close();
    self->engine_.join();
    self->exit_guard_.reset();
    self->pending_.clear();
    self->numbers_.Reset();
    self->on_step_.Reset();
    self->closed_ = true;
}

Engine::Callbacks EngineBinding::callbacks() {
    Engine::Callbacks callbacks;
    callbacks.progress = [this](float fraction) {
        outbox_.post([this, fraction](Napi::Env env) {
            Napi::Object self = Value();
            self.Get("onProgress").As<Napi::Function>().Call({Napi::Number::New(env, fraction)});
        });
    };
    callbacks.opened = [this](EngineInfo info, const std::optional<Failure>& failure) {
        guard_exit_again();
        answer<EngineInfo>(0, [](Napi::Env env, EngineInfo value) { return info_value(env, value); })(std::move(info),
                                                                                                      failure);
    };
    callbacks.step = [this, first = true](StepEvents events) mutable {
        if (std::exchange(first, false)) guard_exit_again();
        auto told = std::make_shared<Told>(as_told(std::move(events))); // std::function wants to be copied
        outbox_.post([this, told](Napi::Env env) { report_step(env, *told); });
    };
    callbacks.closed = [this] { outbox_.post([this](Napi::Env env) { on_closed(env); }); };
    return callbacks;
}

// --- what is in flight ---------------------------------------------------------------------------------------------

void EngineBinding::begin_work(Napi::Env env) {
    if (work_++ > 0) return;
    Ref();
    outbox_.hold_process(env);
}

void EngineBinding::end_work(Napi::Env env, size_t count) {
    if (count == 0) return;
    work_ -= count;
    if (work_ > 0) return;
    if (!closed_) outbox_.let_process_go(env);
    Unref();
}

uint32_t EngineBinding::expect(Napi::Env env, Napi::Promise* promise, Napi::Value kept) {
    if (closed_) throw closed_error(env); // nobody would answer any more
    const uint32_t id = next_pending_++;
    Pending pending{Napi::Promise::Deferred::New(env), {}};
    if (!kept.IsEmpty()) pending.kept = Napi::Persistent(kept.As<Napi::Object>());
    *promise = pending.promise.Promise();
    pending_.emplace(id, std::move(pending));
    begin_work(env);
    return id;
}

void EngineBinding::settle(Napi::Env env, uint32_t id, const std::function<void(Napi::Promise::Deferred&)>& how) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    Pending pending = std::move(found->second);
    pending_.erase(found);
    how(pending.promise);
    end_work(env);
}

template <class Result>
Engine::Done<Result> EngineBinding::answer(uint32_t id, Napi::Value (*to_value)(Napi::Env, Result)) {
    return [this, id, to_value](Result result, const std::optional<Failure>& failure) {
        auto shared = std::make_shared<Result>(std::move(result));
        outbox_.post([this, id, to_value, shared, failure](Napi::Env env) {
            settle(env, id, [&](Napi::Promise::Deferred& promise) {
                try {
                    if (failure) promise.Reject(error_value(env, *failure).Value());
                    else promise.Resolve(to_value(env, std::move(*shared)));
                } catch (const Napi::Error& error) { // more bytes than a Buffer may have, say
                    promise.Reject(error.Value());
                }
            });
        });
    };
}

// As StepListener in lib/native.ts says. On the engine's thread: the other one only copies it.
EngineBinding::Told EngineBinding::as_told(StepEvents events) {
    Told told{{}, {static_cast<int32_t>(events.pieces.size())}, std::move(events.ends), events.cells_wanted};
    for (const PieceEvent& piece : events.pieces) {
        const auto& [reasoning, text, tokens] = piece.said;
        told.text += text;
        told.numbers.insert(told.numbers.end(),
                            {static_cast<int32_t>(piece.request), reasoning, static_cast<int32_t>(utf16_length(text)),
                             static_cast<int32_t>(tokens.size())});
        told.numbers.insert(told.numbers.end(), tokens.begin(), tokens.end());
    }
    return told;
}

// The same array step after step: an ArrayBuffer costs more to make and to collect than all that is in it.
Napi::Int32Array EngineBinding::array_of(Napi::Env env, const std::vector<int32_t>& numbers) {
    Napi::Int32Array array = numbers_.Value();
    if (array.ElementLength() < numbers.size()) {
        array = Napi::Int32Array::New(env, 2 * numbers.size());
        numbers_ = Napi::Persistent(array);
    }
    std::copy(numbers.begin(), numbers.end(), array.Data());
    return array;
}

void EngineBinding::report_step(Napi::Env env, const Told& told) {
    Napi::Array ends = Napi::Array::New(env, told.ends.size());
    for (uint32_t i = 0; i < told.ends.size(); i++) ends.Set(i, end_value(env, told.ends[i]));

    Napi::Function listener = on_step_.Value();
    end_work(env, told.ends.size());
    listener.Call({Napi::String::New(env, told.text), array_of(env, told.numbers), ends,
                   Napi::Number::New(env, told.cells_wanted)});
}

// --- methods -------------------------------------------------------------------------------------------------------

Napi::Value EngineBinding::open(const Napi::CallbackInfo& info) {
    if (opened_ || closed_ || closing_) throw error_value(env_, {"MODEL_CLOSED", "An engine is opened once."});
    EngineOptions options = engine_options_of(info[0]);
    opened_ = true;
    Napi::Promise promise;
    expect(info.Env(), &promise); // number 0: the first thing anybody asks for
    engine_.open(std::move(options));
    return promise;
}

std::shared_ptr<const Model> EngineBinding::loaded_model() const {
    std::shared_ptr<const Model> model = engine_.model();
    if (!model) throw closed_error(env_);
    return model;
}

Napi::Value EngineBinding::tokenize(const Napi::CallbackInfo& info) {
    const std::string text = string_of(info[0], "text");
    const bool special = flag_of(info[1], "addSpecial"), parse = flag_of(info[2], "parseSpecial");
    return with_errors(info.Env(),
                       [&] { return tokens_value(info.Env(), loaded_model()->tokenize(text, special, parse)); });
}

Napi::Value EngineBinding::detokenize(const Napi::CallbackInfo& info) {
    const Tokens tokens = tokens_of(info[0], "tokens");
    const bool special = flag_of(info[1], "special");
    const std::shared_ptr<const Model> model = loaded_model();
    for (const llama_token token : tokens) {
        if (!model->valid(token))
            throw Napi::RangeError::New(info.Env(), "tokens holds one that the vocabulary does not.");
    }
    Utf8Stream utf8; // tokens may begin or end within a character
    const std::string bytes = model->detokenize(tokens.data(), tokens.size(), special);
    std::string text = utf8.push(bytes);
    text += utf8.finish();
    return Napi::String::New(info.Env(), text);
}

Napi::Value EngineBinding::prepare_chat(const Napi::CallbackInfo& info) {
    const std::string messages = string_of(info[0], "messages");
    const Tokens known = tokens_of(info[1], "known");
    const ReplyOptions options = reply_options_of(info[2]);
    const std::shared_ptr<const Model> model = loaded_model();
    return PromiseWorker<Prompt>::start(
        info.Env(), [=] { return model->prepare_chat(messages, known, options); }, prompt_value);
}

Napi::Value EngineBinding::prepare_text(const Napi::CallbackInfo& info) {
    const std::string text = string_of(info[0], "text"), schema = string_of(info[1], "jsonSchema");
    const std::shared_ptr<const Model> model = loaded_model();
    return PromiseWorker<Prompt>::start(
        info.Env(), [=] { return model->prepare_text(text, schema); }, prompt_value);
}

void EngineBinding::submit(const Napi::CallbackInfo& info) {
    SubmitOptions options = submit_options_of(info[0]);
    with_errors(info.Env(), [&] { engine_.submit(std::move(options)); });
    begin_work(info.Env());
}

void EngineBinding::cancel(const Napi::CallbackInfo& info) {
    engine_.cancel(static_cast<uint32_t>(number_of(info[0], "request")));
}

static Napi::Value count_value(Napi::Env env, int value) { return Napi::Number::New(env, value); }

Napi::Value EngineBinding::adopt_prefix(const Napi::CallbackInfo& info) {
    const llama_seq_id sequence = whole_of(info[0], "sequence");
    Tokens tokens = tokens_of(info[1], "tokens");
    Napi::Promise promise;
    const uint32_t id = expect(info.Env(), &promise);
    engine_.adopt_prefix(sequence, std::move(tokens), answer<int>(id, count_value));
    return promise;
}

Napi::Value EngineBinding::export_kv(const Napi::CallbackInfo& info) {
    const llama_seq_id sequence = whole_of(info[0], "sequence");
    const int from = whole_of(info[1], "from"), to = whole_of(info[2], "to");
    Napi::Promise promise;
    const uint32_t id = expect(info.Env(), &promise);
    engine_.export_kv(sequence, from, to, answer<Bytes>(id, lend));
    return promise;
}

static Napi::Value bool_value(Napi::Env env, bool value) { return Napi::Boolean::New(env, value); }

Napi::Value EngineBinding::import_kv(const Napi::CallbackInfo& info) {
    const llama_seq_id sequence = whole_of(info[0], "sequence");
    const int from = whole_of(info[1], "from");
    Tokens tokens = tokens_of(info[2], "tokens");
    const Napi::Uint8Array bytes = bytes_of(info[3], "bytes");
    const bool trusted = flag_of(info[4], "trusted");
    auto held = hold(bytes); // throws where it can't be: nobody is promised an answer before
    Napi::Promise promise;
    const uint32_t id = expect(info.Env(), &promise, bytes);
    // Held until the answer, in either way: `kept` is too little where the environment ends.
    const auto done = [answered = answer<bool>(id, bool_value), held = std::move(held)](
                          bool imported, const std::optional<Failure>& failure) { answered(imported, failure); };
    engine_.import_kv(sequence, from, std::move(tokens), bytes.Data(), bytes.ByteLength(), trusted, done);
    return promise;
}

Napi::Value EngineBinding::clear_sequence(const Napi::CallbackInfo& info) {
    const llama_seq_id sequence = whole_of(info[0], "sequence");
    Napi::Promise promise;
    const uint32_t id = expect(info.Env(), &promise);
    engine_.clear_sequence(sequence, answer<bool>(id, bool_value));
    return promise;
}

Napi::Value EngineBinding::stats(const Napi::CallbackInfo& info) {
    Napi::Object object = Napi::Object::New(info.Env());
    for (const auto& [name, value] : engine_.stats()) object.Set(name, value);
    return object;
}

Napi::Value EngineBinding::close(const Napi::CallbackInfo& info) {
    if (closing_) return closing_promise_.Value();
    closing_ = Napi::Promise::Deferred::New(info.Env());
    const Napi::Promise promise = closing_->Promise();
    closing_promise_ = Napi::Reference<Napi::Promise>::New(promise, 1);
    begin_work(info.Env());
    engine_.close();
    if (!opened_ || thread_ended_) on_closed(info.Env()); // nobody is there to say the last word
    return promise;
}

// The engine thread has said its last word. After this no promise is pending (R4): it has answered everything before.
void EngineBinding::on_closed(Napi::Env env) {
    thread_ended_ = true;
    if (!closing_) return; // it could not load; `opened` has told
    engine_.join();
    closed_ = true;
    outbox_.close();
    exit_guard_.reset();
    napi_remove_env_cleanup_hook(env, environment_ends, this);
    while (!pending_.empty()) { // asked for in the last moment, and answered into an outbox that had closed
        settle(env, pending_.begin()->first,
               [env](Napi::Promise::Deferred& promise) { promise.Reject(closed_error(env).Value()); });
    }
    closing_->Resolve(env.Undefined());
    end_work(env);
}

} // namespace llama_sessions
