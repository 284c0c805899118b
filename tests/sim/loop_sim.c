/* io/loop.h against the virtual network; loop_sim.o takes the place of io/loop_*.o. What a real kernel promises holds,
 * and no more: completions come late and in any order among handles, transfers are short, a cancelled operation may
 * still have succeeded. What the product may not do (two receives on a handle, a handle given back while it is in
 * use, more operations than it asked for) is a violation. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net_priv.h"

enum { FLAG_READY = 1 };

struct ready {
	struct completion *c;
	uint64_t at_ns;
	void *to; /* received bytes: they appear in the caller's memory no sooner than done() */
	const struct conn *from;
	size_t offset;
};

struct lookup_job {
	struct lookup_job *next;
	struct net_lookup *lookup; /* NULL: cancelled */
	struct loop *loop;
};

struct loop {
	uint32_t operation_count_max, active_count;
	struct ready *ready;
	uint32_t ready_count;
	uint64_t deadline_ns;
	bool woken, waits, running, quiet;
	struct lookup_job *jobs; /* until the loop closes */
};

static struct lookup_job *jobs_left; /* of loops that are closed */

void loop_sim_end(void)
{
	while (jobs_left) {
		struct lookup_job *j = jobs_left;

		jobs_left = j->next;
		free(j);
	}
}

int loop_open(struct loop **out, const struct loop_limits *limits)
{
	struct loop *l;

	if (limits->operation_count < 1 || limits->operation_count > LOOP_OPERATIONS_MAX)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->operation_count_max = limits->operation_count;
	l->ready = calloc((size_t)limits->operation_count + 1, sizeof(l->ready[0]));
	if (!l->ready) {
		free(l);
		return -ENOMEM;
	}
	*out = l;
	return 0;
}

uint64_t loop_memory_bytes(const struct loop_limits *limits UNUSED)
{
	return 0; /* there is no kernel */
}

const char *loop_open_hint(int error UNUSED)
{
	return "the simulated loop could not be opened";
}

void loop_quiet(struct loop *l)
{
	l->quiet = true;
	for (struct conn *c = conns_live, *next; c; c = next) {
		next = c->next_live;
		if (c->loop != l)
			continue;
		c->connect = c->recv = c->write = NULL;
		c->send = NULL;
	}
	for (struct lookup_job *j = l->jobs; j; j = j->next)
		j->lookup = NULL;
	l->ready_count = 0;
}

void loop_close(struct loop *l)
{
	loop_quiet(l);
	for (struct conn *c = conns_live, *next; c; c = next) {
		next = c->next_live;
		if (c->loop == l)
			loop_close_handle(l, c->handle);
	}
	while (l->jobs) { /* their events may still come */
		struct lookup_job *j = l->jobs;

		l->jobs = j->next;
		j->next = jobs_left;
		jobs_left = j;
	}
	free(l->ready);
	free(l);
}

bool loop_sim_ready(const struct loop *l)
{
	if (!l->waits || l->woken || sim.now_ns >= l->deadline_ns)
		return true;
	for (uint32_t i = 0; i < l->ready_count; i++)
		if (l->ready[i].at_ns <= sim.now_ns)
			return true;
	return false;
}

bool loop_sim_waits(const struct loop *l)
{
	return l->waits;
}

uint64_t loop_sim_next(const struct loop *l)
{
	uint64_t next = l->deadline_ns;

	for (uint32_t i = 0; i < l->ready_count; i++)
		next = min_u64(next, l->ready[i].at_ns);
	return next;
}

static uint32_t due_count(const struct loop *l)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < l->ready_count; i++)
		count += l->ready[i].at_ns <= sim.now_ns;
	return count;
}

static struct ready take_due(struct loop *l, uint32_t nth)
{
	uint32_t i = 0;
	struct ready r;

	while (l->ready[i].at_ns > sim.now_ns || nth-- > 0)
		i++;
	r = l->ready[i];
	memmove(&l->ready[i], &l->ready[i + 1], (l->ready_count - i - 1) * sizeof(l->ready[0]));
	l->ready_count--;
	return r;
}

