#include "check.h"
#include "turn.h"

#include <random>

using namespace llama_sessions;

namespace {
// Feeds tokens 0, 1, … with these pieces and keeps what left.
struct Feed {
    explicit Feed(std::vector<std::string> stop) : reply(std::move(stop)) {}
    bool push(const std::string& piece) { return reply.push(next++, piece, text, tokens); }
    void finish() { reply.finish(text, tokens); }
    bool in_order() const {
        for (size_t i = 0; i < tokens.size(); i++) {
            if (tokens[i] != static_cast<llama_token>(i)) return false;
        }
        return true;
    }
    ReplyText reply;
    llama_token next = 0;
    std::string text;
    Tokens tokens;
};
} // namespace

TEST(reply_text_lets_plain_tokens_through_at_once) {
    Feed feed({});
    CHECK(!feed.push("Hello"));
    CHECK_EQ(feed.text, "Hello");
    CHECK_EQ(feed.tokens.size(), 1u);
    CHECK(!feed.push(" you"));
    CHECK_EQ(feed.text, "Hello you");
    CHECK_EQ(feed.tokens.size(), 2u);
}

TEST(reply_text_keeps_a_token_until_its_character_is_whole) {
    Feed feed({});
    feed.push("a\xF0\x9F");
    CHECK_EQ(feed.text, "a");
    CHECK_EQ(feed.tokens.size(), 0u);
    feed.push("\x99");
    CHECK_EQ(feed.tokens.size(), 0u);
    feed.push("\x82");
    CHECK_EQ(feed.text, "a\xF0\x9F\x99\x82");
    CHECK_EQ(feed.tokens.size(), 3u);
    feed.push("\xC3");
    feed.finish();
    CHECK_EQ(feed.text, "a\xF0\x9F\x99\x82\xEF\xBF\xBD");
    CHECK_EQ(feed.tokens.size(), 4u);
}

TEST(reply_text_keeps_tokens_of_a_possible_stop) {
    Feed feed({"STOP"});
    feed.push("ab");
    feed.push("cS");
    CHECK_EQ(feed.text, "abc");
    CHECK_EQ(feed.tokens.size(), 1u);
    feed.push("TO");
    CHECK_EQ(feed.tokens.size(), 1u);
    feed.push("x");
    CHECK_EQ(feed.text, "abcSTOx");
    CHECK_EQ(feed.tokens.size(), 4u);
    feed.push("ST");
    CHECK(feed.push("OPPED"));
    CHECK_EQ(feed.text, "abcSTOx");
    CHECK_EQ(feed.tokens.size(), 4u);
}

TEST(reply_text_gives_tokens_without_text_too) {
    Feed feed({});
    feed.push("");
    feed.push("a");
    feed.push("");
    feed.finish();
    CHECK_EQ(feed.text, "a");
    CHECK_EQ(feed.tokens.size(), 3u);
    CHECK(feed.in_order());
}

// Whatever the pieces are: each token leaves once, in order, never before all text that it ends in, and at the end
// nothing is missing.
TEST(reply_text_loses_and_repeats_nothing) {
    std::mt19937 random(3);
    const std::string bytes = "ab\xC3\xA9\xE2\x82\xAC\xF0\x9F\x99\x82";
    for (int round = 0; round < 10000; round++) {
        Feed feed({"ab",
                   "\xC3\xA9"
                   "a",
                   "b\xEF\xBF\xBD"});
        std::string all;
        std::vector<size_t> text_needed; // bytes of whole text that token i ends in
        Utf8Stream utf8;
        bool stopped = false;
        for (int token = 0; token < 10 && !stopped; token++) {
            std::string piece;
            for (size_t n = random() % 4; n > 0; n--) piece += bytes[random() % bytes.size()];
            all += utf8.push(piece);
            text_needed.push_back(all.size() + (utf8.in_character() ? 1 : 0));
            stopped = feed.push(piece);
            CHECK(feed.in_order());
            CHECK_EQ(feed.text, all.substr(0, feed.text.size()));
            for (size_t i = 0; i < feed.tokens.size(); i++) CHECK(text_needed[i] <= feed.text.size());
        }
        if (stopped) continue;
        feed.finish();
        CHECK_EQ(feed.text, all + utf8.finish());
        CHECK_EQ(feed.tokens.size(), 10u);
        CHECK(feed.in_order());
    }
}
