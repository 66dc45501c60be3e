#include "check.h"
#include "reasoning_gate.h"

using namespace llama_sessions;

namespace {
// Says it in tokens of so many bytes, numbered from 0, and returns the text of those that were seen.
std::string seen(ReasoningGate gate, const std::string& said, size_t size) {
    std::string text;
    for (size_t at = 0; at < said.size(); at += size) {
        for (const llama_token token : gate.push(static_cast<llama_token>(at / size), said.substr(at, size)))
            text += said.substr(static_cast<size_t>(token) * size, size);
    }
    return text;
}
} // namespace

TEST(reasoning_gate_hides_what_is_thought) {
    const ReasoningGate gate("<think>\n", {"\n</think>"}, "assistant\n");
    CHECK_EQ(seen(gate, "Hello <call>", 1), "Hello <call>");
    CHECK_EQ(seen(gate, "<think>no <call></think>yes <call>", 1), "<think></think>yes <call>");
    CHECK_EQ(seen(gate, "<think>a</think>b<think>c</think>d", 1), "<think></think>b<think></think>d");
    CHECK_EQ(seen(gate, "<think>never ends <call>", 1), "<think>");
}

TEST(reasoning_gate_knows_where_the_prompt_has_begun_it) {
    const ReasoningGate begun("<think>", {"</think>"}, "assistant\n<think>\n");
    CHECK_EQ(seen(begun, "no <call></think>yes", 1), "</think>yes");
    const ReasoningGate ended("<think>", {"</think>"}, "assistant\n<think>\n\n</think>\n\n");
    CHECK_EQ(seen(ended, "yes <call>", 1), "yes <call>");
}

// With some models a call ends it.
TEST(reasoning_gate_shows_the_tag_that_ends_it_however_it_is_cut) {
    const ReasoningGate gate("<think>", {"</think>", "<call>"}, "<think>");
    CHECK_EQ(seen(gate, "I look <call>{}", 1), "<call>{}");
    CHECK_EQ(seen(gate, "abcd<call>{}", 4), "<call>{}");
    CHECK_EQ(seen(gate, "abcde<call>{}", 4), "e<call>{}"); // a token is seen as a whole
    CHECK_EQ(seen(gate, "I look <call>{}", 100), "I look <call>{}");
}

TEST(reasoning_gate_is_open_where_nobody_thinks) {
    CHECK_EQ(seen(ReasoningGate("", {}, "assistant"), "Hello <think> <call>", 3), "Hello <think> <call>");
}
