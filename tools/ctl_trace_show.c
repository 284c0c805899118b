/* `ringctl trace`: the answers of the daemon, and records, for people and as JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "core/time_text.h"
#include "proto/mqtt_frame.h"
#include "proto/mqtt_type.h"
#include "tools/ctl_show.h"
#include "tools/ctl_trace.h"

#define HEX_BYTES 16u /* of a frame, on a line for people */

/* --- records ----------------------------------------------------------------------------------------------------------- */

static const char *event_text(enum trace_kind kind)
{
	switch (kind) {
	case TRACE_SENT: return "sent";
	case TRACE_RECEIVED: return "received";
	case TRACE_OPENED: return "opened";
	case TRACE_ENDED_BY_US: return "ended";
	case TRACE_ENDED_BY_PEER: return "ended by the peer";
	case TRACE_BROKEN: return "broken";
	}
	UNREACHABLE();
}

static bool is_frame(const struct ctl_trace_record *r)
{
	return r->head.kind == TRACE_SENT || r->head.kind == TRACE_RECEIVED;
}

static struct bytes kept_of(const struct ctl_trace *t, const struct ctl_trace_record *r)
{
	return bytes_of(t->bytes + r->kept_at, r->head.kept_bytes);
}

/* Of messages that have an alias in the place of their topic. */
static struct bytes topics_of(const struct ctl_trace *t, const struct ctl_trace_record *r)
{
	return bytes_of(t->bytes + r->topics_at, r->topics_bytes);
}

/* The packets that begin in what was kept: "PUBLISH, PUBLISH". */
static void print_packets(struct bytes kept)
{
	const char *comma = "";

	while (kept.size > 0) {
		int64_t size = mqtt_frame_bytes(kept);

		if (size < 0)
			return;
		printf("%s%s", comma, mqtt_type_name(*kept.ptr >> 4));
		comma = ", ";
		if (size == 0 || (uint64_t)size >= kept.size)
			return;
		kept = bytes_of(kept.ptr + size, kept.size - (size_t)size);
	}
}

static void print_hex(struct bytes kept)
{
	for (size_t i = 0; i < min_size(kept.size, HEX_BYTES); i++)
		printf("%s%02x", i ? " " : "", kept.ptr[i]);
	if (kept.size > HEX_BYTES)
		fputs(" ...", stdout);
}

static void print_text(struct bytes text)
{
	char line[TRACE_SEGMENT_BYTES + 1];
	size_t size = min_size(text.size, TRACE_SEGMENT_BYTES);

	memcpy(line, text.ptr, size);
	line[size] = 0;
	ctl_print_text(line, stdout);
}

static void print_record(const struct ctl_trace *t, const struct ctl_trace_record *r)
{
	const struct ctl_trace_source *s = &t->sources[r->source_idx];
	enum trace_kind kind = (enum trace_kind)r->head.kind;
	char time[TIME_TEXT_BYTES];

	time_text(r->time, time);
	printf("%s ", time);
	ctl_print_text(s->name, stdout);
	if (!is_frame(r)) {
		printf(" %s: ", event_text(kind));
		print_text(kept_of(t, r));
	} else {
		printf(" %s %u bytes: ", kind == TRACE_SENT ? ">" : "<", r->head.length_bytes);
		if (s->protocol == CAPTURE_MQTT)
			print_packets(kept_of(t, r));
		else
			print_hex(kept_of(t, r));
		if (r->topics_bytes) {
			fputs(" of ", stdout);
			print_text(topics_of(t, r));
		}
	}
	putchar('\n');
}

static json_t *hex_json(struct bytes bytes)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * TRACE_RECORD_BYTES_MAX];
	size_t size = min_size(bytes.size, TRACE_RECORD_BYTES_MAX);

	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[bytes.ptr[i] >> 4];
		text[2 * i + 1] = digits[bytes.ptr[i] & 15];
	}
	return json_stringn_nocheck(text, 2 * size);
}

static json_t *text_json(struct bytes text)
{
	json_t *value = json_stringn((const char *)text.ptr, text.size);

	return value ? value : hex_json(text); /* not UTF-8 */
}

static void print_record_json(const struct ctl_trace *t, const struct ctl_trace_record *r)
{
	char time[TIME_TEXT_BYTES];
	json_t *one;

	time_text(r->time, time);
	one = json_pack("{s:s, s:s, s:s}", "ts", time, "name", t->sources[r->source_idx].name, "event",
			event_text((enum trace_kind)r->head.kind));
	if (is_frame(r)) {
		json_object_set_new(one, "length", json_integer(r->head.length_bytes));
		json_object_set_new(one, "bytes", hex_json(kept_of(t, r)));
		if (r->topics_bytes)
			json_object_set_new(one, "topics", text_json(topics_of(t, r)));
	} else {
		json_object_set_new(one, "text", text_json(kept_of(t, r)));
	}
	if (json_dumpf(one, stdout, JSON_COMPACT) == 0)
		putchar('\n');
	json_decref(one);
}

