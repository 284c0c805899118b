/* trace.list, trace.start and the like, over a node that is built and not started. */
#include "hw/line.h"
#include "tests/unit/rpc_case.h"

static const char yaml[] =
	"node: bench\n"
	"trace: {freeze: true, after: 3s}\n"
	"targets:\n"
	"  - {name: plant, url: \"mqtt://127.0.0.1:1\", trace: {memory: 64KiB}}\n"
	"  - {name: plan2, url: \"mqtt://127.0.0.1:2\", trace: {memory: 16KiB, record: false}}\n"
	"  - {name: bare, url: \"mqtt://127.0.0.1:2\"}\n"
	"lines:\n"
	"  - {name: syn, synthetic: {tags: 2, rate: 1000}}\n"
	"  - {name: plc, modbus_tcp: {address: \"127.0.0.1:3\"}, trace: {memory: 32KiB}}\n"
	"  - {name: other, modbus_tcp: {address: \"127.0.0.1:3\"}}\n"
	"definitions: [{name: d, target: plant, tags: [\"syn.*\"], topic: \"p/{tag}\"}]\n";

/* The names of a list, each with its protocol and a + where it is recorded: "plant mqtt+, ...". */
static const char *listed(struct world *w, const char *params)
{
	static char text[512];
	json_t *list = ask(w, "trace.list", params);
	const json_t *one;
	size_t i, used = 0;

	text[0] = 0;
	json_array_foreach(json_object_get(list, "sources"), i, one)
	{
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s%s", i ? ", " : "",
					 json_string_value(json_object_get(one, "name")),
					 json_string_value(json_object_get(one, "protocol")),
					 json_is_true(json_object_get(one, "recording")) ? "+" : "");
	}
	json_decref(list);
	return text;
}

static void record(struct trace_source *s, uint32_t number)
{
	trace_bytes(s, TRACE_SENT, clock_mono(), number, 0, bytes_of(&number, sizeof(number)),
		    sizeof(number));
}

TEST(what_has_a_recorder_is_listed)
{
	struct world w;
	json_t *list;

	world_open(&w, yaml);
	EXPECT_TEXT(listed(&w, "{}"), "plant mqtt+, plan2 mqtt, plc modbus_tcp+");
	EXPECT_TEXT(listed(&w, "{\"names\":[\"pl*\"]}"), "plant mqtt+, plan2 mqtt, plc modbus_tcp+");
	EXPECT_TEXT(listed(&w, "{\"names\":[\"plc\",\"plan2\"]}"), "plan2 mqtt, plc modbus_tcp+");
	EXPECT_TEXT(listed(&w, "{\"limit\":1,\"offset\":1}"), "plan2 mqtt");
	list = ask(&w, "trace.list", "{}");
	EXPECT_EQ(number_in(list, "total"), 3);
	EXPECT(json_is_false(json_object_get(list, "frozen")));
	EXPECT(json_is_true(json_object_get(list, "freezes")));
	EXPECT(json_is_null(json_object_get(list, "until")));
	EXPECT_EQ(number_in(json_array_get(json_object_get(list, "sources"), 2), "memory_bytes"), 32 << 10);
	json_decref(list);
	world_close(&w);
}

TEST(recording_starts_and_stops_by_name_and_by_pattern)
{
	struct world w;
	json_t *result;

	world_open(&w, yaml);
	result = ask(&w, "trace.start", "{\"names\":[\"plan2\"]}");
	EXPECT_EQ(number_in(result, "count"), 1);
	json_decref(result);
	EXPECT_TEXT(listed(&w, "{}"), "plant mqtt+, plan2 mqtt+, plc modbus_tcp+");
	result = ask(&w, "trace.stop", "{\"names\":[\"*\"]}"); /* what has none is passed over */
	EXPECT_EQ(number_in(result, "count"), 3);
	json_decref(result);
	EXPECT_TEXT(listed(&w, "{}"), "plant mqtt, plan2 mqtt, plc modbus_tcp");
	world_close(&w);
}

TEST(a_name_without_a_recorder_is_refused_with_what_to_do)
{
	static const char *const methods[] = {"trace.list", "trace.start", "trace.stop"};
	struct world w;

	world_open(&w, yaml);
	for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
		expect_refused(&w, methods[i], "{\"names\":[\"plantt\"]}",
			       "there is no target or line plantt; did you mean plant?");
		expect_refused(&w, methods[i], "{\"names\":[\"plant\",\"zzzzzzzz\"]}",
			       "there is no target or line zzzzzzzz");
		expect_refused(&w, methods[i], "{\"names\":[\"bare\"]}",
			       "target bare has no recorder: give it `trace: {memory: 64KiB}` in the "
			       "configuration, and start again");
		expect_refused(&w, methods[i], "{\"names\":[\"oth*\"]}",
			       "line other has no recorder: give it `trace: {memory: 64KiB}` in the "
			       "configuration, and start again");
		expect_refused(&w, methods[i], "{\"names\":[\"syn\"]}",
			       "line syn is synthetic: it has no frames to record");
		expect_refused(&w, methods[i], "{\"names\":[]}",
			       "names is a list of 1 to 100 names or patterns");
		expect_refused(&w, methods[i], "{\"names\":[1]}", "a name is a text of at most 256 bytes");
	}
	expect_refused(&w, "trace.start", "{}", "names is a list of 1 to 100 names or patterns");
	EXPECT_TEXT(listed(&w, "{}"), "plant mqtt+, plan2 mqtt, plc modbus_tcp+");
	world_close(&w);
}

