#include "engine.h"

#include "backend.h"

namespace llama_sessions {

static Failure closed_failure() { return {"MODEL_CLOSED", "The model is closed. Load it again."}; }

Engine::~Engine() {
    close();
    join();
}

void Engine::open(EngineOptions options) {
    if (thread_.joinable()) throw Error("INTERNAL", "The engine was opened before.");
    thread_ = std::thread([this, options = std::move(options)] { run(options); });
}

void Engine::join() {
    if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const Model> Engine::model() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return model_;
}

void Engine::run(const EngineOptions& options) {
    if (load(options)) serve();
    refuse_the_rest();
    free_model();
    callbacks_.closed();
}

bool Engine::load(const EngineOptions& options) {
    try {
        ensure_backends();
        auto model = std::make_shared<const Model>(options.path, options.gpu_layers, [this](float fraction) {
            callbacks_.progress(fraction);
            return !closing_;
        });
        auto worker = std::make_unique<Worker>(model, options.context, abort_, members_);
        const Context& context = worker->context();
        const llama_model* m = model->get();
        char description[256] = {};
        llama_model_desc(m, description, sizeof description);
        EngineInfo info{description,
                        model->metadata("general.architecture"),
                        static_cast<double>(llama_model_n_params(m)),
                        static_cast<double>(llama_model_size(m)),
                        llama_model_n_ctx_train(m),
                        model->vocabulary_size(),
                        device_names(),
                        context.cells(),
                        context.session_tokens(),
                        context.sequences(),
                        context.batch_tokens(),
                        context.unified(),
                        context.portable_kv(),
                        context.kv_bytes_per_token(),
                        context.kv_format()};
        {
            std::lock_guard<std::mutex> lock(mutex_);
            model_ = std::move(model);
            worker_ = std::move(worker);
        }
        callbacks_.opened(std::move(info), std::nullopt);
        return true;
    } catch (...) {
        callbacks_.opened(EngineInfo{}, current_failure());
        return false;
    }
}

void Engine::serve() {
    bool idle = true;
    while (!closing_) {
        for (const Command& command : wait_for_commands(idle)) command(worker_.get());
        if (closing_) break;
        tell(); // that a turn was cancelled must not wait for the next step
        try {
            idle = !worker_->busy() || !worker_->step();
        } catch (...) { // a step that can't even be built: nobody's turn can be trusted to go on
            worker_->fail_all(current_failure());
        }
        tell();
    }
    worker_->fail_all(closed_failure());
    tell();
}

void Engine::tell() {
    StepEvents events = worker_->take_events();
    if (!events.empty()) callbacks_.step(std::move(events));
}

void Engine::refuse_the_rest() {
    std::deque<Command> rest;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        refusing_ = true;
        rest.swap(mailbox_);
    }
    for (const Command& command : rest) command(nullptr);
}

// Giving gigabytes back takes its time: not under the lock that stats() and submit() wait for.
void Engine::free_model() {
    std::shared_ptr<const Model> model;
    std::unique_ptr<Worker> worker;           // goes first
    std::lock_guard<std::mutex> lock(mutex_); // gone before both
    worker.swap(worker_);
    model.swap(model_);
}

void Engine::post(Command command) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!refusing_) {
            mailbox_.push_back(std::move(command));
            arrived_.notify_one(); // under the lock: the owner may destroy us as soon as the thread has gone
            return;
        }
    }
    command(nullptr);
}

std::deque<Engine::Command> Engine::wait_for_commands(bool idle) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (idle) arrived_.wait(lock, [this] { return !mailbox_.empty() || closing_; });
    std::deque<Command> commands;
    commands.swap(mailbox_);
    return commands;
}

void Engine::close() {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    abort_ = true;
    arrived_.notify_one();
}

void Engine::submit(SubmitOptions options) {
    const std::shared_ptr<const Model> model = this->model();
    if (!model) throw Error("MODEL_CLOSED", closed_failure().message);
    if (options.max_tokens < 1) throw Error("INTERNAL", "maxTokens must be at least 1.");
    for (const llama_token token : options.tokens) {
        if (!model->valid(token)) throw Error("INTERNAL", "No token " + std::to_string(token) + " in the vocabulary.");
    }
    for (const llama_logit_bias& bias : options.sampling.bias) {
        if (!model->valid(bias.token)) throw Error("INTERNAL", "A bias for a token that is not in the vocabulary.");
    }
    // Made here: a bad grammar is the caller's error, and parsing it must not hold up a step. Moved through a shared
    // pointer because std::function wants to be copied.
    auto sampler = std::make_shared<std::unique_ptr<Sampler>>(std::make_unique<Sampler>(*model, options.sampling));
    auto shared = std::make_shared<SubmitOptions>(std::move(options));
    post([this, shared, sampler, model](Worker* worker) {
        const uint32_t request = shared->request;
        try {
            if (!worker) throw Error("MODEL_CLOSED", closed_failure().message);
            worker->begin(std::move(*shared), std::move(*sampler));
        } catch (...) {
            StepEvents events;
            events.ends.push_back({request, "error", current_failure(), 0, 0, 0, 0, 0, 0, 0, 0});
            callbacks_.step(std::move(events));
        }
    });
}

void Engine::cancel(uint32_t request) {
    post([request](Worker* worker) {
        if (worker) worker->cancel(request);
    });
    members_.cancel(request);
}

// Runs `work` on the engine thread and hands its result or its failure to `done`.
template <class Result, class Work> static std::function<void(Worker*)> answered(Engine::Done<Result> done, Work work) {
    return [done = std::move(done), work = std::move(work)](Worker* worker) {
        if (!worker) return done(Result{}, closed_failure());
        Result result{};
        try {
            result = work(*worker);
        } catch (...) {
            return done(Result{}, current_failure());
        }
        done(std::move(result), std::nullopt);
    };
}

void Engine::export_sequence(llama_seq_id sequence, Done<Bytes> done) {
    post(answered<Bytes>(std::move(done), [sequence](Worker& worker) { return worker.export_kv(sequence); }));
}

void Engine::import_sequence(llama_seq_id sequence, Tokens tokens, const uint8_t* bytes, size_t size, bool trusted,
                             Done<bool> done) {
    post(answered<bool>(std::move(done),
                        [=](Worker& worker) { return worker.import_kv(sequence, tokens, bytes, size, trusted); }));
}

void Engine::clear_sequence(llama_seq_id sequence, Done<bool> done) {
    post(answered<bool>(std::move(done), [sequence](Worker& worker) {
        worker.clear(sequence);
        return true;
    }));
}

std::map<std::string, double> Engine::stats() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return worker_ ? worker_->stats() : std::map<std::string, double>{};
}

} // namespace llama_sessions
