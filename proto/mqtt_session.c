#include "proto/mqtt_session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_publish.h"

#define OUTBOX_SPARE_BYTES 2048

static bool is_v5(const struct mqtt_session *s)
{
	return s->config.version == MQTT_5;
}

/* --- set-up ------------------------------------------------------------------------------------------------ */

size_t mqtt_session_outbox_bytes(const struct mqtt_session_config *config)
{
	const struct mqtt_connect *c = &config->connect;

	/* CONNECT is the largest packet we write; the password comes later, 512 bytes at most. */
	return OUTBOX_SPARE_BYTES + 512 + c->user_name.size + c->client_id.size + c->will.topic.size +
	       c->will.payload.size + c->props.raw.size + c->will.props.raw.size;
}

void mqtt_session_init(struct mqtt_session *s, const struct mqtt_session_config *config,
		       struct mqtt_inflight_entry *entries, uint32_t inflight_max, uint16_t *alias_of,
		       uint8_t *outbox, size_t outbox_bytes)
{
	ASSERT(outbox_bytes >= mqtt_session_outbox_bytes(config));
	*s = (struct mqtt_session){
		.config = *config,
		.alias_of = alias_of,
		.outbox = outbox,
		.outbox_room = outbox_bytes,
		.last_sent = MONO_NEVER,
		.ping_deadline = MONO_NEVER,
	};
	mqtt_inflight_init(&s->inflight, entries, inflight_max);
}

/* --- writing ----------------------------------------------------------------------------------------------- */

static struct writer outbox_writer(struct mqtt_session *s)
{
	return writer_of(s->outbox + s->outbox_bytes, s->outbox_room - s->outbox_bytes);
}

static bool outbox_has_room(const struct mqtt_session *s)
{
	return s->outbox_room - s->outbox_bytes >= MQTT_SESSION_ANSWER_BYTES;
}

/* rc is what an encoder returned for the writer at the end of the outbox. */
static void outbox_add(struct mqtt_session *s, int rc)
{
	ASSERT(rc > 0); /* callers keep MQTT_SESSION_ANSWER_BYTES free and encode nothing invalid */
	s->outbox_bytes += (size_t)rc;
}

static void write_ack(struct mqtt_session *s, enum mqtt_type type, uint16_t packet_id, enum mqtt_reason code)
{
	struct writer w = outbox_writer(s);
	struct mqtt_ack ack = {.packet_id = packet_id, .code = is_v5(s) ? (uint8_t)code : 0};

	outbox_add(s, mqtt_encode_ack(&w, s->config.version, type, &ack));
}

static void say_reason(struct mqtt_session *s, const char *format, ...) PRINTF(2, 3);
static void say_reason(struct mqtt_session *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->reason, sizeof(s->reason), format, args);
	va_end(args);
	for (char *c = s->reason; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?'; /* a server's words must not drive a terminal */
}

static bool closing(struct mqtt_session *s, struct mqtt_event *event)
{
	s->state = MQTT_SESSION_CLOSING;
	*event = (struct mqtt_event){.kind = MQTT_EVENT_CLOSE};
	return true;
}

void mqtt_session_disconnect(struct mqtt_session *s, enum mqtt_reason code)
{
	struct mqtt_goodbye bye = {.code = is_v5(s) ? (uint8_t)code : 0};
	struct writer w = outbox_writer(s);

	if (s->state == MQTT_SESSION_ONLINE && outbox_has_room(s) && (is_v5(s) || code == MQTT_SUCCESS))
		outbox_add(s, mqtt_encode_disconnect(&w, s->config.version, MQTT_CLIENT, &bye));
	if (s->state != MQTT_SESSION_IDLE)
		s->state = MQTT_SESSION_CLOSING;
}

/* The peer broke a rule [MQTT-4.13.1-1]: say which, tell it where the version has words for that, and close. */
static bool peer_failed(struct mqtt_session *s, enum mqtt_reason code, const char *text,
			struct mqtt_event *event)
{
	say_reason(s, "server broke the protocol: %s", text);
	mqtt_session_disconnect(s, code);
	return closing(s, event);
}

