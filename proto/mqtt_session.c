#include "proto/mqtt_session_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"

#define OUTBOX_SPARE_BYTES 2048
#define DISCONNECT_BYTES   2 /* the same */

/* --- set-up ------------------------------------------------------------------------------------------------ */

size_t mqtt_session_outbox_bytes(const struct mqtt_session_config *config)
{
	const struct mqtt_connect *c = &config->connect;

	/* CONNECT is the largest packet we write; the password comes later, 512 bytes at most. */
	return OUTBOX_SPARE_BYTES + 512 + c->user_name.size + c->client_id.size + c->will.topic.size +
	       c->will.payload.size + mqtt_props_size_bytes(&c->props) +
	       mqtt_props_size_bytes(&c->will.props) + session_subscribe_bytes(config);
}

void mqtt_session_init(struct mqtt_session *s, const struct mqtt_session_config *config,
		       const struct mqtt_store *store, const struct mqtt_session_memory *memory)
{
	ASSERT(memory->outbox_bytes >= mqtt_session_outbox_bytes(config));
	ASSERT(store->shape.inflight_room <= MQTT_SESSION_INFLIGHT_MAX);
	ASSERT(store->shape.filter_count >= config->filter_count);
	*s = (struct mqtt_session){
		.config = *config,
		.store = *store,
		.alias_of = memory->alias_of,
		.subscriptions = memory->subscriptions,
		.aliases_in = memory->aliases_in,
		.alias_in_sizes = memory->alias_in_sizes,
		.outbox = memory->outbox,
		.outbox_room = memory->outbox_bytes,
		.server_key = mqtt_store_server(store),
		.asked_key = mqtt_store_server(store),
		.will_qos = config->connect.will.qos,
		.will_retain = config->connect.will.retain,
		.has_state = mqtt_store_server(store) != 0,
		.last_sent = MONO_NEVER,
		.ping_deadline = MONO_NEVER,
	};
	mqtt_inflight_init(&s->inflight, memory->entries, store->shape.inflight_room);
	session_out_restore(s);
	session_subscribe_begin(s, true);
}

/* --- writing ----------------------------------------------------------------------------------------------- */

void session_write_ack(struct mqtt_session *s, enum mqtt_type type, uint16_t packet_id, enum mqtt_reason code)
{
	struct writer w = session_outbox(s);

	if (code == MQTT_SUCCESS || !session_is_v5(s) ||
	    s->server.max_packet_bytes <= MQTT_SUCCESS_BYTES) { /* [MQTT-3.2.2-15] */
		session_outbox_add(s, mqtt_encode_success(&w, type, packet_id));
		return;
	}
	session_outbox_add(
		s, mqtt_encode_ack(&w, s->config.version, type,
				   &(struct mqtt_ack){.packet_id = packet_id, .code = (uint8_t)code}));
}

void session_say(struct mqtt_session *s, const char *format, ...)
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
	bool has_code = session_is_v5(s) && s->server.max_packet_bytes > DISCONNECT_BYTES;
	struct mqtt_goodbye bye = {.code = has_code ? (uint8_t)code : 0};
	struct writer w = session_outbox(s);

	if (s->state == MQTT_SESSION_ONLINE && mqtt_session_takes_input(s) &&
	    s->server.max_packet_bytes >= DISCONNECT_BYTES && (session_is_v5(s) || code == MQTT_SUCCESS))
		session_outbox_add(s, mqtt_encode_disconnect(&w, s->config.version, MQTT_CLIENT, &bye));
	if (s->state != MQTT_SESSION_IDLE)
		s->state = MQTT_SESSION_CLOSING;
}

bool session_peer_failed(struct mqtt_session *s, enum mqtt_reason code, const char *text,
			 struct mqtt_event *event)
{
	session_say(s, "server broke the protocol: %s", text);
	mqtt_session_disconnect(s, code);
	return closing(s, event);
}

static void set_u32(struct mqtt_props *p, enum mqtt_prop id, uint32_t *field, uint32_t value)
{
	mqtt_props_set(p, id);
	*field = value;
}

/* Is what this server keeps of us known? */
static bool knows_state(const struct mqtt_session *s)
{
	return s->has_state && s->asked_key == s->server_key;
}

