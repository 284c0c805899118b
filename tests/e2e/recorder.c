/* recorder - an MQTT server, 5 and 3.1.1, that writes down what it receives, for tests that kill it or its client.
 *
 * A broker that is killed forgets what it has acknowledged, so what comes out of it proves nothing about the one who
 * published. This one keeps a ledger in a mapped file, which survives a SIGKILL, and nothing else: one record a packet,
 * written before the answer, is the only step there is. What it has to remember - which QoS 2 identifiers are open - it
 * reads from the ledger when it starts. `--report` reads the same ledger and says what is missing, and what came twice.
 *
 * It keeps each session for ever, accepts any client, and serves PUBLISH, PUBREL, PINGREQ, DISCONNECT and no subscriber.
 * A payload is a number with three places, as the synthetic source makes it: the message's number in its topic, in thousandths.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TOPICS_MAX      256u
#define SESSIONS_MAX    8u
#define NAME_BYTES      64u
#define RECORDS_MAX     (16u << 20)
#define SEQUENCE_MAX    (4u << 20)
#define CONNECTIONS_MAX 8u
#define ALIAS_MAX       16u
#define INPUT_BYTES     65536u

enum kind { KIND_START = 1, KIND_CONNECT, KIND_PUBLISH, KIND_PUBREL, KIND_VIOLATION };
enum { FLAG_DUP = 1, FLAG_CLEAN = 2 };

struct record {
	uint32_t sequence;
	uint16_t id;
	uint8_t kind, qos, flags;
	uint8_t session, topic;
	uint8_t unused[5];
};
_Static_assert(sizeof(struct record) == 16, "the file's layout");

/* Names count once their number is stored, records too: a kill in between leaves what was there before. */
struct ledger {
	_Atomic uint32_t record_count;
	_Atomic uint32_t topic_count, session_count;
	char topics[TOPICS_MAX][NAME_BYTES], sessions[SESSIONS_MAX][NAME_BYTES];
	struct record records[RECORDS_MAX];
};

struct connection {
	int fd;
	bool is_open, is_connected;
	uint8_t version, session;
	int aliases[ALIAS_MAX + 1]; /* topic index, -1: none */
	uint8_t input[INPUT_BYTES];
	size_t input_bytes;
	uint8_t answers[INPUT_BYTES]; /* to one input: none is longer than what it answers */
	size_t answers_bytes;
};

static struct ledger *ledger;
static struct connection connections[CONNECTIONS_MAX];
/* Of a session: the record of the open QoS 2 PUBLISH, plus one; 0: none. */
static uint32_t open_ids[SESSIONS_MAX][65536];
static long hold_ms; /* before answers go out: so long, and there is much without one */

static void die(const char *what)
{
	fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ------------------------------------------------------------------------------------------------ the ledger */

static void ledger_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(struct ledger)) < 0)
		die(path);
	ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ledger == MAP_FAILED)
		die("memory");
	close(fd);
}

static void ledger_append(struct record r)
{
	uint32_t n = atomic_load(&ledger->record_count);

	if (n == RECORDS_MAX) {
		errno = ENOSPC;
		die("the ledger");
	}
	ledger->records[n] = r;
	atomic_store(&ledger->record_count, n + 1);
}

/* The index of the name; it is added where it is new. -1: too long, or too many. */
static int name_index(char names[][NAME_BYTES], uint32_t max, _Atomic uint32_t *count, const uint8_t *name,
		      size_t bytes)
{
	uint32_t n = atomic_load(count);

	if (bytes == 0 || bytes >= NAME_BYTES)
		return -1;
	for (uint32_t i = 0; i < n; i++)
		if (strlen(names[i]) == bytes && memcmp(names[i], name, bytes) == 0)
			return (int)i;
	if (n == max)
		return -1;
	memset(names[n], 0, NAME_BYTES);
	memcpy(names[n], name, bytes);
	atomic_store(count, n + 1);
	return (int)n;
}

/* What record `n` does to the open identifiers. True: a PUBLISH that is a delivery, not one sent again. */
static bool apply(uint32_t n)
{
	const struct record *r = &ledger->records[n];
	uint32_t *ids = open_ids[r->session];

	if (r->kind == KIND_CONNECT && (r->flags & FLAG_CLEAN))
		memset(ids, 0, sizeof *open_ids);
	if (r->kind == KIND_PUBREL)
		ids[r->id] = 0;
	if (r->kind != KIND_PUBLISH)
		return false;
	if (r->qos != 2)
		return true;
	if (ids[r->id] != 0)
		return false;
	ids[r->id] = n + 1;
	return true;
}

