#include "model_file.h"

#include "backend.h"
#include "error.h"
#include "gguf.h"
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

ModelLayout inspect_model(const std::string& path) {
    ensure_backends();
    ModelLayout layout{};
    layout.file_bytes = check_is_gguf(path);

    ErrorLog log;
    std::unique_ptr<gguf_context, decltype(&gguf_free)> gguf(nullptr, gguf_free);
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

    layout.header_bytes = gguf_get_data_offset(gguf.get());
    uint64_t needed = layout.header_bytes;
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf.get()); i++) {
        const uint64_t offset = layout.header_bytes + gguf_get_tensor_offset(gguf.get(), i);
        const uint64_t bytes = gguf_get_tensor_size(gguf.get(), i);
        layout.tensors.emplace_back(offset, bytes);
        if (std::strcmp(gguf_get_tensor_name(gguf.get(), i), "rope_factors_long.weight") == 0) layout.two_ropes = true;
        needed = std::max(needed, offset + bytes);
    }
    // llama.cpp maps the file: a page beyond its end would be a SIGBUS in the middle of a turn.
    if (needed > layout.file_bytes) {
        throw Error("MODEL_INVALID", "'" + path + "' is truncated: it has " + std::to_string(layout.file_bytes) +
                                         " of " + std::to_string(needed) + " bytes. Download it again.");
    }
    return layout;
}

} // namespace llama_sessions
