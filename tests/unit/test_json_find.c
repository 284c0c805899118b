#include "core/json_find.h"

#include <errno.h>
#include <stdlib.h>

#include "core/prng.h"
#include "tests/test.h"

static struct json_value found;
static char text[256];

/* Looks in an exact copy on the heap, so that a sanitizer sees a step past the end. */
static int find_in(struct bytes document, const char *pointer)
{
	uint8_t *copy = malloc(document.size);
	int rc;

	if (document.size)
		memcpy(copy, document.ptr, document.size);
	found = (struct json_value){0};
	rc = json_find(bytes_of(copy, document.size), bytes_of_text(pointer), &found);
	if (rc == 1) {
		EXPECT(found.text.size < sizeof(text));
		EXPECT(found.text.ptr >= copy && found.text.ptr + found.text.size <= copy + document.size);
		memcpy(text, found.text.ptr, found.text.size);
		text[found.text.size] = 0;
	}
	free(copy);
	return rc;
}

static int find(const char *document, const char *pointer)
{
	return find_in(bytes_of_text(document), pointer);
}

static int checked(const char *document)
{
	return find(document, "");
}

#define EXPECT_FOUND(document, pointer, its_kind, its_text) \
	do { \
		EXPECT_EQ(find(document, pointer), 1); \
		EXPECT_EQ(found.kind, its_kind); \
		EXPECT_TEXT(text, its_text); \
	} while (0)

#define MESSAGE \
	"{\"tag\":\"meter1.power\",\"value\":1.5,\"quality\":\"good\",\"ts\":\"2026-01-02T03:04:05." \
	"678901Z\"}"

TEST(the_members_of_our_own_messages_are_found)
{
	EXPECT_FOUND(MESSAGE, "/value", JSON_KIND_NUMBER, "1.5");
	EXPECT_FOUND(MESSAGE, "/quality", JSON_KIND_STRING, "good");
	EXPECT_FOUND(MESSAGE, "/ts", JSON_KIND_STRING, "2026-01-02T03:04:05.678901Z");
	EXPECT_EQ(find(MESSAGE, "/unit"), 0);
}

TEST(the_empty_pointer_is_the_whole_document_without_the_blanks_around_it)
{
	EXPECT_FOUND(" \t\r\n{ } \n", "", JSON_KIND_OBJECT, "{ }");
	EXPECT_FOUND("[]", "", JSON_KIND_ARRAY, "[]");
	EXPECT_FOUND(" 42 ", "", JSON_KIND_NUMBER, "42");
	EXPECT_FOUND("\"\"", "", JSON_KIND_STRING, "");
	EXPECT_FOUND("true", "", JSON_KIND_TRUE, "true");
	EXPECT_FOUND("false", "", JSON_KIND_FALSE, "false");
	EXPECT_FOUND("null", "", JSON_KIND_NULL, "null");
}

/* The document and the pointers of RFC 6901 section 5. */
TEST(the_examples_of_rfc_6901_are_found)
{
	static const char document[] =
		"{\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3,"
		"\"g|h\": 4, \"i\\\\j\": 5, \"k\\\"l\": 6, \" \": 7, \"m~n\": 8}";

	EXPECT_EQ(find(document, ""), 1);
	EXPECT_FOUND(document, "/foo", JSON_KIND_ARRAY, "[\"bar\", \"baz\"]");
	EXPECT_FOUND(document, "/foo/0", JSON_KIND_STRING, "bar");
	EXPECT_FOUND(document, "/foo/1", JSON_KIND_STRING, "baz");
	EXPECT_FOUND(document, "/", JSON_KIND_NUMBER, "0");
	EXPECT_FOUND(document, "/a~1b", JSON_KIND_NUMBER, "1");
	EXPECT_FOUND(document, "/c%d", JSON_KIND_NUMBER, "2");
	EXPECT_FOUND(document, "/e^f", JSON_KIND_NUMBER, "3");
	EXPECT_FOUND(document, "/g|h", JSON_KIND_NUMBER, "4");
	EXPECT_FOUND(document, "/i\\j", JSON_KIND_NUMBER, "5");
	EXPECT_FOUND(document, "/k\"l", JSON_KIND_NUMBER, "6");
	EXPECT_FOUND(document, "/ ", JSON_KIND_NUMBER, "7");
	EXPECT_FOUND(document, "/m~0n", JSON_KIND_NUMBER, "8");
}

