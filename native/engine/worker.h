// What the engine thread does: the sequences, their turns, and the steps that serve them together.
#pragma once

#include "aside.h"
#include "cell_ledger.h"
#include "context.h"
#include "draft_sizes.h"
#include "model.h"
#include "pace.h"
#include "scheduler.h"
#include "short_turns.h"
#include "thread_count.h"
#include "time_slice.h"
#include "turn.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace llama_sessions {

// What a step has to tell, for all sessions together (R10).
struct StepEvents {
    std::vector<PieceEvent> pieces;
    std::vector<EndEvent> ends;
    int cells_wanted = 0; // > 0: an idle sequence should be parked, so many cells are missing

    bool empty() const { return pieces.empty() && ends.empty() && cells_wanted == 0; }
};

// Requests that the step in flight serves, shared with the threads that cancel (R14).
class StepMembers {
  public:
    explicit StepMembers(std::atomic<bool>& abort) : abort_(abort) {}
    // Steps come to their end, whoever cancels.
    void never_abort();
    // gives_way: whoever arrives ends the step.
    void begin(std::set<uint32_t> requests, bool gives_way);
    void end();
    // Ends the step early when nobody in it is left, or the next one, when it comes between two. Any thread.
    void cancel(uint32_t request);
    // Somebody waits for this step to end. Any thread.
    void arrive();
    // Who has arrived is being looked after, and so is who has cancelled.
    void attend();

  private:
    std::mutex mutex_;
    std::set<uint32_t> requests_;
    std::set<uint32_t> cancelled_; // since attend()
    bool may_abort_ = true, gives_way_ = false, arrived_ = false;
    std::atomic<bool>& abort_;
};

// Lives and dies on the engine thread.
class Worker {
  public:
    Worker(std::shared_ptr<const Model> model, const ContextOptions& options, std::atomic<bool>& abort,
           StepMembers& members);

    const Context& context() const { return context_; }

    void begin(SubmitOptions options, std::unique_ptr<Sampler> sampler);
    // False: no such turn.
    bool cancel(uint32_t request);
    // Tells the end of a turn that was cancelled before it could begin.
    void end_before_beginning(const SubmitOptions& options, size_t kv_tokens);

    // KV, as lib/native.ts has it. Throw INTERNAL where a sequence is busy that must not be, or a range is not there.
    int adopt_prefix(llama_seq_id sequence, const Tokens& tokens);
    Bytes export_kv(llama_seq_id sequence, int from, int to);
    bool import_kv(llama_seq_id sequence, int from, const Tokens& tokens, const uint8_t* bytes, size_t size,
                   bool trusted);
    void clear(llama_seq_id sequence);
    // Until when turns that lack cells wait for somebody to be parked; nothing: they don't.
    std::optional<Clock::time_point> patient_until() const;
    // Of what an idle sequence holds, how much `tokens` begins with. 0 for a busy one.
    size_t common_prefix(llama_seq_id sequence, const Tokens& tokens) const;
    // Drops what an idle sequence holds beyond; leaves a busy one alone.
    void keep_only(llama_seq_id sequence, size_t tokens);

    // Every turn ends with this failure.
    void fail_all(const Failure& failure);

