// Weights and vocabulary. Immutable once loaded: every method may be called from any thread.
#pragma once

#include "chat_template.h"
#include "llama.h"

#include <climits>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace llama_sessions {

using Tokens = std::vector<llama_token>;

struct Prompt {
    Tokens tokens;
    std::shared_ptr<const ReplyFormat> format; // of what answers it; none: text
};

class Model {
  public:
    // Blocks. `progress` gets 0 to 1 and returns false to give up. Throws MODEL_NOT_FOUND, MODEL_INVALID, NOT_SUPPORTED, ABORTED.
    Model(const std::string& path, int gpu_layers, const std::function<bool(float)>& progress);

    llama_model* get() const { return model_.get(); }
    const llama_vocab* vocab() const { return vocab_; }
    int vocabulary_size() const { return llama_vocab_n_tokens(vocab_); }
    bool valid(llama_token token) const { return token >= 0 && token < vocabulary_size(); }
    bool ends_generation(llama_token token) const { return llama_vocab_is_eog(vocab_, token); }
    const Tokens& end_tokens() const { return end_tokens_; }
    // Layers were asked for there, if there is one.
    bool may_use_gpu() const { return may_use_gpu_; }
    // Contexts of more tokens than this turn positions by other factors: their KV means something else. INT_MAX: all are alike.
    int rope_border() const { return rope_border_; }

    // `add_special`: the BOS, where the model wants one; its EOS never, as it would end what goes on. Throws INTERNAL on text of
    // 2 GiB and more.
    Tokens tokenize(const std::string& text, bool add_special, bool parse_special) const;
    // A text as it is within another one: no control tokens, and no space that a tokeniser puts in front. Throws INTERNAL.
    Tokens tokenize_inside(const std::string& text, bool parse_special = false) const;
    // `special`: control tokens are written out. Every token must be valid().
    std::string detokenize(const llama_token* tokens, size_t count, bool special) const;
    // The bytes of one token, maybe part of a character; nothing for control tokens, unless `special`.
    std::string piece(llama_token token, bool special = false) const;

    // Renders the conversation and tokenises it. Where the text goes on from what `known` spells, only the rest is
    // tokenised: what was generated keeps its tokens, though a tokeniser would have cut the same text otherwise. What a message
    // writes is text: no control token comes of it. Throws as ChatTemplate::render().
    Prompt prepare_chat(const std::string& messages_json, const Tokens& known, const ReplyOptions& options) const;
    // A text that goes on without a template. Throws GRAMMAR_INVALID for a schema, INTERNAL as tokenize().
    Prompt prepare_text(const std::string& text, const std::string& json_schema) const;

    std::string metadata(const char* key) const; // "" when absent
    std::string architecture() const { return metadata("general.architecture"); }
    // Of one of the keys that begin with the name of the architecture, without that.
    int architecture_int(const char* key, int otherwise) const;

  private:
    void tokenize_piece(const char* text, size_t size, bool add_special, bool parse_special, Tokens& tokens) const;
    // The tokeniser takes its text out of any other before it looks at the rest.
    bool stands_alone(llama_token token) const;
    size_t read_along(const std::string& text, const Tokens& tokens, size_t from) const;
    Tokens tokenize_behind(llama_token last, const std::string& text, bool parse_special) const;
    void tokenize_quoted(const QuotedText& quoted, size_t from, Tokens& tokens) const;
    Tokens tokenize_chat(const QuotedText& quoted, const Tokens& known) const;

    std::unique_ptr<llama_model, decltype(&llama_model_free)> model_{nullptr, llama_model_free};
    const llama_vocab* vocab_ = nullptr;
    Tokens end_tokens_;
    bool may_use_gpu_;
    int rope_border_ = INT_MAX;
    std::vector<std::string> special_texts_; // what the tokeniser takes for one token wherever it stands
    bool adds_space_ = false;                // … and it puts a space in front of a text
    std::unique_ptr<ChatTemplate> chat_;
    std::unique_ptr<Quoting> quoting_;
};

} // namespace llama_sessions
