// What this process computes with: versions, backends, devices. For `llama-sessions doctor`, and for checks at load.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace llama_sessions {

struct DeviceInfo {
    std::string name, description, kind; // kind: cpu, gpu, integrated, accelerator
    double free_bytes, total_bytes;
};

struct BackendInfo {
    std::string name, file; // file: the module, or what it is linked into
    std::vector<std::pair<std::string, std::string>> features;
    std::vector<DeviceInfo> devices;
};

struct SystemInfo {
    std::string llama_version, ggml_version, tree;
    std::vector<BackendInfo> backends;
};

// Of the package that this was compiled for.
const char* package_version();
// Of all backends that are loaded by now. Any thread.
SystemInfo system_info();
// Throws BINDING_NOT_FOUND when the ggml we are linked with at run time is not the one we were compiled with.
void check_versions();
// The file that an address of this process was loaded from, as UTF-8; empty: unknown.
std::string file_of(const void* address);
// Keeps the module that this is part of, and all that it uses, until the process ends: Node unloads an addon as the last worker
// that uses it ends. ggml stays where another copy of this package uses it, with its log and its handler of uncaught exceptions
// in what is gone; loaded again, it finds its own handler there and gives up.
void stay_loaded();

} // namespace llama_sessions
