#include "context.h"

#include "backend.h"
#include "error.h"
#include "kv_blob.h"

#include <algorithm>
#include <thread>

namespace llama_sessions {

static constexpr int default_most_cells = 131072;
static constexpr double default_most_bytes = 1u << 30;

static ggml_type kv_type_of(const std::string& name) {
    if (name == "q8_0") return GGML_TYPE_Q8_0;
    if (name == "q4_0") return GGML_TYPE_Q4_0;
    return GGML_TYPE_F16;
}

// Bytes of KV per token, summed over the layers: L · H_kv · (d_k + d_v) · bytes per value. Layers that keep less (sliding
// windows, recurrent ones) count in full, so this is an upper bound.
static double kv_bytes(const Model& model, ggml_type type) {
    const llama_model* m = model.get();
    const std::string arch = model.metadata("general.architecture");
    const int width = llama_model_n_embd(m) / std::max(1, llama_model_n_head(m));
    const int k = model.metadata_int(arch + ".attention.key_length", width);
    const int v = model.metadata_int(arch + ".attention.value_length", width);
    const double per_value = static_cast<double>(ggml_type_size(type)) / static_cast<double>(ggml_blck_size(type));
    return static_cast<double>(llama_model_n_layer(m)) * std::max(1, llama_model_n_head_kv(m)) * (k + v) * per_value;
}

struct DeviceMemory {
    double free, total; // bytes
};

// Where the KV pool lies.
static DeviceMemory memory_of_device() {
    size_t free = 0, total = 0;
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU);
    if (!device) device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (device) ggml_backend_dev_memory(device, &free, &total);
    return {static_cast<double>(free), static_cast<double>(total)};
}

// Cells when nobody says: a quarter of the memory that is free, a GiB at most.
static uint32_t default_cells(const Model& model, double bytes_per_token) {
    const double fit = std::min(memory_of_device().free / 4, default_most_bytes) / std::max(1.0, bytes_per_token);
    const double least = std::min(4096, llama_model_n_ctx_train(model.get()));
    const double cells = std::max(least, std::min<double>(fit, default_most_cells));
    return static_cast<uint32_t>(cells) / 256 * 256;
}

Context::Context(const Model& model, const ContextOptions& options, std::atomic<bool>& abort)
    : model_(model), threads_(options.threads), batch_owner_(nullptr, nullptr), unified_(options.unified) {
    const ggml_type type = kv_type_of(options.kv_type);
    kv_bytes_per_token_ = kv_bytes(model, type);

    llama_context_params params = llama_context_default_params();
    params.n_ctx = options.context_tokens ? options.context_tokens : default_cells(model, kv_bytes_per_token_);
    params.n_batch = params.n_ubatch = std::max(options.batch_tokens, options.sequences);
    params.n_seq_max = options.sequences;
    params.n_outputs_max = options.sequences; // one row of logits per sequence and step
    params.n_threads = params.n_threads_batch = options.threads;
    params.type_k = params.type_v = type;
    params.kv_unified = options.unified;
    // R11: with transposed V (flash attention off) saving a sequence is a hundred times slower.
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.no_perf = true;
    params.abort_callback = [](void* flag) { return static_cast<std::atomic<bool>*>(flag)->load(); };
    params.abort_callback_data = &abort;

    ErrorLog log;
    // llama.cpp fills what it gets with zeros before it finds that there is not enough: the kernel would end the process.
    const bool fits = kv_bytes_per_token_ * params.n_ctx < memory_of_device().total;
    if (fits) context_.reset(llama_init_from_model(model.get(), params));
    if (!context_) {
        throw Error("OUT_OF_MEMORY",
                    "No context of " + std::to_string(params.n_ctx) + " tokens could be made (about " +
                        std::to_string(static_cast<int>(kv_bytes_per_token_ * params.n_ctx / 1048576)) +
                        " MiB of KV). Ask for fewer contextTokens. " + log.text());
    }
    if (!memory()) throw Error("NOT_SUPPORTED", "This model keeps no KV: it can't chat.");
    threads_.attach(get());

    batch_ = llama_batch_init(batch_tokens(), 0, 1);
    batch_owner_ = {&batch_, [](llama_batch* batch) { llama_batch_free(*batch); }};

    const int trained = llama_model_n_ctx_train(model.get());
    session_tokens_ = std::min<int>(static_cast<int>(llama_n_ctx_seq(get())), trained > 0 ? trained : INT32_MAX);
    const llama_rope_type rope = llama_model_rope_type(model.get());
    portable_kv_ = !llama_model_is_recurrent(model.get()) && !llama_model_is_hybrid(model.get()) &&
                   rope != LLAMA_ROPE_TYPE_MROPE && rope != LLAMA_ROPE_TYPE_IMROPE;
    // A unified pool's blobs fit into one of any size; those of streams only into the same number of streams.
    kv_format_ = std::string("llama.cpp ") + llama_version() + ", " + options.kv_type + ", flash attention, " +
                 (unified_ ? "unified" : std::to_string(sequences()) + " streams");
}

