/* A Modbus line: the master's actions become I/O, and its values tags. TCP and RTU differ in how they are opened and in
 * which calls move the bytes; everything else is one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/memory.h"
#include "core/probe.h"
#include "hw/line.h"

#define ACTIONS_A_STEP 1024u /* bound of one step; what is left is due again at once */

static const struct cfg_line *config_of(const struct line *l)
{
	return &l->sampler->config.cfg->lines[l->cfg_idx];
}

static const char *name_of(const struct line *l)
{
	return cfg_text(l->sampler->config.cfg, config_of(l)->name);
}

static bool is_tcp(const struct line *l)
{
	return l->kind == CFG_LINE_MODBUS_TCP;
}

/* --- states: the only place that logs and tells ------------------------------------------------------------- */

static void enter(struct line *l, enum line_state state, const char *reason)
{
	bool was_up = l->state == LINE_UP;

	PROBE4(line__state, l->name, state, l->state, reason);
	l->state = state;
	line_tell(l, reason);
	if (state == LINE_UP) {
		counter_add(&l->metrics.connects, 1);
		l->modbus->has_told = false;
		LOG_STATE(LOG_LEVEL_INFO, "line", "name=%s state=up", name_of(l));
	} else if (state == LINE_CLOSING && was_up) {
		LOG_STATE(LOG_LEVEL_WARN, "line", "name=%s state=lost reason=\"%s\"", name_of(l), reason);
		l->modbus->has_told = true;
	} else if (state == LINE_CLOSING || (state == LINE_WAITING && *reason)) {
		LOG_STATE(l->modbus->has_told ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "line",
			  "name=%s state=waiting reason=\"%s\"", name_of(l), reason);
		l->modbus->has_told = true;
	}
}

/* --- the master's actions ------------------------------------------------------------------------------------- */

static enum tag_quality quality_of(enum modbus_failure failure)
{
	switch (failure) {
	case MODBUS_FAIL_NONE:
	case MODBUS_FAIL_NOT_CONNECTED: return TAG_BAD_CONNECTION;
	case MODBUS_FAIL_TIMEOUT:
	case MODBUS_FAIL_SUSPENDED: return TAG_BAD_TIMEOUT;
	case MODBUS_FAIL_EXCEPTION: return TAG_BAD_DEVICE;
	case MODBUS_FAIL_PROTOCOL: return TAG_BAD_FRAME;
	}
	UNREACHABLE();
}

static void take_values(struct line *l, const struct modbus_action *a)
{
	struct line_modbus *m = l->modbus;
	const struct modbus_block *block = modbus_master_block(&m->master, a->block_idx);
	struct mono now = turn_now(&l->sampler->turn);
	struct wall wall = turn_wall(&l->sampler->turn);

	for (uint32_t i = 0; i < block->item_count; i++) {
		const struct modbus_item *item = modbus_master_item(&m->master, block, i);
		struct value raw;
		int rc = modbus_field_decode(&m->fields[item - m->items], block->address, a->bytes, &raw);

		if (rc < 0)
			definition_update_bad(l->sampler->lane, item->user, TAG_BAD_FRAME, wall, now);
		else
			definition_update(l->sampler->lane, item->user, raw, wall, now);
	}
	counter_add(&l->metrics.values, block->item_count);
}

static void take_failure(struct line *l, const struct modbus_action *a)
{
	struct line_modbus *m = l->modbus;
	const struct modbus_block *block = modbus_master_block(&m->master, a->block_idx);
	struct mono now = turn_now(&l->sampler->turn);
	struct wall wall = turn_wall(&l->sampler->turn);

	if (a->failure == MODBUS_FAIL_NOT_CONNECTED && l->state == LINE_UP)
		return; /* it is by now: the answer will be the news */
	LOG_DEBUG("line", "name=%s failure=\"%s\" table=%s address=%u count=%u%s%s", name_of(l),
		  modbus_failure_text(a->failure), address_space_text(block->space), block->address,
		  block->count, a->reason ? " reason=" : "", a->reason ? a->reason : "");
	for (uint32_t i = 0; i < block->item_count; i++)
		definition_update_bad(l->sampler->lane, modbus_master_item(&m->master, block, i)->user,
				      quality_of(a->failure), wall, now);
}

