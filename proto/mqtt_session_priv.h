/* proto/mqtt_session_priv.h - what the files of the session share; for proto/mqtt_session*.c only.
 *
 * Purpose:  proto/mqtt_session.c is the connection, mqtt_session_out.c our messages, mqtt_session_in.c the server's,
 *           mqtt_session_subscribe.c the subscriptions.
 * Owner:    the session's. Threads: one. Errors: none but through events.
 */
#ifndef PROTO_MQTT_SESSION_PRIV_H
#define PROTO_MQTT_SESSION_PRIV_H

#include "proto/mqtt_session.h"

static inline bool session_is_v5(const struct mqtt_session *s)
{
	return s->config.version == MQTT_5;
}

static inline struct writer session_outbox(struct mqtt_session *s)
{
	return writer_of(s->outbox + s->outbox_bytes, s->outbox_room - s->outbox_bytes);
}

/* rc is what an encoder returned for the writer at the end of the outbox. */
static inline void session_outbox_add(struct mqtt_session *s, int rc)
{
	ASSERT(rc > 0); /* callers keep MQTT_SESSION_ANSWER_BYTES free and encode nothing invalid */
	s->outbox_bytes += (size_t)rc;
}

void session_write_ack(struct mqtt_session *s, enum mqtt_type type, uint16_t packet_id,
		       enum mqtt_reason code);
void session_say(struct mqtt_session *s, const char *format, ...) PRINTF(2, 3);

/* The peer broke a rule [MQTT-4.13.1-1]: say which, tell it where the version has words for that, and close. */
bool session_peer_failed(struct mqtt_session *s, enum mqtt_reason code, const char *text,
			 struct mqtt_event *event);

/* mqtt_session_out.c: acknowledgements of ours; true: *event. A new connection: what is in flight, and how much more may. */
bool session_on_puback(struct mqtt_session *s, uint16_t packet_id, uint8_t code, struct mqtt_event *event);
bool session_on_pubrec(struct mqtt_session *s, uint16_t packet_id, uint8_t code, struct mqtt_event *event);
bool session_on_pubcomp(struct mqtt_session *s, uint16_t packet_id, struct mqtt_event *event);
void session_out_restore(struct mqtt_session *s);
void session_out_begin(struct mqtt_session *s, bool session_present);

/* mqtt_session_in.c: the server's messages. */
bool session_on_publish(struct mqtt_session *s, const struct mqtt_publish *p, struct mqtt_event *event);
int session_skip_publish(struct mqtt_session *s, struct bytes input);
int session_skip_more(struct mqtt_session *s, struct bytes *input, struct mqtt_event *event);
void session_on_pubrel(struct mqtt_session *s, uint16_t packet_id);
void session_in_begin(struct mqtt_session *s, bool session_present);

/* mqtt_session_subscribe.c */
bool session_on_suback(struct mqtt_session *s, enum mqtt_type type, const struct mqtt_suback *ack,
		       struct mqtt_event *event);
void session_subscribe_begin(struct mqtt_session *s, bool session_present);
/* The largest packet that subscribing writes. */
size_t session_subscribe_bytes(const struct mqtt_session_config *config);

#endif