TEST(tilde_escapes_are_undone_once_only)
{
	EXPECT_FOUND("{\"~1\":1,\"/\":2}", "/~01", JSON_KIND_NUMBER, "1");
	EXPECT_FOUND("{\"~1\":1,\"/\":2}", "/~1", JSON_KIND_NUMBER, "2");
	EXPECT_FOUND("{\"~\":1}", "/~0", JSON_KIND_NUMBER, "1");
}

TEST(a_name_may_be_written_with_escapes)
{
	EXPECT_FOUND("{\"v\\u0061lue\":1}", "/value", JSON_KIND_NUMBER, "1");
	EXPECT_FOUND("{\"\\u007e\\/\":1}", "/~0~1", JSON_KIND_NUMBER, "1");
	EXPECT_FOUND("{\"\\ud83d\\ude00\":1}", "/\xf0\x9f\x98\x80", JSON_KIND_NUMBER, "1");
	EXPECT_FOUND("{\"\\u00E9\\u20ac\":1}", "/\xc3\xa9\xe2\x82\xac", JSON_KIND_NUMBER, "1");
	EXPECT_EQ(find("{\"v\\u0062lue\":1}", "/value"), 0);
}

TEST(a_name_that_only_begins_alike_is_another)
{
	EXPECT_EQ(find("{\"val\":1}", "/value"), 0);
	EXPECT_EQ(find("{\"value2\":1}", "/value"), 0);
	EXPECT_EQ(find("{\"Value\":1}", "/value"), 0);
	EXPECT_EQ(find("{\"\":1}", "/value"), 0);
	EXPECT_EQ(find("{\"value\":1}", "/"), 0);
}

TEST(the_pointer_leads_through_objects_and_arrays)
{
	static const char document[] =
		"{\"a\":{\"b\":9,\"c\":8},\"b\":[[0,1],[2,{\"c\":[3]}],\"x\"],\"c\":{\"a\":7}}";

	EXPECT_FOUND(document, "/b/1/1/c/0", JSON_KIND_NUMBER, "3");
	EXPECT_FOUND(document, "/b/1/1", JSON_KIND_OBJECT, "{\"c\":[3]}");
	EXPECT_FOUND(document, "/b/0", JSON_KIND_ARRAY, "[0,1]");
	EXPECT_FOUND(document, "/b/2", JSON_KIND_STRING, "x");
	EXPECT_FOUND(document, "/c/a", JSON_KIND_NUMBER, "7");
	EXPECT_FOUND(document, "/a/c", JSON_KIND_NUMBER, "8");
	EXPECT_EQ(find(document, "/a/a"), 0);
	EXPECT_EQ(find(document, "/b/2/0"), 0);
	EXPECT_EQ(find(document, "/b/3"), 0);
	EXPECT_EQ(find(document, "/a/b/c"), 0);
}

TEST(an_index_has_no_leading_zeros_and_nothing_but_digits)
{
	static const char document[] = "[0,1,2,3,4,5,6,7,8,9,\"ten\"]";

	EXPECT_FOUND(document, "/10", JSON_KIND_STRING, "ten");
	EXPECT_FOUND(document, "/0", JSON_KIND_NUMBER, "0");
	EXPECT_EQ(find(document, "/01"), 0);
	EXPECT_EQ(find(document, "/00"), 0);
	EXPECT_EQ(find(document, "/-"), 0);
	EXPECT_EQ(find(document, "/-1"), 0);
	EXPECT_EQ(find(document, "/+1"), 0);
	EXPECT_EQ(find(document, "/1x"), 0);
	EXPECT_EQ(find(document, "/ 1"), 0);
	EXPECT_EQ(find(document, "/:"), 0); /* ':' follows '9' in ASCII: it would be 10 */
	EXPECT_EQ(find(document, "/"), 0);
	EXPECT_EQ(find(document, "/11"), 0);
	EXPECT_EQ(find(document, "/18446744073709551616"), 0); /* 2^64 is not 0 */
}

TEST(digits_and_a_dash_are_plain_names_in_an_object)
{
	EXPECT_FOUND("{\"0\":\"a\",\"-\":\"b\",\"01\":\"c\"}", "/01", JSON_KIND_STRING, "c");
	EXPECT_FOUND("{\"0\":\"a\",\"-\":\"b\",\"01\":\"c\"}", "/-", JSON_KIND_STRING, "b");
	EXPECT_EQ(find("{\"x\":1,\"y\":2}", "/1"), 0);
}

