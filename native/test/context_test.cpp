// The KV of sequences: what comes back from bytes, and what bytes can't do.
#include "check.h"
#include "context.h"
#include "kv_blob.h"
#include "recall.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace llama_sessions;
using namespace llama_sessions::test;

namespace {
struct Bench {
    explicit Bench(const ContextOptions& options = options_of(4, 1024).context)
        : threads(options.threads, ThreadPool::Kind::eager), context(recall(), options, threads, abort) {}
    // Decodes the tokens behind what the sequence holds; the last one's logits.
    std::vector<float> read(llama_seq_id sequence, const Tokens& tokens) {
        context.begin_batch();
        const int from = context.length(sequence);
        for (size_t i = 0; i < tokens.size(); i++) {
            context.add(tokens[i], from + static_cast<int>(i), sequence, i + 1 == tokens.size());
        }
        std::string reason;
        CHECK(context.decode(reason) == Context::Decoded::ok);
        const float* row = context.logits(static_cast<int>(tokens.size()) - 1);
        return {row, row + recall().vocabulary_size()};
    }
    Bytes save(llama_seq_id sequence) { return context.export_kv(sequence, 0, context.length(sequence)); }
    bool restore(llama_seq_id sequence, int from, int to, const std::vector<uint8_t>& bytes, bool trusted = false) {
        return context.import_kv(sequence, from, to - from, bytes.data(), bytes.size(), trusted);
    }
    std::atomic<bool> abort{false};
    ThreadPool threads;
    Context context;
};
} // namespace

static bool close_to(const std::vector<float>& a, const std::vector<float>& b) {
    for (size_t i = 0; i < a.size(); i++) {
        if (!(std::abs(a[i] - b[i]) < 1e-2f)) return false;
    }
    return true;
}

TEST(context_restores_what_it_saved) {
    Bench bench;
    const Tokens prompt = chat({"My name is Mosoba."}), next = chat({"What is my name?"});
    bench.read(0, prompt);
    const Bytes blob = bench.save(0);
    const auto count = static_cast<int>(prompt.size());
    CHECK(kv_blob_is_sound(blob.data.get(), blob.size, 0, static_cast<uint32_t>(count), 1, true));
    const auto expected = bench.read(0, next);
    CHECK(bench.context.import_kv(2, 0, count, blob.data.get(), blob.size, false));
    CHECK_EQ(bench.context.length(2), count);
    CHECK(close_to(bench.read(2, next), expected));

    CHECK(bench.context.trim(2, 5));
    CHECK_EQ(bench.context.length(2), 5);
    bench.context.clear(2);
    CHECK_EQ(bench.context.length(2), 0);
    CHECK_EQ(bench.context.length(0), count + static_cast<int>(next.size()));
}

TEST(context_refuses_what_llama_cpp_would_die_of) {
    Bench bench;
    Context& context = bench.context;
    for (const llama_seq_id sequence : {-1, 4, 255, 256, INT32_MAX}) {
        CHECK_EQ(error_code([&] { context.clear(sequence); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.trim(sequence, 0); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.length(sequence); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.export_kv(sequence, 0, 1); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.import_kv(sequence, 0, 1, nullptr, 0, false); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.share(sequence, 0, 1); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.share(0, sequence, 1); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.add(1, 0, sequence, true); }), "INTERNAL");
    }
    CHECK_EQ(error_code([&] { context.add(-1, 0, 0, true); }), "INTERNAL");
    CHECK_EQ(error_code([&] { context.add(recall().vocabulary_size(), 0, 0, true); }), "INTERNAL");
    CHECK_EQ(error_code([&] { context.add(1, -1, 0, true); }), "INTERNAL");
    CHECK_EQ(error_code([&] { context.add(1, context.session_tokens(), 0, true); }), "INTERNAL");
    for (int i = 0; i < context.batch_tokens(); i++) context.add(1, i, 0, false);
    CHECK_EQ(error_code([&] { context.add(1, 600, 0, false); }), "INTERNAL");
    CHECK(!context.import_kv(1, 0, 10, nullptr, 0, false));
}

