// The kernel for rows of a prompt: some cells for many queries at once, as two products of matrices. A lane is a query, so nothing is
// added up across lanes. As attention_lanes.h: nothing leaves the file that includes it.
#pragma once

#include "attention_lanes.h"

#include <float.h>

namespace llama_sessions {
namespace {

// Four rows of a product of matrices, at `Vectors` of its columns: to[r][i] = to[r][i] * factors[i] + sum over s of
// a[r * a_row + s * a_step] * b[s][i]; no factors: 0 * to.
template <class Lanes, int Vectors>
void add_products(const float* a, ptrdiff_t a_row, ptrdiff_t a_step, int steps, const float* b, ptrdiff_t lanes,
                  const float* factors, float* to) {
    static constexpr int rows = 4;
    typename Lanes::Vector sums[rows][Vectors];
    for (int i = 0; i < Vectors; i++) {
        for (int r = 0; r < rows; r++) {
            sums[r][i] = Lanes::all(0);
            if (factors)
                sums[r][i] = Lanes::multiply(Lanes::load(to + r * lanes + i * Lanes::width),
                                             Lanes::load(factors + i * Lanes::width));
        }
    }
    for (int s = 0; s < steps; s++) {
        typename Lanes::Vector columns[Vectors];
        for (int i = 0; i < Vectors; i++) columns[i] = Lanes::load(b + s * lanes + i * Lanes::width);
        for (int r = 0; r < rows; r++) {
            const auto factor = Lanes::all(a[r * a_row + s * a_step]);
            for (int i = 0; i < Vectors; i++) sums[r][i] = Lanes::multiply_add(factor, columns[i], sums[r][i]);
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < Vectors; i++) Lanes::store(to + r * lanes + i * Lanes::width, sums[r][i]);
    }
}

// All rows, a multiple of four, and columns.
template <class Lanes>
void add_product(const float* a, ptrdiff_t a_row, ptrdiff_t a_step, int steps, const float* b, int lanes,
                 const float* factors, float* to, int rows) {
    static constexpr int together = Lanes::columns * Lanes::width;
    for (int r = 0; r < rows; r += 4, a += 4 * a_row, to += 4 * static_cast<ptrdiff_t>(lanes)) {
        int i = 0;
        for (; i + together <= lanes; i += together)
            add_products<Lanes, Lanes::columns>(a, a_row, a_step, steps, b + i, lanes, factors ? factors + i : factors,
                                                to + i);
        for (; i < lanes; i += Lanes::width)
            add_products<Lanes, 1>(a, a_row, a_step, steps, b + i, lanes, factors ? factors + i : factors, to + i);
    }
}

// What cells hold, in their order, one behind the other.
template <class Lanes>
void gather(const uint16_t* from, size_t stride, int width, const int32_t* cells, int count, float* to) {
    for (int c = 0; c < count; c++) {
        const uint16_t* cell = from + static_cast<size_t>(cells[c]) * stride;
        for (int i = 0; i < width; i += Lanes::width, to += Lanes::width) Lanes::store(to, Lanes::from_f16(cell + i));
    }
}

template <class Lanes> void weigh_tile(const AttentionTile& tile) {
    const ptrdiff_t lanes = tile.lanes;
    for (int i = 0; i < tile.lanes; i += Lanes::width) {
        float* scores = tile.scores + i;
        const auto before = Lanes::load(tile.largest + i);
        auto largest = before;
        for (int c = 0; c < tile.count; c++) largest = Lanes::most(largest, Lanes::load(scores + c * lanes));
        Lanes::store(tile.largest + i, largest);

        const auto factor = exp_of<Lanes>(Lanes::subtract(before, largest));
        auto sum = Lanes::multiply(Lanes::load(tile.sums + i), factor);
        for (int c = 0; c < tile.count; c++) {
            const auto weight = exp_of<Lanes>(Lanes::subtract(Lanes::load(scores + c * lanes), largest));
            Lanes::store(scores + c * lanes, weight);
            sum = Lanes::add(sum, weight);
        }
        Lanes::store(tile.factors + i, factor);
        Lanes::store(tile.sums + i, sum);
    }
}

inline void hide_unseen(const AttentionTile& tile) {
    for (int row = 0; row < tile.rows; row++) {
        for (int c = 0; c < tile.count; c++) {
            if (tile.seen[row] >> c & 1) continue;
            float* scores =
                tile.scores + static_cast<ptrdiff_t>(c) * tile.lanes + static_cast<ptrdiff_t>(row) * tile.heads;
            for (int head = 0; head < tile.heads; head++) scores[head] = -HUGE_VALF;
        }
    }
}

template <class Lanes> void attend_tile(const AttentionTile& tile) {
    fetch<Lanes>(tile, tile.next_cells, tile.next_count);
    gather<Lanes>(tile.keys, tile.key_stride, tile.key_width, tile.cells, tile.count, tile.gathered);
    // Up to three rows more than there are cells: of what is there, whatever it is.
    add_product<Lanes>(tile.gathered, tile.key_width, 1, tile.key_width, tile.queries, tile.lanes, nullptr, tile.scores,
                       (tile.count + 3) / 4 * 4);
    if (tile.seen) hide_unseen(tile);
    weigh_tile<Lanes>(tile);
    gather<Lanes>(tile.values, tile.value_stride, tile.value_width, tile.cells, tile.count, tile.gathered);
    add_product<Lanes>(tile.gathered, 1, tile.value_width, tile.count, tile.scores, tile.lanes, tile.factors,
                       tile.weighted, tile.value_width);
}

} // namespace
} // namespace llama_sessions
