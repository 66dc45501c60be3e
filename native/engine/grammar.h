// Looks at a grammar before llama.cpp's parser does.
#pragma once

#include <string>

namespace llama_sessions {

// Throws GRAMMAR_INVALID for what the parser would not survive: `{3,1}` takes all memory, deep nesting and very long
// grammars the stack. Everything else about a grammar is the parser's to say.
void check_grammar(const std::string& grammar);

} // namespace llama_sessions
