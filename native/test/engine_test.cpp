#include "check.h"
#include "recall.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

using namespace llama_sessions;
using namespace llama_sessions::test;

static Tokens plus(Tokens tokens, const Tokens& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
    return tokens;
}

// What the KV holds after a turn.
static Tokens kept(const Tokens& prompt, const Reply& reply) {
    Tokens tokens = plus(prompt, reply.tokens);
    tokens.resize(static_cast<size_t>(reply.end().kv_tokens));
    return tokens;
}

TEST(engine_tells_about_itself) {
    LiveEngine live(options_of(4, 1024, 256));
    const EngineInfo info = live.info();
    CHECK_EQ(info.architecture, "llama");
    CHECK_EQ(info.context_tokens, 1024);
    CHECK_EQ(info.session_tokens, 1024);
    CHECK_EQ(info.sequences, 4);
    CHECK_EQ(info.batch_tokens, 256);
    CHECK_EQ(info.vocabulary_size, 960);
    CHECK_EQ(info.kv_bytes_per_token, 2048.0);
    CHECK(info.portable_kv && info.unified);
    CHECK(!info.devices.empty());
    CHECK(live.engine().model() != nullptr);
}

TEST(engine_answers_a_turn) {
    LiveEngine live;
    const Tokens prompt = chat({"My name is Mosoba."});
    const Reply reply = live.run(greedy(0, prompt));
    CHECK_EQ(reply.text, "Noted: your name is Mosoba.");
    CHECK_EQ(reply.reason(), "stop");
    CHECK_EQ(spell(reply.tokens), reply.text);
    const EndEvent& end = reply.end();
    CHECK_EQ(end.prompt_tokens, static_cast<int>(prompt.size()));
    CHECK_EQ(end.cached_tokens, 0);
    CHECK_EQ(end.generated_tokens, static_cast<int>(reply.tokens.size()));
    CHECK_EQ(end.kv_tokens, static_cast<int>(prompt.size() + reply.tokens.size()));
    CHECK(end.wait_ms >= 0 && end.prefill_ms > 0 && end.generate_ms > 0);
    CHECK(end.first_token_ms >= end.prefill_ms);
}

// In their own time, one step of somebody who speaks carries few tokens of the others' prompts.
TEST(engine_reads_what_comes_together_before_anybody_speaks_on) {
    LiveEngine live(options_of(8, 8192));
    std::vector<uint32_t> turns;
    {
        LiveEngine::Pause pause(live);
        for (int i = 0; i < 7; i++) turns.push_back(live.submit(endless(i, long_prompt(40 + 20 * i, i), 400)));
    }
    live.wait_until("a second token", [&] {
        return std::any_of(turns.begin(), turns.end(), [&](uint32_t t) { return live.so_far(t).tokens.size() > 1; });
    });
    for (const uint32_t turn : turns) CHECK(!live.so_far(turn).tokens.empty());
    // Who comes when they speak does not stop them.
    const size_t said = live.so_far(turns[0]).tokens.size();
    CHECK_EQ(live.run(endless(7, long_prompt(100, 9), 5)).reason(), "length");
    CHECK(live.so_far(turns[0]).tokens.size() >= std::min<size_t>(said + 1, 400));
    for (const uint32_t turn : turns) CHECK_EQ(live.wait(turn).reason(), "length");
}

TEST(engine_goes_on_from_the_kv_it_has) {
    LiveEngine live;
    const Tokens first = chat({"My name is Mosoba."});
    const Reply noted = live.run(greedy(0, first));
    const Tokens second = chat({"My name is Mosoba.", noted.text, "What is my name?"}, kept(first, noted));
    const Reply told = live.run(greedy(0, second));
    CHECK_EQ(told.text, "Your name is Mosoba.");
    CHECK_EQ(told.end().cached_tokens, noted.end().kv_tokens);

    // Asked the same once more: all is there, and still one token has to be read again for its logits.
    const Reply again = live.run(greedy(0, second));
    CHECK_EQ(again.text, told.text);
    CHECK_EQ(again.end().cached_tokens, static_cast<int>(second.size()) - 1);

    // Another conversation on the same sequence shares no more than its beginning.
    const Reply other = live.run(greedy(0, chat({"What is my name?"})));
    CHECK_EQ(other.text, "You have not told me your name.");
    CHECK(other.end().cached_tokens < static_cast<int>(first.size()));
}

