/* core/ring_open.c - from limits to a shape, and from a shape to memory. */
#include <errno.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/memory.h"
#include "core/ring_layout.h"

/* One CAS a segment: at 64 KiB it is lost among its records, and a segment is still a small part of a ring. */
#define SEGMENT_BYTES_AIM  65536u
#define SEGMENT_BYTES_MIN  2048u
#define SEGMENT_COUNT_MIN  16u
#define STRIDE_BYTES_LARGE (1u << 18) /* a segment of several of these would be too much */
#define PAGE_BYTES         4096u

/* Where everything lies, from the start of the block. */
struct offsets {
	uint64_t samplers, queues, touched, unclosed, map;
};

static int limits_check(const struct ring_limits *l)
{
	if (l->message_count < 1 || l->message_count > RING_MESSAGES_MAX)
		return -EINVAL;
	if (l->record_bytes_max < 1 || l->record_bytes_max > RING_RECORD_BYTES_MAX)
		return -EINVAL;
	if (l->lane_count < 1 || l->lane_count > RING_LANES_MAX)
		return -EINVAL;
	if (l->inflight_max > RING_MESSAGES_MAX)
		return -EINVAL;
	if (l->byte_count != 0 && l->byte_count < l->record_bytes_max)
		return -EINVAL;
	if (l->headroom_bytes_max > l->record_bytes_max)
		return -EINVAL;
	return 0;
}

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* A message may be overwritten only when message_count newer ones are in the ring. When a sampler comes round to a
 * segment, its records are at least 3K/4 positions old (lap_limit). Of these segments a quarter of the pool, and one
 * a lane that is not counted, may be the publisher's, one a lane is open, and three a lane may have been closed
 * early by lap_limit. What remains, K/2 - 5 a lane, must hold what is to be kept: so K has twice of that and ten
 * segments a lane. Of the publisher's quarter all but lane_count + 1 a stream may wait for releases: four times the
 * window, and some segments beside. A full segment holds at least segment_bytes / stride_bytes messages, of whatever
 * sizes, and all but a stride of its bytes is used: the first counts where messages are limited, the second where bytes
 * are. */
struct need {
	uint64_t stride;       /* a largest record */
	uint64_t record_count; /* of any size */
	uint64_t byte_count;   /* with what is around the payloads; UINT64_MAX: no limit */
};

static struct need need_of(const struct ring_limits *l)
{
	struct need n = {.byte_count = UINT64_MAX};
	uint64_t around, kept_bytes;

	n.stride = align_up(sizeof(struct ring_record) + l->record_bytes_max, RING_UNIT_BYTES);
	n.record_count = max_u64(2ull * l->message_count + l->inflight_max, 4ull * l->inflight_max);
	if (l->byte_count == 0 || l->headroom_bytes_max == 0 || l->byte_count > UINT64_MAX / 4)
		return n;
	around = sizeof(struct ring_record) + l->headroom_bytes_max + RING_UNIT_BYTES;
	kept_bytes = l->message_count * around + l->byte_count;
	n.byte_count = max_u64(2 * kept_bytes + l->inflight_max * n.stride,
			       4ull * l->inflight_max * n.stride);
	return n;
}

static uint64_t segments_for(const struct need *n, uint64_t per_segment)
{
	uint64_t by_count = div_up(n->record_count, per_segment);

	if (per_segment < 2 || n->byte_count == UINT64_MAX)
		return by_count;
	return min_u64(by_count, div_up(n->byte_count, (per_segment - 1) * n->stride));
}

/* The fewest records a segment with which so many segments do. */
static uint64_t per_segment_for(const struct need *n, uint64_t segment_count)
{
	uint64_t by_count = div_up(n->record_count, segment_count);

	if (n->byte_count == UINT64_MAX)
		return by_count;
	return min_u64(by_count, div_up(n->byte_count, segment_count * n->stride) + 1);
}

