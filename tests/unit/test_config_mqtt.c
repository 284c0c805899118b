/* Packages, limits towards a server, and what messages carry in MQTT 5. */
#include <stdlib.h>

#include "core/clock.h"
#include "core/payload.h"
#include "core/ring.h"
#include "core/topic.h"
#include "tests/unit/config_case.h"

#define ONE     "targets: [{name: a, url: 'mqtt://b', %s}]"
#define ONE_311 "targets: [{name: a, url: 'mqtt://b', protocol: 3.1.1, %s}]"
#define FIELD_SIDE \
	"lines: [{name: plc, modbus_tcp: {address: h}}]\n" \
	"devices: [{name: m1, line: plc, tags: [{name: x, address: 'input:1', type: int16}]}]\n"
#define PUBLISH \
	"targets: [{name: plant, url: 'mqtt://b'}]\n" FIELD_SIDE \
	"definitions: [{name: d, target: plant, tags: m1.x, topic: t, %s}]"
#define PUBLISH_311 \
	"targets: [{name: plant, url: 'mqtt://b', protocol: 3.1.1}]\n" FIELD_SIDE \
	"definitions: [{name: d, target: plant, tags: m1.x, topic: t, %s}]"

TEST(packages_are_declared_and_targets_refer_to_them)
{
	parse_good("packages: [{name: core}, {name: cloud, description: far, enabled: false}]\n"
		   "targets: [{name: a, url: 'mqtt://b', package: cloud}, {name: b, url: 'mqtt://b'}]");
	EXPECT_EQ(c->package_count, 2);
	EXPECT_EQ(c->targets[0].package_idx, 1);
	EXPECT_EQ(c->targets[1].package_idx, 0);
	EXPECT(c->packages[0].enabled);
	EXPECT(!c->packages[1].enabled);
	EXPECT_TEXT(cfg_text(c, c->packages[1].name), "cloud");
	EXPECT_TEXT(cfg_text(c, c->packages[1].description), "far");
	EXPECT_EQ(c->packages[1].place.line, 1);
	config_free(c);
}

TEST(packages_that_only_targets_name_are_there_and_enabled)
{
	parse_good("targets: [{name: a, url: 'mqtt://b', package: x}, {name: b, url: 'mqtt://b'},"
		   "{name: c, url: 'mqtt://b', package: x}]");
	EXPECT_EQ(c->package_count, 2);
	EXPECT_EQ(c->targets[0].package_idx, 0);
	EXPECT_EQ(c->targets[1].package_idx, 1);
	EXPECT_EQ(c->targets[2].package_idx, 0);
	EXPECT_TEXT(cfg_text(c, c->packages[1].name), "core");
	EXPECT(c->packages[0].enabled);
	EXPECT(c->packages[1].enabled);
	config_free(c);
}

TEST(where_packages_are_declared_an_unknown_one_is_a_mistake)
{
	expect_mistake("packages: [{name: cloud}]\ntargets: [{name: a, url: 'mqtt://b', package: clout}]",
		       "there is no package `clout`; did you mean `cloud`?");
	expect_mistake("packages: []\ntargets: [{name: a, url: 'mqtt://b', package: zzz}]",
		       "add it to the section `packages`");
	parse_good("packages: [{name: cloud}]\ntargets: [{name: a, url: 'mqtt://b', package: core}]");
	EXPECT_EQ(c->targets[0].package_idx, 1);
	config_free(c);
	parse_good("packages:\ntargets: [{name: a, url: 'mqtt://b', package: zzz}]");
	config_free(c);
	expect_mistake("packages: [{name: x}, {name: x}]", "there is a package `x` already");
	expect_mistake("packages: [{nam: cloud, name: cloud}]\ntargets: [{name: a, url: 'mqtt://b', package: "
		       "cloud}]",
		       "unknown key `nam`");
	expect_mistake("packages: [5]\ntargets: [{name: a, url: 'mqtt://b', package: x}]",
		       "a package is a map");
}

