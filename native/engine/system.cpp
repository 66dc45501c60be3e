#include "system.h"

#include "backend.h"
#include "error.h"
#include "ggml-backend.h"
#include "llama.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <filesystem>
#else
#include <dlfcn.h>
#endif

namespace llama_sessions {

const char* package_version() { return LLAMA_SESSIONS_VERSION; }

void check_versions() {
    const std::string found = ggml_commit();
    if (found == LLAMA_SESSIONS_TREE) return;
    throw Error("BINDING_NOT_FOUND", std::string("The addon was compiled with ggml of tree ") + LLAMA_SESSIONS_TREE +
                                         ", but '" + file_of(reinterpret_cast<const void*>(&ggml_commit)) + "' is of " +
                                         found +
                                         ": files of two versions are mixed. Delete node_modules and install again.");
}

std::string file_of(const void* address) {
#ifdef _WIN32
    HMODULE module = nullptr;
    const DWORD how = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    if (!GetModuleHandleExW(how, static_cast<LPCWSTR>(address), &module)) return "";
    std::wstring path(32768, L'\0'); // no path is longer
    path.resize(GetModuleFileNameW(module, path.data(), static_cast<DWORD>(path.size())));
    return std::filesystem::path(path).u8string();
#else
    Dl_info info{};
    return dladdr(address, &info) && info.dli_fname ? info.dli_fname : "";
#endif
}

void stay_loaded() {
    const auto* self = reinterpret_cast<const void*>(&stay_loaded);
#ifdef _WIN32
    HMODULE module = nullptr;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                       static_cast<LPCWSTR>(self), &module);
#else
    dlopen(file_of(self).c_str(), RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
#endif
}

static const char* kind_of(ggml_backend_dev_t device) {
    switch (ggml_backend_dev_type(device)) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return "integrated";
    default: return "accelerator";
    }
}

static DeviceInfo device_info(ggml_backend_dev_t device) {
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(device, &free, &total);
    return {ggml_backend_dev_name(device), ggml_backend_dev_description(device), kind_of(device),
            static_cast<double>(free), static_cast<double>(total)};
}

static BackendInfo backend_info(ggml_backend_reg_t backend) {
    const char* name = ggml_backend_reg_name(backend);
    BackendInfo info{name, file_of(name), {}, {}}; // the name is a literal of the module's own
    void* features = ggml_backend_reg_get_proc_address(backend, "ggml_backend_get_features");
    if (features) {
        const ggml_backend_feature* feature = reinterpret_cast<ggml_backend_get_features_t>(features)(backend);
        for (; feature->name; feature++) info.features.emplace_back(feature->name, feature->value);
    }
    for (size_t i = 0; i < ggml_backend_reg_dev_count(backend); i++) {
        info.devices.push_back(device_info(ggml_backend_reg_dev_get(backend, i)));
    }
    return info;
}

SystemInfo system_info() {
    const auto lock = lock_backends();
    SystemInfo info{llama_version(), ggml_version(), LLAMA_SESSIONS_TREE, {}};
    for (size_t i = 0; i < ggml_backend_reg_count(); i++)
        info.backends.push_back(backend_info(ggml_backend_reg_get(i)));
    return info;
}

} // namespace llama_sessions
