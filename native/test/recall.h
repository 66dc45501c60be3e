// The model of the tests (test/fixtures/README.md), and an engine that keeps books about what it said.
#pragma once

#include "engine.h"

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace llama_sessions::test {

std::string recall_path();
// Loaded once.
const Model& recall();
// The same in q8_0: there ggml computes to the last bit the same for a token alone and for one among others. In f16 it does not,
// and a token that is drawn by chance is now and then another one.
const std::string& exact_path();

// A directory that goes with the test.
struct Directory {
    Directory();
    ~Directory();
    std::string file(const std::string& name, const std::string& bytes) const;
    std::filesystem::path path;
};
// A file like the recall model's, but for this.
struct Changes {
    std::map<std::string, std::string> texts;
    std::map<std::string, uint32_t> numbers;
    std::map<std::string, bool> flags;
    std::map<std::string, std::vector<float>> tensors; // one-dimensional
};
std::string changed_recall(const Directory& directory, const std::string& name, const Changes& changes);

// The prompt of a conversation: what the user and the assistant said, by turns. No quotes or backslashes.
Tokens chat(const std::vector<std::string>& messages, const Tokens& known = {});
std::string spell(const Tokens& tokens);
// A prompt of exactly so many tokens. Those of different speakers have nothing in common but a few tokens in front.
Tokens long_prompt(size_t tokens, int speaker = 0);

EngineOptions options_of(uint32_t sequences, uint32_t context_tokens = 4096, uint32_t batch_tokens = 512);
SubmitOptions greedy(llama_seq_id sequence, Tokens prompt, int max_tokens = 200);
// The same, past what ends a reply: exactly so many tokens.
SubmitOptions endless(llama_seq_id sequence, Tokens prompt, int max_tokens);

struct Reply {
    std::string text, reasoning;
    Tokens tokens;
    std::vector<EndEvent> ends;
    std::string reason() const { return ends.empty() ? "" : ends[0].reason; }
    std::string code() const { return ends.empty() || !ends[0].failure ? "" : ends[0].failure->code; }
    const EndEvent& end() const { return ends.at(0); }
};

// Whatever a test does with it, this engine's promises are checked when it goes: each request ended exactly once, each
// command was answered exactly once, nothing came after an end, all text is whole UTF-8, `closed` came last.
class LiveEngine {
  public:
    explicit LiveEngine(EngineOptions options = options_of(4), bool open = true);
    ~LiveEngine();

    Engine& engine() { return *engine_; }
    void open() { engine_->open(options_); }
    // Waits. Throws when it could not be opened.
    EngineInfo info();
    // Gives the request its number. Any thread.
    uint32_t submit(SubmitOptions options);
    Reply run(SubmitOptions options) { return wait(submit(std::move(options))); }
    Reply wait(uint32_t request);
    Reply so_far(uint32_t request);
    void wait_until(const char* what, const std::function<bool()>& condition);
    double stat(const char* name) { return engine_->stats()[name]; }

    // Commands, counted; the answer's error code, or "".
    std::string adopt_now(llama_seq_id sequence, const Tokens& tokens, int* held);
    std::string export_now(llama_seq_id sequence, int from, int to, Bytes* bytes = nullptr);
    std::string import_now(llama_seq_id sequence, int from, const Tokens& tokens, const uint8_t* bytes, size_t size,
                           bool* taken);
    std::string clear_now(llama_seq_id sequence);
    // The same without waiting.
    void adopt_later(llama_seq_id sequence, const Tokens& tokens,
                     std::function<void(int, const std::string&)> done = {});
    void export_later(llama_seq_id sequence, int from, int to,
                      std::function<void(const Bytes&, const std::string&)> done = {});
    void import_later(llama_seq_id sequence, int from, const Tokens& tokens,
                      std::shared_ptr<const std::vector<uint8_t>> bytes,
                      std::function<void(bool, const std::string&)> done = {});
    void clear_later(llama_seq_id sequence, std::function<void(const std::string&)> done = {});

    // Times that the engine asked for cells so far.
    int cells_asked();
    std::function<void()> on_cells_wanted;  // on the engine thread; set before anything is submitted
    std::function<void(float)> on_progress; // likewise, before open()

    // The engine thread stands still while this lives: what is sent meanwhile arrives together. when: from the moment in which
    // that is so; asked on the engine thread, between its steps.
    class Pause {
      public:
        explicit Pause(LiveEngine& live, std::function<bool()> when = {});
        ~Pause() { go(); }
        void go();

      private:
        struct Gate {
            std::mutex mutex;
            std::condition_variable changed;
            bool standing = false, open = false;
        };
        static void stand(LiveEngine& live, std::shared_ptr<Gate> gate, std::function<bool()> when);

        std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
    };

  private:
    void opened(EngineInfo info, std::optional<Failure> failure);
    void step(StepEvents events);
    void asked();
    void answered();

    EngineOptions options_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<EngineInfo> info_;
    std::optional<Failure> open_failure_;
    std::map<uint32_t, Reply> replies_;
    uint32_t next_request_ = 1;
    int commands_ = 0, answers_ = 0, cells_asked_ = 0, opened_ = 0, closed_ = 0;
    std::unique_ptr<Engine> engine_;
};

} // namespace llama_sessions::test
