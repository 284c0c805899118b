/* The methods over a node that is built and not started, asked through the socket by the client that ringctl uses. */
#include "tools/rpc.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/test.h"
#include "tools/ctl_client.h"

#define TIMEOUT_MS 10000u

static const char yaml[] =
	"node: bench\n"
	"targets:\n"
	"  - {name: plant, url: \"mqtt://127.0.0.1:1\", description: north, buffer: {messages: 100}}\n"
	"  - {name: spare, url: \"mqtt://127.0.0.1:2\", enabled: false, buffer: {messages: 100}}\n"
	"lines: [{name: syn, synthetic: {tags: 250, rate: 1000}}]\n"
	"definitions: [{name: d, target: plant, mode: on-change, tags: [\"syn.*\"], topic: \"p/{tag}\"}]\n";

struct world {
	char folder[64], path[80];
	struct cfg *cfg;
	struct node node;
	struct rpc_context rpc;
	pthread_t thread;
	_Atomic bool ready, stop;
	_Atomic int stop_count;
	struct ctl_client client;
};

static void on_stop(void *context)
{
	struct world *w = context;

	atomic_fetch_add(&w->stop_count, 1);
}

/* The control thread, as the daemon has it. */
static void *serve(void *arg)
{
	struct world *w = arg;
	struct control *control = NULL;
	struct loop *loop = NULL;

	EXPECT_EQ(loop_open(&loop, &(struct loop_limits){.operation_count = CONTROL_OPERATIONS}), 0);
	EXPECT_EQ(control_open(&control, loop, w->path, 0600, rpc_methods(), rpc_method_count(), &w->rpc), 0);
	atomic_store(&w->ready, true);
	while (!atomic_load(&w->stop)) {
		struct mono now = clock_mono();

		control_tick(control, now);
		EXPECT_LE(0,
			  loop_run(loop, mono_min(control_deadline(control), mono_add(now, 10 * NS_PER_MS))));
	}
	control_close(control);
	loop_close(loop);
	return NULL;
}

/* Without its control thread: what that thread does, a test may still do itself. */
static void world_make(struct world *w, const char *text)
{
	struct cfg_errors errors;
	const char *why = "";

	*w = (struct world){.rpc = {.node = &w->node, .stop = on_stop, .stop_context = w}};
	snprintf(w->folder, sizeof(w->folder), "/tmp/test_rpc.XXXXXX");
	EXPECT(mkdtemp(w->folder) != NULL);
	snprintf(w->path, sizeof(w->path), "%s/s", w->folder);
	if (config_parse("test.yaml", bytes_of_text(text), &w->cfg, &errors) < 0)
		ck_abort_msg("%s", errors.lines[0]);
	EXPECT_EQ(node_open(&w->node, w->cfg, "/", NULL, 1, &why), 0);
	config_errors_free(&errors);
}

static void world_serve(struct world *w)
{
	EXPECT_EQ(pthread_create(&w->thread, NULL, serve, w), 0);
	while (!atomic_load(&w->ready))
		sched_yield();
	EXPECT_EQ(ctl_open(&w->client, w->path, TIMEOUT_MS), 0);
}

static void world_open_with(struct world *w, const char *text)
{
	world_make(w, text);
	world_serve(w);
}

static void world_open(struct world *w)
{
	world_open_with(w, yaml);
}

static void world_close(struct world *w)
{
	ctl_close(&w->client);
	atomic_store(&w->stop, true);
	pthread_join(w->thread, NULL);
	node_close(&w->node);
	config_free(w->cfg);
	EXPECT_EQ(rmdir(w->folder), 0);
}

/* The result, which must be one. */
static json_t *ask(struct world *w, const char *method, const char *params)
{
	struct jsonrpc_error why = {0};
	json_t *result = NULL;

	if (ctl_call(&w->client, method, json_loads(params, 0, NULL), &result, &why) < 0)
		ck_abort_msg("%s: %s", method, why.text);
	return result;
}

