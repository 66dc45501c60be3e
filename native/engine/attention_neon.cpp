// NEON, which all 64-bit ARM processors have: 4 numbers in each of 32 registers.
#include "attention_kinds.h"

#ifdef LLAMA_SESSIONS_ARM64
#include "attention_tile.h"

#include <arm_neon.h>

namespace llama_sessions {
namespace {

struct Neon {
    using Vector = float32x4_t;
    static constexpr int width = 4, heads = 4, columns = 4;
    static Vector all(float x) { return vdupq_n_f32(x); }
    static Vector load(const float* from) { return vld1q_f32(from); }
    static void store(float* to, Vector x) { vst1q_f32(to, x); }
    static Vector from_f16(const uint16_t* from) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))); }
    static void fetch(const uint16_t* at) { __builtin_prefetch(at); }
    static Vector add(Vector a, Vector b) { return vaddq_f32(a, b); }
    static Vector subtract(Vector a, Vector b) { return vsubq_f32(a, b); }
    static Vector multiply(Vector a, Vector b) { return vmulq_f32(a, b); }
    static Vector multiply_add(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
    static Vector most(Vector a, Vector b) { return vmaxq_f32(a, b); }
    static Vector round(Vector x) { return vrndnq_f32(x); }
    static Vector times_two_to(Vector n, Vector x) {
        const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
        return multiply(x, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
    }
    static Vector zero_if_less(Vector x, float border, Vector otherwise) {
        return vbslq_f32(vcltq_f32(x, all(border)), all(0), otherwise);
    }
    static float first(Vector x) { return vgetq_lane_f32(x, 0); }
    static float largest(Vector x) { return vmaxvq_f32(x); }
    static float sum(Vector x) { return vaddvq_f32(x); }
    // Of each one.
    static void store_sums(float* to, Vector a, Vector b, Vector c, Vector d) {
        store(to, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
    }
};

uint64_t eight_seen(const uint16_t* mask) {
    static constexpr uint16_t places[] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t hidden = vceqq_u16(vld1q_u16(mask), vdupq_n_u16(0xfc00));
    return vaddvq_u16(vbicq_u16(vld1q_u16(places), hidden));
}

uint64_t seen(const uint16_t* mask) {
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 8) bits |= eight_seen(mask + i) << i;
    return bits;
}

} // namespace

const AttentionKernel attention_neon = {attend<Neon>, attend_tile<Neon>, seen};

} // namespace llama_sessions
#endif