static void record(struct record r)
{
	ledger_append(r);
	apply(atomic_load(&ledger->record_count) - 1);
}

/* ------------------------------------------------------------------------------------------------ the server */

static void hang_up(struct connection *c)
{
	close(c->fd);
	c->is_open = false;
}

static bool violation(const struct connection *c, const char *what)
{
	fprintf(stderr, "recorder: violation: %s\n", what);
	record((struct record){.kind = KIND_VIOLATION, .session = c->session});
	return false;
}

static void answer(struct connection *c, const uint8_t *bytes, size_t count)
{
	memcpy(c->answers + c->answers_bytes, bytes, count);
	c->answers_bytes += count;
}

static void send_answers(struct connection *c)
{
	if (send(c->fd, c->answers, c->answers_bytes, MSG_NOSIGNAL) != (ssize_t)c->answers_bytes)
		hang_up(c);
	c->answers_bytes = 0;
}

static void acknowledge(struct connection *c, uint8_t type, uint16_t id)
{
	const uint8_t bytes[] = {type, 2, (uint8_t)(id >> 8), (uint8_t)id};

	answer(c, bytes, sizeof bytes);
}

/* A part of a packet that has not been looked at. */
struct rest {
	const uint8_t *at;
	size_t bytes;
	bool is_short; /* something was taken that is not there */
};

static const uint8_t *take(struct rest *r, size_t bytes)
{
	static const uint8_t nothing[4];
	const uint8_t *at = r->at;

	if (bytes > r->bytes) {
		r->is_short = true;
		return nothing;
	}
	r->at += bytes;
	r->bytes -= bytes;
	return at;
}

static uint16_t take_u16(struct rest *r)
{
	const uint8_t *p = take(r, 2);

	return (uint16_t)(p[0] << 8 | p[1]);
}

static struct rest take_rest(struct rest *r, size_t bytes)
{
	const uint8_t *at = take(r, bytes);

	return (struct rest){.at = at, .bytes = r->is_short ? 0 : bytes};
}

