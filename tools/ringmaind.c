/* ringmaind: the daemon. Reads the configuration, builds the node, runs it, and is the control thread. */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/map_guard.h"
#include "io/control.h"
#include "tools/node.h"
#include "tools/node_memory.h"
#include "tools/rpc.h"
#include "tools/version.h"

#define EXIT_OTHER  1
#define EXIT_CONFIG 2

/* How long a log line may wait: the first one longer, so that a daemon at rest sleeps; while there are more, they must not fill
 * the rings that they wait in. */
#define CONTROL_TURN_NS (50 * NS_PER_MS)
#define CONTROL_REST_NS (250 * NS_PER_MS)

/* For jemalloc, which reads it before main(). What is configured does not come from it (core/memory.h); what the control thread
 * asks for comes and goes, and the resident size is to stay what --check says: one arena, no caches, pages given back at once. */
const char *malloc_conf = "narenas:1,tcache:false,retain:false,dirty_decay_ms:0,muzzy_decay_ms:0";

struct options {
	const char *config;
	const char *control;
	const char *state_dir;
	bool check;
	bool print_schema;
	enum log_level level;
};

static const char usage[] =
	"usage: ringmaind -c FILE [--check] [--state-dir DIR] [--control PATH] [--log-level LEVEL]\n"
	"       ringmaind --print-schema | --version | --help\n"
	"\n"
	"  -c, --config FILE     the configuration\n"
	"      --check           check it, print the memory it takes, and exit\n"
	"      --control PATH    control socket (default /run/ringmain/control.sock)\n"
	"      --state-dir DIR   where files of the daemon live (default /var/lib/ringmain)\n"
	"      --log-level L     error, warn, info (default) or debug\n"
	"      --print-schema    every key of the configuration, with type, range and default\n"
	"\n"
	"exit: 0 after SIGTERM or SIGINT, 2 for a bad configuration, 1 otherwise\n";

/* 0: go on; otherwise the exit code + 1. */
static int options_parse(int argc, char **argv, struct options *o)
{
	enum { CHECK = 256, CONTROL, STATE_DIR, LOG_LEVEL, PRINT_SCHEMA, VERSION, HELP };
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, CHECK},
		{"control", required_argument, NULL, CONTROL},
		{"state-dir", required_argument, NULL, STATE_DIR},
		{"log-level", required_argument, NULL, LOG_LEVEL},
		{"print-schema", no_argument, NULL, PRINT_SCHEMA},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int c;

	*o = (struct options){.control = "/run/ringmain/control.sock",
			      .state_dir = "/var/lib/ringmain",
			      .level = LOG_LEVEL_INFO};
	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		switch (c) {
		case 'c': o->config = optarg; break;
		case CHECK: o->check = true; break;
		case CONTROL: o->control = optarg; break;
		case STATE_DIR: o->state_dir = optarg; break;
		case LOG_LEVEL:
			if (log_level_parse(optarg, &o->level) < 0) {
				fprintf(stderr,
					"ringmaind: --log-level %s: write error, warn, info or debug\n",
					optarg);
				return EXIT_OTHER + 1;
			}
			break;
		case PRINT_SCHEMA: o->print_schema = true; break;
		case VERSION: puts("ringmaind " RINGMAIN_VERSION); return 1;
		case 'h':
		case HELP: fputs(usage, stdout); return 1;
		default: fputs(usage, stderr); return EXIT_OTHER + 1;
		}
	}
	if (!o->print_schema && (!o->config || optind != argc)) {
		fputs(usage, stderr);
		return EXIT_OTHER + 1;
	}
	return 0;
}

/* --- configuration ---------------------------------------------------------------------------------------------------- */

static struct cfg *load(const char *path)
{
	struct cfg_errors errors = {0};
	struct cfg *c = NULL;
	int rc = config_load(path, &c, &errors);

	for (uint32_t i = 0; i < errors.count; i++)
		fprintf(stderr, "%s\n", errors.lines[i]);
	if (errors.total > errors.count)
		fprintf(stderr, "%s: and %u more\n", path, errors.total - errors.count);
	if (rc < 0 && errors.total == 0)
		fprintf(stderr, "%s: %s\n", path, strerror(-rc));
	config_errors_free(&errors);
	return rc < 0 ? NULL : c;
}

static void print_row(const char *what, uint64_t bytes, const char *why)
{
	printf("  %-13s %14llu bytes  %s\n", what, (unsigned long long)bytes, why);
}

