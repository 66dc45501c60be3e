// Commands that come while others generate: copies take their turns, cancels take none.
#include "check.h"
#include "recall.h"

#include <atomic>

using namespace llama_sessions;
using namespace llama_sessions::test;

// A sequence that holds `tokens`, and one that talks without end.
static uint32_t hold_and_talk(LiveEngine& live, size_t tokens) {
    live.run(endless(0, long_prompt(tokens), 1));
    const uint32_t talker = live.submit(endless(1, chat({"Tell me a story."}), 1900));
    live.wait_until("a token", [&] { return !live.so_far(talker).tokens.empty(); });
    return talker;
}

TEST(commands_leave_time_for_steps) {
    LiveEngine live(options_of(2));
    const uint32_t talker = hold_and_talk(live, 1000);
    std::atomic<int> done{0};
    std::vector<size_t> said; // by the time that each was done; written on the engine thread
    LiveEngine::Pause pause(live);
    const double steps = live.stat("steps");
    for (int i = 0; i < 1000; i++) {
        live.export_later(0, 0, 512, [&](const Bytes& bytes, const std::string& code) {
            if (!code.empty() || bytes.size < 512 * 2048) complain("an export that failed");
            said.push_back(static_cast<size_t>(live.stat("steps") - steps));
            done++;
        });
    }
    pause.go();
    live.wait_until("all exports", [&] { return done == 1000; });
    // An export takes some tenths of a millisecond, and half a millisecond is what they get between two steps.
    size_t most_in_a_row = 0, in_a_row = 0;
    for (size_t i = 1; i < said.size(); i++) {
        in_a_row = said[i] == said[i - 1] ? in_a_row + 1 : 0;
        most_in_a_row = std::max(most_in_a_row, in_a_row);
    }
    CHECK(live.so_far(talker).ends.empty() || live.wait(talker).reason() == "length");
    CHECK(said.back() >= 20);
    CHECK(most_in_a_row < 100);
    CHECK(live.stat("copiedBytes") >= 1000.0 * 512 * 2048);
    CHECK(live.stat("copyMs") > 0);
    live.engine().cancel(talker);
}

TEST(commands_have_no_limit_while_nobody_generates) {
    LiveEngine live(options_of(2));
    live.run(endless(0, long_prompt(1000), 1));
    std::atomic<int> done{0};
    double after = 0; // written on the engine thread
    const double steps = live.stat("steps");
    LiveEngine::Pause pause(live);
    const uint32_t reader = live.submit(endless(1, long_prompt(900, 2), 1)); // it can wait
    for (int i = 0; i < 100; i++) {
        live.export_later(0, 0, 512, [&](const Bytes&, const std::string&) {
            after = live.stat("steps");
            done++;
        });
    }
    pause.go();
    live.wait_until("all exports", [&] { return done == 100; });
    CHECK_EQ(after, steps);
    CHECK_EQ(live.wait(reader).reason(), "length");
}

TEST(commands_keep_their_order) {
    LiveEngine live(options_of(3));
    const uint32_t talker = hold_and_talk(live, 600);
    LiveEngine::Pause pause(live);
    std::vector<int> order; // written on the engine thread
    std::atomic<bool> last{false};
    for (int i = 0; i < 50; i++) {
        live.export_later(0, 0, 512, [&, i](const Bytes&, const std::string& code) {
            CHECK_EQ(code, i < 25 ? "" : "INTERNAL"); // cleared in the middle
            order.push_back(i);
        });
        if (i == 24) live.clear_later(0);
    }
    live.clear_later(2, [&](const std::string&) { last = true; });
    pause.go();
    live.wait_until("the last command", [&] { return last.load(); });
    for (int i = 0; i < 50; i++) CHECK_EQ(order.at(static_cast<size_t>(i)), i);
    live.engine().cancel(talker);
}

TEST(commands_do_not_hold_up_a_cancel) {
    LiveEngine live(options_of(4));
    live.run(endless(0, long_prompt(1000), 1));
    std::vector<uint32_t> talkers;
    for (const llama_seq_id i : {1, 2}) talkers.push_back(live.submit(endless(i, chat({"Tell me a story."}), 1900)));
    live.wait_until("tokens", [&] { return !live.so_far(talkers[1]).tokens.empty(); });
    std::atomic<int> done{0};
    LiveEngine::Pause pause(live);
    for (int i = 0; i < 1000; i++) live.export_later(0, 0, 900, [&](const Bytes&, const std::string&) { done++; });
    // Behind all those, and never to begin.
    const Tokens prompt = chat({"My name is Mosoba."});
    const uint32_t queued = live.submit(endless(3, prompt, 100));
    live.clear_later(3);
    const uint32_t again = live.submit(greedy(3, prompt));
    for (const uint32_t request : {queued, talkers[0], queued}) live.engine().cancel(request);
    pause.go();
    const Reply reply = live.wait(queued);
    CHECK_EQ(reply.reason(), "cancelled");
    CHECK_EQ(live.wait(talkers[0]).reason(), "cancelled");
    CHECK(done < 500);
    CHECK_EQ(reply.end().prompt_tokens, static_cast<int>(prompt.size()));
    CHECK_EQ(reply.end().kv_tokens, 0);
    live.engine().cancel(talkers[1]);
    CHECK_EQ(live.wait(again).text, "Noted: your name is Mosoba.");
    CHECK_EQ(done.load(), 1000);
}