void mqtt_session_connect(struct mqtt_session *s, struct bytes password, struct mono now)
{
	struct mqtt_connect c = s->config.connect;
	struct writer w = session_outbox(s);

	ASSERT(s->state == MQTT_SESSION_IDLE);
	ASSERT(s->outbox_bytes == 0);
	c.will.qos = s->will_qos;
	c.will.retain = s->will_retain;
	if (c.client_id.size == 0 && knows_state(s)) /* it has chosen one: it goes by that name */
		c.client_id = bytes_of_text(mqtt_store_assigned_id(&s->store));
	c.password = password;
	c.clean_start = c.clean_start || s->cleaning;
	if (session_is_v5(s)) {
		mqtt_props_set(&c.props, MQTT_PROP_RECEIVE_MAXIMUM);
		c.props.receive_maximum = s->config.receive_max;
		if (s->config.max_packet_bytes)
			set_u32(&c.props, MQTT_PROP_MAXIMUM_PACKET_SIZE, &c.props.maximum_packet_size_bytes,
				s->config.max_packet_bytes);
		if (s->config.topic_alias_in) {
			mqtt_props_set(&c.props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM);
			c.props.topic_alias_maximum = s->config.topic_alias_in;
		}
	}
	/* Asked before, and the answer was lost: what is there now may be a session that began then. */
	s->doubtful = mqtt_store_unanswered(&s->store);
	mqtt_store_set_unanswered(&s->store, true);
	s->skip_bytes = s->skip_before_id_bytes = 0;
	s->state = MQTT_SESSION_CONNECTING; /* IDLE -> CONNECTING */
	s->starts_over = false;
	s->reason[0] = s->reference[0] = 0;
	s->connack_code = 0;
	s->keep_alive_ns = c.keep_alive_s * NS_PER_S;
	s->last_sent = s->last_received = now;
	s->ping_deadline = MONO_NEVER;
	s->alias_count = 0;
	if (s->config.channel_count)
		memset(s->alias_of, 0, s->config.channel_count * sizeof(s->alias_of[0])); /* [MQTT-3.3.2-7] */
	session_outbox_add(s, mqtt_encode_connect(&w, s->config.version, &c));
}

void mqtt_session_sent(struct mqtt_session *s, struct mono now)
{
	s->last_sent = now;
}

void mqtt_session_server(struct mqtt_session *s, uint64_t server_key)
{
	ASSERT(s->state == MQTT_SESSION_IDLE);
	ASSERT(server_key != 0);
	if (server_key == s->asked_key)
		return;
	s->asked_key = server_key;
	s->cleaning = false;
	s->will_qos = s->config.connect.will.qos;
	s->will_retain = s->config.connect.will.retain;
}

void mqtt_session_lost(struct mqtt_session *s)
{
	s->state = MQTT_SESSION_IDLE;
	s->outbox_bytes = 0;
	s->resend_next = 0;
	s->quota = 0;
	s->ping_deadline = MONO_NEVER;
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
		.wildcards = !mqtt_props_has(p, MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE) ||
			     p->wildcard_subscription_available,
		.shared = !mqtt_props_has(p, MQTT_PROP_SHARED_SUBSCRIPTION_AVAILABLE) ||
			  p->shared_subscription_available,
		.subscription_ids = !mqtt_props_has(p, MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE) ||
				    p->subscription_identifier_available,
	};
	if (s->server.topic_alias_max > s->config.topic_alias_max)
		s->server.topic_alias_max = s->config.topic_alias_max;
	if (mqtt_props_has(p, MQTT_PROP_SERVER_KEEP_ALIVE)) /* [MQTT-3.1.2-21] */
		s->keep_alive_ns = p->server_keep_alive_s * NS_PER_S;
}

static void assigned_take(struct mqtt_session *s, const struct mqtt_props *p)
{
	if (mqtt_props_has(p, MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER))
		mqtt_store_set_assigned_id(&s->store, p->assigned_client_identifier);
}

/* What CONNACK and DISCONNECT say in words, and where they send us. */
static void say_goodbye(struct mqtt_session *s, const char *prefix, enum mqtt_type type, uint8_t code,
			const struct mqtt_props *p)
{
	bool told = mqtt_props_has(p, MQTT_PROP_REASON_STRING);

	s->connack_code = code;
	session_say(s, "%s%s (%u)%s%.*s", prefix, mqtt_reason_text(s->config.version, type, code), code,
		    told ? ": " : "", told ? (int)min_size(p->reason_string.size, 80) : 0,
		    told ? (const char *)p->reason_string.ptr : "");
	if ((code == MQTT_USE_ANOTHER_SERVER || code == MQTT_SERVER_MOVED) &&
	    mqtt_props_has(p, MQTT_PROP_SERVER_REFERENCE) && p->server_reference.size < sizeof(s->reference))
		snprintf(s->reference, sizeof(s->reference), "%.*s", (int)p->server_reference.size,
			 (const char *)p->server_reference.ptr);
}

