// Attention of our own: against plain arithmetic, against ggml's, and in a model.
#include "attention.h"
#include "attention_kinds.h"
#include "check.h"
#include "context.h"
#include "recall.h"

#include "ggml-alloc.h"
#include "ggml-backend.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <random>

using namespace llama_sessions;
using namespace llama_sessions::test;

static constexpr uint16_t hidden = 0xfc00; // -infinity

static std::vector<const AttentionKernel*> kernels() {
    const AttentionKernel* best = attention_kernel();
    if (!best) return {};
#ifdef LLAMA_SESSIONS_X86
    if (best == &attention_avx512) return {best, &attention_avx2};
#endif
    return {best};
}

static std::vector<float> numbers(size_t count, uint32_t seed, float most) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> any(-most, most);
    std::vector<float> all(count);
    for (float& each : all) each = any(random);
    return all;
}

static std::vector<uint16_t> as_f16(const std::vector<float>& numbers) {
    std::vector<uint16_t> halves(numbers.size());
    ggml_fp32_to_fp16_row(numbers.data(), halves.data(), static_cast<int64_t>(numbers.size()));
    return halves;
}

// How far a kernel is from the formula, at most.
static double error_of(const AttentionKernel& kernel, int heads, int key_width, int value_width, int count) {
    static constexpr int pool = 900, kv_heads = 2;
    const auto k = static_cast<size_t>(key_width), v = static_cast<size_t>(value_width), h = static_cast<size_t>(heads);
    const auto queries = numbers(h * k, 1, 8 / std::sqrt(static_cast<float>(key_width)));
    const auto keys = as_f16(numbers(pool * kv_heads * k, 2, 2)), values = as_f16(numbers(pool * kv_heads * v, 3, 2));
    std::vector<int32_t> cells(pool + attention_width);
    for (int i = 0; i < pool; i++) cells[static_cast<size_t>(i)] = i;
    std::shuffle(cells.begin(), cells.begin() + pool, std::mt19937(4));

    std::vector<float> scores(h * attention_block, NAN), largest(h, NAN), sums(h, NAN), weighted(h * v, NAN);
    const AttentionPool shared{heads, key_width, value_width, keys.data(), values.data(), kv_heads * k, kv_heads * v};
    kernel.attend(
        {shared, queries.data(), cells.data(), count, scores.data(), largest.data(), sums.data(), weighted.data()});
    double error = 0;
    for (size_t head = 0; head < h; head++) {
        std::vector<double> exact(v);
        double sum = 0;
        for (int c = 0; c < count; c++) {
            const auto cell = static_cast<size_t>(cells[static_cast<size_t>(c)]);
            double score = 0;
            for (size_t i = 0; i < k; i++)
                score += static_cast<double>(queries[head * k + i]) * ggml_fp16_to_fp32(keys[cell * kv_heads * k + i]);
            const double weight = std::exp(score);
            sum += weight;
            for (size_t i = 0; i < v; i++) exact[i] += weight * ggml_fp16_to_fp32(values[cell * kv_heads * v + i]);
        }
        for (size_t i = 0; i < v; i++)
            error =
                std::max(error, std::abs(exact[i] / sum - static_cast<double>(weighted[head * v + i] / sums[head])));
        error = std::max(error, std::abs(std::log(sum) - std::log(sums[head]) - static_cast<double>(largest[head])));
    }
    return error;
}

TEST(attention_kernels_compute_the_formula) {
    for (const AttentionKernel* kernel : kernels()) {
        for (int heads = 1; heads <= 9; heads++) CHECK(error_of(*kernel, heads, 64, 64, 100) < 1e-5);
        for (const int width : {16, 32, 48, 80, 96, 128, 256}) CHECK(error_of(*kernel, 3, width, width, 70) < 1e-5);
        CHECK(error_of(*kernel, 16, 576, 512, 70) < 1e-5);
        CHECK(error_of(*kernel, 2, 64, 128, 70) < 1e-5);
        for (const int count : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 127, 128, 129, 900})
            CHECK(error_of(*kernel, 7, 64, 64, count) < 1e-5);
    }
}

