// Tokens that are guessed ahead and read along: where a reply quotes what was said before, one step brings several of its
// tokens. Each is still chosen by the session's own sampler, from the logits that follow what was really said: nothing changes
// but the time.
#include "worker.h"

#include <algorithm>
#include <cassert>

namespace llama_sessions {

// Gives the turns of the step their drafts. None while somebody prefills: such steps are as long as they may be.
void Worker::draft(const std::vector<StepShare>& shares) {
    for (const StepShare& share : shares) at(share.sequence).turn->draft.clear(); // of a step that was aborted
    const int rows = std::min({DraftSizes::most_rows, context_.draft_rows(), free_cells()});
    const bool prefill = std::any_of(sequences_.begin(), sequences_.end(),
                                     [](const Sequence& s) { return s.takes_part() && !s.generating(); });
    if (!may_draft_ || prefill || static_cast<int>(shares.size()) >= rows) return;

    std::vector<std::vector<double>> chances;
    for (const StepShare& share : shares) {
        Turn& turn = *at(share.sequence).turn;
        turn.lookup.read(turn.target, turn.prompt_tokens);
        std::vector<double>& of_this = chances.emplace_back();
        const int most = turn.lookup.ready() ? std::min(rows, useful_tokens(turn)) : 0;
        for (int i = 0; i < most; i++) of_this.push_back(turn.lookup.chance(i));
    }
    const std::vector<int> counts = draft_sizes_.plan(chances, rows);
    for (size_t i = 0; i < shares.size(); i++) {
        Turn& turn = *at(shares[i].sequence).turn;
        turn.draft = turn.lookup.draft(turn.target, counts[i]);
    }
}

// Of a draft: the step's own token comes behind what was accepted.
int Worker::useful_tokens(const Turn& turn) const {
    const auto until_full = static_cast<int>(context_.session_tokens() - turn.target.size());
    return std::max(0, std::min(until_full, turn.max_tokens - static_cast<int>(turn.generated())) - 1);
}

// What the row's sampler has chosen becomes part of the reply, until that ends. What was read in vain leaves the KV.
void Worker::take_tokens(const Row& row) {
    Sequence& sequence = at(row.sequence);
    Tokens draft;
    draft.swap(sequence.turn->draft);
    sequence.turn->drafted_tokens += draft.size();
    std::optional<Failure> failure = row.failure;
    size_t accepted = 0;
    try {
        for (size_t i = 0; i < row.chosen.size() && sequence.turn; i++) {
            const bool foreseen = i < draft.size() && row.chosen[i] == draft[i];
            accepted += foreseen;
            sequence.turn->accepted_tokens += foreseen;
            take_token(row.sequence, row.chosen[i]);
            if (foreseen && sequence.turn) append(row.sequence, sequence.tokens.size() + 1);
        }
    } catch (...) { // of this turn, and of no other
        failure = current_failure();
    }
    if (failure && sequence.turn) finish(row.sequence, "error", failure);
    if (draft.empty()) return;
    count([&](Counters& c) {
        c.drafted_tokens += static_cast<double>(draft.size());
        c.accepted_tokens += static_cast<double>(accepted);
    });
    trim(row.sequence, sequence.tokens.size());
    assert(context_.length(row.sequence) == static_cast<int>(sequence.tokens.size()));
    assert(ledger_.length(row.sequence) == context_.length(row.sequence));
    if (sequence.turn) sequence.turn->lookup.tell(static_cast<int>(draft.size()), static_cast<int>(accepted));
}

} // namespace llama_sessions
