#include "quoting.h"

#include <algorithm>

namespace llama_sessions {

// U+FDD0, which Unicode sets aside for a program's own use: behind the first character of a name.
static constexpr char mark_text[] = "\xEF\xB7\x90";
static constexpr size_t mark_bytes = sizeof mark_text - 1;

static size_t character_bytes(char first) {
    const auto byte = static_cast<unsigned char>(first);
    return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

Quoting::Quoting(const std::vector<std::string>& names) : names_(names.begin(), names.end()) {
    names_.erase("");
    for (const std::string& name : names_) {
        lengths_[static_cast<unsigned char>(name[0])].insert(name.size());
        longest_ = std::max(longest_, name.size());
    }
}

// Bytes of the longest name that the text begins with; 0: with none.
size_t Quoting::name_at(std::string_view text) const {
    for (const size_t length : lengths_[static_cast<unsigned char>(text[0])]) {
        if (length <= text.size() && names_.find(text.substr(0, length)) != names_.end()) return length;
    }
    return 0;
}

void Quoting::mark(std::string& text) const {
    std::string marked;
    size_t copied = 0;
    for (size_t at = 0; at < text.size();) {
        const size_t size = name_at(std::string_view(text).substr(at));
        if (size > 0) {
            const size_t behind = at + character_bytes(text[at]);
            marked.append(text, copied, behind - copied).append(mark_text);
            copied = behind;
        }
        at += std::max<size_t>(size, 1);
    }
    if (copied > 0) text = marked.append(text, copied, std::string::npos);
}

QuotedText Quoting::unmark(const std::string& marked) const {
    QuotedText quoted;
    std::string& text = quoted.text;
    size_t copied = 0;
    for (size_t at = 0; (at = marked.find(mark_text, at)) != std::string::npos; at += mark_bytes) {
        size_t first = at; // of the character in front
        while (first > copied && (static_cast<unsigned char>(marked[--first]) & 0xC0) == 0x80) {
        }
        const std::string rest = marked.substr(first, at - first) + marked.substr(at + mark_bytes, longest_);
        const size_t size = first < at ? name_at(rest) : 0;
        if (size == 0) continue; // somebody's own character
        text.append(marked, copied, first - copied);
        quoted.borders.push_back(text.size());
        text.append(rest, 0, size);
        quoted.borders.push_back(text.size());
        copied = first + mark_bytes + size;
        at = copied - mark_bytes;
    }
    text.append(marked, copied, std::string::npos);
    return quoted;
}

} // namespace llama_sessions