namespace {
// A tile before its first block, and what it writes to. What it must not read is there too.
struct TileSpace {
    // width: of keys and of values, which lie one behind the other.
    TileSpace(int rows, int heads, int width, int lanes)
        : gathered(static_cast<size_t>(attention_block * width), 7),
          scores(static_cast<size_t>(attention_block * lanes), NAN), factors(static_cast<size_t>(lanes), NAN),
          largest(factors.size(), -FLT_MAX), sums(factors.size()), weighted(static_cast<size_t>(width * lanes)) {
        tile.heads = heads;
        tile.key_width = tile.value_width = width;
        tile.key_stride = tile.value_stride = static_cast<size_t>(width);
        tile.rows = rows;
        tile.lanes = lanes;
        tile.gathered = gathered.data();
        tile.scores = scores.data();
        tile.factors = factors.data();
        tile.largest = largest.data();
        tile.sums = sums.data();
        tile.weighted = weighted.data();
    }
    TileSpace(const TileSpace&) = delete;
    TileSpace& operator=(const TileSpace&) = delete;

    std::vector<float> gathered, scores, factors, largest, sums, weighted;
    AttentionTile tile{};
};
} // namespace

// How far the kernel of tiles is from the formula, at most. Each row sees one cell less than the next one.
static double error_of_tile(const AttentionKernel& kernel, int rows, int heads, int width, int count) {
    static constexpr int pool = 300;
    const int lanes = (rows * heads + attention_width - 1) / attention_width * attention_width;
    const auto w = static_cast<size_t>(width), l = static_cast<size_t>(lanes);
    const auto queries = numbers(w * l, 1, 8 / std::sqrt(static_cast<float>(width)));
    const auto keys = as_f16(numbers(pool * w, 2, 2)), values = as_f16(numbers(pool * w, 3, 2));
    std::vector<int32_t> cells(pool);
    for (int i = 0; i < pool; i++) cells[static_cast<size_t>(i)] = i;
    std::shuffle(cells.begin(), cells.end(), std::mt19937(4));
    const auto seen_by = [&](int row) { return count - (rows - 1 - row); };

    TileSpace space(rows, heads, width, lanes);
    AttentionTile& tile = space.tile;
    tile.queries = queries.data();
    tile.keys = keys.data();
    tile.values = values.data();
    for (int from = 0; from < count; from += attention_block) {
        const int some = std::min(attention_block, count - from);
        std::vector<uint64_t> seen(static_cast<size_t>(rows));
        bool all = true;
        for (int row = 0; row < rows; row++) {
            for (int c = 0; c < some; c++) seen[static_cast<size_t>(row)] |= uint64_t{from + c < seen_by(row)} << c;
            all = all && from + some <= seen_by(row);
        }
        tile.cells = cells.data() + from;
        tile.count = some;
        tile.seen = all ? nullptr : seen.data();
        kernel.attend_tile(tile);
    }
    double error = 0;
    for (size_t lane = 0; lane < static_cast<size_t>(rows * heads); lane++) {
        std::vector<double> exact(w);
        double sum = 0;
        for (int c = 0; c < seen_by(static_cast<int>(lane) / heads); c++) {
            const size_t cell = static_cast<size_t>(cells[static_cast<size_t>(c)]) * w;
            double score = 0;
            for (size_t i = 0; i < w; i++)
                score += static_cast<double>(queries[i * l + lane]) * ggml_fp16_to_fp32(keys[cell + i]);
            sum += std::exp(score);
            for (size_t i = 0; i < w; i++) exact[i] += std::exp(score) * ggml_fp16_to_fp32(values[cell + i]);
        }
        for (size_t i = 0; i < w; i++)
            error = std::max(
                error, std::abs(exact[i] / sum - static_cast<double>(tile.weighted[i * l + lane] / tile.sums[lane])));
    }
    return error;
}

TEST(attention_kernels_compute_the_formula_for_tiles) {
    for (const AttentionKernel* kernel : kernels()) {
        for (const auto& [rows, heads] :
             {std::pair{1, 1}, {9, 7}, {16, 4}, {3, 7}, {2, 32}, {1, 128}, {64, 1}, {1, 40}})
            CHECK(error_of_tile(*kernel, rows, heads, 64, 100) < 1e-5);
        for (const int width : {16, 32, 48, 80, 128, 256}) CHECK(error_of_tile(*kernel, 8, 6, width, 70) < 1e-5);
        for (const int count : {16, 17, 18, 19, 63, 64, 65, 79, 80, 128, 299})
            CHECK(error_of_tile(*kernel, 16, 4, 64, count) < 1e-5);
    }
}

