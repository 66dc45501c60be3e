// When a turn that waits may begin, or go on. Pure: knows neither llama.cpp nor threads.
#pragma once

namespace llama_sessions {

// A turn that waits: a new one, or one that gave way.
struct Waiting {
    int held;    // cells that it holds
    int in_ram;  // tokens whose KV lies in RAM; it comes back at once or not at all
    int missing; // cells that it will need beside those it holds, for these and for what it has to read
};

struct Pool {
    int cells;
    int free;
    int promised; // cells that turns which have been let in will need for what they still have to read
    bool busy;    // there are such turns
};

// Cells that have to become free before the turn may begin; 0: now. One that is alone begins at once: there is nobody to
// wait for, and cells are asked for on the way.
int cells_lacking(const Waiting& turn, const Pool& pool);

} // namespace llama_sessions
