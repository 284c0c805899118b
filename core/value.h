/* core/value.h - one value as it was sampled: a number or a truth value, and which of them.
 *
 * Purpose:  what a decoder hands to the tag table and a payload encoder takes from it. Integers stay integers (64 bits,
 *           exact); FLOAT32 says how many digits are real, so that 0.1f is printed as 0.1.
 * Memory:   16 bytes by value, no allocation. The zero value is `false`.
 * Threads:  pure.
 */
#ifndef CORE_VALUE_H
#define CORE_VALUE_H

#include "core/assert.h"
#include "core/base.h"

enum value_kind { VALUE_BOOL, VALUE_INT, VALUE_UINT, VALUE_FLOAT32, VALUE_FLOAT64 };

struct value {
	enum value_kind kind;
	union {
		bool b;     /* VALUE_BOOL */
		int64_t i;  /* VALUE_INT */
		uint64_t u; /* VALUE_UINT */
		double f;   /* VALUE_FLOAT32, VALUE_FLOAT64; may be NaN or infinite: devices send those */
	};
};

static_assert(sizeof(struct value) == 16, "a value is passed in two registers");

static inline struct value value_of_bool(bool b)
{
	return (struct value){.kind = VALUE_BOOL, .b = b};
}

static inline struct value value_of_int(int64_t i)
{
	return (struct value){.kind = VALUE_INT, .i = i};
}

static inline struct value value_of_uint(uint64_t u)
{
	return (struct value){.kind = VALUE_UINT, .u = u};
}

static inline struct value value_of_float32(float f)
{
	return (struct value){.kind = VALUE_FLOAT32, .f = (double)f};
}

static inline struct value value_of_float64(double f)
{
	return (struct value){.kind = VALUE_FLOAT64, .f = f};
}

/* For scaling, dead-bands and plots. Integers beyond 2^53 are rounded; true is 1. */
static inline double value_as_double(struct value v)
{
	switch (v.kind) {
	case VALUE_BOOL: return v.b ? 1.0 : 0.0;
	case VALUE_INT: return (double)v.i;
	case VALUE_UINT: return (double)v.u;
	case VALUE_FLOAT32:
	case VALUE_FLOAT64: return v.f;
	}
	UNREACHABLE();
}

#endif
