// The JavaScript class `Index` (lib/native.ts: NativeIndex). Reads on the JavaScript thread; whatever waits for a disk or for other
// processes is done on a pool thread, which keeps the index until it is done.
#pragma once

#include "index.h"
#include "napi_setup.h"

namespace llama_sessions {

class IndexBinding : public Napi::ObjectWrap<IndexBinding> {
  public:
    static Napi::Function define(Napi::Env env);

    explicit IndexBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

  private:
    Napi::Value open(const Napi::CallbackInfo& info);
    void begin_reading(const Napi::CallbackInfo& info);
    void end_reading(const Napi::CallbackInfo& info);
    Napi::Value get(const Napi::CallbackInfo& info);
    Napi::Value range(const Napi::CallbackInfo& info);
    Napi::Value commit(const Napi::CallbackInfo& info);
    Napi::Value close(const Napi::CallbackInfo& info);

    // As pool threads see it, too.
    struct Shared {
        Index index;
        bool readable = false; // of the JavaScript thread: not while it is opened or closed
    };
    // What the index throws becomes JavaScript's.
    template <class Work> auto read(Napi::Env env, Work work);

    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

} // namespace llama_sessions
