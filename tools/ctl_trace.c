/* Fetching the records of the flight recorders, and writing them to a file. Printing is in ctl_trace_show.c. */
#include "tools/ctl_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/ctl_show.h"
#include "tools/version.h"

#define TOPICS_BYTES_MAX 900u /* of a comment in the file */

/* --- fetching ---------------------------------------------------------------------------------------------------------- */

/* One answer of trace.read. */
struct page {
	uint64_t next, made;
	uint64_t from_ns;   /* records before it are not wanted */
	int64_t to_wall_ns; /* added to a record's time */
};

static int bytes_add(struct ctl_trace *t, struct bytes b, size_t *at)
{
	int rc = 0;

	if (b.size > t->byte_room - t->byte_count) {
		size_t room = max_u64(2 * t->byte_room, t->byte_count + b.size + (64u << 10));
		uint8_t *bytes = realloc(t->bytes, room);

		if (!bytes)
			return -ENOMEM;
		t->bytes = bytes;
		t->byte_room = room;
	}
	*at = t->byte_count;
	if (b.size)
		memcpy(t->bytes + t->byte_count, b.ptr, b.size);
	t->byte_count += b.size;
	return rc;
}

/* The topics that a record's notes stand for, "a, b", as many as fit. */
static size_t topics_of(const json_t *topics, struct bytes notes, char out[TOPICS_BYTES_MAX])
{
	struct writer w = writer_of(out, TOPICS_BYTES_MAX);
	uint32_t seen[TRACE_NOTES_MAX], seen_count = 0;

	for (size_t at = 0; at + sizeof(uint32_t) <= notes.size; at += sizeof(uint32_t)) {
		uint32_t note, i = 0;
		char key[16];

		memcpy(&note, notes.ptr + at, sizeof(note));
		while (i < seen_count && seen[i] != note)
			i++;
		if (i < seen_count || seen_count == TRACE_NOTES_MAX)
			continue;
		seen[seen_count++] = note;
		snprintf(key, sizeof(key), "%u", note);
		const char *topic = ctl_text_in(topics, key);

		if (!*topic || strlen(topic) + 2 > writer_left(&w))
			continue;
		write_text(&w, w.at == (uint8_t *)out ? "" : ", ");
		write_text(&w, topic);
	}
	return (size_t)(w.at - (uint8_t *)out);
}

static int record_add(struct ctl_trace *t, uint32_t source_idx, const struct page *p,
		      const struct trace_record *head, struct bytes endpoints, struct bytes kept,
		      struct bytes topics)
{
	struct ctl_trace_record *r;
	int rc = 0;

