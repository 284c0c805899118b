/* Our messages: identifiers, acknowledgements, what comes again after a loss, aliases, the server's limits. */
#include "proto/mqtt_session_priv.h"

#include <errno.h>

#include "proto/mqtt_publish.h"

/* --- identifiers -------------------------------------------------------------------------------------------- */

/* Frees an identifier; a resend that stood on it goes on with the next. */
static void entry_done(struct mqtt_session *s, uint16_t id)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, id);

	if (s->resend_next == id)
		s->resend_next = id == s->resend_newest ? 0 : e->newer;
	else if (s->resend_newest == id)
		s->resend_newest = e->older;
	if (e->counted) {
		ASSERT(s->quota < s->server.receive_max);
		s->quota++;
	}
	mqtt_inflight_free(&s->inflight, id);
	mqtt_store_set(&s->store, id, MQTT_INFLIGHT_FREE);
}

static bool released(struct mqtt_event *event, void *token, uint8_t code)
{
	event->kind = MQTT_EVENT_RELEASED;
	event->token = token;
	event->code = code;
	return true;
}

bool session_on_puback(struct mqtt_session *s, uint16_t packet_id, uint8_t code, struct mqtt_event *event)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, packet_id);

	if (!e)
		return false; /* of a session that is gone: nothing to do */
	if (e->state != MQTT_INFLIGHT_PUBLISHED_1)
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "PUBACK for a QoS 2 message", event);
	void *token = e->token;

	entry_done(s, packet_id); /* PUBLISHED_1 -> FREE */
	return released(event, token, code);
}

bool session_on_pubrec(struct mqtt_session *s, uint16_t packet_id, uint8_t code, struct mqtt_event *event)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, packet_id);

	if (!e) {
		if (code < 0x80)
			session_write_ack(s, MQTT_PUBREL, packet_id, MQTT_PACKET_IDENTIFIER_NOT_FOUND);
		return false;
	}
	if (e->state == MQTT_INFLIGHT_PUBLISHED_1)
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "PUBREC for a QoS 1 message", event);
	void *token = e->token;

	if (code >= 0x80) { /* refused: that is the end of it, no PUBREL (4.3.3) */
		bool first = e->state == MQTT_INFLIGHT_PUBLISHED_2;

		entry_done(s, packet_id); /* PUBLISHED_2 -> FREE, refused */
		return first && released(event, token, code);
	}
	session_write_ack(s, MQTT_PUBREL, packet_id,
			  MQTT_SUCCESS); /* [MQTT-4.3.3-4], also for a repeated one */
	if (e->state == MQTT_INFLIGHT_RELEASED)
		return false;
	if (s->resend_next == packet_id) /* its PUBREL has just gone out */
		s->resend_next = s->resend_next == s->resend_newest ? 0 : e->newer;
	e->state = MQTT_INFLIGHT_RELEASED; /* PUBLISHED_2 -> RELEASED */
	e->token = NULL;
	mqtt_store_set(&s->store, packet_id, MQTT_INFLIGHT_RELEASED);
	return released(event, token, code);
}

bool session_on_pubcomp(struct mqtt_session *s, uint16_t packet_id, struct mqtt_event *event)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, packet_id);

	if (!e)
		return false;
	if (e->state != MQTT_INFLIGHT_RELEASED)
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "PUBCOMP before PUBREC", event);
	entry_done(s, packet_id); /* RELEASED -> FREE */
	return false;
}

/* --- what a store brings ----------------------------------------------------------------------------------------- */

/* In the order of sending: insertion by the store's sequence, which is nearly sorted by identifier. */
void session_out_restore(struct mqtt_session *s)
{
	for (uint32_t i = 1; i <= s->inflight.room; i++) {
		uint64_t sequence;
		enum mqtt_inflight_state state = mqtt_store_get(&s->store, (uint16_t)i, &sequence);

		if (state != MQTT_INFLIGHT_FREE)
			mqtt_inflight_restore(&s->inflight, (uint16_t)i, state, sequence);
	}
}

