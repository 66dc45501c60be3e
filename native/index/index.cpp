#include "index.h"

#include <sqlite3.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace llama_sessions {

// A commit takes some milliseconds; who has had the lock for so long was stopped in the middle of one.
static constexpr int writer_patience_ms = 30000;
// Readers wait only where somebody recovers the log of a process that was killed. They keep an event loop meanwhile.
static constexpr int reader_patience_ms = 5000;
static constexpr std::chrono::milliseconds try_again_ms{5};

static const char* name_of(int code, int system_error) {
    code &= 0xff;
#ifndef _WIN32 // where it is no errno
    // With other codes it is that of an earlier failure.
    if (code != SQLITE_IOERR && code != SQLITE_CANTOPEN) system_error = 0;
    switch (system_error) {
    case ENOSPC: return "ENOSPC";
    case EDQUOT: return "EDQUOT";
    case EACCES: return "EACCES";
    case EPERM: return "EPERM";
    case EROFS: return "EROFS";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case EISDIR: return "EISDIR";
    default: break;
    }
#endif
    switch (code) {
    case SQLITE_FULL: return "ENOSPC";
    case SQLITE_PERM: return "EACCES";
    case SQLITE_NOMEM: return "ENOMEM";
    case SQLITE_IOERR: return "EIO";
    case SQLITE_BUSY: return "SQLITE_BUSY";
    case SQLITE_READONLY: return "SQLITE_READONLY";
    case SQLITE_CANTOPEN: return "SQLITE_CANTOPEN";
    case SQLITE_CORRUPT: return "SQLITE_CORRUPT";
    case SQLITE_NOTADB: return "SQLITE_NOTADB";
    default: return "SQLITE_ERROR";
    }
}

// --- one connection: one thread at a time ----------------------------------------------------------------------------

