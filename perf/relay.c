#include "perf/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "perf/rig.h"

#define TURN_BYTES (8u << 10)
#define SEND_BYTES (64u << 10)

static bool is_stopping(struct relay *r)
{
	return atomic_load_explicit(&r->same.stopping, memory_order_relaxed);
}

/* Packet by packet, as they would be made. */
static void *source_main(void *arg)
{
	struct relay *r = arg;
	size_t from = 0;

	prctl(PR_SET_NAME, "source");
	prctl(PR_SET_TIMERSLACK, 1ul);
	thread_pin(r->source_cpu);
	while (!is_stopping(r)) {
		uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
		uint64_t end = head + TURN_BYTES;

		if (head - atomic_load_explicit(&r->tail, memory_order_acquire) > RELAY_BYTES / 2) {
			rig_pause_s(20e-6);
			continue;
		}
		while (head < end) {
			size_t at = head % RELAY_BYTES;
			size_t n = min_size(r->same.packet_bytes,
					    min_size(r->same.used_bytes - from, RELAY_BYTES - at));

			memcpy(r->buffer + at, r->same.bytes + from, n);
			from = from + n < r->same.used_bytes ? from + n : 0;
			head += n;
		}
		atomic_store_explicit(&r->head, head, memory_order_release);
	}
	return NULL;
}

static void *sender_main(void *arg)
{
	struct relay *r = arg;
	static uint8_t acks[PLAIN_BYTES];

	prctl(PR_SET_NAME, "relay");
	prctl(PR_SET_TIMERSLACK, 1ul);
	thread_pin(r->cpu);
	while (!is_stopping(r)) {
		uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
		uint64_t ready = atomic_load_explicit(&r->head, memory_order_acquire) - tail;
		size_t at = tail % RELAY_BYTES;
		ssize_t n;

		if (ready == 0) {
			rig_pause_s(20e-6);
			continue;
		}
		n = send(r->same.fd, r->buffer + at, min_size(min_size(ready, SEND_BYTES), RELAY_BYTES - at),
			 MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			rig_fail("send", errno);
		atomic_store_explicit(&r->tail, tail + (n > 0 ? (uint64_t)n : 0), memory_order_release);
		while (recv(r->same.fd, acks, sizeof(acks), MSG_DONTWAIT) == (ssize_t)sizeof(acks))
			; /* as the plain loop */
	}
	return NULL;
}

void relay_start(struct relay *r, uint16_t port, int32_t source_cpu, int32_t cpu)
{
	int rc;

	r->source_cpu = source_cpu;
	r->cpu = cpu;
	r->head = r->tail = 0;
	r->buffer = calloc(1, RELAY_BYTES);
	if (!r->buffer)
		rig_fail("memory", ENOMEM);
	plain_connect(&r->same, port);
	rc = pthread_create(&r->source, NULL, source_main, r);
	if (rc == 0)
		rc = pthread_create(&r->sender, NULL, sender_main, r);
	if (rc != 0)
		rig_fail("thread", rc);
}

void relay_stop(struct relay *r)
{
	atomic_store_explicit(&r->same.stopping, true, memory_order_relaxed);
	pthread_join(r->source, NULL);
	pthread_join(r->sender, NULL);
	plain_disconnect(&r->same);
	free(r->buffer);
}
