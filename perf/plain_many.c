#include "perf/plain_many.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "perf/rig.h"
#include "proto/mqtt_publish.h"

#define HEADER_ROOM_BYTES 256

struct many {
	int *fds;
	uint32_t fd_count, rate_per_s;
	uint8_t packet[HEADER_ROOM_BYTES + 4096];
	const uint8_t *packet_start;
	size_t packet_bytes;
	struct mono end;
	int bell_fd;
	_Atomic bool over;
	uint64_t cpu_ns[2];
};

static void connect_all(struct many *m, uint16_t port)
{
	const struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};

	m->fds = calloc(m->fd_count, sizeof(m->fds[0]));
	if (!m->fds)
		rig_fail("memory", ENOMEM);
	for (uint32_t i = 0; i < m->fd_count; i++) {
		m->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (m->fds[i] < 0 || connect(m->fds[i], (const struct sockaddr *)&peer, sizeof(peer)) < 0)
			rig_fail("connect", errno);
	}
}

/* Hands over, each millisecond, the number that is due now. */
static void *timer_main(void *arg)
{
	struct many *m = arg;
	struct mono begin = clock_mono();
	uint64_t done = 0;

	prctl(PR_SET_NAME, "timer");
	for (uint64_t ms = 1;; ms++) {
		struct mono due = mono_add(begin, ms * NS_PER_MS);
		const struct timespec ts = {.tv_sec = (time_t)(due.ns / NS_PER_S),
					    .tv_nsec = (long)(due.ns % NS_PER_S)};
		uint64_t count = ms * m->rate_per_s / 1000 - done;

		if (mono_reached(due, m->end))
			break;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
		if (count > 0 && write(m->bell_fd, &count, sizeof(count)) != sizeof(count))
			rig_fail("eventfd", errno);
		done += count;
	}
	m->cpu_ns[0] = thread_cpu_ns(pthread_self());
	return NULL;
}

static void *sender_main(void *arg)
{
	struct many *m = arg;
	uint64_t count, next = 0;

	prctl(PR_SET_NAME, "sender");
	for (;;) {
		if (read(m->bell_fd, &count, sizeof(count)) != sizeof(count))
			rig_fail("eventfd", errno);
		if (atomic_load(&m->over))
			break;
		for (; count > 0; count--, next++)
			if (send(m->fds[next % m->fd_count], m->packet_start, m->packet_bytes,
				 MSG_NOSIGNAL) != (ssize_t)m->packet_bytes)
				rig_fail("send", errno);
	}
	m->cpu_ns[1] = thread_cpu_ns(pthread_self());
	return NULL;
}

uint64_t plain_many_run(uint16_t port, uint32_t connection_count, uint32_t rate_per_s, const char *topic,
			uint32_t payload_bytes, double seconds)
{
	struct many m = {
		.fd_count = connection_count, .rate_per_s = rate_per_s, .bell_fd = eventfd(0, EFD_CLOEXEC)};
	uint8_t *payload = m.packet + HEADER_ROOM_BYTES;
	pthread_t timer, sender;
	int rc;

	ASSERT(payload_bytes <= sizeof(m.packet) - HEADER_ROOM_BYTES);
	if (m.bell_fd < 0)
		rig_fail("eventfd", errno);
	memset(payload, 'x', payload_bytes);
	m.packet_start = mqtt_publish_header_backwards(
		payload, &(struct mqtt_publish_header){.version = MQTT_3_1_1,
						       .payload_bytes = payload_bytes,
						       .topic = bytes_of(topic, strlen(topic))});
	m.packet_bytes = (size_t)(payload + payload_bytes - m.packet_start);
	connect_all(&m, port);
	m.end = mono_add(clock_mono(), (uint64_t)(seconds * 1e9));
	rc = pthread_create(&sender, NULL, sender_main, &m);
	if (rc == 0)
		rc = pthread_create(&timer, NULL, timer_main, &m);
	if (rc != 0)
		rig_fail("thread", rc);
	pthread_join(timer, NULL);
	atomic_store(&m.over, true);
	if (write(m.bell_fd, &(uint64_t){1}, sizeof(uint64_t)) != sizeof(uint64_t))
		rig_fail("eventfd", errno);
	pthread_join(sender, NULL);
	for (uint32_t i = 0; i < m.fd_count; i++)
		close(m.fds[i]);
	close(m.bell_fd);
	free(m.fds);
	return m.cpu_ns[0] + m.cpu_ns[1];
}
