#include "io/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/assert.h"

static void on_lookup(struct completion *c, int res);
static void on_connect(struct completion *c, int res);
static void on_recv(struct completion *c, int res);
static void on_send(struct completion *c, int res);
static void connect_next(struct stream *s);
static void recv_start(struct stream *s);
static void send_start(struct stream *s);
static void lost(struct stream *s, int error);
static void settle(struct stream *s);

void stream_init(struct stream *s, struct loop *loop, const struct stream_user *user, void *buffer,
		 size_t buffer_bytes)
{
	ASSERT(buffer_bytes > 0);
	*s = (struct stream){
		.user = user,
		.loop = loop,
		.handle = -1,
		.buffer = buffer,
		.buffer_bytes = buffer_bytes,
		.lookup.completion.done = on_lookup,
		.connect.done = on_connect,
		.recv.done = on_recv,
		.send.completion.done = on_send,
	};
}

static void begin(struct stream *s, enum stream_state state)
{
	ASSERT(s->state == STREAM_CLOSED);
	ASSERT(s->handle == -1);
	s->state = state;
	s->error = -ENOENT;
	s->sent_bytes = 0;
	s->received_bytes = 0;
	s->held_bytes = 0;
	s->send_bytes = 0;
	s->peer_text[0] = '\0';
}

void stream_open(struct stream *s, const char *host, uint16_t port, uint32_t user_timeout_ms)
{
	size_t host_bytes = strnlen(host, sizeof(s->lookup.host));

	begin(s, STREAM_RESOLVING);
	s->user_timeout_ms = user_timeout_ms;
	s->lookup.port = port;
	/* One that is too long stays without its zero, and the lookup answers -ENAMETOOLONG. */
	memset(s->lookup.host, 0, sizeof(s->lookup.host));
	memcpy(s->lookup.host, host, host_bytes);
	loop_lookup(s->loop, &s->lookup);
}

void stream_adopt(struct stream *s, int handle)
{
	ASSERT(handle >= 0);
	begin(s, STREAM_OPEN);
	s->handle = handle;
	recv_start(s);
}

void stream_sendv(struct stream *s, struct iovec *iov, uint32_t iov_count)
{
	size_t total_bytes = 0;

	ASSERT(s->state == STREAM_OPEN);
	ASSERT(!stream_is_sending(s));
	for (uint32_t i = 0; i < iov_count; i++)
		total_bytes += iov[i].iov_len;
	ASSERT(total_bytes > 0);
	s->iov = iov;
	s->iov_count = iov_count;
	s->send_bytes = total_bytes;
	send_start(s);
}

void stream_finish(struct stream *s)
{
	if (s->state != STREAM_OPEN) {
		if (s->state != STREAM_FINISHING)
			stream_close(s);
		return;
	}
	s->state = STREAM_FINISHING;
	s->held_bytes = 0; /* nobody is going to ask for it; room for what is thrown away */
	if (!stream_is_sending(s))
		loop_shutdown(s->loop, s->handle);
}

const char *stream_error_text(int error, char *buffer, size_t size_bytes)
{
	switch (-error) {
	case 0: return "closed by the peer";
	case ENOENT: return "no such host name"; /* what a lookup says; no file is in play here */
	case EAGAIN: return "the name server does not answer";
	case EMSGSIZE: return "more was received than fits the buffer";
	default: return strerror_r(-error, buffer, size_bytes);
	}
}

void stream_pause(struct stream *s)
{
	ASSERT(stream_is_sending(s));
	s->paused = true;
}

/* Not from within an event, some operation is active here, and its completion settles; within, the event's caller. */
void stream_close(struct stream *s)
{
	if (s->state == STREAM_CLOSED || s->state == STREAM_CLOSING)
		return;
	s->state = STREAM_CLOSING;
	loop_cancel(s->loop, &s->lookup.completion);
	loop_cancel(s->loop, &s->connect);
	loop_cancel(s->loop, &s->recv);
	loop_cancel(s->loop, &s->send.completion);
}

static void lost(struct stream *s, int error)
{
	bool wished = s->state == STREAM_FINISHING;

	if (s->state == STREAM_CLOSING)
		return;
	stream_close(s);
	if (!wished)
		s->user->on_lost(s, error);
}

/* Last in each completion: the user may give up the stream in on_closed. */
static void settle(struct stream *s)
{
	if (s->state != STREAM_CLOSING)
		return;
	if (s->lookup.completion.active || s->connect.active || s->recv.active || s->send.completion.active)
		return;
	if (s->handle >= 0)
		loop_close_handle(s->loop, s->handle);
	s->handle = -1;
	s->send_bytes = 0;
	s->held_bytes = 0;
	s->paused = false;
	s->state = STREAM_CLOSED;
	s->user->on_closed(s);
}

/* --- to the peer ------------------------------------------------------------------------------------------------ */

static void on_lookup(struct completion *c, int res)
{
	struct stream *s = container_of(c, struct stream, lookup.completion);

	if (s->state == STREAM_RESOLVING) {
		if (res > 0) {
			s->address_idx = 0;
			s->address_count = (uint32_t)res;
			s->state = STREAM_CONNECTING;
			connect_next(s);
		} else {
			lost(s, res);
		}
	}
	settle(s);
}

