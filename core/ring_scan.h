/* core/ring_scan.h - the messages in the image of a ring, as an earlier process left it.
 *
 * Purpose:  walks a ring file (or a copy of one, or one that is in use) and gives, oldest first, each message that was
 *           committed and is not through. For recovery and for looking at a file; nothing is changed.
 * Owner:    the caller; the image is borrowed, and begins on a page. Threads: one.
 * Memory:   a few words a segment, in ring_scan_open.
 * Errors:   every byte is hostile: what is not whole is counted as broken and left out, never trusted. Each size is read
 *           once, so that a file that is being written to leads nowhere either; its payloads may change while one looks.
 *
 *   file header (a page) | the map of core/ring_layout.h | topics of the channels
 */
#ifndef CORE_RING_SCAN_H
#define CORE_RING_SCAN_H

#include "core/bytes.h"
#include "core/ring.h"

#define RING_FILE_HEADER_BYTES 4096u

/* What a channel's number stands for in the file. */
struct ring_file_topic {
	struct bytes topic, props;
	uint32_t expiry_s;
	uint8_t qos;
	bool retain;
};

struct ring_file_header {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t header_crc; /* of the rest, as if this were 0 */
	struct ring_limits limits;
	uint64_t epoch;             /* random: which file it is */
	uint64_t boot;              /* which start of the machine time_ns counts from; 0: not known */
	uint64_t made_ns;           /* when the file was made, of that boot */
	int64_t wall_minus_mono_ns; /* of the machine when it was made: what time_ns means to another boot */
	uint64_t map_bytes;
	uint64_t topic_bytes;
	uint32_t topic_count;
	uint32_t topic_crc;
};

struct ring_scan_segment {
	uint64_t position;
	uint32_t idx, lane_idx, fill;
	enum { RING_SCAN_OPEN, RING_SCAN_HELD, RING_SCAN_READY, RING_SCAN_CLAIMED } state;
};

struct ring_scan_cursor {
	uint32_t segment, end;   /* into segments */
	uint32_t at;             /* units */
	uint32_t units;          /* of the whole record that was found there; 0: not looked for yet */
	struct ring_record head; /* of it, as it was checked */
};

struct ring_scan {
	const struct ring_file_header *header;
	const struct ring_map *map;
	const struct ring_lane_counts *lane_counts;
	const uint8_t *records;
	uint32_t segment_bytes;
	uint32_t segment_count;             /* of the ring */
	struct ring_scan_segment *segments; /* with something in them, by lane and position */
	uint32_t used_count;
	struct ring_scan_cursor cursors[RING_LANES_MAX];
	struct ring_file_topic *topics;
	uint64_t done_count, broken_count; /* seen so far */
};

struct ring_scan_message {
	struct ring_file_topic topic;
	struct bytes payload;
	uint64_t time_ns, sequence;
	uint32_t lane_idx;
	uint64_t origin; /* ring_origin() */
	bool done;
};

/* Which record it is, among all files: never 0. */
uint64_t ring_origin(uint64_t epoch, uint32_t lane_idx, uint64_t sequence);

/* -EINVAL with *why: not to be trusted at all; -ENOMEM. */
NODISCARD int ring_scan_open(struct ring_scan *s, const void *image, uint64_t image_bytes, const char **why);
/* The next message, those that are through included where with_done. False: that was all. */
NODISCARD bool ring_scan_next(struct ring_scan *s, bool with_done, struct ring_scan_message *out);
void ring_scan_close(struct ring_scan *s);

/* What the process before has lost and told nobody of: of what its ledger had found, by reason; what was overwritten, had expired
 * or was dropped, and not found. All zero where the counters contradict each other. */
struct ring_scan_losses {
	uint64_t unlocated_count, dropped_count;
	uint64_t untold[RING_LOSS_KINDS];
};
void ring_scan_losses_of(const struct ring_scan *s, struct ring_scan_losses *out);

/* The topics as bytes, at w; and the bytes that this takes. */
uint64_t ring_topics_bytes(const struct ring_file_topic *topics, uint32_t count);
void ring_topics_write(struct writer *w, const struct ring_file_topic *topics, uint32_t count);

#endif
