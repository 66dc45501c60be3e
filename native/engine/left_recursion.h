// Which rules of a grammar llama.cpp would begin to read and never end, or take too much time or stack to find out.
#pragma once

#include "grammar_rules.h"

#include <string>

namespace llama_sessions {

// What is wrong with them, as what follows "The grammar "; "": nothing. In linear time, on little stack. llama.cpp's
// own check takes a rule for empty only where an alternative of it is written so: of `sum ::= ws sum "+"` with `ws ::=
// [ ]*` it sees nothing, and the first token takes all memory.
std::string find_left_recursion(const std::vector<GrammarRule>& rules);

} // namespace llama_sessions