// A tile's first block may have cells of its last rows alone.
TEST(attention_kernels_wait_for_the_first_cell_that_a_row_of_a_tile_sees) {
    for (const AttentionKernel* kernel : kernels()) CHECK(error_of_tile(*kernel, 8, 2, 64, 8) < 1e-5);
    for (const AttentionKernel* kernel : kernels()) {
        static constexpr int width = 16, lanes = 16;
        const std::vector<float> queries(width * lanes, 0.5f);
        const auto ones = as_f16(std::vector<float>(2 * width, 1));
        const int32_t cells[] = {0, 1};
        const uint64_t seen[] = {0, 1}; // of the first block
        TileSpace space(2, 1, width, lanes);
        AttentionTile& tile = space.tile;
        tile.queries = queries.data();
        tile.keys = tile.values = ones.data();
        tile.cells = cells;
        tile.count = 1;
        tile.seen = seen;
        kernel->attend_tile(tile);
        tile.cells++;
        tile.seen = nullptr;
        kernel->attend_tile(tile);
        CHECK_EQ(tile.sums[0], 1.0f);
        CHECK_EQ(tile.sums[1], 2.0f);
        CHECK_EQ(tile.weighted[0], 1.0f);
        CHECK_EQ(tile.weighted[1], 2.0f);
    }
}

TEST(attention_kernels_weigh_what_is_far_from_the_largest) {
    for (const AttentionKernel* kernel : kernels()) {
        static constexpr int width = 16;
        std::vector<float> query(width);
        query[0] = 1;
        for (const float lower : {1.0f, 20.0f, 80.0f, 86.9f, 87.1f, 200.0f, 60000.0f}) {
            std::vector<float> keys(2 * width), values(2 * width, 1);
            keys[width] = -lower;
            const auto k = as_f16(keys), v = as_f16(values);
            std::vector<int32_t> cells(attention_width);
            cells[1] = 1;
            float scores[attention_block], largest, sum, weighted[width];
            const AttentionPool pool{1, width, width, k.data(), v.data(), width, width};
            kernel->attend({pool, query.data(), cells.data(), 2, scores, &largest, &sum, weighted});
            const double exact = std::exp(static_cast<double>(ggml_fp16_to_fp32(k[width])));
            CHECK_EQ(largest, 0.0f);
            CHECK(std::abs(scores[1] - exact) <= 4e-7 * exact + 1.7e-38);
            CHECK_EQ(scores[2], 0.0f);
        }
    }
}

TEST(attention_kernels_see_all_but_infinity) {
    std::mt19937 random(7);
    for (const AttentionKernel* kernel : kernels()) {
        for (int round = 0; round < 100; round++) {
            std::vector<uint16_t> mask(64);
            uint64_t expected = 0;
            for (size_t i = 0; i < mask.size(); i++) {
                const bool seen = random() % 3 == 0;
                mask[i] = seen ? static_cast<uint16_t>(random() % 2 ? 0 : 0xfbff) : hidden;
                expected |= static_cast<uint64_t>(seen) << i;
            }
            CHECK_EQ(kernel->seen(mask.data()), expected);
        }
    }
}

static uint64_t plainly_seen(const uint16_t* mask) {
    uint64_t bits = 0;
    for (size_t i = 0; i < 64; i++) bits |= static_cast<uint64_t>(mask[i] != hidden) << i;
    return bits;
}

static std::vector<int32_t> cells_of(const AttentionPlan& plan, int row) {
    std::vector<int32_t> all;
    for (int part = plan.first_part(row); part < plan.first_part(row + 1); part++) {
        CHECK_EQ(plan.row_of(part), row);
        std::vector<int32_t> some(static_cast<size_t>(plan.longest() + attention_width), -1);
        const auto count = plan.cells(part, some.data());
        CHECK(count <= plan.longest());
        for (int i = count; i % attention_width; i++) CHECK_EQ(some[static_cast<size_t>(i)], 0);
        all.insert(all.end(), some.begin(), some.begin() + count);
    }
    return all;
}

