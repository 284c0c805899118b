/* tools/ringdump.c - what is in the file of a ring.
 *
 * Purpose:  to look at a ring that a process has left, or one that is in use: nothing is changed, nothing is locked, so a daemon
 *           that starts meanwhile does not notice.
 * Errors:   exit status 0; 1: the file cannot be read, is not to be trusted, or has messages that are not whole (in a file in
 *           use these may be ones that were just being replaced); 2: usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/ring_file.h"
#include "core/ring_layout.h"
#include "core/time_text.h"
#include "proto/mqtt_utf8.h"

static const char help[] = "usage: ringdump [--messages [N]] [--all] [--json] FILE\n"
			   "\n"
			   "Shows the file of a ring (`buffer: {path: FILE}`): limits, segments by state, "
			   "how many messages wait to\n"
			   "be sent, from when to when. The file may be in use; it is only read.\n"
			   "\n"
			   "  -m, --messages [N]  also the messages that wait, or the N oldest of them\n"
			   "  -a, --all           also those that were sent already\n"
			   "  -j, --json          one JSON object\n"
			   "  -h, --help          this text\n"
			   "\n"
			   "Exit status: 0, 1 the file is not to be trusted, or not whole, 2 wrong usage.\n";

struct options {
	const char *path;
	uint64_t message_max; /* 0: none */
	bool with_done, json;
};

struct dump {
	struct options options;
	const struct ring_file_header *header;
	const uint8_t *image;
	uint64_t image_bytes;
	struct ring_shape shape;
	uint32_t states[RING_SEG_FREE + 1];
	uint32_t unknown_count; /* segments in no state */
	uint64_t waiting_count, done_count, broken_count;
	uint64_t first_ns, last_ns; /* of those that wait; 0: none does */
	int user_pid;               /* of the process that has it open; 0: none that we know of */
	json_t *messages;
};

static const char *const state_names[] = {"open", "held", "ready", "claimed", "free"};

/* --- reading ----------------------------------------------------------------------------------------------------------- */

static void wall_text(const struct dump *d, uint64_t time_ns, char out[TIME_TEXT_BYTES])
{
	time_text((struct wall){.ns = (int64_t)(time_ns + (uint64_t)d->header->wall_minus_mono_ns)}, out);
}

/* Who has the lock: the kernel's table says so, without our taking it. */
static int user_of(const struct stat *st)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	int found = 0;

	while (locks && !found && fgets(line, sizeof(line), locks)) {
		unsigned major_number, minor_number;
		unsigned long inode;
		int pid;

		if (sscanf(line, "%*d: FLOCK %*s WRITE %d %x:%x:%lu", &pid, &major_number, &minor_number,
			   &inode) == 4 &&
		    inode == st->st_ino)
			found = pid;
	}
	if (locks)
		fclose(locks);
	return found;
}

static void segments_count(struct dump *d)
{
	struct ring_map_offsets o = ring_map_offsets(&d->header->limits, &d->shape);
	const struct ring_segment *segments =
		(const struct ring_segment *)(const void *)(d->image + RING_FILE_HEADER_BYTES + o.segments);

	for (uint32_t i = 0; i < d->shape.segment_count; i++) {
		uint32_t state = ring_state(atomic_load_explicit(&segments[i].word, memory_order_relaxed));

		if (state <= RING_SEG_FREE)
			d->states[state]++;
		else
			d->unknown_count++;
	}
}

/* --- messages ------------------------------------------------------------------------------------------------------------ */

static bool is_text(struct bytes b)
{
	if (!mqtt_utf8_well_formed(b))
		return false;
	for (size_t i = 0; i < b.size; i++)
		if (b.ptr[i] < ' ' || b.ptr[i] == 0x7f) /* nothing that a terminal would obey */
			return false;
	return true;
}

static char *hex_of(struct bytes b)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = malloc(2 * b.size + 1);

	for (size_t i = 0; hex && i < b.size; i++) {
		hex[2 * i] = digits[b.ptr[i] >> 4];
		hex[2 * i + 1] = digits[b.ptr[i] & 15];
	}
	if (hex)
		hex[2 * b.size] = 0;
	return hex;
}

static void print_bytes(struct bytes b)
{
	char *hex = NULL;

	if (is_text(b)) {
		printf("%.*s", (int)b.size, (const char *)b.ptr);
		return;
	}
	hex = hex_of(b);
	printf("0x%s", hex ? hex : "");
	free(hex);
}

/* Steals the value; out of memory ends the program, as there is nothing to go on with. */
static void put(json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value)) {
		fprintf(stderr, "ringdump: out of memory\n");
		exit(1);
	}
}

