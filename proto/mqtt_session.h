/* proto/mqtt_session.h - one MQTT client: events in, actions out, no I/O.
 *
 * Purpose:  everything that the specifications ask of a client between CONNECT and DISCONNECT: limits of the server,
 *           identifiers, acknowledgements, aliases, keep-alive. The owner has the socket and the messages; it brings
 *           bytes and time, performs events, and sends what stands in the outbox.
 * Owner:    the target's publisher thread. Threads: one.
 * Memory:   the caller's: the struct, the inflight entries, the alias table, the outbox. Nothing is allocated.
 * Units:    nanoseconds; `now` never goes back.
 * Errors:   a peer's mistake is an event (CLOSE) and a reason in words, never an error code of ours.
 * Source:   OASIS MQTT Version 5.0 and 3.1.1; statements are named at the code.
 *
 *             connect()         CONNACK 0            DISCONNECT, error,       lost()
 *                                                    time-out, disconnect()
 *   IDLE      -> CONNECTING     -                    -                        -
 *   CONNECTING -                -> ONLINE (ONLINE)   -> CLOSING (CLOSE)       -> IDLE
 *   ONLINE    -                 -> CLOSING           -> CLOSING (CLOSE)       -> IDLE
 *   CLOSING   -                 -                    -                        -> IDLE
 *
 * What is in flight survives lost(): after the next ONLINE the owner walks it with mqtt_session_resend(), in the order of
 * sending, before it publishes anything new.
 */
#ifndef PROTO_MQTT_SESSION_H
#define PROTO_MQTT_SESSION_H

#include "core/clock.h"
#include "proto/mqtt_inflight.h"
#include "proto/mqtt_packet.h"

#define MQTT_SESSION_REASON_BYTES 160
#define MQTT_SESSION_ANSWER_BYTES 16 /* room in the outbox without which no more input is read */
#define MQTT_SESSION_INBOUND_MAX  64 /* QoS 2 messages of the server under way; our Receive Maximum */

struct mqtt_session_config {
	enum mqtt_version version;
	struct mqtt_connect
		connect; /* client id, user, will, keep-alive, clean start, properties of ours; borrowed */
	uint32_t max_packet_bytes; /* what we accept; v5: announced */
	uint16_t topic_alias_max;  /* what we use at most */
	uint32_t channel_count;    /* topics that may get an alias */
};

enum mqtt_session_state {
	MQTT_SESSION_IDLE,
	MQTT_SESSION_CONNECTING,
	MQTT_SESSION_ONLINE,
	MQTT_SESSION_CLOSING
};

enum mqtt_event_kind {
	MQTT_EVENT_ONLINE,   /* session_present: resend what is in flight, then publish */
	MQTT_EVENT_RELEASED, /* token: the server has taken the message over, or refused it (code >= 0x80) */
	MQTT_EVENT_MESSAGE,  /* publish: good until the next call */
	MQTT_EVENT_CLOSE,    /* send the outbox, then close; mqtt_session_reason() says why */
};

struct mqtt_event {
	enum mqtt_event_kind kind;
	bool session_present;
	uint8_t code;
	void *token;
	struct mqtt_publish publish;
};

/* What the server allows, from its CONNACK. */
struct mqtt_server_limits {
	uint32_t max_packet_bytes;
	uint16_t receive_max;
	uint16_t topic_alias_max;
	uint8_t qos_max;
	bool retain_available;
};

struct mqtt_session {
	struct mqtt_session_config config;
	enum mqtt_session_state state;
	struct mqtt_server_limits server;
	struct mqtt_inflight inflight;
	uint32_t quota;         /* PUBLISH packets of QoS 1 and 2 that may be sent now */
	uint16_t resend_next;   /* identifier; 0: nothing to send again */
	uint16_t resend_newest; /* the last that was there when the connection came up */
	bool resend_dup;        /* the server knows the session: mark as duplicates */
	uint16_t *alias_of;     /* by channel; 0: none */
	uint16_t alias_count;
	uint16_t inbound_ids[MQTT_SESSION_INBOUND_MAX]; /* QoS 2 received, PUBREL not yet */
	uint32_t inbound_count;
	bool has_state; /* we have had a session with this server since we began, so what it keeps is known to us */
	bool starts_over; /* closed by ourselves, to be opened again at once, at the same server */
	bool cleaning;    /* the CONNECT on the way asks for a clean start, whatever the configuration says */
	uint64_t keep_alive_ns;
	struct mono last_sent, last_received;
	struct mono ping_deadline; /* MONO_NEVER: no PINGREQ is waiting */
	uint8_t *outbox;           /* control packets to be sent, the owner empties it */
	size_t outbox_room, outbox_bytes;
	uint8_t connack_code;  /* of a refusal; 0: none */
	char assigned_id[256]; /* a client identifier that the server chose; used again at the next connect */
	char reason[MQTT_SESSION_REASON_BYTES];
};