    bool busy() const;
    bool generating() const;
    // One decode for everybody, but for whoever is being read aside. False: nobody can go on before a command has come (turns
    // that wait for KV cells).
    bool step();
    // After a step, and after what it said has been told: goes on with a long prompt until the next one. False: there is none.
    bool read_aside();
    // Milliseconds that the last step took.
    double last_step_ms() const { return last_step_ms_; }
    // After a step: until `rest_until` a long prompt is read aside. It may be done earlier; `wake` is called then, from its
    // thread. No step comes before.
    bool resting() const { return aside_ && aside_->working() && Clock::now() < rest_until_; }
    Clock::time_point rest_until() const { return rest_until_; }
    void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }
    // Gives up the memory for long prompts when there have been none for a while.
    void forget_unused_aside();
    bool has_aside() const { return aside_ != nullptr; }
    StepEvents take_events();
    // Counters since the start; any thread.
    std::map<std::string, double> stats() const;

  private:
    struct Stowed { // KV of a turn that gave way
        Tokens tokens;
        Bytes kv;
    };
    struct Sequence {
        Tokens tokens; // what the KV holds, position by position
        std::unique_ptr<Turn> turn;
        std::vector<Stowed> stowed; // what comes behind `tokens`, the last one first
        int pending() const { return static_cast<int>(turn->target.size() - tokens.size()); }
        bool generating() const { return turn->generated() > 0 && pending() == 1; }
        bool takes_part() const { return turn && turn->admitted && !turn->follows; }
        size_t stowed_tokens() const;
    };
    struct Row { // of the batch: whose logits it holds; those of his draft come behind it
        llama_seq_id sequence;
        int index;
        std::vector<float*> logits;
        Tokens chosen;                  // each but the last as his draft foresaw it
        std::optional<Failure> failure; // of his sampler, behind those
    };

    Sequence& at(llama_seq_id sequence) { return sequences_[static_cast<size_t>(sequence)]; }
    const Sequence& at(llama_seq_id sequence) const { return sequences_[static_cast<size_t>(sequence)]; }
    // Those that have a turn, the oldest first.
    std::vector<llama_seq_id> by_age() const;

    // What the sequences hold (kv.cpp).
    Sequence& idle_sequence(llama_seq_id sequence);
    int free_cells() const;
    void append(llama_seq_id sequence, size_t upto);
    bool trim(llama_seq_id sequence, size_t keep);
    size_t share_longest(llama_seq_id sequence, const Tokens& tokens, size_t beyond, size_t most);
    Bytes copy_out(llama_seq_id sequence, int from, int to);
    bool copy_in(llama_seq_id sequence, const Tokens& tokens, const uint8_t* bytes, size_t size, bool trusted);

    // Turns that read the same prompt (follow.cpp).
    void reuse_kv(llama_seq_id sequence);
    std::optional<Following> find_leader(llama_seq_id sequence) const;
    void follow();

    // Who gets the KV cells (room.cpp).
    void make_room();
    void admit_what_fits();
    bool admit(llama_seq_id sequence);
    int promised_cells() const;
    bool ask_idle_ones(int cells);
    bool take_back(int cells, uint64_t order);
    size_t kept_when_stowed(llama_seq_id sequence) const;
    int taking_part() const;
    llama_seq_id next_to_give_way(int taking_part) const;
    void stow(llama_seq_id sequence);
    void bring_back(llama_seq_id sequence);
    void end_for_lack_of_room(llama_seq_id sequence);

    // Long prompts while others generate (long_prompts.cpp).
    llama_seq_id next_aside() const;
    int unread(llama_seq_id sequence) const;
    bool has_long_prompt(llama_seq_id sequence) const;
    bool is_aside(llama_seq_id sequence) const;
    bool is_ahead(llama_seq_id sequence) const;
    void hold_aside();
    bool aside_is_ready(int tokens);
    void make_aside(int tokens);
    void go_on_aside(llama_seq_id sequence);
    void catch_up_aside(llama_seq_id sequence);
    void bring_home(llama_seq_id sequence);
    bool bring_home_whoever_is_aside();
    void wait_patiently(bool patiently);
    double usual_step_ms() const;

    // Tokens that are guessed ahead (drafts.cpp).
    void draft(const std::vector<StepShare>& shares);
    int useful_tokens(const Turn& turn) const;
    void take_tokens(const Row& row);

    // A step (step.cpp).
    bool step_together();
    struct Burst {                // of turns that have begun together
        Clock::time_point before; // so early they must have come
        bool long_ones;
    };
    std::optional<Burst> burst() const;
    std::vector<StepShare> plan();
    std::vector<StepShare> plan(std::optional<Burst> together);
    std::vector<Row> fill_batch(const std::vector<StepShare>& shares);
    Context::Decoded decode(const std::vector<StepShare>& shares);
    void learn(int generating, int drafted, int prefilled, double milliseconds);
    void advance(const std::vector<StepShare>& shares);
    void resynchronise(const std::vector<StepShare>& shares);
    void choose_tokens(std::vector<Row>& rows);
    void take_token(llama_seq_id sequence, llama_token token);
    void tell(const Turn& turn, std::vector<SaidPart> parts);
    void finish(llama_seq_id sequence, const char* reason, std::optional<Failure> failure = std::nullopt);
    void fail_members(const std::vector<StepShare>& shares, const std::string& reason);

    std::shared_ptr<const Model> model_;
    ContextOptions options_;
    ThreadPool threads_;
    std::optional<ThreadPool> patient_threads_; // while somebody reads aside. Both outlive the context
    Context context_;
    StepMembers& members_;
    Pace pace_;
    DraftSizes draft_sizes_;
    bool may_draft_;
    ThreadCount thread_count_;
    std::vector<Sequence> sequences_;
    CellLedger ledger_;
    uint64_t next_order_ = 0;
    bool oldest_first_ = true;                  // of those who prefill, else who lacks least; by turns
    bool gives_way_ = false, gave_way_ = false; // the step, and the one before
    std::optional<Clock::time_point> asked_at_; // for cells, which have not changed since
    StepEvents events_;

    double last_step_ms_ = 0;

    bool may_read_aside_;
    std::unique_ptr<Aside> aside_;
    Clock::time_point aside_used_{}, no_aside_until_{};
    std::optional<ShortTurns> short_turns_;     // of those who read
    llama_seq_id reading_aside_ = -1;           // takes no part in the step
    bool patient_ = false;                      // which threads compute it
    TimeSlice time_slice_;                      // between two steps …
    Clock::time_point served_{}, rest_until_{}; // … from the end of the first on
    std::function<void()> wake_ = [] {};

    struct Counters {
        double steps = 0, generate_steps = 0, generated_sequences = 0, generated_tokens = 0, drafted_tokens = 0,
               accepted_tokens = 0, prefilled_tokens = 0, aside_tokens = 0, cached_tokens = 0, shared_tokens = 0,
               stowed_turns = 0, aborted_steps = 0, threads = 0, decode_ms = 0, sample_ms = 0, copy_ms = 0,
               copied_bytes = 0;
    };
    Counters counters_;
    mutable std::mutex counters_mutex_;
    template <class Change> void count(Change change) {
        std::lock_guard<std::mutex> lock(counters_mutex_);
        change(counters_);
    }
};

} // namespace llama_sessions
