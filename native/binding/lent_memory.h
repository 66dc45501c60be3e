// Memory of ours that JavaScript has buffers of. When a worker is terminated Node frees it first of all, before any hook that could
// end an engine: who reads it on another thread holds it as well.
#pragma once

#include "engine.h"
#include "napi_setup.h"

#include <memory>

namespace llama_sessions {

// A buffer of these bytes; runtimes that forbid memory of ours in their heap (Electron) get a copy.
Napi::Value lend(Napi::Env env, Bytes bytes);

// Keeps what the array lies in from being freed. Null: that is V8's own memory, which outlives the engines.
std::shared_ptr<const uint8_t[]> hold(const Napi::Uint8Array& array);

} // namespace llama_sessions
