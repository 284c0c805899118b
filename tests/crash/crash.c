/* crash - a process with a ring in a file is killed, SIGKILL, thousands of times; after each kill a ledger says what must be there.
 *
 * The child recovers the file, then two or three samplers write and a publisher takes, acknowledges out of order and releases;
 * the ledger, in shared memory, is told of each step just before or just after it. The parent kills the child after a random
 * time, in the recovery too, recovers the file itself, and compares:
 *
 *   - every message whose ring_commit had returned, that was not released, is there, but for those that newer ones replaced:
 *     in a life without more than `messages` waiting none is, in a life without a publisher exactly the newest `messages` stay,
 *     in any other a message may be gone only where `messages` newer ones were made;
 *   - each as it was made: payload, topic, QoS, retain, properties, expiry, time; none that was not made; none twice;
 *   - in the order of its lane; none that was released, or is safe with the session, or was passed over;
 *   - nothing of the file was broken: the page cache tears no record.
 *
 * The session is played too: some messages are handed to it (their origin is noted, then ring_done), as QoS 1 and 2 are.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/carried.h"
#include "core/log.h"
#include "core/prng.h"
#include "core/ring_file.h"

#define LANES         3u
#define MESSAGES      150u
#define INFLIGHT      48u
#define PAYLOAD_MAX   200u
#define HISTORY       (1u << 17) /* of a lane; a power of two */
#define LIFE_MAX      20000u     /* messages of a lane in one life */
#define SLACK         LANES /* times are taken before the commit: so much their order may differ from it */
#define CHILD_FAILED  3
#define HEAD_BYTES    12u
#define TOPIC_BYTES   3u
#define RECORD_MAX    (24u + 2u * 16u + PAYLOAD_MAX + 16u)
#define SESSION_EVERY 5u

/* What has become of a message. */
enum fate {
	FATE_NONE,
	FATE_STARTED,   /* perhaps committed */
	FATE_MADE,      /* committed */
	FATE_TAKEN,     /* by the publisher */
	FATE_HANDING,   /* the session perhaps has it */
	FATE_HANDED,    /* the session has it */
	FATE_RELEASING, /* perhaps released */
	FATE_RELEASED,
	FATE_GONE, /* newer ones have replaced it */
};

enum phase { PHASE_RECOVERING, PHASE_RUNNING };
enum manner { MANNER_WITHIN, MANNER_OUTAGE, MANNER_BOTH, MANNER_COUNT };

struct entry {
	_Atomic uint32_t fate;
	uint64_t time_ns;
	_Atomic uint64_t origin; /* that the session has */
};

struct ledger {
	_Atomic uint32_t phase;
	_Atomic uint64_t recovery_ns; /* how long the last one took */
	_Atomic bool
		overran; /* in this life, so that messages may be gone although the publisher was there */
	char failure[200];
	CACHELINE_ALIGNED _Atomic uint64_t released_count;
	struct {
		CACHELINE_ALIGNED _Atomic uint64_t started; /* the number of the last message */
		_Atomic uint64_t passed;                    /* the highest that was ever taken */
		_Atomic uint64_t committed_count;
		struct entry entries[HISTORY];
	} lanes[LANES];
};

static struct ledger *ledger;
static char path[256];

static struct entry *entry_of(uint32_t lane_idx, uint64_t number)
{
	return &ledger->lanes[lane_idx].entries[number & (HISTORY - 1)];
}

static uint32_t fate_of(uint32_t lane_idx, uint64_t number)
{
	return atomic_load_explicit(&entry_of(lane_idx, number)->fate, memory_order_acquire);
}

static void set_fate(uint32_t lane_idx, uint64_t number, enum fate fate)
{
	atomic_store_explicit(&entry_of(lane_idx, number)->fate, fate, memory_order_release);
}

/* --- the messages ------------------------------------------------------------------------------------------------------- */

