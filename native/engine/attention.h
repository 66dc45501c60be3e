// Attention, computed by us in place of ggml's operation: a step has tokens of many sessions, each of which sees few of the cells, and
// ggml's goes through all of them for each token and head. This goes through those that are seen, and reads each once for all heads
// that share it, which is faster for one session alone, too.
#pragma once

#include "attention_kernel.h"
#include "attention_plan.h"
#include "attention_shape.h"
#include "ggml-cpp.h"

#include <atomic>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

namespace llama_sessions {

// Of one llama_context, on the thread that computes in it.
class Attention {
  public:
    // threads: most that compute. abort: set when what is being computed is of no use; it stays set until the decode has ended.
    Attention(int threads, const std::atomic<bool>& abort);
    Attention(const Attention&) = delete;
    Attention& operator=(const Attention&) = delete;

    // Whether there is anything for it to see.
    bool works_here() const { return kernel_ != nullptr; }
    // Each decode computes one graph, maybe in several pieces. Else what has been computed of it must have been another one.
    void expect_one_graph() { one_graph_ = true; }
    // Before each decode: the one before may have ended in the middle.
    void begin();
    // Before an operation of a graph is computed, as ggml's eval callback is asked. What it can do becomes ggml's custom operation,
    // which calls it on ggml's own threads, and stays that when llama.cpp computes the same graph again.
    void see(ggml_tensor* operation);

  private:
    struct Operation {
        Attention* attention;
        ggml_context_ptr memory;
        ggml_tensor* custom; // what it becomes
        const AttentionPlan* plan;
        float scale;
        int tiles;             // of the rows in runs
        bool by_parts;         // the other rows: or one by one
        std::atomic<int> next; // task
    };
    struct alignas(64) Line { // of a processor's cache: beside them, each load touches two
        float numbers[16];
    };
    struct Space { // of a thread
        std::vector<Line> lines;
        std::vector<int32_t> cells;
        float* floats() { return lines.data()->numbers; }
    };
    using Shape = AttentionShape;

    Operation& next_operation();
    const AttentionPlan& plan_for(const ggml_tensor* mask);
    void make_space(const Shape& shape, const Operation& operation);
    void work(const Shape& shape, Operation& operation, Space& space);
    void attend_tile(const Shape& shape, const Operation& operation, int tile, int kv_head, Space& space);
    void attend_row(const Shape& shape, const Operation& operation, int row, int kv_head, Space& space);
    void attend_part(const Shape& shape, const Operation& operation, int part, int kv_head, Space& space);
    void attend(const Shape& shape, const Operation& operation, int part, int kv_head, Space& space, float* result);

    static int tiles_of(const Shape& shape, const AttentionPlan& plan);
    static size_t floats_of_tile(const Shape& shape);
    static size_t floats_of_row(const Shape& shape);
    static size_t floats_of_result(const Shape& shape);
    static size_t floats_of_results(const Shape& shape, const AttentionPlan& plan);

    const AttentionKernel* const kernel_;
    const std::atomic<bool>& abort_;
    std::deque<Operation> operations_; // ggml has their addresses
    size_t seen_ = 0;
    bool one_graph_ = false;
    std::atomic<bool> computed_{false}; // something of what was seen
    std::deque<std::pair<const ggml_tensor*, AttentionPlan>> plans_;
    std::vector<Space> spaces_;
    std::vector<float> results_;                   // of parts
    std::unique_ptr<std::atomic<int>[]> finished_; // parts of a row and key head
    size_t finished_size_ = 0;
};

} // namespace llama_sessions
