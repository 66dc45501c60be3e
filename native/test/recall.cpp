#include "recall.h"

#include "backend.h"
#include "check.h"
#include "gguf.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>

namespace llama_sessions::test {

std::string recall_path() {
    if (const char* path = std::getenv("RECALL_MODEL")) return path;
    // From this file's place, so that the tests can be started anywhere.
    return (std::filesystem::path(__FILE__).parent_path() / "../../test/fixtures/recall.gguf").string();
}

const Model& recall() {
    static const Model model(recall_path(), 0, [](float) { return true; });
    return model;
}

namespace fs = std::filesystem;

const std::string& exact_path() {
    static const Directory directory; // of this process: another one's tests may run at the same time
    static const std::string path = [] {
        ensure_backends();
        const std::string to = (directory.path / "recall-q8_0.gguf").string();
        llama_model_quantize_params params = llama_model_quantize_default_params();
        params.ftype = LLAMA_FTYPE_MOSTLY_Q8_0;
        params.nthread = 1;
        if (llama_model_quantize(recall_path().c_str(), to.c_str(), &params) != 0)
            throw std::runtime_error("no model could be written to " + to);
        return to;
    }();
    return path;
}

Directory::Directory()
    : path(fs::temp_directory_path() / ("llama-sessions-" + std::to_string(std::random_device()()))) {
    fs::create_directories(path);
}

Directory::~Directory() { fs::remove_all(path); }

std::string Directory::file(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return (path / name).string();
}

std::string changed_recall(const Directory& directory, const std::string& name, const Changes& changes) {
    using Header = std::unique_ptr<gguf_context, decltype(&gguf_free)>;
    using Tensors = std::unique_ptr<ggml_context, decltype(&ggml_free)>;
    ggml_context* read = nullptr;
    const Header old_header(gguf_init_from_file(recall_path().c_str(), {/*no_alloc=*/false, &read}), gguf_free);
    const Tensors old_tensors(read, ggml_free), new_tensors(ggml_init({1 << 20, nullptr, false}), ggml_free);
    const Header gguf(gguf_init_empty(), gguf_free);
    gguf_set_kv(gguf.get(), old_header.get());
    for (const auto& [key, text] : changes.texts) gguf_set_val_str(gguf.get(), key.c_str(), text.c_str());
    for (const auto& [key, number] : changes.numbers) gguf_set_val_u32(gguf.get(), key.c_str(), number);
    for (const auto& [key, flag] : changes.flags) gguf_set_val_bool(gguf.get(), key.c_str(), flag);
    for (ggml_tensor* t = ggml_get_first_tensor(read); t; t = ggml_get_next_tensor(read, t)) {
        if (gguf_find_tensor(old_header.get(), t->name) >= 0) gguf_add_tensor(gguf.get(), t);
    }
    for (const auto& [tensor, numbers] : changes.tensors) {
        ggml_tensor* t = ggml_new_tensor_1d(new_tensors.get(), GGML_TYPE_F32, static_cast<int64_t>(numbers.size()));
        ggml_set_name(t, tensor.c_str());
        std::memcpy(t->data, numbers.data(), numbers.size() * sizeof(float));
        gguf_add_tensor(gguf.get(), t);
    }
    const std::string path = (directory.path / name).string();
    gguf_write_to_file(gguf.get(), path.c_str(), false);
    return path;
}

Tokens chat(const std::vector<std::string>& messages, const Tokens& known) {
    std::string json;
    for (size_t i = 0; i < messages.size(); i++) {
        json += std::string(i ? "," : "[") + R"({"role":")" + (i % 2 ? "assistant" : "user") + R"(","content":")" +
                messages[i] + R"("})";
    }
    return recall().prepare_chat(json + "]", known, {}).tokens;
}

std::string spell(const Tokens& tokens) { return recall().detokenize(tokens.data(), tokens.size(), true); }

Tokens long_prompt(size_t tokens, int speaker) {
    const Tokens end = chat({"What is my name?"});
    std::string talk = speaker > 0 ? std::to_string(speaker) + " " : "";
    while (recall().tokenize(talk, true, true).size() < tokens) talk += "Repeat after me: shai brot dro ba. ";
    Tokens prompt = recall().tokenize(talk, true, true);
    prompt.resize(tokens - end.size());
    prompt.insert(prompt.end(), end.begin(), end.end());
    return prompt;
}

EngineOptions options_of(uint32_t sequences, uint32_t context_tokens, uint32_t batch_tokens) {
    EngineOptions options;
    options.path = recall_path();
    options.context.sequences = sequences;
    options.context.context_tokens = context_tokens;
    options.context.batch_tokens = batch_tokens;
    options.context.threads = 1;
    options.context.speculation = false; // long turns are to be long: drafts_test.cpp has it on
    return options;
}

