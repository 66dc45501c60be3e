#include "sampling.h"

#include "error.h"
#include "grammar.h"
#include "logits.h"

#include <algorithm>
#include <cmath>

namespace llama_sessions {

static constexpr float least_temperature = 1e-6f; // logits divided by less overflow; 0 is greedy, and so is this
static constexpr size_t penalty_window = 64;      // tokens, llama.cpp's default

Sampler::Sampler(const Model& model, SamplingOptions options) : model_(model), options_(std::move(options)) {
    if (!options_.grammar.empty()) begin_grammar();
    if (options_.temperature >= least_temperature) {
        chain_.reset(llama_sampler_chain_init(llama_sampler_chain_default_params()));
        const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain_.get(), sampler); };
        if (options_.top_k > 0) add(llama_sampler_init_top_k(options_.top_k));
        if (options_.top_p < 1) add(llama_sampler_init_top_p(options_.top_p, 1));
        if (options_.min_p > 0) add(llama_sampler_init_min_p(options_.min_p, 1));
        add(llama_sampler_init_temp(options_.temperature));
        // The largest number asks llama.cpp to draw a seed itself.
        add(llama_sampler_init_dist(std::min(options_.seed, LLAMA_DEFAULT_SEED - 1)));
    }
}

static llama_sampler* make_grammar(const llama_vocab* vocab, const std::string& rules, const GrammarStart& start) {
    if (!start.waits) return llama_sampler_init_grammar(vocab, rules.c_str(), "root");
    std::vector<const char*> patterns;
    for (const std::string& pattern : start.patterns) patterns.push_back(pattern.c_str());
    return llama_sampler_init_grammar_lazy_patterns(vocab, rules.c_str(), "root", patterns.data(), patterns.size(),
                                                    start.tokens.data(), start.tokens.size());
}

void Sampler::begin_grammar() {
    const GrammarStart& start = options_.grammar_start;
    check_grammar(options_.grammar, start.made);
    grammar_.reset(make_grammar(model_.vocab(), options_.grammar, start));
    if (!grammar_) {
        throw Error(
            "GRAMMAR_INVALID",
            start.made ? "llama.cpp can't follow the JSON schema, or that of a tool's parameters: it repeats something "
                         "too often, or a $ref in it leads to itself."
                       : "The grammar is no valid GBNF with a rule `root`.");
    }
    for (const llama_token token : start.read) accept(token);
    if (start.waits && !start.thinking.empty()) gate_.emplace(start.thinking, start.thought, start.prompt_end);
}

// A grammar that waits lets everything pass, one that holds does not let a call end before it has.
void Sampler::accept_or_wait(llama_token token) {
    if (!gate_) return accept(token);
    for (const llama_token seen : gate_->push(token, model_.piece(token, true))) accept(seen);
    if (!model_.end_tokens().empty() && !grammar_allows(model_.end_tokens().front())) gate_.reset();
}

void Sampler::accept(llama_token token) {
    try {
        llama_sampler_accept(grammar_.get(), token);
    } catch (const std::exception& error) {
        throw Error("GRAMMAR_INVALID", std::string("The grammar came to a dead end: ") + error.what());
    }
}

bool Sampler::penalises() const {
    return options_.repeat_penalty != 1 || options_.frequency_penalty != 0 || options_.presence_penalty != 0;
}

void Sampler::see_prompt(const Tokens& prompt) {
    const size_t from = prompt.size() > penalty_window ? prompt.size() - penalty_window : 0;
    for (size_t i = from; i < prompt.size(); i++) remember(prompt[i]);
}

void Sampler::remember(llama_token token) {
    if (!penalises()) return;
    if (recent_.size() < penalty_window) {
        recent_.push_back(token);
    } else {
        recent_[recent_next_] = token;
        recent_next_ = (recent_next_ + 1) % penalty_window;
    }
}

llama_token Sampler::sample(float* logits) {
    adjust(logits);
    llama_token token = choose(logits);
    // Most tokens fit the grammar anyway: asking it about one is far cheaper than about the whole vocabulary.
    if (grammar_ && !grammar_allows(token)) token = choose_by_grammar(logits);
    remember(token);
    if (grammar_ && !model_.ends_generation(token)) accept_or_wait(token);
    return token;
}

