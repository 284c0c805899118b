/* Streams over loopback; the peer is a plain socket of the test. */
#include "io/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/test.h"

enum received_mode { TAKE_ALL, TAKE_PAIRS, TAKE_NOTHING, TAKE_AND_CLOSE, TAKE_AND_FINISH };

struct world {
	struct loop *loop;
	struct stream stream;
	int listener, peer;
	struct net_address address;
	uint16_t port;
	uint8_t buffer[16];
	char received[64];
	size_t received_count;
	size_t sent_bytes;
	int open_count, sent_count, lost_count, closed_count, refused_count;
	int error;
	enum received_mode mode;
	int address_verdict;
	bool reopen;
};

static struct world *world_of(struct stream *s)
{
	return container_of(s, struct world, stream);
}

static void on_open(struct stream *s)
{
	world_of(s)->open_count++;
}

static size_t on_received(struct stream *s, const uint8_t *bytes, size_t size_bytes)
{
	struct world *w = world_of(s);
	size_t take = w->mode == TAKE_NOTHING ? 0
		      : w->mode == TAKE_PAIRS ? size_bytes & ~(size_t)1
					      : size_bytes;

	EXPECT_LE(w->received_count + take, sizeof(w->received));
	memcpy(w->received + w->received_count, bytes, take);
	w->received_count += take;
	if (w->mode == TAKE_AND_CLOSE)
		stream_close(s);
	if (w->mode == TAKE_AND_FINISH)
		stream_finish(s);
	EXPECT_EQ(w->closed_count, 0); /* never nested */
	return take;
}

static void on_sent(struct stream *s, size_t size_bytes)
{
	world_of(s)->sent_count++;
	world_of(s)->sent_bytes = size_bytes;
}

static void on_lost(struct stream *s, int error)
{
	world_of(s)->lost_count++;
	world_of(s)->error = error;
	stream_close(s); /* harmless there */
}

static void on_closed(struct stream *s)
{
	struct world *w = world_of(s);

	EXPECT_EQ(s->state, STREAM_CLOSED);
	w->closed_count++;
	if (w->reopen) {
		w->reopen = false;
		stream_open(s, "127.0.0.1", w->port, 0);
	}
}

static int on_address(struct stream *s, const struct net_address *address UNUSED)
{
	world_of(s)->refused_count += world_of(s)->address_verdict < 0;
	return world_of(s)->address_verdict;
}

static const struct stream_user user = {on_open, on_received, on_sent, on_lost, on_closed, on_address};

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	EXPECT_EQ(loop_open(&w->loop, &(struct loop_limits){.operation_count = 8}), 0);
	w->address = (struct net_address){.size_bytes = sizeof(w->address.v4)};
	w->address.v4.sin_family = AF_INET;
	w->address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT_EQ(bind(w->listener, &w->address.any, w->address.size_bytes), 0);
	EXPECT_EQ(listen(w->listener, 4), 0);
	EXPECT_EQ(getsockname(w->listener, &w->address.any, &w->address.size_bytes), 0);
	w->port = ntohs(w->address.v4.sin_port);
	w->peer = -1;
	stream_init(&w->stream, w->loop, &user, w->buffer, sizeof(w->buffer));
	return w;
}

static void world_free(struct world *w)
{
	EXPECT_EQ(w->stream.state, STREAM_CLOSED);
	EXPECT_EQ(w->stream.handle, -1);
	loop_close(w->loop);
	if (w->peer >= 0)
		close(w->peer);
	if (w->listener >= 0)
		close(w->listener);
	free(w);
}

/* Runs until *value has come to what is wanted. */
static void run_until(struct world *w, const int *value, int wanted)
{
	struct mono deadline = mono_add(clock_mono(), 20 * NS_PER_S);

	while (*value < wanted && !mono_reached(clock_mono(), deadline))
		EXPECT_LE(0, loop_run(w->loop, deadline));
	EXPECT_EQ(*value, wanted);
}