static const std::vector<std::vector<std::string>>& conversations() {
    static const std::vector<std::vector<std::string>> all = {
        {"My name is Mosoba."},         {"My code is 3299."},
        {"Repeat after me: shai brot"}, {"Count from 3 to 9."},
        {"Tell me a story."},           {"My name is Kasuro.", "Noted: your name is Kasuro.", "What is my name?"},
        {"What is my favourite food?"}, {"I live in Kabela.", "Noted: you live in Kabela.", "Where do I live?"},
    };
    return all;
}

static const std::vector<std::string>& texts_alone() {
    static const std::vector<std::string> texts = [] {
        LiveEngine live(options_of(1));
        std::vector<std::string> said;
        for (const auto& messages : conversations()) said.push_back(live.run(greedy(0, chat(messages))).text);
        return said;
    }();
    return texts;
}

TEST(engine_says_the_same_together_as_alone) {
    for (const bool unified : {true, false}) {
        EngineOptions options = options_of(8, 8 * 512, 64);
        options.context.unified = unified;
#ifndef __SANITIZE_THREAD__ // ggml is not instrumented: TSan sees no order between its threads, and takes them for racing
        options.context.threads = 2;
#endif
        LiveEngine live(options);
        for (int round = 0; round < 2; round++) {
            std::vector<uint32_t> requests;
            for (size_t i = 0; i < 8; i++) {
                requests.push_back(live.submit(greedy(static_cast<llama_seq_id>(i), chat(conversations()[i]))));
            }
            for (size_t i = 0; i < 8; i++) CHECK_EQ(live.wait(requests[i]).text, texts_alone()[i]);
        }
    }
}

// On arm64 the logits of a token depend on how many are computed with it, in q8_0 too.
#if defined(__x86_64__) || defined(_M_X64)
TEST(engine_draws_by_the_seed_whoever_speaks_beside) {
    const auto drawing = [](llama_seq_id sequence, uint32_t seed) {
        SubmitOptions options = greedy(sequence, chat({"Tell me a story."}), 60);
        options.sampling.temperature = 2;
        options.sampling.top_k = 0;
        options.sampling.top_p = 1;
        options.sampling.min_p = 0;
        options.sampling.seed = seed;
        return options;
    };
    EngineOptions options = options_of(3);
    options.path = exact_path();
    LiveEngine live(options);
    const std::string alone = live.run(drawing(0, 1)).text;
    std::vector<uint32_t> requests;
    {
        const LiveEngine::Pause pause(live);
        for (const int seed : {1, 1, 2}) {
            const auto sequence = static_cast<llama_seq_id>(requests.size());
            requests.push_back(live.submit(drawing(sequence, static_cast<uint32_t>(seed))));
        }
    }
    CHECK_EQ(live.wait(requests[0]).text, alone);
    CHECK_EQ(live.wait(requests[1]).text, alone);
    CHECK(live.wait(requests[2]).text != alone);
}
#endif

