#include "attention.h"

#include "backend.h"
#include "ggml-backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

namespace llama_sessions {

// What parts of rows may leave to be put together: 64 MB of floats. Models with latent attention have one key head, and 260 kB per part.
static constexpr size_t most_results = 16u << 20;

// Of the 64 bytes of parameters that an operation has: ggml's attention and its custom operations need less than half.
static constexpr int mark_at = 14, scale_at = 15;
static constexpr int32_t our_mark = 0x61747465;

static bool on_host(const ggml_tensor* tensor) {
    const ggml_backend_buffer_t buffer = tensor->view_src ? tensor->view_src->buffer : tensor->buffer;
    return buffer && ggml_backend_buffer_is_host(buffer);
}

// With an f16 pool, and a mask that says nothing but which cells are seen: no ALiBi, no soft cap, no sinks.
static bool can_be_done(const ggml_tensor* operation) {
    if (operation->op != GGML_OP_FLASH_ATTN_EXT) return false;
    const ggml_tensor *queries = operation->src[0], *keys = operation->src[1], *values = operation->src[2],
                      *mask = operation->src[3], *sinks = operation->src[4];
    float max_bias, soft_cap;
    std::memcpy(&max_bias, operation->op_params + 1, sizeof max_bias);
    std::memcpy(&soft_cap, operation->op_params + 2, sizeof soft_cap);
    if (!mask || sinks || max_bias != 0 || soft_cap != 0) return false;
    if (queries->type != GGML_TYPE_F32 || keys->type != GGML_TYPE_F16 || values->type != GGML_TYPE_F16) return false;
    if (keys->ne[0] % attention_width || values->ne[0] % attention_width || queries->ne[2] % keys->ne[2]) return false;
    if (values->ne[2] != keys->ne[2] || keys->ne[3] != queries->ne[3] || values->ne[3] != queries->ne[3]) return false;
    // Filled in before the graph is computed.
    if (mask->type != GGML_TYPE_F16 || mask->op != GGML_OP_NONE || mask->ne[0] % 64 || mask->ne[0] != keys->ne[1])
        return false;
    if (mask->ne[1] != queries->ne[1] || mask->ne[2] != 1 || mask->ne[3] != queries->ne[3]) return false;
    for (const ggml_tensor* each : {queries, keys, values, mask, operation}) {
        if (each->nb[0] != ggml_type_size(each->type)) return false;
    }
    return on_host(keys) && on_host(values) && on_host(mask);
}

static bool is_ours(const ggml_tensor* operation) {
    return operation->op == GGML_OP_CUSTOM && operation->op_params[mark_at] == our_mark;
}

Attention::Attention(int threads, const std::atomic<bool>& abort)
    : kernel_(has_accelerator() ? nullptr : attention_kernel()), abort_(abort), spaces_(static_cast<size_t>(threads)) {}

void Attention::begin() {
    for (const Operation& operation : operations_)
        (void)operation.next.load(); // what the threads did comes before what follows
    seen_ = 0;
    plans_.clear();
    computed_ = false;
    for (size_t i = 0; i < finished_size_; i++) finished_[i] = 0;
}

void Attention::see(ggml_tensor* tensor) {
    if (!kernel_) return;
    const bool again = is_ours(tensor);
    if (!again && !can_be_done(tensor)) return;
    if (computed_ && !one_graph_) begin(); // another graph of the same decode
    const Shape shape(tensor);
    Operation& operation = next_operation();
    std::memcpy(&operation.scale, tensor->op_params + (again ? scale_at : 0), sizeof operation.scale);
    operation.plan = &plan_for(tensor->src[3]);
    operation.tiles = tiles_of(shape, *operation.plan);
    operation.by_parts = floats_of_results(shape, *operation.plan) <= most_results;
    make_space(shape, operation);
    operation.next = 0;

    tensor->op = operation.custom->op;
    std::memcpy(tensor->op_params, operation.custom->op_params, sizeof tensor->op_params);
    std::memcpy(tensor->op_params + scale_at, &operation.scale, sizeof operation.scale);
    tensor->op_params[mark_at] = our_mark;
}

Attention::Operation& Attention::next_operation() {
    if (seen_ < operations_.size()) return operations_[seen_++];
    Operation& operation = operations_.emplace_back();
    operation.attention = this;
    operation.memory.reset(ggml_init({ggml_tensor_overhead(), nullptr, true}));
    const auto compute = [](ggml_tensor* to, int thread, int, void* self) {
        auto& its = *static_cast<Operation*>(self);
        auto& spaces = its.attention->spaces_;
        if (static_cast<size_t>(thread) < spaces.size())
            its.attention->work(Shape(to), its, spaces[static_cast<size_t>(thread)]);
    };
    operation.custom = ggml_custom_4d(operation.memory.get(), GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, compute,
                                      GGML_N_TASKS_MAX, &operation);
    return operations_[seen_++];
}

const AttentionPlan& Attention::plan_for(const ggml_tensor* mask) {
    for (const auto& [planned, plan] : plans_) {
        if (planned == mask) return plan;
    }
    std::vector<const uint16_t*> rows;
    for (int64_t stream = 0; stream < mask->ne[3]; stream++) {
        for (int64_t row = 0; row < mask->ne[1]; row++) rows.push_back(Shape::at<const uint16_t>(mask, row, 0, stream));
    }
    plans_.emplace_back(
        std::piecewise_construct, std::forward_as_tuple(mask),
        std::forward_as_tuple(rows, static_cast<int>(mask->ne[1]), static_cast<int>(mask->ne[0]), kernel_->seen));
    return plans_.back().second;
}

// A result is, of each head, its largest score, then of each its sum, then what it has weighted (AttentionWork).
size_t Attention::floats_of_result(const Shape& shape) {
    return static_cast<size_t>(shape.heads) * static_cast<size_t>(shape.value_width + 2);
}

size_t Attention::floats_of_results(const Shape& shape, const AttentionPlan& plan) {
    return static_cast<size_t>(plan.parts()) * static_cast<size_t>(shape.kv_heads) * floats_of_result(shape);
}

// Queries, scores, and two results.
size_t Attention::floats_of_row(const Shape& shape) {
    return static_cast<size_t>(shape.heads) * static_cast<size_t>(shape.key_width + attention_block) +
           2 * floats_of_result(shape);
}

// Here, as nothing can be thrown on ggml's threads.
void Attention::make_space(const Shape& shape, const Operation& operation) {
    const auto grow = [](auto& vector, size_t size) {
        if (vector.size() < size) vector.resize(size);
    };
    const AttentionPlan& plan = *operation.plan;
    const size_t floats = std::max(floats_of_row(shape), operation.tiles > 0 ? floats_of_tile(shape) : 0);
    for (Space& space : spaces_) {
        grow(space.cells, static_cast<size_t>(std::max(plan.longest() + attention_width, 2 * attention_block)));
        grow(space.lines, floats * sizeof(float) / sizeof(Line) + 1);
    }
    if (!operation.by_parts) return;
    grow(results_, floats_of_results(shape, plan));
    const auto counts = static_cast<size_t>(plan.rows() * shape.kv_heads);
    if (finished_size_ >= counts) return;
    finished_ = std::make_unique<std::atomic<int>[]>(counts);
    finished_size_ = counts;
}

// Tiles first: they are the longest tasks.
void Attention::work(const Shape& shape, Operation& operation, Space& space) {
    computed_ = true;
    const int others = operation.by_parts ? operation.plan->parts() : operation.plan->rows();
    const int tasks = (operation.tiles + others) * shape.kv_heads;
    for (int task = operation.next++; task < tasks && !abort_; task = operation.next++) {
        const int kv_head = task % shape.kv_heads, number = task / shape.kv_heads, other = number - operation.tiles;
        if (other < 0) attend_tile(shape, operation, number, kv_head, space);
        else if (operation.by_parts) attend_part(shape, operation, other, kv_head, space);
        else attend_row(shape, operation, other, kv_head, space);
    }
}

void Attention::attend(const Shape& shape, const Operation& operation, int part, int kv_head, Space& space,
                       float* result) {
    const int row = operation.plan->row_of(part);
    float* queries = space.floats();
    for (int head = 0; head < shape.heads; head++) {
        const float* from = shape.query(row, kv_head, head);
        float* to = queries + static_cast<ptrdiff_t>(head) * shape.key_width;
        for (int i = 0; i < shape.key_width; i++) to[i] = from[i] * operation.scale;
    }
    AttentionWork work;
    static_cast<AttentionPool&>(work) = shape.pool(row, kv_head);
    work.queries = queries;
    work.cells = space.cells.data();
    work.count = operation.plan->cells(part, space.cells.data());
    work.scores = queries + static_cast<ptrdiff_t>(shape.heads) * shape.key_width;
    work.largest = result;
    work.sums = result + shape.heads;
    work.weighted = result + 2 * static_cast<ptrdiff_t>(shape.heads);
    kernel_->attend(work);
}

// Adds what came from some cells to what came from others.
static void add(float* sum, const float* part, int heads, int width) {
    for (int head = 0; head < heads; head++) {
        const float largest = std::max(sum[head], part[head]);
        if (part[head] == -INFINITY) continue; // no cells
        const float before = std::exp(sum[head] - largest), now = std::exp(part[head] - largest);
        sum[head] = largest;
        sum[heads + head] = sum[heads + head] * before + part[heads + head] * now;
        float* to = sum + 2 * heads + static_cast<ptrdiff_t>(head) * width;
        const float* from = part + 2 * heads + static_cast<ptrdiff_t>(head) * width;
        for (int i = 0; i < width; i++) to[i] = to[i] * before + from[i] * now;
    }
}

static void clear(float* sum, int heads, int width) {
    std::fill_n(sum, heads, -INFINITY);
    std::fill_n(sum + heads, heads * (width + 1), 0.0f);
}

// Divides by the sums, and the row's heads are done.
static void write(const AttentionShape& shape, int row, int kv_head, const float* sum) {
    for (int head = 0; head < shape.heads; head++) {
        const float all = sum[shape.heads + head], factor = all == 0 ? 0 : 1 / all;
        const float* from = sum + 2 * shape.heads + static_cast<ptrdiff_t>(head) * shape.value_width;
        float* to = shape.result_of(row, kv_head, head);
        for (int i = 0; i < shape.value_width; i++) to[i] = from[i] * factor;
    }
}

// Who has the last part of a row puts all together, in their order.
void Attention::attend_part(const Shape& shape, const Operation& operation, int part, int kv_head, Space& space) {
    const AttentionPlan& plan = *operation.plan;
    const int row = plan.row_of(part);
    const auto result_of = [&](int number) {
        return results_.data() + static_cast<size_t>(number * shape.kv_heads + kv_head) * floats_of_result(shape);
    };
    attend(shape, operation, part, kv_head, space, result_of(part));
    const int first = plan.first_part(row), end = plan.first_part(row + 1);
    std::atomic<int>& finished = finished_[static_cast<size_t>(row * shape.kv_heads + kv_head)];
    if (++finished < end - first) return;
    finished = 0;
    float* sum = space.floats();
    clear(sum, shape.heads, shape.value_width);
    for (int number = first; number < end; number++) add(sum, result_of(number), shape.heads, shape.value_width);
    write(shape, row, kv_head, sum);
}

// One part after the other: the same as with many threads, and with less memory.
void Attention::attend_row(const Shape& shape, const Operation& operation, int row, int kv_head, Space& space) {
    const int first = operation.plan->first_part(row), end = operation.plan->first_part(row + 1);
    if (first == end) return; // in a tile
    float* sum = space.floats() + floats_of_row(shape) - 2 * floats_of_result(shape);
    float* result = sum + floats_of_result(shape);
    clear(sum, shape.heads, shape.value_width);
    for (int part = first; part < end; part++) {
        attend(shape, operation, part, kv_head, space, result);
        add(sum, result, shape.heads, shape.value_width);
    }
    write(shape, row, kv_head, sum);
}

} // namespace llama_sessions