TEST(attention_plan_has_each_cell_that_is_seen_once_in_order) {
    static constexpr int pool = 4096;
    std::mt19937 random(9);
    std::vector<std::vector<uint16_t>> masks;
    for (const unsigned one_in : {1u, 2u, 7u, 300u}) {
        std::vector<uint16_t>& mask = masks.emplace_back(pool);
        for (uint16_t& each : mask) each = random() % one_in ? hidden : 0;
    }
    masks.emplace_back(pool, hidden);
    std::vector<const uint16_t*> rows;
    for (const auto& mask : masks) rows.push_back(mask.data());
    const AttentionPlan plan(rows, static_cast<int>(rows.size()), pool, plainly_seen);
    CHECK_EQ(plan.rows(), 5);
    CHECK_EQ(plan.parts(), plan.first_part(5));
    CHECK_EQ(plan.first_part(1), 8);                      // 4,096 cells
    CHECK_EQ(plan.first_part(5) - plan.first_part(4), 1); // none
    for (size_t row = 0; row < masks.size(); row++) {
        std::vector<int32_t> expected;
        for (size_t i = 0; i < pool; i++)
            if (masks[row][i] != hidden) expected.push_back(static_cast<int32_t>(i));
        CHECK(cells_of(plan, static_cast<int>(row)) == expected);
    }
}

// Rows that each see all cells below one of these numbers.
static std::vector<std::pair<int, int>> runs_of(const std::vector<int>& seen, int rows_per_stream) {
    static constexpr int pool = 640;
    std::vector<std::vector<uint16_t>> masks;
    for (const int below : seen) {
        std::vector<uint16_t>& mask = masks.emplace_back(pool, hidden);
        std::fill_n(mask.begin(), below, uint16_t{0});
    }
    std::vector<const uint16_t*> rows;
    for (const auto& mask : masks) rows.push_back(mask.data());
    const AttentionPlan plan(rows, rows_per_stream, pool, plainly_seen);
    std::vector<std::pair<int, int>> runs;
    std::vector<bool> together(seen.size());
    for (const auto& [from, to] : plan.runs()) {
        runs.emplace_back(from, to);
        for (int row = from; row < to; row++) together[static_cast<size_t>(row)] = true;
    }
    for (int row = 0; row < plan.rows(); row++) {
        const bool has_parts = plan.first_part(row + 1) > plan.first_part(row);
        CHECK(has_parts != together[static_cast<size_t>(row)]);
    }
    return runs;
}

TEST(attention_plan_takes_long_runs_of_rows_together) {
    const auto prompt = [](std::vector<int>& seen, int rows, int from) {
        for (int i = 0; i < rows; i++) seen.push_back(from + i);
    };
    using Runs = std::vector<std::pair<int, int>>;
    std::vector<int> seen = {500, 400}; // two who speak
    prompt(seen, 40, 100);
    prompt(seen, 31, 90); // too short
    prompt(seen, 32, 64);
    seen.push_back(10);
    CHECK(runs_of(seen, static_cast<int>(seen.size())) == (Runs{{2, 42}, {73, 105}}));
    std::vector<int> streams;
    prompt(streams, 80, 1);
    CHECK(runs_of(streams, 40) == (Runs{{0, 40}, {40, 80}})); // cells of the same number are others there
    CHECK(runs_of(streams, 20).empty());
    CHECK(runs_of(std::vector<int>(50, 64), 50) == (Runs{{0, 50}})); // all see the same
}

TEST(attention_plan_tells_who_sees_which_cells) {
    std::vector<uint16_t> few(256, hidden), more(256, hidden);
    for (const size_t cell : {size_t{3}, size_t{64}, size_t{200}}) few[cell] = more[cell] = 0;
    more[65] = 0;
    const AttentionPlan plan({few.data(), more.data()}, 2, 256, plainly_seen);
    int32_t cells[4];
    SeenCells all = plan.cells_of_row(1);
    CHECK_EQ(all.next(cells, 3), 3);
    CHECK((std::vector<int32_t>(cells, cells + 3) == std::vector<int32_t>{3, 64, 65}));
    CHECK_EQ(plan.seen(0, cells, 3), 0b011u);
    CHECK_EQ(plan.seen(1, cells, 3), 0b111u);
    CHECK(plan.same(0, 1, 0, 63));
    CHECK(!plan.same(0, 1, 3, 64));
    CHECK_EQ(all.next(cells, 4), 1);
    CHECK_EQ(cells[0], 200);
    CHECK(plan.same(0, 1, 200, 200));
    CHECK_EQ(all.next(cells, 4), 0);
}

