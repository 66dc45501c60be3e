#include "check.h"
#include "logits.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

using namespace llama_sessions;

static std::vector<float> random_row(size_t size, uint32_t seed) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> few(-50, 50); // many are equal
    std::vector<float> row(size);
    for (float& value : row) value = static_cast<float>(few(random));
    return row;
}

TEST(logits_largest_is_the_first_of_equals) {
    for (const size_t size : {1, 2, 15, 16, 17, 255, 256, 257, 1000, 32003}) {
        for (uint32_t seed = 0; seed < 20; seed++) {
            const std::vector<float> row = random_row(size, seed);
            const auto expected = std::max_element(row.begin(), row.end());
            CHECK_EQ(index_of_largest(row.data(), size), static_cast<size_t>(expected - row.begin()));
            CHECK_EQ(largest_of(row.data(), size), *expected);
        }
    }
}

TEST(logits_largest_is_found_at_every_place) {
    std::vector<float> row(700, -3);
    for (size_t at = 0; at < row.size(); at++) {
        row[at] = 2;
        CHECK_EQ(index_of_largest(row.data(), row.size()), at);
        row[at] = -3;
    }
}

TEST(logits_without_any_number_give_the_first) {
    const std::vector<float> none(300, -INFINITY), nan(300, NAN);
    CHECK_EQ(index_of_largest(none.data(), none.size()), size_t{0});
    CHECK_EQ(index_of_largest(nan.data(), nan.size()), size_t{0});
    CHECK_EQ(index_of_largest(none.data(), 0), size_t{0});
    CHECK_EQ(largest_of(none.data(), 0), -INFINITY);
}

TEST(logits_nan_does_not_count) {
    std::vector<float> row(300, NAN);
    row[299] = -7;
    CHECK_EQ(index_of_largest(row.data(), row.size()), size_t{299});
}