TEST(there_are_256_packages_at_most)
{
	size_t size = 1 << 16, at = 0;
	char *yaml = malloc(size);

	at += (size_t)snprintf(yaml, size, "targets:\n");
	for (int i = 0; i < 256; i++)
		at += (size_t)snprintf(yaml + at, size - at, "- {name: t%d, url: 'mqtt://b', package: p%d}\n",
				       i, i);
	parse_good(yaml);
	EXPECT_EQ(c->package_count, 256);
	config_free(c);
	snprintf(yaml + at, size - at, "- {name: t, url: 'mqtt://b'}\n");
	expect_mistake(yaml, "more than 256 packages");

	at = (size_t)snprintf(yaml, size, "packages:\n");
	for (int i = 0; i < 257; i++)
		at += (size_t)snprintf(yaml + at, size - at, "- {name: p%d}\n", i);
	expect_mistake(yaml, "`packages` has 257 entries; at most 256");
	free(yaml);
}

TEST(limits_towards_a_server_have_their_defaults)
{
	const struct cfg_target *t;

	parse_good("targets: [{name: a, url: 'mqtt://b'}]");
	t = &c->targets[0];
	EXPECT_EQ(t->failback_ns, 0);
	EXPECT(t->follow_redirects);
	EXPECT_EQ(t->receive_max, 256);
	EXPECT_EQ(t->topic_alias_in, 8);
	EXPECT_EQ(t->server_limits, CFG_LIMITS_LOWER);
	EXPECT_EQ(t->connect_user.count, 0);
	EXPECT_EQ(t->message_buffer_window_ns, 10 * NS_PER_S);
	EXPECT_EQ(t->max_buffered_messages, 20000);
	config_free(c);
	parse_good("targets: [{name: a, url: 'mqtt://b', protocol: 3.1.1}]");
	t = &c->targets[0];
	EXPECT(!t->follow_redirects);
	EXPECT_EQ(t->receive_max, 256);
	EXPECT_EQ(t->topic_alias_in, 0);
	config_free(c);
}

TEST(limits_towards_a_server_are_accepted_at_both_ends_and_not_beyond)
{
	static const struct {
		const char *value;
		bool is_good;
	} cases[] = {
		{"receive_max: 1", true},
		{"receive_max: 65535", true},
		{"receive_max: 0", false},
		{"receive_max: 65536", false},
		{"topic_alias_in: 0", true},
		{"topic_alias_in: 1024", true},
		{"topic_alias_in: 1025", false},
		{"server_limits: lower", true},
		{"server_limits: refuse", true},
		{"server_limits: drop", false},
		{"follow_redirects: false", true},
		{"message_buffer_window: 0s", true},
		{"message_buffer_window: 30s", true},
		{"message_buffer_window: 30001ms", false},
		{"max_buffered_messages: 0", true},
		{"max_buffered_messages: 300000", true},
		{"max_buffered_messages: 300001", false},
		{"will: {topic: t, on_connect: '', on_disconnect: x}", true},
		{"will: {topic: t, on_connect: }", false},
		{"will: {topic: t, payload_format: utf8}", true},
		{"will: {topic: t, payload_format: text}", false},
		{"will: {topic: t, content_type: ''}", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_msg(accepts(ONE, cases[i].value) == cases[i].is_good, "%s", cases[i].value);
}

TEST(failback_needs_a_first_url_and_another)
{
	parse_good("targets: [{name: a, urls: ['mqtt://b', 'mqtt://c'], failback: 10min}]");
	EXPECT_EQ(c->targets[0].failback_ns, 600 * NS_PER_S);
	config_free(c);
	expect_mistake("targets: [{name: a, urls: ['mqtt://b'], failback: 1s}]", "more than one URL");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', failback: 1s}]", "more than one URL");
	expect_mistake("targets: [{name: a, urls: 'mqtt://b', failback: 1s}]", "more than one URL");
	expect_mistake("targets: [{name: a, urls: ['mqtt://b', 'mqtt://c'], failback: 1s, failover: "
		       "round-robin}]",
		       "`failover: ordered`");
	EXPECT(accepts(ONE, "failback: 0s"));
	expect_mistake("targets: [{name: a, urls: [], failback: 1s}]", "write 1 to 16");
}

TEST(keys_of_mqtt5_are_refused_in_a_target_of_3_1_1)
{
	static const char *const keys[] = {
		"follow_redirects: true",
		"topic_alias_in: 1",
		"user_properties: {a: b}",
		"will: {topic: t, content_type: a}",
		"will: {topic: t, payload_format: utf8}",
		"will: {topic: t, response_topic: a}",
		"will: {topic: t, correlation_data: a}",
		"will: {topic: t, user_properties: {a: b}}",
	};

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		ck_assert_msg(accepts(ONE, keys[i]), "%s", keys[i]);
		ck_assert_msg(!accepts(ONE_311, keys[i]), "%s", keys[i]);
	}
	EXPECT(accepts(ONE_311, "receive_max: 5, server_limits: refuse"));
	EXPECT(accepts(ONE_311, "will: {topic: t, on_connect: a, on_disconnect: b}"));
	expect_mistake("targets: [{name: a, url: 'mqtt://b', protocol: 3.1.1, topic_alias_in: 1}]",
		       "`topic_alias_in` needs `protocol: 5`");
}

TEST(a_will_has_properties_and_payloads_of_its_own)
{
	const struct cfg_will *w;

	parse_good("node: n\ntargets: [{name: a, url: 'mqtt://b', will: {topic: '{node}/s', content_type: "
		   "text/plain, payload_format: utf8, response_topic: '{target}/r/{node}', correlation_data: "
		   "id, user_properties: {k: v}, on_connect: up, on_disconnect: ''}}]");
	w = &c->targets[0].will;
	EXPECT_TEXT(cfg_text(c, w->topic), "n/s");
	EXPECT_TEXT(cfg_text(c, w->props.content_type), "text/plain");
	EXPECT_EQ(w->props.payload_format, CFG_FORMAT_UTF8);
	EXPECT_TEXT(cfg_text(c, w->props.response_topic), "a/r/n");
	EXPECT_TEXT(cfg_text(c, w->props.correlation_data), "id");
	EXPECT_EQ(w->props.user.count, 1);
	EXPECT(w->has_on_connect);
	EXPECT_TEXT(cfg_text(c, w->on_connect), "up");
	EXPECT(w->has_on_disconnect);
	EXPECT_EQ(w->on_disconnect, 0);
	config_free(c);
	parse_good("targets: [{name: a, url: 'mqtt://b', will: {topic: t}}]");
	w = &c->targets[0].will;
	EXPECT(!w->has_on_connect);
	EXPECT(!w->has_on_disconnect);
	EXPECT_EQ(w->props.payload_format, CFG_FORMAT_NONE);
	EXPECT_EQ(w->props.response_topic, 0);
	config_free(c);
}

TEST(the_response_topic_of_a_will_is_a_topic_to_publish_to)
{
	expect_mistake("targets: [{name: a, url: 'mqtt://b', will: {topic: t, response_topic: 'a/+'}}]",
		       "`response_topic` of a will");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', will: {topic: t, response_topic: 'a/{tag}'}}]",
		       "unknown placeholder");
}

