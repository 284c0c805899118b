/* proto/mqtt_inflight.h - the QoS 1 and 2 messages that wait for an acknowledgement, by packet identifier.
 *
 * Purpose:  gives out identifiers and finds, frees and walks them in the order of sending, each in O(1): the identifier is
 *           the index. The messages themselves stay where they are; the table keeps the caller's token.
 * Owner:    the session. Threads: one. Memory: 32 bytes an identifier, the caller's array.
 * Source:   MQTT 5.0 2.2.1, 4.3, 4.4, 4.6.
 *
 *   FREE -add-> PUBLISHED_1 -PUBACK-> FREE
 *   FREE -add-> PUBLISHED_2 -PUBREC-> RELEASED -PUBCOMP-> FREE
 *                           -PUBREC with an error-> FREE
 */
#ifndef PROTO_MQTT_INFLIGHT_H
#define PROTO_MQTT_INFLIGHT_H

#include "core/assert.h"
#include "core/base.h"

enum mqtt_inflight_state {
	MQTT_INFLIGHT_FREE,
	MQTT_INFLIGHT_PUBLISHED_1,
	MQTT_INFLIGHT_PUBLISHED_2,
	MQTT_INFLIGHT_RELEASED
};

struct mqtt_inflight_entry {
	void *token;           /* PUBLISHED: the caller's message; RELEASED: NULL */
	uint16_t older, newer; /* in the order of sending; 0 ends. FREE: newer is the next free one */
	uint8_t state;
	uint64_t sequence; /* of sending, for those that mqtt_inflight_restore has brought */
	bool counted;      /* against the server's Receive Maximum, on the present connection */
};

struct mqtt_inflight {
	struct mqtt_inflight_entry *entries; /* by identifier; 0 is not used */
	uint32_t room;                       /* identifiers 1 .. room */
	uint32_t count;
	uint16_t oldest, newest;
	uint16_t free_first,
		free_last; /* taken from the front, given back at the end: an identifier rests before it is used again */
	uint16_t restored, free_before; /* where mqtt_inflight_restore was the last time, in either list */
};

/* entries: room + 1 of them, room in 1 .. 65535. */
void mqtt_inflight_init(struct mqtt_inflight *t, struct mqtt_inflight_entry *entries, uint32_t room);

/* The new identifier, or 0 where all are in use. qos is 1 or 2. */
uint16_t mqtt_inflight_add(struct mqtt_inflight *t, void *token, uint8_t qos);
void mqtt_inflight_free(struct mqtt_inflight *t, uint16_t id);

/* In a table that was only restored to: an identifier of an earlier process, in its place by the sequence. O(1) where
 * identifiers rise and sequences follow one another, also where they begin again in the middle. */
void mqtt_inflight_restore(struct mqtt_inflight *t, uint16_t id, enum mqtt_inflight_state state,
			   uint64_t sequence);

static inline struct mqtt_inflight_entry *mqtt_inflight_find(struct mqtt_inflight *t, uint16_t id)
{
	if (id == 0 || id > t->room || t->entries[id].state == MQTT_INFLIGHT_FREE)
		return NULL;
	return &t->entries[id];
}

#endif
