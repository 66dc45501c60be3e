#include "process_lock.h"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#ifdef F_OFD_SETLK
#include "error.h"

#include <cerrno>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>

namespace llama_sessions {

// Every process locks another byte: that of this one. Numbers of processes are given again, and to one in each container.
static off_t own_byte() {
    std::string name = std::to_string(getpid());
#ifdef __linux__
    std::ifstream status("/proc/self/stat");
    const std::string text((std::istreambuf_iterator<char>(status)), std::istreambuf_iterator<char>());
    size_t at = text.rfind(')');
    for (int field = 2; field < 22 && at != std::string::npos; field++) at = text.find(' ', at + 1);
    if (at != std::string::npos) name += "-" + text.substr(at + 1, text.find(' ', at + 1) - at - 1); // its start
    char space[64];
    const ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space);
    if (length > 0) name += "-" + std::string(space, static_cast<size_t>(length));
#endif
    return static_cast<off_t>(std::hash<std::string>()(name) >> 2);
}

std::shared_ptr<ProcessLock> ProcessLock::take(const std::string& path) {
    static std::mutex mutex;
    static std::map<std::pair<dev_t, ino_t>, std::weak_ptr<ProcessLock>> locks; // by file, which may have several names

    std::lock_guard<std::mutex> lock(mutex);
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return nullptr; // opening the index will tell
    std::shared_ptr<ProcessLock> taken(new ProcessLock(file));
    struct stat status {};
    if (fstat(file, &status) != 0) return nullptr;
    std::weak_ptr<ProcessLock>& known = locks[{status.st_dev, status.st_ino}];
    if (std::shared_ptr<ProcessLock> held = known.lock()) return held;
    struct flock own {};
    own.l_type = F_WRLCK;
    own.l_whence = SEEK_SET;
    own.l_start = own_byte();
    own.l_len = 1;
    if (fcntl(file, F_OFD_SETLK, &own) != 0) {
        if (errno == EAGAIN || errno == EACCES) throw Error("ANOTHER_COPY", "Another copy of this addon has the lock.");
        return nullptr; // a file system without such locks
    }
    known = taken;
    return taken;
}

ProcessLock::~ProcessLock() { close(file_); }

} // namespace llama_sessions
#else
namespace llama_sessions {
std::shared_ptr<ProcessLock> ProcessLock::take(const std::string&) { return nullptr; }
ProcessLock::~ProcessLock() = default;
} // namespace llama_sessions
#endif
