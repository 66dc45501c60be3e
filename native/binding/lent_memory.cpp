#include "lent_memory.h"

#include "values.h"

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

// Of a Buffer; Node 22 has hardly any limit. What is too large is given back twice by Node and node-addon-api.
static uint64_t most_bytes(Napi::Env env) {
    return Napi::VersionManagement::GetNodeVersion(env)->major < 22 ? uint64_t{1} << 32 : uint64_t{1} << 53;
}

Napi::Value lend(Napi::Env env, Bytes bytes) {
    if (bytes.size > most_bytes(env)) {
        throw error_value(env, {"OUT_OF_MEMORY", "The KV of this session has " + std::to_string(bytes.size >> 20) +
                                                     " MiB, more than Node can hold in one Buffer. Use Node 22, a "
                                                     "kvType that takes less, or fewer contextTokens."});
    }
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
