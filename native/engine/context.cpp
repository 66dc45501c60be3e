#include "context.h"

#include "backend.h"
#include "draft_sizes.h"
#include "error.h"
#include "kv_blob.h"

#include <algorithm>
#include <thread>

namespace llama_sessions {

static constexpr uint32_t most_sequences = 256; // llama.cpp's own limit
static constexpr int default_most_cells = 131072;
static constexpr double default_most_bytes = 1u << 30;

static ggml_type kv_type_of(const std::string& name) {
    if (name == "q8_0") return GGML_TYPE_Q8_0;
    if (name == "q4_0") return GGML_TYPE_Q4_0;
    return GGML_TYPE_F16;
}

// With latent attention (MLA) V is computed from K.
static bool keeps_values(const Model& model) { return model.architecture_int("attention.key_length_mla", 0) == 0; }

static int head_width(const Model& model, const char* key) {
    return model.architecture_int(key, llama_model_n_embd(model.get()) / std::max(1, llama_model_n_head(model.get())));
}

// Bytes of KV per token, summed over the layers: L · H_kv · (d_k + d_v) · bytes per value. Layers that keep less (sliding
// windows, recurrent ones) count in full.
static double kv_bytes(const Model& model, ggml_type type) {
    const llama_model* m = model.get();
    const int k = head_width(model, "attention.key_length");
    const int v = keeps_values(model) ? head_width(model, "attention.value_length") : 0;
    const double per_value = static_cast<double>(ggml_type_size(type)) / static_cast<double>(ggml_blck_size(type));
    return static_cast<double>(llama_model_n_layer(m)) * std::max(1, llama_model_n_head_kv(m)) * (k + v) * per_value;
}

// Quantised values come in blocks, none of which belongs to two heads.
static void check_kv_type(const Model& model, ggml_type type, const std::string& name) {
    const auto block = static_cast<int>(ggml_blck_size(type));
    for (const char* key : {"attention.key_length", "attention.value_length"}) {
        const int width = head_width(model, key);
        if (width % block == 0) continue;
        throw Error("NOT_SUPPORTED", "kvType '" + name + "' takes blocks of " + std::to_string(block) +
                                         " values, and this model's heads have " + std::to_string(width) +
                                         ". Load it with kvType 'f16'.");
    }
}

struct DeviceMemory {
    double free, total; // bytes
};

static DeviceMemory memory_of(enum ggml_backend_dev_type type) {
    const auto lock = lock_backends();
    DeviceMemory all{0, 0};
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (ggml_backend_dev_type(device) != type) continue;
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        all.free += static_cast<double>(free);
        all.total += static_cast<double>(total);
    }
    return all;
}

