#include "perf/slave.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf/child.h"
#include "perf/rig.h"

#define HEADER_BYTES    7  /* MBAP */
#define REQUEST_BYTES   12 /* a read */
#define REGISTERS_MAX   125
#define FRAME_BYTES_MAX 260
#define INPUT_BYTES     4096
#define OUTPUT_BYTES    (INPUT_BYTES / REQUEST_BYTES * FRAME_BYTES_MAX)
#define EVENTS_MAX      256
#define LISTEN_MAX      4096

struct slave_connection {
	int fd;
	size_t rest_bytes;
	uint8_t rest[FRAME_BYTES_MAX]; /* the beginning of a request */
};

static uint8_t input[INPUT_BYTES], output[OUTPUT_BYTES];

/* A whole request of size_bytes. Returns the answer's length. */
static size_t answer(struct slave_counts *counts, const uint8_t *request, size_t size_bytes, uint8_t *out)
{
	uint8_t function = request[HEADER_BYTES];
	uint32_t first, count, data_bytes;

	memcpy(out, request, HEADER_BYTES);
	first = size_bytes == REQUEST_BYTES ? (uint32_t)request[8] << 8 | request[9] : 0;
	count = size_bytes == REQUEST_BYTES ? (uint32_t)request[10] << 8 | request[11] : 0;
	if ((function != 3 && function != 4) || count < 1 || count > REGISTERS_MAX) {
		atomic_fetch_add_explicit(&counts->strange, 1, memory_order_relaxed);
		out[5] = 3;
		out[HEADER_BYTES] = function | 0x80;
		out[HEADER_BYTES + 1] = 1;
		return HEADER_BYTES + 2;
	}
	data_bytes = 2 * count;
	out[4] = 0;
	out[5] = (uint8_t)(3 + data_bytes);
	out[HEADER_BYTES] = function;
	out[HEADER_BYTES + 1] = (uint8_t)data_bytes;
	for (uint32_t i = 0; i < count; i++) { /* a register's value is its address */
		out[HEADER_BYTES + 2 + 2 * i] = (uint8_t)((first + i) >> 8);
		out[HEADER_BYTES + 3 + 2 * i] = (uint8_t)(first + i);
	}
	return HEADER_BYTES + 2 + data_bytes;
}

/* Whole requests at the front of the input; returns how many bytes they are, or -errno. */
static ssize_t answer_all(struct slave_counts *counts, int fd, size_t input_bytes)
{
	size_t at = 0, output_bytes = 0;
	uint64_t reads = 0;

	while (input_bytes - at >= HEADER_BYTES + 1) {
		size_t size_bytes = 6 + ((size_t)input[at + 4] << 8 | input[at + 5]);

		if (size_bytes < HEADER_BYTES + 1 || size_bytes > FRAME_BYTES_MAX)
			return -EPROTO;
		if (size_bytes > input_bytes - at)
			break;
		output_bytes += answer(counts, input + at, size_bytes, output + output_bytes);
		at += size_bytes;
		reads++;
		if (OUTPUT_BYTES - output_bytes < FRAME_BYTES_MAX)
			break; /* only requests shorter than a read get there: a master of ours sends none */
	}
	atomic_fetch_add_explicit(&counts->reads, reads, memory_order_relaxed);
	for (size_t sent = 0; sent < output_bytes;) {
		ssize_t n = send(fd, output + sent, output_bytes - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		sent += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)at;
}

static int serve(struct slave_counts *counts, struct slave_connection *c)
{
	ssize_t n;
	size_t have;

	memcpy(input, c->rest, c->rest_bytes);
	n = recv(c->fd, input + c->rest_bytes, INPUT_BYTES - c->rest_bytes, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	have = c->rest_bytes + (size_t)n;
	n = answer_all(counts, c->fd, have);
	if (n < 0 || have - (size_t)n > sizeof(c->rest))
		return -ECONNRESET;
	c->rest_bytes = have - (size_t)n;
	memcpy(c->rest, input + n, c->rest_bytes);
	return 0;
}

static void welcome(int listen_fd, int epoll_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct slave_connection *c = fd < 0 ? NULL : calloc(1, sizeof(*c));

	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (c)
		c->fd = fd;
	if (!c || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd,
			    &(struct epoll_event){.events = EPOLLIN, .data.ptr = c}) < 0) {
		close(fd);
		free(c);
	}
}

static NORETURN void slave_main(struct slave_counts *counts, int listen_fd, int epoll_fd, int32_t cpu)
{
	struct epoll_event events[EVENTS_MAX];

	prctl(PR_SET_NAME, "slave");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	thread_pin(cpu);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			struct slave_connection *c = events[i].data.ptr;

			if (!c) {
				welcome(listen_fd, epoll_fd);
			} else if (serve(counts, c) < 0) {
				close(c->fd);
				free(c);
			}
		}
	}
}

void slave_open(struct slave *s, int32_t cpu)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t address_bytes = sizeof(address);
	int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	*s = (struct slave){.counts = mmap(NULL, sizeof(*s->counts), PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
	if (s->counts == MAP_FAILED || listen_fd < 0 || epoll_fd < 0 ||
	    bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listen_fd, LISTEN_MAX) < 0 ||
	    getsockname(listen_fd, (struct sockaddr *)&address, &address_bytes) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &(struct epoll_event){.events = EPOLLIN}) < 0)
		rig_fail("slave", errno);
	s->port = ntohs(address.sin_port);
	s->pid = fork();
	if (s->pid < 0)
		rig_fail("slave", errno);
	if (s->pid == 0)
		slave_main(s->counts, listen_fd, epoll_fd, cpu);
	close(listen_fd);
	close(epoll_fd);
}

void slave_close(struct slave *s)
{
	child_end(s->pid);
	munmap(s->counts, sizeof(*s->counts));
}

uint64_t slave_reads(const struct slave *s)
{
	return atomic_load_explicit(&s->counts->reads, memory_order_relaxed);
}

uint64_t slave_strange(const struct slave *s)
{
	return atomic_load_explicit(&s->counts->strange, memory_order_relaxed);
}

uint64_t slave_cpu_ns(const struct slave *s)
{
	return child_cpu_ns(s->pid);
}
