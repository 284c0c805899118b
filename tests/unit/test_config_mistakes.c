/* Mistakes in a configuration file: each is told once, at its place, with what to write instead. */
#include <stdlib.h>

#include "tests/unit/config_plant.h"

TEST(ten_mistakes_give_ten_messages_in_the_order_of_the_file)
{
	static const char *const wanted[] = {
		"f.yaml:3:24: unknown key `keepalive` in a target; did you mean `keep_alive`?",
		"f.yaml:4:29: `keep_alive` is `60`: a duration needs a unit: us ms s min h d, such as 100ms",
		"f.yaml:5:21: `kind` is `mqt`; did you mean `mqtt`?",
		"f.yaml:7:30: there is no sampler `fats`; did you mean `fast`?",
		"f.yaml:9:23: there is no line `plc2`; did you mean `plc1`?",
		"f.yaml:9:35: `unit` is `300`: it must be 0 .. 255",
		"f.yaml:10:59: `type` is `flaot32`; did you mean `float32`?",
		"f.yaml:12:23: there is no target `plants`; did you mean `plant`?",
		"f.yaml:12:38: no tag matches `m1.pover`; did you mean `m1.power`?",
		"f.yaml:12:74: `qos` is `3`: it must be 0 .. 2",
	};

	EXPECT_EQ(parse("samplers: [{name: fast}]\n"
			"targets:\n"
			"  - {name: plant, url: keepalive: 60s}\n"),
		  -EINVAL); /* not YAML: one message, with its line */
	EXPECT_EQ(errors.total, 1);
	EXPECT(strstr(errors.lines[0], "f.yaml:3:"));
	config_errors_free(&errors);

	EXPECT_EQ(parse("samplers: [{name: fast}]\n"
			"targets:\n"
			"  - {name: plant,      keepalive: 60s, url: 'mqtt://b'}\n"
			"  - {name: two, keep_alive: 60, url: 'mqtt://b'}\n"
			"  - {name: x, kind: mqt, url: 'mqtt://b'}\n"
			"lines:\n"
			"  - {name: plc1, sampler:    fats, modbus_tcp: {address: 'h'}}\n"
			"devices:\n"
			"  - {name: m1, line:  plc2, unit: 300,\n"
			"     tags: [{name: power, address: 'input:1',      type:  flaot32}]}\n"
			"definitions:\n"
			"  - {name: d, target: plants, tags: [m1.pover], topic: 'a/{tag}',   qos: 3}\n"),
		  -EINVAL);
	for (uint32_t i = 0; i < errors.count && i < ARRAY_COUNT(wanted); i++)
		EXPECT_TEXT(errors.lines[i], wanted[i]);
	EXPECT_EQ(errors.count, 10);
	EXPECT_EQ(errors.total, 10);
	config_errors_free(&errors);
}

TEST(a_broken_entry_is_not_blamed_on_what_refers_to_it)
{
	expect_mistake("lines: [{name: plc, modbus_tcp: {address: 'h:99999'}}]\n"
		       "devices: [{name: a, line: plc}, {name: b, line: plc}]\n",
		       "this is no port");
	expect_mistake(
		"lines: [{nam: plc, name: plc, modbus_tcp: {address: h}}]\ndevices: [{name: a, line: plc}]\n",
		"unknown key");
	expect_mistake("lines: [{modbus_tcp: {address: h}}]\ndevices: [{name: a, line: plc}]\n",
		       "`name` is missing in this line");
	expect_mistake(
		"lines: [{name: 'p c', modbus_tcp: {address: h}}]\ndevices: [{name: a, line: 'p c'}]\n",
		"`p c` is no name");
	expect_mistake("lines: 5\ndevices: [{name: a, line: plc}]\n", "`lines` must be a list");
	expect_mistake(TARGET LINES "devices: [{name: m1, line: plc, tags: [{address: 'coil:1'}]}]\n"
				    "definitions: [{name: d, target: plant, tags: [m1.a], topic: t}]\n",
		       "`name` is missing in this tag");
}

TEST(names_are_unique_in_their_section)
{
	expect_mistake("samplers: [{name: a}, {name: a}]", "f.yaml:1:30: there is a sampler `a` already");
	expect_mistake("publishers: [{name: a}, {name: a}]", "there is a publisher `a` already");
	expect_mistake("targets: [{name: a, url: 'mqtt://b'}, {name: a, url: 'mqtt://b'}]",
		       "target `a` already");
	expect_mistake(LINES "devices: [{name: a, line: plc}, {name: a, line: plc}]", "device `a` already");
	expect_mistake(
		LINES
		"devices: [{name: a, line: plc, tags: [{name: x, address: 'coil:1'}, {name: x, address: "
		"'coil:2'}]}]",
		"tag `x` already");
	expect_mistake(PLANT "definitions: [{name: d, target: plant, tags: m1.power, topic: t},"
			     "{name: d, target: plant, tags: m1.power, topic: t}]",
		       "definition `d` already");
}

TEST(a_definition_of_another_target_may_have_the_same_name)
{
	parse_good("targets: [{name: a, url: 'mqtt://b'}, {name: b, url: 'mqtt://b'}]\n" LINES DEVICES
		   "definitions: [{name: d, target: a, tags: m1.power, topic: t}, {name: d, target: b, tags: "
		   "m1.power, "
		   "topic: t}]");
	config_free(c);
}

TEST(a_key_given_twice_is_refused)
{
	expect_mistake("node: a\nnode: b\n", "f.yaml:2:1: `node` is given twice, before in line 1");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', qos: 1}]", "unknown key `qos` in a target");
}