static uint32_t size_of(uint32_t lane_idx, uint64_t number)
{
	return HEAD_BYTES + (uint32_t)(number * 7919 + lane_idx * 13) % (PAYLOAD_MAX - HEAD_BYTES);
}

static void payload_make(uint8_t *at, uint32_t lane_idx, uint64_t number)
{
	uint32_t bytes = size_of(lane_idx, number);

	memcpy(at, &lane_idx, 4);
	memcpy(at + 4, &number, 8);
	for (uint32_t i = HEAD_BYTES; i < bytes; i++)
		at[i] = (uint8_t)(number * 31 + i * 7 + lane_idx);
}

static const char *const topics[LANES] = {"t/0", "t/1", "t/2"};

static struct ring_file_topic topic_of(uint32_t lane_idx)
{
	return (struct ring_file_topic){.topic = bytes_of_text(topics[lane_idx]),
					.props = bytes_of("properties", 4 * lane_idx),
					.expiry_s = lane_idx * 1000,
					.qos = (uint8_t)lane_idx,
					.retain = lane_idx == 1};
}

/* Whose message it is; NULL: as it was made, otherwise what is wrong. */
static const char *message_check(const struct ring_file_topic *topic, struct bytes payload, uint64_t time_ns,
				 uint32_t *lane_idx, uint64_t *number)
{
	uint8_t wanted[PAYLOAD_MAX];
	struct ring_file_topic t;

	if (payload.size < HEAD_BYTES || payload.size > PAYLOAD_MAX)
		return "a payload of no size of ours";
	memcpy(lane_idx, payload.ptr, 4);
	memcpy(number, payload.ptr + 4, 8);
	if (*lane_idx >= LANES || *number == 0 ||
	    *number > atomic_load_explicit(&ledger->lanes[*lane_idx].started, memory_order_acquire))
		return "a message that nobody made";
	payload_make(wanted, *lane_idx, *number);
	if (payload.size != size_of(*lane_idx, *number) || memcmp(wanted, payload.ptr, payload.size) != 0)
		return "another payload";
	t = topic_of(*lane_idx);
	if (!bytes_equal(t.topic, topic->topic) || !bytes_equal(t.props, topic->props) ||
	    t.qos != topic->qos || t.retain != topic->retain || t.expiry_s != topic->expiry_s)
		return "another topic, or what goes with it";
	return time_ns == entry_of(*lane_idx, *number)->time_ns ? NULL : "another time";
}

/* --- the child ---------------------------------------------------------------------------------------------------------- */

struct life {
	struct ring_file file;
	struct ring *ring;
	enum manner manner;
	uint64_t seed;
};

struct sampler_arg {
	struct life *life;
	uint32_t lane_idx;
};

NORETURN static void child_fails(const char *what, uint32_t lane_idx, uint64_t number)
{
	snprintf(ledger->failure, sizeof(ledger->failure), "lane %u, message %llu: %s", lane_idx,
		 (unsigned long long)number, what);
	_exit(CHILD_FAILED);
}

static uint64_t waiting_count(void)
{
	/* The releases first: never fewer than there are. */
	uint64_t released = atomic_load_explicit(&ledger->released_count, memory_order_acquire), made = 0;

	for (uint32_t i = 0; i < LANES; i++)
		made += atomic_load_explicit(&ledger->lanes[i].committed_count, memory_order_acquire);
	return made > released ? made - released : 0;
}

static void make_one(struct life *life, uint32_t lane_idx, uint64_t number)
{
	uint32_t bytes = size_of(lane_idx, number);
	struct entry *e = entry_of(lane_idx, number);
	struct mono now = clock_mono();
	uint8_t *payload;

	if (waiting_count() + LANES > MESSAGES)
		atomic_store_explicit(&ledger->overran, true, memory_order_release);
	e->time_ns = now.ns;
	set_fate(lane_idx, number, FATE_STARTED);
	atomic_store_explicit(&ledger->lanes[lane_idx].started, number, memory_order_release);
	payload = ring_reserve(life->ring, lane_idx, 24 + TOPIC_BYTES + 8, bytes, now);
	if (!payload)
		child_fails("no room in the ring", lane_idx, number);
	payload_make(payload, lane_idx, number);
	ring_commit(life->ring, lane_idx, lane_idx, bytes, now);
	/* Not over what the publisher has said already. */
	uint32_t started = FATE_STARTED;

	(void)atomic_compare_exchange_strong_explicit(&e->fate, &started, FATE_MADE, memory_order_acq_rel,
						      memory_order_acquire);
	atomic_fetch_add_explicit(&ledger->lanes[lane_idx].committed_count, 1, memory_order_acq_rel);
}

