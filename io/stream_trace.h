/* io/stream_trace.h - which connection a stream is, for the flight recorder.
 *
 * Purpose:  both addresses of a stream in the form that core/trace.h keeps.
 * Owner:    the stream's thread. Threads: that one. Memory: none.
 * Errors:   none: an address that is not known is all zero.
 */
#ifndef IO_STREAM_TRACE_H
#define IO_STREAM_TRACE_H

#include "core/trace.h"
#include "io/stream.h"

/* Of the connection that is open, or of the address that was tried last. Costs a system call where it is open. */
void stream_trace_endpoints(const struct stream *s, struct trace_source *source);

#endif