	if (t->record_count == t->record_room) {
		size_t room = 2 * t->record_room + 1024;
		struct ctl_trace_record *records = realloc(t->records, room * sizeof(*records));

		if (!records)
			return -ENOMEM;
		t->records = records;
		t->record_room = room;
	}
	r = &t->records[t->record_count];
	*r = (struct ctl_trace_record){
		.time = {.ns = (int64_t)head->time_ns + p->to_wall_ns},
		.source_idx = source_idx,
		.order = t->record_count,
		.head = *head,
	};
	rc = bytes_add(t, endpoints, &r->endpoints_at);
	if (rc == 0)
		rc = bytes_add(t, kept, &r->kept_at);
	if (rc == 0)
		rc = bytes_add(t, topics, &r->topics_at);
	r->topics_bytes = topics.size;
	if (rc < 0)
		return rc;
	t->record_count++;
	t->sources[source_idx].frame_count += head->kind == TRACE_SENT || head->kind == TRACE_RECEIVED;
	return 0;
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The caller's; NULL: it is none, or there is no memory. */
static uint8_t *hex_decode(const json_t *hex, size_t *size_bytes)
{
	const char *text = json_string_value(hex);
	size_t length = text ? json_string_length(hex) : 1;
	uint8_t *out = length % 2 ? NULL : malloc(length / 2 + 1);

	for (size_t i = 0; out && i < length; i += 2) {
		int high = digit_of(text[i]), low = digit_of(text[i + 1]);

		if (high < 0 || low < 0) {
			free(out);
			return NULL;
		}
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	*size_bytes = length / 2;
	return out;
}

static int records_add(struct ctl_trace *t, uint32_t source_idx, const struct page *p, const json_t *hex,
		       const json_t *topics)
{
	struct bytes endpoints, kept, notes, input;
	char text[TOPICS_BYTES_MAX];
	struct trace_record head;
	uint8_t *records = hex_decode(hex, &input.size);
	int rc = 0;

	if (!records)
		return -EBADMSG;
	input.ptr = records;
	while (rc == 0 && input.size > 0) {
		if (!trace_next_noted(&input, &head, &endpoints, &kept, &notes))
			rc = -EBADMSG;
		else if (head.time_ns >= p->from_ns)
			rc = record_add(t, source_idx, p, &head, endpoints, kept,
					bytes_of(text, topics_of(topics, notes, text)));
	}
	free(records);
	return rc;
}

static uint64_t number_in(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value < 0 ? 0 : (uint64_t)value;
}

static struct page page_of(const json_t *answer, uint64_t seconds)
{
	uint64_t mono_ns = number_in(answer, "mono_ns");

	return (struct page){
		.next = number_in(answer, "next"),
		.made = number_in(answer, "made"),
		.from_ns = seconds && seconds < mono_ns / NS_PER_S ? mono_ns - seconds * NS_PER_S : 0,
		.to_wall_ns = json_integer_value(json_object_get(answer, "wall_ns")) - (int64_t)mono_ns,
	};
}

/* Up to what was there when it began: a busy connection makes records faster than they are fetched. */
static int source_fetch(struct ctl_trace *t, struct ctl_client *c, uint32_t source_idx, uint64_t number,
			uint64_t seconds, struct jsonrpc_error *why)
{
	uint64_t at = 0, end = UINT64_MAX;
	struct page first = {0};
	int rc = 0;

	while (rc == 0 && at < end) {
		json_t *params = json_pack("{s:I, s:I}", "source", (json_int_t)number, "from",
					   (json_int_t)at);
		json_t *answer = NULL;
		struct page p;

		rc = ctl_call(c, "trace.read", params, &answer, why);
		if (rc < 0)
			return rc;
		p = page_of(answer, seconds);
		if (end == UINT64_MAX) {
			first = p;
			end = p.made;
		} else if (number_in(answer,
				     "lost_bytes")) { /* before the first page it is what recorders are for */
			t->sources[source_idx].lost_bytes += number_in(answer, "lost_bytes");
		}
		first.next = p.next;
		rc = records_add(t, source_idx, &first, json_object_get(answer, "records"),
				 json_object_get(answer, "topics"));
		json_decref(answer);
		if (p.next <= at)
			break;
		at = p.next;
	}
	return rc;
}

static bool protocol_of(const char *text, enum capture_protocol *out)
{
	static const char *const names[] = {
		[CAPTURE_MQTT] = "mqtt",
		[CAPTURE_MODBUS_TCP] = "modbus_tcp",
		[CAPTURE_MODBUS_RTU] = "modbus_rtu",
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		*out = (enum capture_protocol)i;
		if (!strcmp(text, names[i]))
			return true;
	}
	return false;
}

static int by_time(const void *a, const void *b)
{
	const struct ctl_trace_record *x = a, *y = b;

	if (x->time.ns != y->time.ns)
		return x->time.ns < y->time.ns ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

int ctl_trace_fetch(struct ctl_trace *t, struct ctl_client *c, const json_t *names, uint64_t seconds,
		    struct jsonrpc_error *why)
{
	json_t *params = json_pack("{s:O, s:i}", "names", names, "limit", 1000), *list = NULL;
	const json_t *sources, *one;
	size_t i;
	int rc;

	*t = (struct ctl_trace){0};
	rc = ctl_call_all(c, "trace.list", params, "sources", &list, why);
	if (rc < 0)
		return rc;
	sources = json_object_get(list, "sources");
	t->sources = calloc(json_array_size(sources) + 1, sizeof(t->sources[0]));
	if (!t->sources)
		rc = -ENOMEM;
	json_array_foreach(sources, i, one)
	{
		struct ctl_trace_source *s;

		if (rc < 0)
			break;
		s = &t->sources[t->source_count];
		s->name = strdup(ctl_text_in(one, "name"));
		s->mqtt_level = !strcmp(ctl_text_in(one, "version"), "3.1.1") ? 4 : 5;
		s->is_recording = json_is_true(json_object_get(one, "recording"));
		if (!s->name) {
			rc = -ENOMEM;
			break;
		}
		t->source_count++;
		if (!protocol_of(ctl_text_in(one, "protocol"), &s->protocol))
			rc = -EBADMSG;
		else
			rc = source_fetch(t, c, (uint32_t)i, number_in(one, "source"), seconds, why);
	}
	json_decref(list);
	if (rc == 0 && t->record_count)
		qsort(t->records, t->record_count, sizeof(t->records[0]), by_time);
	return rc;
}

void ctl_trace_free(struct ctl_trace *t)
{
	for (uint32_t i = 0; i < t->source_count; i++)
		free(t->sources[i].name);
	free(t->sources);
	free(t->records);
	free(t->bytes);
	*t = (struct ctl_trace){0};
}

/* --- writing ----------------------------------------------------------------------------------------------------------- */

static int block_write(FILE *f, struct writer *w, uint8_t *start)
{
	size_t size_bytes = (size_t)(w->at - start);

	ASSERT(!w->failed); /* CAPTURE_BYTES_MAX is for any record */
	*w = writer_of(start, CAPTURE_BYTES_MAX);
	if (fwrite(start, 1, size_bytes, f) != size_bytes)
		return errno ? -errno : -EIO;
	return 0;
}

static int all_write(const struct ctl_trace *t, FILE *f, struct capture_stream *streams, uint8_t *block)
{
	struct writer w = writer_of(block, CAPTURE_BYTES_MAX);
	int rc = pcapng_section(&w, "ringctl " RINGMAIN_VERSION);

	if (rc == 0)
		rc = block_write(f, &w, block);
	for (uint32_t i = 0; rc == 0 && i < t->source_count; i++) {
		capture_stream_init(&streams[i], t->sources[i].protocol, i);
		streams[i].mqtt_level = t->sources[i].mqtt_level;
		rc = capture_interface(&streams[i], t->sources[i].name, &w);
		if (rc == 0)
			rc = block_write(f, &w, block);
	}
	for (size_t i = 0; rc == 0 && i < t->record_count; i++) {
		const struct ctl_trace_record *r = &t->records[i];
		const struct capture_record record = {
			.head = r->head,
			.endpoints = bytes_of(t->bytes + r->endpoints_at, r->head.endpoint_bytes),
			.kept = bytes_of(t->bytes + r->kept_at, r->head.kept_bytes),
			.comment = bytes_of(t->bytes + r->topics_at, r->topics_bytes),
			.time = r->time,
		};

		rc = capture_record(&streams[r->source_idx], &record, &w);
		if (rc == 0)
			rc = block_write(f, &w, block);
	}
	for (uint32_t i = 0; rc == 0 && i < t->source_count; i++) {
		rc = capture_end(&streams[i], &w);
		if (rc == 0)
			rc = block_write(f, &w, block);
	}
	return rc;
}

/* A file is its owner's alone, also one that was there already and was everybody's. */
static FILE *file_open(const char *path)
{
	struct stat st;
	FILE *f;
	int fd;

	if (!strcmp(path, "-"))
		return stdout;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		(void)!fchmod(fd, 0600); /* some file systems have no such rights */
	f = fdopen(fd, "wb");
	if (!f)
		close(fd);
	return f;
}

int ctl_trace_save(const struct ctl_trace *t, const char *path)
{
	struct capture_stream *streams = calloc((size_t)t->source_count + 1, sizeof(streams[0]));
	uint8_t *block = malloc(CAPTURE_BYTES_MAX);
	int rc = streams && block ? 0 : -ENOMEM;
	FILE *f = NULL;

	errno = 0;
	if (rc == 0) {
		f = file_open(path);
		rc = f ? all_write(t, f, streams, block) : -errno;
	}
	free(streams);
	free(block);
	if (!f)
		return rc;
	if (f == stdout ? fflush(f) : fclose(f))
		rc = rc < 0 ? rc : -errno;
	return rc;
}
