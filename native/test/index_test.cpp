#include "check.h"
#include "index.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

using namespace llama_sessions;
using test::error_code;
namespace fs = std::filesystem;

namespace {
// A folder of its own, gone in the end.
struct Folder {
    fs::path path = fs::temp_directory_path() / ("index-" + std::to_string(std::random_device{}()));
    Folder() { fs::create_directory(path); }
    ~Folder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    std::string file() const { return (path / "index.db").string(); }
};

struct Opened : Index {
    explicit Opened(const Folder& folder) { open(folder.file(), "this"); }
};

std::string keys_of(const std::vector<Index::Entry>& entries) {
    std::string keys;
    for (const auto& [key, value] : entries) keys += key + "=" + value + " ";
    return keys;
}

std::string read_all(Index& index) {
    index.begin_reading();
    const std::string all = keys_of(index.range("\x01", "\xff\xff", 1000));
    index.end_reading();
    return all;
}
} // namespace

TEST(the_index_orders_keys_by_their_bytes_and_keeps_any_value) {
    Folder folder;
    Opened index(folder);
    const std::string zeros("\0\0", 2);
    CHECK(index.commit("g", std::nullopt, {{"b", "2"}, {"\xff", "4"}, {"a", ""}, {"a" + zeros, zeros}, {"g", "1"}}));
    index.begin_reading();
    CHECK(index.range("\x01", "\xff", 10).size() == 4);
    CHECK_EQ(keys_of(index.range("a", "c", 10)), "a= a" + zeros + "=" + zeros + " b=2 ");
    CHECK_EQ(keys_of(index.range("a", "c", 1)), "a= ");
    CHECK(index.get("a") == Index::Value(""));
    CHECK(index.get("c") == std::nullopt);
    index.end_reading();
    CHECK(index.commit("a", "", {{"a", std::nullopt}, {"b", std::nullopt}, {"c", "3"}}));
    CHECK_EQ(read_all(index), "a" + zeros + "=" + zeros + " c=3 g=1 \xff=4 ");
}

TEST(a_commit_whose_condition_does_not_hold_changes_nothing) {
    Folder folder;
    Opened one(folder), other(folder);
    CHECK(one.commit("g", std::nullopt, {{"g", "1"}, {"a", "one"}}));
    CHECK(!other.commit("g", std::nullopt, {{"g", "1"}, {"a", "other"}}));
    CHECK(!other.commit("g", "2", {{"a", "other"}}));
    CHECK_EQ(read_all(other), "a=one g=1 ");
    CHECK(other.commit("g", "1", {{"g", "2"}, {"a", "other"}}));
    CHECK_EQ(read_all(one), "a=other g=2 ");
}

TEST(what_is_read_of_the_index_is_of_one_moment) {
    Folder folder;
    Opened reader(folder), writer(folder);
    CHECK(writer.commit("a", std::nullopt, {{"a", "1"}, {"b", "1"}}));
    reader.begin_reading();
    CHECK(reader.get("a") == Index::Value("1"));
    CHECK(writer.commit("a", "1", {{"a", "2"}, {"b", "2"}}));
    CHECK(reader.get("b") == Index::Value("1"));
    reader.end_reading();
    CHECK_EQ(read_all(reader), "a=2 b=2 ");
}

TEST(threads_that_open_count_and_close_an_index_at_once_lose_nothing) {
    Folder folder;
    constexpr int threads = 4, times = 25;
    std::atomic<int> made{0};
    std::vector<std::thread> all;
    for (int t = 0; t < threads; t++) {
        all.emplace_back([&] {
            try {
                for (int done = 0; done < times;) {
                    Opened index(folder);
                    index.begin_reading();
                    const Index::Value count = index.get("count");
                    index.end_reading();
                    const std::string next = std::to_string(std::stoi(count.value_or("0")) + 1);
                    if (!index.commit("count", count, {{"count", next}})) continue;
                    done++;
                    made++;
                }
            } catch (const std::exception& error) {
                test::complain(error.what());
            }
        });
    }
    for (std::thread& thread : all) thread.join();
    Opened index(folder);
    CHECK_EQ(read_all(index), "count=" + std::to_string(made.load()) + " ");
    CHECK_EQ(made.load(), threads * times);
}

#ifndef _WIN32 // where a folder with open files can't be moved
TEST(closing_an_index_leaves_the_one_in_its_place_alone) {
    Folder folder;
    auto old = std::make_unique<Opened>(folder);
    CHECK(old->commit("a", std::nullopt, {{"a", "old"}}));
    fs::rename(folder.path, folder.path.string() + ".old");
    fs::create_directory(folder.path);
    Opened other(folder);
    CHECK(other.commit("a", std::nullopt, {{"a", "other"}}));
    old.reset();
    Opened again(folder); // reads the log by its name
    CHECK_EQ(read_all(again), "a=other ");
    fs::remove_all(folder.path.string() + ".old");
}
#endif

TEST(files_that_are_no_index_are_refused) {
    Folder folder;
    CHECK_EQ(error_code([&] { Index().open((folder.path / "missing/index.db").string(), "this"); }), "SQLITE_CANTOPEN");
    std::ofstream(folder.file()) << std::string(5000, 'x');
    CHECK_EQ(error_code([&] { Index().open(folder.file(), "this"); }), "SQLITE_NOTADB");
}

TEST(an_index_that_is_not_open_says_so) {
    Folder folder;
    Index index;
    CHECK_EQ(error_code([&] { index.get("a"); }), "INTERNAL");
    index.open(folder.file(), "this");
    index.close();
    CHECK_EQ(error_code([&] { index.begin_reading(); }), "INTERNAL");
    CHECK_EQ(error_code([&] { index.commit("a", std::nullopt, {}); }), "INTERNAL");
}
