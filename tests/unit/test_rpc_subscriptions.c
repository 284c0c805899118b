/* Subscriptions and definitions, asked through the socket. */
#include <string.h>

#include "tests/unit/rpc_served.h"

static const char bridge[] =
	"node: bench\n"
	"targets:\n"
	"  - {name: up, url: \"mqtt://127.0.0.1:1\", buffer: {messages: 100}}\n"
	"  - {name: old, url: \"mqtt://127.0.0.1:2\", protocol: 3.1.1, buffer: {messages: 100}}\n"
	"devices: [{name: in, tags: [{name: x}, {name: y}]}, {name: other, tags: [{name: z}]}]\n"
	"definitions:\n"
	"  - {name: cmd, target: up, mode: subscribe, topic: \"cmd/{node}/+\", qos: 1, retain_as_published: "
	"true, tags: \"in.*\"}\n"
	"  - {name: pass, target: up, mode: subscribe, topic: \"cmd/bench/+\", forward: {target: old}}\n"
	"  - {name: all, target: up, mode: subscribe, topic: \"#\", forward: {target: old}}\n"
	"  - {name: low, target: old, mode: subscribe, topic: \"low/x\", qos: 2, tags: other.z}\n";

static json_t *subscription(const json_t *status, size_t target_idx, size_t idx)
{
	return item(item(status, "targets", target_idx), "subscriptions", idx);
}

TEST(a_subscription_is_shown_with_what_the_server_has_said)
{
	struct world w;

	world_open(&w, bridge);
	set_state(&w, 0, TARGET_CONNECTED);
	set_subscription(&w, 0, 0, MQTT_SUBSCRIPTION_DONE, 1);
	set_subscription(&w, 0, 1, MQTT_SUBSCRIPTION_REFUSED, MQTT_NOT_AUTHORIZED);
	set_state(&w, 1, TARGET_CONNECTED);
	set_subscription(&w, 1, 0, MQTT_SUBSCRIPTION_REFUSED, 0x80);
	json_t *status = ask(&w, "status", "{}"), *up = item(status, "targets", 0);
	json_t *one = subscription(status, 0, 0), *other = subscription(status, 0, 1);
	EXPECT_TEXT(text_in(up, "protocol"), "5");
	EXPECT_EQ(number_in(up, "subscriptions_total"), 2);
	EXPECT_EQ(number_in(up, "subscribed"), 1);
	EXPECT_EQ(number_in(up, "refused_subscriptions"), 1);
	EXPECT_TEXT(text_in(one, "filter"), "cmd/bench/+");
	EXPECT_TEXT(text_in(one, "state"), "subscribed");
	EXPECT_EQ(number_in(one, "qos"), 1);
	EXPECT_EQ(number_in(one, "code"), 1);
	EXPECT_TEXT(text_in(one, "reason"), "Granted QoS 1");
	EXPECT_EQ(json_array_size(json_object_get(one, "definitions")), 2); /* cmd with two tags, and pass */
	EXPECT_TEXT(json_string_value(item(one, "definitions", 0)), "cmd");
	EXPECT_TEXT(json_string_value(item(one, "definitions", 1)), "pass");
	EXPECT_TEXT(text_in(other, "state"), "refused");
	EXPECT(json_is_null(json_object_get(other, "qos")));
	EXPECT_EQ(number_in(other, "code"), MQTT_NOT_AUTHORIZED);
	EXPECT_TEXT(text_in(other, "reason"), "Not authorized");
	EXPECT_TEXT(text_in(item(status, "targets", 1), "protocol"), "3.1.1");
	EXPECT_TEXT(text_in(subscription(status, 1, 0), "reason"), "Failure"); /* as 3.1.1 has it */
	EXPECT(flag_in(status, "ok")); /* what is refused is shown; connected they are */
	json_decref(status);
	world_close(&w);
}

TEST(a_subscription_is_pending_until_the_server_of_this_connection_has_answered)
{
	struct world w;

	world_open(&w, bridge);
	set_subscription(&w, 0, 0, MQTT_SUBSCRIPTION_DONE, 1); /* of the last connection */
	set_subscription(&w, 0, 1, MQTT_SUBSCRIPTION_REFUSED, MQTT_PACKET_TOO_LARGE);
	set_state(&w, 1, TARGET_CONNECTED);
	set_subscription(&w, 1, 0, MQTT_SUBSCRIPTION_ASKED, 0);
	json_t *status = ask(&w, "status", "{}");
	EXPECT_TEXT(text_in(subscription(status, 0, 0), "state"), "pending");
	EXPECT(json_is_null(json_object_get(subscription(status, 0, 0), "code")));
	EXPECT_TEXT(text_in(subscription(status, 0, 0), "reason"), "");
	EXPECT_TEXT(text_in(subscription(status, 0, 1), "state"), "refused");
	EXPECT_TEXT(text_in(subscription(status, 0, 1), "reason"), "Packet too large");
	EXPECT_TEXT(text_in(subscription(status, 1, 0), "state"), "pending");
	EXPECT_EQ(number_in(item(status, "targets", 0), "subscribed"), 0);
	json_decref(status);
	world_close(&w);
}

