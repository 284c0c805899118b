#include "core/url.h"

#include <errno.h>
#include <stdio.h>

#include "tests/test.h"

/* "scheme host port", or why it was refused. */
static const char *parsed(const char *text)
{
	static char out[320];
	const char *why = "";
	struct url url;

	if (url_parse(bytes_of_text(text), &url, &why) < 0)
		return why;
	snprintf(out, sizeof(out), "%s %s %u", url.scheme == URL_MQTT ? "mqtt" : "mqtts", url.host, url.port);
	return out;
}

static bool is_refused(const char *text)
{
	const char *why = NULL;
	struct url url;

	return url_parse(bytes_of_text(text), &url, &why) == -EINVAL && why;
}

TEST(schemes_have_synonyms_and_default_ports)
{
	EXPECT_TEXT(parsed("mqtt://b1"), "mqtt b1 1883");
	EXPECT_TEXT(parsed("tcp://b1"), "mqtt b1 1883");
	EXPECT_TEXT(parsed("mqtts://b1"), "mqtts b1 8883");
	EXPECT_TEXT(parsed("ssl://b1"), "mqtts b1 8883");
	EXPECT_TEXT(parsed("mqtt://b1:77"), "mqtt b1 77");
	EXPECT_TEXT(parsed("mqtt://b1:77/"), "mqtt b1 77");
}

TEST(hosts_are_names_and_addresses)
{
	EXPECT_TEXT(parsed("mqtt://broker.plant_2.example-x.com."),
		    "mqtt broker.plant_2.example-x.com. 1883");
	EXPECT_TEXT(parsed("mqtt://10.0.0.17:1"), "mqtt 10.0.0.17 1");
	EXPECT_TEXT(parsed("mqtt://[::1]"), "mqtt ::1 1883");
	EXPECT_TEXT(parsed("mqtt://[2001:db8::1]:65535"), "mqtt 2001:db8::1 65535");
	EXPECT_TEXT(parsed("mqtt://[fe80::1%eth0]:1883"), "mqtt fe80::1%eth0 1883");
}

TEST(what_is_no_url_is_refused)
{
	static const char *const wrong[] = {
		"",
		"b1",
		"http://b1",
		"mqtt:/b1",
		"mqtt://",
		"mqtt://:1883",
		"mqtt://b1:",
		"mqtt://b1:0",
		"mqtt://b1:65536",
		"mqtt://b1:18x",
		"mqtt://b1:-1",
		"mqtt://b1:00001x",
		"mqtt://b 1",
		"mqtt://b1/topic",
		"mqtt://b1?x=1",
		"mqtt://1.2.3",
		"mqtt://1.2.3.256",
		"mqtt://::1",
		"mqtt://[::1",
		"mqtt://[::1]x",
		"mqtt://[b1]",
		"mqtt://[]",
		"mqtt://[::1%]",
		"mqtt://[::1%a b]",
		"mqtt://.b1",
		"mqtt://a..b",
		"MQTT://b1",
		"mqtt://b1:1:2",
		"mqtt://[1.2.3.4]",
		"mqtt://[::1]:",
	};

	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		ck_assert_msg(is_refused(wrong[i]), "%s", wrong[i]);
}

TEST(a_password_in_a_url_is_refused_and_not_repeated)
{
	EXPECT(is_refused("mqtt://gw:hunter2@b1"));
	EXPECT(is_refused("mqtt://gw:hunter2@b1/path"));
	EXPECT(!strstr(parsed("mqtt://gw:hunter2@b1"), "hunter2"));
	EXPECT(strstr(parsed("mqtt://gw:hunter2@b1/path"), "`password`"));
}

TEST(the_longest_host_is_253_characters)
{
	char text[7 + 254 + 1] = "mqtt://";

	for (size_t i = 0; i < 253; i++)
		text[7 + i] = i % 50 == 49 ? '.' : 'a';
	EXPECT(!is_refused(text));
	text[7 + 253] = 'a';
	EXPECT(is_refused(text));
}

TEST(a_label_is_63_characters_at_most)
{
	char text[7 + 64 + 1] = "mqtt://";

	memset(text + 7, 'a', 63);
	EXPECT(!is_refused(text));
	text[7 + 63] = 'a';
	EXPECT(is_refused(text));
}

TEST(a_zero_byte_is_no_part_of_a_host)
{
	struct url url;
	const char *why;

	EXPECT_EQ(url_parse(bytes_of("mqtt://b\0c", 10), &url, &why), -EINVAL);
}

TEST(host_and_port_alone_take_the_default_port)
{
	struct url url = {0};
	const char *why;

	EXPECT_EQ(url_parse_host_port(bytes_of_text("plc"), 502, &url, &why), 0);
	EXPECT_EQ(url.port, 502);
	EXPECT_EQ(url_parse_host_port(bytes_of_text("[::1]:1502"), 502, &url, &why), 0);
	EXPECT_TEXT(url.host, "::1");
	EXPECT_EQ(url.port, 1502);
	EXPECT_EQ(url_parse_host_port(bytes_of(NULL, 0), 502, &url, &why), -EINVAL);
}