int ring_shape_of(const struct ring_limits *l, struct ring_shape *out)
{
	int rc = limits_check(l);
	uint64_t fixed_count, per_segment, segment_count;
	struct need n;

	if (rc < 0)
		return rc;
	n = need_of(l);
	fixed_count = 10ull * l->lane_count + 8;

	per_segment = max_u64(SEGMENT_BYTES_AIM / n.stride,
			      n.byte_count == UINT64_MAX || n.stride > STRIDE_BYTES_LARGE ? 1 : 8);
	segment_count = pow2_at_least(
		max_u64(segments_for(&n, per_segment) + fixed_count, SEGMENT_COUNT_MIN));
	/* Few large segments waste the fixed part: rather many small ones, as long as a segment is worth its CAS. */
	while (segment_count < 4 * fixed_count && per_segment_for(&n, 2 * segment_count - fixed_count) >= 8)
		segment_count *= 2;
	/* The power of two gave more segments than asked for: make them smaller. */
	per_segment = max_u64(per_segment_for(&n, segment_count - fixed_count),
			      max_u64(SEGMENT_BYTES_MIN / n.stride, 1));
	ASSERT(per_segment * n.stride / RING_UNIT_BYTES < 1u << RING_FILL_BITS);

	*out = (struct ring_shape){
		.segment_count = (uint32_t)segment_count,
		.segment_bytes = (uint32_t)(per_segment * n.stride),
		.stride_bytes = (uint32_t)n.stride,
		.lap_limit = (uint32_t)(segment_count / 4),
		.held_limit = (uint32_t)(segment_count / 4),
		.waiting_limit = (uint32_t)(segment_count / 4) - l->lane_count - 1,
		.window_count = 2 * l->lane_count + 4,
	};
	ASSERT(segment_count >= 8ull * l->lane_count);
	ASSERT(out->waiting_limit > l->lane_count + 1); /* that much less while there is a backlog */
	return 0;
}

struct ring_map_offsets ring_map_offsets(const struct ring_limits *l, const struct ring_shape *s)
{
	struct ring_map_offsets o;

	o.lane_counts = align_up(sizeof(struct ring_map), CACHELINE_BYTES);
	o.segments = o.lane_counts + l->lane_count * sizeof(struct ring_lane_counts);
	o.records = o.segments + s->segment_count * sizeof(struct ring_segment);
	o.end = align_up(o.records + (uint64_t)s->segment_count * s->segment_bytes, PAGE_BYTES);
	return o;
}

static struct offsets offsets_of(const struct ring_limits *l, const struct ring_shape *s)
{
	struct offsets o;

	o.samplers = align_up(sizeof(struct ring), CACHELINE_BYTES);
	o.queues = o.samplers + l->lane_count * sizeof(struct ring_sampler);
	o.touched = o.queues + (uint64_t)RING_STREAM_COUNT * l->lane_count * sizeof(struct ring_queue);
	o.unclosed = o.touched + s->segment_count * sizeof(struct ring_touched);
	o.map = align_up(o.unclosed + s->segment_count * sizeof(uint32_t), PAGE_BYTES);
	return o;
}

uint64_t ring_size_bytes(const struct ring_limits *limits)
{
	struct ring_shape shape;

	if (ring_shape_of(limits, &shape) < 0)
		return 0;
	return offsets_of(limits, &shape).map + ring_map_offsets(limits, &shape).end;
}

uint64_t ring_map_bytes(const struct ring_limits *limits)
{
	struct ring_shape shape;

	return ring_shape_of(limits, &shape) < 0 ? 0 : ring_map_offsets(limits, &shape).end;
}

uint32_t ring_record_crc_of(const struct ring_record *rec, const uint8_t *payload)
{
	struct ring_record head = *rec;

	head.flags = head.crc32c = 0;
	return crc32c(crc32c(0, &head, sizeof(head)), payload, head.payload_bytes);
}

