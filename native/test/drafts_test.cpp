// Tokens that are guessed ahead: replies are what they are without, wherever a draft is cut.
#include "check.h"
#include "recall.h"

#include <algorithm>
#include <random>

using namespace llama_sessions;
using namespace llama_sessions::test;

static EngineOptions exact(uint32_t sequences, uint32_t context_tokens = 4096, uint32_t batch_tokens = 512) {
    EngineOptions options = options_of(sequences, context_tokens, batch_tokens);
    options.path = exact_path();
    return options;
}

static EngineOptions drafting(uint32_t sequences, uint32_t context_tokens = 4096, uint32_t batch_tokens = 512) {
    EngineOptions options = exact(sequences, context_tokens, batch_tokens);
    options.context.speculation = true;
    return options;
}

static const std::vector<std::string> openings = {
    "Tell me a story.",           "Repeat after me: shai brot dro ba ke lu shai brot dro mo ni ra shai brot dro vo",
    "Count from 3 to 90.",        "My name is Mosoba.",
    "What do you know about me?",
};

static Tokens prompt_of(size_t i) { return chat({openings[i % openings.size()]}); }

// Without drafts.
static Reply plainly(const SubmitOptions& options, uint32_t context_tokens = 4096) {
    LiveEngine live(exact(1, context_tokens));
    SubmitOptions alone = options;
    alone.sequence = 0;
    return live.run(alone);
}

static void check_same(const Reply& reply, const Reply& plain) {
    CHECK_EQ(reply.text, plain.text);
    CHECK(reply.tokens == plain.tokens);
    CHECK_EQ(reply.reason(), plain.reason());
    CHECK_EQ(reply.end().generated_tokens, plain.end().generated_tokens);
    CHECK_EQ(reply.end().kv_tokens, plain.end().kv_tokens);
    CHECK(reply.end().accepted_tokens <= reply.end().drafted_tokens);
    CHECK_EQ(plain.end().drafted_tokens, 0);
}

TEST(drafts_bring_several_tokens_in_a_step) {
    LiveEngine live(drafting(1));
    const Reply reply = live.run(endless(0, prompt_of(0), 1000)); // the story goes round in circles
    check_same(reply, plainly(endless(0, prompt_of(0), 1000)));
    CHECK(reply.end().accepted_tokens > 100);
    CHECK_EQ(live.stat("acceptedTokens"), reply.end().accepted_tokens);
    CHECK_EQ(live.stat("draftedTokens"), reply.end().drafted_tokens);
    // A token each that was not drafted; and a step has as many sequences as ever.
    CHECK_EQ(live.stat("generateSteps"), 999.0 - reply.end().accepted_tokens);
    CHECK_EQ(live.stat("generatedSequences"), live.stat("generateSteps"));
    CHECK_EQ(live.stat("generatedTokens"), 1000.0);
    CHECK_EQ(live.stat("prefilledTokens"), static_cast<double>(prompt_of(0).size()));
    CHECK_EQ(live.stat("usedCells"), reply.end().kv_tokens);
}

TEST(drafts_change_nothing_that_is_chosen) {
    std::vector<SamplingOptions> samplings(6);
    samplings[0].temperature = 0;
    samplings[1].temperature = 0.3f;
    samplings[2].temperature = 1;
    samplings[2].top_k = 0;
    samplings[3].temperature = 0;
    samplings[3].repeat_penalty = 1.1f;
    samplings[4].temperature = 0.5f;
    samplings[4].frequency_penalty = 0.2f;
    samplings[4].presence_penalty = 0.1f;
    samplings[5].temperature = 0.7f;
    samplings[5].grammar = R"(root ::= ("shai brot " | "dro ba ")+)";
    LiveEngine live(drafting(1)), plain(exact(1));
    int accepted = 0;
    for (size_t i = 0; i < openings.size(); i++) {
        for (SamplingOptions sampling : samplings) {
            for (const bool ends : {true, false}) {
                SubmitOptions options = greedy(0, prompt_of(i), 150);
                options.sampling = sampling;
                options.sampling.seed = static_cast<uint32_t>(i);
                options.sampling.ignore_end = !ends;
                const Reply reply = live.run(options);
                check_same(reply, plain.run(options));
                accepted += reply.end().accepted_tokens;
            }
        }
    }
    CHECK(accepted > 100);
}

