#include "chat_template.h"

#include "error.h"

#include "chat.h" // llama.cpp's common library
#include "log.h"  // … and its log

#include <map>
#include <mutex>
#include <optional>

namespace llama_sessions {

struct ChatTemplate::Parsed {
    common_chat_templates_ptr templates;
    std::optional<Error> failure; // told to whoever wants it rendered: complete() needs no template
    bool thinks = false;          // its replies have reasoning in them, or may have
    bool knows_tools = false, calls_several = false;
    mutable std::mutex mutex; // upstream promises nothing about rendering one template from two threads
};

static Error template_error(const char* what, const std::exception& error) {
    return Error("TEMPLATE_INVALID",
                 std::string("The model's chat template ") + what + ": " + error.what() +
                     ". Use complete() with a prompt of your own, or another conversion of the model.");
}

// It would warn of `force_pure_content` with each prompt. What goes wrong is thrown all the same.
static void silence_log() {
    static std::once_flag once; // no two threads may do it together
    std::call_once(once, [] { common_log_set_verbosity_thold(-1); });
}

// Some templates refuse what we ask here, or are beyond upstream's analysis: then their replies are text.
static bool ever_thinks(const common_chat_templates* templates) {
    common_chat_templates_inputs inputs;
    common_chat_msg message;
    message.role = "user";
    message.content = "Hello!";
    inputs.messages = {std::move(message)};
    inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    try {
        return common_chat_templates_apply(templates, inputs).supports_thinking;
    } catch (const std::exception&) {
        return false;
    }
}

ChatTemplate::ChatTemplate(const llama_model* model) : parsed_(new Parsed) {
    silence_log();
    try {
        parsed_->templates = common_chat_templates_init(model, "");
    } catch (const std::exception& error) {
        parsed_->failure = template_error("can't be parsed", error);
        return;
    }
    const std::map<std::string, bool> can = common_chat_templates_get_caps(parsed_->templates.get());
    parsed_->knows_tools = can.at("supports_tools");
    parsed_->calls_several = can.at("supports_parallel_tool_calls");
    parsed_->thinks = ever_thinks(parsed_->templates.get());
}

ChatTemplate::~ChatTemplate() = default;

static void mark(common_chat_msg& message, const Quoting& quoting) {
    for (std::string* text :
         {&message.role, &message.content, &message.reasoning_content, &message.tool_name, &message.tool_call_id})
        quoting.mark(*text);
    for (common_chat_msg_content_part& part : message.content_parts) quoting.mark(part.text);
    for (common_chat_tool_call& call : message.tool_calls) {
        for (std::string* text : {&call.name, &call.arguments, &call.id}) quoting.mark(*text);
    }
}

static common_chat_tool_choice choice_of(const std::string& name) {
    return name == "none"       ? COMMON_CHAT_TOOL_CHOICE_NONE
           : name == "required" ? COMMON_CHAT_TOOL_CHOICE_REQUIRED
                                : COMMON_CHAT_TOOL_CHOICE_AUTO;
}

// Told apart from what the template says: it is not to blame.
static void check_schemas(const common_chat_templates_inputs& inputs) {
    if (!inputs.json_schema.empty()) grammar_of_schema(inputs.json_schema, "The JSON schema");
    for (const common_chat_tool& tool : inputs.tools)
        grammar_of_schema(tool.parameters, "The parameters of the tool '" + tool.name + "'");
}

Rendered ChatTemplate::render(const std::string& messages_json, const ReplyOptions& options,
                              const Quoting& quoting) const {
    if (parsed_->failure) throw *parsed_->failure;
    if (!options.tools.empty() && !parsed_->knows_tools)
        throw Error("NOT_SUPPORTED",
                    "The model's chat template knows no tools: send() without them, or take another model.");
    common_chat_templates_inputs inputs;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    inputs.enable_thinking = options.reasoning;
    inputs.json_schema = options.json_schema;
    inputs.tool_choice = choice_of(options.tool_choice);
    inputs.parallel_tool_calls = parsed_->calls_several;
    try {
        if (!options.tools.empty()) inputs.tools = common_chat_tools_parse_oaicompat(common_json::parse(options.tools));
        check_schemas(inputs);
        for (common_chat_tool& tool : inputs.tools) { // names that can be in the way are none that lib/ accepts
            quoting.mark(tool.description);
            quoting.mark(tool.parameters);
        }
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(messages_json));
        for (common_chat_msg& message : inputs.messages) mark(message, quoting);
        return apply(inputs, quoting);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw template_error("can't render these messages", error);
    }
}

// What a reply looks like is worked out with each prompt, which takes ten times as long as the prompt: only where it matters.
Rendered ChatTemplate::apply(common_chat_templates_inputs& inputs, const Quoting& quoting) const {
    inputs.force_pure_content = inputs.tools.empty() && inputs.json_schema.empty() && !parsed_->thinks;
    std::lock_guard<std::mutex> lock(parsed_->mutex);
    auto params = std::make_shared<common_chat_params>(common_chat_templates_apply(parsed_->templates.get(), inputs));
    Rendered rendered{std::move(params->prompt), nullptr};
    // Upstream's parsers of some models look for no schema, or not where there are tools.
    const bool ignores_schema = !inputs.json_schema.empty() && (params->grammar.empty() || params->grammar_lazy);
    if (inputs.force_pure_content || ignores_schema) return rendered;
    for (std::string* text : {&params->grammar, &params->parser}) *text = quoting.unmark(*text).text;
    rendered.format = std::move(params);
    return rendered;
}

} // namespace llama_sessions