TEST(context_refuses_every_truncation) {
    Bench bench;
    const Tokens prompt = recall().tokenize("My name", false, true);
    bench.read(0, prompt);
    const Bytes blob = bench.save(0);
    for (size_t size = 0; size < blob.size; size += size < 200 ? 1 : 37) {
        const std::vector<uint8_t> cut(blob.data.get(), blob.data.get() + size);
        CHECK(!bench.context.import_kv(1, 0, static_cast<int>(prompt.size()), cut.data(), cut.size(), false));
        // Also what our own check does not see must leave nothing behind.
        CHECK(!bench.context.import_kv(1, 0, static_cast<int>(prompt.size()), cut.data(), cut.size(), true));
        CHECK_EQ(bench.context.length(1), 0);
    }
    CHECK(!bench.context.import_kv(1, 0, static_cast<int>(prompt.size()) - 1, blob.data.get(), blob.size, true));
    CHECK_EQ(bench.context.length(1), 0);
}

static void flip_every_bit_of_the_header(int from) {
    Bench bench;
    const Tokens prompt = recall().tokenize("My name", false, true), next = recall().tokenize(" is", false, true);
    const auto count = static_cast<int>(prompt.size());
    CHECK(from < count);
    bench.read(0, prompt);
    const Bytes blob = bench.context.export_kv(0, from, count);
    const auto expected = bench.read(0, next);
    bench.context.trim(0, count);
    if (from > 0) bench.context.share(0, 1, from);

    const auto saved = static_cast<size_t>(count - from);
    const size_t row = 2 * 64 * 2, part = 12 + row * saved; // two heads of 64 halves: K or V of a layer
    const size_t cells = 16 + 12 * saved;
    CHECK_EQ(blob.size, cells + 8 + 8 * part);
    std::vector<size_t> header;
    for (size_t i = 0; i < cells + 8; i++) header.push_back(i);
    for (size_t layer = 0; layer < 8; layer++) {
        for (size_t i = 0; i < 12; i++) header.push_back(cells + 8 + layer * part + i);
    }
    int accepted = 0;
    for (const size_t byte : header) {
        for (int bit = 0; bit < 8; bit++) {
            std::vector<uint8_t> flipped(blob.data.get(), blob.data.get() + blob.size);
            flipped[byte] ^= static_cast<uint8_t>(1 << bit);
            const bool taken = bench.restore(1, from, count, flipped);
            CHECK_EQ(bench.context.length(1), taken ? count : from);
            if (!taken) continue;
            accepted++;
            if (bit == 0) CHECK(close_to(bench.read(1, next), expected));
            bench.context.trim(1, from);
        }
    }
    CHECK_EQ(accepted, 32 * (1 + static_cast<int>(saved))); // the sequence in front, and the owner of each cell
    // Nothing of all that has touched a neighbour, or cost the pool a cell.
    CHECK_EQ(bench.context.length(0), count);
    CHECK(close_to(bench.read(0, next), expected));
    bench.context.clear(0);
    bench.context.clear(1);
    for (int i = 0; i < 2; i++) bench.read(3, Tokens(512, 7));
    CHECK_EQ(bench.context.length(3), 1024);
}

// Every bit of the header, and of what stands between the rows, is turned once: refused, or what it changes is of no
// account (the numbers of sequences, which llama.cpp does not read).
TEST(context_survives_every_flipped_bit_of_a_header) { flip_every_bit_of_the_header(0); }
TEST(context_survives_every_flipped_bit_of_the_header_of_a_range) { flip_every_bit_of_the_header(1); }

TEST(context_refuses_what_another_kind_of_context_saved) {
    Bench f16;
    ContextOptions options = options_of(4, 1024).context;
    options.kv_type = "q8_0";
    Bench q8(options);
    options.kv_type = "f16";
    options.unified = false;
    Bench streams(options);
    Bench* all[] = {&f16, &q8, &streams};
    const Tokens prompt = chat({"My name is Mosoba."});
    for (Bench* from : all) from->read(1, prompt);
    for (Bench* from : all) {
        const Bytes blob = from->save(1);
        for (Bench* to : all) {
            const bool taken =
                to->context.import_kv(2, 0, static_cast<int>(prompt.size()), blob.data.get(), blob.size, false);
            CHECK_EQ(taken, from == to);
            CHECK_EQ(to->context.length(2), taken ? static_cast<int>(prompt.size()) : 0);
            to->context.clear(2);
        }
    }
}

