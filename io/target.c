#include "io/target_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/probe.h"

#define SECRET_BYTES_MAX 512
#define FAREWELL_NS      (1 * NS_PER_S) /* how long the server may take to close after our DISCONNECT */
#define USER_TIMEOUT_MS  20000          /* without keep-alive; otherwise 1.5 of it */

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

#define TOLD_MAX 20 /* lines at their own level within the time after which a connection counts as stable */

/* Neither a broker that is away for a night, nor one that accepts and breaks off again and again, may fill the journal. */
static enum log_level level_of(struct target *t, enum log_level level)
{
	struct mono now = target_now(t);

	if (t->told_count == 0 || mono_since(now, t->told_since) >= t->config->reconnect_stable_ns) {
		t->told_since = now;
		t->told_count = 0;
	}
	if (t->told_count >= TOLD_MAX)
		return LOG_LEVEL_DEBUG;
	t->told_count++;
	return level;
}

void target_enter(struct target *t, enum target_state state, const char *reason)
{
	enum target_state was = target_state(t);
	const char *url = t->place.text;

	if (state !=
	    TARGET_CONNECTING) /* while it tries again, the last reason is what a person wants to see */
		shared_text_set(&t->reason, reason);
	shared_text_set(&t->url, url);
	atomic_store_explicit(&t->state, (uint32_t)state, memory_order_relaxed);
	PROBE5(target__state, t->name, state, was, url, reason);
	if (state == TARGET_CONNECTED) {
		LOG_STATE(level_of(t, LOG_LEVEL_INFO), "target", "name=%s state=connected url=%s",
			  target_name(t), url);
		t->has_told_down = false;
	} else if (state == TARGET_WAITING || state == TARGET_REFUSED) {
		enum log_level level = t->has_told_down ? LOG_LEVEL_DEBUG : level_of(t, LOG_LEVEL_WARN);

		LOG_STATE(level, "target", "name=%s state=%s url=%s reason=\"%s\" was=%s", target_name(t),
			  target_state_text(state), url, reason, target_state_text(was));
		t->has_told_down = true;
	}
}

/* --- the link -------------------------------------------------------------------------------------------------------- */

/* on_closed goes on from there. */
void target_link_down(struct target *t, enum target_state state, const char *reason)
{
	if (t->closing)
		return;
	if (target_state(t) == TARGET_CONNECTED) {
		counter_add(&t->metrics.disconnects, 1); /* CONNECTED -> CLOSING */
		t->trace.incident = !t->parting;
		t->tried_count = t->config->url_count; /* a new pass, after a wait */
		if (mono_since(target_now(t), t->online_since) >= t->config->reconnect_stable_ns)
			t->redirect_count = 0;
	} else {
		counter_add(&t->metrics.connect_failures, 1); /* CONNECTING -> CLOSING */
		t->tried_count++;
	}
	target_enter(t, state, reason); /* CLOSING -> WAITING or REFUSED */
	t->closing = true;
	t->link_deadline = MONO_NEVER;
	stream_close(&t->stream);
}

/* The server has sent us elsewhere: at once, but not round and round. */
static bool follow_reference(struct target *t)
{
	if (!t->session.reference[0] || t->parting || t->goes_first)
		return false;
	bool moved = t->session.connack_code == MQTT_SERVER_MOVED;

	if (!target_place_from_reference(t, t->session.reference))
		return false;
	t->sent_for_good = moved;
	t->follows = true; /* CLOSING -> IDLE, sent to another server */
	counter_add(&t->metrics.redirects, 1);
	return true;
}

static void link_down_by_session(struct target *t)
{
	bool refused = t->session.connack_code != 0;

	if (t->closing)
		return;
	if (refused && mqtt_session_refusal_is_lasting(&t->session))
		backoff_slow_down(&t->backoff);
	target_link_down(t, refused ? TARGET_REFUSED : TARGET_WAITING, mqtt_session_reason(&t->session));
	(void)follow_reference(t); /* after the state has said which server it was */
}

