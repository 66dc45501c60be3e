#include "model.h"

#include "backend.h"
#include "error.h"
#include "long_runs.h"
#include "model_file.h"

#include <algorithm>
#include <cstdlib>

namespace llama_sessions {

static llama_model* load(const std::string& path, int gpu_layers, const std::function<bool(float)>& progress) {
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = gpu_layers;
    params.progress_callback = [](float fraction, void* data) {
        return (*static_cast<const std::function<bool(float)>*>(data))(fraction);
    };
    params.progress_callback_user_data = const_cast<std::function<bool(float)>*>(&progress);
    return llama_model_load_from_file(path.c_str(), params);
}

Model::Model(const std::string& path, int gpu_layers, const std::function<bool(float)>& progress)
    : may_use_gpu_(gpu_layers != 0) {
    const ModelLayout layout = inspect_model(path);

    ErrorLog log;
    bool given_up = false;
    model_.reset(load(path, gpu_layers, [&](float fraction) { return !(given_up = !progress(fraction)); }));
    if (given_up) throw Error("ABORTED", "Loading '" + path + "' was given up.");
    if (!model_) {
        throw Error("MODEL_INVALID", "llama.cpp can't load '" + path + "'. Its reasons: " + log.text());
    }
    if (llama_model_has_encoder(get()) || !llama_model_has_decoder(get()) || llama_model_is_diffusion(get())) {
        throw Error("NOT_SUPPORTED", "'" + path + "' is not a decoder-only language model: it can't chat.");
    }
    if (layout.two_ropes) {
        rope_border_ = architecture_int("rope.scaling.original_context_length", llama_model_n_ctx_train(get()));
    }
    vocab_ = llama_model_get_vocab(get());
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        throw Error("NOT_SUPPORTED", "'" + path + "' has no vocabulary: it can't chat.");
    }
    std::vector<std::string> control_names;
    for (llama_token token = 0; token < vocabulary_size(); token++) {
        if (ends_generation(token)) end_tokens_.push_back(token);
        if (!stands_alone(token)) continue;
        special_texts_.emplace_back(llama_vocab_get_text(vocab_, token));
        const bool is_plain = llama_vocab_get_attr(vocab_, token) & LLAMA_TOKEN_ATTR_USER_DEFINED;
        if (!is_plain || ends_generation(token)) control_names.push_back(special_texts_.back());
    }
    quoting_ = std::make_unique<Quoting>(control_names);
    const std::string adds_space = metadata("tokenizer.ggml.add_space_prefix");
    adds_space_ = adds_space.empty() ? llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_SPM : adds_space == "true";
    chat_ = std::make_unique<ChatTemplate>(get());
}

Tokens Model::tokenize(const std::string& text, bool add_special, bool parse_special) const {
    if (text.size() >= INT32_MAX) throw Error("INTERNAL", "A text of 2 GiB or more can't be tokenised.");
    Tokens tokens;
    std::vector<size_t> cuts; // only BPE splits texts by regular expressions
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_BPE) cuts = cuts_of_long_runs(text, special_texts_);
    cuts.push_back(text.size());
    size_t from = 0;
    for (const size_t to : cuts) {
        tokenize_piece(text.data() + from, to - from, add_special && from == 0, parse_special, tokens);
        const bool adds_eos = add_special && from == 0 && llama_vocab_get_add_eos(vocab_);
        if (adds_eos && !tokens.empty() && tokens.back() == llama_vocab_eos(vocab_)) tokens.pop_back();
        from = to;
    }
    return tokens;
}

// Behind what is there already.
void Model::tokenize_piece(const char* text, size_t size, bool add_special, bool parse_special, Tokens& tokens) const {
    const size_t before = tokens.size();
    tokens.resize(before + size / 2 + 16);
    const auto fill = [&] {
        return llama_tokenize(vocab_, text, static_cast<int32_t>(size), tokens.data() + before,
                              static_cast<int32_t>(tokens.size() - before), add_special, parse_special);
    };
    int32_t count = fill();
    if (count == INT32_MIN) throw Error("INTERNAL", "A text of more than 2^31 tokens can't be tokenised.");
    if (count < 0) { // the negated number that is needed
        tokens.resize(before + static_cast<size_t>(-count));
        count = fill();
    }
    tokens.resize(before + static_cast<size_t>(count));
}

static std::string spell(const llama_vocab* vocab, llama_token token, bool without_space, bool special) {
    char small[64];
    const int32_t bytes = llama_token_to_piece(vocab, token, small, sizeof small, without_space ? 1 : 0, special);
    if (bytes >= 0) return std::string(small, static_cast<size_t>(bytes));
    std::string large(static_cast<size_t>(-bytes), '\0');
    llama_token_to_piece(vocab, token, large.data(), -bytes, without_space ? 1 : 0, special);
    return large;
}

// Not llama_detokenize: with some vocabularies it "cleans up" spaces before punctuation, and the text is another one then.
std::string Model::detokenize(const llama_token* tokens, size_t count, bool special) const {
    std::string text;
    for (size_t i = 0; i < count; i++) text += spell(vocab_, tokens[i], i == 0 && adds_space_, special);
    return text;
}

std::string Model::piece(llama_token token, bool special) const { return spell(vocab_, token, false, special); }

