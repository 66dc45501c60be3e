// The model's own chat template. Its .cpp and reply_format.cpp are the files that include llama.cpp's common library.
#pragma once

#include "quoting.h"
#include "reply_format.h"

#include <memory>
#include <string>

struct common_chat_templates_inputs;
struct llama_model;

namespace llama_sessions {

struct Rendered {
    std::string prompt;                               // of the assistant's next message, with the marks of what is text
    std::shared_ptr<const common_chat_params> format; // none: the reply is text, of the schema if there is one
};

class ChatTemplate {
  public:
    // A model without a template gets ChatML.
    explicit ChatTemplate(const llama_model* model);
    ~ChatTemplate();

    // `messages_json`: an array in the shape of OpenAI's chat API, whose texts are marked. Throws TEMPLATE_INVALID, also when
    // the template can't be parsed at all; NOT_SUPPORTED for tools that it knows nothing of; GRAMMAR_INVALID for schemas. Any thread.
    Rendered render(const std::string& messages_json, const ReplyOptions& options, const Quoting& quoting) const;

  private:
    struct Parsed;
    Rendered apply(common_chat_templates_inputs& inputs, const Quoting& quoting) const;
    std::unique_ptr<Parsed> parsed_;
};

} // namespace llama_sessions