static int check(const struct cfg *c, const char *path)
{
	struct node_budget b;
	const uint64_t *parts = b.counts.part_bytes;
	int rc = node_budget(c, &b);

	if (rc < 0) {
		fprintf(stderr, "ringmaind: %s\n", strerror(-rc));
		return EXIT_OTHER;
	}
	uint64_t total = node_budget_total(&b);
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	printf("%s: ok\n", path);
	printf("  %u samplers, %u publishers, %u targets, %u lines, %u devices, %u tags, %u definitions\n",
	       c->sampler_count, c->publisher_count, c->target_count, c->line_count, c->device_count,
	       c->tag_count, c->definition_count);
	printf("memory, taken at start and kept; as many bytes are resident:\n");
	print_row("rings", parts[MEMORY_RINGS], "messages that wait to be sent, and those on their way");
	print_row("targets", parts[MEMORY_TARGETS], "connections, sessions, batches, what comes in");
	print_row("lines", parts[MEMORY_LINES], "requests, plans, buffers");
	print_row("definitions", parts[MEMORY_DEFINITIONS], "topics, what was sent last");
	print_row("tags", parts[MEMORY_TAGS], "latest values and names");
	print_row("queues", parts[MEMORY_LOOPS], "io_uring's, of samplers and publishers");
	print_row("trace", parts[MEMORY_TRACE], "the flight recorders");
	print_row("node", parts[MEMORY_NODE], "what holds these together");
	print_row("threads", b.threads, "stacks and log rings of samplers, publishers, sync");
	print_row("control", b.control, "the control thread's stack, log ring, queue, lines of its clients");
	print_row("configuration", b.configuration, "this file, read");
	print_row("program", b.program, "with its libraries");
	print_row("allocator", b.allocator, "at most: its books, and what comes and goes");
	print_row("total", total, "");
	if (total > machine)
		fprintf(stderr,
			"%s: warning: that is more than the %llu bytes of this machine; lower "
			"buffer.messages\n",
			path, (unsigned long long)machine);
	return 0;
}

/* --- running ------------------------------------------------------------------------------------------------------------ */

static struct loop *signal_loop;
static _Atomic int signal_seen;

static void on_signal(int number)
{
	atomic_store_explicit(&signal_seen, number, memory_order_relaxed);
	if (signal_loop)
		loop_wake(signal_loop);
}

static void on_stop_request(void *context UNUSED)
{
	atomic_store_explicit(&signal_seen, SIGTERM, memory_order_relaxed);
}

static void signals_install(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGHUP, &action, NULL); /* a terminal that closes is no reason to stop sampling */
}

/* A connection is a descriptor: as many as we are allowed. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* without it the first line over the limit says so */
	}
}

static void on_assert(void)
{
	log_dump(STDERR_FILENO);
}

/* The folder of the control socket; its parent must exist. */
static void make_folder_of(const char *path)
{
	char copy[512];

	snprintf(copy, sizeof(copy), "%s", path);
	/* The socket would only say that there is no such folder. */
	if (mkdir(dirname(copy), 0755) < 0 && errno != EEXIST)
		LOG_WARN("daemon", "control=%s reason=\"cannot make its folder: %s\"", path, strerror(errno));
}

/* Only sessions that a server keeps, and rings in files, need it. NULL: it cannot be had, and they end with this process. */
static const char *state_dir_make(const struct options *o, const struct cfg *c)
{
	bool is_needed = false;

	for (uint32_t i = 0; i < c->target_count; i++)
		is_needed |= !c->targets[i].clean_start || c->targets[i].buffer_path;
	if (!is_needed)
		return access(o->state_dir, W_OK) == 0 ? o->state_dir : NULL;
	if (mkdir(o->state_dir, 0750) == 0 || (errno == EEXIST && access(o->state_dir, W_OK) == 0))
		return o->state_dir;
	LOG_WARN("daemon",
		 "state_dir=%s reason=\"%s: sessions of targets with clean_start: false, and rings "
		 "with a path, end with this process; "
		 "make the folder, or name another with --state-dir\"",
		 o->state_dir, strerror(errno));
	return NULL;
}

/* 0 after a signal or a stop request; otherwise something gave way. */
static int run(struct node *n, struct control *control, struct loop *loop)
{
	while (!atomic_load_explicit(&signal_seen, memory_order_relaxed) && !node_failed(n)) {
		struct mono now = clock_mono();
		uint64_t turn_ns;

		control_tick(control, now);
		node_tick(n, now);
		turn_ns = log_drain(STDERR_FILENO) > 0 ? CONTROL_TURN_NS : CONTROL_REST_NS;
		if (loop_run(loop, mono_min(control_deadline(control), mono_add(now, turn_ns))) < 0)
			return EXIT_OTHER;
	}
	return node_failed(n) ? EXIT_OTHER : 0;
}