TEST(user_properties_keep_the_order_of_the_file)
{
	const struct cfg_target *t;

	parse_good("targets: [{name: a, url: 'mqtt://b', user_properties: {site: hall, a: 5, empty: ''}},"
		   "{name: b, url: 'mqtt://b', user_properties: {z: y}}]");
	t = &c->targets[0];
	EXPECT_EQ(c->pair_count, 4);
	EXPECT_EQ(t->connect_user.first, 0);
	EXPECT_EQ(t->connect_user.count, 3);
	EXPECT_TEXT(cfg_text(c, c->pairs[0].name), "site");
	EXPECT_TEXT(cfg_text(c, c->pairs[0].value), "hall");
	EXPECT_TEXT(cfg_text(c, c->pairs[1].name), "a");
	EXPECT_TEXT(cfg_text(c, c->pairs[1].value), "5");
	EXPECT_EQ(c->pairs[2].value, 0);
	EXPECT_EQ(c->targets[1].connect_user.first, 3);
	EXPECT_EQ(c->targets[1].connect_user.count, 1);
	config_free(c);
}

TEST(user_properties_are_names_and_texts)
{
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: [a, b]}]",
		       "write {name: text, ...}");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: {a: [b]}}]",
		       "write {name: text}");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: {[a]: b}}]",
		       "write {name: text}");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: {a: }}]", "has no text");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: {a: b, c: d, a: e}}]",
		       "this name is in `user_properties` twice");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: {a: \"x\\0\"}}]", "zero byte");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: {\"\\0\": x}}]", "zero byte");
	EXPECT_EQ(parse("targets: [{name: a, url: 'mqtt://b', user_properties: {a: \xed\xa0\x80}}]"),
		  -EINVAL);
	EXPECT(strstr(errors.lines[0], "UTF-8"));
	config_errors_free(&errors);
	expect_mistake("targets: [{name: a, url: 'mqtt://b', user_properties: {a: \"\\ud800\"}}]",
		       "not YAML");
}