void target_finish(struct target *t)
{
	t->close_when_sent = true;
	t->link_deadline = mono_add(target_now(t), FAREWELL_NS);
	target_pump(t);
	/* Of 3.1.1 a good-bye that leaves the will to be sent is none: nothing will be through that on_sent could wait for. */
	if (t->open && !t->closing && !stream_is_sending(&t->stream) && t->session.outbox_bytes == 0)
		stream_finish(&t->stream);
}

/* The server has said why, or we have: our last words go out, if they can, then we close. */
static void on_session_close(struct target *t)
{
	if (t->session.outbox_bytes == 0)
		link_down_by_session(t);
	else
		target_finish(t);
}

static void choose_url(struct target *t, bool *wait)
{
	*wait = t->tried_count >= t->config->url_count;
	t->url_idx = (t->url_idx + 1) % t->config->url_count;
	if (*wait && t->config->failover == CFG_FAILOVER_ORDERED)
		t->url_idx = 0;
	if (*wait)
		t->tried_count = t->redirect_count = 0;
}

/* Where to go next, and when. */
static void link_again(struct target *t)
{
	bool wait;

	if (t->session.starts_over ||
	    t->follows) { /* at once; the session does that twice at most, redirects are counted */
		t->follows = t->session.starts_over = false;
		t->link_deadline = target_now(t);
		return;
	}
	if (t->goes_first) {
		t->goes_first = false;
		t->url_idx = t->tried_count = 0;
		target_place_from_list(t);
		t->link_deadline = target_now(t);
		return;
	}
	/* The server of the list has moved: where it is now is asked once more before the list. */
	bool stays = t->sent_for_good && t->tried_count >= t->config->url_count;

	choose_url(t, &wait);
	if (!stays)
		target_place_from_list(t);
	t->sent_for_good = false;
	backoff_failed(&t->backoff, target_now(t));
	t->link_deadline = wait ? mono_add(target_now(t), backoff_next(&t->backoff, &t->publisher->prng))
				: target_now(t);
}

static void link_closed(struct target *t)
{
	target_trace_closed(t);
	target_gathered_return(t);
	if (t->open)
		target_batch_recover(t);
	inbound_lost(&t->inbound, &t->session, target_now(t), turn_wall(&t->publisher->turn));
	counter_set(&t->metrics.held, 0);
	mqtt_session_lost(&t->session);
	t->open = t->closing = t->close_when_sent = false;
	t->flush_deadline = t->first_deadline = MONO_NEVER;
	if (!target_part_closed(t))
		link_again(t); /* CLOSING -> IDLE */
}

