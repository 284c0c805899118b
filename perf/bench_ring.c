/* The ring alone: what a message costs its sampler (reserve, write, commit) and its publisher (take, header, release).
 *
 * alone  one thread does both, in turns of a batch: no cache line changes cores
 * pair   sampler on CPU 0 and publisher on CPU 1; the sampler holds back so that nothing is overwritten
 * flood  the same, and the sampler never holds back
 *
 * --count N: `alone` only, N messages, no report: for counting instructions. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring.h"
#include "perf/machine.h"
#include "perf/series.h"
#include "perf/thread.h"

#define HEADROOM_BYTES 40u
#define PAYLOAD_BYTES  64u
#define HEADER_BYTES   36u /* written by the publisher, right before the payload */
#define BATCH          512u
#define MESSAGE_COUNT  10000u
#define ROUNDS         7
#define ROUND_NS       (300 * NS_PER_MS)

static struct ring *open_ring(void)
{
	const struct ring_limits limits = {.message_count = MESSAGE_COUNT,
					   .record_bytes_max = HEADROOM_BYTES + PAYLOAD_BYTES,
					   .lane_count = 1,
					   .inflight_max = 2 * BATCH};
	struct ring *r;
	int rc = ring_open(&r, &limits);

	if (rc < 0) {
		fprintf(stderr, "bench_ring: %s\n", strerror(-rc));
		exit(1);
	}
	return r;
}

/* Not inlined: so that a profiler can tell the two sides apart. */
__attribute__((noinline)) static void produce(struct ring *r, uint32_t count, struct mono now)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *payload = ring_reserve(r, 0, HEADROOM_BYTES, PAYLOAD_BYTES, now);

		if (!payload)
			continue;
		memset(payload, (int)i, PAYLOAD_BYTES);
		ring_commit(r, 0, 1, PAYLOAD_BYTES, now);
	}
}

__attribute__((noinline)) static uint32_t consume(struct ring *r, struct mono now)
{
	struct ring_record *batch[BATCH];
	uint32_t count = ring_take(r, batch, BATCH, now);

	for (uint32_t i = 0; i < count; i++)
		memset(ring_payload(batch[i]) - HEADER_BYTES, 1, HEADER_BYTES);
	for (uint32_t i = 0; i < count; i++)
		ring_release(r, batch[i]);
	return count;
}

static void run_count(uint64_t count)
{
	struct ring *r = open_ring();

	for (uint64_t done = 0; done < count; done += BATCH) {
		produce(r, BATCH, (struct mono){1});
		while (consume(r, (struct mono){1}))
			;
	}
	ring_close(r);
}

static void run_alone(struct series *sampler_ns, struct series *publisher_ns)
{
	struct ring *r = open_ring();
	uint64_t produce_ns = 0, consume_ns = 0, count = 0;
	struct mono at = clock_mono();

	while (produce_ns + consume_ns < ROUND_NS) {
		struct mono made, taken;
		uint32_t n;

		produce(r, BATCH, at);
		made = clock_mono();
		while ((n = consume(r, made)))
			count += n;
		taken = clock_mono();
		produce_ns += mono_since(made, at);
		consume_ns += mono_since(taken, made);
		at = taken;
	}
	series_add(sampler_ns, (double)produce_ns / (double)count);
	series_add(publisher_ns, (double)consume_ns / (double)count);
	ring_close(r);
}

struct pair {
	struct ring *ring;
	uint64_t backlog_max; /* the sampler waits beyond */
	_Atomic bool stopping;
	uint64_t made, taken, takes, made_cpu_ns, taken_cpu_ns, waited_ns; /* CPU time */
	pthread_t sampler, publisher;
};

static void *sampler_main(void *arg)
{
	struct pair *p = arg;

	thread_pin(0);
	uint64_t before_ns = thread_cpu_ns(pthread_self());

	while (!atomic_load_explicit(&p->stopping, memory_order_relaxed)) {
		struct mono now = clock_mono();

		if (ring_backlog(p->ring) > p->backlog_max) {
			uint64_t from_ns = thread_cpu_ns(pthread_self());

			while (ring_backlog(p->ring) > p->backlog_max / 2 &&
			       !atomic_load_explicit(&p->stopping, memory_order_relaxed))
				__builtin_ia32_pause();
			p->waited_ns += thread_cpu_ns(pthread_self()) - from_ns;
			continue;
		}
		produce(p->ring, BATCH, now);
		p->made += BATCH;
	}
	p->made_cpu_ns = thread_cpu_ns(pthread_self()) - before_ns;
	return NULL;
}