static void run_until_received(struct world *w, size_t wanted)
{
	struct mono deadline = mono_add(clock_mono(), 20 * NS_PER_S);

	while (w->received_count < wanted && !mono_reached(clock_mono(), deadline))
		EXPECT_LE(0, loop_run(w->loop, deadline));
	EXPECT_EQ(w->received_count, wanted);
}

static struct world *world_connected(void)
{
	struct world *w = world_new();

	stream_open(&w->stream, "127.0.0.1", w->port, 5000);
	run_until(w, &w->open_count, 1);
	w->peer = accept(w->listener, NULL, NULL);
	EXPECT_LE(0, w->peer);
	return w;
}

static void end(struct world *w)
{
	int before = w->closed_count;

	stream_close(&w->stream);
	EXPECT_EQ(w->closed_count, before); /* not nested */
	run_until(w, &w->closed_count, before + 1);
	world_free(w);
}

TEST(stream_opens_tells_its_peer_and_closes_once)
{
	struct world *w = world_connected();
	char text[64];

	snprintf(text, sizeof(text), "127.0.0.1:%u", w->port);
	EXPECT_TEXT(stream_peer_text(&w->stream), text);
	EXPECT_EQ(w->stream.state, STREAM_OPEN);
	stream_close(&w->stream);
	stream_close(&w->stream);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->lost_count, 0);
	world_free(w);
}

/* "localhost" may lead to ::1 first, where nobody listens: the next address is tried. */
TEST(stream_opens_by_name_and_tries_each_address)
{
	struct world *w = world_new();

	stream_open(&w->stream, "localhost", w->port, 0);
	EXPECT_EQ(w->stream.state, STREAM_RESOLVING);
	run_until(w, &w->open_count, 1);
	end(w);
}

/* Two addresses of which the first is dead, whatever this machine's host file says. */
TEST(stream_tries_the_next_address_after_a_refusal)
{
	struct world *w = world_new();
	struct stream *s = &w->stream;
	struct net_address dead = w->address;

	dead.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK +
					1); /* 127.0.0.2: nobody listens on this port there */
	stream_open(s, "127.0.0.1", w->port, 0);
	s->lookup.addresses[0] = dead;
	s->lookup.addresses[1] = w->address;
	s->lookup.completion.res = 2; /* what the resolver would say */
	run_until(w, &w->open_count, 1);
	EXPECT_EQ(s->address_idx, 1);
	end(w);
}

TEST(stream_refused_everywhere_is_lost_then_closed)
{
	struct world *w = world_new();

	close(w->listener);
	w->listener = -1;
	stream_open(&w->stream, "127.0.0.1", w->port, 0);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->lost_count, 1);
	EXPECT_EQ(w->error, -ECONNREFUSED);
	EXPECT_EQ(w->open_count, 0);
	world_free(w);
}

TEST(stream_to_an_address_its_user_forbids_is_lost_with_that_error)
{
	struct world *w = world_new();

	w->address_verdict = -EACCES;
	stream_open(&w->stream, "127.0.0.1", w->port, 0);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->error, -EACCES);
	EXPECT_EQ(w->refused_count, 1);
	world_free(w);
}

TEST(stream_to_a_host_too_long_is_lost)
{
	struct world *w = world_new();
	char host[400];

	memset(host, 'a', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	stream_open(&w->stream, host, w->port, 0);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->error, -ENAMETOOLONG);
	world_free(w);
}

TEST(stream_closed_while_resolving_or_connecting_closes)
{
	struct world *w = world_new();

	stream_open(&w->stream, "localhost", w->port, 0);
	stream_close(&w->stream);
	EXPECT_EQ(w->closed_count, 0);
	run_until(w, &w->closed_count, 1);
	stream_open(&w->stream, "127.0.0.1", w->port, 0);
	while (w->stream.state == STREAM_RESOLVING)
		EXPECT_LE(0, loop_run(w->loop, (struct mono){0}));
	EXPECT_EQ(w->stream.state, STREAM_CONNECTING);
	stream_close(&w->stream);
	run_until(w, &w->closed_count, 2);
	EXPECT_EQ(w->open_count, 0);
	EXPECT_EQ(w->lost_count, 0);
	world_free(w);
}