// The reason for this project: one step serves everybody who generates. Counted from when all have begun until the first
// has ended.
static double together(int sequences) {
    LiveEngine live(options_of(static_cast<uint32_t>(sequences), 16 * 512));
    live.info();
    std::vector<uint32_t> requests;
    for (int i = 0; i < sequences; i++) {
        SubmitOptions options = greedy(i, recall().tokenize("Tell " + std::to_string(i), true, true), 400);
        options.sampling.ignore_end = true;
        requests.push_back(live.submit(std::move(options)));
    }
    const auto least = [&] {
        size_t tokens = SIZE_MAX;
        for (const uint32_t request : requests) tokens = std::min(tokens, live.so_far(request).tokens.size());
        return tokens;
    };
    live.wait_until("everybody to begin", [&] { return least() > 0; });
    auto from = live.engine().stats();
    live.wait_until("everybody to have gone on", [&] { return least() >= 100; });
    auto to = live.engine().stats();
    bool ended = false; // then this thread slept, and has seen too much
    for (const uint32_t request : requests) ended = ended || !live.so_far(request).ends.empty();
    for (const uint32_t request : requests) CHECK_EQ(live.wait(request).end().generated_tokens, 400);
    CHECK_EQ(live.stat("generatedTokens"), 400.0 * sequences);
    if (ended) return 0;
    return (to["generatedSequences"] - from["generatedSequences"]) / (to["generateSteps"] - from["generateSteps"]);
}

TEST(engine_serves_everybody_in_every_step) {
    for (const int sequences : {2, 4, 8, 16}) {
        double in_a_step = 0;
        for (int attempt = 0; attempt < 5 && in_a_step == 0; attempt++) in_a_step = together(sequences);
        CHECK(in_a_step > 0.98 * sequences);
    }
}

TEST(engine_generates_while_a_long_prompt_is_read) {
    LiveEngine live(options_of(2, 4096, 64));
    SubmitOptions talk = greedy(0, chat({"Tell me a story."}), 1500);
    talk.sampling.ignore_end = true;
    const uint32_t talker = live.submit(talk);
    live.wait_until("the first token", [&] { return !live.so_far(talker).tokens.empty(); });
    const double steps = live.stat("generateSteps");
    const size_t before = live.so_far(talker).tokens.size();
    const Reply reader = live.run(greedy(1, long_prompt(1000), 1));
    CHECK_EQ(reader.reason(), "length");
    const size_t during = live.so_far(talker).tokens.size() - before;
    CHECK(during >= 10);
    CHECK(static_cast<double>(during) >= live.stat("generateSteps") - steps - 3); // a token in each step
    live.engine().cancel(talker);
    CHECK_EQ(live.wait(talker).reason(), "cancelled");
}

TEST(engine_ends_at_max_tokens) {
    LiveEngine live;
    for (const int most : {1, 2, 7}) {
        const Reply reply = live.run(greedy(0, chat({"Tell me a story."}), most));
        CHECK_EQ(reply.reason(), "length");
        CHECK_EQ(reply.end().generated_tokens, most);
        CHECK_EQ(static_cast<int>(reply.tokens.size()), most);
        // The last token was chosen and not read.
        CHECK_EQ(reply.end().kv_tokens, reply.end().prompt_tokens + most - 1);
    }
}

TEST(engine_ends_at_a_stop_string) {
    LiveEngine live;
    SubmitOptions options = greedy(0, chat({"Count from 3 to 9."}));
    options.stop = {"7", "never"};
    const Reply reply = live.run(options);
    CHECK_EQ(reply.reason(), "stopSequence");
    CHECK(reply.text.find('6') != std::string::npos);
    CHECK(reply.text.find('7') == std::string::npos);
    CHECK(spell(reply.tokens).find('7') == std::string::npos);
    // What was held back for a stop that did not come is not lost.
    options.stop = {"8 9!"};
    const Reply whole = live.run(options);
    CHECK_EQ(whole.reason(), "stop");
    CHECK(whole.text.find("8 9") != std::string::npos);
}

