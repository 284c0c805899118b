/* core/definition.h - which values become messages, when, and for whom.
 *
 * Purpose:  a sampler tells what it has read; the definitions of that tag decide (change, dead-band, heartbeat, cycle) and
 *           the message is encoded straight into the target's ring.
 *
 *     definition_update  ->  feed (tag x on-change definition)  ->  channel (topic, QoS)  ->  ring of the target
 *     definition_tick    ->  beat (cycle or heartbeat)          ->  channel               ->  ring of the target
 *     definition_forward ->  a message as it came                                         ->  ring of another target
 *
 *           Sources of values are the samplers, and the publishers for what comes by subscription. Each has a lane here.
 *
 * Owner:    built from the configuration before the threads start. Threads: a struct definition_lane belongs to one
 *           source's thread; channels are read-only and may be read by publishers; everything else is private.
 * Memory:   all of it in definitions_open.
 * Errors:   a message that finds no room in its ring is dropped and counted there; the change is tried again at the
 *           tag's next sample.
 *
 * Group messages carry the tags of several samplers: the one that has news encodes them all, reading the others' cells.
 */
#ifndef CORE_DEFINITION_H
#define CORE_DEFINITION_H

#include "core/config.h"
#include "core/metrics.h"
#include "core/ring.h"
#include "core/tag.h"
#include "core/time_text.h"
#include "core/timers.h"

/* Room before each payload for the publisher's header, beside topic and properties: fixed header 5, topic length 2, packet
 * identifier 2, property length up to 4, topic alias 3 and expiry 5, rounded up. */
#define CHANNEL_HEADER_BYTES 24u

/* The same where the target marks what it replays: user property `replay` with a time of 27 characters. */
#define CHANNEL_MARK_BYTES 38u

/* "No source": the tag's values come from nowhere. */
#define DEFINITION_NO_SOURCE UINT32_MAX

/* One topic of one definition. */
struct channel {
	struct bytes topic;
	uint32_t definition_idx;
	uint32_t target_idx;
	uint32_t local_idx;                  /* among the channels of its target, from 0 */
	uint32_t member_first, member_count; /* tags it carries: into definitions.members */
	uint32_t beat_idx;                   /* + 1; a group's heartbeat; 0: none */
	uint32_t headroom_bytes;
	uint32_t payload_bytes_max;
	uint32_t expiry_s; /* 0: none */
	enum cfg_payload payload;
	uint8_t qos;
	bool retain;
	bool group;
	bool sequence;
};

/* What definitions ask of one target's ring. */
struct definition_port {
	struct ring *ring; /* NULL until attached */
	uint32_t channel_count;
	uint32_t header_bytes; /* room before each payload, beside topic and properties */
	uint32_t headroom_bytes_max;
	uint32_t record_bytes_max;
	uint32_t lane_count;
	uint8_t *lane_of_source;
};

/* What became of messages, by definition; written by its target's publisher. */
struct definition_counts {
	struct counter refused;  /* publishing: the server's limits do not admit them, or it said no */
	struct counter received; /* subscribing: messages that it was given */
	struct counter values, rejected;       /* subscribing: values taken; payloads that gave none */
	struct counter forwarded, unforwarded; /* subscribing: passed on; too large for that, or no room */
};

/* One tag in one on-change definition; its sampler's. Links are feed indices + 1, 0 ends. */
struct feed {
	uint32_t tag_idx;
	uint32_t channel_idx;
	uint32_t beat_idx; /* + 1; 0: no heartbeat */
	enum cfg_deadband deadband;
	double deadband_size;
	struct value sent_value;
	enum tag_quality sent_quality;
	bool sent;
	struct mono sent_at;
	uint32_t older, newer; /* the beat's queue, by sent_at */
};

enum beat_kind { BEAT_CYCLE, BEAT_TAG_HEARTBEAT, BEAT_GROUP_HEARTBEAT };

/* A recurring duty of one source in one definition. */
struct beat {
	struct timer timer;
	uint32_t source_idx;
	enum beat_kind kind;
	uint64_t period_ns;
	uint32_t channel_first,
		channel_count;   /* cycle: into definitions.beat_channels; group heartbeat: one */
	uint32_t oldest, newest; /* per-tag heartbeat: feeds */
	struct mono due;         /* cycle: the grid */
};

