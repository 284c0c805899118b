#include "core/config.h"

#include <stdio.h>

#include "core/clock.h"
#include "core/schema.h"
#include "tests/unit/config_plant.h"

static const char example[] =
	"node: press-hall-1\n"
	"samplers:   [{name: fast, cpu: 1, priority: 50}]\n"
	"publishers: [{name: pub0, cpu: 0}]\n"
	"targets:\n"
	"  - name: plant\n"
	"    kind: mqtt\n"
	"    urls: [mqtt://b1:8883, mqtt://b2:8883]\n"
	"    failover: ordered\n"
	"    protocol: 5\n"
	"    enabled: true\n"
	"    package: core\n"
	"    client_id: gw-1\n"
	"    user: gw1\n"
	"    password: file:plant.pw\n"
	"    clean_start: false\n"
	"    session_expiry: 1h\n"
	"    keep_alive: 60s\n"
	"    connect_timeout: 30s\n"
	"    reconnect: {base: 1s, cap: 60s, stable: 30s}\n"
	"    buffer: {messages: 1000, max_age: 8h}\n"
	"    will: {topic: gw1/state, payload: lost, qos: 1, retain: true}\n"
	"lines:\n"
	"  - {name: rs485-a, modbus_rtu: {path: /dev/ttyS1, baud: 19200, format: 8E1, mode: rs485}, "
	"sampler: fast}\n"
	"  - {name: plc1, modbus_tcp: {address: \"10.0.0.17:502\"}}\n"
	"devices:\n"
	"  - name: meter1\n"
	"    line: rs485-a\n"
	"    unit: 3\n"
	"    every: 100ms\n"
	"    timeout: 200ms\n"
	"    order: CDAB\n"
	"    tags:\n"
	"      - {name: power, address: \"input:52\", type: float32, scale: 0.001, unit: kW, "
	"deadband: {abs: 0.05}}\n"
	"      - {name: alarm, address: \"holding:100.3\", type: bool, every: 20ms}\n"
	"definitions:\n"
	"  - {name: energy, target: plant, mode: periodic, cycle: 1s, tags: [\"meter1.*\"], topic: "
	"\"plant/{node}/energy\"}\n"
	"  - {name: alarms, target: plant, mode: on-change, heartbeat: 60s, tags: [meter1.alarm], "
	"topic: \"plant/{node}/{tag}\", qos: 1, retain: true}\n";

TEST(the_documented_target_is_understood)
{
	const struct cfg_target *t;

	parse_good(example);
	t = &c->targets[0];
	EXPECT_TEXT(cfg_text(c, c->node), "press-hall-1");
	EXPECT_EQ(c->samplers[0].cpu, 1);
	EXPECT_EQ(c->samplers[0].priority, 50);
	EXPECT_EQ(c->publishers[0].cpu, 0);
	EXPECT_EQ(t->url_count, 2);
	EXPECT_TEXT(cfg_text(c, c->urls[1].host), "b2");
	EXPECT_EQ(c->urls[1].port, 8883);
	EXPECT_TEXT(cfg_text(c, c->urls[1].text), "mqtt://b2:8883");
	EXPECT_EQ(t->protocol, 5);
	EXPECT_TEXT(cfg_text(c, t->client_id), "gw-1");
	EXPECT(t->has_user);
	EXPECT_TEXT(cfg_text(c, t->password), "file:plant.pw");
	EXPECT(!t->clean_start);
	EXPECT_EQ(t->session_expiry_ns, 3600 * NS_PER_S);
	EXPECT_EQ(t->reconnect_cap_ns, 60 * NS_PER_S);
	EXPECT_EQ(t->buffer_max_age_ns, 8 * 3600 * NS_PER_S);
	EXPECT_TEXT(cfg_text(c, t->will.topic), "gw1/state");
	EXPECT_EQ(t->will.qos, 1);
	EXPECT(t->will.retain);
	EXPECT_EQ(t->place.line, 5);
	config_free(c);
}

