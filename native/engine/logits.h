// Searches in rows of logits. A vocabulary has up to a quarter of a million tokens, and every sequence looks through such a row
// in every step, while all compute threads wait.
#pragma once

#include <cstddef>

namespace llama_sessions {

// Rows are looked through in blocks of so many; in most there is nothing that counts.
constexpr size_t logits_block = 256;

// -infinity when there is none. NaN does not count.
float largest_of(const float* values, size_t count);
// The first of those that are the largest; 0 when there is none.
size_t index_of_largest(const float* values, size_t count);

} // namespace llama_sessions
