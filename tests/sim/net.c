/* Bytes between the product and the services: latency, windows, resets at any byte, half-open paths. */
#include "tests/sim/net_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SERVICES_MAX 32
#define HANDLE_FIRST 1000

static struct service *services[SERVICES_MAX];
static uint32_t service_count;
struct conn *conns_live;
static struct conn *conns_all;
static uint32_t conn_count;

void net_add(struct service *s)
{
	ASSERT(service_count < SERVICES_MAX);
	services[service_count++] = s;
}

void net_end(void)
{
	while (conns_all) {
		struct conn *c = conns_all;

		conns_all = c->next_all;
		free(c->out.bytes);
		free(c->in.bytes);
		free(c);
	}
	conns_live = NULL;
	conn_count = 0;
	service_count = 0;
}

/* --- addresses ------------------------------------------------------------------------------------------------ */

struct service *service_of_name(const char *name, uint16_t port)
{
	for (uint32_t i = 0; i < service_count; i++)
		if (strcmp(services[i]->name, name) == 0 && services[i]->port == port)
			return services[i];
	return NULL;
}

void address_of_service(const struct service *s, struct net_address *out)
{
	uint32_t idx = 0;

	while (services[idx] != s)
		idx++;
	*out = (struct net_address){.size_bytes = sizeof(out->v4)};
	out->v4 = (struct sockaddr_in){.sin_family = AF_INET,
				       .sin_port = htons(s->port),
				       .sin_addr.s_addr = htonl(0x0a000001u + (idx << 8))};
}

/* NULL for an address at which nobody lives. */
struct service *service_of_address(const struct net_address *a)
{
	uint32_t host = ntohl(a->v4.sin_addr.s_addr);
	uint32_t idx = (host >> 8) & 0xff;

	if (host >> 16 != 0x0a00 || (host & 0xff) != 1 || idx >= service_count)
		return NULL;
	return services[idx];
}

/* --- life ------------------------------------------------------------------------------------------------------- */

struct conn *conn_new(struct loop *l, bool serial)
{
	struct conn *c = calloc(1, sizeof(*c));

	ASSERT(c);
	c->id = conn_count++;
	c->handle = HANDLE_FIRST + (int)c->id; /* never used twice: a stale one is found out */
	c->loop = l;
	c->serial = serial;
	c->reset_at = SIZE_MAX;
	c->window_bytes = sim_chance(300) ? sim_between(100, 300) : sim_between(300, 65536);
	c->next_all = conns_all;
	conns_all = c;
	c->next_live = conns_live;
	conns_live = c;
	return c;
}

uint32_t conn_id(const struct conn *c)
{
	return c->id;
}

bool conn_was_slow(const struct conn *c)
{
	return c->slow || c->blackhole;
}

bool conn_has_delivered(const struct conn *c)
{
	return c->out.arrived == c->out.size;
}

uint32_t net_open_count(void)
{
	uint32_t count = 0;

	for (struct conn *c = conns_live; c; c = c->next_live)
		count++;
	return count;
}

static void ended(struct conn *c, bool in_order)
{
	if (c->ended || !c->link)
		return;
	c->ended = true;
	c->service->on_end(c->link, in_order);
	if (c->out.size > c->out.arrived && c->service->on_ghost)
		c->service->on_ghost(c->link, c->out.bytes + c->out.arrived, c->out.size - c->out.arrived);
}

/* Nothing moves any more. */
static void kill(struct conn *c, int error)
{
	if (c->state == CONN_DEAD)
		return;
	sim_trace("conn %u dead %d", c->id, error);
	c->state = CONN_DEAD;
	c->error = error;
	ended(c, false);
	conn_fail(c, error);
}

void conn_reset(struct conn *c)
{
	if (c->state != CONN_OPEN)
		return;
	sim_covered[COVER_RESET]++;
	kill(c, -ECONNRESET);
}

static void reset_at_time(void *arg, uint64_t value UNUSED)
{
	if (sim.faults.reset)
		conn_reset(arg);
}

void net_cut(const struct service *s)
{
	for (struct conn *c = conns_live; c; c = c->next_live)
		if (c->service == s)
			conn_reset(c);
}

static void time_out(void *arg, uint64_t arrived)
{
	struct conn *c = arg;

	if (c->state == CONN_CONNECTING && c->connect) {
		sim_covered[COVER_USER_TIMEOUT]++;
		conn_connected(c, -ETIMEDOUT);
	} else if (c->state == CONN_OPEN && c->blackhole && c->out.arrived == arrived) {
		sim_covered[COVER_USER_TIMEOUT]++;
		kill(c, -ETIMEDOUT);
	}
}

