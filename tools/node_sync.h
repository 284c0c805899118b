/* tools/node_sync.h - the thread that brings rings in files to the disk.
 *
 * Purpose:  `sync: interval` calls for it every sync_interval in which a message was made or sent, `sync: each` again as soon
 *           as there is a new one. One thread for all of them: a disk does one thing at a time anyway. Samplers and publishers know
 *           nothing of it, and wait for nothing: it reads their counters.
 * Owner:    the control thread. Threads: node_sync_text by anyone.
 * Memory:   in node_sync_open; no thread where no ring is to be synced.
 * Units:    nanoseconds; sync_interval is from the begin of one sync to that of the next, or longer where a sync takes longer.
 * Errors:   a sync that fails is logged once, until one succeeds again, and is what node_sync_text says meanwhile.
 */
#ifndef TOOLS_NODE_SYNC_H
#define TOOLS_NODE_SYNC_H

#include "core/config.h"
#include "core/ring_file.h"
#include "core/shared_text.h"

struct node_sync;

struct node_sync_ring {
	const struct ring_file *file;
	const char *name; /* of the target */
	enum cfg_sync sync;
	uint64_t interval_ns;
	int session_handle;                                               /* -1: none */
	int (*do_sync)(const struct ring_file *file, int session_handle); /* node_sync_disk, but in tests */
};

/* The ring, then the session: a message that the ring's file has marked as safe with the session is in the session's. */
NODISCARD int node_sync_disk(const struct ring_file *file, int session_handle);

/* Rings in memory, and those with sync: never, are left out; *out is NULL where none remains. -ENOMEM. */
NODISCARD int node_sync_open(struct node_sync **out, const struct node_sync_ring *rings, uint32_t count);
NODISCARD int node_sync_start(struct node_sync *s);
/* Syncs once more what was made, and ends the thread. */
void node_sync_stop(struct node_sync *s);
void node_sync_close(struct node_sync *s);

/* What is wrong with the syncs of this ring, "" where nothing is. */
void node_sync_text(const struct node_sync *s, const struct ring_file *file, char out[SHARED_TEXT_BYTES]);

/* One turn, and how long until the next: the thread's, or a test's with a time of its own. */
struct mono node_sync_step(struct node_sync *s, struct mono now);

#endif
