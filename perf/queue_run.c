#include "perf/queue_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/thread_memory.h"
#include "perf/thread.h"

#define TURN_COUNT     2048u /* one thread: messages in, then as many out */
#define PRODUCER_BATCH 16u   /* messages between two looks at the backlog: some queues need long for a few */
#define CLOCK_EVERY    8u    /* such batches between two looks at the time */
#define CONSUMER_FEW \
	64u /* after a look that gave fewer the consumer sleeps: small batches have their own price */
#define SLEEP_NS      50000l               /* the queue has room for what comes in meanwhile */
#define WARM_UP_COUNT (3 * QUEUE_MESSAGES) /* every page touched, every segment used */

struct counter {
	CACHELINE_ALIGNED _Atomic uint64_t count;
};

struct world {
	const struct queue_run *run;
	struct queue *queue;
	struct message_maker makers[QUEUE_PRODUCERS_MAX];
	struct message_judge judge;
	struct counter taken[QUEUE_PRODUCERS_MAX]; /* what the producers know of the consumer */
	pthread_barrier_t start;
	_Atomic bool stopping;
};

struct worker {
	CACHELINE_ALIGNED struct world *world;
	pthread_t thread;
	uint32_t producer_idx;
	uint64_t count, cpu_ns, wall_ns;
	uint64_t slept_ns;   /* of cpu_ns: going to sleep and waking */
	uint64_t produce_ns; /* of cpu_ns, where one thread does both */
	uint64_t allocated_bytes;
};

const char *queue_profile_name(enum queue_profile profile)
{
	static const char *const names[QUEUE_PROFILES] = {
		[PROFILE_ALONE] = "alone", [PROFILE_PACED] = "paced", [PROFILE_FLOOD] = "flood"};

	return names[profile];
}

static uint32_t cpu_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 0 ? (uint32_t)count : 1;
}

uint32_t queue_consumer_cpu(void)
{
	return cpu_count() - 1;
}

uint32_t queue_producer_cpu(uint32_t producer_idx)
{
	return producer_idx % cpu_count();
}

static uint64_t made_count(const struct world *w)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < w->run->producer_count; i++)
		sum += w->makers[i].number;
	return sum;
}

static uint64_t own_cpu_ns(void)
{
	return thread_cpu_ns(pthread_self());
}

/* --- one thread ----------------------------------------------------------------------------------------------------- */

static void produce_turn(struct world *w, struct mono now)
{
	for (uint32_t i = 0; i < w->run->producer_count; i++)
		w->queue->ops->produce(w->queue, &w->makers[i], QUEUE_BATCH / w->run->producer_count, now);
}

static void drain(struct world *w, struct mono now)
{
	while (w->queue->ops->consume(w->queue, &w->judge, now) > 0)
		;
}

static void move(struct world *w, uint64_t message_count)
{
	for (uint64_t to = made_count(w) + message_count; made_count(w) < to;) {
		struct mono now = clock_mono();

		produce_turn(w, now);
		drain(w, now);
	}
}

/* The CPU clock is a system call of half a microsecond: hence long turns. */
static void *alone_main(void *arg)
{
	struct worker *me = arg;
	struct world *w = me->world;
	uint64_t before_count = made_count(w);
	struct mono from = clock_mono();
	uint64_t at_ns;

	thread_pin(0);
	me->allocated_bytes = thread_allocated_bytes();
	at_ns = own_cpu_ns();
	do {
		struct mono now = clock_mono();
		uint64_t made_ns, taken_ns;

		for (uint32_t i = 0; i < TURN_COUNT / QUEUE_BATCH; i++)
			produce_turn(w, now);
		made_ns = own_cpu_ns();
		drain(w, now);
		taken_ns = own_cpu_ns();
		me->produce_ns += made_ns - at_ns;
		me->cpu_ns += taken_ns - at_ns;
		at_ns = taken_ns;
		me->wall_ns = mono_since(clock_mono(), from);
	} while (me->wall_ns < w->run->duration_ns);
	me->allocated_bytes = thread_allocated_bytes() - me->allocated_bytes;
	me->count = made_count(w) - before_count;
	return NULL;
}

static int run_alone(struct world *w, struct queue_figures *out)
{
	struct worker worker = {.world = w};
	double count;
	/* A thread even so: in a process that has never had a second one, libc takes a mutex without any atomic. */
	int rc = pthread_create(&worker.thread, NULL, alone_main, &worker);

	if (rc != 0)
		return -rc;
	pthread_join(worker.thread, NULL);
	count = (double)worker.count;
	out->producer_ns = (double)worker.produce_ns / count;
	out->consumer_ns = (double)(worker.cpu_ns - worker.produce_ns) / count;
	out->producer_wall_ns = (double)worker.wall_ns / count;
	out->taken_per_us = count * 1e3 / (double)worker.wall_ns;
	out->allocated_bytes = worker.allocated_bytes;
	return 0;
}