static void expect_refused(struct world *w, const char *method, const char *params, const char *text)
{
	struct jsonrpc_error why = {0};
	json_t *result = NULL;

	EXPECT_EQ(ctl_call(&w->client, method, json_loads(params, 0, NULL), &result, &why), -EPROTO);
	EXPECT_EQ(why.code, JSONRPC_INVALID_PARAMS);
	EXPECT_TEXT(why.text, text);
}

static const char *text_in(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static int64_t number_in(const json_t *object, const char *name)
{
	EXPECT(json_is_integer(json_object_get(object, name)));
	return json_integer_value(json_object_get(object, name));
}

static json_t *item(const json_t *object, const char *list, size_t idx)
{
	return json_array_get(json_object_get(object, list), idx);
}

static void write_tag(struct world *w, uint32_t tag_idx, double value)
{
	tag_write(&w->node.tags, tag_idx, value_of_float64(value), (struct wall){.ns = 1000000000});
}

static bool flag_in(const json_t *object, const char *name)
{
	EXPECT(json_is_boolean(json_object_get(object, name)));
	return json_is_true(json_object_get(object, name));
}

/* As the session of the target has it. */
static void set_subscription(struct world *w, uint32_t target_idx, uint32_t sub_idx,
			     enum mqtt_subscription_state state, uint8_t code)
{
	counter_set(&node_target(&w->node, target_idx)->session.subscriptions[sub_idx].view,
		    (uint64_t)state << 8 | code);
}

static void set_state(struct world *w, uint32_t target_idx, enum target_state state)
{
	atomic_store(&node_target(&w->node, target_idx)->state, state);
}

TEST(status_is_not_ok_while_an_enabled_target_is_not_connected)
{
	struct world w;

	world_open(&w);
	json_t *status = ask(&w, "status", "{}");
	EXPECT(json_is_false(json_object_get(status, "ok")));
	EXPECT_TEXT(text_in(status, "node"), "bench");
	EXPECT_TEXT(text_in(item(status, "targets", 0), "name"), "plant");
	EXPECT_TEXT(text_in(item(status, "targets", 0), "description"), "north");
	EXPECT_TEXT(text_in(item(status, "targets", 1), "state"), "disabled");
	EXPECT_EQ(number_in(item(status, "targets", 0), "buffered"), 0);
	EXPECT_TEXT(text_in(item(status, "lines", 0), "kind"), "synthetic");
	EXPECT_EQ(number_in(item(status, "samplers", 0), "lines"), 1);
	EXPECT_EQ(number_in(item(status, "publishers", 0), "targets"), 2);
	EXPECT_TEXT(text_in(status, "licence"), "GPL-2.0-or-later");
	json_decref(status);
	/* The disabled one does not count. */
	atomic_store(&node_target(&w.node, 0)->state, TARGET_CONNECTED);
	status = ask(&w, "status", "{}");
	EXPECT(json_is_true(json_object_get(status, "ok")));
	json_decref(status);
	world_close(&w);
}

TEST(lists_come_in_pages_that_make_a_whole)
{
	struct world w;
	struct jsonrpc_error why;
	json_t *all = NULL;

	world_open(&w);
	json_t *page = ask(&w, "tags.list", "{}");
	EXPECT_EQ(json_array_size(json_object_get(page, "tags")), RPC_PAGE_DEFAULT);
	EXPECT_EQ(number_in(page, "total"), 250);
	EXPECT_EQ(number_in(page, "next"), RPC_PAGE_DEFAULT);
	json_decref(page);
	EXPECT_EQ(ctl_call_all(&w.client, "tags.list", json_object(), "tags", &all, &why), 0);
	EXPECT_EQ(json_array_size(json_object_get(all, "tags")), 250);
	EXPECT(json_is_null(json_object_get(all, "next")));
	EXPECT_TEXT(text_in(item(all, "tags", 249), "tag"), "syn.t249");
	json_decref(all);
	page = ask(&w, "tags.list", "{\"pattern\":\"syn.t1*\",\"limit\":1000,\"offset\":110}");
	EXPECT_EQ(json_array_size(json_object_get(page, "tags")), 1); /* of t1, t10..t19, t100..t199 */
	EXPECT(json_is_null(json_object_get(page, "next")));
	json_decref(page);
	world_close(&w);
}

TEST(tags_are_read_by_name_with_value_and_quality)
{
	struct world w;

	world_open(&w);
	write_tag(&w, 3, 1.5);
	write_tag(&w, 5, NAN);
	json_t *read = ask(&w, "tags.read", "{\"names\":[\"syn.t3\",\"syn.t4\",\"syn.t5\"]}");
	EXPECT(json_real_value(json_object_get(item(read, "tags", 0), "value")) == 1.5);
	EXPECT_TEXT(text_in(item(read, "tags", 0), "quality"), "good");
	EXPECT_TEXT(text_in(item(read, "tags", 0), "ts"), "1970-01-01T00:00:01.000000Z");
	EXPECT(json_is_null(json_object_get(item(read, "tags", 1), "value")));
	EXPECT_TEXT(text_in(item(read, "tags", 1), "reason"), "never read");
	EXPECT(json_is_null(json_object_get(item(read, "tags", 2), "value"))); /* JSON has no NaN */
	json_decref(read);
	world_close(&w);
}

TEST(watch_tells_everything_once_and_then_what_changes)
{
	struct world w;
	json_t *update = NULL;

	world_open(&w);
	json_decref(
		ask(&w, "tags.watch", "{\"pattern\":\"syn.t24*\",\"interval\":50}")); /* t24, t240..t249 */
	EXPECT_EQ(ctl_wait(&w.client, "tags.update", &update), 0);
	EXPECT_EQ(json_array_size(json_object_get(update, "tags")), 11);
	json_decref(update);
	write_tag(&w, 7, 1);
	write_tag(&w, 243, 2);
	EXPECT_EQ(ctl_wait(&w.client, "tags.update", &update), 0);
	EXPECT_EQ(json_array_size(json_object_get(update, "tags")), 1);
	EXPECT_TEXT(text_in(item(update, "tags", 0), "tag"), "syn.t243");
	json_decref(update);
	world_close(&w);
}

TEST(every_metric_is_described_and_has_a_value)
{
	struct world w;

	world_open(&w);
	json_t *table = ask(&w, "metrics", "{\"describe\":true}"), *values = ask(&w, "metrics", "{}");
	size_t per_target = 0, others = 0;

	EXPECT_EQ(json_array_size(json_object_get(table, "describe")), metric_row_count);
	for (size_t i = 0; i < metric_row_count; i++) {
		if (metric_rows[i].object == METRIC_TARGET || metric_rows[i].object == METRIC_RING)
			per_target++;
		else
			others++;
	}
	/* Two targets, one of everything else. */
	EXPECT_EQ(json_array_size(json_object_get(values, "metrics")), 2 * per_target + others);
	json_decref(values);
	values = ask(&w, "metrics", "{\"prefix\":\"line_crc\"}");
	EXPECT_TEXT(text_in(item(values, "metrics", 0), "name"), "line_crc_errors_total");
	EXPECT_TEXT(text_in(json_object_get(item(values, "metrics", 0), "labels"), "line"), "syn");
	EXPECT_EQ(number_in(item(values, "metrics", 0), "value"), 0);
	EXPECT_EQ(number_in(values, "total"), 1);
	json_decref(values);
	json_decref(table);
	world_close(&w);
}

TEST(mistakes_are_told_with_what_to_write_instead)
{
	struct world w;

	world_open(&w);
	expect_refused(&w, "status", "{\"all\":true}", "no such parameter: all");
	expect_refused(&w, "tags.read", "{\"names\":[\"sym.t3\"]}",
		       "there is no tag sym.t3; did you mean syn.t3?");
	expect_refused(&w, "tags.read", "{\"names\":\"syn.t3\"}", "names is a list of at most 100 texts");
	expect_refused(&w, "tags.list", "{\"limit\":1001}", "limit is a whole number from 1 to 1000");
	expect_refused(&w, "tags.list", "{\"limit\":1.0}", "limit is a whole number from 1 to 1000");
	expect_refused(&w, "tags.watch", "{\"interval\":49}", "interval is a whole number from 50 to 60000");
	expect_refused(&w, "tags.watch", "{\"pattern\":\"x*\"}", "no tag matches the pattern");
	expect_refused(&w, "log.level", "{\"level\":\"loud\"}", "level is error, warn, info or debug");
	world_close(&w);
}

TEST(log_level_is_set_and_stop_is_passed_on)
{
	struct world w;

	world_open(&w);
	json_decref(ask(&w, "log.level", "{\"level\":\"error\"}"));
	json_t *level = ask(&w, "log.level", "{}");
	EXPECT_TEXT(text_in(level, "level"), "error");
	json_decref(level);
	EXPECT_EQ(atomic_load(&w.stop_count), 0);
	json_decref(ask(&w, "stop", "{}"));
	EXPECT_EQ(atomic_load(&w.stop_count), 1);
	world_close(&w);
}

/* --- subscriptions and definitions ---------------------------------------------------------------------------------- */

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

	world_open_with(&w, bridge);
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

	world_open_with(&w, bridge);
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

	world_open_with(&w, bridge);
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

	world_open_with(
		&w, "targets: [{name: up, url: \"mqtt://127.0.0.1:1\", buffer: {messages: 100}}]\n"
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
	world_open_with(&w, text);
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
	world_open_with(&w, text);
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

	world_open_with(&w, bridge);
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
	world_open(&w);
	list = ask(&w, "definitions.list", "{}");
	EXPECT_TEXT(text_in(item(list, "definitions", 0), "mode"), "on-change");
	EXPECT_EQ(number_in(item(list, "definitions", 0), "tags"), 250);
	EXPECT(json_is_null(json_object_get(item(list, "definitions", 0), "forward")));
	json_decref(list);
	world_close(&w);
}

/* A server's words are cut where there is no more room; half a character must not cost the whole answer. */
TEST(a_reason_that_is_no_text_any_more_is_shown_all_the_same)
{
	struct world w;

	world_open(&w);
	shared_text_set(&node_target(&w.node, 0)->reason,
			"gr\xc3\xbc\xc3 \xe2\x82\xac \xf0\x9f\x98\x80 \x80\xff\xf0\x9f");
	shared_text_set(&node_target(&w.node, 0)->url, "mqtt://\xc3");
	json_t *status = ask(&w, "status", "{}");
	EXPECT_TEXT(text_in(item(status, "targets", 0), "reason"),
		    "gr\xc3\xbc? \xe2\x82\xac \xf0\x9f\x98\x80 ????");
	EXPECT_TEXT(text_in(item(status, "targets", 0), "url"), "mqtt://?");
	json_decref(status);
	world_close(&w);
}

/* --- on and off ------------------------------------------------------------------------------------------------------ */

static const char packages[] =
	"packages: [{name: core}, {name: hall, description: far away}, {name: dark, enabled: false}]\n"
	"targets:\n"
	"  - {name: plant, url: \"mqtt://127.0.0.1:1\", buffer: {messages: 100}}\n"
	"  - {name: h1, url: \"mqtt://127.0.0.1:2\", package: hall, buffer: {messages: 100}}\n"
	"  - {name: h2, url: \"mqtt://127.0.0.1:2\", package: hall, enabled: false, buffer: {messages: "
	"100}}\n"
	"  - {name: d1, url: \"mqtt://127.0.0.1:2\", package: dark, buffer: {messages: 100}}\n"
	"lines: [{name: syn, synthetic: {tags: 1, rate: 1}}]\n"
	"definitions: [{name: d, target: plant, tags: [\"syn.*\"], topic: \"{tag}\"}]\n";

static bool is_wanted(struct world *w, uint32_t target_idx)
{
	return target_wanted(node_target(&w->node, target_idx));
}

TEST(a_target_is_switched_off_and_on_and_status_follows)
{
	struct world w;

	world_open_with(&w, packages);
	set_state(&w, 1, TARGET_CONNECTED);
	EXPECT(is_wanted(&w, 0));
	json_t *result = ask(&w, "targets.disable", "{\"name\":\"plant\"}");
	EXPECT_TEXT(text_in(result, "name"), "plant");
	EXPECT(!flag_in(result, "enabled"));
	EXPECT(flag_in(result, "package_enabled"));
	json_decref(result);
	EXPECT(!is_wanted(&w, 0));
	EXPECT(is_wanted(&w, 1));
	result = ask(&w, "status", "{}");
	EXPECT(!flag_in(item(result, "targets", 0), "enabled"));
	EXPECT(flag_in(item(result, "targets", 1), "enabled"));
	EXPECT(flag_in(result, "ok")); /* of those that are enabled, h1 alone, all are connected */
	json_decref(result);
	result = ask(&w, "targets.enable", "{\"name\":\"plant\"}");
	EXPECT(flag_in(result, "enabled"));
	json_decref(result);
	EXPECT(is_wanted(&w, 0));
	result = ask(&w, "targets.list", "{\"pattern\":\"plant\"}");
	EXPECT(flag_in(item(result, "targets", 0), "enabled"));
	EXPECT(!flag_in(result, "ok"));
	json_decref(result);
	world_close(&w);
}

TEST(a_target_is_wanted_while_its_own_switch_and_its_packages_are_both_on)
{
	struct world w;

	world_open_with(&w, packages);
	EXPECT(is_wanted(&w, 1));
	EXPECT(!is_wanted(&w, 2));
	EXPECT(!is_wanted(&w, 3)); /* its package is off */
	json_t *result = ask(&w, "packages.disable", "{\"name\":\"hall\"}");
	EXPECT(!flag_in(result, "enabled"));
	EXPECT_EQ(number_in(result, "targets"), 2);
	EXPECT_EQ(number_in(result, "targets_enabled"), 0);
	json_decref(result);
	EXPECT(is_wanted(&w, 0));
	EXPECT(!is_wanted(&w, 1));
	json_decref(ask(&w, "packages.enable", "{\"name\":\"hall\"}"));
	EXPECT(is_wanted(&w, 1));
	EXPECT(!is_wanted(&w, 2)); /* as the file has it */
	json_decref(ask(&w, "packages.disable", "{\"name\":\"hall\"}"));
	/* Its own switch goes on; that is remembered until its package is on, too. */
	result = ask(&w, "targets.enable", "{\"name\":\"h2\"}");
	EXPECT(!flag_in(result, "enabled"));
	EXPECT(!flag_in(result, "package_enabled"));
	EXPECT_TEXT(text_in(result, "package"), "hall");
	json_decref(result);
	EXPECT(!is_wanted(&w, 2));
	json_decref(ask(&w, "targets.disable", "{\"name\":\"h1\"}"));
	json_decref(ask(&w, "packages.enable", "{\"name\":\"hall\"}"));
	EXPECT(!is_wanted(&w, 1));
	EXPECT(is_wanted(&w, 2));
	json_decref(ask(&w, "packages.enable", "{\"name\":\"dark\"}"));
	EXPECT(is_wanted(&w, 3));
	world_close(&w);
}

TEST(packages_are_listed_with_their_targets)
{
	struct world w;

	world_open_with(&w, packages);
	set_state(&w, 1, TARGET_CONNECTED);
	json_t *list = ask(&w, "packages.list", "{}"), *hall = item(list, "packages", 1);
	EXPECT_EQ(number_in(list, "total"), 3);
	EXPECT_TEXT(text_in(hall, "name"), "hall");
	EXPECT_TEXT(text_in(hall, "description"), "far away");
	EXPECT(flag_in(hall, "enabled"));
	EXPECT_EQ(number_in(hall, "targets"), 2);
	EXPECT_EQ(number_in(hall, "targets_enabled"), 1);
	EXPECT_EQ(number_in(hall, "targets_connected"), 1);
	EXPECT(!flag_in(item(list, "packages", 2), "enabled"));
	json_decref(list);
	list = ask(&w, "status", "{}");
	EXPECT(flag_in(item(list, "targets", 0), "package_enabled"));
	EXPECT(!flag_in(item(list, "targets", 3), "package_enabled"));
	json_decref(list);
	world_close(&w);
}

TEST(what_is_not_there_cannot_be_switched)
{
	static const char *const methods[] = {"targets.enable", "targets.disable", "packages.enable",
					      "packages.disable"};
	char *text = malloc(60000);
	struct world w;

	world_open_with(&w, packages);
	for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
		expect_refused(&w, methods[i], "{}", "name is missing");
		expect_refused(&w, methods[i], "{\"name\":7}", "name is a text");
		expect_refused(&w, methods[i], "{\"name\":null}", "name is a text");
		expect_refused(&w, methods[i], "{\"name\":[\"plant\"]}", "name is a text");
		expect_refused(&w, methods[i], "{\"name\":\"plant\",\"until\":1}",
			       "no such parameter: until");
	}
	expect_refused(&w, "targets.disable", "{\"name\":\"plamt\"}",
		       "there is no target plamt; did you mean plant?");
	expect_refused(&w, "targets.enable", "{\"name\":\"\"}", "there is no target ");
	expect_refused(&w, "targets.enable", "{\"name\":\"*\"}", "there is no target *");
	expect_refused(&w, "packages.disable", "{\"name\":\"hal\"}",
		       "there is no package hal; did you mean hall?");
	expect_refused(&w, "packages.enable", "{\"name\":\"plant\"}", "there is no package plant");
	expect_refused(&w, "subscriptions.list", "{\"target\":\"hl\"}",
		       "there is no target hl; did you mean h1?");
	expect_refused(&w, "subscriptions.list", "{\"target\":{}}", "target is a text");
	expect_refused(&w, "subscriptions.list", "{\"limit\":1001}",
		       "limit is a whole number from 1 to 1000");
	expect_refused(&w, "definitions.list", "{\"offset\":-1}",
		       "offset is a whole number from 0 to 4294967295");
	expect_refused(&w, "packages.list", "{\"limit\":0}", "limit is a whole number from 1 to 1000");
	/* As long as a line may be; the answer is cut. */
	memset(text, 'x', 60000);
	memcpy(text, "{\"name\":\"", 9);
	memcpy(text + 59997, "\"}", 3);
	struct jsonrpc_error why = {0};
	json_t *result = NULL;
	EXPECT_EQ(ctl_call(&w.client, "targets.enable", json_loads(text, 0, NULL), &result, &why), -EPROTO);
	EXPECT_EQ(why.code, JSONRPC_INVALID_PARAMS);
	EXPECT(!strncmp(why.text, "there is no target xxx", 22));
	EXPECT(is_wanted(&w, 0));
	EXPECT(is_wanted(&w, 1));
	free(text);
	world_close(&w);
}

