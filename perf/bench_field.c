/* Modbus TCP reads of 1 to 1000 devices, by the real ringmaind and by libmodbus from the same slave, turn by turn.
 *
 *   ringmain    ringmaind with a line a device; each read is 10 registers that become 10 tags
 *   libmodbus   perf/peer_libmodbus.c: a context a device, one thread, one after the other; it keeps no values
 *   plain       a loop of epoll, recv and send of prepared requests, one under way a device: what the kernel alone costs
 *   slave       the same with 16 under way a device, sent as one: what the slave can answer. Full speed only, as plain
 *
 * full:   every device is due again at once, as far as `every: 1ms` goes; what is not done in time is skipped
 * paced:  5000 reads a second in all, spread over the devices: what a read costs where there is time
 *
 * One request under way a device. CPU 0: the slave, CPU 1: whoever asks. CPU time is that of the whole process. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/child.h"
#include "perf/daemon.h"
#include "perf/machine.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "perf/slave.h"

#define CONFIG_BYTES  (4u << 20)
#define BEGIN_MAX_S   20
#define WARM_UP_S     0.3
#define REGISTERS     10u
#define BLOCK         20u /* registers from the beginning of one read to that of the next: they do not merge */
#define REQUEST_BYTES 12u
#define WINDOW_MAX    16u
#define EVENTS_MAX    256
#define ANSWERS_BYTES 8192
#define ANSWER_BYTES  (9u + 2 * REGISTERS)
#define DEVICES_MAX   1000u

enum who { RINGMAIN, LIBMODBUS, PLAIN, SLAVE, WHO_COUNT };
enum figure { FIG_RATE, FIG_CPU_NS, FIG_SLAVE_BUSY, FIG_RATE_RATIO, FIG_CPU_RATIO, FIG_COUNT };

static const char *const who_names[WHO_COUNT] = {"ringmain", "libmodbus", "plain", "slave"};
static const char *const keys[FIG_COUNT] = {"reads_per_s", "cpu_ns", "slave_busy", "rate_of_ringmain",
					    "cpu_of_ringmain"};

static const struct plan {
	const char *pace;
	uint32_t devices, reads, every_ms; /* reads: of a device each turn */
	bool is_full;
} plans[] = {
	{"full", 1, 100, 1, true},    {"full", 10, 20, 1, true},      {"full", 100, 5, 1, true},
	{"full", 1000, 1, 1, true},   {"paced", 1, 5, 1, false},      {"paced", 10, 5, 10, false},
	{"paced", 100, 1, 20, false}, {"paced", 1000, 1, 200, false},
};

#define PLANS (sizeof(plans) / sizeof(plans[0]))

struct result {
	double rate, cpu_ns, slave_busy;
};

static struct series series[PLANS][WHO_COUNT][FIG_COUNT];
static uint64_t allocated_bytes;
static char *config;

static void write_config(const struct plan *p, uint16_t port)
{
	size_t at = rig_text(config, CONFIG_BYTES, 0, "node: bench\nlines:\n");

	for (uint32_t i = 0; i < p->devices; i++)
		at = rig_text(config, CONFIG_BYTES, at,
			      "  - {name: l%u, modbus_tcp: {address: \"127.0.0.1:%u\"}}\n", i, port);
	at = rig_text(config, CONFIG_BYTES, at, "devices:\n");
	for (uint32_t i = 0; i < p->devices; i++) {
		at = rig_text(config, CONFIG_BYTES, at,
			      "  - name: d%u\n    line: l%u\n    every: %ums\n    tags:\n", i, i,
			      p->every_ms);
		for (uint32_t tag = 0; tag < p->reads * REGISTERS; tag++)
			at = rig_text(config, CONFIG_BYTES, at,
				      "      - {name: v%u, address: \"holding:%u\", type: uint16}\n", tag,
				      tag / REGISTERS * BLOCK + tag % REGISTERS);
	}
}

/* --- the loop of prepared requests ---------------------------------------------------------------------------------------- */

static int plain_connect(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		rig_fail("connect", errno);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return fd;
}

