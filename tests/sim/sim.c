#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/clock_sim.h"

struct event {
	uint64_t at_ns, order;
	void (*fn)(void *arg, uint64_t value);
	void *arg;
	uint64_t value;
};

struct sim sim;
uint64_t sim_covered[COVER_COUNT];
static struct event *heap; /* 1-based */
static size_t heap_count, heap_room;
static uint64_t order_next;

void sim_begin(uint64_t seed, bool verbose)
{
	sim = (struct sim){
		.seed = seed,
		.now_ns = CLOCK_SIM_START_NS,
		.prng = {.state = seed * 0x9e3779b97f4a7c15ull},
		.hash = 0xcbf29ce484222325ull,
		.verbose = verbose,
	};
	heap_count = 0;
	order_next = 0;
}

void sim_end(void)
{
	free(heap);
	heap = NULL;
	heap_count = heap_room = 0;
}

void sim_fail(const char *format, ...)
{
	va_list args;
	size_t used;

	if (sim.failed)
		return;
	sim.failed = true;
	used = (size_t)snprintf(sim.failure, sizeof(sim.failure),
				"%.6f s: ", (double)(sim.now_ns - CLOCK_SIM_START_NS) / 1e9);
	va_start(args, format);
	vsnprintf(sim.failure + used, sizeof(sim.failure) - used, format, args);
	va_end(args);
	sim_trace("VIOLATION %s", sim.failure);
}

void sim_trace(const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *c = text; *c; c++)
		sim.hash = (sim.hash ^ (unsigned char)*c) * 0x100000001b3ull;
	sim.hash ^= sim.now_ns;
	if (sim.verbose)
		printf("%12.6f %s\n", (double)(sim.now_ns - CLOCK_SIM_START_NS) / 1e9, text);
}

uint32_t sim_below(uint32_t bound)
{
	return prng_below(&sim.prng, bound);
}

uint64_t sim_between(uint64_t low, uint64_t high)
{
	ASSERT(low <= high);
	return low + (uint64_t)((unsigned __int128)prng_next(&sim.prng) * (high - low + 1) >> 64);
}

bool sim_chance(uint32_t thousandths)
{
	return thousandths > 0 && sim_below(1000) < thousandths;
}

