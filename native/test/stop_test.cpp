#include "check.h"
#include "stop.h"

#include <random>

using namespace llama_sessions;

namespace {
struct Outcome {
    std::string text;
    bool stopped;
};
} // namespace

static Outcome feed(const std::vector<std::string>& stops, const std::vector<std::string>& parts) {
    StopStrings stop(stops);
    std::string out;
    for (const std::string& part : parts) {
        if (stop.push(part, out)) return {out, true};
    }
    return {out + stop.finish(), false};
}

TEST(stop_is_found_within_a_token) {
    const Outcome found = feed({"END"}, {"one END two"});
    CHECK(found.stopped);
    CHECK_EQ(found.text, "one ");
}

TEST(stop_is_found_across_tokens) {
    for (const auto& parts : std::vector<std::vector<std::string>>{
             {"one E", "ND two"}, {"one ", "E", "N", "D"}, {"one EN", "", "D"}, {"one ENEN", "D"}}) {
        const Outcome found = feed({"END"}, parts);
        CHECK(found.stopped);
        CHECK_EQ(found.text.substr(0, 4), "one ");
        CHECK(found.text.find("END") == std::string::npos);
    }
    CHECK_EQ(feed({"END"}, {"one ENEN", "D"}).text, "one EN");
    CHECK_EQ(feed({"aab"}, {"a", "a", "a", "b"}).text, "a");
}

TEST(stop_holds_back_only_what_may_be_its_beginning) {
    StopStrings stop({"END", "\n\n"});
    std::string out;
    CHECK(!stop.push("text EN", out));
    CHECK_EQ(out, "text ");
    CHECK(!stop.push("C", out));
    CHECK_EQ(out, "text ENC");
    CHECK(!stop.push("x\n", out));
    CHECK_EQ(out, "text ENCx");
    CHECK_EQ(stop.finish(), "\n");
    CHECK_EQ(stop.finish(), "");
}

TEST(stop_takes_the_first_of_several) {
    CHECK_EQ(feed({"two", "one"}, {"zero one two"}).text, "zero ");
    CHECK_EQ(feed({"one", "two"}, {"zero one two"}).text, "zero ");
    CHECK_EQ(feed({"bc", "abcd"}, {"xabcd"}).text, "x");          // both are there: the one that begins first
    CHECK_EQ(feed({"bc", "abcd"}, {"xa", "bc", "d"}).text, "xa"); // "bc" is complete before "abcd" is
    CHECK_EQ(feed({"a", "aa"}, {"aa"}).text, "");
}

TEST(stop_ignores_empty_strings) {
    CHECK(!feed({""}, {"abc"}).stopped);
    CHECK(!feed({}, {"abc"}).stopped);
    CHECK_EQ(feed({"", "c"}, {"abc"}).text, "ab");
    CHECK(!feed({"c"}, {"", ""}).stopped);
}

TEST(stop_agrees_with_a_naive_search) {
    std::mt19937 random(2);
    const auto word = [&](size_t most) {
        std::string text;
        for (size_t n = random() % (most + 1); n > 0; n--) text += static_cast<char>('a' + random() % 2);
        return text;
    };
    for (int round = 0; round < 30000; round++) {
        std::vector<std::string> stops;
        for (size_t n = random() % 4; n > 0; n--) stops.push_back(word(6) + (random() % 2 ? "b" : ""));
        StopStrings stop(stops);
        std::string all, out;
        bool stopped = false;
        for (int token = 0; token < 12 && !stopped; token++) {
            const std::string text = word(3);
            all += text;
            size_t first = std::string::npos, most_held = 0;
            for (const std::string& s : stops) {
                if (!s.empty()) first = std::min(first, all.find(s));
                most_held = std::max(most_held, s.size());
            }
            stopped = stop.push(text, out);
            CHECK_EQ(stopped, first != std::string::npos);
            if (stopped) CHECK_EQ(out, all.substr(0, first));
            CHECK_EQ(out, all.substr(0, out.size()));
            if (!stopped) CHECK(all.size() - out.size() < std::max<size_t>(1, most_held));
        }
        if (!stopped) CHECK_EQ(out + stop.finish(), all);
    }
}