// --- ranges and sharing ----------------------------------------------------------------------------------------------

static std::vector<uint8_t> copy_of(const Bytes& bytes) { return {bytes.data.get(), bytes.data.get() + bytes.size}; }

// In ranges of 256, as pages are; bit by bit the same, for the bytes are.
TEST(context_restores_ranges_bit_by_bit) {
    Bench bench(options_of(4, 4096).context);
    CHECK(bench.context.pages());
    CHECK_EQ(bench.context.sequences(), 4);
    const Tokens prompt = long_prompt(900), next = chat({"What is my name?"});
    bench.read(0, Tokens(prompt.begin(), prompt.begin() + 500));
    bench.read(0, Tokens(prompt.begin() + 500, prompt.end()));
    std::vector<std::vector<uint8_t>> pages;
    for (int from = 0; from < 900; from += 256) {
        pages.push_back(copy_of(bench.context.export_kv(0, from, std::min(900, from + 256))));
        CHECK_EQ(bench.context.length(0), 900); // it keeps what it has
    }
    const auto expected = bench.read(0, next);
    bench.context.clear(0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            CHECK(bench.restore(2, 256 * i, std::min(900, 256 * (i + 1)), pages[static_cast<size_t>(i)]));
        }
        CHECK_EQ(bench.context.length(2), 900);
        CHECK(bench.read(2, next) == expected);
        bench.context.trim(2, 0);
    }
    // The same from the whole.
    for (int i = 0; i < 4; i++) {
        bench.restore(2, 256 * i, std::min(900, 256 * (i + 1)), pages[static_cast<size_t>(i)], true);
    }
    const auto whole = copy_of(bench.save(2));
    bench.context.clear(2);
    CHECK(bench.restore(1, 0, 900, whole));
    CHECK(bench.read(1, next) == expected);
    // What went through on the way has left: the pool has all its cells.
    bench.context.clear(1);
    for (int i = 0; i < 8; i++) bench.read(i % 4, Tokens(512, 7));
}

// Where cells lie decides in which order sums are taken: close, and no more.
TEST(context_restores_ranges_into_a_pool_with_holes) {
    Bench bench(options_of(4, 1024).context);
    const Tokens prompt = long_prompt(512), next = chat({"What is my name?"});
    bench.read(0, prompt);
    std::vector<std::vector<uint8_t>> pages;
    for (int from = 0; from < 512; from += 128) pages.push_back(copy_of(bench.context.export_kv(0, from, from + 128)));
    const auto expected = bench.read(0, next);
    bench.context.clear(0);
    // Every other cell is another sequence's: two take turns, one leaves.
    for (int i = 0; i < 480; i++) {
        bench.read(1, {static_cast<llama_token>(5 + i % 50)});
        bench.read(3, {static_cast<llama_token>(9 + i % 40)});
    }
    bench.context.clear(1);
    for (int i = 0; i < 4; i++) CHECK(bench.restore(2, 128 * i, 128 * (i + 1), pages[static_cast<size_t>(i)]));
    CHECK(close_to(bench.read(2, next), expected));
    CHECK_EQ(bench.context.length(3), 480);
    CHECK(!bench.restore(1, 0, 128, pages[0])); // there is not so much left
    CHECK_EQ(bench.context.length(1), 0);
}

