#include "admission.h"
#include "check.h"

using namespace llama_sessions;

static constexpr int headroom = 64;

TEST(admission_takes_what_fits_with_headroom) {
    const Pool pool = {1000, 300, 0, true};
    CHECK_EQ(cells_lacking({0, 0, 300 - headroom}, pool), 0);
    CHECK_EQ(cells_lacking({0, 0, 301 - headroom}, pool), 1);
    CHECK_EQ(cells_lacking({0, 0, 900}, pool), 900 + headroom - 300);
}

TEST(admission_counts_what_was_promised_to_others) {
    CHECK_EQ(cells_lacking({0, 0, 100}, {1000, 300, 136, true}), 0);
    CHECK_EQ(cells_lacking({0, 0, 100}, {1000, 300, 137, true}), 1);
    CHECK_EQ(cells_lacking({0, 0, 100}, {1000, 300, 800, true}), 664); // promised more than there is: it happens
}

TEST(admission_lets_one_in_that_nearly_fills_the_pool) {
    // 990 and headroom are more than there will ever be.
    CHECK_EQ(cells_lacking({0, 0, 990}, {1000, 999, 0, true}), 1);
    CHECK_EQ(cells_lacking({0, 0, 990}, {1000, 1000, 0, true}), 0);
    CHECK_EQ(cells_lacking({400, 0, 590}, {1000, 600, 0, true}), 0);
}

TEST(admission_of_one_that_is_alone) {
    CHECK_EQ(cells_lacking({0, 0, 5000}, {1000, 0, 0, false}), 0);    // room is made on the way
    CHECK_EQ(cells_lacking({0, 300, 350}, {1000, 299, 0, false}), 1); // KV from RAM comes at once
    CHECK_EQ(cells_lacking({0, 300, 350}, {1000, 300, 0, false}), 0);
}
