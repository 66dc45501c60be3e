// The one checked gateway to a llama_context (R7). Engine thread only (R1).
#pragma once

#include "attention.h"
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
    bool speculation = true;     // makes room for more rows of logits, where KV can be taken back
    std::string kv_type = "f16"; // f16, q8_0, q4_0
    double memory = 0;           // bytes that this process may have: ggml knows of the machine's only; 0: all of that
    bool steps_aside = true;     // who reads beside the others leaves them the processors (tests: no)
};

// Uninitialised memory: a std::vector would write hundreds of megabytes of zeros first.
struct Bytes {
    std::unique_ptr<uint8_t[]> data;
    size_t size = 0;
};

class Context {
  public:
    enum class Decoded { ok, no_room, aborted, failed };

    // `threads` compute, and outlive it. `abort`: set from any thread to end the step in flight (on the CPU, within one
    // operation of the graph). `observer`: asked about each operation, where computing is to pause between them.
    // Throws OUT_OF_MEMORY, NOT_SUPPORTED.
    Context(const Model& model, const ContextOptions& options, ThreadPool& threads, std::atomic<bool>& abort,
            ggml_backend_sched_eval_callback observer = nullptr, void* observer_data = nullptr);

    int sequences() const { return sequences_; }
    int batch_tokens() const { return static_cast<int>(llama_n_batch(get())); }
    int cells() const { return static_cast<int>(llama_n_ctx(get())); }
    int session_tokens() const { return session_tokens_; }
    // Most rows of logits of a step with drafts; 0: none, as what such a step adds to the KV could not be taken back.
    int draft_rows() const { return draft_rows_; }
    bool unified() const { return unified_; }
    bool portable_kv() const { return portable_kv_; }
    // Whether memory holds what was said and nothing else. Recurrent models keep a state instead, which a step that does not
    // come to its end leaves half changed, also for sequences that are not in it.
    bool stateless() const { return stateless_; }
    // Whether KV can be taken and put back in ranges of positions; else only whole sequences can.
    bool pages() const { return pages_; }
    double kv_bytes_per_token() const { return kv_bytes_per_token_; }
    const std::string& kv_format() const { return kv_format_; }

    // Compute threads of the next steps: how many, at most those it was made with, and which.
    void use_threads(int count) { llama_set_n_threads(get(), count, count); }
    void use_threads(ThreadPool& threads) { threads.attach(get()); }

    // The batch is built, decoded, and its rows of logits are read by index.
    void begin_batch();
    void add(llama_token token, int position, llama_seq_id sequence, bool logits);
    int batch_size() const { return batch_.n_tokens; }
    Decoded decode(std::string& reason);
    float* logits(int index);

    // Throws INTERNAL where there is no such sequence.
    void check(llama_seq_id sequence) const;
    // Tokens that the KV of a sequence holds from position 0 on; 0 when there is a gap.
    int length(llama_seq_id sequence) const;
    void clear(llama_seq_id sequence);
    // Drops what lies at position `keep` and beyond. False: this kind of memory can't, and the sequence is empty now.
    bool trim(llama_seq_id sequence, int keep);
    bool shares_kv() const { return shares_kv_; }
    // Whether another sequence can have the first `count` tokens of this one.
    bool can_share(llama_seq_id source, int count) const;
    // `sequence` holds these from now on and nothing else. The cells are the same ones: it costs no memory and no copy.
    void share(llama_seq_id source, llama_seq_id sequence, int count);
    // The positions from `from` to before `to`; without `pages` all that there are.
    Bytes export_kv(llama_seq_id sequence, int from, int to);
    // Behind the `from` tokens that the sequence holds (0 without `pages`). False: refused, and it holds what it held.
    bool import_kv(llama_seq_id sequence, int from, int tokens, const uint8_t* bytes, size_t size, bool trusted);

  private:
    using LlamaContext = std::unique_ptr<llama_context, decltype(&llama_free)>;

    llama_context* get() const { return context_.get(); }
    llama_memory_t memory() const { return llama_get_memory(get()); }
    void find_out_what_kv_allows();
    bool has_window(llama_seq_id sequence, int position) const;
    Bytes copy_out(llama_seq_id sequence) const;
    static bool on_operation(ggml_tensor* operation, bool before, void* self);

    const Model& model_;
    Attention attention_;
    const ggml_backend_sched_eval_callback observer_;
    void* const observer_data_;
    LlamaContext context_{nullptr, llama_free};
    llama_batch batch_{};
    std::unique_ptr<llama_batch, void (*)(llama_batch*)> batch_owner_;
    bool unified_;
    bool one_cache_ = false; // an attention cache and nothing beside it
    bool pages_ = false;
    bool shares_kv_ = false;
    bool portable_kv_;
    bool stateless_ = true;
    int sequences_ = 0;
    llama_seq_id scratch_ = -1; // with `pages`: empty but for the moment in which a range goes through it
    int session_tokens_ = 0;
    int draft_rows_ = 0;
    double kv_bytes_per_token_ = 0;
    std::string kv_format_;
};

} // namespace llama_sessions