// A container may have less than the machine, which is all that ggml knows of.
TEST(engine_keeps_to_the_memory_that_it_may_have) {
    EngineOptions options = options_of(2, 8192);
    options.context.memory = 1e6;
    LiveEngine too_large(options);
    CHECK_EQ(error_code([&] { too_large.info(); }), "OUT_OF_MEMORY");
    options.context.context_tokens = 0;
    options.context.memory = 64e6;
    const EngineInfo little = LiveEngine(options).info();
    CHECK(little.context_tokens * little.kv_bytes_per_token <= 16e6);
    options.context.memory = 0;
    CHECK(LiveEngine(options).info().context_tokens > little.context_tokens);
}

// Its tokens are said to nobody: KV that held them would be named by a conversation that does not.
TEST(engine_keeps_nothing_of_a_stop_string) {
    LiveEngine live;
    const Tokens prompt = chat({"Count from 3 to 9."});
    for (const char* stop : {"6 7 8", "7", " 8 9"}) {
        SubmitOptions options = greedy(0, prompt);
        options.stop = {stop};
        const Reply reply = live.run(options);
        CHECK_EQ(reply.reason(), "stopSequence");
        CHECK_EQ(reply.end().kv_tokens, reply.end().prompt_tokens + static_cast<int>(reply.tokens.size()));
        CHECK_EQ(live.stat("usedCells"), static_cast<double>(reply.end().kv_tokens));
        CHECK_EQ(live.export_now(0, 0, reply.end().kv_tokens), "");
        CHECK_EQ(live.export_now(0, 0, reply.end().kv_tokens + 1), "INTERNAL");
    }
}

// What it holds then is told as the beginning of its prompt.
TEST(engine_keeps_of_a_refused_prompt_what_it_begins_with) {
    LiveEngine live(options_of(2, 512));
    const Tokens first = long_prompt(300, 1);
    live.run(endless(0, first, 1));
    Tokens longer(first.begin(), first.begin() + 100);
    longer.resize(600, first[100] == 300 ? 301 : 300);
    const Reply reply = live.run(greedy(0, longer));
    CHECK_EQ(reply.code(), "CONTEXT_FULL");
    CHECK_EQ(reply.end().kv_tokens, 100);
    CHECK_EQ(live.stat("usedCells"), 100.0);
    const Reply empty = live.run(greedy(0, {}));
    CHECK_EQ(empty.code(), "INTERNAL");
    CHECK_EQ(empty.end().kv_tokens, 0);
    CHECK_EQ(live.stat("usedCells"), 0.0);
}

TEST(engine_refuses_what_is_wrong_in_a_submit) {
    LiveEngine live;
    live.info();
    const Tokens prompt = chat({"My name is Mosoba."});
    CHECK_EQ(error_code([&] { live.submit(greedy(0, prompt, 0)); }), "INTERNAL");
    CHECK_EQ(error_code([&] { live.submit(greedy(0, plus(prompt, {-1}))); }), "INTERNAL");
    CHECK_EQ(error_code([&] { live.submit(greedy(0, plus(prompt, {960}))); }), "INTERNAL");
    SubmitOptions biased = greedy(0, prompt);
    biased.sampling.bias = {{960, 1}};
    CHECK_EQ(error_code([&] { live.submit(biased); }), "INTERNAL");
    SubmitOptions grammar = greedy(0, prompt);
    grammar.sampling.grammar = "root ::= missing";
    CHECK_EQ(error_code([&] { live.submit(grammar); }), "GRAMMAR_INVALID");

    CHECK_EQ(live.run(greedy(0, {})).code(), "INTERNAL");
    CHECK_EQ(live.run(greedy(-1, prompt)).code(), "INTERNAL");
    CHECK_EQ(live.run(greedy(4, prompt)).code(), "INTERNAL");
    CHECK_EQ(live.run(greedy(0, prompt)).text, "Noted: your name is Mosoba.");
}

