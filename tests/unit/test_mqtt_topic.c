/* Topic names, filters and matching: the examples of 4.7 and 4.8.2, and the edges beside them. */
#include "tests/test.h"

#include <stdlib.h>

#include "proto/mqtt_topic.h"

static bool match(const char *filter, const char *topic)
{
	return mqtt_topic_match(bytes_of_text(filter), bytes_of_text(topic));
}

static enum mqtt_topic_fault filter_check(enum mqtt_version v, const char *filter)
{
	return mqtt_topic_filter_check(v, bytes_of_text(filter));
}

TEST(hash_matches_the_parent_and_any_number_of_levels)
{
	EXPECT(match("sport/tennis/player1/#", "sport/tennis/player1"));
	EXPECT(match("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
	EXPECT(match("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
	EXPECT(match("sport/#", "sport"));
	EXPECT(match("#", "a"));
	EXPECT(match("#", "/"));
	EXPECT(match("#", "a/b/c"));
	EXPECT(!match("sport/tennis/player1/#", "sport/tennis/player10"));
	EXPECT(!match("sport/tennis/#", "sport"));
	EXPECT(!match("sport/#", "sports"));
}

TEST(plus_matches_exactly_one_level_also_an_empty_one)
{
	EXPECT(match("sport/tennis/+", "sport/tennis/player1"));
	EXPECT(match("sport/tennis/+", "sport/tennis/player2"));
	EXPECT(!match("sport/tennis/+", "sport/tennis/player1/ranking"));
	EXPECT(!match("sport/+", "sport"));
	EXPECT(match("sport/+", "sport/"));
	EXPECT(match("+/+", "/finance"));
	EXPECT(match("/+", "/finance"));
	EXPECT(!match("+", "/finance"));
	EXPECT(match("+", "finance"));
	EXPECT(match("+/b/+", "a/b/c"));
	EXPECT(!match("+/b/+", "a/b"));
	EXPECT(match("+/#", "a"));
	EXPECT(match("a/+/#", "a/b"));
	EXPECT(match("a/+/#", "a/"));
	EXPECT(!match("a/+/#", "a"));
}

TEST(filters_without_wildcards_match_byte_for_byte)
{
	EXPECT(match("a/b", "a/b"));
	EXPECT(!match("a/b", "A/b"));
	EXPECT(!match("a/b", "a/b/"));
	EXPECT(!match("a/b/", "a/b"));
	EXPECT(!match("/a", "a"));
	EXPECT(!match("a", "/a"));
	EXPECT(match("/", "/"));
	EXPECT(match("//", "//"));
	EXPECT(!match("/", "//"));
	EXPECT(!match("\xC3\x85", "A\xCC\x8A")); /* no normalization: MQTT-4.7.3-4 */
}

TEST(topics_that_start_with_a_dollar_are_not_matched_by_a_leading_wildcard)
{
	EXPECT(!match("#", "$SYS/broker"));
	EXPECT(!match("+/monitor/Clients", "$SYS/monitor/Clients"));
	EXPECT(!match("+", "$SYS"));
	EXPECT(match("$SYS/#", "$SYS/broker"));
	EXPECT(match("$SYS/#", "$SYS"));
	EXPECT(match("$SYS/monitor/+", "$SYS/monitor/Clients"));
	EXPECT(match("a/+", "a/$x"));
	EXPECT(match("a/#", "a/$x"));
}

TEST(nothing_matches_nothing)
{
	EXPECT(!match("", "a"));
	EXPECT(!match("#", ""));
	EXPECT(!match("", ""));
}

TEST(names_are_text_without_wildcards)
{
	EXPECT_EQ(mqtt_topic_name_check(bytes_of_text("a/b")), MQTT_TOPIC_OK);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of_text("/")), MQTT_TOPIC_OK);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of_text("$SYS/a b")), MQTT_TOPIC_OK);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of_text("")), MQTT_TOPIC_EMPTY);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of_text("a/+")), MQTT_TOPIC_WILDCARD);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of_text("a#b")), MQTT_TOPIC_WILDCARD);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of_text("\xFF")), MQTT_TOPIC_NOT_UTF8);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of("a\0b", 3)), MQTT_TOPIC_NULL);
}

