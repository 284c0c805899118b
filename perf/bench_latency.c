/* How long a message takes, at rates that do not give way: sample to wire, to a receiver, to a subscriber of a broker.
 *
 *   node       the source's thread does a sampler's work at each due time (value -> definition -> ring -> bell), the node's
 *              publisher sends; also with `busy_poll`, where the configuration knows it, or with --publisher KEYS
 *   plain      the source's thread sends the same packets itself: what the wire and the receiver take
 *   wake-up    the source's thread writes to an eventfd on which a thread of the other CPU sleeps: what no handing over to a
 *              sleeping thread can be faster than
 *
 * Due times are computed beforehand, and a message's time counts from when it was due, also where the source was late or
 * behind: waiting is not left out. `wire` is the kernel's time stamp of the bytes in the receiver's socket, on the sender's
 * CPU, before the receiver wakes; of several messages in one receive all have the last one's. CPU 0: source and receiver,
 * CPU 1: publisher; the broker and its subscriber (a process) where the kernel puts them. QoS 0. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/thread_memory.h"
#include "perf/child.h"
#include "perf/machine.h"
#include "perf/messages.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "proto/mqtt_publish.h"

#define TAGS         100u
#define SLEEP_FROM   (100 * NS_PER_US) /* a due time that is nearer is waited for by yielding the CPU */
#define BEGIN_NS     (20 * NS_PER_MS)
#define SETTLE_MS    300 /* without news, what has not arrived is lost */
#define TURN_MAX     256u
#define PACKET_BYTES 64u

enum way { WAY_NODE, WAY_NODE_BUSY, WAY_PLAIN, WAY_WAKE, WAY_BROKER_NODE, WAY_BROKER_PLAIN, WAY_COUNT };

static const char *const way_names[WAY_COUNT] = {
	"node", "node-busy", "plain", "wake-up", "broker-node", "broker-plain",
};

static const struct {
	uint64_t per_s;
	double seconds;
} rates[] = {{100, 2}, {1000, 2}, {50000, 1}, {500000, 0.5}};

#define RATES        (sizeof(rates) / sizeof(rates[0]))
#define WAKE_RATE    50000 /* a wake-up alone takes longer than a message at higher rates */
#define BROKER_RATE  50000
#define MESSAGES_MAX 4000000u

struct options {
	uint32_t rounds;
	double scale;
	const char *publisher_keys; /* "" or ", key: value" */
	const char *json_path;
};

struct cell {
	struct series of[SPAN_COUNT][MESSAGES_QUANTILES];
	struct series missing;
	bool measured;
};

static struct cell cells[RATES][WAY_COUNT];
static struct messages messages;
static uint64_t *scratch;
static uint64_t allocated_bytes;

/* --- the source ----------------------------------------------------------------------------------------------------- */

struct source {
	enum way way;
	struct rig *rig;
	int fd; /* of plain: the connection; of wake-up: the eventfd */
};

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
static void make_in_node(const struct source *s, uint64_t first, uint64_t count)
{
	struct definition_lane *lane = &s->rig->node.definitions->lanes[0];
	struct wall wall = clock_wall();

	for (uint64_t i = first; i < first + count; i++) {
		struct mono now = clock_mono();

		messages.times[i].made_ns = now.ns;
		definition_update(lane, (uint32_t)(i % TAGS), value_of_uint(i), wall, now);
		messages.times[i].committed_ns = clock_mono().ns;
	}
	definition_touched_clear(lane);
	publisher_notify(s->rig->node.publisher_of_target[0], s->rig->node.slot_of_target[0]);
}