TEST(records_are_read_in_hexadecimal_from_a_position_on)
{
	struct world w;
	struct trace_source *s;
	json_t *page;
	int64_t next;
	const char *hex;

	world_open(&w, yaml);
	s = &w.node.samplers[0].lines[1].trace;
	EXPECT_EQ(s->channel_idx, 4); /* three targets, one line before it */
	record(s, 0x11223344);
	page = ask(&w, "trace.read", "{\"source\":4}");
	hex = json_string_value(json_object_get(page, "records"));
	EXPECT_EQ(strlen(hex), 2 * (32 + 8));
	EXPECT_EQ(memcmp(hex + 64, "4433221100000000", 16), 0);
	EXPECT_EQ(number_in(page, "lost_bytes"), 0);
	next = number_in(page, "next");
	EXPECT_EQ(next, number_in(page, "made"));
	EXPECT(number_in(page, "mono_ns") > 0);
	EXPECT(number_in(page, "wall_ns") > number_in(page, "mono_ns"));
	json_decref(page);
	record(s, 0x55667788);
	char params[64];

	snprintf(params, sizeof(params), "{\"source\":4,\"from\":%lld}", (long long)next);
	page = ask(&w, "trace.read", params);
	hex = json_string_value(json_object_get(page, "records"));
	EXPECT_EQ(strlen(hex), 2 * (32 + 8));
	EXPECT_EQ(memcmp(hex + 64, "8877665500000000", 16), 0);
	json_decref(page);
	expect_refused(&w, "trace.read", "{\"source\":2}", "source is a number from trace.list");
	expect_refused(&w, "trace.read", "{\"source\":6}", "source is a number from trace.list");
	expect_refused(&w, "trace.read", "{}", "source is a number from trace.list");
	expect_refused(&w, "trace.read", "{\"source\":0,\"from\":-1}", "from is a whole number from 0");
	expect_refused(&w, "trace.read", "{\"thread\":0}", "no such parameter: thread");
	world_close(&w);
}

TEST(notes_are_explained_with_the_topics_of_their_channels)
{
	struct world w;
	struct trace_source *s;
	const json_t *topics;
	json_t *page;

	world_open(&w, yaml);
	s = &node_target(&w.node, 0)->trace.source;
	EXPECT(trace_note(s, 1));
	EXPECT(trace_note(s, 0));
	EXPECT(trace_note(s, 1));
	EXPECT(trace_note(s, 99)); /* of no channel */
	record(s, 1);
	page = ask(&w, "trace.read", "{\"source\":0}");
	topics = json_object_get(page, "topics");
	EXPECT_EQ(json_object_size(topics), 2);
	EXPECT_TEXT(json_string_value(json_object_get(topics, "0")), "p/t0");
	EXPECT_TEXT(json_string_value(json_object_get(topics, "1")), "p/t1");
	json_decref(page);
	world_close(&w);
}

/* A position that is not the beginning of a record gives records or none, never more than there is. */
TEST(a_position_that_somebody_made_up_does_no_harm)
{
	struct world w;
	json_t *page;

	world_open(&w, yaml);
	for (uint32_t i = 0; i < 5000; i++)
		record(&w.node.samplers[0].lines[1].trace, i);
	for (int from = 0; from < 3000; from++) {
		char params[64];

		snprintf(params, sizeof(params), "{\"source\":4,\"from\":%d}", from + 24000);
		page = ask(&w, "trace.read", params);
		EXPECT_LE(strlen(json_string_value(json_object_get(page, "records"))), 2 * (64 << 10));
		json_decref(page);
	}
	page = ask(&w, "trace.read", "{\"source\":4,\"from\":9223372036854775807}");
	EXPECT_TEXT(json_string_value(json_object_get(page, "records")), "");
	json_decref(page);
	world_close(&w);
}

TEST(all_recorders_freeze_and_go_on)
{
	struct world w;
	struct trace_source *s;
	json_t *result;

	world_open(&w, yaml);
	s = &w.node.samplers[0].lines[1].trace;
	record(s, 1);
	result = ask(&w, "trace.freeze", "{}");
	EXPECT(json_is_string(json_object_get(result, "until")));
	EXPECT(json_is_null(json_object_get(result, "cause")));
	json_decref(result);
	while (clock_mono().ns <= trace_until(&w.node.trace).ns)
		;
	record(s, 2);
	EXPECT_EQ(trace_counts(s->ring).records, 1);
	result = ask(&w, "trace.list", "{}");
	EXPECT(json_is_true(json_object_get(result, "frozen")));
	json_decref(result);
	result = ask(&w, "trace.resume", "{}");
	EXPECT(json_is_false(json_object_get(result, "frozen")));
	EXPECT(json_is_null(json_object_get(result, "until")));
	json_decref(result);
	record(s, 3);
	EXPECT_EQ(trace_counts(s->ring).records, 2);
	EXPECT(trace_incident(s, clock_mono()));
	result = ask(&w, "trace.list", "{}");
	EXPECT_TEXT(json_string_value(json_object_get(result, "cause")), "plc");
	EXPECT(json_is_string(json_object_get(result, "until")));
	EXPECT(json_is_false(json_object_get(result, "frozen"))); /* in 3 s */
	json_decref(result);
	world_close(&w);
}

TEST(only_the_list_is_for_everybody)
{
	static const char *const operators[] = {"trace.start", "trace.stop", "trace.freeze", "trace.resume",
						"trace.read"};

	EXPECT_EQ(method_of("trace.list")->role, CONTROL_READ_ONLY);
	for (size_t i = 0; i < ARRAY_COUNT(operators); i++)
		EXPECT_EQ(method_of(operators[i])->role, CONTROL_OPERATOR);
}
