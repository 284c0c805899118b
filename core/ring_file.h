/* core/ring_file.h - a ring in a file, so that what was committed is not lost with the process.
 *
 * Purpose:  at each start a new file is made beside the old one; what the old one still had to send is taken over, with its
 *           topic, QoS and time, whatever the configuration says now; then the new file takes the old one's name. Killed at any
 *           instant, one of the two is whole.
 * Owner:    the target. Threads: opened by the control thread; ring_file_sync by any one thread at a time.
 * Memory:   the mapping, sized and filled with blocks at start: a full disk is told then. Where the file system fails later,
 *           the mapping becomes plain memory: core/map_guard.h.
 * Units:    nanoseconds of the monotonic clock; by the wall clock where the machine was started anew in between, only then:
 *           the wall clock of a machine without a battery jumps by decades when it is first set.
 * Errors:   -ENOMEM, -EBUSY (another process has the file), -EINVAL (limits out of range); what else is wrong with a file is a text, and the ring is in
 *           memory then; a file that is not to be trusted is moved aside (core/kept_file.h), what is no file stays where it is.
 * Source:   core/ring.h; the order of the stores is that of the program, and the page cache outlives SIGKILL.
 */
#ifndef CORE_RING_FILE_H
#define CORE_RING_FILE_H

#include "core/map_guard.h"
#include "core/ring_scan.h"

struct ring_file_config {
	const char *path;
	struct ring_limits limits;            /* its last lane is for what is taken over */
	const struct ring_file_topic *topics; /* by channel number */
	uint32_t topic_count;
	uint32_t mark_bytes; /* more room before each payload than a header needs */
	uint64_t epoch;      /* random */
	uint64_t boot;       /* which start of the machine this is; 0: the kernel is asked */
};

struct ring_file {
	struct ring *ring;
	void *memory;
	uint64_t memory_bytes;
	uint64_t epoch, boot;
	uint32_t mark_bytes;
	int handle;                     /* -1: the ring is in memory */
	struct map_guard *guard;        /* NULL: in memory */
	char *path;                     /* NULL: in memory */
	uint64_t restored_count;        /* messages taken over */
	uint64_t known_count;           /* left out: the session has them */
	uint64_t broken_count;          /* were not whole */
	uint64_t unfit_count;           /* larger than the largest message now */
	struct ring_scan_losses losses; /* of the process before; overwritten before lost_to */
	struct mono lost_from, lost_to;
	char state[192]; /* "" or what is not as asked, for people */
};

/* How large a record has to be so that what the file still has to send fits, beside what limits ask for: the same, or more, but
 * never so much that the new file is larger than the old one and larger than limits make it. */
NODISCARD uint32_t ring_file_record_bytes(const char *path, const struct ring_limits *limits,
					  uint32_t mark_bytes);

/* How large the file is. */
uint64_t ring_file_bytes(const struct ring_file_config *config);

/* origins: of messages that the session has, sorted; they are not taken over. */
NODISCARD int ring_file_open(struct ring_file *f, const struct ring_file_config *config,
			     const uint64_t *origins, uint32_t origin_count, struct mono mono,
			     struct wall wall);
/* Writes nothing: as if the process had been killed. */
void ring_file_close(struct ring_file *f);

/* Which record it is, for the session's store; 0: the ring is in memory. */
uint64_t ring_file_origin(const struct ring_file *f, const struct ring_record *rec);

/* What is in the mapping now is on the disk when it returns. 0, or -errno. */
NODISCARD int ring_file_sync(const struct ring_file *f);

/* core/ring_scan.c */
uint32_t ring_file_header_crc(const struct ring_file_header *h);

#endif
