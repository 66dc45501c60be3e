// What the KV of the sequences holds: every change goes through here, so that tokens, cells and llama.cpp agree.
#include "worker.h"

#include "prefix.h"

#include <algorithm>

namespace llama_sessions {

Worker::Sequence& Worker::idle_sequence(llama_seq_id sequence) {
    context_.check(sequence);
    if (at(sequence).turn) throw Error("INTERNAL", "Sequence " + std::to_string(sequence) + " is busy.");
    return at(sequence);
}

// Streams have their own cells each: there the length of a session is the only limit.
int Worker::free_cells() const {
    return context_.unified() ? context_.cells() - ledger_.used() : context_.session_tokens();
}

// After a decode: the KV has caught up with so many tokens of the turn.
void Worker::append(llama_seq_id id, size_t upto) {
    Sequence& sequence = at(id);
    const auto begin = sequence.turn->target.begin();
    ledger_.append(id, static_cast<int>(upto - sequence.tokens.size()));
    sequence.tokens.insert(sequence.tokens.end(), begin + static_cast<std::ptrdiff_t>(sequence.tokens.size()),
                           begin + static_cast<std::ptrdiff_t>(upto));
}

// False: this kind of memory can't, and the sequence is empty now. llama.cpp is asked even where nothing is too much: an
// aborted step may have left there what we never counted.
bool Worker::trim(llama_seq_id id, size_t keep) {
    const bool trimmed = context_.trim(id, static_cast<int>(keep));
    if (!trimmed) keep = 0;
    at(id).tokens.resize(keep);
    ledger_.trim(id, static_cast<int>(keep));
    return trimmed;
}

// Looks for another sequence whose KV holds more than `beyond` of the tokens, at most `most`, and shares its cells. Returns
// how many it holds then; 0: nobody holds more.
size_t Worker::share_longest(llama_seq_id id, const Tokens& tokens, size_t beyond, size_t most) {
    llama_seq_id source = -1;
    size_t best = beyond;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        if (i == id) continue;
        const size_t length = longer_prefix(at(i).tokens, tokens, best, most);
        if (length == 0 || !context_.can_share(i, static_cast<int>(length))) continue;
        source = i;
        best = length;
    }
    if (source < 0) return 0;
    const double gained = static_cast<double>(best - common_length(at(id).tokens, tokens, best));
    context_.share(source, id, static_cast<int>(best));
    ledger_.share(source, id, static_cast<int>(best));
    at(id).tokens.assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(best));
    count([&](Counters& c) { c.shared_tokens += gained; });
    return best;
}

int Worker::adopt_prefix(llama_seq_id id, const Tokens& tokens) {
    Sequence& sequence = idle_sequence(id);
    const size_t own = common_length(sequence.tokens, tokens, tokens.size());
    if (!share_longest(id, tokens, own, tokens.size())) trim(id, own);
    asked_at_.reset();
    return static_cast<int>(sequence.tokens.size());
}

Bytes Worker::export_kv(llama_seq_id id, int from, int to) {
    if (!context_.pages()) idle_sequence(id);
    return copy_out(id, from, to);
}

bool Worker::import_kv(llama_seq_id id, int from, const Tokens& tokens, const uint8_t* bytes, size_t size,
                       bool trusted) {
    Sequence& sequence = idle_sequence(id);
    if (from < 0 || (from > 0 && !context_.pages())) throw Error("INTERNAL", "KV can't be put there.");
    const auto before = static_cast<size_t>(from), after = before + tokens.size();
    if (before > sequence.tokens.size()) return false; // the import that should have come before was refused
    trim(id, before);
    asked_at_.reset();
    if (tokens.empty() || after > static_cast<size_t>(context_.session_tokens())) return false;
    if (!std::all_of(tokens.begin(), tokens.end(), [this](llama_token token) { return model_->valid(token); })) {
        return false;
    }
    Tokens all = sequence.tokens;
    all.insert(all.end(), tokens.begin(), tokens.end());
    if (share_longest(id, all, after - 1, after)) return true;
    return copy_in(id, tokens, bytes, size, trusted);
}

Bytes Worker::copy_out(llama_seq_id id, int from, int to) {
    const Clock::time_point start = Clock::now();
    Bytes bytes = context_.export_kv(id, from, to);
    count([&](Counters& c) {
        c.copy_ms += milliseconds(start, Clock::now());
        c.copied_bytes += static_cast<double>(bytes.size);
    });
    return bytes;
}

// Behind what the sequence holds. False: no room, or refused; it holds what it held.
bool Worker::copy_in(llama_seq_id id, const Tokens& tokens, const uint8_t* bytes, size_t size, bool trusted) {
    Sequence& sequence = at(id);
    const auto from = static_cast<int>(sequence.tokens.size()), added = static_cast<int>(tokens.size());
    if (added > free_cells()) return false;
    const Clock::time_point start = Clock::now();
    const bool taken = context_.import_kv(id, from, added, bytes, size, trusted);
    if (taken) {
        sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
        ledger_.append(id, added);
    }
    count([&](Counters& c) {
        c.copy_ms += milliseconds(start, Clock::now());
        c.copied_bytes += taken ? static_cast<double>(size) : 0;
    });
    return taken;
}

void Worker::clear(llama_seq_id id) {
    idle_sequence(id);
    trim(id, 0);
    asked_at_.reset();
}

size_t Worker::common_prefix(llama_seq_id id, const Tokens& tokens) const {
    if (id < 0 || id >= context_.sequences() || at(id).turn) return 0;
    return common_length(at(id).tokens, tokens, tokens.size());
}

void Worker::keep_only(llama_seq_id id, size_t tokens) {
    if (id < 0 || id >= context_.sequences() || at(id).turn || at(id).tokens.size() <= tokens) return;
    trim(id, tokens);
    asked_at_.reset();
}

} // namespace llama_sessions
