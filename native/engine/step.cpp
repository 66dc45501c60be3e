// One decode for everybody: plan, fill, decode, choose a token for each, tell.
#include "worker.h"

#include <algorithm>

namespace llama_sessions {

// Tokens of a prompt that has the engine to itself. More are hardly faster, and attention over so many is one operation, which
// a cancel has to wait for.
static constexpr int most_alone = 512;

// What may be read before those speak on who have come together with it, in milliseconds of reading; and how long they are
// silent for long prompts that can't be read aside.
static constexpr double longest_burst_ms = 2000, longest_silence_ms = 5000;

bool Worker::step() {
    hold_aside();
    make_room();
    reading_aside_ = next_aside(); // and not in the steps of the others
    return step_together();
}

bool Worker::step_together() {
    const std::vector<StepShare> shares = plan();
    if (shares.empty()) return !events_.empty();
    draft(shares);

    std::vector<Row> rows = fill_batch(shares);
    if (decode(shares) != Context::Decoded::ok) return true;
    const Clock::time_point decoded = Clock::now();
    choose_tokens(rows);
    for (const Row& row : rows) take_tokens(row);
    count([&](Counters& c) { c.sample_ms += milliseconds(decoded, Clock::now()); });
    return true;
}

// Turns that begin together: who has his first token waits until the prompts of the others are read. In steps of those who speak
// that takes several times as long, and each who begins to speak makes them longer. Long prompts are left out if they take too
// long: they are read aside. Nothing: nobody speaks, others do already, or all is read.
std::optional<Worker::Burst> Worker::burst() const {
    Clock::time_point first = Clock::time_point::max();
    for (const Sequence& sequence : sequences_) {
        if (!sequence.takes_part() || !sequence.generating()) continue;
        if (sequence.turn->generated() > 1) return std::nullopt;
        first = std::min(first, sequence.turn->first_token);
    }
    if (first == Clock::time_point::max()) return std::nullopt;
    int unread = 0, in_short_ones = 0;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = at(i);
        if (!sequence.takes_part() || sequence.generating() || sequence.turn->submitted >= first) continue;
        unread += sequence.pending();
        if (!has_long_prompt(i)) in_short_ones += sequence.pending();
    }
    const bool late = Clock::now() > first + std::chrono::duration<double, std::milli>(longest_silence_ms);
    const bool long_ones = pace_.reading_ms(unread) <= longest_burst_ms || (!may_read_aside_ && !late);
    if ((long_ones ? unread : in_short_ones) == 0) return std::nullopt;
    return Burst{first, long_ones};
}

std::vector<StepShare> Worker::plan() {
    if (reading_aside_ < 0) { // else there is somebody who needs no step of his own
        const std::vector<StepShare> shares = plan(burst());
        if (!shares.empty()) return shares;
    }
    return plan(std::nullopt); // there may be room for those who speak alone
}

// together: they alone read, and nobody speaks.
std::vector<StepShare> Worker::plan(std::optional<Burst> together) {
    std::vector<StepCandidate> candidates;
    int generating = 0;
    for (llama_seq_id i = 0; i < context_.sequences(); i++) {
        const Sequence& sequence = at(i);
        if (!sequence.takes_part() || i == reading_aside_ || is_ahead(i)) continue;
        if (together && (sequence.generating() || sequence.turn->submitted >= together->before)) continue;
        if (together && !together->long_ones && has_long_prompt(i)) continue;
        candidates.push_back({i, sequence.turn->order, sequence.pending(), sequence.generating()});
        generating += sequence.generating();
    }
    StepLimits limits = {context_.batch_tokens(), free_cells(), 0};
    if (static_cast<int>(candidates.size()) > generating) limits.prefill_tokens = pace_.prefill_tokens(generating);
    // A prompt that has the engine to itself is read in steps as large as they are fast, which the next to arrive ends. After
    // that it has a short one that nobody ends: it must get somewhere.
    gives_way_ = generating == 0 && candidates.size() == 1 && context_.stateless() && !gave_way_;
    if (gives_way_) limits.prefill_tokens = std::max(limits.prefill_tokens, most_alone);
    return plan_step(candidates, limits, oldest_first_);
}

