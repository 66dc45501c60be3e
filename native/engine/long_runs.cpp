#include "long_runs.h"

#include <algorithm>

namespace llama_sessions {

// Back to where one of the texts begins that the cut would go through.
static size_t in_front_of(const std::vector<std::string>& whole, const std::string& text, size_t cut, size_t last) {
    size_t most = 0;
    for (const std::string& word : whole) {
        const size_t end = std::min(word.size(), cut - last); // no piece is empty
        for (size_t back = most + 1; back < end; back++) {
            if (text.compare(cut - back, word.size(), word) == 0) most = back;
        }
    }
    return cut - most;
}

// What one match can be, of all the expressions that llama.cpp has: characters that are no space, and spaces behind them; or (one
// family's) letters with single spaces between them. Whatever is not ASCII may be a letter.
std::vector<size_t> cuts_of_long_runs(const std::string& text, const std::vector<std::string>& whole) {
    std::vector<size_t> cuts;
    size_t word = 0, phrase = 0; // characters so far
    bool after_space = true, after_letter = false;
    for (size_t i = 0; i < text.size(); i++) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if ((byte & 0xC0) == 0x80) continue; // inside a character
        const bool space = byte == ' ' || (byte >= '\t' && byte <= '\r');
        const bool letter = byte >= 0x80 || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (after_space && !space) word = 0;
        if (!letter && !(byte == ' ' && after_letter)) phrase = 0;
        if (word >= longest_run || (phrase >= longest_run && space)) {
            const size_t last = cuts.empty() ? 0 : cuts.back();
            const size_t cut = in_front_of(whole, text, i, last);
            cuts.push_back(cut);
            word = phrase = i - cut; // bytes at least as many as characters
        }
        word++;
        phrase++;
        after_space = space;
        after_letter = letter;
    }
    return cuts;
}

} // namespace llama_sessions
