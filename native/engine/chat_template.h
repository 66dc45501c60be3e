// The model's own chat template. chat_template.cpp is the one file that includes llama.cpp's common library.
#pragma once

#include <memory>
#include <string>

struct llama_model;

namespace llama_sessions {

class ChatTemplate {
  public:
    // Throws TEMPLATE_INVALID when the model's template can't be parsed. A model without one gets ChatML.
    explicit ChatTemplate(const llama_model* model);
    ~ChatTemplate();

    // The conversation as the prompt of the assistant's next message. `messages_json`: an array in the shape of
    // OpenAI's chat API. Throws TEMPLATE_INVALID. Any thread.
    std::string render(const std::string& messages_json) const;

  private:
    struct Parsed;
    std::unique_ptr<Parsed> parsed_;
};

} // namespace llama_sessions