static void perform(struct line *l, const struct modbus_action *a)
{
	struct line_modbus *m = l->modbus;

	switch (a->kind) {
	case MODBUS_ACTION_SEND:
		/* A peer that answers what it has not read frees its requests' places, not their bytes. */
		if (a->bytes.size > LINE_SEND_BYTES - m->send_used_bytes) {
			m->reset_wanted = true;
			shared_text_set(&l->reason, "the peer answers requests that it does not read");
			return;
		}
		if (!is_tcp(l) &&
		    trace_is_on(&l->trace)) /* frame by frame; a stream where it is handed over */
			line_trace_sent(l, a->bytes);
		memcpy(m->send + m->send_used_bytes, a->bytes.ptr, a->bytes.size);
		m->send_used_bytes += a->bytes.size;
		return;
	case MODBUS_ACTION_RESET:
		m->reset_wanted = true;
		shared_text_set(&l->reason, a->reason);
		return;
	case MODBUS_ACTION_VALUES: take_values(l, a); return;
	case MODBUS_ACTION_FAILED: take_failure(l, a); return;
	}
	UNREACHABLE();
}

static void receive(struct line *l, struct bytes input)
{
	struct modbus_action action;

	if (trace_is_on(&l->trace))
		line_trace_received(l, input);
	while (modbus_master_receive(&l->modbus->master, &input, turn_now(&l->sampler->turn), &action))
		perform(l, &action);
}

/* --- sending: what is in the buffer goes out, one operation at a time ------------------------------------------ */

static bool is_sending(const struct line *l)
{
	return is_tcp(l) ? stream_is_sending(&l->modbus->stream) : l->modbus->write.active;
}

static void flush(struct line *l)
{
	struct line_modbus *m = l->modbus;

	if (l->state != LINE_UP || m->send_used_bytes == 0 || is_sending(l))
		return;
	if (is_tcp(l)) {
		if (trace_is_on(&l->trace))
			line_trace_sent(l, bytes_of(m->send, m->send_used_bytes));
		m->iov = (struct iovec){.iov_base = m->send, .iov_len = m->send_used_bytes};
		stream_sendv(&m->stream, &m->iov, 1);
	} else {
		loop_write(l->sampler->loop, m->handle, m->send, m->send_used_bytes, &m->write);
	}
}

static void sent_front(struct line *l, size_t bytes)
{
	struct line_modbus *m = l->modbus;

	m->send_used_bytes -= bytes;
	memmove(m->send, m->send + bytes, m->send_used_bytes);
	flush(l);
}

/* --- opening and losing ------------------------------------------------------------------------------------------ */

static void step_soon(struct line *l)
{
	timer_set(&l->sampler->timers, &l->timer, turn_now(&l->sampler->turn));
}

static void wait_and_retry(struct line *l, const char *reason)
{
	struct mono now = turn_now(&l->sampler->turn);

	counter_add(&l->metrics.connect_failures, l->state == LINE_OPENING);
	backoff_failed(&l->backoff, now);
	enter(l, LINE_WAITING, reason);
	l->open_deadline = mono_add(now, backoff_next(&l->backoff, &l->sampler->prng));
	l->modbus->attempted = true;
	step_soon(l);
}

static void up(struct line *l)
{
	struct line_modbus *m = l->modbus;
	struct mono now = turn_now(&l->sampler->turn);

	m->attempted = true;
	m->reset_wanted = false;
	m->send_used_bytes = 0;
	enter(l, LINE_UP, "");
	line_trace_opened(l);
	backoff_succeeded(&l->backoff, now);
	modbus_master_opened(&m->master, now);
	step_soon(l);
}

/* The connection or port is no good any more; what the kernel still has is waited for before a new one is opened. */
static void down_as(struct line *l, enum trace_kind kind, const char *reason)
{
	struct line_modbus *m = l->modbus;
	char text[SHARED_TEXT_BYTES];

	if (l->state != LINE_UP && l->state != LINE_OPENING)
		return;
	snprintf(text, sizeof(text), "%s", reason);
	m->attempted = true;
	counter_add(&l->metrics.connect_failures, l->state == LINE_OPENING);
	if (trace_is_on(&l->trace))
		line_trace_closed(l, kind, text);
	modbus_master_closed(&m->master, turn_now(&l->sampler->turn));
	enter(l, LINE_CLOSING, text);
	if (is_tcp(l)) {
		stream_close(&m->stream);
		return;
	}
	loop_cancel(l->sampler->loop, &m->read);
	loop_cancel(l->sampler->loop, &m->write);
	step_soon(l);
}

static void down(struct line *l, const char *reason)
{
	down_as(l, TRACE_ENDED_BY_US, reason);
}

static void down_by_error(struct line *l, int error)
{
	char text[96];

	down_as(l, TRACE_BROKEN,
		error == 0 ? "closed by the device" : strerror_r(-error, text, sizeof(text)));
}

/* TCP */