TEST(of_members_with_the_same_name_the_first_counts)
{
	EXPECT_FOUND("{\"a\":1,\"a\":2}", "/a", JSON_KIND_NUMBER, "1");
	EXPECT_FOUND("{\"a\":[1],\"a\":[2,3]}", "/a", JSON_KIND_ARRAY, "[1]");
	EXPECT_FOUND("{\"a\":{\"b\":1},\"a\":{\"b\":2}}", "/a/b", JSON_KIND_NUMBER, "1");
	EXPECT_EQ(find("{\"a\":{\"c\":1},\"a\":{\"b\":2}}", "/a/b"), 0);
	EXPECT_EQ(find("{\"a\":5,\"a\":{\"b\":2}}", "/a/b"), 0);
	EXPECT_EQ(find("{\"a\":[],\"a\":[7]}", "/a/0"), 0);
	EXPECT_EQ(find("[5,{\"b\":2}]", "/0/b"), 0);
}

TEST(what_is_no_pointer_finds_nothing_in_a_sound_document_and_hides_no_fault)
{
	EXPECT_EQ(find("{\"a\":1}", "a"), 0);
	EXPECT_EQ(find("{\"a~\":1}", "/a~"), 0);
	EXPECT_EQ(find("{\"a~2\":1,\"a/\":1}", "/a~2"), 0);
	EXPECT_EQ(find("{\"a\":1", "a"), -EINVAL);
}

TEST(a_pointer_is_empty_or_begins_with_a_slash_and_escapes_with_0_and_1_only)
{
	EXPECT(json_pointer_valid(bytes_of(NULL, 0)));
	EXPECT(json_pointer_valid(bytes_of_text("/")));
	EXPECT(json_pointer_valid(bytes_of_text("//a~0~1/\xc3\xa9")));
	EXPECT(!json_pointer_valid(bytes_of_text("a")));
	EXPECT(!json_pointer_valid(bytes_of_text("#/a")));
	EXPECT(!json_pointer_valid(bytes_of_text("/~")));
	EXPECT(!json_pointer_valid(bytes_of_text("/~2")));
	EXPECT(!json_pointer_valid(bytes_of_text("/a~/b")));
	EXPECT(!json_pointer_valid(bytes_of_text("/\xff")));
	EXPECT(!json_pointer_valid(bytes_of_text("/\xc3")));
}

TEST(a_fault_behind_the_value_is_a_fault_of_the_document)
{
	EXPECT_EQ(find("{\"a\":1,\"b\":}", "/a"), -EINVAL);
	EXPECT_EQ(find("{\"a\":1} x", "/a"), -EINVAL);
	EXPECT_EQ(find("{\"a\":1", "/a"), -EINVAL);
	EXPECT_EQ(find("{\"a\":[1}", "/a"), -EINVAL);
	EXPECT_EQ(find("{\"a\":1}}", "/a"), -EINVAL);
}

TEST(nothing_is_written_where_nothing_is_found)
{
	struct json_value kept = {.kind = JSON_KIND_TRUE, .text = bytes_of_text("kept")};

	EXPECT_EQ(json_find(bytes_of_text("{}"), bytes_of_text("/a"), &kept), 0);
	EXPECT_EQ(json_find(bytes_of_text("{\"a\":1"), bytes_of_text("/a"), &kept), -EINVAL);
	EXPECT_EQ(kept.kind, JSON_KIND_TRUE);
	EXPECT_TEXT((const char *)kept.text.ptr, "kept");
}

TEST(what_the_grammar_does_not_have_is_refused)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"[",
		"]",
		",",
		":",
		"\"",
		"{]",
		"[}",
		"[1,]",
		"[,1]",
		"[,]",
		"[1 2]",
		"[1,,2]",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{,}",
		"{\"a\" 1}",
		"{\"a\":1 \"b\":2}",
		"{a:1}",
		"{1:1}",
		"{'a':1}",
		"{\"a\":1,,\"b\":2}",
		"{\"a\"::1}",
		"{\"a\";1}",
		"{\"a\":1:2}",
		"{null:1}",
		"{[]:1}",
		"[\"a\":1]",
		"[1",
		"{\"a\":[1,2}",
		"1 2",
		"{}{}",
		"[]]",
		"null null",
		"nul",
		"nulL",
		"Null",
		"True",
		"truefalse",
		"tru",
		"fals",
		"falsey",
		"NaN",
		"Infinity",
		"-Infinity",
		"undefined",
		"/**/1",
		"1//",
		"1,",
		"\xef\xbb\xbf{}",
		"\v1",
		"\f1",
		"\xc2\xa0"
		"1",
	};

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		ck_assert_msg(checked(bad[i]) == -EINVAL, "%s is accepted", bad[i]);
}

