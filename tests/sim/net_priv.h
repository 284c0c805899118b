/* tests/sim/net_priv.h - what loop_sim.c and net.c share: a connection seen from both sides.
 *
 * Purpose:  bytes on their way, the operations that wait for them. Owner: net.c; one thread.
 */
#ifndef TESTS_SIM_NET_PRIV_H
#define TESTS_SIM_NET_PRIV_H

#include "tests/sim/net.h"

struct pipe_bytes {
	uint8_t *bytes;
	size_t size, room;
	size_t arrived;
	uint64_t last_ns; /* arrival of the last piece: pieces do not overtake */
};

enum conn_state { CONN_NEW, CONN_CONNECTING, CONN_OPEN, CONN_DEAD };

struct conn {
	struct conn *next_live; /* handles that the product has not given back */
	struct conn *next_all;
	int handle;
	uint32_t id;
	struct loop *loop;
	struct service *service;
	void *link;
	enum conn_state state;
	int error; /* of a dead one, for the product's next operation */
	uint32_t user_timeout_ms;
	struct pipe_bytes out, in;
	size_t in_read;
	size_t window_bytes;
	size_t reset_at; /* arrived bytes out at which it breaks; SIZE_MAX: never */
	bool serial, blackhole, slow, ended;
	bool client_closed, client_shut, peer_closed, peer_fin_arrived, timeout_armed;
	/* operations that wait; NULL: none */
	struct completion *connect, *recv;
	struct net_send *send;
	struct completion *write; /* serial */
	const void *write_bytes;
	size_t write_size;
	void *recv_buffer;
	size_t recv_size;
};

extern struct conn *conns_live;

struct conn *conn_new(struct loop *l, bool serial);
struct service *service_of_address(const struct net_address *a);
struct service *service_of_name(const char *name, uint16_t port);
void address_of_service(const struct service *s, struct net_address *out);
void conn_connect(struct conn *c, struct service *s);
void conn_client_send(struct conn *c); /* takes what there is room for from the waiting operation */
void conn_client_shut(struct conn *c);
void conn_client_close(struct conn *c);

/* loop_sim.c: the connection has news for the waiting operations. */
void conn_try_recv(struct conn *c);
void conn_fail(struct conn *c, int error);
void conn_connected(struct conn *c, int error);
void loop_sim_finish(struct loop *l, struct completion *c, int res);
void loop_sim_finish_data(struct loop *l, struct completion *c, int res, void *to, const uint8_t *from);

#endif
