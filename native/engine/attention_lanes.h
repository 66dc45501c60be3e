// The kernel, for vectors of any kind: what it needs of them is `Lanes`. Each file that includes this is compiled for processors of one
// kind, so nothing of it may leave that file, and it uses no function of the C++ library: the linker keeps one copy of each, for all.
#pragma once

#include "attention_kernel.h"

#include <math.h>

namespace llama_sessions {
namespace {

// e^x for x <= 0, within 3e-7 of itself; 0 below -87, where normal numbers end. x = n ln 2 + r, and the Taylor series of e^r up to r^7.
template <class Lanes> typename Lanes::Vector exp_of(typename Lanes::Vector x) {
    static constexpr float taylor[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1, 1};
    const auto n = Lanes::round(Lanes::multiply(x, Lanes::all(1.44269504f)));
    // ln 2 in two parts: n times the first one, of 9 bits, is exact.
    auto r = Lanes::multiply_add(n, Lanes::all(-0.693359375f), x);
    r = Lanes::multiply_add(n, Lanes::all(2.12194440e-4f), r);
    auto sum = Lanes::all(1.0f / 5040);
    for (const float factor : taylor) sum = Lanes::multiply_add(sum, r, Lanes::all(factor));
    return Lanes::zero_if_less(x, -87, Lanes::times_two_to(n, sum));
}

// Cells are anywhere in the pool, where no processor can foresee them.
template <class Lanes> void fetch(const AttentionPool& work, const int32_t* cells, int count) {
    static constexpr int line = 64 / sizeof(uint16_t);
    for (int c = 0; c < count; c++) {
        const uint16_t* key = work.keys + static_cast<size_t>(cells[c]) * work.key_stride;
        const uint16_t* value = work.values + static_cast<size_t>(cells[c]) * work.value_stride;
        for (int i = 0; i < work.key_width; i += line) Lanes::fetch(key + i);
        for (int i = 0; i < work.value_width; i += line) Lanes::fetch(value + i);
    }
}

// Four cells for some heads: each key is read once for all of them.
template <class Lanes, int Heads> void score(const AttentionWork& work, int head, const int32_t* cells, float* scores) {
    const float* queries = work.queries + static_cast<ptrdiff_t>(head) * work.key_width;
    const uint16_t* keys[4];
    typename Lanes::Vector products[Heads][4];
    for (int c = 0; c < 4; c++) {
        keys[c] = work.keys + static_cast<size_t>(cells[c]) * work.key_stride;
        for (int h = 0; h < Heads; h++) products[h][c] = Lanes::all(0);
    }
    for (int i = 0; i < work.key_width; i += Lanes::width) {
        typename Lanes::Vector key[4];
        for (int c = 0; c < 4; c++) key[c] = Lanes::from_f16(keys[c] + i);
        for (int h = 0; h < Heads; h++) {
            const auto query = Lanes::load(queries + static_cast<ptrdiff_t>(h) * work.key_width + i);
            for (int c = 0; c < 4; c++) products[h][c] = Lanes::multiply_add(query, key[c], products[h][c]);
        }
    }
    for (int h = 0; h < Heads; h++)
        Lanes::store_sums(scores + h * attention_block, products[h][0], products[h][1], products[h][2], products[h][3]);
}

// Scores of a block become weights, exp(score - largest so far). What earlier blocks have left is to be multiplied with the result.
template <class Lanes> float weigh(const AttentionWork& work, int head, int count) {
    float* scores = work.scores + head * attention_block;
    for (int c = count; c % attention_width; c++) scores[c] = -HUGE_VALF;
    const auto before = Lanes::all(work.largest[head]);
    auto largest = before;
    for (int c = 0; c < count; c += Lanes::width) largest = Lanes::most(largest, Lanes::load(scores + c));
    work.largest[head] = Lanes::largest(largest);
    largest = Lanes::all(work.largest[head]);

    auto sum = Lanes::all(0);
    for (int c = 0; c < count; c += Lanes::width) {
        const auto weight = exp_of<Lanes>(Lanes::subtract(Lanes::load(scores + c), largest));
        Lanes::store(scores + c, weight);
        sum = Lanes::add(sum, weight);
    }
    const float factor = Lanes::first(exp_of<Lanes>(Lanes::subtract(before, largest)));
    work.sums[head] = work.sums[head] * factor + Lanes::sum(sum);
    return factor;
}

template <class Lanes, int Heads, int Vectors>
void add_values(const AttentionWork& work, int head, int from, const int32_t* cells, int count, const float* factors) {
    const float* weights = work.scores + head * attention_block;
    float* weighted = work.weighted + static_cast<ptrdiff_t>(head) * work.value_width + from;
    typename Lanes::Vector sums[Heads][Vectors];
    for (int h = 0; h < Heads; h++) {
        const float* earlier = weighted + static_cast<ptrdiff_t>(h) * work.value_width;
        for (int i = 0; i < Vectors; i++)
            sums[h][i] = Lanes::multiply(Lanes::load(earlier + i * Lanes::width), Lanes::all(factors[h]));
    }
    for (int c = 0; c < count; c++) {
        const uint16_t* values = work.values + static_cast<size_t>(cells[c]) * work.value_stride + from;
        typename Lanes::Vector value[Vectors];
        for (int i = 0; i < Vectors; i++) value[i] = Lanes::from_f16(values + i * Lanes::width);
        for (int h = 0; h < Heads; h++) {
            const auto weight = Lanes::all(weights[h * attention_block + c]);
            for (int i = 0; i < Vectors; i++) sums[h][i] = Lanes::multiply_add(weight, value[i], sums[h][i]);
        }
    }
    for (int h = 0; h < Heads; h++) {
        float* to = weighted + static_cast<ptrdiff_t>(h) * work.value_width;
        for (int i = 0; i < Vectors; i++) Lanes::store(to + i * Lanes::width, sums[h][i]);
    }
}

template <class Lanes, int Heads>
void attend_heads(const AttentionWork& work, int head, const int32_t* cells, int count) {
    float* scores = work.scores + head * attention_block;
    for (int c = 0; c < count; c += 4) score<Lanes, Heads>(work, head, cells + c, scores + c);
    float factors[Heads];
    for (int h = 0; h < Heads; h++) factors[h] = weigh<Lanes>(work, head + h, count);
    static constexpr int four = 4 * Lanes::width;
    int i = 0;
    for (; i + four <= work.value_width; i += four) add_values<Lanes, Heads, 4>(work, head, i, cells, count, factors);
    for (; i < work.value_width; i += Lanes::width) add_values<Lanes, Heads, 1>(work, head, i, cells, count, factors);
}

// As many heads at once as the registers have room for.
template <class Lanes> void attend(const AttentionWork& work) {
    for (int h = 0; h < work.heads; h++) {
        work.largest[h] = -HUGE_VALF;
        work.sums[h] = 0;
    }
    const ptrdiff_t all = static_cast<ptrdiff_t>(work.heads) * work.value_width;
    for (ptrdiff_t i = 0; i < all; i++) work.weighted[i] = 0;

    for (int from = 0; from < work.count; from += attention_block) {
        const int32_t* cells = work.cells + from;
        const int left = work.count - from, next = left - attention_block;
        const int count = next > 0 ? attention_block : left;
        fetch<Lanes>(work, cells + attention_block, next < attention_block ? next : attention_block);
        int h = 0;
        for (; h + Lanes::heads <= work.heads; h += Lanes::heads)
            attend_heads<Lanes, Lanes::heads>(work, h, cells, count);
        if (work.heads - h == 3) attend_heads<Lanes, 3>(work, h, cells, count);
        if (work.heads - h == 2) attend_heads<Lanes, 2>(work, h, cells, count);
        if (work.heads - h == 1) attend_heads<Lanes, 1>(work, h, cells, count);
    }
}

} // namespace
} // namespace llama_sessions
