// Checks the KV of a sequence, as llama_state_seq_get_data writes it, before llama.cpp reads it back (R12).
#pragma once

#include <cstddef>
#include <cstdint>

namespace llama_sessions {

// True when the blob is exactly what the positions from `from` to before `to` of a sequence leave, each of them once: llama.cpp
// itself believes counts and positions, and a wrong one costs it all memory, a leak between sessions, or the process.
// For attention caches without 2-D positions; `streams`: of the KV layout, 1 when unified; `values`: the model keeps V beside K.
bool kv_blob_is_sound(const uint8_t* bytes, size_t size, uint32_t from, uint32_t to, uint32_t streams, bool values);

} // namespace llama_sessions
