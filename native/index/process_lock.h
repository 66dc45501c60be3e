// SQLite's locks belong to the process, and each copy of this addon brings an SQLite of its own: two copies in one process would
// see none of each other's, and destroy the index. So whoever opens one takes a lock that belongs to his opening of a file.
#pragma once

#include <memory>
#include <string>

namespace llama_sessions {

class ProcessLock {
  public:
    // Shared by all of this copy. path: of a file beside the index, made where there is none. process: a name that no other one has,
    // in no container. Throws Error ANOTHER_COPY. Null where the system has no such locks; Windows needs none, its locks belong to
    // the opening anyway.
    static std::shared_ptr<ProcessLock> take(const std::string& path, const std::string& process);
    ~ProcessLock();
    ProcessLock(const ProcessLock&) = delete;
    ProcessLock& operator=(const ProcessLock&) = delete;

  private:
    explicit ProcessLock(int file) : file_(file) {}
    int file_;
};

} // namespace llama_sessions
