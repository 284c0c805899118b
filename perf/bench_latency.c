/* How long a message takes, at rates that do not give way: sample to wire, to a receiver, to a subscriber of a broker.
 *
 *   node       the source's thread does a sampler's work at each due time (value -> definition -> ring -> bell), the node's
 *              publisher sends; also with `busy_poll`, where the configuration knows it, or with --publisher KEYS
 *   plain      the source's thread sends the same packets itself: what the wire and the receiver take
 *   wake-up    the source's thread writes to an eventfd on which a thread of the other CPU sleeps: what no handing over to a
 *              sleeping thread can be faster than
 *   wake-send  that thread then sends the packets: what no publisher that sleeps can be faster than
 *   poll-send  the same, but it never sleeps: what no publisher can be faster than
 *
 * Due times are computed beforehand, and a message's time counts from when it was due, also where the source was late or
 * behind: waiting is not left out. `wire` is the kernel's time stamp of the bytes in the receiver's socket, on the sender's
 * CPU, before the receiver wakes; of several messages in one receive all have the last one's. CPU 0: source and receiver,
 * CPU 1: publisher; the broker and its subscriber (a process) where the kernel puts them. QoS 0. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "perf/child.h"
#include "perf/machine.h"
#include "perf/open_loop.h"
#include "perf/report.h"

#define BEGIN_NS (20 * NS_PER_MS)

static const char *const way_names[WAY_COUNT] = {
	"node", "node-busy", "plain", "wake-up", "wake-send", "poll-send", "broker-node", "broker-plain",
};

static const struct {
	uint64_t per_s;
	double seconds;
} rates[] = {{100, 0.7}, {1000, 0.4}, {50000, 0.5}, {500000, 0.2}};

#define RATES        (sizeof(rates) / sizeof(rates[0]))
#define WAKE_RATE    50000 /* a wake-up alone takes longer than a message at higher rates */
#define BROKER_RATE  50000
#define MESSAGES_MAX 4000000u

struct options {
	uint32_t rounds;
	double scale;
	uint64_t rate_per_s;        /* only this one; 0: all */
	const char *publisher_keys; /* "" or ", key: value" */
	const char *json_path;
};

struct cell {
	struct series of[SPAN_COUNT][MESSAGES_QUANTILES];
	struct series missing;
	double p50_us; /* committed -> wire, of a wake-up committed -> received, in this round */
	bool measured;
};

/* What a node cannot be faster than. */
static const struct {
	enum way way, limit;
} limits[] = {{WAY_NODE, WAY_WAKE_SEND}, {WAY_NODE_BUSY, WAY_POLL_SEND}, {WAY_NODE, WAY_WAKE}};

static struct cell cells[RATES][WAY_COUNT];
static struct series of_limit[RATES][ARRAY_COUNT(limits)]; /* of p50_us, within a round */
static struct messages messages;
static uint64_t *scratch;
static uint64_t allocated_bytes;

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

static char broker_config[PATH_MAX];

static void broker_config_remove(void)
{
	unlink(broker_config);
}

static void broker_open(struct broker *b)
{
	const char *folder = getenv("TMPDIR");
	int fd;

	if (snprintf(broker_config, sizeof(broker_config), "%s/bench_latency.XXXXXX",
		     folder ? folder : "/tmp") >= (int)sizeof(broker_config))
		rig_fail(folder, ENAMETOOLONG);
	fd = mkstemp(broker_config);
	if (fd < 0)
		rig_fail(broker_config, errno);
	child_at_end(broker_config_remove);
	b->port = child_free_port();
	if (dprintf(fd,
		    "listener %u 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n"
		    "max_queued_messages 0\nset_tcp_nodelay true\n",
		    b->port) < 0)
		rig_fail(broker_config, errno);
	(void)fchmod(fd, 0644);
	close(fd);
	b->pid = child_start((const char *[]){"mosquitto", "-c", broker_config, NULL}, -1);
	subscriber_start(b); /* as soon as it listens, it has read the file */
	child_end(b->subscriber_pid);
	broker_config_remove();
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
		 o->publisher_keys, busy ? ", busy_poll: 50us" : "", port, OPEN_LOOP_TAGS);
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
	struct open_loop loop = {.way = way, .messages = &messages};
	char config[1024];
	struct rig rig;

	config_of(o, way == WAY_NODE_BUSY, port, config, sizeof(config));
	rig_open(&rig, config, RIG_OWN_SOURCE);
	rig_wait_connected(&rig);
	loop.node = &rig.node;
	plan(o, rate_idx);
	open_loop_run(&loop);
	allocated_bytes += loop.allocated_bytes;
	allocated_bytes += rig_allocated_bytes(&rig);
	rig_close(&rig);
}

