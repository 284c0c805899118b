/* proto/line_framer.h - a stream of bytes cut into lines, each ended by LF.
 *
 * Purpose:  for protocols with one message a line. However the stream was split, the same lines come out; each byte is
 *           looked at once.
 * Owner:    the caller's struct and buffer. Threads: one. Memory: the caller's; a line is borrowed from the buffer until
 *           the next call of line_framer_room.
 * Units:    bytes. A line has at most buffer_bytes - 1 of them, its LF not counted.
 * Errors:   line_framer_overflowed: the line is longer; there is no way back into step, so the stream should be closed.
 */
#ifndef PROTO_LINE_FRAMER_H
#define PROTO_LINE_FRAMER_H

#include "core/bytes.h"

struct line_framer {
	uint8_t *buffer;
	size_t buffer_bytes;
	size_t begin_bytes;   /* the first byte that is not in a line handed out */
	size_t scanned_bytes; /* no LF between begin and here */
	size_t used_bytes;
};

void line_framer_init(struct line_framer *f, void *buffer, size_t buffer_bytes);

/* Where the next bytes go, and how many at most; none only after an overflow, or while whole lines wait in a full buffer. */
struct writer line_framer_room(struct line_framer *f);
/* So many have been written there. */
void line_framer_filled(struct line_framer *f, size_t size_bytes);

/* The next whole line without its LF. False: more bytes are needed. */
NODISCARD bool line_framer_next(struct line_framer *f, struct bytes *line);

/* After line_framer_next said false: the buffer is full, and there is no end of a line in it. */
bool line_framer_overflowed(const struct line_framer *f);

#endif
