// What a model's template lays down about replies: what they must look like, and where reasoning and tool calls are in them.
#pragma once

#include "llama.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

struct common_chat_params;
struct common_chat_parser_params;

namespace llama_sessions {

class Model;

// What a turn asks of its reply.
struct ReplyOptions {
    std::string tools;                // a JSON array in the shape of OpenAI's chat API; empty: none
    std::string tool_choice = "auto"; // none, required
    bool reasoning = true;            // false: templates that can be asked to are asked not to let the model think
    std::string json_schema;          // that the text must follow; empty: none
};

// Where a grammar comes from, and from where on it holds.
struct GrammarStart {
    bool made = false;                 // of a schema or of tools, not the user's own
    bool waits = false;                // for a trigger; else it holds from the first token on
    std::vector<std::string> patterns; // triggers, as regular expressions of what was said
    std::vector<llama_token> tokens;   // triggers
    std::vector<llama_token> read;     // what the grammar begins with and the prompt ends with
    // While it waits: the tags around what a model thinks, where no trigger counts, and what the prompt ends with.
    std::string thinking;
    std::vector<std::string> thought;
    std::string prompt_end;
};

struct ToolCall {
    std::string name, arguments, id; // arguments: JSON; the id is empty where the model's format has none
};

struct ParsedReply {
    std::string text, reasoning;
    std::vector<ToolCall> tool_calls;
};

// Immutable: any thread.
class ReplyFormat {
  public:
    // Throws GRAMMAR_INVALID.
    ReplyFormat(const Model& model, const common_chat_params& params, const ReplyOptions& options);
    // Of a text that goes on without a template. Throws GRAMMAR_INVALID.
    explicit ReplyFormat(const std::string& json_schema);
    ~ReplyFormat();

    // GBNF that replies must follow; empty: none.
    const std::string& grammar() const { return grammar_; }
    const GrammarStart& grammar_start() const { return grammar_start_; }
    // A control token whose name the format is written with.
    bool writes_out(llama_token token) const { return written_out_.count(token) > 0; }
    // Whether there is anything but text in its replies.
    bool parses() const { return parser_ != nullptr; }
    // Whether JSON is part of them, and whether it is all of the text.
    bool has_nesting() const { return has_tools_ || has_schema_; }
    bool has_schema() const { return has_schema_; }
    // What was said so far, or `ended`. What may turn out to be something else is left out until then. Throws when it is no
    // such reply, as with calls whose arguments are no JSON.
    ParsedReply parse(const std::string& said, bool ended) const;
    // Whether what was said is a whole reply: parse() also takes the beginning of one.
    bool is_whole(const std::string& said) const;

  private:
    std::string grammar_;
    GrammarStart grammar_start_;
    bool has_tools_ = false, has_schema_ = false;
    std::set<llama_token> written_out_;
    std::unique_ptr<common_chat_parser_params> parser_;
};

// A JSON schema as GBNF. Throws GRAMMAR_INVALID, with `what` for its name.
std::string grammar_of_schema(const std::string& json_schema, const std::string& what);

} // namespace llama_sessions
