#include "chat_template.h"

#include "error.h"

#include "chat.h" // llama.cpp's common library
#include "log.h"  // … and its log

#include <mutex>
#include <optional>

namespace llama_sessions {

struct ChatTemplate::Parsed {
    common_chat_templates_ptr templates;
    std::optional<Error> failure; // told to whoever wants it rendered: complete() needs no template
    mutable std::mutex mutex;     // upstream promises nothing about rendering one template from two threads
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

ChatTemplate::ChatTemplate(const llama_model* model) : parsed_(new Parsed) {
    silence_log();
    try {
        parsed_->templates = common_chat_templates_init(model, "");
    } catch (const std::exception& error) {
        parsed_->failure = template_error("can't be parsed", error);
    }
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

std::string ChatTemplate::render(const std::string& messages_json, const Quoting& quoting) const {
    if (parsed_->failure) throw *parsed_->failure;
    std::lock_guard<std::mutex> lock(parsed_->mutex);
    try {
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(messages_json));
        for (common_chat_msg& message : inputs.messages) mark(message, quoting);
        inputs.add_generation_prompt = true;
        inputs.force_pure_content = true; // else a parser of what the model may answer is made with each prompt
        return common_chat_templates_apply(parsed_->templates.get(), inputs).prompt;
    } catch (const std::exception& error) {
        throw template_error("can't render these messages", error);
    }
}

} // namespace llama_sessions
