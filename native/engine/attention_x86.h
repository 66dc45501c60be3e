// What both kinds of x86 vectors share. As attention_lanes.h: nothing leaves the file that includes it.
#pragma once

#include "attention_kernel.h"

#include <immintrin.h>

namespace llama_sessions {
namespace {

uint64_t sixteen_seen(const uint16_t* mask) {
    const __m256i hidden = _mm256_set1_epi16(static_cast<int16_t>(0xfc00));
    const __m256i them = _mm256_cmpeq_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(mask)), hidden);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(them), _mm256_extracti128_si256(them, 1));
    return static_cast<uint16_t>(~_mm_movemask_epi8(bytes));
}

uint64_t seen(const uint16_t* mask) {
    return sixteen_seen(mask) | sixteen_seen(mask + 16) << 16 | sixteen_seen(mask + 32) << 32 |
           sixteen_seen(mask + 48) << 48;
}

} // namespace
} // namespace llama_sessions