TEST(the_documented_field_side_is_understood)
{
	const struct cfg_device *d;

	parse_good(example);
	EXPECT_EQ(c->lines[0].kind, CFG_LINE_MODBUS_RTU);
	EXPECT_EQ(c->lines[0].parity, 'E');
	EXPECT_EQ(c->lines[0].serial_mode, CFG_SERIAL_RS485);
	EXPECT_EQ(c->lines[1].kind, CFG_LINE_MODBUS_TCP);
	EXPECT_TEXT(cfg_text(c, c->lines[1].host), "10.0.0.17");
	EXPECT_EQ(c->lines[1].port, 502);
	d = &c->devices[0];
	EXPECT_EQ(d->unit, 3);
	EXPECT_EQ(d->timeout_ns, 200 * NS_PER_MS);
	EXPECT_EQ(d->tag_count, 2);
	EXPECT_EQ(c->tags[0].address.space, ADDRESS_INPUT);
	EXPECT_EQ(c->tags[0].address.offset, 52);
	EXPECT_EQ(c->tags[0].order, CFG_ORDER_CDAB);
	EXPECT_EQ(c->tags[0].every_ns, 100 * NS_PER_MS);
	EXPECT(c->tags[0].scaled);
	EXPECT_EQ(c->tags[0].deadband, CFG_DEADBAND_ABS);
	EXPECT_EQ(c->tags[1].address.bit, 3);
	EXPECT_EQ(c->tags[1].every_ns, 20 * NS_PER_MS);
	EXPECT(!c->tags[1].scaled);
	config_free(c);
}

TEST(the_documented_definitions_are_understood)
{
	parse_good(example);
	EXPECT_EQ(c->definition_count, 2);
	EXPECT_EQ(c->definitions[0].mode, CFG_MODE_PERIODIC);
	EXPECT_EQ(c->definitions[0].cycle_ns, NS_PER_S);
	EXPECT_EQ(c->definitions[0].ref_count, 2);
	EXPECT_EQ(c->definitions[1].ref_count, 1);
	EXPECT_EQ(c->refs[c->definitions[1].ref_first], 1);
	EXPECT_EQ(c->definitions[1].heartbeat_ns, 60 * NS_PER_S);
	EXPECT_EQ(c->definitions[1].qos, 1);
	EXPECT(c->definitions[1].retain);
	config_free(c);
}

TEST(what_is_left_out_has_its_default)
{
	const struct cfg_target *t;

	parse_good(PLANT);
	t = &c->targets[0];
	EXPECT(cfg_text(c, c->node)[0] != 0);
	EXPECT_EQ(c->sampler_count, 1);
	EXPECT_TEXT(cfg_text(c, c->samplers[0].name), "sampler0");
	EXPECT_EQ(c->samplers[0].cpu, -1);
	EXPECT_TEXT(cfg_text(c, c->publishers[0].name), "pub0");
	EXPECT_EQ(c->publishers[0].flush_bytes, 65536);
	EXPECT_TEXT(cfg_text(c, t->package), "core");
	EXPECT(t->enabled);
	EXPECT(t->clean_start);
	EXPECT_EQ(t->session_expiry_ns, 0);
	EXPECT_EQ(t->client_id, 0);
	EXPECT(!t->has_user);
	EXPECT_EQ(t->will.topic, 0);
	EXPECT_EQ(t->keep_alive_ns, 60 * NS_PER_S);
	EXPECT_EQ(t->max_inflight, 256);
	EXPECT_EQ(t->topic_alias_max, 16);
	EXPECT_EQ(t->max_packet_bytes, 4096);
	EXPECT_EQ(t->buffer_messages, 1000);
	EXPECT_EQ(c->lines[0].outstanding_max, 1);
	EXPECT_EQ(c->devices[0].unit, 1);
	EXPECT_EQ(c->devices[0].every_ns, NS_PER_S);
	EXPECT_EQ(c->tags[0].type, CFG_TAG_INT16);
	EXPECT_EQ(c->tags[1].type, CFG_TAG_BOOL);
	config_free(c);
}

