/* tools/node_sync.h - the thread that brings files to the disk, and looks after them.
 *
 * Purpose:  `sync: interval` calls for it every sync_interval in which a message was made or sent, `sync: each` again as soon
 *           as there is a new one. One thread for all of them: a disk does one thing at a time anyway. Samplers and publishers know
 *           nothing of it, and wait for nothing: it reads their counters. Once a second it looks at each file of a ring and of a
 *           session, synced or not: a file system that hangs holds up nobody else. Somebody who writes to a ring's file writes to
 *           what samplers and publishers go by: they may wait for ever for what is not there, or send what nobody made. So where
 *           its header is no longer ours, the process ends, and begins anew when it is started again.
 * Owner:    the control thread. Threads: node_sync_ring_state and node_sync_session_state by anyone.
 * Memory:   in node_sync_open; no thread where there is no file.
 * Units:    nanoseconds; sync_interval is from the begin of one sync to that of the next, or longer where a sync takes longer.
 * Errors:   what is wrong with a file is told by tools/file_watch.h; a sync that has failed is tried again after sync_interval.
 */
#ifndef TOOLS_NODE_SYNC_H
#define TOOLS_NODE_SYNC_H

#include "core/config.h"
#include "core/ring_file.h"
#include "io/session_file.h"
#include "tools/file_watch.h"

struct node_sync;

struct node_sync_ring {
	bool only_count; /* as if its file were there */
	const struct ring_file *file;
	const char *name; /* of the target */
	enum cfg_sync sync;
	uint64_t interval_ns;
	const struct session_file *session;
	int (*do_sync)(const struct ring_file *file, int session_handle); /* node_sync_disk, but in tests */
	file_look_fn *do_look;                                            /* file_look, but in tests */
	void (*do_end)(const struct ring_file *file);                     /* node_sync_end, but in tests */
};

/* The ring, then the session: a message that the ring's file has marked as safe with the session is in the session's. */
NODISCARD int node_sync_disk(const struct ring_file *file, int session_handle);

/* Is the header in the file another than the one that was written at the start? False where it cannot be read. */
bool node_sync_is_overwritten(const struct ring_file *file);
/* Says so, and ends the process at once: its threads would not answer. */
void node_sync_end(const struct ring_file *file);

/* Targets that have neither file are left out; *out is NULL where none remains. -ENOMEM. */
NODISCARD int node_sync_open(struct node_sync **out, const struct node_sync_ring *rings, uint32_t count);
NODISCARD int node_sync_start(struct node_sync *s);
/* Syncs once more what was made, and ends the thread. */
void node_sync_stop(struct node_sync *s);
void node_sync_close(struct node_sync *s);

/* What is told of the files of the target with this ring; FILE_NOT_ASKED where it has none. text: "" or what is wrong. */
enum file_state node_sync_ring_state(const struct node_sync *s, const struct ring_file *file,
				     char text[SHARED_TEXT_BYTES]);
enum file_state node_sync_session_state(const struct node_sync *s, const struct session_file *session,
					char text[SHARED_TEXT_BYTES]);

/* One turn, and how long until the next: the thread's, or a test's with a time of its own. */
struct mono node_sync_step(struct node_sync *s, struct mono now);

#endif
