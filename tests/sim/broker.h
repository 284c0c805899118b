/* tests/sim/broker.h - an MQTT server written from the specification, which trusts nothing it is sent.
 *
 * Purpose:  accepts one target's connections on one or two names, draws limits and misbehaviour, keeps or loses sessions,
 *           has messages of others for the client, and holds every byte of the client against MQTT 5.0 and 3.1.1. It shares
 *           no code with the product's codec.
 * Owner:    the world. Memory: its links live until broker_end.
 * Source:   OASIS MQTT Version 5.0; MQTT Version 3.1.1; statement numbers in the messages.
 */
#ifndef TESTS_SIM_BROKER_H
#define TESTS_SIM_BROKER_H

#include "tests/sim/account.h"
#include "tests/sim/expect.h"
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

/* A message that somebody else has published at this broker. */
struct broker_news {
	double number; /* unique among all brokers; what a tag gets */
	char topic[40];
	uint8_t *payload;
	uint32_t payload_bytes;
	const char *told; /* one of a few, v5 */
	uint32_t expiry_s;
	uint64_t made_ns;
	uint8_t qos;
	bool retain;
	uint32_t sent_mask;   /* subscriptions for which a copy has gone out */
	uint32_t repeat_mask; /* of these, those whose client may rightly have had it more than once */
	uint32_t copy_mask;   /* subscriptions that have a copy of their own */
	uint32_t link_id;     /* on which a copy went out last */
	uint64_t sent_ns, first_order;
};

enum broker_copy_state { BROKER_COPY_QUEUED, BROKER_COPY_SENT, BROKER_COPY_RECEIVED };

/* One PUBLISH of it to the client. */
struct broker_copy {
	uint32_t news_idx;
	uint32_t sub_mask;           /* for which subscriptions it is */
	uint64_t first_order, order; /* in which it was sent first, and last */
	uint32_t sent_count, released_count;
	uint32_t link_id; /* on which it was sent last */
	uint32_t first_link_id;
	uint16_t packet_id;
	uint8_t qos;
	uint8_t state; /* enum broker_copy_state */
	bool retain;
	bool for_new; /* what is retained, for a subscription that is made */
};

#define BROKER_COPIES_MAX 1500

/* Which copies a subscription's client has had: its tag holds the last one's value. */
struct broker_sight {
	uint32_t news_idx;
	uint32_t sub_mask;
	uint64_t order;
};

struct broker_sub {
	bool has; /* in the session */
	uint8_t qos;
	uint32_t id;
	bool excused; /* refused, or not to be had: the client need not have it */
};

struct broker_session {
	bool exists;
	bool is_known;    /* the client has answered the CONNACK that began it */
	bool has_lowered; /* the maximum QoS fell within it */
	bool spoilt;      /* we have broken the rules in it: it ends with the connection */
	uint32_t epoch;   /* counts up at each new one */
	struct broker_id ids[65536];
	uint32_t id_max; /* used so far */
	struct broker_sub subs[EXPECT_SUBS_MAX];
	struct broker_copy copies[BROKER_COPIES_MAX];
	uint32_t copy_count;
	uint16_t copy_id; /* the last packet identifier of ours */
};

struct broker_link;
struct broker;

struct broker_name {
	struct broker *broker;
	uint32_t idx;
};

struct broker {
	const char *names[BROKER_URLS_MAX];
	struct broker_name services_of[BROKER_URLS_MAX];
	struct service services[BROKER_URLS_MAX];
	uint32_t service_count;
	uint32_t target_idx;
	struct expect expect;
	struct ledger ledger;
	struct account account;
	struct broker_session *sessions; /* one a name; of a cluster, one */
	struct broker_link *links, *current;
	uint32_t epoch_next;

	struct broker_news *news;
	uint32_t news_count, news_room;
	struct broker_sight *sights;
	uint32_t sight_count, sight_room;
	uint32_t retained[16]; /* news_idx + 1, by topic */
	uint64_t order_next;
	uint64_t taken_order
		[EXPECT_SUBS_MAX]; /* of the last copy that the client has acknowledged; by subscription */
	uint32_t others_period_ms; /* 0: nobody else publishes here */
	bool is_quiet;             /* nor now */
	bool one_copy;     /* overlapping subscriptions: one message with all identifiers, or one for each */
	bool without_ids;  /* it has no subscription identifiers */
	bool holds_pubrel; /* many of QoS 2 are half way at the same time */

	bool leads_in_circles; /* where it redirects, always to its other name */
	bool flaps;            /* in chaos it accepts, is slow to acknowledge, and is gone again */
	bool floods;           /* 3.1.1, which has no Receive Maximum: many at once */
	bool small_packets;    /* draws maximum packet sizes that not every message fits in */
	bool shuffle_acks;     /* acknowledges in any order */
	uint64_t ack_max_ns;
	uint32_t newest_link_id; /* that has sent its CONNECT */
	uint32_t newest_name;    /* to which it has connected last */
	bool must_be_clean;      /* the client's own state is gone: it must not go on with a session */
	bool ever_lowered;       /* has_lowered, in any session */
	bool has_been_used;      /* a message has come: the client knows its session */
	uint32_t dead_link_id;   /* connections before it are of a process that has crashed */
	bool has_crashed;        /* the client, and it has not been back yet */
	bool client_has_ended;
	bool told_to_leave;      /* the world has stopped or disabled the client, ever */
	uint32_t redirect_count; /* in a row */
	uint64_t redirect_ns;    /* the first of these */
	uint64_t connect_count;
	bool said_goodbye;     /* the last connection that ended had ended with DISCONNECT */
	bool goodbye_was_told; /* and the last message before was on_disconnect, acknowledged */
};

void broker_begin(struct broker *b, uint32_t target_idx, const char *const names[], uint32_t name_count);
void broker_end(struct broker *b);
/* The others begin to publish. */
void broker_news_later(struct broker *b);
void broker_set_down(struct broker *b, bool down);
/* Has it an accepted connection? */
bool broker_online(const struct broker *b);
/* The daemon is gone without a word. */
enum broker_client_state { BROKER_CLIENT_KEEPS, BROKER_CLIENT_MAY_KEEP, BROKER_CLIENT_FORGOT };
void broker_client_crashed(struct broker *b, enum broker_client_state state);
/* Nothing is under way in the client's session, either way. */
bool broker_is_settled(const struct broker *b);
/* All is delivered, and no fault is left: what must be true of the session then. */
void broker_check_settled(const struct broker *b);

#endif