TEST(a_user_property_is_1024_bytes_at_most)
{
	char text[1026] = "";

	memset(text, 'a', 1024);
	EXPECT(accepts("targets: [{name: a, url: 'mqtt://b', user_properties: {k: %s}}]", text));
	EXPECT(accepts("targets: [{name: a, url: 'mqtt://b', user_properties: {? %s : v}}]", text));
	text[1024] = 'a';
	EXPECT(!accepts("targets: [{name: a, url: 'mqtt://b', user_properties: {k: %s}}]", text));
	EXPECT(!accepts("targets: [{name: a, url: 'mqtt://b', user_properties: {? %s : v}}]", text));
}

TEST(an_object_has_64_user_properties_at_most)
{
	char map[1024] = "{";
	size_t at = 1;

	for (int i = 0; i < 64; i++)
		at += (size_t)snprintf(map + at, sizeof(map) - at, "k%d: v, ", i);
	snprintf(map + at, sizeof(map) - at, "}");
	EXPECT(accepts("targets: [{name: a, url: 'mqtt://b', user_properties: %s}]", map));
	snprintf(map + at, sizeof(map) - at, "k: v}");
	EXPECT(!accepts("targets: [{name: a, url: 'mqtt://b', user_properties: %s}]", map));
}

TEST(a_message_carries_what_its_definition_says)
{
	const struct cfg_definition *d;

	parse_good("node: n\ntargets: [{name: plant, url: 'mqtt://b'}]\n" FIELD_SIDE
		   "definitions: [{name: d, target: plant, tags: m1.x, topic: t, expiry: 90s, content_type: "
		   "application/json, payload_format: bytes, response_topic: '{node}/{target}/{definition}', "
		   "correlation_data: c1, user_properties: {a: b, c: d}}]");
	d = &c->definitions[0];
	EXPECT_EQ(d->expiry_s, 90);
	EXPECT_TEXT(cfg_text(c, d->props.content_type), "application/json");
	EXPECT_EQ(d->props.payload_format, CFG_FORMAT_BYTES);
	EXPECT_TEXT(cfg_text(c, d->props.response_topic), "n/plant/d");
	EXPECT_TEXT(cfg_text(c, d->props.correlation_data), "c1");
	EXPECT_EQ(d->props.user.count, 2);
	EXPECT_TEXT(cfg_text(c, c->pairs[d->props.user.first + 1].name), "c");
	EXPECT_EQ(d->subscribe.forward.target_idx, CFG_NONE);
	config_free(c);
}

TEST(a_definition_of_3_1_1_has_an_expiry_and_no_properties)
{
	static const char *const keys[] = {
		"content_type: a",     "payload_format: bytes",   "response_topic: a",
		"correlation_data: a", "user_properties: {a: b}",
	};

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		ck_assert_msg(accepts(PUBLISH, keys[i]), "%s", keys[i]);
		ck_assert_msg(!accepts(PUBLISH_311, keys[i]), "%s", keys[i]);
	}
	EXPECT(accepts(PUBLISH_311, "expiry: 10s"));
	EXPECT(!accepts(PUBLISH, "expiry: 1500ms"));
	EXPECT(accepts(PUBLISH, "expiry: 4294967295s"));
	EXPECT(!accepts(PUBLISH, "expiry: 4294967296s"));
	EXPECT(!accepts(PUBLISH, "response_topic: 'a/{device}'"));
	EXPECT(!accepts(PUBLISH, "response_topic: 'a/#'"));
}

TEST(the_server_may_choose_the_client_identifier)
{
	parse_good("targets: [{name: a, url: 'mqtt://b', client_id: ''}, {name: b, url: 'mqtt://b'}]");
	EXPECT(c->targets[0].server_client_id);
	EXPECT(!c->targets[1].server_client_id);
	config_free(c);
	parse_good(
		"targets: [{name: a, url: 'mqtt://b', client_id: '', protocol: 3.1.1, clean_start: true}]");
	config_free(c);
	expect_mistake(
		"targets: [{name: a, url: 'mqtt://b', client_id: '', protocol: 3.1.1, clean_start: false}]",
		"needs `clean_start: true`");
}