TEST(only_operators_switch)
{
	static const char *const operators_only[] = {"targets.enable",   "targets.disable", "packages.enable",
						     "packages.disable", "buffer.set",      "stop"};
	size_t found_count = 0;

	for (size_t i = 0; i < rpc_method_count(); i++)
		for (size_t k = 0; k < ARRAY_COUNT(operators_only); k++)
			if (!strcmp(rpc_methods()[i].name, operators_only[k])) {
				EXPECT_EQ(rpc_methods()[i].role, CONTROL_OPERATOR);
				found_count++;
			}
	EXPECT_EQ(found_count, ARRAY_COUNT(operators_only));
}

/* --- the buffer ------------------------------------------------------------------------------------------------------ */

/* As a sampler makes them. */
static void make_messages(struct world *w, uint32_t count, struct mono now)
{
	struct ring *r = w->node.rings[0];

	for (uint32_t i = 0; i < count; i++) {
		EXPECT(ring_reserve(r, 0, 8, 8, now) != NULL);
		ring_commit(r, 0, 0, 8, now);
	}
}

/* As the target's publisher takes the oldest. */
static struct ring_record *take_message(struct world *w, struct mono now)
{
	struct target *t = node_target(&w->node, 0);
	struct ring_record *rec;

	EXPECT_EQ(ring_take(t->ring, &rec, 1, now), 1);
	if (!loss_follows(t->losses, rec, RING_LIVE))
		loss_skipped(t->losses, t->ring, rec, RING_LIVE);
	return rec;
}

