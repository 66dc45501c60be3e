#include "check.h"
#include "long_runs.h"
#include "model_file.h"
#include "recall.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

using namespace llama_sessions;
using namespace llama_sessions::test;
namespace fs = std::filesystem;

static const std::string& recall_bytes() {
    static const std::string bytes = [] {
        std::ifstream file(recall_path(), std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(file), {});
    }();
    return bytes;
}

static std::string load_error(const std::string& path) {
    return error_code([&] { Model(path, 0, [](float) { return true; }); });
}

TEST(model_that_is_none_is_refused_with_its_reason) {
    const Directory directory;
    CHECK_EQ(load_error((directory.path / "missing.gguf").string()), "MODEL_NOT_FOUND");
    CHECK_EQ(load_error((directory.path / "no" / "such" / "directory.gguf").string()), "MODEL_NOT_FOUND");
    CHECK_EQ(load_error(""), "MODEL_NOT_FOUND");
    CHECK_EQ(load_error(directory.path.string()), "MODEL_INVALID");
    CHECK_EQ(load_error(directory.file("empty.gguf", "")), "MODEL_INVALID");
    CHECK_EQ(load_error(directory.file("junk.gguf", std::string(100000, 'j'))), "MODEL_INVALID");
    CHECK_EQ(load_error(directory.file("magic.gguf", "GGUF")), "MODEL_INVALID");
    CHECK_EQ(load_error(directory.file("zeros.gguf", "GGUF" + std::string(4096, '\0'))), "MODEL_INVALID");
    // Says it has 2^60 tensors.
    CHECK_EQ(load_error(directory.file("huge.gguf", std::string("GGUF\3\0\0\0", 8) + std::string(7, '\0') + "\x10" +
                                                        std::string(64, '\0'))),
             "MODEL_INVALID");
}

TEST(model_that_is_truncated_is_refused) {
    const Directory directory;
    const std::string& whole = recall_bytes();
    const size_t header = inspect_model(recall_path()).parts[0].header_bytes;
    CHECK_EQ(inspect_model(recall_path()).parts[0].file_bytes, whole.size());
    for (const size_t size : {size_t{3}, size_t{5}, size_t{23}, size_t{1000}, header / 2, header - 1, header,
                              header + 1, whole.size() / 2, whole.size() - 1}) {
        const std::string path = directory.file("cut.gguf", whole.substr(0, size));
        CHECK_EQ(error_code([&] { inspect_model(path); }), "MODEL_INVALID"); // before llama.cpp maps it
        CHECK_EQ(load_error(path), "MODEL_INVALID");
    }
    CHECK_EQ(load_error(directory.file("longer.gguf", whole + "and more")), "");
    CHECK_EQ(load_error(directory.file("n\xC3\xA4me \xE2\x82\xAC.gguf", whole)), "");
}

TEST(model_header_with_any_wrong_byte_is_survived) {
    const Directory directory;
    const size_t header = inspect_model(recall_path()).parts[0].header_bytes;
    std::mt19937 random(7);
    for (int round = 0; round < 300; round++) {
        std::string bytes = recall_bytes();
        bytes[round < 64 ? static_cast<size_t>(round) : random() % header] ^= static_cast<char>(1u << random() % 8);
        const std::string path = directory.file("flipped.gguf", bytes);
        const std::string code = error_code([&] { inspect_model(path); });
        CHECK(code.empty() || code == "MODEL_INVALID");
    }
}

TEST(model_loading_can_be_given_up) {
    for (int calls = 0; calls < 3; calls++) {
        int left = calls;
        CHECK_EQ(error_code([&] { Model(recall_path(), 0, [&](float) { return left-- > 0; }); }), "ABORTED");
    }
}

TEST(model_spells_what_it_read) {
    const Model& model = recall();
    for (const std::string text : {"", "Hello", "My name is Mosoba.", "  two  spaces\n\n\tand lines\r\n",
                                   "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x99\x82", "<|im_start|>user\nHi<|im_end|>\n"}) {
        const Tokens tokens = model.tokenize(text, false, true);
        for (const llama_token token : tokens) CHECK(model.valid(token));
        CHECK_EQ(model.detokenize(tokens.data(), tokens.size(), true), text);
    }
    std::string noise;
    std::mt19937 random(8);
    while (noise.size() < 100000) noise += static_cast<char>(32 + random() % 95);
    const Tokens tokens = model.tokenize(noise, false, false);
    CHECK_EQ(model.detokenize(tokens.data(), tokens.size(), false), noise);
    std::string pieces;
    for (const llama_token token : tokens) pieces += model.piece(token);
    CHECK_EQ(pieces, noise);
}

TEST(model_reads_control_tokens_only_when_asked) {
    const Model& model = recall();
    const Tokens as_control = model.tokenize("<|im_end|>", false, true),
                 as_text = model.tokenize("<|im_end|>", false, false);
    CHECK_EQ(as_control.size(), 1u);
    CHECK(as_text.size() > 1);
    CHECK(model.ends_generation(as_control[0]));
    CHECK_EQ(model.piece(as_control[0]), "");
    CHECK_EQ(model.detokenize(as_text.data(), as_text.size(), false), "<|im_end|>");
    CHECK(!model.end_tokens().empty());
    CHECK(!model.valid(-1));
    CHECK(!model.valid(model.vocabulary_size()));
}

