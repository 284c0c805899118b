#include "core/payload.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/prng.h"
#include "tests/test.h"

static const struct wall moment = {.ns = 1767323045678901000};
static char out[2048];

static struct payload_item item(const char *name, struct value value)
{
	return (struct payload_item){
		.name = bytes_of_text(name),
		.sample = {.value = value, .quality = TAG_GOOD, .valued = true, .time = moment},
	};
}

/* The text of one tag, in exactly the room that is promised to be enough. */
static const char *tag_text(enum cfg_payload format, const struct payload_item *it)
{
	struct time_cache cache = {0};
	struct writer w = writer_of(out, payload_tag_bytes_max(it->name.size));

	memset(out, '#', sizeof(out));
	payload_write_tag(&w, format, it, &cache);
	EXPECT(!w.failed);
	EXPECT_EQ(*w.at, '#');
	*w.at = 0;
	return out;
}

static const char *json(struct value value)
{
	struct payload_item it = item("m1.p", value);

	return tag_text(CFG_PAYLOAD_JSON, &it);
}

static const char *plain(struct value value)
{
	struct payload_item it = item("m1.p", value);

	return tag_text(CFG_PAYLOAD_TEXT, &it);
}

static const char *group_text(const struct payload_item *items, uint32_t count)
{
	struct time_cache cache = {0};
	size_t room_bytes = PAYLOAD_GROUP_BYTES;

	for (uint32_t i = 0; i < count; i++)
		room_bytes += payload_tag_bytes_max(items[i].name.size);
	EXPECT_LE(room_bytes, sizeof(out) - 1);
	struct writer w = writer_of(out, room_bytes);

	payload_group_begin(&w, moment, &cache);
	for (uint32_t i = 0; i < count; i++)
		payload_group_add(&w, i, &items[i], &cache);
	payload_group_end(&w);
	EXPECT(!w.failed);
	*w.at = 0;
	return out;
}

TEST(one_tag_as_json_is_what_the_interface_promises)
{
	EXPECT_TEXT(json(value_of_float64(1.5)), "{\"tag\":\"m1.p\",\"value\":1.5,\"quality\":\"good\","
						 "\"ts\":\"2026-01-02T03:04:05.678901Z\"}");
}

TEST(one_tag_as_text_is_its_value_alone)
{
	EXPECT_TEXT(plain(value_of_float64(1.5)), "1.5");
	EXPECT_TEXT(plain(value_of_bool(true)), "true");
	EXPECT_TEXT(plain(value_of_bool(false)), "false");
	EXPECT_TEXT(plain(value_of_float32(0.1f)), "0.1");
}

TEST(integers_of_64_bits_are_exact)
{
	EXPECT_TEXT(plain(value_of_uint(UINT64_MAX)), "18446744073709551615");
	EXPECT_TEXT(plain(value_of_int(INT64_MIN)), "-9223372036854775808");
	EXPECT(strstr(json(value_of_uint(UINT64_MAX)), "\"value\":18446744073709551615,"));
}

TEST(what_is_not_a_number_is_null_in_json_and_nothing_in_text)
{
	static const double not_numbers[] = {NAN, INFINITY, -INFINITY};

	for (size_t i = 0; i < ARRAY_COUNT(not_numbers); i++) {
		EXPECT(strstr(json(value_of_float64(not_numbers[i])), "\"value\":null,\"quality\":\"good\""));
		EXPECT(strstr(json(value_of_float32((float)not_numbers[i])), "\"value\":null,"));
		EXPECT_TEXT(plain(value_of_float64(not_numbers[i])), "");
	}
}

TEST(a_tag_that_was_never_read_is_null_and_bad)
{
	struct payload_item it = {.name = bytes_of_text("m1.p"),
				  .sample = {.quality = TAG_NEVER, .time = moment}};

	EXPECT(strstr(tag_text(CFG_PAYLOAD_JSON, &it), "\"value\":null,\"quality\":\"bad\","));
	EXPECT_TEXT(tag_text(CFG_PAYLOAD_TEXT, &it), "");
}

