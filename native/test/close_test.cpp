// An engine can be closed whenever it likes its owner to: LiveEngine counts that nobody is left without an answer.
#include "check.h"
#include "recall.h"

#include <thread>

using namespace llama_sessions;
using namespace llama_sessions::test;

static SubmitOptions without_end(llama_seq_id sequence, Tokens prompt) {
    return endless(sequence, std::move(prompt), 100000);
}

TEST(close_of_an_engine_never_opened) {
    const LiveEngine never(options_of(1), false);
    LiveEngine closed(options_of(1), false);
    closed.engine().close();
    closed.engine().join();
    CHECK_EQ(error_code([&] { closed.engine().submit(greedy(0, {1})); }), "MODEL_CLOSED");
}

TEST(close_before_the_engine_has_opened) {
    for (int i = 0; i < 20; i++) {
        LiveEngine live(options_of(2));
        live.export_later(0, 0, 1);
        live.clear_later(1);
        std::this_thread::sleep_for(std::chrono::microseconds(i * 300));
        live.engine().close();
        live.engine().cancel(1);
        live.clear_later(0);
    }
}

TEST(close_while_the_model_loads) {
    LiveEngine live(options_of(2), false);
    live.on_progress = [&](float) { live.engine().close(); };
    live.open();
    CHECK_EQ(error_code([&] { live.info(); }), "ABORTED");
    live.engine().join();
    std::string code;
    live.clear_later(0, [&](const std::string& error) { code = error; });
    CHECK_EQ(code, "MODEL_CLOSED");
    CHECK(live.engine().model() == nullptr);
}

TEST(close_of_an_engine_that_could_not_open) {
    EngineOptions options = options_of(2);
    options.path = "/no/such/model.gguf";
    LiveEngine live(options);
    live.clear_later(0);
    CHECK_EQ(error_code([&] { live.info(); }), "MODEL_NOT_FOUND");
    CHECK_EQ(error_code([&] { live.engine().submit(greedy(0, {1})); }), "MODEL_CLOSED");
    CHECK(live.engine().stats().empty());
}

TEST(close_of_an_idle_engine) {
    LiveEngine live;
    const auto model = [&] {
        live.run(greedy(0, chat({"My name is Mosoba."})));
        return live.engine().model();
    }();
    live.engine().close();
    live.engine().close();
    live.engine().join();
    live.engine().join();
    CHECK(live.engine().model() == nullptr);
    CHECK(!model->tokenize("It outlives the engine.", false, false).empty());
}

TEST(close_in_prefill) {
    LiveEngine live(options_of(2, 4096, 32));
    live.info();
    const uint32_t request = live.submit(greedy(0, long_prompt(1900)));
    live.wait_until("prefill", [&] { return live.stat("prefilledTokens") >= 64; });
    live.engine().close();
    CHECK_EQ(live.wait(request).code(), "MODEL_CLOSED");
}

TEST(close_ends_a_long_step_early) {
    LiveEngine live(options_of(1, 4096, 2048));
    live.info();
    const uint32_t request = live.submit(greedy(0, long_prompt(1900)));
    live.wait_until("prefill", [&] { return live.stat("prefilledTokens") > 0; });
    live.engine().close();
    CHECK_EQ(live.wait(request).code(), "MODEL_CLOSED");
    live.engine().join();
}

TEST(close_while_generating) {
    LiveEngine live;
    std::vector<uint32_t> requests;
    live.info();
    for (int i = 0; i < 4; i++) requests.push_back(live.submit(without_end(i, chat({"Tell me a story."}))));
    live.wait_until("tokens", [&] { return live.so_far(requests[3]).tokens.size() > 5; });
    live.engine().close();
    for (const uint32_t request : requests) {
        const Reply reply = live.wait(request);
        CHECK_EQ(reply.reason(), "error");
        CHECK_EQ(reply.code(), "MODEL_CLOSED");
        CHECK_EQ(static_cast<int>(reply.tokens.size()), reply.end().generated_tokens);
    }
}

TEST(close_answers_what_waits_in_the_mailbox) {
    LiveEngine live;
    live.info();
    std::vector<uint32_t> requests;
    std::vector<std::string> codes;
    {
        const LiveEngine::Pause pause(live);
        for (int i = 0; i < 4; i++) {
            requests.push_back(live.submit(greedy(i, chat({"Tell me a story."}))));
            live.clear_later(i, [&](const std::string& code) { codes.push_back(code); });
            live.export_later(i, 0, 1, [&](const Bytes&, const std::string& code) { codes.push_back(code); });
            live.import_later(i, 0, {1}, std::make_shared<const std::vector<uint8_t>>(64),
                              [&](bool, const std::string& code) { codes.push_back(code); });
        }
        live.engine().cancel(requests[0]);
        live.engine().close();
    }
    live.engine().join();
    for (const uint32_t request : requests) CHECK_EQ(live.so_far(request).code(), "MODEL_CLOSED");
    CHECK_EQ(codes.size(), 12u);
    for (const std::string& code : codes) CHECK_EQ(code, "MODEL_CLOSED");
}

TEST(close_by_the_destructor_alone) {
    LiveEngine live;
    live.info();
    for (int i = 0; i < 4; i++) live.submit(without_end(i, chat({"Tell me a story."})));
    live.export_later(0, 0, 1);
}

TEST(close_from_many_threads_at_once) {
    for (int round = 0; round < 10; round++) {
        LiveEngine live;
        live.info();
        for (int i = 0; i < 4; i++) live.submit(without_end(i, chat({"Tell me a story."})));
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; i++) {
            threads.emplace_back([&, i] {
                if (i % 2) live.engine().close();
                live.clear_later(i);
                live.engine().stats();
                if (i % 2 == 0) live.engine().close();
            });
        }
        for (std::thread& thread : threads) thread.join();
    }
}