TEST(what_a_later_version_will_do_is_refused_by_name)
{
	expect_mistake("truststores: [{name: x}]\n",
		       "f.yaml:1:1: `truststores` is not supported by this version");
	expect_mistake("targets: [{name: a, url: 'mqtts://b'}]",
		       "TLS is not supported by this version; use mqtt://");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', tls: {min: x}}]",
		       "`tls` is not supported by this version");
	expect_mistake("targets: [{name: a, url: 'mqtt://b', kind: resma}]",
		       "`kind: resma` is not supported");
}

TEST(no_message_repeats_a_secret)
{
	static const char *const files[] = {
		"targets: [{name: a, url: 'mqtt://b', password: hunter2}]",
		"targets: [{name: a, url: 'mqtt://b', password: [hunter2]}]",
		"targets: [{name: a, url: 'mqtt://b', password: 'env:hunter2/'}]",
		"targets: [{name: a, url: 'mqtt://b', password: *hunter2}]",
		"targets: [{name: a, url: 'mqtt://b', pasword: hunter2}]",
		"targets: [{name: a, url: 'mqtt://b', password hunter2}]",
		"targets: [{name: a, url: 'mqtt://b', password:hunter2}]",
		"targets: [{name: a, url: 'mqtt://u:hunter2@b'}]",
		"targets: [{name: a, url: 'http://u:hunter2@b'}]",
		"targets:\n  - name: a\n    password: hunter2: 3\n",
		"targets:\n  - name: a\n    password: hunter2\n   url: x\n",
		"targets: [{name: a, url: 'mqtt://b', password: \"\\0hunter2\"}]",
	};

	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		EXPECT_EQ(parse(files[i]), -EINVAL);
		EXPECT(errors.count > 0);
		for (uint32_t j = 0; j < errors.count; j++)
			ck_assert_msg(!strstr(errors.lines[j], "hunter2"), "%s", errors.lines[j]);
		config_errors_free(&errors);
	}
}

TEST(control_characters_of_the_file_do_not_reach_the_terminal)
{
	EXPECT_EQ(parse("node: \"\\x1b[31m\"\n"), -EINVAL);
	EXPECT(!strchr(errors.lines[0], '\x1b'));
	config_errors_free(&errors);
}

TEST(a_file_of_nothing_is_refused)
{
	expect_mistake("", "f.yaml:1:1: a configuration is a map");
	expect_mistake("- a\n", "a configuration is a map");
	expect_mistake("# nothing\n", "a configuration is a map");
}

TEST(an_emptied_section_is_no_mistake)
{
	parse_good("node: a\ntargets:\nlines: []\n");
	EXPECT_EQ(c->target_count, 0);
	config_free(c);
}

TEST(entries_of_the_wrong_shape_are_refused)
{
	expect_mistake("targets: [5]", "a target is a map");
	expect_mistake("targets: {name: a}", "must be a list");
	expect_mistake("node: [a]", "`node` is a list; write a single value");
	expect_mistake("node:\n", "`node` has no value");
	expect_mistake("? [a]\n: b\n", "this is no key of a file");
	expect_mistake("<<: {a: b}\n", "merge keys");
}

TEST(an_alias_serves_two_devices_and_says_its_mistake_once)
{
	parse_good(LINES "devices: [{name: a, line: plc, tags: &t [{name: x, address: 'coil:1'}]}, {name: b, "
			 "line: rtu, "
			 "tags: *t}]");
	EXPECT_EQ(c->tag_count, 2);
	EXPECT_EQ(c->tags[1].device_idx, 1);
	config_free(c);
	expect_mistake(
		LINES
		"devices: [{name: a, line: plc, tags: &t [{name: x, address: 'coil:x'}]}, {name: b, line: "
		"rtu, tags: *t}]",
		"`address`");
}

TEST(two_hundred_mistakes_are_kept_and_all_counted)
{
	char *yaml = malloc(16384);
	size_t at = 0;

	for (int i = 0; i < 300; i++)
		at += (size_t)snprintf(yaml + at, 16384 - at, "wrong%d: 1\n", i);
	EXPECT_EQ(parse(yaml), -EINVAL);
	EXPECT_EQ(errors.count, CFG_ERRORS_MAX);
	EXPECT_EQ(errors.total, 300);
	config_errors_free(&errors);
	free(yaml);
}

TEST(a_mistake_in_what_is_aliased_a_thousand_times_is_said_once)
{
	size_t size = 32768, at;
	char *yaml = malloc(size);

	at = (size_t)snprintf(yaml, size, PLANT "x: &x [m1.powr]\ndefinitions:\n");
	for (int i = 0; i < 500; i++)
		at += (size_t)snprintf(yaml + at, size - at,
				       "- {name: d%d, target: plant, tags: *x, topic: t}\n", i);
	EXPECT_EQ(parse(yaml), -EINVAL);
	EXPECT_EQ(errors.total, 2); /* the key x, and the tag */
	config_errors_free(&errors);
	free(yaml);
}

TEST(a_file_that_cannot_be_read_says_why)
{
	EXPECT_EQ(config_load("/nonexistent/x.yaml", &c, &errors), -ENOENT);
	EXPECT_TEXT(errors.lines[0], "/nonexistent/x.yaml: cannot be read: No such file or directory");
	config_errors_free(&errors);
	EXPECT_EQ(config_load("/", &c, &errors), -EISDIR);
	config_errors_free(&errors);
}
