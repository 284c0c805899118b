#include "perf/open_loop.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/thread_memory.h"
#include "proto/mqtt_publish.h"

#define SLEEP_FROM   (100 * NS_PER_US) /* a due time that is nearer is waited for by yielding the CPU */
#define SETTLE_MS    300               /* without news, what has not arrived is lost */
#define TURN_MAX     256u
#define PACKET_BYTES 64u

static void wait_due(uint64_t due_ns)
{
	uint64_t now_ns = clock_mono().ns;

	if (due_ns > now_ns + SLEEP_FROM) {
		const struct timespec ts = {.tv_sec = (time_t)(due_ns / NS_PER_S),
					    .tv_nsec = (long)(due_ns % NS_PER_S)};

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
		return;
	}
	while (clock_mono().ns < due_ns)
		sched_yield(); /* the receiver shares this CPU */
}

/* A sampler's step for the messages from `first` on that are due. */
static void make_in_node(const struct open_loop *s, uint64_t first, uint64_t count)
{
	struct message_times *times = s->messages->times;
	struct definition_lane *lane = &s->node->definitions->lanes[0];
	struct wall wall = clock_wall();

	for (uint64_t i = first; i < first + count; i++) {
		struct mono now = clock_mono();

		times[i].made_ns = now.ns;
		definition_update(lane, (uint32_t)(i % OPEN_LOOP_TAGS), value_of_uint(i), wall, now);
		times[i].committed_ns = clock_mono().ns;
	}
	definition_touched_clear(lane);
	publisher_notify(s->node->publisher_of_target[0], s->node->slot_of_target[0]);
}

/* The packets of these messages, and when they were ready to be sent. */
static void packets_send(struct open_loop *s, uint64_t first, uint64_t count, bool is_source)
{
	struct message_times *times = s->messages->times;
	uint8_t packets[TURN_MAX * PACKET_BYTES];
	size_t used_bytes = 0;

	ASSERT(count <= TURN_MAX);
	for (uint64_t i = first; i < first + count; i++) {
		char topic[32], payload[24];
		uint8_t packet[128], *start;
		int topic_bytes = snprintf(topic, sizeof(topic), "m1/t%llu",
					   (unsigned long long)(i % OPEN_LOOP_TAGS));
		int payload_bytes = snprintf(payload, sizeof(payload), "%llu", (unsigned long long)i);

		if (is_source)
			times[i].made_ns = clock_mono().ns;
		memcpy(packet + 64, payload, (size_t)payload_bytes);
		start = mqtt_publish_header_backwards(packet + 64,
						      &(struct mqtt_publish_header){
							      .version = MQTT_3_1_1,
							      .payload_bytes = (uint32_t)payload_bytes,
							      .topic = bytes_of(topic, (size_t)topic_bytes),
						      });
		memcpy(packets + used_bytes, start, (size_t)(packet + 64 + payload_bytes - start));
		used_bytes += (size_t)(packet + 64 + payload_bytes - start);
		if (is_source)
			times[i].committed_ns = clock_mono().ns;
	}
	for (size_t sent = 0; sent < used_bytes;) {
		ssize_t n = send(s->fd, packets + sent, used_bytes - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			rig_fail("send", errno);
		sent += n > 0 ? (size_t)n : 0;
	}
}

static void hand_over(struct open_loop *s, uint64_t first, uint64_t count)
{
	struct message_times *times = s->messages->times;
	uint64_t made_ns = clock_mono().ns;

	for (uint64_t i = first; i < first + count; i++)
		times[i].made_ns = times[i].committed_ns = made_ns;
	if (s->way == WAY_POLL_SEND)
		atomic_store_explicit(&s->handed_count, first + count, memory_order_release);
	else if (write(s->bell_fd, &count, sizeof(count)) != sizeof(count))
		rig_fail("eventfd", errno);
}

static void *source_main(void *arg)
{
	struct open_loop *s = arg;
	struct message_times *times = s->messages->times;
	uint64_t allocated_before;

	prctl(PR_SET_NAME, "source");
	prctl(PR_SET_TIMERSLACK, 1ul);
	thread_pin(0);
	allocated_before = thread_allocated_bytes();
	for (uint64_t next = 0; next < s->messages->count;) {
		uint64_t now_ns, count = 0;

		wait_due(times[next].due_ns);
		now_ns = clock_mono().ns;
		while (count < TURN_MAX && next + count < s->messages->count &&
		       times[next + count].due_ns <= now_ns)
			count++;
		if (count == 0)
			continue;
		switch (s->way) {
		case WAY_NODE:
		case WAY_NODE_BUSY:
		case WAY_BROKER_NODE: make_in_node(s, next, count); break;
		case WAY_PLAIN:
		case WAY_BROKER_PLAIN: packets_send(s, next, count, true); break;
		case WAY_WAKE:
		case WAY_WAKE_SEND:
		case WAY_POLL_SEND: hand_over(s, next, count); break;
		case WAY_COUNT: UNREACHABLE();
		}
		next += count;
	}
	s->allocated_bytes = thread_allocated_bytes() - allocated_before;
	return NULL;
}

/* How many messages have been handed over up to now; waits for one. */
static uint64_t taken_over(struct open_loop *s, uint64_t before)
{
	uint64_t count = before;

	if (s->way != WAY_POLL_SEND) {
		if (read(s->bell_fd, &count, sizeof(count)) != sizeof(count))
			rig_fail("eventfd", errno);
		return before + count;
	}
	while ((count = atomic_load_explicit(&s->handed_count, memory_order_acquire)) == before)
		cpu_relax();
	return count;
}

static void *taker_main(void *arg)
{
	struct open_loop *s = arg;
	struct message_times *times = s->messages->times;

	prctl(PR_SET_NAME, "taker");
	thread_pin(1);
	for (uint64_t next = 0; next < s->messages->count;) {
		uint64_t end = taken_over(s, next);

		if (s->way == WAY_WAKE) {
			uint64_t arrived_ns = clock_mono().ns;

			for (uint64_t i = next; i < end; i++)
				times[i].wire_ns = times[i].arrived_ns = arrived_ns;
			atomic_store(s->messages->seen, end);
			next = end;
		}
		while (next < end) {
			uint64_t count = min_u64(end - next, TURN_MAX);

			packets_send(s, next, count, false);
			next += count;
		}
	}
	return NULL;
}

static pthread_t start(void *(*run)(void *), struct open_loop *s)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, run, s);

	if (rc != 0)
		rig_fail("thread", rc);
	return thread;
}

void open_loop_run(struct open_loop *s)
{
	bool has_taker = s->way == WAY_WAKE || s->way == WAY_WAKE_SEND || s->way == WAY_POLL_SEND;
	pthread_t taker = has_taker ? start(taker_main, s) : 0;
	uint64_t seen = 0;

	pthread_join(start(source_main, s), NULL);
	if (has_taker)
		pthread_join(taker, NULL);
	for (uint32_t ms = 0; ms < SETTLE_MS && seen < s->messages->count; ms++) {
		uint64_t now_seen = atomic_load(s->messages->seen);

		ms = now_seen > seen ? 0 : ms;
		seen = now_seen;
		rig_pause_s(0.001);
	}
}
