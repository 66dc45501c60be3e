// Everything at once from many threads, in a pool that is too small. Whatever order comes about: LiveEngine's promises
// hold, and nobody's text is another's.
#include "check.h"
#include "recall.h"

#include <random>
#include <thread>

using namespace llama_sessions;
using namespace llama_sessions::test;

static const std::vector<std::string> questions = {"My name is Mosoba.", "Count from 3 to 9.",
                                                   "Tell me a story.",   "Repeat after me: shai brot",
                                                   "I live in Kabela.",  "What is my favourite food?"};

namespace {
struct Parked { // what some thread has exported
    int from;
    Tokens tokens;
    std::shared_ptr<const std::vector<uint8_t>> bytes;
};
} // namespace

static void stress(uint32_t seed, uint32_t sequences, bool unified, bool close_early) {
    static const std::vector<std::string> alone = [] {
        LiveEngine live(options_of(1));
        std::vector<std::string> texts;
        for (const std::string& question : questions) texts.push_back(live.run(greedy(0, chat({question}))).text);
        return texts;
    }();

    EngineOptions options = options_of(sequences, unified ? 512 : sequences * 256, 48);
    options.context.unified = unified;
    LiveEngine live(options);
    live.on_cells_wanted = [&] {
        for (uint32_t i = 0; i < sequences; i++) live.clear_later(static_cast<llama_seq_id>(i));
    };
    live.info();

    std::mutex mutex;
    std::vector<Parked> parked;
    std::vector<std::pair<uint32_t, size_t>> submitted; // request, question
    const auto act = [&](uint32_t thread) {
        std::mt19937 random(seed * 100 + thread);
        const auto sequence = [&] { return static_cast<llama_seq_id>(random() % sequences); };
        for (int i = 0; i < 120; i++) {
            switch (random() % 9) {
            case 0:
            case 1:
            case 2: {
                const size_t question = random() % questions.size();
                SubmitOptions turn =
                    greedy(sequence(), chat({questions[question]}), 5 + static_cast<int>(random() % 100));
                if (random() % 4 == 0) turn.stop = {"."};
                try {
                    const uint32_t request = live.submit(std::move(turn));
                    {
                        std::lock_guard<std::mutex> lock(mutex);
                        submitted.emplace_back(request, question);
                    }
                    // Else a fast machine has all sequences busy, and nearly every turn is refused.
                    if (random() % 4) live.wait(request);
                } catch (const Error& error) {
                    if (std::string(error.code()) != "MODEL_CLOSED") complain(error.what());
                }
                break;
            }
            case 3: live.engine().cancel(static_cast<uint32_t>(random() % 200)); break;
            case 4: {
                // What a sequence holds is unknown here: many ranges are not there, and the tokens are an invention.
                const int from = unified && random() % 2 ? static_cast<int>(random() % 20) : 0;
                const int to = from + 1 + static_cast<int>(random() % 20);
                live.export_later(sequence(), from, to, [&, from, to](const Bytes& blob, const std::string& code) {
                    if (!code.empty()) return;
                    std::lock_guard<std::mutex> lock(mutex);
                    if (parked.size() > 20) parked.erase(parked.begin());
                    parked.push_back(
                        {from, Tokens(static_cast<size_t>(to - from), 7),
                         std::make_shared<const std::vector<uint8_t>>(blob.data.get(), blob.data.get() + blob.size)});
                });
                break;
            }
            case 5: {
                Parked some{0, Tokens(5, 7), std::make_shared<const std::vector<uint8_t>>(100)};
                {
                    std::lock_guard<std::mutex> lock(mutex);
                    if (!parked.empty()) some = parked[random() % parked.size()];
                }
                live.import_later(sequence(), some.from, some.tokens, some.bytes);
                break;
            }
            case 6: live.clear_later(sequence()); break;
            case 7: live.adopt_later(sequence(), chat({questions[random() % questions.size()]})); break;
            default: live.engine().stats(); std::this_thread::sleep_for(std::chrono::milliseconds(random() % 8));
            }
        }
    };
    std::vector<std::thread> threads;
    for (uint32_t thread = 0; thread < 4; thread++) threads.emplace_back(act, thread);
    if (close_early) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100 + 40 * seed));
        live.engine().close();
    }
    for (std::thread& thread : threads) thread.join();

    size_t spoke = 0;
    for (const auto& [request, question] : submitted) {
        const Reply reply = live.wait(request);
        spoke += !reply.text.empty();
        CHECK_EQ(reply.text, alone[question].substr(0, reply.text.size()));
        if (reply.reason() == "stop") CHECK_EQ(reply.text, alone[question]);
        if (reply.reason() == "error")
            CHECK(reply.code() == (close_early ? "MODEL_CLOSED" : "INTERNAL") || reply.code() == "INTERNAL");
    }
    if (!close_early) CHECK(spoke > 20);
}

TEST(stress_of_a_full_pool) {
    for (uint32_t seed = 1; seed <= 3; seed++) stress(seed, 6, true, false);
}

TEST(stress_of_streams) { stress(4, 4, false, false); }

TEST(stress_with_an_early_end) {
    for (uint32_t seed = 5; seed <= 9; seed++) stress(seed, 6, true, true);
}
