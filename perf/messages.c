#include "perf/messages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perf/rig.h"
#include "proto/mqtt_type.h"

#define INPUT_BYTES (256u << 10)

const double messages_quantiles[MESSAGES_QUANTILES] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};

void messages_open(struct messages *m, uint64_t count_max)
{
	uint8_t *map;

	m->mapped_bytes = count_max * sizeof(m->times[0]) + 3 * CACHELINE_BYTES;
	m->count = 0;
	map = mmap(NULL, m->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
		   -1, 0);
	if (map == MAP_FAILED)
		rig_fail("memory", errno);
	m->seen = (void *)map;
	m->strange = (void *)(map + CACHELINE_BYTES);
	m->subscribed = (void *)(map + 2 * CACHELINE_BYTES);
	m->times = (void *)(map + 3 * CACHELINE_BYTES);
}

void messages_close(struct messages *m)
{
	munmap(m->seen, m->mapped_bytes);
}

void messages_plan(struct messages *m, uint64_t count, struct mono first, double interval_ns)
{
	m->count = count;
	atomic_store(m->seen, 0);
	atomic_store(m->strange, 0);
	for (uint64_t i = 0; i < count; i++)
		m->times[i] = (struct message_times){.due_ns = first.ns +
							       (uint64_t)((double)i * interval_ns)};
}

/* --- receiving ------------------------------------------------------------------------------------------------------ */

struct receiver {
	struct messages *messages;
	int fd;
	uint64_t next; /* number that is expected */
	size_t used_bytes;
	uint8_t input[INPUT_BYTES];
};

static void on_publish(struct receiver *r, const uint8_t *body, size_t body_bytes, uint64_t wire_ns,
		       uint64_t arrived_ns)
{
	struct messages *m = r->messages;
	uint64_t number = 0;
	size_t at;

	if (body_bytes < 2)
		return;
	for (at = 2 + ((size_t)body[0] << 8 | body[1]); at < body_bytes && body[at] >= '0' && body[at] <= '9';
	     at++)
		number = number * 10 + (uint64_t)(body[at] - '0');
	if (at != body_bytes || number < r->next || number >= m->count) {
		atomic_fetch_add_explicit(m->strange, 1, memory_order_relaxed);
		return;
	}
	m->times[number].wire_ns = wire_ns;
	m->times[number].arrived_ns = arrived_ns;
	r->next = number + 1;
	atomic_fetch_add_explicit(m->seen, 1, memory_order_release);
}

/* False: the connection is to end. */
static bool on_packet(struct receiver *r, uint8_t first_byte, const uint8_t *body, size_t body_bytes,
		      uint64_t wire_ns, uint64_t arrived_ns)
{
	static const uint8_t connack[] = {MQTT_CONNACK << 4, 2, 0, 0}, pingresp[] = {MQTT_PINGRESP << 4, 0};

	switch (first_byte >> 4) {
	case MQTT_PUBLISH: on_publish(r, body, body_bytes, wire_ns, arrived_ns); return true;
	case MQTT_CONNECT: return send(r->fd, connack, sizeof(connack), MSG_NOSIGNAL) == sizeof(connack);
	case MQTT_PINGREQ: return send(r->fd, pingresp, sizeof(pingresp), MSG_NOSIGNAL) == sizeof(pingresp);
	case MQTT_SUBACK: atomic_store(r->messages->subscribed, 1); return true;
	case MQTT_CONNACK:
	case MQTT_PINGRESP: return true;
	}
	return false;
}

static bool take_packets(struct receiver *r, uint64_t wire_ns, uint64_t arrived_ns)
{
	const uint8_t *at = r->input, *end = at + r->used_bytes;

	while (end - at >= 2) {
		size_t remaining = at[1] & 0x7f, header = 2;

		if (at[1] & 0x80) {
			if (end - at < 3)
				break;
			remaining |= (size_t)at[2] << 7;
			header = 3;
		}
		if (header + remaining > (size_t)(end - at))
			break;
		if (!on_packet(r, at[0], at + header, remaining, wire_ns, arrived_ns))
			return false;
		at += header + remaining;
	}
	r->used_bytes = (size_t)(end - at);
	memmove(r->input, at, r->used_bytes);
	return true;
}