bool mqtt_session_restored(struct mqtt_session *s, uint16_t *packet_id, struct mqtt_stored *message,
			   uint8_t *qos)
{
	uint16_t id = *packet_id ? s->inflight.entries[*packet_id].newer : s->inflight.oldest;

	while (id && s->inflight.entries[id].state == MQTT_INFLIGHT_RELEASED)
		id = s->inflight.entries[id].newer;
	if (id == 0)
		return false;
	bool sound = mqtt_store_message(&s->store, id, message);

	ASSERT(sound); /* mqtt_store_open has looked at each */
	*qos = s->inflight.entries[id].state == MQTT_INFLIGHT_PUBLISHED_1 ? 1 : 2;
	*packet_id = id;
	return true;
}

void mqtt_session_attach(struct mqtt_session *s, uint16_t packet_id, void *token)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, packet_id);

	ASSERT(e);
	ASSERT(e->state != MQTT_INFLIGHT_RELEASED);
	e->token = token;
}

/* --- a new connection ---------------------------------------------------------------------------------------- */

/* The server has no session of ours: what it had acknowledged with PUBREC is done, the rest is sent as new. */
static void forget_released(struct mqtt_session *s)
{
	for (uint16_t id = s->inflight.oldest; id;) {
		uint16_t newer = s->inflight.entries[id].newer;

		if (s->inflight.entries[id].state == MQTT_INFLIGHT_RELEASED) {
			mqtt_inflight_free(&s->inflight, id);
			mqtt_store_set(&s->store, id, MQTT_INFLIGHT_FREE);
		}
		id = newer;
	}
}

/* Only what was counted against the server's Receive Maximum on this connection gives its place back (4.9). A PUBREL that
 * is to come again counts too, since servers keep that message's place; but one place is left, or PUBLISH packets
 * that stand before it in the order could wait for ever. */
static void quota_begin(struct mqtt_session *s)
{
	s->quota = s->server.receive_max;
	for (uint16_t id = s->inflight.oldest; id; id = s->inflight.entries[id].newer) {
		struct mqtt_inflight_entry *e = &s->inflight.entries[id];

		e->counted = e->state == MQTT_INFLIGHT_RELEASED && s->quota > 1;
		s->quota -= e->counted;
	}
}

void session_out_begin(struct mqtt_session *s, bool session_present)
{
	if (!session_present)
		forget_released(s);
	quota_begin(s);
	s->resend_next = s->inflight.oldest;
	s->resend_newest = s->inflight.newest;
	s->resend_dup = session_present;
}

/* --- output ------------------------------------------------------------------------------------------------------ */

/* The alias for a topic: what to write, and whether the topic's text may be left out. */
static uint16_t alias_for(struct mqtt_session *s, uint32_t channel_idx, bool *known)
{
	*known = false;
	if (!session_is_v5(s) || channel_idx >= s->config.channel_count || s->server.topic_alias_max == 0)
		return 0;
	*known = s->alias_of[channel_idx] != 0;
	if (!*known && s->alias_count < s->server.topic_alias_max)
		s->alias_of[channel_idx] = ++s->alias_count;
	return s->alias_of[channel_idx];
}

static int packet_write(struct mqtt_session *s, const struct mqtt_message *m, uint16_t packet_id, uint8_t qos,
			bool dup, struct bytes *packet)
{
	uint32_t aliases = s->alias_count;
	bool known = false;
	/* None for what is sent again: a server that has the message already may not look at its properties, and close the
	 * connection at the next packet that has the alias alone. ejabberd does. */
	uint16_t alias = dup ? 0 : alias_for(s, m->channel_idx, &known);
	const struct mqtt_publish_header h = {
		.version = s->config.version,
		.qos = qos,
		.dup = dup,
		.retain = m->retain && s->server.retain_available, /* [MQTT-3.2.2-14] */
		.packet_id = packet_id,
		.topic_alias = alias,
		.expiry_s = session_is_v5(s) ? m->expiry_left_s : 0,
		.payload_bytes = m->payload_bytes,
		.topic = known ? bytes_of(NULL, 0) : m->topic,
		.props = session_is_v5(s) ? m->props : bytes_of(NULL, 0),
	};
	uint8_t *at = mqtt_publish_header_backwards(m->payload, &h);

	*packet = bytes_of(at, (size_t)(m->payload - at) + m->payload_bytes);
	if (packet->size <= s->server.max_packet_bytes) /* [MQTT-3.2.2-15] */
		return 0;
	if (s->alias_count != aliases) { /* the packet that says it is not sent */
		s->alias_of[m->channel_idx] = 0;
		s->alias_count--;
	}
	return -EMSGSIZE;
}