TEST(stream_reopens_from_on_closed)
{
	struct world *w = world_connected();

	w->reopen = true;
	stream_close(&w->stream);
	run_until(w, &w->open_count, 2);
	EXPECT_EQ(w->closed_count, 1);
	EXPECT_EQ(w->stream.received_bytes, 0);
	end(w);
}

TEST(stream_keeps_what_is_not_consumed_for_the_next_time)
{
	struct world *w = world_connected();

	w->mode = TAKE_PAIRS;
	EXPECT_EQ(send(w->peer, "aab", 3, 0), 3);
	run_until_received(w, 2);
	EXPECT_EQ(send(w->peer, "bccd", 4, 0), 4);
	run_until_received(w, 6);
	EXPECT_EQ(send(w->peer, "d", 1, 0), 1);
	run_until_received(w, 8);
	EXPECT_MEM(w->received, "aabbccdd", 8);
	EXPECT_EQ(w->stream.received_bytes, 8);
	end(w);
}

TEST(stream_with_a_full_buffer_nobody_consumes_is_lost)
{
	struct world *w = world_connected();

	w->mode = TAKE_NOTHING;
	EXPECT_EQ(send(w->peer, "0123456789abcdefXYZ", 19, 0), 19);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->error, -EMSGSIZE);
	world_free(w);
}

TEST(stream_closed_from_on_received_closes_afterwards)
{
	struct world *w = world_connected();

	w->mode = TAKE_AND_CLOSE;
	EXPECT_EQ(send(w->peer, "x", 1, 0), 1);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->lost_count, 0);
	world_free(w);
}

TEST(stream_whose_peer_ends_is_lost_with_zero)
{
	struct world *w = world_connected();

	EXPECT_EQ(send(w->peer, "bye", 3, 0), 3);
	EXPECT_EQ(shutdown(w->peer, SHUT_WR), 0);
	run_until(w, &w->closed_count, 1);
	EXPECT_MEM(w->received, "bye", 3);
	EXPECT_EQ(w->lost_count, 1);
	EXPECT_EQ(w->error, 0);
	world_free(w);
}

