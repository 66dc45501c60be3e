// A pool of KV cells that is too small for all.
#include "check.h"
#include "recall.h"

#include <atomic>
#include <random>

using namespace llama_sessions;
using namespace llama_sessions::test;

static std::string text_alone(const SubmitOptions& options) {
    LiveEngine live(options_of(8, 2048));
    return live.run(options).text;
}

static const std::vector<std::string> openings = {"Tell me a story.", "My name is Mosoba.", "Count from 3 to 9.",
                                                  "What do you know about me?"};

TEST(room_young_turns_give_way_and_come_back) {
    LiveEngine live(options_of(4, 512));
    CHECK_EQ(live.info().context_tokens, 512);
    std::vector<uint32_t> requests;
    {
        const LiveEngine::Pause pause(live);
        for (int i = 0; i < 4; i++)
            requests.push_back(live.submit(endless(i, chat({openings[static_cast<size_t>(i)]}), 200)));
    }
    for (int i = 0; i < 4; i++) { // the oldest ends first; its cells are given to the others
        const Reply reply = live.wait(requests[static_cast<size_t>(i)]);
        CHECK_EQ(reply.reason(), "length");
        CHECK_EQ(reply.end().generated_tokens, 200);
        CHECK_EQ(reply.text, text_alone(endless(i, chat({openings[static_cast<size_t>(i)]}), 200)));
        live.clear_now(i);
    }
    CHECK(live.stat("stowedTurns") > 0);
}

TEST(room_a_turn_that_gave_way_can_be_cancelled) {
    LiveEngine live(options_of(2, 512));
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t old = live.submit(endless(0, chat({openings[0]}), 400));
    const uint32_t young = live.submit(endless(1, chat({openings[1]}), 400));
    pause.go();
    live.wait_until("pressure", [&] { return live.stat("stowedTurns") > 0; });
    live.engine().cancel(young);
    const Reply reply = live.wait(young);
    CHECK_EQ(reply.reason(), "cancelled");
    CHECK_EQ(reply.end().kv_tokens, 0);
    CHECK_EQ(live.wait(old).end().generated_tokens, 400);
    live.clear_now(0);
    CHECK_EQ(live.run(greedy(1, chat({"My name is Mosoba."}))).text, "Noted: your name is Mosoba.");
}

TEST(room_closing_ends_turns_that_gave_way) {
    LiveEngine live(options_of(3, 512));
    live.info();
    for (int i = 0; i < 3; i++) live.submit(endless(i, chat({openings[static_cast<size_t>(i)]}), 400));
    live.wait_until("pressure", [&] { return live.stat("stowedTurns") > 0; });
}

// The turn that gave way must ask for the cells of a neighbour that has become idle: nobody else knows that it waits.
TEST(room_a_turn_that_gave_way_asks_idle_sequences_for_cells) {
    LiveEngine live(options_of(2, 512));
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t old = live.submit(endless(0, chat({openings[0]}), 250));
    const uint32_t young = live.submit(endless(1, chat({openings[1]}), 300));
    pause.go();
    live.wait(old);
    CHECK(live.stat("stowedTurns") > 0);
    live.wait_until("a call for cells", [&] { return live.cells_asked() > 0; });
    live.clear_now(0);
    CHECK_EQ(live.wait(young).text, text_alone(endless(1, chat({openings[1]}), 300)));
}

// A turn that nearly fills the pool gives way to a short old one, and comes back all the same.
TEST(room_a_large_turn_that_gave_way_comes_back) {
    LiveEngine live(options_of(2, 512));
    live.info();
    live.run(endless(1, long_prompt(445), 1)); // so that its prompt is read at once, however fast the machine is
    LiveEngine::Pause pause(live);
    const uint32_t old = live.submit(endless(0, chat({openings[0]}), 60));
    const uint32_t young = live.submit(endless(1, long_prompt(445), 50));
    pause.go();
    live.wait(old);
    CHECK(live.stat("stowedTurns") > 0);
    live.clear_now(0);
    const Reply reply = live.wait(young);
    CHECK_EQ(reply.reason(), "length");
    CHECK_EQ(reply.text, text_alone(endless(1, long_prompt(445), 50)));
}

