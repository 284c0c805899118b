/* The methods, asked through the socket: status, lists, tags, metrics, the log, the buffer, and mistakes. */
#include <math.h>

#include "core/log.h"
#include "tests/unit/rpc_served.h"

static const char yaml[] =
	"node: bench\n"
	"targets:\n"
	"  - {name: plant, url: \"mqtt://127.0.0.1:1\", description: north, buffer: {messages: 100}}\n"
	"  - {name: spare, url: \"mqtt://127.0.0.1:2\", enabled: false, buffer: {messages: 100}}\n"
	"lines: [{name: syn, synthetic: {tags: 250, rate: 1000}}]\n"
	"definitions: [{name: d, target: plant, mode: on-change, tags: [\"syn.*\"], topic: \"p/{tag}\"}]\n";

TEST(status_is_not_ok_while_an_enabled_target_is_not_connected)
{
	struct world w;

	world_open(&w, yaml);
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

	world_open(&w, yaml);
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

/* A server's words are cut where there is no more room; half a character must not cost the whole answer. */
TEST(a_reason_that_is_no_text_any_more_is_shown_all_the_same)
{
	struct world w;

	world_open(&w, yaml);
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

TEST(a_definition_that_publishes_forwards_nothing)
{
	struct world w;

	world_open(&w, yaml);
	json_t *list = ask(&w, "definitions.list", "{}"), *one = item(list, "definitions", 0);
	EXPECT_TEXT(text_in(one, "mode"), "on-change");
	EXPECT_EQ(number_in(one, "tags"), 250);
	EXPECT(json_is_null(json_object_get(one, "forward")));
	json_decref(list);
	world_close(&w);
}

TEST(tags_are_read_by_name_with_value_and_quality)
{
	struct world w;

	world_open(&w, yaml);
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

	world_open(&w, yaml);
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

	world_open(&w, yaml);
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

	world_open(&w, yaml);
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

	world_open(&w, yaml);
	json_decref(ask(&w, "log.level", "{\"level\":\"error\"}"));
	json_t *level = ask(&w, "log.level", "{}");
	EXPECT_TEXT(text_in(level, "level"), "error");
	json_decref(level);
	EXPECT_EQ(atomic_load(&w.stop_count), 0);
	json_decref(ask(&w, "stop", "{}"));
	EXPECT_EQ(atomic_load(&w.stop_count), 1);
	world_close(&w);
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

	world_open(&w, yaml);
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
