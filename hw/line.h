/* hw/line.h - one source of values: a Modbus line, or the synthetic source.
 *
 * Purpose:  drives the protocol's state machine with what the loop brings, opens and reopens the port or connection, and
 *           hands each value to the definitions.
 * Owner:    its sampler. Threads: the sampler's; metrics, lateness and reason may be read by any.
 * Memory:   all of it in line_open.
 * Errors:   none leave here: a line that cannot be opened waits and tries again, its tags are bad meanwhile.
 *
 *   WAITING -deadline-> OPENING -opened-> UP
 *      ^                   |               |
 *      '----- failed ------'--- lost ------'        (back-off between attempts)
 */
#ifndef HW_LINE_H
#define HW_LINE_H

#include "core/histogram.h"
#include "core/shared_text.h"
#include "hw/sampler.h"
#include "io/stream.h"
#include "proto/backoff.h"
#include "proto/modbus_master.h"
#include "proto/modbus_value.h"

enum line_state { LINE_WAITING, LINE_OPENING, LINE_UP, LINE_CLOSING };

#define LINE_RECEIVE_BYTES 1024
#define LINE_SEND_BYTES    (MODBUS_OUTSTANDING_MAX * MODBUS_TCP_FRAME_BYTES_MAX)

/* A Modbus line of either kind. */
struct line_modbus {
	struct line *line;
	struct modbus_master master;
	void *master_memory;
	struct modbus_item *items;   /* .user is the tag index */
	struct modbus_field *fields; /* beside items */
	struct stream stream;        /* TCP */
	int handle;                  /* RTU; -1: closed */
	struct completion read, write;
	uint8_t receive[LINE_RECEIVE_BYTES];
	uint8_t send[LINE_SEND_BYTES]; /* frames on their way, and behind them those that wait */
	size_t send_used_bytes;
	struct iovec iov;
	bool has_told;     /* a failure has been logged; the next ones only count */
	bool attempted;    /* an attempt to open has ended: from now on "not connected" is news */
	bool reset_wanted; /* the master asked for a new connection */
};

struct line_synthetic {
	uint32_t tag_first, tag_count;
	uint32_t next_tag;
	uint64_t made; /* updates since the start: on the grid of the rate */
	struct mono start;
};

static_assert(CFG_TARGETS_MAX + CFG_LINES_MAX <= UINT16_MAX, "a recorder's channel has 16 bits");

struct line {
	struct sampler *sampler;
	uint32_t cfg_idx;
	const char *name; /* of the configuration, at hand for the probes */
	enum cfg_line_kind kind;
	enum line_state state;
	struct timer timer;
	struct backoff backoff;
	struct mono open_deadline;
	union {
		struct line_modbus *modbus;
		struct line_synthetic synthetic;
	};
	struct trace_source trace; /* hw/line_trace.c */
	bool is_dead;              /* none of its devices answers */
	struct line_metrics metrics;
	struct histogram lateness; /* of its deadlines */
	struct shared_text reason; /* why it is not up; "" where it is */
};

NODISCARD int line_open(struct line *l, struct sampler *s, uint32_t cfg_idx);
void line_close(struct line *l);

/* The line's deadline has come, or something has come in: one bounded step; sets its timer anew. */
void line_step(struct line *l);

/* Of a Modbus line; for line.c only. */
NODISCARD int line_modbus_open(struct line *l);
void line_modbus_close(struct line *l);
void line_modbus_step(struct line *l);

/* For the flight recorder, of a Modbus line. Each is asked for only while trace_is_on, but opened. */
NODISCARD int line_trace_open(struct line *l);
void line_trace_opened(struct line *l);
void line_trace_sent(struct line *l, struct bytes bytes);
void line_trace_received(struct line *l, struct bytes bytes);
/* Lost, or not to be opened: the reason in words. */
void line_trace_closed(struct line *l, enum trace_kind kind, const char *reason);
/* It was up, and is lost or dead. */
void line_trace_incident(struct line *l);

/* Of the synthetic source. */
void line_synthetic_open(struct line *l);
void line_synthetic_step(struct line *l);

/* Sets what status shows. */
void line_tell(struct line *l, const char *reason);
const char *line_state_text(enum line_state state);

#endif