/* As many tags as fit into one message; then 64 KiB of user properties beside them. */
TEST(the_properties_of_a_message_count_for_its_size)
{
	uint64_t room = RING_RECORD_BYTES_MAX - PAYLOAD_GROUP_BYTES - 2 * TOPIC_BYTES_MAX - 1024, used = 0;
	char tag[16], file[512], value[1025] = "", *map = malloc(1 << 17);
	uint32_t count = 0;
	size_t at = 0;

	for (;; count++) {
		used += payload_tag_bytes_max((size_t)snprintf(tag, sizeof(tag), "l.t%u", count));
		if (used > room)
			break;
	}
	memset(value, 'v', 1024);
	for (int i = 0; i < 64; i++)
		at += (size_t)snprintf(map + at, (1 << 17) - at, "\n      k%d: %s", i, value);
	snprintf(file, sizeof(file),
		 "targets: [{name: plant, url: 'mqtt://b'}]\nlines: [{name: l, synthetic: {tags: %u}}]\n"
		 "definitions:\n  - name: d\n    target: plant\n    tags: 'l.*'\n    topic: t\n",
		 count);
	parse_good(file);
	config_free(c);
	map = realloc(map, at + sizeof(file) + 32);
	memmove(map + strlen(file) + 20, map, at + 1);
	memcpy(map, file, strlen(file));
	memcpy(map + strlen(file), "    user_properties:", 20);
	expect_mistake(map, "could be larger than 16 MiB");
	free(map);
}

TEST(a_placeholder_that_a_topic_has_not_is_told_those_that_it_has)
{
	static const char two[] = "only {node} and {target}",
			  three[] = "only {node}, {target} and {definition}";

	expect_mistake_in(ONE, "buffer: {loss_topic: 'a/{tag}'}", two);
	expect_mistake_in(ONE, "will: {topic: 'a/{definition}'}", two);
	expect_mistake_in(ONE, "will: {topic: a, response_topic: 'a/{device}'}", two);
	expect_mistake_in(ONE, "buffer: {replay: {order: live-first, topic_prefix: '{tag}/'}}", two);
	expect_mistake_in(PUBLISH, "response_topic: 'a/{tag}'", three);
}

TEST(losses_are_told_on_a_topic_of_node_and_target)
{
	parse_good("node: n\ntargets: [{name: a, url: 'mqtt://b', buffer: {loss_topic: '{node}/{target}/x'}},"
		   "{name: b, url: 'mqtt://b', buffer: {loss_topic: y, loss_qos: 2}}, {name: c, url: "
		   "'mqtt://b'}]");
	EXPECT_TEXT(cfg_text(c, c->targets[0].buffer_loss_topic), "n/a/x");
	EXPECT_EQ(c->targets[0].buffer_loss_qos, 1);
	EXPECT_TEXT(cfg_text(c, c->targets[1].buffer_loss_topic), "y");
	EXPECT_EQ(c->targets[1].buffer_loss_qos, 2);
	EXPECT_EQ(c->targets[2].buffer_loss_topic, 0);
	config_free(c);
	expect_mistake_in(ONE, "buffer: {loss_topic: 'a/#'}", "`loss_topic`");
	expect_mistake_in(ONE, "buffer: {loss_qos: 1}", "`loss_qos` needs `loss_topic`");
}

TEST(only_json_messages_are_numbered)
{
	parse_good_format(PUBLISH, "sequence: true");
	EXPECT(c->definitions[0].sequence);
	config_free(c);
	parse_good_format(PUBLISH, "payload: text");
	EXPECT(!c->definitions[0].sequence);
	config_free(c);
	expect_mistake_in(PUBLISH, "sequence: true, payload: text", "write `payload: json`");
}

#define TWO_RINGS \
	"targets: [{name: a, url: 'mqtt://b', buffer: {path: %s}}, {name: b, url: 'mqtt://c', buffer: " \
	"{path: %s}}]"

static const char *two_rings(const char *a, const char *b)
{
	static char text[400];

	snprintf(text, sizeof(text), TWO_RINGS, a, b);
	return text;
}