// Small newcomers, one after the other, must not keep out a turn that gave way to an older one.
TEST(room_newcomers_do_not_starve_a_turn_that_gave_way) {
    constexpr int newcomers = 2; // of which one always holds more cells than the other two can spare
    LiveEngine live(options_of(2 + newcomers, 512));
    live.on_cells_wanted = [&] { // park whatever is idle: busy ones refuse
        for (int i = 0; i < 2 + newcomers; i++) live.clear_later(i);
    };
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t old = live.submit(endless(0, chat({openings[0]}), 300));
    const uint32_t young = live.submit(endless(1, chat({openings[1]}), 300));
    pause.go();
    live.wait_until("pressure", [&] { return live.stat("stowedTurns") > 0; });
    uint32_t last[newcomers] = {};
    int begun = 0;
    while (live.so_far(young).ends.empty() && begun < 100) {
        for (int i = 0; i < newcomers; i++) {
            if (last[i] && live.so_far(last[i]).ends.empty()) continue;
            last[i] = live.submit(endless(2 + i, long_prompt(200), 30 + 17 * i)); // so that they don't end together
            begun++;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(!live.so_far(young).ends.empty());
    live.wait(old);
    for (const uint32_t request : last) {
        if (request) live.wait(request);
    }
}

TEST(room_one_turn_may_take_the_whole_pool) {
    LiveEngine live(options_of(2, 512));
    const Tokens prompt = chat({openings[0]});
    const Reply reply = live.run(endless(0, prompt, 10000));
    CHECK_EQ(reply.reason(), "length");
    CHECK_EQ(reply.end().prompt_tokens + reply.end().generated_tokens, 512);
    live.clear_now(0);
    CHECK_EQ(live.run(greedy(1, chat({"My name is Mosoba."}))).text, "Noted: your name is Mosoba.");
}

TEST(room_a_prompt_that_is_too_long_is_an_error) {
    LiveEngine live(options_of(2, 512));
    live.info();
    CHECK_EQ(live.run(greedy(0, long_prompt(512))).code(), "CONTEXT_FULL");
    CHECK_EQ(live.run(greedy(0, long_prompt(5000))).code(), "CONTEXT_FULL");
    const Reply longest = live.run(greedy(0, long_prompt(511)));
    CHECK_EQ(longest.reason(), "length");
    CHECK_EQ(longest.end().generated_tokens, 1);
    CHECK_EQ(live.run(greedy(0, chat({"My name is Mosoba."}))).text, "Noted: your name is Mosoba.");

    LiveEngine large(options_of(2, 8192)); // one session is not longer than what the model learned
    CHECK_EQ(large.info().session_tokens, 2048);
    CHECK_EQ(large.run(greedy(0, long_prompt(2048))).code(), "CONTEXT_FULL");
}

TEST(room_idle_sequences_are_asked_for_their_cells) {
    LiveEngine live(options_of(3, 512));
    live.run(endless(0, long_prompt(250), 1));
    live.run(endless(1, long_prompt(255, 1), 1));
    CHECK_EQ(live.cells_asked(), 0);
    const uint32_t request = live.submit(greedy(2, chat({"My name is Mosoba."})));
    live.wait_until("a call for cells", [&] { return live.cells_asked() > 0; });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK_EQ(live.cells_asked(), 1); // once is enough
    CHECK(live.so_far(request).ends.empty());
    CHECK_EQ(live.stat("stowedTurns"), 0.0);
    live.clear_now(1);
    CHECK_EQ(live.wait(request).text, "Noted: your name is Mosoba.");
}

TEST(room_turns_give_way_where_nobody_can_be_parked) {
    LiveEngine live(options_of(3, 512));
    std::atomic<double> had_given_way{-1}; // when cells were asked for
    live.on_cells_wanted = [&] {
        if (had_given_way < 0) had_given_way = live.stat("stowedTurns");
    };
    live.run(endless(0, long_prompt(250), 1));
    std::vector<uint32_t> requests;
    for (int i = 1; i < 3; i++) requests.push_back(live.submit(endless(i, chat({openings[0]}), 200)));
    CHECK_EQ(live.wait(requests[0]).end().generated_tokens, 200);
    CHECK_EQ(had_given_way, 0.0);
    CHECK(live.stat("stowedTurns") > 0);
    live.clear_now(1);
    CHECK_EQ(live.wait(requests[1]).end().generated_tokens, 200);

    // Alone, a turn waits: what it lacks comes.
    live.clear_now(2);
    const int asked = live.cells_asked();
    const uint32_t alone = live.submit(endless(1, chat({openings[0]}), 400));
    live.wait_until("another call for cells", [&] { return live.cells_asked() > asked; });
    std::this_thread::sleep_for(std::chrono::milliseconds(300)); // longer than it waits for that
    CHECK(live.so_far(alone).ends.empty());
    live.clear_now(0);
    CHECK_EQ(live.wait(alone).end().generated_tokens, 400);
}

TEST(room_nobody_is_asked_for_cells_that_others_need_too) {
    LiveEngine live(options_of(3, 512));
    const Tokens prompt = long_prompt(300);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 2; i++) requests.push_back(live.submit(endless(i, prompt, 150)));
    live.wait_until("tokens of both", [&] {
        return !live.so_far(requests[0]).tokens.empty() && !live.so_far(requests[1]).tokens.empty();
    });
    int held = 0;
    CHECK_EQ(live.adopt_now(2, prompt, &held), "");
    CHECK(held > 200);
    for (const uint32_t request : requests) CHECK_EQ(live.wait(request).end().generated_tokens, 150);
    CHECK_EQ(live.stat("stowedTurns"), 1.0);
}

TEST(room_streams_have_their_own_cells) {
    EngineOptions options = options_of(2, 1024);
    options.context.unified = false;
    LiveEngine live(options);
    CHECK_EQ(live.info().session_tokens, 512);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 2; i++) requests.push_back(live.submit(endless(i, chat({openings[0]}), 10000)));
    for (const uint32_t request : requests) {
        const Reply reply = live.wait(request);
        CHECK_EQ(reply.reason(), "length");
        CHECK_EQ(reply.end().prompt_tokens + reply.end().generated_tokens, 512);
    }
    CHECK_EQ(live.stat("stowedTurns"), 0.0);
}