static void *sampler_main(void *arg)
{
	const struct sampler_arg *a = arg;
	struct prng prng = {.state = a->life->seed + a->lane_idx};
	uint64_t number = atomic_load_explicit(&ledger->lanes[a->lane_idx].started, memory_order_acquire);
	const struct timespec pause = {.tv_nsec = 20000};

	for (uint32_t made = 0; made < LIFE_MAX;) {
		for (uint32_t burst = 1 + prng_below(&prng, 40); burst > 0; burst--) {
			if (a->life->manner == MANNER_WITHIN && waiting_count() + 2 * LANES > MESSAGES)
				break;
			make_one(a->life, a->lane_idx, ++number);
			made++;
		}
		nanosleep(&pause, NULL);
	}
	return NULL;
}

struct publisher {
	struct life *life;
	struct prng prng;
	struct ring_record *held[2 * INFLIGHT];
	uint32_t held_count;
	uint64_t last[LANES]; /* number taken in this life */
};

static void identify(struct ring_record *rec, uint32_t *lane_idx, uint64_t *number)
{
	struct bytes payload = bytes_of(ring_payload(rec), rec->payload_bytes);
	struct ring_file_topic topic;
	const char *wrong;

	if (rec->channel_idx == CHANNEL_CARRIED) {
		struct carried c = carried_read(rec);

		payload.size = c.payload_bytes;
		topic = (struct ring_file_topic){.topic = c.topic,
						 .props = c.props,
						 .expiry_s = c.expiry_s,
						 .qos = c.qos,
						 .retain = c.retain};
	} else {
		topic = topic_of(rec->channel_idx);
	}
	wrong = message_check(&topic, payload, rec->time_ns, lane_idx, number);
	if (wrong)
		child_fails(wrong, *lane_idx, *number);
}

static void hand_over(struct publisher *p, struct ring_record *rec, uint32_t lane_idx, uint64_t number)
{
	set_fate(lane_idx, number, FATE_HANDING);
	atomic_store_explicit(&entry_of(lane_idx, number)->origin, ring_file_origin(&p->life->file, rec),
			      memory_order_release);
	set_fate(lane_idx, number, FATE_HANDED);
}

static void took(struct publisher *p, struct ring_record *rec)
{
	uint32_t lane_idx = 0;
	uint64_t number = 0, passed;
	uint32_t fate;

	identify(rec, &lane_idx, &number);
	passed = atomic_load_explicit(&ledger->lanes[lane_idx].passed, memory_order_relaxed);
	fate = fate_of(lane_idx, number);
	if (number <= p->last[lane_idx])
		child_fails("taken out of order, or twice", lane_idx, number);
	p->last[lane_idx] = number;
	if (fate == FATE_RELEASED || fate == FATE_HANDED || fate == FATE_GONE)
		child_fails("taken, although it was through", lane_idx, number);
	if (number < passed && (fate == FATE_STARTED || fate == FATE_MADE))
		child_fails("taken, although later ones had been taken before it", lane_idx, number);
	if (number > passed)
		atomic_store_explicit(&ledger->lanes[lane_idx].passed, number, memory_order_release);
	set_fate(lane_idx, number, FATE_TAKEN);
	ring_payload(rec)[-1] = 0x5a; /* the header that is sent is written before the payload */
	rec->flags |= 2;
	p->held[p->held_count++] = rec;
	if (number % SESSION_EVERY == 0)
		hand_over(p, rec, lane_idx, number);
}

