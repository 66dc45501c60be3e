#include "check.h"
#include "time_slice.h"

using namespace llama_sessions;

static constexpr double usual = 10;

// After so many gaps in which the step and the slice were held up by so many usual steps.
static TimeSlice after(int gaps, double delay) {
    TimeSlice slice;
    for (int i = 0; i < gaps; i++) {
        const double length = slice.milliseconds(usual);
        slice.record(usual + length + delay * usual, length, usual);
    }
    return slice;
}

TEST(time_slice_is_most_of_the_gap_on_a_quiet_machine) {
    const double slice = after(1000, 0.1).milliseconds(usual);
    CHECK(slice > 0.6 * (slice + 1.1 * usual)); // the prompt's part of the time
    CHECK(slice + usual < 4 * usual);
}

TEST(time_slice_leaves_room_for_delays) {
    for (const double delay : {0.5, 1.0, 1.5}) {
        const double slice = after(1000, delay).milliseconds(usual);
        CHECK(slice + usual + delay * usual < 4 * usual);
    }
}

TEST(time_slice_never_ends_the_reading) {
    const TimeSlice held_up = after(1000, 50);
    CHECK(held_up.milliseconds(usual) >= 0.5 * usual);
    CHECK(held_up.milliseconds(0.001) >= 1);
}

TEST(time_slice_grows_again_when_delays_have_passed) {
    TimeSlice slice = after(10, 1.5);
    const double during = slice.milliseconds(usual);
    for (int i = 0; i < 500; i++) slice.record(usual, 0, usual);
    CHECK(slice.milliseconds(usual) > 1.5 * during);
}

TEST(time_slice_remembers_a_delay_for_a_while) {
    TimeSlice slice = after(300, 0);
    const double quiet = slice.milliseconds(usual);
    slice.record(usual * 2.5, 0, usual);
    for (int i = 0; i < 10; i++) slice.record(usual, 0, usual);
    CHECK(slice.milliseconds(usual) < 0.8 * quiet);
}

TEST(time_slice_expects_a_delay_after_a_long_peace) {
    const double slice = after(1000, 0).milliseconds(usual);
    CHECK(slice + usual + 1.1 * usual < 4 * usual);
}

TEST(time_slice_is_short_while_nothing_is_known) {
    TimeSlice slice;
    CHECK(slice.milliseconds(0) > 0);
    slice.record(100, 10, 0); // changes nothing
    CHECK_EQ(slice.milliseconds(usual), TimeSlice().milliseconds(usual));
    CHECK(slice.milliseconds(usual) < after(1000, 0.1).milliseconds(usual));
}
