#include "backend.h"

#include "error.h"
#include "ggml-backend.h"
#include "llama.h"
#include "system.h"

#include <filesystem>
#include <map>

namespace llama_sessions {

namespace fs = std::filesystem;

static thread_local ErrorLog* current_log = nullptr;

ErrorLog::ErrorLog() : outer_(current_log) { current_log = this; }
ErrorLog::~ErrorLog() { current_log = outer_; }

// A library that prints is a nuisance in somebody else's terminal: only errors matter, and only to who asked.
void log_line(int level, const char* text) {
    if (level == GGML_LOG_LEVEL_ERROR && current_log) current_log->text_ += text;
}

// Where backends are modules, those beside ggml's own library are ours. From each kind the best one for this machine.
// A second copy of this package in the process shares our ggml, by its name: then all is done already.
static void load_own_modules() {
#ifdef GGML_BACKEND_DL
    if (ggml_backend_reg_by_name("CPU")) return;
    const fs::path folder = fs::u8path(file_of(reinterpret_cast<const void*>(&ggml_backend_load_all_from_path)));
    ggml_backend_load_all_from_path(folder.parent_path().u8string().c_str());
    if (ggml_backend_reg_by_name("CPU")) return;

    ErrorLog log; // the search is silent; to know why, each is asked again
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder.parent_path(), error)) {
        if (entry.path().filename().u8string().find("ggml-cpu") != std::string::npos)
            ggml_backend_load(entry.path().u8string().c_str());
    }
    throw Error("BINDING_NOT_FOUND", "No CPU module in '" + folder.parent_path().u8string() +
                                         "' can be used here: delete node_modules and install again.\n" + log.text());
#endif
}

std::unique_lock<std::mutex> lock_backends() {
    static std::mutex mutex;
    return std::unique_lock<std::mutex>(mutex);
}

void ensure_backends() {
    static bool done = false;
    const auto lock = lock_backends();
    if (done) return;
    llama_log_set([](ggml_log_level level, const char* text, void*) { log_line(level, text); }, nullptr);
    check_versions();
    load_own_modules();
    llama_backend_init();
    done = true;
}

std::string load_module(const std::string& path) {
    static std::map<std::string, std::string> refused; // and those that are loaded, as empty
    ensure_backends();
    const auto lock = lock_backends();
    const auto known = refused.find(path);
    if (known != refused.end()) return known->second;
    std::string& reason = refused[path];
#ifdef GGML_BACKEND_DL
    ErrorLog log;
    ggml_backend_reg_t backend = ggml_backend_load(path.c_str());
    if (!backend) reason = log.text().empty() ? "it does not support this machine" : log.text();
    else if (ggml_backend_reg_dev_count(backend) == 0) reason = "it finds no device it can use";
#else
    reason = "this addon was compiled from source with ggml inside, and takes no modules";
#endif
    return reason;
}

std::vector<std::string> device_names() {
    const auto lock = lock_backends();
    std::vector<std::string> names;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        names.emplace_back(ggml_backend_dev_description(ggml_backend_dev_get(i)));
    }
    return names;
}

bool has_accelerator() {
    const auto lock = lock_backends();
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) ||
           ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU);
}

} // namespace llama_sessions
