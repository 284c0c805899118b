/* buffer.set over a node that is built and not started; the methods are called as the control thread calls them. */
#include <math.h>

#include "tests/unit/rpc_case.h"

#define RECORD_BYTES 100u /* a message of these tests: its payload */

static const char yaml[] =
	"node: bench\n"
	"targets:\n"
	"  - {name: plant, url: \"mqtt://127.0.0.1:1\", buffer: {messages: 100, messages_max: 400}}\n"
	"  - {name: small, url: \"mqtt://127.0.0.1:2\", buffer: {messages: 100, bytes: 64KiB, max_age: 1h}}\n"
	"lines: [{name: syn, synthetic: {tags: 2, rate: 1000}}]\n"
	"definitions:\n"
	"  - {name: d, target: plant, tags: [\"syn.*\"], topic: \"p/{tag}\"}\n"
	"  - {name: e, target: small, tags: [\"syn.*\"], topic: \"p/{tag}\"}\n";

static void expect_no_set(struct world *w, const char *params, const char *text)
{
	expect_refused(w, "buffer.set", params, text);
}

static void make_messages(struct world *w, uint32_t target_idx, uint32_t count, struct mono now)
{
	struct ring *r = w->node.rings[target_idx];

	for (uint32_t i = 0; i < count; i++) {
		EXPECT(ring_reserve(r, 0, 8, RECORD_BYTES, now) != NULL);
		ring_commit(r, 0, 0, RECORD_BYTES, now);
	}
}

static int64_t metric(struct world *w, const char *name, size_t target_idx)
{
	char params[100];

	snprintf(params, sizeof(params), "{\"prefix\":\"%s\"}", name);
	json_t *all = ask(w, "metrics", params);
	int64_t value = number_in(json_array_get(json_object_get(all, "metrics"), target_idx), "value");

	json_decref(all);
	return value;
}

TEST(what_is_set_is_in_force_at_once_and_the_rest_stays)
{
	struct world w;

	world_open(&w, yaml);
	json_t *b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"messages\":300}");
	EXPECT_EQ(number_in(b, "capacity"), 300);
	EXPECT_EQ(number_in(b, "messages_max"), 400);
	EXPECT_EQ(number_in(b, "bytes"), 0);
	EXPECT(real_in(b, "max_age_s") == 0);
	json_decref(b);
	b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"bytes\":1048576,\"max_age_s\":7200.5}");
	EXPECT_EQ(number_in(b, "capacity"), 300);
	EXPECT_EQ(number_in(b, "bytes"), 1048576);
	EXPECT_EQ(number_in(b, "bytes_max"), 0);
	EXPECT(real_in(b, "max_age_s") == 7200.5);
	json_decref(b);
	EXPECT_EQ(ring_keeping(w.node.rings[0]).age_ns, 7200500 * NS_PER_MS);
	EXPECT_EQ(ring_keeping(w.node.rings[1]).messages, 100);

	json_t *status = ask(&w, "status", "{}");
	const json_t *t = json_array_get(json_object_get(status, "targets"), 0);
	EXPECT_EQ(number_in(t, "capacity"), 300);
	EXPECT_EQ(number_in(t, "bytes"), 1048576);
	EXPECT(real_in(t, "max_age_s") == 7200.5);
	json_decref(status);
	EXPECT_EQ(metric(&w, "ring_limit_messages", 0), 300);
	EXPECT_EQ(metric(&w, "ring_limit_bytes", 0), 1048576);
	EXPECT_EQ(metric(&w, "ring_limit_age_ns", 0), 7200500000000);
	EXPECT_EQ(metric(&w, "ring_limit_age_ns", 1), 3600000000000);

	b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"bytes\":0,\"max_age_s\":0}");
	EXPECT_EQ(number_in(b, "bytes"), 0);
	EXPECT(real_in(b, "max_age_s") == 0);
	json_decref(b);
	world_close(&w);
}