TEST(a_tag_gone_bad_keeps_its_last_value_and_says_bad)
{
	struct payload_item it = item("m1.p", value_of_int(-7));
	static const enum tag_quality bad[] = {TAG_BAD_CONNECTION, TAG_BAD_TIMEOUT, TAG_BAD_DEVICE,
					       TAG_BAD_FRAME};

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		it.sample.quality = bad[i];
		EXPECT(strstr(tag_text(CFG_PAYLOAD_JSON, &it), "\"value\":-7,\"quality\":\"bad\","));
	}
}

TEST(a_group_as_json_names_each_tag_once)
{
	const struct payload_item items[] = {item("m1.a", value_of_int(1)),
					     item("m1.b", value_of_bool(true))};

	EXPECT_TEXT(
		group_text(items, 2),
		"{\"ts\":\"2026-01-02T03:04:05.678901Z\",\"values\":{"
		"\"m1.a\":{\"value\":1,\"quality\":\"good\",\"ts\":\"2026-01-02T03:04:05.678901Z\"},"
		"\"m1.b\":{\"value\":true,\"quality\":\"good\",\"ts\":\"2026-01-02T03:04:05.678901Z\"}}}");
}

TEST(an_empty_group_is_still_json)
{
	EXPECT_TEXT(group_text(NULL, 0), "{\"ts\":\"2026-01-02T03:04:05.678901Z\",\"values\":{}}");
}

/* The promised room is enough for the longest of everything, in every place. */
TEST(the_longest_values_fit_into_the_promised_room)
{
	static const double longest[] = {-DBL_MAX, -DBL_TRUE_MIN, -2.2250738585072011e-308,
					 -0.30000000000000004, -123456789012345.67};
	char name[256];
	struct payload_item items[4];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (size_t i = 0; i < ARRAY_COUNT(longest); i++) {
		struct payload_item it = item(name, value_of_float64(longest[i]));

		(void)tag_text(CFG_PAYLOAD_JSON, &it);
		(void)tag_text(CFG_PAYLOAD_TEXT, &it);
		items[i % 4] = item("m1.p", value_of_float64(longest[i]));
	}
	(void)group_text(items, 4);
}

/* A parser that is not ours reads back the very value, for any bits a device may send. */
TEST(a_json_parser_reads_back_the_value_that_was_sampled)
{
	struct prng prng = {.state = 1};

	for (int i = 0; i < 20000; i++) {
		struct value v = {.kind = VALUE_FLOAT64, .u = prng_next(&prng)};

		if (i % 3 == 0)
			v = value_of_int((int64_t)v.u);
		json_t *root = json_loads(json(v), JSON_REJECT_DUPLICATES, NULL);

		ck_assert_msg(root != NULL, "%s", out);
		json_t *got = json_object_get(root, "value");

		if (v.kind == VALUE_INT)
			EXPECT(json_is_integer(got) && json_integer_value(got) == v.i);
		else if (isfinite(v.f))
			EXPECT(json_number_value(got) == v.f);
		else
			EXPECT(json_is_null(got));
		EXPECT_TEXT(json_string_value(json_object_get(root, "tag")), "m1.p");
		EXPECT_EQ(json_object_size(root), 4);
		json_decref(root);
	}
}

TEST(a_number_is_the_last_key_and_fits_into_its_room)
{
	struct writer w = writer_of(out, 2 + PAYLOAD_SEQUENCE_BYTES);

	memset(out, '#', sizeof(out));
	write_text(&w, "{\"a\":1}");
	payload_add_sequence(&w, 42, 7);
	*w.at = 0;
	EXPECT_TEXT(out, "{\"a\":1,\"seq\":42,\"source\":7}");
	w = writer_of(out, 2 + PAYLOAD_SEQUENCE_BYTES);
	write_text(&w, "{}");
	payload_add_sequence(&w, UINT64_MAX, UINT32_MAX);
	EXPECT(!w.failed);
}
