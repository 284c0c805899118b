#include "core/suggest.h"
#include "tests/test.h"

static uint32_t distance(const char *a, const char *b)
{
	return suggest_distance(bytes_of_text(a), bytes_of_text(b), 100);
}

static const char *nearest(const char *wanted, const char *first, const char *second)
{
	struct suggest s;

	suggest_begin(&s, bytes_of_text(wanted));
	suggest_offer(&s, bytes_of_text(first));
	suggest_offer(&s, bytes_of_text(second));
	return suggest_found(&s) ? (const char *)s.best.ptr : "";
}

TEST(each_slip_of_the_pen_counts_one)
{
	EXPECT_EQ(distance("keep_alive", "keep_alive"), 0);
	EXPECT_EQ(distance("keep_alive", "keepalive"), 1);
	EXPECT_EQ(distance("keepalive", "keep_alive"), 1);
	EXPECT_EQ(distance("topic", "tapic"), 1);
	EXPECT_EQ(distance("float32", "flaot32"), 1);
	EXPECT_EQ(distance("kitten", "sitting"), 3);
	EXPECT_EQ(distance("", "abc"), 3);
	EXPECT_EQ(distance("abc", ""), 3);
}

TEST(case_does_not_count)
{
	EXPECT_EQ(distance("QoS", "qos"), 0);
}

TEST(distance_stops_at_the_limit)
{
	EXPECT_EQ(suggest_distance(bytes_of_text("aaaaaaaa"), bytes_of_text("bbbbbbbb"), 3), 3);
}

TEST(the_nearest_candidate_is_suggested)
{
	EXPECT_TEXT(nearest("keepalive", "kind", "keep_alive"), "keep_alive");
	EXPECT_TEXT(nearest("keepalive", "keep_alive", "kind"), "keep_alive");
	EXPECT_TEXT(nearest("plc", "plc1", "plc2"), "plc1");
}

TEST(what_is_far_away_is_not_suggested)
{
	EXPECT_TEXT(nearest("banana", "keep_alive", "kind"), "");
	EXPECT_TEXT(nearest("x", "a", "b"), "");
	EXPECT_TEXT(nearest("", "a", "b"), "");
}

TEST(words_of_any_length_are_safe)
{
	char longest[SUGGEST_BYTES_MAX + 2];

	memset(longest, 'a', sizeof(longest));
	EXPECT_EQ(suggest_distance(bytes_of(longest, SUGGEST_BYTES_MAX), bytes_of(longest, SUGGEST_BYTES_MAX),
				   5),
		  0);
	EXPECT_EQ(suggest_distance(bytes_of(longest, SUGGEST_BYTES_MAX + 1), bytes_of(longest, 3), 5), 5);
}