void Context::check(llama_seq_id sequence) const {
    if (sequence < 0 || sequence >= sequences())
        throw Error("INTERNAL", "No sequence " + std::to_string(sequence) + ".");
}

void Context::begin_batch() { batch_.n_tokens = 0; }

// llama.cpp refuses a batch as a whole, and aborts on some that it does not refuse: each member is checked alone.
void Context::add(llama_token token, int position, llama_seq_id sequence, bool logits) {
    check(sequence);
    if (batch_.n_tokens >= batch_tokens()) throw Error("INTERNAL", "The step is full.");
    if (!model_.valid(token)) throw Error("INTERNAL", "No token " + std::to_string(token) + " in the vocabulary.");
    if (position < 0 || position >= session_tokens_) throw Error("INTERNAL", "A position outside the context.");
    const int i = batch_.n_tokens++;
    batch_.token[i] = token;
    batch_.pos[i] = position;
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = sequence;
    batch_.logits[i] = logits;
}

Context::Decoded Context::decode(std::string& reason) {
    ErrorLog log;
    try {
        const int32_t result = llama_decode(get(), batch_);
        if (result == 0) {
            llama_synchronize(get());
            return Decoded::ok;
        }
        if (result == 1) return Decoded::no_room;
        if (result == 2) return Decoded::aborted;
        reason = "llama_decode returned " + std::to_string(result) + ". " + log.text();
    } catch (const std::exception& error) {
        reason = error.what();
    }
    return Decoded::failed;
}

float* Context::logits(int index) {
    float* row = llama_get_logits_ith(get(), index);
    if (!row) throw Error("DECODE_FAILED", "llama.cpp gave no logits.");
    return row;
}

int Context::length(llama_seq_id sequence) const {
    check(sequence);
    return llama_memory_seq_pos_max(memory(), sequence) + 1;
}

void Context::clear(llama_seq_id sequence) {
    check(sequence);
    llama_memory_seq_rm(memory(), sequence, -1, -1);
}

bool Context::trim(llama_seq_id sequence, int keep) {
    check(sequence);
    const int window = llama_model_n_swa(model_.get());
    const bool trimmed = llama_memory_seq_rm(memory(), sequence, keep, -1);
    // A sliding window that has moved on has dropped the cells that an earlier position looks back on.
    const bool whole = window == 0 || llama_memory_seq_pos_min(memory(), sequence) <= std::max(0, keep - window);
    if (trimmed && whole) return true;
    clear(sequence);
    return false;
}

Bytes Context::export_kv(llama_seq_id sequence) const {
    check(sequence);
    Bytes blob;
    blob.size = llama_state_seq_get_size(get(), sequence);
    blob.data.reset(new uint8_t[blob.size]);
    if (llama_state_seq_get_data(get(), blob.data.get(), blob.size, sequence) != blob.size) {
        throw Error("INTERNAL", "llama.cpp could not copy the KV of a sequence.");
    }
    return blob;
}

bool Context::import_kv(llama_seq_id sequence, int tokens, const uint8_t* bytes, size_t size, bool trusted) {
    check(sequence);
    const auto streams = static_cast<uint32_t>(unified_ ? 1 : sequences());
    if (!trusted && !(portable_kv_ && kv_blob_is_sound(bytes, size, static_cast<uint32_t>(tokens), streams)))
        return false;
    ErrorLog log; // a refusal is an answer, not something to print
    const bool taken = llama_state_seq_set_data(get(), bytes, size, sequence) == size && length(sequence) == tokens;
    if (!taken) clear(sequence);
    return taken;
}

} // namespace llama_sessions