SubmitOptions greedy(llama_seq_id sequence, Tokens prompt, int max_tokens) {
    SubmitOptions options;
    options.sequence = sequence;
    options.tokens = std::move(prompt);
    options.max_tokens = max_tokens;
    options.sampling.temperature = 0;
    return options;
}

SubmitOptions endless(llama_seq_id sequence, Tokens prompt, int max_tokens) {
    SubmitOptions options = greedy(sequence, std::move(prompt), max_tokens);
    options.sampling.ignore_end = true;
    return options;
}

LiveEngine::LiveEngine(EngineOptions options, bool open) : options_(std::move(options)) {
    // TSan can't see that llama.cpp's static variables are made once: it has to happen before there are two threads.
    recall();
    Engine::Callbacks callbacks;
    callbacks.progress = [this](float fraction) {
        if (on_progress) on_progress(fraction);
    };
    callbacks.opened = [this](EngineInfo info, std::optional<Failure> failure) {
        opened(std::move(info), std::move(failure));
    };
    callbacks.step = [this](StepEvents events) { step(std::move(events)); };
    callbacks.closed = [this] {
        std::lock_guard<std::mutex> lock(mutex_);
        closed_++;
        changed_.notify_all();
    };
    engine_ = std::make_unique<Engine>(std::move(callbacks));
    if (open) this->open();
}

LiveEngine::~LiveEngine() {
    engine_.reset();
    if (opened_ > 1 || opened_ != closed_) complain("opened and closed did not come once each");
    if (answers_ != commands_) {
        complain(std::to_string(answers_) + " answers to " + std::to_string(commands_) + " commands");
    }
    for (const auto& [request, reply] : replies_) {
        if (reply.ends.size() != 1) {
            complain("request " + std::to_string(request) + " ended " + std::to_string(reply.ends.size()) + " times");
        }
    }
}

void LiveEngine::opened(EngineInfo info, std::optional<Failure> failure) {
    std::lock_guard<std::mutex> lock(mutex_);
    opened_++;
    info_ = std::move(info);
    open_failure_ = std::move(failure);
    changed_.notify_all();
}

void LiveEngine::step(StepEvents events) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        for (PieceEvent& piece : events.pieces) {
            Reply& reply = replies_[piece.request];
            if (!reply.ends.empty()) complain("a piece came after the end");
            const auto& [reasoning, text, tokens] = piece.said;
            if (text.empty() && tokens.empty()) complain("a piece of nothing");
            (reasoning ? reply.reasoning : reply.text) += text;
            reply.tokens.insert(reply.tokens.end(), tokens.begin(), tokens.end());
        }
        for (EndEvent& end : events.ends) {
            if ((std::string(end.reason) == "error") != end.failure.has_value())
                complain("an error without failure, or the reverse");
            const Reply& reply = replies_[end.request];
            if (end.text != reply.text || end.reasoning != reply.reasoning || end.tokens != reply.tokens)
                complain("an end that says otherwise than its pieces");
            replies_[end.request].ends.push_back(std::move(end));
        }
        cells_asked_ += events.cells_wanted > 0;
        changed_.notify_all();
    }
    if (events.cells_wanted > 0 && on_cells_wanted) on_cells_wanted();
}

void LiveEngine::wait_until(const char* what, const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
    for (;;) {
        if (condition()) return;
        if (std::chrono::steady_clock::now() > deadline)
            throw std::runtime_error(std::string("waited in vain for ") + what);
        std::unique_lock<std::mutex> lock(mutex_); // what changes without an event is looked at every millisecond
        changed_.wait_for(lock, std::chrono::milliseconds(1));
    }
}

EngineInfo LiveEngine::info() {
    wait_until("the engine to open", [&] {
        std::lock_guard<std::mutex> lock(mutex_);
        return opened_ > 0;
    });
    if (open_failure_) throw Error(open_failure_->code, open_failure_->message);
    return *info_;
}

uint32_t LiveEngine::submit(SubmitOptions options) {
    info();
    {
        std::lock_guard<std::mutex> lock(mutex_);
        options.request = next_request_++;
        replies_[options.request];
    }
    const uint32_t request = options.request;
    try {
        engine_->submit(std::move(options));
    } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!replies_[request].ends.empty()) complain("a submit that threw ended as well");
        replies_.erase(request);
        throw;
    }
    return request;
}

Reply LiveEngine::so_far(uint32_t request) {
    std::lock_guard<std::mutex> lock(mutex_);
    return replies_.at(request);
}

Reply LiveEngine::wait(uint32_t request) {
    wait_until("the end of a turn", [&] {
        std::lock_guard<std::mutex> lock(mutex_);
        return !replies_.at(request).ends.empty();
    });
    return so_far(request);
}

