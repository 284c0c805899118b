#include "tests/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/doorbell.h"
#include "core/number_text.h"
#include "core/shared_text.h"
#include "core/tag.h"

static struct cfg *parse(const char *yaml)
{
	struct cfg_errors errors = {0};
	struct cfg *c = NULL;
	int rc = config_parse("test.yaml", bytes_of_text(yaml), &c, &errors);

	ck_assert_msg(rc == 0, "%s", errors.count ? errors.lines[0] : "?");
	return c;
}

static const char tags_yaml[] =
	"lines: [{name: l, modbus_tcp: {address: '127.0.0.1:502'}}]\n"
	"devices:\n"
	"  - name: m\n"
	"    line: l\n"
	"    tags:\n"
	"      - {name: raw, address: 'holding:0', type: int16}\n"
	"      - {name: tenth, address: 'holding:1', type: int16, scale: 0.1}\n"
	"      - {name: milli, address: 'holding:2', type: float32, scale: 0.001}\n"
	"      - {name: kelvin, address: 'holding:4', type: int16, scale: 0.1, offset: -273.15}\n";

TEST(a_decimal_scale_gives_the_decimal_that_a_person_expects)
{
	struct cfg *c = parse(tags_yaml);
	struct tag_table t;
	char text[NUMBER_TEXT_BYTES + 1];

	EXPECT_EQ(tag_table_open(&t, c), 0);
	for (int raw = -3000; raw <= 3000; raw += 7) {
		char expected[32];
		struct value v = tag_scaled(&t, 1, value_of_int(raw));

		text[number_text_f64(v.f, text)] = 0;
		snprintf(expected, sizeof(expected), "%s%d", raw < 0 ? "-" : "", abs(raw) / 10);
		if (raw % 10)
			snprintf(expected + strlen(expected), 8, ".%d", abs(raw) % 10);
		EXPECT_TEXT(text, raw == 0 ? "0" : expected);
	}
	struct value kelvin = tag_scaled(&t, 3, value_of_int(2981));

	text[number_text_f64(kelvin.f, text)] = 0;
	EXPECT_TEXT(text, "24.95");
	tag_table_close(&t);
	config_free(c);
}

TEST(without_a_scale_an_integer_stays_an_integer)
{
	struct cfg *c = parse(tags_yaml);
	struct tag_table t;

	EXPECT_EQ(tag_table_open(&t, c), 0);
	struct value v = tag_scaled(&t, 0, value_of_int(-5));

	EXPECT_EQ(v.kind, VALUE_INT);
	EXPECT_EQ(v.i, -5);
	EXPECT_EQ(tag_scaled(&t, 2, value_of_float32(1.5f)).kind, VALUE_FLOAT32);
	EXPECT_EQ(tag_find(&t, bytes_of_text("m.kelvin")), 3);
	EXPECT_EQ(tag_find(&t, bytes_of_text("m.kelvi")), CFG_NONE);
	tag_table_close(&t);
	config_free(c);
}

TEST(a_bad_sample_keeps_the_last_value)
{
	struct cfg *c = parse(tags_yaml);
	struct tag_table t;

	EXPECT_EQ(tag_table_open(&t, c), 0);
	EXPECT_EQ(tag_read(&t, 0).quality, TAG_NEVER);
	EXPECT(!tag_read(&t, 0).valued);
	tag_write(&t, 0, value_of_int(7), (struct wall){.ns = 1});
	tag_write_bad(&t, 0, TAG_BAD_TIMEOUT, (struct wall){.ns = 2});
	struct tag_sample s = tag_read(&t, 0);

	EXPECT(s.valued);
	EXPECT_EQ(s.value.i, 7);
	EXPECT_EQ(s.quality, TAG_BAD_TIMEOUT);
	EXPECT_EQ(s.time.ns, 2);
	EXPECT_TEXT(tag_quality_text(s.quality), "bad");
	tag_table_close(&t);
	config_free(c);
}

static void *write_pairs(void *arg)
{
	struct tag_table *t = arg;

	for (int64_t i = 1; i <= 200000; i++)
		tag_write(t, 0, value_of_int(i), (struct wall){.ns = i});
	return NULL;
}

TEST(a_reader_never_sees_half_a_write)
{
	struct cfg *c = parse(tags_yaml);
	struct tag_table t;
	struct tag_sample s;
	pthread_t writer;

	EXPECT_EQ(tag_table_open(&t, c), 0);
	EXPECT_EQ(pthread_create(&writer, NULL, write_pairs, &t), 0);
	do {
		s = tag_read(&t, 0);
		EXPECT_EQ(s.value.i, s.time.ns);
	} while (s.time.ns < 200000);
	pthread_join(writer, NULL);
	tag_table_close(&t);
	config_free(c);
}

TEST(a_doorbell_wakes_only_who_sleeps)
{
	struct doorbell d = {0};

	EXPECT(!doorbell_ring(&d));
	EXPECT(!doorbell_sleep(&d)); /* rung since the last answer: do not sleep */
	doorbell_answer(&d);
	EXPECT(doorbell_sleep(&d));
	EXPECT(doorbell_ring(&d));
	EXPECT(!doorbell_ring(&d)); /* woken once */
}

TEST(a_shared_text_that_is_too_long_is_cut)
{
	struct shared_text t = {0};
	char longer[400], out[SHARED_TEXT_BYTES];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	shared_text_set(&t, longer);
	shared_text_get(&t, out);
	EXPECT_EQ(strlen(out), SHARED_TEXT_BYTES - 1);
	shared_text_set(&t, "short");
	shared_text_get(&t, out);
	EXPECT_TEXT(out, "short");
}