static bool before(const struct event *a, const struct event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_at(uint64_t at_ns, void (*fn)(void *arg, uint64_t value), void *arg, uint64_t value)
{
	struct event e = {.at_ns = at_ns, .order = order_next++, .fn = fn, .arg = arg, .value = value};
	size_t i;

	ASSERT(at_ns >= sim.now_ns);
	if (heap_count + 2 > heap_room) {
		heap_room = heap_room ? 2 * heap_room : 256;
		heap = realloc(heap, heap_room * sizeof(heap[0]));
		ASSERT(heap);
	}
	for (i = ++heap_count; i > 1 && before(&e, &heap[i / 2]); i /= 2)
		heap[i] = heap[i / 2];
	heap[i] = e;
}

uint64_t sim_next_event(void)
{
	return heap_count ? heap[1].at_ns : UINT64_MAX;
}

static struct event pop(void)
{
	struct event first = heap[1];
	struct event last = heap[heap_count--];
	size_t i = 1;

	while (2 * i <= heap_count) {
		size_t child = 2 * i;

		if (child < heap_count && before(&heap[child + 1], &heap[child]))
			child++;
		if (!before(&heap[child], &last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return first;
}

void sim_run_events(void)
{
	while (heap_count && heap[1].at_ns <= sim.now_ns) {
		struct event e = pop();

		e.fn(e.arg, e.value);
	}
}

const char *sim_coverage_text(enum sim_coverage c)
{
	static const char *const texts[COVER_COUNT] = {
		[COVER_SHORT_SEND] = "short sends",
		[COVER_SHORT_RECV] = "short receives",
		[COVER_RESET] = "resets",
		[COVER_RESET_MID_PACKET] = "connections cut inside a packet",
		[COVER_REFUSED_CONNECT] = "refused connects",
		[COVER_BLACKHOLE] = "half-open peers",
		[COVER_LOOKUP_FAILED] = "failed lookups",
		[COVER_USER_TIMEOUT] = "TCP user time-outs",
		[COVER_CONNACK_REFUSED] = "CONNACK refusals",
		[COVER_CONNACK_SILENT] = "no CONNACK",
		[COVER_CONNACK_ODD] = "rubbish for CONNACK",
		[COVER_SESSION_LOST] = "lost sessions",
		[COVER_SESSION_KEPT] = "kept sessions",
		[COVER_QOS_LOWERED] = "connections with a maximum QoS",
		[COVER_ACK_REFUSED] = "refused messages",
		[COVER_SERVER_DISCONNECT] = "DISCONNECT by the server",
		[COVER_PING_SILENT] = "silent pings",
		[COVER_RESENT] = "messages sent again",
		[COVER_GHOSTS] = "messages lost after the kernel had them",
		[COVER_ALIAS_USED] = "messages by alias",
		[COVER_WINDOW_FULL] = "times the server's window was full",
		[COVER_OVERWRITTEN] = "overwritten",
		[COVER_EXPIRED] = "expired",
		[COVER_DROPPED] = "dropped",
		[COVER_TOO_LARGE] = "connections with a small maximum packet size",
		[COVER_INBOUND] = "messages of the server",
		[COVER_SUBSCRIBED] = "subscriptions granted",
		[COVER_UNSUBSCRIBED] = "subscriptions given up",
		[COVER_SUB_REFUSED] = "subscriptions refused",
		[COVER_SUB_LOWERED] = "subscriptions granted at a lower QoS",
		[COVER_OVERLAP] = "messages for overlapping subscriptions",
		[COVER_ALIAS_IN] = "messages of the server by alias",
		[COVER_RETAINED] = "retained messages of the server",
		[COVER_QUEUED_AWAY] = "messages kept while the client was away",
		[COVER_MANY_HALF_WAY] = "times that more than 64 messages were half way (3.1.1)",
		[COVER_FORWARDED] = "messages passed on",
		[COVER_FORWARD_EXACT] = "of these, checked to be complete",
		[COVER_TAGS_RIGHT] = "tags checked against the last message",
		[COVER_EXPIRY_TOLD] = "messages with an expiry",
		[COVER_EXPIRY_COUNTED] = "of these, counted down",
		[COVER_REDIRECTED] = "redirections",
		[COVER_MOOD] = "rules broken by the server",
		[COVER_MOOD_EXCEED] = "receive maximum exceeded by the server",
		[COVER_MOOD_ANSWERED] = "of both, answered with the right reason",
		[COVER_ON_CONNECT] = "on_connect messages",
		[COVER_ON_DISCONNECT] = "on_disconnect messages",
		[COVER_DISABLED] = "targets disabled and enabled",
		[COVER_CRASHED] = "crashes",
		[COVER_CRASH_KEPT] = "sessions that went on after a crash",
		[COVER_FILE_DELETED] = "session files deleted",
		[COVER_FILE_TRUNCATED] = "session files truncated",
		[COVER_FILE_FLIPPED] = "session files with flipped bits",
		[COVER_RECONFIGURED] = "restarts with other subscriptions",
		[COVER_PUBLISH_LESS] = "restarts with a definition less that publishes",
		[COVER_RING_RESTORED] = "messages taken over from ring files",
		[COVER_RING_ARRIVED] = "messages that were in a ring file at a crash and arrived",
		[COVER_RING_UNMARKED] = "messages in flight, not marked in the ring file",
		[COVER_RING_HALF_MADE] = "ring files half made",
		[COVER_RING_DELETED] = "ring files deleted",
		[COVER_RING_TRUNCATED] = "ring files truncated",
		[COVER_RING_FLIPPED] = "ring files with flipped bits",
		[COVER_RING_SET_ASIDE] = "ring files set aside",
		[COVER_OUTAGE_EXACT] = "outages checked to the message",
		[COVER_STOP_CALM] = "stops in calm times",
		[COVER_STOP_CHAOS] = "stops among faults",
		[COVER_MODBUS_VALUES] = "Modbus answers",
		[COVER_MODBUS_FAULTS] = "Modbus faults",
		[COVER_ACCOUNTED] = "numbers accounted for",
		[COVER_LOSS_GAPS] = "gaps in ledgers",
		[COVER_LOSS_TOLD] = "gaps that were told",
		[COVER_REPLAY_MARKED] = "messages marked as replayed",
		[COVER_REPLAY_BESIDE] = "outages with live messages beside the backlog",
		[COVER_THINNED] = "messages thinned away",
		[COVER_AVERAGED] = "averages as expected",
		[COVER_LIMITS_CHANGED] = "limits changed at run time",
		[COVER_CONNECTS] = "MQTT connections",
		[COVER_DELIVERED] = "messages delivered",
	};

	return texts[c];
}