/* Each range is there to be used: its own ends are valid defaults and the table's defaults lie in it. */
TEST(every_default_of_the_table_is_accepted)
{
	for (uint32_t i = 0; i < schema_key_count; i++) {
		const struct schema_key *k = &schema_keys[i];

		EXPECT(k->doc != NULL);
		EXPECT(schema_find(k->section, bytes_of_text(k->key)) == k);
		EXPECT_LE(k->min, k->max);
	}
	parse_good(TARGET); /* ASSERTs over all defaults */
	config_free(c);
}

TEST(a_persistent_session_of_mqtt5_lasts_an_hour_unless_told)
{
	parse_good("targets: [{name: a, url: 'mqtt://b', clean_start: false}]");
	EXPECT_EQ(c->targets[0].session_expiry_ns, 3600 * NS_PER_S);
	config_free(c);
}

TEST(targets_spread_over_the_publishers)
{
	parse_good("publishers: [{name: p0}, {name: p1}]\n"
		   "targets: [{name: a, url: 'mqtt://b'}, {name: b, url: 'mqtt://b', publisher: p1},"
		   "{name: c, url: 'mqtt://b'}, {name: d, url: 'mqtt://b'}]");
	EXPECT_EQ(c->targets[0].publisher_idx, 0);
	EXPECT_EQ(c->targets[1].publisher_idx, 1);
	EXPECT_EQ(c->targets[2].publisher_idx, 1);
	EXPECT_EQ(c->targets[3].publisher_idx, 0);
	config_free(c);
}

TEST(protocol_is_a_number_or_a_text)
{
	parse_good("targets: [{name: a, url: 'mqtt://b', protocol: 3.1.1}]");
	EXPECT_EQ(c->targets[0].protocol, 4);
	EXPECT_EQ(c->targets[0].topic_alias_max, 0);
	config_free(c);
	parse_good("targets: [{name: a, url: 'mqtt://b', protocol: \"5\"}]");
	EXPECT_EQ(c->targets[0].protocol, 5);
	config_free(c);
}

TEST(the_topic_of_the_will_is_filled_in)
{
	parse_good(
		"node: n1\ntargets: [{name: a, url: 'mqtt://b', will: {topic: 'x/{node}/{target}/state'}}]");
	EXPECT_TEXT(cfg_text(c, c->targets[0].will.topic), "x/n1/a/state");
	config_free(c);
	expect_mistake("targets: [{name: a, url: 'mqtt://b', will: {topic: 'x/{tag}'}}]",
		       "{node} and {target}");
}

TEST(a_synthetic_line_makes_a_device_with_tags)
{
	parse_good(TARGET "lines: [{name: load, synthetic: {tags: 3, rate: 6}}]\n"
			  "definitions: [{name: d, target: plant, tags: 'load.*', topic: '{tag}'}]");
	EXPECT_EQ(c->device_count, 1);
	EXPECT_TEXT(cfg_text(c, c->devices[0].name), "load");
	EXPECT_EQ(c->devices[0].every_ns, NS_PER_S / 2);
	EXPECT_EQ(c->tag_count, 3);
	EXPECT_TEXT(cfg_text(c, c->tags[2].name), "t2");
	EXPECT_EQ(c->tags[2].type, CFG_TAG_FLOAT64);
	EXPECT_EQ(c->definitions[0].ref_count, 3);
	config_free(c);
	expect_mistake("lines: [{name: lo.ad, synthetic: {}}]", "has no dot");
	expect_mistake("lines: [{name: load, synthetic: {}}]\ndevices: [{name: load, line: load}]\n",
		       "tags t0, t1");
}

static uint32_t ref_count_of(const char *tags)
{
	uint32_t ref_count;

	parse_good_format(PLANT "definitions: [{name: d, target: plant, tags: %s, topic: t}]", tags);
	ref_count = c->definitions[0].ref_count;
	config_free(c);
	return ref_count;
}

