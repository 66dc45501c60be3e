// Everything the addon exports.
#include "engine_binding.h"
#include "exit_guard.h"
#include "model_file.h"
#include "promise_worker.h"

namespace llama_sessions {

static Napi::Value inspect_model_file(const Napi::CallbackInfo& info) {
    const std::string path = string_of(info[0], "path");
    return PromiseWorker<ModelLayout>::start(
        info.Env(), [path] { return inspect_model(path); }, layout_value);
}

static void end_engines(const Napi::CallbackInfo& info) { end_engines_of(static_cast<napi_env>(info.Env())); }

static Napi::Object init(Napi::Env env, Napi::Object exports) {
    exports.Set("Engine", EngineBinding::define(env));
    exports.Set("inspectModel", Napi::Function::New(env, inspect_model_file, "inspectModel"));
    exports.Set("endEngines", Napi::Function::New(env, end_engines, "endEngines"));
    return exports;
}

} // namespace llama_sessions

using llama_sessions::init;
NODE_API_MODULE(llama_sessions, init)
