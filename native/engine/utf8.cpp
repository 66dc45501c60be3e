#include "utf8.h"

#include <cstdint>

namespace llama_sessions {

static constexpr std::string_view replacement = "\xEF\xBF\xBD";

namespace {
struct Scan {
    size_t bytes; // of the character, or of the part of it that is well formed so far
    enum { whole, partial, broken } kind;
};
} // namespace

// One character at the start of `s`, by table 3-7 of the Unicode standard (well-formed UTF-8 byte sequences).
static Scan scan(std::string_view s) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
    const uint8_t lead = byte(0);
    if (lead < 0x80) return {1, Scan::whole};
    if (lead < 0xC2 || lead > 0xF4) return {1, Scan::broken};

    const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint8_t low = 0x80, high = 0xBF; // of the second byte: no overlong forms, no surrogates, nothing above U+10FFFF
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (size_t i = 1; i < length; i++) {
        if (i == s.size()) return {i, Scan::partial};
        if (byte(i) < low || byte(i) > high) return {i, Scan::broken};
        low = 0x80;
        high = 0xBF;
    }
    return {length, Scan::whole};
}

std::string Utf8Stream::push(std::string_view bytes) {
    pending_ += bytes;
    std::string out;
    std::string_view rest = pending_;
    while (!rest.empty()) {
        const Scan next = scan(rest);
        if (next.kind == Scan::partial) break;
        out += next.kind == Scan::whole ? rest.substr(0, next.bytes) : replacement;
        rest.remove_prefix(next.bytes);
    }
    pending_ = std::string(rest);
    return out;
}

std::string Utf8Stream::finish() {
    const bool cut = !pending_.empty();
    pending_.clear();
    return std::string(cut ? replacement : "");
}

size_t utf16_length(std::string_view utf8) {
    size_t length = 0;
    for (const char c : utf8) {
        const auto byte = static_cast<uint8_t>(c);
        length += (byte < 0x80 || byte >= 0xC0) + (byte >= 0xF0); // one for a character, a second one above U+FFFF
    }
    return length;
}

} // namespace llama_sessions