static void let_go(struct publisher *p, uint32_t i)
{
	struct ring_record *rec = p->held[i];
	uint32_t lane_idx = 0;
	uint64_t number = 0;

	identify(rec, &lane_idx, &number);
	if (number % SESSION_EVERY == 0)
		ring_done(p->life->ring, rec);
	else
		set_fate(lane_idx, number, FATE_RELEASING);
	ring_release(p->life->ring, rec);
	if (number % SESSION_EVERY != 0)
		set_fate(lane_idx, number, FATE_RELEASED);
	atomic_fetch_add_explicit(&ledger->released_count, 1, memory_order_acq_rel);
	p->held[i] = p->held[--p->held_count];
}

static void publisher_main(struct life *life)
{
	static struct publisher p;
	const struct timespec pause = {.tv_nsec = 30000};

	p = (struct publisher){.life = life, .prng = {.state = life->seed ^ 1}};
	for (;;) {
		struct ring_record *out[INFLIGHT];
		uint32_t count = 0;

		if (p.held_count < INFLIGHT)
			count = ring_take(life->ring, out, 1 + prng_below(&p.prng, INFLIGHT - p.held_count),
					  clock_mono());
		for (uint32_t i = 0; i < count; i++)
			took(&p, out[i]);
		for (uint32_t n = prng_below(&p.prng, p.held_count + 1); n > 0; n--)
			let_go(&p, prng_below(&p.prng, p.held_count));
		if (count == 0 || (life->manner == MANNER_BOTH && prng_below(&p.prng, 8) == 0))
			nanosleep(&pause, NULL);
	}
}

/* --- both ----------------------------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t floor_of(uint32_t lane_idx, uint64_t started)
{
	static uint64_t floors[LANES];

	/* What is through stays so. */
	while (floors[lane_idx] < started && (fate_of(lane_idx, floors[lane_idx] + 1) == FATE_RELEASED ||
					      fate_of(lane_idx, floors[lane_idx] + 1) == FATE_GONE))
		floors[lane_idx]++;
	return floors[lane_idx];
}

static int recover(struct ring_file *f, uint64_t epoch)
{
	static uint64_t origins[LANES * HISTORY];
	struct ring_file_topic all[LANES];
	uint32_t count = 0;
	const struct ring_file_config config = {
		.path = path,
		.limits = {.message_count = MESSAGES,
			   .record_bytes_max = RECORD_MAX,
			   .lane_count = LANES + 1,
			   .inflight_max = INFLIGHT},
		.topics = all,
		.topic_count = LANES,
		.epoch = epoch,
	};

	for (uint32_t l = 0; l < LANES; l++) {
		uint64_t started = atomic_load_explicit(&ledger->lanes[l].started, memory_order_acquire);

		all[l] = topic_of(l);
		for (uint64_t n = floor_of(l, started) + 1; n <= started; n++)
			if (fate_of(l, n) == FATE_HANDED)
				origins[count++] = atomic_load_explicit(&entry_of(l, n)->origin,
									memory_order_acquire);
	}
	qsort(origins, count, sizeof(origins[0]), by_number);
	return ring_file_open(f, &config, origins, count, clock_mono(), clock_wall());
}

