// A pool that is full fails nobody. Turns wait until there is room for them; idle sequences are parked by the layer above;
// when all are busy, the youngest turn gives way, keeps its KV in RAM, and waits to come back like a new one.
#include "worker.h"

#include "admission.h"

#include <algorithm>

namespace llama_sessions {

// Turns that lack cells wait so long for somebody to be parked; then the youngest gives way.
static constexpr std::chrono::milliseconds patience(200);

void Worker::make_room() {
    follow();
    admit_what_fits();
    if (!context_.unified()) return; // llama.cpp's streams can't run into each other
    for (;;) {
        const int missing = taking_part() - free_cells(); // one token each
        if (missing <= 0) return;
        const bool idle_ones = ask_idle_ones(missing);
        if (idle_ones && patient_until()) return;
        const llama_seq_id victim = next_to_give_way(taking_part());
        if (victim >= 0) {
            stow(victim);
            continue;
        }
        if (idle_ones) return; // they will have a turn, or be parked
        const auto last =
            std::find_if(sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.takes_part(); });
        return end_for_lack_of_room(static_cast<llama_seq_id>(last - sequences_.begin()));
    }
}

// Oldest first, and nobody overtakes: a long turn must not wait for ever behind short ones.
void Worker::admit_what_fits() {
    for (const llama_seq_id id : by_age()) {
        if (!at(id).turn->admitted && !admit(id)) return;
    }
}

bool Worker::admit(llama_seq_id id) {
    Sequence& sequence = at(id);
    Turn& turn = *sequence.turn;
    const bool busy =
        std::any_of(sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.turn && s.turn->admitted; });
    reuse_kv(id); // before somebody is asked to park what it could have
    const std::optional<Following> follows = find_leader(id);
    if (context_.unified()) {
        const auto in_ram = static_cast<int>(sequence.stowed_tokens());
        const int coming = follows ? static_cast<int>(follows->until - sequence.tokens.size()) - in_ram : 0;
        const Waiting waiting = {ledger_.length(id), in_ram, sequence.pending() - coming};
        const int lacking = cells_lacking(waiting, {context_.cells(), free_cells(), promised_cells(), busy});
        if (lacking > 0 && !take_back(lacking, turn.order)) return false;
    }
    bring_back(id);
    turn.admitted = true;
    turn.follows = follows;
    if (!busy && sequence.pending() > free_cells()) ask_idle_ones(sequence.pending() - free_cells());
    return true;
}

// What those who were let in have not read yet, but for what they will share.
int Worker::promised_cells() const {
    int promised = 0;
    for (const Sequence& sequence : sequences_) {
        if (!sequence.turn || !sequence.turn->admitted) continue;
        promised += sequence.pending();
        if (sequence.turn->follows)
            promised -= static_cast<int>(sequence.turn->follows->until - sequence.tokens.size());
    }
    return promised;
}

// Parking is not ours to do: it moves bytes to where only the layer above knows. True: somebody idle holds what others need.
bool Worker::ask_idle_ones(int cells) {
    bool any = false;
    std::vector<int> others; // whose cells are free when all of them have gone
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = at(i);
        if (sequence.tokens.empty() || sequence.takes_part()) continue;
        others.push_back(i);
        any = any || !sequence.turn;
    }
    any = any && ledger_.held_only_by(others) > 0;
    if (any && !asked_at_) {
        events_.cells_wanted = cells;
        asked_at_ = Clock::now();
    }
    return any;
}

// Not for ever: who is idle here may be on its way back from a store that hangs.
std::optional<Clock::time_point> Worker::patient_until() const {
    if (!asked_at_ || *asked_at_ + patience <= Clock::now()) return std::nullopt;
    return *asked_at_ + patience;
}

// Cells for a turn that waits, from those who came after it: idle ones are asked, turns give way in their turn. False: not
// now; older turns have to end first, or somebody has to be parked.
bool Worker::take_back(int cells, uint64_t order) {
    std::vector<int> others;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = at(i);
        if (!sequence.tokens.empty() && (!sequence.turn || sequence.turn->order > order)) others.push_back(i);
    }
    if (others.empty() || ledger_.held_only_by(others) < cells) return false;
    if (ask_idle_ones(cells) && patient_until()) return false;
    const int enough = free_cells() + cells;
    while (free_cells() < enough) {
        const llama_seq_id victim = next_to_give_way(2);
        if (victim < 0 || at(victim).turn->order <= order) return false;
        stow(victim);
    }
    return true;
}

// Cells that idle sequences or older turns hold too are not freed by giving them up: they stay.
size_t Worker::kept_when_stowed(llama_seq_id id) const {
    if (!context_.pages()) return 0;
    int kept = 0;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& other = at(i);
        if (i == id || (other.turn && other.turn->order > at(id).turn->order)) continue;
        kept = std::max(kept, ledger_.common(i, id));
    }
    return static_cast<size_t>(kept);
}

int Worker::taking_part() const {
    return static_cast<int>(
        std::count_if(sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.takes_part(); }));
}

// The youngest turn that takes part or holds what could be free; -1: nobody but the only one that takes part.
llama_seq_id Worker::next_to_give_way(int taking_part) const {
    const std::vector<llama_seq_id> turns = by_age();
    for (auto id = turns.rbegin(); id != turns.rend(); ++id) {
        const Sequence& sequence = at(*id);
        if (sequence.takes_part() ? taking_part > 1 : kept_when_stowed(*id) < sequence.tokens.size()) return *id;
    }
    return -1;
}

void Worker::stow(llama_seq_id id) {
    Sequence& sequence = at(id);
    const size_t keep = kept_when_stowed(id), held = sequence.tokens.size();
    if (keep < held) {
        Stowed part;
        part.tokens.assign(sequence.tokens.begin() + static_cast<std::ptrdiff_t>(keep), sequence.tokens.end());
        part.kv = copy_out(id, static_cast<int>(keep), static_cast<int>(held));
        sequence.stowed.push_back(std::move(part));
        trim(id, keep);
    }
    sequence.turn->admitted = false;
    sequence.turn->follows.reset();
    count([](Counters& c) { c.stowed_turns++; });
}

// Refused (which nothing known causes): the KV is only a cache, the tokens are decoded again.
void Worker::bring_back(llama_seq_id id) {
    Sequence& sequence = at(id);
    while (!sequence.stowed.empty()) {
        const Stowed part = std::move(sequence.stowed.back());
        sequence.stowed.pop_back();
        if (!copy_in(id, part.tokens, part.kv.data.get(), part.kv.size, true)) sequence.stowed.clear();
    }
}

// One turn alone has taken the whole pool.
void Worker::end_for_lack_of_room(llama_seq_id sequence) {
    if (at(sequence).turn->generated() > 0) return finish(sequence, "length");
    finish(sequence, "error",
           Failure{"CONTEXT_FULL", "The KV pool of " + std::to_string(context_.cells()) +
                                       " tokens is full. Load the model with more contextTokens."});
}

} // namespace llama_sessions