std::vector<Worker::Row> Worker::fill_batch(const std::vector<StepShare>& shares) {
    std::vector<Row> rows;
    const Clock::time_point now = Clock::now();
    context_.begin_batch();
    for (const StepShare& share : shares) {
        Sequence& sequence = at(share.sequence);
        Turn& turn = *sequence.turn;
        if (turn.started == Clock::time_point{}) turn.started = now;
        const size_t from = sequence.tokens.size(), to = from + static_cast<size_t>(share.tokens);
        const bool complete = to == turn.target.size();
        if (complete) rows.push_back({share.sequence, context_.batch_size() + share.tokens - 1, {}, {}, {}});
        for (size_t i = from; i < to; i++) {
            context_.add(turn.target[i], static_cast<int>(i), share.sequence, complete && i + 1 == to);
        }
        for (size_t i = 0; i < turn.draft.size(); i++) {
            context_.add(turn.draft[i], static_cast<int>(to + i), share.sequence, true);
        }
    }
    return rows;
}

Context::Decoded Worker::decode(const std::vector<StepShare>& shares) {
    std::set<uint32_t> requests;
    int generating = 0, drafted = 0;
    for (const StepShare& share : shares) {
        requests.insert(at(share.sequence).turn->request);
        generating += at(share.sequence).generating();
        drafted += static_cast<int>(at(share.sequence).turn->draft.size());
    }
    const int prefilled = context_.batch_size() - generating - drafted;

    members_.begin(std::move(requests), gives_way_);
    std::string reason;
    const Clock::time_point before = Clock::now();
    const Context::Decoded result = context_.decode(reason);
    const double took = last_step_ms_ = milliseconds(before, Clock::now());
    members_.end();
    gave_way_ = gives_way_ && result == Context::Decoded::aborted;

    switch (result) {
    case Context::Decoded::ok:
        if (prefilled > 0) oldest_first_ = !oldest_first_;
        advance(shares);
        learn(generating, drafted, prefilled, took);
        count([&](Counters& c) {
            c.steps++;
            c.generate_steps += generating > 0;
            c.generated_sequences += generating;
            c.prefilled_tokens += prefilled;
            c.threads = thread_count_.current();
            c.decode_ms += took;
        });
        break;
    case Context::Decoded::aborted: // by close, or for a command that is about to come
        count([](Counters& c) { c.aborted_steps++; });
        resynchronise(shares);
        break;
    case Context::Decoded::no_room: // our own count of cells says otherwise: somebody has to leave all the same
        if (drafted > 0) may_draft_ = false;
        else if (const llama_seq_id victim = next_to_give_way(taking_part()); victim >= 0) stow(victim);
        else end_for_lack_of_room(shares[0].sequence);
        break;
    case Context::Decoded::failed: fail_members(shares, reason); break;
    }
    return result;
}

void Worker::learn(int generating, int drafted, int prefilled, double milliseconds) {
    if (drafted == 0) pace_.record(generating, prefilled, milliseconds);
    if (reading_aside_ >= 0) return;
    if (generating > 0 && prefilled > 0) return; // no two such steps are alike
    if (generating > 0) draft_sizes_.record(generating, drafted, milliseconds);
    const int shape = generating > 0 ? generating : ThreadCount::shape_of_prompt(prefilled);
    const double part = generating > 0 ? draft_sizes_.times_plain(generating, drafted) : prefilled;
    if (drafted > 0 && part == 0) return;
    const int before = thread_count_.current();
    thread_count_.record(shape, part > 0 ? milliseconds / part : milliseconds, Clock::now());
    if (thread_count_.current() != before) context_.use_threads(thread_count_.current());
}

void Worker::advance(const std::vector<StepShare>& shares) {
    for (const StepShare& share : shares) {
        append(share.sequence, at(share.sequence).tokens.size() + static_cast<size_t>(share.tokens));
    }
    follow(); // before anybody ends, and lets go of what others wait for
}

// An aborted step leaves some of its micro-batches in the KV. What is there is a prefix of what was asked for; a memory
// with a state (recurrent models) may be half computed, and begins anew.
void Worker::resynchronise(const std::vector<StepShare>& shares) {
    for (const StepShare& share : shares) {
        trim(share.sequence, at(share.sequence).tokens.size());
    }
}

void Worker::fail_members(const std::vector<StepShare>& shares, const std::string& reason) {
    if (!context_.stateless()) { // others' state may have been moved half-way: they compute it again
        for (llama_seq_id i = 0; i < context_.sequences(); i++) trim(i, 0);
    }
    for (const StepShare& share : shares) {
        trim(share.sequence, 0);
        finish(share.sequence, "error",
               Failure{"DECODE_FAILED", "llama.cpp failed in a step: " + reason + " The session can be used again."});
    }
}