TEST(commands_do_not_hold_up_a_cancel_while_nobody_generates) {
    LiveEngine live(options_of(2));
    live.run(endless(0, long_prompt(1000), 1));
    std::atomic<int> done{0};
    LiveEngine::Pause pause(live);
    for (int i = 0; i < 1000; i++) live.export_later(0, 0, 900, [&](const Bytes&, const std::string&) { done++; });
    const uint32_t queued = live.submit(endless(1, chat({"Tell me a story."}), 100));
    live.engine().cancel(queued);
    pause.go();
    CHECK_EQ(live.wait(queued).reason(), "cancelled");
    CHECK(done < 500);
}

// What a cancelled turn is said to have left is what the sequence holds, though its command is still in the queue then.
TEST(commands_of_a_cancelled_turn_leave_what_was_said) {
    LiveEngine live(options_of(3));
    const uint32_t talker = hold_and_talk(live, 300);
    const Tokens old = long_prompt(200, 2);
    live.run(endless(2, old, 1));
    Tokens next = old;
    next.resize(120);
    next.push_back(7);
    std::string early, late, later;
    {
        LiveEngine::Pause pause(live);
        for (int i = 0; i < 200; i++) live.export_later(0, 0, 300);
        live.export_later(2, 0, 200, [&](const Bytes&, const std::string& code) { early = code; });
        const uint32_t request = live.submit(endless(2, next, 10));
        live.export_later(2, 0, 121, [&](const Bytes&, const std::string& code) { late = code; });
        live.export_later(2, 0, 120, [&](const Bytes&, const std::string& code) { later = code; });
        live.engine().cancel(request);
        pause.go();
        CHECK_EQ(live.wait(request).end().kv_tokens, 120);
    }
    live.clear_now(0);
    CHECK_EQ(early, ""); // asked for before the turn
    CHECK_EQ(late, "INTERNAL");
    CHECK_EQ(later, "");

    // Where a command before it changes the sequence: nothing.
    LiveEngine::Pause pause(live);
    live.adopt_later(2, next);
    const uint32_t request = live.submit(endless(2, next, 10));
    live.engine().cancel(request);
    pause.go();
    CHECK_EQ(live.wait(request).end().kv_tokens, 0);
    CHECK_EQ(live.export_now(2, 0, 1), "INTERNAL");
    live.engine().cancel(talker);
}

// A cancel that follows its submit at once is never lost, wherever the engine is at that moment.
TEST(commands_and_cancels_that_race) {
    LiveEngine live(options_of(2));
    live.info();
    const Tokens prompt = chat({"Tell me a story."});
    for (int i = 0; i < 2000; i++) {
        const uint32_t request = live.submit(endless(i % 2, prompt, 1900));
        if (i % 3 == 0) std::this_thread::yield();
        live.engine().cancel(request);
        CHECK_EQ(live.wait(request).reason(), "cancelled");
    }
}

TEST(commands_do_not_hold_up_a_close) {
    LiveEngine live(options_of(2));
    live.run(endless(0, long_prompt(1000), 1));
    std::atomic<int> done{0}, refused{0};
    LiveEngine::Pause pause(live);
    for (int i = 0; i < 2000; i++) {
        live.export_later(0, 0, 1000,
                          [&](const Bytes&, const std::string& code) { ++(code.empty() ? done : refused); });
    }
    pause.go();
    live.wait_until("some exports", [&] { return done > 3; });
    live.engine().close();
    live.engine().join();
    CHECK(done < 1000);
    CHECK_EQ(done + refused, 2000);
}

// A prompt that has the engine to itself is read in large steps, which every command for another sequence ends.
TEST(commands_without_end_let_a_prompt_get_somewhere) {
    const Tokens prompt = long_prompt(1800);
    LiveEngine alone(options_of(2));
    const Reply expected = alone.run(endless(0, prompt, 20));
    LiveEngine live(options_of(2));
    const uint32_t reader = live.submit(endless(0, prompt, 20));
    while (live.so_far(reader).ends.empty()) CHECK_EQ(live.clear_now(1), "");
    CHECK_EQ(expected.reason(), "length");
    CHECK_EQ(live.wait(reader).text, expected.text);
    CHECK_EQ(live.wait(reader).reason(), "length");
}