TEST(engine_ends_a_turn_whose_grammar_leads_nowhere) {
    LiveEngine live;
    SubmitOptions options = greedy(0, chat({"My name is Mosoba."}));
    options.sampling.grammar = R"(root ::= "Not" "ed")";
    CHECK_EQ(live.run(options).text, "Noted");
    options.sampling.ignore_end = true;
    CHECK_EQ(live.run(options).reason(), "stop"); // it is finished
    options.sampling.ignore_end = false;
    for (const llama_token end : recall().end_tokens()) options.sampling.bias.push_back({end, -INFINITY});
    const uint32_t neighbour = live.submit(greedy(1, chat({"Tell me a story."})));
    const Reply reply = live.run(options);
    CHECK_EQ(reply.reason(), "error");
    CHECK_EQ(reply.code(), "GRAMMAR_INVALID");
    CHECK_EQ(reply.text, "Noted");
    CHECK_EQ(live.wait(neighbour).text, texts_alone()[4]);
    CHECK_EQ(live.run(greedy(0, chat({"My name is Mosoba."}))).text, "Noted: your name is Mosoba.");
}

TEST(engine_refuses_a_second_turn_on_a_busy_sequence) {
    LiveEngine live;
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t first = live.submit(greedy(1, chat({"My name is Mosoba."})));
    const uint32_t second = live.submit(greedy(1, chat({"What is my name?"})));
    pause.go();
    CHECK_EQ(live.wait(second).code(), "INTERNAL");
    CHECK_EQ(live.wait(first).text, "Noted: your name is Mosoba.");
}

// --- cancel --------------------------------------------------------------------------------------------------------

TEST(engine_cancels_a_turn_that_has_not_begun) {
    LiveEngine live;
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t request = live.submit(greedy(1, chat({"Tell me a story."})));
    const uint32_t other = live.submit(greedy(2, chat({"My name is Mosoba."})));
    live.engine().cancel(request);
    live.engine().cancel(request);
    live.engine().cancel(4711);
    pause.go();
    const Reply reply = live.wait(request);
    CHECK_EQ(reply.reason(), "cancelled");
    CHECK_EQ(reply.text, "");
    CHECK_EQ(reply.end().generated_tokens, 0);
    CHECK_EQ(live.wait(other).text, "Noted: your name is Mosoba.");
    live.engine().cancel(request); // it has ended
    CHECK_EQ(live.run(greedy(1, chat({"My name is Mosoba."}))).text, "Noted: your name is Mosoba.");
}

TEST(engine_cancels_in_prefill) {
    LiveEngine live(options_of(2, 4096, 32));
    live.info();
    const Tokens prompt = long_prompt(1900);
    const uint32_t request = live.submit(greedy(0, prompt));
    live.wait_until("prefill", [&] { return live.stat("prefilledTokens") >= 64; });
    live.engine().cancel(request);
    const Reply reply = live.wait(request);
    CHECK_EQ(reply.reason(), "cancelled");
    CHECK_EQ(reply.text, "");
    CHECK(reply.end().kv_tokens > 0 && reply.end().kv_tokens < 1900);
    // What was read stays, and is right.
    const Reply again = live.run(greedy(0, prompt, 30));
    CHECK_EQ(again.end().cached_tokens, reply.end().kv_tokens);
    CHECK_EQ(again.text, live.run(greedy(1, prompt, 30)).text);
}

TEST(engine_cancels_in_generation) {
    LiveEngine live;
    SubmitOptions options = greedy(0, chat({"Tell me a story."}), 1500);
    options.sampling.ignore_end = true;
    const uint32_t request = live.submit(options);
    const uint32_t neighbour = live.submit(greedy(1, chat({"Tell me a story."})));
    live.wait_until("ten tokens", [&] { return live.so_far(request).tokens.size() >= 10; });
    live.engine().cancel(request);
    const Reply reply = live.wait(request);
    CHECK_EQ(reply.reason(), "cancelled");
    CHECK(reply.tokens.size() >= 10 && reply.tokens.size() < 1500);
    CHECK_EQ(reply.text.substr(0, 20), texts_alone()[4].substr(0, 20));
    CHECK_EQ(static_cast<int>(reply.tokens.size()), reply.end().generated_tokens);
    CHECK_EQ(live.wait(neighbour).text, texts_alone()[4]);
}

