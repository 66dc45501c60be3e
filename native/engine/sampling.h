// Chooses the next token of one turn.
#pragma once

#include "llama.h"
#include "model.h"
#include "reasoning_gate.h"
#include "reply_format.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llama_sessions {

struct SamplingOptions {
    float temperature = 0.8f; // 0: greedy
    int top_k = 40;           // 0: off
    float top_p = 0.95f;      // 1: off
    float min_p = 0.05f;      // 0: off
    float repeat_penalty = 1; // 1: off; the penalties look at the last 64 tokens
    float frequency_penalty = 0;
    float presence_penalty = 0;
    uint32_t seed = 0;
    std::string grammar; // GBNF with a rule `root`; empty: none
    GrammarStart grammar_start;
    std::vector<llama_logit_bias> bias;
    bool ignore_end = false; // never choose a token that ends generation
};

// Of one turn; one thread at a time.
class Sampler {
  public:
    // Throws GRAMMAR_INVALID.
    Sampler(const Model& model, SamplingOptions options);

    // The prompt's last tokens count for the penalties.
    void see_prompt(const Tokens& prompt);
    // Chooses and remembers a token. `logits` is a row of the whole vocabulary, and is changed. Throws GRAMMAR_INVALID
    // when the grammar leaves no token to choose.
    llama_token sample(float* logits);

  private:
    using LlamaSampler = std::unique_ptr<llama_sampler, decltype(&llama_sampler_free)>;

    void begin_grammar();
    void accept(llama_token token);
    void accept_or_wait(llama_token token);
    void adjust(float* logits) const;
    llama_token choose(const float* logits);
    void collect_best(const float* logits, size_t size, size_t k);
    llama_token choose_by_grammar(const float* logits);
    llama_token draw();
    bool grammar_allows(llama_token token) const;
    void remember(llama_token token);
    bool penalises() const;

    const Model& model_;
    const SamplingOptions options_;
    LlamaSampler chain_{nullptr, llama_sampler_free};
    LlamaSampler grammar_{nullptr, llama_sampler_free};
    std::optional<ReasoningGate> gate_; // while the grammar waits
    std::vector<llama_token> recent_;   // a ring of the last tokens, for the penalties
    size_t recent_next_ = 0;
    std::vector<llama_token_data> candidates_;
};

} // namespace llama_sessions