void ctl_trace_print(const struct ctl_trace *t, bool json)
{
	for (size_t i = 0; i < t->record_count; i++) {
		if (json)
			print_record_json(t, &t->records[i]);
		else
			print_record(t, &t->records[i]);
	}
}

/* --- a file that was written ------------------------------------------------------------------------------------------- */

static uint64_t frame_count(const struct ctl_trace *t)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < t->source_count; i++)
		count += t->sources[i].frame_count;
	return count;
}

static json_t *saved_json(const struct ctl_trace *t, const char *path)
{
	json_t *sources = json_array();

	for (uint32_t i = 0; i < t->source_count; i++)
		json_array_append_new(sources, json_pack("{s:s, s:I, s:I}", "name", t->sources[i].name,
							 "frames", (json_int_t)t->sources[i].frame_count,
							 "lost_bytes", (json_int_t)t->sources[i].lost_bytes));
	return json_pack("{s:s, s:I, s:o}", "file", path, "frames", (json_int_t)frame_count(t), "sources",
			 sources);
}

void ctl_trace_print_saved(const struct ctl_trace *t, const char *path, bool json)
{
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];

	if (json) {
		json_t *saved = saved_json(t, path);

		if (saved && json_dumpf(saved, stdout, JSON_COMPACT) == 0)
			putchar('\n');
		json_decref(saved);
		return;
	}
	printf("%s: %llu frames", path, (unsigned long long)frame_count(t));
	if (t->record_count) {
		time_text(t->records[0].time, from);
		time_text(t->records[t->record_count - 1].time, to);
		printf(", %s to %s", from, to);
	}
	putchar('\n');
}

void ctl_trace_warn(const struct ctl_trace *t)
{
	for (uint32_t i = 0; i < t->source_count; i++) {
		const struct ctl_trace_source *s = &t->sources[i];

		if (s->lost_bytes)
			fprintf(stderr, "ringctl: %s: %llu bytes were overwritten while they were read\n",
				s->name, (unsigned long long)s->lost_bytes);
		if (s->frame_count == 0)
			fprintf(stderr, "ringctl: %s: no frames%s%s\n", s->name,
				s->is_recording ? "" : "; it is not recorded: ringctl trace --start ",
				s->is_recording ? "" : s->name);
	}
}

/* --- answers ----------------------------------------------------------------------------------------------------------- */

void ctl_trace_show_frozen(const json_t *result)
{
	const char *until = ctl_text_in(result, "until"), *cause = ctl_text_in(result, "cause");

	if (!*until) {
		puts(json_is_true(json_object_get(result, "freezes"))
			     ? "recording goes on until a recorded target or line is lost"
			     : "recording goes on");
		return;
	}
	printf("recording %s %s", json_is_true(json_object_get(result, "frozen")) ? "stopped at" : "stops at",
	       until);
	if (*cause) {
		fputs(": ", stdout);
		ctl_print_text(cause, stdout);
		fputs(" was lost", stdout);
	}
	puts("; ringctl trace --resume goes on");
}

void ctl_trace_show_list(const json_t *result)
{
	static const struct ctl_column columns[] = {
		{"NAME", CTL_LEFT},  {"PROTOCOL", CTL_LEFT}, {"RECORDING", CTL_LEFT}, {"RECORDS", CTL_RIGHT},
		{"GONE", CTL_RIGHT}, {"USED", CTL_RIGHT},    {"MEMORY", CTL_RIGHT},
	};
	const json_t *sources = json_object_get(result, "sources"), *one;
	char text[CTL_TEXT_BYTES];
	struct ctl_table t;
	size_t i;

	if (json_array_size(sources) == 0) {
		puts("no target or line has a recorder: `trace: {memory: 64KiB}` in the configuration gives "
		     "it one");
		return;
	}
	ctl_table_init(&t, columns, ARRAY_COUNT(columns));
	json_array_foreach(sources, i, one)
	{
		ctl_table_add(&t, ctl_text_in(one, "name"));
		ctl_table_add(&t, ctl_text_in(one, "protocol"));
		ctl_table_add(&t, json_is_true(json_object_get(one, "recording")) ? "yes" : "no");
		ctl_table_add(&t, ctl_count_text(text, json_integer_value(json_object_get(one, "records"))));
		ctl_table_add(&t,
			      ctl_count_text(text, json_integer_value(json_object_get(one, "overwritten"))));
		ctl_table_add(&t,
			      ctl_bytes_text(text, json_integer_value(json_object_get(one, "used_bytes"))));
		ctl_table_add(&t,
			      ctl_bytes_text(text, json_integer_value(json_object_get(one, "memory_bytes"))));
	}
	ctl_table_print(&t, stdout);
	ctl_trace_show_frozen(result);
}

void ctl_trace_show_switched(const json_t *result)
{
	printf("%s: %lld\n", json_is_true(json_object_get(result, "recording")) ? "recorded" : "not recorded",
	       (long long)json_integer_value(json_object_get(result, "count")));
}