TEST(subscriptions_of_one_target_or_of_all_come_in_pages)
{
	struct world w;

	world_open(&w, bridge);
	json_t *all = ask(&w, "subscriptions.list", "{}");
	EXPECT_EQ(number_in(all, "total"), 3);
	EXPECT_TEXT(text_in(item(all, "subscriptions", 2), "target"), "old");
	EXPECT_TEXT(text_in(item(all, "subscriptions", 2), "filter"), "low/x");
	json_decref(all);
	all = ask(&w, "subscriptions.list", "{\"target\":\"up\"}");
	EXPECT_EQ(number_in(all, "total"), 2);
	json_decref(all);
	/* A page that begins in one target and ends in the next. */
	all = ask(&w, "subscriptions.list", "{\"limit\":1,\"offset\":1}");
	EXPECT_EQ(json_array_size(json_object_get(all, "subscriptions")), 1);
	EXPECT_TEXT(text_in(item(all, "subscriptions", 0), "filter"), "#");
	EXPECT_EQ(number_in(all, "next"), 2);
	json_decref(all);
	all = ask(&w, "subscriptions.list", "{\"limit\":1000,\"offset\":1}");
	EXPECT_EQ(json_array_size(json_object_get(all, "subscriptions")), 2);
	EXPECT_EQ(number_in(all, "total"), 3);
	json_decref(all);
	all = ask(&w, "subscriptions.list", "{\"offset\":4294967295}");
	EXPECT_EQ(json_array_size(json_object_get(all, "subscriptions")), 0);
	EXPECT(json_is_null(json_object_get(all, "next")));
	json_decref(all);
	world_close(&w);
}

TEST(a_definition_whose_tags_have_one_filter_is_named_once)
{
	struct world w;

	world_open(&w,
		   "targets: [{name: up, url: \"mqtt://127.0.0.1:1\", buffer: {messages: 100}}]\n"
		   "devices: [{name: a, tags: [{name: x}]}, {name: b, tags: [{name: x}]}]\n"
		   "definitions: [{name: d, target: up, mode: subscribe, topic: \"{tag}\", tags: \"*\"}]\n");
	json_t *list = ask(&w, "subscriptions.list", "{}"), *one = item(list, "subscriptions", 0);
	EXPECT_EQ(number_in(list, "total"), 1);
	EXPECT_EQ(json_array_size(json_object_get(one, "definitions")), 1);
	EXPECT_EQ(number_in(one, "definitions_total"), 1);
	json_decref(list);
	world_close(&w);
}

/* 40 definitions of one filter. */
TEST(a_subscription_names_no_more_than_some_of_its_definitions)
{
	char text[8192];
	size_t at = 0;
	struct world w;

	at += (size_t)snprintf(
		text + at, sizeof(text) - at,
		"targets: [{name: up, url: 'mqtt://127.0.0.1:1', buffer: {messages: 100}}, "
		"{name: to, url: 'mqtt://127.0.0.1:1', buffer: {messages: 100}}]\ndefinitions:\n");
	for (int i = 0; i < 40; i++)
		at += (size_t)snprintf(
			text + at, sizeof(text) - at,
			"- {name: d%d, target: up, mode: subscribe, topic: x, forward: {target: to, "
			"topic: 'to/%d'}}\n",
			i, i);
	world_open(&w, text);
	json_t *list = ask(&w, "subscriptions.list", "{}"), *one = item(list, "subscriptions", 0);
	EXPECT_EQ(json_array_size(json_object_get(one, "definitions")), RPC_SUBSCRIPTION_NAMES_MAX);
	EXPECT_TEXT(json_string_value(item(one, "definitions", RPC_SUBSCRIPTION_NAMES_MAX - 1)), "d31");
	EXPECT_EQ(number_in(one, "definitions_total"), 40);
	json_decref(list);
	world_close(&w);
}

