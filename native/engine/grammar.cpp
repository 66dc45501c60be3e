#include "grammar.h"

#include "error.h"
#include "left_recursion.h"
#include "utf8.h"

namespace llama_sessions {

// A grammar made from a large JSON schema has tens of kilobytes; whatever reads one needs time and memory by its
// length.
static constexpr size_t most_bytes = 256 * 1024;
static constexpr size_t most_made_bytes = 16 * most_bytes; // a model may be given a hundred tools
static constexpr int most_nesting = 200;                   // the parser calls itself for each parenthesis

static Error refuse(const std::string& why) { return Error("GRAMMAR_INVALID", "The grammar " + why); }

// At the `{` of {m,n} with n < m.
static bool is_backward(const char* next) {
    GrammarTimes times;
    return read_times(next, true, times) && times.most < times.least;
}

void check_grammar(const std::string& grammar, bool made) {
    if (!made && grammar.size() > most_bytes) throw refuse("is longer than 256 KiB.");
    if (grammar.size() > most_made_bytes) throw refuse("of these tools, or of this schema, is longer than 4 MiB.");
    if (grammar.find('\0') != std::string::npos) throw refuse("has a zero byte in it, where it would end.");
    Utf8Stream utf8; // of a broken character the parser takes the next bytes, quotes and all
    if (utf8.push(grammar) != grammar) throw refuse("is not valid UTF-8.");

    int depth = 0;
    for (const char* next = grammar.c_str(); *next; next++) {
        switch (*next) {
        case '"':
        case '[':
        case '<':
        case '#':
            next = end_of_quoted(next);
            if (!*next) next--; // it has no end
            break;
        case '(':
            if (++depth > most_nesting) throw refuse("nests more than 200 parentheses.");
            break;
        case ')': depth--; break;
        case '{':
            if (is_backward(next)) throw refuse("has a repetition {m,n} in which n is less than m.");
        }
    }
    const std::string why = find_left_recursion(read_rules(grammar));
    if (!why.empty()) throw refuse(why);
}

} // namespace llama_sessions