TEST(drafts_end_where_the_reply_ends) {
    LiveEngine live(drafting(1)), plain(exact(1));
    const std::string text = plain.run(endless(0, prompt_of(0), 200)).text;
    int accepted = 0;
    for (int tokens = 1; tokens <= 200; tokens += 3) {
        const Reply reply = live.run(endless(0, prompt_of(0), tokens));
        check_same(reply, plain.run(endless(0, prompt_of(0), tokens)));
        CHECK_EQ(live.stat("usedCells"), reply.end().kv_tokens);
        accepted += reply.end().accepted_tokens;
    }
    // Text that has not come before, and some that has: the first of them stops it.
    for (size_t at = 0; at + 30 < text.size(); at += 7) {
        for (const size_t length : {size_t{4}, size_t{25}}) {
            SubmitOptions options = endless(0, prompt_of(0), 200);
            options.stop = {text.substr(at, length)};
            const Reply reply = live.run(options);
            check_same(reply, plain.run(options));
            CHECK_EQ(reply.reason(), "stopSequence");
            CHECK_EQ(live.stat("usedCells"), reply.end().kv_tokens);
            accepted += reply.end().accepted_tokens;
        }
    }
    CHECK(accepted > 100);
}

TEST(drafts_end_with_the_context) {
    for (const uint32_t batch : {1u, 3u, 5u, 64u}) {
        LiveEngine live(drafting(1, 256, batch));
        const Reply reply = live.run(endless(0, prompt_of(0), 5000));
        check_same(reply, plainly(endless(0, prompt_of(0), 5000), 256));
        CHECK_EQ(reply.reason(), "length");
        CHECK_EQ(live.stat("usedCells"), 255.0);
        CHECK_EQ(reply.end().drafted_tokens > 0, batch >= 4);
    }
}

TEST(drafts_leave_with_a_turn_that_is_cancelled) {
    LiveEngine live(drafting(2));
    const std::string text = plainly(endless(0, prompt_of(0), 3000)).text;
    double accepted = 0;
    for (size_t i = 0; i < 30; i++) {
        const uint32_t request = live.submit(endless(0, prompt_of(0), 3000));
        live.wait_until("some tokens", [&] { return live.so_far(request).tokens.size() > 20 + 5 * i; });
        live.engine().cancel(request);
        const Reply reply = live.wait(request);
        CHECK_EQ(reply.reason(), "cancelled");
        CHECK_EQ(reply.text, text.substr(0, reply.text.size()));
        CHECK_EQ(reply.end().kv_tokens, static_cast<int>(prompt_of(0).size()) + reply.end().generated_tokens - 1);
        CHECK_EQ(live.stat("usedCells"), reply.end().kv_tokens);
        accepted += reply.end().accepted_tokens;
        // What is left in the KV is what was said: the conversation goes on from there.
        Tokens longer = prompt_of(0);
        longer.insert(longer.end(), reply.tokens.begin(), reply.tokens.end());
        check_same(live.run(greedy(0, longer, 20)), plainly(greedy(0, longer, 20)));
    }
    CHECK(accepted > 0);
}

// With others in the pool cells come in another order, and attention rounds otherwise. So here all say what the model is sure
// of: what it has said before, in the same conversation. What they say behind that matters to nobody.
static Tokens again(size_t i) {
    const std::string& opening = openings[i % openings.size()];
    return chat({opening, plainly(greedy(0, prompt_of(i))).text, opening});
}

static const std::string& surely(size_t i) {
    static std::vector<std::string> texts(openings.size());
    std::string& text = texts[i % openings.size()];
    if (text.empty()) text = plainly(greedy(0, again(i))).text;
    return text;
}

