#include "check.h"
#include "recall.h"
#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <random>

using namespace llama_sessions;
using namespace llama_sessions::test;

using Logits = std::vector<float>;

static Logits random_logits(uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 3);
    Logits logits(static_cast<size_t>(recall().vocabulary_size()));
    for (float& logit : logits) logit = normal(random);
    return logits;
}

static llama_token argmax(const Logits& logits) {
    return static_cast<llama_token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

static SamplingOptions greedy_options() {
    SamplingOptions options;
    options.temperature = 0;
    return options;
}

static llama_token sample(Sampler& sampler, Logits logits) { return sampler.sample(logits.data()); }

TEST(sampling_greedy_takes_the_best) {
    for (const float temperature : {0.0f, 1e-40f, 1e-38f, 1e-30f, 1e-7f}) { // logits divided by these overflow
        SamplingOptions options;
        options.temperature = temperature;
        Sampler sampler(recall(), options);
        for (uint32_t seed = 0; seed < 50; seed++)
            CHECK_EQ(sample(sampler, random_logits(seed)), argmax(random_logits(seed)));
    }
}

TEST(sampling_top_k_1_takes_the_best) {
    SamplingOptions options;
    options.temperature = 2;
    options.top_k = 1;
    Sampler sampler(recall(), options);
    for (uint32_t seed = 0; seed < 50; seed++)
        CHECK_EQ(sample(sampler, random_logits(seed)), argmax(random_logits(seed)));
}

TEST(sampling_draws_only_from_the_top_k) {
    // 5 goes through the heap, 900 through the whole vocabulary.
    for (const int k : {5, 900}) {
        SamplingOptions options;
        options.temperature = 100; // all nearly alike
        options.top_k = k;
        options.top_p = 1;
        options.min_p = 0;
        const Logits logits = random_logits(1);
        Logits sorted = logits;
        std::sort(sorted.begin(), sorted.end(), std::greater<float>());
        std::vector<bool> seen(logits.size());
        options.seed = 7;
        Sampler sampler(recall(), options);
        for (int i = 0; i < 400; i++) {
            const llama_token token = sample(sampler, logits);
            CHECK(logits[static_cast<size_t>(token)] >= sorted[static_cast<size_t>(k) - 1]);
            seen[static_cast<size_t>(token)] = true;
        }
        CHECK(std::count(seen.begin(), seen.end(), true) >= std::min(k, 200));
    }
}

TEST(sampling_is_reproduced_by_its_seed) {
    const auto draw = [](uint32_t seed, int top_k) {
        SamplingOptions options;
        options.temperature = 1.5;
        options.top_k = top_k;
        options.seed = seed;
        Sampler sampler(recall(), options);
        Tokens tokens;
        for (uint32_t i = 0; i < 60; i++) tokens.push_back(sample(sampler, random_logits(i)));
        return tokens;
    };
    for (const int top_k : {40, 0}) {
        CHECK(draw(1, top_k) == draw(1, top_k));
        CHECK(draw(1, top_k) != draw(2, top_k));
        CHECK(draw(UINT32_MAX, top_k) == draw(UINT32_MAX, top_k)); // llama.cpp's sign for any seed
    }
}

// Frequencies over many draws against the softmax itself.
TEST(sampling_follows_the_distribution) {
    SamplingOptions options;
    options.temperature = 0.5;
    options.top_k = 0;
    options.top_p = 1;
    options.min_p = 0;
    Logits logits(static_cast<size_t>(recall().vocabulary_size()), -INFINITY);
    const float chosen[] = {1.0f, 0.5f, 0.0f};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        logits[static_cast<size_t>(100 + i)] = chosen[i];
        sum += std::exp(chosen[i] / 0.5);
    }
    Sampler sampler(recall(), options);
    const int draws = 6000;
    std::vector<int> times(logits.size());
    for (int i = 0; i < draws; i++) times[static_cast<size_t>(sample(sampler, logits))]++;
    for (int i = 0; i < 3; i++) {
        CHECK(std::abs(times[static_cast<size_t>(100 + i)] - draws * std::exp(chosen[i] / 0.5) / sum) < 0.03 * draws);
    }
}

TEST(sampling_bias_bans_and_forces) {
    for (const float temperature : {0.0f, 1.0f}) {
        SamplingOptions options;
        options.temperature = temperature;
        const Logits logits = random_logits(3);
        options.bias = {{argmax(logits), -INFINITY}};
        Sampler banned(recall(), options);
        for (int i = 0; i < 50; i++) CHECK(sample(banned, logits) != argmax(logits));
        options.bias = {{42, 1000}};
        Sampler forced(recall(), options);
        for (int i = 0; i < 50; i++) CHECK_EQ(sample(forced, logits), 42);
    }
}

TEST(sampling_ignores_the_end_when_told) {
    SamplingOptions options = greedy_options();
    Logits logits = random_logits(4);
    const llama_token end = recall().end_tokens().front();
    logits[static_cast<size_t>(end)] = 100;
    Sampler plain(recall(), options);
    CHECK_EQ(sample(plain, logits), end);
    options.ignore_end = true;
    Sampler ignoring(recall(), options);
    CHECK(!recall().ends_generation(sample(ignoring, logits)));
}

