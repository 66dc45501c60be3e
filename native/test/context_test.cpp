// The KV of sequences: what comes back from bytes, and what bytes can't do.
#include "check.h"
#include "context.h"
#include "kv_blob.h"
#include "recall.h"

#include <cmath>
#include <cstring>

using namespace llama_sessions;
using namespace llama_sessions::test;

namespace {
struct Bench {
    explicit Bench(const ContextOptions& options = options_of(4, 1024).context) : context(recall(), options, abort) {}
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
    std::atomic<bool> abort{false};
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
    const Bytes blob = bench.context.export_kv(0);
    const auto count = static_cast<int>(prompt.size());
    CHECK(kv_blob_is_sound(blob.data.get(), blob.size, prompt.size(), 1));
    const auto expected = bench.read(0, next);
    CHECK(bench.context.import_kv(2, count, blob.data.get(), blob.size, false));
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
        CHECK_EQ(error_code([&] { context.export_kv(sequence); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.import_kv(sequence, 1, nullptr, 0, false); }), "INTERNAL");
        CHECK_EQ(error_code([&] { context.add(1, 0, sequence, true); }), "INTERNAL");
    }
    CHECK_EQ(error_code([&] { context.add(-1, 0, 0, true); }), "INTERNAL");
    CHECK_EQ(error_code([&] { context.add(recall().vocabulary_size(), 0, 0, true); }), "INTERNAL");
    CHECK_EQ(error_code([&] { context.add(1, -1, 0, true); }), "INTERNAL");
    CHECK_EQ(error_code([&] { context.add(1, context.session_tokens(), 0, true); }), "INTERNAL");
    for (int i = 0; i < context.batch_tokens(); i++) context.add(1, i, 0, false);
    CHECK_EQ(error_code([&] { context.add(1, 600, 0, false); }), "INTERNAL");
    CHECK(!context.import_kv(1, 10, nullptr, 0, false));
}

TEST(context_refuses_every_truncation) {
    Bench bench;
    const Tokens prompt = recall().tokenize("My name", false, true);
    bench.read(0, prompt);
    const Bytes blob = bench.context.export_kv(0);
    for (size_t size = 0; size < blob.size; size += size < 200 ? 1 : 37) {
        const std::vector<uint8_t> cut(blob.data.get(), blob.data.get() + size);
        CHECK(!bench.context.import_kv(1, static_cast<int>(prompt.size()), cut.data(), cut.size(), false));
        // Also what our own check does not see must leave nothing behind.
        CHECK(!bench.context.import_kv(1, static_cast<int>(prompt.size()), cut.data(), cut.size(), true));
        CHECK_EQ(bench.context.length(1), 0);
    }
    CHECK(!bench.context.import_kv(1, static_cast<int>(prompt.size()) - 1, blob.data.get(), blob.size, true));
    CHECK_EQ(bench.context.length(1), 0);
}

// Every bit of the header, and of what stands between the rows, is turned once: refused, or what it changes is of no
// account (the numbers of sequences, which llama.cpp does not read).
TEST(context_survives_every_flipped_bit_of_a_header) {
    Bench bench;
    const Tokens prompt = recall().tokenize("My name", false, true), next = recall().tokenize(" is", false, true);
    const auto count = static_cast<int>(prompt.size());
    bench.read(0, prompt);
    const Bytes blob = bench.context.export_kv(0);
    const auto expected = bench.read(0, next);
    bench.context.trim(0, count);

    const size_t row = 2 * 64 * 2, part = 12 + row * prompt.size(); // two heads of 64 halves: K or V of a layer
    const size_t cells = 16 + 12 * prompt.size();
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
            const bool taken = bench.context.import_kv(1, count, flipped.data(), flipped.size(), false);
            if (!taken) {
                CHECK_EQ(bench.context.length(1), 0);
                continue;
            }
            accepted++;
            CHECK_EQ(bench.context.length(1), count);
            if (bit == 0) CHECK(close_to(bench.read(1, next), expected));
            bench.context.clear(1);
        }
    }
    CHECK_EQ(accepted, 32 * (1 + count)); // the sequence in front, and the owner of each cell
    // Nothing of all that has touched a neighbour, or cost the pool a cell.
    CHECK_EQ(bench.context.length(0), count);
    CHECK(close_to(bench.read(0, next), expected));
    bench.context.clear(0);
    for (int i = 0; i < 2; i++) bench.read(3, Tokens(512, 7));
    CHECK_EQ(bench.context.length(3), 1024);
}

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
        const Bytes blob = from->context.export_kv(1);
        for (Bench* to : all) {
            const bool taken =
                to->context.import_kv(2, static_cast<int>(prompt.size()), blob.data.get(), blob.size, false);
            CHECK_EQ(taken, from == to);
            CHECK_EQ(to->context.length(2), taken ? static_cast<int>(prompt.size()) : 0);
            to->context.clear(2);
        }
    }
}
