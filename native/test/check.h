// A test harness in a page: TEST registers a case, CHECK ends it at the first thing that is wrong.
#pragma once

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace llama_sessions::test {

struct Case {
    const char* name;
    void (*run)();
};

inline std::vector<Case>& cases() {
    static std::vector<Case> all;
    return all;
}

struct Registration {
    Registration(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

// Makes the running case fail from where nothing can be thrown: other threads, destructors. Any thread.
void complain(const std::string& what);

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
    throw std::runtime_error(std::string(file).substr(std::string(file).rfind('/') + 1) + ":" + std::to_string(line) +
                             ": " + what);
}

template <class A, class B> void check_equal(const A& a, const B& b, const char* file, int line, const char* what) {
    if (a == b) return;
    std::ostringstream left, right;
    left << a;
    right << b;
    fail(file, line, std::string(what) + ": " + left.str().substr(0, 200) + " != " + right.str().substr(0, 200));
}

// The code of the Error that `work` throws; "" when it throws none.
std::string error_code(const std::function<void()>& work);

} // namespace llama_sessions::test

#define TEST(name)                                                                                                     \
    static void name();                                                                                                \
    static const ::llama_sessions::test::Registration name##_registered(#name, name);                                  \
    static void name()
#define CHECK(expression)                                                                                              \
    do {                                                                                                               \
        if (!(expression)) ::llama_sessions::test::fail(__FILE__, __LINE__, #expression);                              \
    } while (false)
#define CHECK_EQ(a, b) ::llama_sessions::test::check_equal((a), (b), __FILE__, __LINE__, #a " == " #b)
