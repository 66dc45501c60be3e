// Looks at a model file before llama.cpp does.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace llama_sessions {

struct ModelPart {
    std::string path;
    uint64_t header_bytes; // metadata and tensor descriptions
    uint64_t file_bytes;
    std::vector<std::pair<uint64_t, uint64_t>> tensors; // offset in the file, bytes
};

struct ModelLayout {
    std::vector<ModelPart> parts; // one, unless the model is split
    bool two_ropes = false;       // it turns positions by other factors in long contexts
};

// path: of the first part. Throws MODEL_NOT_FOUND or MODEL_INVALID. Reads the headers only. Any thread.
ModelLayout inspect_model(const std::string& path);

} // namespace llama_sessions