// Where the KV pool lies: with the layers of the model.
static DeviceMemory memory_for_kv(const Model& model, const ContextOptions& options) {
    const DeviceMemory gpus = memory_of(GGML_BACKEND_DEVICE_TYPE_GPU);
    if (gpus.total > 0 && model.may_use_gpu()) return gpus;
    DeviceMemory machine = memory_of(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (options.memory <= 0) return machine;
    return {std::min(machine.free, options.memory), std::min(machine.total, options.memory)};
}

// Cells when nobody says: a quarter of the memory that is free, a GiB at most.
static uint32_t default_cells(const Model& model, double free_bytes, double bytes_per_token) {
    const double fit = std::min(free_bytes / 4, default_most_bytes) / std::max(1.0, bytes_per_token);
    const double least = std::min(4096, llama_model_n_ctx_train(model.get()));
    const double cells = std::max(least, std::min<double>(fit, default_most_cells));
    return static_cast<uint32_t>(cells) / 256 * 256;
}

// Positions that are more than a number are saved with more than a number.
static bool has_plain_positions(const llama_model* model) {
    const llama_rope_type rope = llama_model_rope_type(model);
    return rope == LLAMA_ROPE_TYPE_NONE || rope == LLAMA_ROPE_TYPE_NORM || rope == LLAMA_ROPE_TYPE_NEOX;
}

Context::Context(const Model& model, const ContextOptions& options, ThreadPool& threads, std::atomic<bool>& abort,
                 ggml_backend_sched_eval_callback observer, void* observer_data)
    : model_(model), attention_(options.threads, abort), observer_(observer), observer_data_(observer_data),
      batch_owner_(nullptr, nullptr), unified_(options.unified) {
    const ggml_type type = kv_type_of(options.kv_type);
    kv_bytes_per_token_ = kv_bytes(model, type);
    check_kv_type(model, type, options.kv_type);

    llama_context_params params = llama_context_default_params();
    const DeviceMemory memory_there = memory_for_kv(model, options);
    params.n_ctx =
        options.context_tokens ? options.context_tokens : default_cells(model, memory_there.free, kv_bytes_per_token_);
    params.n_batch = params.n_ubatch = std::max(options.batch_tokens, options.sequences);
    one_cache_ = unified_ && !llama_model_is_recurrent(model.get()) && !llama_model_is_hybrid(model.get()) &&
                 llama_model_n_swa(model.get()) == 0 && has_plain_positions(model.get());
    // One more for ranges to go through; it needs a number that llama.cpp knows.
    params.n_seq_max = one_cache_ ? std::min(options.sequences, most_sequences - 1) + 1 : options.sequences;
    sequences_ = static_cast<int>(one_cache_ ? params.n_seq_max - 1 : params.n_seq_max);
    params.n_outputs_max = params.n_seq_max; // one row of logits per sequence and step
    if (options.speculation && llama_model_n_swa(model.get()) == 0 && !llama_model_is_recurrent(model.get()) &&
        !llama_model_is_hybrid(model.get())) {
        draft_rows_ = static_cast<int>(std::min<uint32_t>(params.n_batch, DraftSizes::most_rows));
        params.n_outputs_max = std::max<uint32_t>(params.n_seq_max, static_cast<uint32_t>(draft_rows_));
    }
    // ggml lays out the graph's results one after the other, to 32 bytes. Behind the rows' numbers, of 4 bytes each, all lie across
    // cache lines if those do not fill whole ones, and a long prompt takes a twelfth longer (AVX-512 and AMX).
    params.n_outputs_max = GGML_PAD(params.n_outputs_max, 16);
    params.n_threads = params.n_threads_batch = options.threads;
    params.type_k = params.type_v = type;
    params.kv_unified = options.unified;
    // R11: with transposed V (flash attention off) saving a sequence is a hundred times slower.
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.no_perf = true;
    params.abort_callback = [](void* flag) { return static_cast<std::atomic<bool>*>(flag)->load(); };
    params.abort_callback_data = &abort;
    if (observer_ || attention_.works_here()) params.cb_eval = on_operation;
    params.cb_eval_user_data = this;

    ErrorLog log;
    // llama.cpp fills what it gets with zeros before it finds that there is not enough: the kernel would end the process.
    const bool fits = kv_bytes_per_token_ * params.n_ctx < memory_there.total;
    if (fits) context_.reset(llama_init_from_model(model.get(), params));
    if (!context_) {
        throw Error("OUT_OF_MEMORY",
                    "No context of " + std::to_string(params.n_ctx) + " tokens could be made (about " +
                        std::to_string(static_cast<int>(kv_bytes_per_token_ * params.n_ctx / 1048576)) +
                        " MiB of KV). Ask for fewer contextTokens. " + log.text());
    }
    if (!memory()) throw Error("NOT_SUPPORTED", "This model keeps no KV: it can't chat.");
    threads.attach(get());
    draft_rows_ = std::min(draft_rows_, batch_tokens()); // fewer than asked for in a tiny pool

    batch_ = llama_batch_init(batch_tokens(), 0, 1);
    batch_owner_ = {&batch_, [](llama_batch* batch) { llama_batch_free(*batch); }};

    const int trained = llama_model_n_ctx_train(model.get());
    session_tokens_ = std::min<int>(static_cast<int>(llama_n_ctx_seq(get())), trained > 0 ? trained : INT32_MAX);
    find_out_what_kv_allows();
    if (pages_) attention_.expect_one_graph(); // a batch is not cut into smaller ones there
    // A unified pool's blobs fit into one of any size; those of streams only into the same number of streams.
    kv_format_ = std::string("llama.cpp ") + llama_version() + ", " + options.kv_type + ", flash attention, " +
                 (unified_ ? "unified" : std::to_string(sequences()) + " streams");
    if (model.rope_border() < INT_MAX) {
        const bool beyond = llama_n_ctx_seq(get()) > static_cast<uint32_t>(model.rope_border());
        kv_format_ += beyond ? ", long positions" : ", short positions";
    }
}

// By the kind of memory, which llama.cpp names to nobody: what an empty sequence leaves tells how many caches it has.
void Context::find_out_what_kv_allows() {
    const llama_model* model = model_.get();
    stateless_ = !llama_model_is_recurrent(model) && !llama_model_is_hybrid(model);
    const size_t empty = llama_state_seq_get_size(get(), 0);
    constexpr size_t head = 8, cache = 8; // magic and sequence; streams and cells
    one_cache_ = one_cache_ && empty == head + cache;
    const size_t more_streams = unified_ ? 0 : static_cast<size_t>(sequences()) - 1;
    const size_t one = cache + 4 * more_streams;
    if (empty != head + one) draft_rows_ = 0;
    pages_ = one_cache_;
    if (pages_) scratch_ = sequences_;
    const bool windowed =
        llama_model_n_swa(model) > 0 && empty == head + 2 * one && model_.architecture() != "deepseek4";
    shares_kv_ = unified_ && (one_cache_ || (stateless_ && windowed));
    portable_kv_ = stateless_ && has_plain_positions(model) && (empty == head + one || windowed);
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

// Asked before each operation, and after those that were said to matter.
bool Context::on_operation(ggml_tensor* operation, bool before, void* self) {
    auto& its = *static_cast<Context*>(self);
    if (before) its.attention_.see(operation);
    return its.observer_ && its.observer_(operation, before, its.observer_data_);
}

Context::Decoded Context::decode(std::string& reason) {
    ErrorLog log;
    attention_.begin();
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

// A sliding window that has moved on has dropped cells; whether those are left that the token at `position` looks back on:
// itself and the window - 1 before it.
bool Context::has_window(llama_seq_id sequence, int position) const {
    const int window = llama_model_n_swa(model_.get());
    if (window == 0) return true;
    const int oldest = llama_memory_seq_pos_min(memory(), sequence); // of the window's cells; -1: there are none
    return oldest >= 0 && oldest <= std::max(0, position - window + 1);
}

bool Context::trim(llama_seq_id sequence, int keep) {
    check(sequence);
    const bool trimmed = llama_memory_seq_rm(memory(), sequence, keep, -1);
    if (trimmed && (keep == 0 || has_window(sequence, keep))) return true;
    clear(sequence);
    return false;
}

bool Context::can_share(llama_seq_id source, int count) const {
    check(source);
    return shares_kv_ && has_window(source, count);
}

void Context::share(llama_seq_id source, llama_seq_id sequence, int count) {
    check(sequence);
    if (source == sequence || !can_share(source, count)) throw Error("INTERNAL", "KV that can't be shared.");
    llama_memory_seq_rm(memory(), sequence, -1, -1);
    llama_memory_seq_cp(memory(), source, sequence, 0, count);
}

Bytes Context::export_kv(llama_seq_id sequence, int from, int to) {
    const int held = length(sequence);
    if (from < 0 || from >= to || to > held) {
        throw Error("INTERNAL", "Sequence " + std::to_string(sequence) + " holds " + std::to_string(held) +
                                    " tokens, not " + std::to_string(from) + " to " + std::to_string(to) + ".");
    }
    if (from == 0 && to == held) return copy_out(sequence);
    if (!pages_) throw Error("INTERNAL", "The KV of this model can't be taken in parts.");
    llama_memory_seq_cp(memory(), sequence, scratch_, from, to);
    try {
        Bytes blob = copy_out(scratch_);
        llama_memory_seq_rm(memory(), scratch_, from, to);
        return blob;
    } catch (...) {
        llama_memory_seq_rm(memory(), scratch_, -1, -1);
        throw;
    }
}

Bytes Context::copy_out(llama_seq_id sequence) const {
    Bytes blob;
    blob.size = llama_state_seq_get_size(get(), sequence);
    blob.data.reset(new uint8_t[blob.size]);
    if (llama_state_seq_get_data(get(), blob.data.get(), blob.size, sequence) != blob.size) {
        throw Error("INTERNAL", "llama.cpp could not copy the KV of a sequence.");
    }
    return blob;
}

bool Context::import_kv(llama_seq_id sequence, int from, int tokens, const uint8_t* bytes, size_t size, bool trusted) {
    check(sequence);
    if (from < 0 || tokens < 1 || from != length(sequence) || (from > 0 && !pages_)) return false;
    const int to = from + tokens;
    const auto streams = static_cast<uint32_t>(unified_ ? 1 : sequences_);
    if (!trusted && !(portable_kv_ && kv_blob_is_sound(bytes, size, static_cast<uint32_t>(from),
                                                       static_cast<uint32_t>(to), streams, keeps_values(model_)))) {
        return false;
    }
    ErrorLog log; // a refusal is an answer, not something to print
    // llama.cpp drops what a sequence holds before it reads: only an empty one can take KV without a detour.
    const llama_seq_id into = from == 0 ? sequence : scratch_;
    const bool taken = llama_state_seq_set_data(get(), bytes, size, into) == size &&
                       llama_memory_seq_pos_max(memory(), into) == to - 1 &&
                       (!pages_ || llama_memory_seq_pos_min(memory(), into) == from);
    if (!taken) {
        llama_memory_seq_rm(memory(), into, -1, -1);
    } else if (into != sequence) {
        llama_memory_seq_cp(memory(), into, sequence, from, to);
        llama_memory_seq_rm(memory(), into, from, to);
    }
    return taken;
}

} // namespace llama_sessions