/* Accepted, but not as we can use it: a good-bye is in order. */
static bool leave(struct mqtt_session *s, enum mqtt_reason code, struct mqtt_event *event)
{
	s->state = MQTT_SESSION_ONLINE;
	mqtt_session_disconnect(s, code);
	return closing(s, event);
}

static bool start_over(struct mqtt_session *s, const char *why, struct mqtt_event *event)
{
	session_say(s, "%s", why);
	s->starts_over = true;
	return leave(s, MQTT_SUCCESS, event);
}

/* A server without retained messages, or with a lower maximum QoS, refuses a will that asks for them [MQTT-3.2.2-12,
 * MQTT-3.2.2-13]. Lowered, as our messages are, it is taken: at once, and each but once. */
static bool lower_will(struct mqtt_session *s, const struct mqtt_connack *c)
{
	if (!session_is_v5(s) || !s->config.connect.has_will || s->config.refuse_lowered)
		return false;
	if (c->code == MQTT_RETAIN_NOT_SUPPORTED && s->will_retain) {
		s->will_retain = false;
		return true;
	}
	if (c->code == MQTT_QOS_NOT_SUPPORTED && s->will_qos > 0) {
		s->will_qos--;
		return true;
	}
	return false;
}

static bool on_connack(struct mqtt_session *s, const struct mqtt_connack *c, struct mono now,
		       struct mqtt_event *event)
{
	if (c->code != 0) {
		mqtt_store_set_unanswered(&s->store, s->doubtful); /* it was heard: no session began */
		say_goodbye(s, "", MQTT_CONNACK, c->code, &c->props);
		s->starts_over = lower_will(s, c);
		return closing(s, event); /* CONNECTING -> CLOSING */
	}
	if (mqtt_props_has(&c->props, MQTT_PROP_AUTHENTICATION_METHOD)) /* [MQTT-4.12.0-6] */
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR,
					   "an authentication method that we did not ask for", event);
	limits_take(s, &c->props);
	if (s->server.max_packet_bytes < MQTT_SUCCESS_BYTES) {
		session_say(s,
			    "the server's maximum packet size of %u bytes has no room for an acknowledgement",
			    s->server.max_packet_bytes);
		return leave(s, MQTT_PACKET_TOO_LARGE, event);
	}
	if (c->session_present && (s->config.connect.clean_start || s->cleaning)) { /* [MQTT-3.2.2-2] */
		s->cleaning = false;
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "session present after a clean start",
					   event);
	}
	/* A server may keep a session from before we were started, with messages half way through QoS 2 that nobody is
	 * going to finish. It is asked for, and where it is there, discarded. (To discard without asking is one CONNECT
	 * less, in 5.0; but mosquitto 2.0 does not save a session that was begun so.) */
	if (c->session_present && !knows_state(s)) { /* [MQTT-3.2.2-4]; the next CONNECT discards it */
		s->cleaning = true;
		return start_over(s, "the server keeps a session from before our start: discarding it",
				  event);
	}
	if (s->cleaning && !session_is_v5(s) &&
	    !s->config.connect.clean_start) { /* it is gone; now one that stays */
		s->cleaning = false;
		s->has_state = true; /* and not once more, whatever it says next */
		s->server_key = s->asked_key;
		return start_over(s, "the server's old session is discarded: connecting for a new one",
				  event);
	}
	if (!knows_state(s)) { /* until all is as this one has it, nobody's session is in the store */
		mqtt_store_set_server(&s->store, 0);
		mqtt_store_set_assigned_id(&s->store, bytes_of(NULL, 0));
	}
	s->cleaning = false;
	s->has_state = true;
	s->server_key = s->asked_key;
	assigned_take(s, &c->props);
	s->doubtful = s->doubtful && c->session_present;
	s->state = MQTT_SESSION_ONLINE; /* CONNECTING -> ONLINE */
	session_out_begin(s, c->session_present);
	session_in_begin(s, c->session_present);
	session_subscribe_begin(s, c->session_present);
	/* Last: a store that names a server says what that server knows. */
	if (!s->config.connect.clean_start)
		mqtt_store_set_server(&s->store, s->server_key);
	mqtt_store_set_unanswered(&s->store, false);
	s->last_received = now;
	*event = (struct mqtt_event){.kind = MQTT_EVENT_ONLINE, .session_present = c->session_present};
	return true;
}

static bool on_disconnect(struct mqtt_session *s, const struct mqtt_goodbye *d, struct mqtt_event *event)
{
	say_goodbye(s, "server disconnected: ", MQTT_DISCONNECT, d->code, &d->props);
	return closing(s, event); /* ONLINE -> CLOSING */
}