/* Before it is sent: whatever becomes of us, the next process goes on with it. */
static void keep(struct mqtt_session *s, uint16_t id, const struct mqtt_message *m)
{
	if (s->store.shape.slot_bytes)
		mqtt_store_keep(&s->store, id,
				&(struct mqtt_stored){.topic = m->topic,
						      .props = m->props,
						      .payload = bytes_of(m->payload, m->payload_bytes),
						      .time_ns = m->time_ns,
						      .origin = m->origin,
						      .expiry_s = m->expiry_s,
						      .retain = m->retain});
	mqtt_store_set(&s->store, id, (enum mqtt_inflight_state)s->inflight.entries[id].state);
}

static bool is_refused(const struct mqtt_session *s, const struct mqtt_message *m, uint8_t qos)
{
	return s->config.refuse_lowered &&
	       (qos > s->server.qos_max || (m->retain && !s->server.retain_available));
}

int mqtt_session_publish(struct mqtt_session *s, const struct mqtt_message *m, struct bytes *packet)
{
	uint8_t qos = m->qos < s->server.qos_max ? m->qos : s->server.qos_max; /* [MQTT-3.2.2-11] */
	uint16_t id = 0;
	int rc;

	ASSERT(s->state == MQTT_SESSION_ONLINE);
	ASSERT(!mqtt_session_resending(s));
	if (is_refused(s, m, m->qos))
		return -EOPNOTSUPP;
	if (qos > 0) {
		if (!mqtt_session_window_open(s)) /* [MQTT-3.3.4-7] */
			return -EAGAIN;
		id = mqtt_inflight_add(&s->inflight, m->token, qos);
	}
	rc = packet_write(s, m, id, qos, false, packet);
	if (rc < 0) {
		if (id)
			mqtt_inflight_free(&s->inflight, id);
		return rc;
	}
	if (id) {
		keep(s, id, m);
		s->inflight.entries[id].counted = true;
		s->quota--;
	}
	return qos > 0;
}

void *mqtt_session_resend(struct mqtt_session *s, uint16_t *packet_id)
{
	while (s->resend_next && mqtt_session_takes_input(s)) {
		uint16_t id = s->resend_next;
		struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, id);

		ASSERT(e);
		if (e->state != MQTT_INFLIGHT_RELEASED) {
			*packet_id = id;
			return s->quota ? e->token : NULL;
		}
		session_write_ack(s, MQTT_PUBREL, id, MQTT_SUCCESS); /* [MQTT-4.4.0-1] */
		s->resend_next = id == s->resend_newest ? 0 : e->newer;
	}
	return NULL;
}

int mqtt_session_republish(struct mqtt_session *s, uint16_t packet_id, const struct mqtt_message *m,
			   struct bytes *packet)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, packet_id);
	uint8_t qos;

	ASSERT(e);
	ASSERT(s->resend_next == packet_id);
	ASSERT(s->quota > 0);
	qos = e->state == MQTT_INFLIGHT_PUBLISHED_1 ? 1 : 2;
	if (is_refused(s, m, qos)) {
		entry_done(s, packet_id);
		return -EOPNOTSUPP;
	}
	if (qos > s->server.qos_max) /* another server, or it has changed its mind [MQTT-3.2.2-11] */
		qos = s->server.qos_max;
	if (packet_write(s, m, qos ? packet_id : 0, qos, qos && s->resend_dup, packet) < 0) {
		entry_done(s, packet_id);
		return -EMSGSIZE;
	}
	if (qos == 0) {
		entry_done(s, packet_id);
		return 0;
	}
	e->state = qos == 1 ? MQTT_INFLIGHT_PUBLISHED_1 : MQTT_INFLIGHT_PUBLISHED_2;
	mqtt_store_set(&s->store, packet_id, (enum mqtt_inflight_state)e->state);
	e->counted = true;
	s->quota--;
	s->resend_next = packet_id == s->resend_newest ? 0 : e->newer;
	return 1;
}
