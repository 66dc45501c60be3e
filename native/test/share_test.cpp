// Cells that sequences share: who may have them, and that nobody notices but the clock.
#include "check.h"
#include "recall.h"

#include <algorithm>

using namespace llama_sessions;
using namespace llama_sessions::test;

static Tokens plus(Tokens tokens, const Tokens& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
    return tokens;
}

static Tokens head(const Tokens& tokens, size_t count) {
    return Tokens(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
}

static const Tokens& question() {
    static const Tokens tokens = chat({"What is my name?"});
    return tokens;
}

// What it says when nobody is there to share with.
static std::string text_alone(const Tokens& prompt, int max_tokens) {
    LiveEngine live(options_of(1));
    return live.run(endless(0, prompt, max_tokens)).text;
}

TEST(share_with_an_idle_sequence) {
    LiveEngine live;
    CHECK(live.info().pages);
    const Tokens prompt = long_prompt(300), other = plus(head(prompt, 250), question());
    live.run(endless(0, prompt, 10));
    const Reply reply = live.run(endless(1, other, 30));
    CHECK_EQ(reply.end().cached_tokens, 250);
    CHECK_EQ(reply.text, text_alone(other, 30));
    CHECK_EQ(live.stat("sharedTokens"), 250.0);
    CHECK_EQ(live.stat("cachedTokens"), 250.0);
    CHECK_EQ(live.stat("prefilledTokens"), 300.0 + static_cast<double>(question().size()));
    // 0: prompt and 9 of 10 that were read. 1: beyond what is shared.
    CHECK_EQ(live.stat("usedCells"), 309.0 + static_cast<double>(question().size()) + 29);
    // The same prompt again, elsewhere: one token has to be read for its logits.
    CHECK_EQ(live.run(endless(2, prompt, 10)).end().cached_tokens, 299);
}

TEST(share_with_a_busy_sequence) {
    LiveEngine live;
    const Tokens prompt = long_prompt(300);
    const uint32_t talker = live.submit(endless(0, prompt, 1000));
    live.wait_until("a token", [&] { return live.so_far(talker).tokens.size() > 3; });
    const Reply reply = live.run(endless(1, prompt, 30));
    CHECK_EQ(reply.end().cached_tokens, 299);
    // Its own words too, as they come.
    const Tokens said = head(live.so_far(talker).tokens, 2), longer = plus(plus(prompt, said), question());
    CHECK(live.run(endless(2, longer, 5)).end().cached_tokens >= 302);
    CHECK(live.so_far(talker).ends.empty());
    live.engine().cancel(talker);
    CHECK_EQ(live.wait(talker).text.substr(0, reply.text.size()), reply.text);
}

TEST(share_outlives_its_source) {
    LiveEngine live;
    const Tokens prompt = long_prompt(400);
    live.run(endless(0, prompt, 5));
    int held = 0;
    CHECK_EQ(live.adopt_now(1, prompt, &held), "");
    CHECK_EQ(held, 400);
    const double used = live.stat("usedCells");
    CHECK_EQ(used, 404.0);
    // The source goes back to its beginning, says something else, and is gone.
    live.run(endless(0, plus(head(prompt, 100), question()), 5));
    live.clear_now(0);
    CHECK_EQ(live.stat("usedCells"), 400.0);
    const Reply reply = live.run(endless(1, prompt, 30));
    CHECK_EQ(reply.end().cached_tokens, 399);
    CHECK_EQ(reply.text, text_alone(prompt, 30));
    live.clear_now(1);
    CHECK_EQ(live.stat("usedCells"), 0.0);
}

TEST(share_by_adoption) {
    LiveEngine live;
    const Tokens prompt = long_prompt(400), other = long_prompt(300, 2);
    int held = -1;
    CHECK_EQ(live.adopt_now(0, prompt, &held), "");
    CHECK_EQ(held, 0);
    live.run(endless(0, prompt, 2));
    live.run(endless(1, other, 2));
    CHECK_EQ(live.adopt_now(1, plus(head(prompt, 200), other), &held), "");
    CHECK_EQ(held, 200); // what it held before is dropped
    CHECK(live.stat("sharedTokens") > 180 && live.stat("sharedTokens") <= 200);
    CHECK_EQ(live.stat("usedCells"), 401.0);
    CHECK_EQ(live.adopt_now(1, head(prompt, 50), &held), "");
    CHECK_EQ(held, 50); // its own, and no more than was asked for
    CHECK_EQ(live.adopt_now(2, {}, &held), "");
    CHECK_EQ(held, 0);
    CHECK_EQ(live.adopt_now(0, prompt, &held), "");
    CHECK_EQ(held, 400); // its own are the most: dropped is only what comes after
    CHECK_EQ(live.stat("usedCells"), 400.0);
}

TEST(share_what_an_import_would_write) {
    LiveEngine live;
    const Tokens prompt = long_prompt(400);
    live.run(endless(0, prompt, 2));
    Bytes first, second;
    CHECK_EQ(live.export_now(0, 0, 256, &first), "");
    CHECK_EQ(live.export_now(0, 256, 400, &second), "");
    const double copied = live.stat("copiedBytes");
    CHECK_EQ(copied, static_cast<double>(first.size + second.size));
    bool taken = false;
    CHECK_EQ(live.import_now(1, 0, head(prompt, 256), first.data.get(), first.size, &taken), "");
    CHECK(taken);
    CHECK_EQ(live.stat("usedCells"), 401.0);
    CHECK_EQ(live.stat("copiedBytes"), copied);
    live.clear_now(0);
    // Nobody else holds the rest now.
    CHECK_EQ(
        live.import_now(1, 256, Tokens(prompt.begin() + 256, prompt.end()), second.data.get(), second.size, &taken),
        "");
    CHECK(taken);
    CHECK_EQ(live.stat("copiedBytes"), copied + static_cast<double>(second.size));
    CHECK_EQ(live.stat("usedCells"), 400.0);
    const Reply reply = live.run(endless(1, prompt, 30));
    CHECK_EQ(reply.end().cached_tokens, 399);
    CHECK_EQ(reply.text, text_alone(prompt, 30));
}

TEST(share_ranges_of_a_busy_sequence_can_be_exported) {
    LiveEngine live;
    const Tokens prompt = long_prompt(400);
    const uint32_t talker = live.submit(endless(0, prompt, 1000));
    live.wait_until("a token", [&] { return !live.so_far(talker).tokens.empty(); });
    Bytes page;
    CHECK_EQ(live.export_now(0, 0, 256, &page), "");
    CHECK_EQ(live.export_now(0, 0, 400), "");
    CHECK_EQ(live.export_now(0, 0, 2000), "INTERNAL"); // not yet
    CHECK_EQ(live.export_now(0, 10, 10), "INTERNAL");
    CHECK_EQ(live.export_now(0, -1, 10), "INTERNAL");
    CHECK(live.so_far(talker).ends.empty());
    live.engine().cancel(talker);
    live.wait(talker);
    live.clear_now(0);
    bool taken = false;
    CHECK_EQ(live.import_now(2, 0, head(prompt, 256), page.data.get(), page.size, &taken), "");
    CHECK(taken);
    const Reply reply = live.run(endless(2, prompt, 30));
    CHECK_EQ(reply.end().cached_tokens, 256);
    CHECK_EQ(reply.text, text_alone(prompt, 30));
}

TEST(share_an_import_that_is_refused_leaves_what_lies_before_it) {
    LiveEngine live(options_of(4, 1024));
    const Tokens prompt = long_prompt(400);
    live.run(endless(0, prompt, 2));
    Bytes first, second;
    live.export_now(0, 0, 200, &first);
    live.export_now(0, 200, 400, &second);
    live.clear_now(0);
    bool taken = false;
    live.import_now(0, 0, head(prompt, 200), first.data.get(), first.size, &taken);
    CHECK(taken);
    const Tokens rest(prompt.begin() + 200, prompt.end());
    const auto refused = [&](int from, const Tokens& tokens, const Bytes& bytes, size_t size, double left) {
        taken = true;
        CHECK_EQ(live.import_now(0, from, tokens, bytes.data.get(), size, &taken), "");
        CHECK(!taken);
        CHECK_EQ(live.stat("usedCells"), left);
    };
    refused(200, rest, second, second.size - 1, 200);
    refused(200, rest, first, first.size, 200);
    refused(200, head(rest, 199), second, second.size, 200);
    refused(200, {}, second, second.size, 200);
    refused(200, Tokens(200, 960), second, second.size, 200);
    refused(200, Tokens(2000, 7), second, second.size, 200);
    refused(300, rest, second, second.size, 200); // there is nothing that it could lie behind
    CHECK_EQ(live.export_now(0, 0, 201), "INTERNAL");
    Tokens beyond = head(prompt, 200);
    beyond.resize(300);
    int held = 0;
    live.adopt_now(0, beyond, &held);
    CHECK_EQ(held, 200);
    refused(199, rest, second, second.size, 199);
    refused(0, rest, second, second.size, 0);
    CHECK_EQ(live.import_now(0, -1, rest, second.data.get(), second.size, &taken), "INTERNAL");
    // A pool without room for it.
    live.import_now(0, 0, head(prompt, 200), first.data.get(), first.size, &taken);
    live.run(endless(1, long_prompt(700, 2), 2));
    refused(200, rest, second, second.size, 901);
    live.clear_now(1);
    live.import_now(0, 200, rest, second.data.get(), second.size, &taken);
    CHECK(taken);
    CHECK_EQ(live.run(endless(0, prompt, 30)).text, text_alone(prompt, 30));
}

TEST(share_nothing_between_streams) {
    EngineOptions options = options_of(3, 3 * 512);
    options.context.unified = false;
    LiveEngine live(options);
    CHECK(!live.info().pages);
    const Tokens prompt = long_prompt(300);
    const Reply reply = live.run(endless(0, prompt, 10));
    int held = -1;
    CHECK_EQ(live.adopt_now(1, prompt, &held), "");
    CHECK_EQ(held, 0);
    CHECK_EQ(live.run(endless(1, prompt, 10)).end().cached_tokens, 0);
    CHECK_EQ(live.export_now(0, 0, 300), "INTERNAL"); // only all of it
    Bytes whole;
    CHECK_EQ(live.export_now(0, 0, 309, &whole), "");
    bool taken = false;
    const Tokens tokens = head(plus(prompt, reply.tokens), 309);
    CHECK_EQ(live.import_now(2, 1, tokens, whole.data.get(), whole.size, &taken), "INTERNAL");
    CHECK_EQ(live.import_now(2, 0, tokens, whole.data.get(), whole.size, &taken), "");
    CHECK(taken);
    CHECK_EQ(live.run(endless(2, prompt, 10)).text, reply.text);
    CHECK_EQ(live.stat("sharedTokens"), 0.0);
}
