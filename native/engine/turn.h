// One reply in the making, on the engine thread.
#pragma once

#include "error.h"
#include "prompt_lookup.h"
#include "reply_reader.h"
#include "sampling.h"
#include "stop.h"
#include "utf8.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llama_sessions {

using Clock = std::chrono::steady_clock;

inline double milliseconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

struct SubmitOptions {
    uint32_t request = 0; // the caller's number for it
    llama_seq_id sequence = 0;
    Tokens tokens; // the whole prompt
    int max_tokens = 0;
    std::vector<std::string> stop;
    SamplingOptions sampling;
    std::shared_ptr<const ReplyFormat> format;  // of the reply; none: text
    Clock::time_point submitted = Clock::now(); // a command may wait for a step before it is worked off
};

struct PieceEvent {
    uint32_t request;
    SaidPart said;
};

struct EndEvent {
    uint32_t request;
    const char* reason; // stop, length, stopSequence, cancelled, error
    std::optional<Failure> failure;
    int prompt_tokens, cached_tokens, generated_tokens, kv_tokens;
    double wait_ms, prefill_ms, first_token_ms, generate_ms;
    int drafted_tokens = 0, accepted_tokens = 0;
    std::string text{}, reasoning{}; // of all its pieces
    std::vector<ToolCall> tool_calls{};
    Tokens tokens{}; // of its pieces
};

// Text of the reply on its way out: whole characters, nothing that may turn out to be part of a stop string. A token
// leaves with the text that it ends in, so that tokens and text always tell the same story.
class ReplyText {
  public:
    explicit ReplyText(std::vector<std::string> stop) : stop_(std::move(stop)) {}
    // True: a stop string was found. What left is in `text` and `tokens`.
    bool push(llama_token token, const std::string& piece, std::string& text, Tokens& tokens);
    void finish(std::string& text, Tokens& tokens);
    // Tokens that have not left.
    size_t held() const { return held_.size(); }

  private:
    void release(size_t bytes, Tokens& tokens);

    struct Held {
        llama_token token;
        size_t end; // of its bytes, counted from the start of what is held
    };
    Utf8Stream utf8_;
    StopStrings stop_;
    std::vector<Held> held_;
    size_t held_bytes_ = 0;
};

// A turn does not read what an older one is just reading: it waits, and shares the cells.
struct Following {
    llama_seq_id leader;
    uint64_t order; // of the leader's turn
    size_t until;   // tokens that both prompts begin with
};

struct Turn {
    Turn(SubmitOptions options, std::unique_ptr<Sampler> sampler, uint64_t order)
        : request(options.request), submitted(options.submitted), order(order), target(std::move(options.tokens)),
          prompt_tokens(target.size()), max_tokens(options.max_tokens), sampler(std::move(sampler)),
          text(std::move(options.stop)), reader(std::move(options.format)) {}

    uint32_t request;
    Clock::time_point submitted;
    uint64_t order; // of arrival: under pressure the youngest gives way
    Tokens target;  // the prompt, then what was generated; the KV catches up with it
    size_t prompt_tokens;
    int max_tokens;
    std::unique_ptr<Sampler> sampler;
    ReplyText text;
    ReplyReader reader; // of what has left there
    Tokens told;        // of it

    bool admitted = false; // takes part in steps; until then it waits for cells
    std::optional<Following> follows;
    size_t cached_tokens = 0; // of the prompt, that it had not to read
    Clock::time_point started{}, first_token{}, last_token{};

    PromptLookup lookup;
    Tokens draft; // of the step that is being made
    size_t drafted_tokens = 0, accepted_tokens = 0;

    size_t generated() const { return target.size() - prompt_tokens; }
};

} // namespace llama_sessions
