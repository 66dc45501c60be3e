// Everything the addon exports.
#include "backend.h"
#include "engine_binding.h"
#include "exit_guard.h"
#include "index_binding.h"
#include "model_file.h"
#include "promise_worker.h"
#include "system.h"

namespace llama_sessions {

static Napi::Value inspect_model_file(const Napi::CallbackInfo& info) {
    const std::string path = string_of(info[0], "path");
    return PromiseWorker<ModelLayout>::start(
        info.Env(), [path] { return inspect_model(path); }, layout_value);
}

static Napi::Value load_backends(const Napi::CallbackInfo& info) {
    std::vector<std::string> modules;
    const auto paths = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < paths.Length(); i++) modules.push_back(string_of(paths.Get(i), "path"));
    return PromiseWorker<std::vector<std::string>>::start(
        info.Env(),
        [modules] {
            ensure_backends();
            std::vector<std::string> refusals;
            for (const std::string& module : modules) refusals.push_back(load_module(module));
            return refusals;
        },
        texts_value);
}

static Napi::Value describe_system(const Napi::CallbackInfo& info) {
    return PromiseWorker<SystemInfo>::start(
        info.Env(),
        [] {
            ensure_backends();
            return system_info();
        },
        system_value);
}

static void end_engines(const Napi::CallbackInfo& info) { end_engines_of(static_cast<napi_env>(info.Env())); }

static Napi::Object init(Napi::Env env, Napi::Object exports) {
    stay_loaded();
    exports.Set("Engine", EngineBinding::define(env));
    exports.Set("Index", IndexBinding::define(env));
    exports.Set("inspectModel", Napi::Function::New(env, inspect_model_file, "inspectModel"));
    exports.Set("version", package_version());
    exports.Set("loadBackends", Napi::Function::New(env, load_backends, "loadBackends"));
    exports.Set("system", Napi::Function::New(env, describe_system, "system"));
    exports.Set("endEngines", Napi::Function::New(env, end_engines, "endEngines"));
    return exports;
}

} // namespace llama_sessions

using llama_sessions::init;
NODE_API_MODULE(llama_sessions, init)