static uint32_t take_varint(struct rest *r)
{
	uint32_t value = 0;

	for (unsigned int shift = 0; shift < 28; shift += 7) {
		uint8_t byte = take(r, 1)[0];

		value |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	r->is_short = true;
	return 0;
}

static bool on_connect(struct connection *c, struct rest r)
{
	struct rest name = take_rest(&r, take_u16(&r));
	uint8_t version = take(&r, 1)[0], flags = take(&r, 1)[0];

	take_u16(&r); /* keep-alive: who is silent is no matter here */
	if (r.is_short || c->is_connected || name.bytes != 4 || memcmp(name.at, "MQTT", 4) != 0 ||
	    (version != 4 && version != 5) || (flags & 1))
		return violation(c, "CONNECT");
	if (version == 5)
		take_rest(&r, take_varint(&r));
	struct rest id = take_rest(&r, take_u16(&r));
	uint32_t known = atomic_load(&ledger->session_count);
	int session = r.is_short ? -1
				 : name_index(ledger->sessions, SESSIONS_MAX, &ledger->session_count, id.at,
					      id.bytes);
	bool is_clean = flags & 2;

	if (session < 0)
		return violation(c, "client identifier");
	for (struct connection *other = connections; other < connections + CONNECTIONS_MAX; other++)
		if (other->is_open && other != c && other->is_connected && other->session == session)
			hang_up(other);
	c->is_connected = true;
	c->version = version;
	c->session = (uint8_t)session;
	record((struct record){
		.kind = KIND_CONNECT, .session = c->session, .flags = is_clean ? FLAG_CLEAN : 0});

	uint8_t present = !is_clean && (uint32_t)session < known;
	const uint8_t v4[] = {0x20, 2, present, 0}, v5[] = {0x20, 6, present, 0, 3, 0x22, 0, ALIAS_MAX};

	answer(c, version == 5 ? v5 : v4, version == 5 ? sizeof v5 : sizeof v4);
	return true;
}

/* Index of the topic, by name, by alias, or both. -1: not to be had. */
static int topic_of(struct connection *c, struct rest topic, uint32_t alias)
{
	int index = -1;

	if (alias > ALIAS_MAX)
		return -1;
	if (topic.bytes > 0)
		index = name_index(ledger->topics, TOPICS_MAX, &ledger->topic_count, topic.at, topic.bytes);
	else if (alias > 0)
		index = c->aliases[alias];
	if (alias > 0)
		c->aliases[alias] = index;
	return index;
}

/* The alias is the only property that is looked for, and the publisher under test sends it first, or alone. */
static uint32_t alias_of(struct rest properties)
{
	if (properties.bytes >= 3 && properties.at[0] == 0x23)
		return (uint32_t)(properties.at[1] << 8 | properties.at[2]);
	return 0;
}

/* The number in thousandths. -1: it is none. */
static int64_t sequence_of(struct rest payload)
{
	char text[32], *end;

	if (payload.bytes == 0 || payload.bytes >= sizeof text)
		return -1;
	memcpy(text, payload.at, payload.bytes);
	text[payload.bytes] = '\0';
	double value = strtod(text, &end) * 1000 + 0.5;

	return *end == '\0' && value >= 0 && value < SEQUENCE_MAX ? (int64_t)value : -1;
}

static bool on_publish(struct connection *c, uint8_t flags, struct rest r)
{
	struct rest topic = take_rest(&r, take_u16(&r));
	uint8_t qos = flags >> 1 & 3;
	uint16_t id = qos > 0 ? take_u16(&r) : 0;
	struct rest properties = {.bytes = 0};

	if (c->version == 5)
		properties = take_rest(&r, take_varint(&r));
	if (r.is_short || qos == 3 || (qos > 0 && id == 0) || (qos == 0 && (flags & 8)))
		return violation(c, "PUBLISH");
	int index = topic_of(c, topic, alias_of(properties));
	int64_t sequence = sequence_of(r);

	if (index < 0)
		return violation(c, "topic");
	if (sequence < 0)
		return violation(c, "payload");
	struct record new = {
		.kind = KIND_PUBLISH,
		.session = c->session,
		.topic = (uint8_t)index,
		.sequence = (uint32_t)sequence,
		.id = id,
		.qos = qos,
		.flags = flags & 8 ? FLAG_DUP : 0,
	};
	uint32_t open = qos == 2 ? open_ids[c->session][id] : 0;

	if (open > 0) {
		const struct record *old = &ledger->records[open - 1];

		if (old->topic != new.topic || old->sequence != new.sequence)
			return violation(c, "an identifier that is in use has another message");
		if (!(new.flags &FLAG_DUP))
			return violation(c, "sent again, and not marked as a duplicate");
	}
	record(new);
	if (qos > 0)
		acknowledge(c, qos == 1 ? 0x40 : 0x50, id);
	return true;
}

static bool on_pubrel(struct connection *c, uint8_t flags, struct rest r)
{
	uint16_t id = take_u16(&r);

	if (r.is_short || flags != 2 || id == 0)
		return violation(c, "PUBREL");
	if (open_ids[c->session][id] != 0)
		record((struct record){.kind = KIND_PUBREL, .session = c->session, .id = id});
	acknowledge(c, 0x70, id);
	return true;
}

/* False: the connection is over. */
static bool on_packet(struct connection *c, uint8_t first, struct rest r)
{
	uint8_t type = first >> 4;
	static const uint8_t pong[] = {0xd0, 0};

	if (type == 1)
		return on_connect(c, r);
	if (!c->is_connected)
		return violation(c, "no CONNECT");
	switch (type) {
	case 3: return on_publish(c, first & 15, r);
	case 6: return on_pubrel(c, first & 15, r);
	case 12: answer(c, pong, sizeof pong); return true;
	case 14: return false;
	default: return violation(c, "packet type");
	}
}

static void on_readable(struct connection *c)
{
	ssize_t n = recv(c->fd, c->input + c->input_bytes, INPUT_BYTES - c->input_bytes, 0);

	if (n <= 0) {
		hang_up(c);
		return;
	}
	c->input_bytes += (size_t)n;
	struct rest all = {.at = c->input, .bytes = c->input_bytes};

	for (;;) {
		struct rest r = all;
		uint8_t first = take(&r, 1)[0];
		uint32_t bytes = take_varint(&r);

		if (r.is_short || bytes > r.bytes)
			break;
		all = (struct rest){.at = r.at + bytes, .bytes = r.bytes - bytes};
		if (!on_packet(c, first, take_rest(&r, bytes)) || !c->is_open) {
			if (c->is_open)
				hang_up(c);
			return;
		}
	}
	if (all.bytes == INPUT_BYTES) {
		violation(c, "a packet too large");
		hang_up(c);
		return;
	}
	memmove(c->input, all.at, all.bytes);
	c->input_bytes = all.bytes;
}

static void on_client(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
	struct connection *c = connections;

	if (fd < 0)
		return;
	while (c < connections + CONNECTIONS_MAX && c->is_open)
		c++;
	if (c == connections + CONNECTIONS_MAX) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	memset(c, 0, sizeof *c);
	for (uint32_t i = 0; i <= ALIAS_MAX; i++)
		c->aliases[i] = -1;
	c->fd = fd;
	c->is_open = true;
}

static void serve(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 16) < 0)
		die("listen");
	for (uint32_t i = 0; i < atomic_load(&ledger->record_count); i++)
		apply(i);
	record((struct record){.kind = KIND_START});
	for (;;) {
		struct pollfd waits[1 + CONNECTIONS_MAX] = {{.fd = listener, .events = POLLIN}};
		struct timespec hold = {.tv_nsec = hold_ms * 1000000};

		for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
			waits[1 + i] = (struct pollfd){.fd = connections[i].is_open ? connections[i].fd : -1,
						       .events = POLLIN};
		if (poll(waits, 1 + CONNECTIONS_MAX, -1) < 0)
			die("poll");
		for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
			if (waits[1 + i].revents && connections[i].is_open)
				on_readable(&connections[i]);
		nanosleep(&hold, NULL);
		for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
			if (connections[i].is_open && connections[i].answers_bytes > 0)
				send_answers(&connections[i]);
		if (waits[0].revents)
			on_client(listener);
	}
}