/* A connection without a node. */
static int connection_open(uint16_t port)
{
	static const uint8_t hello[] = {
		MQTT_CONNECT << 4, 17, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 5, 'p', 'l', 'a', 'i', 'n'};
	const struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t connack[4];

	if (fd < 0 || connect(fd, (const struct sockaddr *)&peer, sizeof(peer)) < 0 ||
	    send(fd, hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello) ||
	    recv(fd, connack, sizeof(connack), MSG_WAITALL) != sizeof(connack))
		rig_fail("connect", errno);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return fd;
}

static void run_plain(const struct options *o, uint32_t rate_idx, enum way way, uint16_t port)
{
	struct open_loop loop = {.way = way, .messages = &messages, .fd = connection_open(port)};

	plan(o, rate_idx);
	open_loop_run(&loop);
	close(loop.fd);
}

/* The limits. port 0: nothing is sent. */
static void run_limit(const struct options *o, uint32_t rate_idx, enum way way, uint16_t port)
{
	struct open_loop loop = {.way = way, .messages = &messages, .bell_fd = eventfd(0, EFD_CLOEXEC)};

	if (loop.bell_fd < 0)
		rig_fail("eventfd", errno);
	if (port)
		loop.fd = connection_open(port);
	plan(o, rate_idx);
	open_loop_run(&loop);
	if (port)
		close(loop.fd);
	close(loop.bell_fd);
}

