#include "reasoning_gate.h"

#include <algorithm>

namespace llama_sessions {

static std::string trimmed(const std::string& text) {
    static constexpr const char* white = " \t\r\n";
    const size_t from = text.find_first_not_of(white);
    return from == std::string::npos ? "" : text.substr(from, text.find_last_not_of(white) - from + 1);
}

// Behind the last of them; 0: there is none.
static size_t behind_last(const std::string& text, const std::string& tag) {
    const size_t at = text.rfind(tag);
    return at == std::string::npos ? 0 : at + tag.size();
}

ReasoningGate::ReasoningGate(const std::string& begin, const std::vector<std::string>& ends,
                             const std::string& prompt_end)
    : begin_(trimmed(begin)) {
    size_t ended = 0;
    for (const std::string& end : ends) {
        if (trimmed(end).empty()) continue;
        ends_.push_back(trimmed(end));
        ended = std::max(ended, behind_last(prompt_end, ends_.back()));
    }
    thinking_ = !begin_.empty() && behind_last(prompt_end, begin_) > ended;
}

std::vector<llama_token> ReasoningGate::push(llama_token token, const std::string& text) {
    recent_.emplace_back(token, text);
    std::string said;
    for (const auto& [_, part] : recent_) said += part;

    size_t found = std::string::npos, longest = begin_.size();
    for (const std::string& end : ends_) {
        if (thinking_) found = std::min(found, said.find(end));
        longest = std::max(longest, end.size());
    }
    if (!thinking_ && !begin_.empty()) found = said.find(begin_);

    std::vector<llama_token> seen;
    if (!thinking_) {
        seen = {token};
    } else if (found != std::string::npos) {
        size_t at = 0;
        for (const auto& [each, part] : recent_) {
            at += part.size();
            if (at > found) seen.push_back(each);
        }
    }
    if (found != std::string::npos) {
        thinking_ = !thinking_;
        recent_.clear();
    }
    while (!recent_.empty() && said.size() - recent_.front().second.size() >= longest) {
        said.erase(0, recent_.front().second.size());
        recent_.erase(recent_.begin());
    }
    return seen;
}

} // namespace llama_sessions
