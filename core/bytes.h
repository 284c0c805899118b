/* core/bytes.h - the one way to read and to write bytes: a cursor that cannot leave its buffer.
 *
 * Purpose:  every parser reads through struct reader, every encoder writes through struct writer. A step past
 *           the end sets `failed` and yields zeroes; callers check once, at the end of a group of fields.
 * Owner:    the caller's struct; the bytes are borrowed and must outlive the cursor.
 * Threads:  none shared.
 * Units:    sizes in bytes. Numbers are big-endian (MQTT, Modbus) unless the name says le.
 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <string.h>

#include "core/assert.h"
#include "core/base.h"

/* A borrowed run of bytes; not zero-terminated. ptr may be NULL only where size is 0. */
struct bytes {
	const uint8_t *ptr;
	size_t size;
};

static inline struct bytes bytes_of(const void *ptr, size_t size)
{
	return (struct bytes){.ptr = ptr, .size = size};
}

static inline struct bytes bytes_of_text(const char *text)
{
	return (struct bytes){.ptr = (const uint8_t *)text, .size = strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.ptr, b.ptr, a.size) == 0);
}

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline struct reader reader_of(struct bytes b)
{
	return (struct reader){.at = b.ptr, .end = b.size ? b.ptr + b.size : b.ptr};
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

/* The next size bytes, or an empty run with failed set. */
static inline struct bytes read_bytes(struct reader *r, size_t size)
{
	struct bytes b = {.ptr = r->at, .size = size};

	if (r->failed || size > reader_left(r)) {
		r->failed = true;
		return (struct bytes){.ptr = r->at};
	}
	r->at += size;
	return b;
}

static inline uint8_t read_u8(struct reader *r)
{
	struct bytes b = read_bytes(r, 1);

	return b.size ? b.ptr[0] : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
	struct bytes b = read_bytes(r, 2);

	return b.size ? (uint16_t)(b.ptr[0] << 8 | b.ptr[1]) : 0;
}

static inline uint32_t read_u32(struct reader *r)
{
	struct bytes b = read_bytes(r, 4);

	return b.size ? (uint32_t)b.ptr[0] << 24 | (uint32_t)b.ptr[1] << 16 | (uint32_t)b.ptr[2] << 8 |
				b.ptr[3]
		      : 0;
}

struct writer {
	uint8_t *at;
	uint8_t *end;
	bool failed;
};

static inline struct writer writer_of(void *buffer, size_t size_bytes)
{
	uint8_t *p = buffer;

	return (struct writer){.at = p, .end = size_bytes ? p + size_bytes : p};
}

static inline size_t writer_left(const struct writer *w)
{
	return (size_t)(w->end - w->at);
}

static inline void write_bytes(struct writer *w, const void *ptr, size_t size_bytes)
{
	if (w->failed || size_bytes > writer_left(w)) {
		w->failed = true;
		return;
	}
	if (size_bytes)
		memcpy(w->at, ptr, size_bytes);
	w->at += size_bytes;
}

static inline void write_u8(struct writer *w, uint8_t value)
{
	write_bytes(w, &value, 1);
}

static inline void write_u16(struct writer *w, uint16_t value)
{
	uint8_t b[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	write_bytes(w, b, sizeof(b));
}

static inline void write_u32(struct writer *w, uint32_t value)
{
	uint8_t b[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
			(uint8_t)value};

	write_bytes(w, b, sizeof(b));
}

static inline void write_text(struct writer *w, const char *text)
{
	write_bytes(w, text, strlen(text));
}

#endif
