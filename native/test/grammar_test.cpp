// What llama.cpp's parser of grammars would take the process down with.
#include "check.h"
#include "grammar.h"

using namespace llama_sessions;
using namespace llama_sessions::test;

static std::string repeat(const std::string& part, int times) {
    std::string text;
    while (times-- > 0) text += part;
    return text;
}

static bool refused(const std::string& grammar) {
    return error_code([&] { check_grammar(grammar); }) == "GRAMMAR_INVALID";
}

TEST(grammar_backward_repetitions_are_refused) {
    const std::string a = "root ::= \"a\"";
    for (const char* repetition : {"{3,1}", "{1,0}", "{ 3 , 1 }", "{2000,1999}", "\t{3\t,1}", "* {3,1}", " | [x]{3,1}",
                                   " | ( b{3,1} )", " | ({3 # three\n, # to\r 1})", "# x\r | \"b\"{3,1}",
                                   " | \"\\\"\"{3,1}", " | [\\]]{3,1}", " | [\"]{3,1} | \"", " | <|im_end|>{3,1}"}) {
        if (!refused(a + repetition)) throw std::runtime_error(std::string("accepted: ") + repetition);
    }
    for (const char* repetition : {"{1,3}", "{3,3}", "{3}", "{3,}", "{0,0}", " | \"{3,1}\"", " # {3,1}", " | [{3,1}]",
                                   " | \"\\\"{3,1}\"", " | [\\]{3,1}]", "{", "{3,", "{,1}"}) {
        if (refused(a + repetition)) throw std::runtime_error(std::string("refused: ") + repetition);
    }
}

TEST(grammar_that_is_too_deep_or_too_long_is_refused) {
    CHECK(!refused("root ::= " + repeat("(", 200) + "\"a\"" + repeat(")", 200)));
    CHECK(refused("root ::= " + repeat("(", 201) + "\"a\"" + repeat(")", 201)));
    CHECK(!refused("root ::= " + repeat("(\"a\") ", 1000)));
    CHECK(!refused("root ::= \"" + repeat("(", 1000) + "\""));
    CHECK(!refused("root ::= \"" + std::string(200000, 'a') + "\""));
    CHECK(refused("root ::= \"" + std::string(300000, 'a') + "\""));
}

TEST(grammar_of_broken_text_is_refused) {
    CHECK(refused("root ::= \"\xF0\"aa\" \"b\"{3,1}")); // of which the parser reads another grammar than we
    CHECK(refused("root ::= \"a\" \xC3"));
    CHECK(refused(std::string("root ::= \"a\"\0 junk", 19)));
    CHECK(!refused("root ::= \"\xC3\xA4\xE2\x82\xAC\" # \xF0\x9F\x99\x82"));
}
