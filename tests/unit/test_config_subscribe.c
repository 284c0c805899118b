/* Definitions that subscribe, and the devices without a line that hold what comes. */
#include "core/clock.h"
#include "tests/unit/config_case.h"

#define TARGETS \
	"node: n1\n" \
	"targets: [{name: a, url: 'mqtt://b'}, {name: old, url: 'mqtt://b', protocol: 3.1.1}," \
	" {name: b, url: 'mqtt://c'}]\n"
#define LINE    "lines: [{name: plc, modbus_tcp: {address: h}}]\n"
#define HOLDER  "{name: in, tags: [{name: x}, {name: y, type: bool}]}"
#define DEVICES "devices: [" HOLDER "]\n"
#define PLANT   TARGETS LINE DEVICES

/* One subscription that names every tag, with a hole for more keys. */
#define ALL     PLANT "definitions: [{name: d, target: a, mode: subscribe, tags: 'in.*', %s}]"
#define ALL_311 PLANT "definitions: [{name: d, target: old, mode: subscribe, tags: 'in.*', %s}]"
/* One that passes on. */
#define BRIDGE TARGETS "definitions: [{name: d, target: a, mode: subscribe, %s}]"

/* A mistake in a file with a hole. */
TEST(a_subscription_for_tags_is_understood)
{
	const struct cfg_definition *d;

	parse_good(PLANT
		   "definitions: [{name: d, target: a, mode: subscribe, topic: 'cmd/{node}/+', qos: 1, tags: "
		   "'in.*', value: /data/0/a~1b, no_local: true, retain_handling: never}]");
	d = &c->definitions[0];
	EXPECT_EQ(d->mode, CFG_MODE_SUBSCRIBE);
	EXPECT_TEXT(cfg_text(c, d->topic), "cmd/{node}/+");
	EXPECT_EQ(d->qos, 1);
	EXPECT_EQ(d->ref_count, 2);
	EXPECT_TEXT(cfg_text(c, d->subscribe.pointer), "/data/0/a~1b");
	EXPECT(d->subscribe.no_local);
	EXPECT(!d->subscribe.retain_as_published);
	EXPECT_EQ(d->subscribe.retain_handling, CFG_RETAINED_NEVER);
	EXPECT_EQ(d->subscribe.forward.target_idx, CFG_NONE);
	config_free(c);
}

TEST(a_subscription_that_forwards_is_understood)
{
	const struct cfg_definition *d;

	parse_good(
		TARGETS
		"definitions: [{name: d, target: a, mode: subscribe, topic: 'up/+/#', forward: {target: "
		"b, topic: 'site/{1}/{2}', max_bytes: 16KiB}}, {name: e, target: a, mode: subscribe, topic: "
		"x, retain_as_published: false, forward: {target: old}}]");
	d = &c->definitions[0];
	EXPECT_EQ(d->ref_count, 0);
	EXPECT_EQ(d->qos, 0);
	EXPECT_EQ(d->subscribe.forward.target_idx, 2);
	EXPECT_TEXT(cfg_text(c, d->subscribe.forward.topic), "site/{1}/{2}");
	EXPECT_EQ(d->subscribe.forward.max_bytes, 16384);
	EXPECT(d->subscribe.retain_as_published);
	EXPECT_EQ(d->subscribe.retain_handling, CFG_RETAINED_SEND);
	d = &c->definitions[1];
	EXPECT_EQ(d->subscribe.forward.target_idx, 1);
	EXPECT_TEXT(cfg_text(c, d->subscribe.forward.topic), "{topic}");
	EXPECT_EQ(d->subscribe.forward.max_bytes, 4096);
	EXPECT(!d->subscribe.retain_as_published);
	config_free(c);
}

