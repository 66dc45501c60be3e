// Attention as ggml's operation describes it: which tensors, how many heads of what width.
#pragma once

#include "attention_kernel.h"
#include "ggml.h"

#include <algorithm>
#include <cstddef>

namespace llama_sessions {

struct AttentionShape {
    explicit AttentionShape(const ggml_tensor* to)
        : result(to), queries(to->src[0]), keys(to->src[1]), values(to->src[2]),
          kv_heads(static_cast<int>(keys->ne[2])), heads(static_cast<int>(queries->ne[2]) / kv_heads),
          key_width(static_cast<int>(keys->ne[0])), value_width(static_cast<int>(values->ne[0])),
          rows_per_stream(static_cast<int>(queries->ne[1])) {}

    const ggml_tensor *result, *queries, *keys, *values;
    int kv_heads, heads; // heads: that share keys and values
    int key_width, value_width;
    int rows_per_stream;

    // Row: of all streams, one behind the other.
    const float* query(int row, int kv_head, int head) const {
        return at<const float>(queries, row % rows_per_stream, kv_head * heads + head, row / rows_per_stream);
    }
    float* result_of(int row, int kv_head, int head) const {
        return at<float>(result, kv_head * heads + head, row % rows_per_stream, row / rows_per_stream);
    }
    AttentionPool pool(int row, int kv_head) const {
        const int stream = row / rows_per_stream;
        return {heads,
                key_width,
                value_width,
                at<const uint16_t>(keys, 0, kv_head, stream),
                at<const uint16_t>(values, 0, kv_head, stream),
                keys->nb[1] / sizeof(uint16_t),
                values->nb[1] / sizeof(uint16_t)};
    }

    // Rows of a tile: as many as make a block of lanes, and one of them at least.
    int rows_of_tile() const { return std::max(1, attention_block / heads); }
    int lanes(int rows) const { return (rows * heads + attention_width - 1) / attention_width * attention_width; }

    // ggml counts tensors in bytes.
    template <class T> static T* at(const ggml_tensor* tensor, int64_t a, int64_t b, int64_t c) {
        const auto offset = static_cast<size_t>(a) * tensor->nb[1] + static_cast<size_t>(b) * tensor->nb[2] +
                            static_cast<size_t>(c) * tensor->nb[3];
        return reinterpret_cast<T*>(static_cast<char*>(tensor->data) + offset);
    }
};

} // namespace llama_sessions