static void plain_send(int fd, const uint8_t *requests, uint32_t window)
{
	size_t bytes = (size_t)window * REQUEST_BYTES;

	if (send(fd, requests, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		rig_fail("send", errno);
}

/* A device is asked again when all answers of its window are there. */
static NORETURN void plain_main(uint16_t port, uint32_t devices, uint32_t window)
{
	static const uint8_t request[REQUEST_BYTES] = {0, 0, 0, 0, 0, 6, 1, 3, 0, 0, 0, REGISTERS};
	static size_t missing_bytes[DEVICES_MAX];
	static int fds[DEVICES_MAX];
	uint8_t requests[REQUEST_BYTES * WINDOW_MAX], answers[ANSWERS_BYTES];
	struct epoll_event events[EVENTS_MAX];
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	thread_pin(1);
	for (uint32_t i = 0; i < window; i++)
		memcpy(requests + (size_t)i * REQUEST_BYTES, request, REQUEST_BYTES);
	for (uint32_t i = 0; i < devices; i++) {
		fds[i] = plain_connect(port);
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i],
			      &(struct epoll_event){.events = EPOLLIN, .data.u32 = i}) < 0)
			rig_fail("epoll", errno);
		missing_bytes[i] = (size_t)window * ANSWER_BYTES;
		plain_send(fds[i], requests, window);
	}
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int k = 0; k < n; k++) {
			uint32_t i = events[k].data.u32;
			ssize_t got = recv(fds[i], answers, sizeof(answers), 0);

			if (got <= 0 || (size_t)got > missing_bytes[i])
				rig_fail("the slave's answer", got < 0 ? errno : EPROTO);
			missing_bytes[i] -= (size_t)got;
			if (missing_bytes[i] > 0)
				continue;
			missing_bytes[i] = (size_t)window * ANSWER_BYTES;
			plain_send(fds[i], requests, window);
		}
	}
}

static pid_t plain_start(uint16_t port, uint32_t devices, uint32_t window)
{
	pid_t pid = fork();

	if (pid < 0)
		rig_fail("fork", errno);
	if (pid == 0)
		plain_main(port, devices, window);
	return pid;
}

/* --- measuring ---------------------------------------------------------------------------------------------------------- */

static struct result watch(pid_t pid, const char *name, const struct plan *p, const struct slave *slave,
			   double seconds)
{
	struct mono at[2];
	uint64_t reads[2], cpu_ns[2], slave_ns[2], before = slave_reads(slave);
	double took_s, count;

	for (uint32_t ms = 0; slave_reads(slave) - before < p->devices; ms++) {
		if (ms == BEGIN_MAX_S * 1000 || child_has_ended(pid))
			rig_fail(name, ETIMEDOUT);
		rig_pause_s(0.001);
	}
	rig_pause_s(WARM_UP_S);
	for (int i = 0; i < 2; i++) {
		at[i] = clock_mono();
		reads[i] = slave_reads(slave);
		cpu_ns[i] = child_cpu_ns(pid);
		slave_ns[i] = slave_cpu_ns(slave);
		if (i == 0)
			rig_pause_s(seconds);
		/* Where others have both CPUs, nothing may happen in that time: longer, then. */
		for (uint32_t k = 0; i == 0 && slave_reads(slave) == reads[0] && k < BEGIN_MAX_S; k++)
			rig_pause_s(1);
	}
	took_s = (double)mono_since(at[1], at[0]) / 1e9;
	count = (double)(reads[1] - reads[0]);
	if (child_has_ended(pid))
		rig_fail(name, ECHILD);
	if (count == 0)
		rig_fail(name, ETIMEDOUT);
	return (struct result){.rate = count / took_s,
			       .cpu_ns = (double)(cpu_ns[1] - cpu_ns[0]) / count,
			       .slave_busy = (double)(slave_ns[1] - slave_ns[0]) / 1e9 / took_s};
}

static struct result run_ringmain(const struct plan *p, const struct slave *slave, double seconds)
{
	struct daemon daemon;
	struct result r;

	write_config(p, slave->port);
	daemon_prepare(&daemon, config);
	daemon_start(&daemon, 1);
	daemon_wait_metric(&daemon, "line_connected", p->devices, BEGIN_MAX_S);
	r = watch(daemon.pid, "ringmaind", p, slave, seconds);
	allocated_bytes += daemon_allocated_bytes(&daemon);
	daemon_stop(&daemon);
	return r;
}

static struct result run_libmodbus(const struct plan *p, const struct slave *slave, double seconds)
{
	char port[8], devices[12], reads[12], registers[12], every_us[16];
	struct result r;
	pid_t pid;

	snprintf(port, sizeof(port), "%u", slave->port);
	snprintf(devices, sizeof(devices), "%u", p->devices);
	snprintf(reads, sizeof(reads), "%u", p->reads);
	snprintf(registers, sizeof(registers), "%u", REGISTERS);
	snprintf(every_us, sizeof(every_us), "%u", p->is_full ? 0 : p->every_ms * 1000);
	pid = child_start(
		(const char *[]){"./peer_libmodbus", port, devices, reads, registers, every_us, NULL}, 1);
	r = watch(pid, "peer_libmodbus", p, slave, seconds);
	child_end(pid);
	return r;
}

static struct result run(enum who who, const struct plan *p, const struct slave *slave, double seconds)
{
	struct result r;
	pid_t pid;

	switch (who) {
	case RINGMAIN: return run_ringmain(p, slave, seconds);
	case LIBMODBUS: return run_libmodbus(p, slave, seconds);
	case PLAIN:
	case SLAVE:
		pid = plain_start(slave->port, p->devices, who == SLAVE ? WINDOW_MAX : 1);
		r = watch(pid, who_names[who], p, slave, seconds);
		child_end(pid);
		return r;
	case WHO_COUNT: break;
	}
	UNREACHABLE();
}