static void timeout_arm(struct conn *c)
{
	if (c->timeout_armed || c->user_timeout_ms == 0)
		return;
	c->timeout_armed = true;
	sim_after(c->user_timeout_ms * NS_PER_MS, time_out, c, c->out.arrived);
}

void conn_blackhole(struct conn *c)
{
	if (c->blackhole || c->state != CONN_OPEN)
		return;
	sim_trace("conn %u half-open", c->id);
	sim_covered[COVER_BLACKHOLE]++;
	c->blackhole = true;
	if (c->out.size > c->out.arrived && sim_chance(700))
		timeout_arm(c);
}

static void blackhole_at_time(void *arg, uint64_t value UNUSED)
{
	if (sim.faults.blackhole)
		conn_blackhole(arg);
}

/* What becomes of a connection is drawn when it opens. */
static void fate(struct conn *c)
{
	if (!c->serial && sim_chance(sim.faults.reset)) {
		if (sim_chance(700))
			c->reset_at = (size_t)(sim_chance(500) ? sim_between(0, 120) : sim_between(0, 8000));
		else
			sim_after(sim_between(0, 3 * NS_PER_S), reset_at_time, c, 0);
	}
	if (!c->serial && sim_chance(sim.faults.blackhole))
		sim_after(sim_between(0, 3 * NS_PER_S), blackhole_at_time, c, 0);
}

static void established(void *arg, uint64_t value UNUSED)
{
	struct conn *c = arg;

	if (c->client_closed || c->state != CONN_CONNECTING)
		return;
	if (c->service->down) {
		conn_connected(c, -ECONNREFUSED);
		return;
	}
	c->state = CONN_OPEN;
	fate(c);
	c->link = c->service->on_accept(c->service->user, c);
	conn_connected(c, 0);
}

static void refused(void *arg, uint64_t value UNUSED)
{
	static const int errors[] = {-ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH, -ETIMEDOUT};
	struct conn *c = arg;

	if (c->state != CONN_CONNECTING)
		return;
	sim_covered[COVER_REFUSED_CONNECT]++;
	conn_connected(c, errors[sim_below(ARRAY_COUNT(errors))]);
}

void conn_connect(struct conn *c, struct service *s)
{
	uint64_t latency_ns = sim_between(20 * NS_PER_US, sim.latency_max_ns);

	c->state = CONN_CONNECTING;
	c->service = s;
	if (!s || s->down || sim_chance(sim.faults.refuse)) {
		if (sim_chance(800) || c->user_timeout_ms == 0)
			sim_after(latency_ns, refused, c, 0);
		else
			timeout_arm(c); /* no answer at all */
		return;
	}
	if (c->serial) { /* open at once */
		c->state = CONN_OPEN;
		c->link = s->on_accept(s->user, c);
		return;
	}
	sim_after(latency_ns, established, c, 0);
}

/* --- from the product ---------------------------------------------------------------------------------------------- */

static void pipe_add(struct pipe_bytes *p, const void *bytes, size_t size_bytes)
{
	if (p->size + size_bytes > p->room) {
		p->room = (p->size + size_bytes) * 2 + 256;
		p->bytes = realloc(p->bytes, p->room);
		ASSERT(p->bytes);
	}
	memcpy(p->bytes + p->size, bytes, size_bytes);
	p->size += size_bytes;
}

static uint64_t arrival(struct conn *c, struct pipe_bytes *p)
{
	uint64_t at = sim.now_ns + sim_between(20 * NS_PER_US, sim.latency_max_ns);

	if (!c->serial && sim.faults.stall && sim_chance(2)) { /* a path that stands still for a while */
		at += sim_between(0, 2 * NS_PER_S);
		c->slow = true;
	}
	if (at < p->last_ns)
		at = p->last_ns;
	p->last_ns = at;
	return at;
}