TEST(the_buffer_says_which_messages_were_lost_and_why)
{
	struct world w;
	struct mono now = clock_mono();

	world_open(&w);
	make_messages(&w, 150, now);
	json_t *b = ask(&w, "buffer.read", "{\"target\":\"plant\"}");
	EXPECT_EQ(number_in(b, "capacity"), 100);
	EXPECT_EQ(number_in(b, "buffered"), 100);
	EXPECT(flag_in(b, "full"));
	EXPECT_EQ(number_in(b, "unlocated"), 50);
	EXPECT_EQ(json_array_size(json_object_get(b, "gaps")), 0);
	json_decref(b);

	struct ring_record *rec = take_message(&w, now);
	loss_record(node_target(&w.node, 0)->losses, rec, LOSS_REFUSED, false);
	b = ask(&w, "buffer.read", "{\"target\":\"plant\"}");
	EXPECT_EQ(number_in(b, "unlocated"), 0);
	EXPECT_EQ(number_in(json_object_get(b, "lost"), "overwritten"), 50);
	EXPECT_EQ(number_in(json_object_get(b, "lost"), "refused"), 1);
	EXPECT_TEXT(text_in(item(b, "gaps", 0), "reason"), "refused"); /* the newest first */
	EXPECT_EQ(number_in(item(b, "gaps", 0), "first"), 51);
	EXPECT_TEXT(text_in(item(b, "gaps", 1), "reason"), "overwritten");
	EXPECT_EQ(number_in(item(b, "gaps", 1), "source"), 0);
	EXPECT_EQ(number_in(item(b, "gaps", 1), "first"), 1);
	EXPECT_EQ(number_in(item(b, "gaps", 1), "last"), 50);
	EXPECT_EQ(number_in(item(b, "gaps", 1), "count"), 50);
	EXPECT(json_is_null(json_object_get(b, "file")));
	json_decref(b);
	expect_refused(&w, "buffer.read", "{\"target\":\"plan\"}",
		       "there is no target plan; did you mean plant?");
	expect_refused(&w, "buffer.read", "{}", "target is missing");
	world_close(&w);
}

