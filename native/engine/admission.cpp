#include "admission.h"

#include <algorithm>

namespace llama_sessions {

// Cells for what it will say, so that it does not give way again at once.
static constexpr int headroom = 64;

int cells_lacking(const Waiting& turn, const Pool& pool) {
    if (!pool.busy) return std::max(0, turn.in_ram - pool.free);
    // A turn that nearly fills the pool must get in too.
    const int wanted = std::min(turn.missing + headroom, pool.cells - turn.held);
    return std::max(0, wanted - (pool.free - pool.promised));
}

} // namespace llama_sessions
