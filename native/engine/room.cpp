// A pool that is full fails nobody: idle sequences are parked by the layer above; when all are busy, the youngest turn
// gives way, keeps its KV in RAM, and goes on when there is room again.
#include "worker.h"

#include <algorithm>

namespace llama_sessions {

// Cells that a turn coming back needs beyond its own, so that it does not give way again at once.
static constexpr int headroom = 64;

void Worker::make_room() {
    if (!context_.unified()) return; // llama.cpp's streams can't run into each other
    unstow_what_fits();
    for (;;) {
        int wanted = 0; // one token each
        for (const Sequence& sequence : sequences_) wanted += sequence.turn && !sequence.is_stowed();
        const int missing = wanted - free_cells();
        if (missing <= 0 || ask_idle_ones(missing)) return;
        const llama_seq_id victim = youngest_turn();
        if (wanted == 1) return end_for_lack_of_room(victim);
        stow(victim);
    }
}

// Parking is not ours to do: it moves bytes to where only the layer above knows. True: there is somebody to park.
bool Worker::ask_idle_ones(int cells) {
    const bool any = std::any_of(sequences_.begin(), sequences_.end(),
                                 [](const Sequence& s) { return !s.turn && !s.tokens.empty(); });
    if (any && !asked_for_cells_) {
        events_.cells_wanted = cells;
        asked_for_cells_ = true;
    }
    return any;
}

llama_seq_id Worker::youngest_turn() const {
    llama_seq_id youngest = -1;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = sequences_[static_cast<size_t>(i)];
        if (!sequence.turn || sequence.is_stowed()) continue;
        if (youngest < 0 || sequence.turn->order > sequences_[static_cast<size_t>(youngest)].turn->order) youngest = i;
    }
    return youngest;
}

void Worker::stow(llama_seq_id sequence) {
    Sequence& victim = at(sequence);
    victim.stowed = context_.export_kv(sequence);
    context_.clear(sequence);
    count([](Counters& c) { c.stowed_turns++; });
}

// Oldest first, and nobody overtakes: a long turn must not wait for ever behind short ones.
void Worker::unstow_what_fits() {
    for (;;) {
        Sequence* oldest = nullptr;
        for (Sequence& sequence : sequences_) {
            if (sequence.is_stowed() && (!oldest || sequence.turn->order < oldest->turn->order)) oldest = &sequence;
        }
        if (!oldest) return;
        const auto tokens = static_cast<int>(oldest->tokens.size());
        const int missing = std::min(tokens + headroom, context_.cells()) - free_cells();
        if (missing > 0 && !take_back(missing, oldest->turn->order)) return;
        const auto id = static_cast<llama_seq_id>(oldest - sequences_.data());
        const Bytes kv = std::move(oldest->stowed);
        oldest->stowed = Bytes{};
        // Refused (which nothing known causes): the KV is only a cache, the tokens are decoded again.
        if (!context_.import_kv(id, tokens, kv.data.get(), kv.size, true)) oldest->tokens.clear();
    }
}

// Cells for a turn that gave way, from those who came after it: idle ones are asked, turns give way in their turn. False:
// not now; older turns have to end first, or somebody has to be parked.
bool Worker::take_back(int cells, uint64_t order) {
    int idle = 0, younger = 0;
    for (const Sequence& sequence : sequences_) {
        if (!sequence.turn) idle += sequence.cells();
        else if (sequence.turn->order > order) younger += sequence.cells();
    }
    if (cells > idle + younger) return false;
    if (ask_idle_ones(cells)) return false;
    const int enough = free_cells() + cells;
    while (free_cells() < enough) stow(youngest_turn());
    return true;
}

// One turn alone has taken the whole pool.
void Worker::end_for_lack_of_room(llama_seq_id sequence) {
    if (at(sequence).turn->generated() > 0) return finish(sequence, "length");
    finish(sequence, "error",
           Failure{"CONTEXT_FULL", "The KV pool of " + std::to_string(context_.cells()) +
                                       " tokens is full. Load the model with more contextTokens."});
}

} // namespace llama_sessions
