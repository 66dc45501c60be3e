#include "left_recursion.h"

#include <algorithm>

namespace llama_sessions {

static constexpr size_t most_steps = 10'000'000; // 0.2 s; each rule more may double them
static constexpr size_t most_depth = 10'000;     // 128 bytes of stack each; workers have 4 MB

namespace {

// One rule may begin with another.
struct Beginning {
    int rule;
    size_t times; // until something is certainly read
    bool grows;   // something follows it there, which is kept for later
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
    const std::vector<bool> empty = find_empty(rules);
    Beginnings beginnings(rules.size());
    for (size_t rule = 0; rule < rules.size(); rule++) {
        for (const GrammarSequence& sequence : rules[rule].alternatives) {
            for (const GrammarItem& item : sequence) {
                if (item.rule == GrammarItem::text) break;
                const bool may_be_empty = empty[item.rule], grows = &item != &sequence.back() || item.times > 1;
                beginnings[rule].push_back({item.rule, may_be_empty ? item.times : 1, grows});
                if (!may_be_empty) break;
            }
        }
    }
    return beginnings;
}

namespace {

// Puts rules that may begin with each other into one circle (Tarjan's algorithm, without calling itself: rules nest
// deeply).
class Circles {
  public:
    explicit Circles(const Beginnings& beginnings)
        : circle_of(beginnings.size(), none), beginnings_(beginnings), seen_(beginnings.size()),
          oldest_(beginnings.size()) {
        for (size_t rule = 0; rule < beginnings.size(); rule++) {
            if (seen_[rule] != 0) continue;
            walk(static_cast<int>(rule));
            firsts.push_back(circle_of[rule]);
        }
    }

    std::vector<int> circle_of;            // each rule
    std::vector<std::vector<int>> members; // of each circle; what they begin with is in circles of smaller numbers
    std::vector<int> firsts;               // circles that no rule before them leads to

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
        members.emplace_back();
        for (int member = none; member != rule;) {
            member = open_.back();
            open_.pop_back();
            circle_of[member] = static_cast<int>(members.size()) - 1;
            members.back().push_back(member);
        }
    }

    struct Place {
        int rule;
        size_t next; // of its beginnings
    };
    const Beginnings& beginnings_;
    std::vector<int> seen_, oldest_; // when; and the oldest rule of an open circle that it leads to
    std::vector<int> open_;
    std::vector<Place> path_;
    int count_ = 0;
};

} // namespace

// The recursive check of llama.cpp reads a rule again for each way to it. A circle it goes round once at most.
static std::string find_long_search(const Beginnings& beginnings, const Circles& circles) {
    struct Search {
        size_t steps, depth;
    };
    std::vector<Search> searches; // of each circle
    size_t steps = 0, depth = 0;
    const auto add = [](size_t& sum, size_t more) { sum = std::min(sum + more, most_steps + 1); };
    for (const std::vector<int>& members : circles.members) {
        const int circle = static_cast<int>(searches.size());
        Search search{members.size(), 0};
        for (const int rule : members) {
            for (const Beginning& beginning : beginnings[rule]) {
                if (circles.circle_of[beginning.rule] == circle) continue;
                const Search& next = searches[circles.circle_of[beginning.rule]];
                add(search.steps, beginning.times * next.steps);
                search.depth = std::max(search.depth, beginning.times + next.depth);
            }
        }
        search.depth += members.size() - 1;
        depth = std::max(depth, search.depth);
        searches.push_back(search);
    }
    for (const int first : circles.firsts) add(steps, searches[first].steps);
    if (depth > most_depth) return "has rules that begin with each other more than 10,000 deep.";
    if (steps <= most_steps) return "";
    return "has rules that begin with each other in more than 10 million ways, all of which llama.cpp would try. "
           "Write what alternatives begin with once, in front of a group: `sum ::= num (\"+\" num | \"-\" num)`.";
}

std::string find_left_recursion(const std::vector<GrammarRule>& rules) {
    const Beginnings beginnings = find_beginnings(rules);
    const Circles circles(beginnings);
    for (size_t rule = 0; rule < rules.size(); rule++) {
        for (const Beginning& beginning : beginnings[rule]) {
            // Where nothing follows, as in x* of an x that may be empty, llama.cpp comes to what it knows already.
            if (!beginning.grows || circles.circle_of[beginning.rule] != circles.circle_of[rule]) continue;
            return "has a rule `" + std::string(rules[rule].name.substr(0, 100)) +
                   "` that may begin with itself (left recursion), which llama.cpp would never come to the end of. "
                   "Begin it with something else, and repeat what follows: `sum ::= num (\"+\" num)*`.";
        }
    }
    return find_long_search(beginnings, circles);
}

} // namespace llama_sessions