NORETURN static void child_main(uint64_t seed)
{
	static struct life life;
	struct prng prng = {.state = seed};
	struct sampler_arg args[LANES];
	uint64_t begun = clock_mono().ns;
	int rc;

	life = (struct life){.manner = (enum manner)prng_below(&prng, MANNER_COUNT),
			     .seed = prng_next(&prng)};
	rc = recover(&life.file, prng_next(&prng));
	if (rc < 0 || life.file.state[0]) {
		snprintf(ledger->failure, sizeof(ledger->failure), "recovery: %d %.150s", rc,
			 life.file.state);
		_exit(CHILD_FAILED);
	}
	life.ring = life.file.ring;
	atomic_store_explicit(&ledger->recovery_ns, clock_mono().ns - begun, memory_order_relaxed);
	if (life.manner == MANNER_BOTH)
		atomic_store_explicit(&ledger->overran, true, memory_order_release);
	atomic_store_explicit(&ledger->phase, PHASE_RUNNING, memory_order_release);
	for (uint32_t i = 0; i < LANES; i++) {
		pthread_t thread;

		args[i] = (struct sampler_arg){.life = &life, .lane_idx = i};
		if (life.manner != MANNER_OUTAGE && i == LANES - 1 && life.seed & 1)
			continue; /* two samplers */
		if (pthread_create(&thread, NULL, sampler_main, &args[i]) != 0)
			_exit(CHILD_FAILED);
	}
	if (life.manner != MANNER_OUTAGE)
		publisher_main(&life);
	for (;;)
		pause();
}

/* --- the parent ------------------------------------------------------------------------------------------------------------- */

struct figures {
	uint64_t made, restored, replaced, known, kills_in_recovery, left_unfinished;
};

struct waiting {
	uint64_t time_ns, number;
	uint32_t lane_idx;
	bool sure, found;
};

static struct waiting waiting[LANES * HISTORY];

NORETURN static void fails(uint32_t round, const char *what, uint32_t lane_idx, uint64_t number)
{
	printf("crash: round %u: lane %u, message %llu (fate %u): %s\n", round, lane_idx,
	       (unsigned long long)number, fate_of(lane_idx, number), what);
	exit(1);
}

static int by_time(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns > y->time_ns ? 1 : -1;
	if (x->lane_idx != y->lane_idx)
		return x->lane_idx > y->lane_idx ? 1 : -1;
	return (x->number > y->number) - (x->number < y->number);
}

/* Everything that may be in the file, by time. */
static uint32_t waiting_list(void)
{
	uint32_t count = 0;

	for (uint32_t l = 0; l < LANES; l++) {
		uint64_t started = atomic_load_explicit(&ledger->lanes[l].started, memory_order_acquire);
		uint64_t passed = atomic_load_explicit(&ledger->lanes[l].passed, memory_order_acquire);

		for (uint64_t n = floor_of(l, started) + 1; n <= started; n++) {
			uint32_t fate = fate_of(l, n);

			/* HANDED: the origin keeps it out. A MADE one that was passed over is overwritten. */
			if (fate == FATE_RELEASED || fate == FATE_GONE || fate == FATE_HANDED ||
			    (fate <= FATE_MADE && n < passed))
				continue;
			waiting[count++] = (struct waiting){
				.time_ns = entry_of(l, n)->time_ns,
				.number = n,
				.lane_idx = l,
				.sure = fate == FATE_MADE || fate == FATE_TAKEN,
			};
		}
	}
	qsort(waiting, count, sizeof(waiting[0]), by_time);
	return count;
}

static void found(uint32_t round, uint32_t count, uint32_t lane_idx, uint64_t number)
{
	const struct waiting key = {
		.time_ns = entry_of(lane_idx, number)->time_ns, .number = number, .lane_idx = lane_idx};
	struct waiting *w = bsearch(&key, waiting, count, sizeof(waiting[0]), by_time);

	if (!w)
		fails(round, "is there, although it was through, safe, or passed over", lane_idx, number);
	if (w->found)
		fails(round, "is there twice", lane_idx, number);
	w->found = true;
}

