#include "aside.h"

#include "priority.h"

#include <algorithm>

namespace llama_sessions {

// Tokens that are read at once: the weights are read for all of them together, and 256 are nearly as fast as 512.
static constexpr int most_at_once = 256;
// Where threads can't step aside the others have to wait for the end of an operation. From 64 on ggml's attention works on
// tiles, which is 2.7 times faster than row by row; ours does not care.
static constexpr int least_at_once = 64;
static constexpr uint64_t nobody = UINT64_MAX;

static ContextOptions for_one_prompt(ContextOptions options, int tokens) {
    options.context_tokens = static_cast<uint32_t>(tokens);
    options.sequences = 1;
    options.batch_tokens = most_at_once;
    options.speculation = false;
    return options;
}

Aside::Aside(std::shared_ptr<const Model> model, ContextOptions options, int tokens, std::function<void()> done)
    : model_(std::move(model)), capacity_(tokens), done_(std::move(done)), turn_(nobody),
      thread_([this, options = for_one_prompt(std::move(options), tokens)] { work(options); }) {}

Aside::~Aside() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_ = stopped_ = true;
        changed_.notify_all();
    }
    thread_.join();
}

void Aside::work(const ContextOptions& options) {
    use_any_processor(); // the engine thread may have a certain one
    const bool steps_aside = options.steps_aside && step_aside();
    make(options);
    std::unique_lock<std::mutex> lock(mutex_);
    steps_aside_ = steps_aside; // not before: nobody waits for the making
    for (;;) {
        working_ = false;
        changed_.notify_all();
        lock.unlock();
        done_();
        lock.lock();
        changed_.wait(lock, [this] { return working_ || closing_; });
        if (closing_) return;
        lock.unlock();
        compute();
        lock.lock();
    }
}

void Aside::make(const ContextOptions& options) {
    try {
        threads_.emplace(options.threads, ThreadPool::Kind::background);
        context_ = std::make_unique<Context>(*model_, options, *threads_, never_, on_operation, this);
    } catch (const std::exception&) {
        failed_ = true; // no memory for it
    }
}

void Aside::compute() {
    const int from = held_;
    context_->begin_batch();
    int position = from;
    for (const llama_token token : tokens_) context_->add(token, position++, 0, false);
    std::string reason; // whatever it is: the prompt is read in the steps of the others then, which will tell
    const bool read = context_->decode(reason) == Context::Decoded::ok;
    std::lock_guard<std::mutex> lock(mutex_);
    if (read && !stopped_) {
        held_ = position;
        count_ += position - from;
        return;
    }
    context_->trim(0, from); // an end in the middle leaves cells that were never computed
    failed_ = !stopped_;
}

// ggml asks before each operation whether it is to stop after it, then computes all up to that one.
bool Aside::on_operation(ggml_tensor* operation, bool ask, void* self) {
    if (ask)
        return operation->op == GGML_OP_MUL_MAT || operation->op == GGML_OP_MUL_MAT_ID ||
               operation->op == GGML_OP_FLASH_ATTN_EXT || operation->op == GGML_OP_CUSTOM; // attention, ggml's or ours
    return static_cast<Aside*>(self)->wait_for_time();
}

bool Aside::wait_for_time() {
    std::unique_lock<std::mutex> lock(mutex_);
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return may_go_on_ || stopped_; });
    waiting_ = false;
    return !stopped_;
}

bool Aside::working() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return working_;
}

void Aside::go_on() {
    std::lock_guard<std::mutex> lock(mutex_);
    may_go_on_ = true;
    gave_ = Clock::now();
    had_ms_ = processor_ms(thread_);
    changed_.notify_all();
}

void Aside::hold() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!may_go_on_) return;
    may_go_on_ = false;
    if (!steps_aside_) changed_.wait(lock, [this] { return waiting_ || !working_; });
    if (working_ && had_ms_ >= 0)
        starvation_.record(milliseconds(gave_, Clock::now()), processor_ms(thread_) - had_ms_);
}

void Aside::abandon() {
    turn_ = nobody;
    starvation_ = {};
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
}

void Aside::begin(uint64_t turn) {
    context_->clear(0);
    turn_ = turn;
    held_ = 0;
}

bool Aside::take(int tokens, const Bytes& kv) {
    if (!context_->import_kv(0, held_, tokens, kv.data.get(), kv.size, true)) return false;
    held_ += tokens;
    return true;
}

void Aside::read(const Tokens& tokens, int threads) {
    std::lock_guard<std::mutex> lock(mutex_);
    const int most = steps_aside_ ? most_at_once : least_at_once;
    const auto count = std::min<std::ptrdiff_t>(most, static_cast<std::ptrdiff_t>(tokens.size()));
    tokens_.assign(tokens.begin(), tokens.begin() + count);
    context_->use_threads(threads);
    working_ = true;
    stopped_ = false;
    changed_.notify_all();
}

int Aside::take_count() { return count_.exchange(0); }

} // namespace llama_sessions
