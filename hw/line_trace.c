/* What a Modbus line sends and receives, for the flight recorder: all of it, frames are short. */
#include <stdio.h>

#include "core/log.h"
#include "core/memory.h"
#include "hw/line.h"
#include "io/stream_trace.h"

static bool is_tcp(const struct line *l)
{
	return l->kind == CFG_LINE_MODBUS_TCP;
}

static struct mono now_of(struct line *l)
{
	return turn_now(&l->sampler->turn);
}

static const char *text_of(const struct line *l, uint32_t text)
{
	return cfg_text(l->sampler->config.cfg, text);
}

int line_trace_open(struct line *l)
{
	const struct cfg_trace *t = &l->sampler->config.cfg->lines[l->cfg_idx].trace;
	int rc;

	if (t->memory_bytes == 0)
		return 0;
	memory_part_begin(MEMORY_TRACE);
	rc = trace_open(&l->trace.ring, t->memory_bytes, l->sampler->config.trace);
	memory_part_begin(MEMORY_LINES);
	if (rc == 0)
		trace_set(&l->trace, t->record);
	return rc;
}

/* Also while it is off: it may be turned on before the next one. */
void line_trace_opened(struct line *l)
{
	const struct cfg_line *c = &l->sampler->config.cfg->lines[l->cfg_idx];
	char text[SHARED_TEXT_BYTES];

	if (!l->trace.ring)
		return;
	if (is_tcp(l))
		stream_trace_endpoints(&l->modbus->stream, &l->trace);
	if (!trace_is_on(&l->trace))
		return;
	if (is_tcp(l))
		snprintf(text, sizeof(text), "connected to %s:%u", text_of(l, c->host), c->port);
	else
		snprintf(text, sizeof(text), "opened %s", text_of(l, c->path));
	trace_text(&l->trace, TRACE_OPENED, now_of(l), 0, 0, text);
}

static void record(struct line *l, enum trace_kind kind, uint64_t sequence, uint64_t acknowledged,
		   struct bytes bytes)
{
	while (bytes.size > 0) {
		size_t size = min_size(bytes.size, TRACE_SEGMENT_BYTES);

		trace_bytes(&l->trace, kind, now_of(l), (uint32_t)sequence, (uint32_t)acknowledged,
			    bytes_of(bytes.ptr, size), (uint32_t)size);
		sequence += size;
		bytes = bytes_of(bytes.ptr + size, bytes.size - size);
	}
}

void line_trace_sent(struct line *l, struct bytes bytes)
{
	const struct stream *s = &l->modbus->stream;

	record(l, TRACE_SENT, s->sent_bytes, s->received_bytes, bytes);
}

void line_trace_received(struct line *l, struct bytes bytes)
{
	const struct stream *s = &l->modbus->stream;
	uint64_t begin = s->received_bytes - min_u64(s->received_bytes, bytes.size); /* 0 on a serial line */

	record(l, TRACE_RECEIVED, begin, s->sent_bytes, bytes);
}

void line_trace_closed(struct line *l, enum trace_kind kind, const char *reason)
{
	const struct stream *s = &l->modbus->stream;

	if (is_tcp(l) && l->state != LINE_UP) {
		stream_trace_endpoints(s, &l->trace);
		kind = TRACE_BROKEN;
	}
	trace_text(&l->trace, kind, now_of(l), (uint32_t)s->sent_bytes, (uint32_t)s->received_bytes, reason);
	if (l->state == LINE_UP)
		line_trace_incident(l);
}

void line_trace_incident(struct line *l)
{
	const struct cfg_line *c = &l->sampler->config.cfg->lines[l->cfg_idx];

	if (trace_incident(&l->trace, now_of(l)))
		LOG_INFO("trace", "line=%s freezes_after_ms=%llu", text_of(l, c->name),
			 (unsigned long long)(l->trace.ring->shared->after_ns / NS_PER_MS));
}
