/* The records on their way: from the ring or a lost connection into one gathered send, and out of our hands. */
#include <errno.h>
#include <string.h>

#include "core/carried.h"
#include "core/log.h"
#include "core/loss.h"
#include "core/probe.h"
#include "io/target_priv.h"
#include "proto/mqtt_publish.h"

/* --- records ------------------------------------------------------------------------------------------------------ */

/* Ours no more. A record of the target's own only loses its marks. */
static void let_go(struct target *t, struct ring_record *rec)
{
	rec = target_thin_free(t, rec);
	rec->flags &= (uint32_t)IS_OWN | RING_RECORD_DONE;
	if (!(rec->flags & IS_OWN))
		ring_release(t->ring, rec);
}

void target_hold_drop(struct target *t, struct ring_record *rec, uint32_t hold)
{
	rec->flags &= ~hold;
	if (!target_is_held(rec))
		let_go(t, rec);
}

/* Seconds of its expiry that are left, at least 1; 0: none are. */
static uint32_t expiry_left(const struct target *t, const struct ring_record *rec, uint32_t expiry_s)
{
	uint64_t now_ns = target_now(t).ns;
	uint64_t age_ns = now_ns > rec->time_ns ? now_ns - rec->time_ns
						: 0; /* a file may be of another boot */
	uint64_t expiry_ns = expiry_s * NS_PER_S;

	return age_ns >= expiry_ns ? 0 : (uint32_t)((expiry_ns - age_ns + NS_PER_S - 1) / NS_PER_S);
}

void target_message(const struct target *t, struct ring_record *rec, struct mqtt_message *m)
{
	/* Field by field: as one literal it would be cleared first, in a way that costs more than all the rest. */
	m->payload = ring_payload(rec);
	m->time_ns = rec->time_ns;
	m->token = rec;
	if (UNLIKELY(rec->channel_idx == CHANNEL_CARRIED)) {
		struct carried c = carried_read(rec);

		m->channel_idx = UINT32_MAX;
		m->topic = c.topic;
		m->props = c.props;
		m->expiry_s = c.expiry_s;
		m->qos = c.qos;
		m->retain = c.retain;
		m->payload_bytes = c.payload_bytes;
	} else {
		const struct channel *ch = &t->publisher->config.definitions->channels[rec->channel_idx];

		m->topic = ch->topic;
		m->channel_idx = ch->local_idx;
		m->expiry_s = ch->expiry_s;
		m->qos = ch->qos;
		m->retain = ch->retain;
		m->payload_bytes = rec->payload_bytes;
		m->props = t->props ? t->props[ch->local_idx] : bytes_of(NULL, 0);
	}
	m->expiry_left_s = m->expiry_s ? expiry_left(t, rec, m->expiry_s) : 0;
	m->origin = t->ring_file.handle >= 0 && !(rec->flags & IS_OWN)
			    ? ring_file_origin(&t->ring_file, target_original(rec))
			    : 0;
	if (UNLIKELY(rec->flags & IS_REPLAYED))
		target_mark(t, rec, m);
}

static void iov_add(struct target *t, const void *bytes, size_t size_bytes)
{
	t->iov[t->iov_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = size_bytes};
}

/* Where the packet is sent from: where it was written, or, if it is small, behind the last one. */
static const uint8_t *gathered(struct target *t, struct bytes packet)
{
	uint8_t *at;

	if (packet.size > GATHER_PACKET_BYTES_MAX)
		return packet.ptr;
	if (!t->gathered)
		t->gathered = gather_borrow(&t->publisher->gather);
	if (!t->gathered || t->gathered_bytes + packet.size > t->publisher->gather.block_bytes)
		return packet.ptr;
	at = t->gathered + t->gathered_bytes;
	memcpy(at, packet.ptr, packet.size);
	t->gathered_bytes += (uint32_t)packet.size;
	return at;
}

void target_gathered_return(struct target *t)
{
	gather_return(&t->publisher->gather, t->gathered);
	t->gathered = NULL;
	t->gathered_bytes = 0;
}

