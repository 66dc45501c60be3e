// How far token lists agree.
#pragma once

#include "model.h"

#include <algorithm>

namespace llama_sessions {

// Tokens that both begin with, at most `most`.
inline size_t common_length(const Tokens& a, const Tokens& b, size_t most) {
    const auto length = static_cast<std::ptrdiff_t>(std::min({a.size(), b.size(), most}));
    return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + length, b.begin()).first - a.begin());
}

// The same where it is more than `beyond`, else 0. Of many candidates most are ruled out by their first new token.
inline size_t longer_prefix(const Tokens& a, const Tokens& b, size_t beyond, size_t most) {
    if (std::min({a.size(), b.size(), most}) <= beyond || a[beyond] != b[beyond]) return 0;
    const size_t length = common_length(a, b, most);
    return length > beyond ? length : 0;
}

} // namespace llama_sessions