// --- admission -------------------------------------------------------------------------------------------------------

// Prompts that do not fit together are not begun together: nobody has to give way in the middle.
TEST(room_turns_wait_for_cells) {
    LiveEngine live(options_of(4, 1024));
    live.on_cells_wanted = [&] {
        for (int i = 0; i < 4; i++) live.clear_later(i);
    };
    live.info();
    LiveEngine::Pause pause(live);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 4; i++) requests.push_back(live.submit(endless(i, long_prompt(600, i + 1), 20)));
    pause.go();
    for (const uint32_t request : requests) CHECK_EQ(live.wait(request).end().generated_tokens, 20);
    CHECK_EQ(live.stat("stowedTurns"), 0.0);
}

TEST(room_nobody_overtakes) {
    LiveEngine live(options_of(4, 1024));
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t first = live.submit(endless(0, long_prompt(600, 1), 200));
    const uint32_t large = live.submit(endless(1, long_prompt(500, 2), 5));
    const uint32_t small = live.submit(endless(2, chat({"My name is Mosoba."}), 5)); // there would be room for it
    pause.go();
    live.wait_until("the first to speak", [&] { return live.so_far(first).tokens.size() > 100; });
    CHECK(live.so_far(small).tokens.empty() && live.so_far(large).tokens.empty());
    live.wait(first);
    CHECK(live.so_far(small).tokens.empty());
    live.wait_until("a call for cells", [&] { return live.cells_asked() > 0; });
    live.clear_now(0);
    CHECK_EQ(live.wait(small).end().generated_tokens, 5);
    CHECK_EQ(live.wait(large).end().generated_tokens, 5);
    CHECK_EQ(live.stat("stowedTurns"), 0.0);
}

