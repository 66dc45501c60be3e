// Found before GCC's header of this name. GCC before 11.5, 12.4 and 13.3 takes ldtilecfg for an instruction that reads 8 bytes, not 64
// (its bug 114098), and leaves out the stores of the others: ggml's first product of matrices then ends the process, on every
// processor with AMX.
#pragma once
#include_next <amxtileintrin.h>

#define _tile_loadconfig(config)                                                                                       \
    do {                                                                                                               \
        const void* const stored = (config);                                                                           \
        __asm__ volatile("" : : "r"(stored) : "memory"); /* whoever may read all memory sees all stores */             \
        _tile_loadconfig(stored);                                                                                      \
    } while (0)
