/* tests/sim/net.h - the virtual network: names, listeners, connections, serial ports, and the loops that use them.
 *
 * Purpose:  the far side of io/loop.h. A service (broker, device) listens under a name or a path and sees connections; the
 *           product's side sees loop_sim.c, which takes the place of io/loop_*.c.
 * Owner:    the seed: net_end frees everything. Threads: one.
 * Memory:   every byte that the product sends is kept until net_end, so that what never arrived can be looked at.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "core/bytes.h"
#include "io/loop.h"
#include "tests/sim/sim.h"

struct conn;

struct service {
	const char *name; /* host, or path of a port */
	uint16_t port;    /* 0: a serial port */
	void *user;
	/* A connection; what is returned is `link` below. */
	void *(*on_accept)(void *user, struct conn *c);
	void (*on_bytes)(void *link, const uint8_t *bytes, size_t size_bytes);
	/* No more will arrive. in_order: the client has said so. */
	void (*on_end)(void *link, bool in_order);
	/* What the client's system had taken, and nobody will ever get. After on_end; at most once. */
	void (*on_ghost)(void *link, const uint8_t *bytes, size_t size_bytes);
	bool down; /* nobody listens */
};

void net_add(struct service *s);
void net_end(void);

/* The service's side of a connection. */
void conn_send(struct conn *c, const void *bytes, size_t size_bytes);
void conn_finish(struct conn *c); /* closes after what was sent */
void conn_reset(struct conn *c);
void conn_blackhole(struct conn *c); /* from now on nothing arrives, either way */
/* Has the path been slower than any keep-alive could allow for? */
bool conn_was_slow(const struct conn *c);
/* All that the client's system has taken has arrived. */
bool conn_has_delivered(const struct conn *c);
uint32_t conn_id(const struct conn *c);

/* All connections of the service break, now. */
void net_cut(const struct service *s);
/* Connections that the product has open. */
uint32_t net_open_count(void);

/* --- loops, for the world that steps threads --- */

/* After the last loop is closed and the last event is over. */
void loop_sim_end(void);
/* Would the thread go on now: something completed, a wake-up, its deadline? */
bool loop_sim_ready(const struct loop *l);
/* loop_run has found nothing to do, and a real one would wait. */
bool loop_sim_waits(const struct loop *l);
/* When it will be ready if nothing else happens. */
uint64_t loop_sim_next(const struct loop *l);

#endif
