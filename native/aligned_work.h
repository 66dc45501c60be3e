// Part of ggml's ggml-cpu.cpp (compiler.cmake has it included there). From the beginning of ggml's working memory on, kernels lay out
// what they load in whole cache lines; but it comes from new[], which promises 16 bytes. Beside a line, as is usual, each load touches
// two: with AVX-512 a long prompt takes a tenth longer. What new[] gives has room to move to the next line.
#pragma once

#include "ggml-cpu.h"

#include <cstdint>

namespace {

constexpr std::uintptr_t cache_line = 64;

ggml_cplan plan_with_room(const ggml_cgraph* graph, int threads, ggml_threadpool* pool) {
    ggml_cplan plan = ggml_graph_plan(graph, threads, pool);
    if (plan.work_size > 0) plan.work_size += cache_line - 1;
    return plan;
}

ggml_status compute_aligned(ggml_cgraph* graph, ggml_cplan* plan) {
    ggml_cplan aligned = *plan;
    if (plan->work_size > 0) {
        const auto begin = GGML_PAD(reinterpret_cast<std::uintptr_t>(plan->work_data), cache_line);
        aligned.work_data = reinterpret_cast<std::uint8_t*>(begin);
        aligned.work_size -= cache_line - 1;
    }
    return ggml_graph_compute(graph, &aligned);
}

} // namespace

#define ggml_graph_plan plan_with_room
#define ggml_graph_compute compute_aligned
