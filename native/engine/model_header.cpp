#include "model_header.h"

#include <unordered_set>

namespace llama_sessions {

static constexpr uint32_t most_layers = 512;   // LLAMA_MAX_LAYERS
static constexpr uint32_t most_experts = 1024; // LLAMA_MAX_EXPERTS

namespace {
// Values by key; a key that begins with a dot is one of the model's own architecture. What is missing or has another type is
// no concern here: llama.cpp takes its default, or throws.
class Header {
  public:
    explicit Header(const gguf_context* gguf) : gguf_(gguf), architecture_(text("general.architecture")) {}

    uint32_t number(const char* name, uint32_t otherwise) const {
        const int64_t key = find(name, GGUF_TYPE_UINT32);
        return key < 0 ? otherwise : gguf_get_val_u32(gguf_, key);
    }
    std::string text(const char* name) const {
        const int64_t key = find(name, GGUF_TYPE_STRING);
        return key < 0 ? "" : gguf_get_val_str(gguf_, key);
    }
    // The first string of a list that was there before; null: none was.
    const char* repeated(const char* name) const {
        const int64_t key = find(name, GGUF_TYPE_ARRAY);
        if (key < 0 || gguf_get_arr_type(gguf_, key) != GGUF_TYPE_STRING) return nullptr;
        const size_t count = gguf_get_arr_n(gguf_, key);
        std::unordered_set<std::string> seen;
        seen.reserve(count);
        for (size_t i = 0; i < count; i++) {
            std::string text = gguf_get_arr_str(gguf_, key, i);
            if (text.empty()) text = "[EMPTY_" + std::to_string(i) + "]"; // llama.cpp's name for it
            if (!seen.insert(std::move(text)).second) return gguf_get_arr_str(gguf_, key, i);
        }
        return nullptr;
    }

  private:
    int64_t find(const char* name, gguf_type type) const {
        const int64_t key = gguf_find_key(gguf_, (*name == '.' ? architecture_ + name : std::string(name)).c_str());
        return key >= 0 && gguf_get_kv_type(gguf_, key) == type ? key : -1;
    }

    const gguf_context* gguf_;
    std::string architecture_;
};
} // namespace

static std::string layer_flaw(const Header& header) {
    const uint32_t layers = header.number(".block_count", 1);
    if (layers < 1 || layers > most_layers) return "it claims " + std::to_string(layers) + " layers";
    for (const char* part : {".nextn_predict_layers", ".posnet.block_count", ".convnext.block_count"}) {
        if (header.number(part, 0) > layers) return std::string("its `") + (part + 1) + "` is more than its layers";
    }
    return "";
}

static std::string expert_flaw(const Header& header) {
    const uint32_t experts = header.number(".expert_count", 0), groups = header.number(".expert_group_count", 0);
    // One number per layer, which is a list, is left to llama.cpp.
    const uint32_t used = header.number(".expert_used_count", experts > 0 ? 1 : 0);
    const uint32_t used_groups = header.number(".expert_group_used_count", 0);
    if (experts > most_experts) return "it claims " + std::to_string(experts) + " experts";
    if (used > experts || (experts > 0 && used == 0)) return "it uses " + std::to_string(used) + " of its experts";
    const bool odd = groups > 1 && (experts % groups != 0 || used_groups == 0 || used_groups >= groups);
    if (experts == 0 ? groups > 0 : (groups >= experts || odd)) return "its experts do not fit their groups";
    return "";
}

std::string fatal_flaw(const gguf_context* gguf) {
    const Header header(gguf);
    for (const std::string& flaw : {layer_flaw(header), expert_flaw(header)}) {
        if (!flaw.empty()) return flaw;
    }
    const std::string scaling = header.text(".rope.scaling.type");
    bool known = scaling.empty();
    for (const char* one : {"none", "linear", "yarn", "longrope"}) known |= scaling == one;
    if (!known) return "it scales its positions in an unknown way, '" + scaling + "'";
    if (const char* token = header.repeated("tokenizer.ggml.tokens")) {
        return std::string("its vocabulary has a token twice, '") + token + "'";
    }
    return "";
}

} // namespace llama_sessions
