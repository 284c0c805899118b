#include "core/pcapng.h"

#include <errno.h>

enum block { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6 };
enum option {
	OPTION_COMMENT = 1,
	OPTION_PACKET_FLAGS = 2,
	OPTION_INTERFACE_NAME = 2,
	OPTION_INTERFACE_DESCRIPTION = 3,
	OPTION_SECTION_PROGRAM = 4,
	OPTION_INTERFACE_RESOLUTION = 9,
};
#define MAGIC         0x1a2b3c4du
#define BLOCK_BYTES   12u /* type and both lengths */
#define NANOSECONDS   9u
#define FIXED_SECTION 16u
#define FIXED_LINK    8u
#define FIXED_PACKET  20u

static uint32_t padded(size_t size_bytes)
{
	return (uint32_t)align_up(size_bytes, 4);
}

static struct bytes text_of(struct bytes text)
{
	return bytes_of(text.ptr, min_size(text.size, PCAPNG_TEXT_BYTES_MAX));
}

static uint32_t option_bytes(struct bytes value)
{
	return value.size ? 4 + padded(value.size) : 0;
}

static void put_padded(struct writer *w, struct bytes value)
{
	static const uint8_t zeroes[4];

	write_bytes(w, value.ptr, value.size);
	write_bytes(w, zeroes, padded(value.size) - value.size);
}

/* Nothing where it is empty. */
static void put_option(struct writer *w, enum option code, struct bytes value)
{
	if (value.size == 0)
		return;
	write_u16(w, (uint16_t)code);
	write_u16(w, (uint16_t)value.size);
	put_padded(w, value);
}

static void put_end_of_options(struct writer *w)
{
	write_u32(w, 0);
}

static int done(const struct writer *w)
{
	return w->failed ? -EMSGSIZE : 0;
}

int pcapng_section(struct writer *w, const char *program)
{
	struct bytes name = text_of(bytes_of_text(program));
	uint32_t size_bytes = BLOCK_BYTES + FIXED_SECTION + option_bytes(name) + 4;

	write_u32(w, BLOCK_SECTION);
	write_u32(w, size_bytes);
	write_u32(w, MAGIC);
	write_u16(w, 1); /* version 1.0 */
	write_u16(w, 0);
	write_u32(w, UINT32_MAX); /* as many bytes as there are */
	write_u32(w, UINT32_MAX);
	put_option(w, OPTION_SECTION_PROGRAM, name);
	put_end_of_options(w);
	write_u32(w, size_bytes);
	return done(w);
}

int pcapng_interface(struct writer *w, enum pcapng_link link, const char *name, const char *description)
{
	static const uint8_t resolution = NANOSECONDS;
	struct bytes n = text_of(bytes_of_text(name));
	struct bytes d = text_of(bytes_of_text(description));
	struct bytes r = bytes_of(&resolution, 1);
	uint32_t size_bytes = BLOCK_BYTES + FIXED_LINK + option_bytes(n) + option_bytes(d) + option_bytes(r) +
			      4;

	write_u32(w, BLOCK_INTERFACE);
	write_u32(w, size_bytes);
	write_u16(w, (uint16_t)link);
	write_u16(w, 0);
	write_u32(w, 0); /* packets of any size */
	put_option(w, OPTION_INTERFACE_NAME, n);
	put_option(w, OPTION_INTERFACE_DESCRIPTION, d);
	put_option(w, OPTION_INTERFACE_RESOLUTION, r);
	put_end_of_options(w);
	write_u32(w, size_bytes);
	return done(w);
}

int pcapng_packet(struct writer *w, const struct pcapng_packet *p)
{
	struct bytes comment = text_of(p->comment);
	uint8_t flags[4] = {0, 0, 0, (uint8_t)p->direction};
	uint64_t time_ns = p->time.ns < 0 ? 0 : (uint64_t)p->time.ns;

	ASSERT(p->length_bytes >= p->kept.size);
	if (p->kept.size > INT32_MAX) { /* larger than any block says */
		w->failed = true;
		return -EMSGSIZE;
	}
	uint32_t size_bytes = BLOCK_BYTES + FIXED_PACKET + padded(p->kept.size) +
			      option_bytes(bytes_of(flags, sizeof(flags))) + option_bytes(comment) + 4;

	write_u32(w, BLOCK_PACKET);
	write_u32(w, size_bytes);
	write_u32(w, p->interface_idx);
	write_u32(w, (uint32_t)(time_ns >> 32));
	write_u32(w, (uint32_t)time_ns);
	write_u32(w, (uint32_t)p->kept.size);
	write_u32(w, p->length_bytes);
	put_padded(w, p->kept);
	put_option(w, OPTION_PACKET_FLAGS, bytes_of(flags, sizeof(flags)));
	put_option(w, OPTION_COMMENT, comment);
	put_end_of_options(w);
	write_u32(w, size_bytes);
	return done(w);
}
