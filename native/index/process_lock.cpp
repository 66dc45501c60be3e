#include "process_lock.h"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#ifdef F_OFD_SETLK
#include "error.h"

#include <cerrno>
#include <functional>
#include <map>
#include <mutex>

namespace llama_sessions {

std::shared_ptr<ProcessLock> ProcessLock::take(const std::string& path, const std::string& process) {
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
    own.l_start = static_cast<off_t>(std::hash<std::string>()(process) >> 2); // every process locks another byte
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
std::shared_ptr<ProcessLock> ProcessLock::take(const std::string&, const std::string&) { return nullptr; }
ProcessLock::~ProcessLock() = default;
} // namespace llama_sessions
#endif