bool Model::stands_alone(llama_token token) const {
    const int special = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;
    return llama_vocab_get_attr(vocab_, token) & special;
}

// Bytes of the text that the tokens from `from` on spell; npos: they spell something else. Behind a special token the
// tokeniser puts a space that is not in the text, or leaves out all white space that is (Phi-3); a reply may begin with either.
size_t Model::read_along(const std::string& text, const Tokens& tokens, size_t from) const {
    static constexpr const char* white = " \t\n\v\f\r";
    size_t at = 0;
    bool stripped = false; // of the white space in front
    for (size_t i = from; i < tokens.size();) {
        std::string run = spell(vocab_, tokens[i], false, true);
        const bool special = stands_alone(tokens[i++]);
        if (!special) { // up to the next one that is
            while (i < tokens.size() && !stands_alone(tokens[i])) run += spell(vocab_, tokens[i++], false, true);
            if (stripped) run.erase(0, run.find_first_not_of(white));
            else if (adds_space_ && run[0] == ' ' && text.compare(at, run.size(), run) != 0) run.erase(0, 1);
        }
        if (text.compare(at, run.size(), run) != 0) return std::string::npos;
        at += run.size();
        stripped = special && (llama_vocab_get_attr(vocab_, tokens[i - 1]) & LLAMA_TOKEN_ATTR_RSTRIP);
        if (stripped) at = std::min(text.find_first_not_of(white, at), text.size());
    }
    return at;
}

// Behind a token that is not special there is no such space: it goes in front of a newline, and both are dropped.
Tokens Model::tokenize_behind(llama_token last, const std::string& text, bool parse_special) const {
    return stands_alone(last) ? tokenize(text, false, parse_special) : tokenize_inside(text, parse_special);
}

Tokens Model::tokenize_inside(const std::string& text, bool parse_special) const {
    if (!adds_space_) return tokenize(text, false, parse_special);
    Tokens tokens = tokenize("\n" + text, false, parse_special);
    if (tokens.size() < 2 || spell(vocab_, tokens[0], false, true) + spell(vocab_, tokens[1], false, true) != " \n")
        return tokenize(text, false, parse_special);
    tokens.erase(tokens.begin(), tokens.begin() + 2);
    return tokens;
}

// From there on, behind what is there already; behind nothing with what begins a prompt.
void Model::tokenize_quoted(const QuotedText& quoted, size_t from, Tokens& tokens) const {
    const auto append = [&](size_t to, bool parse_special) {
        if (to <= from && !tokens.empty()) return;
        const std::string text = quoted.text.substr(from, to - from);
        const Tokens more =
            tokens.empty() ? tokenize(text, true, parse_special) : tokenize_behind(tokens.back(), text, parse_special);
        tokens.insert(tokens.end(), more.begin(), more.end());
        from = to;
    };
    for (size_t i = 0; i < quoted.borders.size(); i += 2) {
        const size_t begin = quoted.borders[i], end = quoted.borders[i + 1];
        if (end <= from) continue;
        append(begin, true);
        // In two parts, as some vocabularies take the whole for the token all the same: the first character, and the rest.
        size_t second = std::max(from, begin) + 1;
        while (second < end && (static_cast<unsigned char>(quoted.text[second]) & 0xC0) == 0x80) second++;
        append(second, false);
        append(end, false);
    }
    append(quoted.text.size(), true);
}

Prompt Model::prepare_chat(const std::string& messages_json, const Tokens& known, const ReplyOptions& options) const {
    const Rendered rendered = chat_->render(messages_json, options, *quoting_);
    Prompt prompt{tokenize_chat(quoting_->unmark(rendered.prompt), known), nullptr};
    if (rendered.format) prompt.format = std::make_shared<ReplyFormat>(*this, *rendered.format, options);
    else if (!options.json_schema.empty()) prompt.format = std::make_shared<ReplyFormat>(options.json_schema);
    return prompt;
}

Prompt Model::prepare_text(const std::string& text, const std::string& json_schema) const {
    Prompt prompt{tokenize(text, true, true), nullptr};
    if (!json_schema.empty()) prompt.format = std::make_shared<ReplyFormat>(json_schema);
    return prompt;
}

Tokens Model::tokenize_chat(const QuotedText& quoted, const Tokens& known) const {
    const std::string& text = quoted.text;

    // The template's text comes without the BOS that tokenising adds.
    const bool bos = !known.empty() && llama_vocab_get_add_bos(vocab_) && known[0] == llama_vocab_bos(vocab_);
    const size_t said = read_along(text, known, bos);
    if (said != 0 && said != std::string::npos) {
        Tokens tokens = known;
        tokenize_quoted(quoted, said, tokens);
        if (!adds_space_ || read_along(text, tokens, bos) == text.size()) return tokens;
    }
    Tokens tokens;
    tokenize_quoted(quoted, 0, tokens);
    return tokens;
}

std::string Model::metadata(const char* key) const {
    char value[256];
    return llama_model_meta_val_str(get(), key, value, sizeof value) < 0 ? std::string() : std::string(value);
}

int Model::architecture_int(const char* key, int otherwise) const {
    const std::string value = metadata((architecture() + "." + key).c_str());
    return value.empty() ? otherwise : std::atoi(value.c_str());
}

} // namespace llama_sessions
