/* Subscriptions: asked for once a session of the server's, one packet each, so that each can have its identifier. */
#include "proto/mqtt_session_priv.h"

#include "proto/mqtt_encode.h"

#define PACKET_SPARE_BYTES 48 /* fixed header, identifiers, options; and room for answers beside it */

/* --- states --------------------------------------------------------------------------------------------------- */

static void enter(struct mqtt_session *s, uint32_t filter_idx, enum mqtt_subscription_state state,
		  uint8_t code)
{
	counter_set(&s->subscriptions[filter_idx].view, (uint64_t)state << 8 | code);
}

static enum mqtt_subscription_state state_of(const struct mqtt_session *s, uint32_t filter_idx)
{
	return (enum mqtt_subscription_state)(counter_get(&s->subscriptions[filter_idx].view) >> 8);
}

static bool is_wanted(const struct mqtt_session *s, uint32_t filter_idx)
{
	return filter_idx < s->config.filter_count;
}

static struct bytes text_of(const struct mqtt_session *s, uint32_t filter_idx)
{
	struct bytes kept = mqtt_store_filter(&s->store, filter_idx);

	if (kept.size <= MQTT_SESSION_FILTER_HEAD_BYTES) /* a file's, and checked there; yet */
		return bytes_of(NULL, 0);
	return bytes_of(kept.ptr + MQTT_SESSION_FILTER_HEAD_BYTES,
			kept.size - MQTT_SESSION_FILTER_HEAD_BYTES);
}

void mqtt_session_filter_write(struct writer *w, const struct mqtt_session_filter *f)
{
	write_u8(w, (uint8_t)(f->options.qos | f->options.no_local << 2 |
			      f->options.retain_as_published << 3 | f->options.retain_handling << 4));
	write_u32(w, f->id);
	write_bytes(w, f->options.filter.ptr, f->options.filter.size);
}

void session_subscribe_begin(struct mqtt_session *s, bool session_present)
{
	s->subscribe_next = 0;
	s->asked_count = 0;
	memset(s->asked, 0, sizeof(s->asked));
	for (uint32_t i = 0; i < s->store.shape.filter_count; i++) {
		if (!session_present)
			mqtt_store_set_subscribed(&s->store, i, false);
		bool has = mqtt_store_subscribed(&s->store, i) && !s->doubtful;
		bool may_have = mqtt_store_filter_state(&s->store, i) != MQTT_STORE_FILTER_NONE;

		if (is_wanted(s, i))
			enter(s, i, has ? MQTT_SUBSCRIPTION_DONE : MQTT_SUBSCRIPTION_NEEDED,
			      has ? mqtt_store_granted(&s->store, i) : 0);
		else
			enter(s, i, may_have ? MQTT_SUBSCRIPTION_STALE : MQTT_SUBSCRIPTION_GONE, 0);
	}
}

/* --- asking --------------------------------------------------------------------------------------------------- */

/* The filter twice: its list entry is made up at the end of the outbox, the packet at its front. */
size_t session_subscribe_bytes(const struct mqtt_session_config *config)
{
	return 2 * (size_t)config->filter_bytes_max + PACKET_SPARE_BYTES;
}

static bool outbox_has_room(const struct mqtt_session *s, struct bytes filter)
{
	return s->outbox_room - s->outbox_bytes >= 2 * filter.size + PACKET_SPARE_BYTES;
}

static uint16_t identifier_take(struct mqtt_session *s, uint32_t filter_idx)
{
	uint32_t at = filter_idx % MQTT_SESSION_ASKED_MAX;

	while (s->asked[at]) /* asked_count says that there is one */
		at = (at + 1) % MQTT_SESSION_ASKED_MAX;
	s->asked[at] = filter_idx + 1;
	s->asked_count++;
	return (uint16_t)(MQTT_SESSION_INFLIGHT_MAX + 1 + at);
}

static uint32_t identifier_give(struct mqtt_session *s, uint16_t packet_id)
{
	uint32_t at = (uint32_t)packet_id - MQTT_SESSION_INFLIGHT_MAX - 1;
	uint32_t filter_idx;

	if (packet_id <= MQTT_SESSION_INFLIGHT_MAX || s->asked[at] == 0)
		return UINT32_MAX;
	filter_idx = s->asked[at] - 1;
	s->asked[at] = 0;
	s->asked_count--;
	return filter_idx;
}

/* SUBSCRIBE for what is wanted, UNSUBSCRIBE for what is stale; its size. */
static int write_request(struct mqtt_session *s, uint32_t filter_idx, uint16_t packet_id)
{
	struct bytes filter = text_of(s, filter_idx);
	size_t entry_bytes = filter.size + 3;
	uint8_t *entry = s->outbox + s->outbox_room - entry_bytes;
	struct writer ew = writer_of(entry, entry_bytes), w = session_outbox(s);
	struct mqtt_subscribe p = {.packet_id = packet_id};
	uint8_t id[8];
	struct writer iw = writer_of(id, sizeof(id));

	w.end = entry;
	if (!is_wanted(s, filter_idx)) {
		mqtt_write_filter(&ew, filter);
		p.filters = bytes_of(entry, (size_t)(ew.at - entry));
		return mqtt_encode_unsubscribe(&w, s->config.version, &p);
	}
	const struct mqtt_session_filter *f = &s->config.filters[filter_idx];

	mqtt_write_subscription(&ew, s->config.version, &f->options);
	p.filters = bytes_of(entry, (size_t)(ew.at - entry));
	if (session_is_v5(s) && f->id && s->server.subscription_ids) {
		mqtt_write_subscription_identifier(&iw, f->id);
		p.props.raw = bytes_of(id, (size_t)(iw.at - id));
	}
	return mqtt_encode_subscribe(&w, s->config.version, &p);
}

