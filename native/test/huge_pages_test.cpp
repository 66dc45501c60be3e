// Where the system can, ggml's large buffers lie in huge pages.
#ifdef __linux__
#include "check.h"

#include "ggml-backend.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

// What the kernel notes of the memory that an address is in, as "rd wr … hg": hg says that huge pages are wished for.
static std::string flags_of(const void* address) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    std::ifstream file("/proc/self/smaps");
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        uintptr_t begin = 0, end = 0;
        char dash = 0;
        if (std::istringstream(line) >> std::hex >> begin >> dash >> end && dash == '-')
            inside = begin <= at && at < end;
        if (inside && line.rfind("VmFlags:", 0) == 0) return line + " ";
    }
    return "";
}

static std::string flags_of_a_buffer(size_t bytes) {
    const std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)> buffer(
        ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), bytes), ggml_backend_buffer_free);
    return flags_of(static_cast<const char*>(ggml_backend_buffer_get_base(buffer.get())) + bytes / 2);
}

TEST(huge_pages_are_wished_for_by_large_buffers) {
    if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage/enabled")) return; // a kernel that has none
    CHECK(flags_of_a_buffer(32 << 20).find(" hg ") != std::string::npos);
}
#endif
