/* A plant to talk to: Modbus slaves with moving values, on TCP and on pseudo-terminals.
 *
 * libmodbus builds the answers (modbus_reply on a mapping); finding requests in the stream is done here, since its own
 * receive waits in select(), which ends at descriptor 1023. Requests that modbus_reply would sleep half a second over
 * are answered with their exception before they get there.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "core/address.h"
#include "core/clock.h"
#include "proto/modbus_rtu.h"
#include "proto/modbus_tcp.h"

#define PEERS_MAX     4096u
#define TABLE_COUNT   1000
#define TICK_NS       (100 * NS_PER_MS)
#define COMMAND_BYTES 256u

enum peer_kind { PEER_LISTENER, PEER_CLIENT, PEER_SERIAL, PEER_COMMANDS, PEER_SIGNALS };

struct peer {
	enum peer_kind kind;
	int fd;
	struct modbus_tcp_parser tcp;               /* PEER_CLIENT */
	uint8_t buffer[MODBUS_RTU_FRAME_BYTES_MAX]; /* PEER_SERIAL, PEER_COMMANDS */
	size_t filled_bytes;
	struct mono last_byte;
	const char *link_path;
};

static struct {
	struct peer *peers[PEERS_MAX];
	struct pollfd polls[PEERS_MAX];
	uint32_t peer_count;
	bool answers[256]; /* units there are */
	bool paused[256];
	bool frozen, stdin_ends, stop;
	int baud;
	modbus_t *tcp, *rtu;
	modbus_mapping_t *map;
	uint64_t tick_count;
	uint16_t walk;
} plant;

static const char usage[] =
	"usage: plantsim [--tcp [ADDR:]PORT]... [--rtu LINK]... [--units 1,2,3] [--baud N]\n"
	"                [--freeze] [--stdin] [--duration SECONDS]\n"
	"Modbus slaves with moving values. Port 0 chooses one; prints `tcp ADDR:PORT` or `rtu LINK` for "
	"each, then `ready`.\n"
	"  --freeze   values stand still       --stdin   stop at the end of standard input\n"
	"All units show the same map, 1000 entries a table, the rest is illegal (exception 02):\n"
	"  input:0      int16, sine, +-10000, 10 s        input:1      uint16, ramp 0..999\n"
	"  input:2      uint32 ABCD, counter              input:4      uint16, random walk\n"
	"  input:10     float32 ABCD, sine +-100          input:12     the same in CDAB\n"
	"  input:52     float32 CDAB, power in W          input:100..  moving: address + ticks\n"
	"  holding:0..  setpoints, writable               holding:100  alarm bits: bit n changes every 2^n "
	"ticks\n"
	"  discrete:n   changes every n + 1 ticks         coil:0..     writable\n"
	"Ten ticks a second. Commands on standard input, answered with `ok ...` or `error ...`:\n"
	"  set TABLE ADDRESS VALUE | get TABLE ADDRESS | pause UNIT | resume UNIT | stop\n";

