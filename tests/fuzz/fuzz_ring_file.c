/* Any bytes as the file of a ring. The input is changes to a sound image (where, what), or an image itself; half of the time the
 * seals are made right again, of the records too, as somebody would who wanted more than noise. What opens is walked with and
 * without the messages that are through; each message must lie within the image and have a right check sum. */
#include <stdlib.h>

#include "core/carried.h"
#include "core/crc32c.h"
#include "core/ring_file.h"
#include "core/ring_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IMAGE_BYTES_MAX (1u << 21)
#define HEADROOM        40u

static uint8_t *sound;
static uint64_t sound_bytes;
static uint64_t spots[64]; /* where changes lead somewhere: records, words, topics */
static uint32_t spot_count;

static const struct ring_file_topic topics[] = {
	{.topic = {(const uint8_t *)"a/b", 3}, .qos = 1},
	{.topic = {(const uint8_t *)"c", 1},
	 .props = {(const uint8_t *)"properties", 10},
	 .expiry_s = 5,
	 .qos = 2},
};

static void push(struct ring *r, uint32_t lane_idx, uint32_t i)
{
	uint32_t bytes = 4 + i % 60;
	uint8_t *payload = ring_reserve(r, lane_idx, HEADROOM, bytes + 32, (struct mono){.ns = i});
	struct writer w = writer_of(payload, bytes + 32);

	memset(w.at, (int)i, bytes);
	w.at += bytes;
	if (i % 5 == 0) {
		carried_write_end(&w, bytes_of_text("carried"), 0, 0, 1, false);
		ring_commit(r, lane_idx, CHANNEL_CARRIED, (uint32_t)(w.at - payload), (struct mono){.ns = i});
	} else {
		ring_commit(r, lane_idx, i % 2, bytes, (struct mono){.ns = i});
	}
}

/* Lapped, with segments in all states, messages that are through, and carried ones. */
static void sound_make(void)
{
	const struct ring_limits limits = {
		.message_count = 100, .record_bytes_max = HEADROOM + 100, .lane_count = 2, .inflight_max = 8};
	uint64_t map_bytes = ring_map_bytes(&limits),
		 table_bytes = ring_topics_bytes(topics, ARRAY_COUNT(topics));
	struct ring_record *rec[8];
	struct ring_file_header *h;
	struct writer w;
	struct ring *r;
	uint32_t n;

	sound_bytes = RING_FILE_HEADER_BYTES + map_bytes + table_bytes;
	sound = aligned_alloc(4096, align_up(sound_bytes, 4096));
	ASSERT(sound);
	memset(sound, 0, sound_bytes);
	ASSERT(ring_open_in(&r, &limits, sound + RING_FILE_HEADER_BYTES) == 0);
	for (uint32_t i = 1; i < 2000; i++)
		push(r, i % 7 == 0, i);
	n = ring_take(r, rec, 8, (struct mono){.ns = 3000});
	ASSERT(n == 8);
	for (uint32_t i = 0; i < n; i += 2)
		ring_release(r, rec[i]);
	for (uint32_t i = 2000; i < 2010; i++)
		push(r, 0, i);
	w = writer_of(sound + RING_FILE_HEADER_BYTES + map_bytes, table_bytes);
	ring_topics_write(&w, topics, ARRAY_COUNT(topics));
	h = (struct ring_file_header *)(void *)sound;
	*h = (struct ring_file_header){.magic = RING_MAGIC,
				       .layout_version = RING_LAYOUT_VERSION,
				       .limits = limits,
				       .epoch = 1,
				       .map_bytes = map_bytes,
				       .topic_bytes = table_bytes,
				       .topic_count = ARRAY_COUNT(topics)};
	spots[spot_count++] = 0;
	spots[spot_count++] = RING_FILE_HEADER_BYTES + map_bytes;
	for (uint32_t i = 0; i < r->shape.segment_count && spot_count + 4 < ARRAY_COUNT(spots); i++) {
		uint8_t *first = (uint8_t *)ring_record_at(r, i, 0);

		if (r->segments[i].committed == 0)
			continue;
		spots[spot_count++] = (uint64_t)((uint8_t *)&r->segments[i] - sound);
		spots[spot_count++] = (uint64_t)(first - sound);
		if (ring_state(r->segments[i].word) == RING_SEG_CLAIMED || i % 4 == 0)
			spots[spot_count++] = (uint64_t)(first - sound) +
					      ring_record_units(
						      ((struct ring_record *)(void *)first)->headroom_bytes,
						      ((struct ring_record *)(void *)first)->payload_bytes) *
						      RING_UNIT_BYTES;
	}
	for (uint32_t i = 0; i < n; i++)
		if (spot_count < ARRAY_COUNT(spots))
			spots[spot_count++] = (uint64_t)((uint8_t *)rec[i] - sound);
	ring_close(r);
}