static void make_plain(const struct source *s, uint64_t first, uint64_t count)
{
	uint8_t packets[TURN_MAX * PACKET_BYTES];
	size_t used_bytes = 0;

	for (uint64_t i = first; i < first + count; i++) {
		char topic[32], payload[24];
		uint8_t packet[128], *start;
		int topic_bytes = snprintf(topic, sizeof(topic), "m1/t%llu", (unsigned long long)(i % TAGS));
		int payload_bytes = snprintf(payload, sizeof(payload), "%llu", (unsigned long long)i);

		messages.times[i].made_ns = clock_mono().ns;
		memcpy(packet + 64, payload, (size_t)payload_bytes);
		start = mqtt_publish_header_backwards(packet + 64,
						      &(struct mqtt_publish_header){
							      .version = MQTT_3_1_1,
							      .payload_bytes = (uint32_t)payload_bytes,
							      .topic = bytes_of(topic, (size_t)topic_bytes),
						      });
		memcpy(packets + used_bytes, start, (size_t)(packet + 64 + payload_bytes - start));
		used_bytes += (size_t)(packet + 64 + payload_bytes - start);
		messages.times[i].committed_ns = clock_mono().ns;
	}
	for (size_t sent = 0; sent < used_bytes;) {
		ssize_t n = send(s->fd, packets + sent, used_bytes - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			rig_fail("send", errno);
		sent += n > 0 ? (size_t)n : 0;
	}
}

static void make_wake_up(const struct source *s, uint64_t first, uint64_t count)
{
	uint64_t made_ns = clock_mono().ns;

	for (uint64_t i = first; i < first + count; i++)
		messages.times[i].made_ns = messages.times[i].committed_ns = made_ns;
	if (write(s->fd, &count, sizeof(count)) != sizeof(count))
		rig_fail("eventfd", errno);
}

static void *source_main(void *arg)
{
	const struct source *s = arg;
	uint64_t allocated_before;

	prctl(PR_SET_NAME, "source");
	prctl(PR_SET_TIMERSLACK, 1ul);
	thread_pin(0);
	allocated_before = thread_allocated_bytes();
	for (uint64_t next = 0; next < messages.count;) {
		uint64_t now_ns, count = 0;

		wait_due(messages.times[next].due_ns);
		now_ns = clock_mono().ns;
		while (count < TURN_MAX && next + count < messages.count &&
		       messages.times[next + count].due_ns <= now_ns)
			count++;
		if (count == 0)
			continue;
		switch (s->way) {
		case WAY_NODE:
		case WAY_NODE_BUSY:
		case WAY_BROKER_NODE: make_in_node(s, next, count); break;
		case WAY_PLAIN:
		case WAY_BROKER_PLAIN: make_plain(s, next, count); break;
		case WAY_WAKE: make_wake_up(s, next, count); break;
		case WAY_COUNT: UNREACHABLE();
		}
		next += count;
	}
	allocated_bytes += thread_allocated_bytes() - allocated_before;
	return NULL;
}

static void run_source(const struct source *s)
{
	uint64_t seen = 0;
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, source_main, (void *)(uintptr_t)s);

	if (rc != 0)
		rig_fail("thread", rc);
	pthread_join(thread, NULL);
	for (uint32_t ms = 0; ms < SETTLE_MS && seen < messages.count; ms++) {
		uint64_t now_seen = atomic_load(messages.seen);

		ms = now_seen > seen ? 0 : ms;
		seen = now_seen;
		rig_pause_s(0.001);
	}
}

/* --- receivers ------------------------------------------------------------------------------------------------------ */

struct server {
	int listen_fd;
	uint16_t port;
	pthread_t thread;
};

static void *server_main(void *arg)
{
	struct server *s = arg;
	int fd;

	prctl(PR_SET_NAME, "receiver");
	thread_pin(0);
	fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		messages_receive(&messages, fd);
		close(fd);
	}
	return NULL;
}

static void server_start(struct server *s)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t address_bytes = sizeof(address);
	int rc;

	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(s->listen_fd, 1) < 0 ||
	    getsockname(s->listen_fd, (struct sockaddr *)&address, &address_bytes) < 0)
		rig_fail("receiver", errno);
	s->port = ntohs(address.sin_port);
	rc = pthread_create(&s->thread, NULL, server_main, s);
	if (rc != 0)
		rig_fail("thread", rc);
}

static void server_stop(struct server *s)
{
	shutdown(s->listen_fd, SHUT_RDWR);
	pthread_join(s->thread, NULL); /* the sender has closed */
	close(s->listen_fd);
}

static void *sleeper_main(void *arg)
{
	const struct source *s = arg;
	uint64_t next = 0;

	prctl(PR_SET_NAME, "sleeper");
	thread_pin(1);
	while (next < messages.count) {
		uint64_t count, arrived_ns;

		if (read(s->fd, &count, sizeof(count)) != sizeof(count))
			return NULL;
		for (arrived_ns = clock_mono().ns; count > 0; count--, next++)
			messages.times[next].wire_ns = messages.times[next].arrived_ns = arrived_ns;
		atomic_store(messages.seen, next);
	}
	return NULL;
}