static void check_sure_part(const Reply& reply, size_t i) {
    const size_t length = std::min(reply.text.size(), surely(i).size());
    CHECK_EQ(reply.text.substr(0, length), surely(i).substr(0, length));
}

TEST(drafts_of_several_sequences_at_once) {
    for (const bool unified : {true, false}) {
        for (const int together : {2, 3, 5}) {
            EngineOptions options = drafting(5, 5 * 1024);
            options.context.unified = unified;
            LiveEngine live(options);
            live.info();
            std::vector<uint32_t> requests;
            {
                const LiveEngine::Pause pause(live);
                for (int i = 0; i < together; i++) {
                    requests.push_back(live.submit(endless(i, again(static_cast<size_t>(i)), 300)));
                }
            }
            for (int i = 0; i < together; i++) {
                const Reply reply = live.wait(requests[static_cast<size_t>(i)]);
                CHECK_EQ(reply.end().generated_tokens, 300);
                check_sure_part(reply, static_cast<size_t>(i));
            }
            CHECK(live.stat("acceptedTokens") > 0);
        }
    }
}

TEST(drafts_take_no_room_from_others) {
    LiveEngine live(drafting(4, 768));
    live.info();
    std::vector<uint32_t> requests;
    {
        const LiveEngine::Pause pause(live);
        for (int i = 0; i < 4; i++) {
            requests.push_back(live.submit(endless(i, again(static_cast<size_t>(i)), 300)));
        }
    }
    for (int i = 0; i < 4; i++) { // the oldest ends first; its cells are given to the others
        const Reply reply = live.wait(requests[static_cast<size_t>(i)]);
        CHECK_EQ(reply.reason(), "length");
        CHECK_EQ(reply.end().generated_tokens, 300);
        check_sure_part(reply, static_cast<size_t>(i));
        live.clear_now(i);
    }
    CHECK(live.stat("stowedTurns") > 0);
    CHECK(live.stat("acceptedTokens") > 0);
    CHECK_EQ(live.stat("usedCells"), 0.0);
}

// Those who ask for a leader's words, while it says several in a step.
TEST(drafts_of_a_leader_are_shared_when_they_are_true) {
    LiveEngine live(drafting(4));
    const Tokens prompt = again(0);
    const uint32_t leader = live.submit(endless(0, prompt, 400));
    live.wait_until("some tokens", [&] { return live.so_far(leader).tokens.size() > 20; });
    for (llama_seq_id follower = 1; follower < 4; follower++) {
        const Reply said = live.so_far(leader);
        Tokens longer = prompt;
        longer.insert(longer.end(), said.tokens.begin(), said.tokens.end());
        Reply reply = live.run(endless(follower, longer, 40));
        CHECK(reply.end().cached_tokens >= static_cast<int>(prompt.size()));
        reply.text = said.text + reply.text;
        check_sure_part(reply, 0);
    }
    check_sure_part(live.wait(leader), 0);
}

TEST(drafts_change_nothing_while_others_come_and_go) {
    std::mt19937 random(11);
    LiveEngine live(drafting(6, 1536, 128));
    live.info();
    for (int round = 0; round < 12; round++) {
        std::vector<std::pair<uint32_t, size_t>> requests;
        for (llama_seq_id i = 0; i < 6; i++) {
            if (random() % 3 == 0) continue;
            const size_t opening = random() % openings.size();
            const int tokens = 10 + static_cast<int>(random() % 300);
            requests.push_back({live.submit(endless(i, again(opening), tokens)), opening});
            if (random() % 4 == 0) live.engine().cancel(requests.back().first);
        }
        for (const auto& [request, opening] : requests) check_sure_part(live.wait(request), opening);
        for (llama_seq_id i = 0; i < 6; i++) live.clear_now(i);
        CHECK_EQ(live.stat("usedCells"), 0.0);
    }
    CHECK(live.stat("acceptedTokens") > 0);
}