TEST(engine_aborts_a_step_when_its_only_member_is_cancelled) {
    LiveEngine live(options_of(2, 4096, 2048));
    live.info();
    const Tokens prompt = long_prompt(1900);
    // Not every try meets the long step: the machine decides.
    for (int attempt = 0; attempt < 20 && live.stat("abortedSteps") == 0; attempt++) {
        live.clear_now(0);
        const double before = live.stat("prefilledTokens");
        const uint32_t request = live.submit(greedy(0, prompt));
        live.wait_until("the first step", [&] { return live.stat("prefilledTokens") > before; });
        std::this_thread::sleep_for(std::chrono::milliseconds(attempt + 1));
        live.engine().cancel(request);
        const std::string reason = live.wait(request).reason();
        CHECK(reason == "cancelled" || reason == "stop" || reason == "length");
    }
    CHECK(live.stat("abortedSteps") > 0);
    const Reply after = live.run(greedy(0, prompt, 30));
    CHECK_EQ(after.text, live.run(greedy(1, prompt, 30)).text);
}

TEST(engine_does_not_abort_a_step_for_one_of_two) {
    LiveEngine live(options_of(2));
    live.info();
    int for_one_of_two = 0;
    for (int attempt = 0; attempt < 10; attempt++) {
        // Together, or the second would end a step of the first. While they read, one may be for one of them alone; while they
        // speak, each is for both.
        LiveEngine::Pause pause(live);
        const uint32_t one = live.submit(endless(0, long_prompt(20), 2000));
        const uint32_t two = live.submit(endless(1, long_prompt(20, 2), 500));
        const auto with_two = [&] { return live.stat("generatedSequences") - live.stat("generateSteps"); };
        const double before = with_two(), aborted = live.stat("abortedSteps");
        pause.go();
        live.wait_until("a step for two", [&] { return with_two() > before; });
        live.engine().cancel(one);
        CHECK_EQ(live.wait(one).reason(), "cancelled");
        const bool aborted_one = live.stat("abortedSteps") > aborted;
        if (live.so_far(two).ends.empty()) { // else this thread slept, and `one` was alone
            CHECK(!aborted_one);
            for_one_of_two++;
        }
        CHECK_EQ(live.wait(two).reason(), "length");
    }
    CHECK(for_one_of_two > 0);
}

// --- export and import ---------------------------------------------------------------------------------------------

TEST(engine_moves_a_conversation_to_another_sequence) {
    LiveEngine live;
    const Tokens first = chat({"My name is Mosoba."});
    const Reply noted = live.run(greedy(0, first));
    const Tokens tokens = kept(first, noted),
                 second = chat({"My name is Mosoba.", noted.text, "What is my name?"}, tokens);
    Bytes blob;
    CHECK_EQ(live.export_now(0, 0, static_cast<int>(tokens.size()), &blob), "");
    bool taken = false;
    CHECK_EQ(live.import_now(3, 0, tokens, blob.data.get(), blob.size, &taken), "");
    CHECK(taken);
    const Reply moved = live.run(greedy(3, second)), stayed = live.run(greedy(0, second));
    CHECK_EQ(moved.text, "Your name is Mosoba.");
    CHECK_EQ(moved.end().cached_tokens, static_cast<int>(tokens.size()));
    CHECK_EQ(stayed.text, moved.text);

    // And to another engine.
    LiveEngine other(options_of(2, 512));
    other.info();
    CHECK_EQ(other.import_now(1, 0, tokens, blob.data.get(), blob.size, &taken), "");
    CHECK(taken);
    const Reply elsewhere = other.run(greedy(1, second));
    CHECK_EQ(elsewhere.text, moved.text);
    CHECK_EQ(elsewhere.end().cached_tokens, static_cast<int>(tokens.size()));
}

