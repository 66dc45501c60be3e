// The kernels that there are, a file for each.
#pragma once

#include "attention_kernel.h"

#if defined(__x86_64__) || defined(_M_X64)
#define LLAMA_SESSIONS_X86
#elif defined(__aarch64__) || defined(_M_ARM64)
#define LLAMA_SESSIONS_ARM64
#endif

namespace llama_sessions {

extern const AttentionKernel attention_avx512, attention_avx2, attention_neon;

} // namespace llama_sessions
