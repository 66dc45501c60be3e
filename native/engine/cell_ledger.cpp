#include "cell_ledger.h"

#include <algorithm>

namespace llama_sessions {

void CellLedger::append(int sequence, int count) {
    std::vector<Cell>& cells = of(sequence);
    for (int i = 0; i < count; i++) {
        if (unused_.empty()) {
            unused_.push_back(static_cast<Cell>(holders_.size()));
            holders_.push_back(0);
        }
        const Cell cell = unused_.back();
        unused_.pop_back();
        holders_[cell] = 1;
        cells.push_back(cell);
    }
    used_ += count;
}

void CellLedger::share(int source, int sequence, int count) {
    if (source == sequence) return trim(sequence, count);
    const std::vector<Cell>& theirs = of(source);
    const std::vector<Cell> shared(theirs.begin(), theirs.begin() + count);
    for (const Cell cell : shared) holders_[cell]++;
    trim(sequence, 0);
    of(sequence) = shared;
}

void CellLedger::trim(int sequence, int keep) {
    std::vector<Cell>& cells = of(sequence);
    while (cells.size() > static_cast<size_t>(keep)) {
        const Cell cell = cells.back();
        cells.pop_back();
        if (--holders_[cell] > 0) continue;
        unused_.push_back(cell);
        used_--;
    }
}

int CellLedger::common(int a, int b) const {
    const std::vector<Cell>&x = of(a), &y = of(b);
    // A cell that both hold lies at one position in both, and all before it are common too.
    size_t low = 0, high = std::min(x.size(), y.size());
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (x[middle] == y[middle]) low = middle + 1;
        else high = middle;
    }
    return static_cast<int>(low);
}

int CellLedger::held_only_by(const std::vector<int>& sequences) const {
    std::vector<uint16_t> found(holders_.size());
    int count = 0;
    for (const int sequence : sequences) {
        for (const Cell cell : of(sequence)) count += ++found[cell] == holders_[cell];
    }
    return count;
}

} // namespace llama_sessions
