#include "check.h"
#include "prompt_lookup.h"

#include <algorithm>
#include <random>

using namespace llama_sessions;

static Tokens plus(Tokens tokens, const Tokens& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
    return tokens;
}

static Tokens draft_after(const Tokens& tokens, int count, size_t spoken) {
    PromptLookup lookup;
    lookup.read(tokens, spoken);
    return lookup.ready() ? lookup.draft(tokens, count) : Tokens{};
}

static Tokens draft_after(const Tokens& tokens, int count) { return draft_after(tokens, count, tokens.size()); }

static std::string listed(const Tokens& tokens) {
    std::string text;
    for (const llama_token token : tokens) text += std::to_string(token) + " ";
    return text;
}

TEST(lookup_goes_on_as_the_passage_does_that_is_quoted) {
    const Tokens prompt = {9, 1, 2, 3, 4, 5, 6, 7, 8, 20, 21};
    CHECK_EQ(listed(draft_after(plus(prompt, {1, 2, 3}), 4)), "4 5 6 7 ");
    CHECK_EQ(listed(draft_after(plus(prompt, {30, 4, 5, 6}), 3)), "7 8 20 ");
    CHECK(draft_after(plus(prompt, {2, 3}), 4).empty()); // two agree by chance
    CHECK(draft_after(plus(prompt, {1, 2, 4}), 4).empty());
    CHECK(draft_after({}, 4).empty());
    CHECK(draft_after({1}, 4).empty());
    CHECK(draft_after({1, 2, 3, 4, 5, 6}, 4).empty());
}

TEST(lookup_repeats_what_repeats) {
    CHECK_EQ(listed(draft_after({7, 7, 7, 7}, 3)), "7 7 7 ");
    CHECK_EQ(listed(draft_after({1, 2, 1, 2, 1}, 5)), "2 1 2 1 2 ");
    CHECK_EQ(listed(draft_after({1, 2, 3, 4, 1, 2, 3}, 6)), "4 1 2 3 4 1 ");
}

TEST(lookup_takes_the_last_of_several_passages_and_stays_with_it) {
    // 1 2 3 stands there three times. The reply quotes the second one, which is found by what came before.
    const Tokens prompt = {1, 2, 3, 40, 5, 6, 7, 1, 2, 3, 41, 8, 9, 1, 2, 3, 42};
    CHECK_EQ(listed(draft_after(plus(prompt, {0, 1, 2, 3}), 1)), "42 ");
    PromptLookup lookup;
    Tokens tokens = plus(prompt, {5, 6, 7});
    const size_t spoken = tokens.size() - 3;
    lookup.read(tokens, spoken);
    for (const llama_token said : {1, 2, 3}) {
        CHECK_EQ(listed(lookup.draft(tokens, 1)), listed({said}));
        tokens.push_back(said);
        lookup.read(tokens, spoken);
    }
    CHECK_EQ(listed(lookup.draft(tokens, 3)), "41 8 9 ");
    tokens.push_back(77); // it doesn't go on like that
    lookup.read(tokens, spoken);
    CHECK(!lookup.ready());
}

TEST(lookup_trusts_a_passage_more_the_longer_it_is_right) {
    Tokens tokens;
    for (int i = 0; i < 50; i++) tokens.push_back(i);
    const size_t spoken = tokens.size();
    PromptLookup lookup;
    tokens = plus(tokens, {0, 1, 2});
    lookup.read(tokens, spoken);
    double before = 0;
    for (int said = 3; said < 30; said++) {
        const double chance = lookup.chance(0);
        CHECK(chance > before && chance < 1);
        CHECK(lookup.chance(1) > chance);
        before = chance;
        tokens.push_back(said);
        lookup.read(tokens, spoken);
    }
    CHECK(before > 0.9);
}

// Passages that begin alike and go on otherwise, again and again.
TEST(lookup_learns_that_passages_are_of_no_use) {
    Tokens tokens = {1, 2, 3, 1000};
    PromptLookup lookup;
    for (int i = 0; i < 30; i++) {
        tokens = plus(tokens, {1, 2, 3});
        lookup.read(tokens, 4);
        CHECK(lookup.ready());
        if (i == 0) CHECK(lookup.chance(0) >= 0.5);
        if (i > 3) CHECK(lookup.chance(0) < 0.25);
        tokens.push_back(1001 + i);
        lookup.read(tokens, 4);
    }
}

TEST(lookup_waits_longer_after_each_draft_in_vain) {
    const Tokens period = {1, 2, 3, 4, 5};
    Tokens tokens = plus(plus(period, period), period);
    PromptLookup lookup;
    lookup.read(tokens, 10);
    const auto wait = [&] {
        int said = 0;
        for (; !lookup.ready(); said++) {
            tokens.push_back(period[tokens.size() % 5]);
            lookup.read(tokens, 10);
        }
        return said;
    };
    int longest = 0, last = 0;
    for (int i = 0; i < 8; i++) {
        lookup.tell(3, 0);
        const int waited = wait();
        CHECK(waited == std::min(64, 2 * last) || i == 0);
        last = waited;
        longest = std::max(longest, waited);
    }
    CHECK_EQ(longest, 64);
    lookup.tell(3, 1); // partly right: neither wait nor forget
    CHECK(lookup.ready());
    lookup.tell(3, 0);
    CHECK_EQ(wait(), 64);
    lookup.tell(3, 3);
    lookup.tell(3, 0);
    CHECK(wait() < 8);
}

// Against one that looks at everything each time; tokens in portions of any size, and a table that grows on the way.
TEST(lookup_finds_only_what_is_there) {
    std::mt19937 random(4);
    int found = 0, missed = 0;
    for (int round = 0; round < 100; round++) {
        const int kinds = 2 + static_cast<int>(random() % 20);
        Tokens tokens;
        PromptLookup lookup;
        const size_t spoken = random() % 200;
        while (tokens.size() < 2000) {
            for (size_t i = random() % 5 + 1; i > 0; i--) tokens.push_back(static_cast<llama_token>(random() % kinds));
            lookup.read(tokens, spoken);
            const size_t size = tokens.size();
            bool there = false;
            for (size_t i = 3; i < size && !there; i++) {
                there = std::equal(tokens.end() - 3, tokens.end(), tokens.begin() + static_cast<std::ptrdiff_t>(i) - 3);
            }
            if (lookup.ready()) {
                CHECK(there);
                const Tokens draft = lookup.draft(tokens, 40);
                CHECK_EQ(draft.size(), size_t{40});
                // It goes on as some passage does that ends in the same three tokens.
                const Tokens all = plus(tokens, draft);
                bool quoted = false;
                for (size_t i = 3; i < size && !quoted; i++) {
                    const auto at = all.begin() + static_cast<std::ptrdiff_t>(i) - 3;
                    quoted = std::equal(at, at + 43, all.begin() + static_cast<std::ptrdiff_t>(size) - 3);
                }
                CHECK(quoted);
                found++;
            } else {
                missed += there;
            }
        }
    }
    CHECK(found > 1000 && missed < found / 10); // another hash in the same place drops an older one
}
