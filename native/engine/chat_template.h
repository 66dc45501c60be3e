// The model's own chat template. chat_template.cpp is the one file that includes llama.cpp's common library.
#pragma once

#include "quoting.h"

#include <memory>
#include <string>

struct llama_model;

namespace llama_sessions {

class ChatTemplate {
  public:
    // A model without a template gets ChatML.
    explicit ChatTemplate(const llama_model* model);
    ~ChatTemplate();

    // The conversation as the prompt of the assistant's next message. `messages_json`: an array in the shape of
    // OpenAI's chat API, whose texts are marked. Throws TEMPLATE_INVALID, also when the template can't be parsed at all. Any thread.
    std::string render(const std::string& messages_json, const Quoting& quoting) const;

  private:
    struct Parsed;
    std::unique_ptr<Parsed> parsed_;
};

} // namespace llama_sessions