static void put_number(json_t *object, const char *name, uint64_t value)
{
	put(object, name, json_integer((json_int_t)value));
}

static void put_bytes(json_t *object, const char *name, const char *hex_name, struct bytes b)
{
	if (mqtt_utf8_well_formed(b)) {
		put(object, name, json_stringn(b.size ? (const char *)b.ptr : "", b.size));
	} else {
		char *hex = hex_of(b);

		put(object, hex_name, hex ? json_string(hex) : NULL);
		free(hex);
	}
}

static void message_json(struct dump *d, const struct ring_scan_message *m, const char *time)
{
	json_t *o = json_object();

	put_bytes(o, "topic", "topic (hex)", m->topic.topic);
	put_number(o, "qos", m->topic.qos);
	put(o, "retain", json_boolean(m->topic.retain));
	if (m->topic.expiry_s)
		put_number(o, "expiry_s", m->topic.expiry_s);
	put(o, "ts", json_string(time));
	put_number(o, "lane", m->lane_idx);
	put_number(o, "sequence", m->sequence);
	put(o, "sent", json_boolean(m->done));
	put_bytes(o, "payload", "payload (hex)", m->payload);
	if (json_array_append_new(d->messages, o)) {
		fprintf(stderr, "ringdump: out of memory\n");
		exit(1);
	}
}

static void message_print(const struct ring_scan_message *m, const char *time)
{
	printf("%s lane %u #%" PRIu64 " qos %u%s%s ", time, m->lane_idx, m->sequence, m->topic.qos,
	       m->topic.retain ? " retain" : "", m->done ? " sent" : "");
	print_bytes(m->topic.topic);
	printf(" ");
	print_bytes(m->payload);
	printf("\n");
}

/* Walks all messages: counts them, and shows or gathers those that were asked for. */
static void messages_walk(struct dump *d, struct ring_scan *s)
{
	struct ring_scan_message m;
	uint64_t shown_count = 0;

	while (ring_scan_next(s, true, &m)) {
		char time[TIME_TEXT_BYTES];

		if (!m.done) {
			d->waiting_count++;
			d->first_ns = d->first_ns && d->first_ns < m.time_ns ? d->first_ns : m.time_ns;
			d->last_ns = max_u64(d->last_ns, m.time_ns);
		}
		if (shown_count >= d->options.message_max || (m.done && !d->options.with_done))
			continue;
		shown_count++;
		wall_text(d, m.time_ns, time);
		if (d->options.json)
			message_json(d, &m, time);
		else
			message_print(&m, time);
	}
	d->done_count = s->done_count;
	d->broken_count = s->broken_count;
}

/* A segment is given up as a whole: until then older messages than the limit keeps are in it. A start with the same limit sends
 * none of them but those that were in flight. */
static uint64_t past_limit_count(const struct dump *d)
{
	uint64_t most = d->header->limits.message_count;

	return d->waiting_count > most ? d->waiting_count - most : 0;
}

/* --- the whole ----------------------------------------------------------------------------------------------------------- */

static void print_all(const struct dump *d)
{
	const struct ring_file_header *h = d->header;
	char first[TIME_TEXT_BYTES], last[TIME_TEXT_BYTES];

	printf("file      %s, %" PRIu64 " bytes", d->options.path, d->image_bytes);
	if (d->user_pid)
		printf(", in use by process %d", d->user_pid);
	printf("\nlayout    version %u, epoch %016" PRIx64 ", %u topics\n", h->layout_version, h->epoch,
	       h->topic_count);
	printf("limits    %u messages of up to %u bytes with their headers, %u lanes (the last: what an "
	       "earlier process "
	       "left), %u in flight\n",
	       h->limits.message_count, h->limits.record_bytes_max, h->limits.lane_count,
	       h->limits.inflight_max);
	printf("segments  %u of %u bytes:", d->shape.segment_count, d->shape.segment_bytes);
	for (uint32_t i = 0; i < ARRAY_COUNT(state_names); i++)
		printf("%s %u %s", i ? "," : "", d->states[i], state_names[i]);
	if (d->unknown_count)
		printf(", %u in no state there is", d->unknown_count);
	printf("\nmessages  %" PRIu64 " wait", d->waiting_count);
	if (past_limit_count(d))
		printf(" (%" PRIu64 " of them older than the newest %u, its limit)", past_limit_count(d),
		       h->limits.message_count);
	printf(", %" PRIu64 " sent, %" PRIu64 " not whole\n", d->done_count, d->broken_count);
	if (d->waiting_count) {
		wall_text(d, d->first_ns, first);
		wall_text(d, d->last_ns, last);
		printf("time      %s to %s\n", first, last);
	}
}