static void set_u32(struct mqtt_props *p, enum mqtt_prop id, uint32_t *field, uint32_t value)
{
	mqtt_props_set(p, id);
	*field = value;
}

void mqtt_session_connect(struct mqtt_session *s, struct bytes password, struct mono now)
{
	struct mqtt_connect c = s->config.connect;
	struct writer w = outbox_writer(s);

	ASSERT(s->state == MQTT_SESSION_IDLE);
	ASSERT(s->outbox_bytes == 0);
	if (s->assigned_id[0])
		c.client_id = bytes_of_text(s->assigned_id);
	c.password = password;
	/* A server may keep a session from before we were started, with messages half way through QoS 2 that nobody is
	 * going to finish. 5.0 can discard it and keep the new one; 3.1.1 must ask first. */
	s->cleaning = s->cleaning || (is_v5(s) && !s->has_state);
	c.clean_start = c.clean_start || s->cleaning;
	if (is_v5(s)) {
		mqtt_props_set(&c.props, MQTT_PROP_RECEIVE_MAXIMUM);
		c.props.receive_maximum = MQTT_SESSION_INBOUND_MAX;
		if (s->config.max_packet_bytes)
			set_u32(&c.props, MQTT_PROP_MAXIMUM_PACKET_SIZE, &c.props.maximum_packet_size_bytes,
				s->config.max_packet_bytes);
	}
	s->state = MQTT_SESSION_CONNECTING;
	s->starts_over = false;
	s->reason[0] = 0;
	s->connack_code = 0;
	s->keep_alive_ns = c.keep_alive_s * NS_PER_S;
	s->last_sent = s->last_received = now;
	s->ping_deadline = MONO_NEVER;
	s->alias_count = 0;
	if (s->config.channel_count)
		memset(s->alias_of, 0, s->config.channel_count * sizeof(s->alias_of[0])); /* [MQTT-3.3.2-7] */
	outbox_add(s, mqtt_encode_connect(&w, s->config.version, &c));
}

void mqtt_session_sent(struct mqtt_session *s, struct mono now)
{
	s->last_sent = now;
}

void mqtt_session_forget_server(struct mqtt_session *s)
{
	ASSERT(s->state == MQTT_SESSION_IDLE);
	s->has_state = s->cleaning = false;
	s->assigned_id[0] = 0;
}

void mqtt_session_lost(struct mqtt_session *s)
{
	s->state = MQTT_SESSION_IDLE;
	s->outbox_bytes = 0;
	s->resend_next = 0;
	s->quota = 0;
	s->ping_deadline = MONO_NEVER;
}

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
}

static bool released(struct mqtt_event *event, void *token, uint8_t code)
{
	*event = (struct mqtt_event){.kind = MQTT_EVENT_RELEASED, .token = token, .code = code};
	return true;
}

static bool on_puback(struct mqtt_session *s, const struct mqtt_ack *ack, struct mqtt_event *event)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, ack->packet_id);

	if (!e)
		return false; /* of a session that is gone: nothing to do */
	if (e->state != MQTT_INFLIGHT_PUBLISHED_1)
		return peer_failed(s, MQTT_PROTOCOL_ERROR, "PUBACK for a QoS 2 message", event);
	void *token = e->token;

	entry_done(s, ack->packet_id);
	return released(event, token, ack->code);
}

static bool on_pubrec(struct mqtt_session *s, const struct mqtt_ack *ack, struct mqtt_event *event)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, ack->packet_id);

	if (!e) {
		if (ack->code < 0x80)
			write_ack(s, MQTT_PUBREL, ack->packet_id, MQTT_PACKET_IDENTIFIER_NOT_FOUND);
		return false;
	}
	if (e->state == MQTT_INFLIGHT_PUBLISHED_1)
		return peer_failed(s, MQTT_PROTOCOL_ERROR, "PUBREC for a QoS 1 message", event);
	void *token = e->token;

	if (ack->code >= 0x80) { /* refused: that is the end of it, no PUBREL (4.3.3) */
		bool first = e->state == MQTT_INFLIGHT_PUBLISHED_2;

		entry_done(s, ack->packet_id);
		return first && released(event, token, ack->code);
	}
	write_ack(s, MQTT_PUBREL, ack->packet_id, MQTT_SUCCESS); /* [MQTT-4.3.3-4], also for a repeated one */
	if (e->state == MQTT_INFLIGHT_RELEASED)
		return false;
	if (s->resend_next == ack->packet_id) /* its PUBREL has just gone out */
		s->resend_next = s->resend_next == s->resend_newest ? 0 : e->newer;
	e->state = MQTT_INFLIGHT_RELEASED;
	e->token = NULL;
	return released(event, token, ack->code);
}