static void batch_add(struct target *t, struct ring_record *rec, struct bytes packet)
{
	const uint8_t *from = gathered(t, packet);
	struct iovec *last = t->iov_count ? &t->iov[t->iov_count - 1] : NULL;

	if (last && (const uint8_t *)last->iov_base + last->iov_len == from)
		last->iov_len += packet.size;
	else
		iov_add(t, from, packet.size);
	t->packet_bytes[t->batch_count] = (uint32_t)packet.size;
	t->batch[t->batch_count++] = rec;
}

/* It never will be sent, so it must not come back. */
static void refuse_message(struct target *t, const struct mqtt_message *m, const struct ring_record *rec,
			   int rc)
{
	const struct definitions *d = t->publisher->config.definitions;

	counter_add(&t->metrics.refused_messages, 1);
	target_lost(t, rec, rc == -EMSGSIZE ? LOSS_OVERSIZED : LOSS_REFUSED);
	if (rec->channel_idx != CHANNEL_CARRIED)
		counter_add(&d->counts[d->channels[rec->channel_idx].definition_idx].refused, 1);
	if (rc == -EMSGSIZE)
		LOG_WARN("target",
			 "name=%s topic=%.*s dropped=1 reason=\"larger than the server's maximum packet size "
			 "of %u bytes\"",
			 target_name(t), (int)m->topic.size, (const char *)m->topic.ptr,
			 t->session.server.max_packet_bytes);
	else
		LOG_WARN("target",
			 "name=%s topic=%.*s dropped=1 reason=\"the server has at most QoS %u%s, and "
			 "server_limits is refuse\"",
			 target_name(t), (int)m->topic.size, (const char *)m->topic.ptr,
			 t->session.server.qos_max,
			 t->session.server.retain_available ? "" : " and retains nothing");
}

bool target_send_record(struct target *t, struct ring_record *rec)
{
	uint32_t own = rec->flags & IS_OWN, stays = rec->flags & (IS_OWN | IS_REPLAYED | IS_AVERAGE);
	struct mqtt_message m;
	struct bytes packet;
	int rc;

	target_message(t, rec, &m);
	if (m.expiry_s && m.expiry_left_s == 0) {
		target_lost(t, rec, LOSS_EXPIRED);
		if (own)
			let_go(t, rec);
		else
			ring_expire(t->ring, target_thin_free(t, rec));
		return true;
	}
	rc = mqtt_session_publish(&t->session, &m, &packet);
	if (rc == -EAGAIN)
		return false;
	if (rc < 0) {
		refuse_message(t, &m, rec, rc);
		let_go(t, rec);
		return true;
	}
	rec->flags = stays | HOLD_KERNEL | (rc > 0 ? HOLD_ACK : IS_QOS_0);
	if (rc > 0 && !own && t->session.store.shape.slot_bytes)
		ring_done(t->ring,
			  target_original(rec)); /* the session has it now: the next process finds it there */
	PROBE6(target__message, t->name, t->ring, rec, rec->time_ns, m.qos, packet.size);
	batch_add(t, rec, packet);
	return true;
}

/* What was in flight when the connection was lost goes out again first, in its order. */
static void resend(struct target *t)
{
	struct ring_record *rec;
	uint16_t packet_id;

	while (t->batch_count < t->batch_max && (rec = mqtt_session_resend(&t->session, &packet_id))) {
		struct mqtt_message m;
		struct bytes packet;
		int rc;

		target_message(t, rec, &m);
		if (m.expiry_s && m.expiry_left_s == 0)
			m.expiry_left_s = 1; /* the server may have it: the exchange has to be ended */
		rc = mqtt_session_republish(&t->session, packet_id, &m, &packet);
		if (rc < 0) {
			refuse_message(t, &m, rec, rc);
			target_hold_drop(t, rec, HOLD_ACK);
			continue;
		}
		counter_add(&t->metrics.resent_messages, 1);
		/* With QoS 0 now, the session has it no more: after a crash the ring's file has to. */
		if (rc == 0)
			target_original(rec)->flags &= ~RING_RECORD_DONE;
		rec->flags = (rec->flags & HOLDS_STAY) | HOLD_KERNEL | (rc > 0 ? HOLD_ACK : IS_QOS_0);
		PROBE5(target__resend, t->name, t->ring, rec, packet_id, packet.size);
		batch_add(t, rec, packet); /* INFLIGHT -> BATCH, again */
	}
}

