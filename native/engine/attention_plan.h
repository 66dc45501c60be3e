// Which cells each token of a step sees, from the mask that says it, and in which parts they are gone through. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace llama_sessions {

class AttentionPlan {
  public:
    // rows: a token each, of `cells` numbers of f16; cells: a multiple of 64. seen: AttentionKernel's.
    AttentionPlan(const std::vector<const uint16_t*>& rows, int cells, uint64_t (*seen)(const uint16_t*));

    int rows() const { return static_cast<int>(first_parts_.size()) - 1; }
    // At least one of each row; all rows' in one sequence, from first_part(row) to before first_part(row + 1).
    int parts() const { return static_cast<int>(parts_.size()); }
    int first_part(int row) const { return first_parts_[static_cast<size_t>(row)]; }
    int row_of(int part) const { return parts_[static_cast<size_t>(part)].row; }
    // Most cells of a part.
    int longest() const { return longest_; }
    // Writes a part's cells, and cell 0 behind them up to a multiple of attention_width. How many they are.
    int cells(int part, int32_t* to) const;

  private:
    struct Part {
        int row;
        size_t from, to; // words
    };

    size_t words_;
    std::vector<uint64_t> seen_; // a bit per cell, `words_` per row
    std::vector<Part> parts_;
    std::vector<int> first_parts_; // and the end
    int longest_ = 0;
};

} // namespace llama_sessions
