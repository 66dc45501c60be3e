#include "reply_reader.h"

#include <algorithm>
#include <string_view>

namespace llama_sessions {

// The parser calls itself for each bracket within another, with up to 4 KB of the stack. What calls tools needs a few.
static constexpr int most_nesting = 32;
// Until a reply has grown by this part of it, it is not read again: the parser has no state that could go on, and takes a third of
// a millisecond for 26,000 characters.
static constexpr size_t growth = 4096;
// U+FDD0, which Unicode sets aside for a program's own use.
static const std::string no_mark = "\xEF\xB7\x90";

static bool nests_too_deep(std::string_view text) {
    int depth = 0;
    for (const char c : text) {
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth = std::max(0, depth - 1);
        if (depth > most_nesting) return true;
    }
    return false;
}

std::vector<SaidPart> ReplyReader::push(std::string said, Tokens tokens) {
    std::vector<SaidPart> parts;
    if (!parses()) {
        text_ += said;
        parts.push_back({false, std::move(said), std::move(tokens)});
        return parts;
    }
    take_in(said, tokens);
    if (said_.size() - parsed_ <= said_.size() / growth) return parts;
    parsed_ = said_.size();
    if (const std::optional<ParsedReply> reply = parse(said_, false)) take_out(*reply, parts);
    return parts; // where it was no reply, more of it may be one again
}

std::vector<SaidPart> ReplyReader::finish(std::string said, Tokens tokens, bool ended) {
    std::vector<SaidPart> parts;
    if (!parses()) {
        if (!said.empty() || !tokens.empty()) parts = push(std::move(said), std::move(tokens));
        return parts;
    }
    take_in(said, tokens);
    const ParsedReply reply = parse_last(ended).value_or(ParsedReply{text_ + said_.substr(read_), reasoning_, {}});
    take_out(reply, parts);
    if (ended) tool_calls_ = reply.tool_calls;
    if (!tokens_.empty()) parts.push_back({false, {}, std::move(tokens_)});
    return parts;
}

void ReplyReader::take_in(const std::string& said, const Tokens& tokens) {
    said_ += said;
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

std::optional<ParsedReply> ReplyReader::parse(const std::string& said, bool ended) const {
    // What has come out was no call; of a schema it is part of what is nested.
    const size_t from = format_->has_schema() ? 0 : read_;
    if (format_->has_nesting() && nests_too_deep(std::string_view(said).substr(from))) return std::nullopt;
    try {
        return format_->parse(said, ended);
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

// What could be the beginning of a mark is left out of the text until it is none. At the end it is none: with a character behind it
// that is in no mark the parser sees that. Nor is the beginning of a call one.
std::optional<ParsedReply> ReplyReader::parse_last(bool ended) const {
    std::optional<ParsedReply> reply = parse(said_, ended);
    if (reply && !reply->tool_calls.empty()) return reply;
    std::optional<ParsedReply> behind = parse(said_ + no_mark, ended);
    if (behind && behind->tool_calls.empty()) {
        for (std::string* text : {&behind->text, &behind->reasoning}) {
            const size_t at = text->rfind(no_mark);
            if (at == std::string::npos || at + no_mark.size() != text->size()) continue;
            text->resize(at);
            return behind;
        }
    }
    return reply && ended && !format_->is_whole(said_) ? std::nullopt : reply;
}

// Nothing that has come out is taken back.
void ReplyReader::take_out(const ParsedReply& reply, std::vector<SaidPart>& parts) {
    const auto add = [&](bool reasoning, std::string& told, const std::string& now) {
        if (now.size() <= told.size() || now.compare(0, told.size(), told) != 0) return;
        const std::string more = now.substr(told.size());
        const size_t at = said_.find(more, read_);
        if (at != std::string::npos) read_ = at + more.size();
        parts.push_back({reasoning, more, std::move(tokens_)});
        tokens_.clear();
        told = now;
    };
    add(true, reasoning_, reply.reasoning);
    add(false, text_, reply.text);
}

} // namespace llama_sessions