/* What the server said that it has not got is not asked for; 0: it has. */
static uint8_t unavailable(const struct mqtt_session *s, uint32_t filter_idx)
{
	const struct mqtt_session_filter *f;

	if (!is_wanted(s, filter_idx))
		return 0;
	f = &s->config.filters[filter_idx];
	if (f->wildcard && !s->server.wildcards)
		return MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED;
	if (f->shared && !s->server.shared)
		return MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
	return 0;
}

/* NEEDED and STALE go on; the others have nothing to ask. True: *event. */
static bool ask(struct mqtt_session *s, uint32_t filter_idx, struct mqtt_event *event)
{
	uint8_t code = unavailable(s, filter_idx);
	uint16_t packet_id;
	int size;

	if (code == 0) {
		packet_id = identifier_take(s, filter_idx);
		size = write_request(s, filter_idx, packet_id);
		if (size > 0 && (uint32_t)size <= s->server.max_packet_bytes) { /* [MQTT-3.2.2-15] */
			session_outbox_add(s, size);
			if (is_wanted(s, filter_idx))
				mqtt_store_set_filter_state(&s->store, filter_idx, MQTT_STORE_FILTER_ASKED);
			if (is_wanted(s, filter_idx))
				enter(s, filter_idx, MQTT_SUBSCRIPTION_ASKED, 0); /* NEEDED -> ASKED */
			else
				enter(s, filter_idx, MQTT_SUBSCRIPTION_LEAVING, 0); /* STALE -> LEAVING */
			return false;
		}
		(void)identifier_give(s, packet_id);
		code = MQTT_PACKET_TOO_LARGE;
	}
	if (!is_wanted(s, filter_idx)) { /* it stays in the store, as subscribed: another time */
		enter(s, filter_idx, MQTT_SUBSCRIPTION_GONE, code); /* STALE -> GONE */
		return false;
	}
	enter(s, filter_idx, MQTT_SUBSCRIPTION_REFUSED, code); /* NEEDED -> REFUSED, by the server's limits */
	*event = (struct mqtt_event){.kind = MQTT_EVENT_SUBSCRIPTION, .filter_idx = filter_idx, .code = code};
	return true;
}

bool mqtt_session_subscribe(struct mqtt_session *s, struct mqtt_event *event)
{
	while (s->state == MQTT_SESSION_ONLINE && s->subscribe_next < s->store.shape.filter_count &&
	       s->asked_count < MQTT_SESSION_ASKED_MAX) {
		enum mqtt_subscription_state state = state_of(s, s->subscribe_next);

		if (!outbox_has_room(s, text_of(s, s->subscribe_next)))
			return false;
		s->subscribe_next++;
		if ((state == MQTT_SUBSCRIPTION_NEEDED || state == MQTT_SUBSCRIPTION_STALE) &&
		    ask(s, s->subscribe_next - 1, event))
			return true;
	}
	return false;
}

/* --- answers -------------------------------------------------------------------------------------------------- */

/* A refusal leaves the filter in the store: the server has it still, and is asked again on the next connection. */
static bool on_unsuback(struct mqtt_session *s, uint32_t filter_idx, struct bytes codes,
			struct mqtt_event *event)
{
	uint8_t code = MQTT_SUCCESS; /* 3.1.1 has none */

	if (session_is_v5(s)) {
		if (codes.size != 1) /* [MQTT-3.11.3-1] */
			return session_peer_failed(s, MQTT_PROTOCOL_ERROR,
						   "UNSUBACK with another number of codes", event);
		code = codes.ptr[0];
	}
	if (code < 0x80)
		mqtt_store_set_subscribed(&s->store, filter_idx, false);
	enter(s, filter_idx, MQTT_SUBSCRIPTION_GONE, code); /* LEAVING -> GONE */
	return false;
}

bool session_on_suback(struct mqtt_session *s, enum mqtt_type type, const struct mqtt_suback *ack,
		       struct mqtt_event *event)
{
	uint32_t filter_idx = identifier_give(s, ack->packet_id);
	enum mqtt_subscription_state state;
	uint8_t code;

	if (filter_idx == UINT32_MAX)
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "an answer to nothing we asked", event);
	state = state_of(s, filter_idx);
	if ((type == MQTT_SUBACK) != (state == MQTT_SUBSCRIPTION_ASKED))
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "SUBACK and UNSUBACK exchanged", event);
	if (type == MQTT_UNSUBACK)
		return on_unsuback(s, filter_idx, ack->codes, event);
	if (ack->codes.size != 1) /* [MQTT-3.8.4-6]: one for each filter, and we sent one */
		return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "SUBACK with another number of codes",
					   event);
	code = ack->codes.ptr[0];
	if (code < 0x80) {
		mqtt_store_set_granted(&s->store, filter_idx, code & 3);
		enter(s, filter_idx, MQTT_SUBSCRIPTION_DONE, code); /* ASKED -> DONE */
	} else {
		mqtt_store_set_subscribed(&s->store, filter_idx, false);
		enter(s, filter_idx, MQTT_SUBSCRIPTION_REFUSED, code); /* ASKED -> REFUSED */
	}
	*event = (struct mqtt_event){.kind = MQTT_EVENT_SUBSCRIPTION, .filter_idx = filter_idx, .code = code};
	return true;
}