/* The target's own words: hello before anything new, farewell after all that goes out. */
static void say_own(struct target *t, struct ring_record *rec, bool *due)
{
	/* One record is one message: it has to be through before it is said again. */
	if (*due && !target_is_held(rec) && t->batch_count < t->batch_max && target_send_record(t, rec))
		*due = false;
}

/* The headroom of records was sized without us. */
void target_check_headroom(const struct target *t)
{
	const struct definitions *d = t->publisher->config.definitions;

	for (uint32_t i = 0; i < d->channel_count; i++) {
		const struct channel *ch = &d->channels[i];

		ASSERT(ch->target_idx != t->cfg_idx ||
		       mqtt_publish_headroom_bytes(t->session.config.version, ch->topic.size, ch->qos,
						   t->props ? t->props[ch->local_idx].size : 0) <=
			       ch->headroom_bytes);
	}
}

/* Records that a lost connection left over. */
static void fill_from_waiting(struct target *t)
{
	uint32_t done = 0;

	while (done < t->waiting_count && t->batch_count < t->batch_max &&
	       target_send_record(t, t->waiting[done]))
		done++; /* WAITING -> BATCH */
	t->waiting_count -= done;
	memmove(t->waiting, t->waiting + done, t->waiting_count * sizeof(t->waiting[0]));
}

uint32_t target_take(struct target *t, enum ring_stream_kind kind, struct ring_record **out, uint32_t room)
{
	uint32_t count = kind == RING_LIVE ? ring_take(t->ring, out, room, target_now(t))
					   : ring_take_replay(t->ring, out, room, target_now(t));

	for (uint32_t i = 0; i < count; i++) {
		if (UNLIKELY(!loss_follows(t->losses, out[i], kind)))
			loss_skipped(t->losses, t->ring, out[i], kind);
		if (UNLIKELY(target_is_replayed(t, out[i], kind)))
			out[i]->flags |= IS_REPLAYED;
	}
	/* A narrow window is always full: what is missing must not wait for a message that finds it wider. */
	if (count < room || loss_is_due(t->losses, t->ring) || ring_idle(t->ring))
		loss_look(t->losses, t->ring, target_now(t));
	return count;
}

uint32_t target_fill(struct target *t, enum ring_stream_kind kind, uint32_t room)
{
	struct ring_record **fresh = t->batch + t->batch_count;
	uint32_t count = target_take(t, kind, fresh, room);

	/* batch_add writes at or before the place that is read */
	for (uint32_t i = 0; i < count; i++) {
		bool sent = target_send_record(t, fresh[i]); /* RING -> BATCH */

		ASSERT(sent); /* no more were taken than the window admits */
	}
	return count;
}

