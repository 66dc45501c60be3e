// Turns that arrive together and begin alike: every token is read once.
#include "check.h"
#include "recall.h"

#include <algorithm>
#include <random>
#include <set>

using namespace llama_sessions;
using namespace llama_sessions::test;

// A system prompt, and `own` tokens that only this one of many says after it.
static Tokens member(size_t shared, int number, int own = 5) {
    Tokens prompt = long_prompt(shared + 100);
    prompt.resize(shared);
    for (int i = 0; i < own; i++) prompt.push_back(300 + number + i);
    return prompt;
}

TEST(follow_a_hundred_turns_read_one_prompt_once) {
    LiveEngine live(options_of(100, 4096));
    live.info();
    LiveEngine::Pause pause(live);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 100; i++) requests.push_back(live.submit(endless(i, member(1000, i), 3)));
    pause.go();
    int cached = 0;
    std::vector<Reply> replies;
    for (const uint32_t request : requests) {
        replies.push_back(live.wait(request));
        CHECK_EQ(replies.back().reason(), "length");
        cached += replies.back().end().cached_tokens;
    }
    CHECK_EQ(live.stat("prefilledTokens"), 1000.0 + 100 * 5);
    CHECK_EQ(cached, 99 * 1000);
    CHECK_EQ(live.stat("sharedTokens"), 99.0 * 1000);
    CHECK_EQ(live.stat("usedCells"), 1000.0 + 100 * 7);
    LiveEngine alone(options_of(1));
    for (const size_t i : {size_t{0}, size_t{1}, size_t{57}, size_t{99}}) {
        CHECK_EQ(replies[i].text, alone.run(endless(0, member(1000, static_cast<int>(i)), 3)).text);
    }
}

TEST(follow_only_until_the_common_part_is_read) {
    LiveEngine live(options_of(3, 8192, 64));
    live.info();
    LiveEngine::Pause pause(live);
    Tokens longer = member(1000, 0);
    const Tokens rest = long_prompt(700, 2);
    longer.insert(longer.end(), rest.begin(), rest.end());
    const uint32_t first = live.submit(endless(0, longer, 300));
    const uint32_t second = live.submit(endless(1, member(1000, 1), 5));
    pause.go();
    CHECK_EQ(live.wait(second).end().cached_tokens, 1000);
    CHECK(live.so_far(first).ends.empty());
    CHECK_EQ(live.wait(first).reason(), "length");
}

TEST(follow_another_when_the_one_that_reads_is_cancelled) {
    LiveEngine live(options_of(10, 4096, 64));
    live.info();
    LiveEngine::Pause start(live);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 10; i++) requests.push_back(live.submit(endless(i, member(1500, i), 3)));
    start.go();
    LiveEngine::Pause pause(live, [&] { return live.stat("prefilledTokens") >= 300; });
    live.engine().cancel(requests[0]);
    live.clear_later(0); // at once, and yet too late to matter: the others hold what it has read
    pause.go();
    CHECK_EQ(live.wait(requests[0]).reason(), "cancelled");
    for (int i = 1; i < 10; i++) CHECK_EQ(live.wait(requests[static_cast<size_t>(i)]).reason(), "length");
    CHECK_EQ(live.stat("prefilledTokens"), 1500.0 + 9 * 5);
}

// Each in turn: whoever leads goes, by chance while it reads.
TEST(follow_survives_the_loss_of_many_leaders) {
    LiveEngine live(options_of(20, 4096, 32));
    live.info();
    LiveEngine::Pause pause(live);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 20; i++) requests.push_back(live.submit(endless(i, member(1000, i), 3)));
    pause.go();
    for (size_t i = 0; i < 15; i++) {
        live.wait_until("more of the prompt",
                        [&] { return live.stat("prefilledTokens") >= 50.0 * (static_cast<double>(i) + 1); });
        live.engine().cancel(requests[i]);
    }
    for (const uint32_t request : requests) live.wait(request);
    CHECK_EQ(live.wait(requests[19]).reason(), "length");
    CHECK(live.stat("prefilledTokens") <= 1000 + 20 * 5);
}