static void fatal(const char *what)
{
	fprintf(stderr, "plantsim: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---------------------------------------------------------------------------------------------- values */

static void put_float(uint16_t address, float f, bool words_swapped)
{
	uint32_t raw;

	memcpy(&raw, &f, sizeof(raw));
	plant.map->tab_input_registers[address + (words_swapped ? 1 : 0)] = (uint16_t)(raw >> 16);
	plant.map->tab_input_registers[address + (words_swapped ? 0 : 1)] = (uint16_t)raw;
}

static void move_values(void)
{
	uint64_t n = plant.tick_count++;
	uint16_t *input = plant.map->tab_input_registers;
	double sine = sin((double)n * 2 * M_PI / 100);

	input[0] = (uint16_t)(int16_t)lrint(sine * 10000);
	input[1] = (uint16_t)(n % 1000);
	input[2] = (uint16_t)(n >> 16);
	input[3] = (uint16_t)n;
	plant.walk = (uint16_t)(plant.walk + random() % 11 - 5);
	input[4] = plant.walk;
	put_float(10, (float)(sine * 100), false);
	put_float(12, (float)(sine * 100), true);
	put_float(52, (float)(5000 + sine * 2500), true);
	for (int i = 100; i < TABLE_COUNT; i++)
		input[i] = (uint16_t)((uint64_t)i + n);
	plant.map->tab_registers[100] = (uint16_t)n;
	for (uint64_t i = 0; i < TABLE_COUNT; i++)
		plant.map->tab_input_bits[i] = n / (i + 1) % 2;
}

/* ---------------------------------------------------------------------------------------------- peers */

static struct peer *add_peer(enum peer_kind kind, int fd)
{
	struct peer *p;

	if (plant.peer_count == PEERS_MAX) {
		close(fd);
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		fatal("memory");
	p->kind = kind;
	p->fd = fd;
	plant.polls[plant.peer_count] = (struct pollfd){.fd = fd, .events = POLLIN};
	plant.peers[plant.peer_count++] = p;
	return p;
}

static void remove_peer(uint32_t idx)
{
	close(plant.peers[idx]->fd);
	if (plant.peers[idx]->link_path)
		unlink(plant.peers[idx]->link_path);
	free(plant.peers[idx]);
	plant.peer_count--;
	plant.peers[idx] = plant.peers[plant.peer_count];
	plant.polls[idx] = plant.polls[plant.peer_count];
}

static void open_tcp(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size_bytes = sizeof(address);
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN] = "127.0.0.1", *end;
	unsigned long port = strtoul(colon ? colon + 1 : text, &end, 10);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (colon)
		snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (*end || port > 65535 || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "plantsim: --tcp %s: an IPv4 address and a port are expected\n", text);
		exit(2);
	}
	address.sin_port = htons((uint16_t)port);
	if (fd < 0)
		fatal("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size_bytes) < 0)
		fatal(text);
	printf("tcp %s:%u\n", host, ntohs(address.sin_port));
	add_peer(PEER_LISTENER, fd);
}

static void open_rtu(const char *link_path)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), slave_fd;
	struct termios t;
	struct peer *p;
	char name[64];

	if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, name, sizeof(name)) != 0)
		fatal("pseudo-terminal");
	/* Kept open, so that the master side does not hang up while nobody is on the line. */
	slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave_fd < 0 || tcgetattr(slave_fd, &t) < 0)
		fatal(name);
	cfmakeraw(&t);
	if (tcsetattr(slave_fd, TCSANOW, &t) < 0)
		fatal(name);
	if (unlink(link_path) < 0 && errno != ENOENT)
		fatal(link_path);
	if (symlink(name, link_path) < 0)
		fatal(link_path);
	p = add_peer(PEER_SERIAL, fd);
	if (p)
		p->link_path = link_path;
	printf("rtu %s\n", link_path);
}

/* ---------------------------------------------------------------------------------------------- requests */

/* The frame is as it came, header and CRC included. */
static void answer(modbus_t *ctx, const struct peer *p, uint8_t unit, struct bytes pdu, struct bytes frame)
{
	struct modbus_request request;
	int exception = modbus_request_decode(pdu, &request);

	if (!plant.answers[unit] || plant.paused[unit])
		return;
	modbus_set_socket(ctx, p->fd);
	/* A peer that is gone is noticed when its descriptor is read. */
	if (exception)
		(void)modbus_reply_exception(ctx, frame.ptr, (unsigned int)exception);
	else
		(void)modbus_reply(ctx, frame.ptr, (int)frame.size, plant.map);
}

/* False: the connection is to be closed. */
static bool on_client(struct peer *p)
{
	uint8_t chunk[4096];
	ssize_t n = recv(p->fd, chunk, sizeof(chunk), 0);
	struct bytes input = bytes_of(chunk, n > 0 ? (size_t)n : 0);
	struct modbus_tcp_frame f;
	int rc;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	while ((rc = modbus_tcp_feed(&p->tcp, &input, &f)) > 0)
		answer(plant.tcp, p, f.unit, f.pdu,
		       bytes_of(p->tcp.buffer, MODBUS_TCP_HEADER_BYTES + f.pdu.size));
	return rc == 0;
}