TEST(patterns_match_full_names)
{
	EXPECT_EQ(ref_count_of("m1.power"), 1);
	EXPECT_EQ(ref_count_of("[m1.power, m2.power]"), 2);
	EXPECT_EQ(ref_count_of("'m1.*'"), 2);
	EXPECT_EQ(ref_count_of("'*.power'"), 2);
	EXPECT_EQ(ref_count_of("'*'"), 4);
	EXPECT_EQ(ref_count_of("'m*.*ar*'"), 2);
	EXPECT_EQ(ref_count_of("'m1.p*r'"), 1);
}

TEST(a_tag_named_twice_is_there_once)
{
	EXPECT_EQ(ref_count_of("['m1.*', m1.power, '*.power', 'm1.*']"), 3);
}

TEST(a_pattern_without_a_match_is_a_mistake_with_a_suggestion)
{
	expect_mistake(PLANT "definitions: [{name: d, target: plant, tags: m1.powr, topic: t}]",
		       "no tag matches `m1.powr`; did you mean `m1.power`?");
	expect_mistake(PLANT "definitions: [{name: d, target: plant, tags: 'n1.*', topic: t}]",
		       "no tag matches `n1.*`; did you mean `m1.*`?");
	expect_mistake(PLANT "definitions: [{name: d, target: plant, tags: '*.x', topic: t}]",
		       "no tag matches");
	expect_mistake(PLANT "definitions: [{name: d, target: plant, tags: m1, topic: t}]", "device.tag");
	expect_mistake(PLANT "definitions: [{name: d, target: plant, tags: '', topic: t}]", "no tag matches");
	expect_mistake(PLANT "definitions: [{name: d, target: plant, tags: [], topic: t}]",
		       "`tags` is empty");
}

