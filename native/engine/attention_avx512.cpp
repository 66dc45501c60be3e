// AVX-512F: 16 numbers in each of 32 registers.
#include "attention_kinds.h"

#ifdef LLAMA_SESSIONS_X86
#include "attention_tile.h"
#include "attention_x86.h"

namespace llama_sessions {
namespace {

struct Avx512 {
    using Vector = __m512;
    static constexpr int width = 16, heads = 4, columns = 4;
    static Vector all(float x) { return _mm512_set1_ps(x); }
    static Vector load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Vector x) { _mm512_storeu_ps(to, x); }
    static Vector from_f16(const uint16_t* from) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    }
    static void fetch(const uint16_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }
    static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
    static Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
    static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
    static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
    static Vector most(Vector a, Vector b) { return _mm512_max_ps(a, b); }
    static Vector round(Vector x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Vector times_two_to(Vector n, Vector x) { return _mm512_scalef_ps(x, n); }
    static Vector zero_if_less(Vector x, float border, Vector otherwise) {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, all(border), _CMP_NLT_UQ), otherwise);
    }
    static float first(Vector x) { return _mm512_cvtss_f32(x); }
    static float largest(Vector x) { return _mm512_reduce_max_ps(x); }
    static float sum(Vector x) { return _mm512_reduce_add_ps(x); }
    // Of each one.
    static void store_sums(float* to, Vector a, Vector b, Vector c, Vector d) {
        const Vector ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        const Vector cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        const Vector abcd = add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee)); // in each quarter
        const __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(abcd), 1));
        const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), upper);
        _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
    }
};

} // namespace

const AttentionKernel attention_avx512 = {attend<Avx512>, attend_tile<Avx512>, seen};

} // namespace llama_sessions
#endif
