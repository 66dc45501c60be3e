#include "check.h"
#include "utf8.h"

#include <random>

using namespace llama_sessions;

static const std::string replacement = "\xEF\xBF\xBD";

static std::string stream(const std::vector<std::string>& parts) {
    Utf8Stream utf8;
    std::string out;
    for (const std::string& part : parts) out += utf8.push(part);
    return out + utf8.finish();
}

// An independent judge: decodes to numbers and compares them, where the engine compares bytes with a table.
static bool is_valid(const std::string& s) {
    for (size_t i = 0; i < s.size();) {
        const auto lead = static_cast<uint8_t>(s[i]);
        const size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        if (length == 0 || i + length > s.size()) return false;
        uint32_t code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
        for (size_t k = 1; k < length; k++) {
            const auto next = static_cast<uint8_t>(s[i + k]);
            if (next >> 6 != 2) return false;
            code = code << 6 | (next & 63u);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
        i += length;
    }
    return true;
}

TEST(utf8_survives_a_split_at_every_byte) {
    const std::string text = "a\xC2\xA2\xE2\x82\xAC\xF0\x9F\x99\x82z\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF";
    for (size_t i = 0; i <= text.size(); i++) {
        for (size_t j = i; j <= text.size(); j++) {
            CHECK_EQ(stream({text.substr(0, i), text.substr(i, j - i), text.substr(j)}), text);
        }
    }
}

TEST(utf8_gives_a_character_only_when_it_is_whole) {
    Utf8Stream utf8;
    CHECK_EQ(utf8.push("x\xF0\x9F"), "x");
    CHECK(utf8.in_character());
    CHECK_EQ(utf8.push("\x99"), "");
    CHECK(utf8.in_character());
    CHECK_EQ(utf8.push("\x82y"), "\xF0\x9F\x99\x82y");
    CHECK(!utf8.in_character());
    CHECK_EQ(utf8.finish(), "");
}

TEST(utf8_replaces_what_is_cut_off_at_the_end) {
    for (const char* cut : {"\xC3", "\xE2\x82", "\xF0\x9F\x99"})
        CHECK_EQ(stream({std::string("a") + cut}), "a" + replacement);
    Utf8Stream utf8;
    utf8.push("\xC3");
    utf8.finish();
    CHECK_EQ(utf8.finish(), ""); // once
    CHECK_EQ(utf8.push("\xA9"), replacement);
}

// Table 3-8 of the Unicode standard: each maximal part of an ill-formed sequence becomes one U+FFFD.
TEST(utf8_replaces_invalid_bytes) {
    const std::string r = replacement;
    CHECK_EQ(stream({"\x80"}), r);
    CHECK_EQ(stream({"\xFF\xFE"}), r + r);
    CHECK_EQ(stream({"\xC0\xAF"}), r + r);         // overlong '/'
    CHECK_EQ(stream({"\xE0\x80\xAF"}), r + r + r); // overlong, three bytes
    CHECK_EQ(stream({"\xF0\x80\x80\xAF"}), r + r + r + r);
    CHECK_EQ(stream({"\xED\xA0\x80"}), r + r + r);         // a surrogate
    CHECK_EQ(stream({"\xF4\x90\x80\x80"}), r + r + r + r); // above U+10FFFF
    CHECK_EQ(stream({"\xE2\x82"
                     "A"}),
             r + "A");
    CHECK_EQ(stream({"\xF0\x9F\x99"
                     "A"}),
             r + "A");
    CHECK_EQ(stream({"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                     "A"}),
             r + r + r + r + "A");
    CHECK_EQ(stream({"\xC3\xC3\xA9"}), r + "\xC3\xA9");
    CHECK_EQ(stream({std::string("a\0b", 3)}), std::string("a\0b", 3));
}

TEST(utf8_of_random_bytes_is_valid_and_no_split_matters) {
    std::mt19937 random(1);
    // Bytes at which the rules change, so that random ones often nearly make a character.
    const std::string edges = "a\x7F\x80\x8F\x90\x9F\xA0\xBF\xC1\xC2\xDF\xE0\xE2\xED\xEF\xF0\xF1\xF4\xF5\xFF";
    for (int round = 0; round < 20000; round++) {
        std::string bytes;
        for (size_t n = random() % 12; n > 0; n--) {
            bytes += random() % 4 == 0 ? static_cast<char>(random()) : edges[random() % edges.size()];
        }
        const std::string whole = stream({bytes});
        CHECK(is_valid(whole));
        if (is_valid(bytes)) CHECK_EQ(whole, bytes);

        Utf8Stream utf8;
        std::string out;
        for (size_t at = 0; at < bytes.size();) {
            const size_t take = 1 + random() % 3;
            const std::string part = utf8.push(std::string_view(bytes).substr(at, take));
            CHECK(is_valid(part));
            out += part;
            at += take;
        }
        CHECK_EQ(out + utf8.finish(), whole);
    }
}

TEST(utf8_is_as_long_in_utf16_as_javascript_says) {
    CHECK_EQ(utf16_length(""), 0u);
    CHECK_EQ(utf16_length("abc"), 3u);
    CHECK_EQ(utf16_length("z\xC3\xBC\xE4\xB8\xAD"), 3u);        // z, u with dots, a Chinese character
    CHECK_EQ(utf16_length("\xF0\x9F\xA6\x99\xEF\xBF\xBD"), 3u); // a llama: two, and U+FFFD
}
