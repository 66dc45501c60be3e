#include "reply_format.h"

#include "error.h"
#include "model.h"

#include "chat.h" // llama.cpp's common library
#include "json-schema-to-grammar.h"

namespace llama_sessions {

// The whole of what was said, not a part of it.
static std::string anchored(const std::string& pattern) {
    if (pattern.empty()) return "^$";
    return (pattern.front() == '^' ? "" : "^") + pattern + (pattern.back() == '$' ? "" : "$");
}

// LLAMA_TOKEN_NULL: it has none of its own.
static llama_token only_token_of(const Model& model, const std::string& text) {
    const Tokens tokens = model.tokenize_inside(text, true);
    return tokens.size() == 1 ? tokens[0] : LLAMA_TOKEN_NULL;
}

static void add_trigger(const Model& model, const common_grammar_trigger& trigger, GrammarStart& start) {
    switch (trigger.type) {
    case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN: start.tokens.push_back(trigger.token); break;
    case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: {
        // One token is compared; an expression is looked for in all that was said, token after token.
        const llama_token token = only_token_of(model, trigger.value);
        if (token != LLAMA_TOKEN_NULL) start.tokens.push_back(token);
        else start.patterns.push_back(regex_escape(trigger.value));
        break;
    }
    case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN: start.patterns.push_back(trigger.value); break;
    case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL: start.patterns.push_back(anchored(trigger.value)); break;
    }
}

// Grammars are made of characters: what the prompt ends with is spelled out for them. A control token's own number would do as
// well, but llama.cpp ends the process for one that ends a message.
static Tokens spelled(const Model& model, const std::string& text) {
    const Tokens tokens = model.tokenize_inside(text);
    for (const llama_token token : tokens) {
        if (model.ends_generation(token))
            throw Error("GRAMMAR_INVALID",
                        "With this model's chat template no reply can be held to a schema or a call.");
    }
    return tokens;
}

ReplyFormat::ReplyFormat(const Model& model, const common_chat_params& params, const ReplyOptions& options)
    : grammar_(params.grammar), has_tools_(!options.tools.empty()), has_schema_(!options.json_schema.empty()),
      parser_(new common_chat_parser_params(params)) {
    parser_->reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    if (!params.parser.empty()) parser_->parser.load(params.parser);
    for (const std::string& name : params.preserved_tokens) {
        const llama_token token = only_token_of(model, name);
        if (token != LLAMA_TOKEN_NULL) written_out_.insert(token);
    }
    grammar_start_.made = true;
    grammar_start_.waits = params.grammar_lazy;
    grammar_start_.thinking = params.thinking_start_tag;
    grammar_start_.thought = params.thinking_end_tags;
    grammar_start_.prompt_end = params.generation_prompt;
    if (params.grammar_lazy) {
        for (const common_grammar_trigger& trigger : params.grammar_triggers)
            add_trigger(model, trigger, grammar_start_);
    } else if (!grammar_.empty()) {
        grammar_start_.read = spelled(model, params.generation_prompt);
    }
}

ReplyFormat::ReplyFormat(const std::string& json_schema) : grammar_(grammar_of_schema(json_schema, "The JSON schema")) {
    grammar_start_.made = true;
}

ReplyFormat::~ReplyFormat() = default;

ParsedReply ReplyFormat::parse(const std::string& said, bool ended) const {
    common_chat_msg message = common_chat_parse(said, !ended, *parser_);
    ParsedReply reply{std::move(message.content), std::move(message.reasoning_content), {}};
    for (common_chat_tool_call& call : message.tool_calls) {
        // The parser takes half a call for one, and numbers that no one else reads: with it no prompt could be rendered again.
        if (ended && !call.arguments.empty()) common_json::parse(call.arguments);
        reply.tool_calls.push_back({std::move(call.name), std::move(call.arguments), std::move(call.id)});
    }
    return reply;
}

bool ReplyFormat::is_whole(const std::string& said) const {
    common_peg_parse_context context(parser_->generation_prompt + said);
    return parser_->parser.parse(context).end == context.input.size();
}

std::string grammar_of_schema(const std::string& json_schema, const std::string& what) {
    try {
        return json_schema_to_grammar(common_json::parse(json_schema), true);
    } catch (const std::exception& error) {
        throw Error("GRAMMAR_INVALID", what + " can't be followed: " + error.what());
    }
}

} // namespace llama_sessions
