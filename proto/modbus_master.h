/* proto/modbus_master.h - the master of one line: what to ask which unit, when, and what an answer means.
 *
 * Purpose:  one TCP connection or one serial bus with its devices. The line's owner tells it what happened (opened,
 *           closed, bytes) and what time it is, and does what it says: SEND, RESET, VALUES, FAILED. No I/O, no clock.
 * Owner:    the sampler thread of the line.
 * Threads:  one; no shared state.
 * Memory:   the caller's: one piece of modbus_master_memory_bytes(), and the items, which must outlive the master. Nothing
 *           is allocated.
 * Units:    nanoseconds; `now` never goes back from call to call.
 * Errors:   -EINVAL, -ENOSPC from init. Whatever a device sends is an action and a count, never an error.
 *
 * How to drive it, on each event and when modbus_master_deadline() comes:
 *      while (modbus_master_receive(m, &input, now, &action)) perform(&action);      for bytes, then always
 *      while (modbus_master_tick(m, now, &action))            perform(&action);
 *      arm the timer for modbus_master_deadline(m);
 * What an action points to is good until the next call. After opened() and closed(), tick too.
 *
 * Time. A block's polls are due at start + phase + k * period, on a grid that never drifts. A poll that was not sent when
 * the next one is due is skipped and counted (missed), never queued: for each block, slots that came = missed +
 * requested (but for illegal ones, below). Among what is due the earliest goes first.
 *
 * A unit, in the eyes of the circuit breaker (answering with an exception is answering; gateway exceptions 10 and 11 mean
 * that the unit did not):
 *
 *                 answer        time-out                               probe's time-out
 *      OK         -> OK         -> OK, or the suspend_after-th in a    -
 *                                  row: -> SUSPENDED (back-off = base)
 *      SUSPENDED  -> OK         -                                      -> SUSPENDED (back-off doubled, up to cap)
 *
 * The bound: while a live unit's poll is due, each dead unit that is not suspended yet costs it at most one time-out (the
 * polls of a unit that has just timed out queue behind all that were due by then). Suspended units are probed one at a
 * time on the line, at most once a back-off step each, and after a probe that took T none begins for 9 T: all of them
 * together delay a poll by one time-out at most, and take a tenth of the line's time at most.
 *
 * A block that the device refuses (exceptions 02, 03) is cut in two at its widest gap, else in the middle, until the tags
 * that are to blame stand alone. These, and blocks refused as a whole (01), are illegal: their tags are bad, and they are
 * asked for again only every illegal_retry_ns. What was learnt outlives a reconnect. At most 2 * items - 1 extra requests.
 *
 * The line. TCP: a broken header, or reset_after time-outs in a row without one byte from the peer, is a RESET. RTU: what
 * is no response is discarded until t3.5 of silence (resync); t3.5 lies between frames; noise that does not end within
 * 1 s is a RESET. An answer that comes after its time-out is discarded (late). On RTU an answer carries no transaction
 * id, so after a time-out the unit is asked nothing for as long again; a late answer in that time is known for what it is.
 *
 * Quality. Every block fails once (NOT_CONNECTED) when the line is lost, and at the start; once (SUSPENDED) when its unit
 * is suspended; and whenever a request of its own fails. Tags stay bad until their next VALUES. Polls that are skipped
 * meanwhile are counted as missed, silently.
 */
#ifndef PROTO_MODBUS_MASTER_H
#define PROTO_MODBUS_MASTER_H

#include "core/clock.h"
#include "proto/modbus_pdu.h"
#include "proto/modbus_plan.h"
#include "proto/modbus_queue.h"
#include "proto/modbus_rtu.h"
#include "proto/modbus_tcp.h"
#include "proto/modbus_transaction.h"

#define MODBUS_OUTSTANDING_MAX 16u
#define MODBUS_DEVICES_MAX     256u /* a line's */

struct modbus_device_config {
	uint8_t unit; /* RTU: 1..247, TCP: 0..255; two devices of a line may not share one */
	uint64_t
		timeout_ns; /* from the request's last byte to the answer's first: transmission is added on RTU */
	uint64_t phase_ns; /* of its polls on the grid; taken modulo the period */
};

/* Zero means the default where one is named. */
struct modbus_master_config {
	const char *name; /* of the line, for the probes; borrowed, may be NULL */
	enum modbus_framing framing;
	uint32_t outstanding_max;        /* TCP: requests on the way at a time, 1..16, default 1; RTU: 1 */
	struct modbus_rtu_timing timing; /* RTU */
	struct modbus_plan_limits limits;
	uint32_t suspend_after;    /* time-outs in a row; default 3 */
	uint64_t suspend_base_ns;  /* default 1 s */
	uint64_t suspend_cap_ns;   /* default 30 s */
	uint32_t reset_after;      /* TCP: time-outs in a row on a mute connection; default 4 */
	uint64_t illegal_retry_ns; /* default 60 s */
	const struct modbus_device_config *devices; /* copied */
	uint32_t device_count;
	const struct modbus_item *items; /* borrowed */
	uint32_t item_count;
};

enum modbus_failure {
	MODBUS_FAIL_NONE,
	MODBUS_FAIL_NOT_CONNECTED,
	MODBUS_FAIL_TIMEOUT,
	MODBUS_FAIL_EXCEPTION,
	MODBUS_FAIL_PROTOCOL, /* an answer that does not fit its request, or a wrong CRC */
	MODBUS_FAIL_SUSPENDED,
};

