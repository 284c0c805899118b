/* core/ring_open.c - from limits to a shape, and from a shape to memory. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/crc32c.h"
#include "core/ring_layout.h"

/* One CAS a segment: at 64 KiB it is lost among its records, and a segment is still a small part of a ring. */
#define SEGMENT_BYTES_AIM 65536u
#define SEGMENT_BYTES_MIN 2048u
#define SEGMENT_COUNT_MIN 16u
#define PAGE_BYTES        4096u

/* Where everything lies, from the start of the block. */
struct offsets {
	uint64_t samplers, touched, unclosed, map;
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
	return 0;
}

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* A message may be overwritten only when message_count newer ones are in the ring. When a sampler comes round to a
 * segment, its records are at least 3K/4 positions old (lap_limit). Of these segments a quarter of the pool, and one
 * a lane that is not counted, may be the publisher's, one a lane is open, and three a lane may have been closed
 * early by lap_limit. What remains, K/2 - 5 a lane, must hold message_count: so K has twice the messages and ten
 * segments a lane. Of the publisher's quarter all but lane_count + 1 may wait for releases: four times the window,
 * and eight segments beside. A full segment holds at least segment_bytes / stride_bytes messages, of whatever
 * sizes. */
int ring_shape_of(const struct ring_limits *l, struct ring_shape *out)
{
	int rc = limits_check(l);
	uint64_t stride, record_count, fixed_count, per_segment, segment_count;

	if (rc < 0)
		return rc;
	stride = align_up(sizeof(struct ring_record) + l->record_bytes_max, RING_UNIT_BYTES);
	record_count = max_u64(2ull * l->message_count + l->inflight_max, 4ull * l->inflight_max);
	fixed_count = 10ull * l->lane_count + 8;

	per_segment = max_u64(SEGMENT_BYTES_AIM / stride, 1);
	segment_count = pow2_at_least(
		max_u64(div_up(record_count, per_segment) + fixed_count, SEGMENT_COUNT_MIN));
	/* Few large segments waste the fixed part: rather many small ones, as long as a segment is worth its CAS. */
	while (segment_count < 4 * fixed_count && div_up(record_count, 2 * segment_count - fixed_count) >= 8)
		segment_count *= 2;
	/* The power of two gave more segments than asked for: make them smaller. */
	per_segment = max_u64(div_up(record_count, segment_count - fixed_count),
			      max_u64(SEGMENT_BYTES_MIN / stride, 1));
	ASSERT(per_segment * stride / RING_UNIT_BYTES < 1u << RING_FILL_BITS);

	*out = (struct ring_shape){
		.segment_count = (uint32_t)segment_count,
		.segment_bytes = (uint32_t)(per_segment * stride),
		.stride_bytes = (uint32_t)stride,
		.lap_limit = (uint32_t)(segment_count / 4),
		.held_limit = (uint32_t)(segment_count / 4),
		.waiting_limit = (uint32_t)(segment_count / 4) - l->lane_count - 1,
		.window_count = 2 * l->lane_count + 4,
	};
	ASSERT(segment_count >= 8ull * l->lane_count);
	ASSERT(out->waiting_limit >= 1);
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
	o.touched = o.samplers + l->lane_count * sizeof(struct ring_sampler);
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
	for (uint32_t i = 0; i < RING_LANES_MAX; i++)
		r->publisher.queues[i].first_idx = r->publisher.queues[i].last_idx = RING_NO_SEGMENT;
	r->publisher.next = r->shape.segment_count;
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
	block = mmap(NULL, block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		return -ENOMEM;

	r = (struct ring *)(void *)block;
	r->limits = *limits;
	r->shape = *shape;
	r->block_bytes = block_bytes;
	r->lap_shift = (uint32_t)__builtin_ctz(shape->segment_count);
	r->in_file = map != NULL;
	r->samplers = (struct ring_sampler *)(void *)(block + o.samplers);
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
		(void)munmap(r, r->block_bytes);
}
