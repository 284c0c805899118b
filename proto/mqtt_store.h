/* proto/mqtt_store.h - what a client's session must still know when the daemon comes back.
 *
 * Purpose:  packet identifiers and their states, the messages that wait for an acknowledgement, the identifiers of QoS 2
 *           messages received, the filters subscribed to: laid out in one block without pointers, so that a mapped file can be
 *           that block. Each change is one store of a word, in the order of the program: after SIGKILL the block holds the
 *           state of some instant. Power may fail between pages; then the checks say so and nothing of it is trusted.
 * Owner:    the session that it is given to. Threads: one. The words are atomic only to keep the compiler's order, for the
 *           next process that reads them: on x86 a release store is a plain one.
 * Memory:   the caller's block of mqtt_store_bytes(), zeroed or from a file, aligned to 8.
 * Units:    sizes in bytes, time_ns in nanoseconds of the monotonic clock.
 * Errors:   -EINVAL with *why (a static text) for a block that is not to be trusted.
 * Source:   MQTT 5.0 and 3.1.1, 4.1 (what a client stores).
 *
 *   header | word an identifier | inbound words | word a filter | end of each filter's text | texts | slots
 */
#ifndef PROTO_MQTT_STORE_H
#define PROTO_MQTT_STORE_H

#include "core/bytes.h"
#include "proto/mqtt_inflight.h"
#include "proto/mqtt_type.h"

#define MQTT_STORE_ID_BYTES 256
#define MQTT_STORE_INFLIGHT_MAX \
	(65535 - 256) /* the identifiers above are those of SUBSCRIBE and UNSUBSCRIBE */

struct mqtt_store_shape {
	uint32_t inflight_room; /* identifiers 1 .. room, at most MQTT_STORE_INFLIGHT_MAX */
	uint32_t slot_bytes;    /* for one message, see mqtt_store_slot_bytes(); 0: messages are not kept */
	uint32_t
		filter_count; /* subscriptions that are wanted, then those that an earlier configuration left */
	uint32_t filter_text_bytes; /* of all filters */
};

struct mqtt_store {
	struct mqtt_store_shape shape;
	struct mqtt_store_header *header;
	_Atomic uint64_t *words;        /* by identifier */
	_Atomic uint64_t *inbound;      /* 48 identifiers each */
	_Atomic uint64_t *filter_words; /* by filter */
	uint32_t *filter_ends;
	uint8_t *filter_text;
	uint8_t *slots;
	uint64_t sequence; /* of the last message: the order of sending */
	uint32_t inbound_count;
};

/* A message that waits for PUBACK or PUBREC. */
struct mqtt_stored {
	struct bytes topic, props, payload; /* props: without Topic Alias and Message Expiry Interval */
	uint64_t time_ns;                   /* when it was made */
	uint64_t origin;                    /* the owner's name for it; 0: none */
	uint32_t expiry_s;                  /* from then on; 0: never */
	bool retain;
};

NODISCARD uint64_t mqtt_store_bytes(const struct mqtt_store_shape *shape);
/* For topic, props and payload of that many bytes together. */
NODISCARD uint32_t mqtt_store_slot_bytes(uint32_t message_bytes);

/* An empty store in zeroed memory. identity: of the client, so that another's file is not taken for ours. */
void mqtt_store_init(struct mqtt_store *s, void *memory, const struct mqtt_store_shape *shape,
		     enum mqtt_version version, uint64_t identity);
/* Before the first change: the text of a filter, in their order. */
void mqtt_store_add_filter(struct mqtt_store *s, uint32_t filter_idx, struct bytes filter);
/* The texts are complete: seals what does not change any more. */
void mqtt_store_seal(struct mqtt_store *s);

/* What a file holds: every field, word and message is checked. */
NODISCARD int mqtt_store_open(struct mqtt_store *s, void *memory, uint64_t memory_bytes,
			      enum mqtt_version version, uint64_t identity, const char **why);
/* The highest identifier that is in use; 0: none is. */
uint32_t mqtt_store_highest_id(const struct mqtt_store *s);
/* Everything of an older store that this one has room for. -ENOSPC: an identifier or a message does not fit. */
NODISCARD int mqtt_store_take_over(struct mqtt_store *s, const struct mqtt_store *old);

/* The server that has a session of ours; 0: none has. */
uint64_t mqtt_store_server(const struct mqtt_store *s);
void mqtt_store_set_server(struct mqtt_store *s, uint64_t server);
/* Where its word lies in a file: zeroes there make the file nobody's. */
uint64_t mqtt_store_server_offset(void);
/* A CONNECT is out whose answer was not heard: until then nobody knows which session the server has. */
bool mqtt_store_unanswered(const struct mqtt_store *s);
void mqtt_store_set_unanswered(struct mqtt_store *s, bool is);
/* The client identifier that the server chose; "" where we chose. */
const char *mqtt_store_assigned_id(const struct mqtt_store *s);
void mqtt_store_set_assigned_id(struct mqtt_store *s, struct bytes id);

/* An identifier is in that state from now on. PUBLISHED gives it the next place in the order. */
void mqtt_store_set(struct mqtt_store *s, uint16_t id, enum mqtt_inflight_state state);
enum mqtt_inflight_state mqtt_store_get(const struct mqtt_store *s, uint16_t id, uint64_t *sequence);
/* The identifier of that message, before it is set to PUBLISHED. */
void mqtt_store_keep(struct mqtt_store *s, uint16_t id, const struct mqtt_stored *m);
/* False: messages are not kept, or it is not sound. */
NODISCARD bool mqtt_store_message(const struct mqtt_store *s, uint16_t id, struct mqtt_stored *out);

/* QoS 2 messages received whose PUBREL has not come. */
bool mqtt_store_inbound_has(const struct mqtt_store *s, uint16_t id);
void mqtt_store_inbound_add(struct mqtt_store *s, uint16_t id);
void mqtt_store_inbound_remove(struct mqtt_store *s, uint16_t id);
void mqtt_store_inbound_clear(struct mqtt_store *s);

/* Does the server have this subscription of ours? It may, from the moment when it is asked for. */
enum mqtt_store_filter { MQTT_STORE_FILTER_NONE, MQTT_STORE_FILTER_SUBSCRIBED, MQTT_STORE_FILTER_ASKED };
enum mqtt_store_filter mqtt_store_filter_state(const struct mqtt_store *s, uint32_t filter_idx);
void mqtt_store_set_filter_state(struct mqtt_store *s, uint32_t filter_idx, enum mqtt_store_filter state);
/* The QoS that was granted, where it is subscribed to. */
uint8_t mqtt_store_granted(const struct mqtt_store *s, uint32_t filter_idx);
void mqtt_store_set_granted(struct mqtt_store *s, uint32_t filter_idx, uint8_t qos);
static inline bool mqtt_store_subscribed(const struct mqtt_store *s, uint32_t filter_idx)
{
	return mqtt_store_filter_state(s, filter_idx) == MQTT_STORE_FILTER_SUBSCRIBED;
}
static inline void mqtt_store_set_subscribed(struct mqtt_store *s, uint32_t filter_idx, bool is)
{
	mqtt_store_set_filter_state(s, filter_idx,
				    is ? MQTT_STORE_FILTER_SUBSCRIBED : MQTT_STORE_FILTER_NONE);
}
struct bytes mqtt_store_filter(const struct mqtt_store *s, uint32_t filter_idx);

#endif
