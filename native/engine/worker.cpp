#include "worker.h"

#include <algorithm>

namespace llama_sessions {

void StepMembers::begin(std::set<uint32_t> requests) {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_ = std::move(requests);
}

void StepMembers::end() {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.clear();
    abort_ = false; // a cancel that came too late for this step must not end the next one
}

void StepMembers::cancel(uint32_t request) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (requests_.erase(request) > 0 && requests_.empty()) abort_ = true;
}

Worker::Worker(std::shared_ptr<const Model> model, const ContextOptions& options, std::atomic<bool>& abort,
               StepMembers& members)
    : model_(std::move(model)), context_(*model_, options, abort), members_(members), pace_(context_.batch_tokens()),
      thread_count_(options.threads), sequences_(static_cast<size_t>(context_.sequences())) {}

Worker::Sequence& Worker::idle_sequence(llama_seq_id sequence) {
    if (sequence < 0 || sequence >= context_.sequences()) {
        throw Error("INTERNAL", "No sequence " + std::to_string(sequence) + ".");
    }
    if (at(sequence).turn) throw Error("INTERNAL", "Sequence " + std::to_string(sequence) + " is busy.");
    return at(sequence);
}

void Worker::begin(SubmitOptions options, std::unique_ptr<Sampler> sampler) {
    const llama_seq_id sequence = options.sequence;
    Sequence& idle = idle_sequence(sequence);
    idle.turn = std::make_unique<Turn>(std::move(options), std::move(sampler), next_order_++);
    Turn& turn = *idle.turn;
    asked_for_cells_ = false;

    if (turn.prompt_tokens == 0) {
        return finish(sequence, "error", Failure{"INTERNAL", "An empty prompt: there is nothing to go on from."});
    }
    if (turn.prompt_tokens >= static_cast<size_t>(context_.session_tokens())) {
        return finish(sequence, "error",
                      Failure{"CONTEXT_FULL", "The conversation has " + std::to_string(turn.prompt_tokens) +
                                                  " tokens, and one session may have " +
                                                  std::to_string(context_.session_tokens()) +
                                                  ". Load the model with more contextTokens, or start a new session."});
    }
    turn.sampler->see_prompt(turn.target);
    reuse_kv(sequence, turn);
}

// Keeps the longest common prefix of what the KV holds and what the prompt says.
void Worker::reuse_kv(llama_seq_id sequence, Turn& turn) {
    Tokens& tokens = at(sequence).tokens;
    const auto end = std::mismatch(tokens.begin(), tokens.end(), turn.target.begin(), turn.target.end()).first;
    auto keep = static_cast<size_t>(end - tokens.begin());
    // Logits are not kept: at least one token has to be decoded.
    keep = std::min(keep, turn.target.size() - 1);
    if (keep < tokens.size() && !context_.trim(sequence, static_cast<int>(keep))) keep = 0;
    tokens.resize(keep);
    turn.cached_tokens = keep;
    count([&](Counters& c) { c.cached_tokens += static_cast<double>(keep); });
}

void Worker::cancel(uint32_t request) {
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        if (at(i).turn && at(i).turn->request == request) return finish(i, "cancelled");
    }
}

Bytes Worker::export_kv(llama_seq_id sequence) {
    idle_sequence(sequence);
    return context_.export_kv(sequence);
}

bool Worker::import_kv(llama_seq_id sequence, Tokens tokens, const uint8_t* bytes, size_t size, bool trusted) {
    clear(sequence);
    const auto count = static_cast<int>(tokens.size());
    if (count == 0 || count > free_cells() || count > context_.session_tokens()) return false;
    for (const llama_token token : tokens) {
        if (!model_->valid(token)) return false;
    }
    if (!context_.import_kv(sequence, count, bytes, size, trusted)) return false;
    at(sequence).tokens = std::move(tokens);
    return true;
}

void Worker::clear(llama_seq_id sequence) {
    idle_sequence(sequence).tokens.clear();
    context_.clear(sequence);
    asked_for_cells_ = false;
}

void Worker::fail_all(const Failure& failure) {
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        if (at(i).turn) finish(i, "error", failure);
    }
}

bool Worker::busy() const {
    return std::any_of(sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.turn != nullptr; });
}

// Streams have their own cells each: there the length of a session is the only limit.
int Worker::free_cells() const {
    if (!context_.unified()) return context_.session_tokens();
    int used = 0;
    for (const Sequence& sequence : sequences_) used += sequence.cells();
    return context_.cells() - used;
}

StepEvents Worker::take_events() {
    StepEvents taken;
    std::swap(taken, events_);
    return taken;
}

std::map<std::string, double> Worker::stats() const {
    std::lock_guard<std::mutex> lock(counters_mutex_);
    return {{"steps", counters_.steps},
            {"generateSteps", counters_.generate_steps},
            {"generatedSequences", counters_.generated_sequences},
            {"generatedTokens", counters_.generated_tokens},
            {"prefilledTokens", counters_.prefilled_tokens},
            {"cachedTokens", counters_.cached_tokens},
            {"stowedTurns", counters_.stowed_turns},
            {"abortedSteps", counters_.aborted_steps},
            {"threads", counters_.threads},
            {"decodeMs", counters_.decode_ms},
            {"sampleMs", counters_.sample_ms}};
}

} // namespace llama_sessions
