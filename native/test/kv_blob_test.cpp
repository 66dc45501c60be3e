#include "check.h"
#include "kv_blob.h"

#ifndef _WIN32
#include <sys/resource.h>
#endif

#include <cstring>
#include <functional>
#include <vector>

using namespace llama_sessions;

namespace {
// A blob as llama.cpp v0.5.0 writes it, with every field open to lies.
struct Cell {
    int32_t position;
    uint32_t owners;
    int32_t owner;
};
struct Cache {
    std::vector<uint32_t> stream_cells; // a count per stream, as claimed
    std::vector<Cell> cells;
    uint32_t transposed = 0, layers = 2;
    uint64_t row_bytes = 8;
    bool values = true; // rows of V behind those of K
};
struct Blob {
    uint32_t magic = 0xaf143cd8;
    int32_t sequence = 0;
    std::vector<Cache> caches;
    std::vector<uint8_t> bytes;

    template <class T> void put(T value) {
        const size_t at = bytes.size();
        bytes.resize(at + sizeof value);
        std::memcpy(bytes.data() + at, &value, sizeof value);
    }
    void put_rows(const Cache& cache) {
        for (uint32_t layer = 0; layer < cache.layers; layer++) {
            put<int32_t>(1);
            put<uint64_t>(cache.row_bytes);
            bytes.resize(bytes.size() + cache.cells.size() * 8);
        }
    }
    const std::vector<uint8_t>& write() {
        bytes.clear();
        put(magic);
        put(sequence);
        for (const Cache& cache : caches) {
            put(static_cast<uint32_t>(cache.stream_cells.size()));
            for (const uint32_t count : cache.stream_cells) {
                put(count);
                if (count == 0) continue;
                for (const Cell& cell : cache.cells) {
                    put(cell.position);
                    put(cell.owners);
                    put(cell.owner);
                }
                put(cache.transposed);
                put(cache.layers);
                put_rows(cache);
                if (cache.values) put_rows(cache);
            }
        }
        return bytes;
    }
    bool sound(uint32_t tokens, uint32_t streams = 1, bool values = true) {
        write();
        return kv_blob_is_sound(bytes.data(), bytes.size(), 0, tokens, streams, values);
    }
};
} // namespace

static Cache cache_of(int from, int to) {
    Cache cache;
    for (int i = from; i < to; i++) cache.cells.push_back({i, 1, 0});
    cache.stream_cells = {static_cast<uint32_t>(to - from)};
    return cache;
}

static Blob plain(int tokens) {
    Blob blob;
    blob.caches.push_back(cache_of(0, tokens));
    return blob;
}

TEST(kv_blob_sound_ones_are_accepted) {
    CHECK(plain(1).sound(1));
    CHECK(plain(10).sound(10));
    Blob mixed = plain(10); // cells come in the order of the pool, not of the text
    std::swap(mixed.caches[0].cells[0], mixed.caches[0].cells[9]);
    mixed.sequence = 77;
    CHECK(mixed.sound(10));
    Blob windowed = plain(10); // models with a sliding window keep its end only
    windowed.caches.push_back(cache_of(6, 10));
    CHECK(windowed.sound(10));
    Blob streams = plain(10);
    streams.caches[0].stream_cells = {0, 10, 0, 0};
    CHECK(streams.sound(10, 4));
}

// Models with latent attention (MLA) compute V from what K holds, and have no rows of it.
TEST(kv_blob_without_values_is_that_of_a_model_without_them) {
    Blob keys = plain(10);
    keys.caches[0].values = false;
    CHECK(keys.sound(10, 1, false));
    CHECK(!keys.sound(10, 1, true));
    CHECK(!plain(10).sound(10, 1, false));
    keys.caches[0].stream_cells = {0, 10, 0};
    CHECK(keys.sound(10, 3, false));
}

TEST(kv_blob_every_truncation_is_refused) {
    Blob blob = plain(10);
    blob.caches.push_back(cache_of(6, 10));
    blob.write();
    const size_t first_cache = plain(10).write().size(); // that one is a whole blob of another model
    for (size_t size = 0; size < blob.bytes.size(); size++) {
        const std::vector<uint8_t> cut(blob.bytes.begin(),
                                       blob.bytes.begin() + static_cast<std::ptrdiff_t>(size)); // ASan's borders
        CHECK_EQ(kv_blob_is_sound(cut.data(), cut.size(), 0, 10, 1, true), size == first_cache);
    }
}

TEST(kv_blob_trailing_bytes_are_refused) {
    Blob blob = plain(10);
    blob.write();
    for (int extra = 0; extra < 64; extra++) {
        blob.bytes.push_back(0);
        CHECK(!kv_blob_is_sound(blob.bytes.data(), blob.bytes.size(), 0, 10, 1, true));
    }
    Blob three = plain(10);
    three.caches.assign(3, cache_of(0, 10));
    CHECK(!three.sound(10));
}

