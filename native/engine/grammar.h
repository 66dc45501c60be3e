// Looks at a grammar before llama.cpp's parser does.
#pragma once

#include <string>

namespace llama_sessions {

// Throws GRAMMAR_INVALID for what llama.cpp would not survive: `{3,1}` takes all memory, and so do rules that begin with
// themselves; deep nesting and very long grammars take the stack. Everything else about a grammar is its parser's to say.
// made: from a JSON schema, by llama.cpp, which makes long ones.
void check_grammar(const std::string& grammar, bool made = false);

} // namespace llama_sessions
