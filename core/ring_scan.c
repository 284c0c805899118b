#include "core/ring_scan.h"

#include <errno.h>
#include <stdlib.h>

#include "core/carried.h"
#include "core/crc32c.h"
#include "core/ring_file.h"
#include "core/ring_layout.h"

#define TOPIC_HEAD_BYTES 12u /* topic 2, properties 4, expiry 4, QoS 1, retain 1 */

uint64_t ring_origin(uint64_t epoch, uint32_t lane_idx, uint64_t sequence)
{
	uint64_t h = (epoch ^ sequence * 0x9e3779b97f4a7c15ull) + lane_idx * 0xff51afd7ed558ccdull;

	h = (h ^ h >> 31) * 0xbf58476d1ce4e5b9ull;
	return (h ^ h >> 29) | 1;
}

static int distrust(const char **why, const char *text)
{
	*why = text;
	return -EINVAL;
}

/* --- topics ------------------------------------------------------------------------------------------------------- */

uint64_t ring_topics_bytes(const struct ring_file_topic *topics, uint32_t count)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++)
		bytes += TOPIC_HEAD_BYTES + topics[i].topic.size + topics[i].props.size;
	return bytes;
}

void ring_topics_write(struct writer *w, const struct ring_file_topic *topics, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		write_u16(w, (uint16_t)topics[i].topic.size);
		write_u32(w, (uint32_t)topics[i].props.size);
		write_u32(w, topics[i].expiry_s);
		write_u8(w, topics[i].qos);
		write_u8(w, topics[i].retain);
		write_bytes(w, topics[i].topic.ptr, topics[i].topic.size);
		write_bytes(w, topics[i].props.ptr, topics[i].props.size);
	}
}

static int topics_read(struct ring_scan *s, struct bytes table, const char **why)
{
	struct reader r = reader_of(table);

	s->topics = calloc((size_t)s->header->topic_count + 1, sizeof(s->topics[0]));
	if (!s->topics)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->header->topic_count && !r.failed; i++) {
		struct ring_file_topic *t = &s->topics[i];
		uint16_t topic_bytes = read_u16(&r);
		uint32_t props_bytes = read_u32(&r);

		t->expiry_s = read_u32(&r);
		t->qos = read_u8(&r) & 3;
		t->retain = read_u8(&r) != 0;
		t->topic = read_bytes(&r, topic_bytes);
		t->props = read_bytes(&r, props_bytes);
		if (t->topic.size == 0 || t->qos == 3)
			r.failed = true;
	}
	return r.failed ? distrust(why, "its table of topics is not what was written") : 0;
}

/* --- the image ---------------------------------------------------------------------------------------------------- */

uint32_t ring_file_header_crc(const struct ring_file_header *h)
{
	struct ring_file_header copy = *h;

	copy.header_crc = 0;
	return crc32c(0, &copy, sizeof(copy));
}

static int header_check(const struct ring_file_header *h, uint64_t image_bytes, const char **why)
{
	if (image_bytes < RING_FILE_HEADER_BYTES || h->magic != RING_MAGIC)
		return distrust(why, "it is no ring file");
	if (h->layout_version != RING_LAYOUT_VERSION)
		return distrust(why, "another version of ringmain wrote it");
	if (h->header_crc != ring_file_header_crc(h))
		return distrust(why, "its header is not what was written");
	if (h->map_bytes == 0 || h->map_bytes != ring_map_bytes(&h->limits) || h->topic_bytes > image_bytes ||
	    h->topic_count > h->topic_bytes / TOPIC_HEAD_BYTES || h->map_bytes > image_bytes ||
	    RING_FILE_HEADER_BYTES + h->map_bytes + h->topic_bytes > image_bytes)
		return distrust(why, "its size is not what it says");
	return 0;
}

static int by_lane_and_position(const void *a, const void *b)
{
	const struct ring_scan_segment *x = a, *y = b;

	if (x->lane_idx != y->lane_idx)
		return x->lane_idx > y->lane_idx ? 1 : -1;
	return (x->position > y->position) - (x->position < y->position);
}

static const struct ring_record *record_at(const struct ring_scan *s, uint32_t idx, uint32_t at)
{
	return (const struct ring_record *)(const void *)(s->records + (uint64_t)idx * s->segment_bytes +
							  (uint64_t)at * RING_UNIT_BYTES);
}