TEST(a_zero_byte_ends_nothing)
{
	EXPECT_EQ(find_in(bytes_of("1\0", 2), ""), -EINVAL);
	EXPECT_EQ(find_in(bytes_of("[1\0]", 4), ""), -EINVAL);
	EXPECT_EQ(find_in(bytes_of("\"a\0b\"", 5), ""), -EINVAL);
	EXPECT_EQ(find_in(bytes_of("\0", 1), ""), -EINVAL);
	EXPECT_EQ(json_find(bytes_of(NULL, 0), bytes_of(NULL, 0), &found), -EINVAL);
}

TEST(numbers_are_those_of_the_grammar)
{
	static const char *const good[] = {
		"0",    "-0",   "1",       "-1",    "10",      "1234567890123456789012345678901234567890",
		"0.0",  "-0.5", "1.25",    "1e5",   "1E5",     "1e+5",
		"1e-5", "0e0",  "1.5e300", "1e999", "0.00000", "1e0005"};
	static const char *const bad[] = {"-",     "+1",   "01",   "-01",     "00",    ".5",   "1.",
					  "-.5",   "1.e5", "1e",   "1e+",     "1e-",   "1.5e", "0x1",
					  "1_000", "1,5",  "--1",  "1-",      "1e5.5", "e5",   "1f",
					  "0e",    "- 1",  "1 .5", "\xd9\xa1"};

	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		ck_assert_msg(checked(good[i]) == 1 && found.kind == JSON_KIND_NUMBER, "%s is refused",
			      good[i]);
		EXPECT_TEXT(text, good[i]);
		EXPECT(json_number_valid(bytes_of_text(good[i])));
	}
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		ck_assert_msg(checked(bad[i]) == -EINVAL, "%s is accepted", bad[i]);
		EXPECT(!json_number_valid(bytes_of_text(bad[i])));
	}
	EXPECT(!json_number_valid(bytes_of(NULL, 0)));
	EXPECT(!json_number_valid(bytes_of_text(" 1")));
	EXPECT(!json_number_valid(bytes_of_text("1 ")));
}

TEST(strings_have_the_escapes_of_the_grammar_and_no_others)
{
	static const char *const good[] = {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
					   "\"\\u0041\\u00e9\\uABCD\\uffff\"",
					   "\"\\u0000\"",
					   "\"\\ud800\\udc00\"",
					   "\"\\uDBFF\\uDFFF\"",
					   "\"\x7f\""};
	static const char *const bad[] = {"\"\\a\"",
					  "\"\\'\"",
					  "\"\\0\"",
					  "\"\\x41\"",
					  "\"\\U0041\"",
					  "\"\\u\"",
					  "\"\\u004\"",
					  "\"\\u00g0\"",
					  "\"\\u 041\"",
					  "\"\\u+041\"",
					  "\"\\\"",
					  "\"\\",
					  "\"\\u004",
					  "\"a\nb\"",
					  "\"a\tb\"",
					  "\"a\x1f\"",
					  "\"abc",
					  "'abc'",
					  "\"abcdefghijklm\n\"",
					  "\"abcdefgh\\qijklmnop\"",
					  "\"\\\n\""};

	for (size_t i = 0; i < ARRAY_COUNT(good); i++)
		ck_assert_msg(checked(good[i]) == 1 && found.kind == JSON_KIND_STRING, "%s is refused",
			      good[i]);
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		ck_assert_msg(checked(bad[i]) == -EINVAL, "%s is accepted", bad[i]);
}

TEST(a_surrogate_without_its_partner_is_refused)
{
	EXPECT_EQ(checked("\"\\ud800\""), -EINVAL);
	EXPECT_EQ(checked("\"\\udbffx\""), -EINVAL);
	EXPECT_EQ(checked("\"\\udc00\""), -EINVAL);
	EXPECT_EQ(checked("\"\\udfff\\ud800\""), -EINVAL);
	EXPECT_EQ(checked("\"\\ud800\\ud800\""), -EINVAL);
	EXPECT_EQ(checked("\"\\ud800\\ue000\""), -EINVAL);
	EXPECT_EQ(checked("\"\\ud800\\u0041\""), -EINVAL);
	EXPECT_EQ(checked("\"\\ud800\\n\""), -EINVAL);
	EXPECT_EQ(checked("\"\\ud800udc00\""), -EINVAL);
	EXPECT_EQ(checked("\"\\ud800\\udc0\""), -EINVAL);
}

