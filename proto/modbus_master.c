#include "proto/modbus_master.h"

#include <errno.h>

#include "core/probe.h"

#define NOISE_MAX_NS NS_PER_S /* RTU: noise that does not end by then is a RESET */
#define PROBE_REST   9u       /* after a probe that took T, none begins for 9 T */

/* ------------------------------------------------------------------------------------------ polls */

static struct modbus_device *device_of(struct modbus_master *m, uint32_t block_idx)
{
	return &m->devices[m->blocks[block_idx].device_idx];
}

static void report_later(struct modbus_master *m, uint32_t block_idx, enum modbus_failure failure)
{
	struct modbus_poll *p = &m->queue.polls[block_idx];

	if (p->to_report == MODBUS_FAIL_NONE)
		m->report_count++;
	p->to_report = (uint8_t)failure;
}

/* A poll that is due cannot be made: count it and wait for the next slot. */
static void skip_poll(struct modbus_master *m, uint32_t block_idx, struct mono now)
{
	struct modbus_poll *p = &m->queue.polls[block_idx];

	if (p->illegal) {
		modbus_poll_defer(p, mono_add(now, m->config.illegal_retry_ns));
	} else {
		m->stats.missed += modbus_poll_catch_up(p, now) + 1;
		p->missed++;
		p->skipped = true;
		modbus_poll_next(p);
	}
	modbus_queue_update(&m->queue, block_idx);
}

/* The line or the unit is back, and the block's values are lost or old: ask for its latest slot now, not in an hour. */
static void take_back(struct modbus_master *m, uint32_t block_idx, struct mono now)
{
	struct modbus_poll *p = &m->queue.polls[block_idx];

	if (p->heap_idx == MODBUS_NOT_QUEUED || mono_reached(now, p->due) || !modbus_poll_can_take_back(p))
		return;
	if (p->skipped)
		m->stats.missed--;
	modbus_poll_take_back(p);
	p->order = now; /* behind what is due: a unit that comes back pushes nobody aside */
	modbus_queue_update(&m->queue, block_idx);
}

/* The request on the way is over; the block waits for its next slot. */
static void requeue(struct modbus_master *m, uint32_t block_idx, struct mono now)
{
	struct modbus_poll *p = &m->queue.polls[block_idx];

	if (p->illegal)
		modbus_poll_defer(p, mono_add(now, m->config.illegal_retry_ns));
	else
		modbus_poll_next(p);
	modbus_queue_push(&m->queue, block_idx);
}

static void set_illegal(struct modbus_master *m, uint32_t block_idx, bool illegal)
{
	struct modbus_poll *p = &m->queue.polls[block_idx];

	if (p->illegal == illegal)
		return;
	p->illegal = illegal;
	m->stats.illegal_blocks += illegal ? 1 : UINT64_MAX; /* one up or one down */
}

/* Exceptions 02 and 03: both parts ask again in the same slot, behind all that is due. False: nothing left to cut. */
static bool split(struct modbus_master *m, uint32_t block_idx, struct mono now)
{
	struct modbus_block upper;
	struct modbus_poll *p = &m->queue.polls[block_idx];
	uint32_t upper_idx = m->block_count;

	if (modbus_plan_split(m->config.items, m->order, &m->blocks[block_idx], &upper) < 0)
		return false;
	ASSERT(upper_idx < m->config.item_count); /* the blocks share out the items, each has one at least */
	m->block_count++;
	m->stats.splits++;
	p->order = now;
	p->requested--; /* this slot is asked for once more */
	m->blocks[upper_idx] = upper;
	m->queue.polls[upper_idx] = *p;
	modbus_queue_push(&m->queue, block_idx);
	modbus_queue_push(&m->queue, upper_idx);
	return true;
}

/* ------------------------------------------------------------------------------------------ the breaker */