/* The broker, and its subscriber in a process of its own. */
struct broker {
	uint16_t port;
	pid_t pid, subscriber_pid;
};

static void subscriber_start(struct broker *b)
{
	atomic_store(messages.subscribed, 0);
	b->subscriber_pid = fork(); /* no other thread runs */
	if (b->subscriber_pid < 0)
		rig_fail("fork", errno);
	if (b->subscriber_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		messages_subscribe(&messages, b->port);
		_exit(0);
	}
	for (uint32_t ms = 0; atomic_load(messages.subscribed) == 0; ms++) {
		if (ms == 3000 || child_has_ended(b->subscriber_pid))
			rig_fail("the subscriber has no broker", ETIMEDOUT);
		rig_pause_s(0.001);
	}
}

static void broker_open(struct broker *b)
{
	char path[] = "/tmp/bench_latency.XXXXXX";
	int fd = mkstemp(path);

	b->port = child_free_port();
	if (fd < 0 ||
	    dprintf(fd,
		    "listener %u 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n"
		    "max_queued_messages 0\nset_tcp_nodelay true\n",
		    b->port) < 0)
		rig_fail(path, errno);
	(void)fchmod(fd, 0644);
	close(fd);
	b->pid = child_start((const char *[]){"mosquitto", "-c", path, NULL}, -1);
	subscriber_start(b); /* as soon as it listens, it has read the file */
	child_end(b->subscriber_pid);
	unlink(path);
}

/* --- runs ----------------------------------------------------------------------------------------------------------- */

static void config_of(const struct options *o, bool busy, uint16_t port, char *out, size_t size_bytes)
{
	rig_text(out, size_bytes, 0,
		 "node: bench\nsamplers: [{name: source}]\n"
		 "publishers: [{name: publisher, cpu: 1%s%s}]\n"
		 "targets: [{name: sink, protocol: \"3.1.1\", urls: [\"mqtt://127.0.0.1:%u\"],"
		 " buffer: {messages: 100000}}]\n"
		 "lines: [{name: m1, synthetic: {tags: %u}}]\n"
		 "definitions: [{name: all, target: sink, tags: [\"m1.*\"], topic: \"{device}/{tag}\","
		 " payload: text}]\n",
		 o->publisher_keys, busy ? ", busy_poll: 50us" : "", port, TAGS);
}

static bool has_busy_poll(const struct options *o)
{
	struct cfg_errors errors = {0};
	char config[1024];
	struct cfg *c;

	config_of(o, true, 1, config, sizeof(config));
	if (config_parse("bench.yaml", bytes_of(config, strlen(config)), &c, &errors) != 0)
		return false;
	config_free(c);
	return true;
}

static void plan(const struct options *o, uint32_t rate_idx)
{
	double seconds = rates[rate_idx].seconds * o->scale;
	uint64_t count = (uint64_t)(seconds * (double)rates[rate_idx].per_s);

	messages_plan(&messages, min_u64(count, MESSAGES_MAX), mono_add(clock_mono(), BEGIN_NS),
		      1e9 / (double)rates[rate_idx].per_s);
}

static void run_node(const struct options *o, uint32_t rate_idx, enum way way, uint16_t port)
{
	struct source source = {.way = way};
	char config[1024];
	struct rig rig;

	config_of(o, way == WAY_NODE_BUSY, port, config, sizeof(config));
	rig_open(&rig, config, RIG_OWN_SOURCE);
	rig_wait_connected(&rig);
	source.rig = &rig;
	plan(o, rate_idx);
	run_source(&source);
	allocated_bytes += rig_allocated_bytes(&rig);
	rig_close(&rig);
}

