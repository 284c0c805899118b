/* tools/ctl_trace.h - what the flight recorders of a running daemon hold: fetched, written to a file, printed.
 *
 * Purpose:  the verb `ringctl trace`. Records of all chosen targets and lines, in the order of time.
 * Owner:    the caller. Threads: one. Memory: grows with what is fetched, which the daemon's recorders bound; ctl_trace_free.
 * Units:    seconds back from now, or from where the recorders were frozen.
 * Errors:   as ctl_call; -EBADMSG: what the daemon answers is not understood.
 */
#ifndef TOOLS_CTL_TRACE_H
#define TOOLS_CTL_TRACE_H

#include "core/trace.h"
#include "tools/capture.h"
#include "tools/ctl_client.h"

struct ctl_trace_source {
	char *name;
	enum capture_protocol protocol;
	uint8_t mqtt_level;
	bool is_recording;
	uint64_t frame_count; /* sent and received, of the records that were wanted */
	uint64_t lost_bytes;  /* overwritten while they were fetched */
};

struct ctl_trace_record {
	struct wall time;
	uint32_t source_idx;
	uint64_t order; /* among records of the same time: as they came */
	struct trace_record head;
	size_t endpoints_at, kept_at, topics_at; /* in bytes */
	size_t topics_bytes; /* of messages that have only an alias: the topics, each once */
};

struct ctl_trace {
	struct ctl_trace_source *sources;
	uint32_t source_count;
	struct ctl_trace_record *records;
	size_t record_count, record_room;
	uint8_t *bytes;
	size_t byte_count, byte_room;
};

/* Of these names and patterns; seconds: 0 for all there is. To be freed, also after an error. */
NODISCARD int ctl_trace_fetch(struct ctl_trace *t, struct ctl_client *c, const json_t *names,
			      uint64_t seconds, struct jsonrpc_error *why);
void ctl_trace_free(struct ctl_trace *t);

/* As pcapng; path "-": standard output. 0, or the -errno of what could not be written. What it writes is for its owner alone:
 * payloads are in it. */
NODISCARD int ctl_trace_save(const struct ctl_trace *t, const char *path);

/* A line a record: for people, or a JSON object. */
void ctl_trace_print(const struct ctl_trace *t, bool json);
/* What was saved. */
void ctl_trace_print_saved(const struct ctl_trace *t, const char *path, bool json);
/* To stderr: of which of them there is nothing, and why perhaps. */
void ctl_trace_warn(const struct ctl_trace *t);

/* The answers to trace.list, trace.start, trace.stop, trace.freeze and trace.resume. */
void ctl_trace_show_list(const json_t *result);
void ctl_trace_show_switched(const json_t *result);
void ctl_trace_show_frozen(const json_t *result);

#endif
