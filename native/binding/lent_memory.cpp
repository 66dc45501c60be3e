#include "lent_memory.h"

#include <mutex>
#include <unordered_map>

namespace llama_sessions {

using Memory = std::shared_ptr<const uint8_t[]>;

// By where it begins; of all environments, whose threads lend and free at once.
static std::mutex mutex;
static std::unordered_map<const void*, Memory>& lent() {
    static auto* map = new std::unordered_map<const void*, Memory>; // for ever: threads may outlive static objects
    return *map;
}

static void take_back(Napi::Env, uint8_t* data) {
    Memory memory; // is freed after the lock
    std::lock_guard<std::mutex> lock(mutex);
    const auto found = lent().find(data);
    memory = std::move(found->second);
    lent().erase(found);
}

Napi::Value lend(Napi::Env env, Bytes bytes) {
    uint8_t* data = bytes.data.get();
    {
        std::lock_guard<std::mutex> lock(mutex);
        lent().emplace(data, std::move(bytes.data));
    }
    try {
        return Napi::Buffer<uint8_t>::NewOrCopy(env, data, bytes.size, take_back);
    } catch (const Napi::Error&) {
        take_back(env, data);
        throw;
    }
}

Memory hold(const Napi::Uint8Array& array) {
    const void* data = array.ArrayBuffer().Data();
    std::lock_guard<std::mutex> lock(mutex);
    const auto found = lent().find(data);
    return found == lent().end() ? nullptr : found->second;
}

} // namespace llama_sessions
