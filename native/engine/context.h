// The one checked gateway to a llama_context (R7). Engine thread only (R1).
#pragma once

#include "llama.h"
#include "model.h"
#include "thread_pool.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace llama_sessions {

struct ContextOptions {
    uint32_t context_tokens = 0; // cells of the KV pool; 0: chosen from the memory that is free
    uint32_t sequences = 32;
    uint32_t batch_tokens = 512;
    int threads = 1;
    bool unified = true;
    std::string kv_type = "f16"; // f16, q8_0, q4_0
};

// Uninitialised memory: a std::vector would write hundreds of megabytes of zeros first.
struct Bytes {
    std::unique_ptr<uint8_t[]> data;
    size_t size = 0;
};

class Context {
  public:
    enum class Decoded { ok, no_room, aborted, failed };

    // `abort`: set from any thread to end the step in flight (on the CPU, within one operation of the graph).
    // Throws OUT_OF_MEMORY, NOT_SUPPORTED.
    Context(const Model& model, const ContextOptions& options, std::atomic<bool>& abort);

    int sequences() const { return static_cast<int>(llama_n_seq_max(get())); }
    int batch_tokens() const { return static_cast<int>(llama_n_batch(get())); }
    int cells() const { return static_cast<int>(llama_n_ctx(get())); }
    int session_tokens() const { return session_tokens_; }
    bool unified() const { return unified_; }
    bool portable_kv() const { return portable_kv_; }
    double kv_bytes_per_token() const { return kv_bytes_per_token_; }
    const std::string& kv_format() const { return kv_format_; }

    // Compute threads of the next steps, at most those it was made with.
    void use_threads(int count) { llama_set_n_threads(get(), count, count); }

    // The batch is built, decoded, and its rows of logits are read by index.
    void begin_batch();
    void add(llama_token token, int position, llama_seq_id sequence, bool logits);
    int batch_size() const { return batch_.n_tokens; }
    Decoded decode(std::string& reason);
    float* logits(int index);

    // Tokens that the KV of a sequence holds from position 0 on; 0 when there is a gap.
    int length(llama_seq_id sequence) const;
    void clear(llama_seq_id sequence);
    // Drops what lies at position `keep` and beyond. False: this kind of memory can't, and the sequence is empty now.
    bool trim(llama_seq_id sequence, int keep);
    Bytes export_kv(llama_seq_id sequence) const;
    // Into an empty sequence. False: refused, and the sequence is still empty.
    bool import_kv(llama_seq_id sequence, int tokens, const uint8_t* bytes, size_t size, bool trusted);

  private:
    using LlamaContext = std::unique_ptr<llama_context, decltype(&llama_free)>;

    llama_context* get() const { return context_.get(); }
    llama_memory_t memory() const { return llama_get_memory(get()); }
    void check(llama_seq_id sequence) const;

    const Model& model_;
    ThreadPool threads_; // outlives the context it is attached to
    LlamaContext context_{nullptr, llama_free};
    llama_batch batch_{};
    std::unique_ptr<llama_batch, void (*)(llama_batch*)> batch_owner_;
    bool unified_;
    bool portable_kv_;
    int session_tokens_ = 0;
    double kv_bytes_per_token_ = 0;
    std::string kv_format_;
};

} // namespace llama_sessions
