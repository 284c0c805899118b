#include "perf/sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/thread.h"
#include "proto/mqtt_type.h"

#define INPUT_BYTES  (1u << 20) /* a receive; larger ones leave the second-level cache */
#define ACKS_BYTES   (64u << 10)
#define HEADER_BYTES 5 /* of the fixed header at most */
#define EVENTS_MAX   64
#define LISTEN_MAX   4096

struct sink_connection {
	int fd;
	size_t rest_bytes;
	uint8_t *rest; /* the beginning of a packet */
	struct sink_connection *next, *previous;
};

static int send_all(struct sink *s, int fd)
{
	for (size_t sent = 0; sent < s->acks_bytes;) {
		ssize_t n = send(fd, s->acks + sent, s->acks_bytes - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		sent += n > 0 ? (size_t)n : 0;
	}
	s->acks_bytes = 0;
	return 0;
}

static int answer(struct sink *s, int fd, const void *packet, size_t size_bytes)
{
	int rc = s->acks_bytes + size_bytes > ACKS_BYTES ? send_all(s, fd) : 0;

	memcpy(s->acks + s->acks_bytes, packet, size_bytes);
	s->acks_bytes += size_bytes;
	return rc;
}

/* An acknowledgement of either version: no reason code means success. */
static int answer_id(struct sink *s, int fd, uint8_t first_byte, const uint8_t *packet_id)
{
	const uint8_t ack[] = {first_byte, 2, packet_id[0], packet_id[1]};

	return answer(s, fd, ack, sizeof(ack));
}

/* The name before the level is "MQTT" in both versions that we speak. */
static int answer_connect(struct sink *s, int fd, const uint8_t *body, size_t body_bytes)
{
	const uint8_t v4[] = {MQTT_CONNACK << 4, 2, 0, 0};
	const uint8_t v5[] = {MQTT_CONNACK << 4,
			      6,
			      0,
			      0,
			      3,
			      0x22 /* Topic Alias Maximum */,
			      (uint8_t)(s->topic_alias_max >> 8),
			      (uint8_t)s->topic_alias_max};

	if (body_bytes < 7)
		return -EPROTO;
	return body[6] == 5 ? answer(s, fd, v5, sizeof(v5)) : answer(s, fd, v4, sizeof(v4));
}

static int answer_publish(struct sink *s, int fd, uint8_t qos, const uint8_t *body, size_t body_bytes)
{
	size_t topic_bytes;

	if (body_bytes < 4)
		return -EPROTO;
	topic_bytes = (size_t)body[0] << 8 | body[1];
	if (topic_bytes + 4 > body_bytes)
		return -EPROTO;
	return answer_id(s, fd, qos == 1 ? MQTT_PUBACK << 4 : MQTT_PUBREC << 4, body + 2 + topic_bytes);
}

/* Everything but a PUBLISH of QoS 0. */
static int on_packet(struct sink *s, int fd, uint8_t first_byte, const uint8_t *body, size_t body_bytes)
{
	static const uint8_t pingresp[] = {MQTT_PINGRESP << 4, 0};

	switch (first_byte >> 4) {
	case MQTT_CONNECT: return answer_connect(s, fd, body, body_bytes);
	case MQTT_PUBLISH: return answer_publish(s, fd, first_byte >> 1 & 3, body, body_bytes);
	case MQTT_PUBREL: return body_bytes < 2 ? -EPROTO : answer_id(s, fd, MQTT_PUBCOMP << 4, body);
	case MQTT_PINGREQ: return answer(s, fd, pingresp, sizeof(pingresp));
	case MQTT_DISCONNECT: return -ECONNRESET;
	}
	return -EPROTO;
}

/* Whole packets at the front of the input. Returns how many bytes they are, or -errno. */
static ssize_t count_packets(struct sink *s, int fd)
{
	const uint8_t *at = s->input, *end = s->input + s->input_bytes;
	uint64_t messages = 0, bytes = 0;
	int rc = 0;

	while (rc == 0 && end - at >= 2) {
		size_t remaining = at[1] & 0x7f, header = 2;

		while (header < HEADER_BYTES && at[header - 1] & 0x80 && (size_t)(end - at) > header) {
			remaining |= (size_t)(at[header] & 0x7f) << 7 * (header - 1);
			header++;
		}
		if (header + remaining > INPUT_BYTES)
			return -EMSGSIZE;
		if (at[header - 1] & 0x80 || header + remaining > (size_t)(end - at))
			break;
		if (at[0] >> 4 == MQTT_PUBLISH) {
			messages++;
			bytes += header + remaining;
		}
		if ((at[0] & 0xf6) != MQTT_PUBLISH << 4)
			rc = on_packet(s, fd, at[0], at + header, remaining);
		at += header + remaining;
	}
	atomic_fetch_add_explicit(&s->messages, messages, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->bytes, bytes, memory_order_relaxed);
	return rc < 0 ? rc : at - s->input;
}

static void disconnect(struct sink *s, struct sink_connection *c)
{
	if (c->previous)
		c->previous->next = c->next;
	else
		s->connections = c->next;
	if (c->next)
		c->next->previous = c->previous;
	/* Not left to close: a process that is just being started still has the descriptor, for a moment. */
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	free(c->rest);
	free(c);
}

/* What is left of the input is the beginning of a packet: kept until more comes. */
static int keep_rest(const struct sink *s, struct sink_connection *c)
{
	free(c->rest);
	c->rest = NULL;
	c->rest_bytes = s->input_bytes;
	if (s->input_bytes == 0)
		return 0;
	c->rest = malloc(s->input_bytes);
	if (!c->rest)
		return -ENOMEM;
	memcpy(c->rest, s->input, s->input_bytes);
	return 0;
}

static int serve(struct sink *s, struct sink_connection *c)
{
	ssize_t n;

	memcpy(s->input, c->rest ? c->rest : s->input, c->rest_bytes);
	s->input_bytes = c->rest_bytes;
	n = recv(c->fd, s->input + s->input_bytes, INPUT_BYTES - s->input_bytes, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	s->input_bytes += (size_t)n;
	s->acks_bytes = 0;
	atomic_fetch_add_explicit(&s->receives, 1, memory_order_relaxed);
	n = count_packets(s, c->fd);
	if (n < 0 || send_all(s, c->fd) < 0)
		return -ECONNRESET;
	s->input_bytes -= (size_t)n;
	memmove(s->input, s->input + n, s->input_bytes); /* part of one packet: short */
	return keep_rest(s, c);
}

static void welcome(struct sink *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct sink_connection *c;

	if (fd < 0)
		return; /* closing, or the client has gone again */
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->fd = fd;
	c->next = s->connections;
	if (c->next)
		c->next->previous = c;
	s->connections = c;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd,
		      &(struct epoll_event){.events = EPOLLIN, .data.ptr = c}) < 0)
		disconnect(s, c);
}

