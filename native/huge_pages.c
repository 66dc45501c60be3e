// Part of ggml's library, which is compiled to ask this for memory instead of posix_memalign(): weights that ggml repacks, KV and the
// results of layers. Where the system gives huge pages to those who ask, as Ubuntu does, a step of one sequence, which reads all
// weights once, is a tenth shorter.
#undef posix_memalign
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

// Smaller ones often lie in the heap, where the wish outlives them. From here on glibc maps each by itself, unless it has so much left
// over.
static const size_t least = 32 << 20;
static const uintptr_t huge_page = 2 << 20; // on x86-64, and on arm64 with pages of 4 KiB

__attribute__((visibility("hidden"))) int memalign_in_huge_pages(void** memory, size_t alignment, size_t size);

int memalign_in_huge_pages(void** memory, size_t alignment, size_t size) {
    const int failed = posix_memalign(memory, alignment, size);
    if (failed || size < least) return failed;
    const uintptr_t begin = ((uintptr_t)*memory + huge_page - 1) & ~(huge_page - 1);
    const uintptr_t end = ((uintptr_t)*memory + size) & ~(huge_page - 1);
    madvise((void*)begin, end - begin, MADV_HUGEPAGE); // without them it works as well
    return 0;
}
