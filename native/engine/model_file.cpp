#include "model_file.h"

#include "backend.h"
#include "error.h"
#include "gguf.h"
#include "llama.h"
#include "model_header.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

namespace llama_sessions {

namespace fs = std::filesystem;

static uint64_t check_is_gguf(const std::string& path) {
    std::error_code error;
    const fs::path file = fs::u8path(path);
    const fs::file_status status = fs::status(file, error);
    if (status.type() == fs::file_type::not_found) {
        throw Error("MODEL_NOT_FOUND", "No model file at '" + path + "'. Check the path.");
    }
    if (status.type() == fs::file_type::directory) {
        throw Error("MODEL_INVALID", "'" + path + "' is a directory. Give the path of a .gguf file in it.");
    }
    if (status.type() == fs::file_type::none) { // a folder on the way lets nobody through
        throw Error("MODEL_NOT_FOUND",
                    "'" + path + "' can't be looked at: " + error.message() + ". Check the permissions.");
    }
    if (status.type() != fs::file_type::regular) throw Error("MODEL_INVALID", "'" + path + "' is not a file.");
    const uint64_t bytes = fs::file_size(file, error);

    errno = 0;
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
        const std::string why = errno ? std::strerror(errno) : "it can't be opened";
        throw Error("MODEL_NOT_FOUND", "'" + path + "' can't be read: " + why + ". Check its permissions.");
    }
    char magic[4] = {};
    stream.read(magic, sizeof magic);
    if (stream.gcount() != sizeof magic || std::memcmp(magic, "GGUF", sizeof magic) != 0) {
        throw Error("MODEL_INVALID", "'" + path + "' is " + (bytes == 0 ? "empty" : "not a GGUF file") +
                                         ". Download it again, or convert the model to GGUF.");
    }
    return bytes;
}

using Header = std::unique_ptr<gguf_context, decltype(&gguf_free)>;

static Header read_header(const std::string& path) {
    ErrorLog log;
    Header gguf(nullptr, gguf_free);
    try {
        gguf.reset(gguf_init_from_file(path.c_str(), {/*no_alloc=*/true, /*ctx=*/nullptr}));
    } catch (const std::exception&) {
        // A header that claims absurd sizes ends here; it is the file's fault, not the machine's.
    }
    if (!gguf) {
        throw Error("MODEL_INVALID", "'" + path + "' has a damaged GGUF header. Download it again. " + log.text());
    }
    const std::string flaw = fatal_flaw(gguf.get());
    if (!flaw.empty()) {
        throw Error("MODEL_INVALID", "'" + path + "' has a damaged header: " + flaw + ". Download it again.");
    }
    return gguf;
}

static ModelPart place_tensors(const std::string& path, uint64_t file_bytes, const gguf_context* gguf) {
    ModelPart part{path, gguf_get_data_offset(gguf), file_bytes, {}};
    uint64_t needed = part.header_bytes;
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf); i++) {
        const uint64_t offset = part.header_bytes + gguf_get_tensor_offset(gguf, i);
        const uint64_t bytes = gguf_get_tensor_size(gguf, i);
        part.tensors.emplace_back(offset, bytes);
        needed = std::max(needed, offset + bytes);
    }
    // llama.cpp maps the file: a page beyond its end would be a SIGBUS in the middle of a turn.
    if (needed > file_bytes) {
        throw Error("MODEL_INVALID", "'" + path + "' is truncated: it has " + std::to_string(file_bytes) + " of " +
                                         std::to_string(needed) + " bytes. Download it again.");
    }
    return part;
}

static int split_number(const gguf_context* gguf, const char* name) {
    const int64_t key = gguf_find_key(gguf, name);
    return key >= 0 && gguf_get_kv_type(gguf, key) == GGUF_TYPE_UINT16 ? gguf_get_val_u16(gguf, key) : 0;
}

// Where llama.cpp looks for the other parts of the model whose first one this is.
static std::vector<std::string> other_parts(const std::string& path, const gguf_context* gguf) {
    const int count = split_number(gguf, "split.count");
    if (count < 2) return {};
    std::string prefix(path.size() + 1, '\0'), part(path.size() + 32, '\0');
    const bool first = split_number(gguf, "split.no") == 0;
    const int32_t length = first ? llama_split_prefix(prefix.data(), prefix.size(), path.c_str(), 0, count) : 0;
    if (length <= 0) {
        throw Error("MODEL_INVALID", "'" + path + "' is one of " + std::to_string(count) +
                                         " parts of a model. Give the path of the first, whose name ends as it was "
                                         "made: -00001-of-00002.gguf, where there are two.");
    }
    std::vector<std::string> paths;
    for (int i = 1; i < count; i++) {
        const int32_t written = llama_split_path(part.data(), part.size(), prefix.c_str(), i, count);
        paths.push_back(part.substr(0, static_cast<size_t>(written)));
    }
    return paths;
}

static Header inspect_part(const std::string& path, ModelLayout& layout) {
    const uint64_t bytes = check_is_gguf(path);
    Header gguf = read_header(path);
    layout.parts.push_back(place_tensors(path, bytes, gguf.get()));
    layout.two_ropes |= gguf_find_tensor(gguf.get(), "rope_factors_long.weight") >= 0;
    return gguf;
}

ModelLayout inspect_model(const std::string& path) {
    ensure_backends();
    ModelLayout layout;
    const std::vector<std::string> others = other_parts(path, inspect_part(path, layout).get());
    for (const std::string& other : others) inspect_part(other, layout);
    return layout;
}

} // namespace llama_sessions
