// Reads a long prompt beside those who generate: in a context of its own, whose computation pauses between two operations of
// the graph, so that their steps run in between. A prompt that is read in large parts is read fast; in one context with the
// others, large parts would keep them waiting. Engine thread only.
#pragma once

#include "context.h"
#include "turn.h"

#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

namespace llama_sessions {

class Aside {
  public:
    // What the others do in a pause. False: the reading ends here.
    using Interlude = std::function<bool()>;

    // Tokens that are read at once: the weights are read for all of them together, and 256 are nearly as fast as 512. From 64
    // on ggml's attention works on tiles, which is 2.7 times faster than row by row.
    static constexpr int most_at_once = 256, least_at_once = 64;

    // tokens: of the longest prompt that it takes. Throws OUT_OF_MEMORY. Any thread.
    Aside(std::shared_ptr<const Model> model, ContextOptions options, ThreadPool& threads, int tokens);

    int capacity() const { return context_.session_tokens(); }
    void use_threads(int count) { context_.use_threads(count); }

    // Whose tokens it holds, and how many: of a turn, by its order. It may be ahead of what everybody else has.
    uint64_t turn() const { return turn_; }
    int held() const { return held_; }
    void begin(uint64_t turn);
    // Takes KV of the next tokens. False: refused.
    bool take(int tokens, const Bytes& kv);
    Bytes kv(int from, int to) { return context_.export_kv(0, from, to); }
    // The time from a step of the others to the next pause.
    void use_slice(double milliseconds) { slice_ms_ = milliseconds; }
    double slice_ms() const { return slice_ms_; }
    // How many of the tokens that are left to read next, so that no single operation takes longer than the slice, if possible.
    int at_once(int left) const;
    // Reads these tokens behind those that it holds. False: it failed, or an interlude has ended it.
    bool read(const Tokens& tokens, const Interlude& interlude);
    // A pause, if the slice is over. False: the interlude ends what is being done.
    bool pause_if_due(const Interlude& interlude);
    // Whether an interlude has ended the last reading.
    bool ended() const { return ended_; }
    // The others have just had a step. Returns the milliseconds since the one before.
    double others_served();

  private:
    static bool on_operation(ggml_tensor* operation, bool ask, void* self);
    void pause();
    bool before(const ggml_tensor& operation);
    bool after(const ggml_tensor& operation);

    std::atomic<bool> never_{false};
    std::shared_ptr<const Model> model_;
    Context context_;
    uint64_t turn_ = UINT64_MAX;
    int held_ = 0;

    double slice_ms_ = 0;
    const Interlude* interlude_ = nullptr;
    bool ended_ = false;
    Clock::time_point served_ = Clock::now();

    // What operations take, by their kind and the sizes of what they multiply, from when they were computed last.
    using Kind = std::tuple<ggml_op, int64_t, int64_t>;
    std::map<Kind, double> expected_ms_;
    double attention_ms_per_token_ = 0;
    // Those that are computed together, without a stop in between: each stop costs some ten microseconds.
    std::vector<double*> group_;
    double group_ms_ = 0; // expected
    Clock::time_point group_began_{};
};

} // namespace llama_sessions
