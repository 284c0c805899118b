/* tests/sim/broker.h - an MQTT server written from the specification, which trusts nothing it is sent.
 *
 * Purpose:  accepts one target's connections on one or two names, draws limits and misbehaviour, keeps or loses the
 *           session, and holds every byte of the client against MQTT 5.0 and 3.1.1. It shares no code with the product's
 *           codec.
 * Owner:    the world. Memory: its links live until broker_end.
 * Source:   OASIS MQTT Version 5.0; MQTT Version 3.1.1; statement numbers in the messages.
 */
#ifndef TESTS_SIM_BROKER_H
#define TESTS_SIM_BROKER_H

#include "tests/sim/ledger.h"
#include "tests/sim/net.h"

#define BROKER_URLS_MAX 2

enum broker_id_state { BROKER_ID_FREE, BROKER_ID_QOS1, BROKER_ID_QOS2 };

/* What the session remembers of one packet identifier of the client's. */
struct broker_id {
	uint64_t key;          /* the message */
	uint64_t released_key; /* the last one that got its PUBREL */
	uint32_t link_id;      /* on which it came last */
	uint8_t state;
	bool said_received; /* a PUBREC went out, ever in this session */
};

/* A message of ours that the client has not finished with. */
struct broker_inbound {
	uint16_t packet_id;
	uint8_t qos;
	bool received; /* PUBREC came: now PUBREL is ours to say */
};

#define BROKER_INBOUND_MAX 1500

struct broker_link;

struct broker {
	const char *names[BROKER_URLS_MAX];
	struct service services[BROKER_URLS_MAX];
	uint32_t service_count;
	struct ledger ledger;
	struct broker_id ids[65536];
	struct broker_link *links, *current;
	struct broker_inbound inbound[BROKER_INBOUND_MAX];
	uint32_t inbound_count;
	uint16_t inbound_id;
	uint32_t inbound_period_ms; /* 0: we have nothing to say */
	bool flaps;                 /* in chaos it accepts, is slow to acknowledge, and is gone again */
	bool floods;                /* 3.1.1, which has no Receive Maximum: many at once */
	uint32_t epoch;             /* of the session: counts up when it is lost */
	bool has_session;
	bool session_is_known; /* the client has answered the CONNACK that began it */
	bool has_lowered;      /* the maximum QoS fell within the session */
	bool small_packets;    /* draws maximum packet sizes that not every message fits in */
	bool shuffle_acks;     /* acknowledges in any order */
	uint64_t ack_max_ns;
	uint8_t expected_level; /* protocol: 4, 5 */
	bool clean_start;
	uint32_t newest_link_id; /* that has sent its CONNECT */
	bool ever_lowered;       /* has_lowered, in any session */
	bool has_been_used;      /* a message has come: the client knows its session */
	uint32_t expected_keep_alive_s;
	uint64_t connect_count;
	bool said_goodbye; /* the last connection that ended had ended with DISCONNECT */
};

void broker_begin(struct broker *b, const char *const names[], uint32_t name_count);
void broker_end(struct broker *b);
void broker_set_down(struct broker *b, bool down);
/* Has it an accepted connection? */
bool broker_online(const struct broker *b);

#endif
