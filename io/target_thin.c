/* Thinning what an outage has left: of each topic and bucket of time a few messages, where all would take too long.
 *
 * It is on while the backlog needs longer than `within` at its rate; where the rate is a share, at the speed of its last second
 * without thinning. So the older part is thinned until the rest can go whole; a bucket that is begun is finished. The records
 * that are kept stay in the ring, also those of an average, whose message is made in memory of our own when it goes: after a
 * crash all that was not sent comes back from a file. What they hold of the ring is bounded: when it is crowded all buckets end.
 *
 * A message that is not to be thinned away ends the bucket of its topic, so that a topic's messages stay in their order: one
 * without a good value where values count. Messages without a topic of ours (forwarded ones, those about losses) go past.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/carried.h"
#include "core/hash.h"
#include "core/json_find.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/number_text.h"
#include "core/value_text.h"
#include "io/target_priv.h"

#define AVERAGES_MAX 256u  /* on their way at a time */
#define STEP_RECORDS 4096u /* looked at in one step */
#define MEASURE_NS   NS_PER_S
#define NO_CHANNEL   UINT32_MAX

struct thin_average {
	struct ring_record *original;
	uint32_t next_free; /* + 1 */
	uint32_t idx;
	struct ring_record rec;
};
static_assert(offsetof(struct thin_average, rec) + sizeof(struct ring_record) == sizeof(struct thin_average),
	      "headroom and payload follow the record");

static const struct definitions *definitions_of(const struct target *t)
{
	return t->publisher->config.definitions;
}

/* --- memory --------------------------------------------------------------------------------------------------------- */

static struct thin_average *average_at(const struct target *t, uint32_t idx)
{
	return (struct thin_average *)(void *)(t->thin.averages + (uint64_t)idx * t->thin.average_bytes);
}

/* Also for a message of a file, which has its topic and properties behind the payload. */
static uint64_t record_bytes_max(const struct target *t)
{
	const struct definitions *d = definitions_of(t);
	uint64_t most = 0;

	for (uint32_t i = 0; i < d->channel_count; i++) {
		const struct channel *ch = &d->channels[i];

		if (ch->target_idx == t->cfg_idx && !ch->group)
			most = max_u64(most, 2ull * ch->headroom_bytes + ch->payload_bytes_max +
						     sizeof(struct carried_end) + NUMBER_TEXT_BYTES);
	}
	return most;
}

static int averages_open(struct target *t)
{
	uint32_t count = (uint32_t)min_u64(AVERAGES_MAX, t->waiting_max);

	t->thin.average_record_bytes = (uint32_t)record_bytes_max(t);
	t->thin.average_bytes = (uint32_t)align_up(sizeof(struct thin_average) + t->thin.average_record_bytes,
						   CACHELINE_BYTES);
	t->thin.averages = memory_alloc(count, t->thin.average_bytes);
	if (!t->thin.averages)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		*average_at(t, i) = (struct thin_average){.idx = i, .next_free = i + 1 < count ? i + 2 : 0};
	t->thin.average_free = 1;
	return 0;
}

static uint32_t topic_slot(const struct target *t, struct bytes topic)
{
	const struct definitions *d = definitions_of(t);
	uint32_t at = (uint32_t)hash_bytes(HASH_START, topic) & t->thin.topics_mask;

	while (t->thin.topics[at] && !bytes_equal(d->channels[t->thin.topics[at] - 1].topic, topic))
		at = (at + 1) & t->thin.topics_mask;
	return at;
}

static int topics_open(struct target *t, uint32_t channel_count)
{
	const struct definitions *d = definitions_of(t);
	uint64_t size = 2;

	while (size < 2ull * channel_count)
		size *= 2;
	t->thin.topics = memory_alloc(size, sizeof(t->thin.topics[0]));
	if (!t->thin.topics)
		return -ENOMEM;
	t->thin.topics_mask = (uint32_t)size - 1;
	for (uint32_t i = 0; i < d->channel_count; i++) {
		uint32_t at;

		if (d->channels[i].target_idx != t->cfg_idx)
			continue;
		at = topic_slot(t, d->channels[i].topic);
		if (t->thin.topics[at] == 0) /* else two definitions have one topic */
			t->thin.topics[at] = i + 1;
	}
	return 0;
}

