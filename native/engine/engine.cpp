#include "engine.h"

#include "backend.h"

#include <algorithm>

namespace llama_sessions {

// What copies and other commands may take between two steps while sequences generate: their readers must not notice.
static constexpr double least_budget_ms = 0.5, budget_of_step = 0.15;
// How often an idle engine looks whether it can give memory back.
static constexpr std::chrono::seconds idle_check(30);

Failure closed_failure() { return {"MODEL_CLOSED", "The model is closed. Load it again."}; }

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
                        model->architecture(),
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
                        context.pages(),
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
    worker_->set_wake([this] {
        std::lock_guard<std::mutex> lock(mutex_);
        arrived_.notify_one();
    });
    while (attend()) step();
    worker_->fail_all(closed_failure());
    tell();
}

// What has come in, before the next step. False: the engine closes.
bool Engine::attend() {
    for (const uint32_t request : collect(idle_ && queue_.empty())) {
        if (!worker_->cancel(request)) cancel_queued(request);
    }
    tell(); // that a turn was cancelled must wait neither for copies nor for the next step
    work_off_commands();
    if (closing_) return false;
    tell();
    return true;
}

void Engine::step() {
    if (worker_->resting()) return;
    try {
        idle_ = !worker_->busy() || !worker_->step();
        tell(); // who has spoken must not wait for what is copied now
        if (worker_->read_aside()) idle_ = false;
    } catch (...) { // a step that can't even be built: nobody's turn can be trusted to go on
        worker_->fail_all(current_failure());
    }
    tell();
}

// Takes what has arrived; waits for it when there is nothing else to do. Returns the cancels. They are taken together with the
// commands: a turn must not be submitted and cancelled in between, and the cancel be looked at first.
std::vector<uint32_t> Engine::collect(bool wait) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto arrived = [this] { return !mailbox_.empty() || !cancels_.empty() || closing_; };
    if (worker_->resting() && queue_.empty()) {
        arrived_.wait_until(lock, worker_->rest_until(), [&] { return arrived() || !worker_->resting(); });
    } else if (const auto until = worker_->patient_until(); wait && until) {
        arrived_.wait_until(lock, *until, arrived);
    } else if (wait && worker_->has_aside() && !arrived_.wait_for(lock, idle_check, arrived)) {
        lock.unlock();
        worker_->forget_unused_aside();
        lock.lock();
    } else if (wait) {
        arrived_.wait(lock, arrived);
    }
    members_.attend();
    for (Command& command : mailbox_) queue_.push_back(std::move(command));
    mailbox_.clear();
    std::vector<uint32_t> cancels;
    cancels.swap(cancels_);
    return cancels;
}

// Its turn has not begun: it ends now, and its place in the queue only sees to it that the sequence holds no more than what
// was said. Commands before it that change the sequence are still to come; what they leave is not known, so: nothing.
void Engine::cancel_queued(uint32_t request) {
    const auto found = std::find_if(queue_.begin(), queue_.end(), [request](const Command& command) {
        return command.submission && !command.submission->cancelled && command.submission->options.request == request;
    });
    if (found == queue_.end()) return; // it has ended
    Submission& submission = *found->submission;
    const llama_seq_id sequence = submission.options.sequence;
    const bool known = std::none_of(queue_.begin(), found, [=](const Command& c) { return c.changes == sequence; });
    submission.cancelled = true;
    submission.kept = known ? worker_->common_prefix(sequence, submission.options.tokens) : 0;
    worker_->end_before_beginning(submission.options, submission.kept);
}

// In their order. While sequences generate, only for as long as their steps don't notice; what is left comes after the
// next step.
void Engine::work_off_commands() {
    const double budget_ms = std::max(least_budget_ms, budget_of_step * worker_->last_step_ms());
    const Clock::time_point start = Clock::now();
    while (!queue_.empty() && !interrupted()) {
        const Command command = std::move(queue_.front());
        queue_.pop_front();
        command.run(worker_.get());
        if (worker_->generating() && milliseconds(start, Clock::now()) >= budget_ms) return;
    }
}

bool Engine::interrupted() {
    if (closing_) return true;
    std::lock_guard<std::mutex> lock(mutex_);
    return !cancels_.empty();
}

void Engine::tell() {
    StepEvents events = worker_->take_events();
    if (!events.empty()) callbacks_.step(std::move(events));
}

void Engine::refuse_the_rest() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        refusing_ = true;
        for (Command& command : mailbox_) queue_.push_back(std::move(command));
        mailbox_.clear();
        cancels_.clear();
    }
    for (const Command& command : queue_) command.run(nullptr);
    queue_.clear();
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
    const bool somebody_waits = command.changes >= 0; // for a turn, or what comes before one
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!refusing_) {
            mailbox_.push_back(std::move(command));
            arrived_.notify_one(); // under the lock: the owner may destroy us as soon as the thread has gone
            if (somebody_waits) members_.arrive();
            return;
        }
    }
    command.run(nullptr);
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
    auto submission = std::make_shared<Submission>();
    // Made here: a bad grammar is the caller's error, and parsing it must not hold up a step.
    submission->sampler = std::make_unique<Sampler>(*model, options.sampling);
    submission->options = std::move(options);
    const llama_seq_id sequence = submission->options.sequence;
    const auto run = [this, submission, model](Worker* worker) {
        if (submission->cancelled) { // and has been told so
            if (worker) worker->keep_only(submission->options.sequence, submission->kept);
            return;
        }
        const uint32_t request = submission->options.request;
        try {
            if (!worker) throw Error("MODEL_CLOSED", closed_failure().message);
            worker->begin(std::move(submission->options), std::move(submission->sampler));
        } catch (...) {
            StepEvents events;
            events.ends.push_back({request, "error", current_failure(), 0, 0, 0, 0, 0, 0, 0, 0});
            callbacks_.step(std::move(events));
        }
    };
    post({run, sequence, submission});
}

void Engine::cancel(uint32_t request) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (refusing_) return; // nothing runs any more
        cancels_.push_back(request);
        arrived_.notify_one();
    }
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

void Engine::adopt_prefix(llama_seq_id sequence, Tokens tokens, Done<int> done) {
    const auto work = [sequence, tokens = std::move(tokens)](Worker& worker) {
        return worker.adopt_prefix(sequence, tokens);
    };
    post({answered<int>(std::move(done), work), sequence, nullptr});
}

void Engine::export_kv(llama_seq_id sequence, int from, int to, Done<Bytes> done) {
    post({answered<Bytes>(std::move(done), [=](Worker& worker) { return worker.export_kv(sequence, from, to); }), -1,
          nullptr});
}

void Engine::import_kv(llama_seq_id sequence, int from, Tokens tokens, const uint8_t* bytes, size_t size, bool trusted,
                       Done<bool> done) {
    const auto work = [=, tokens = std::move(tokens)](Worker& worker) {
        return worker.import_kv(sequence, from, tokens, bytes, size, trusted);
    };
    post({answered<bool>(std::move(done), work), sequence, nullptr});
}

void Engine::clear_sequence(llama_seq_id sequence, Done<bool> done) {
    const auto work = [sequence](Worker& worker) {
        worker.clear(sequence);
        return true;
    };
    post({answered<bool>(std::move(done), work), sequence, nullptr});
}

std::map<std::string, double> Engine::stats() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return worker_ ? worker_->stats() : std::map<std::string, double>{};
}

} // namespace llama_sessions
