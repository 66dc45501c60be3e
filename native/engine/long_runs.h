// Where a text has to be cut before llama.cpp tokenises it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace llama_sessions {

// Most characters that one match of llama.cpp's regular expressions may have: libstdc++ takes 330 bytes of the stack for each, where
// two kinds of them take turns 530, and a worker has 4 MiB in all. The two rules below add up to twice as many.
inline constexpr size_t longest_run = 3000;

// Where `text` is cut into pieces that keep to that, in order; nothing for usual texts, whose tokens must stay as they are. UTF-8
// characters stay whole, and so do the texts in `whole`, where they are no longer than a piece.
std::vector<size_t> cuts_of_long_runs(const std::string& text, const std::vector<std::string>& whole);

} // namespace llama_sessions