static void keep(uint32_t rate_idx, enum way way)
{
	struct cell *c = &cells[rate_idx][way];
	double of_wire[MESSAGES_QUANTILES];

	c->measured = true;
	for (uint32_t span = 0; span < SPAN_COUNT; span++) {
		double of[MESSAGES_QUANTILES];

		messages_quantiles_of(&messages, (enum messages_span)span, scratch, of);
		for (uint32_t i = 0; i < MESSAGES_QUANTILES; i++)
			if (of[i] >= 0)
				series_add(&c->of[span][i], of[i]);
	}
	messages_quantiles_of(&messages, way == WAY_WAKE ? SPAN_COMMITTED_ARRIVED : SPAN_COMMITTED_WIRE,
			      scratch, of_wire);
	c->p50_us = of_wire[0];
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
	case WAY_WAKE_SEND:
	case WAY_POLL_SEND:
		server_start(&server);
		if (way == WAY_PLAIN)
			run_plain(o, rate_idx, way, server.port);
		else if (way == WAY_WAKE_SEND || way == WAY_POLL_SEND)
			run_limit(o, rate_idx, way, server.port);
		else
			run_node(o, rate_idx, way, server.port);
		server_stop(&server);
		break;
	case WAY_WAKE: run_limit(o, rate_idx, way, 0); break;
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

static void keep_ratios(uint32_t rate_idx)
{
	for (uint32_t i = 0; i < ARRAY_COUNT(limits); i++) {
		const struct cell *way = &cells[rate_idx][limits[i].way],
				  *limit = &cells[rate_idx][limits[i].limit];

		if (way->measured && limit->measured && way->p50_us > 0 && limit->p50_us > 0)
			series_add(&of_limit[rate_idx][i], way->p50_us / limit->p50_us);
	}
}

static void print_ratios(const struct options *o, const struct machine *m, uint32_t rate_idx)
{
	for (uint32_t i = 0; i < ARRAY_COUNT(limits); i++) {
		const struct series *s = &of_limit[rate_idx][i];
		const struct report_figure figure = {"ratio", s};
		char name[80];

		if (s->count == 0)
			continue;
		printf("%-13s committed -> wire, p50: %.2f (%.2f - %.2f) times that of %s in the same "
		       "round\n",
		       way_names[limits[i].way], series_median(s), series_min(s), series_max(s),
		       way_names[limits[i].limit]);
		snprintf(name, sizeof(name), "way=%s limit=%s rate=%llu%s", way_names[limits[i].way],
			 way_names[limits[i].limit], (unsigned long long)rates[rate_idx].per_s,
			 o->publisher_keys);
		report_append(o->json_path, m, "latency", name, &figure, 1);
	}
}

static void print_report(const struct options *o, const struct machine *m)
{
	machine_print(m);
	printf("latency: open loop, %u rounds, median of the rounds, microseconds; -: too few messages%s\n",
	       o->rounds, o->publisher_keys);
	for (uint32_t i = 0; i < RATES; i++) {
		if (!cells[i][WAY_NODE].measured)
			continue;
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
		print_ratios(o, m, i);
	}
}

static NORETURN void usage(void)
{
	fprintf(stderr, "usage: bench_latency [--rounds N] [--scale FACTOR] [--rate PER_S] [--publisher "
			"'KEY: VALUE, ...'] "
			"[--json FILE]\n--scale: of the lengths of the runs\n");
	exit(2);
}

static struct options options_of(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'}, {"scale", required_argument, NULL, 's'},
		{"rate", required_argument, NULL, 'R'},   {"publisher", required_argument, NULL, 'p'},
		{"json", required_argument, NULL, 'j'},   {NULL, 0, NULL, 0},
	};
	static char keys[200];
	struct options o = {.rounds = 7, .scale = 1, .publisher_keys = ""};
	int key;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': o.rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': o.scale = strtod(optarg, NULL); break;
		case 'R': o.rate_per_s = strtoull(optarg, NULL, 10); break;
		case 'p':
			snprintf(keys, sizeof(keys), ", %s", optarg);
			o.publisher_keys = keys;
			break;
		case 'j': o.json_path = optarg; break;
		default: usage();
		}
	}
	if (optind != argc || o.rounds < 1 || o.rounds > SERIES_MAX || !(o.scale > 0))
		usage();
	return o;
}

static bool is_wanted(const struct options *o, uint32_t rate_idx, enum way way)
{
	uint64_t per_s = rates[rate_idx].per_s;

	if (o->rate_per_s && per_s != o->rate_per_s)
		return false;
	switch (way) {
	case WAY_WAKE:
	case WAY_WAKE_SEND: return per_s <= WAKE_RATE;
	case WAY_BROKER_NODE:
	case WAY_BROKER_PLAIN: return per_s == 100 || per_s == BROKER_RATE;
	case WAY_NODE:
	case WAY_NODE_BUSY:
	case WAY_PLAIN:
	case WAY_POLL_SEND:
	case WAY_COUNT: break;
	}
	return true;
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
		for (uint32_t i = 0; i < RATES; i++) {
			for (uint32_t way = 0; way < WAY_COUNT; way++)
				if (is_wanted(&o, i, (enum way)way) && (way != WAY_NODE_BUSY || busy))
					run(&o, i, (enum way)way, &broker);
			keep_ratios(i);
		}
	child_end(broker.pid);
	print_report(&o, &machine);
	printf("\n");
	report_allocations(allocated_bytes);
	free(scratch);
	messages_close(&messages);
	return allocated_bytes == 0 ? 0 : 1;
}