static void print_json(const struct dump *d)
{
	const struct ring_file_header *h = d->header;
	json_t *o = json_object(), *states = json_object();
	char text[TIME_TEXT_BYTES];
	char epoch[17];

	snprintf(epoch, sizeof(epoch), "%016" PRIx64, h->epoch);
	put(o, "file", json_string(d->options.path));
	put_number(o, "bytes", d->image_bytes);
	put(o, "process", d->user_pid ? json_integer(d->user_pid) : json_null());
	put_number(o, "layout_version", h->layout_version);
	put(o, "epoch", json_string(epoch)); /* a number of 64 bits is not one to every reader */
	put_number(o, "topics", h->topic_count);
	put_number(o, "messages_max", h->limits.message_count);
	put_number(o, "record_bytes_max", h->limits.record_bytes_max);
	put_number(o, "lanes", h->limits.lane_count);
	put_number(o, "inflight_max", h->limits.inflight_max);
	put_number(o, "segment_bytes", d->shape.segment_bytes);
	for (uint32_t i = 0; i < ARRAY_COUNT(state_names); i++)
		put_number(states, state_names[i], d->states[i]);
	put(o, "segments", states);
	put_number(o, "waiting", d->waiting_count);
	put_number(o, "past_limit", past_limit_count(d));
	put_number(o, "sent", d->done_count);
	put_number(o, "broken", d->broken_count);
	if (d->waiting_count) {
		wall_text(d, d->first_ns, text);
		put(o, "first", json_string(text));
		wall_text(d, d->last_ns, text);
		put(o, "last", json_string(text));
	}
	if (d->options.message_max)
		put(o, "messages", json_incref(d->messages));
	json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(o);
}

static int fails(const char *path, const char *why)
{
	fprintf(stderr, "ringdump: %s: %s\n", path, why);
	return 1;
}

static int dump_image(struct dump *d)
{
	struct ring_scan scan;
	const char *why = "";
	int rc = ring_scan_open(&scan, d->image, d->image_bytes, &why);

	if (rc < 0)
		return fails(d->options.path, rc == -ENOMEM ? "not enough memory" : why);
	d->header = scan.header;
	rc = ring_shape_of(&d->header->limits, &d->shape);
	ASSERT(rc == 0); /* the scan has asked, too */
	d->messages = json_array();
	segments_count(d);
	messages_walk(d, &scan);
	if (d->options.json)
		print_json(d);
	else
		print_all(d);
	ring_scan_close(&scan);
	json_decref(d->messages);
	if (d->broken_count && !d->user_pid)
		return fails(d->options.path, "some messages are not whole: the daemon will leave them out");
	return 0;
}

static int dump_file(const struct options *o)
{
	int handle = open(o->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct dump d = {.options = *o};
	struct stat st;
	void *image;
	int code;

	if (handle == -1)
		return fails(o->path, strerror(errno));
	if (fstat(handle, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size < (off_t)RING_FILE_HEADER_BYTES) {
		close(handle);
		return fails(o->path, "it is no ring file");
	}
	d.image_bytes = (uint64_t)st.st_size;
	image = mmap(NULL, d.image_bytes, PROT_READ, MAP_SHARED, handle, 0);
	close(handle);
	if (image == MAP_FAILED)
		return fails(o->path, strerror(errno));
	d.image = image;
	d.user_pid = user_of(&st);
	code = dump_image(&d);
	munmap(image, d.image_bytes);
	return code;
}

/* N may follow as a word of its own. */
static uint64_t message_max(const char *given, int argc, char **argv)
{
	const char *text = given ? given : optind < argc ? argv[optind] : "";
	char *end;
	uint64_t value;

	if (*text < '0' || *text > '9')
		return UINT64_MAX;
	value = strtoull(text, &end, 10);
	if (*end)
		return UINT64_MAX; /* a file whose name begins with a digit */
	optind += !given;
	return value;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"messages", optional_argument, NULL, 'm'},
		{"all", no_argument, NULL, 'a'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options o = {0};
	int c;

	while ((c = getopt_long(argc, argv, "m::ajh", longs, NULL)) != -1) {
		switch (c) {
		case 'm': o.message_max = message_max(optarg, argc, argv); break;
		case 'a': o.with_done = true; break;
		case 'j': o.json = true; break;
		case 'h': return fputs(help, stdout) == EOF;
		default: fputs("Try ringdump --help.\n", stderr); return 2;
		}
	}
	if (optind + 1 != argc) {
		fputs(help, stderr);
		return 2;
	}
	o.path = argv[optind];
	return dump_file(&o);
}
