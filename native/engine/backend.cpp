#include "backend.h"

#include "ggml-backend.h"
#include "llama.h"

#include <mutex>

namespace llama_sessions {

static thread_local ErrorLog* current_log = nullptr;

ErrorLog::ErrorLog() : outer_(current_log) { current_log = this; }
ErrorLog::~ErrorLog() { current_log = outer_; }

// A library that prints is a nuisance in somebody else's terminal: only errors matter, and only to who asked.
void log_line(int level, const char* text) {
    if (level == GGML_LOG_LEVEL_ERROR && current_log) current_log->text_ += text;
}

void ensure_backends() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set([](ggml_log_level level, const char* text, void*) { log_line(level, text); }, nullptr);
        llama_backend_init();
    });
}

std::vector<std::string> device_names() {
    std::vector<std::string> names;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        names.emplace_back(ggml_backend_dev_description(ggml_backend_dev_get(i)));
    }
    return names;
}

bool has_accelerator() {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) ||
           ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU);
}

} // namespace llama_sessions
