/* The grammar of JSON-RPC 2.0 and the cutting of a stream into lines. */
#include "proto/jsonrpc.h"

#include <errno.h>

#include "proto/line_framer.h"
#include "tests/test.h"

/* The code that the line is refused with; 0: it is a request. */
static int code_of(const char *line)
{
	struct jsonrpc_error why = {0};
	struct jsonrpc_request r;
	int rc = jsonrpc_request_parse(&r, bytes_of_text(line), &why);

	EXPECT_EQ(rc, why.code ? -EPROTO : 0);
	EXPECT_EQ(why.code != 0, why.text[0] != '\0');
	jsonrpc_request_free(&r);
	return why.code;
}

/* As it would be sent. */
static void expect_text(json_t *message, const char *wanted)
{
	char *text = json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);

	EXPECT(text != NULL);
	EXPECT_TEXT(text, wanted);
	free(text);
	json_decref(message);
}

TEST(request_with_everything_is_taken_apart)
{
	struct jsonrpc_error why = {0};
	struct jsonrpc_request r;

	EXPECT_EQ(
		jsonrpc_request_parse(
			&r,
			bytes_of_text("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\",\"params\":{\"a\":1}}"),
			&why),
		0);
	EXPECT_TEXT(r.method, "m");
	EXPECT_EQ(r.method_bytes, 1);
	EXPECT_EQ(json_integer_value(r.id), 7);
	EXPECT_EQ(json_integer_value(json_object_get(r.params, "a")), 1);
	jsonrpc_request_free(&r);
}

TEST(request_without_id_is_a_notification)
{
	struct jsonrpc_error why = {0};
	struct jsonrpc_request r;

	EXPECT_EQ(jsonrpc_request_parse(&r, bytes_of_text("{\"jsonrpc\":\"2.0\",\"method\":\"m\"}"), &why),
		  0);
	EXPECT(!r.id);
	EXPECT(!r.params);
	jsonrpc_request_free(&r);
	EXPECT_EQ(jsonrpc_request_parse(
			  &r, bytes_of_text("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":null}"), &why),
		  0);
	EXPECT(json_is_null(r.id)); /* an id all the same */
	jsonrpc_request_free(&r);
}

TEST(what_is_not_json_is_a_parse_error)
{
	EXPECT_EQ(code_of(""), JSONRPC_PARSE_ERROR);
	EXPECT_EQ(code_of("{"), JSONRPC_PARSE_ERROR);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"m\"} x"), JSONRPC_PARSE_ERROR);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}"), JSONRPC_PARSE_ERROR);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"a\\u0000b\"}"), JSONRPC_PARSE_ERROR);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":99999999999999999999}"),
		  JSONRPC_PARSE_ERROR);
}

TEST(duplicate_names_are_a_parse_error)
{
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"method\":\"n\"}"), JSONRPC_PARSE_ERROR);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"a\":1,\"a\":2}}"),
		  JSONRPC_PARSE_ERROR);
}

TEST(depth_is_bounded)
{
	static char deep[JSONRPC_LINE_BYTES_MAX];

	memset(deep, '[', sizeof(deep) - 1);
	EXPECT_EQ(code_of(deep), JSONRPC_PARSE_ERROR);
}