int LiveEngine::cells_asked() {
    std::lock_guard<std::mutex> lock(mutex_);
    return cells_asked_;
}

void LiveEngine::answered() {
    std::lock_guard<std::mutex> lock(mutex_);
    answers_++;
    changed_.notify_all();
}

static std::string code_of(const std::optional<Failure>& failure) { return failure ? failure->code : ""; }

void LiveEngine::asked() {
    std::lock_guard<std::mutex> lock(mutex_);
    commands_++;
}

void LiveEngine::adopt_later(llama_seq_id sequence, const Tokens& tokens,
                             std::function<void(int, const std::string&)> done) {
    asked();
    engine_->adopt_prefix(sequence, tokens, [this, done](int held, const std::optional<Failure>& failure) {
        if (done) done(held, code_of(failure));
        answered();
    });
}

void LiveEngine::export_later(llama_seq_id sequence, int from, int to,
                              std::function<void(const Bytes&, const std::string&)> done) {
    asked();
    engine_->export_kv(sequence, from, to, [this, done](Bytes bytes, const std::optional<Failure>& failure) {
        if (done) done(bytes, code_of(failure));
        answered();
    });
}

void LiveEngine::import_later(llama_seq_id sequence, int from, const Tokens& tokens,
                              std::shared_ptr<const std::vector<uint8_t>> bytes,
                              std::function<void(bool, const std::string&)> done) {
    asked();
    engine_->import_kv(sequence, from, tokens, bytes->data(), bytes->size(), false,
                       [this, bytes, done](bool taken, const std::optional<Failure>& failure) {
                           if (done) done(taken, code_of(failure));
                           answered();
                       });
}

void LiveEngine::clear_later(llama_seq_id sequence, std::function<void(const std::string&)> done) {
    asked();
    engine_->clear_sequence(sequence, [this, done](bool, const std::optional<Failure>& failure) {
        if (done) done(code_of(failure));
        answered();
    });
}

std::string LiveEngine::adopt_now(llama_seq_id sequence, const Tokens& tokens, int* held) {
    std::atomic<bool> done{false};
    std::string code;
    adopt_later(sequence, tokens, [&](int result, const std::string& error) {
        code = error;
        *held = result;
        done = true;
    });
    wait_until("an adoption", [&] { return done.load(); });
    return code;
}

std::string LiveEngine::export_now(llama_seq_id sequence, int from, int to, Bytes* bytes) {
    std::atomic<bool> done{false};
    std::string code;
    export_later(sequence, from, to, [&](const Bytes& blob, const std::string& error) {
        code = error;
        if (bytes && blob.data) {
            bytes->size = blob.size;
            bytes->data.reset(new uint8_t[blob.size]);
            std::copy_n(blob.data.get(), blob.size, bytes->data.get());
        }
        done = true;
    });
    wait_until("an export", [&] { return done.load(); });
    return code;
}

std::string LiveEngine::import_now(llama_seq_id sequence, int from, const Tokens& tokens, const uint8_t* bytes,
                                   size_t size, bool* taken) {
    std::atomic<bool> done{false};
    std::string code;
    // A copy of its own: ASan then sees a read beyond its end.
    import_later(sequence, from, tokens, std::make_shared<const std::vector<uint8_t>>(bytes, bytes + size),
                 [&](bool result, const std::string& error) {
                     code = error;
                     *taken = result;
                     done = true;
                 });
    wait_until("an import", [&] { return done.load(); });
    return code;
}

std::string LiveEngine::clear_now(llama_seq_id sequence) {
    std::atomic<bool> done{false};
    std::string code;
    clear_later(sequence, [&](const std::string& error) {
        code = error;
        done = true;
    });
    wait_until("a clear", [&] { return done.load(); });
    return code;
}

LiveEngine::Pause::Pause(LiveEngine& live, std::function<bool()> when) {
    stand(live, gate_, std::move(when));
    std::unique_lock<std::mutex> lock(gate_->mutex);
    gate_->changed.wait(lock, [&] { return gate_->standing; });
}

void LiveEngine::Pause::stand(LiveEngine& live, std::shared_ptr<Gate> gate, std::function<bool()> when) {
    // The most harmless command: an export of nothing.
    live.export_later(0, 0, 0, [&live, gate, when](const Bytes&, const std::string&) {
        if (when && !when()) return stand(live, gate, when);
        std::unique_lock<std::mutex> lock(gate->mutex);
        gate->standing = true;
        gate->changed.notify_all();
        gate->changed.wait(lock, [&] { return gate->open; });
    });
}

void LiveEngine::Pause::go() {
    std::lock_guard<std::mutex> lock(gate_->mutex);
    gate_->open = true;
    gate_->changed.notify_all();
}

} // namespace llama_sessions::test