// Rows are long, and each is looked through by a sampler of its own: side by side. A sampler goes on from a drafted token to the
// next only where it has chosen that one itself: its draws, penalties and grammar see nothing but the reply.
void Worker::choose_tokens(std::vector<Row>& rows) {
    for (Row& row : rows) {
        const auto count = static_cast<int>(at(row.sequence).turn->draft.size()) + 1;
        for (int i = 0; i < count; i++) row.logits.push_back(context_.logits(row.index + i));
    }
    const auto choose = [&](int i) {
        Row& row = rows[static_cast<size_t>(i)];
        const Turn& turn = *at(row.sequence).turn;
        try {
            for (size_t ahead = 0;; ahead++) {
                row.chosen.push_back(turn.sampler->sample(row.logits[ahead]));
                if (ahead == turn.draft.size() || row.chosen.back() != turn.draft[ahead]) return;
            }
        } catch (...) {
            row.failure = current_failure();
        }
    };
    (patient_ ? *patient_threads_ : threads_).each(static_cast<int>(rows.size()), thread_count_.current(), choose);
}

void Worker::take_token(llama_seq_id id, llama_token token) {
    Turn& turn = *at(id).turn;
    turn.last_token = Clock::now();
    if (turn.generated() == 0) turn.first_token = turn.last_token;
    if (model_->ends_generation(token)) return finish(id, "stop");

    turn.target.push_back(token);
    count([](Counters& c) { c.generated_tokens++; });
    std::string text;
    Tokens tokens;
    const std::string piece = model_->piece(token, turn.reader.writes_out(token));
    const bool stopped = turn.text.push(token, piece, text, tokens);
    if (!text.empty() || !tokens.empty()) {
        turn.told.insert(turn.told.end(), tokens.begin(), tokens.end());
        tell(turn, turn.reader.push(std::move(text), std::move(tokens)));
    }
    if (stopped) return finish(id, "stopSequence");
    const bool full = turn.target.size() >= static_cast<size_t>(context_.session_tokens());
    if (full || turn.generated() >= static_cast<size_t>(turn.max_tokens)) finish(id, "length");
}

void Worker::tell(const Turn& turn, std::vector<SaidPart> parts) {
    for (SaidPart& part : parts) events_.pieces.push_back({turn.request, std::move(part)});
}

void Worker::finish(llama_seq_id id, const char* reason, std::optional<Failure> failure) {
    Sequence& sequence = at(id);
    const std::unique_ptr<Turn> turn = std::move(sequence.turn);
    if (aside_ && aside_->turn() == turn->order) aside_->abandon();
    sequence.stowed.clear();
    if (turn->admitted) follow(); // those who have followed it, while its KV is there
    asked_at_.reset();

    const std::string why = reason;
    std::string text;
    Tokens tokens;
    if (why == "stopSequence") { // what is held back then is the stop string, which nobody is told
        const size_t said = turn->target.size() - turn->text.held();
        if (sequence.tokens.size() > said) trim(id, said);
    } else {
        turn->text.finish(text, tokens);
    }
    turn->told.insert(turn->told.end(), tokens.begin(), tokens.end());
    tell(*turn, turn->reader.finish(std::move(text), std::move(tokens), why == "stop"));
    const bool ran = turn->started != Clock::time_point{}, spoke = turn->first_token != Clock::time_point{};
    events_.ends.push_back(
        {turn->request, reason, std::move(failure), static_cast<int>(turn->prompt_tokens),
         static_cast<int>(turn->cached_tokens), static_cast<int>(turn->generated()),
         static_cast<int>(sequence.tokens.size()), ran ? milliseconds(turn->submitted, turn->started) : 0,
         spoke ? milliseconds(turn->started, turn->first_token) : 0,
         spoke ? milliseconds(turn->submitted, turn->first_token) : 0,
         spoke ? milliseconds(turn->first_token, turn->last_token) : 0, static_cast<int>(turn->drafted_tokens),
         static_cast<int>(turn->accepted_tokens), turn->reader.text(), turn->reader.reasoning(),
         turn->reader.tool_calls(), std::move(turn->told)});
}

} // namespace llama_sessions