bool mqtt_session_refusal_is_lasting(const struct mqtt_session *s)
{
	if (!session_is_v5(s))
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
static bool on_ack(struct mqtt_session *s, enum mqtt_type type, uint16_t packet_id, uint8_t code,
		   struct mqtt_event *event)
{
	if (type == MQTT_PUBACK)
		return session_on_puback(s, packet_id, code, event);
	if (type == MQTT_PUBREC)
		return session_on_pubrec(s, packet_id, code, event);
	if (type == MQTT_PUBCOMP)
		return session_on_pubcomp(s, packet_id, event);
	ASSERT(type == MQTT_PUBREL);
	session_on_pubrel(s, packet_id);
	return false;
}

static bool on_packet(struct mqtt_session *s, const struct mqtt_packet *p, struct mono now,
		      struct mqtt_event *event)
{
	if (s->state == MQTT_SESSION_CONNECTING) {
		if (p->type == MQTT_CONNACK)
			return on_connack(s, &p->connack, now, event);
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "a packet before CONNACK",
					   event); /* [MQTT-3.2.0-1] */
	}
	switch (p->type) {
	case MQTT_PUBLISH: return session_on_publish(s, &p->publish, event);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: return on_ack(s, p->type, p->ack.packet_id, p->ack.code, event);
	case MQTT_PINGRESP: s->ping_deadline = MONO_NEVER; return false;
	case MQTT_DISCONNECT: return on_disconnect(s, &p->goodbye, event);
	case MQTT_CONNACK: return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "a second CONNACK", event);
	case MQTT_AUTH: /* we never ask for enhanced authentication [MQTT-4.12.0-6] */
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "AUTH without an authentication method",
					   event);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK: return session_on_suback(s, p->type, &p->suback, event);
	case MQTT_CONNECT:
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
	case MQTT_PINGREQ: break; /* the decoder does not let a server send these */
	}
	UNREACHABLE();
}

static bool too_large(struct mqtt_session *s, struct mqtt_event *event)
{
	session_say(s, "the server sent a packet larger than max_packet, %u bytes",
		    s->config.max_packet_bytes);
	mqtt_session_disconnect(s, MQTT_PACKET_TOO_LARGE);
	return closing(s, event);
}

bool mqtt_session_receive(struct mqtt_session *s, struct bytes *input, struct mono now,
			  struct mqtt_event *event)
{
	struct mqtt_packet packet;
	struct mqtt_error error;
	enum mqtt_type type;
	uint16_t packet_id;

	if (input->size) {
		s->last_received = now;
		if (s->ping_deadline.ns != MONO_NEVER.ns) /* the answer may wait behind other signs of life */
			s->ping_deadline = mono_add(now, s->keep_alive_ns / 2);
	}
	while (input->size && mqtt_session_takes_input(s) &&
	       (s->state == MQTT_SESSION_CONNECTING || s->state == MQTT_SESSION_ONLINE)) {
		int n;

		if (s->skip_bytes) {
			n = session_skip_more(s, input, event);
			if (n)
				return n > 0;
			continue;
		}
		if (s->state == MQTT_SESSION_ONLINE && mqtt_decode_success(*input, &type, &packet_id)) {
			*input = bytes_of(input->ptr + MQTT_SUCCESS_BYTES, input->size - MQTT_SUCCESS_BYTES);
			if (on_ack(s, type, packet_id, MQTT_SUCCESS, event))
				return true;
			continue;
		}
		n = mqtt_decode(*input, s->config.version, MQTT_SERVER, s->config.max_packet_bytes, &packet,
				&error);
		if (n < 0 && error.reason == MQTT_PACKET_TOO_LARGE && s->state == MQTT_SESSION_ONLINE) {
			n = session_skip_publish(s, *input);
			if (n > 0)
				continue;
		}
		if (n == 0)
			return false;
		if (n < 0 && error.reason == MQTT_PACKET_TOO_LARGE)
			return too_large(s, event);
		if (n < 0)
			return session_peer_failed(s, error.reason, error.text, event);
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
	if (!mqtt_session_takes_input(
		    s)) /* no PINGREQ before something is sent: a past deadline would only spin */
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
		session_say(s, "no answer to a ping within half a keep-alive: the connection is dead");
		return closing(s, event);
	}
	bool waiting = s->ping_deadline.ns != MONO_NEVER.ns;

	if (!mono_reached(now, waiting ? mono_add(s->last_sent, s->keep_alive_ns) : ping_due(s)) ||
	    !mqtt_session_takes_input(s))
		return false;
	struct writer w = session_outbox(s);

	session_outbox_add(s, mqtt_encode_pingreq(&w));
	s->last_sent = now;
	if (!waiting)
		s->ping_deadline = mono_add(now, s->keep_alive_ns / 2);
	return false;
}