TEST(sampling_penalties_follow_their_formulas) {
    SamplingOptions options = greedy_options();
    options.repeat_penalty = 1.3f;
    options.frequency_penalty = 0.4f;
    options.presence_penalty = 0.7f;
    Sampler sampler(recall(), options);

    std::mt19937 random(9);
    Tokens history;
    for (int i = 0; i < 100; i++) history.push_back(static_cast<llama_token>(random() % 30));
    sampler.see_prompt(history);
    for (uint32_t step = 0; step < 80; step++) {
        Logits logits = random_logits(step), expected = logits;
        for (int token = 0; token < recall().vocabulary_size(); token++) {
            const auto count = std::count(history.end() - 64, history.end(), token); // the window
            if (count == 0) continue;
            float& logit = expected[static_cast<size_t>(token)];
            logit = logit > 0 ? logit / 1.3f : logit * 1.3f;
            logit -= static_cast<float>(count) * 0.4f + 0.7f;
        }
        const llama_token token = sampler.sample(logits.data());
        for (size_t i = 0; i < logits.size(); i++) CHECK(std::abs(logits[i] - expected[i]) < 1e-4f);
        CHECK_EQ(token, argmax(expected));
        history.push_back(token);
    }
}

TEST(sampling_without_penalties_changes_nothing) {
    Sampler sampler(recall(), greedy_options());
    sampler.see_prompt({1, 2, 3});
    Logits logits = random_logits(5);
    sampler.sample(logits.data());
    CHECK(logits == random_logits(5));
}

// Random logits until the end of the text or `most` tokens.
static std::string write(Sampler& sampler, uint32_t seed, int most = 100) {
    std::string text;
    for (int i = 0; i < most; i++) {
        const llama_token token = sample(sampler, random_logits(seed * 1000 + static_cast<uint32_t>(i)));
        if (recall().ends_generation(token)) return text;
        text += recall().piece(token);
    }
    return text + "...";
}

TEST(sampling_grammar_forces_the_text) {
    bool yes = false, no = false;
    for (uint32_t seed = 0; seed < 40; seed++) {
        SamplingOptions options;
        options.temperature = seed % 2 ? 1 : 0;
        options.seed = seed;
        options.grammar = R"(root ::= "yes" | "no")";
        Sampler sampler(recall(), options);
        const std::string text = write(sampler, seed);
        CHECK(text == "yes" || text == "no");
        yes = yes || text == "yes";
        no = no || text == "no";
    }
    CHECK(yes && no);
}

TEST(sampling_grammar_of_unicode_holds) {
    for (uint32_t seed = 0; seed < 10; seed++) {
        SamplingOptions options = greedy_options();
        options.grammar = "root ::= [\xC3\xA4-\xC3\xBC]{3} \"\xE2\x82\xAC\"";
        Sampler sampler(recall(), options);
        const std::string text = write(sampler, seed);
        CHECK_EQ(text.size(), 9u);
        CHECK_EQ(text.substr(6), "\xE2\x82\xAC");
    }
}

TEST(sampling_grammar_that_is_none_is_refused) {
    for (const std::string grammar :
         {R"(foo ::= "a")", "root ::= missing", R"(root ::= root "a")", R"(root ::= "a)", "root ::= [a",
          R"(root ::= ("a")", R"(root ::= "a"{99999999999})", R"(root ::= "a"{99999999999999999999999})",
          R"(root ::= "a"{)", "no grammar at all", R"(root ::= "\x")", "::=", "root ::= <no such token>",
          "root ::= \"\xF0\""}) {
        SamplingOptions options;
        options.grammar = grammar;
        if (error_code([&] { Sampler(recall(), options); }) != "GRAMMAR_INVALID")
            throw std::runtime_error("accepted: " + grammar);
    }
}

TEST(sampling_grammar_of_nothing_ends_at_once) {
    for (const char* grammar : {"root ::= \"\"", "root ::= "}) {
        SamplingOptions options = greedy_options();
        options.grammar = grammar;
        Sampler sampler(recall(), options);
        CHECK_EQ(write(sampler, 1), "");
    }
}

TEST(sampling_grammar_that_is_finished_ends_although_the_end_is_ignored) {
    for (const float temperature : {0.0f, 1.0f}) {
        SamplingOptions options;
        options.temperature = temperature;
        options.ignore_end = true;
        options.grammar = R"(root ::= "yes" " please"?)"; // it may end before, and goes on as long as it can
        Sampler sampler(recall(), options);
        CHECK_EQ(write(sampler, 1), "yes please");
    }
}

TEST(sampling_grammar_dead_ends_are_errors) {
    SamplingOptions options = greedy_options();
    // A letter that the bias forbids.
    options.grammar = R"(root ::= "q" "z")";
    for (llama_token token = 0; token < recall().vocabulary_size(); token++) {
        if (recall().piece(token).substr(0, 1) == "z") options.bias.push_back({token, -INFINITY});
    }
    for (const float temperature : {0.0f, 1.0f}) {
        for (const bool ignore_end : {false, true}) {
            options.temperature = temperature;
            options.ignore_end = ignore_end;
            Sampler forbidden(recall(), options);
            CHECK_EQ(error_code([&] { write(forbidden, 1); }), "GRAMMAR_INVALID");
        }
    }
}

TEST(sampling_grammar_and_penalties_live_together) {
    SamplingOptions options;
    options.repeat_penalty = 1.5f;
    options.grammar = R"(root ::= ("a" | "b" | "c"){20})";
    Sampler sampler(recall(), options);
    CHECK_EQ(write(sampler, 3).size(), 20u);
}