/* Memory that init wants: entries for inflight_max + 1, alias_of for channel_count, an outbox of at least
 * mqtt_session_outbox_bytes(). */
size_t mqtt_session_outbox_bytes(const struct mqtt_session_config *config);
void mqtt_session_init(struct mqtt_session *s, const struct mqtt_session_config *config,
		       struct mqtt_inflight_entry *entries, uint32_t inflight_max, uint16_t *alias_of,
		       uint8_t *outbox, size_t outbox_bytes);

/* The stream is up: writes CONNECT to the outbox. The password (at most 512 bytes) is read now and not kept. */
void mqtt_session_connect(struct mqtt_session *s, struct bytes password, struct mono now);

/* Takes whole packets off the front of *input. True: perform *event and call again. False: what is left needs more bytes,
 * or the outbox has no room for answers (send it first), or the session is closing. */
NODISCARD bool mqtt_session_receive(struct mqtt_session *s, struct bytes *input, struct mono now,
				    struct mqtt_event *event);

/* Keep-alive. True: *event is CLOSE. */
NODISCARD bool mqtt_session_tick(struct mqtt_session *s, struct mono now, struct mqtt_event *event);
struct mono mqtt_session_deadline(const struct mqtt_session *s);

/* One message to send. Its payload stands in memory with headroom before it. */
struct mqtt_message {
	struct bytes topic;
	uint32_t channel_idx; /* for its alias */
	uint8_t qos;
	bool retain;
	uint8_t *payload;
	uint32_t payload_bytes;
	void *token; /* given back by RELEASED */
};

/* Writes the PUBLISH header before the payload: *packet is the whole packet. 0 where the message is through once it is sent
 * (QoS 0), 1 where it waits for an acknowledgement. -EAGAIN: the window is full; -EMSGSIZE: more than the server
 * takes. A QoS or retain that the server does not offer is lowered. */
NODISCARD int mqtt_session_publish(struct mqtt_session *s, const struct mqtt_message *m,
				   struct bytes *packet);

/* After ONLINE: the next message in flight that is to be sent again, by its token; PUBRELs go to the outbox by themselves.
 * NULL: all done, or the window or the outbox is full (mqtt_session_resending() tells). */
void *mqtt_session_resend(struct mqtt_session *s, uint16_t *packet_id);
static inline bool mqtt_session_resending(const struct mqtt_session *s)
{
	return s->resend_next != 0;
}
/* Its packet, as mqtt_session_publish. 1; or 0, the server's maximum QoS is 0 now: through once sent; or -EMSGSIZE: the
 * server has become smaller. After 0 and -EMSGSIZE the identifier is free again. */
NODISCARD int mqtt_session_republish(struct mqtt_session *s, uint16_t packet_id, const struct mqtt_message *m,
				     struct bytes *packet);

/* May a message of QoS 1 or 2 be published now? */
static inline bool mqtt_session_window_open(const struct mqtt_session *s)
{
	return s->quota > 0 && s->inflight.count < s->inflight.room;
}

/* How many such messages, at most. */
static inline uint32_t mqtt_session_room(const struct mqtt_session *s)
{
	uint32_t ids = s->inflight.room - s->inflight.count;

	return s->quota < ids ? s->quota : ids;
}

/* Is there room for the answers to more input? */
static inline bool mqtt_session_takes_input(const struct mqtt_session *s)
{
	return s->outbox_room - s->outbox_bytes >= MQTT_SESSION_ANSWER_BYTES;
}

/* The owner has sent something (for keep-alive), or emptied the outbox. */
void mqtt_session_sent(struct mqtt_session *s, struct mono now);

/* Writes DISCONNECT; the owner sends the outbox and closes. */
void mqtt_session_disconnect(struct mqtt_session *s, enum mqtt_reason code);

/* The next connection leads to another server: what the last one kept of us is not there. What is in flight is sent as
 * new. */
void mqtt_session_forget_server(struct mqtt_session *s);

/* The stream is gone. */
void mqtt_session_lost(struct mqtt_session *s);

/* Why the last connection ended, or was refused; "" where it did not. */
static inline const char *mqtt_session_reason(const struct mqtt_session *s)
{
	return s->reason;
}

/* Is there no point in asking again soon (credentials, ban, unsupported version)? */
bool mqtt_session_refusal_is_lasting(const struct mqtt_session *s);

#endif
