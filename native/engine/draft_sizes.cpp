#include "draft_sizes.h"

#include <algorithm>

namespace llama_sessions {

// Steps of few different sizes: llama.cpp uses the compute graph of the last step again when its size is the same, and its
// matrix multiplication reads four rows at once.
static constexpr int rows_apart = 4;
// Before a size was measured: what a row more costs, as a part of the step without drafts. Too little, so that it is tried.
static constexpr double row_guess = 0.08;
// Below that, drafts are not worth what is not measured here (steps that differ in size, longer gaps between pieces).
static constexpr double least_gain = 1.05;
// So many steps later a measure is worth nothing: histories have grown, other programs have come and gone.
static constexpr uint64_t forgotten_after = 512;
// The first one is of a graph that was just built, and maybe of a machine that did something else.
static constexpr int least_measures = 2;

// The sequence whose next token is the likeliest to be of use; -1: nobody could use one more.
static int best_of(const std::vector<std::vector<double>>& chances, const std::vector<int>& counts,
                   const std::vector<double>& reached) {
    int best = -1;
    double most = 0;
    for (size_t i = 0; i < chances.size(); i++) {
        const auto next = static_cast<size_t>(counts[i]);
        if (next == chances[i].size() || reached[i] * chances[i][next] <= most) continue;
        best = static_cast<int>(i);
        most = reached[i] * chances[i][next];
    }
    return best;
}

std::vector<int> DraftSizes::plan(const std::vector<std::vector<double>>& chances, int rows) const {
    const auto generating = static_cast<int>(chances.size());
    std::vector<int> counts(chances.size()), best = counts;
    const double plain_ms = known_ms(generating, generating);
    if (plain_ms == 0) return best; // to be measured first

    double best_rate = least_gain * generating / plain_ms;
    double expected = generating;                     // tokens that the step brings
    std::vector<double> reached(chances.size(), 1.0); // how likely all of a draft so far is right
    double ms = plain_ms, ms_per_row = plain_ms * row_guess;
    for (int size = generating + 1; size <= std::min(rows, most_rows); size++) {
        const int next = best_of(chances, counts, reached);
        if (next < 0) break;
        const auto i = static_cast<size_t>(next);
        reached[i] *= chances[i][static_cast<size_t>(counts[i]++)];
        expected += reached[i];
        ms += ms_per_row;
        if (size % rows_apart != 0) continue;
        if (const double known = known_ms(generating, size)) {
            ms = known;
            ms_per_row = std::max(0.0, (known - plain_ms) / (size - generating)); // a guess for those beyond
        }
        if (expected / ms <= best_rate) continue;
        best_rate = expected / ms;
        best = counts;
    }
    return best;
}

void DraftSizes::record(int generating, int drafted, double milliseconds) {
    steps_++;
    if (generating >= most_rows) return; // never any drafts
    Time& time = times_[{generating, generating + drafted}];
    if (steps_ - time.last > forgotten_after) time = {};
    time.last = steps_;
    if (++time.measures <= least_measures) {
        time.ms = time.measures == 1 ? milliseconds : std::min(time.ms, milliseconds);
    } else { // one step that the machine held up must not count for many
        time.ms = 0.7 * time.ms + 0.3 * std::min(milliseconds, 2 * time.ms);
    }
}

double DraftSizes::times_plain(int generating, int drafted) const {
    const double plain_ms = known_ms(generating, generating), ms = known_ms(generating, generating + drafted);
    const double rows = static_cast<double>(generating + drafted) / generating;
    return plain_ms > 0 && ms > 0 ? std::clamp(ms / plain_ms, 1.0, rows) : 0; // beyond that it was held up
}

// 0: not known, or not any more.
double DraftSizes::known_ms(int generating, int rows) const {
    const auto found = times_.find({generating, rows});
    if (found == times_.end()) return 0;
    const Time& time = found->second;
    return time.measures >= least_measures && steps_ - time.last <= forgotten_after ? time.ms : 0;
}

} // namespace llama_sessions
