#include "proto/line_framer.h"

void line_framer_init(struct line_framer *f, void *buffer, size_t buffer_bytes)
{
	ASSERT(buffer_bytes > 1);
	*f = (struct line_framer){.buffer = buffer, .buffer_bytes = buffer_bytes};
}

struct writer line_framer_room(struct line_framer *f)
{
	if (f->begin_bytes > 0) {
		f->used_bytes -= f->begin_bytes;
		f->scanned_bytes -= f->begin_bytes;
		memmove(f->buffer, f->buffer + f->begin_bytes, f->used_bytes);
		f->begin_bytes = 0;
	}
	return writer_of(f->buffer + f->used_bytes, f->buffer_bytes - f->used_bytes);
}

void line_framer_filled(struct line_framer *f, size_t size_bytes)
{
	ASSERT(size_bytes <= f->buffer_bytes - f->used_bytes);
	f->used_bytes += size_bytes;
}

bool line_framer_next(struct line_framer *f, struct bytes *line)
{
	const uint8_t *from = f->buffer + f->begin_bytes;
	const uint8_t *end;

	ASSERT(f->begin_bytes <= f->scanned_bytes);
	ASSERT(f->scanned_bytes <= f->used_bytes);
	end = memchr(f->buffer + f->scanned_bytes, '\n', f->used_bytes - f->scanned_bytes);
	if (!end) {
		f->scanned_bytes = f->used_bytes;
		return false;
	}
	*line = bytes_of(from, (size_t)(end - from));
	f->begin_bytes = (size_t)(end + 1 - f->buffer);
	f->scanned_bytes = f->begin_bytes;
	return true;
}

bool line_framer_overflowed(const struct line_framer *f)
{
	return f->begin_bytes == 0 && f->used_bytes == f->buffer_bytes && f->scanned_bytes == f->used_bytes;
}