static void out_arrives(void *arg, uint64_t size_bytes)
{
	struct conn *c = arg;
	size_t from = c->out.arrived, n = (size_t)size_bytes;
	bool was_closed = c->peer_closed; /* what made the peer close it has read */

	if (c->state != CONN_OPEN || c->blackhole)
		return;
	if (sim.faults.reset == 0) /* calm: it has outlived its fate */
		c->reset_at = SIZE_MAX;
	if (c->reset_at < from + n)
		n = c->reset_at - from;
	c->out.arrived += n;
	if (n > 0)
		c->service->on_bytes(c->link, c->out.bytes + from, n);
	if (c->reset_at <= c->out.arrived || (was_closed && n > 0)) {
		conn_reset(c);
		return;
	}
	if (!c->client_closed)
		conn_client_send(c);
	if (c->client_closed && c->out.arrived == c->out.size)
		ended(c, true);
}

static size_t take(struct conn *c, const struct iovec *iov, size_t iov_count, size_t limit)
{
	size_t taken = 0;

	for (size_t i = 0; i < iov_count && taken < limit; i++) {
		size_t n = min_size(iov[i].iov_len, limit - taken);

		pipe_add(&c->out, iov[i].iov_base, n);
		taken += n;
	}
	return taken;
}

static size_t short_size(size_t wanted)
{
	if (wanted <= 1 || !sim_chance(sim.short_io))
		return wanted;
	return (size_t)(sim_chance(300) ? 1 : sim_between(1, wanted));
}

void conn_client_send(struct conn *c)
{
	struct iovec one = {.iov_base = (void *)(uintptr_t)c->write_bytes, .iov_len = c->write_size};
	struct completion *done = c->send ? &c->send->completion : c->write;
	const struct iovec *iov = c->send ? c->send->msg.msg_iov : &one;
	size_t iov_count = c->send ? c->send->msg.msg_iovlen : 1;
	size_t wanted = 0, room = c->window_bytes - min_size(c->window_bytes, c->out.size - c->out.arrived);

	if (!done || room == 0)
		return;
	for (size_t i = 0; i < iov_count; i++)
		wanted += iov[i].iov_len;
	size_t taken = take(c, iov, iov_count, short_size(min_size(wanted, room)));

	sim_covered[COVER_SHORT_SEND] += taken < wanted;
	c->send = NULL;
	c->write = NULL;
	sim_at(arrival(c, &c->out), out_arrives, c, taken);
	if (c->blackhole && sim_chance(700))
		timeout_arm(c);
	sim_trace("conn %u takes %zu of %zu", c->id, taken, wanted);
	loop_sim_finish(c->loop, done, (int)taken);
}

static void shut_arrives(void *arg, uint64_t value UNUSED)
{
	struct conn *c = arg;

	if (c->state == CONN_OPEN && !c->blackhole)
		ended(c, true);
}

void conn_client_shut(struct conn *c)
{
	if (c->client_shut || c->state != CONN_OPEN)
		return;
	c->client_shut = true;
	sim_at(arrival(c, &c->out), shut_arrives, c, 0);
}

void conn_client_close(struct conn *c)
{
	c->client_closed = true;
	if (c->state != CONN_OPEN)
		return;
	/* A close with unread bytes resets, and what is on its way may be lost with it. */
	if (c->blackhole || c->in.arrived > c->in_read) {
		kill(c, -ECONNRESET);
		return;
	}
	sim_at(arrival(c, &c->out), shut_arrives, c, 0);
}

/* --- to the product --------------------------------------------------------------------------------------------------- */

static void in_arrives(void *arg, uint64_t size_bytes)
{
	struct conn *c = arg;

	if (c->state != CONN_OPEN || c->blackhole)
		return;
	if (c->client_closed) { /* bytes for nobody */
		conn_reset(c);
		return;
	}
	c->in.arrived += (size_t)size_bytes;
	conn_try_recv(c);
}

void conn_send(struct conn *c, const void *bytes, size_t size_bytes)
{
	size_t left = size_bytes;

	if (c->state != CONN_OPEN || c->peer_closed)
		return;
	pipe_add(&c->in, bytes, size_bytes);
	while (left > 0) {
		size_t piece = short_size(left);

		sim_at(arrival(c, &c->in), in_arrives, c, piece);
		left -= piece;
	}
}

static void fin_arrives(void *arg, uint64_t value UNUSED)
{
	struct conn *c = arg;

	if (c->state != CONN_OPEN || c->blackhole)
		return;
	c->peer_fin_arrived = true;
	conn_try_recv(c);
}

void conn_finish(struct conn *c)
{
	if (c->peer_closed || c->state != CONN_OPEN)
		return;
	c->peer_closed = true;
	sim_at(arrival(c, &c->in), fin_arrives, c, 0);
}
