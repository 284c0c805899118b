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
 * sending, before it publishes anything new. With a store in a file it survives the process, too.
 *
 * A subscription, on each connection (what the server's session has already is not asked for again):
 *
 *   NEEDED -SUBSCRIBE-> ASKED -SUBACK-> DONE
 *      |                  '---refused--> REFUSED
 *      '-- the server has no wildcards, no shared ones, or smaller packets --> REFUSED
 *   STALE (an earlier configuration's) -UNSUBSCRIBE-> LEAVING -UNSUBACK-> GONE
 *      '-- the server takes no packet as large -----------------------------^
 *
 * A GONE one that the server has still (it refused, with a code >= 0x80, or was not asked) is STALE again on the next
 * connection.
 */
#ifndef PROTO_MQTT_SESSION_H
#define PROTO_MQTT_SESSION_H

#include "core/clock.h"
#include "core/metrics.h"
#include "proto/mqtt_packet.h"
#include "proto/mqtt_store.h"

#define MQTT_SESSION_REASON_BYTES 160
#define MQTT_SESSION_ANSWER_BYTES 16 /* room in the outbox without which no more input is read */
#define MQTT_SESSION_INFLIGHT_MAX MQTT_STORE_INFLIGHT_MAX
#define MQTT_SESSION_ASKED_MAX \
	(65535 - MQTT_SESSION_INFLIGHT_MAX) /* SUBSCRIBE and UNSUBSCRIBE packets without an answer */

/* A filter that is to be subscribed to. */
struct mqtt_session_filter {
	struct mqtt_subscription options;
	uint32_t id;   /* v5: Subscription Identifier, the same at each start; 0: none */
	bool wildcard; /* there are + or # in it */
	bool shared;   /* it is $share/NAME/FILTER */
};

enum mqtt_subscription_state {
	MQTT_SUBSCRIPTION_NEEDED,
	MQTT_SUBSCRIPTION_ASKED,
	MQTT_SUBSCRIPTION_DONE,
	MQTT_SUBSCRIPTION_REFUSED,
	MQTT_SUBSCRIPTION_STALE,
	MQTT_SUBSCRIPTION_LEAVING,
	MQTT_SUBSCRIPTION_GONE
};

/* The owner's array, one a filter of the store. Any thread may read it. */
struct mqtt_session_subscription {
	struct counter view; /* state << 8 | the server's code: the QoS granted, or why not */
};

struct mqtt_session_config {
	enum mqtt_version version;
	struct mqtt_connect
		connect; /* client id, user, will, keep-alive, clean start, properties of ours; borrowed */
	uint32_t max_packet_bytes; /* what we accept; v5: announced */
	uint32_t inflight_max; /* at most so many at a time, of the identifiers that the store has room for */
	uint16_t receive_max;  /* v5: announced, and what the server may have under way at QoS 1 and 2 */
	uint16_t topic_alias_max;      /* what we use at most */
	uint16_t topic_alias_in;       /* v5: announced: what the server may use */
	uint32_t topic_alias_in_bytes; /* of the longest topic that can come */
	uint32_t channel_count;        /* topics that may get an alias */
	bool refuse_lowered; /* a message whose QoS or retain the server does not offer is not sent at all */
	const struct mqtt_session_filter *filters; /* borrowed; the first filter_count of the store's */
	uint32_t filter_count;
	uint32_t
		filter_bytes_max; /* of the longest filter, those included that an earlier configuration left */
};

/* Memory of the caller's. */
struct mqtt_session_memory {
	struct mqtt_inflight_entry *entries;             /* store.shape.inflight_room + 1 */
	uint16_t *alias_of;                              /* channel_count */
	struct mqtt_session_subscription *subscriptions; /* store.shape.filter_count */
	uint8_t *aliases_in;                             /* topic_alias_in * topic_alias_in_bytes */
	uint16_t *alias_in_sizes;                        /* topic_alias_in */
	uint8_t *outbox;
	size_t outbox_bytes; /* at least mqtt_session_outbox_bytes() */
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
	/* publish: good until the next call; its topic is there, whatever alias came. With QoS 1 and 2 to be answered by
	 * mqtt_session_accept(), now or later, or not at all: then the server sends it again on the next connection */
	MQTT_EVENT_MESSAGE,
	MQTT_EVENT_TOO_LARGE, /* 3.1.1, which has no Maximum Packet Size: a message was read past, and acknowledged */
	/* filter_idx, one of config.filters; code: the server has answered, or cannot be asked. */
	MQTT_EVENT_SUBSCRIPTION,
	MQTT_EVENT_CLOSE, /* send the outbox, then close; mqtt_session_reason() says why */
};

/* Only the fields that are named beside its kind are set. */
struct mqtt_event {
	enum mqtt_event_kind kind;
	bool session_present;
	uint8_t code;
	uint32_t filter_idx;
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
	bool wildcards, shared, subscription_ids;
};

#define MQTT_SESSION_REFERENCE_BYTES 256

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
	struct mqtt_store store; /* what outlives the connection, and with a file the process */
	struct mqtt_session_subscription *subscriptions;
	uint32_t subscribe_next;                /* filters before it have been asked for on this connection */
	uint32_t asked[MQTT_SESSION_ASKED_MAX]; /* by packet identifier: filter_idx + 1; 0: free */
	uint32_t asked_count;
	uint32_t inbound_before; /* QoS 2 messages of earlier connections that were not released at ONLINE */
	uint32_t
		unanswered_count; /* messages of QoS 1 and 2, of this connection, that wait for mqtt_session_accept */
	uint8_t *aliases_in;
	uint16_t *alias_in_sizes;
	uint64_t server_key;           /* of the server that accepted us last */
	uint64_t asked_key;            /* where the next connection leads */
	uint32_t skip_bytes;           /* what is left of a message that is read past */
	uint32_t skip_before_id_bytes; /* of these, the part up to its packet identifier */
	bool skip_is_told;             /* it was acknowledged, and its event given */
	uint8_t skip_qos;
	bool doubtful;    /* the session present may be a new one: a CONNACK was lost before */
	bool will_retain; /* lowered where this server wants it so */
	uint8_t will_qos;
	bool has_state;   /* the server's session is known to us: from this process, or from the store */
	bool starts_over; /* closed by ourselves, to be opened again at once, at the same server */
	bool cleaning;    /* the CONNECT on the way asks for a clean start, whatever the configuration says */
	uint64_t keep_alive_ns;
	struct mono last_sent, last_received;
	struct mono ping_deadline; /* MONO_NEVER: no PINGREQ is waiting */
	uint8_t *outbox;           /* control packets to be sent, the owner empties it */
	size_t outbox_room, outbox_bytes;
	uint8_t connack_code; /* of a refusal or a DISCONNECT; 0: none */
	char reference
		[MQTT_SESSION_REFERENCE_BYTES]; /* where the server sends us (0x9C, 0x9D); "": nowhere */
	char reason[MQTT_SESSION_REASON_BYTES];
};

size_t mqtt_session_outbox_bytes(const struct mqtt_session_config *config);

/* The store is taken over: what is in it is in flight again (mqtt_session_restored). */
void mqtt_session_init(struct mqtt_session *s, const struct mqtt_session_config *config,
		       const struct mqtt_store *store, const struct mqtt_session_memory *memory);

/* After init: the messages of the store, one after another from *packet_id = 0, each to be given a token. False: that was
 * all. */
NODISCARD bool mqtt_session_restored(struct mqtt_session *s, uint16_t *packet_id, struct mqtt_stored *message,
				     uint8_t *qos);
void mqtt_session_attach(struct mqtt_session *s, uint16_t packet_id, void *token);

/* What the store keeps of a filter: with its options, so that a change of these is a change. */
#define MQTT_SESSION_FILTER_HEAD_BYTES 5
void mqtt_session_filter_write(struct writer *w, const struct mqtt_session_filter *f);

/* Before connect: which server it is. Once another than the last has accepted us, what that one kept of us is not there, and
 * what is in flight is sent as new. Not 0. */
void mqtt_session_server(struct mqtt_session *s, uint64_t server_key);

/* The stream is up: writes CONNECT to the outbox. The password (at most 512 bytes) is read now and not kept. */
void mqtt_session_connect(struct mqtt_session *s, struct bytes password, struct mono now);

/* Takes whole packets off the front of *input. True: perform *event and call again. False: what is left needs more bytes,
 * or the outbox has no room for answers (send it first), or the session is closing. */
NODISCARD bool mqtt_session_receive(struct mqtt_session *s, struct bytes *input, struct mono now,
				    struct mqtt_event *event);

/* The message is in good hands: PUBACK, or PUBREC and its identifier is remembered. The outbox has room (takes_input). */
void mqtt_session_accept(struct mqtt_session *s, uint8_t qos, uint16_t packet_id);

/* Keep-alive. True: *event is CLOSE. */
NODISCARD bool mqtt_session_tick(struct mqtt_session *s, struct mono now, struct mqtt_event *event);
struct mono mqtt_session_deadline(const struct mqtt_session *s);

/* Writes what subscribing still needs, as far as the outbox has room. True: *event is SUBSCRIPTION (it cannot be asked
 * for); call again. */
NODISCARD bool mqtt_session_subscribe(struct mqtt_session *s, struct mqtt_event *event);
/* Has the server answered all of it? */
static inline bool mqtt_session_subscribed(const struct mqtt_session *s)
{
	return s->subscribe_next == s->store.shape.filter_count && s->asked_count == 0;
}

/* One message to send. Its payload stands in memory with headroom before it. */
struct mqtt_message {
	struct bytes topic;
	struct bytes props; /* v5, from mqtt_props_write(): without Topic Alias and Message Expiry Interval */
	uint32_t expiry_s;  /* from time_ns on; 0: never */
	uint32_t expiry_left_s; /* now; at least 1 where there is an expiry */
	uint64_t time_ns;
	uint64_t origin;      /* kept in the store beside it; 0: none */
	uint32_t channel_idx; /* for its alias */
	uint8_t qos;
	bool retain;
	uint8_t *payload;
	uint32_t payload_bytes;
	void *token; /* given back by RELEASED */
};

/* Writes the PUBLISH header before the payload: *packet is the whole packet. 0 where the message is through once it is sent
 * (QoS 0), 1 where it waits for an acknowledgement. -EAGAIN: the window is full; -EMSGSIZE: more than the server
 * takes; -EOPNOTSUPP: it does not offer that QoS, or retained messages, and the configuration does not want
 * them lowered. */
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
 * server has become smaller, -EOPNOTSUPP. After 0 and an error the identifier is free again. */
NODISCARD int mqtt_session_republish(struct mqtt_session *s, uint16_t packet_id, const struct mqtt_message *m,
				     struct bytes *packet);

/* May a message of QoS 1 or 2 be published now? */
static inline bool mqtt_session_window_open(const struct mqtt_session *s)
{
	return s->quota > 0 && s->inflight.count < s->config.inflight_max;
}

/* How many such messages, at most. */
static inline uint32_t mqtt_session_room(const struct mqtt_session *s)
{
	uint32_t max = s->config.inflight_max;
	uint32_t ids = s->inflight.count < max ? max - s->inflight.count : 0;

	return s->quota < ids ? s->quota : ids;
}

/* Is there room for the answers to more input? */
static inline bool mqtt_session_takes_input(const struct mqtt_session *s)
{
	return s->outbox_room - s->outbox_bytes >= MQTT_SESSION_ANSWER_BYTES;
}

/* The owner has sent something (for keep-alive), or emptied the outbox. */
void mqtt_session_sent(struct mqtt_session *s, struct mono now);

/* Writes DISCONNECT; the owner sends the outbox and closes. MQTT_DISCONNECT_WITH_WILL leaves the will in force; in 3.1.1
 * nothing is written then, which means the same. */
void mqtt_session_disconnect(struct mqtt_session *s, enum mqtt_reason code);

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
