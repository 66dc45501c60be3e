#include "cell_ledger.h"
#include "check.h"

#include <map>
#include <random>
#include <set>

using namespace llama_sessions;

TEST(cell_ledger_counts_shared_cells_once) {
    CellLedger ledger(3);
    ledger.append(0, 10);
    ledger.share(0, 1, 8);
    CHECK_EQ(ledger.used(), 10);
    CHECK_EQ(ledger.length(1), 8);
    ledger.append(1, 5);
    CHECK_EQ(ledger.used(), 15);
    CHECK_EQ(ledger.common(0, 1), 8);
    CHECK_EQ(ledger.held_only_by({0}), 2);
    CHECK_EQ(ledger.held_only_by({0, 1}), 15);
    ledger.trim(0, 0);
    CHECK_EQ(ledger.used(), 13);
    ledger.trim(1, 4);
    CHECK_EQ(ledger.used(), 4);
    ledger.share(1, 1, 3); // of one's own: the same as a trim
    CHECK_EQ(ledger.length(1), 3);
    CHECK_EQ(ledger.used(), 3);
}

TEST(cell_ledger_replaces_what_a_sequence_held_by_what_it_shares) {
    CellLedger ledger(3);
    ledger.append(0, 10);
    ledger.append(1, 6);
    ledger.share(0, 1, 10);
    CHECK_EQ(ledger.used(), 10);
    ledger.append(2, 4);
    ledger.share(2, 0, 4); // 1 keeps what it has of 0
    CHECK_EQ(ledger.used(), 14);
    CHECK_EQ(ledger.common(0, 1), 0);
    CHECK_EQ(ledger.common(0, 2), 4);
}

// Random operations against a model that counts in the simplest way: cells as names in a list per sequence.
TEST(cell_ledger_agrees_with_a_naive_model) {
    for (uint32_t seed = 1; seed <= 20; seed++) {
        std::mt19937 random(seed);
        constexpr int sequences = 7;
        CellLedger ledger(sequences);
        std::vector<std::vector<int>> model(sequences);
        int next = 0;
        for (int i = 0; i < 2000; i++) {
            const auto a = static_cast<int>(random() % sequences), b = static_cast<int>(random() % sequences);
            auto &mine = model[static_cast<size_t>(a)], &theirs = model[static_cast<size_t>(b)];
            switch (random() % 4) {
            case 0:
            case 1: {
                const auto count = static_cast<int>(random() % 20);
                for (int k = 0; k < count; k++) mine.push_back(next++);
                ledger.append(a, count);
                break;
            }
            case 2: {
                const size_t count = random() % (theirs.size() + 1);
                ledger.share(b, a, static_cast<int>(count));
                mine = std::vector<int>(theirs.begin(), theirs.begin() + static_cast<std::ptrdiff_t>(count));
                break;
            }
            default: {
                const size_t keep = random() % (mine.size() + 1);
                ledger.trim(a, static_cast<int>(keep));
                mine.resize(keep);
            }
            }
            std::map<int, std::set<int>> holders;
            for (int s = 0; s < sequences; s++) {
                for (const int cell : model[static_cast<size_t>(s)]) holders[cell].insert(s);
                CHECK_EQ(ledger.length(s), static_cast<int>(model[static_cast<size_t>(s)].size()));
            }
            CHECK_EQ(ledger.used(), static_cast<int>(holders.size()));
            int common = 0, only = 0;
            const int c = (a + 1) % sequences;
            for (const auto& [cell, who] : holders) {
                common += who.count(a) && who.count(b);
                bool both = true;
                for (const int s : who) both = both && (s == a || s == c);
                only += both;
            }
            CHECK_EQ(ledger.common(a, b), common);
            CHECK_EQ(ledger.held_only_by({a, c}), only);
        }
    }
}
