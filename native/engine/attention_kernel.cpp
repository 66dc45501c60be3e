#include "attention_kernel.h"

#include "attention_kinds.h"
#include "backend.h"
#include "ggml-backend.h"

#include <algorithm>
#include <string>

namespace llama_sessions {

// Of the code that ggml has chosen for this processor.
[[maybe_unused]] static bool has_feature(const char* name) {
    const auto lock = lock_backends();
    ggml_backend_reg_t cpu = ggml_backend_reg_by_name("CPU");
    void* features = cpu ? ggml_backend_reg_get_proc_address(cpu, "ggml_backend_get_features") : nullptr;
    if (!features) return false;
    const ggml_backend_feature* feature = reinterpret_cast<ggml_backend_get_features_t>(features)(cpu);
    while (feature->name && std::string(feature->name) != name) feature++;
    return feature->name != nullptr;
}

const AttentionKernel* attention_kernel() {
#if defined(LLAMA_SESSIONS_X86)
    if (has_feature("AVX512")) return &attention_avx512;
    if (has_feature("AVX2")) return &attention_avx2; // which come with FMA and F16C; MSVC's ggml does not name those
#elif defined(LLAMA_SESSIONS_ARM64)
    return &attention_neon;
#endif
    return nullptr;
}

} // namespace llama_sessions