static void fill_from_ring(struct target *t)
{
	uint32_t room = t->batch_max - t->batch_count;

	if (t->has_acked)
		room = (uint32_t)min_u64(room, mqtt_session_room(&t->session));
	if (room == 0)
		return;
	if (t->config->replay.order == CFG_REPLAY_LIVE_FIRST)
		target_replay_fill(t, room);
	else
		(void)target_fill(t, RING_LIVE, room);
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

/* The session's packets go out first; meanwhile it writes into the other outbox. */
static void take_outbox(struct target *t)
{
	struct mqtt_session *s = &t->session;

	if (s->outbox_bytes == 0)
		return;
	iov_add(t, s->outbox, s->outbox_bytes);
	t->control_bytes = (uint32_t)s->outbox_bytes;
	t->outbox_idx ^= 1;
	s->outbox = t->outboxes[t->outbox_idx];
	s->outbox_bytes = 0;
}

/* Shall the messages in the ring wait for more, so that they share a send? */
static bool wants_company(struct target *t)
{
	const struct publisher_config *p = &t->publisher->config;
	const struct cfg_publisher *pc = &p->cfg->publishers[p->publisher_idx];

	if (pc->flush_ns == 0 || t->leaving || ring_idle(t->ring)) {
		t->flush_deadline = MONO_NEVER; /* one that stays would be due for ever */
		return false;
	}
	if (t->flush_deadline.ns == MONO_NEVER.ns)
		t->flush_deadline = mono_add(target_now(t), pc->flush_ns);
	if (!mono_reached(target_now(t), t->flush_deadline) &&
	    ring_backlog(t->ring) * p->definitions->ports[t->cfg_idx].record_bytes_max < pc->flush_bytes)
		return true;
	t->flush_deadline = MONO_NEVER;
	return false;
}

/* One gathered send: control packets, then what is sent again, then the ring's oldest. */
void target_pump(struct target *t)
{
	if (!t->open || t->closing || stream_is_sending(&t->stream))
		return;
	t->iov_count = t->batch_count = t->control_bytes = 0;
	if (t->session.state == MQTT_SESSION_ONLINE && mqtt_session_resending(&t->session)) {
		target_subscribe(t);
		take_outbox(t);
		resend(t);
	} else {
		target_subscribe(t);
		take_outbox(t);
	}
	if (t->session.state == MQTT_SESSION_ONLINE && !mqtt_session_resending(&t->session)) {
		say_own(t, t->hello, &t->hello_due);
		if (!t->hello_due) /* it may have to wait for the window: nothing overtakes it */
			fill_from_waiting(t);
		if (!t->hello_due && t->waiting_count == 0 && target_may_take(t) && !wants_company(t))
			fill_from_ring(t);
		say_own(t, t->farewell, &t->farewell_due);
	}
	if (t->iov_count == 0)
		take_outbox(t); /* a resend of PUBRELs alone */
	counter_set(&t->metrics.inflight, t->session.inflight.count);
	if (t->iov_count == 0)
		return;
	counter_add(&t->metrics.sends, 1);
	mqtt_session_sent(&t->session, target_now(t));
	t->sent_before_bytes = t->stream.sent_bytes;
	if (trace_is_on(&t->trace.source))
		target_trace_sent(t);
	PROBE4(target__send, t->name, t->ring, t->batch_count, t->control_bytes);
	stream_sendv(&t->stream, t->iov, t->iov_count);
}

void target_batch_through(struct target *t, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		target_hold_drop(t, t->batch[i], HOLD_KERNEL); /* BATCH -> THROUGH or INFLIGHT */
	counter_add(&t->metrics.sent_messages, count);
}

/* After a loss: the kernel has let go of everything. What it had taken whole is through; QoS 1 and 2 are in the session's
 * table; the rest of QoS 0 is the first to go out next time. */
void target_batch_recover(struct target *t)
{
	uint64_t sent = t->stream.sent_bytes - t->sent_before_bytes;
	uint32_t through = 0, kept = 0;

	counter_add(&t->metrics.sent_bytes, sent);
	sent -= min_u64(sent, t->control_bytes);
	while (through < t->batch_count && sent >= t->packet_bytes[through])
		sent -= t->packet_bytes[through++];
	target_batch_through(t, through);
	for (uint32_t i = through; i < t->batch_count; i++) {
		struct ring_record *rec = t->batch[i];

		if (!(rec->flags & IS_QOS_0)) {
			target_hold_drop(t, rec, HOLD_KERNEL); /* BATCH -> INFLIGHT, to come again */
			continue;
		}
		rec->flags &= HOLDS_STAY;
		if (rec != t->hello &&
		    rec != t->farewell)         /* of another connection, they would mean nothing */
			t->batch[kept++] = rec; /* BATCH -> WAITING */
	}
	ASSERT(kept + t->waiting_count <= t->waiting_max); /* all that we hold: see fill_from_ring */
	memmove(t->waiting + kept, t->waiting, t->waiting_count * sizeof(t->waiting[0]));
	memcpy(t->waiting, t->batch, kept * sizeof(t->waiting[0]));
	t->waiting_count += kept;
	t->batch_count = t->control_bytes = 0;
}

/* While we were away the ring may have made way for newer messages than those we kept: the newest ones count. */
void target_give_up_excess(struct target *t)
{
	uint64_t held = t->waiting_count + ring_backlog(t->ring);
	uint64_t limit = ring_keeping(t->ring).messages;
	uint32_t excess = (uint32_t)min_u64(t->waiting_count, held > limit ? held - limit : 0);

	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->waiting_count; i++) {
		struct ring_record *rec = t->waiting[i];

		if (excess && !(rec->flags & IS_OWN)) {
			target_lost(t, rec, LOSS_OVERWRITTEN);
			ring_give_up(t->ring, target_thin_free(t, rec));
			excess--;
			continue;
		}
		t->waiting[kept++] = rec;
	}
	t->waiting_count = kept;
}
