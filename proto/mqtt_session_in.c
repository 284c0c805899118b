/* The server's messages: topic aliases, acknowledgements, each QoS 2 message once. */
#include <string.h>

#include "proto/mqtt_session_priv.h"

void session_in_begin(struct mqtt_session *s, bool session_present)
{
	if (s->config.topic_alias_in) /* they end with the connection [MQTT-3.3.2-7] */
		memset(s->alias_in_sizes, 0, s->config.topic_alias_in * sizeof(s->alias_in_sizes[0]));
	if (!session_present)
		mqtt_store_inbound_clear(&s->store);
	s->inbound_before = s->store.inbound_count;
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

bool session_on_publish(struct mqtt_session *s, const struct mqtt_publish *p, struct mqtt_event *event)
{
	*event = (struct mqtt_event){.kind = MQTT_EVENT_MESSAGE, .publish = *p};
	if (!alias_resolve(s, &event->publish, event))
		return true;
	if (p->qos == 0)
		return true;
	if (p->qos == 1) {
		session_write_ack(s, MQTT_PUBACK, p->packet_id, MQTT_SUCCESS); /* [MQTT-4.3.2-4] */
		return true;
	}
	bool again = mqtt_store_inbound_has(&s->store, p->packet_id);

	/* 3.1.1 has no Receive Maximum: any identifier may be under way. In 5.0 a server counts from 0 on each connection (4.9),
	 * so what it has not released since an earlier one comes on top. */
	if (!again && session_is_v5(s) && s->store.inbound_count >= s->config.receive_max + s->inbound_before)
		return session_peer_failed(s, MQTT_RECEIVE_MAXIMUM_EXCEEDED,
					   "more QoS 2 messages than our receive maximum", event);
	session_write_ack(s, MQTT_PUBREC, p->packet_id, MQTT_SUCCESS);
	if (again)
		return false; /* the same message: acknowledged, not delivered [MQTT-4.3.3-10] */
	mqtt_store_inbound_add(&s->store, p->packet_id);
	return true;
}

void session_on_pubrel(struct mqtt_session *s, const struct mqtt_ack *ack)
{
	bool known = mqtt_store_inbound_has(&s->store, ack->packet_id);

	if (known)
		mqtt_store_inbound_remove(&s->store, ack->packet_id);
	session_write_ack(s, MQTT_PUBCOMP, ack->packet_id,
			  known ? MQTT_SUCCESS : MQTT_PACKET_IDENTIFIER_NOT_FOUND); /* [MQTT-4.3.3-11] */
}