TEST(a_topic_may_have_65535_bytes_and_no_more)
{
	char *text = malloc(65536);

	EXPECT(text != NULL);
	memset(text, 'a', 65536);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of(text, 65535)), MQTT_TOPIC_OK);
	EXPECT_EQ(mqtt_topic_name_check(bytes_of(text, 65536)), MQTT_TOPIC_TOO_LONG);
	EXPECT_EQ(mqtt_topic_filter_check(MQTT_5, bytes_of(text, 65536)), MQTT_TOPIC_TOO_LONG);
	free(text);
}

TEST(wildcards_in_a_filter_stand_alone_on_their_level)
{
	EXPECT_EQ(filter_check(MQTT_5, "sport/tennis/#"), MQTT_TOPIC_OK);
	EXPECT_EQ(filter_check(MQTT_5, "+/tennis/#"), MQTT_TOPIC_OK);
	EXPECT_EQ(filter_check(MQTT_5, "sport/+/player1"), MQTT_TOPIC_OK);
	EXPECT_EQ(filter_check(MQTT_5, "sport/tennis#"), MQTT_TOPIC_HASH_PLACE);
	EXPECT_EQ(filter_check(MQTT_5, "sport/tennis/#/ranking"), MQTT_TOPIC_HASH_PLACE);
	EXPECT_EQ(filter_check(MQTT_5, "sport+"), MQTT_TOPIC_PLUS_PLACE);
	EXPECT_EQ(filter_check(MQTT_5, "+sport"), MQTT_TOPIC_PLUS_PLACE);
	EXPECT_EQ(filter_check(MQTT_5, ""), MQTT_TOPIC_EMPTY);
}

TEST(a_shared_subscription_needs_a_name_and_a_filter)
{
	EXPECT_EQ(filter_check(MQTT_5, "$share/consumer1/sport/tennis/+"), MQTT_TOPIC_OK);
	EXPECT_EQ(filter_check(MQTT_5, "$share/g//"), MQTT_TOPIC_OK);
	EXPECT_EQ(filter_check(MQTT_5, "$share//t"), MQTT_TOPIC_SHARE_NAME);
	EXPECT_EQ(filter_check(MQTT_5, "$share/g+/t"), MQTT_TOPIC_SHARE_NAME);
	EXPECT_EQ(filter_check(MQTT_5, "$share/g"), MQTT_TOPIC_SHARE_FILTER);
	EXPECT_EQ(filter_check(MQTT_5, "$share/g/"), MQTT_TOPIC_SHARE_FILTER);
	EXPECT_EQ(filter_check(MQTT_5, "$share/g/a#"), MQTT_TOPIC_HASH_PLACE);
	EXPECT_EQ(filter_check(MQTT_3_1_1, "$share/g"), MQTT_TOPIC_OK);
	EXPECT_EQ(filter_check(MQTT_3_1_1, "$share//t"), MQTT_TOPIC_OK);
}

TEST(a_shared_subscription_comes_apart_into_name_and_filter)
{
	struct bytes name, filter;

	EXPECT(mqtt_topic_share(bytes_of_text("$share/consumer1/sport/+"), &name, &filter));
	EXPECT(bytes_equal(name, bytes_of_text("consumer1")));
	EXPECT(bytes_equal(filter, bytes_of_text("sport/+")));
	EXPECT(mqtt_topic_share(bytes_of_text("$share/c//finance"), &name, &filter));
	EXPECT(bytes_equal(filter, bytes_of_text("/finance")));
	EXPECT(!mqtt_topic_share(bytes_of_text("$shared/c/f"), &name, &filter));
	EXPECT(bytes_equal(filter, bytes_of_text("$shared/c/f")));
	EXPECT_EQ(name.size, 0);
}

TEST(every_fault_has_a_sentence)
{
	for (int fault = MQTT_TOPIC_OK; fault <= MQTT_TOPIC_SHARE_FILTER; fault++)
		EXPECT(strlen(mqtt_topic_fault_text((enum mqtt_topic_fault)fault)) > 4);
}
