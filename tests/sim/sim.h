/* tests/sim/sim.h - one seed's universe: its time, its chance, its events, its verdict.
 *
 * Purpose:  everything random in the simulator is drawn here, everything that happens later is an event here, so that one
 *           seed is one run. The trace hash proves it.
 * Owner:    the one thread of build/sim. Memory: the event heap grows; sim_end frees it.
 * Units:    nanoseconds of virtual time. Errors: sim_fail keeps the first violation; the run ends soon after.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "core/clock.h"
#include "core/prng.h"

/* How often things go wrong, in thousandths; all zero: a calm world. */
struct sim_faults {
	uint32_t refuse, dead_lookup, slow_lookup, bad_address; /* connecting */
	uint32_t reset, blackhole, peer_close;                  /* a connection's fate, drawn when it opens */
	uint32_t connack_refuse, connack_silent, connack_odd;   /* the broker's welcome */
	uint32_t session_lost, ack_refuse, ping_silent, goodbye; /* and its later conduct */
	uint32_t sub_refuse, redirect, mood;                     /* mood: it breaks rules */
	uint32_t device_silent, device_late, device_exception, device_garbage, device_close;
	uint32_t io_again; /* EINTR, EAGAIN as results */
	uint32_t stall;    /* a thread that does not get a CPU for a while */
};

struct sim {
	uint64_t seed;
	uint64_t now_ns;
	struct prng prng;
	struct sim_faults faults; /* now */
	uint32_t short_io;        /* thousandths; stays in calm times, as short transfers are normal */
	uint64_t latency_max_ns;
	uint64_t hash; /* of all that happened, in order */
	bool verbose;
	bool failed;
	char failure[400];
};
extern struct sim sim;

void sim_begin(uint64_t seed, bool verbose);
void sim_end(void);

void sim_fail(const char *format, ...) PRINTF(1, 2);
void sim_trace(const char *format, ...) PRINTF(1, 2); /* printed when verbose, always part of the hash */

/* Chance. */
uint32_t sim_below(uint32_t bound);
uint64_t sim_between(uint64_t low, uint64_t high); /* both included */
bool sim_chance(uint32_t thousandths);

/* fn(arg, value) at a time; in order of time, then of being asked for. */
void sim_at(uint64_t at_ns, void (*fn)(void *arg, uint64_t value), void *arg, uint64_t value);
static inline void sim_after(uint64_t ns, void (*fn)(void *arg, uint64_t value), void *arg, uint64_t value)
{
	sim_at(sim.now_ns + ns, fn, arg, value);
}
/* When the next one is; UINT64_MAX: none. */
uint64_t sim_next_event(void);
/* Runs what is due. */
void sim_run_events(void);

/* What went wrong, how often, over all seeds: the coverage of faults. */
enum sim_coverage {
	COVER_SHORT_SEND,
	COVER_SHORT_RECV,
	COVER_RESET,
	COVER_RESET_MID_PACKET,
	COVER_REFUSED_CONNECT,
	COVER_BLACKHOLE,
	COVER_LOOKUP_FAILED,
	COVER_USER_TIMEOUT,
	COVER_CONNACK_REFUSED,
	COVER_CONNACK_SILENT,
	COVER_CONNACK_ODD,
	COVER_SESSION_LOST,
	COVER_SESSION_KEPT,
	COVER_QOS_LOWERED,
	COVER_ACK_REFUSED,
	COVER_SERVER_DISCONNECT,
	COVER_PING_SILENT,
	COVER_RESENT,
	COVER_GHOSTS,
	COVER_ALIAS_USED,
	COVER_WINDOW_FULL,
	COVER_OVERWRITTEN,
	COVER_EXPIRED,
	COVER_DROPPED,
	COVER_TOO_LARGE,
	COVER_INBOUND,
	COVER_SUBSCRIBED,
	COVER_UNSUBSCRIBED,
	COVER_SUB_REFUSED,
	COVER_SUB_LOWERED,
	COVER_OVERLAP,
	COVER_ALIAS_IN,
	COVER_RETAINED,
	COVER_QUEUED_AWAY,
	COVER_MANY_HALF_WAY,
	COVER_FORWARDED,
	COVER_FORWARD_EXACT,
	COVER_TAGS_RIGHT,
	COVER_EXPIRY_TOLD,
	COVER_EXPIRY_COUNTED,
	COVER_REDIRECTED,
	COVER_MOOD,
	COVER_MOOD_EXCEED,
	COVER_MOOD_ANSWERED,
	COVER_ON_CONNECT,
	COVER_ON_DISCONNECT,
	COVER_DISABLED,
	COVER_CRASHED,
	COVER_CRASH_KEPT,
	COVER_FILE_DELETED,
	COVER_FILE_TRUNCATED,
	COVER_FILE_FLIPPED,
	COVER_RECONFIGURED,
	COVER_PUBLISH_LESS,
	COVER_RING_RESTORED,
	COVER_RING_ARRIVED,
	COVER_RING_UNMARKED,
	COVER_RING_HALF_MADE,
	COVER_RING_DELETED,
	COVER_RING_TRUNCATED,
	COVER_RING_FLIPPED,
	COVER_RING_SET_ASIDE,
	COVER_OUTAGE_EXACT,
	COVER_STOP_CALM,
	COVER_STOP_CHAOS,
	COVER_MODBUS_VALUES,
	COVER_MODBUS_FAULTS,
	COVER_ACCOUNTED,
	COVER_LOSS_GAPS,
	COVER_LOSS_TOLD,
	COVER_REPLAY_MARKED,
	COVER_REPLAY_BESIDE,
	COVER_THINNED,
	COVER_AVERAGED,
	COVER_LIMITS_CHANGED,
	COVER_CONNECTS,
	COVER_DELIVERED,
	COVER_COUNT,
};
extern uint64_t sim_covered[COVER_COUNT];
const char *sim_coverage_text(enum sim_coverage c);

#endif
