/* tests/sim/broker_priv.h - one connection as the broker sees it; for broker*.c only.
 *
 * Purpose:  what broker.c (packets of the client) and broker_manners.c (what the broker says, and when) share.
 * Owner:    the broker; links are freed by broker_end.
 */
#ifndef TESTS_SIM_BROKER_PRIV_H
#define TESTS_SIM_BROKER_PRIV_H

#include "tests/sim/broker.h"
#include "tests/sim/wire.h"

#define BROKER_ALIASES_MAX 64
#define BROKER_TOPIC_BYTES 200

enum broker_link_state { BROKER_LINK_NEW, BROKER_LINK_SILENT, BROKER_LINK_ONLINE, BROKER_LINK_GOODBYE };

struct broker_link {
	struct broker *broker;
	struct conn *conn;
	struct broker_link *next;
	uint32_t id;
	enum broker_link_state state;
	bool closed; /* by us or by the path: what comes is for nobody */
	uint8_t level;
	bool session_present, clean;
	uint32_t session_expiry_s;
	/* our limits */
	uint32_t receive_max, alias_max, max_packet_bytes;
	uint8_t qos_max;
	bool retain_available, mute; /* mute: answers no ping, acknowledges nothing */
	uint64_t keep_alive_ns, last_ns;
	/* what the client has done */
	uint32_t unacked_count; /* QoS 1 and 2 on this connection, our last word not said */
	uint64_t resent_seq;    /* of the last message that came again */
	bool sent_new;
	char aliases[BROKER_ALIASES_MAX + 1][BROKER_TOPIC_BYTES];
	uint8_t *held; /* bytes of a packet that is not complete */
	size_t held_size, held_room;
	uint64_t ack_last_ns[16]; /* by type: acknowledgements of one type stay in order */
};

/* broker_manners.c */
void broker_welcome(struct broker_link *k, const struct wire_packet *connect);
void broker_ack_later(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code);
void broker_pong(struct broker_link *k);
void broker_close(struct broker_link *k);
uint8_t broker_refusal(const struct broker_link *k); /* an error for an acknowledgement, or 0 */
/* broker.c: an acknowledgement goes out now. */
void broker_acked(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code);
void broker_session_lose(struct broker *b);
bool broker_inbound_ack(struct broker_link *k, const struct wire_packet *p);
void broker_inbound_begin(struct broker_link *k);

#endif
