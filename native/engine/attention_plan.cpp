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

AttentionPlan::AttentionPlan(const std::vector<const uint16_t*>& rows, int cells, uint64_t (*seen)(const uint16_t*))
    : words_(static_cast<size_t>(cells / word_bits)), seen_(rows.size() * words_) {
    std::vector<int> counts(words_);
    for (size_t row = 0; row < rows.size(); row++) {
        first_parts_.push_back(parts());
        int all = 0;
        for (size_t i = 0; i < words_; i++) {
            seen_[row * words_ + i] = seen(rows[row] + i * word_bits);
            all += counts[i] = bits_of(seen_[row * words_ + i]);
        }
        const int enough = std::max(cells_of_part, all / most_parts);
        Part part{static_cast<int>(row), 0, 0};
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
    first_parts_.push_back(parts());
}

int AttentionPlan::cells(int part, int32_t* to) const {
    const Part& its = parts_[static_cast<size_t>(part)];
    const uint64_t* words = seen_.data() + static_cast<size_t>(its.row) * words_;
    int count = 0;
    for (size_t i = its.from; i < its.to; i++) {
        for (uint64_t left = words[i]; left; left &= left - 1)
            to[count++] = static_cast<int32_t>(i) * word_bits + lowest_bit(left);
    }
    for (int padded = count; padded % attention_width; padded++) to[padded] = 0;
    return count;
}

} // namespace llama_sessions