static void suspend(struct modbus_master *m, struct modbus_device *d, struct mono now)
{
	d->state = MODBUS_DEVICE_SUSPENDED;
	d->suspensions++;
	d->backoff_ns = m->config.suspend_base_ns;
	d->probe_at = mono_add(now, d->backoff_ns);
	m->suspended_count++;
	for (uint32_t i = 0; i < m->block_count; i++)
		if (device_of(m, i) == d)
			report_later(m, i, MODBUS_FAIL_SUSPENDED);
}

static void unit_silent(struct modbus_master *m, const struct modbus_transaction *t, struct mono now)
{
	struct modbus_device *d = device_of(m, t->block_idx);

	if (t->probe) {
		d->backoff_ns = min_u64(d->backoff_ns * 2, m->config.suspend_cap_ns);
		d->probe_at = mono_add(now, d->backoff_ns);
		return;
	}
	/* Requests that were on the way together fell into one silence: that counts once. */
	if (t->sent.ns < d->last_timeout.ns)
		return;
	/* On RTU nothing but time tells a late answer from the next one: the unit is left alone for as long again. */
	d->last_timeout = m->config.framing == MODBUS_FRAMING_RTU ? mono_add(now, d->config.timeout_ns) : now;
	d->timeouts_in_row++;
	if (d->state == MODBUS_DEVICE_OK && d->timeouts_in_row >= m->config.suspend_after)
		suspend(m, d, now);
}

static void unit_alive(struct modbus_master *m, struct modbus_device *d, struct mono now)
{
	d->timeouts_in_row = 0;
	if (d->state == MODBUS_DEVICE_OK)
		return;
	d->state = MODBUS_DEVICE_OK;
	m->suspended_count--;
	for (uint32_t i = 0; i < m->block_count; i++) {
		struct modbus_poll *p = &m->queue.polls[i];

		if (device_of(m, i) != d)
			continue;
		take_back(m, i, now);
		if (p->to_report == MODBUS_FAIL_SUSPENDED) {
			p->to_report = MODBUS_FAIL_NONE;
			m->report_count--;
		}
	}
}

/* ------------------------------------------------------------------------------------------ requests */

static struct modbus_transaction *find_transaction(struct modbus_master *m, uint16_t transaction_id)
{
	for (uint32_t i = 0; i < m->config.outstanding_max; i++)
		if (m->transactions[i].used && m->transactions[i].transaction_id == transaction_id)
			return &m->transactions[i];
	return NULL;
}

static struct modbus_transaction *free_transaction(struct modbus_master *m)
{
	for (uint32_t i = 0; i < m->config.outstanding_max; i++)
		if (!m->transactions[i].used)
			return &m->transactions[i];
	UNREACHABLE();
}

/* At most MODBUS_OUTSTANDING_MAX ids are taken, so this ends. */
static uint16_t new_transaction_id(struct modbus_master *m)
{
	while (find_transaction(m, m->next_transaction_id))
		m->next_transaction_id++;
	return m->next_transaction_id++;
}

/* The poll leaves the queue as a request. */
static void send_request(struct modbus_master *m, uint32_t block_idx, bool probe, struct mono now,
			 struct modbus_action *action)
{
	struct modbus_poll *p = &m->queue.polls[block_idx];
	const struct modbus_block *b = &m->blocks[block_idx];
	struct modbus_device *d = device_of(m, block_idx);
	struct modbus_transaction *t = free_transaction(m);
	uint64_t wire_ns = 0;
	struct bytes frame;

