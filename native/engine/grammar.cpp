#include "grammar.h"

#include "error.h"
#include "utf8.h"

#include <cctype>
#include <cstdlib>

namespace llama_sessions {

// Rules that call each other nest too, and each takes some bytes of text. A grammar made from a large JSON schema has tens
// of kilobytes; 100,000 rules in 2 MB end the process.
static constexpr size_t most_bytes = 256 * 1024;
static constexpr int most_nesting = 200; // the parser calls itself for each parenthesis

static Error refuse(const std::string& why) { return Error("GRAMMAR_INVALID", "The grammar " + why); }

static bool ends_line(char c) { return c == '\n' || c == '\r'; }

// The last byte of what begins at `i`: a text, a set of characters, a token or a comment, in which nothing else has its
// usual meaning.
static size_t skip_quoted(const std::string& grammar, size_t i) {
    const char open = grammar[i], close = open == '"' ? '"' : open == '[' ? ']' : open == '<' ? '>' : '\n';
    for (i++; i < grammar.size(); i++) {
        if (grammar[i] == close || (open == '#' && ends_line(grammar[i]))) break;
        if (grammar[i] == '\\' && (open == '"' || open == '[')) i++;
    }
    return i;
}

static const char* skip_space(const char* next) {
    for (; std::isspace(static_cast<unsigned char>(*next)) || *next == '#'; next++) {
        if (*next != '#') continue;
        while (next[1] && !ends_line(next[1])) next++;
    }
    return next;
}

static bool read_number(const char*& next, unsigned long long& value) {
    if (!std::isdigit(static_cast<unsigned char>(*next))) return false;
    char* end;
    value = std::strtoull(next, &end, 10);
    next = skip_space(end);
    return true;
}

// At the `{` of {m,n} with n < m.
static bool is_backward(const char* next) {
    unsigned long long least, most;
    next = skip_space(next + 1);
    if (!read_number(next, least) || *next != ',') return false;
    next = skip_space(next + 1);
    return read_number(next, most) && most < least;
}

void check_grammar(const std::string& grammar) {
    if (grammar.size() > most_bytes) throw refuse("is longer than 256 KiB.");
    if (grammar.find('\0') != std::string::npos) throw refuse("has a zero byte in it, where it would end.");
    Utf8Stream utf8; // of a broken character the parser takes the next bytes, quotes and all
    if (utf8.push(grammar) != grammar) throw refuse("is not valid UTF-8.");

    int depth = 0;
    for (size_t i = 0; i < grammar.size(); i++) {
        switch (grammar[i]) {
        case '"':
        case '[':
        case '<':
        case '#': i = skip_quoted(grammar, i); break;
        case '(':
            if (++depth > most_nesting) throw refuse("nests more than 200 parentheses.");
            break;
        case ')': depth--; break;
        case '{':
            if (is_backward(grammar.c_str() + i)) throw refuse("has a repetition {m,n} in which n is less than m.");
        }
    }
}

} // namespace llama_sessions