static void run_plain(const struct options *o, uint32_t rate_idx, enum way way, uint16_t port)
{
	static const uint8_t hello[] = {
		MQTT_CONNECT << 4, 17, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 5, 'p', 'l', 'a', 'i', 'n'};
	struct source source = {.way = way};
	const struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	uint8_t connack[4];

	source.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (source.fd < 0 || connect(source.fd, (const struct sockaddr *)&peer, sizeof(peer)) < 0 ||
	    send(source.fd, hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello) ||
	    recv(source.fd, connack, sizeof(connack), MSG_WAITALL) != sizeof(connack))
		rig_fail("connect", errno);
	(void)setsockopt(source.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	plan(o, rate_idx);
	run_source(&source);
	close(source.fd);
}

static void run_wake_up(const struct options *o, uint32_t rate_idx)
{
	struct source source = {.way = WAY_WAKE, .fd = eventfd(0, EFD_CLOEXEC)};
	pthread_t sleeper;
	int rc;

	if (source.fd < 0)
		rig_fail("eventfd", errno);
	plan(o, rate_idx);
	rc = pthread_create(&sleeper, NULL, sleeper_main, &source);
	if (rc != 0)
		rig_fail("thread", rc);
	run_source(&source);
	pthread_join(sleeper, NULL);
	close(source.fd);
}

static void keep(uint32_t rate_idx, enum way way)
{
	struct cell *c = &cells[rate_idx][way];

	c->measured = true;
	for (uint32_t span = 0; span < SPAN_COUNT; span++) {
		double of[MESSAGES_QUANTILES];

		messages_quantiles_of(&messages, (enum messages_span)span, scratch, of);
		for (uint32_t i = 0; i < MESSAGES_QUANTILES; i++)
			if (of[i] >= 0)
				series_add(&c->of[span][i], of[i]);
	}
	series_add(&c->missing, (double)(messages.count - atomic_load(messages.seen)));
	if (atomic_load(messages.strange))
		rig_fail("a message came twice or out of order", EPROTO);
}

static void run(const struct options *o, uint32_t rate_idx, enum way way, struct broker *b)
{
	struct server server;

	switch (way) {
	case WAY_NODE:
	case WAY_NODE_BUSY:
	case WAY_PLAIN:
		server_start(&server);
		if (way == WAY_PLAIN)
			run_plain(o, rate_idx, way, server.port);
		else
			run_node(o, rate_idx, way, server.port);
		server_stop(&server);
		break;
	case WAY_WAKE: run_wake_up(o, rate_idx); break;
	case WAY_BROKER_NODE:
	case WAY_BROKER_PLAIN:
		subscriber_start(b);
		if (way == WAY_BROKER_PLAIN)
			run_plain(o, rate_idx, way, b->port);
		else
			run_node(o, rate_idx, way, b->port);
		child_end(b->subscriber_pid);
		break;
	case WAY_COUNT: UNREACHABLE();
	}
	keep(rate_idx, way);
}

/* --- report --------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *label, *key;
} spans[SPAN_COUNT] = {
	[SPAN_DUE_WIRE] = {"due -> wire", "due_wire"},
	[SPAN_DUE_ARRIVED] = {"due -> received", "due_received"},
	[SPAN_DUE_MADE] = {"  due -> source runs", "due_runs"},
	[SPAN_MADE_COMMITTED] = {"  runs -> committed", "runs_committed"},
	[SPAN_COMMITTED_WIRE] = {"  committed -> wire", "committed_wire"},
	[SPAN_COMMITTED_ARRIVED] = {"  committed -> received", "committed_received"},
};

/* A wake-up has no wire; between broker and subscriber the stamp is of the broker's sending. */
static bool is_shown(enum way way, enum messages_span span)
{
	if (way == WAY_WAKE)
		return span == SPAN_DUE_MADE || span == SPAN_COMMITTED_ARRIVED;
	if (way == WAY_BROKER_NODE || way == WAY_BROKER_PLAIN)
		return span == SPAN_DUE_ARRIVED || span == SPAN_COMMITTED_ARRIVED;
	return true;
}

static void print_cell(uint32_t rate_idx, enum way way)
{
	const struct cell *c = &cells[rate_idx][way];

	for (uint32_t span = 0; span < SPAN_COUNT; span++) {
		if (!is_shown(way, (enum messages_span)span))
			continue;
		printf("%-13s %-24s", way_names[way], spans[span].label);
		for (uint32_t i = 0; i < MESSAGES_QUANTILES; i++)
			if (c->of[span][i].count)
				printf(" %9.1f", series_median(&c->of[span][i]));
			else
				printf(" %9s", "-");
		printf("\n");
	}
	if (series_max(&c->missing) > 0)
		printf("%-13s %.0f (%.0f - %.0f) messages did not arrive\n", way_names[way],
		       series_median(&c->missing), series_min(&c->missing), series_max(&c->missing));
}

static void append_json(const struct options *o, const struct machine *m, uint32_t rate_idx, enum way way)
{
	static const char *const quantile_keys[MESSAGES_QUANTILES] = {"p50",  "p90",   "p99",
								      "p999", "p9999", "max"};
	const struct cell *c = &cells[rate_idx][way];
	struct report_figure figures[SPAN_COUNT * MESSAGES_QUANTILES + 1];
	char keys[SPAN_COUNT * MESSAGES_QUANTILES][40], name[80];
	uint32_t count = 0;

	for (uint32_t span = 0; span < SPAN_COUNT; span++)
		for (uint32_t i = 0; i < MESSAGES_QUANTILES; i++) {
			if (!is_shown(way, (enum messages_span)span))
				continue;
			snprintf(keys[count], sizeof(keys[0]), "%s_%s_us", spans[span].key, quantile_keys[i]);
			figures[count] = (struct report_figure){keys[count], &c->of[span][i]};
			count++;
		}
	figures[count++] = (struct report_figure){"missing", &c->missing};
	snprintf(name, sizeof(name), "way=%s rate=%llu%s", way_names[way],
		 (unsigned long long)rates[rate_idx].per_s, o->publisher_keys);
	report_append(o->json_path, m, "latency", name, figures, count);
}

static void print_report(const struct options *o, const struct machine *m)
{
	machine_print(m);
	printf("latency: open loop, %u rounds, median of the rounds, microseconds; -: too few messages%s\n",
	       o->rounds, o->publisher_keys);
	for (uint32_t i = 0; i < RATES; i++) {
		printf("\n%llu messages/s, %.0f a round\n%-38s %9s %9s %9s %9s %9s %9s\n",
		       (unsigned long long)rates[i].per_s,
		       rates[i].seconds * o->scale * (double)rates[i].per_s, "", "p50", "p90", "p99", "p99.9",
		       "p99.99", "max");
		for (uint32_t way = 0; way < WAY_COUNT; way++) {
			if (!cells[i][way].measured)
				continue;
			print_cell(i, (enum way)way);
			append_json(o, m, i, (enum way)way);
		}
	}
}

static NORETURN void usage(void)
{
	fprintf(stderr, "usage: bench_latency [--rounds N] [--scale FACTOR] [--publisher 'KEY: VALUE, ...'] "
			"[--json FILE]\n--scale: of the lengths of the runs\n");
	exit(2);
}

static struct options options_of(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"scale", required_argument, NULL, 's'},
		{"publisher", required_argument, NULL, 'p'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	static char keys[200];
	struct options o = {.rounds = 3, .scale = 1, .publisher_keys = ""};
	int key;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': o.rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': o.scale = strtod(optarg, NULL); break;
		case 'p':
			snprintf(keys, sizeof(keys), ", %s", optarg);
			o.publisher_keys = keys;
			break;
		case 'j': o.json_path = optarg; break;
		default: usage();
		}
	}
	if (optind != argc || o.rounds < 1 || o.rounds > SERIES_MAX || o.scale <= 0)
		usage();
	return o;
}