// Penalties as in the CTRL paper (repeat, arXiv:1909.05858) and OpenAI's API (frequency, presence).
void Sampler::adjust(float* logits) const {
    if (options_.ignore_end) {
        for (const llama_token token : model_.end_tokens()) logits[token] = -INFINITY;
    }
    for (const llama_logit_bias& bias : options_.bias) logits[bias.token] += bias.bias;
    for (auto it = recent_.begin(); it != recent_.end(); ++it) {
        if (std::find(recent_.begin(), it, *it) != it) continue; // each token once
        const auto count = static_cast<float>(std::count(it, recent_.end(), *it));
        float& logit = logits[*it];
        logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
        logit -= count * options_.frequency_penalty + options_.presence_penalty;
    }
}

llama_token Sampler::choose(const float* logits) {
    const auto size = static_cast<size_t>(model_.vocabulary_size());
    if (!chain_) return static_cast<llama_token>(index_of_largest(logits, size));

    candidates_.clear();
    const auto k = static_cast<size_t>(options_.top_k);
    if (k > 0 && k < size / 4) {
        collect_best(logits, size, k);
    } else {
        for (size_t i = 0; i < size; i++) candidates_.push_back({static_cast<llama_token>(i), logits[i], 0});
    }
    return draw();
}

// With top-k only the k best can be drawn: they are kept in a heap instead of copying the vocabulary.
void Sampler::collect_best(const float* logits, size_t size, size_t k) {
    const auto better = [](const llama_token_data& a, const llama_token_data& b) { return a.logit > b.logit; };
    for (size_t from = 0; from < size; from += logits_block) {
        const size_t to = std::min(from + logits_block, size);
        const auto counts = [&](float logit) { return candidates_.size() < k || logit > candidates_.front().logit; };
        if (!counts(largest_of(logits + from, to - from))) continue;
        for (size_t i = from; i < to; i++) {
            if (!counts(logits[i])) continue;
            if (candidates_.size() == k) {
                std::pop_heap(candidates_.begin(), candidates_.end(), better);
                candidates_.pop_back();
            }
            candidates_.push_back({static_cast<llama_token>(i), logits[i], 0});
            std::push_heap(candidates_.begin(), candidates_.end(), better);
        }
    }
    // The heap's order depends on what passed through it; the order of candidates must not.
    std::sort(candidates_.begin(), candidates_.end(),
              [](const auto& a, const auto& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; });
}

llama_token Sampler::choose_by_grammar(const float* logits) {
    candidates_.clear();
    for (int i = 0; i < model_.vocabulary_size(); i++) candidates_.push_back({i, logits[i], 0});
    llama_token_data_array all = {candidates_.data(), candidates_.size(), -1, false};
    llama_sampler_apply(grammar_.get(), &all);
    candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(),
                                     [](const llama_token_data& candidate) { return candidate.logit == -INFINITY; }),
                      candidates_.end());
    if (candidates_.empty()) {
        // The end is ignored as long as there is anything else: what is finished has ended.
        const Tokens& ends = model_.end_tokens();
        if (options_.ignore_end && !ends.empty() && grammar_allows(ends.front())) return ends.front();
        throw Error("GRAMMAR_INVALID", "The grammar allows no token of this model here.");
    }
    if (chain_) return draw();
    return std::max_element(candidates_.begin(), candidates_.end(),
                            [](const auto& a, const auto& b) { return a.logit < b.logit; })
        ->id;
}

llama_token Sampler::draw() {
    llama_token_data_array array = {candidates_.data(), candidates_.size(), -1, false};
    llama_sampler_apply(chain_.get(), &array);
    if (array.selected < 0) throw Error("INTERNAL", "The sampler chose no token.");
    return array.data[array.selected].id;
}

bool Sampler::grammar_allows(llama_token token) const {
    llama_token_data one = {token, 1, 0};
    llama_token_data_array array = {&one, 1, -1, false};
    llama_sampler_apply(grammar_.get(), &array);
    return one.logit != -INFINITY;
}

} // namespace llama_sessions