/* Every message that the new file holds. */
static void read_all(uint32_t round, uint32_t count, struct figures *f)
{
	uint64_t last[LANES] = {0}, last_ns = 0;
	int handle = open(path, O_RDONLY);
	struct ring_scan_message m;
	struct ring_scan scan;
	const char *why = "";
	struct stat st;
	void *image;

	if (handle == -1 || fstat(handle, &st) == -1)
		fails(round, "there is no file", 0, 0);
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, handle, 0);
	if (image == MAP_FAILED || ring_scan_open(&scan, image, (uint64_t)st.st_size, &why) < 0)
		fails(round, why, 0, 0);
	while (ring_scan_next(&scan, false, &m)) {
		uint32_t lane_idx = 0;
		uint64_t number = 0;
		const char *wrong = message_check(&m.topic, m.payload, m.time_ns, &lane_idx, &number);

		if (wrong)
			fails(round, wrong, lane_idx % LANES, number);
		if (number <= last[lane_idx])
			fails(round, "is there out of the order of its lane", lane_idx, number);
		if (m.time_ns < last_ns)
			fails(round, "is there out of the order of time", lane_idx, number);
		last[lane_idx] = number;
		last_ns = m.time_ns;
		found(round, count, lane_idx, number);
		f->restored++;
	}
	if (scan.broken_count)
		fails(round, "something is broken in the new file", 0, 0);
	ring_scan_close(&scan);
	munmap(image, (size_t)st.st_size);
	close(handle);
}

static uint64_t newer_count(uint64_t time_ns)
{
	uint64_t count = 0;

	for (uint32_t l = 0; l < LANES; l++) {
		uint64_t n = atomic_load_explicit(&ledger->lanes[l].started, memory_order_acquire);

		for (; n > 0 && count < 2 * MESSAGES && entry_of(l, n)->time_ns > time_ns; n--)
			count++;
	}
	return count;
}

/* What is not there must not have to be; from now on it must not come. */
static void missing_check(uint32_t round, uint32_t count, struct figures *f)
{
	bool overran = atomic_load_explicit(&ledger->overran, memory_order_acquire);
	uint32_t sure_after = 0;

	for (uint32_t i = count; i-- > 0; sure_after += waiting[i].sure) {
		const struct waiting *w = &waiting[i];

		if (!w->found && w->sure && !overran && sure_after + SLACK < MESSAGES)
			fails(round, "is missing, one of the newest that wait", w->lane_idx, w->number);
		if (!w->found && w->sure && newer_count(w->time_ns) + SLACK < MESSAGES)
			fails(round, "is missing, one of the newest that were made", w->lane_idx, w->number);
		if (w->found) {
			if (fate_of(w->lane_idx, w->number) == FATE_STARTED)
				f->left_unfinished++;
			set_fate(w->lane_idx, w->number,
				 w->number <= atomic_load_explicit(&ledger->lanes[w->lane_idx].passed,
								   memory_order_relaxed)
					 ? FATE_TAKEN
					 : FATE_MADE);
		} else {
			f->replaced += w->sure;
			set_fate(w->lane_idx, w->number, FATE_GONE);
		}
	}
}

/* The counters of waiting messages begin anew; what the session had is through; what was passed over is gone. */
static void next_life(void)
{
	uint64_t made = 0;

	for (uint32_t l = 0; l < LANES; l++) {
		uint64_t started = atomic_load_explicit(&ledger->lanes[l].started, memory_order_acquire);
		uint64_t passed = atomic_load_explicit(&ledger->lanes[l].passed, memory_order_acquire);
		uint64_t waiting_now = 0;

		for (uint64_t n = floor_of(l, started) + 1; n <= started; n++) {
			uint32_t fate = fate_of(l, n);

			if (fate == FATE_HANDED)
				set_fate(l, n, FATE_RELEASED);
			else if (fate == FATE_MADE && n < passed)
				set_fate(l, n, FATE_GONE);
			fate = fate_of(l, n);
			waiting_now += fate == FATE_MADE || fate == FATE_TAKEN;
		}
		atomic_store_explicit(&ledger->lanes[l].committed_count, waiting_now, memory_order_relaxed);
		made += waiting_now;
	}
	atomic_store_explicit(&ledger->released_count, 0, memory_order_relaxed);
	atomic_store_explicit(&ledger->overran, made > MESSAGES, memory_order_relaxed);
	atomic_store_explicit(&ledger->phase, PHASE_RECOVERING, memory_order_relaxed);
}