/* --- threads -------------------------------------------------------------------------------------------------------- */

/* Asleep rather than spinning: a spin would take the CPU from whoever shares it. */
static void worker_sleep(struct worker *me)
{
	const struct timespec pause = {.tv_nsec = SLEEP_NS};
	uint64_t before_ns = own_cpu_ns();

	nanosleep(&pause, NULL);
	me->slept_ns += own_cpu_ns() - before_ns;
}

static void worker_begin(struct worker *me, uint32_t cpu)
{
	thread_pin((int32_t)cpu);
	prctl(PR_SET_TIMERSLACK, 1);
	pthread_barrier_wait(&me->world->start);
	me->allocated_bytes = thread_allocated_bytes();
	me->cpu_ns = own_cpu_ns();
	me->wall_ns = clock_mono().ns;
}

static void worker_end(struct worker *me)
{
	me->wall_ns = clock_mono().ns - me->wall_ns;
	me->cpu_ns = own_cpu_ns() - me->cpu_ns;
	me->allocated_bytes = thread_allocated_bytes() - me->allocated_bytes;
}

static bool stopping(const struct world *w)
{
	return atomic_load_explicit(&w->stopping, memory_order_relaxed);
}

static bool holds_back(const struct world *w, const struct message_maker *maker)
{
	uint64_t taken_count = atomic_load_explicit(&w->taken[maker->producer_idx].count,
						    memory_order_relaxed);

	return w->run->profile == PROFILE_PACED &&
	       maker->number - taken_count > QUEUE_MESSAGES / 2 / w->run->producer_count;
}

static void *producer_main(void *arg)
{
	struct worker *me = arg;
	struct world *w = me->world;
	struct message_maker *maker = &w->makers[me->producer_idx];
	uint64_t before_count = maker->number;
	struct mono now = clock_mono();
	uint32_t batch_count = 0;

	worker_begin(me, queue_producer_cpu(me->producer_idx));
	while (!stopping(w)) {
		if (holds_back(w, maker)) {
			worker_sleep(me);
			continue;
		}
		if (++batch_count % CLOCK_EVERY == 0)
			now = clock_mono();
		w->queue->ops->produce(w->queue, maker, PRODUCER_BATCH, now);
	}
	worker_end(me);
	me->count = maker->number - before_count;
	return NULL;
}

static void *consumer_main(void *arg)
{
	struct worker *me = arg;
	struct world *w = me->world;
	uint64_t before_count = message_taken(&w->judge);

	worker_begin(me, queue_consumer_cpu());
	while (!stopping(w)) {
		uint32_t count = w->queue->ops->consume(w->queue, &w->judge, clock_mono());

		for (uint32_t i = 0; i < w->run->producer_count; i++)
			atomic_store_explicit(&w->taken[i].count, w->judge.taken[i], memory_order_relaxed);
		if (count < CONSUMER_FEW)
			worker_sleep(me);
	}
	worker_end(me);
	me->count = message_taken(&w->judge) - before_count;
	return NULL;
}

static void thread_start(struct worker *worker, void *(*body)(void *))
{
	int rc = pthread_create(&worker->thread, NULL, body, worker);

	if (rc == 0)
		return;
	fprintf(stderr, "bench_ring: no thread: %s\n", strerror(rc)); /* the others wait at the barrier */
	exit(1);
}

