#include "stop.h"

#include <algorithm>

namespace llama_sessions {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
    strings_.erase(std::remove(strings_.begin(), strings_.end(), std::string()), strings_.end());
}

bool StopStrings::push(const std::string& text, std::string& out) {
    held_ += text;

    size_t found = std::string::npos;
    for (const std::string& stop : strings_) found = std::min(found, held_.find(stop));
    if (found != std::string::npos) {
        out += held_.substr(0, found);
        held_.clear();
        return true;
    }

    size_t keep = 0; // bytes at the end that may be the beginning of a stop string
    for (const std::string& stop : strings_) {
        for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep; length--) {
            if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) keep = length;
        }
    }
    out += held_.substr(0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    return false;
}

std::string StopStrings::finish() {
    std::string rest;
    rest.swap(held_);
    return rest;
}

} // namespace llama_sessions