static bool on_pubcomp(struct mqtt_session *s, const struct mqtt_ack *ack, struct mqtt_event *event)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, ack->packet_id);

	if (!e)
		return false;
	if (e->state != MQTT_INFLIGHT_RELEASED)
		return peer_failed(s, MQTT_PROTOCOL_ERROR, "PUBCOMP before PUBREC", event);
	entry_done(s, ack->packet_id);
	return false;
}

/* --- inbound messages --------------------------------------------------------------------------------------- */

static uint32_t inbound_find(const struct mqtt_session *s, uint16_t id)
{
	uint32_t i = 0;

	while (i < s->inbound_count && s->inbound_ids[i] != id)
		i++;
	return i;
}

static bool on_publish(struct mqtt_session *s, const struct mqtt_publish *p, struct mqtt_event *event)
{
	if (mqtt_props_has(&p->props, MQTT_PROP_TOPIC_ALIAS)) /* we announce none [MQTT-3.3.2-9] */
		return peer_failed(s, MQTT_TOPIC_ALIAS_INVALID, "topic alias above our maximum", event);
	*event = (struct mqtt_event){.kind = MQTT_EVENT_MESSAGE, .publish = *p};
	if (p->qos == 0)
		return true;
	if (p->qos == 1) {
		write_ack(s, MQTT_PUBACK, p->packet_id, MQTT_SUCCESS); /* [MQTT-4.3.2-4] */
		return true;
	}
	uint32_t at = inbound_find(s, p->packet_id);

	if (at == s->inbound_count && s->inbound_count == MQTT_SESSION_INBOUND_MAX)
		return peer_failed(s, MQTT_RECEIVE_MAXIMUM_EXCEEDED,
				   "more QoS 2 messages than our receive maximum", event);
	write_ack(s, MQTT_PUBREC, p->packet_id, MQTT_SUCCESS);
	if (at < s->inbound_count)
		return false; /* the same message again: acknowledged, not delivered [MQTT-4.3.3-10] */
	s->inbound_ids[s->inbound_count++] = p->packet_id;
	return true;
}

static void on_pubrel(struct mqtt_session *s, const struct mqtt_ack *ack)
{
	uint32_t at = inbound_find(s, ack->packet_id);
	bool known = at < s->inbound_count;

	if (known)
		s->inbound_ids[at] = s->inbound_ids[--s->inbound_count];
	write_ack(s, MQTT_PUBCOMP, ack->packet_id, known ? MQTT_SUCCESS : MQTT_PACKET_IDENTIFIER_NOT_FOUND);
}

/* --- CONNACK and DISCONNECT --------------------------------------------------------------------------------- */

