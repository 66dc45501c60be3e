#include "check.h"
#include "worker.h"

using namespace llama_sessions;

TEST(step_members_end_a_step_when_all_are_cancelled) {
    std::atomic<bool> abort{false};
    StepMembers members(abort);
    members.begin({1, 2}, false);
    members.cancel(1);
    members.cancel(7);
    CHECK(!abort);
    members.cancel(2);
    CHECK(abort);
    members.end();
    CHECK(!abort); // of the next step
}

TEST(step_members_give_way_to_whoever_arrives) {
    std::atomic<bool> abort{false};
    StepMembers members(abort);
    members.begin({1}, true);
    CHECK(!abort);
    members.arrive();
    CHECK(abort);
    members.end();

    members.attend();
    members.begin({1}, false);
    members.arrive();
    CHECK(!abort);
    members.end();
}

TEST(step_members_give_way_to_who_came_before_the_step) {
    std::atomic<bool> abort{false};
    StepMembers members(abort);
    members.arrive();
    CHECK(!abort);
    members.begin({1}, true);
    CHECK(abort);
    members.end();
    members.attend();
    members.begin({1}, true);
    CHECK(!abort);
}

// While commands are worked off, say: the engine looks for cancels before that, and again after the step.
TEST(step_members_end_a_step_for_who_was_cancelled_before_it) {
    std::atomic<bool> abort{false};
    StepMembers members(abort);
    members.cancel(1);
    CHECK(!abort);
    members.begin({1, 2}, false);
    CHECK(!abort);
    members.cancel(2);
    CHECK(abort);
    members.end();
    members.begin({1}, false);
    CHECK(abort);
    members.end();

    members.attend();
    members.begin({1}, false);
    CHECK(!abort);
}

TEST(step_members_of_a_memory_with_a_state_are_never_interrupted) {
    std::atomic<bool> abort{false};
    StepMembers members(abort);
    members.never_abort();
    members.cancel(1);
    members.begin({1}, true);
    members.arrive();
    members.cancel(1);
    CHECK(!abort);
}