int main(int argc, char **argv)
{
	struct options o = options_of(argc, argv);
	bool busy = has_busy_poll(&o);
	struct machine machine;
	struct broker broker;
	uint64_t count_max = 0;

	machine_read(&machine);
	for (uint32_t i = 0; i < RATES; i++)
		count_max = max_u64(count_max,
				    (uint64_t)(rates[i].seconds * o.scale * (double)rates[i].per_s));
	count_max = min_u64(count_max, MESSAGES_MAX) + 1;
	messages_open(&messages, count_max);
	scratch = malloc(count_max * sizeof(scratch[0]));
	if (!scratch)
		rig_fail("memory", ENOMEM);
	broker_open(&broker);
	for (uint32_t round = 0; round < o.rounds; round++)
		for (uint32_t i = 0; i < RATES; i++)
			for (uint32_t way = 0; way < WAY_COUNT; way++) {
				if ((way == WAY_NODE_BUSY && !busy) ||
				    (way == WAY_WAKE && rates[i].per_s > WAKE_RATE) ||
				    (way >= WAY_BROKER_NODE && rates[i].per_s > BROKER_RATE))
					continue;
				run(&o, i, (enum way)way, &broker);
			}
	child_end(broker.pid);
	print_report(&o, &machine);
	printf("\n");
	report_allocations(allocated_bytes);
	free(scratch);
	messages_close(&messages);
	return allocated_bytes == 0 ? 0 : 1;
}