int target_thin_open(struct target *t)
{
	const struct cfg_replay *c = &t->config->replay;
	uint32_t channel_count = definitions_of(t)->ports[t->cfg_idx].channel_count;
	int rc;

	if (c->thin == CFG_THIN_NONE || channel_count == 0)
		return 0;
	rc = thin_open(&t->thin.table, channel_count, c->thin_bucket_ns);
	if (rc == 0)
		rc = topics_open(t, channel_count);
	if (rc == 0 && c->thin == CFG_THIN_AVERAGE)
		rc = averages_open(t);
	return rc;
}

void target_thin_close(struct target *t)
{
	thin_close(&t->thin.table);
	memory_free(t->thin.topics);
	memory_free(t->thin.averages);
}

/* --- what a message says --------------------------------------------------------------------------------------------- */

static uint32_t channel_of(const struct target *t, struct ring_record *rec)
{
	uint32_t found;

	if (LIKELY(rec->channel_idx != CHANNEL_CARRIED))
		return rec->channel_idx;
	found = t->thin.topics[topic_slot(t, carried_read(rec).topic)];
	return found ? found - 1 : NO_CHANNEL;
}

static struct bytes payload_of(struct ring_record *rec)
{
	uint32_t size = rec->channel_idx == CHANNEL_CARRIED ? carried_read(rec).payload_bytes
							    : rec->payload_bytes;

	return bytes_of(ring_payload(rec), size);
}

/* The value's characters in the payload. False: there is none, or it is not good. */
static bool find_number(struct bytes payload, enum cfg_payload format, struct bytes *out)
{
	static const struct bytes names[] = {{(const uint8_t *)"value", 5}, {(const uint8_t *)"quality", 7}};
	struct json_value found[2];

	if (format == CFG_PAYLOAD_TEXT) {
		*out = payload;
		return true;
	}
	if (json_find_members(payload, bytes_of(NULL, 0), names, 2, found) != 2 ||
	    found[1].kind != JSON_KIND_STRING || !bytes_equal(found[1].text, bytes_of("good", 4)))
		return false;
	*out = found[0].text;
	return true;
}

/* What of it is to be kept in its bucket; CFG_THIN_NONE: all of it, it goes as it is. */
static enum cfg_thin judge(const struct target *t, struct ring_record *rec, const struct channel *ch,
			   struct bytes *number, double *out)
{
	enum cfg_thin keep = t->config->replay.thin;
	struct value value;

	*out = 0;
	if (keep == CFG_THIN_LAST || ch->group)
		return CFG_THIN_LAST;
	if (!find_number(payload_of(rec), ch->payload, number))
		return CFG_THIN_NONE;
	if (value_parse(CFG_TAG_FLOAT64, *number, &value) == 0) {
		*out = value.f;
		if (keep == CFG_THIN_AVERAGE &&
		    (uint64_t)rec->headroom_bytes + rec->payload_bytes + NUMBER_TEXT_BYTES >
			    t->thin.average_record_bytes)
			return CFG_THIN_NONE; /* of a file that knew other names */
		return isfinite(value.f) ? keep : CFG_THIN_NONE;
	}
	if (value_parse(CFG_TAG_BOOL, *number, &value) < 0)
		return CFG_THIN_NONE;
	*out = value_as_double(value);
	return keep == CFG_THIN_AVERAGE ? CFG_THIN_LAST : keep; /* neither true nor false is an average */
}

/* --- averages ------------------------------------------------------------------------------------------------------- */

struct ring_record *target_original(struct ring_record *rec)
{
	return rec->flags & IS_AVERAGE ? container_of(rec, struct thin_average, rec)->original : rec;
}

struct ring_record *target_thin_free(struct target *t, struct ring_record *rec)
{
	struct thin_average *a;

	if (LIKELY(!(rec->flags & IS_AVERAGE)))
		return rec;
	a = container_of(rec, struct thin_average, rec);
	a->next_free = t->thin.average_free;
	t->thin.average_free = a->idx + 1;
	return a->original;
}

