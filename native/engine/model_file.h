// Looks at a model file before llama.cpp does.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace llama_sessions {

struct ModelLayout {
    uint64_t header_bytes; // metadata and tensor descriptions
    uint64_t file_bytes;
    std::vector<std::pair<uint64_t, uint64_t>> tensors; // offset in the file, bytes
    bool two_ropes = false;                             // it turns positions by other factors in long contexts
};

// Throws MODEL_NOT_FOUND or MODEL_INVALID. Reads the header only. Any thread.
ModelLayout inspect_model(const std::string& path);

} // namespace llama_sessions