static void run_round(uint32_t round, uint32_t plan, const struct slave *slave, double seconds)
{
	const struct plan *p = &plans[plan];
	uint32_t count = p->is_full ? WHO_COUNT : PLAIN; /* those that know no pace are left out */
	struct result results[WHO_COUNT];

	for (uint32_t i = 0; i < count; i++) {
		enum who who = (enum who)((round + i) % count); /* another one begins each time */

		results[who] = run(who, p, slave, seconds);
		rig_pause_s(0.02); /* the slave sees the connections end */
	}
	for (uint32_t who = 0; who < count; who++) {
		const struct result *r = &results[who];
		struct series *of = series[plan][who];

		series_add(&of[FIG_RATE], r->rate);
		series_add(&of[FIG_CPU_NS], r->cpu_ns);
		series_add(&of[FIG_SLAVE_BUSY], r->slave_busy);
		series_add(&of[FIG_RATE_RATIO], r->rate / results[RINGMAIN].rate);
		series_add(&of[FIG_CPU_RATIO], r->cpu_ns / results[RINGMAIN].cpu_ns);
	}
}

/* --- report ------------------------------------------------------------------------------------------------------------- */

static void print_report(uint32_t rounds, double seconds)
{
	printf("field: Modbus TCP, reads of %u registers, %u rounds of %g s, medians, in brackets the "
	       "spread; "
	       "of ringmain's: within a round\n",
	       REGISTERS, rounds, seconds);
	printf("%-6s %7s %-10s %10s %-21s %9s %-17s %10s %10s %10s\n", "", "devices", "", "reads/s", "",
	       "CPU ns", "", "slave busy", "rate", "CPU");
	for (uint32_t i = 0; i < PLANS; i++)
		for (uint32_t who = 0; who < WHO_COUNT; who++) {
			const struct series *of = series[i][who];

			if (of[FIG_RATE].count == 0)
				continue;
			printf("%-6s %7u %-10s %10.0f (%8.0f - %8.0f) %9.0f (%6.0f - %6.0f) %9.0f %% %10.2f "
			       "%10.2f\n",
			       plans[i].pace, plans[i].devices, who_names[who], series_median(&of[FIG_RATE]),
			       series_min(&of[FIG_RATE]), series_max(&of[FIG_RATE]),
			       series_median(&of[FIG_CPU_NS]), series_min(&of[FIG_CPU_NS]),
			       series_max(&of[FIG_CPU_NS]), 100 * series_median(&of[FIG_SLAVE_BUSY]),
			       series_median(&of[FIG_RATE_RATIO]), series_median(&of[FIG_CPU_RATIO]));
		}
}

static void append_json(const char *path, const struct machine *m)
{
	for (uint32_t i = 0; i < PLANS; i++) {
		struct report_figure figures[WHO_COUNT * FIG_COUNT];
		char names[WHO_COUNT * FIG_COUNT][48], name[48];
		uint32_t count = 0;

		for (uint32_t who = 0; who < WHO_COUNT; who++)
			for (uint32_t f = 0; f < FIG_COUNT; f++) {
				snprintf(names[count], sizeof(names[0]), "%s_%s", who_names[who], keys[f]);
				figures[count] = (struct report_figure){names[count], &series[i][who][f]};
				count++;
			}
		snprintf(name, sizeof(name), "%s devices=%u", plans[i].pace, plans[i].devices);
		report_append(path, m, "field", name, figures, count);
	}
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"case", required_argument, NULL, 'c'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	const char *json_path = NULL;
	uint32_t rounds = 3, only = 0;
	double seconds = 0.3;
	struct machine machine;
	struct slave slave;
	int key;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': seconds = strtod(optarg, NULL); break;
		case 'c': only = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'j': json_path = optarg; break;
		default: rounds = 0; break;
		}
	}
	if (optind != argc || rounds < 1 || rounds > SERIES_MAX || !(seconds > 0) || only > PLANS) {
		fprintf(stderr, "usage: bench_field [--rounds N] [--seconds S] [--case N] [--json FILE]\n"
				"--case: that plan alone, 1 to 4 full, 5 to 8 paced\n");
		return 2;
	}
	machine_read(&machine);
	config = malloc(CONFIG_BYTES);
	if (!config)
		rig_fail("memory", ENOMEM);
	slave_open(&slave, 0);
	for (uint32_t round = 0; round < rounds; round++)
		for (uint32_t i = 0; i < PLANS; i++)
			if (only == 0 || only == i + 1)
				run_round(round, i, &slave, seconds);
	machine_print(&machine);
	print_report(rounds, seconds);
	printf("requests that were no read: %llu\n", (unsigned long long)slave_strange(&slave));
	report_allocations(allocated_bytes);
	append_json(json_path, &machine);
	slave_close(&slave);
	free(config);
	return allocated_bytes == 0 ? 0 : 1;
}