static bool is_float32(const struct target *t, const struct channel *ch)
{
	uint32_t tag_idx = definitions_of(t)->members[ch->member_first];
	const struct cfg_tag *tag = &t->publisher->config.cfg->tags[tag_idx];

	return tag->type == CFG_TAG_FLOAT32 && !tag->scaled;
}

static size_t average_text(const struct target *t, const struct channel *ch, double average, char *out)
{
	double narrow = (double)(float)average;

	if (is_float32(t, ch) && isfinite(narrow))
		return number_text_f32(narrow, out);
	return number_text_f64(average, out);
}

/* The last message with another number in it; NULL: no room now. */
static struct ring_record *average_make(struct target *t, struct ring_record *last, double average)
{
	const struct channel *ch = &definitions_of(t)->channels[channel_of(t, last)];
	struct bytes number = {0}, payload = bytes_of(ring_payload(last), last->payload_bytes);
	char text[NUMBER_TEXT_BYTES];
	struct thin_average *a;
	struct writer w;
	size_t before;
	double value;

	if (t->thin.average_free == 0)
		return NULL;
	a = average_at(t, t->thin.average_free - 1);
	t->thin.average_free = a->next_free;
	enum cfg_thin keep = judge(t, last, ch, &number, &value);

	ASSERT(keep == CFG_THIN_AVERAGE); /* as when it came */
	a->original = last;
	a->rec = *last;
	a->rec.flags |= IS_AVERAGE;
	w = writer_of(ring_payload(&a->rec), t->thin.average_record_bytes - last->headroom_bytes);
	before = (size_t)(number.ptr - payload.ptr);
	write_bytes(&w, payload.ptr, before);
	write_bytes(&w, text, average_text(t, ch, average, text));
	write_bytes(&w, number.ptr + number.size, payload.size - before - number.size);
	ASSERT(!w.failed);
	a->rec.payload_bytes = (uint32_t)(w.at - ring_payload(&a->rec));
	return &a->rec;
}

/* --- when ----------------------------------------------------------------------------------------------------------- */

void target_thin_online(struct target *t)
{
	if (!target_thins(t))
		return;
	t->thin.to_wall_ns = (uint64_t)turn_wall(&t->publisher->turn).ns - target_now(t).ns;
	t->thin.measured_from = target_now(t);
	t->thin.measured_count = 0;
	t->thin.speed = 0;
}

/* With a share: what the backlog comes to beside the live messages shows only when it goes. */
static void measure(struct target *t, uint32_t sent_count)
{
	uint64_t elapsed_ns = mono_since(target_now(t), t->thin.measured_from);

	if (t->thin.is_on || t->thin.table.held_count) { /* these are not all */
		t->thin.measured_from = target_now(t);
		t->thin.measured_count = 0;
		return;
	}
	t->thin.measured_count += sent_count;
	if (elapsed_ns < MEASURE_NS)
		return;
	t->thin.speed = (double)max_u64(1, t->thin.measured_count) * (double)NS_PER_S / (double)elapsed_ns;
	t->thin.measured_from = target_now(t);
	t->thin.measured_count = 0;
}

static bool takes_too_long(const struct target *t)
{
	const struct cfg_replay *c = &t->config->replay;
	double left = (double)ring_replay_left(t->ring) + t->thin.input_count, needed_ns;

	if (c->thin_within_ns == 0)
		return true;
	if (c->interval_ns == 0 && t->thin.speed <= 0)
		return false;
	needed_ns = c->interval_ns ? left * (double)c->interval_ns : left / t->thin.speed * (double)NS_PER_S;
	return needed_ns > (double)c->thin_within_ns;
}

static void decide(struct target *t)
{
	bool is_on = !target_backlog_is_done(t) && takes_too_long(t);

	if (is_on == t->thin.is_on)
		return;
	t->thin.is_on = is_on;
	atomic_store_explicit(&t->thin.is_told, is_on, memory_order_relaxed);
	LOG_DEBUG("target", "name=%s thinning=%s left=%llu", target_name(t), is_on ? "on" : "off",
		  (unsigned long long)ring_replay_left(t->ring));
}