int ring_open(struct ring **out, const struct ring_limits *limits)
{
	struct ring_shape shape;
	int rc = ring_shape_of(limits, &shape);

	return rc < 0 ? rc : ring_open_shaped(out, limits, &shape);
}

static void map_init(struct ring *r)
{
	*r->map = (struct ring_map){
		.magic = RING_MAGIC,
		.layout_version = RING_LAYOUT_VERSION,
		.lane_count = r->limits.lane_count,
		.segment_count = r->shape.segment_count,
		.segment_bytes = r->shape.segment_bytes,
		.head = r->shape.segment_count,
	};
	for (uint32_t i = 0; i < r->shape.segment_count; i++)
		r->segments[i].word = ring_word(i, RING_SEG_FREE);
}

static void sides_init(struct ring *r)
{
	for (uint32_t i = 0; i < r->limits.lane_count; i++)
		r->samplers[i].segment_idx = RING_NO_SEGMENT;
	for (uint32_t k = 0; k < RING_STREAM_COUNT; k++) {
		struct ring_stream *s = &r->publisher.streams[k];

		for (uint32_t i = 0; i < r->limits.lane_count; i++)
			s->queues[i].first_idx = s->queues[i].last_idx = RING_NO_SEGMENT;
		s->next = r->shape.segment_count;
	}
	r->publisher.split = r->shape.segment_count;
	r->keep_messages = r->limits.message_count;
	r->keep_bytes = r->limits.byte_count;
	r->keep_age_ns = r->limits.max_age_ns;
}

static int open_shaped(struct ring **out, const struct ring_limits *limits, const struct ring_shape *shape,
		       void *map)
{
	struct offsets o = offsets_of(limits, shape);
	struct ring_map_offsets m = ring_map_offsets(limits, shape);
	uint64_t block_bytes = o.map + (map ? 0 : m.end);
	uint8_t *block;
	struct ring *r;

	ASSERT((shape->segment_count & (shape->segment_count - 1)) == 0);
	ASSERT(shape->segment_bytes % RING_UNIT_BYTES == 0);
	ASSERT(shape->segment_bytes >= shape->stride_bytes);
	block = memory_map(block_bytes);
	if (!block)
		return -ENOMEM;

	r = (struct ring *)(void *)block;
	r->limits = *limits;
	r->shape = *shape;
	r->block_bytes = block_bytes;
	r->lap_shift = (uint32_t)__builtin_ctz(shape->segment_count);
	r->in_file = map != NULL;
	r->samplers = (struct ring_sampler *)(void *)(block + o.samplers);
	for (uint32_t k = 0; k < RING_STREAM_COUNT; k++)
		r->publisher.streams[k].queues = (struct ring_queue *)(void *)(block + o.queues) +
						 (size_t)k * limits->lane_count;
	r->publisher.touched = (struct ring_touched *)(void *)(block + o.touched);
	r->publisher.unclosed = (uint32_t *)(void *)(block + o.unclosed);
	uint8_t *base = map ? map : block + o.map;

	r->map = (struct ring_map *)(void *)base;
	r->lane_counts = (struct ring_lane_counts *)(void *)(base + m.lane_counts);
	r->segments = (struct ring_segment *)(void *)(base + m.segments);
	r->records = base + m.records;
	map_init(r);
	sides_init(r);
	*out = r;
	return 0;
}

int ring_open_shaped(struct ring **out, const struct ring_limits *limits, const struct ring_shape *shape)
{
	return open_shaped(out, limits, shape, NULL);
}

int ring_open_in(struct ring **out, const struct ring_limits *limits, void *map)
{
	struct ring_shape shape;
	int rc = ring_shape_of(limits, &shape);

	return rc < 0 ? rc : open_shaped(out, limits, &shape, map);
}

void ring_close(struct ring *r)
{
	if (r)
		memory_unmap(r, r->block_bytes);
}

int ring_populate(struct ring *r)
{
	return memory_populate(r, r->block_bytes);
}