template <class T> using Owned = std::unique_ptr<T, void (*)(T*)>;

// Attention of some rows over a pool, as llama.cpp builds it, computed by ggml's CPU backend.
struct Graph {
    int rows, streams, pool = 1536, heads = 6, kv_heads = 2, width = 64;
    int threads = 3;
    ggml_type type = GGML_TYPE_F16;
    float max_bias = 0, soft_cap = 0;
    int prompt = 0;  // so many of the last rows see all that the one before sees
    int apart = 769; // of cells that a prompt sees; 1: they are one behind the other

    Owned<ggml_backend> cpu{ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr), ggml_backend_free};
    Owned<ggml_context> tensors{ggml_init({ggml_graph_overhead() + 32 * ggml_tensor_overhead(), nullptr, true}),
                                ggml_free};
    Owned<ggml_backend_buffer> buffer{nullptr, ggml_backend_buffer_free};
    ggml_cgraph* graph = nullptr;
    ggml_tensor* result = nullptr;
    ggml_tensor* mask = nullptr;

    Graph(int rows_, int streams_) : rows(rows_), streams(streams_) {}

    void build() {
        ggml_context* c = tensors.get();
        ggml_tensor* q = ggml_new_tensor_4d(c, GGML_TYPE_F32, width, heads, rows, streams);
        ggml_tensor* k = ggml_new_tensor_4d(c, type, width, kv_heads, pool, streams);
        ggml_tensor* v = ggml_new_tensor_4d(c, type, width, kv_heads, pool, streams);
        mask = ggml_new_tensor_4d(c, GGML_TYPE_F16, pool, rows, 1, streams);
        result = ggml_flash_attn_ext(c, ggml_permute(c, q, 0, 2, 1, 3), ggml_permute(c, k, 0, 2, 1, 3),
                                     ggml_permute(c, v, 0, 2, 1, 3), mask, 0.125f, max_bias, soft_cap);
        graph = ggml_new_graph(c);
        ggml_build_forward_expand(graph, result);
        buffer.reset(ggml_backend_alloc_ctx_tensors(c, cpu.get()));
        std::vector<float> queries = numbers(static_cast<size_t>(ggml_nelements(q)), 11, 4);
        if (prompt > 0) std::reverse(queries.begin(), queries.end()); // the same whoever is before it
        fill(q, queries);
        fill(k, numbers(static_cast<size_t>(ggml_nelements(k)), 12, 1));
        fill(v, numbers(static_cast<size_t>(ggml_nelements(v)), 13, 1));
        std::vector<uint16_t> seen(static_cast<size_t>(ggml_nelements(mask)));
        std::mt19937 random(14); // row by row: the same for any number of them
        for (size_t i = 0; i < seen.size(); i++) {
            const size_t row = i / static_cast<size_t>(pool);
            const int cell = static_cast<int>(i) % pool, of_prompt = static_cast<int>(row) % rows - (rows - prompt);
            if (of_prompt >= 0) seen[i] = cell * apart % pool < 700 + of_prompt ? 0 : hidden;
            else seen[i] = random() % (row % 3 == 0 ? 1 : row * 5) ? hidden : 0;
        }
        ggml_backend_tensor_set(mask, seen.data(), 0, ggml_nbytes(mask));
    }

    static void fill(ggml_tensor* tensor, const std::vector<float>& numbers) {
        std::vector<uint8_t> bytes(ggml_nbytes(tensor));
        if (tensor->type == GGML_TYPE_F32) std::memcpy(bytes.data(), numbers.data(), bytes.size());
        else
            ggml_quantize_chunk(tensor->type, numbers.data(), bytes.data(), 0, ggml_nrows(tensor), tensor->ne[0],
                                nullptr);
        ggml_backend_tensor_set(tensor, bytes.data(), 0, bytes.size());
    }

    std::vector<float> compute() {
        ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(cpu.get()));
        reinterpret_cast<ggml_backend_set_n_threads_t>(
            ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads"))(cpu.get(), threads);
        std::vector<float> all(static_cast<size_t>(ggml_nelements(result)), NAN);
        ggml_backend_tensor_set(result, all.data(), 0, ggml_nbytes(result));
        CHECK_EQ(ggml_backend_graph_compute(cpu.get(), graph), GGML_STATUS_SUCCESS);
        ggml_backend_tensor_get(result, all.data(), 0, ggml_nbytes(result));
        return all;
    }

    bool hand_to(Attention& attention) {
        attention.begin();
        for (int i = 0; i < ggml_graph_n_nodes(graph); i++) attention.see(ggml_graph_node(graph, i));
        return result->op == GGML_OP_CUSTOM;
    }
};

