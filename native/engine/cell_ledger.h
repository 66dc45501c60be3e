// Which cells of the KV pool each sequence holds. llama.cpp keeps such a list, but shows it to nobody; and tokens can't be
// counted instead, as sequences share cells. Cells have numbers of our own here: only who shares with whom matters.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace llama_sessions {

// Engine thread only, but for used(). What two sequences share is always a beginning of both.
class CellLedger {
  public:
    explicit CellLedger(size_t sequences) : cells_(sequences) {}

    // Cells that somebody holds. Any thread.
    int used() const { return used_; }
    int length(int sequence) const { return static_cast<int>(of(sequence).size()); }
    // New cells, at the end of what the sequence holds.
    void append(int sequence, int count);
    // `sequence` gives up what it holds for the first `count` cells of `source`, which it holds from now on too.
    void share(int source, int sequence, int count);
    void trim(int sequence, int keep);
    // Cells that both hold.
    int common(int a, int b) const;
    // Cells that were free if all of these gave up theirs.
    int held_only_by(const std::vector<int>& sequences) const;

  private:
    using Cell = uint32_t;
    std::vector<Cell>& of(int sequence) { return cells_.at(static_cast<size_t>(sequence)); }
    const std::vector<Cell>& of(int sequence) const { return cells_.at(static_cast<size_t>(sequence)); }

    std::vector<std::vector<Cell>> cells_; // of each sequence, position by position
    std::vector<uint16_t> holders_;        // of each cell, how many
    std::vector<Cell> unused_;             // cells that were given up
    std::atomic<int> used_{0};
};

} // namespace llama_sessions