TEST(stream_whose_peer_resets_is_lost_with_that_error)
{
	struct world *w = world_connected();
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	EXPECT_EQ(setsockopt(w->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(w->peer);
	w->peer = -1;
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->error, -ECONNRESET);
	world_free(w);
}

/* --- sending ---------------------------------------------------------------------------------------------------- */

struct reader {
	int fd;
	size_t count;
	bool in_order;
};

static uint8_t byte_at(size_t position)
{
	return (uint8_t)(position % 251);
}

static void *read_to_the_end(void *arg)
{
	struct reader *r = arg;
	static uint8_t chunk[4096];
	ssize_t got;

	r->in_order = true;
	while ((got = read(r->fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < got; i++)
			r->in_order &= chunk[i] == byte_at(r->count++);
	return NULL;
}

/* 7 MB in 2000 pieces, some empty: short sends and the kernel's limit of 1024 pieces are the stream's business. */
TEST(stream_sends_all_of_a_large_send_in_order)
{
	enum { PIECE_COUNT = 2000, PIECE_BYTES = 4200 };
	struct world *w = world_connected();
	struct reader reader = {.fd = w->peer};
	uint8_t *bytes = malloc(PIECE_COUNT * PIECE_BYTES);
	struct iovec *iov = calloc(PIECE_COUNT, sizeof(*iov));
	size_t total_bytes = 0;
	int small = 65536;
	pthread_t thread;

	EXPECT_EQ(setsockopt(w->stream.handle, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (int i = 0; i < PIECE_COUNT; i++) {
		iov[i].iov_base = bytes + total_bytes;
		iov[i].iov_len = i % 7 == 0 ? 0 : PIECE_BYTES;
		total_bytes += iov[i].iov_len;
	}
	for (size_t i = 0; i < total_bytes; i++)
		bytes[i] = byte_at(i);
	EXPECT_EQ(pthread_create(&thread, NULL, read_to_the_end, &reader), 0);
	stream_sendv(&w->stream, iov, PIECE_COUNT);
	EXPECT(stream_is_sending(&w->stream));
	run_until(w, &w->sent_count, 1);
	EXPECT_EQ(w->sent_bytes, total_bytes);
	EXPECT_EQ(w->stream.sent_bytes, total_bytes);
	EXPECT(!stream_is_sending(&w->stream));
	stream_close(&w->stream);
	run_until(w, &w->closed_count, 1);
	pthread_join(thread, NULL);
	EXPECT_EQ(reader.count, total_bytes);
	EXPECT(reader.in_order);
	free(iov);
	free(bytes);
	world_free(w);
}

TEST(stream_closed_with_a_send_under_way_gives_its_memory_back)
{
	struct world *w = world_connected();
	size_t size_bytes = 32 << 20;
	uint8_t *bytes = calloc(1, size_bytes);
	struct iovec iov = {.iov_base = bytes, .iov_len = size_bytes};

	stream_sendv(&w->stream, &iov, 1);
	EXPECT_LE(0, loop_run(w->loop, (struct mono){0}));
	EXPECT(stream_is_sending(&w->stream)); /* the peer reads nothing */
	stream_close(&w->stream);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->sent_count, 0);
	free(bytes);
	world_free(w);
}

/* The peer sees all and a clean end although it had sent what nobody read. */
TEST(stream_finish_sends_all_then_drains_until_the_peers_end)
{
	struct world *w = world_connected();
	char word[] = "last words", got[32];
	struct iovec iov = {.iov_base = word, .iov_len = sizeof(word)};

	stream_sendv(&w->stream, &iov, 1);
	stream_finish(&w->stream);
	stream_finish(&w->stream);
	EXPECT_EQ(w->stream.state, STREAM_FINISHING);
	EXPECT_EQ(send(w->peer, "0123456789abcdefghijklmnopqrstuv", 32, 0), 32); /* twice the buffer */
	run_until(w, &w->sent_count, 1);
	EXPECT_EQ(recv(w->peer, got, sizeof(got), MSG_WAITALL), (ssize_t)sizeof(word));
	EXPECT_TEXT(got, word);
	EXPECT_EQ(w->closed_count, 0);
	close(w->peer);
	w->peer = -1;
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->lost_count, 0);
	EXPECT_EQ(w->received_count, 0);
	world_free(w);
}

TEST(stream_finish_from_on_received_and_bounded_by_close)
{
	struct world *w = world_connected();
	char byte;

	w->mode = TAKE_AND_FINISH;
	EXPECT_EQ(send(w->peer, "x", 1, 0), 1);
	run_until_received(w, 1);
	EXPECT_EQ(w->stream.state, STREAM_FINISHING);
	EXPECT_EQ(recv(w->peer, &byte, 1, 0), 0); /* our end has come, and the peer keeps its own open */
	stream_close(&w->stream);
	run_until(w, &w->closed_count, 1);
	EXPECT_EQ(w->lost_count, 0);
	world_free(w);
}

TEST(stream_adopts_an_accepted_handle)
{
	struct world *w = world_new();
	int fds[2];

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w->peer = fds[1];
	stream_adopt(&w->stream, fds[0]);
	EXPECT_EQ(send(w->peer, "hello", 5, 0), 5);
	run_until_received(w, 5);
	EXPECT_EQ(w->open_count, 0);
	end(w);
}