int loop_run(struct loop *l, struct mono deadline)
{
	uint32_t due = due_count(l);

	ASSERT(!l->running);
	ASSERT(!l->quiet);
	l->waits = due == 0 && !l->woken && sim.now_ns < deadline.ns;
	l->deadline_ns = deadline.ns;
	if (l->waits)
		return 0;
	l->woken = false;
	l->running = true;
	for (uint32_t i = 0; i < due; i++) {
		struct ready r = take_due(l, sim_below(due - i)); /* in any order */
		int res = r.c->res;

		if (r.to && res > 0)
			memcpy(r.to, r.from->in.bytes + r.offset, (size_t)res);
		l->active_count--;
		r.c->flags = 0;
		r.c->next = NULL;
		r.c->active = false;
		r.c->done(r.c, res);
	}
	l->running = false;
	return (int)due;
}

/* Time does not go on here while a thread looks. */
void loop_spin(struct loop *l UNUSED, const _Atomic uint32_t *watched UNUSED, uint32_t quiet UNUSED,
	       struct mono until UNUSED)
{
}

void loop_wake(struct loop *l)
{
	l->woken = true;
}

static void finish(struct loop *l, struct completion *c, int res, struct ready r)
{
	ASSERT(c->active);
	ASSERT(!(c->flags & FLAG_READY));
	ASSERT(l->ready_count < l->operation_count_max);
	c->flags |= FLAG_READY;
	c->res = res;
	r.c = c;
	r.at_ns = sim.now_ns +
		  (sim_chance(50) ? sim_between(0, 3 * NS_PER_MS) : sim_between(0, 40 * NS_PER_US));
	l->ready[l->ready_count++] = r;
}

void loop_sim_finish(struct loop *l, struct completion *c, int res)
{
	finish(l, c, res, (struct ready){0});
}

static void begin(struct loop *l, struct completion *c)
{
	ASSERT(c->done);
	if (c->active)
		sim_fail("an operation is started while it is active");
	c->active = true;
	c->flags = 0;
	c->res = 0;
	l->active_count++;
	if (l->active_count > l->operation_count_max)
		sim_fail("more than %u operations are active", l->operation_count_max);
}

/* --- cancelling ------------------------------------------------------------------------------------------------- */

static bool forget_lookup(struct loop *l, const struct completion *c)
{
	for (struct lookup_job *j = l->jobs; j; j = j->next) {
		if (!j->lookup || &j->lookup->completion != c)
			continue;
		j->lookup = NULL;
		return true;
	}
	return false;
}

static bool forget(struct conn *conn, const struct completion *c)
{
	if (conn->connect == c)
		conn->connect = NULL;
	else if (conn->recv == c)
		conn->recv = NULL;
	else if (conn->write == c)
		conn->write = NULL;
	else if (conn->send && &conn->send->completion == c)
		conn->send = NULL;
	else
		return false;
	return true;
}

void loop_cancel(struct loop *l, struct completion *c)
{
	if (!c->active || (c->flags & FLAG_READY))
		return;
	if (forget_lookup(l, c)) {
		loop_sim_finish(l, c, -ECANCELED);
		return;
	}
	for (struct conn *conn = conns_live; conn; conn = conn->next_live) {
		if (forget(conn, c)) {
			loop_sim_finish(l, c, -ECANCELED);
			return;
		}
	}
	sim_fail("a cancelled operation is nowhere");
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static uint32_t addresses_fill(struct net_lookup *lookup, const struct service *s)
{
	uint32_t count = 0;

	while (count < 3 && sim_chance(sim.faults.bad_address)) { /* an address at which nobody lives */
		lookup->addresses[count] = (struct net_address){.size_bytes = sizeof(struct sockaddr_in)};
		lookup->addresses[count].v4 = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a090901u + count)};
		count++;
	}
	address_of_service(s, &lookup->addresses[count++]);
	return count;
}

