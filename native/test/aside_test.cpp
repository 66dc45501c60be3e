// Long prompts that are read while others generate.
#include "check.h"
#include "recall.h"

#include <atomic>

using namespace llama_sessions;
using namespace llama_sessions::test;

// Threads that have stepped aside get nowhere while other programs want all processors, and prompts are read in the steps then.
// So they don't here, and all that is said of them holds on a busy machine too.
static EngineOptions reading_aside(uint32_t sequences, uint32_t context_tokens = 8192) {
    EngineOptions options = options_of(sequences, context_tokens);
    options.context.steps_aside = false;
    return options;
}

static uint32_t talk(LiveEngine& live, llama_seq_id sequence, int tokens = 1900) {
    const uint32_t talker = live.submit(endless(sequence, chat({"Tell me a story."}), tokens));
    live.wait_until("a token", [&] { return !live.so_far(talker).tokens.empty(); });
    return talker;
}

// A question whose answer is far back, behind talk that differs by speaker. Rounding does not change what is answered, as it
// may change babble: prompts are read in parts of other sizes aside.
static Tokens remembering(int speaker, const std::string& name = "Mosoba", int repeats = 6) {
    const std::string words =
        "ba" + std::string(static_cast<size_t>(1 + speaker % 5), 'o') + " dro shai ke lu mo ni ra vo";
    std::vector<std::string> messages = {"My name is " + name + ".", "Noted: your name is " + name + "."};
    for (int i = 0; i < repeats; i++) {
        messages.push_back("Repeat after me: " + words);
        messages.push_back("You said: " + words);
    }
    messages.push_back("What is my name?");
    return chat(messages);
}

// Speaks on while somebody reads: how much the second context read shows that it was used.
static void read_once(LiveEngine& live, llama_seq_id sequence) {
    live.run(endless(sequence, long_prompt(1000, 99), 1));
    live.wait_until("a prompt that is read aside", [&] {
        live.run(endless(sequence, long_prompt(1000, static_cast<int>(live.stat("steps"))), 1));
        return live.stat("asideTokens") > 0;
    });
}

TEST(aside_says_what_is_said_alone) {
    LiveEngine live(reading_aside(3));
    const uint32_t talker = talk(live, 0);
    read_once(live, 1);
    const double before = live.stat("asideTokens"), read = live.stat("prefilledTokens");
    const Tokens prompt = remembering(3);
    CHECK(prompt.size() > 300);
    const Reply beside = live.run(greedy(1, prompt, 40));
    CHECK(live.stat("asideTokens") - before >= 128);
    CHECK_EQ(live.stat("prefilledTokens") - read,
             static_cast<double>(prompt.size() - static_cast<size_t>(beside.end().cached_tokens)));
    CHECK_EQ(beside.text, "Your name is Mosoba.");
    // It goes on from what was read there, and the one who talked heard nothing of it.
    const Reply again = live.run(endless(1, prompt, 20));
    CHECK_EQ(again.end().cached_tokens, static_cast<int>(prompt.size()) - 1);
    CHECK_EQ(again.text.substr(0, 20), "Your name is Mosoba.");
    const Reply said = live.wait(talker);
    LiveEngine alone(options_of(1, 8192));
    // Up to where the story ends: what comes then is babble, which rounding may change.
    CHECK_EQ(said.text.substr(0, 400), alone.run(endless(0, chat({"Tell me a story."}), 1900)).text.substr(0, 400));
}

// How far those get depends on who else wants the processors. What is said does not.
TEST(aside_of_threads_that_step_aside) {
    LiveEngine live(options_of(3, 8192));
    const uint32_t talker = talk(live, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(live.run(endless(1, long_prompt(1000, i), 1)).reason(), "length");
        CHECK_EQ(live.run(greedy(1, remembering(i), 40)).text, "Your name is Mosoba.");
    }
    live.engine().cancel(talker);
}

TEST(aside_lets_the_others_speak) {
    LiveEngine live(reading_aside(3));
    const uint32_t talker = talk(live, 0);
    read_once(live, 1);
    const size_t before = live.so_far(talker).tokens.size();
    live.run(endless(1, long_prompt(1800, 5), 1));
    CHECK(live.so_far(talker).tokens.size() > before + 3);
    live.engine().cancel(talker);
}

TEST(aside_is_left_at_any_moment) {
    for (int i = 0; i < 30; i++) {
        LiveEngine live(reading_aside(3));
        const uint32_t talker = talk(live, 0);
        if (i == 0) read_once(live, 1);
        const double before = live.stat("steps");
        const Tokens prompt = remembering(i);
        const uint32_t reader = live.submit(endless(1, prompt, 1));
        live.wait_until("some steps", [&] { return live.stat("steps") >= before + i; });
        live.engine().cancel(reader);
        const Reply reply = live.wait(reader);
        CHECK(reply.reason() == "cancelled" || reply.reason() == "length");
        // What it has read stays, and is what it says it is.
        const Reply again = live.run(greedy(1, prompt, 30));
        CHECK(again.end().cached_tokens >= std::min(reply.end().kv_tokens, static_cast<int>(prompt.size()) - 1));
        CHECK_EQ(again.text, "Your name is Mosoba.");
        live.engine().cancel(talker);
    }
}

TEST(aside_ends_with_the_engine) {
    for (int i = 0; i < 20; i++) {
        LiveEngine live(reading_aside(3));
        talk(live, 0);
        if (i == 0) read_once(live, 1);
        live.submit(endless(1, long_prompt(1900, 7), 1));
        const double before = live.stat("steps");
        live.wait_until("some steps", [&] { return live.stat("steps") >= before + i; });
        live.engine().close(); // the destructor checks what it owes
    }
}