TEST(engine_refuses_bad_kv_and_goes_on) {
    LiveEngine live(options_of(4, 1024));
    const Tokens prompt = chat({"My name is Mosoba."});
    const Tokens tokens = kept(prompt, live.run(greedy(0, prompt)));
    Bytes blob;
    live.export_now(0, 0, static_cast<int>(tokens.size()), &blob);
    const std::vector<uint8_t> good(blob.data.get(), blob.data.get() + blob.size);
    live.clear_now(0); // else its cells would be shared, and no bytes looked at
    const auto refused = [&](const Tokens& claimed, const std::vector<uint8_t>& bytes) {
        bool taken = true;
        CHECK_EQ(live.import_now(1, 0, claimed, bytes.data(), bytes.size(), &taken), "");
        CHECK(!taken);
        const Reply reply = live.run(greedy(1, prompt));
        CHECK_EQ(reply.end().cached_tokens, 0);
        CHECK_EQ(reply.text, "Noted: your name is Mosoba.");
    };
    refused(tokens, {});
    refused(tokens, std::vector<uint8_t>(1000, 0));
    refused(tokens, std::vector<uint8_t>(good.begin(), good.end() - 1));
    std::vector<uint8_t> longer = good, turned = good;
    longer.push_back(0);
    refused(tokens, longer);
    turned[12] ^= 1; // the number of cells
    refused(tokens, turned);

    refused({}, good);
    refused(Tokens(tokens.begin(), tokens.end() - 1), good);
    refused(plus(tokens, {7}), good);
    refused(Tokens(2000, 7), good); // more than the pool
    Tokens unknown = tokens;
    unknown[3] = 960;
    refused(unknown, good);
    unknown[3] = -1;
    refused(unknown, good);
}

TEST(engine_replaces_what_an_import_finds) {
    LiveEngine live;
    const Tokens a = chat({"My name is Mosoba."}), b = chat({"I live in Kabela."});
    const Tokens tokens = kept(a, live.run(greedy(0, a)));
    live.run(greedy(1, b));
    Bytes blob;
    live.export_now(0, 0, static_cast<int>(tokens.size()), &blob);
    bool taken = false;
    live.import_now(1, 0, tokens, blob.data.get(), blob.size, &taken);
    CHECK(taken);
    const Tokens next = chat({"My name is Mosoba.", "Noted: your name is Mosoba.", "Where do I live?"}, tokens);
    CHECK_EQ(live.run(greedy(1, next)).text, live.run(greedy(0, next)).text);
}

TEST(engine_leaves_busy_sequences_alone) {
    LiveEngine live;
    SubmitOptions options = greedy(1, chat({"Tell me a story."}), 1500);
    options.sampling.ignore_end = true;
    const uint32_t request = live.submit(options);
    live.wait_until("a token", [&] { return !live.so_far(request).tokens.empty(); });
    bool taken = false;
    const uint8_t byte = 0;
    int held = 0;
    CHECK_EQ(live.adopt_now(1, {1}, &held), "INTERNAL");
    CHECK_EQ(live.import_now(1, 0, {1}, &byte, 1, &taken), "INTERNAL");
    CHECK_EQ(live.clear_now(1), "INTERNAL");
    for (const llama_seq_id none : {-1, 4, 1000}) {
        CHECK_EQ(live.export_now(none, 0, 1), "INTERNAL");
        CHECK_EQ(live.import_now(none, 0, {1}, &byte, 1, &taken), "INTERNAL");
        CHECK_EQ(live.adopt_now(none, {1}, &held), "INTERNAL");
        CHECK_EQ(live.clear_now(none), "INTERNAL");
    }
    CHECK_EQ(live.clear_now(2), "");
    live.engine().cancel(request);
    CHECK_EQ(live.wait(request).reason(), "cancelled");
    CHECK_EQ(live.clear_now(1), "");
}