static struct line *line_of_stream(struct stream *s)
{
	return container_of(s, struct line_modbus, stream)->line;
}

static void on_open(struct stream *s)
{
	up(line_of_stream(s));
}

static size_t on_received(struct stream *s, const uint8_t *bytes, size_t size_bytes)
{
	struct line *l = line_of_stream(s);

	receive(l, bytes_of(bytes, size_bytes));
	step_soon(l);
	return size_bytes;
}

static void on_sent(struct stream *s, size_t size_bytes)
{
	sent_front(line_of_stream(s), size_bytes);
}

static void on_lost(struct stream *s, int error)
{
	char text[96];

	down_as(line_of_stream(s), error == 0 ? TRACE_ENDED_BY_PEER : TRACE_BROKEN,
		stream_error_text(error, text, sizeof(text)));
}

static void on_closed(struct stream *s)
{
	struct line *l = line_of_stream(s);
	char reason[SHARED_TEXT_BYTES];

	shared_text_get(&l->reason, reason);
	wait_and_retry(l, reason);
}

static const struct stream_user tcp_user = {
	.on_open = on_open,
	.on_received = on_received,
	.on_sent = on_sent,
	.on_lost = on_lost,
	.on_closed = on_closed,
};

/* RTU */

static void on_read(struct completion *c, int res)
{
	struct line_modbus *m = container_of(c, struct line_modbus, read);
	struct line *l = m->line;

	if (l->state == LINE_UP && res > 0) {
		receive(l, bytes_of(m->receive, (size_t)res));
		loop_read(l->sampler->loop, m->handle, m->receive, sizeof(m->receive), &m->read);
	} else if (l->state == LINE_UP) {
		down_by_error(l, res);
	}
	step_soon(l);
}

static void on_written(struct completion *c, int res)
{
	struct line_modbus *m = container_of(c, struct line_modbus, write);
	struct line *l = m->line;

	if (l->state == LINE_UP && res > 0)
		sent_front(l, (size_t)res); /* short writes are normal: the rest follows */
	else if (l->state == LINE_UP)
		down_by_error(l, res);
	step_soon(l);
}

static void rtu_open(struct line *l)
{
	const struct cfg_line *c = config_of(l);
	struct line_modbus *m = l->modbus;
	const struct serial_format format = {
		.baud = c->baud,
		.data_bits = c->data_bits,
		.stop_bits = c->stop_bits,
		.parity = c->parity == 'E'   ? SERIAL_PARITY_EVEN
			  : c->parity == 'O' ? SERIAL_PARITY_ODD
					     : SERIAL_PARITY_NONE,
		.mode = c->serial_mode == CFG_SERIAL_RS485   ? SERIAL_RS485
			: c->serial_mode == CFG_SERIAL_RS422 ? SERIAL_RS422
							     : SERIAL_RS232,
	};
	char text[128], why[96];

	m->handle = loop_serial_open(l->sampler->loop, cfg_text(l->sampler->config.cfg, c->path), &format);
	if (m->handle < 0) {
		snprintf(text, sizeof(text), "cannot open the port: %s",
			 strerror_r(-m->handle, why, sizeof(why)));
		if (trace_is_on(&l->trace))
			line_trace_closed(l, TRACE_BROKEN, text);
		wait_and_retry(l, text);
		return;
	}
	loop_serial_flush(l->sampler->loop, m->handle);
	up(l);
	loop_read(l->sampler->loop, m->handle, m->receive, sizeof(m->receive), &m->read);
}

/* CLOSING until the kernel has let go of both buffers. */
static void rtu_close_step(struct line *l)
{
	struct line_modbus *m = l->modbus;
	char reason[SHARED_TEXT_BYTES];

	if (m->read.active || m->write.active)
		return;
	loop_close_handle(l->sampler->loop, m->handle);
	m->handle = -1;
	shared_text_get(&l->reason, reason);
	wait_and_retry(l, reason);
}

static void open_now(struct line *l)
{
	const struct cfg_line *c = config_of(l);

	enter(l, LINE_OPENING, "");
	if (!is_tcp(l)) {
		rtu_open(l);
		return;
	}
	l->open_deadline = c->connect_timeout_ns
				   ? mono_add(turn_now(&l->sampler->turn), c->connect_timeout_ns)
				   : MONO_NEVER;
	stream_open(&l->modbus->stream, cfg_text(l->sampler->config.cfg, c->host), c->port, 10000);
}

/* --- the step ------------------------------------------------------------------------------------------------------ */