TEST(limits_that_memory_was_not_made_for_are_refused_and_nothing_changes)
{
	struct world w;
	char text[250];

	world_open(&w, yaml);
	uint32_t largest = ring_limits_of(w.node.rings[1])->record_bytes_max;
	const char *messages = "messages is a whole number from 1 to 400: there is memory for no more; the "
			       "configuration's buffer.messages_max says how much is made";
	expect_no_set(&w, "{\"target\":\"plant\",\"messages\":401}", messages);
	expect_no_set(&w, "{\"target\":\"plant\",\"messages\":0}", messages);
	expect_no_set(&w, "{\"target\":\"plant\",\"messages\":\"10\"}", messages);
	expect_no_set(&w, "{\"target\":\"plant\",\"messages\":10.5}", messages);
	/* One of two is wrong: neither is set. */
	expect_no_set(&w, "{\"target\":\"plant\",\"bytes\":1048576,\"messages\":-1}", messages);

	snprintf(text, sizeof(text),
		 "bytes is a whole number from %u, for one largest message, to 65536: there is memory for no "
		 "more; the configuration's buffer.bytes says how much is made",
		 largest);
	expect_no_set(&w, "{\"target\":\"small\",\"bytes\":65537}", text);
	expect_no_set(&w, "{\"target\":\"small\",\"bytes\":0}", text);
	expect_no_set(&w, "{\"target\":\"small\",\"bytes\":-5}", text);
	expect_no_set(&w, "{\"target\":\"small\",\"bytes\":\"10MiB\"}", text);
	snprintf(text, sizeof(text),
		 "bytes is 0, for no limit, or a whole number from %u, for one largest message", largest);
	expect_no_set(&w, "{\"target\":\"plant\",\"bytes\":1}", text);

	const char *age = "max_age_s is 0, for no limit, or a number of seconds up to ten years";
	expect_no_set(&w, "{\"target\":\"small\",\"max_age_s\":-1}", age);
	expect_no_set(&w, "{\"target\":\"small\",\"max_age_s\":1e9}", age);
	expect_no_set(&w, "{\"target\":\"small\",\"max_age_s\":1e-10}", age);
	expect_no_set(&w, "{\"target\":\"small\",\"max_age_s\":\"2h\"}", age);

	expect_no_set(&w, "{\"target\":\"plant\"}", "messages, bytes and max_age_s are missing");
	expect_no_set(&w, "{\"messages\":5}", "target is missing");
	expect_no_set(&w, "{\"target\":\"plan\",\"messages\":5}",
		      "there is no target plan; did you mean plant?");
	expect_no_set(&w, "{\"target\":\"plant\",\"capacity\":5}", "no such parameter: capacity");
	EXPECT_EQ(ring_keeping(w.node.rings[0]).messages, 100);
	EXPECT_EQ(ring_keeping(w.node.rings[0]).bytes, 0);
	EXPECT_EQ(ring_keeping(w.node.rings[1]).bytes, 65536);
	EXPECT_EQ(ring_keeping(w.node.rings[1]).age_ns, 3600 * NS_PER_S);

	snprintf(text, sizeof(text), "{\"target\":\"small\",\"messages\":1,\"bytes\":%u}", largest);
	json_t *b = ask(&w, "buffer.set", text); /* the least */
	EXPECT_EQ(number_in(b, "capacity"), 1);
	EXPECT_EQ(number_in(b, "bytes"), largest);
	json_decref(b);
	b = ask(&w, "buffer.set", "{\"target\":\"small\",\"messages\":100,\"bytes\":65536}"); /* the most */
	EXPECT_EQ(number_in(b, "bytes"), 65536);
	json_decref(b);
	world_close(&w);
}

TEST(what_a_narrower_buffer_cannot_keep_is_gone_and_a_wider_one_fills_again)
{
	struct world w;
	struct mono now = {.ns = 100 * NS_PER_S};

	world_open(&w, yaml);
	make_messages(&w, 0, 100, now);
	json_decref(ask(&w, "buffer.set", "{\"target\":\"plant\",\"messages\":10}"));
	publisher_step(&w.node.publishers[0]); /* it was told */
	json_t *b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"messages\":400}");
	EXPECT_EQ(number_in(b, "buffered"), 10);
	EXPECT_EQ(number_in(b, "buffered_bytes"), 10 * RECORD_BYTES);
	EXPECT_EQ(number_in(json_object_get(b, "lost"), "overwritten"), 0); /* until it is known which */
	EXPECT_EQ(number_in(b, "unlocated"), 90);
	json_decref(b);
	make_messages(&w, 0, 200, now);
	b = ask(&w, "buffer.read", "{\"target\":\"plant\"}");
	EXPECT_EQ(number_in(b, "buffered"), 210);
	EXPECT_EQ(metric(&w, "ring_buffered_bytes", 0), 210 * RECORD_BYTES);
	json_decref(b);

	b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"bytes\":5000}");
	publisher_step(&w.node.publishers[0]);
	json_decref(b);
	b = ask(&w, "buffer.read", "{\"target\":\"plant\"}");
	EXPECT_EQ(number_in(b, "buffered"), 50);
	EXPECT_EQ(number_in(b, "buffered_bytes"), 5000);
	EXPECT(json_is_true(json_object_get(b, "full")));
	EXPECT(fabs(real_in(b, "fill_percent") - 100) < 1e-9);
	json_decref(b);
	world_close(&w);
}

TEST(the_forecast_goes_by_the_limits_in_force)
{
	struct world w;
	struct mono now = clock_mono();

	world_open(&w, yaml);
	node_tick(&w.node, now);
	make_messages(&w, 0, 20, now);
	node_tick(&w.node, mono_add(now, 10 * NS_PER_S)); /* two a second */
	json_t *b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"messages\":200}");
	EXPECT(fabs(real_in(b, "holds_s") - 100) < 1e-6);
	EXPECT(fabs(real_in(b, "fill_percent") - 10) < 1e-6);
	json_decref(b);
	b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"bytes\":8000}");
	EXPECT(fabs(real_in(b, "holds_s") - 40) < 1e-6);
	EXPECT(fabs(real_in(b, "fill_percent") - 25) < 1e-6);
	EXPECT(json_is_string(json_object_get(b, "full_at")));
	json_decref(b);
	b = ask(&w, "buffer.set", "{\"target\":\"plant\",\"max_age_s\":30}");
	EXPECT(fabs(real_in(b, "holds_s") - 30) < 1e-6);
	EXPECT(json_is_null(json_object_get(b, "full_at")));
	json_decref(b);
	world_close(&w);
}