/* Makes every check sum right that can be found, as far as the sizes lead. */
static void make_right(uint8_t *image, uint64_t bytes)
{
	struct ring_file_header *h = (struct ring_file_header *)(void *)image;
	struct ring_map_offsets o;
	struct ring_shape shape;
	uint8_t *map = image + RING_FILE_HEADER_BYTES;

	if (bytes < RING_FILE_HEADER_BYTES)
		return;
	if (ring_shape_of(&h->limits, &shape) == 0 && h->map_bytes == ring_map_bytes(&h->limits) &&
	    h->map_bytes <= bytes - RING_FILE_HEADER_BYTES &&
	    h->topic_bytes <= bytes - RING_FILE_HEADER_BYTES - h->map_bytes) {
		h->topic_crc = crc32c(0, map + h->map_bytes, h->topic_bytes);
		o = ring_map_offsets(&h->limits, &shape);
		for (uint32_t i = 0; i < shape.segment_count; i++) {
			uint8_t *segment = map + o.records + (uint64_t)i * shape.segment_bytes;
			uint64_t at = 0;

			while (shape.segment_bytes - at >= sizeof(struct ring_record)) {
				struct ring_record *rec = (struct ring_record *)(void *)(segment + at);
				uint64_t size = (uint64_t)sizeof(*rec) + rec->headroom_bytes +
						rec->payload_bytes;

				if (size > shape.segment_bytes - at || rec->sequence == 0)
					break;
				rec->crc32c = ring_record_crc_of(rec, ring_payload(rec));
				at += align_up(size, RING_UNIT_BYTES);
			}
		}
	}
	h->header_crc = ring_file_header_crc(h);
}

static void expect_within(struct bytes b, const uint8_t *image, uint64_t bytes)
{
	ASSERT(b.size == 0 || (b.ptr >= image && b.ptr + b.size <= image + bytes));
}

static void walk(const uint8_t *image, uint64_t bytes, bool with_done)
{
	struct ring_scan_message m;
	const char *why = NULL;
	struct ring_scan s;
	uint64_t count = 0, through = 0;

	if (ring_scan_open(&s, image, bytes, &why) < 0) {
		ASSERT(why);
		return;
	}
	while (ring_scan_next(&s, with_done, &m)) {
		const struct ring_record *rec;

		expect_within(m.payload, image, bytes);
		expect_within(m.topic.topic, image, bytes);
		expect_within(m.topic.props, image, bytes);
		ASSERT(m.topic.topic.size > 0);
		ASSERT(m.topic.qos <= 2);
		ASSERT(m.lane_idx < s.header->limits.lane_count);
		ASSERT(m.origin != 0);
		/* Its head is before its headroom, which the cursor still knows. */
		rec = &s.cursors[m.lane_idx].head;
		ASSERT(rec->sequence == m.sequence);
		ASSERT(rec->crc32c == ring_record_crc_of(rec, m.payload.ptr));
		through += m.done;
		ASSERT(with_done || !m.done);
		ASSERT(++count <= bytes / sizeof(struct ring_record)); /* each has bytes of its own */
	}
	ASSERT(!with_done || through == s.done_count);
	ring_scan_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader in = reader_of(bytes_of(data, size));
	uint8_t choice = read_u8(&in);
	uint64_t bytes;
	uint8_t *image;

	if (!sound)
		sound_make();
	bytes = choice & 2 ? reader_left(&in) : sound_bytes;
	if (bytes > IMAGE_BYTES_MAX)
		return 0;
	image = aligned_alloc(4096, align_up(bytes + 1, 4096)); /* as a mapping: whole pages */
	ASSERT(image);
	memset(image + bytes, 0, align_up(bytes + 1, 4096) - bytes);
	if (choice & 2) {
		memcpy(image, in.at, bytes);
	} else {
		memcpy(image, sound, bytes);
		while (reader_left(&in) >= 4) {
			uint64_t at = spots[read_u8(&in) % spot_count] + read_u8(&in);
			uint8_t width = read_u8(&in) & 7;

			for (uint32_t i = 0; i <= width && at + i < bytes; i++)
				image[at + i] = read_u8(&in);
		}
	}
	if (choice & 1)
		make_right(image, bytes);
	if (choice & 4 && bytes > 8)
		bytes -= 1 + choice % 8;
	walk(image, bytes, true);
	walk(image, bytes, false);
	free(image);
	return 0;
}