enum modbus_action_kind {
	MODBUS_ACTION_SEND,  /* bytes: a frame; copy it or send it whole */
	MODBUS_ACTION_RESET, /* close and reopen the line; to the master it is closed already */
	MODBUS_ACTION_VALUES, /* block_idx, bytes: what was read; the time of sampling is the `now` of this call */
	MODBUS_ACTION_FAILED, /* block_idx, failure (and exception): its tags are bad from now on */
};

struct modbus_action {
	enum modbus_action_kind kind;
	uint32_t block_idx;
	struct bytes bytes;
	enum modbus_failure failure;
	uint8_t exception;  /* MODBUS_FAIL_EXCEPTION: the code */
	const char *reason; /* RESET, FAILED: a static text for people; NULL otherwise */
};

enum modbus_device_state { MODBUS_DEVICE_OK, MODBUS_DEVICE_SUSPENDED };

struct modbus_device {
	struct modbus_device_config config;
	enum modbus_device_state state;
	uint32_t timeouts_in_row;
	struct mono last_timeout; /* its polls queue behind what was due then; RTU: a time-out later */
	struct mono probe_at;     /* SUSPENDED: not before */
	uint64_t backoff_ns;
	uint64_t requests, responses, timeouts, exceptions, suspensions; /* counters */
};

struct modbus_master_stats {
	uint64_t requests, responses, timeouts, exceptions;
	uint64_t crc_errors;      /* RTU: stretches of garbage and frames with a wrong CRC */
	uint64_t protocol_errors; /* answers that do not fit, broken headers */
	uint64_t late;            /* whole answers that nobody waited for any more */
	uint64_t missed;          /* polls skipped */
	uint64_t resyncs;         /* RTU: silences waited for after garbage */
	uint64_t resets;
	uint64_t splits, illegal_blocks;
	uint64_t bytes_sent, bytes_received;
};

struct modbus_master {
	struct modbus_master_config config; /* devices and items: the master's own pointers */
	bool open;
	struct modbus_device *devices;
	struct modbus_block *blocks; /* room for item_count: a block may be split down to its items */
	struct modbus_queue queue;   /* its polls stand beside blocks */
	uint32_t *order;             /* item indices; blocks refer to it */
	uint32_t block_count;
	uint32_t report_count, report_next; /* blocks with something to_report, and where to look next */
	uint32_t suspended_count;
	bool probe_on_way;
	struct mono probe_free_at; /* no probe before */
	struct mono quiet_until;   /* RTU: nothing is sent before */
	struct mono noise_since;   /* RTU: when the garbage began; 0: none */
	struct mono last_timeout;  /* its polls queue behind what was due then; RTU: a time-out later */
	uint32_t mute_timeouts;    /* TCP: in a row without a byte */
	const char *reset_reason;  /* a RESET is still to be told */
	uint16_t next_transaction_id;
	uint32_t outstanding;
	struct modbus_transaction transactions[MODBUS_OUTSTANDING_MAX];
	struct modbus_tcp_parser tcp;
	struct modbus_rtu_parser rtu;
	uint8_t frame[MODBUS_TCP_FRAME_BYTES_MAX];
	struct modbus_master_stats stats;
};

/* Bytes of memory for so many devices and items; 64-byte aligned memory is to be given. */
NODISCARD size_t modbus_master_memory_bytes(uint32_t device_count, uint32_t item_count);

/* Plans the requests and starts the grid at `start`; the line is closed. 0, -EINVAL (units, items, periods), -ENOSPC
 * (memory_bytes). Items without a device, or devices without items, are a configuration to refuse or to allow before. */
NODISCARD int modbus_master_init(struct modbus_master *m, const struct modbus_master_config *config,
				 void *memory, size_t memory_bytes, struct mono start);

/* The line is up: every block that has a slot to its name is asked for at once. */
void modbus_master_opened(struct modbus_master *m, struct mono now);

/* The line is gone: what was on the way is lost, every block will be reported. Harmless when it is closed already. */
void modbus_master_closed(struct modbus_master *m, struct mono now);

/* Takes bytes off the front of *input. True: perform *action and call again; false: the input is used up. */
NODISCARD bool modbus_master_receive(struct modbus_master *m, struct bytes *input, struct mono now,
				     struct modbus_action *action);

/* What time brings: time-outs, reports, requests that are due. True: perform *action and call again. */
NODISCARD bool modbus_master_tick(struct modbus_master *m, struct mono now, struct modbus_action *action);

/* When to tick next, if nothing happens before; MONO_NEVER without items. May be in the past: tick at once. */
NODISCARD struct mono modbus_master_deadline(const struct modbus_master *m);

/* The items of a block, for its VALUES and FAILED: items[m->order[first + i]], i < count. */
static inline const struct modbus_block *modbus_master_block(const struct modbus_master *m,
							     uint32_t block_idx)
{
	ASSERT(block_idx < m->block_count);
	return &m->blocks[block_idx];
}

static inline const struct modbus_item *modbus_master_item(const struct modbus_master *m,
							   const struct modbus_block *b, uint32_t i)
{
	ASSERT(i < b->item_count);
	return &m->config.items[m->order[b->item_first + i]];
}

/* "not connected", "time-out", "exception", "protocol error", "unit suspended". */
const char *modbus_failure_text(enum modbus_failure failure);

#endif
