/* The methods over a node that is built and not started, asked through the socket by the client that ringctl uses. */
#include "tools/rpc.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
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

static void world_open(struct world *w)
{
	struct cfg_errors errors;
	const char *why = "";

	*w = (struct world){.rpc = {.node = &w->node, .stop = on_stop, .stop_context = w}};
	snprintf(w->folder, sizeof(w->folder), "/tmp/test_rpc.XXXXXX");
	EXPECT(mkdtemp(w->folder) != NULL);
	snprintf(w->path, sizeof(w->path), "%s/s", w->folder);
	EXPECT_EQ(config_parse("test.yaml", bytes_of_text(yaml), &w->cfg, &errors), 0);
	EXPECT_EQ(node_open(&w->node, w->cfg, "/", NULL, 1, &why), 0);
	EXPECT_EQ(pthread_create(&w->thread, NULL, serve, w), 0);
	while (!atomic_load(&w->ready))
		sched_yield();
	EXPECT_EQ(ctl_open(&w->client, w->path, TIMEOUT_MS), 0);
	config_errors_free(&errors);
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