TEST(text_is_well_formed_utf8)
{
	static const char *const good[] = {
		"\"\xc2\x80\"",         "\"\xdf\xbf\"",         "\"\xe0\xa0\x80\"",
		"\"\xed\x9f\xbf\"",     "\"\xee\x80\x80\"",     "\"\xef\xbf\xbf\"",
		"\"\xf0\x90\x80\x80\"", "\"\xf4\x8f\xbf\xbf\"", "\"abcdefg\xc3\xa9hijklmnop\""};
	static const char *const bad[] = {"\"\x80\"",
					  "\"\xbf\"",
					  "\"\xc0\x80\"",
					  "\"\xc1\xbf\"",
					  "\"\xc2\"",
					  "\"\xc2\x7f\"",
					  "\"\xc3\xc3\"",
					  "\"\xe0\x9f\xbf\"",
					  "\"\xe0\xa0\"",
					  "\"\xe1\x80\x7f\"",
					  "\"\xe1\x80\xc0\"",
					  "\"\xed\xa0\x80\"",
					  "\"\xed\xbf\xbf\"",
					  "\"\xf0\x8f\xbf\xbf\"",
					  "\"\xf0\x90\x80\"",
					  "\"\xf0\x90\x80\x41\"",
					  "\"\xf4\x90\x80\x80\"",
					  "\"\xf5\x80\x80\x80\"",
					  "\"\xfe\"",
					  "\"\xff\"",
					  "\"\xe2\x82",
					  "\xc3\xa9",
					  "{\"\xff\":1}"};

	for (size_t i = 0; i < ARRAY_COUNT(good); i++)
		ck_assert_msg(checked(good[i]) == 1, "good %zu is refused", i);
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		ck_assert_msg(checked(bad[i]) == -EINVAL, "bad %zu is accepted", i);
}

/* Each byte at each place of a word of eight, so that the words of the scan meet it at every offset. */
TEST(every_byte_is_judged_alike_wherever_it_stands)
{
	char document[32];

	for (int c = 0; c < 256; c++) {
		bool plain = c >= 0x20 && c < 0x80 && c != '\\' && c != '"';

		for (size_t place = 1; place <= 20; place++) {
			memset(document, 'x', sizeof(document));
			document[0] = document[21] = '"';
			document[place] = (char)c;
			EXPECT_EQ(find_in(bytes_of(document, 22), ""), plain ? 1 : -EINVAL);
		}
	}
}

TEST(the_deepest_document_that_is_accepted_has_sixty_four_levels)
{
	char document[2 * (JSON_DEPTH_MAX + 1)];

	for (size_t depth = 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(document, '[', depth);
		memset(document + depth, ']', depth);
		EXPECT_EQ(find_in(bytes_of(document, 2 * depth), ""), depth <= JSON_DEPTH_MAX ? 1 : -EINVAL);
	}
}

TEST(a_value_at_the_deepest_level_is_found_and_each_bracket_closes_its_own_kind)
{
	char document[6 * JSON_DEPTH_MAX + 2], pointer[2 * JSON_DEPTH_MAX + 1];
	size_t size = 0;

	for (int i = 0; i < JSON_DEPTH_MAX; i++) {
		memcpy(document + size, i % 3 ? "{\"0\":" : "[", i % 3 ? 5 : 1);
		size += i % 3 ? 5 : 1;
		memcpy(pointer + 2 * i, "/0", 3);
	}
	document[size++] = '7';
	for (int i = JSON_DEPTH_MAX - 1; i >= 0; i--)
		document[size++] = i % 3 ? '}' : ']';
	EXPECT_EQ(find_in(bytes_of(document, size), pointer), 1);
	EXPECT_TEXT(text, "7");
	document[size - 1] = '}';
	EXPECT_EQ(find_in(bytes_of(document, size), pointer), -EINVAL);
}

