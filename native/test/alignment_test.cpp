// What ggml computes with lies in whole cache lines, wherever new[] puts it and however many rows of logits there are.
#include "check.h"
#include "context.h"
#include "recall.h"

#include "ggml-alloc.h"
#include "ggml-backend.h"

#include <algorithm>
#include <memory>
#include <new>

using namespace llama_sessions;
using namespace llama_sessions::test;

static constexpr size_t line = 64, shift = 16;
static constexpr uint8_t untouched = 0xa5;
static thread_local uint8_t* newest = nullptr;
static thread_local size_t newest_size = 0;

// Of the whole program, as C++ allows: what it gives is aligned as badly as it may be.
void* operator new[](size_t size) {
    newest = static_cast<uint8_t*>(::operator new(size + shift, std::align_val_t(line))) + shift;
    newest_size = size;
    std::fill_n(newest, size, untouched);
    return newest;
}

void operator delete[](void* memory) noexcept {
    if (memory) ::operator delete(static_cast<uint8_t*>(memory) - shift, std::align_val_t(line));
}

template <class T> using Owned = std::unique_ptr<T, void (*)(T*)>;

TEST(alignment_of_working_memory) {
    const Owned<ggml_backend> cpu(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr), ggml_backend_free);
    const Owned<ggml_context> tensors(ggml_init({ggml_graph_overhead() + 8 * ggml_tensor_overhead(), nullptr, true}),
                                      ggml_free);
    // F32 times Q8_0: the first is quantised in working memory, from its beginning on.
    ggml_tensor* weights = ggml_new_tensor_2d(tensors.get(), GGML_TYPE_Q8_0, 256, 8);
    ggml_tensor* input = ggml_new_tensor_2d(tensors.get(), GGML_TYPE_F32, 256, 4);
    ggml_cgraph* graph = ggml_new_graph(tensors.get());
    ggml_build_forward_expand(graph, ggml_mul_mat(tensors.get(), weights, input));
    const Owned<ggml_backend_buffer> buffer(ggml_backend_alloc_ctx_tensors(tensors.get(), cpu.get()),
                                            ggml_backend_buffer_free);
    ggml_backend_buffer_clear(buffer.get(), 1);

    newest = nullptr;
    CHECK_EQ(ggml_backend_graph_compute(cpu.get(), graph), GGML_STATUS_SUCCESS);
    CHECK(newest != nullptr);
    CHECK_EQ(reinterpret_cast<uintptr_t>(newest) % line, shift);
    const uint8_t* used = std::find_if(newest, newest + newest_size, [](uint8_t byte) { return byte != untouched; });
    CHECK(used < newest + newest_size);
    CHECK_EQ(reinterpret_cast<uintptr_t>(used) % line, size_t{0});
}

TEST(alignment_of_results) {
    static constexpr int tokens = 64;
    for (const uint32_t sequences : {1u, 2u, 16u}) {
        ContextOptions options = options_of(sequences, 1024).context;
        options.batch_tokens = tokens;
        options.speculation = false;
        ThreadPool threads(options.threads, ThreadPool::Kind::eager);
        std::atomic<bool> abort{false};
        int seen = 0, across = 0;
        std::pair<int*, int*> counts(&seen, &across);
        const auto observe = [](ggml_tensor* tensor, bool, void* to) {
            const auto& [all, misaligned] = *static_cast<std::pair<int*, int*>*>(to);
            if (tensor->ne[1] < tokens) return false;
            ++*all;
            *misaligned += reinterpret_cast<uintptr_t>(tensor->data) % line != 0;
            return false;
        };
        Context context(recall(), options, threads, abort, observe, &counts);
        context.begin_batch();
        for (int i = 0; i < tokens; i++) context.add(1 + i, i, 0, i + 1 == tokens);
        std::string reason;
        CHECK(context.decode(reason) == Context::Decoded::ok);
        CHECK(seen > 0);
        CHECK_EQ(across, 0);
    }
}