static void looked_up(void *arg, uint64_t value UNUSED)
{
	struct lookup_job *j = arg;
	struct net_lookup *lookup = j->lookup;
	const struct service *s;

	if (!lookup)
		return;
	j->lookup = NULL;
	s = service_of_name(lookup->host, lookup->port);
	if (!s || sim_chance(sim.faults.dead_lookup)) {
		sim_covered[COVER_LOOKUP_FAILED]++;
		loop_sim_finish(j->loop, &lookup->completion, sim_chance(500) ? -ENOENT : -EAGAIN);
		return;
	}
	loop_sim_finish(j->loop, &lookup->completion, (int)addresses_fill(lookup, s));
}

void loop_lookup(struct loop *l, struct net_lookup *lookup)
{
	struct lookup_job *j = calloc(1, sizeof(*j));

	ASSERT(j);
	begin(l, &lookup->completion);
	*j = (struct lookup_job){.next = l->jobs, .lookup = lookup, .loop = l};
	l->jobs = j;
	sim_after(sim_chance(sim.faults.slow_lookup) ? sim_between(0, 5 * NS_PER_S)
						     : sim_between(0, NS_PER_MS),
		  looked_up, j, 0);
}

/* --- transfers ---------------------------------------------------------------------------------------------------- */

static struct conn *conn_of(int handle)
{
	for (struct conn *c = conns_live; c; c = c->next_live)
		if (c->handle == handle)
			return c;
	sim_fail("handle %d is not open", handle);
	return NULL;
}

int loop_tcp_open(struct loop *l, const struct net_address *peer UNUSED, uint32_t user_timeout_ms)
{
	struct conn *c;

	if (sim_chance(sim.faults.io_again))
		return -EMFILE;
	c = conn_new(l, false);
	c->user_timeout_ms = user_timeout_ms;
	return c->handle;
}

int loop_local_address(struct loop *l UNUSED, int handle, struct net_address *out)
{
	struct conn *c = conn_of(handle);

	if (!c)
		return -EBADF;
	*out = (struct net_address){.size_bytes = sizeof(out->v4)};
	out->v4.sin_family = AF_INET;
	out->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	out->v4.sin_port = htons((uint16_t)(40000 + handle % 20000));
	return 0;
}

void loop_connect(struct loop *l, int handle, const struct net_address *peer, struct completion *done)
{
	struct conn *c = conn_of(handle);

	begin(l, done);
	if (!c)
		return;
	if (c->state != CONN_NEW)
		sim_fail("a second connect on a handle");
	c->connect = done;
	conn_connect(c, service_of_address(peer));
}

void conn_connected(struct conn *c, int error)
{
	struct completion *done = c->connect;

	if (error)
		c->state = CONN_DEAD;
	c->connect = NULL;
	if (done)
		loop_sim_finish(c->loop, done, error);
}

void conn_fail(struct conn *c, int error)
{
	struct completion *recv = c->recv, *write = c->send ? &c->send->completion : c->write;

	c->recv = c->write = NULL;
	c->send = NULL;
	if (recv)
		loop_sim_finish(c->loop, recv, error);
	if (write)
		loop_sim_finish(c->loop, write, error == -ECONNRESET && sim_chance(500) ? -EPIPE : error);
}

void conn_try_recv(struct conn *c)
{
	struct completion *done = c->recv;
	size_t n = min_size(c->in.arrived - c->in_read, c->recv_size);

	if (!done)
		return;
	if (n > 1 && sim_chance(sim.short_io)) {
		sim_covered[COVER_SHORT_RECV]++;
		n = (size_t)(sim_chance(300) ? 1 : sim_between(1, n));
	}
	if (n > 0) {
		c->recv = NULL;
		finish(c->loop, done, (int)n,
		       (struct ready){.to = c->recv_buffer, .from = c, .offset = c->in_read});
		c->in_read += n;
	} else if (c->peer_fin_arrived && c->in.arrived == c->in.size) {
		c->recv = NULL;
		loop_sim_finish(c->loop, done, 0);
	}
}

static bool interrupted(struct conn *c)
{
	return !c->serial && sim_chance(sim.faults.io_again);
}