class Index::Connection {
  public:
    Connection(const std::string& path, int patience_ms, const char* setting_up) {
        const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        try {
            check(sqlite3_open_v2(path.c_str(), &database_, flags, nullptr));
            // It opens what it may not write as well; and then there is no log.
            if (sqlite3_db_readonly(database_, "main") == 1) fail(SQLITE_READONLY);
            check(sqlite3_busy_timeout(database_, patience_ms));
            set_up(setting_up);
            for (int i = 0; i < statement_count; i++)
                check(sqlite3_prepare_v3(database_, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements_[i], nullptr));
        } catch (...) {
            release();
            throw;
        }
    }
    ~Connection() { release(); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    enum Statement { begin, begin_writing, commit, rollback, get, range, put, remove, statement_count };

    // A statement that is being run: with its arguments bound, and reset in the end. The arguments are not copied.
    class Run {
      public:
        Run(Connection& connection, Statement statement)
            : connection_(connection), statement_(connection.statements_[statement]) {}
        ~Run() { sqlite3_reset(statement_); }
        Run(const Run&) = delete;
        Run& operator=(const Run&) = delete;

        Run& bind(const std::string& bytes) {
            const auto length = static_cast<sqlite3_uint64>(bytes.size());
            connection_.check(sqlite3_bind_blob64(statement_, ++bound_, bytes.data(), length, SQLITE_STATIC));
            return *this;
        }
        Run& bind(sqlite3_int64 number) {
            connection_.check(sqlite3_bind_int64(statement_, ++bound_, number));
            return *this;
        }
        // Whether there is a row.
        bool step() {
            const int code = sqlite3_step(statement_);
            if (code != SQLITE_ROW && code != SQLITE_DONE) connection_.fail(code);
            return code == SQLITE_ROW;
        }
        std::string column(int at) const {
            const void* bytes = sqlite3_column_blob(statement_, at); // before its length; null when that is 0
            return bytes ? std::string(static_cast<const char*>(bytes), sqlite3_column_bytes(statement_, at)) : "";
        }

      private:
        Connection& connection_;
        sqlite3_stmt* statement_;
        int bound_ = 0;
    };

    void run(Statement statement) { Run(*this, statement).step(); }
    bool in_transaction() const { return !sqlite3_get_autocommit(database_); } // some failures end it

    Value value_of(const std::string& key) {
        Run run(*this, get);
        if (!run.bind(key).step()) return std::nullopt;
        return run.column(0);
    }

    // On a full disk changes still have to be written: those that delete sessions, and so make room. So the log has room from
    // the beginning, twice of what it takes before it is emptied into the file (wal_autocheckpoint, in pages of 4 KB), and keeps it.
    static constexpr const char* to_write =
        "PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL;" // a commit is on the disk when it returns
        "PRAGMA fullfsync = 1;"      // on macOS too
        "PRAGMA checkpoint_fullfsync = 1;"
        "PRAGMA wal_autocheckpoint = 128;"
        "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
        "INSERT OR IGNORE INTO entries VALUES (x'', zeroblob(1048576));"
        "UPDATE entries SET value = x'' WHERE key = x'' AND length(value) > 0";
    static constexpr const char* to_read = "PRAGMA query_only = 1";

  private:
    static constexpr const char* sql[statement_count] = {
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "SELECT value FROM entries WHERE key = ?",
        "SELECT key, value FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
        "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        "DELETE FROM entries WHERE key = ?",
    };

    // The mode is changed with all of the file locked, and SQLite refuses at once where two wait for each other's end of that.
    void set_up(const char* setting_up) {
        int yes = 1;
        check(sqlite3_file_control(database_, "main", SQLITE_FCNTL_PERSIST_WAL, &yes));
        using Clock = std::chrono::steady_clock;
        const auto give_up = Clock::now() + std::chrono::milliseconds(reader_patience_ms);
        for (;;) {
            const int code = sqlite3_exec(database_, setting_up, nullptr, nullptr, nullptr);
            if (code == SQLITE_OK) return;
            if ((code & 0xff) != SQLITE_BUSY || Clock::now() > give_up) fail(code);
            std::this_thread::sleep_for(try_again_ms);
        }
    }

    void check(int code) {
        if (code != SQLITE_OK) fail(code);
    }

    [[noreturn]] void fail(int code) {
        const char* name = name_of(code, sqlite3_system_errno(database_));
        const bool tells_more = database_ && (sqlite3_errcode(database_) & 0xff) == (code & 0xff);
        throw Error(name, std::string("SQLite: ") + (tells_more ? sqlite3_errmsg(database_) : sqlite3_errstr(code)));
    }

    void release() {
        for (sqlite3_stmt* statement : statements_) sqlite3_finalize(statement);
        sqlite3_close(database_);
    }

    sqlite3* database_ = nullptr;
    sqlite3_stmt* statements_[statement_count] = {};
};

// --- the index -------------------------------------------------------------------------------------------------------

Index::Index() = default;
Index::~Index() = default;

void Index::open(const std::string& path, const std::string& process) {
    std::lock_guard<std::mutex> lock(writing_);
    process_lock_ = ProcessLock::take(path + "-process", process);
    auto writer = std::make_unique<Connection>(path, writer_patience_ms, Connection::to_write);
    reader_ = std::make_unique<Connection>(path, reader_patience_ms, Connection::to_read);
    writer_ = std::move(writer);
}

void Index::close() {
    std::lock_guard<std::mutex> lock(writing_); // after the commit that is under way
    reader_.reset();
    writer_.reset();
    process_lock_.reset();
}

Error index_not_open() { return Error("INTERNAL", "The index is not open."); }

Index::Connection& Index::reader() const {
    if (!reader_) throw index_not_open();
    return *reader_;
}

void Index::begin_reading() { reader().run(Connection::begin); }

void Index::end_reading() {
    if (reader().in_transaction()) reader().run(Connection::commit);
}

Index::Value Index::get(const std::string& key) { return reader().value_of(key); }

std::vector<Index::Entry> Index::range(const std::string& from, const std::string& below, size_t limit) {
    Connection::Run run(reader(), Connection::range);
    run.bind(from).bind(below).bind(static_cast<sqlite3_int64>(limit));
    std::vector<Entry> entries;
    while (run.step()) entries.push_back({run.column(0), run.column(1)});
    return entries;
}

bool Index::commit(const std::string& key, const Value& expected, const std::vector<Change>& changes) {
    std::lock_guard<std::mutex> lock(writing_);
    if (!writer_) throw index_not_open();
    Connection& writer = *writer_;
    writer.run(Connection::begin_writing);
    try {
        const bool as_expected = writer.value_of(key) == expected;
        if (as_expected) make(changes);
        writer.run(as_expected ? Connection::commit : Connection::rollback);
        return as_expected;
    } catch (...) { // a full disk, say
        if (writer.in_transaction()) writer.run(Connection::rollback);
        throw;
    }
}

void Index::make(const std::vector<Change>& changes) {
    for (const auto& [key, value] : changes) {
        if (value) Connection::Run(*writer_, Connection::put).bind(key).bind(*value).step();
        else Connection::Run(*writer_, Connection::remove).bind(key).step();
    }
}

} // namespace llama_sessions