/* The length of the request that begins like this: 0 if more is needed, -EPROTO if none does. */
static int request_frame_bytes(const uint8_t *b, size_t filled_bytes)
{
	if (filled_bytes < 2)
		return 0;
	switch (b[1]) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES:
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT:
	case MODBUS_WRITE_COIL:
	case MODBUS_WRITE_REGISTER: return 8;
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS: return filled_bytes < 7 ? 0 : 9 + b[6];
	case MODBUS_MASK_REGISTER: return 10;
	case MODBUS_READ_WRITE_REGISTERS: return filled_bytes < 11 ? 0 : 13 + b[10];
	default: return -EPROTO;
	}
}

/* Silence ends whatever was begun: 20 ms, since a pseudo-terminal has no bit times. */
static void on_serial(struct peer *p, struct mono now)
{
	uint8_t chunk[512];
	ssize_t n = read(p->fd, chunk, sizeof(chunk));

	if (mono_since(now, p->last_byte) > 20 * NS_PER_MS)
		p->filled_bytes = 0;
	p->last_byte = now;
	for (ssize_t i = 0; i < n; i++) {
		int frame_bytes;

		if (p->filled_bytes == sizeof(p->buffer))
			return; /* garbage, until the silence */
		p->buffer[p->filled_bytes++] = chunk[i];
		frame_bytes = request_frame_bytes(p->buffer, p->filled_bytes);
		if (frame_bytes < 0 || frame_bytes > (int)sizeof(p->buffer)) {
			p->filled_bytes = sizeof(p->buffer);
			return;
		}
		if (frame_bytes == 0 || p->filled_bytes < (size_t)frame_bytes)
			continue;
		if (modbus_crc16(bytes_of(p->buffer, p->filled_bytes)) == 0 && p->buffer[0] != 0)
			answer(plant.rtu, p, p->buffer[0],
			       bytes_of(p->buffer + 1, p->filled_bytes - MODBUS_RTU_OVERHEAD_BYTES),
			       bytes_of(p->buffer, p->filled_bytes));
		p->filled_bytes = 0;
	}
}

static void on_listener(const struct peer *p)
{
	int fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	if (fd < 0)
		return;
	/* Without it answers wait for acknowledgements; if it fails they are slow, not wrong. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	add_peer(PEER_CLIENT, fd);
}

/* ---------------------------------------------------------------------------------------------- commands */

/* get and set; true if done and *value holds what is there now. */
static bool table_access(const char *table, unsigned int address, bool write, unsigned int *value)
{
	uint8_t *bits = NULL;
	uint16_t *registers = NULL;

	if (address >= TABLE_COUNT)
		return false;
	if (!strcmp(table, "coil"))
		bits = &plant.map->tab_bits[address];
	else if (!strcmp(table, "discrete"))
		bits = &plant.map->tab_input_bits[address];
	else if (!strcmp(table, "input"))
		registers = &plant.map->tab_input_registers[address];
	else if (!strcmp(table, "holding"))
		registers = &plant.map->tab_registers[address];
	else
		return false;
	if (bits) {
		*bits = write ? *value != 0 : *bits;
		*value = *bits;
	}
	if (registers) {
		*registers = write ? (uint16_t)*value : *registers;
		*value = *registers;
	}
	return true;
}

static void on_command(const char *line)
{
	char table[16];
	unsigned int a, v;

	if (sscanf(line, "set %15s %u %u", table, &a, &v) == 3 && v <= 65535 &&
	    table_access(table, a, true, &v)) {
		printf("ok %s %u %u\n", table, a, v);
	} else if (sscanf(line, "get %15s %u", table, &a) == 2 && table_access(table, a, false, &v)) {
		printf("ok %s %u %u\n", table, a, v);
	} else if (sscanf(line, "pause %u", &a) == 1 && a < 256) {
		plant.paused[a] = true;
		printf("ok pause %u\n", a);
	} else if (sscanf(line, "resume %u", &a) == 1 && a < 256) {
		plant.paused[a] = false;
		printf("ok resume %u\n", a);
	} else if (!strcmp(line, "stop")) {
		plant.stop = true;
		printf("ok stop\n");
	} else {
		printf("error %s\n", line);
	}
	fflush(stdout);
}

/* False: the end of the input. */
static bool on_commands(struct peer *p)
{
	char chunk[256];
	ssize_t n = read(p->fd, chunk, sizeof(chunk));

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] != '\n') {
			if (p->filled_bytes < COMMAND_BYTES - 1)
				p->buffer[p->filled_bytes++] = (uint8_t)chunk[i];
			continue;
		}
		p->buffer[p->filled_bytes] = 0;
		p->filled_bytes = 0;
		on_command((const char *)p->buffer);
	}
	return true;
}