static void run_threads(struct world *w, struct queue_figures *out)
{
	struct worker workers[QUEUE_PRODUCERS_MAX + 1]; /* the last is the consumer */
	struct worker *consumer = &workers[w->run->producer_count];
	const struct timespec duration = {.tv_sec = (time_t)(w->run->duration_ns / NS_PER_S),
					  .tv_nsec = (long)(w->run->duration_ns % NS_PER_S)};
	uint64_t cpu_ns = 0, wall_ns = 0, count = 0;

	memset(workers, 0, sizeof(workers));
	for (uint32_t i = 0; i < w->run->producer_count; i++)
		atomic_store_explicit(&w->taken[i].count, w->judge.taken[i], memory_order_relaxed);
	pthread_barrier_init(&w->start, NULL, w->run->producer_count + 2);
	for (uint32_t i = 0; i < w->run->producer_count; i++) {
		workers[i].world = w;
		workers[i].producer_idx = i;
		thread_start(&workers[i], producer_main);
	}
	consumer->world = w;
	thread_start(consumer, consumer_main);
	pthread_barrier_wait(&w->start);
	nanosleep(&duration, NULL);
	atomic_store_explicit(&w->stopping, true, memory_order_relaxed);
	for (uint32_t i = 0; i <= w->run->producer_count; i++) {
		pthread_join(workers[i].thread, NULL);
		out->allocated_bytes += workers[i].allocated_bytes;
	}
	pthread_barrier_destroy(&w->start);
	for (uint32_t i = 0; i < w->run->producer_count; i++) {
		cpu_ns += workers[i].cpu_ns - workers[i].slept_ns;
		wall_ns += workers[i].wall_ns;
		count += workers[i].count;
	}
	out->producer_ns = (double)cpu_ns / (double)max_u64(count, 1);
	out->producer_wall_ns = (double)wall_ns / (double)max_u64(count, 1);
	out->consumer_ns = (double)(consumer->cpu_ns - consumer->slept_ns) /
			   (double)max_u64(consumer->count, 1);
	out->taken_per_us = (double)consumer->count * 1e3 / (double)consumer->wall_ns;
}

/* --- is it true ----------------------------------------------------------------------------------------------------- */

static bool overwrites(enum queue_kind kind)
{
	return kind != QUEUE_CK_POINTER && kind != QUEUE_CK_VALUE && kind != QUEUE_CK_SPSC;
}

/* Of the producer that stopped last: the newest of the others may have been overwritten since. */
static bool newest_is_there(const struct world *w)
{
	for (uint32_t i = 0; i < w->run->producer_count; i++)
		if (w->judge.last[i] == w->makers[i].number)
			return true;
	return false;
}

/* made is the producers' count, taken and left the consumer's, lost the queue's: three that do not know of each other. */
static int verify(struct world *w, uint64_t lost_before_count, struct queue_figures *out)
{
	const struct message_judge *j = &w->judge;
	uint64_t taken_count = message_taken(j), made = made_count(w);
	uint64_t left_count, lost_count;
	const char *why = NULL;

	drain(w, clock_mono());
	left_count = message_taken(j) - taken_count;
	lost_count = w->queue->ops->lost_count(w->queue);
	if (j->broken_count || j->stranger_count)
		why = "a message is not as it was made";
	else if (j->disorder_count)
		why = "a message came twice or out of order";
	else if (made != taken_count + left_count + lost_count)
		why = "made is not taken + lost + left";
	else if (left_count > QUEUE_MESSAGES)
		why = "more was left than the queue may hold";
	else if (lost_before_count || (w->run->profile != PROFILE_FLOOD && lost_count))
		why = "messages are lost though there is room";
	else if (overwrites(w->run->kind) && !newest_is_there(w))
		why = "the newest message is not there";
	if (!why)
		return 0;
	snprintf(out->wrong, sizeof(out->wrong), "%s: made %llu taken %llu left %llu lost %llu", why,
		 (unsigned long long)made, (unsigned long long)taken_count, (unsigned long long)left_count,
		 (unsigned long long)lost_count);
	return -EBADMSG;
}

static struct world *world_open(const struct queue_run *run)
{
	struct world *w = queue_memory(sizeof(*w));

	w->run = run;
	w->queue = queue_open(run->kind, run->producer_count, run->folder);
	for (uint32_t i = 0; i < run->producer_count; i++)
		w->makers[i].producer_idx = i;
	return w;
}

static void world_close(struct world *w)
{
	w->queue->ops->close(w->queue);
	free(w);
}

int queue_run(const struct queue_run *run, struct queue_figures *out)
{
	struct world *w = world_open(run);
	uint64_t lost_before_count, made_before_count;
	int rc = 0;

	*out = (struct queue_figures){0};
	move(w, WARM_UP_COUNT);
	lost_before_count = w->queue->ops->lost_count(w->queue);
	made_before_count = made_count(w);
	if (run->profile == PROFILE_ALONE)
		rc = run_alone(w, out);
	else
		run_threads(w, out);
	if (rc == 0)
		rc = verify(w, lost_before_count, out);
	out->lost_percent = 100.0 * (double)(w->queue->ops->lost_count(w->queue) - lost_before_count) /
			    (double)max_u64(made_count(w) - made_before_count, 1);
	world_close(w);
	return rc;
}

int queue_run_count(const struct queue_run *run, uint64_t message_count, struct queue_figures *out)
{
	struct world *w = world_open(run);
	int rc;

	*out = (struct queue_figures){0};
	move(w, message_count);
	rc = verify(w, 0, out);
	world_close(w);
	return rc;
}
