// JavaScript values in and out. lib/ has checked what users pass; this checks what lib/ passes (R8).
#pragma once

#include "engine.h"
#include "model_file.h"
#include "napi_setup.h"
#include "system.h"

namespace llama_sessions {

std::string string_of(const Napi::Value& value, const char* what);
double number_of(const Napi::Value& value, const char* what);
int whole_of(const Napi::Value& value, const char* what);
bool flag_of(const Napi::Value& value, const char* what);
Tokens tokens_of(const Napi::Value& value, const char* what);
Napi::Uint8Array bytes_of(const Napi::Value& value, const char* what);

EngineOptions engine_options_of(const Napi::Value& value);
SubmitOptions submit_options_of(const Napi::Value& value);
ReplyOptions reply_options_of(const Napi::Value& value);

// An Error with an ErrorCode in `code`; lib/errors.ts makes a LlamaError of it.
Napi::Error error_value(Napi::Env env, const Failure& failure);
// What the work throws of ours, as that.
template <class Work> auto with_errors(Napi::Env env, Work work) {
    try {
        return work();
    } catch (const Error& error) {
        throw error_value(env, {error.code(), error.what()});
    }
}
Napi::Value texts_value(Napi::Env env, const std::vector<std::string>& texts);
Napi::Value tokens_value(Napi::Env env, const Tokens& tokens);
Napi::Value prompt_value(Napi::Env env, const Prompt& prompt);
Napi::Value info_value(Napi::Env env, const EngineInfo& info);
Napi::Value layout_value(Napi::Env env, const ModelLayout& layout);
Napi::Value system_value(Napi::Env env, const SystemInfo& info);
Napi::Value end_value(Napi::Env env, const EndEvent& end);

} // namespace llama_sessions
