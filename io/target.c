#include "io/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "proto/mqtt_publish.h"

/* What a record in our hands waits for; in ring_record.flags. Without a hold it is let go. */
enum { HOLD_KERNEL = 1, HOLD_ACK = 2, IS_QOS_0 = 4 };

#define SECRET_BYTES_MAX    512
#define FAREWELL_NS         (1 * NS_PER_S) /* how long the server may take to close after our DISCONNECT */
#define USER_TIMEOUT_MS     20000          /* without keep-alive; otherwise 1.5 of it */
#define CLIENT_ID_BYTES_MAX 23             /* every server must take that many [MQTT-3.1.3-5] */

static const char *text_of(const struct target *t, uint32_t text)
{
	return cfg_text(t->publisher->config.cfg, text);
}

static const char *name_of(const struct target *t)
{
	return text_of(t, t->config->name);
}

static struct mono now_of(const struct target *t)
{
	return turn_now(&t->publisher->turn);
}

static const struct cfg_url *url_of(const struct target *t)
{
	return &t->publisher->config.cfg->urls[t->config->url_first + t->url_idx];
}

const char *target_state_text(enum target_state state)
{
	switch (state) {
	case TARGET_DISABLED: return "disabled";
	case TARGET_CONNECTING: return "connecting";
	case TARGET_CONNECTED: return "connected";
	case TARGET_WAITING: return "waiting";
	case TARGET_REFUSED: return "refused";
	}
	UNREACHABLE();
}

/* --- states: the only place that logs and tells ---------------------------------------------------------------- */