static void copy_stats(struct line *l)
{
	const struct modbus_master *m = &l->modbus->master;
	struct line_metrics *out = &l->metrics;

	counter_set(&out->requests, m->stats.requests);
	counter_set(&out->responses, m->stats.responses);
	counter_set(&out->timeouts, m->stats.timeouts);
	counter_set(&out->exceptions, m->stats.exceptions);
	counter_set(&out->crc_errors, m->stats.crc_errors);
	counter_set(&out->protocol_errors, m->stats.protocol_errors);
	counter_set(&out->late, m->stats.late);
	counter_set(&out->missed, m->stats.missed);
	counter_set(&out->resyncs, m->stats.resyncs);
	counter_set(&out->resets, m->stats.resets);
	counter_set(&out->bytes_sent, m->stats.bytes_sent);
	counter_set(&out->bytes_received, m->stats.bytes_received);
	counter_set(&out->suspended_devices, m->suspended_count);
	bool is_dead = m->suspended_count > 0 && m->suspended_count == m->config.device_count;

	if (UNLIKELY(is_dead != l->is_dead)) {
		l->is_dead = is_dead;
		if (is_dead && trace_is_on(&l->trace))
			line_trace_incident(l);
	}
}

void line_modbus_step(struct line *l)
{
	struct line_modbus *m = l->modbus;
	struct mono now = turn_now(&l->sampler->turn);
	struct modbus_action action;
	uint32_t count = 0;

	if (l->state == LINE_WAITING && mono_reached(now, l->open_deadline))
		open_now(l);
	else if (l->state == LINE_OPENING && mono_reached(now, l->open_deadline))
		down(l, "connect time-out");
	else if (l->state == LINE_CLOSING && !is_tcp(l))
		rtu_close_step(l);
	/* Until the first attempt to connect has ended, "not connected" is no news; it waits. */
	while (m->attempted && count++ < ACTIONS_A_STEP && modbus_master_tick(&m->master, now, &action))
		perform(l, &action);
	if (m->reset_wanted && l->state == LINE_UP) {
		char reason[SHARED_TEXT_BYTES];

		shared_text_get(&l->reason, reason);
		down(l, reason);
	}
	flush(l);
	copy_stats(l);
	struct mono next = m->attempted ? modbus_master_deadline(&m->master) : MONO_NEVER;

	if (l->state == LINE_WAITING || l->state == LINE_OPENING)
		next = mono_min(next, l->open_deadline);
	if (next.ns < now.ns) /* "at once" is no deadline that was missed by the age of the clock */
		next = now;
	timer_set(&l->sampler->timers, &l->timer, next);
}

/* --- set-up ----------------------------------------------------------------------------------------------------------- */

static enum modbus_type type_of(enum cfg_tag_type type)
{
	switch (type) {
	case CFG_TAG_BOOL: return MODBUS_BOOL;
	case CFG_TAG_INT16: return MODBUS_INT16;
	case CFG_TAG_UINT16: return MODBUS_UINT16;
	case CFG_TAG_INT32: return MODBUS_INT32;
	case CFG_TAG_UINT32: return MODBUS_UINT32;
	case CFG_TAG_FLOAT32: return MODBUS_FLOAT32;
	case CFG_TAG_FLOAT64: return MODBUS_FLOAT64;
	}
	UNREACHABLE();
}

static enum modbus_order order_of(enum cfg_order order)
{
	switch (order) {
	case CFG_ORDER_ABCD: return MODBUS_ABCD;
	case CFG_ORDER_CDAB: return MODBUS_CDAB;
	case CFG_ORDER_BADC: return MODBUS_BADC;
	case CFG_ORDER_DCBA: return MODBUS_DCBA;
	}
	UNREACHABLE();
}

static void count_of(const struct cfg *c, uint32_t cfg_idx, uint32_t *device_count, uint32_t *item_count)
{
	*device_count = *item_count = 0;
	for (uint32_t i = 0; i < c->device_count; i++) {
		if (c->devices[i].line_idx != cfg_idx)
			continue;
		++*device_count;
		*item_count += c->devices[i].tag_count;
	}
}

#define SPREAD_MAX_NS NS_PER_S /* nobody waits longer than that for a first value */

/* Lines of one thread with one period would all be due in the same microsecond, for ever: each has its place in the
 * shortest period. */
static uint64_t phase_of(const struct line *l, uint64_t period_min_ns)
{
	const struct cfg *c = l->sampler->config.cfg;
	uint64_t before_count = 0, line_count = 0;

	for (uint32_t i = 0; i < c->line_count; i++) {
		if (c->lines[i].sampler_idx != config_of(l)->sampler_idx)
			continue;
		before_count += i < l->cfg_idx;
		line_count++;
	}
	return period_min_ns * before_count / line_count;
}