static void on_connect(struct completion *c, int res)
{
	struct stream *s = container_of(c, struct stream, connect);

	if (s->state == STREAM_CONNECTING) {
		if (res == 0) {
			s->state = STREAM_OPEN;
			recv_start(s);
			s->user->on_open(s);
		} else {
			s->error = res;
			loop_close_handle(s->loop, s->handle);
			s->handle = -1;
			s->address_idx++;
			connect_next(s);
		}
	}
	settle(s);
}

static void peer_text_set(struct stream *s, const struct net_address *peer)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (peer->any.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &peer->v4.sin_addr, host, sizeof(host));
		snprintf(s->peer_text, sizeof(s->peer_text), "%s:%u", host, ntohs(peer->v4.sin_port));
	} else {
		(void)inet_ntop(AF_INET6, &peer->v6.sin6_addr, host, sizeof(host));
		snprintf(s->peer_text, sizeof(s->peer_text), "[%s]:%u", host, ntohs(peer->v6.sin6_port));
	}
}

/* Starts on the first address from here that lets us; the last one's failure is the stream's. */
static void connect_next(struct stream *s)
{
	for (; s->address_idx < s->address_count; s->address_idx++) {
		const struct net_address *peer = &s->lookup.addresses[s->address_idx];
		int rc;

		peer_text_set(s, peer);
		rc = s->user->on_address ? s->user->on_address(s, peer) : 0;
		if (s->state != STREAM_CONNECTING)
			return; /* closed by its user just now */
		if (rc == 0)
			rc = loop_tcp_open(s->loop, peer, s->user_timeout_ms);
		if (rc >= 0) {
			s->handle = rc;
			loop_connect(s->loop, s->handle, peer, &s->connect);
			return;
		}
		s->error = rc;
	}
	lost(s, s->error);
}

/* --- from the peer ------------------------------------------------------------------------------------------------ */

static void recv_start(struct stream *s)
{
	ASSERT(s->held_bytes < s->buffer_bytes);
	loop_recv(s->loop, s->handle, s->buffer + s->held_bytes, s->buffer_bytes - s->held_bytes, &s->recv);
}

static void deliver(struct stream *s)
{
	size_t consumed_bytes = s->user->on_received(s, s->buffer, s->held_bytes);

	if (s->state != STREAM_OPEN)
		return; /* its user has ended it in there: the rest is nobody's */
	ASSERT(consumed_bytes <= s->held_bytes);
	s->held_bytes -= consumed_bytes;
	if (s->held_bytes > 0 && consumed_bytes > 0)
		memmove(s->buffer, s->buffer + consumed_bytes,
			s->held_bytes); /* a part of one packet: short */
	if (s->held_bytes == s->buffer_bytes && !s->paused)
		lost(s, -EMSGSIZE);
}

static void on_recv(struct completion *c, int res)
{
	struct stream *s = container_of(c, struct stream, recv);

	if (s->state == STREAM_OPEN || s->state == STREAM_FINISHING) {
		if (res > 0) {
			s->received_bytes += (uint64_t)res;
			if (s->state == STREAM_OPEN) {
				s->held_bytes += (size_t)res;
				deliver(s);
			}
		} else if (res != -EINTR && res != -EAGAIN) {
			lost(s, res);
		}
	}
	if ((s->state == STREAM_OPEN && !s->paused) || s->state == STREAM_FINISHING)
		recv_start(s);
	settle(s);
}

static void send_start(struct stream *s)
{
	loop_sendv(s->loop, s->handle, s->iov, s->iov_count, &s->send);
}

/* Takes what has been sent off the front; empty pieces go with it. */
static void send_advance(struct stream *s, size_t taken_bytes)
{
	while (s->iov_count > 0 && taken_bytes >= s->iov->iov_len) {
		taken_bytes -= s->iov->iov_len;
		s->iov++;
		s->iov_count--;
	}
	if (taken_bytes > 0) {
		ASSERT(s->iov_count > 0);
		s->iov->iov_base = (char *)s->iov->iov_base + taken_bytes;
		s->iov->iov_len -= taken_bytes;
	}
}

static void on_send(struct completion *c, int res)
{
	struct stream *s = container_of(c, struct stream, send.completion);
	size_t total_bytes = s->send_bytes;

	if (res > 0)
		s->sent_bytes += (uint64_t)res; /* also while closing: what the kernel has, it has */
	if (s->state != STREAM_OPEN && s->state != STREAM_FINISHING) {
		settle(s);
		return;
	}
	if (res < 0 && res != -EINTR && res != -EAGAIN) {
		lost(s, res);
		settle(s);
		return;
	}
	if (res > 0)
		send_advance(s, (size_t)res);
	if (s->iov_count > 0) {
		send_start(s);
		return;
	}
	s->send_bytes = 0;
	if (s->state == STREAM_FINISHING)
		loop_shutdown(s->loop, s->handle);
	s->user->on_sent(s, total_bytes);
	if (s->paused && (s->state == STREAM_OPEN || s->state == STREAM_FINISHING)) {
		s->paused = false;
		if (s->held_bytes > 0)
			deliver(s);
		/* Finishing too: without a receive nobody would see the peer's end, nor would a close ever settle. */
		if ((s->state == STREAM_OPEN && !s->paused) || s->state == STREAM_FINISHING)
			recv_start(s);
	}
	settle(s);
}
