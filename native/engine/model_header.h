// Looks at what a GGUF header says about the model before llama.cpp does.
#pragma once

#include "gguf.h"

#include <string>

namespace llama_sessions {

// What llama.cpp would end the process over (its assertions in load_hparams() and in the vocabulary's load()), in words; ""
// when there is nothing. Everything else about a header is llama.cpp's to say.
std::string fatal_flaw(const gguf_context* gguf);

} // namespace llama_sessions