static void receive(struct loop *l, int handle, void *buffer, size_t size_bytes, struct completion *done)
{
	struct conn *c = conn_of(handle);

	ASSERT(size_bytes > 0);
	begin(l, done);
	if (!c)
		return;
	if (c->recv)
		sim_fail("two receives on a handle");
	if (interrupted(c)) {
		loop_sim_finish(l, done, sim_chance(500) ? -EINTR : -EAGAIN);
		return;
	}
	c->recv = done;
	c->recv_buffer = buffer;
	c->recv_size = size_bytes;
	if (c->state == CONN_DEAD)
		conn_fail(c, c->error ? c->error : -ENOTCONN);
	else
		conn_try_recv(c);
}

void loop_recv(struct loop *l, int handle, void *buffer, size_t size_bytes, struct completion *c)
{
	receive(l, handle, buffer, size_bytes, c);
}

void loop_read(struct loop *l, int handle, void *buffer, size_t size_bytes, struct completion *c)
{
	receive(l, handle, buffer, size_bytes, c);
}

static void send_later(void *arg, uint64_t value UNUSED)
{
	struct conn *c = arg;

	if (c->state == CONN_OPEN && !c->client_closed)
		conn_client_send(c);
}

/* The system looks at the memory some time before done(), not in the call. */
static void transmit(struct conn *c)
{
	if (c->state == CONN_DEAD || c->client_shut)
		conn_fail(c, c->error ? c->error : -EPIPE);
	else if (sim_chance(500))
		conn_client_send(c);
	else
		sim_after(sim_between(0, 200 * NS_PER_US), send_later, c, 0);
}

void loop_sendv(struct loop *l, int handle, struct iovec *iov, uint32_t iov_count, struct net_send *op)
{
	struct conn *c = conn_of(handle);

	begin(l, &op->completion);
	if (!c)
		return;
	if (c->send)
		sim_fail("two sends on a handle");
	op->msg = (struct msghdr){.msg_iov = iov, .msg_iovlen = iov_count};
	if (interrupted(c)) {
		loop_sim_finish(l, &op->completion, sim_chance(500) ? -EINTR : -EAGAIN);
		return;
	}
	c->send = op;
	transmit(c);
}

void loop_write(struct loop *l, int handle, const void *bytes, size_t size_bytes, struct completion *done)
{
	struct conn *c = conn_of(handle);

	begin(l, done);
	if (!c)
		return;
	if (c->write)
		sim_fail("two writes on a handle");
	c->write = done;
	c->write_bytes = bytes;
	c->write_size = size_bytes;
	transmit(c);
}

void loop_shutdown(struct loop *l UNUSED, int handle)
{
	struct conn *c = conn_of(handle);

	if (c)
		conn_client_shut(c);
}

void loop_close_handle(struct loop *l UNUSED, int handle)
{
	struct conn *c = conn_of(handle);
	struct conn **at = &conns_live;

	if (!c)
		return;
	if (c->connect || c->recv || c->send || c->write)
		sim_fail("handle %d is given back while an operation is active", handle);
	while (*at != c)
		at = &(*at)->next_live;
	*at = c->next_live;
	conn_client_close(c);
}

/* --- serial ports --------------------------------------------------------------------------------------------------- */

int loop_serial_open(struct loop *l, const char *path, const struct serial_format *format UNUSED)
{
	static const int errors[] = {-ENOENT, -EACCES, -EIO};
	struct service *s = service_of_name(path, 0);
	struct conn *c;

	if (!s || s->down || sim_chance(sim.faults.refuse))
		return errors[sim_below(ARRAY_COUNT(errors))];
	c = conn_new(l, true);
	conn_connect(c, s);
	return c->handle;
}

void loop_serial_flush(struct loop *l UNUSED, int handle)
{
	struct conn *c = conn_of(handle);

	if (c)
		c->in_read = c->in.arrived;
}

/* --- the control socket: no part of the simulated node -------------------------------------------------------------- */

int loop_unix_listen(struct loop *l UNUSED, const char *path UNUSED, uint32_t mode UNUSED)
{
	return -EOPNOTSUPP;
}

void loop_accept(struct loop *l, int handle UNUSED, struct completion *c)
{
	begin(l, c);
	loop_sim_finish(l, c, -EOPNOTSUPP);
}

int loop_unix_peer(struct loop *l UNUSED, int handle UNUSED, struct net_peer *peer UNUSED)
{
	return -EOPNOTSUPP;
}