/* The segments that have something, and whose it is. */
static int segments_read(struct ring_scan *s, const struct ring_segment *segments, uint32_t lap_shift)
{
	s->segments = calloc((size_t)s->segment_count + 1, sizeof(s->segments[0]));
	if (!s->segments)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->segment_count; i++) {
		uint64_t word = atomic_load_explicit(&segments[i].word, memory_order_acquire);
		uint64_t committed = atomic_load_explicit(&segments[i].committed, memory_order_acquire);
		uint64_t position = ring_position(word);
		uint64_t lap = position >> lap_shift;
		uint64_t fill = committed ^ lap << RING_FILL_BITS;
		uint32_t lane_idx;

		if (ring_state(word) >= RING_SEG_FREE || (position & (s->segment_count - 1)) != i ||
		    lap >> (64 - RING_FILL_BITS) != 0)
			continue;
		if (fill == 0 || fill >= 1u << RING_FILL_BITS) /* the committed word is of an earlier lap */
			continue;
		lane_idx = record_at(s, i, 0)->lane_idx;
		if (fill * RING_UNIT_BYTES > s->segment_bytes || lane_idx >= s->header->limits.lane_count) {
			s->broken_count++;
			continue;
		}
		s->segments[s->used_count++] = (struct ring_scan_segment){.position = position,
									  .idx = i,
									  .lane_idx = lane_idx,
									  .fill = (uint32_t)fill,
									  .state = (int)ring_state(word)};
	}
	if (s->used_count)
		qsort(s->segments, s->used_count, sizeof(s->segments[0]), by_lane_and_position);
	for (uint32_t i = 0; i < s->used_count; i++) {
		struct ring_scan_cursor *c = &s->cursors[s->segments[i].lane_idx];

		if (c->end == 0)
			c->segment = i;
		c->end = i + 1;
	}
	return 0;
}

int ring_scan_open(struct ring_scan *s, const void *image, uint64_t image_bytes, const char **why)
{
	const struct ring_file_header *h = image;
	struct ring_map_offsets o;
	struct ring_shape shape;
	const uint8_t *map;
	int rc = header_check(h, image_bytes, why);

	*s = (struct ring_scan){.header = h};
	if (rc < 0)
		return rc;
	if (ring_shape_of(&h->limits, &shape) < 0)
		return distrust(why, "its limits are out of range");
	o = ring_map_offsets(&h->limits, &shape);
	map = (const uint8_t *)image + RING_FILE_HEADER_BYTES;
	s->map = (const struct ring_map *)(const void *)map;
	s->lane_counts = (const struct ring_lane_counts *)(const void *)(map + o.lane_counts);
	s->records = map + o.records;
	s->segment_bytes = shape.segment_bytes;
	s->segment_count = shape.segment_count;
	struct bytes table = bytes_of(map + h->map_bytes, h->topic_bytes);

	if (crc32c(0, table.ptr, table.size) != h->topic_crc)
		return distrust(why, "its table of topics is not what was written");
	rc = topics_read(s, table, why);
	if (rc == 0)
		rc = segments_read(s, (const struct ring_segment *)(const void *)(map + o.segments),
				   (uint32_t)__builtin_ctz(shape.segment_count));
	if (rc < 0)
		ring_scan_close(s);
	return rc;
}

void ring_scan_close(struct ring_scan *s)
{
	free(s->segments);
	free(s->topics);
	s->segments = NULL;
	s->topics = NULL;
}

/* --- losses --------------------------------------------------------------------------------------------------------- */

#define COUNT_MAX (1ull << 48) /* of anything, in all the time there is */

/* False: no such count can be. */
static bool count_read(const _Atomic uint64_t *from, uint64_t *out)
{
	*out = atomic_load_explicit(from, memory_order_relaxed);
	return *out < COUNT_MAX;
}

/* Of a lane: a sampler that was killed while it overwrote has lost what it was about to count. */
static bool lane_read(const struct ring_lane_counts *c, uint64_t *committed_sum, uint64_t *gone_sum,
		      uint64_t *dropped_sum)
{
	uint64_t committed, overwritten, overwriting, dropped;

	if (!count_read(&c->committed, &committed) || !count_read(&c->overwritten, &overwritten) ||
	    !count_read(&c->overwriting, &overwriting) || !count_read(&c->dropped, &dropped))
		return false;
	*committed_sum += committed;
	*gone_sum += overwritten + overwriting;
	*dropped_sum += dropped;
	return true;
}

static bool losses_read(const struct ring_scan *s, struct ring_scan_losses *out)
{
	uint64_t committed = 0, gone = 0, dropped = 0, discarded, expired, located, dropped_seen;

	for (uint32_t i = 0; i < s->header->limits.lane_count; i++)
		if (!lane_read(&s->lane_counts[i], &committed, &gone, &dropped))
			return false;
	if (!count_read(&s->map->discarded, &discarded) || !count_read(&s->map->expired, &expired) ||
	    !count_read(&s->map->losses_located, &located) ||
	    !count_read(&s->map->losses_dropped, &dropped_seen))
		return false;
	gone += discarded + expired;
	if (gone > committed || located > gone || dropped_seen > dropped)
		return false;
	out->unlocated_count = gone - located;
	out->dropped_count = dropped - dropped_seen;
	for (uint32_t i = 0; i < RING_LOSS_KINDS; i++)
		if (!count_read(&s->map->losses_untold[i], &out->untold[i]))
			return false;
	return true;
}

void ring_scan_losses_of(const struct ring_scan *s, struct ring_scan_losses *out)
{
	*out = (struct ring_scan_losses){0};
	if (!losses_read(s, out))
		*out = (struct ring_scan_losses){0};
}

