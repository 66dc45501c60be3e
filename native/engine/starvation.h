// Whether threads that step aside get anywhere: told what time they were given and what they could use of it. Pure.
#pragma once

namespace llama_sessions {

class Starvation {
  public:
    void record(double given_ms, double used_ms) {
        given_ms_ += given_ms;
        used_ms_ += used_ms;
        if (given_ms_ < looked_at_ms) return;
        starved_ = used_ms_ < least * given_ms_;
        given_ms_ = used_ms_ = 0;
    }
    // In the last second that they were given.
    bool starved() const { return starved_; }

  private:
    static constexpr double looked_at_ms = 1000, least = 0.1;

    double given_ms_ = 0, used_ms_ = 0;
    bool starved_ = false;
};

} // namespace llama_sessions
