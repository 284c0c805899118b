/* io/session_file.h - a session's store in a mapped file, so that the next process goes on where this one was killed.
 *
 * Purpose:  STATE_DIR/TARGET.session. At each start a new file is made beside the old one, takes over what the old one holds,
 *           and then takes its name: whatever happens in between, one of the two is whole. What is written to the mapping
 *           later outlives the process, not a loss of power: then the checks of proto/mqtt_store.h say so.
 * Owner:    the target. Threads: opened by the control thread, then the publisher's.
 * Memory:   the mapping; without a file (state_dir NULL, or it cannot be had) plain memory.
 * Errors:   -ENOMEM, -EBUSY: another process has the file; a file that cannot be had or trusted is logged, set aside, and
 *           done without.
 */
#ifndef IO_SESSION_FILE_H
#define IO_SESSION_FILE_H

#include "core/base.h"
#include "core/map_guard.h"
#include "proto/mqtt_session.h"

struct session_file {
	struct mqtt_store store;
	void *memory;
	uint64_t memory_bytes;
	int handle;              /* -1: plain memory */
	struct map_guard *guard; /* NULL: plain memory */
	char *path;              /* NULL: plain memory */
	char state[192];         /* "" or why it is not in a file, for people */
};

struct session_file_config {
	const char *state_dir; /* NULL: plain memory */
	const char *target;
	const char *client_id;
	enum mqtt_version version;
	struct mqtt_store_shape shape;             /* filter_count and filter_text_bytes of the wanted ones */
	const struct mqtt_session_filter *filters; /* shape.filter_count */
	bool only_count;                           /* plain memory, as large as the file would be */
};

NODISCARD int session_file_open(struct session_file *f, const struct session_file_config *config);
/* A target that begins each session anew: what an earlier configuration kept is not to come up again later. */
void session_file_forget(const struct session_file_config *config);
/* Writes nothing: as if the process had been killed. */
void session_file_close(struct session_file *f);

#endif