/* --- messages ------------------------------------------------------------------------------------------------------- */

static const uint8_t *payload_of(const struct ring_scan *s, const struct ring_scan_segment *seg, uint32_t at,
				 const struct ring_record *head)
{
	return (const uint8_t *)(record_at(s, seg->idx, at) + 1) + head->headroom_bytes;
}

/* Is the record there whole: its size, its lane, its check sum? */
static bool record_whole(const struct ring_scan *s, const struct ring_scan_segment *seg,
			 struct ring_scan_cursor *c)
{
	uint64_t left = (uint64_t)(seg->fill - c->at) * RING_UNIT_BYTES;
	struct ring_record *head = &c->head;
	uint32_t units;

	if (left < sizeof(*head))
		return false;
	memcpy(head, record_at(s, seg->idx, c->at), sizeof(*head));
	if (head->headroom_bytes > s->header->limits.record_bytes_max ||
	    head->payload_bytes > s->header->limits.record_bytes_max - head->headroom_bytes ||
	    sizeof(*head) + head->headroom_bytes + head->payload_bytes > left ||
	    head->lane_idx != seg->lane_idx || head->segment_idx != seg->idx)
		return false;
	units = ring_record_units(head->headroom_bytes, head->payload_bytes);
	if (ring_record_crc_of(head, payload_of(s, seg, c->at, head)) != head->crc32c)
		return false;
	c->units = units;
	return true;
}

/* A server ends the connection of whoever publishes to such a name, each time again. */
static bool topic_fits(struct bytes topic)
{
	if (topic.size == 0 || topic.size > UINT16_MAX)
		return false;
	for (size_t i = 0; i < topic.size; i++)
		if (topic.ptr[i] == 0 || topic.ptr[i] == '+' || topic.ptr[i] == '#')
			return false;
	return true;
}

/* A carried message's own words; its end is at the end of the payload. */
static bool carried_whole(const struct ring_record *head, const uint8_t *payload,
			  struct ring_scan_message *out)
{
	struct carried_end end;

	if (head->payload_bytes < sizeof(end))
		return false;
	memcpy(&end, payload + head->payload_bytes - sizeof(end), sizeof(end));
	if ((uint64_t)end.topic_bytes + end.props_bytes > head->payload_bytes - sizeof(end) || end.qos > 2)
		return false;
	uint32_t payload_bytes = head->payload_bytes - (uint32_t)sizeof(end) - end.topic_bytes -
				 end.props_bytes;

	out->payload = bytes_of(payload, payload_bytes);
	out->topic = (struct ring_file_topic){
		.props = bytes_of(payload + payload_bytes, end.props_bytes),
		.topic = bytes_of(payload + payload_bytes + end.props_bytes, end.topic_bytes),
		.expiry_s = end.expiry_s,
		.qos = end.qos,
		.retain = end.retain != 0,
	};
	return true;
}

static bool message_of(const struct ring_scan *s, const struct ring_scan_cursor *c,
		       struct ring_scan_message *out)
{
	const struct ring_record *head = &c->head;
	const uint8_t *payload = payload_of(s, &s->segments[c->segment], c->at, head);

	*out = (struct ring_scan_message){
		.time_ns = head->time_ns,
		.sequence = head->sequence,
		.lane_idx = head->lane_idx,
		.origin = ring_origin(s->header->epoch, head->lane_idx, head->sequence),
		.done = (head->flags & RING_RECORD_DONE) != 0,
	};
	if (head->channel_idx == CHANNEL_CARRIED)
		return carried_whole(head, payload, out) && topic_fits(out->topic.topic);
	if (head->channel_idx >= s->header->topic_count)
		return false;
	out->topic = s->topics[head->channel_idx];
	out->payload = bytes_of(payload, head->payload_bytes);
	return topic_fits(out->topic.topic);
}

/* Finds the lane's next whole record; what is behind a broken one in its segment is not looked for. */
static bool peek(struct ring_scan *s, struct ring_scan_cursor *c)
{
	for (; c->units == 0 && c->segment < c->end; c->segment++, c->at = 0) {
		const struct ring_scan_segment *seg = &s->segments[c->segment];

		if (c->at >= seg->fill)
			continue;
		if (record_whole(s, seg, c))
			return true;
		s->broken_count++;
	}
	return c->units > 0;
}

bool ring_scan_next(struct ring_scan *s, bool with_done, struct ring_scan_message *out)
{
	for (;;) {
		struct ring_scan_cursor *oldest = NULL;
		bool whole;

		for (uint32_t i = 0; i < s->header->limits.lane_count; i++) {
			struct ring_scan_cursor *c = &s->cursors[i];

			if (peek(s, c) && (!oldest || c->head.time_ns < oldest->head.time_ns))
				oldest = c;
		}
		if (!oldest)
			return false;
		whole = message_of(s, oldest, out);
		oldest->at += oldest->units;
		oldest->units = 0;
		if (!whole) {
			s->broken_count++;
			continue;
		}
		s->done_count += out->done;
		if (with_done || !out->done)
			return true;
	}
}
