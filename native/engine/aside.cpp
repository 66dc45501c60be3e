#include "aside.h"

#include <algorithm>

namespace llama_sessions {

static ContextOptions for_one_prompt(ContextOptions options, int tokens) {
    options.context_tokens = static_cast<uint32_t>(tokens);
    options.sequences = 1;
    options.batch_tokens = Aside::most_at_once;
    options.speculation = false;
    return options;
}

Aside::Aside(std::shared_ptr<const Model> model, ContextOptions options, ThreadPool& threads, int tokens)
    : model_(std::move(model)),
      context_(*model_, for_one_prompt(std::move(options), tokens), threads, never_, on_operation, this) {}

void Aside::begin(uint64_t turn) {
    context_.clear(0);
    turn_ = turn;
    held_ = 0;
}

bool Aside::take(int tokens, const Bytes& kv) {
    if (!context_.import_kv(0, held_, tokens, kv.data.get(), kv.size, true)) return false;
    held_ += tokens;
    return true;
}

bool Aside::read(const Tokens& tokens, const Interlude& interlude) {
    interlude_ = &interlude;
    ended_ = false;
    group_.clear(); // behind the last stop of the graph before
    group_ms_ = 0;
    context_.begin_batch();
    int position = held_;
    for (const llama_token token : tokens) context_.add(token, position++, 0, false);
    std::string reason; // whatever it is: the prompt is read in the steps of the others then, which will tell
    if (context_.decode(reason) != Context::Decoded::ok || ended_) {
        context_.trim(0, held_); // an end in the middle leaves cells that were never computed
        return false;
    }
    held_ = position;
    return true;
}

double Aside::others_served() {
    const Clock::time_point before = served_;
    served_ = Clock::now();
    return milliseconds(before, served_);
}

bool Aside::pause_if_due(const Interlude& interlude) {
    interlude_ = &interlude;
    ended_ = false;
    if (milliseconds(served_, Clock::now()) > slice_ms_) pause();
    return !ended_;
}

// ggml asks before each operation whether it is to stop after it, then computes all up to that one.
bool Aside::on_operation(ggml_tensor* operation, bool ask, void* self) {
    Aside& aside = *static_cast<Aside*>(self);
    return ask ? aside.before(*operation) : aside.after(*operation);
}

static bool takes_time(ggml_op op) {
    return op == GGML_OP_MUL_MAT || op == GGML_OP_MUL_MAT_ID || op == GGML_OP_FLASH_ATTN_EXT;
}

// True: stop after it. Nothing of its group has been computed yet: a pause is possible before the first one.
bool Aside::before(const ggml_tensor& operation) {
    if (!takes_time(operation.op)) return false;
    double& expected = expected_ms_[{operation.op, operation.src[0]->ne[0], operation.ne[0]}];
    if (group_.empty()) {
        if (!ended_ && milliseconds(served_, Clock::now()) + expected > slice_ms_) pause();
        group_began_ = Clock::now();
    }
    group_.push_back(&expected);
    group_ms_ += expected;
    // Which one comes next is not known: the longest, for all we know.
    const auto longer = [](const auto& a, const auto& b) { return a.second < b.second; };
    const double longest = std::max_element(expected_ms_.begin(), expected_ms_.end(), longer)->second;
    const bool fits_another = milliseconds(served_, group_began_) + group_ms_ + longest <= slice_ms_;
    return ended_ || expected == 0 || !fits_another;
}

void Aside::pause() {
    try {
        ended_ = !(*interlude_)();
    } catch (...) { // ggml's frames are no place for an exception to pass through
        ended_ = true;
    }
    others_served();
}

bool Aside::after(const ggml_tensor& operation) {
    const double took = milliseconds(group_began_, Clock::now());
    if (group_.size() == 1) {
        double& expected = *group_.front();
        expected = std::max(took, 0.95 * expected); // the longest counts, but a hiccup is forgotten
    } else {
        const double correction = std::clamp(took / group_ms_, 0.99, 1.25);
        for (double* expected : group_) *expected *= correction;
    }
    if (operation.op == GGML_OP_FLASH_ATTN_EXT) attention_ms_per_token_ = *group_.back() / context_.batch_size();
    group_.clear();
    group_ms_ = 0;
    return !ended_;
}

// What does not fill a tile is read first: at the end, where attention looks back on all the rest, its rows would take longer
// than a whole tile.
int Aside::at_once(int left) const {
    if (left % least_at_once > 0) return left % least_at_once;
    int count = std::min(left, most_at_once);
    while (count > least_at_once && attention_ms_per_token_ * count > slice_ms_ / 2) count /= 2;
    return std::max(count - count % least_at_once, least_at_once);
}

} // namespace llama_sessions
