#include "left_recursion.h"

#include <algorithm>

namespace llama_sessions {

namespace {

// One rule may begin with another.
struct Beginning {
    int rule;
    bool grows; // something follows it there, which is kept for later
};

using Beginnings = std::vector<std::vector<Beginning>>; // of each rule

} // namespace

// Which rules may be empty: each alternative waits for those of its rules of which that isn't known yet.
static std::vector<bool> find_empty(const std::vector<GrammarRule>& rules) {
    struct Alternative {
        int rule;
        size_t waits_for;
    };
    std::vector<Alternative> alternatives;
    std::vector<std::vector<size_t>> waiting(rules.size()); // alternatives, for each rule
    std::vector<bool> may_be_empty(rules.size());
    std::vector<int> found;
    const auto find = [&](int rule) {
        if (!may_be_empty[rule]) found.push_back(rule);
        may_be_empty[rule] = true;
    };
    for (size_t rule = 0; rule < rules.size(); rule++) {
        for (const GrammarSequence& sequence : rules[rule].alternatives) {
            for (const GrammarItem& item : sequence) {
                if (item.rule != GrammarItem::text) waiting[item.rule].push_back(alternatives.size());
            }
            alternatives.push_back({static_cast<int>(rule), sequence.size()}); // for text in vain
            if (sequence.empty()) find(static_cast<int>(rule));
        }
    }
    while (!found.empty()) {
        const int empty = found.back();
        found.pop_back();
        for (const size_t waits : waiting[empty]) {
            if (--alternatives[waits].waits_for == 0) find(alternatives[waits].rule);
        }
    }
    return may_be_empty;
}

static Beginnings find_beginnings(const std::vector<GrammarRule>& rules) {
    const std::vector<bool> may_be_empty = find_empty(rules);
    Beginnings beginnings(rules.size());
    for (size_t rule = 0; rule < rules.size(); rule++) {
        for (const GrammarSequence& sequence : rules[rule].alternatives) {
            for (const GrammarItem& item : sequence) {
                if (item.rule == GrammarItem::text) break;
                beginnings[rule].push_back({item.rule, &item != &sequence.back() || item.times > 1});
                if (!may_be_empty[item.rule]) break;
            }
        }
    }
    return beginnings;
}

namespace {

// Puts rules that may begin with each other into one circle (Tarjan's algorithm, without calling itself: rules nest deeply).
class Circles {
  public:
    explicit Circles(const Beginnings& beginnings)
        : circle_of(beginnings.size(), none), beginnings_(beginnings), seen_(beginnings.size()),
          oldest_(beginnings.size()) {
        for (size_t rule = 0; rule < beginnings.size(); rule++) {
            if (seen_[rule] == 0) walk(static_cast<int>(rule));
        }
    }

    std::vector<int> circle_of; // each rule; what a circle begins with is in those of smaller numbers

  private:
    static constexpr int none = -1;

    void walk(int first) {
        enter(first);
        while (!path_.empty()) {
            const int rule = path_.back().rule;
            if (path_.back().next == beginnings_[rule].size()) {
                leave(rule);
                continue;
            }
            const int next = beginnings_[rule][path_.back().next++].rule;
            if (seen_[next] == 0) enter(next);
            else if (circle_of[next] == none) oldest_[rule] = std::min(oldest_[rule], seen_[next]);
        }
    }

    void enter(int rule) {
        seen_[rule] = oldest_[rule] = ++count_;
        open_.push_back(rule);
        path_.push_back({rule, 0});
    }

    void leave(int rule) {
        path_.pop_back();
        if (!path_.empty()) {
            int& oldest = oldest_[path_.back().rule];
            oldest = std::min(oldest, oldest_[rule]);
        }
        if (oldest_[rule] != seen_[rule]) return;
        for (int member = none; member != rule;) {
            member = open_.back();
            open_.pop_back();
            circle_of[member] = circles_;
        }
        circles_++;
    }

    struct Place {
        int rule;
        size_t next; // of its beginnings
    };
    const Beginnings& beginnings_;
    std::vector<int> seen_, oldest_; // when; and the oldest rule of an open circle that it leads to
    std::vector<int> open_;
    std::vector<Place> path_;
    int count_ = 0, circles_ = 0;
};

} // namespace

std::string find_left_recursion(const std::vector<GrammarRule>& rules) {
    const Beginnings beginnings = find_beginnings(rules);
    const std::vector<int> circle_of = Circles(beginnings).circle_of;
    for (size_t rule = 0; rule < rules.size(); rule++) {
        for (const Beginning& beginning : beginnings[rule]) {
            // Where nothing follows, as in x* of an x that may be empty, llama.cpp comes to what it knows already.
            if (!beginning.grows || circle_of[beginning.rule] != circle_of[rule]) continue;
            return "has a rule `" + std::string(rules[rule].name.substr(0, 100)) +
                   "` that may begin with itself (left recursion), which llama.cpp would never come to the end of. "
                   "Begin " +
                   "it with something else, and repeat what follows: `sum ::= num (\"+\" num)*`.";
        }
    }
    return "";
}

} // namespace llama_sessions