/* ------------------------------------------------------------------------------------------------ the report */

struct account {
	uint8_t *arrivals; /* deliveries of each number */
	uint64_t messages, twice, again, disorder, missing, open;
	uint32_t first, last;
	uint8_t qos;
};

static void count_delivery(struct account *a, const struct record *r)
{
	if (!a->arrivals && !(a->arrivals = calloc(SEQUENCE_MAX, 1)))
		die("memory");
	uint8_t *n = &a->arrivals[r->sequence];

	a->qos = r->qos;
	if (*n > 0) {
		a->twice++;
		return;
	}
	*n = 1;
	a->disorder += a->messages > 0 && r->sequence < a->last;
	a->first = a->messages == 0 || r->sequence < a->first ? r->sequence : a->first;
	a->last = a->messages == 0 || r->sequence > a->last ? r->sequence : a->last;
	a->messages++;
}

static uint32_t open_count(uint32_t session)
{
	uint32_t count = 0;

	for (uint32_t id = 1; id < 65536; id++)
		count += open_ids[session][id] > 0;
	return count;
}

/* A line a topic; `again` is what was sent again as the protocol has it, `twice` what a receiver would take for new. */
static void report(void)
{
	static struct account accounts[TOPICS_MAX];
	uint32_t starts = 0, connects = 0, violations = 0, discarded = 0,
		 records = atomic_load(&ledger->record_count);

	for (uint32_t i = 0; i < records; i++) {
		const struct record *r = &ledger->records[i];
		struct account *a = &accounts[r->topic];

		if (r->kind == KIND_CONNECT && (r->flags & FLAG_CLEAN))
			discarded += open_count(r->session);
		if (apply(i))
			count_delivery(a, r);
		else if (r->kind == KIND_PUBLISH)
			a->again++;
		starts += r->kind == KIND_START;
		connects += r->kind == KIND_CONNECT;
		violations += r->kind == KIND_VIOLATION;
	}
	for (uint32_t s = 0; s < atomic_load(&ledger->session_count); s++)
		for (uint32_t id = 1; id < 65536; id++)
			if (open_ids[s][id] > 0)
				accounts[ledger->records[open_ids[s][id] - 1].topic].open++;
	printf("recorder starts=%u connects=%u violations=%u discarded=%u\n", starts, connects, violations,
	       discarded);
	for (uint32_t t = 0; t < atomic_load(&ledger->topic_count); t++) {
		struct account *a = &accounts[t];

		for (uint32_t n = a->first; a->messages > 0 && n <= a->last; n++)
			a->missing += a->arrivals[n] == 0;
		printf("%s qos=%u messages=%lu first=%u last=%u missing=%lu twice=%lu again=%lu disorder=%lu "
		       "open=%lu\n",
		       ledger->topics[t], a->qos, a->messages, a->first, a->last, a->missing, a->twice,
		       a->again, a->disorder, a->open);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--report") == 0) {
		ledger_open(argv[2]);
		report();
		return 0;
	}
	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: recorder PORT LEDGER [HOLD_MS] | recorder --report LEDGER\n");
		return 2;
	}
	hold_ms = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	ledger_open(argv[2]);
	serve((uint16_t)strtoul(argv[1], NULL, 10));
}