TEST(a_document_that_is_cut_off_is_refused_wherever_it_is_cut)
{
	static const char document[] = "{\"a\":[1,\"\\u00e9\xc3\xa9\",{\"b\":null}],\"value\":true}";

	for (size_t size = 0; size < sizeof(document) - 1; size++)
		EXPECT_EQ(find_in(bytes_of(document, size), "/value"), -EINVAL);
	EXPECT_EQ(find_in(bytes_of(document, sizeof(document) - 1), "/value"), 1);
}

/* ------------------------------------------------------------------------------------------ several members */

static struct bytes names[3];
static struct json_value members[3];

static int find_members(const char *document, const char *pointer)
{
	names[0] = bytes_of_text("value");
	names[1] = bytes_of_text("quality");
	names[2] = bytes_of_text("ts");
	memset(members, 0xff, sizeof(members));
	return json_find_members(bytes_of_text(document), bytes_of_text(pointer), names, 3, members);
}

#define EXPECT_MEMBER(i, its_kind, its_text) \
	do { \
		EXPECT_EQ(members[i].kind, its_kind); \
		EXPECT(bytes_equal(members[i].text, bytes_of_text(its_text))); \
	} while (0)

TEST(several_members_are_found_in_one_walk)
{
	EXPECT_EQ(find_members(MESSAGE, ""), 3);
	EXPECT_MEMBER(0, JSON_KIND_NUMBER, "1.5");
	EXPECT_MEMBER(1, JSON_KIND_STRING, "good");
	EXPECT_MEMBER(2, JSON_KIND_STRING, "2026-01-02T03:04:05.678901Z");
}

TEST(members_that_are_not_there_have_no_text)
{
	EXPECT_EQ(find_members("{\"quality\":[1,[2]],\"x\":{\"value\":1}}", ""), 1);
	EXPECT(!members[0].text.ptr);
	EXPECT_MEMBER(1, JSON_KIND_ARRAY, "[1,[2]]");
	EXPECT(!members[2].text.ptr);
}

TEST(members_are_those_of_the_object_at_the_pointer_only)
{
	EXPECT_EQ(find_members(
			  "{\"value\":0,\"d\":[{\"value\":1},{\"ts\":{\"ts\":3},\"value\":2}],\"quality\":9}",
			  "/d/1"),
		  2);
	EXPECT_MEMBER(0, JSON_KIND_NUMBER, "2");
	EXPECT(!members[1].text.ptr);
	EXPECT_MEMBER(2, JSON_KIND_OBJECT, "{\"ts\":3}");
}

TEST(of_several_members_too_the_first_with_a_name_counts)
{
	EXPECT_EQ(find_members("{\"value\":{\"value\":1},\"value\":2,\"v\\u0061lue\":3}", ""), 1);
	EXPECT_MEMBER(0, JSON_KIND_OBJECT, "{\"value\":1}");
}

TEST(what_is_no_object_has_no_members)
{
	EXPECT_EQ(find_members("[1,{\"value\":1}]", ""), 0);
	EXPECT_EQ(find_members("{\"value\":1}", "/value"), 0);
	EXPECT_EQ(find_members("{\"value\":1}", "/none"), 0);
	EXPECT_EQ(find_members("5", ""), 0);
	EXPECT(!members[0].text.ptr);
}

TEST(members_of_a_faulty_document_are_not_handed_out)
{
	EXPECT_EQ(find_members("{\"value\":1,\"ts\":2", ""), -EINVAL);
	EXPECT(!members[0].text.ptr);
	EXPECT(!members[2].text.ptr);
}

TEST(an_object_is_gone_through_member_by_member)
{
	struct json_members it;
	struct json_value value;
	struct bytes key_raw;
	static const struct {
		const char *key, *text;
		enum json_kind kind;
	} expected[] = {
		{"a", "1", JSON_KIND_NUMBER},           {"b}", "{\"x\":\"]}\\\"\"}", JSON_KIND_OBJECT},
		{"\\u0063", "a,b", JSON_KIND_STRING},   {"d", "[ [] , {} ]", JSON_KIND_ARRAY},
		{"", "null", JSON_KIND_NULL},           {"a", "true", JSON_KIND_TRUE},
		{"f", "false", JSON_KIND_FALSE},        {"g", "-1.5e3", JSON_KIND_NUMBER},
		{"h", "[\"[\",\"{\"]", JSON_KIND_ARRAY}};

	EXPECT_EQ(
		json_find(
			bytes_of_text(
				"[{ \"a\" : 1,\"b}\":{\"x\":\"]}\\\"\"} ,\"\\u0063\":\"a,b\",\"d\":[ [] , {} "
				"],"
				"\"\":null,\"a\":true,\"f\":false , \"g\":-1.5e3, \"h\":[\"[\",\"{\"] },2]"),
			bytes_of_text("/0"), &value),
		1);
	it = json_members_of(value);
	for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
		EXPECT(json_next_member(&it, &key_raw, &value));
		EXPECT(bytes_equal(key_raw, bytes_of_text(expected[i].key)));
		EXPECT(bytes_equal(value.text, bytes_of_text(expected[i].text)));
		EXPECT_EQ(value.kind, expected[i].kind);
	}
	EXPECT(!json_next_member(&it, &key_raw, &value));
	EXPECT(!json_next_member(&it, &key_raw, &value));
}

