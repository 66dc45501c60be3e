// AVX2 with FMA and F16C: 8 numbers in each of 16 registers.
#include "attention_kinds.h"

#ifdef LLAMA_SESSIONS_X86
#include "attention_tile.h"
#include "attention_x86.h"

namespace llama_sessions {
namespace {

struct Avx2 {
    using Vector = __m256;
    static constexpr int width = 8, heads = 2, columns = 2;
    static Vector all(float x) { return _mm256_set1_ps(x); }
    static Vector load(const float* from) { return _mm256_loadu_ps(from); }
    static void store(float* to, Vector x) { _mm256_storeu_ps(to, x); }
    static Vector from_f16(const uint16_t* from) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
    static void fetch(const uint16_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }
    static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
    static Vector subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
    static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
    static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
    static Vector most(Vector a, Vector b) { return _mm256_max_ps(a, b); }
    static Vector round(Vector x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Vector times_two_to(Vector n, Vector x) {
        const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        return multiply(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
    }
    static Vector zero_if_less(Vector x, float border, Vector otherwise) {
        return _mm256_and_ps(_mm256_cmp_ps(x, all(border), _CMP_NLT_UQ), otherwise);
    }
    static float first(Vector x) { return _mm256_cvtss_f32(x); }
    static float largest(Vector x) {
        __m128 most = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        most = _mm_max_ps(most, _mm_movehl_ps(most, most));
        return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
    }
    static float sum(Vector x) {
        __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
        return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
    }
    // Of each one.
    static void store_sums(float* to, Vector a, Vector b, Vector c, Vector d) {
        const Vector abcd = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d)); // in each half
        _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
    }
};

} // namespace

const AttentionKernel attention_avx2 = {attend<Avx2>, attend_tile<Avx2>, seen};

} // namespace llama_sessions
#endif
