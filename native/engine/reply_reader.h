// Takes a reply apart as it comes: reasoning, text, and at the end the calls of tools.
#pragma once

#include "model.h"
#include "reply_format.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llama_sessions {

struct SaidPart {
    bool reasoning; // else text
    std::string text;
    Tokens tokens;
};

class ReplyReader {
  public:
    // No format: all is text.
    explicit ReplyReader(std::shared_ptr<const ReplyFormat> format) : format_(std::move(format)) {}

    // A control token whose name is to be read.
    bool writes_out(llama_token token) const { return format_ && format_->writes_out(token); }
    // More of the reply; what is certain now comes out. A token leaves with the part that it completes; those of what is neither
    // reasoning nor text leave with the next part, or at the end.
    std::vector<SaidPart> push(std::string said, Tokens tokens);
    // The last of it. ended: the model has said all it wanted; else nothing is a call, as it may be half of one. What is not of
    // the format comes as text.
    std::vector<SaidPart> finish(std::string said, Tokens tokens, bool ended);

    // What has come out, all in all.
    const std::string& text() const { return text_; }
    const std::string& reasoning() const { return reasoning_; }
    const std::vector<ToolCall>& tool_calls() const { return tool_calls_; }

  private:
    bool parses() const { return format_ && format_->parses(); }
    void take_in(const std::string& said, const Tokens& tokens);
    std::optional<ParsedReply> parse(const std::string& said, bool ended) const;
    std::optional<ParsedReply> parse_last(bool ended) const;
    void take_out(const ParsedReply& reply, std::vector<SaidPart>& parts);

    std::shared_ptr<const ReplyFormat> format_;
    std::string said_;  // as the model said it
    size_t parsed_ = 0; // so much of it was parsed
    size_t read_ = 0;   // … and is behind what has come out
    std::string text_, reasoning_;
    Tokens tokens_; // that have not left
    std::vector<ToolCall> tool_calls_;
};

} // namespace llama_sessions