TEST(aside_commands_come_in_between) {
    LiveEngine live(reading_aside(4));
    const uint32_t talker = talk(live, 0);
    read_once(live, 1);
    live.run(endless(2, long_prompt(300, 11), 1));
    const uint32_t reader = live.submit(endless(1, long_prompt(1900, 8), 1));
    // Copies, a short turn and a clear, all while the prompt is read.
    Bytes bytes;
    CHECK_EQ(live.export_now(2, 0, 256, &bytes), "");
    CHECK(bytes.size >= 256 * 2048);
    CHECK_EQ(live.run(greedy(3, chat({"My name is Mosoba."}), 20)).reason(), "stop");
    CHECK_EQ(live.clear_now(2), "");
    CHECK_EQ(live.wait(reader).reason(), "length");
    live.engine().cancel(talker);
}

TEST(aside_prompts_of_two_readers) {
    LiveEngine live(reading_aside(4));
    const uint32_t talker = talk(live, 0);
    read_once(live, 1);
    const uint32_t second = live.submit(greedy(1, remembering(12, "Kabela", 12), 30));
    const double before = live.stat("asideTokens");
    live.wait_until("a part of it", [&] { return live.stat("asideTokens") > before; });
    const uint32_t first = live.submit(greedy(2, remembering(13), 30)); // and is done first
    CHECK_EQ(live.wait(first).text, "Your name is Mosoba.");
    CHECK_EQ(live.wait(second).text, "Your name is Kabela.");
    live.engine().cancel(talker);
}

// A larger prompt whose rest is shorter comes in between: it needs a larger context, and what the small one holds is not lost.
TEST(aside_forgets_nothing_for_a_larger_prompt) {
    LiveEngine live(reading_aside(4));
    const Tokens larger = long_prompt(1900, 21), smaller = long_prompt(1000, 22);
    const Tokens begun(larger.begin(), larger.begin() + 1650);
    live.run(endless(3, begun, 1));
    const uint32_t talker = talk(live, 0);
    const double read = live.stat("prefilledTokens"), aside = live.stat("asideTokens");
    const uint32_t first = live.submit(endless(1, smaller, 1));
    live.wait_until("a part of it", [&] { return live.stat("asideTokens") > aside; });
    const uint32_t second = live.submit(endless(3, larger, 1));
    int unread = 0;
    for (const uint32_t request : {first, second}) {
        const EndEvent end = live.wait(request).end();
        unread += end.prompt_tokens - end.cached_tokens;
    }
    CHECK_EQ(live.stat("prefilledTokens") - read, static_cast<double>(unread));
    live.engine().cancel(talker);
}

TEST(aside_takes_no_memory_that_is_not_there) {
    EngineOptions options = reading_aside(3);
    const EngineInfo info = LiveEngine(options).info();
    const auto leave_room_for = [&](int tokens) { // beside the pool and the weights
        options.context.memory = info.size_bytes + info.kv_bytes_per_token * (info.context_tokens + tokens);
    };
    leave_room_for(1100);
    LiveEngine large(options);
    talk(large, 0);
    read_once(large, 1);
    leave_room_for(1000);
    LiveEngine small(options);
    talk(small, 0);
    for (int i = 0; i < 8; i++) small.run(endless(1, long_prompt(1000, i), 1));
    CHECK_EQ(small.stat("asideTokens"), 0.0);
}

TEST(aside_in_a_pool_that_is_too_small) {
    LiveEngine live(reading_aside(3, 1024));
    live.on_cells_wanted = [&] { // as the layer above would park who is idle; the other one is refused
        live.clear_later(0);
        live.clear_later(1);
    };
    const uint32_t talker = talk(live, 0, 800);
    Tokens prompt = long_prompt(300, 9);
    const Tokens question = remembering(9);
    prompt.insert(prompt.end(), question.begin(), question.end());
    const Reply reply = live.run(greedy(1, prompt, 30)); // the two do not fit together
    CHECK_EQ(reply.reason(), "stop");
    CHECK_EQ(reply.text, "Your name is Mosoba.");
    CHECK_EQ(live.wait(talker).reason(), "length");
}

// Some models turn positions by other factors when the context is longer than the one they were first trained with: KV of a
// short context means something else in a long one.
TEST(aside_turns_positions_as_the_pool_does) {
    const Directory directory;
    Changes changes;
    changes.texts["llama.rope.scaling.type"] = "longrope";
    changes.numbers["llama.rope.scaling.original_context_length"] = 4096;
    changes.tensors["rope_factors_long.weight"] = std::vector<float>(32, 1.0f); // as the model was trained
    changes.tensors["rope_factors_short.weight"] = std::vector<float>(32, 5.0f);
    EngineOptions options = reading_aside(3);
    options.path = changed_recall(directory, "longrope.gguf", changes);
    LiveEngine live(options);
    const uint32_t talker = talk(live, 0);
    read_once(live, 1);
    const double before = live.stat("asideTokens");
    CHECK_EQ(live.run(greedy(1, remembering(3), 40)).text, "Your name is Mosoba.");
    CHECK(live.stat("asideTokens") - before >= 128);
    live.engine().cancel(talker);

    EngineOptions short_one = options_of(3, 4096);
    short_one.path = options.path;
    CHECK(LiveEngine(short_one).info().kv_format != live.info().kv_format);
    EngineOptions longer = options_of(3, 16384);
    longer.path = options.path;
    CHECK_EQ(LiveEngine(longer).info().kv_format, live.info().kv_format);
    // To all others the length says nothing.
    CHECK_EQ(LiveEngine(options_of(3, 512)).info().kv_format, LiveEngine(options_of(3, 8192)).info().kv_format);
}
