/* io/inbound_buffer.h - messages of the server that wait until the subscriptions are ready.
 *
 * Purpose:  a first-in-first-out queue of whole messages, bounded by count and bytes, in one block.
 * Owner:    the target's inbound side. Threads: the publisher's.
 * Memory:   one block, in inbound_buffer_open. Units: sizes in bytes, counts in messages. Errors: a full one says so.
 */
#ifndef IO_INBOUND_BUFFER_H
#define IO_INBOUND_BUFFER_H

#include "core/base.h"
#include "proto/mqtt_packet.h"

struct inbound_buffer {
	uint8_t *block;
	uint64_t block_bytes;
	uint64_t head, tail; /* bytes ever put in and taken out */
	uint32_t count, count_max;
};

NODISCARD int inbound_buffer_open(struct inbound_buffer *b, uint32_t count_max, uint32_t message_bytes_max);
void inbound_buffer_close(struct inbound_buffer *b);
uint64_t inbound_buffer_bytes(uint32_t count_max, uint32_t message_bytes_max);

/* A copy. False: there is no room for one more. */
NODISCARD bool inbound_buffer_put(struct inbound_buffer *b, const struct mqtt_publish *p);
/* The oldest; it stays good until the next put. False: there is none. */
NODISCARD bool inbound_buffer_take(struct inbound_buffer *b, struct mqtt_publish *out);

#endif