static const std::atomic<bool> never{false};

static float difference(const std::vector<float>& a, const std::vector<float>& b) {
    CHECK_EQ(a.size(), b.size());
    float most = 0;
    for (size_t i = 0; i < a.size(); i++)
        most = std::isnan(a[i] - b[i]) ? INFINITY : std::max(most, std::abs(a[i] - b[i]));
    return most;
}

TEST(attention_is_what_ggml_computes) {
    if (!Attention(1, never).works_here()) return;
    for (const auto& [rows, streams] : {std::pair{1, 1}, {2, 1}, {5, 1}, {40, 1}, {100, 1}, {1, 4}, {3, 2}, {30, 2}}) {
        Graph graph(rows, streams);
        graph.build();
        const std::vector<float> theirs = graph.compute();
        Attention attention(graph.threads, never);
        CHECK(graph.hand_to(attention));
        CHECK(difference(graph.compute(), theirs) < 3e-3f); // ggml adds values up in f16
        CHECK(graph.hand_to(attention));                    // llama.cpp computes a graph again
        CHECK(difference(graph.compute(), theirs) < 3e-3f);
    }
}

TEST(attention_of_a_prompt_is_what_ggml_computes) {
    if (!Attention(1, never).works_here()) return;
    for (const auto& [rows, streams, prompt] :
         {std::tuple{32, 1, 32}, {100, 1, 100}, {70, 1, 65}, {40, 2, 40}, {100, 2, 64}}) {
        for (const int apart : {1, 769}) {
            for (const int heads : {2, 6, 14, 66, 132}) {
                Graph graph(rows, streams);
                graph.prompt = prompt;
                graph.apart = apart;
                graph.heads = heads;
                graph.build();
                const std::vector<float> theirs = graph.compute();
                Attention attention(graph.threads, never);
                CHECK(graph.hand_to(attention));
                CHECK(difference(graph.compute(), theirs) < 6e-3f); // ggml adds values up in f16
            }
        }
    }
}

TEST(attention_of_a_prompt_is_the_same_to_the_last_bit_with_any_others) {
    if (!Attention(1, never).works_here()) return;
    std::vector<float> alone;
    for (const int threads : {1, 4}) {
        for (const int others : {0, 1, 7}) {
            Graph graph(50 + others, 1);
            graph.threads = threads;
            graph.prompt = 50;
            graph.build();
            Attention attention(threads, never);
            CHECK(graph.hand_to(attention));
            const std::vector<float> all = graph.compute();
            const auto of_prompt = all.begin() + static_cast<ptrdiff_t>(others) * graph.heads * graph.width;
            const std::vector<float> result(of_prompt, all.end());
            if (alone.empty()) alone = result;
            CHECK_EQ(result.size(), alone.size());
            CHECK(std::memcmp(result.data(), alone.data(), alone.size() * sizeof(float)) == 0);
        }
    }
}

// So nobody's reply depends on who else speaks, and how many threads there are.
TEST(attention_of_a_row_is_the_same_to_the_last_bit_with_any_others) {
    if (!Attention(1, never).works_here()) return;
    std::vector<float> alone;
    for (const int threads : {1, 4}) {
        for (const int rows : {1, 4, 150}) {
            Graph graph(rows, 1);
            graph.threads = threads;
            graph.build();
            Attention attention(threads, never);
            CHECK(graph.hand_to(attention));
            std::vector<float> first = graph.compute();
            first.resize(static_cast<size_t>(graph.heads * graph.width));
            if (alone.empty()) alone = first;
            CHECK(std::memcmp(first.data(), alone.data(), alone.size() * sizeof(float)) == 0);
        }
    }
}

