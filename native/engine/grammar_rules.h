// Reads the rules of a grammar as llama.cpp's parser does, without its memory and its stack.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace llama_sessions {

// Text, characters or a token, of which one is always read; or a rule.
struct GrammarItem {
    static constexpr int text = -1;
    int rule;     // its number, or `text`
    size_t times; // one behind the other
};

using GrammarSequence = std::vector<GrammarItem>;

// Groups and repetitions are rules too.
struct GrammarRule {
    std::string_view name; // of the rule in whose text it stands
    std::vector<GrammarSequence> alternatives;
};

// Numbered as the parser does it: in the order in which they are first named. Nothing where it would refuse the
// grammar, which is its to say.
std::vector<GrammarRule> read_rules(const std::string& grammar);

// The last byte of what begins at `next`: a text, a set of characters, a token or a comment, in which nothing else has
// its usual meaning. The end of the grammar where it does not end.
const char* end_of_quoted(const char* next);

// How often something is repeated.
struct GrammarTimes {
    size_t least, most;
    static constexpr size_t any = static_cast<size_t>(-1);
};

// Reads {m}, {m,} or {m,n}, and the space behind it. False: that is none; nobody knows where `next` is then.
bool read_times(const char*& next, bool newlines, GrammarTimes& times);

} // namespace llama_sessions
