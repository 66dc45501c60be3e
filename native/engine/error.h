// What goes wrong, as the one exception type of the engine. The binding turns it into a JavaScript error.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>

namespace llama_sessions {

// The names are the ErrorCode strings of lib/errors.ts.
class Error : public std::runtime_error {
  public:
    Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
    const char* code() const { return code_; }

  private:
    const char* code_; // a string literal
};

// An error that travels between threads as a value.
struct Failure {
    const char* code;
    std::string message;
};

// Runs inside a catch block: whatever is in flight, as a value.
inline Failure current_failure() {
    try {
        throw;
    } catch (const Error& error) {
        return {error.code(), error.what()};
    } catch (const std::bad_alloc&) {
        return {"OUT_OF_MEMORY", "Memory ran out. Use a smaller model, contextTokens or batchTokens."};
    } catch (const std::exception& error) {
        return {"INTERNAL", std::string("llama.cpp: ") + error.what()};
    } catch (...) {
        return {"INTERNAL", "An unknown C++ exception"};
    }
}

} // namespace llama_sessions
