/* tests/sim/broker_priv.h - one connection as the broker sees it; for broker*.c only.
 *
 * Purpose:  what broker.c (packets of the client), broker_manners.c (what the broker says, and when), broker_subs.c
 *           (subscriptions), broker_news.c (messages to the client) and broker_moods.c (misbehaviour) share.
 * Owner:    the broker; links are freed by broker_end.
 */
#ifndef TESTS_SIM_BROKER_PRIV_H
#define TESTS_SIM_BROKER_PRIV_H

#include "tests/sim/broker.h"

#define BROKER_ALIASES_MAX 64
#define BROKER_TOPIC_BYTES 200

enum broker_link_state { BROKER_LINK_NEW, BROKER_LINK_SILENT, BROKER_LINK_ONLINE, BROKER_LINK_GOODBYE };

struct broker_link {
	struct broker *broker;
	struct broker_session *session;
	struct conn *conn;
	struct broker_link *next;
	uint32_t id, name_idx;
	char mark[40]; /* of the message that is just being looked at */
	bool has_prefix;
	enum broker_link_state state;
	bool closed;  /* by us or by the path: what comes is for nobody */
	bool leaving; /* we have said good-bye: it has, too, or is going to */
	uint8_t level;
	bool session_present, clean;
	uint32_t session_expiry_s;
	uint64_t accepted_ns;
	/* our limits */
	uint32_t receive_max, alias_max, max_packet_bytes;
	uint8_t qos_max;
	bool retain_available, mute; /* mute: answers no ping, acknowledges nothing */
	bool wildcards, shared, subscription_ids;
	uint64_t keep_alive_ns, last_ns;
	/* the client's */
	uint32_t client_receive_max, client_alias_max, client_max_packet_bytes;
	/* what the client has done */
	uint32_t under_way_before; /* copies of ours, when it began */
	uint32_t unacked_count;    /* QoS 1 and 2 on this connection, our last word not said */
	uint64_t resent_seq;       /* of the last message that came again */
	bool sent_new;
	uint32_t publish_count;    /* that are not marked as duplicates */
	uint32_t on_connect_count; /* of them, what is said at each connection */
	bool said_on_connect;
	bool last_was_farewell;
	uint16_t farewell_id;
	char aliases[BROKER_ALIASES_MAX + 1][BROKER_TOPIC_BYTES];
	char said_aliases[BROKER_ALIASES_MAX + 1][40]; /* ours */
	uint8_t *held;                                 /* bytes of a packet that is not complete */
	size_t held_size, held_room;
	uint64_t ack_last_ns[16]; /* by type: acknowledgements of one type stay in order */
	bool is_inconsistent;     /* we have sent single copies for more than one subscription */
	/* we have broken a rule: */
	bool misbehaved;
	uint8_t reasons[3]; /* what the client may say to that; 0: nothing more */
};

/* broker.c: an acknowledgement goes out now. */
void broker_acked(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code);
void broker_session_lose(struct broker *b, struct broker_session *s);
void broker_violation(const struct broker_link *k, const char *what);
/* broker_manners.c */
void broker_welcome(struct broker_link *k, const struct wire_packet *connect);
void broker_say(struct broker_link *k, const void *bytes, size_t size_bytes);
void broker_ack_later(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code);
void broker_pong(struct broker_link *k);
void broker_close(struct broker_link *k);
uint8_t broker_refusal(const struct broker_link *k); /* an error for an acknowledgement, or 0 */
/* broker_moods.c */
void broker_mood_later(struct broker_link *k);
void broker_check_goodbye(struct broker_link *k, const struct wire_packet *p);
/* True: it was answered by a redirection. */
bool broker_redirects(struct broker_link *k);
/* broker_subs.c */
void broker_on_subscribe(struct broker_link *k, const struct wire_packet *p);
void broker_on_unsubscribe(struct broker_link *k, const struct wire_packet *p);
void broker_check_subscribed(const struct broker *b, const struct broker_session *s);
/* broker_news.c */
void broker_news_begin(struct broker_link *k);
void broker_news_subscribed(struct broker_link *k, uint32_t sub_idx, bool is_new);
bool broker_news_ack(struct broker_link *k, const struct wire_packet *p);
/* broker_definition.c: a message against what its definition says; a time stamp as virtual time, 0: it is none */
uint64_t broker_time_of(const char *text);
void broker_check_definition(struct broker_link *k, const struct wire_packet *p);

#endif