/* ---------------------------------------------------------------------------------------------- the loop */

static void serve(uint32_t idx, struct mono now)
{
	struct peer *p = plant.peers[idx];
	bool keep = true;

	switch (p->kind) {
	case PEER_LISTENER: on_listener(p); break;
	case PEER_CLIENT: keep = on_client(p); break;
	case PEER_SERIAL: on_serial(p, now); break;
	case PEER_SIGNALS: plant.stop = true; break;
	case PEER_COMMANDS:
		keep = on_commands(p);
		plant.stop |= !keep && plant.stdin_ends;
		break;
	}
	if (!keep)
		remove_peer(idx);
}

static void run(uint64_t duration_ns)
{
	struct mono start = clock_mono(), next_tick = start;

	while (!plant.stop) {
		struct mono now = clock_mono();
		int timeout_ms;

		if (duration_ns && mono_since(now, start) >= duration_ns)
			return;
		if (mono_reached(now, next_tick)) {
			next_tick = mono_add(next_tick, TICK_NS);
			if (!plant.frozen)
				move_values();
		}
		timeout_ms = (int)(mono_since(next_tick, now) / NS_PER_MS) + 1;
		if (poll(plant.polls, plant.peer_count, timeout_ms) < 0 && errno != EINTR)
			fatal("poll");
		now = clock_mono();
		/* Downwards: a removed peer is replaced by one that was served already. */
		for (uint32_t i = plant.peer_count; i-- > 0;)
			if (plant.polls[i].revents)
				serve(i, now);
	}
}

static void set_units(const char *list)
{
	for (const char *at = list; *at;) {
		char *end;
		unsigned long unit = strtoul(at, &end, 10);

		if (end == at || unit > 255 || (*end && *end != ',')) {
			fprintf(stderr, "plantsim: --units %s: numbers 0 to 255 with commas are expected\n",
				list);
			exit(2);
		}
		plant.answers[unit] = true;
		at = *end ? end + 1 : end;
	}
}

static void parse_options(int argc, char **argv, uint64_t *duration_ns)
{
	static const struct option options[] = {
		{"tcp", required_argument, NULL, 't'},
		{"rtu", required_argument, NULL, 'r'},
		{"units", required_argument, NULL, 'u'},
		{"baud", required_argument, NULL, 'b'},
		{"freeze", no_argument, NULL, 'f'},
		{"stdin", no_argument, NULL, 's'},
		{"duration", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool units_given = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 't': open_tcp(optarg); break;
		case 'r': open_rtu(optarg); break;
		case 'u':
			set_units(optarg);
			units_given = true;
			break;
		case 'b': plant.baud = atoi(optarg); break;
		case 'f': plant.frozen = true; break;
		case 's': plant.stdin_ends = true; break;
		case 'd': *duration_ns = (uint64_t)(strtod(optarg, NULL) * NS_PER_S); break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
	if (!units_given)
		set_units("1,2,3");
}

int main(int argc, char **argv)
{
	uint64_t duration_ns = 0;
	sigset_t signals;

	plant.baud = 19200;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTIN, SIG_IGN); /* in the background a terminal reads as its end */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	add_peer(PEER_SIGNALS, signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
	parse_options(argc, argv, &duration_ns);
	plant.tcp = modbus_new_tcp("127.0.0.1", 0);
	plant.rtu = modbus_new_rtu("/dev/null", plant.baud, 'N', 8, 1);
	plant.map = modbus_mapping_new(TABLE_COUNT, TABLE_COUNT, TABLE_COUNT, TABLE_COUNT);
	if (!plant.tcp || !plant.rtu || !plant.map)
		fatal("libmodbus");
	move_values(); /* frozen values are not all zero */
	add_peer(PEER_COMMANDS, STDIN_FILENO);
	printf("ready\n");
	fflush(stdout);
	run(duration_ns);
	while (plant.peer_count)
		remove_peer(plant.peer_count - 1);
	modbus_mapping_free(plant.map);
	modbus_free(plant.tcp);
	modbus_free(plant.rtu);
	return 0;
}