TEST(attention_follows_the_mask_of_each_decode) {
    if (!Attention(1, never).works_here()) return;
    Graph graph(2, 1);
    graph.build();
    Attention attention(graph.threads, never);
    CHECK(graph.hand_to(attention));
    const std::vector<float> before = graph.compute();
    std::vector<uint16_t> one(static_cast<size_t>(ggml_nelements(graph.mask)), hidden);
    one[5] = one[static_cast<size_t>(graph.pool) + 6] = 0;
    ggml_backend_tensor_set(graph.mask, one.data(), 0, ggml_nbytes(graph.mask));
    CHECK(graph.hand_to(attention));
    const std::vector<float> after = graph.compute();
    CHECK(difference(after, before) > 0.1f);
    std::fill(one.begin(), one.end(), hidden);
    one[7] = one[static_cast<size_t>(graph.pool) + 8] = 0;
    ggml_backend_tensor_set(graph.mask, one.data(), 0, ggml_nbytes(graph.mask));
    attention.see(graph.result); // of a second graph of the same decode, before which there is no begin()
    const std::vector<float> again = graph.compute();
    CHECK(difference(again, after) > 0.1f);
    attention.expect_one_graph(); // a second piece of it
    attention.see(graph.result);
    CHECK_EQ(difference(graph.compute(), again), 0.0f);
}

TEST(attention_that_is_of_no_use_any_more_ends) {
    if (!Attention(1, never).works_here()) return;
    Graph graph(64, 1);
    graph.build();
    std::atomic<bool> abort{true};
    Attention attention(graph.threads, abort);
    CHECK(graph.hand_to(attention));
    const std::vector<float> nothing = graph.compute();
    CHECK(std::all_of(nothing.begin(), nothing.end(), [](float x) { return std::isnan(x); }));
    abort = false;
    CHECK(graph.hand_to(attention));
    const std::vector<float> all = graph.compute();
    CHECK(std::none_of(all.begin(), all.end(), [](float x) { return std::isnan(x); }));
}

TEST(attention_leaves_to_ggml_what_it_does_not_know) {
    const auto is_left = [](auto change) {
        Graph graph(2, 1);
        change(graph);
        graph.build();
        Attention attention(graph.threads, never);
        const bool left = !graph.hand_to(attention);
        return left && graph.result->op == GGML_OP_FLASH_ATTN_EXT;
    };
    CHECK_EQ(is_left([](Graph&) {}), !Attention(1, never).works_here());
    CHECK(is_left([](Graph& graph) { graph.type = GGML_TYPE_Q8_0; }));
    CHECK(is_left([](Graph& graph) { graph.max_bias = 8; }));
    CHECK(is_left([](Graph& graph) { graph.soft_cap = 30; }));
    CHECK(is_left([](Graph& graph) { graph.width = 40; }));
    CHECK(is_left([](Graph& graph) { graph.pool = 1504; }));
}

TEST(attention_computes_all_layers_of_a_model) {
    for (const bool unified : {true, false}) {
        ContextOptions options = options_of(2, 1024).context;
        options.unified = unified;
        ThreadPool threads(options.threads, ThreadPool::Kind::eager);
        std::atomic<bool> abort{false};
        std::pair<int, int> ours_and_ggmls;
        const auto observe = [](ggml_tensor* tensor, bool, void* to) {
            auto& [ours, ggmls] = *static_cast<std::pair<int, int>*>(to);
            ours += tensor->op == GGML_OP_CUSTOM;
            ggmls += tensor->op == GGML_OP_FLASH_ATTN_EXT;
            return false;
        };
        Context context(recall(), options, threads, abort, observe, &ours_and_ggmls);
        for (int step = 0; step < 3; step++) {
            ours_and_ggmls = {};
            context.begin_batch();
            for (const llama_seq_id sequence : {0, 1}) context.add(5, step, sequence, true);
            std::string reason;
            CHECK(context.decode(reason) == Context::Decoded::ok);
            const auto [ours, ggmls] = ours_and_ggmls;
            CHECK_EQ(Attention(1, never).works_here() ? ggmls : ours, 0);
            CHECK(ours + ggmls > 0);
        }
    }
}