	m->stats.missed += modbus_poll_catch_up(p, now);
	p->skipped = false;
	p->requested++;
	modbus_queue_remove(&m->queue, block_idx);
	*t = (struct modbus_transaction){
		.used = true,
		.probe = probe,
		.transaction_id = new_transaction_id(m),
		.block_idx = block_idx,
		.sent = now,
		.request = {.function = modbus_read_function(b->space),
			    .address = b->address,
			    .count = b->count},
	};
	frame = modbus_transaction_encode(t, m->config.framing, d->config.unit, m->frame);
	if (m->config.framing == MODBUS_FRAMING_RTU) {
		uint64_t answer_bytes = modbus_response_bytes(&t->request) + MODBUS_RTU_OVERHEAD_BYTES;

		modbus_rtu_reset(&m->rtu, m->config.timing.t35_ns);
		m->noise_since = (struct mono){0};
		m->quiet_until = mono_add(now,
					  frame.size * m->config.timing.char_ns + m->config.timing.t35_ns);
		wire_ns = (frame.size + answer_bytes) * m->config.timing.char_ns;
	}
	t->deadline = mono_add(mono_add(now, d->config.timeout_ns), wire_ns);
	if (probe) {
		m->probe_on_way = true;
		d->probe_at = mono_add(now, d->backoff_ns);
	}
	m->outstanding++;
	m->stats.requests++;
	d->requests++;
	m->stats.bytes_sent += frame.size;
	PROBE6(modbus__request, m->config.name, d->config.unit, t->request.function, t->request.address,
	       t->request.count, t->transaction_id);
	*action = (struct modbus_action){.kind = MODBUS_ACTION_SEND, .block_idx = block_idx, .bytes = frame};
}

/* The slot is free again; *t keeps what it was. */
static void end_transaction(struct modbus_master *m, struct modbus_transaction *t)
{
	ASSERT(t->used);
	ASSERT(m->outstanding > 0);
	t->used = false;
	m->outstanding--;
	if (t->probe)
		m->probe_on_way = false;
}

static bool fail(struct modbus_action *action, uint32_t block_idx, enum modbus_failure failure,
		 const char *reason)
{
	*action = (struct modbus_action){
		.kind = MODBUS_ACTION_FAILED, .block_idx = block_idx, .failure = failure, .reason = reason};
	return true;
}

/* ------------------------------------------------------------------------------------------ the line */

void modbus_master_opened(struct modbus_master *m, struct mono now)
{
	ASSERT(!m->open);
	ASSERT(m->outstanding == 0);
	m->open = true;
	m->reset_reason = NULL;
	m->mute_timeouts = 0;
	m->noise_since = (struct mono){0};
	m->probe_free_at = (struct mono){0};
	m->quiet_until = mono_add(now, m->config.framing == MODBUS_FRAMING_RTU ? m->config.timing.t35_ns : 0);
	modbus_tcp_reset(&m->tcp);
	modbus_rtu_reset(&m->rtu, m->config.timing.t35_ns);
	for (uint32_t i = 0; i < m->block_count; i++)
		take_back(m, i, now);
	/* A unit that was dead may be back with the line: ask it at once, but as a probe. */
	for (uint32_t i = 0; i < m->config.device_count; i++) {
		m->devices[i].probe_at = now;
		m->devices[i].backoff_ns = m->config.suspend_base_ns;
	}
}

void modbus_master_closed(struct modbus_master *m, struct mono now)
{
	if (!m->open)
		return;
	m->open = false;
	for (uint32_t i = 0; i < m->config.outstanding_max; i++)
		if (m->transactions[i].used) {
			end_transaction(m, &m->transactions[i]);
			requeue(m, m->transactions[i].block_idx, now);
		}
	for (uint32_t i = 0; i < m->block_count; i++)
		report_later(m, i, MODBUS_FAIL_NOT_CONNECTED);
	ASSERT(m->outstanding == 0);
	ASSERT(m->queue.count == m->block_count);
}

static void line_broken(struct modbus_master *m, const char *reason, struct mono now)
{
	m->stats.resets++;
	modbus_master_closed(m, now);
	m->reset_reason = reason;
}

/* ------------------------------------------------------------------------------------------ answers */