TEST(context_refuses_ranges_that_are_not_what_they_claim) {
    Bench bench(options_of(4, 2048).context);
    const Tokens prompt = long_prompt(400), next = chat({"What is my name?"});
    bench.read(0, prompt);
    bench.context.share(0, 1, 100);
    const auto page = copy_of(bench.context.export_kv(0, 100, 200));
    const auto refused = [&](int from, int to, const std::vector<uint8_t>& bytes) {
        for (const bool trusted : {false, true}) {
            CHECK(!bench.restore(1, from, to, bytes, trusted));
            CHECK_EQ(bench.context.length(1), 100);
        }
    };
    refused(100, 199, page);
    refused(100, 201, page);
    refused(99, 199, page); // not where it holds anything else
    refused(101, 201, page);
    refused(0, 100, page);
    refused(200, 300, copy_of(bench.context.export_kv(0, 200, 300)));
    refused(100, 200, copy_of(bench.context.export_kv(0, 200, 300))); // of other positions
    refused(100, 200, copy_of(bench.context.export_kv(0, 50, 150)));
    refused(100, 200, copy_of(bench.context.export_kv(0, 90, 200)));
    refused(100, 200, {});
    std::vector<uint8_t> longer = page;
    longer.push_back(0);
    refused(100, 200, longer);
    const std::pair<int, int> no_ranges[] = {{-1, 5}, {0, 401}, {5, 5}, {6, 5}, {400, 500}, {INT32_MAX, INT32_MAX}};
    for (const auto& [from, to] : no_ranges) {
        CHECK_EQ(error_code([&, from = from, to = to] { bench.context.export_kv(0, from, to); }), "INTERNAL");
    }
    CHECK(bench.restore(1, 100, 200, page));
    bench.context.trim(0, 200);
    CHECK(close_to(bench.read(1, next), bench.read(0, next)));
}

TEST(context_shares_bit_by_bit) {
    Bench bench(options_of(4, 2048).context);
    const Tokens prompt = long_prompt(300), next = chat({"What is my name?"});
    bench.read(0, prompt);
    const auto expected = bench.read(0, next);
    bench.context.trim(0, 300);
    CHECK(bench.context.can_share(0, 300));
    bench.context.share(0, 1, 300);
    bench.context.share(1, 2, 300); // what is shared can be shared on
    CHECK(bench.read(1, next) == expected);
    bench.context.trim(1, 10); // nobody else's loss
    bench.context.clear(0);
    CHECK(bench.read(2, next) == expected);
    CHECK_EQ(bench.context.length(1), 10);
    CHECK_EQ(bench.context.length(2), 300 + static_cast<int>(next.size()));
    CHECK_EQ(error_code([&] { bench.context.share(2, 2, 1); }), "INTERNAL");
}

// llama.cpp counts as our ledger does: shared cells once.
TEST(context_fills_the_pool_to_the_last_cell_with_shared_sequences) {
    Bench bench(options_of(8, 1024).context);
    bench.read(0, Tokens(500, 7));
    for (int i = 1; i < 8; i++) bench.context.share(0, i, 500);
    for (int i = 1; i < 8; i++) bench.read(i, Tokens(70, 8)); // 990
    bench.read(0, Tokens(34, 9));
    const auto full = [&] {
        bench.context.begin_batch();
        bench.context.add(7, bench.context.length(0), 0, true);
        std::string reason;
        return bench.context.decode(reason) == Context::Decoded::no_room;
    };
    CHECK(full());
    bench.context.trim(3, 400); // 70 of its own are free then, not 170
    bench.read(5, Tokens(70, 10));
    CHECK(full());
}

TEST(context_of_streams_has_neither_ranges_nor_sharing) {
    ContextOptions options = options_of(4, 1024).context;
    options.unified = false;
    Bench bench(options);
    CHECK(!bench.context.pages());
    bench.read(0, Tokens(50, 7));
    CHECK(!bench.context.can_share(0, 50));
    CHECK_EQ(error_code([&] { bench.context.share(0, 1, 50); }), "INTERNAL");
    CHECK_EQ(error_code([&] { bench.context.export_kv(0, 0, 49); }), "INTERNAL");
    CHECK_EQ(error_code([&] { bench.context.export_kv(0, 1, 50); }), "INTERNAL");
    const auto whole = copy_of(bench.save(0));
    CHECK(!bench.restore(1, 1, 51, whole));
    CHECK(bench.restore(1, 0, 50, whole));
}

TEST(context_keeps_one_sequence_for_itself) {
    Bench most(options_of(256, 1024).context);
    CHECK_EQ(most.context.sequences(), 255);
    most.read(254, Tokens(20, 7));
    const auto page = copy_of(most.context.export_kv(254, 10, 20));
    most.context.share(254, 0, 10);
    CHECK(most.restore(0, 10, 20, page));
    CHECK_EQ(error_code([&] { most.context.clear(255); }), "INTERNAL");
}