#define DEFINITION_NO_LANE 0xffu

struct definitions;

struct definition_lane {
	struct definitions *all;
	uint32_t source_idx;
	struct timers timers;
	struct time_cache cache;
	uint32_t *touched; /* targets with new messages since definition_touched_clear */
	uint32_t touched_count;
	bool *touched_flag;
	uint32_t *dirty; /* group channels with news, sent by definition_flush */
	uint32_t dirty_count;
	bool *dirty_flag;
	struct sampler_metrics *metrics;
};

struct definitions {
	const struct cfg *cfg;
	struct tag_table *tags;
	struct channel *channels;
	uint32_t channel_count;
	uint32_t *members;             /* tag indices */
	struct definition_port *ports; /* one a target */
	struct feed *feeds;
	uint32_t feed_count;
	uint32_t *feed_first; /* by tag, tag_count + 1 of them */
	struct beat *beats;
	uint32_t beat_count;
	uint32_t *beat_channels;
	struct definition_lane *lanes; /* one a source */
	uint32_t source_count;         /* samplers, then publishers */
	uint32_t *refs_by_full_name,
		*refs_by_name;            /* as cfg.refs, of subscriptions sorted by the tags' names */
	uint32_t *source_of_tag;          /* or DEFINITION_NO_SOURCE */
	struct definition_counts *counts; /* by definition */
	char *topics;
};

static inline uint32_t definition_source_of_publisher(const struct cfg *c, uint32_t publisher_idx)
{
	return c->sampler_count + publisher_idx;
}

/* The tag of a subscribing definition with that name, in full or without its device, or CFG_NONE. O(log n). */
uint32_t definition_tag_named(const struct definitions *d, uint32_t definition_idx, struct bytes name);

/* Most bytes that the properties of a definition's messages take, without Topic Alias and expiry. */
uint32_t definition_props_bytes_max(const struct cfg *c, const struct cfg_props *p);

/* Expands everything. The configuration and the tags are borrowed. -ENOMEM. */
NODISCARD int definitions_open(struct definitions **out, const struct cfg *c, struct tag_table *tags);
void definitions_close(struct definitions *d);

/* Before the threads start: where the target's messages go, and where a lane counts. */
void definitions_attach_ring(struct definitions *d, uint32_t target_idx, struct ring *ring);
void definitions_attach_metrics(struct definitions *d, uint32_t source_idx, struct sampler_metrics *metrics);

/* Source, at start: cycles begin at `now`. */
void definition_start(struct definition_lane *lane, struct mono now);

/* Source: a raw value was read; it is scaled, kept, and what must be told is told (group messages at flush). */
void definition_update(struct definition_lane *lane, uint32_t tag_idx, struct value raw, struct wall time,
		       struct mono now);
/* Source: reading failed. */
void definition_update_bad(struct definition_lane *lane, uint32_t tag_idx, enum tag_quality why,
			   struct wall time, struct mono now);

/* Source, after a run of updates: group messages, one a definition however many of its tags have changed. */
void definition_flush(struct definition_lane *lane, struct wall time, struct mono now);

/* Source: room in a target's ring for a message that brings its own topic (core/carried.h), or NULL: it does not fit, or the
 * ring had no room. Written and then sent by definition_forward_end, or reserved again. */
NODISCARD uint8_t *definition_forward_begin(struct definition_lane *lane, uint32_t target_idx,
					    uint64_t headroom_bytes, uint64_t payload_bytes_max,
					    struct mono now);
void definition_forward_end(struct definition_lane *lane, uint32_t target_idx, uint32_t payload_bytes,
			    struct mono now);

/* Source: cycles and heartbeats that are due; at most one message a channel. */
void definition_tick(struct definition_lane *lane, struct wall time, struct mono now);

static inline struct mono definition_deadline(const struct definition_lane *lane)
{
	return timers_next(&lane->timers);
}

/* Source: the targets that touched[] named have been told. */
void definition_touched_clear(struct definition_lane *lane);

#endif
