/* What a target sends and receives, for the flight recorder: whole packets, as many as fit into a record of a network packet's
 * size. Above where TLS will be, so that it is what the session says and hears. */
#include <stdio.h>

#include "core/log.h"
#include "core/memory.h"
#include "io/stream_trace.h"
#include "io/target_priv.h"
#include "proto/mqtt_frame.h"

#define PUBLISH 3

int target_trace_open(struct target *t)
{
	struct trace_source *s = &t->trace.source;
	int rc;

	s->channel_idx = (uint16_t)t->cfg_idx;
	if (t->config->trace.memory_bytes == 0)
		return 0;
	memory_part_begin(MEMORY_TRACE);
	rc = trace_open(&s->ring, t->config->trace.memory_bytes, t->publisher->config.trace);
	memory_part_begin(MEMORY_TARGETS);
	if (rc == 0)
		trace_set(s, t->config->trace.record);
	return rc;
}

/* --- records ---------------------------------------------------------------------------------------------------------- */

/* A record that is put together in the ring's own memory. */
struct segment {
	struct target *target;
	enum trace_kind kind;
	uint32_t sequence, acknowledged;
	uint32_t kept_bytes, length_bytes;
};

static void segment_end(struct segment *s)
{
	struct trace_source *source = &s->target->trace.source;

	if (s->length_bytes == 0)
		return;
	trace_bytes(source, s->kind, target_now(s->target), s->sequence, s->acknowledged,
		    bytes_of(source->ring->segment, s->kept_bytes), s->length_bytes);
	s->sequence += s->length_bytes;
	s->kept_bytes = s->length_bytes = 0;
}

/* A packet of this length, of which this is kept; channel_idx: UINT32_MAX for none. */
static void segment_add(struct segment *s, struct bytes kept, uint32_t length_bytes, uint32_t channel_idx)
{
	struct trace_source *source = &s->target->trace.source;
	uint8_t *segment = source->ring->segment;

	ASSERT(kept.size <= TRACE_SEGMENT_BYTES);
	if (s->kept_bytes + kept.size > TRACE_SEGMENT_BYTES)
		segment_end(s);
	if (channel_idx != UINT32_MAX && !trace_note(source, channel_idx)) {
		segment_end(s);
		(void)trace_note(source, channel_idx); /* now there is room */
	}
	memcpy(segment + s->kept_bytes, kept.ptr, kept.size);
	mqtt_frame_mask(segment + s->kept_bytes, kept.size);
	s->kept_bytes += (uint32_t)kept.size;
	s->length_bytes += length_bytes;
	if (kept.size < length_bytes) /* what is missing can only be at the end */
		segment_end(s);
}

/* What is kept of a packet that begins so: of messages their head matters, of the others everything. */
static size_t snap_of(const struct target *t, uint8_t first)
{
	return first >> 4 == PUBLISH ? t->config->trace.snap_bytes : TRACE_SEGMENT_BYTES;
}

/* A PUBLISH with an alias in the place of its topic: who sees it later cannot know the topic. */
static bool has_only_alias(struct bytes packet)
{
	struct reader r = reader_of(packet);

	if (read_u8(&r) >> 4 != PUBLISH)
		return false;
	for (uint32_t i = 0; i < 4 && read_u8(&r) & 0x80; i++) {}
	return read_u16(&r) == 0 && !r.failed;
}