// What will be shared is not counted twice: these fit only because of that.
TEST(room_what_turns_share_is_counted_once) {
    LiveEngine live(options_of(8, 1024));
    live.info();
    LiveEngine::Pause pause(live);
    std::vector<uint32_t> requests;
    for (int i = 0; i < 8; i++) {
        Tokens prompt = long_prompt(600);
        prompt.resize(550);
        prompt.push_back(300 + i);
        requests.push_back(live.submit(endless(i, prompt, 20)));
    }
    pause.go();
    live.wait_until("all to speak together", [&] { return live.stat("generatedTokens") > 8; });
    for (const uint32_t request : requests) CHECK_EQ(live.wait(request).end().generated_tokens, 20);
    CHECK_EQ(live.cells_asked(), 0);
    CHECK_EQ(live.stat("stowedTurns"), 0.0);
    CHECK_EQ(live.stat("usedCells"), 550.0 + 8 * 20);
}

// Who will share nearly all of its prompt needs few cells, and keeps nobody waiting who came later.
TEST(room_one_that_follows_is_let_in_before_there_is_anything_to_share) {
    LiveEngine live(options_of(3, 1024, 32));
    live.info();
    LiveEngine::Pause pause(live);
    Tokens prompts[2];
    for (int i = 0; i < 2; i++) {
        prompts[i] = long_prompt(750);
        prompts[i].resize(700);
        prompts[i].push_back(300 + i);
    }
    const uint32_t reader = live.submit(endless(0, prompts[0], 5));
    const uint32_t follower = live.submit(endless(1, prompts[1], 5));
    const uint32_t other = live.submit(endless(2, chat({"My name is Mosoba."}), 1));
    pause.go();
    live.wait(other);
    CHECK(live.stat("prefilledTokens") < 300);
    live.wait(reader);
    CHECK_EQ(live.wait(follower).end().cached_tokens, 700);
}

TEST(room_a_turn_that_waits_can_be_cancelled) {
    LiveEngine live(options_of(3, 1024));
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t first = live.submit(endless(0, long_prompt(600, 1), 300));
    const uint32_t second = live.submit(endless(1, long_prompt(500, 2), 5));
    const uint32_t third = live.submit(endless(2, chat({"My name is Mosoba."}), 5));
    pause.go();
    live.wait_until("the first to speak", [&] { return live.so_far(first).tokens.size() > 10; });
    live.engine().cancel(second);
    const Reply reply = live.wait(second);
    CHECK_EQ(reply.reason(), "cancelled");
    CHECK_EQ(reply.end().prompt_tokens, 500);
    CHECK_EQ(live.wait(third).end().generated_tokens, 5); // nobody is before it any more
    CHECK(live.so_far(first).ends.empty());
}

TEST(room_closing_ends_turns_that_wait) {
    LiveEngine live(options_of(3, 1024));
    live.info();
    LiveEngine::Pause pause(live);
    const uint32_t first = live.submit(endless(0, long_prompt(600, 1), 300));
    const uint32_t second = live.submit(endless(1, long_prompt(500, 2), 5));
    pause.go();
    live.wait_until("the first to speak", [&] { return !live.so_far(first).tokens.empty(); });
    live.engine().close();
    CHECK_EQ(live.wait(second).code(), "MODEL_CLOSED");
}

