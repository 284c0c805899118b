/* The server's messages: topic aliases, acknowledgements, each QoS 2 message once. */
#include <string.h>

#include "proto/mqtt_session_priv.h"
#include "proto/mqtt_wire.h"

void session_in_begin(struct mqtt_session *s, bool session_present)
{
	if (s->config.topic_alias_in) /* they end with the connection [MQTT-3.3.2-7] */
		memset(s->alias_in_sizes, 0, s->config.topic_alias_in * sizeof(s->alias_in_sizes[0]));
	if (!session_present)
		mqtt_store_inbound_clear(&s->store);
	s->inbound_before = s->store.inbound_count;
	s->unanswered_count = 0;
}

/* Puts the topic in the place of its alias. False: *event. */
static bool alias_resolve(struct mqtt_session *s, struct mqtt_publish *p, struct mqtt_event *event)
{
	uint32_t alias = p->props.topic_alias;
	uint8_t *topic;

	if (!mqtt_props_has(&p->props, MQTT_PROP_TOPIC_ALIAS))
		return true;
	if (alias == 0 || alias > s->config.topic_alias_in) { /* [MQTT-3.1.2-26, MQTT-3.3.2-11] */
		(void)session_peer_failed(s, MQTT_TOPIC_ALIAS_INVALID, "topic alias above our maximum",
					  event);
		return false;
	}
	topic = s->aliases_in + (size_t)(alias - 1) * s->config.topic_alias_in_bytes;
	if (p->topic.size) {
		ASSERT(p->topic.size <= s->config.topic_alias_in_bytes); /* of the largest packet we accept */
		memcpy(topic, p->topic.ptr, p->topic.size);
		s->alias_in_sizes[alias - 1] = (uint16_t)p->topic.size;
	} else if (s->alias_in_sizes[alias - 1] == 0) {
		(void)session_peer_failed(s, MQTT_PROTOCOL_ERROR, "a topic alias that was never given",
					  event);
		return false;
	}
	p->topic = bytes_of(topic, s->alias_in_sizes[alias - 1]);
	return true;
}

/* 3.1.1 has no Receive Maximum: any identifier may be under way. In 5.0 a server counts from 0 on each connection (4.9), so what
 * it has not released since an earlier one comes on top. A QoS 1 message that is answered at once takes no room. */
static bool exceeds_receive_max(const struct mqtt_session *s, uint8_t qos)
{
	uint32_t under_way = s->unanswered_count + (qos == 2 ? s->store.inbound_count : 0);

	return session_is_v5(s) && under_way >= s->config.receive_max + s->inbound_before;
}

bool session_on_publish(struct mqtt_session *s, const struct mqtt_publish *p, struct mqtt_event *event)
{
	bool again;

	*event = (struct mqtt_event){.kind = MQTT_EVENT_MESSAGE, .publish = *p};
	if (!alias_resolve(s, &event->publish, event))
		return true;
	if (p->qos == 0)
		return true;
	again = p->qos == 2 && mqtt_store_inbound_has(&s->store, p->packet_id);

	/* A server that goes on with a session marks what it sends again [MQTT-3.3.1-1]; so this is another one's. */
	if (again && s->doubtful && !p->dup) {
		mqtt_store_inbound_remove(&s->store, p->packet_id);
		again = false;
	}
	if (!again && exceeds_receive_max(s, p->qos))
		return session_peer_failed(s, MQTT_RECEIVE_MAXIMUM_EXCEEDED,
					   "more messages than our receive maximum", event);
	if (again) { /* the same message: acknowledged, not delivered [MQTT-4.3.3-10] */
		session_write_ack(s, MQTT_PUBREC, p->packet_id, MQTT_SUCCESS);
		return false;
	}
	s->unanswered_count++;
	return true;
}

static void answer(struct mqtt_session *s, uint8_t qos, uint16_t packet_id)
{
	if (qos == 0)
		return;
	if (qos == 1) {
		session_write_ack(s, MQTT_PUBACK, packet_id, MQTT_SUCCESS); /* [MQTT-4.3.2-4] */
		return;
	}
	if (!mqtt_store_inbound_has(&s->store, packet_id))
		mqtt_store_inbound_add(&s->store, packet_id);
	session_write_ack(s, MQTT_PUBREC, packet_id, MQTT_SUCCESS);
}

void mqtt_session_accept(struct mqtt_session *s, uint8_t qos, uint16_t packet_id)
{
	if (s->state != MQTT_SESSION_ONLINE || qos == 0)
		return;
	if (s->unanswered_count) /* 0: it is of an earlier connection */
		s->unanswered_count--;
	answer(s, qos, packet_id);
}

/* A PUBLISH that is larger than our buffer is read past, its topic included, and acknowledged: in a session that is kept a server
 * would send it again for ever. 1: begun, 0: more of its head is needed, -1: not to be done. */
int session_skip_publish(struct mqtt_session *s, struct bytes input)
{
	struct reader r = reader_of(input);
	uint8_t first = read_u8(&r), qos = first >> 1 & 3;
	uint32_t remaining;

	if (session_is_v5(s) || first >> 4 != MQTT_PUBLISH || qos == 3 ||
	    mqtt_read_varint(&r, &remaining) != MQTT_WIRE_OK)
		return -1;
	uint32_t head_bytes = (uint32_t)(input.size - reader_left(&r));
	uint16_t topic_bytes = read_u16(&r);

	if (r.failed)
		return 0;
	if (topic_bytes + 4u > remaining) /* with QoS 0 two less, but then it would not be too large */
		return -1;
	s->skip_bytes = head_bytes + remaining;
	s->skip_before_id_bytes = head_bytes + 2 + topic_bytes;
	s->skip_qos = qos;
	s->skip_is_told = false;
	return 1;
}

static struct bytes skip(struct mqtt_session *s, struct bytes *input, uint32_t size_bytes)
{
	struct bytes past = bytes_of(input->ptr, min_size(input->size, size_bytes));

	s->skip_bytes -= (uint32_t)past.size;
	s->skip_before_id_bytes -= (uint32_t)min_size(s->skip_before_id_bytes, past.size);
	*input = bytes_of(input->ptr + past.size, input->size - past.size);
	return past;
}

/* 1: *event; 0: goes on; -1: for its packet identifier more input is needed. */
int session_skip_more(struct mqtt_session *s, struct bytes *input, struct mqtt_event *event)
{
	uint8_t qos = s->skip_qos;

	if (s->skip_is_told) {
		(void)skip(s, input, s->skip_bytes);
		return 0;
	}
	(void)skip(s, input, s->skip_before_id_bytes);
	if (s->skip_before_id_bytes)
		return 0;
	if (qos) {
		uint16_t packet_id;

		if (input->size < 2)
			return -1;
		struct reader r = reader_of(skip(s, input, 2));

		packet_id = read_u16(&r);
		if (packet_id == 0)
			return session_peer_failed(s, MQTT_PROTOCOL_ERROR, "a packet identifier of 0", event);
		answer(s, qos, packet_id);
	}
	s->skip_is_told = true;
	*event = (struct mqtt_event){.kind = MQTT_EVENT_TOO_LARGE};
	return 1;
}

void session_on_pubrel(struct mqtt_session *s, uint16_t packet_id)
{
	bool known = mqtt_store_inbound_has(&s->store, packet_id);

	if (known)
		mqtt_store_inbound_remove(&s->store, packet_id);
	session_write_ack(s, MQTT_PUBCOMP, packet_id,
			  known ? MQTT_SUCCESS : MQTT_PACKET_IDENTIFIER_NOT_FOUND); /* [MQTT-4.3.3-11] */
}