static bool on_exception(struct modbus_master *m, const struct modbus_transaction *t, uint8_t code,
			 struct mono now, struct modbus_action *action)
{
	m->stats.exceptions++;
	device_of(m, t->block_idx)->exceptions++;
	if (code == MODBUS_GATEWAY_NO_PATH || code == MODBUS_GATEWAY_NO_ANSWER)
		unit_silent(m, t, now);
	else
		unit_alive(m, device_of(m, t->block_idx), now);
	if (code == MODBUS_ILLEGAL_ADDRESS || code == MODBUS_ILLEGAL_VALUE) {
		if (split(m, t->block_idx, now))
			return false;
		set_illegal(m, t->block_idx, true);
	}
	if (code == MODBUS_ILLEGAL_FUNCTION)
		set_illegal(m, t->block_idx, true);
	requeue(m, t->block_idx, now);
	fail(action, t->block_idx, MODBUS_FAIL_EXCEPTION, modbus_exception_text(code));
	action->exception = code;
	return true;
}

/* An answer to this transaction. True: there is an action (a block that is split has none yet). */
static bool on_answer(struct modbus_master *m, struct modbus_transaction *t, struct bytes pdu,
		      struct mono now, struct modbus_action *action)
{
	struct modbus_device *d = device_of(m, t->block_idx);
	struct modbus_response response;
	int rc = modbus_response_decode(&t->request, pdu, &response);

	end_transaction(m, t);
	m->stats.responses++;
	d->responses++;
	PROBE6(modbus__response, m->config.name, d->config.unit, t->transaction_id, rc, response.exception,
	       t->sent.ns);
	if (rc == -EREMOTEIO)
		return on_exception(m, t, response.exception, now, action);
	unit_alive(m, d, now);
	if (rc < 0) {
		m->stats.protocol_errors++;
		requeue(m, t->block_idx, now);
		return fail(action, t->block_idx, MODBUS_FAIL_PROTOCOL, response.why);
	}
	set_illegal(m, t->block_idx, false);
	requeue(m, t->block_idx, now);
	*action = (struct modbus_action){
		.kind = MODBUS_ACTION_VALUES, .block_idx = t->block_idx, .bytes = response.data};
	return true;
}

static bool receive_tcp(struct modbus_master *m, struct bytes *input, struct mono now,
			struct modbus_action *action)
{
	struct modbus_tcp_frame frame;
	int rc;

	while ((rc = modbus_tcp_feed(&m->tcp, input, &frame)) > 0) {
		struct modbus_transaction *t = find_transaction(m, frame.transaction_id);

		if (!t) {
			m->stats.late++;
			continue;
		}
		if (frame.unit != device_of(m, t->block_idx)->config.unit) {
			m->stats.protocol_errors++;
			end_transaction(m, t);
			requeue(m, t->block_idx, now);
			return fail(action, t->block_idx, MODBUS_FAIL_PROTOCOL,
				    "the response is of another unit");
		}
		if (on_answer(m, t, frame.pdu, now, action))
			return true;
	}
	if (rc < 0) {
		m->stats.protocol_errors++;
		*input = (struct bytes){0};
		line_broken(m, "what the peer sends is not Modbus/TCP", now);
	}
	return false;
}

/* Garbage: the answer, if it was one, is lost; the parser discards until the silence. */
static bool on_garbage(struct modbus_master *m, struct mono now, struct modbus_action *action)
{
	struct modbus_transaction *t = &m->transactions[0];

	m->stats.crc_errors++;
	m->stats.resyncs++;
	m->noise_since = now;
	if (!t->used)
		return false;
	end_transaction(m, t);
	requeue(m, t->block_idx, now);
	return fail(action, t->block_idx, MODBUS_FAIL_PROTOCOL, "wrong CRC, or noise on the line");
}

static bool receive_rtu(struct modbus_master *m, struct bytes *input, struct mono now,
			struct modbus_action *action)
{
	struct modbus_rtu_frame frame;
	int rc;