/* The kernel's stamp is of the wall clock, and of the last bytes of what is received at a time. */
static uint64_t wire_of(struct msghdr *msg, uint64_t wall_ahead_ns)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct timespec ts;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec - wall_ahead_ns;
	}
	return 0;
}

void messages_receive(struct messages *m, int fd)
{
	static struct receiver r;
	/* Both clocks run at the same pace; only a step of the wall clock would show, as nonsense. */
	uint64_t wall_ahead_ns = (uint64_t)clock_wall().ns - clock_mono().ns;
	ssize_t n;

	r = (struct receiver){.messages = m, .fd = fd};
	(void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	for (;;) {
		uint8_t control[256];
		struct iovec iov = {.iov_base = r.input + r.used_bytes,
				    .iov_len = INPUT_BYTES - r.used_bytes};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		uint64_t arrived_ns, wire_ns;

		n = recvmsg(fd, &msg, 0);
		arrived_ns = clock_mono().ns;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		wire_ns = wire_of(&msg, wall_ahead_ns);
		r.used_bytes += (size_t)n;
		if (!take_packets(&r, wire_ns ? wire_ns : arrived_ns, arrived_ns))
			return;
	}
}

void messages_subscribe(struct messages *m, uint16_t port)
{
	static const uint8_t hello[] = {
		MQTT_CONNECT << 4,       15, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 3, 's', 'u', 'b',
		MQTT_SUBSCRIBE << 4 | 2, 6,  0, 1, 0,   1,   '#', 0,
	};
	const struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* A broker that was just started does not listen yet; our parent does not wait for ever. */
	while (connect(fd, (const struct sockaddr *)&peer, sizeof(peer)) < 0 && errno == ECONNREFUSED)
		rig_pause_s(0.01);
	if (send(fd, hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello))
		rig_fail("subscriber", errno);
	messages_receive(m, fd);
	close(fd);
}

/* --- quantiles ------------------------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static uint64_t span_of(const struct message_times *t, enum messages_span span)
{
	uint64_t from = 0, to = 0;

	switch (span) {
	case SPAN_DUE_WIRE: from = t->due_ns, to = t->wire_ns; break;
	case SPAN_DUE_ARRIVED: from = t->due_ns, to = t->arrived_ns; break;
	case SPAN_DUE_MADE: from = t->due_ns, to = t->made_ns; break;
	case SPAN_MADE_COMMITTED: from = t->made_ns, to = t->committed_ns; break;
	case SPAN_COMMITTED_WIRE: from = t->committed_ns, to = t->wire_ns; break;
	case SPAN_COMMITTED_ARRIVED: from = t->committed_ns, to = t->arrived_ns; break;
	case SPAN_COUNT: UNREACHABLE();
	}
	return to > from ? to - from : 0;
}

void messages_quantiles_of(const struct messages *m, enum messages_span span, uint64_t *scratch,
			   double out[MESSAGES_QUANTILES])
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < m->count; i++)
		if (m->times[i].arrived_ns)
			scratch[count++] = span_of(&m->times[i], span);
	qsort(scratch, count, sizeof(scratch[0]), by_value);
	for (uint32_t i = 0; i < MESSAGES_QUANTILES; i++) {
		double above = (1 - messages_quantiles[i]) * (double)count;
		uint64_t at = (uint64_t)(messages_quantiles[i] * (double)count);

		/* Fewer than one message lies above it: that is the largest, not a quantile. */
		if (count == 0 || (messages_quantiles[i] < 1 && above < 1))
			out[i] = -1;
		else
			out[i] = (double)scratch[min_u64(at, count - 1)] / 1e3;
	}
}