TEST(what_may_come_is_small_where_nothing_is_subscribed)
{
	parse_good("node: n1\n"
		   "targets: [{name: a, url: 'mqtt://b'}, {name: given, url: 'mqtt://c', max_packet: 1KiB}, "
		   "{name: wide, url: 'mqtt://d', max_inflight: 1000}, {name: wider, url: 'mqtt://e', "
		   "max_inflight: 65279}, {name: plain, url: 'mqtt://f'}]\n" DEVICES
		   "definitions: [{name: d, target: a, mode: subscribe, tags: 'in.*', topic: '+'}, "
		   "{name: e, target: given, mode: subscribe, topic: x, forward: {target: a}}]");
	EXPECT_EQ(c->targets[0].max_packet_bytes, 65536);
	EXPECT_EQ(c->targets[1].max_packet_bytes, 1024);
	EXPECT_EQ(c->targets[2].max_packet_bytes, 8000);
	EXPECT_EQ(c->targets[3].max_packet_bytes, 65536);
	EXPECT_EQ(c->targets[4].max_packet_bytes, 4096);
	config_free(c);
}

TEST(a_subscription_is_for_tags_or_for_another_target)
{
	expect_mistake(TARGETS "definitions: [{name: d, target: a, mode: subscribe, topic: x}]",
		       "needs `tags` that take its values, or `forward`");
	EXPECT(accepts(ALL, "topic: x, forward: {target: b}"));
	expect_mistake(TARGETS "definitions: [{name: d, target: a, topic: x}]",
		       "`tags` is missing in this definition");
	expect_mistake(TARGETS "definitions: [{name: d, target: a, mode: periodic, cycle: 1s, topic: x}]",
		       "`tags` is missing in this definition");
}

TEST(the_filter_of_a_subscription_is_checked)
{
	EXPECT(accepts(ALL, "topic: '#'"));
	EXPECT(accepts(ALL, "topic: 'a/+/#'"));
	EXPECT(accepts(ALL, "topic: '$share/g/a/+'"));
	EXPECT(accepts(ALL_311, "topic: '$share/g/a/+'"));
	EXPECT(accepts(ALL, "topic: '{node}/{target}/{definition}/{device}/{tag}/+'"));
	expect_mistake_in(ALL, "topic: 'a/#/b'", "# stands alone");
	expect_mistake_in(ALL, "topic: 'a+'", "+ stands alone");
	expect_mistake_in(ALL, "topic: '{tag}+'", "+ stands alone");
	expect_mistake_in(ALL, "topic: '$share/g'", "follows the name of a share");
	expect_mistake_in(ALL, "topic: '{tags}'", "unknown placeholder");
	expect_mistake_in(BRIDGE, "topic: 'a/{tag}', forward: {target: b}", "{device} and {tag} need `tags`");
}

TEST(the_value_of_a_subscription_is_a_json_pointer)
{
	EXPECT(accepts(ALL, "topic: x, value: ''"));
	EXPECT(accepts(ALL, "topic: x, value: /"));
	EXPECT(accepts(ALL, "topic: x, value: '/a~0~1/~01'"));
	expect_mistake_in(ALL, "topic: x, value: a/b", "begins with /");
	expect_mistake_in(ALL, "topic: x, value: /a~2", "~0 is written for ~");
	expect_mistake_in(ALL, "topic: x, value: /a~", "~0 is written for ~");
	expect_mistake_in(BRIDGE, "topic: x, value: /a, forward: {target: b}", "`value` needs `tags`");
}

TEST(keys_for_publishing_are_refused_in_a_subscription)
{
	static const char *const keys[] = {
		"cycle: 1s",         "heartbeat: 1s",       "deadband: {abs: 1}",  "payload: json",
		"retain: true",      "expiry: 1s",          "content_type: a",     "payload_format: utf8",
		"response_topic: a", "correlation_data: a", "user_properties: {}", "sequence: true",
	};
	char more[64];

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		snprintf(more, sizeof(more), "topic: x, %s", keys[i]);
		expect_mistake_in(ALL, more, "is for publishing, not for `mode: subscribe`");
	}
}

TEST(keys_of_a_subscription_are_refused_where_values_are_published)
{
	static const char *const keys[] = {
		"value: /a",
		"no_local: true",
		"retain_as_published: true",
		"retain_handling: new",
		"forward: {target: b}",
	};

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
		expect_mistake_in(TARGETS LINE
				  "devices: [{name: m, line: plc, tags: [{name: x, address: 'coil:1'}]}]\n"
				  "definitions: [{name: d, target: a, tags: m.x, topic: t, %s}]",
				  keys[i], "needs `mode: subscribe`");
}