TEST(numbers_are_accepted_at_both_ends_and_not_beyond)
{
	static const char target[] = "targets: [{name: a, url: 'mqtt://b', %s}]";
	static const struct {
		const char *value;
		bool is_good;
	} cases[] = {
		{"max_inflight: 1", true},
		{"max_inflight: 65279", true},
		{"max_inflight: 0", false},
		{"max_inflight: 65280", false},
		{"topic_alias_max: 0", true},
		{"topic_alias_max: 65536", false},
		{"keep_alive: 65535s", true},
		{"keep_alive: 65536s", false},
		{"keep_alive: 1500ms", false},
		{"keep_alive: 0", true},
		{"max_packet: 256MiB", true},
		{"max_packet: 257MiB", false},
		{"max_packet: 255", false},
		{"buffer: {messages: 1}", true},
		{"buffer: {messages: 10000000}", true},
		{"buffer: {messages: 0}", false},
		{"buffer: {messages: 10000001}", false},
		{"session_expiry: 4294967295s", true},
		{"session_expiry: 4294967296s", false},
		{"reconnect: {base: 60s, cap: 60s}", true},
		{"reconnect: {base: 61s}", false},
		{"will: {topic: t, qos: 2, delay: 1s}", true},
		{"will: {topic: t, qos: 3}", false},
		{"will: {topic: t, delay: 1ms}", false},
		{"enabled: yes", false},
		{"enabled: True", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_msg(accepts(target, cases[i].value) == cases[i].is_good, "%s", cases[i].value);
}

TEST(units_of_a_device_depend_on_its_line)
{
	EXPECT(accepts(LINES "devices: [{name: a, line: plc, unit: %s}]", "0"));
	EXPECT(accepts(LINES "devices: [{name: a, line: plc, unit: %s}]", "255"));
	EXPECT(!accepts(LINES "devices: [{name: a, line: plc, unit: %s}]", "256"));
	EXPECT(!accepts(LINES "devices: [{name: a, line: rtu, unit: %s}]", "0"));
	EXPECT(accepts(LINES "devices: [{name: a, line: rtu, unit: %s}]", "247"));
	EXPECT(!accepts(LINES "devices: [{name: a, line: rtu, unit: %s}]", "248"));
	EXPECT(accepts(LINES "devices: [{name: a, line: rtu, every: %s}]", "1ms"));
	EXPECT(!accepts(LINES "devices: [{name: a, line: rtu, every: %s}]", "999us"));
}

TEST(names_have_up_to_64_plain_characters)
{
	char name[66] = "";

	memset(name, 'a', 64);
	EXPECT(accepts("node: %s", name));
	name[64] = 'a';
	EXPECT(!accepts("node: %s", name));
	EXPECT(accepts("node: %s", "A-z_0.9"));
	EXPECT(!accepts("node: %s", "''"));
	EXPECT(!accepts("node: %s", "a/b"));
	EXPECT(!accepts("node: %s", "\"a\\0b\""));
	expect_mistake(LINES "devices: [{name: a.b, line: plc}]", "has no dot");
}

TEST(tags_have_rules_between_their_keys)
{
	static const char tag[] = LINES "devices: [{name: a, line: plc, tags: [{name: x, %s}]}]";
	static const struct {
		const char *value;
		bool is_good;
	} cases[] = {
		{"address: 'input:65535', type: int16", true},
		{"address: 'input:65535', type: int32", false},
		{"address: 'input:65534', type: float32", true},
		{"address: 'input:1'", false},
		{"address: 'coil:1', type: int16", false},
		{"address: 'holding:1.15'", true},
		{"address: 'holding:1.16'", false},
		{"address: 'holding:1.2', type: int16", false},
		{"address: 40001, type: uint16", true},
		{"address: 'input:1', type: int16, scale: 0", false},
		{"address: 'coil:1', scale: 2", false},
		{"address: 'input:1', type: int16, deadband: {abs: 0}", true},
		{"address: 'input:1', type: int16, deadband: {abs: -1}", false},
		{"address: 'input:1', type: int16, deadband: {percent: 100}", true},
		{"address: 'input:1', type: int16, deadband: {percent: 100.5}", false},
		{"address: 'input:1', type: int16, deadband: {percent: 1, abs: 1}", false},
		{"address: 'input:1', type: int16, deadband: {}", false},
		{"address: 'input:1', type: int16, deadband: 5", false},
		{"address: 'input:1', type: int16, access: ro", true},
		{"address: 'input:1', type: int16, access: rw", false},
		{"address: 'input:1', type: string", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_msg(accepts(tag, cases[i].value) == cases[i].is_good, "%s", cases[i].value);
}

TEST(definitions_have_rules_between_their_keys)
{
	static const char definition[] = PLANT "definitions: [{name: d, target: plant, tags: 'm1.*', %s}]";
	static const struct {
		const char *value;
		bool is_good;
	} cases[] = {
		{"topic: t, mode: periodic, cycle: 1ms", true},
		{"topic: t, mode: periodic", false},
		{"topic: t, cycle: 1s", false},
		{"topic: t, mode: periodic, cycle: 1s, heartbeat: 1s", false},
		{"topic: t, mode: periodic, cycle: 1s, deadband: {abs: 1}", false},
		{"topic: t, deadband: {percent: 1}, heartbeat: 1s", true},
		{"topic: t, payload: text", false},
		{"topic: 't/{tag}', payload: text", true},
		{"topic: 't/{node}/{target}/{definition}/{device}/{tag}'", true},
		{"topic: 't/{tags}'", false},
		{"topic: 't/{tag'", false},
		{"topic: 't/+'", false},
		{"topic: 't/#'", false},
		{"topic: ''", false},
		{"topic: t, qos: 2", true},
		{"topic: t, qos: -1", false},
		{"topic: 't/#', mode: subscribe", false}, /* and one mistake only */
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_msg(accepts(definition, cases[i].value) == cases[i].is_good, "%s", cases[i].value);
}

TEST(a_topic_is_1024_bytes_at_most_when_filled_in)
{
	char topic[1025] = "";

	memset(topic, 'a', sizeof(topic) - 1);
	EXPECT(accepts(PLANT "definitions: [{name: d, target: plant, tags: m1.power, topic: '%s'}]", topic));
	memcpy(topic, "{tag}{device}", 13); /* 7 characters for 13, in a template of 1024 */
	EXPECT(accepts(PLANT "definitions: [{name: d, target: plant, tags: m1.power, topic: '%s'}]", topic));
	memcpy(topic, "{target}{tag}{tag}{tag}{tag}{tag}{tag}", 38);
	EXPECT(accepts(PLANT "definitions: [{name: d, target: plant, tags: m1.power, topic: '%s'}]", topic));
	memcpy(topic, "{definition}{definition}", 24);
	EXPECT(!accepts("node: a\n" PLANT
			"definitions: [{name: dddddddddddddddddddddddddd, target: plant, tags: m1.power,"
			" topic: '%s'}]",
			topic));
}

TEST(a_line_is_of_exactly_one_kind)
{
	expect_mistake("lines: [{name: a}]", "a line needs one of");
	expect_mistake("lines: [{name: a, synthetic: {}, modbus_tcp: {address: h}}]", "exactly one of");
	expect_mistake("lines: [{name: a, modbus_rtu: {baud: 9600}}]",
		       "`path` is missing in this modbus_rtu");
	expect_mistake("lines: [{name: a, modbus_rtu: {path: /x, format: 9E1}}]", "such as 8E1");
	expect_mistake("lines: [{name: a, modbus_rtu: /dev/x}]", "{key: value, ...}");
}

TEST(urls_are_one_to_sixteen)
{
	EXPECT(accepts("targets: [{name: a, urls: %s}]", "'mqtt://b'"));
	EXPECT(accepts("targets: [{name: a, urls: %s}]", "[a:1]") == false);
	EXPECT(accepts("targets: [{name: a, urls: &u [&b "
		       "'mqtt://b',*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b%s]}]",
		       ""));
	EXPECT(!accepts("targets: [{name: a, urls: &u [&b "
			"'mqtt://b',*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b%s]}]",
			",*b"));
	expect_mistake("targets: [{name: a, urls: []}]", "write 1 to 16");
	expect_mistake("targets: [{name: a}]", "`urls` is missing in this target");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', urls: ['mqtt://b']}]", "are the same");
}

TEST(mqtt5_keys_need_mqtt5)
{
	expect_mistake("targets: [{name: a, url: 'mqtt://b', protocol: 3.1.1, session_expiry: 1h}]",
		       "protocol: 5");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', protocol: 3.1.1, will: {topic: t, delay: 1s}}]",
		       "`delay`");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', protocol: 3.1.1, password: 'env:X'}]",
		       "add `user`");
}

TEST(two_targets_may_not_be_the_same_client_of_a_server)
{
	expect_mistake("targets: [{name: a, url: 'mqtt://b', client_id: x}, {name: b, url: 'tcp://b:1883', "
		       "client_id: x}]",
		       "is that of target `a` on the same server");
	parse_good("targets: [{name: a, url: 'mqtt://b', client_id: x}, {name: b, url: 'mqtt://c', "
		   "client_id: x}]");
	config_free(c);
}

TEST(own_networks_are_read_and_what_is_none_is_named)
{
	struct cfg_errors found = {0};
	struct cfg *cfg = NULL;
	static const char good[] = "own_networks: [203.0.113.0/24, '2001:db8::/32']\n"
				   "targets: [{name: t, url: 'mqtt://h', allow_cloud: false}]\n";
	static const char bad[] = "own_networks: [203.0.113.1/24]\n";

	EXPECT_EQ(config_parse("f", bytes_of_text(good), &cfg, &found), 0);
	EXPECT_EQ(cfg->own_network_count, 2);
	EXPECT(!cfg->targets[0].allow_cloud);
	config_free(cfg);
	EXPECT(config_parse("f", bytes_of_text(bad), &cfg, &found) < 0);
	EXPECT(strstr(found.lines[0],
		      "f:1:16: this network is not understood: bits are set behind the prefix"));
	config_errors_free(&found);
}

TEST(the_schema_is_printed_with_every_key)
{
	FILE *f = tmpfile();
	char line[512];
	uint32_t line_count = 0;

	EXPECT(f != NULL);
	EXPECT_EQ(config_print_schema(fileno(f)), 0);
	rewind(f);
	while (fgets(line, sizeof(line), f))
		line_count++;
	EXPECT_EQ(line_count, schema_key_count + 1);
	fclose(f);
}
