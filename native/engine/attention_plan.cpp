#include "attention_plan.h"

#include "attention_kernel.h"

#include <algorithm>
#include <bitset>
#ifdef _MSC_VER
#include <intrin.h>
#endif

namespace llama_sessions {

// Long enough for putting them together to cost little, short enough for several threads to share a long conversation. How a row is
// divided depends on nothing but the row: its result is the same to the last bit whoever else is in the step.
static constexpr int cells_of_part = 512, most_parts = 64;
// More than a token and all that can be guessed of what follows it: those are computed as the token alone would be.
static constexpr int shortest_run = 32;
static constexpr int word_bits = 64;

static int bits_of(uint64_t word) { return static_cast<int>(std::bitset<word_bits>(word).count()); }

static int lowest_bit(uint64_t word) {
#ifdef _MSC_VER
    unsigned long place = 0;
    _BitScanForward64(&place, word);
    return static_cast<int>(place);
#else
    return __builtin_ctzll(word);
#endif
}

int SeenCells::next(int32_t* to, int most) {
    int count = 0;
    while (count < most) {
        if (left_ == 0) {
            if (next_ == end_) break;
            left_ = words_[next_++];
            continue;
        }
        to[count++] = static_cast<int32_t>(next_ - 1) * word_bits + lowest_bit(left_);
        left_ &= left_ - 1;
    }
    return count;
}

AttentionPlan::AttentionPlan(const std::vector<const uint16_t*>& rows, int rows_per_stream, int cells,
                             uint64_t (*seen)(const uint16_t*))
    : words_(static_cast<size_t>(cells / word_bits)), seen_(rows.size() * words_) {
    auto word = seen_.begin();
    for (const uint16_t* row : rows) {
        for (int cell = 0; cell < cells; cell += word_bits) *word++ = seen(row + cell);
    }
    const auto count = static_cast<int>(rows.size());
    find_runs(count, rows_per_stream);
    auto run = runs_.begin();
    std::vector<int> counts(words_); // of a row
    for (int row = 0; row < count; row++) {
        first_parts_.push_back(parts());
        while (run != runs_.end() && run->to <= row) run++;
        if (run == runs_.end() || row < run->from) divide(row, counts);
    }
    first_parts_.push_back(parts());
}

void AttentionPlan::find_runs(int rows, int rows_per_stream) {
    for (int from = 0, to = 1; from < rows; from = to++) {
        while (to < rows && to % rows_per_stream != 0 && follows(to)) to++;
        if (to - from >= shortest_run) runs_.push_back({from, to});
    }
}

// Whether it sees all that the row before it sees.
bool AttentionPlan::follows(int row) const {
    const uint64_t *its = words_of(row), *before = words_of(row - 1);
    size_t i = 0;
    while (i < words_ && (before[i] & ~its[i]) == 0) i++;
    return i == words_;
}

void AttentionPlan::divide(int row, std::vector<int>& counts) {
    const uint64_t* words = words_of(row);
    int all = 0;
    for (size_t i = 0; i < words_; i++) all += counts[i] = bits_of(words[i]);
    const int enough = std::max(cells_of_part, all / most_parts);
    Part part{row, 0, 0};
    int count = 0;
    for (size_t i = 0; i < words_; i++) {
        count += counts[i];
        part.to = i + 1;
        longest_ = std::max(longest_, count);
        if (count < enough || i + 1 == words_) continue;
        parts_.push_back(part);
        part.from = i + 1;
        count = 0;
    }
    parts_.push_back(part);
}

int AttentionPlan::cells(int part, int32_t* to) const {
    const Part& its = parts_[static_cast<size_t>(part)];
    const int count = SeenCells(words_of(its.row), its.from, its.to).next(to, longest_);
    for (int padded = count; padded % attention_width; padded++) to[padded] = 0;
    return count;
}

uint64_t AttentionPlan::seen(int row, const int32_t* cells, int count) const {
    const uint64_t* words = words_of(row);
    uint64_t bits = 0;
    for (int i = 0; i < count; i++) bits |= (words[cells[i] / word_bits] >> (cells[i] % word_bits) & 1) << i;
    return bits;
}

bool AttentionPlan::same(int row, int other, int from, int to) const {
    const auto first = static_cast<size_t>(from / word_bits), end = static_cast<size_t>(to / word_bits) + 1;
    return std::equal(words_of(row) + first, words_of(row) + end, words_of(other) + first);
}

} // namespace llama_sessions
