/* core/tag.h - the latest value of every tag, for everyone.
 *
 * Purpose:  a table of cells. The sampler that owns a tag's line writes its cell; definitions, the control socket and
 *           others read a consistent copy without stopping the writer.
 * Owner:    created before the threads start. One writer a tag: its sampler.
 * Threads:  tag_write by the tag's sampler, tag_read by any (repeats while a write is under way; a write is a handful of
 *           stores, so the wait is bounded by the writer's preemption, and no sampler ever waits for a reader).
 * Memory:   48 bytes a tag and its name.
 * Source:   sequence lock after H. Boehm, "Can seqlocks get along with programming language memory models?" (2012).
 */
#ifndef CORE_TAG_H
#define CORE_TAG_H

#include "core/bytes.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/value.h"

enum tag_quality {
	TAG_NEVER, /* nothing was ever read; told as "bad" */
	TAG_GOOD,
	TAG_BAD_CONNECTION, /* the line is not open */
	TAG_BAD_TIMEOUT,    /* the device does not answer */
	TAG_BAD_DEVICE,     /* the device refuses: an exception */
	TAG_BAD_FRAME,      /* what it answers cannot be right */
};

/* "good" or "bad": what goes into payloads. */
const char *tag_quality_text(enum tag_quality q);
/* Why: "", "never read", "not connected", "time-out", "device exception", "bad frame". */
const char *tag_quality_reason(enum tag_quality q);

struct tag_sample {
	struct value value; /* the last good one where quality is bad; meaningless before the first */
	enum tag_quality quality;
	bool valued;      /* there was a good value once */
	struct wall time; /* of sampling; of the failure where quality is bad */
	uint32_t version; /* changes with every write */
};

/* value = (raw * num + add) / den: with a scale such as 0.001 the division by 1000 is correctly rounded, the
 * multiplication by 0.001 is not. */
struct tag_scale {
	double num, add, den;
};

struct tag_cell {
	_Atomic uint32_t sequence; /* odd: being written */
	_Atomic uint32_t kinds;    /* value kind, quality, valued */
	_Atomic uint64_t value_bits;
	_Atomic int64_t time_ns;
};

struct tag_table {
	struct tag_cell *cells;
	struct bytes *names;      /* "device.tag", not zero-terminated */
	struct tag_scale *scales; /* den 0: the raw value as it is */
	char *text;
	uint32_t count;
};

/* A cell for each tag of the configuration, in its order. -ENOMEM. */
NODISCARD int tag_table_open(struct tag_table *t, const struct cfg *c);
void tag_table_close(struct tag_table *t);

/* The tag whose full name this is, or CFG_NONE. O(tags): for the control socket. */
uint32_t tag_find(const struct tag_table *t, struct bytes name);

/* Its sampler: what was read, unscaled to scaled. */
struct value tag_scaled(const struct tag_table *t, uint32_t tag_idx, struct value raw);

void tag_write(struct tag_table *t, uint32_t tag_idx, struct value value, struct wall time);
/* Its sampler: the value stays, but is no longer good. */
void tag_write_bad(struct tag_table *t, uint32_t tag_idx, enum tag_quality why, struct wall time);

struct tag_sample tag_read(const struct tag_table *t, uint32_t tag_idx);

#endif