void target_trace_sent(struct target *t)
{
	struct segment s = {.target = t,
			    .kind = TRACE_SENT,
			    .sequence = (uint32_t)t->stream.sent_bytes,
			    .acknowledged = (uint32_t)t->trace.received_bytes};

	uint32_t control_left = t->control_bytes, batch_idx = 0;

	t->trace.sent_bytes = t->stream.sent_bytes;
	for (uint32_t i = 0; i < t->iov_count; i++) {
		struct bytes rest = bytes_of(t->iov[i].iov_base, t->iov[i].iov_len);

		t->trace.sent_bytes += rest.size;
		while (rest.size > 0) {
			int64_t n = mqtt_frame_bytes(rest);
			size_t size = n > 0 ? min_size((size_t)n, rest.size) : rest.size;
			uint32_t channel_idx = UINT32_MAX;

			/* The outbox first, then one packet a record of the batch. */
			if (control_left > 0)
				control_left -= (uint32_t)min_size(size, control_left);
			else if (batch_idx++ < t->batch_count && has_only_alias(bytes_of(rest.ptr, size)))
				channel_idx = t->batch[batch_idx - 1]->channel_idx;
			segment_add(&s, bytes_of(rest.ptr, min_size(size, snap_of(t, *rest.ptr))),
				    (uint32_t)size, channel_idx);
			rest = bytes_of(rest.ptr + size, rest.size - size);
		}
	}
	segment_end(&s);
}

/* A packet is recorded when as much of it is there as is kept; the stream brings the rest of it again and again, until it is
 * whole. What was missed, because it was not on, ends where the session's next packet begins. */
void target_trace_received(struct target *t, struct bytes input)
{
	uint64_t begin = t->stream.received_bytes - input.size;
	uint64_t at = max_u64(t->trace.received_bytes, begin + t->session.skip_bytes);
	struct segment s = {.target = t,
			    .kind = TRACE_RECEIVED,
			    .sequence = (uint32_t)at,
			    .acknowledged = (uint32_t)t->stream.sent_bytes};

	while (at < t->stream.received_bytes) {
		struct bytes rest = bytes_of(input.ptr + (at - begin), t->stream.received_bytes - at);
		int64_t size = t->trace.garbled ? (int64_t)rest.size : mqtt_frame_bytes(rest);

		if (size < 0) {
			t->trace.garbled = true;
			continue;
		}
		size_t kept = min_size((size_t)size,
				       t->trace.garbled ? TRACE_SEGMENT_BYTES : snap_of(t, *rest.ptr));

		if (size == 0 || rest.size < kept)
			break;
		segment_add(&s, bytes_of(rest.ptr, kept), (uint32_t)size, UINT32_MAX);
		at += (uint64_t)size;
	}
	segment_end(&s);
	t->trace.received_bytes = at;
}

void target_trace_discarded(struct target *t, struct bytes input)
{
	t->trace.garbled = true;
	target_trace_received(t, input);
}

/* --- the connection --------------------------------------------------------------------------------------------------- */

/* Also while it is off: it may be turned on before the next one. */
void target_trace_opened(struct target *t)
{
	char text[SHARED_TEXT_BYTES + 16];

	t->trace.received_bytes = t->trace.sent_bytes = 0;
	t->trace.end = TRACE_ENDED_BY_US;
	t->trace.garbled = t->trace.incident = false;
	if (!t->trace.source.ring)
		return;
	stream_trace_endpoints(&t->stream, &t->trace.source);
	if (!trace_is_on(&t->trace.source))
		return;
	snprintf(text, sizeof(text), "connected to %s", t->place.text);
	trace_text(&t->trace.source, TRACE_OPENED, target_now(t), 0, 0, text);
}

void target_trace_closed(struct target *t)
{
	struct target_trace *r = &t->trace;
	char reason[SHARED_TEXT_BYTES];

	if (!trace_is_on(&r->source))
		return;
	if (!t->open)
		stream_trace_endpoints(&t->stream, &r->source);
	shared_text_get(&t->reason, reason);
	trace_text(&r->source, t->open ? r->end : TRACE_BROKEN, target_now(t),
		   (uint32_t)max_u64(r->sent_bytes, t->stream.sent_bytes), (uint32_t)r->received_bytes,
		   *reason ? reason : "closed");
	if (r->incident && trace_incident(&r->source, target_now(t)))
		LOG_INFO("trace", "target=%s freezes_after_ms=%llu", target_name(t),
			 (unsigned long long)(r->source.ring->shared->after_ns / NS_PER_MS));
	r->incident = false;
}
