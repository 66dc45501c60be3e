#include "worker.h"

#include "backend.h"
#include "prefix.h"

#include <algorithm>

namespace llama_sessions {

void StepMembers::begin(std::set<uint32_t> requests, bool gives_way) {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_ = std::move(requests);
    for (const uint32_t request : cancelled_) requests_.erase(request);
    gives_way_ = gives_way && may_abort_;
    if ((gives_way_ && arrived_) || (requests_.empty() && may_abort_)) abort_ = true;
}

void StepMembers::end() {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.clear();
    gives_way_ = false;
    abort_ = false; // a cancel that came too late for this step must not end the next one
}

void StepMembers::never_abort() {
    std::lock_guard<std::mutex> lock(mutex_);
    may_abort_ = false;
}

void StepMembers::cancel(uint32_t request) {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_.insert(request);
    if (requests_.erase(request) > 0 && requests_.empty() && may_abort_) abort_ = true;
}

void StepMembers::arrive() {
    std::lock_guard<std::mutex> lock(mutex_);
    arrived_ = true;
    if (gives_way_) abort_ = true;
}

void StepMembers::attend() {
    std::lock_guard<std::mutex> lock(mutex_);
    arrived_ = false;
    cancelled_.clear();
}

Worker::Worker(std::shared_ptr<const Model> model, const ContextOptions& options, std::atomic<bool>& abort,
               StepMembers& members)
    : model_(std::move(model)), options_(options), threads_(options.threads, ThreadPool::Kind::eager),
      context_(*model_, options, threads_, abort), members_(members), pace_(context_.batch_tokens()),
      may_draft_(context_.draft_rows() > 0), thread_count_(options.threads),
      sequences_(static_cast<size_t>(context_.sequences())), ledger_(sequences_.size()),
      may_read_aside_(context_.pages() && !has_accelerator()) {
    if (!context_.stateless()) members_.never_abort();
}

void Worker::begin(SubmitOptions options, std::unique_ptr<Sampler> sampler) {
    const llama_seq_id sequence = options.sequence;
    Sequence& idle = idle_sequence(sequence);
    idle.turn = std::make_unique<Turn>(std::move(options), std::move(sampler), next_order_++);
    Turn& turn = *idle.turn;
    asked_at_.reset();
    // What is of no use makes room at once, also where the turn ends here: what its end counts has to be a beginning of its prompt.
    // Logits are not kept: at least one token has to be decoded.
    const size_t most = std::max<size_t>(turn.prompt_tokens, 1) - 1;
    trim(sequence, common_length(idle.tokens, turn.target, most));

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
    turn.cached_tokens = idle.tokens.size();
    count([&](Counters& c) { c.cached_tokens += static_cast<double>(turn.cached_tokens); });
}

bool Worker::cancel(uint32_t request) {
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        if (!at(i).turn || at(i).turn->request != request) continue;
        finish(i, "cancelled");
        return true;
    }
    return false;
}

void Worker::end_before_beginning(const SubmitOptions& options, size_t kv_tokens) {
    events_.ends.push_back({options.request, "cancelled", std::nullopt, static_cast<int>(options.tokens.size()), 0, 0,
                            static_cast<int>(kv_tokens), 0, 0, 0, 0});
}

void Worker::fail_all(const Failure& failure) {
    for (Sequence& sequence : sequences_) { // nobody is to look for somebody else to follow
        if (sequence.turn) sequence.turn->admitted = false;
    }
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        if (at(i).turn) finish(i, "error", failure);
    }
}

bool Worker::busy() const {
    return std::any_of(sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.turn != nullptr; });
}

bool Worker::generating() const {
    return std::any_of(sequences_.begin(), sequences_.end(),
                       [](const Sequence& s) { return s.takes_part() && s.generating(); });
}

std::vector<llama_seq_id> Worker::by_age() const {
    std::vector<llama_seq_id> turns;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        if (at(i).turn) turns.push_back(i);
    }
    std::sort(turns.begin(), turns.end(),
              [this](llama_seq_id a, llama_seq_id b) { return at(a).turn->order < at(b).turn->order; });
    return turns;
}

size_t Worker::Sequence::stowed_tokens() const {
    size_t sum = 0;
    for (const Stowed& part : stowed) sum += part.tokens.size();
    return sum;
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
            {"draftedTokens", counters_.drafted_tokens},
            {"acceptedTokens", counters_.accepted_tokens},
            {"prefilledTokens", counters_.prefilled_tokens},
            {"asideTokens", counters_.aside_tokens},
            {"cachedTokens", counters_.cached_tokens},
            {"sharedTokens", counters_.shared_tokens},
            {"usedCells", static_cast<double>(ledger_.used())},
            {"stowedTurns", counters_.stowed_turns},
            {"abortedSteps", counters_.aborted_steps},
            {"threads", counters_.threads},
            {"decodeMs", counters_.decode_ms},
            {"sampleMs", counters_.sample_ms},
            {"copyMs", counters_.copy_ms},
            {"copiedBytes", counters_.copied_bytes}};
}

} // namespace llama_sessions
