#include "core/topic.h"

#include <errno.h>

#include "tests/test.h"

static const struct topic_names names = {
	.node = "n1", .target = "plant", .definition = "d", .device = "m1", .tag = "power"};

static char out[TOPIC_BYTES_MAX + 1];
static const char *why;

static const char *name_from(const char *pattern)
{
	int size = topic_expand(pattern, &names, out, &why);

	ck_assert_msg(size > 0, "%s: %s", pattern, why);
	out[size] = 0;
	return out;
}

static const char *filter_from(const char *pattern)
{
	int size = topic_filter_expand(pattern, &names, out, &why);

	ck_assert_msg(size > 0, "%s: %s", pattern, why);
	out[size] = 0;
	return out;
}

static bool filter_fails(const char *pattern, const char *words)
{
	why = "";
	return topic_filter_expand(pattern, &names, out, &why) == -EINVAL && strstr(why, words);
}

TEST(placeholders_of_a_topic_are_replaced)
{
	EXPECT_TEXT(name_from("{node}/{target}/{definition}/{device}/{tag}"), "n1/plant/d/m1/power");
	EXPECT_TEXT(name_from("a}{tag}}/b"), "a}power}/b");
	EXPECT_EQ(topic_expand("a/{tags}", &names, out, &why), -EINVAL);
	EXPECT_EQ(topic_expand("a/{tag", &names, out, &why), -EINVAL);
	EXPECT_EQ(topic_expand("a/{}", &names, out, &why), -EINVAL);
	EXPECT_EQ(topic_expand("", &names, out, &why), -EINVAL);
}

TEST(a_topic_to_publish_to_has_no_wildcards)
{
	EXPECT_EQ(topic_expand("a/+", &names, out, &why), -EINVAL);
	EXPECT(strstr(why, "no wildcards"));
	EXPECT_EQ(topic_expand("a/#", &names, out, &why), -EINVAL);
}

TEST(a_filter_has_placeholders_and_wildcards)
{
	EXPECT_TEXT(filter_from("{node}/+/{tag}/#"), "n1/+/power/#");
	EXPECT_TEXT(filter_from("#"), "#");
	EXPECT_TEXT(filter_from("+"), "+");
	EXPECT_TEXT(filter_from("/+/"), "/+/");
	EXPECT_TEXT(filter_from("+/+/#"), "+/+/#");
	EXPECT(filter_fails("a/{tags}", "unknown placeholder"));
	EXPECT(filter_fails("", "empty"));
}

TEST(wildcards_of_a_filter_stand_alone_on_their_levels)
{
	EXPECT(filter_fails("a+", "+ stands alone"));
	EXPECT(filter_fails("+a/b", "+ stands alone"));
	EXPECT(filter_fails("a/{tag}+", "+ stands alone"));
	EXPECT(filter_fails("++", "+ stands alone"));
	EXPECT(filter_fails("a#", "# stands alone"));
	EXPECT(filter_fails("#/a", "# stands alone"));
	EXPECT(filter_fails("a/#/", "# stands alone"));
	EXPECT(filter_fails("##", "# stands alone"));
}

TEST(a_shared_filter_has_a_name_and_a_filter)
{
	EXPECT_TEXT(filter_from("$share/{node}/a/+/#"), "$share/n1/a/+/#");
	EXPECT_TEXT(filter_from("$share/g//"), "$share/g//");
	EXPECT_TEXT(filter_from("$shared/+"), "$shared/+");
	EXPECT_TEXT(filter_from("$share"), "$share");
	EXPECT(filter_fails("$share/", "name of a share"));
	EXPECT(filter_fails("$share//a", "name of a share"));
	EXPECT(filter_fails("$share/+/a", "name of a share"));
	EXPECT(filter_fails("$share/g#/a", "name of a share"));
	EXPECT(filter_fails("$share/g", "follows the name"));
	EXPECT(filter_fails("$share/g/", "follows the name"));
	EXPECT(filter_fails("$share/g/a#", "# stands alone"));
}

TEST(a_filter_is_1024_bytes_at_most_when_filled_in)
{
	char pattern[TOPIC_BYTES_MAX + 2] = "";

	memset(pattern, 'a', TOPIC_BYTES_MAX);
	EXPECT_EQ(topic_filter_expand(pattern, &names, out, &why), TOPIC_BYTES_MAX);
	pattern[TOPIC_BYTES_MAX] = 'a';
	EXPECT(filter_fails(pattern, "longer than 1024"));
}

TEST(a_share_is_taken_off_a_filter_and_wildcards_are_counted)
{
	struct bytes plain = topic_filter_unshared(bytes_of_text("$share/g/a/+"));

	EXPECT(bytes_equal(plain, bytes_of_text("a/+")));
	EXPECT(bytes_equal(topic_filter_unshared(bytes_of_text("a/b")), bytes_of_text("a/b")));
	EXPECT(bytes_equal(topic_filter_unshared(bytes_of_text("$share/")), bytes_of_text("$share/")));
	EXPECT_EQ(topic_wildcard_count(bytes_of_text("$share/g/+/a/+/#")), 3);
	EXPECT_EQ(topic_wildcard_count(bytes_of_text("a/b")), 0);
	EXPECT_EQ(topic_wildcard_count(bytes_of_text("#")), 1);
}

