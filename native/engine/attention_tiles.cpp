// Attention of rows that see the same cells, but for a few: a prompt's. They go through them together, some rows at a time.
#include "attention.h"

#include <cfloat>

namespace llama_sessions {

static int tiles_in(const AttentionPlan::Run& run, int rows_each) {
    return (run.to - run.from + rows_each - 1) / rows_each;
}

int Attention::tiles_of(const Shape& shape, const AttentionPlan& plan) {
    int tiles = 0;
    for (const AttentionPlan::Run& run : plan.runs()) tiles += tiles_in(run, shape.rows_of_tile());
    return tiles;
}

static AttentionPlan::Run rows_of(int tile, const AttentionShape& shape, const AttentionPlan& plan) {
    const int each = shape.rows_of_tile();
    for (const AttentionPlan::Run& run : plan.runs()) {
        const int from = run.from + tile * each;
        if (from < run.to) return {from, std::min(run.to, from + each)};
        tile -= tiles_in(run, each);
    }
    return {0, 0};
}

size_t Attention::floats_of_tile(const Shape& shape) {
    const int widest = std::max(shape.key_width, shape.value_width), lanes = shape.lanes(shape.rows_of_tile());
    const int per_lane = shape.key_width + attention_block + shape.value_width + 3;
    return static_cast<size_t>(per_lane) * static_cast<size_t>(lanes) +
           static_cast<size_t>(attention_block) * static_cast<size_t>(widest);
}

void Attention::attend_tile(const Shape& shape, const Operation& operation, int number, int kv_head, Space& space) {
    const AttentionPlan& plan = *operation.plan;
    const auto [from, to] = rows_of(number, shape, plan);
    const int rows = to - from, lanes = shape.lanes(rows);
    const auto lines = static_cast<ptrdiff_t>(lanes); // of `lanes` floats

    AttentionTile tile;
    static_cast<AttentionPool&>(tile) = shape.pool(from, kv_head);
    tile.rows = rows;
    tile.lanes = lanes;

    float* queries = space.floats();
    tile.queries = queries;
    tile.scores = queries + shape.key_width * lines;
    tile.weighted = tile.scores + attention_block * lines;
    tile.factors = tile.weighted + shape.value_width * lines;
    tile.largest = tile.factors + lines;
    tile.sums = tile.largest + lines;
    tile.gathered = tile.sums + lines;
    std::fill(queries, tile.scores, 0.0f);
    std::fill(tile.weighted, tile.gathered, 0.0f);
    std::fill_n(tile.largest, lanes, -FLT_MAX);
    for (int lane = 0; lane < rows * shape.heads; lane++) {
        const float* query = shape.query(from + lane / shape.heads, kv_head, lane % shape.heads);
        for (int i = 0; i < shape.key_width; i++) queries[i * lines + lane] = query[i] * operation.scale;
    }

    uint64_t seen[attention_block];
    int32_t *cells = space.cells.data(), *next = cells + attention_block;
    SeenCells all = plan.cells_of_row(to - 1); // which sees most
    int next_count = all.next(next, attention_block);
    while (next_count > 0) {
        std::swap(cells, next);
        tile.cells = cells;
        tile.count = next_count;
        tile.next_cells = next;
        tile.next_count = next_count = all.next(next, attention_block);
        const bool same = plan.same(from, to - 1, cells[0], cells[tile.count - 1]);
        for (int row = 0; row < rows && !same; row++) seen[row] = plan.seen(from + row, cells, tile.count);
        tile.seen = same ? nullptr : seen;
        kernel_->attend_tile(tile);
    }

    for (int lane = 0; lane < rows * shape.heads; lane++) {
        float* result = shape.result_of(from + lane / shape.heads, kv_head, lane % shape.heads);
        const float sum = tile.sums[lane], factor = sum == 0 ? 0 : 1 / sum;
        for (int i = 0; i < shape.value_width; i++) result[i] = tile.weighted[i * lines + lane] * factor;
    }
}

} // namespace llama_sessions
