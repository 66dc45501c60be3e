// What a token takes from the cells that it sees: softmax(q · k) · v, for the heads that share keys and values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llama_sessions {

// For one token. Strides count values of f16.
struct AttentionWork {
    const float* queries; // a row of `key_width` per head, multiplied with the scale
    int heads;
    int key_width, value_width;    // multiples of attention_width
    const uint16_t *keys, *values; // f16, the rows of cell 0
    size_t key_stride, value_stride;
    const int32_t* cells; // readable up to a multiple of attention_width, and in the cache there
    int count;
    float* scores; // attention_block per head, to work with
    // Per head: the largest score, the sum of exp(score - largest), and the values times that, not yet divided by the sum: so
    // what comes from other cells can be added.
    float *largest, *sums, *weighted;
};

struct AttentionKernel {
    void (*attend)(const AttentionWork& work);
    // Of 64 numbers of a mask, in f16, one bit for each that is not -infinity.
    uint64_t (*seen)(const uint16_t* mask);
};

constexpr int attention_width = 16;
constexpr int attention_block = 64;

// For what ggml's own code was chosen for, on this processor; null: none of ours.
const AttentionKernel* attention_kernel();

} // namespace llama_sessions