static void check_round(uint32_t round, struct figures *f)
{
	struct ring_file file;
	uint32_t count;

	if (recover(&file, round + 1) < 0 || file.state[0])
		fails(round, file.state, 0, 0);
	if (file.broken_count || file.unfit_count)
		fails(round, "something is broken, or does not fit", 0, 0);
	f->known += file.known_count;
	count = waiting_list();
	read_all(round, count, f);
	missing_check(round, count, f);
	ring_file_close(&file);
	next_life();
}

static void kill_after(pid_t child, uint64_t us)
{
	const struct timespec pause = {.tv_sec = (time_t)(us / 1000000),
				       .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&pause, NULL);
	kill(child, SIGKILL);
}

static void round_run(uint32_t round, struct prng *prng, struct figures *f)
{
	uint64_t recovery_us = atomic_load_explicit(&ledger->recovery_ns, memory_order_relaxed) / 1000 + 100;
	uint64_t seed = prng_next(prng), us;
	pid_t child;
	int status;

	switch (prng_below(prng, 4)) {
	case 0: us = prng_below(prng, (uint32_t)min_u64(recovery_us, 100000)); break;
	case 1: us = recovery_us + prng_below(prng, 1000); break;
	case 2: us = recovery_us + prng_below(prng, 4000); break;
	default: us = recovery_us + prng_below(prng, 20000); break;
	}
	child = fork();
	if (child == -1) {
		perror("crash: fork");
		exit(1);
	}
	if (child == 0)
		child_main(seed);
	kill_after(child, us);
	if (waitpid(child, &status, 0) != child || WIFEXITED(status) || WTERMSIG(status) != SIGKILL) {
		printf("crash: round %u: the child: %s\n", round,
		       ledger->failure[0] ? ledger->failure : "it ended by itself");
		exit(1);
	}
	f->kills_in_recovery += atomic_load_explicit(&ledger->phase, memory_order_acquire) ==
				PHASE_RECOVERING;
	check_round(round, f);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"rounds", required_argument, NULL, 'r'},
					      {"seed", required_argument, NULL, 's'},
					      {"dir", required_argument, NULL, 'd'},
					      {0}};
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	struct prng prng = {.state = clock_mono().ns};
	struct figures f = {0};
	uint32_t rounds = 200;
	char folder[128];
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r': rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': prng.state = strtoull(optarg, NULL, 10); break;
		case 'd': dir = optarg; break;
		default: fputs("usage: crash [--rounds N] [--seed N] [--dir DIR]\n", stderr); return 2;
		}
	}
	log_set_level(LOG_LEVEL_WARN);
	snprintf(folder, sizeof(folder), "%s/ringmain-crash.XXXXXX", dir);
	if (!mkdtemp(folder)) {
		perror("crash: mkdtemp");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/ring", folder);
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ledger == MAP_FAILED)
		return 1;
	printf("crash: %u rounds, seed %llu, in %s\n", rounds, (unsigned long long)prng.state, folder);
	fflush(stdout);
	for (uint32_t round = 0; round < rounds; round++)
		round_run(round, &prng, &f);
	for (uint32_t l = 0; l < LANES; l++)
		f.made += atomic_load_explicit(&ledger->lanes[l].started, memory_order_acquire);
	printf("crash: %u kills (%llu of them in the recovery), %llu messages made, %llu restored, %llu "
	       "replaced by "
	       "newer ones, %llu left to the session, %llu committed but not yet known to be; none lost, "
	       "none "
	       "twice, none out of order, none changed\n",
	       rounds, (unsigned long long)f.kills_in_recovery, (unsigned long long)f.made,
	       (unsigned long long)f.restored, (unsigned long long)f.replaced, (unsigned long long)f.known,
	       (unsigned long long)f.left_unfinished);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/ring.new", folder);
	(void)unlink(path);
	return rmdir(folder) == 0 ? 0 : 1;
}
