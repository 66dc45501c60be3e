// How long a prompt may be read between two steps of those who generate: told how long they waited, says how much of what they
// may wait is left for it. On a quiet machine that is most; where steps are held up now and then, less. Pure.
#pragma once

namespace llama_sessions {

class TimeSlice {
  public:
    // usual_ms: what their step usually takes; 0: not known yet.
    double milliseconds(double usual_ms) const;
    // They have waited so long, from one step's end to the next one's, with a slice of that length in between.
    void record(double gap_ms, double slice_ms, double usual_ms);

  private:
    double delay_ = 0.5; // what held up both lately, at worst, in usual steps. Cautious at first.
};

} // namespace llama_sessions
