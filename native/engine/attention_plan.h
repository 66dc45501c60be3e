// Which cells each token of a step sees, from the mask that says it, and in which parts they are gone through. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace llama_sessions {

// Cells that a row sees, in their order, some at a time.
class SeenCells {
  public:
    // words: a bit per cell, of the whole row; gone through from one of them to before another.
    SeenCells(const uint64_t* words, size_t from, size_t to) : words_(words), next_(from), end_(to) {}
    // Writes as many as are left, up to `most`. How many they are.
    int next(int32_t* to, int most);

  private:
    const uint64_t* words_;
    size_t next_, end_;
    uint64_t left_ = 0; // of the word before the next one
};

class AttentionPlan {
  public:
    // Rows, one behind the other, each of which sees all that the one before it sees: a prompt's.
    struct Run {
        int from, to;
    };

    // rows: a token each, of `cells` numbers of f16; cells: a multiple of 64. Each `rows_per_stream` of them have a pool of their
    // own. seen: AttentionKernel's.
    AttentionPlan(const std::vector<const uint16_t*>& rows, int rows_per_stream, int cells,
                  uint64_t (*seen)(const uint16_t*));

    int rows() const { return static_cast<int>(first_parts_.size()) - 1; }
    // Those worth being gone through together.
    const std::vector<Run>& runs() const { return runs_; }
    // None of a row in one of the runs, at least one of another; all in one sequence, from first_part(row) to before
    // first_part(row + 1).
    int parts() const { return static_cast<int>(parts_.size()); }
    int first_part(int row) const { return first_parts_[static_cast<size_t>(row)]; }
    int row_of(int part) const { return parts_[static_cast<size_t>(part)].row; }
    // Most cells of a part.
    int longest() const { return longest_; }
    // Writes a part's cells, and cell 0 behind them up to a multiple of attention_width. How many they are.
    int cells(int part, int32_t* to) const;

    SeenCells cells_of_row(int row) const { return {words_of(row), 0, words_}; }
    // A bit for each of up to 64 cells.
    uint64_t seen(int row, const int32_t* cells, int count) const;
    // Of two rows, from one cell to another.
    bool same(int row, int other, int from, int to) const;

  private:
    struct Part {
        int row;
        size_t from, to; // words
    };

    const uint64_t* words_of(int row) const { return seen_.data() + static_cast<size_t>(row) * words_; }
    bool follows(int row) const;
    void find_runs(int rows, int rows_per_stream);
    void divide(int row, std::vector<int>& counts);

    size_t words_;
    std::vector<uint64_t> seen_; // a bit per cell, `words_` per row
    std::vector<Run> runs_;
    std::vector<Part> parts_;
    std::vector<int> first_parts_; // and the end
    int longest_ = 0;
};

} // namespace llama_sessions