TEST(kv_blob_bad_cells_are_refused) {
    const auto refused = [](const std::function<void(Cache&)>& change) {
        Blob blob = plain(10);
        change(blob.caches[0]);
        if (blob.sound(10)) return false;
        Blob second = plain(10);
        second.caches.push_back(cache_of(0, 10));
        change(second.caches[1]);
        return !second.sound(10);
    };
    for (const int32_t position : {-1, -5, INT32_MIN, 10, 11, INT32_MAX, 3}) { // 3 is there already
        CHECK(refused([&](Cache& cache) { cache.cells[4].position = position; }));
    }
    for (const uint32_t owners : {0u, 2u, 0xFFFFFFFFu}) {
        CHECK(refused([&](Cache& cache) { cache.cells[4].owners = owners; }));
    }
    CHECK(refused([](Cache& cache) { cache.cells[9].position = 42; }));
    CHECK(refused([](Cache& cache) { cache.transposed = 1; }));
    CHECK(refused([](Cache& cache) { cache.row_bytes = 9; }));
}

TEST(kv_blob_of_another_length_is_refused) {
    CHECK(!plain(10).sound(9));
    CHECK(!plain(10).sound(11));
    CHECK(!plain(10).sound(0));
    Blob window = plain(10);
    window.caches.push_back(cache_of(5, 9)); // without the last position
    CHECK(!window.sound(10));
    Blob empty;
    empty.caches.push_back(Cache{{0}, {}});
    CHECK(!empty.sound(0));
    CHECK(!empty.sound(1));
}

TEST(kv_blob_ranges_hold_each_of_their_positions_once) {
    Blob blob;
    blob.caches.push_back(cache_of(256, 266));
    blob.write();
    const auto sound = [&](uint32_t from, uint32_t to) {
        return kv_blob_is_sound(blob.bytes.data(), blob.bytes.size(), from, to, 1, true);
    };
    CHECK(sound(256, 266));
    for (const auto& [from, to] : std::vector<std::pair<uint32_t, uint32_t>>{{0, 266},
                                                                             {0, 10},
                                                                             {255, 265},
                                                                             {257, 267},
                                                                             {255, 266},
                                                                             {256, 267},
                                                                             {257, 266},
                                                                             {256, 265},
                                                                             {266, 256},
                                                                             {256, 256}}) {
        CHECK(!sound(from, to));
    }
    const Cache right = blob.caches[0];
    for (const int32_t position : {255, 266, 257, -256, 0}) { // of its neighbours, there already, none at all
        blob.caches[0] = right;
        blob.caches[0].cells[0].position = position;
        blob.write();
        CHECK(!sound(256, 266));
    }
}

TEST(kv_blob_wrong_streams_are_refused) {
    Blob blob = plain(10);
    CHECK(!blob.sound(10, 2));
    blob.caches[0].stream_cells = {10, 10}; // in two streams at once
    CHECK(!blob.sound(10, 2));
    blob.caches[0].stream_cells = {0, 0};
    CHECK(!blob.sound(10, 2));
    blob.caches[0].stream_cells = {};
    CHECK(!blob.sound(10, 0));
    Blob claimed = plain(10);
    claimed.write();
    claimed.bytes[8] = 2; // says two, has one
    CHECK(!kv_blob_is_sound(claimed.bytes.data(), claimed.bytes.size(), 0, 10, 1, true));
    blob = plain(10);
    blob.magic++;
    CHECK(!blob.sound(10));
}

// The most memory that this process ever had, in KiB; unknown on Windows.
static long most_memory() {
#ifdef _WIN32
    return 0;
#else
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
#endif
}

TEST(kv_blob_huge_counts_cost_no_memory) {
    const long before = most_memory();
    for (const uint32_t huge : {1u << 20, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu}) {
        Blob cells = plain(10);
        cells.caches[0].stream_cells = {huge};
        CHECK(!cells.sound(10));
        CHECK(!cells.sound(1000));
        Blob layers = plain(10);
        layers.write();
        const size_t at = 8 + 8 + 10 * 12 + 4; // magic, sequence, streams, cells, the cells, transposed
        std::memcpy(layers.bytes.data() + at, &huge, sizeof huge);
        CHECK(!kv_blob_is_sound(layers.bytes.data(), layers.bytes.size(), 0, 10, 1, true));
        Blob rows = plain(10);
        for (const uint64_t bytes : {uint64_t{huge}, uint64_t{huge} << 32, UINT64_MAX / 10 + 1, UINT64_MAX}) {
            rows.caches[0].row_bytes = bytes;
            CHECK(!rows.sound(10));
        }
        Blob streams = plain(10);
        CHECK(!streams.sound(10, huge));
    }
    CHECK(most_memory() - before < 32 * 1024);
}