/* --- the way through -------------------------------------------------------------------------------------------------- */

static void send_now(struct target *t, struct ring_record *rec)
{
	bool sent = target_send_record(t, rec);

	ASSERT(sent); /* there is room for it */
}

/* The oldest of what has ended. False: there is nothing, or no room for an average. */
static bool send_ended(struct target *t)
{
	struct thin_out out;

	if (!thin_front(&t->thin.table, &out))
		return false;
	if (out.is_average) {
		out.rec = average_make(t, out.rec, out.average);
		if (!out.rec)
			return false;
	}
	thin_pop(&t->thin.table);
	send_now(t, out.rec);
	return true;
}

/* One record into its bucket or, whole, into the send, whose count goes up. False: what has ended goes first. */
static bool pass(struct target *t, struct ring_record *rec, uint32_t *sent_count)
{
	struct thin *table = &t->thin.table;
	struct thin_item item = {
		.rec = rec, .lane_idx = rec->lane_idx, .time_ns = rec->time_ns + t->thin.to_wall_ns};
	uint32_t idx = channel_of(t, rec);
	const struct channel *ch = idx == NO_CHANNEL ? NULL : &definitions_of(t)->channels[idx];
	struct ring_record *gone;
	struct bytes number;
	bool is_open;

	thin_reached(table, item.lane_idx, item.time_ns);
	if (table->ended.oldest)
		return false;
	if (ch) {
		item.channel = ch->local_idx;
		item.keep = judge(t, rec, ch, &number, &item.value);
	}
	is_open = ch && thin_is_open(table, item.channel);
	if (is_open && (item.keep == CFG_THIN_NONE || !thin_takes(table, &item))) {
		thin_end(table, item.channel);
		return false;
	}
	if (item.keep == CFG_THIN_NONE || (!is_open && !t->thin.is_on)) {
		send_now(t, rec);
		++*sent_count;
		return true;
	}
	gone = thin_add(table, &item);
	if (gone) {
		target_lost(t, gone, LOSS_THINNED);
		target_hold_drop(t, gone, 0);
	}
	return true;
}

/* False: nothing comes now. */
static bool refill(struct target *t)
{
	struct target_thin *n = &t->thin;

	decide(t);
	if (!ring_replay_is_done(t->ring) && !(n->table.open_count && ring_is_crowded(t->ring))) {
		n->input_first = 0;
		n->input_count = target_take(t, RING_REPLAY, n->input, THIN_INPUT_COUNT);
		if (n->input_count)
			return true;
		if (!ring_replay_is_done(t->ring))
			return false;
	}
	if (n->table.open_count == 0)
		return false;
	thin_end_all(&n->table);
	return true;
}

uint32_t target_thin_fill(struct target *t, uint32_t room)
{
	struct target_thin *n = &t->thin;
	uint32_t sent_count = 0, step_count = 0;

	n->is_interrupted = false;
	while (sent_count < room) {
		if (send_ended(t)) {
			sent_count++;
			continue;
		}
		if (n->table.ended.oldest)
			break; /* no room for an average */
		if (n->input_count == 0 && !refill(t))
			break;
		if (step_count++ == STEP_RECORDS) {
			n->is_interrupted = true;
			break;
		}
		if (n->input_count && pass(t, n->input[n->input_first], &sent_count)) {
			n->input_first++;
			n->input_count--;
		}
	}
	measure(t, sent_count);
	decide(t);
	atomic_store_explicit(&n->held_told, n->table.held_count + n->input_count, memory_order_relaxed);
	return sent_count;
}

bool target_thin_can_go_on(const struct target *t)
{
	const struct thin *table = &t->thin.table;
	struct thin_out out;

	if (thin_front(table, &out))
		return !out.is_average || t->thin.average_free;
	if (t->thin.input_count || (table->open_count && ring_is_crowded(t->ring)))
		return true;
	if (ring_replay_is_done(t->ring))
		return table->open_count > 0;
	return !ring_replay_idle(t->ring);
}