TEST(follow_ends_with_the_engine) {
    LiveEngine live(options_of(20, 4096, 32));
    live.info();
    LiveEngine::Pause pause(live);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 20; i++) requests.push_back(live.submit(endless(i, member(1500, i), 3)));
    pause.go();
    live.wait_until("some of the prompt", [&] { return live.stat("prefilledTokens") >= 100; });
    live.engine().close();
    for (const uint32_t request : requests) CHECK_EQ(live.wait(request).code(), "MODEL_CLOSED");
}

TEST(follow_one_that_follows_can_be_cancelled) {
    LiveEngine live(options_of(3, 4096, 32));
    live.info();
    LiveEngine::Pause pause(live);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 3; i++) requests.push_back(live.submit(endless(i, member(1500, i), 3)));
    pause.go();
    live.wait_until("some of the prompt", [&] { return live.stat("prefilledTokens") >= 100; });
    live.engine().cancel(requests[1]);
    const Reply reply = live.wait(requests[1]);
    CHECK_EQ(reply.reason(), "cancelled");
    CHECK(live.stat("prefilledTokens") < 1500); // at once, not when it would have gone on
    CHECK_EQ(live.wait(requests[0]).reason(), "length");
    CHECK_EQ(live.wait(requests[2]).reason(), "length");
    CHECK_EQ(live.stat("prefilledTokens"), 1510.0);
}

TEST(follow_nobody_for_a_few_tokens) {
    for (const int common : {31, 32}) {
        LiveEngine live(options_of(2, 4096, 512));
        live.info();
        LiveEngine::Pause pause(live);
        const uint32_t one = live.submit(endless(0, member(static_cast<size_t>(common), 1, 3), 2));
        const uint32_t two = live.submit(endless(1, member(static_cast<size_t>(common), 2, 3), 2));
        pause.go();
        live.wait(one);
        CHECK_EQ(live.wait(two).end().cached_tokens, common == 32 ? 32 : 0);
    }
}

// Prompts that are branches of a tree: what a branch has in common with others is read once, up to those few tokens that
// are not worth waiting for. And everybody says what it says alone.
TEST(follow_through_a_tree_of_prompts) {
    for (uint32_t seed = 1; seed <= 6; seed++) {
        std::mt19937 random(seed);
        std::vector<Tokens> prompts = {member(150, 0, 2)};
        while (prompts.size() < 24) {
            Tokens prompt = prompts[random() % prompts.size()];
            prompt.resize(1 + random() % prompt.size());
            const size_t more = 1 + random() % 150;
            for (size_t i = 0; i < more; i++) prompt.push_back(260 + static_cast<llama_token>(random() % 500));
            prompts.push_back(prompt);
        }
        std::set<Tokens> beginnings; // every token's place in the tree
        for (const Tokens& prompt : prompts) {
            for (size_t i = 1; i <= prompt.size(); i++)
                beginnings.emplace(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(i));
        }
        LiveEngine live(options_of(24, 8192, 64)), alone(options_of(1));
        live.info();
        LiveEngine::Pause pause(live);
        std::vector<uint32_t> requests;
        for (size_t i = 0; i < prompts.size(); i++) {
            requests.push_back(live.submit(endless(static_cast<llama_seq_id>(i), prompts[i], 4)));
        }
        pause.go();
        for (size_t i = 0; i < prompts.size(); i++) {
            const Reply reply = live.wait(requests[i]);
            CHECK_EQ(reply.reason(), "length");
            CHECK_EQ(reply.end().prompt_tokens, static_cast<int>(prompts[i].size()));
        }
        CHECK(live.stat("prefilledTokens") <= static_cast<double>(beginnings.size()) + 24.0 * 32);
        CHECK(live.stat("prefilledTokens") + live.stat("cachedTokens") >= static_cast<double>(beginnings.size()));
    }
}