TEST(what_is_not_a_request_is_an_invalid_request)
{
	EXPECT_EQ(code_of("1"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("{}"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("[]"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("[{\"jsonrpc\":\"2.0\",\"method\":\"m\"}]"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("{\"method\":\"m\"}"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"1.0\",\"method\":\"m\"}"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("{\"jsonrpc\":2.0,\"method\":\"m\"}"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":1}"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":{}}"), JSONRPC_INVALID_REQUEST);
	EXPECT_EQ(code_of("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":1}"), JSONRPC_INVALID_REQUEST);
}

TEST(invalid_request_keeps_the_id_it_has)
{
	struct jsonrpc_error why = {0};
	struct jsonrpc_request r;

	EXPECT_EQ(jsonrpc_request_parse(&r, bytes_of_text("{\"jsonrpc\":\"2.0\",\"id\":\"a\"}"), &why),
		  -EPROTO);
	EXPECT_TEXT(json_string_value(r.id), "a");
	expect_text(jsonrpc_failure(r.id, &why),
		    "{\"error\":{\"code\":-32600,\"message\":\"method is missing or not a "
		    "text\"},\"id\":\"a\",\"jsonrpc\":\"2.0\"}");
	jsonrpc_request_free(&r);
}

TEST(messages_are_built_as_the_specification_says)
{
	struct jsonrpc_error why;
	json_t *id = json_integer(3);

	jsonrpc_error_set(&why, JSONRPC_METHOD_NOT_FOUND, "no %s", "such");
	expect_text(jsonrpc_result(id, json_true()), "{\"id\":3,\"jsonrpc\":\"2.0\",\"result\":true}");
	expect_text(jsonrpc_failure(NULL, &why),
		    "{\"error\":{\"code\":-32601,\"message\":\"no such\"},\"id\":null,\"jsonrpc\":\"2.0\"}");
	expect_text(jsonrpc_notification("n", json_array()),
		    "{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":[]}");
	expect_text(jsonrpc_call(id, "m", NULL), "{\"id\":3,\"jsonrpc\":\"2.0\",\"method\":\"m\"}");
	EXPECT_EQ(id->refcount, 1);
	json_decref(id);
}

TEST(error_text_that_is_too_long_is_cut_between_characters)
{
	struct jsonrpc_error why;
	char text[400];

	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	text[sizeof(text) - 2] = '\0';
	for (size_t shift = 0; shift < 2; shift++) {
		jsonrpc_error_set(&why, JSONRPC_INVALID_PARAMS, "%s%s", shift ? "x" : "", text);
		json_t *message = jsonrpc_failure(NULL, &why);

		EXPECT(message != NULL);
		EXPECT_LE(sizeof(why.text) - 4, strlen(why.text));
		json_decref(message);
	}
}

TEST(replies_are_results_errors_or_notifications)
{
	struct jsonrpc_error why;
	struct jsonrpc_reply r;

	EXPECT_EQ(jsonrpc_reply_parse(&r, bytes_of_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":5}"), &why),
		  0);
	EXPECT_EQ(json_integer_value(r.result), 5);
	jsonrpc_reply_free(&r);
	EXPECT_EQ(jsonrpc_reply_parse(
			  &r,
			  bytes_of_text(
				  "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-1,\"message\":\"x\"}}"),
			  &why),
		  0);
	EXPECT(r.error && !r.result);
	jsonrpc_reply_free(&r);
	EXPECT_EQ(jsonrpc_reply_parse(
			  &r, bytes_of_text("{\"jsonrpc\":\"2.0\",\"method\":\"u\",\"params\":{}}"), &why),
		  0);
	EXPECT_TEXT(r.method, "u");
	jsonrpc_reply_free(&r);
}

TEST(malformed_replies_are_refused)
{
	static const char *const lines[] = {
		"5",
		"{\"id\":1,\"result\":5}",
		"{\"jsonrpc\":\"2.0\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":5,\"error\":{\"code\":-1,\"message\":\"x\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":\"a\",\"message\":\"x\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":5}",
		"{\"jsonrpc\":\"2.0\",\"method\":5}"};

	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		struct jsonrpc_error why;
		struct jsonrpc_reply r;

		EXPECT_EQ(jsonrpc_reply_parse(&r, bytes_of_text(lines[i]), &why), -EPROTO);
		jsonrpc_reply_free(&r);
	}
}

/* --- lines ---------------------------------------------------------------------------------------------------------- */

static void fill(struct line_framer *f, const char *text, size_t size_bytes)
{
	struct writer room = line_framer_room(f);

	EXPECT_LE(size_bytes, writer_left(&room));
	memcpy(room.at, text, size_bytes);
	line_framer_filled(f, size_bytes);
}

TEST(lines_are_the_same_however_the_stream_is_split)
{
	static const char stream[] = "one\n\nthree and more\n";
	static const char *const wanted[] = {"one", "", "three and more"};

	for (size_t piece = 1; piece < sizeof(stream); piece++) {
		char buffer[64];
		struct line_framer f;
		struct bytes line;
		size_t count = 0;

		line_framer_init(&f, buffer, sizeof(buffer));
		for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
			fill(&f, stream + at, min_size(piece, sizeof(stream) - 1 - at));
			while (line_framer_next(&f, &line)) {
				EXPECT(count < ARRAY_COUNT(wanted));
				EXPECT(bytes_equal(line, bytes_of_text(wanted[count])));
				count++;
			}
		}
		EXPECT_EQ(count, ARRAY_COUNT(wanted));
		EXPECT(!line_framer_overflowed(&f));
	}
}

TEST(longest_line_fits_and_one_byte_more_overflows)
{
	char buffer[8];
	struct line_framer f;
	struct bytes line;

	line_framer_init(&f, buffer, sizeof(buffer));
	fill(&f, "1234567\n", 8);
	EXPECT(line_framer_next(&f, &line));
	EXPECT_EQ(line.size, 7);
	EXPECT(!line_framer_next(&f, &line));
	EXPECT(!line_framer_overflowed(&f));
	fill(&f, "12345678", 8);
	EXPECT(!line_framer_next(&f, &line));
	EXPECT(line_framer_overflowed(&f));
}

TEST(full_buffer_with_a_line_before_is_no_overflow)
{
	char buffer[8];
	struct line_framer f;
	struct bytes line;

	line_framer_init(&f, buffer, sizeof(buffer));
	fill(&f, "1\n345678", 8);
	EXPECT(line_framer_next(&f, &line));
	EXPECT(!line_framer_next(&f, &line));
	EXPECT(!line_framer_overflowed(&f));
	fill(&f, "\n", 1);
	EXPECT(line_framer_next(&f, &line));
	EXPECT(bytes_equal(line, bytes_of_text("345678")));
}