/* A predecessor that was killed may take a moment to let go of its memory, and so of its socket. */
#define CONTROL_ATTEMPTS 20

static int control_open_soon(struct control **control, struct loop *loop, const char *path,
			     struct rpc_context *rpc)
{
	const struct timespec pause = {.tv_nsec = 100 * NS_PER_MS};
	int rc;

	for (int i = 0; i < CONTROL_ATTEMPTS; i++) {
		rc = control_open(control, loop, path, 0660, rpc_methods(), rpc_method_count(), rpc);
		if (rc != -EADDRINUSE)
			return rc;
		nanosleep(&pause, NULL);
	}
	return rc;
}

/* The same for its session and ring files. */
static int node_open_soon(struct node *n, const struct cfg *c, const char *base_dir, const char *state_dir,
			  uint64_t seed, const char **why)
{
	const struct timespec pause = {.tv_nsec = 100 * NS_PER_MS};
	int rc = -EBUSY;

	for (int i = 0; i < CONTROL_ATTEMPTS && rc == -EBUSY; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		rc = node_open(n, c, base_dir, state_dir, seed, why);
	}
	return rc;
}

static int serve(const struct options *o, const struct cfg *c)
{
	const struct loop_limits limits = {.operation_count = NODE_CONTROL_OPERATIONS};
	struct rpc_context rpc = {.stop = on_stop_request, .started = clock_mono()};
	struct control *control = NULL;
	struct loop *loop = NULL;
	struct node_budget budget;
	struct node node;
	char config_path[512];
	const char *why = "not enough memory";
	uint64_t seed = 0;
	int rc, code = EXIT_OTHER;

	snprintf(config_path, sizeof(config_path), "%s", o->config);
	if (getrandom(&seed, sizeof(seed), 0) < 0)
		seed = clock_mono().ns;
	rc = map_guard_install();
	if (rc == 0)
		rc = node_budget(c, &budget);
	if (rc == 0)
		rc = memory_open(budget.counts.block_bytes);
	if (rc == 0)
		rc = node_open_soon(&node, c, dirname(config_path), state_dir_make(o, c), seed, &why);
	if (rc < 0) {
		LOG_ERROR("daemon", "state=failed reason=\"%s: %s\"", why, strerror(-rc));
		memory_close();
		return code;
	}
	rc = loop_open(&loop, &limits);
	if (rc < 0) {
		LOG_ERROR("daemon", "state=failed reason=\"%s\"", loop_open_hint(rc));
		goto out;
	}
	signal_loop = loop;
	signals_install();
	descriptors_raise();
	make_folder_of(o->control);
	rpc.node = &node;
	rc = control_open_soon(&control, loop, o->control, &rpc);
	if (rc < 0) {
		LOG_ERROR("daemon", "state=failed control=%s reason=\"%s%s\"", o->control, strerror(-rc),
			  rc == -EADDRINUSE ? ": another ringmaind is running with this socket" : "");
		goto out;
	}
	node_populate(&node);
	rc = node_start(&node, &why);
	if (rc < 0) {
		LOG_ERROR("daemon", "state=failed reason=\"%s: %s\"", why, strerror(-rc));
		goto out;
	}
	node_lock();
	LOG_INFO("daemon", "ready version=%s node=%s targets=%u lines=%u tags=%u", RINGMAIN_VERSION,
		 cfg_text(c, c->node), c->target_count, c->line_count, c->tag_count);
	code = run(&node, control, loop);
	LOG_INFO("daemon", "state=stopping");
	control_flush(control,
		      mono_add(clock_mono(), 100 * NS_PER_MS)); /* whoever asked for the stop hears of it */
	node_stop(&node);
	LOG_INFO("daemon", "state=stopped");
out:
	if (control)
		control_close(control);
	signal_loop = NULL;
	if (loop)
		loop_close(loop);
	node_close(&node);
	memory_close();
	return code;
}

int main(int argc, char **argv)
{
	struct options o;
	struct cfg *c;
	int code = options_parse(argc, argv, &o);

	if (code)
		return code - 1;
	if (o.print_schema)
		return config_print_schema(STDOUT_FILENO) < 0 ? EXIT_OTHER : 0;
	log_set_level(o.level);
	assert_set_hook(on_assert);
	c = load(o.config);
	if (!c)
		return EXIT_CONFIG;
	if (o.check) {
		code = check(c, o.config);
	} else {
		if (log_thread_open("control") < 0)
			fprintf(stderr, "ringmaind: no memory for the log\n");
		code = serve(&o, c);
		log_thread_close();
		log_drain(STDERR_FILENO);
	}
	config_free(c);
	return code;
}