	m->quiet_until = mono_add(now, m->config.timing.t35_ns);
	while ((rc = modbus_rtu_feed(&m->rtu, input, now, &frame)) != 0) {
		struct modbus_transaction *t = &m->transactions[0];

		if (rc < 0) {
			if (on_garbage(m, now, action))
				return true;
			continue;
		}
		m->noise_since = (struct mono){0};
		if (!t->used ||
		    !modbus_transaction_fits(t, device_of(m, t->block_idx)->config.unit, &frame)) {
			m->stats.late++;
			continue;
		}
		if (on_answer(m, t, frame.pdu, now, action))
			return true;
	}
	if (m->noise_since.ns != 0 && mono_since(now, m->noise_since) >= NOISE_MAX_NS)
		line_broken(m, "noise on the line does not end", now);
	return false;
}

bool modbus_master_receive(struct modbus_master *m, struct bytes *input, struct mono now,
			   struct modbus_action *action)
{
	size_t before_bytes = input->size;
	bool acted = false;

	if (!m->open || before_bytes == 0) {
		*input = (struct bytes){0}; /* what a line says after its end is nobody's */
		return false;
	}
	m->mute_timeouts = 0;
	switch (m->config.framing) {
	case MODBUS_FRAMING_TCP: acted = receive_tcp(m, input, now, action); break;
	case MODBUS_FRAMING_RTU: acted = receive_rtu(m, input, now, action); break;
	}
	m->stats.bytes_received += before_bytes - input->size;
	return acted;
}

/* ------------------------------------------------------------------------------------------ time */

static bool tick_timeouts(struct modbus_master *m, struct mono now, struct modbus_action *action)
{
	for (uint32_t i = 0; i < m->config.outstanding_max; i++) {
		struct modbus_transaction *t = &m->transactions[i];

		if (!t->used || !mono_reached(now, t->deadline))
			continue;
		end_transaction(m, t);
		m->stats.timeouts++;
		device_of(m, t->block_idx)->timeouts++;
		PROBE5(modbus__timeout, m->config.name, device_of(m, t->block_idx)->config.unit,
		       t->request.function, t->transaction_id, t->sent.ns);
		if (t->probe)
			m->probe_free_at = mono_add(now, PROBE_REST * mono_since(now, t->sent));
		requeue(m, t->block_idx, now);
		unit_silent(m, t, now);
		if (t->sent.ns >= m->last_timeout.ns) {
			m->last_timeout = now;
			m->mute_timeouts++;
		}
		if (m->config.framing == MODBUS_FRAMING_TCP && m->mute_timeouts >= m->config.reset_after)
			line_broken(m, "the peer does not answer", now);
		return fail(action, t->block_idx, MODBUS_FAIL_TIMEOUT, "no answer in time");
	}
	return false;
}

static bool tick_report(struct modbus_master *m, struct modbus_action *action)
{
	if (m->report_count == 0)
		return false;
	for (uint32_t i = 0; i < m->block_count; i++) {
		uint32_t block_idx = m->report_next++ % m->block_count;
		struct modbus_poll *p = &m->queue.polls[block_idx];
		enum modbus_failure failure = p->to_report;

		if (failure == MODBUS_FAIL_NONE)
			continue;
		p->to_report = MODBUS_FAIL_NONE;
		m->report_count--;
		return fail(action, block_idx, failure, modbus_failure_text(failure));
	}
	UNREACHABLE(); /* report_count is how many there are */
}

/* The suspended unit whose probe has waited longest, or NULL. */
static struct modbus_device *next_to_probe(struct modbus_master *m, struct mono now)
{
	struct modbus_device *d = NULL;

	for (uint32_t i = 0; i < m->config.device_count; i++) {
		struct modbus_device *c = &m->devices[i];

		if (c->state == MODBUS_DEVICE_SUSPENDED && mono_reached(now, c->probe_at) &&
		    (!d || c->probe_at.ns < d->probe_at.ns))
			d = c;
	}
	return d;
}

