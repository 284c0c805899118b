/* core/address.h - where a value lives in a Modbus device, and how people write that.
 *
 * Purpose:  "input:52", "holding:100.3" (bit 3 of a register), "coil:0", "discrete:7": zero-based, as on the wire.
 *           Five and six digits are the catalogue notation and one-based: 40001 and 400001 are holding:0, 30001 input:0,
 *           10001 discrete:0, 00001 coil:0; a register may have its bit there too (40101.3).
 * Memory:   4 bytes of meaning by value; texts are static or the caller's.
 * Threads:  pure.
 * Errors:   -EINVAL with *why, a static text that says what is wrong with the address.
 */
#ifndef CORE_ADDRESS_H
#define CORE_ADDRESS_H

#include "core/base.h"

enum address_space { ADDRESS_COIL, ADDRESS_DISCRETE, ADDRESS_INPUT, ADDRESS_HOLDING };

struct address {
	enum address_space space;
	uint16_t offset; /* zero-based, in bits (coil, discrete) or registers (input, holding) */
	int8_t bit;      /* 0..15 of a register, 0 the least significant; -1: the whole */
};

/* 0 and *out, or -EINVAL and *why; *out is untouched then. */
NODISCARD int address_parse(const char *text, struct address *out, const char **why);

/* "coil", "discrete", "input", "holding". */
const char *address_space_text(enum address_space space);

/* Coils and discrete inputs are bits; input and holding registers are 16-bit words. */
static inline bool address_is_bits(enum address_space space)
{
	return space == ADDRESS_COIL || space == ADDRESS_DISCRETE;
}

/* Can a master write there? */
static inline bool address_is_writable(enum address_space space)
{
	return space == ADDRESS_COIL || space == ADDRESS_HOLDING;
}

/* The canonical text, "holding:100.3"; fits with its zero. */
#define ADDRESS_TEXT_BYTES 24
void address_format(const struct address *address, char text[ADDRESS_TEXT_BYTES]);

#endif