/* Two targets with 120 tags each, and a filter for every tag. */
TEST(status_has_no_more_than_its_share_of_many_subscriptions)
{
	char *text = malloc(1 << 16), fill[901];
	size_t at = 0, room = 1 << 16;
	struct world w;
	struct jsonrpc_error why;
	json_t *all = NULL;

	memset(fill, 'x', sizeof(fill) - 1);
	fill[sizeof(fill) - 1] = '\0';
	at += (size_t)snprintf(text + at, room - at,
			       "targets: [{name: a, url: 'mqtt://127.0.0.1:1', buffer: {messages: 100}}, "
			       "{name: b, url: 'mqtt://127.0.0.1:1', buffer: {messages: 100}}]\n"
			       "devices:\n");
	for (int i = 0; i < 240; i++)
		at += (size_t)snprintf(text + at, room - at, "%s  - {name: t%d}\n",
				       i == 0     ? "- name: in\n  tags:\n"
				       : i == 120 ? "- name: on\n  tags:\n"
						  : "",
				       i);
	snprintf(text + at, room - at,
		 "definitions:\n- {name: a, target: a, mode: subscribe, tags: 'in.*', topic: '%s/{tag}'}\n"
		 "- {name: b, target: b, mode: subscribe, tags: 'on.*', topic: '%s/{tag}'}\n",
		 fill, fill);
	world_open(&w, text);
	json_t *status = ask(&w, "status", "{}");
	json_t *a = item(status, "targets", 0), *b = item(status, "targets", 1);
	size_t shown_count = json_array_size(json_object_get(b, "subscriptions"));
	EXPECT_EQ(json_array_size(json_object_get(a, "subscriptions")), RPC_STATUS_SUBSCRIPTIONS_MAX);
	EXPECT_EQ(number_in(a, "subscriptions_total"), 120);
	EXPECT_EQ(number_in(b, "subscriptions_total"), 120);
	/* 900 bytes could be 5400 in JSON. */
	EXPECT_LE(shown_count, RPC_STATUS_SUBSCRIPTIONS_BYTES / 5400 - RPC_STATUS_SUBSCRIPTIONS_MAX);
	EXPECT_LE(80, shown_count);
	json_decref(status);
	EXPECT_EQ(ctl_call_all(&w.client, "subscriptions.list", json_object(), "subscriptions", &all, &why),
		  0);
	EXPECT_EQ(json_array_size(json_object_get(all, "subscriptions")), 240);
	EXPECT_TEXT(text_in(item(all, "subscriptions", 239), "target"), "b");
	json_decref(all);
	world_close(&w);
	free(text);
}

TEST(a_definition_is_shown_with_what_became_of_its_messages)
{
	struct world w;

	world_open(&w, bridge);
	struct definition_counts *counts = &w.node.definitions->counts[1];
	counter_add(&counts->received, 5);
	counter_add(&counts->forwarded, 3);
	counter_add(&counts->unforwarded, 2);
	counts = &w.node.definitions->counts[0];
	counter_add(&counts->values, 7);
	counter_add(&counts->rejected, 1);
	counter_add(&counts->refused, 4);
	json_t *list = ask(&w, "definitions.list", "{}"), *cmd = item(list, "definitions", 0);
	json_t *pass = item(list, "definitions", 1);
	EXPECT_EQ(number_in(list, "total"), 4);
	EXPECT_TEXT(text_in(cmd, "name"), "cmd");
	EXPECT_TEXT(text_in(cmd, "target"), "up");
	EXPECT_TEXT(text_in(cmd, "mode"), "subscribe");
	EXPECT_TEXT(text_in(cmd, "topic"), "cmd/{node}/+");
	EXPECT_EQ(number_in(cmd, "qos"), 1);
	EXPECT(!flag_in(cmd, "retain"));
	EXPECT_EQ(number_in(cmd, "tags"), 2);
	EXPECT_EQ(number_in(cmd, "values"), 7);
	EXPECT_EQ(number_in(cmd, "rejected"), 1);
	EXPECT_EQ(number_in(cmd, "refused"), 4);
	EXPECT(json_is_null(json_object_get(cmd, "forward")));
	EXPECT_TEXT(text_in(pass, "forward"), "old");
	EXPECT_EQ(number_in(pass, "received"), 5);
	EXPECT_EQ(number_in(pass, "forwarded"), 3);
	EXPECT_EQ(number_in(pass, "unforwarded"), 2);
	json_decref(list);
	list = ask(&w, "definitions.list", "{\"pattern\":\"*l*\",\"limit\":1}");
	EXPECT_EQ(number_in(list, "total"), 2); /* all, low */
	EXPECT_TEXT(text_in(item(list, "definitions", 0), "name"), "all");
	json_decref(list);
	world_close(&w);
}