TEST(two_targets_cannot_have_one_ring_file_however_it_is_written)
{
	expect_mistake(two_rings("r", "r"), "is that of target `a`");
	expect_mistake(two_rings("r", "./r"), "is that of target `a`");
	expect_mistake(two_rings("x//r", ".///x/./r"), "is that of target `a`");
	expect_mistake(two_rings("/x/r", "//x/r"), "is that of target `a`");
	parse_good(two_rings("r", "r2"));
	config_free(c);
	parse_good(two_rings("r", "/r"));
	config_free(c);
	parse_good(two_rings("x/r", "x"));
	config_free(c);
	parse_good(two_rings("r", "...r"));
	config_free(c);
}

TEST(a_ring_file_cannot_have_the_name_of_another_file_of_ours)
{
	expect_mistake(two_rings("r", "a.session"), "ends in .session");
	expect_mistake(two_rings("r", "/x/r.new"), ".new or .bad");
	expect_mistake(two_rings("r.bad", "r"), ".new or .bad");
	expect_mistake(two_rings("r", "r2.bad.2"), ".new or .bad");
	parse_good(two_rings("session", "bad.ring"));
	config_free(c);
}

#define REPLAY "buffer: {replay: {%s}}"

static const char *replay(const char *format, const char *what)
{
	static char text[2][400];
	static int turn;
	char key[200];

	turn = !turn;
	snprintf(key, sizeof(key), REPLAY, what);
	snprintf(text[turn], sizeof(text[turn]), format, key);
	return text[turn];
}

TEST(groups_within_groups_have_their_defaults)
{
	const struct cfg_replay *r;

	parse_good(replay(ONE, "order: live-first"));
	r = &c->targets[0].replay;
	EXPECT_EQ(r->order, CFG_REPLAY_LIVE_FIRST);
	EXPECT_EQ(r->share_percent, 50);
	EXPECT_EQ(r->interval_ns, 0);
	EXPECT_TEXT(cfg_text(c, r->rate_text), "50%");
	EXPECT(r->mark);
	EXPECT_EQ(r->thin, CFG_THIN_NONE);
	config_free(c);
	parse_good(replay(ONE_311, "order: live-first, thin: {keep: last}"));
	r = &c->targets[0].replay;
	EXPECT(!r->mark);
	EXPECT_EQ(r->thin, CFG_THIN_LAST);
	EXPECT_EQ(r->thin_bucket_ns, 60 * NS_PER_S);
	EXPECT_EQ(r->thin_within_ns, 3600 * NS_PER_S);
	config_free(c);
	parse_good("targets: [{name: a, url: 'mqtt://b'}]");
	EXPECT_EQ(c->targets[0].replay.order, CFG_REPLAY_OLDEST_FIRST);
	config_free(c);
}

TEST(replay_is_as_it_is_written)
{
	const struct cfg_replay *r;

	parse_good(replay(ONE, "order: live-first, rate: 200/s, mark: false, topic_prefix: 'late/', "
			       "thin: {keep: min-max, bucket: 2s, within: 0s}"));
	r = &c->targets[0].replay;
	EXPECT_EQ(r->interval_ns, 5 * NS_PER_MS);
	EXPECT_EQ(r->share_percent, 0);
	EXPECT(!r->mark);
	EXPECT_TEXT(cfg_text(c, r->topic_prefix), "late/");
	EXPECT_EQ(r->thin_bucket_ns, 2 * NS_PER_S);
	EXPECT_EQ(r->thin_within_ns, 0);
	config_free(c);
}

TEST(mistakes_in_replay_are_told)
{
	expect_mistake(replay(ONE, "rate: 50%"), "`rate` needs `order: live-first`");
	expect_mistake(replay(ONE, "thin: {keep: last}"), "`thin` needs `order: live-first`");
	expect_mistake(replay(ONE, "order: live-first, rate: 101%"), "a share is 1% .. 100%");
	expect_mistake(replay(ONE, "order: live-first, rate: 5"), "a whole number in a time");
	expect_mistake(replay(ONE, "order: live-first, thin: {bucket: 1s}"), "`keep`");
	expect_mistake(replay(ONE, "order: live-first, thin: {keep: median}"), "`keep`");
	expect_mistake(replay(ONE, "order: live-first, topic_prefix: 'a/#'"), "wildcards");
	expect_mistake(replay(ONE_311, "order: live-first, mark: true"), "`mark` needs `protocol: 5`");
}
