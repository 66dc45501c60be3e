#include "kv_blob.h"

#include <cstring>
#include <vector>

namespace llama_sessions {

static constexpr uint32_t magic = 0xaf143cd8; // llama.cpp v0.5.0, src/llama-context.cpp
static constexpr uint32_t most_layers = 1024; // llama.cpp itself knows no model with more than 512
static constexpr uint64_t most_row_bytes = 1u << 24;

namespace {

// Little-endian, native: blobs don't travel between byte orders (the fingerprint holds it).
class Reader {
  public:
    Reader(const uint8_t* bytes, size_t size) : next_(bytes), left_(size) {}
    size_t left() const { return left_; }
    template <class T> bool read(T& value) {
        if (left_ < sizeof value) return false;
        std::memcpy(&value, next_, sizeof value);
        return skip(sizeof value);
    }
    bool skip(uint64_t bytes) {
        if (left_ < bytes) return false;
        next_ += bytes;
        left_ -= bytes;
        return true;
    }

  private:
    const uint8_t* next_;
    size_t left_;
};

// Positions from `from` to before `to`.
struct Range {
    uint32_t from, to;
    uint32_t tokens() const { return to - from; }
};

// Each cell: position, one owner, the owner's number (ignored by llama.cpp).
bool cells_are_sound(Reader& in, uint32_t cells, Range range) {
    std::vector<bool> seen(range.tokens());
    bool last = false;
    for (uint32_t i = 0; i < cells; i++) {
        int32_t position, owner;
        uint32_t owners;
        if (!in.read(position) || !in.read(owners) || !in.read(owner)) return false;
        if (position < 0 || owners != 1) return false;
        const auto at = static_cast<uint32_t>(position);
        if (at < range.from || at >= range.to || seen[at - range.from]) return false;
        seen[at - range.from] = true;
        last = last || at == range.to - 1;
    }
    return last;
}

// Types and row sizes are compared with the context's by llama.cpp.
bool rows_fit(Reader& in, uint32_t cells, uint32_t layers) {
    for (uint32_t i = 0; i < layers; i++) {
        int32_t type;
        uint64_t row_bytes;
        if (!in.read(type) || !in.read(row_bytes) || row_bytes > most_row_bytes) return false;
        if (!in.skip(row_bytes * cells)) return false;
    }
    return true;
}

// One cache; models with sliding windows have two, the second of which holds only the window.
bool cache_is_sound(Reader& in, Range range, uint32_t streams, bool values, bool whole) {
    uint32_t count;
    if (!in.read(count) || count != streams) return false;
    bool found = false;
    for (uint32_t stream = 0; stream < streams; stream++) {
        uint32_t cells, v_transposed, layers;
        if (!in.read(cells)) return false;
        if (cells == 0) continue;
        if (found || cells > range.tokens() || (whole && cells != range.tokens())) return false;
        found = true;
        if (!cells_are_sound(in, cells, range)) return false;
        if (!in.read(v_transposed) || v_transposed != 0 || !in.read(layers) || layers > most_layers) return false;
        if (!rows_fit(in, cells, layers) || (values && !rows_fit(in, cells, layers))) return false; // K, then V
    }
    return found;
}

} // namespace

bool kv_blob_is_sound(const uint8_t* bytes, size_t size, uint32_t from, uint32_t to, uint32_t streams, bool values) {
    Reader in(bytes, size);
    uint32_t start;
    int32_t sequence;
    if (from >= to || !in.read(start) || start != magic || !in.read(sequence)) return false;
    if (!cache_is_sound(in, {from, to}, streams, values, true)) return false;
    return in.left() == 0 || (cache_is_sound(in, {from, to}, streams, values, false) && in.left() == 0);
}

} // namespace llama_sessions