/* Looks again and again, as a publisher under load does; empty looks are part of its price. */
static void *publisher_main(void *arg)
{
	struct pair *p = arg;

	thread_pin(1);
	uint64_t before_ns = thread_cpu_ns(pthread_self());

	while (!atomic_load_explicit(&p->stopping, memory_order_relaxed)) {
		uint32_t count = consume(p->ring, clock_mono());

		p->taken += count;
		p->takes += count > 0;
		for (uint32_t i = 0; count == 0 && i < 200; i++)
			__builtin_ia32_pause();
	}
	p->taken_cpu_ns = thread_cpu_ns(pthread_self()) - before_ns;
	return NULL;
}

struct pair_figures {
	struct series sampler_ns, publisher_ns, taken_rate, batch, overwritten_percent;
};

static void run_pair(uint64_t backlog_max, struct pair_figures *out)
{
	struct pair p = {.ring = open_ring(), .backlog_max = backlog_max};
	struct mono from = clock_mono();
	struct timespec round = {.tv_nsec = (long)ROUND_NS};
	double seconds;
	int rc = pthread_create(&p.publisher, NULL, publisher_main, &p);

	if (rc == 0)
		rc = pthread_create(&p.sampler, NULL, sampler_main, &p);
	if (rc != 0) {
		fprintf(stderr, "bench_ring: %s\n", strerror(rc));
		exit(1);
	}
	nanosleep(&round, NULL);
	atomic_store_explicit(&p.stopping, true, memory_order_relaxed);
	seconds = (double)mono_since(clock_mono(), from) / 1e9;
	pthread_join(p.sampler, NULL);
	pthread_join(p.publisher, NULL);
	struct ring_counts counts = ring_counts(p.ring);

	series_add(&out->sampler_ns, (double)(p.made_cpu_ns - p.waited_ns) / (double)p.made);
	series_add(&out->publisher_ns, (double)p.taken_cpu_ns / (double)p.taken);
	series_add(&out->taken_rate, (double)p.taken / seconds / 1e6);
	series_add(&out->batch, (double)p.taken / (double)max_u64(p.takes, 1));
	series_add(&out->overwritten_percent, 100.0 * (double)counts.overwritten / (double)counts.made);
	ring_close(p.ring);
}

static void print_series(const char *label, const struct series *s)
{
	printf("%-40s %9.1f %9.1f %9.1f\n", label, series_median(s), series_min(s), series_max(s));
}

int main(int argc, char **argv)
{
	struct series alone_sampler = {0}, alone_publisher = {0};
	struct pair_figures paced = {0}, flood = {0};
	struct machine machine;

	if (argc == 3 && strcmp(argv[1], "--count") == 0) {
		run_count(strtoull(argv[2], NULL, 10));
		return 0;
	}
	if (argc != 1) {
		fprintf(stderr, "usage: bench_ring [--count MESSAGES]\n");
		return 2;
	}
	machine_read(&machine);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		run_alone(&alone_sampler, &alone_publisher);
		run_pair(MESSAGE_COUNT / 2, &paced);
		run_pair(UINT64_MAX, &flood);
	}
	machine_print(&machine);
	printf("ring: %u-byte payloads, batches of %u, buffer %u, %u rounds of %g s each\n", PAYLOAD_BYTES,
	       BATCH, MESSAGE_COUNT, ROUNDS, (double)ROUND_NS / 1e9);
	printf("%-40s %9s %9s %9s\n", "", "median", "min", "max");
	print_series("alone  sampler ns/message", &alone_sampler);
	print_series("alone  publisher ns/message", &alone_publisher);
	print_series("pair   sampler ns/message", &paced.sampler_ns);
	print_series("pair   publisher ns/message", &paced.publisher_ns);
	print_series("pair   million messages/s taken", &paced.taken_rate);
	print_series("pair   messages/take", &paced.batch);
	print_series("pair   % overwritten", &paced.overwritten_percent);
	print_series("flood  sampler ns/message", &flood.sampler_ns);
	print_series("flood  publisher ns/message taken", &flood.publisher_ns);
	print_series("flood  million messages/s taken", &flood.taken_rate);
	print_series("flood  messages/take", &flood.batch);
	print_series("flood  % overwritten", &flood.overwritten_percent);
	return 0;
}