static void enter(struct target *t, enum target_state state, const char *reason)
{
	enum target_state was = target_state(t);
	const char *url = url_of(t) ? text_of(t, url_of(t)->text) : "";

	shared_text_set(&t->reason, reason);
	shared_text_set(&t->url, url);
	atomic_store_explicit(&t->state, (uint32_t)state, memory_order_relaxed);
	if (state == TARGET_CONNECTED) {
		LOG_INFO("target", "name=%s state=connected url=%s", name_of(t), url);
		t->has_told = false;
	} else if (state == TARGET_WAITING || state == TARGET_REFUSED) {
		/* One line an outage: a broker that is away for a night must not fill the journal. */
		LOG_AT(t->has_told ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "target",
		       "name=%s state=%s url=%s reason=\"%s\" was=%s", name_of(t), target_state_text(state),
		       url, reason, target_state_text(was));
		t->has_told = true;
	}
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void hold_drop(struct target *t, struct ring_record *rec, uint32_t hold)
{
	rec->flags &= ~hold;
	if (!(rec->flags & (HOLD_KERNEL | HOLD_ACK)))
		ring_release(t->ring, rec);
}

static struct mqtt_message message_of(const struct target *t, struct ring_record *rec)
{
	const struct channel *ch = &t->publisher->config.definitions->channels[rec->channel_idx];

	return (struct mqtt_message){
		.topic = ch->topic,
		.channel_idx = ch->local_idx,
		.qos = ch->qos,
		.retain = ch->retain,
		.payload = ring_payload(rec),
		.payload_bytes = rec->payload_bytes,
		.token = rec,
	};
}

static void iov_add(struct target *t, const void *bytes, size_t size_bytes)
{
	t->iov[t->iov_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = size_bytes};
}

static void batch_add(struct target *t, struct ring_record *rec, struct bytes packet)
{
	iov_add(t, packet.ptr, packet.size);
	t->packet_bytes[t->batch_count] = (uint32_t)packet.size;
	t->batch[t->batch_count++] = rec;
}

/* Puts a record into the present send. False: it must wait (the window is full). */
static bool send_record(struct target *t, struct ring_record *rec)
{
	struct mqtt_message m = message_of(t, rec);
	struct bytes packet;
	int rc = mqtt_session_publish(&t->session, &m, &packet);

	if (rc == -EAGAIN)
		return false;
	if (rc < 0) { /* larger than the server takes: it never will, so it must not come back */
		counter_add(&t->metrics.refused_messages, 1);
		LOG_WARN("target",
			 "name=%s topic=%.*s dropped=1 reason=\"larger than the server's maximum packet size "
			 "of %u bytes\"",
			 name_of(t), (int)m.topic.size, (const char *)m.topic.ptr,
			 t->session.server.max_packet_bytes);
		ring_release(t->ring, rec);
		return true;
	}
	rec->flags = HOLD_KERNEL | (rc > 0 ? HOLD_ACK : IS_QOS_0);
	batch_add(t, rec, packet);
	return true;
}

/* What was in flight when the connection was lost goes out again first, in its order. */
static void resend(struct target *t)
{
	struct ring_record *rec;
	uint16_t packet_id;

	while (t->batch_count < t->batch_max && (rec = mqtt_session_resend(&t->session, &packet_id))) {
		struct mqtt_message m = message_of(t, rec);
		struct bytes packet;

		if (mqtt_session_republish(&t->session, packet_id, &m, &packet) < 0) {
			counter_add(&t->metrics.refused_messages, 1);
			hold_drop(t, rec, HOLD_ACK);
			continue;
		}
		counter_add(&t->metrics.resent_messages, 1);
		rec->flags |= HOLD_KERNEL;
		batch_add(t, rec, packet);
	}
}

/* Records that a lost connection left over. */
static void fill_from_waiting(struct target *t)
{
	uint32_t done = 0;

	while (done < t->waiting_count && t->batch_count < t->batch_max && send_record(t, t->waiting[done]))
		done++;
	t->waiting_count -= done;
	memmove(t->waiting, t->waiting + done, t->waiting_count * sizeof(t->waiting[0]));
}

static void fill_from_ring(struct target *t)
{
	struct ring_record **fresh = t->batch + t->batch_count;
	uint32_t room = t->batch_max - t->batch_count;
	uint32_t count;

	if (t->has_acked)
		room = (uint32_t)min_u64(room, mqtt_session_room(&t->session));
	if (room == 0)
		return;
	count = ring_take(t->ring, fresh, room, now_of(t));
	/* batch_add writes at or before the place that is read */
	for (uint32_t i = 0; i < count; i++) {
		bool sent = send_record(t, fresh[i]);

		ASSERT(sent); /* no more were taken than the window admits */
	}
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

	if (pc->flush_ns == 0 || t->leaving)
		return false;
	if (ring_idle(t->ring))
		return true;
	if (t->flush_deadline.ns == MONO_NEVER.ns)
		t->flush_deadline = mono_add(now_of(t), pc->flush_ns);
	if (!mono_reached(now_of(t), t->flush_deadline) &&
	    ring_backlog(t->ring) * p->definitions->ports[t->cfg_idx].record_bytes_max < pc->flush_bytes)
		return true;
	t->flush_deadline = MONO_NEVER;
	return false;
}

/* One gathered send: control packets, then what is sent again, then the ring's oldest. */
static void pump(struct target *t)
{
	if (!t->open || t->closing || stream_is_sending(&t->stream))
		return;
	t->iov_count = t->batch_count = t->control_bytes = 0;
	if (t->session.state == MQTT_SESSION_ONLINE && mqtt_session_resending(&t->session)) {
		take_outbox(t);
		resend(t);
	} else {
		take_outbox(t);
	}
	if (t->session.state == MQTT_SESSION_ONLINE && !mqtt_session_resending(&t->session)) {
		fill_from_waiting(t);
		if (t->waiting_count == 0 && !wants_company(t))
			fill_from_ring(t);
	}
	if (t->iov_count == 0)
		take_outbox(t); /* a resend of PUBRELs alone */
	counter_set(&t->metrics.inflight, t->session.inflight.count);
	if (t->iov_count == 0)
		return;
	counter_add(&t->metrics.sends, 1);
	mqtt_session_sent(&t->session, now_of(t));
	t->sent_before_bytes = t->stream.sent_bytes;
	stream_sendv(&t->stream, t->iov, t->iov_count);
}

static void batch_through(struct target *t, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		hold_drop(t, t->batch[i], HOLD_KERNEL);
	counter_add(&t->metrics.sent_messages, count);
}

/* After a loss: the kernel has let go of everything. What it had taken whole is through; QoS 1 and 2 are in the session's
 * table; the rest of QoS 0 is the first to go out next time. */
static void batch_recover(struct target *t)
{
	uint64_t sent = t->stream.sent_bytes - t->sent_before_bytes;
	uint32_t through = 0, kept = 0;

	counter_add(&t->metrics.sent_bytes, sent);
	sent -= min_u64(sent, t->control_bytes);
	while (through < t->batch_count && sent >= t->packet_bytes[through])
		sent -= t->packet_bytes[through++];
	batch_through(t, through);
	for (uint32_t i = through; i < t->batch_count; i++) {
		struct ring_record *rec = t->batch[i];

		if (!(rec->flags & IS_QOS_0)) {
			hold_drop(t, rec, HOLD_KERNEL);
			continue;
		}
		rec->flags = 0;
		t->batch[kept++] = rec;
	}
	ASSERT(kept + t->waiting_count <= t->batch_max); /* each of them had its place before */
	memmove(t->waiting + kept, t->waiting, t->waiting_count * sizeof(t->waiting[0]));
	memcpy(t->waiting, t->batch, kept * sizeof(t->waiting[0]));
	t->waiting_count += kept;
	t->batch_count = t->control_bytes = 0;
}

/* While we were away the ring may have made way for newer messages than those we kept: the newest ones count. */
static void give_up_excess(struct target *t)
{
	uint64_t held = t->waiting_count + ring_backlog(t->ring);
	uint64_t limit = t->config->buffer_messages;
	uint32_t excess = (uint32_t)min_u64(t->waiting_count, held > limit ? held - limit : 0);

	for (uint32_t i = 0; i < excess; i++)
		ring_give_up(t->ring, t->waiting[i]);
	t->waiting_count -= excess;
	memmove(t->waiting, t->waiting + excess, t->waiting_count * sizeof(t->waiting[0]));
}

/* --- the link -------------------------------------------------------------------------------------------------------- */

/* Ends the present attempt or connection; on_closed goes on from there. */
static void link_down(struct target *t, enum target_state state, const char *reason)
{
	if (t->closing)
		return;
	if (target_state(t) == TARGET_CONNECTED) {
		counter_add(&t->metrics.disconnects, 1);
		t->tried_count = t->config->url_count; /* a new pass, after a wait */
	} else {
		counter_add(&t->metrics.connect_failures, 1);
		t->tried_count++;
	}
	enter(t, state, reason);
	t->closing = true;
	t->link_deadline = MONO_NEVER;
	stream_close(&t->stream);
}

static void link_down_by_session(struct target *t)
{
	bool refused = t->session.connack_code != 0;

	if (refused && mqtt_session_refusal_is_lasting(&t->session))
		backoff_slow_down(&t->backoff);
	link_down(t, refused ? TARGET_REFUSED : TARGET_WAITING, mqtt_session_reason(&t->session));
}

/* The server has said why, or we have: our last words go out, if they can, then we close. */
static void on_session_close(struct target *t)
{
	if (t->session.outbox_bytes == 0) {
		link_down_by_session(t);
		return;
	}
	t->close_when_sent = true;
	t->link_deadline = mono_add(now_of(t), FAREWELL_NS);
	pump(t);
}

static void choose_url(struct target *t, bool *wait)
{
	*wait = t->tried_count >= t->config->url_count;
	t->url_idx = (t->url_idx + 1) % t->config->url_count;
	if (*wait && t->config->failover == CFG_FAILOVER_ORDERED)
		t->url_idx = 0;
	if (*wait)
		t->tried_count = 0;
}

static void link_closed(struct target *t)
{
	bool wait;

	if (t->open)
		batch_recover(t);
	mqtt_session_lost(&t->session);
	t->open = t->closing = t->close_when_sent = false;
	t->flush_deadline = MONO_NEVER;
	if (t->leaving) {
		t->left = true;
		return;
	}
	choose_url(t, &wait);
	backoff_failed(&t->backoff, now_of(t));
	t->link_deadline = wait ? mono_add(now_of(t), backoff_next(&t->backoff, &t->publisher->prng))
				: now_of(t);
}

static void connect_start(struct target *t)
{
	const struct cfg_url *url = url_of(t);
	uint64_t user_timeout_ms = t->config->keep_alive_ns * 3 / 2 / NS_PER_MS;

	enter(t, TARGET_CONNECTING, "");
	t->link_deadline = t->config->connect_timeout_ns ? mono_add(now_of(t), t->config->connect_timeout_ns)
							 : MONO_NEVER;
	stream_open(&t->stream, text_of(t, url->host), url->port,
		    user_timeout_ms ? (uint32_t)user_timeout_ms : USER_TIMEOUT_MS);
}

static struct target *target_of(struct stream *s)
{
	return container_of(s, struct target, stream);
}

static void on_open(struct stream *s)
{
	struct target *t = target_of(s);
	char secret[SECRET_BYTES_MAX];
	size_t secret_bytes = 0;

	t->open = true;
	if (t->config->password) {
		int rc = config_secret(text_of(t, t->config->password), t->publisher->config.base_dir, secret,
				       sizeof(secret), &secret_bytes);

		if (rc < 0) {
			char text[160], why[96];

			snprintf(text, sizeof(text), "cannot read the password from %s: %s",
				 text_of(t, t->config->password), strerror_r(-rc, why, sizeof(why)));
			link_down(t, TARGET_REFUSED, text);
			return;
		}
	}
	mqtt_session_connect(&t->session, bytes_of(secret, secret_bytes), now_of(t));
	explicit_bzero(secret, sizeof(secret));
	target_step(t);
}

static void on_online(struct target *t, const struct mqtt_event *e)
{
	counter_add(&t->metrics.connects, 1);
	backoff_succeeded(&t->backoff, now_of(t));
	t->link_deadline = MONO_NEVER;
	t->tried_count = 0;
	enter(t, TARGET_CONNECTED, "");
	LOG_DEBUG("target", "name=%s session_present=%d inflight=%u", name_of(t), e->session_present,
		  t->session.inflight.count);
	give_up_excess(t);
}

static void on_released(struct target *t, const struct mqtt_event *e)
{
	struct ring_record *rec = e->token;

	if (e->code < 0x80) {
		counter_add(&t->metrics.acknowledged_messages, 1);
	} else {
		struct mqtt_message m = message_of(t, rec);

		counter_add(&t->metrics.refused_messages, 1);
		LOG_WARN("target", "name=%s topic=%.*s dropped=1 reason=\"%s (%u)\"", name_of(t),
			 (int)m.topic.size, (const char *)m.topic.ptr,
			 mqtt_reason_text(t->session.config.version, MQTT_PUBACK, e->code), e->code);
	}
	hold_drop(t, rec, HOLD_ACK);
}

static size_t on_received(struct stream *s, const uint8_t *data, size_t size_bytes)
{
	struct target *t = target_of(s);
	struct bytes bytes = bytes_of(data, size_bytes);
	struct bytes input = bytes;
	struct mqtt_event e;

	while (!t->close_when_sent && !t->closing &&
	       mqtt_session_receive(&t->session, &input, now_of(t), &e)) {
		switch (e.kind) {
		case MQTT_EVENT_ONLINE: on_online(t, &e); break;
		case MQTT_EVENT_RELEASED: on_released(t, &e); break;
		case MQTT_EVENT_MESSAGE: counter_add(&t->metrics.received_messages, 1); break;
		case MQTT_EVENT_CLOSE: on_session_close(t); break;
		}
	}
	counter_add(&t->metrics.received_bytes, bytes.size - input.size);
	if (t->closing || t->close_when_sent) /* what comes after the end is nobody's */
		return bytes.size;
	target_step(t);
	if (!mqtt_session_takes_input(&t->session) && stream_is_sending(s))
		stream_pause(s); /* until the answers are on their way */
	return bytes.size - input.size;
}

static void on_sent(struct stream *s, size_t size_bytes)
{
	struct target *t = target_of(s);

	counter_add(&t->metrics.sent_bytes, size_bytes);
	batch_through(t, t->batch_count);
	t->batch_count = t->control_bytes = 0;
	if (t->close_when_sent) {
		if (t->session.outbox_bytes == 0)
			stream_finish(s); /* the server closes when it has read our last words */
		else
			pump(t);
		return;
	}
	target_step(t);
}

static void on_lost(struct stream *s, int error)
{
	struct target *t = target_of(s);
	char text[160], why[96];

	if (t->close_when_sent && !t->leaving) {
		link_down_by_session(t);
		return;
	}
	if (error == 0)
		snprintf(text, sizeof(text), "%s",
			 target_state(t) == TARGET_CONNECTED ? "the server closed the connection"
			 : t->open ? "the server closed the connection without accepting it (CONNACK)"
				   : "connection closed");
	else
		snprintf(text, sizeof(text), "%s", strerror_r(-error, why, sizeof(why)));
	link_down(t, TARGET_WAITING, text);
}

static void on_closed(struct stream *s)
{
	struct target *t = target_of(s);

	if (t->close_when_sent && !t->closing && !t->leaving)
		link_down_by_session(t); /* our own good-bye is done */
	link_closed(t);
	target_step(t);
}

static const struct stream_user stream_user = {
	.on_open = on_open,
	.on_received = on_received,
	.on_sent = on_sent,
	.on_lost = on_lost,
	.on_closed = on_closed,
};

/* --- the step ----------------------------------------------------------------------------------------------------------- */

void target_leave(struct target *t)
{
	t->leaving = true;
	t->leave_deadline = mono_add(now_of(t), t->publisher->config.drain_ns / 2);
	target_step(t);
}

/* On the way out: when all is sent and acknowledged, or time is up, say good-bye. */
static void leave_step(struct target *t)
{
	bool idle = ring_idle(t->ring) && t->waiting_count == 0 && t->session.inflight.count == 0;

	if (t->left || t->closing || t->close_when_sent)
		return;
	if (t->stream.state == STREAM_CLOSED) {
		t->left = true;
		return;
	}
	if (t->session.state != MQTT_SESSION_ONLINE) {
		link_down(t, TARGET_WAITING, "stopped");
		return;
	}
	if (stream_is_sending(&t->stream) || (!idle && !mono_reached(now_of(t), t->leave_deadline)))
		return;
	mqtt_session_disconnect(&t->session, MQTT_SUCCESS);
	t->close_when_sent = true;
	t->link_deadline = mono_add(now_of(t), FAREWELL_NS);
	pump(t);
}

static void deadlines_step(struct target *t)
{
	struct mono now = now_of(t);
	struct mqtt_event e;

	if (mqtt_session_tick(&t->session, now, &e))
		link_down_by_session(t);
	if (t->closing || !mono_reached(now, t->link_deadline))
		return;
	if (t->close_when_sent) { /* the server did not close: we do */
		t->link_deadline = MONO_NEVER;
		stream_close(&t->stream);
	} else if (t->stream.state == STREAM_CLOSED) {
		connect_start(t);
	} else if (target_state(t) == TARGET_CONNECTING) {
		link_down(t, TARGET_WAITING,
			  t->open ? "no CONNACK within the connect time-out" : "connect time-out");
	}
}

void target_step(struct target *t)
{
	struct mono next;

	if (target_state(t) == TARGET_DISABLED)
		return;
	deadlines_step(t);
	pump(t);
	if (t->leaving)
		leave_step(t);
	next = mono_min(t->link_deadline, mqtt_session_deadline(&t->session));
	next = mono_min(next, t->flush_deadline);
	if (t->leaving && !t->left && !t->close_when_sent)
		next = mono_min(next, t->leave_deadline);
	if (t->session.state == MQTT_SESSION_ONLINE && !stream_is_sending(&t->stream) &&
	    t->flush_deadline.ns == MONO_NEVER.ns && t->waiting_count == 0 &&
	    mqtt_session_room(&t->session) > 0 && !ring_idle(t->ring))
		next = now_of(t); /* a step's discards were not all */
	timer_set(&t->publisher->timers, &t->timer, t->left ? MONO_NEVER : next);
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

/* The same at each start, and no longer than every server must accept. FNV-1a over node and target. */
static void client_id_make(struct target *t)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	const char *parts[] = {text_of(t, t->publisher->config.cfg->node), "/", name_of(t)};

	if (t->config->client_id) {
		snprintf(t->client_id, sizeof(t->client_id), "%s", text_of(t, t->config->client_id));
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
		for (const char *c = parts[i]; *c; c++)
			hash = (hash ^ (unsigned char)*c) * 0x100000001b3ull;
	snprintf(t->client_id, CLIENT_ID_BYTES_MAX + 1, "rm%016llx", (unsigned long long)hash);
}

static void session_config_make(struct target *t, struct mqtt_session_config *out)
{
	const struct cfg_target *c = t->config;
	struct mqtt_connect *connect = &out->connect;
	uint64_t expiry_s = c->session_expiry_ns / NS_PER_S;

	*out = (struct mqtt_session_config){
		.version = c->protocol == 5 ? MQTT_5 : MQTT_3_1_1,
		.max_packet_bytes = c->max_packet_bytes,
		.topic_alias_max = (uint16_t)c->topic_alias_max,
		.channel_count = t->publisher->config.definitions->ports[t->cfg_idx].channel_count,
	};
	connect->clean_start = c->clean_start;
	connect->keep_alive_s = (uint16_t)(c->keep_alive_ns / NS_PER_S);
	connect->client_id = bytes_of_text(t->client_id);
	connect->has_user_name = c->has_user;
	connect->user_name = bytes_of_text(text_of(t, c->user));
	connect->has_password = c->password != 0;
	if (c->protocol == 5 && expiry_s) {
		mqtt_props_set(&connect->props, MQTT_PROP_SESSION_EXPIRY_INTERVAL);
		connect->props.session_expiry_interval_s = (uint32_t)min_u64(expiry_s, UINT32_MAX);
	}
	if (!c->will.topic)
		return;
	connect->has_will = true;
	connect->will.topic = bytes_of_text(text_of(t, c->will.topic));
	connect->will.payload = bytes_of_text(text_of(t, c->will.payload));
	connect->will.qos = c->will.qos;
	connect->will.retain = c->will.retain;
	if (c->protocol == 5 && c->will.delay_s) {
		mqtt_props_set(&connect->will.props, MQTT_PROP_WILL_DELAY_INTERVAL);
		connect->will.props.will_delay_interval_s = c->will.delay_s;
	}
	if (c->protocol == 5 && c->will.expiry_s) {
		mqtt_props_set(&connect->will.props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL);
		connect->will.props.message_expiry_interval_s = c->will.expiry_s;
	}
}

static bool wants_acks(const struct target *t)
{
	const struct cfg *c = t->publisher->config.cfg;

	for (uint32_t i = 0; i < c->definition_count; i++)
		if (c->definitions[i].target_idx == t->cfg_idx && c->definitions[i].qos > 0)
			return true;
	return false;
}

uint64_t target_memory_bytes(const struct cfg *c, uint32_t cfg_idx, const struct definitions *d)
{
	const struct cfg_target *tc = &c->targets[cfg_idx];

	return sizeof(struct target) + tc->max_packet_bytes + 2ull * 4096 +
	       target_batch_max(tc) * (2ull * sizeof(void *) + sizeof(uint32_t) + sizeof(struct iovec)) +
	       (tc->max_inflight + 1ull) * sizeof(struct mqtt_inflight_entry) +
	       d->ports[cfg_idx].channel_count * sizeof(uint16_t);
}

int target_open(struct target *t, struct publisher *p, uint32_t cfg_idx, uint32_t slot)
{
	const struct cfg *c = p->config.cfg;
	struct mqtt_session_config config;

	*t = (struct target){
		.publisher = p,
		.config = &c->targets[cfg_idx],
		.cfg_idx = cfg_idx,
		.slot = slot,
		.timer = {.owner_idx = slot},
		.ring = p->config.definitions->ports[cfg_idx].ring,
		.link_deadline = MONO_NEVER,
		.flush_deadline = MONO_NEVER,
		.leave_deadline = MONO_NEVER,
	};
	ASSERT(t->ring);
	t->backoff = (struct backoff){.base_ns = t->config->reconnect_base_ns,
				      .cap_ns = t->config->reconnect_cap_ns,
				      .stable_ns = t->config->reconnect_stable_ns};
	t->batch_max = target_batch_max(t->config);
	client_id_make(t);
	t->has_acked = wants_acks(t);
	session_config_make(t, &config);
	t->outbox_bytes = max_u64(4096, mqtt_session_outbox_bytes(&config));
	t->batch = calloc(t->batch_max, sizeof(t->batch[0]));
	t->waiting = calloc(t->batch_max, sizeof(t->waiting[0]));
	t->packet_bytes = calloc(t->batch_max, sizeof(t->packet_bytes[0]));
	t->iov = calloc((size_t)t->batch_max + 2, sizeof(t->iov[0]));
	t->outboxes[0] = malloc(t->outbox_bytes);
	t->outboxes[1] = malloc(t->outbox_bytes);
	t->inflight = calloc((size_t)t->config->max_inflight + 1, sizeof(t->inflight[0]));
	t->aliases = calloc((size_t)config.channel_count + 1, sizeof(t->aliases[0]));
	t->receive = malloc(t->config->max_packet_bytes);
	if (!t->batch || !t->waiting || !t->packet_bytes || !t->iov || !t->outboxes[0] || !t->outboxes[1] ||
	    !t->inflight || !t->aliases || !t->receive) {
		target_close(t);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < p->config.definitions->channel_count;
	     i++) { /* the headroom was sized without us */
		const struct channel *ch = &p->config.definitions->channels[i];

		ASSERT(ch->target_idx != cfg_idx ||
		       mqtt_publish_headroom_bytes(config.version, ch->topic.size, ch->qos, 0) <=
			       ch->headroom_bytes);
	}
	mqtt_session_init(&t->session, &config, t->inflight, t->config->max_inflight, t->aliases,
			  t->outboxes[0], t->outbox_bytes);
	stream_init(&t->stream, p->loop, &stream_user, t->receive, t->config->max_packet_bytes);
	if (!t->config->enabled) {
		t->left = true;
		enter(t, TARGET_DISABLED, "");
		return 0;
	}
	enter(t, TARGET_CONNECTING, "");
	t->link_deadline = now_of(t);
	timer_set(&p->timers, &t->timer, t->link_deadline);
	return 0;
}

void target_close(struct target *t)
{
	free(t->batch);
	free(t->waiting);
	free(t->packet_bytes);
	free(t->iov);
	free(t->outboxes[0]);
	free(t->outboxes[1]);
	free(t->inflight);
	free(t->aliases);
	free(t->receive);
}