TEST(options_of_a_subscription_need_mqtt5)
{
	expect_mistake_in(ALL_311, "topic: x, no_local: true", "`no_local` needs `protocol: 5`");
	expect_mistake_in(ALL_311, "topic: x, retain_as_published: false", "needs `protocol: 5`");
	expect_mistake_in(ALL_311, "topic: x, retain_handling: send", "needs `protocol: 5`");
	parse_good(TARGETS
		   "definitions: [{name: d, target: old, mode: subscribe, topic: x, forward: {target: a}}]");
	EXPECT(!c->definitions[0].subscribe.retain_as_published);
	config_free(c);
}

TEST(a_shared_subscription_has_no_no_local)
{
	expect_mistake_in(ALL, "topic: '$share/g/x', no_local: true", "[MQTT-3.8.3-4]");
	EXPECT(accepts(ALL, "topic: '$share/g/x', no_local: false"));
	EXPECT(accepts(ALL, "topic: '$shared/x', no_local: true"));
}

TEST(forwarding_goes_to_another_target_and_takes_whole_messages)
{
	expect_mistake_in(BRIDGE, "topic: x, forward: {target: a}", "would go round for ever");
	expect_mistake_in(BRIDGE, "topic: x, forward: {target: bb}", "there is no target `bb`");
	expect_mistake_in(BRIDGE, "topic: x, forward: {topic: y}", "`target` is missing in this forward");
	expect_mistake_in(ALL, "topic: '{tag}', forward: {target: b}", "not those of one tag");
	expect_mistake_in(ALL, "topic: 'a/{device}', forward: {target: b}", "not those of one tag");
}

TEST(the_topic_of_a_forwarded_message_is_checked)
{
	EXPECT(accepts(BRIDGE, "topic: '$share/g/+/#', forward: {target: b, topic: '{2}/{1}/{topic}'}"));
	EXPECT(accepts(BRIDGE, "topic: x, forward: {target: b, topic: '{node}/{target}/{definition}'}"));
	expect_mistake_in(BRIDGE, "topic: '+/a', forward: {target: b, topic: '{2}'}", "which has fewer");
	expect_mistake_in(BRIDGE, "topic: x, forward: {target: b, topic: '{1}'}", "which has fewer");
	expect_mistake_in(BRIDGE, "topic: '#', forward: {target: b, topic: 'x/{tag}'}",
			  "unknown placeholder");
	expect_mistake_in(BRIDGE, "topic: '#', forward: {target: b, topic: 'x/#'}", "no wildcards");
	expect_mistake_in(BRIDGE, "topic: 'a#', forward: {target: b, topic: '{5}'}", "# stands alone");
}

TEST(a_forwarded_message_has_room_in_a_record)
{
	EXPECT(accepts(BRIDGE, "topic: x, forward: {target: b, max_bytes: 16}"));
	EXPECT(accepts(BRIDGE, "topic: x, forward: {target: b, max_bytes: 8388544}"));
	expect_mistake_in(BRIDGE, "topic: x, forward: {target: b, max_bytes: 15}", "it must be 16B .. 16MiB");
	expect_mistake_in(BRIDGE, "topic: x, forward: {target: b, max_bytes: 8388545}", "at most 8388544");
	expect_mistake_in(BRIDGE, "topic: x, forward: {target: b, max_bytes: 17MiB}",
			  "it must be 16B .. 16MiB");
}

#define PAIR \
	TARGETS "definitions: [{name: d, target: a, mode: subscribe, topic: 'x/{node}', forward: {target: " \
		"b}},"

