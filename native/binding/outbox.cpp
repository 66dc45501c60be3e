#include "outbox.h"

namespace llama_sessions {

Outbox::Outbox(Napi::Env env) {
    function_ = Function::New(
        env, "llama-sessions", 0, 1, new SharedPointer(shared_),
        [](Napi::Env, void*, SharedPointer* shared) { delete shared; }, static_cast<void*>(nullptr));
    function_.Unref(env);
}

void Outbox::post(Letter letter) {
    // close() must not release the function between the check and the call.
    std::lock_guard<std::mutex> calling(shared_->calling);
    {
        std::lock_guard<std::mutex> lock(shared_->mutex);
        if (shared_->closed) return;
        shared_->letters.push_back(std::move(letter));
        if (shared_->scheduled) return;
        shared_->scheduled = true; // when the call fails the environment is going: nothing is delivered any more
    }
    function_.NonBlockingCall();
}

// lib/ lets nothing out of its listeners: what comes here is a bug, or a worker that is being terminated, in which nothing of
// JavaScript's works any more, looking at the error included.
static void report(Napi::Env env, const Napi::Error& error) {
    try {
        if (!error.IsEmpty()) napi_fatal_exception(env, error.Value());
    } catch (const Napi::Error&) {
    }
}

void Outbox::deliver(Napi::Env env, Napi::Function, SharedPointer* shared, void*) {
    // Aborted with this call in its queue, as a worker ends: Node has finalised the function first, and `shared` is gone.
    if (static_cast<napi_env>(env) == nullptr) return;
    const SharedPointer keep = *shared; // a letter may close the outbox
    std::vector<Letter> letters;
    {
        std::lock_guard<std::mutex> lock(keep->mutex);
        letters.swap(keep->letters);
        keep->scheduled = false;
    }
    for (const Letter& letter : letters) {
        Napi::HandleScope scope(env);
        try {
            letter(env);
        } catch (const Napi::Error& error) {
            report(env, error);
        }
    }
}

void Outbox::close() {
    {
        std::lock_guard<std::mutex> calling(shared_->calling);
        std::lock_guard<std::mutex> lock(shared_->mutex);
        if (shared_->closed) return;
        shared_->closed = true;
        shared_->letters.clear(); // a delivery that is under way finds none: who closes may be gone by then
    }
    function_.Release();
}

void Outbox::abandon() {
    std::lock_guard<std::mutex> calling(shared_->calling);
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->closed = true;
    shared_->letters.clear();
}

} // namespace llama_sessions