TEST(the_template_of_a_forwarded_topic_is_checked)
{
	EXPECT_EQ(topic_forward_check("{topic}", &names, 0, &why), 0);
	EXPECT_EQ(topic_forward_check("{node}/{target}/{definition}/{1}{9}", &names, 9, &why), 0);
	EXPECT_EQ(topic_forward_check("a/{2}", &names, 1, &why), -EINVAL);
	EXPECT(strstr(why, "which has fewer"));
	EXPECT_EQ(topic_forward_check("a/{0}", &names, 1, &why), -EINVAL);
	EXPECT(strstr(why, "unknown placeholder"));
	EXPECT_EQ(topic_forward_check("a/{10}", &names, 10, &why), -EINVAL);
	EXPECT_EQ(topic_forward_check("a/{tag}", &names, 9, &why), -EINVAL);
	EXPECT_EQ(topic_forward_check("a/{device}", &names, 9, &why), -EINVAL);
	EXPECT_EQ(topic_forward_check("a/{1", &names, 9, &why), -EINVAL);
	EXPECT_EQ(topic_forward_check("a/+", &names, 9, &why), -EINVAL);
	EXPECT(strstr(why, "no wildcards"));
	EXPECT_EQ(topic_forward_check("", &names, 9, &why), -EINVAL);
}

static const char *forwarded(const char *template, const char *topic, const char *filter)
{
	int size = topic_forward_expand(template, &names, bytes_of_text(topic), bytes_of_text(filter), out,
					TOPIC_BYTES_MAX);

	ck_assert_msg(size > 0, "%s: %d", template, size);
	out[size] = 0;
	return out;
}

static int forward_result(const char *template, const char *topic, const char *filter, size_t room)
{
	return topic_forward_expand(template, &names, bytes_of_text(topic), bytes_of_text(filter), out, room);
}

TEST(a_forwarded_topic_is_made_of_what_came)
{
	EXPECT_TEXT(forwarded("{topic}", "a/b", "#"), "a/b");
	EXPECT_TEXT(forwarded("site/{node}/{topic}", "a/b", "a/b"), "site/n1/a/b");
	EXPECT_TEXT(forwarded("{target}/{definition}", "a", "+"), "plant/d");
	EXPECT_TEXT(forwarded("{2}/{1}", "a/x/b/y", "a/+/b/+"), "y/x");
	EXPECT_TEXT(forwarded("up/{2}", "a/x/b/c/d", "a/+/#"), "up/b/c/d");
	EXPECT_TEXT(forwarded("up/{1}{1}", "a//b", "a/+/b"), "up/");
	EXPECT_TEXT(forwarded("up/{1}", "a/b/", "a/#"), "up/b/");
	EXPECT_TEXT(forwarded("{9}", "1/2/3/4/5/6/7/8/9", "+/+/+/+/+/+/+/+/+"), "9");
}

TEST(a_hash_that_matched_the_level_above_stands_for_nothing)
{
	EXPECT_TEXT(forwarded("up/{1}", "a", "a/#"), "up/");
	EXPECT_TEXT(forwarded("up/{1}", "a/", "a/#"), "up/");
	EXPECT_EQ(forward_result("{1}", "a", "a/#", 10), -EINVAL); /* no topic is empty */
}

TEST(a_forwarded_topic_fills_its_room_and_no_byte_more)
{
	EXPECT_EQ(forward_result("x/{topic}", "a/b", "#", 5), 5);
	EXPECT_EQ(forward_result("x/{topic}", "a/b", "#", 4), -ENOSPC);
	EXPECT_EQ(forward_result("x/{topic}", "a/b", "#", 0), -ENOSPC);
}

TEST(a_forwarded_topic_is_no_longer_than_mqtt_allows)
{
	static char long_topic[TOPIC_FORWARDED_BYTES_MAX + 1], big[2 * TOPIC_FORWARDED_BYTES_MAX];
	struct bytes filter = bytes_of_text("#"), topic;

	memset(long_topic, 'a', TOPIC_FORWARDED_BYTES_MAX);
	topic = bytes_of(long_topic, TOPIC_FORWARDED_BYTES_MAX);
	EXPECT_EQ(topic_forward_expand("{topic}", &names, topic, filter, big, sizeof(big)),
		  TOPIC_FORWARDED_BYTES_MAX);
	EXPECT_EQ(topic_forward_expand("{topic}x", &names, topic, filter, big, sizeof(big)), -EINVAL);
}

/* A server may send what nobody asked for. */
TEST(a_topic_that_its_filter_does_not_match_is_refused_or_gives_its_own_text)
{
	EXPECT_EQ(forward_result("{2}", "a/b", "a/+/+", 10), -EINVAL);
	EXPECT_EQ(forward_result("x{1}", "a", "a/b/+", 10), -EINVAL);
	EXPECT_EQ(forward_result("x{1}", "a", "a/+", 10), -EINVAL);
	EXPECT_EQ(forward_result("{1}", "a", "b", 10), -EINVAL);
	EXPECT_EQ(forward_result("{2}", "a/b", "#", 10), -EINVAL);
	EXPECT_EQ(forward_result("{tag}", "a", "#", 10), -EINVAL);
	EXPECT_TEXT(forwarded("{1}", "x/b", "a/+"), "b");
}