/* A poll of the unit whose first slot has come. If there is none, the probe waits for it. */
static bool find_probe(struct modbus_master *m, struct modbus_device *d, struct mono now,
		       uint32_t *out_block_idx)
{
	struct mono next_due = mono_add(now, d->backoff_ns);

	for (uint32_t i = 0; i < m->block_count; i++) {
		const struct modbus_poll *p = &m->queue.polls[i];

		if (device_of(m, i) != d || p->heap_idx == MODBUS_NOT_QUEUED)
			continue;
		if (modbus_poll_can_take_back(p) || mono_reached(now, p->due)) {
			*out_block_idx = i;
			return true;
		}
		next_due = mono_min(next_due, p->due);
	}
	ASSERT(next_due.ns > now.ns);
	d->probe_at = next_due;
	return false;
}

/* Ends: each round takes a unit off the list of those whose time has come. */
static bool tick_probe(struct modbus_master *m, struct mono now, struct modbus_action *action)
{
	struct modbus_device *d;
	uint32_t block_idx;

	if (m->suspended_count == 0 || m->probe_on_way || !mono_reached(now, m->probe_free_at))
		return false;
	while ((d = next_to_probe(m, now))) {
		if (!find_probe(m, d, now, &block_idx))
			continue;
		take_back(m, block_idx, now);
		send_request(m, block_idx, true, now, action);
		return true;
	}
	return false;
}

/* The earliest poll that is due, of a unit that is not suspended. Each round moves a poll out of the way (to its next slot,
 * or once behind its unit's time-out), so the rounds are at most 2 * block_count. */
static bool tick_poll(struct modbus_master *m, struct mono now, struct modbus_action *action)
{
	while (m->queue.count > 0) {
		uint32_t block_idx = modbus_queue_first(&m->queue);
		struct modbus_poll *p = &m->queue.polls[block_idx];
		const struct modbus_device *d = device_of(m, block_idx);

		if (!mono_reached(now, p->order))
			return false;
		if (!m->open || d->state == MODBUS_DEVICE_SUSPENDED) {
			skip_poll(m, block_idx, now);
			continue;
		}
		if (d->timeouts_in_row > 0 && p->order.ns < d->last_timeout.ns) {
			p->order = d->last_timeout;
			modbus_queue_update(&m->queue, block_idx);
			continue;
		}
		send_request(m, block_idx, false, now, action);
		return true;
	}
	return false;
}

bool modbus_master_tick(struct modbus_master *m, struct mono now, struct modbus_action *action)
{
	if (tick_timeouts(m, now, action))
		return true;
	if (m->reset_reason) {
		*action = (struct modbus_action){.kind = MODBUS_ACTION_RESET, .reason = m->reset_reason};
		m->reset_reason = NULL;
		return true;
	}
	if (tick_report(m, action))
		return true;
	if (!m->open)
		return tick_poll(m, now, action);
	if (m->outstanding == m->config.outstanding_max || !mono_reached(now, m->quiet_until))
		return false;
	return tick_probe(m, now, action) || tick_poll(m, now, action);
}

struct mono modbus_master_deadline(const struct modbus_master *m)
{
	struct mono deadline = MONO_NEVER, next = MONO_NEVER;

	if (m->reset_reason || m->report_count)
		return (struct mono){0};
	for (uint32_t i = 0; i < m->config.outstanding_max; i++)
		if (m->transactions[i].used)
			deadline = mono_min(deadline, m->transactions[i].deadline);
	if (m->queue.count > 0)
		next = m->queue.polls[modbus_queue_first(&m->queue)].order;
	if (!m->open)
		return next;
	if (m->outstanding == m->config.outstanding_max)
		return deadline;
	for (uint32_t i = 0; m->suspended_count && !m->probe_on_way && i < m->config.device_count; i++)
		if (m->devices[i].state == MODBUS_DEVICE_SUSPENDED) {
			uint64_t at_ns = max_u64(m->devices[i].probe_at.ns, m->probe_free_at.ns);

			next.ns = min_u64(next.ns, at_ns);
		}
	next.ns = max_u64(next.ns, m->quiet_until.ns);
	return mono_min(deadline, next);
}