/* Several devices of the configuration may be one unit: on the wire they share its time-out (the longest), its requests and
 * its fate. Returns how many units there are. */
static uint32_t items_fill(struct line *l, struct modbus_device_config *devices)
{
	const struct cfg *c = l->sampler->config.cfg;
	struct line_modbus *m = l->modbus;
	uint32_t unit_count = 0, item_idx = 0;
	uint64_t period_min_ns = SPREAD_MAX_NS;

	for (uint32_t i = 0; i < c->device_count; i++) {
		const struct cfg_device *d = &c->devices[i];

		if (d->line_idx != l->cfg_idx)
			continue;
		uint32_t unit_idx = 0;

		while (unit_idx < unit_count && devices[unit_idx].unit != d->unit)
			unit_idx++;
		if (unit_idx == unit_count)
			devices[unit_count++] = (struct modbus_device_config){.unit = d->unit};
		devices[unit_idx].timeout_ns = max_u64(devices[unit_idx].timeout_ns, d->timeout_ns);
		for (uint32_t t = d->tag_first; t < d->tag_first + d->tag_count; t++, item_idx++) {
			const struct cfg_tag *tag = &c->tags[t];
			struct modbus_field *field = &m->fields[item_idx];

			*field = (struct modbus_field){.address = tag->address,
						       .type = type_of(tag->type),
						       .order = order_of(tag->order)};
			period_min_ns = min_u64(period_min_ns, tag->every_ns);
			m->items[item_idx] = (struct modbus_item){
				.device_idx = unit_idx,
				.space = tag->address.space,
				.address = tag->address.offset,
				.count = modbus_field_count(field),
				.period_ns = tag->every_ns,
				.user = t,
			};
		}
	}
	uint64_t phase_ns = phase_of(l, period_min_ns);

	for (uint32_t i = 0; i < unit_count; i++)
		devices[i].phase_ns = phase_ns;
	return unit_count;
}

int line_modbus_open(struct line *l)
{
	const struct cfg *c = l->sampler->config.cfg;
	const struct cfg_line *lc = config_of(l);
	struct line_modbus *m = memory_alloc(1, sizeof(*m));
	struct modbus_device_config *devices = NULL;
	uint32_t device_count, item_count;
	size_t memory_bytes;
	int rc = -ENOMEM;

	l->modbus = m;
	if (!m)
		return rc;
	m->line = l;
	m->handle = -1;
	m->read.done = on_read;
	m->write.done = on_written;
	stream_init(&m->stream, l->sampler->loop, &tcp_user, m->receive, sizeof(m->receive));
	count_of(c, l->cfg_idx, &device_count, &item_count);
	memory_bytes = modbus_master_memory_bytes(device_count, item_count);
	m->items = memory_alloc((uint64_t)item_count + 1, sizeof(m->items[0]));
	m->fields = memory_alloc((uint64_t)item_count + 1, sizeof(m->fields[0]));
	m->master_memory = memory_alloc(memory_bytes, 1);
	devices = calloc((size_t)device_count + 1, sizeof(devices[0]));
	if (!m->items || !m->fields || !m->master_memory || !devices)
		goto out;
	device_count = items_fill(l, devices);
	const struct modbus_master_config config = {
		.name = l->name,
		.framing = is_tcp(l) ? MODBUS_FRAMING_TCP : MODBUS_FRAMING_RTU,
		.outstanding_max = is_tcp(l) ? lc->outstanding_max : 1,
		.timing = is_tcp(l) ? (struct modbus_rtu_timing){0}
				    : modbus_rtu_timing(lc->baud,
							modbus_rtu_character_bits(lc->data_bits, lc->parity,
										  lc->stop_bits)),
		.limits = {.gap_registers = (uint16_t)lc->gap_registers,
			   .gap_bits = (uint16_t)(lc->gap_registers * 16)},
		.devices = devices,
		.device_count = device_count,
		.items = m->items,
		.item_count = item_count,
	};

	rc = modbus_master_init(&m->master, &config, m->master_memory, memory_bytes,
				turn_now(&l->sampler->turn));
	if (rc == 0)
		rc = line_trace_open(l);
out:
	free(devices);
	if (rc < 0)
		line_modbus_close(l);
	return rc;
}

void line_modbus_close(struct line *l)
{
	struct line_modbus *m = l->modbus;

	if (!m)
		return;
	memory_free(m->items);
	memory_free(m->fields);
	memory_free(m->master_memory);
	memory_free(m);
	trace_close(l->trace.ring);
	l->trace.ring = NULL;
	l->modbus = NULL;
}
