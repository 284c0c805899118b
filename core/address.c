#include "core/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/assert.h"

const char *address_space_text(enum address_space space)
{
	switch (space) {
	case ADDRESS_COIL: return "coil";
	case ADDRESS_DISCRETE: return "discrete";
	case ADDRESS_INPUT: return "input";
	case ADDRESS_HOLDING: return "holding";
	}
	UNREACHABLE();
}

/* Decimal digits at *at, at most six of them (no address needs more). Returns how many there were. */
static size_t parse_digits(const char **at, uint32_t *out)
{
	size_t digit_count = 0;
	uint32_t number = 0;

	while (digit_count < 7 && (*at)[digit_count] >= '0' && (*at)[digit_count] <= '9') {
		number = number * 10 + (uint32_t)((*at)[digit_count] - '0');
		digit_count++;
	}
	*at += digit_count;
	*out = number;
	return digit_count;
}

/* "input:" and the like; false if text does not begin with a table's name. */
static bool parse_space(const char **at, enum address_space *out)
{
	static const enum address_space spaces[] = {ADDRESS_COIL, ADDRESS_DISCRETE, ADDRESS_INPUT,
						    ADDRESS_HOLDING};

	for (size_t i = 0; i < ARRAY_COUNT(spaces); i++) {
		const char *name = address_space_text(spaces[i]);
		size_t size_bytes = strlen(name);

		if (strncmp(*at, name, size_bytes) == 0 && (*at)[size_bytes] == ':') {
			*at += size_bytes + 1;
			*out = spaces[i];
			return true;
		}
	}
	return false;
}

/* 40001, 400001: the first digit is the table, the rest the one-based number. */
static const char *parse_catalogue(const char **at, struct address *a)
{
	uint32_t number;
	uint32_t table_size;
	size_t digit_count = parse_digits(at, &number);

	if (digit_count != 5 && digit_count != 6)
		return "an address is coil:, discrete:, input: or holding: and a number, or five or six "
		       "digits";
	table_size = digit_count == 5 ? 10000 : 100000;
	switch (number / table_size) {
	case 0: a->space = ADDRESS_COIL; break;
	case 1: a->space = ADDRESS_DISCRETE; break;
	case 3: a->space = ADDRESS_INPUT; break;
	case 4: a->space = ADDRESS_HOLDING; break;
	default: return "the first digit of a five or six digit address is 0, 1, 3 or 4";
	}
	number %= table_size;
	if (number == 0)
		return "five and six digit addresses count from one: 40001 is holding:0";
	if (number > 65536)
		return "the highest address is 65536 in six digits, holding:65535";
	a->offset = (uint16_t)(number - 1);
	return NULL;
}

static const char *parse_offset(const char **at, struct address *a)
{
	uint32_t number;
	size_t digit_count = parse_digits(at, &number);

	if (digit_count == 0)
		return "a number is missing after the colon";
	if (digit_count > 6 || number > 65535)
		return "the highest address is 65535";
	a->offset = (uint16_t)number;
	return NULL;
}

static const char *parse_bit(const char **at, struct address *a)
{
	uint32_t number;
	size_t digit_count;

	if (**at != '.')
		return NULL;
	(*at)++;
	if (address_is_bits(a->space))
		return "a coil or discrete input is a bit already: leave out the part after the dot";
	digit_count = parse_digits(at, &number);
	if (digit_count == 0 || digit_count > 2 || number > 15)
		return "the bit of a register is 0 to 15";
	a->bit = (int8_t)number;
	return NULL;
}

int address_parse(const char *text, struct address *out, const char **why)
{
	struct address a = {.bit = -1};
	const char *at = text;

	ASSERT(text);
	ASSERT(out);
	ASSERT(why);
	*why = parse_space(&at, &a.space) ? parse_offset(&at, &a) : parse_catalogue(&at, &a);
	if (!*why)
		*why = parse_bit(&at, &a);
	if (!*why && *at != '\0')
		*why = "there is something after the address";
	if (*why)
		return -EINVAL;
	*out = a;
	return 0;
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
	const char *space = address_space_text(address->space);

	if (address->bit >= 0)
		snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u.%u", space, address->offset,
			 (unsigned int)address->bit & 15u);
	else
		snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u", space, address->offset);
}
