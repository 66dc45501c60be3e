// The index of a directory of sessions: values by key, in the order of the keys' bytes, in one file that any number of threads and
// processes use at once. Kept by SQLite with a write-ahead log: one of them writes at a time, readers never wait for it, and what
// has been committed outlives the process and the machine.
#pragma once

#include "error.h"
#include "process_lock.h"

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace llama_sessions {

// What whoever asks something of an index that is not open is told.
Error index_not_open();

// Throws Error: its code is the name of an errno or of SQLite's own codes.
class Index {
  public:
    using Value = std::optional<std::string>; // none: there is nothing by that key

    struct Entry {
        std::string key, value;
    };
    struct Change {
        std::string key;
        Value value; // none: it is removed
    };

    Index();
    ~Index();
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;

    // Makes it in an empty or missing file. Once. process: the name of this one, as ProcessLock wants it.
    void open(const std::string& path, const std::string& process);

    // A key has at least one byte.
    //
    // One thread. What is read between the two is of one moment, that of the first read.
    void begin_reading();
    void end_reading();
    Value get(const std::string& key);
    // At most so many, from the first key on.
    std::vector<Entry> range(const std::string& from, const std::string& below, size_t limit);

    // Any thread. All changes or, when the key's value is not as expected, none.
    // Returns whether they were made; they are on the disk then.
    bool commit(const std::string& key, const Value& expected, const std::vector<Change>& changes);

    // Any thread, when nobody reads. After it everything throws.
    void close();

  private:
    class Connection;
    Connection& reader() const;
    void make(const std::vector<Change>& changes);

    std::shared_ptr<ProcessLock> process_lock_; // first: it outlives the connections
    // Two, as a connection serves one thread at a time: who reads does not wait while a commit reaches the disk.
    std::unique_ptr<Connection> writer_, reader_; // the last one to go empties the log: the writer
    std::mutex writing_;                          // and opening, closing
};

} // namespace llama_sessions
