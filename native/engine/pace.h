// How many prompt tokens a step may carry, so that it stays short: learnt from how long the last steps took.
#pragma once

#include <array>

namespace llama_sessions {

// ggml's attention on CPUs takes so many tokens of a sequence at once (GGML_FA_TILE_Q): fewer go one by one, and a few more take as
// long as twice as many.
inline constexpr int attention_tile = 64;

class Pace {
  public:
    // batch_tokens: most tokens in one step.
    explicit Pace(int batch_tokens) : batch_tokens_(batch_tokens) {}

    // Prompt tokens for a step in which `generating` sequences generate; 0: measure a step without. Asked only when
    // there are prompts to read.
    int prefill_tokens(int generating);
    // What a step in which so many generate, and nobody prefills, usually takes; 0: none was seen.
    double usual_ms(int generating) const { return nearest(usual_ms_, generating, any); }
    // What so many prompt tokens take while nobody generates; 0: not known yet.
    double reading_ms(int tokens) const { return alone_ms_ * tokens; }
    // What a step of so many tokens took, in milliseconds.
    void record(int generating, int prefilled, double milliseconds);

  private:
    // Steps that only generate, smoothed, by the number of sequences in them (0: never seen).
    using StepTimes = std::array<double, 257>;
    static constexpr int any = 256;
    static double nearest(const StepTimes& times, int generating, int farthest);

    int batch_tokens_;
    StepTimes usual_ms_{};   // while nobody prefills: what those who generate are used to
    StepTimes present_ms_{}; // in the middle of a prefill too, whose cells make these steps longer
    double prefill_ms_ = 0;  // one prompt token in a step that also generates, smoothed
    double alone_ms_ = 0;    // one prompt token in a step that only prefills, smoothed
    bool measuring_ = false;
    int mixed_steps_ = 0;   // since a step that only generates was measured
    int measure_after_ = 4; // so many of them; the first measures are of a cold machine, and are soon replaced
};

} // namespace llama_sessions
