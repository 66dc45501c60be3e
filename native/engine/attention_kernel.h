// What a token takes from the cells that it sees: softmax(q · k) · v, for the heads that share keys and values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llama_sessions {

// What heads share that use the same keys and values. Strides count values of f16.
struct AttentionPool {
    int heads;
    int key_width, value_width;    // multiples of attention_width
    const uint16_t *keys, *values; // f16, the rows of cell 0
    size_t key_stride, value_stride;
};

// For one token.
struct AttentionWork : AttentionPool {
    const float* queries; // a row of `key_width` per head, multiplied with the scale
    const int32_t* cells; // readable up to a multiple of attention_width, and in the cache there
    int count;
    float* scores; // attention_block per head, to work with
    // Per head: the largest score, the sum of exp(score - largest), and the values times that, not yet divided by the sum: so
    // what comes from other cells can be added.
    float *largest, *sums, *weighted;
};

// For some tokens that see the same cells, but for a few: a block of these. Each of the tokens' heads is a lane.
struct AttentionTile : AttentionPool {
    const float* queries;              // key_width rows of `lanes`, multiplied with the scale
    int rows;                          // each with its heads, a lane for each: row * heads + head
    int lanes;                         // a multiple of attention_width, and not less than that
    const int32_t *cells, *next_cells; // next: of the block that comes after this one
    int count, next_count;             // attention_block at most
    const uint64_t* seen;              // by each row, a bit per cell; null: all of them
    // To work with: attention_block times the wider of both, attention_block times `lanes`, and `lanes`.
    float *gathered, *scores, *factors;
    // By lane, of this block and those before: as above. weighted: value_width rows of `lanes`. Before the first block: -FLT_MAX, 0, 0.
    float *largest, *sums, *weighted;
};

struct AttentionKernel {
    void (*attend)(const AttentionWork& work);
    void (*attend_tile)(const AttentionTile& tile);
    // Of 64 numbers of a mask, in f16, one bit for each that is not -infinity.
    uint64_t (*seen)(const uint16_t* mask);
};

constexpr int attention_width = 16;
constexpr int attention_block = 64;

// For what ggml's own code was chosen for, on this processor; null: none of ours.
const AttentionKernel* attention_kernel();

} // namespace llama_sessions