static void connect_start(struct target *t)
{
	uint64_t user_timeout_ms = t->config->keep_alive_ns * 3 / 2 / NS_PER_MS;

	target_enter(t, TARGET_CONNECTING, ""); /* IDLE -> CONNECTING */
	t->link_deadline = t->config->connect_timeout_ns
				   ? mono_add(target_now(t), t->config->connect_timeout_ns)
				   : MONO_NEVER;
	stream_open(&t->stream, t->place.host, t->place.port,
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
	t->sent_before_bytes = 0;
	target_trace_opened(t);
	if (t->config->password) {
		int rc = config_secret(target_text(t, t->config->password), t->publisher->config.base_dir,
				       secret, sizeof(secret), &secret_bytes);

		if (rc < 0) {
			char text[160], why[96];

			snprintf(text, sizeof(text), "cannot read the password from %s: %s",
				 target_text(t, t->config->password), strerror_r(-rc, why, sizeof(why)));
			target_link_down(t, TARGET_REFUSED, text);
			return;
		}
	}
	mqtt_session_server(&t->session, target_place_key(t));
	mqtt_session_connect(&t->session, bytes_of(secret, secret_bytes), target_now(t));
	explicit_bzero(secret, sizeof(secret));
	target_step(t);
}

static void on_online(struct target *t, const struct mqtt_event *e)
{
	counter_add(&t->metrics.connects, 1);
	backoff_succeeded(&t->backoff, target_now(t));
	t->link_deadline = MONO_NEVER;
	t->tried_count = 0;
	t->online_since = target_now(t);
	if (t->config->failback_ns && (t->url_idx > 0 || t->is_sent))
		t->first_deadline = mono_add(target_now(t), t->config->failback_ns);
	/* One that is in flight comes again; but not where a farewell does, after it. */
	t->hello_due = t->hello &&
		       (!target_is_held(t->hello) || (t->farewell && target_is_held(t->farewell)));
	inbound_online(&t->inbound, &t->session, e->session_present, target_now(t));
	target_enter(t, TARGET_CONNECTED, ""); /* CONNECTING -> CONNECTED */
	LOG_DEBUG("target", "name=%s session_present=%d inflight=%u", target_name(t), e->session_present,
		  t->session.inflight.count);
	target_give_up_excess(t);
	target_replay_online(t);
	target_losses_online(t);
}

static void on_released(struct target *t, const struct mqtt_event *e)
{
	struct ring_record *rec = e->token;

	PROBE5(target__ack, t->name, t->ring, rec, rec->time_ns, e->code);
	if (e->code < 0x80) {
		counter_add(&t->metrics.acknowledged_messages, 1);
	} else {
		struct mqtt_message m;

		target_message(t, rec, &m);
		counter_add(&t->metrics.refused_messages, 1);
		target_lost(t, rec, LOSS_REFUSED);
		LOG_WARN("target", "name=%s topic=%.*s dropped=1 reason=\"%s (%u)\"", target_name(t),
			 (int)m.topic.size, (const char *)m.topic.ptr,
			 mqtt_reason_text(t->session.config.version, MQTT_PUBACK, e->code), e->code);
	}
	target_hold_drop(t, rec, HOLD_ACK); /* INFLIGHT -> THROUGH */
}

static void on_subscription(struct target *t, const struct mqtt_event *e)
{
	struct bytes filter = t->inbound.subscriptions.list[e->filter_idx].filter;
	char text[SHARED_TEXT_BYTES];

	inbound_progress(&t->inbound, target_now(t));
	if (e->code < 0x80)
		return;
	snprintf(text, sizeof(text), "subscription %.*s refused: %s (%u)", (int)min_size(filter.size, 120),
		 (const char *)filter.ptr,
		 e->code == MQTT_PACKET_TOO_LARGE /* ours: no server says that */
			 ? "larger than the server's maximum packet size"
			 : mqtt_reason_text(t->session.config.version, MQTT_SUBACK, e->code),
		 e->code);
	shared_text_set(&t->reason, text);
	LOG_STATE(level_of(t, LOG_LEVEL_WARN), "target", "name=%s %s", target_name(t), text);
}

void target_subscribe(struct target *t)
{
	struct mqtt_event e;

	while (mqtt_session_subscribe(&t->session, &e))
		on_subscription(t, &e);
}

static size_t on_received(struct stream *s, const uint8_t *data, size_t size_bytes)
{
	struct target *t = target_of(s);
	struct bytes bytes = bytes_of(data, size_bytes);
	struct bytes input = bytes;
	struct mqtt_event e;

	if (trace_is_on(&t->trace.source))
		target_trace_received(t, bytes);
	while (!t->close_when_sent && !t->closing &&
	       mqtt_session_receive(&t->session, &input, target_now(t), &e)) {
		switch (e.kind) {
		case MQTT_EVENT_ONLINE: on_online(t, &e); break;
		case MQTT_EVENT_RELEASED: on_released(t, &e); break;
		case MQTT_EVENT_MESSAGE:
			if (!t->parting) /* else the server keeps it, or nobody does */
				inbound_message(&t->inbound, &t->session, &e.publish, target_now(t),
						turn_wall(&t->publisher->turn));
			break;
		case MQTT_EVENT_TOO_LARGE:
			counter_add(&t->metrics.oversized, 1);
			LOG_WARN("target",
				 "name=%s received=1 dropped=1 reason=\"larger than max_packet (%u bytes)\"",
				 target_name(t), t->config->max_packet_bytes);
			break;
		case MQTT_EVENT_SUBSCRIPTION: on_subscription(t, &e); break;
		case MQTT_EVENT_CLOSE: on_session_close(t); break;
		}
	}
	counter_add(&t->metrics.received_bytes, bytes.size - input.size);
	if (t->closing || t->close_when_sent) { /* what comes after the end is nobody's */
		if (trace_is_on(&t->trace.source))
			target_trace_discarded(t, bytes);
		return bytes.size;
	}
	/* Packets may be left over for want of room for their answers: they come again when what has room now is sent. */
	bool is_full = !mqtt_session_takes_input(&t->session);

	target_step(t);
	if (is_full && stream_is_sending(s))
		stream_pause(s);
	return bytes.size - input.size;
}

static void on_sent(struct stream *s, size_t size_bytes)
{
	struct target *t = target_of(s);

	PROBE4(target__sent, t->name, t->ring, t->batch_count, size_bytes);
	counter_add(&t->metrics.sent_bytes, size_bytes);
	t->sent_before_bytes = s->sent_bytes;
	target_gathered_return(t);
	target_batch_through(t, t->batch_count);
	t->batch_count = t->control_bytes = 0;
	if (t->close_when_sent) {
		if (t->session.outbox_bytes == 0)
			stream_finish(s); /* the server closes when it has read our last words */
		else
			target_pump(t);
		return;
	}
	target_step(t);
}

static void on_lost(struct stream *s, int error)
{
	struct target *t = target_of(s);
	char text[160], why[96];

	t->trace.end = error == 0 ? TRACE_ENDED_BY_PEER : TRACE_BROKEN;
	if (t->close_when_sent && (t->parting || t->goes_first)) { /* as we wanted it */
		t->closing = true;
		t->link_deadline = MONO_NEVER;
		stream_close(s);
		return;
	}
	if (t->close_when_sent) {
		link_down_by_session(t);
		return;
	}
	if (error == -EPERM && !t->open && !t->config->allow_cloud)
		snprintf(text, sizeof(text), "allow_cloud is false and %s is none of ours: see own_networks",
			 stream_peer_text(s));
	else if (error == 0)
		snprintf(text, sizeof(text), "%s",
			 target_state(t) == TARGET_CONNECTED ? t->session.asked_count
								       ? "the server closed the connection "
									 "instead of answering SUBSCRIBE: "
									 "see `ringctl subscriptions`"
								       : "the server closed the connection"
			 : t->open ? "the server closed the connection without accepting it (CONNACK)"
				   : "connection closed");
	else
		snprintf(text, sizeof(text), "%s", stream_error_text(error, why, sizeof(why)));
	target_link_down(t, error == -EPERM && !t->open ? TARGET_REFUSED : TARGET_WAITING, text);
}

static void on_closed(struct stream *s)
{
	struct target *t = target_of(s);

	if (t->close_when_sent && !t->closing && !t->parting && !t->goes_first)
		link_down_by_session(t); /* our own good-bye is done */
	link_closed(t);
	target_step(t);
}

/* Every address that is tried, not the name: what a name leads to may change. */
static int on_address(struct stream *s, const struct net_address *address)
{
	const struct target *t = target_of(s);
	const struct cfg *c = t->publisher->config.cfg;
	uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

	if (t->config->allow_cloud)
		return 0;
	if (address->any.sa_family == AF_INET)
		memcpy(bytes + 12, &address->v4.sin_addr, 4);
	else
		memcpy(bytes, &address->v6.sin6_addr, 16);
	if (network_is_local(bytes))
		return 0;
	for (uint32_t i = 0; i < c->own_network_count; i++)
		if (network_contains(&c->own_networks[i], bytes))
			return 0;
	return -EPERM;
}

const struct stream_user target_stream_user = {
	.on_address = on_address,
	.on_open = on_open,
	.on_received = on_received,
	.on_sent = on_sent,
	.on_lost = on_lost,
	.on_closed = on_closed,
};

/* --- the step ----------------------------------------------------------------------------------------------------------- */

static void deadlines_step(struct target *t)
{
	struct mono now = target_now(t);
	struct mqtt_event e;

	if (mqtt_session_tick(&t->session, now, &e))
		link_down_by_session(t);
	if (mono_reached(now, t->first_deadline) && !t->parting && !t->close_when_sent && !t->closing) {
		t->first_deadline = MONO_NEVER;
		t->goes_first = true;                   /* CONNECTED -> CLOSING, back to the first server */
		target_enter(t, TARGET_CONNECTING, ""); /* no failure */
		/* For those at this server the node is gone: its will says so. */
		mqtt_session_disconnect(&t->session,
					t->config->will.topic ? MQTT_DISCONNECT_WITH_WILL : MQTT_SUCCESS);
		target_finish(t);
	}
	if (t->closing || !mono_reached(now, t->link_deadline))
		return;
	if (t->close_when_sent) { /* the server did not close: we do */
		t->link_deadline = MONO_NEVER;
		stream_close(&t->stream);
	} else if (t->stream.state == STREAM_CLOSED) {
		connect_start(t);
	} else if (target_state(t) == TARGET_CONNECTING) {
		target_link_down(t, TARGET_WAITING,
				 t->open ? "no CONNACK within the connect time-out" : "connect time-out");
	}
}

void target_step(struct target *t)
{
	struct mono next, now = target_now(t);

	target_part_step(t);
	if (target_state(t) == TARGET_DISABLED) {
		timer_set(&t->publisher->timers, &t->timer, target_trim(t));
		return;
	}
	deadlines_step(t);
	inbound_step(&t->inbound, &t->session, now, turn_wall(&t->publisher->turn));
	target_pump(t);
	target_losses_step(t);
	if (t->parting)
		target_part_step(t);
	counter_set(&t->metrics.held, t->inbound.buffer.count);
	next = mono_min(t->link_deadline, mqtt_session_deadline(&t->session));
	if (!t->parting && !t->close_when_sent && !t->closing)
		next = mono_min(next, t->first_deadline);
	next = mono_min(next, t->losses_deadline);
	next = mono_min(next, inbound_deadline(&t->inbound, &t->session, now));
	/* What a completion or an acknowledgement has to free first is no deadline: each comes back here. */
	if (t->session.state == MQTT_SESSION_ONLINE && !stream_is_sending(&t->stream) &&
	    t->waiting_count == 0 && target_may_take(t) && !t->hello_due &&
	    !mqtt_session_resending(&t->session))
		next = mono_min(next, t->flush_deadline);
	if (t->parting && !t->left && !t->close_when_sent && !t->closing && !stream_is_sending(&t->stream))
		next = mono_min(next, t->part_deadline);
	if (t->session.state == MQTT_SESSION_ONLINE && !stream_is_sending(&t->stream) &&
	    t->flush_deadline.ns == MONO_NEVER.ns && t->waiting_count == 0 && target_may_take(t) &&
	    !t->hello_due && mqtt_session_room(&t->session) > 0) {
		if (!ring_idle(t->ring))
			next = now; /* a step's discards were not all */
		next = mono_min(next, target_replay_deadline(t));
	}
	if (t->session.state != MQTT_SESSION_ONLINE && !t->left)
		next = mono_min(next, target_trim(t));
	timer_set(&t->publisher->timers, &t->timer, t->left ? MONO_NEVER : next);
}