TEST(definitions_of_one_filter_ask_for_the_same)
{
	expect_mistake(PAIR "{name: e, target: a, mode: subscribe, topic: x/n1, forward: {target: old},"
			    " no_local: true}]",
		       "`no_local` is another than in definition `d`");
	expect_mistake(PAIR "{name: e, target: a, mode: subscribe, topic: x/n1, forward: {target: old},"
			    " retain_as_published: false}]",
		       "`retain_as_published` is another");
	expect_mistake(PAIR "{name: e, target: a, mode: subscribe, topic: x/n1, forward: {target: old},"
			    " retain_handling: new}]",
		       "`retain_handling` is another");
}

/* Those of another target between them, with the same filter, are not what they are compared with. */
TEST(definitions_are_compared_within_their_target)
{
	expect_mistake(
		PAIR
		"{name: e, target: b, mode: subscribe, topic: x/n1, forward: {target: a}},"
		"{name: f, target: b, mode: subscribe, topic: x/n1, no_local: true, forward: {target: old}}]",
		"`no_local` is another than in definition `e`");
}

TEST(publishing_to_a_topic_asks_nothing_of_its_subscription)
{
	parse_good(PLANT "definitions: [{name: d, target: a, topic: x, tags: in.x}, {name: e, target: a, "
			 "mode: subscribe,"
			 " topic: x, tags: 'in.*', no_local: true}]");
	config_free(c);
}

TEST(definitions_of_different_filters_or_targets_ask_for_what_they_want)
{
	parse_good(
		PAIR
		"{name: e, target: a, mode: subscribe, topic: x/n1, qos: 2, forward: {target: old}},"
		"{name: f, target: a, mode: subscribe, topic: x/n2, no_local: true, forward: {target: b}},"
		"{name: g, target: b, mode: subscribe, topic: x/n1, no_local: true, forward: {target: a}}]");
	config_free(c);
}

TEST(a_filter_of_one_tag_counts_as_any_other)
{
	expect_mistake(PLANT
		       "definitions: [{name: d, target: a, mode: subscribe, topic: 'x/{tag}', tags: 'in.*'},"
		       "{name: e, target: a, mode: subscribe, topic: x/y, tags: in.y, no_local: true}]",
		       "`no_local` is another than in definition `d`");
}

TEST(a_device_without_a_line_holds_subscribed_values)
{
	parse_good(TARGETS LINE
		   "devices: [{name: m, line: plc, tags: [{name: p, address: 'coil:1'}]}, " HOLDER "]\n"
		   "definitions: [{name: d, target: a, mode: subscribe, topic: '{tag}', tags: 'in.*'}]");
	EXPECT_EQ(c->devices[0].line_idx, 0);
	EXPECT_EQ(c->devices[1].line_idx, CFG_NONE);
	EXPECT_EQ(c->devices[1].unit, 0);
	EXPECT_EQ(c->devices[1].every_ns, 0);
	EXPECT_EQ(c->tags[1].type, CFG_TAG_FLOAT64);
	EXPECT_EQ(c->tags[1].address.bit, -1);
	EXPECT_EQ(c->tags[2].type, CFG_TAG_BOOL);
	config_free(c);
}