// Where llama.cpp splits texts by regular expressions, libstdc++ goes one call deeper with each character of a match: a run of
// 30,000 letters ended the process.
TEST(model_reads_runs_without_end) {
    const Directory directory;
    for (const char* splitter : {"gpt-4o", "deepseek-v3", "bloom", "exaone-moe"}) {
        Changes changes;
        changes.texts["tokenizer.ggml.pre"] = splitter;
        const Model model(changed_recall(directory, splitter, changes), 0, [](float) { return true; });
        for (const std::string part : {"a", "A", ".", "1", " ", "\n", "a ", "aB", "a1", "\xC3\xA9", "\xE6\xBC\xA2"}) {
            std::string text = "before ";
            while (text.size() < 70000) text += part;
            text += "<|im_end|> behind";
            const Tokens tokens = model.tokenize(text, true, true);
            CHECK_EQ(model.detokenize(tokens.data(), tokens.size(), true), text);
            CHECK_EQ(
                std::count_if(tokens.begin(), tokens.end(), [&](llama_token t) { return model.ends_generation(t); }),
                1);
        }
    }
}

TEST(model_long_runs_are_cut_where_nothing_comes_apart) {
    const std::vector<std::string> whole = {"im_", "<|im_end|>", "end"};
    std::string usual;
    for (int i = 0; i < 5000; i++) usual += "It is 4 o'clock, dear \xE2\x82\xAC friend.\n\n    ";
    CHECK_EQ(cuts_of_long_runs(usual, whole).size(), 0u);
    CHECK_EQ(cuts_of_long_runs("", whole).size(), 0u);
    CHECK_EQ(cuts_of_long_runs(std::string(longest_run, 'a'), whole).size(), 0u);
    CHECK_EQ(cuts_of_long_runs(std::string(longest_run + 1, 'a'), whole).size(), 1u);
    for (size_t before = longest_run - 20; before < longest_run + 5; before++) {
        std::string text(before, 'a');
        text += "<|im_end|>x";
        const size_t end = text.size() - 1;
        text += std::string(100, 'b');
        for (const size_t cut : cuts_of_long_runs(text, whole)) CHECK(cut <= before || cut >= end);
    }
    // Each letter has two bytes.
    std::string letters;
    for (size_t i = 0; i < 3 * longest_run; i++) letters += "\xC3\xA9";
    const std::vector<size_t> cuts = cuts_of_long_runs(letters, whole);
    CHECK_EQ(cuts.size(), 2u);
    CHECK_EQ(cuts[0], 2 * longest_run);
    CHECK_EQ(cuts[1], 4 * longest_run);
    // What is to be kept whole is too long for that, or is everywhere.
    const std::string endless(10 * longest_run, 'a');
    CHECK_EQ(cuts_of_long_runs(endless, {endless}).size(), 9u);
    CHECK_EQ(cuts_of_long_runs(endless, {"aa"}).size(), 10u);
}

TEST(model_chat_prompt_keeps_the_tokens_that_are_known) {
    const Model& model = recall();
    const Tokens first = chat({"My name is Mosoba."});
    CHECK(spell(first).find("My name is Mosoba.") != std::string::npos);

    // The model may have said its reply in other tokens than the tokeniser would: single letters, say.
    const std::string reply = "Noted: your name is Mosoba.";
    Tokens known = first;
    for (const char letter : reply) {
        const Tokens token = model.tokenize(std::string(1, letter), false, false);
        known.insert(known.end(), token.begin(), token.end());
    }
    const std::vector<std::string> messages = {"My name is Mosoba.", reply, "What is my name?"};
    const Tokens kept = chat(messages, known), anew = chat(messages);
    CHECK(kept.size() > anew.size());
    CHECK(std::equal(known.begin(), known.end(), kept.begin()));
    CHECK_EQ(spell(kept), spell(anew));

    CHECK(chat(messages, chat({"My name is Kasuro."})) == anew); // another conversation's
    CHECK(chat(messages, anew) == anew);
    CHECK(chat({"My name is Mosoba."}, kept) == first); // longer than the prompt
}

TEST(model_template_errors_have_a_code) {
    for (const char* messages : {"", "[", "{}", "42", R"([{"role":42}])", R"([{"content":"no role"}])"}) {
        CHECK_EQ(error_code([&] { recall().prepare_chat(messages, {}, {}); }), "TEMPLATE_INVALID");
    }
}

static Model changed(const Directory& directory, const std::string& name, const Changes& changes) {
    return Model(changed_recall(directory, name, changes), 0, [](float) { return true; });
}

TEST(model_whose_tokeniser_adds_an_end_gets_none_in_a_prompt) {
    const Directory directory;
    Changes changes;
    changes.flags["tokenizer.ggml.add_eos_token"] = true;
    const Model model = changed(directory, "eos.gguf", changes);
    CHECK(llama_vocab_get_add_eos(model.vocab()));
    for (const std::string& text : {std::string("My name is Mosoba."), std::string(), std::string(100000, 'a')})
        CHECK(model.tokenize(text, true, true) == recall().tokenize(text, true, true));
}

TEST(model_whose_template_can_not_be_parsed_completes_texts) {
    const Directory directory;
    Changes changes;
    changes.texts["tokenizer.chat_template"] = "{% for message in messages %}";
    const Model model = changed(directory, "template.gguf", changes);
    CHECK_EQ(error_code([&] { model.prepare_chat(R"([{"role":"user","content":"Hi."}])", {}, {}); }),
             "TEMPLATE_INVALID");
    CHECK(model.tokenize("Hi.", true, true) == recall().tokenize("Hi.", true, true));
}

TEST(model_is_read_by_many_threads_at_once) {
    const Tokens expected = chat({"My name is Mosoba."});
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&] {
            for (int k = 0; k < 30; k++) {
                const Tokens tokens = chat({"My name is Mosoba."});
                if (tokens != expected || spell(tokens) != spell(expected))
                    complain("another prompt in another thread");
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}