static void limits_take(struct mqtt_session *s, const struct mqtt_props *p)
{
	s->server = (struct mqtt_server_limits){
		.max_packet_bytes = mqtt_props_has(p, MQTT_PROP_MAXIMUM_PACKET_SIZE)
					    ? p->maximum_packet_size_bytes
					    : MQTT_PACKET_BYTES_MAX,
		.receive_max = mqtt_props_has(p, MQTT_PROP_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX,
		.topic_alias_max = mqtt_props_has(p, MQTT_PROP_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum
										    : 0,
		.qos_max = mqtt_props_has(p, MQTT_PROP_MAXIMUM_QOS) ? p->maximum_qos : 2,
		.retain_available = !mqtt_props_has(p, MQTT_PROP_RETAIN_AVAILABLE) || p->retain_available,
	};
	if (s->server.topic_alias_max > s->config.topic_alias_max)
		s->server.topic_alias_max = s->config.topic_alias_max;
	if (mqtt_props_has(p, MQTT_PROP_SERVER_KEEP_ALIVE)) /* [MQTT-3.1.2-21] */
		s->keep_alive_ns = p->server_keep_alive_s * NS_PER_S;
	if (mqtt_props_has(p, MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER) &&
	    p->assigned_client_identifier.size < sizeof(s->assigned_id))
		snprintf(s->assigned_id, sizeof(s->assigned_id), "%.*s",
			 (int)p->assigned_client_identifier.size,
			 (const char *)p->assigned_client_identifier.ptr);
}

/* The server has no session of ours: what it had acknowledged with PUBREC is done, the rest is sent as new. */
static void forget_released(struct mqtt_session *s)
{
	for (uint16_t id = s->inflight.oldest; id;) {
		uint16_t newer = s->inflight.entries[id].newer;

		if (s->inflight.entries[id].state == MQTT_INFLIGHT_RELEASED)
			mqtt_inflight_free(&s->inflight, id);
		id = newer;
	}
	s->inbound_count = 0;
}

static bool start_over(struct mqtt_session *s, const char *why, struct mqtt_event *event)
{
	say_reason(s, "%s", why);
	s->starts_over = true;
	s->state = MQTT_SESSION_ONLINE; /* accepted: a good-bye is in order */
	mqtt_session_disconnect(s, MQTT_SUCCESS);
	return closing(s, event);
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

static bool on_connack(struct mqtt_session *s, const struct mqtt_connack *c, struct mono now,
		       struct mqtt_event *event)
{
	if (c->code != 0) {
		bool told = mqtt_props_has(&c->props, MQTT_PROP_REASON_STRING);

		s->connack_code = c->code;
		say_reason(s, "%s (%u)%s%.*s", mqtt_reason_text(s->config.version, MQTT_CONNACK, c->code),
			   c->code, told ? ": " : "",
			   told ? (int)min_size(c->props.reason_string.size, 80) : 0,
			   told ? (const char *)c->props.reason_string.ptr : "");
		return closing(s, event);
	}
	if (c->session_present && (s->config.connect.clean_start || s->cleaning)) { /* [MQTT-3.2.2-2] */
		s->cleaning = false;
		return peer_failed(s, MQTT_PROTOCOL_ERROR, "session present after a clean start", event);
	}
	if (c->session_present && !s->has_state) { /* [MQTT-3.2.2-4]; the next CONNECT discards it */
		s->cleaning = true;
		return start_over(s, "the server keeps a session from before our start: discarding it",
				  event);
	}
	if (s->cleaning && !is_v5(s) && !s->config.connect.clean_start) { /* it is gone; now one that stays */
		s->cleaning = false;
		s->has_state = true; /* and not once more, whatever it says next */
		return start_over(s, "the server's old session is discarded: connecting for a new one",
				  event);
	}
	s->cleaning = false;
	s->has_state = true;
	limits_take(s, &c->props);
	if (!c->session_present)
		forget_released(s);
	s->state = MQTT_SESSION_ONLINE;
	quota_begin(s);
	s->resend_next = s->inflight.oldest;
	s->resend_newest = s->inflight.newest;
	s->resend_dup = c->session_present;
	s->last_received = now;
	*event = (struct mqtt_event){.kind = MQTT_EVENT_ONLINE, .session_present = c->session_present};
	return true;
}

static bool on_disconnect(struct mqtt_session *s, const struct mqtt_goodbye *d, struct mqtt_event *event)
{
	bool told = mqtt_props_has(&d->props, MQTT_PROP_REASON_STRING);

	s->connack_code = d->code;
	say_reason(s, "server disconnected: %s (%u)%s%.*s",
		   mqtt_reason_text(s->config.version, MQTT_DISCONNECT, d->code), d->code, told ? ": " : "",
		   told ? (int)min_size(d->props.reason_string.size, 80) : 0,
		   told ? (const char *)d->props.reason_string.ptr : "");
	return closing(s, event);
}

bool mqtt_session_refusal_is_lasting(const struct mqtt_session *s)
{
	if (!is_v5(s))
		return s->connack_code == MQTT_RETURN_UNACCEPTABLE_PROTOCOL_VERSION ||
		       s->connack_code == MQTT_RETURN_IDENTIFIER_REJECTED ||
		       s->connack_code == MQTT_RETURN_BAD_USER_NAME_OR_PASSWORD ||
		       s->connack_code == MQTT_RETURN_NOT_AUTHORIZED;
	switch (s->connack_code) {
	case MQTT_UNSUPPORTED_PROTOCOL_VERSION:
	case MQTT_CLIENT_IDENTIFIER_NOT_VALID:
	case MQTT_BAD_USER_NAME_OR_PASSWORD:
	case MQTT_NOT_AUTHORIZED:
	case MQTT_BANNED:
	case MQTT_BAD_AUTHENTICATION_METHOD:
	case MQTT_SESSION_TAKEN_OVER: /* somebody else has our client id: two that fight help nobody */
		return true;
	default: return false;
	}
}

/* --- input ---------------------------------------------------------------------------------------------------- */

/* One packet. True: *event is to be performed. */
static bool on_packet(struct mqtt_session *s, const struct mqtt_packet *p, struct mono now,
		      struct mqtt_event *event)
{
	if (s->state == MQTT_SESSION_CONNECTING) {
		if (p->type == MQTT_CONNACK)
			return on_connack(s, &p->connack, now, event);
		return peer_failed(s, MQTT_PROTOCOL_ERROR, "a packet before CONNACK",
				   event); /* [MQTT-3.2.0-1] */
	}
	switch (p->type) {
	case MQTT_PUBLISH: return on_publish(s, &p->publish, event);
	case MQTT_PUBACK: return on_puback(s, &p->ack, event);
	case MQTT_PUBREC: return on_pubrec(s, &p->ack, event);
	case MQTT_PUBREL: on_pubrel(s, &p->ack); return false;
	case MQTT_PUBCOMP: return on_pubcomp(s, &p->ack, event);
	case MQTT_PINGRESP: s->ping_deadline = MONO_NEVER; return false;
	case MQTT_DISCONNECT: return on_disconnect(s, &p->goodbye, event);
	case MQTT_CONNACK: return peer_failed(s, MQTT_PROTOCOL_ERROR, "a second CONNACK", event);
	case MQTT_AUTH: /* we never ask for enhanced authentication [MQTT-4.12.0-6] */
		return peer_failed(s, MQTT_PROTOCOL_ERROR, "AUTH without an authentication method", event);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return peer_failed(s, MQTT_PROTOCOL_ERROR, "an answer to nothing we asked", event);
	case MQTT_CONNECT:
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
	case MQTT_PINGREQ: break; /* the decoder does not let a server send these */
	}
	UNREACHABLE();
}

bool mqtt_session_receive(struct mqtt_session *s, struct bytes *input, struct mono now,
			  struct mqtt_event *event)
{
	struct mqtt_packet packet;
	struct mqtt_error error;

	if (input->size) {
		s->last_received = now;
		if (s->ping_deadline.ns != MONO_NEVER.ns) /* the answer may wait behind other signs of life */
			s->ping_deadline = mono_add(now, s->keep_alive_ns / 2);
	}
	while (input->size && outbox_has_room(s) &&
	       (s->state == MQTT_SESSION_CONNECTING || s->state == MQTT_SESSION_ONLINE)) {
		int n = mqtt_decode(*input, s->config.version, MQTT_SERVER, s->config.max_packet_bytes,
				    &packet, &error);

		if (n == 0)
			return false;
		if (n < 0)
			return peer_failed(s, error.reason, error.text, event);
		*input = bytes_of(input->ptr + n, input->size - (size_t)n);
		if (on_packet(s, &packet, now, event))
			return true;
	}
	return false;
}

/* --- time ------------------------------------------------------------------------------------------------------- */

/* We ask for a sign of life when nothing was sent, as the server wants it [MQTT-3.1.2-20], and when nothing was received,
 * so that a dead path is noticed under load too; half a keep-alive for the answer: 1.5 in all. */
static struct mono ping_due(const struct mqtt_session *s)
{
	return mono_add(mono_min(s->last_sent, s->last_received), s->keep_alive_ns);
}

struct mono mqtt_session_deadline(const struct mqtt_session *s)
{
	if (s->state != MQTT_SESSION_ONLINE || s->keep_alive_ns == 0)
		return MONO_NEVER;
	if (!outbox_has_room(s)) /* no PINGREQ before something is sent: a past deadline would only spin */
		return s->ping_deadline;
	if (s->ping_deadline.ns == MONO_NEVER.ns)
		return ping_due(s);
	return mono_min(s->ping_deadline, mono_add(s->last_sent, s->keep_alive_ns));
}

bool mqtt_session_tick(struct mqtt_session *s, struct mono now, struct mqtt_event *event)
{
	if (s->state != MQTT_SESSION_ONLINE || s->keep_alive_ns == 0)
		return false;
	if (mono_reached(now, s->ping_deadline)) {
		say_reason(s, "no answer to a ping within half a keep-alive: the connection is dead");
		return closing(s, event);
	}
	bool waiting = s->ping_deadline.ns != MONO_NEVER.ns;

	if (!mono_reached(now, waiting ? mono_add(s->last_sent, s->keep_alive_ns) : ping_due(s)) ||
	    !outbox_has_room(s))
		return false;
	struct writer w = outbox_writer(s);

	outbox_add(s, mqtt_encode_pingreq(&w));
	s->last_sent = now;
	if (!waiting)
		s->ping_deadline = mono_add(now, s->keep_alive_ns / 2);
	return false;
}

/* --- output ------------------------------------------------------------------------------------------------------ */

/* The alias for a topic: what to write, and whether the topic's text may be left out. */
static uint16_t alias_for(struct mqtt_session *s, uint32_t channel_idx, bool *known)
{
	*known = false;
	if (!is_v5(s) || channel_idx >= s->config.channel_count || s->server.topic_alias_max == 0)
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
	bool known;
	uint16_t alias = alias_for(s, m->channel_idx, &known);
	const struct mqtt_publish_header h = {
		.version = s->config.version,
		.qos = qos,
		.dup = dup,
		.retain = m->retain && s->server.retain_available, /* [MQTT-3.2.2-14] */
		.packet_id = packet_id,
		.topic_alias = alias,
		.payload_bytes = m->payload_bytes,
		.topic = known ? bytes_of(NULL, 0) : m->topic,
	};
	uint8_t *at = mqtt_publish_header_backwards(m->payload, &h);

	*packet = bytes_of(at, (size_t)(m->payload - at) + m->payload_bytes);
	if (packet->size <= s->server.max_packet_bytes) /* [MQTT-3.1.2-24] */
		return 0;
	if (s->alias_count != aliases) { /* the packet that says it is not sent */
		s->alias_of[m->channel_idx] = 0;
		s->alias_count--;
	}
	return -EMSGSIZE;
}

int mqtt_session_publish(struct mqtt_session *s, const struct mqtt_message *m, struct bytes *packet)
{
	uint8_t qos = m->qos < s->server.qos_max ? m->qos : s->server.qos_max; /* [MQTT-3.2.2-11] */
	uint16_t id = 0;
	int rc;

	ASSERT(s->state == MQTT_SESSION_ONLINE);
	ASSERT(!mqtt_session_resending(s));
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
		s->inflight.entries[id].counted = true;
		s->quota--;
	}
	return qos > 0;
}

void *mqtt_session_resend(struct mqtt_session *s, uint16_t *packet_id)
{
	while (s->resend_next && outbox_has_room(s)) {
		uint16_t id = s->resend_next;
		struct mqtt_inflight_entry *e = mqtt_inflight_find(&s->inflight, id);

		ASSERT(e);
		if (e->state != MQTT_INFLIGHT_RELEASED) {
			*packet_id = id;
			return s->quota ? e->token : NULL;
		}
		write_ack(s, MQTT_PUBREL, id, MQTT_SUCCESS); /* [MQTT-4.4.0-1] */
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
	e->counted = true;
	s->quota--;
	s->resend_next = packet_id == s->resend_newest ? 0 : e->newer;
	return 1;
}