TEST(an_empty_object_and_what_is_no_object_have_no_member_to_go_through)
{
	static const char *const documents[] = {"{}", "{ }", "[\"a\",1]", "\"{\\\"a\\\":1}\"", "1"};

	for (size_t i = 0; i < ARRAY_COUNT(documents); i++) {
		struct json_value value;
		struct json_members it;
		struct bytes key_raw;

		EXPECT_EQ(json_find(bytes_of_text(documents[i]), bytes_of(NULL, 0), &value), 1);
		it = json_members_of(value);
		EXPECT(!json_next_member(&it, &key_raw, &value));
	}
}

/* ------------------------------------------------------------------------------------------ strings, names */

static int unescape(const char *raw, size_t room_bytes)
{
	memset(text, '#', sizeof(text));
	return json_unescape((struct json_value){.kind = JSON_KIND_STRING, .text = bytes_of_text(raw)},
			     (uint8_t *)text, room_bytes);
}

TEST(a_string_is_given_out_without_its_escapes)
{
	EXPECT_EQ(unescape("plain", 16), 5);
	EXPECT_MEM(text, "plain#", 6);
	EXPECT_EQ(unescape("\\\"\\\\\\/\\b\\f\\n\\r\\t", 16), 8);
	EXPECT_MEM(text, "\"\\/\b\f\n\r\t#", 9);
	EXPECT_EQ(unescape("a\\u0000b", 16), 3);
	EXPECT_MEM(text, "a\0b#", 4);
	EXPECT_EQ(unescape("\\u007f\\u0080\\u07ff\\u0800\\uffff", 16), 11);
	EXPECT_MEM(text, "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf#", 12);
	EXPECT_EQ(unescape("\\ud800\\udc00\\uDBFF\\uDFFF\xc3\xa9", 16), 10);
	EXPECT_MEM(text, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\xc3\xa9#", 11);
}

TEST(a_string_needs_room_for_all_of_it)
{
	EXPECT_EQ(unescape("abc", 3), 3);
	EXPECT_EQ(unescape("abc", 2), -ENOSPC);
	EXPECT_EQ(unescape("\\u20ac", 2), -ENOSPC);
	EXPECT_MEM(text, "###", 3);
	EXPECT_EQ(unescape("", 0), 0);
	EXPECT_EQ(json_unescape((struct json_value){.kind = JSON_KIND_NUMBER, .text = bytes_of_text("1")},
				(uint8_t *)text, 9),
		  -EINVAL);
}

TEST(keys_are_compared_as_characters)
{
	EXPECT(json_key_equal(bytes_of_text("value"), bytes_of_text("value")));
	EXPECT(json_key_equal(bytes_of_text("\\u0076alu\\u0065"), bytes_of_text("value")));
	EXPECT(json_key_equal(bytes_of_text("a~0\\/"), bytes_of_text("a~0/")));
	EXPECT(json_key_equal(bytes_of(NULL, 0), bytes_of(NULL, 0)));
	EXPECT(!json_key_equal(bytes_of_text("a"), bytes_of(NULL, 0)));
	EXPECT(!json_key_equal(bytes_of(NULL, 0), bytes_of_text("a")));
	EXPECT(!json_key_equal(bytes_of_text("a\\u0000"), bytes_of_text("a")));
	EXPECT(!json_key_equal(bytes_of_text("\\u00e9"), bytes_of_text("\xc3")));
	EXPECT(!json_key_equal(bytes_of_text("\\u00e9"), bytes_of_text("\xc3\xa8")));
	EXPECT(!json_key_equal(bytes_of_text("\\q"), bytes_of_text("q")));
}
