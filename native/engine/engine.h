// One model, one context, one thread. Commands come in through a mailbox, events go out through a sink; between two steps
// the thread asks nobody.
#pragma once

#include "context.h"
#include "model.h"
#include "turn.h"
#include "worker.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace llama_sessions {

struct EngineOptions {
    std::string path;
    int gpu_layers = 0; // negative: all
    ContextOptions context;
};

struct EngineInfo {
    std::string description, architecture;
    double parameters, size_bytes;
    int trained_context, vocabulary_size;
    std::vector<std::string> devices;
    int context_tokens, session_tokens, sequences, batch_tokens;
    bool unified, portable_kv, pages;
    double kv_bytes_per_token;
    std::string kv_format;
};

// What whoever asks something of a closed engine is told.
Failure closed_failure();

// Every method may be called from any thread. Callbacks run on the engine thread, or, once the engine is closed, on the
// thread that asks for something all the same; they must not block.
class Engine {
  public:
    template <class Result> using Done = std::function<void(Result, std::optional<Failure>)>;

    struct Callbacks {
        std::function<void(float)> progress;
        Done<EngineInfo> opened;              // once
        std::function<void(StepEvents)> step; // when there is something to tell
        std::function<void()> closed;         // the last word of the thread
    };

    explicit Engine(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}
    // Closes and waits for the thread.
    ~Engine();

    // Starts the thread, which loads the model. Once.
    void open(EngineOptions options);
    // The loaded model; null before `opened`. It may outlive the engine.
    std::shared_ptr<const Model> model() const;

    // Throws GRAMMAR_INVALID, INTERNAL; everything later comes as an EndEvent.
    void submit(SubmitOptions options);
    // Honoured within one step. Unknown requests are ignored: they may just have ended.
    void cancel(uint32_t request);
    // KV, as lib/native.ts has it.
    void adopt_prefix(llama_seq_id sequence, Tokens tokens, Done<int> done);
    void export_kv(llama_seq_id sequence, int from, int to, Done<Bytes> done);
    // The bytes must stay until `done`.
    void import_kv(llama_seq_id sequence, int from, Tokens tokens, const uint8_t* bytes, size_t size, bool trusted,
                   Done<bool> done);
    void clear_sequence(llama_seq_id sequence, Done<bool> done);
    std::map<std::string, double> stats() const;

    // Ends the step in flight and every turn and command with MODEL_CLOSED. Does not wait; `closed` tells.
    void close();
    void join();

  private:
    // A turn that was submitted, on its way to the worker.
    struct Submission {
        SubmitOptions options;
        std::unique_ptr<Sampler> sampler;
        bool cancelled = false;
        size_t kept = 0; // tokens that the sequence was said to hold when it was cancelled
    };
    struct Command {
        std::function<void(Worker*)> run;       // with a worker: do it; without: the engine is closed, refuse
        llama_seq_id changes = -1;              // the sequence whose KV it changes
        std::shared_ptr<Submission> submission; // of submit()
    };

    void run(const EngineOptions& options);
    bool load(const EngineOptions& options);
    void serve();
    bool attend();
    void step();
    void post(Command command);
    std::vector<uint32_t> collect(bool wait);
    void cancel_queued(uint32_t request);
    void work_off_commands();
    bool interrupted();
    void refuse_the_rest();
    void free_model();
    void tell();

    Callbacks callbacks_;
    std::thread thread_;
    std::atomic<bool> closing_{false};
    std::atomic<bool> abort_{false};
    StepMembers members_{abort_};
    // Engine thread only.
    std::deque<Command> queue_; // what it has taken out of the mailbox
    bool idle_ = true;          // nobody can go on before a command has come

    mutable std::mutex mutex_; // of what follows
    std::condition_variable arrived_;
    std::deque<Command> mailbox_;
    std::vector<uint32_t> cancels_; // a lane of their own: they wait behind nobody's copies
    bool refusing_ = false;
    std::shared_ptr<const Model> model_;
    std::unique_ptr<Worker> worker_; // made and destroyed by the engine thread
};

} // namespace llama_sessions