// The KV of a turn that waits is cells too: older ones come first.
TEST(room_a_turn_that_waits_gives_up_its_cells_to_older_ones) {
    LiveEngine live(options_of(3, 1024));
    live.run(endless(2, long_prompt(500, 3), 1));
    LiveEngine::Pause pause(live);
    const uint32_t first = live.submit(endless(0, long_prompt(300, 1), 20));
    const uint32_t second = live.submit(endless(1, long_prompt(400, 2), 20));
    const uint32_t third = live.submit(endless(2, long_prompt(500, 3), 20));
    pause.go();
    CHECK_EQ(live.wait(first).end().generated_tokens, 20);
    CHECK_EQ(live.wait(second).end().generated_tokens, 20);
    live.clear_now(0);
    live.clear_now(1);
    const Reply reply = live.wait(third);
    CHECK_EQ(reply.end().cached_tokens, 499);
    CHECK_EQ(reply.text, text_alone(endless(2, long_prompt(500, 3), 20)));
    CHECK_EQ(live.stat("prefilledTokens"), 500.0 + 300 + 400 + 1); // its KV came back
}

// A turn that gives way takes along only what nobody else holds, and finds the rest where it was.
TEST(room_a_turn_that_gives_way_leaves_what_is_shared) {
    LiveEngine live(options_of(2, 768));
    live.info();
    Tokens prompts[2];
    for (int i = 0; i < 2; i++) {
        prompts[i] = long_prompt(600);
        prompts[i].resize(500);
        prompts[i].push_back(300 + i);
    }
    LiveEngine::Pause pause(live);
    const uint32_t old = live.submit(endless(0, prompts[0], 150));
    const uint32_t young = live.submit(endless(1, prompts[1], 150));
    pause.go();
    live.wait(old);
    CHECK(live.stat("stowedTurns") > 0);
    CHECK(live.stat("copiedBytes") < 2.0 * 150 * 2100); // once out, once in
    live.clear_now(0);
    const Reply reply = live.wait(young);
    CHECK_EQ(reply.end().generated_tokens, 150);
    CHECK_EQ(reply.text, text_alone(endless(1, prompts[1], 150)));
    CHECK_EQ(live.stat("prefilledTokens"), 502.0);
}

// Prompts that share this and that, in a pool for a third of them: all come to their end, and say what they say alone.
TEST(room_everything_at_once) {
    static const std::vector<std::string> questions = {"My name is Mosoba.", "Count from 3 to 9.", "Tell me a story."};
    for (uint32_t seed = 1; seed <= 4; seed++) {
        std::mt19937 random(seed);
        LiveEngine live(options_of(12, 768, 64)), alone(options_of(1));
        live.on_cells_wanted = [&] {
            for (int i = 0; i < 12; i++) live.clear_later(i);
        };
        live.info();
        for (int round = 0; round < 3; round++) {
            LiveEngine::Pause pause(live);
            std::vector<std::pair<uint32_t, SubmitOptions>> turns;
            for (int i = 0; i < 12; i++) {
                Tokens prompt = long_prompt(500, 1 + static_cast<int>(random() % 3));
                prompt.resize(20 + random() % 400);
                const Tokens question = chat({questions[random() % questions.size()]});
                prompt.insert(prompt.end(), question.begin(), question.end());
                const SubmitOptions options = endless(i, prompt, 10 + static_cast<int>(random() % 150));
                turns.emplace_back(live.submit(options), options);
            }
            pause.go();
            for (auto& [request, options] : turns) {
                const Reply reply = live.wait(request);
                CHECK_EQ(reply.reason(), "length");
                CHECK_EQ(reply.end().generated_tokens, options.max_tokens);
                if (options.sequence % 4 != round) continue;
                options.sequence = 0;
                options.max_tokens = 10; // far from the end of its words
                CHECK_EQ(reply.text.substr(0, 10), alone.run(options).text.substr(0, 10));
            }
        }
    }
}