TEST(the_buffer_says_how_long_it_holds_and_when_it_is_full)
{
	struct world w;
	struct mono now = clock_mono();

	world_make(&w, yaml);
	node_tick(&w.node, now);
	make_messages(&w, 20, now);
	node_tick(&w.node, mono_add(now, NS_PER_S - 1)); /* not due */
	EXPECT(rate_get(&w.node.rates[0].made) == 0);
	node_tick(&w.node, mono_add(now, 10 * NS_PER_S));
	world_serve(&w);
	json_t *b = ask(&w, "buffer.read", "{\"target\":\"plant\"}");
	EXPECT(fabs(json_real_value(json_object_get(b, "rate")) - 2) < 1e-6);
	EXPECT(fabs(json_real_value(json_object_get(b, "holds_s")) - 50) < 1e-6);
	EXPECT(fabs(json_real_value(json_object_get(b, "fill_percent")) - 20) < 1e-6);
	EXPECT(json_is_string(json_object_get(b, "full_at")));
	EXPECT(!flag_in(b, "full"));
	json_decref(b);
	set_state(&w, 0, TARGET_CONNECTED);
	b = ask(&w, "buffer.read", "{\"target\":\"plant\"}");
	EXPECT(json_is_null(json_object_get(b, "full_at")));
	json_decref(b);
	json_t *status = ask(&w, "status", "{}");
	EXPECT(fabs(json_real_value(json_object_get(item(status, "targets", 0), "holds_s")) - 50) < 1e-6);
	EXPECT(json_is_null(json_object_get(item(status, "targets", 1), "holds_s")));
	json_decref(status);
	world_close(&w);
}
