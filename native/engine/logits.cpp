#include "logits.h"

#include <algorithm>
#include <cmath>

namespace llama_sessions {

// Floating-point maxima are not reordered by compilers. In lanes of its own there is nothing to reorder, and they become
// vector instructions on any CPU.
static constexpr size_t lanes = 64;

float largest_of(const float* values, size_t count) {
    float largest[lanes];
    std::fill(largest, largest + lanes, -INFINITY);
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        for (size_t lane = 0; lane < lanes; lane++) {
            largest[lane] = values[i + lane] > largest[lane] ? values[i + lane] : largest[lane];
        }
    }
    for (; i < count; i++) largest[0] = values[i] > largest[0] ? values[i] : largest[0];
    return *std::max_element(largest, largest + lanes);
}

size_t index_of_largest(const float* values, size_t count) {
    size_t block = 0;
    float largest = -INFINITY;
    for (size_t from = 0; from < count; from += logits_block) {
        const float here = largest_of(values + from, std::min(logits_block, count - from));
        if (here > largest) {
            largest = here;
            block = from;
        }
    }
    const float* found = std::find(values + block, values + count, largest);
    return found == values + count ? 0 : static_cast<size_t>(found - values);
}

} // namespace llama_sessions