TEST(tags_without_a_line_have_rules_of_their_own)
{
	static const char tag[] = TARGETS
		"devices: [{name: in, tags: [{name: x, %s}]}]\n"
		"definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: in.x}]";
	static const struct {
		const char *value;
		bool is_good;
	} cases[] = {
		{"type: float64", true},      {"type: float32", true},
		{"type: uint32", true},       {"type: int32", true},
		{"type: uint16", true},       {"type: int16", true},
		{"type: bool", true},         {"type: int64", false},
		{"type: string", false},      {"scale: 0.1, offset: 2, unit: kW, deadband: {abs: 1}", true},
		{"scale: 0", false},          {"type: bool, scale: 2", false},
		{"address: 'coil:1'", false}, {"order: ABCD", false},
		{"every: 1s", false},         {"access: ro", true},
		{"access: rw", false},        {"limits: {}", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_msg(accepts(tag, cases[i].value) == cases[i].is_good, "%s", cases[i].value);
}

TEST(a_device_without_a_line_has_nothing_of_a_line)
{
	static const char *const keys[] = {"unit: 1", "every: 1s", "timeout: 1s", "order: ABCD"};

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
		expect_mistake_in("devices: [{name: in, %s}]", keys[i], "needs a device with `line`");
}

TEST(a_tag_on_a_line_has_an_address_and_no_float64)
{
	static const char tag[] = LINE "devices: [{name: m, line: plc, tags: [{name: x, %s}]}]";

	expect_mistake_in(tag, "type: int16",
			  "`address` is missing in this tag; add `address: ...`: on a line");
	expect_mistake_in(tag, "address: 'input:1', type: float64", "`type: float64` is not supported");
	expect_mistake("devices: [{name: m, line: plcc, tags: [{name: x, address: 'coil:1'}]}]\nlines: "
		       "[{name: plc, modbus_tcp: "
		       "{address: h}}]",
		       "there is no line `plcc`");
}

TEST(a_tag_that_no_subscription_names_is_a_mistake)
{
	expect_mistake(PLANT, "tag `x` (nor would 1 more of its device): it would never have a value");
	expect_mistake(PLANT "definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: in.x}]",
		       "f.yaml:4:40: tag `y`: it would never have a value");
	expect_mistake(PLANT "definitions: [{name: d, target: a, topic: t, tags: 'in.*'}]",
		       "it would never have a value");
}

TEST(a_broken_subscription_is_not_blamed_on_its_tags)
{
	expect_mistake_in(ALL, "topic: 'a#'", "# stands alone");
	expect_mistake(PLANT "definitions: [{name: d, target: aa, mode: subscribe, topic: t, tags: 'in.*'}]",
		       "there is no target `aa`");
	expect_mistake(PLANT "definitions: [{name: d, target: a, mode: subscrib, topic: t, tags: 'in.*'}]",
		       "did you mean `subscribe`?");
	expect_mistake(PLANT "definitions: 5", "`definitions` must be a list");
	expect_mistake(TARGETS "devices: [{name: in, tags: [{name: x}, {name: x}]}]\n"
			       "definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: in.x}]",
		       "there is a tag `x` already");
}

TEST(a_tag_gets_its_value_from_one_target)
{
	expect_mistake(PLANT "definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: 'in.*'},"
			     "{name: e, target: b, mode: subscribe, topic: t, tags: in.y}]",
		       "`in.y` has two sources, the targets `a` and `b`");
	parse_good(PLANT "definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: 'in.*'},"
			 "{name: e, target: a, mode: subscribe, topic: u, tags: in.y}]");
	config_free(c);
}

TEST(a_subscription_does_not_write_to_devices)
{
	expect_mistake(
		TARGETS LINE "devices: [{name: m, line: plc, tags: [{name: x, address: 'coil:1'}, {name: y, "
			     "address: 'coil:2'}]}]\n"
			     "definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: 'm.*'}]",
		"`m.x` has a line, and writing to devices is not supported by this version; name tags of a "
		"device without `line`");
	expect_mistake(TARGETS
		       "lines: [{name: load, synthetic: {tags: 2}}]\n"
		       "definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: load.t0}]",
		       "`load.t0` has a line");
}

TEST(subscribed_values_are_published_again)
{
	parse_good(PLANT "definitions: [{name: d, target: a, mode: subscribe, topic: t, tags: 'in.*'},"
			 "{name: e, target: b, topic: u, tags: 'in.*'},"
			 "{name: f, target: a, topic: u, mode: periodic, cycle: 1s, tags: in.y}]");
	EXPECT_EQ(c->definitions[1].ref_count, 2);
	config_free(c);
}

/* The mistake of the anchor is said once, and nothing is concluded from a topic that could not be made. */
TEST(a_filter_that_is_an_alias_of_something_bad_is_left_alone)
{
	expect_mistake(
		"targets: [{name: a, url: 'mqtt://b', will: {topic: &t 'a#'}}, {name: b, url: 'mqtt://c'}]\n"
		"definitions: [{name: d, target: a, mode: subscribe, topic: *t, forward: {target: b}},"
		"{name: e, target: a, mode: subscribe, topic: *t, no_local: true, forward: {target: b}}]",
		"no wildcards");
}
