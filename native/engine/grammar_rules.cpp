#include "grammar_rules.h"

#include <cstdlib>
#include <cstring>
#include <unordered_map>

namespace llama_sessions {

static constexpr size_t most_times = 2000; // more are refused, or have no end

static bool ends_line(char c) { return c == '\n' || c == '\r'; }

static bool is_digit(char c) { return '0' <= c && c <= '9'; }

static bool is_word(char c) { return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || c == '-' || is_digit(c); }

const char* end_of_quoted(const char* next) {
    const char open = *next, close = open == '"' ? '"' : open == '[' ? ']' : open == '<' ? '>' : '\n';
    for (next++; *next && *next != close && !(open == '#' && ends_line(*next)); next++) {
        if (*next == '\\' && next[1] && (open == '"' || open == '[')) next++;
    }
    return next;
}

static const char* skip_space(const char* next, bool newlines) {
    for (;;) {
        if (*next == '#') next = end_of_quoted(next);
        else if (*next == ' ' || *next == '\t' || (newlines && ends_line(*next))) next++;
        else return next;
    }
}

static bool read_number(const char*& next, bool newlines, size_t& value) {
    if (!is_digit(*next)) return false;
    char* end;
    value = std::strtoull(next, &end, 10);
    next = skip_space(end, newlines);
    return true;
}

bool read_times(const char*& next, bool newlines, GrammarTimes& times) {
    next = skip_space(next + 1, newlines);
    if (!read_number(next, newlines, times.least)) return false;
    times.most = times.least;
    if (*next == ',') {
        next = skip_space(next + 1, newlines);
        if (!read_number(next, newlines, times.most)) times.most = GrammarTimes::any;
    }
    if (*next != '}') return false;
    next = skip_space(next + 1, newlines);
    return true;
}

namespace {

class Reader {
  public:
    explicit Reader(const std::string& grammar) : next_(grammar.c_str()) {}

    std::vector<GrammarRule> read() {
        skip(true);
        while (*next_) {
            if (!read_rule()) return {};
        }
        return std::move(rules_);
    }

  private:
    void skip(bool newlines) { next_ = skip_space(next_, newlines); }

    // Past a mark, and the space behind it.
    void pass(bool newlines) {
        next_++;
        skip(newlines);
    }

    std::string_view read_name() {
        const char* const begin = next_;
        while (is_word(*next_)) next_++;
        return std::string_view(begin, next_ - begin);
    }

    int number_of(std::string_view name) {
        const auto [known, added] = numbers_.emplace(name, static_cast<int>(rules_.size()));
        if (added) rules_.push_back({name, {}});
        return known->second;
    }

    int add_unnamed(std::string_view name, std::vector<GrammarSequence> alternatives = {}) {
        rules_.push_back({name, std::move(alternatives)});
        return static_cast<int>(rules_.size()) - 1;
    }

    bool read_rule() {
        const std::string_view name = read_name();
        if (name.empty()) return false;
        const int rule = number_of(name);
        skip(false);
        if (std::strncmp(next_, "::=", 3) != 0) return false;
        next_ = skip_space(next_ + 3, true);
        if (!read_alternatives(rule, false) || (*next_ && !ends_line(*next_))) return false;
        skip(true);
        return true;
    }

    // Calls itself for each parenthesis.
    bool read_alternatives(int rule, bool nested) {
        std::vector<GrammarSequence> alternatives(1);
        while (read_sequence(alternatives.back(), rules_[rule].name, nested)) {
            if (*next_ != '|') {
                rules_[rule].alternatives = std::move(alternatives); // of two definitions the last one counts
                return true;
            }
            pass(true);
            alternatives.emplace_back();
        }
        return false;
    }

    bool read_sequence(GrammarSequence& sequence, std::string_view name, bool nested) {
        size_t last = 0; // where begins what is repeated
        for (;;) {
            const char c = *next_;
            if (c == '*' || c == '+' || c == '?' || c == '{') {
                GrammarTimes times{c == '+', c == '?' ? 1 : GrammarTimes::any};
                if (c != '{') pass(nested);
                else if (!read_times(next_, nested, times)) return false;
                if (last == sequence.size() || times.least > most_times) return false;
                repeat(sequence, last, times, name);
                continue;
            }
            const size_t before = sequence.size();
            if (c == '"' || c == '[' || c == '<' || c == '!') {
                if (!read_quoted(sequence)) return false;
            } else if (c == '.') {
                next_++;
                sequence.push_back({GrammarItem::text, 1});
            } else if (is_word(c)) {
                sequence.push_back({number_of(read_name()), 1});
            } else if (c == '(') {
                pass(true);
                const int group = add_unnamed(name);
                if (!read_alternatives(group, true) || *next_ != ')') return false;
                next_++;
                sequence.push_back({group, 1});
            } else {
                return true;
            }
            last = before;
            skip(nested);
        }
    }

    // What quotes nothing is no item: "", [] and [^].
    bool read_quoted(GrammarSequence& sequence) {
        if (*next_ == '!' && *++next_ != '<') return false;
        const bool is_token = *next_ == '<';
        const char* const begin = next_ + (next_[0] == '[' && next_[1] == '^' ? 2 : 1);
        next_ = end_of_quoted(next_);
        if (!*next_) return false;
        if (next_ > begin || is_token) sequence.push_back({GrammarItem::text, 1});
        next_++;
        return true;
    }

    // S{m,n} becomes m times S and, where more may follow, a rule of its own.
    void repeat(GrammarSequence& sequence, size_t last, GrammarTimes times, std::string_view name) {
        GrammarItem repeated = sequence[last];
        if (sequence.size() > last + 1 || repeated.times > 1)
            repeated = {add_unnamed(name, {GrammarSequence(sequence.begin() + last, sequence.end())}), 1};
        sequence.resize(last);
        if (times.least > 0) sequence.push_back({repeated.rule, times.least});
        if (times.most > most_times) {
            const int rest = add_unnamed(name, {{repeated}, {}});
            rules_[rest].alternatives[0].push_back({rest, 1});
            sequence.push_back({rest, 1});
        } else if (times.most > times.least) {
            const size_t more = times.most - times.least - 1;
            const int rest = add_unnamed(name, {{repeated}, {}});
            if (more > 0) {
                const int others = add_unnamed(name, {{{repeated.rule, more}}, {}});
                rules_[rest].alternatives[0].push_back({others, 1});
            }
            sequence.push_back({rest, 1});
        }
    }

    const char* next_;
    std::vector<GrammarRule> rules_;
    std::unordered_map<std::string_view, int> numbers_;
};

} // namespace

std::vector<GrammarRule> read_rules(const std::string& grammar) { return Reader(grammar).read(); }

} // namespace llama_sessions