static void *sink_main(void *arg)
{
	struct sink *s = arg;
	struct epoll_event events[EVENTS_MAX];

	prctl(PR_SET_NAME, "sink");
	thread_pin(s->cpu);
	while (!atomic_load_explicit(&s->stopping, memory_order_acquire)) {
		int n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			struct sink_connection *c = events[i].data.ptr;

			if (!c)
				welcome(s);
			else if (serve(s, c) < 0)
				disconnect(s, c);
		}
	}
	while (s->connections)
		disconnect(s, s->connections);
	return NULL;
}

int sink_open(struct sink *s, int32_t cpu, uint16_t topic_alias_max)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t address_bytes = sizeof(address);
	int rc;

	*s = (struct sink){.cpu = cpu, .topic_alias_max = topic_alias_max};
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->input = malloc(INPUT_BYTES);
	s->acks = malloc(ACKS_BYTES);
	if (!s->input || !s->acks) {
		rc = -ENOMEM;
		goto fail;
	}
	if (s->listen_fd < 0 || s->epoll_fd < 0 ||
	    bind(s->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(s->listen_fd, LISTEN_MAX) < 0 ||
	    getsockname(s->listen_fd, (struct sockaddr *)&address, &address_bytes) < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &(struct epoll_event){.events = EPOLLIN}) <
		    0) {
		rc = -errno;
		goto fail;
	}
	s->port = ntohs(address.sin_port);
	rc = -pthread_create(&s->thread, NULL, sink_main, s);
	if (rc == 0)
		return 0;
fail:
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s->input);
	free(s->acks);
	return rc;
}

void sink_close(struct sink *s)
{
	atomic_store_explicit(&s->stopping, true, memory_order_release);
	shutdown(s->listen_fd, SHUT_RDWR); /* ends epoll_wait */
	pthread_join(s->thread, NULL);
	close(s->listen_fd);
	close(s->epoll_fd);
	free(s->input);
	free(s->acks);
}

struct sink_counts sink_counts(const struct sink *s)
{
	return (struct sink_counts){
		.messages = atomic_load_explicit(&s->messages, memory_order_relaxed),
		.bytes = atomic_load_explicit(&s->bytes, memory_order_relaxed),
		.receives = atomic_load_explicit(&s->receives, memory_order_relaxed),
		.cpu_ns = thread_cpu_ns(s->thread),
	};
}
