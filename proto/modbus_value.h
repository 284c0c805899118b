/* proto/modbus_value.h - from the registers or bits of a response to a value.
 *
 * Purpose:  types and orders. Letters are the bytes of the value from its most significant (A), written in the order in
 *           which the device sends them; for 64 bits the same rule: CDAB swaps the 16-bit words, BADC the bytes in each
 *           word, DCBA both. A 16-bit value has only bytes to swap: BADC and DCBA swap them.
 * Threads:  pure.
 * Errors:   -ERANGE: the data does not hold the field; never past its end.
 */
#ifndef PROTO_MODBUS_VALUE_H
#define PROTO_MODBUS_VALUE_H

#include "core/address.h"
#include "core/bytes.h"
#include "core/value.h"

enum modbus_type {
	MODBUS_BOOL, /* a bit of the table, or a bit of a register; a whole register is true unless 0 */
	MODBUS_INT16,
	MODBUS_UINT16,
	MODBUS_INT32,
	MODBUS_UINT32,
	MODBUS_FLOAT32,
	MODBUS_INT64,
	MODBUS_UINT64,
	MODBUS_FLOAT64,
};

enum modbus_order { MODBUS_ABCD, MODBUS_CDAB, MODBUS_BADC, MODBUS_DCBA };

struct modbus_field {
	struct address address;
	enum modbus_type type;
	enum modbus_order order;
};

/* How many registers (or bits, for coils and discrete inputs: always 1) the field occupies. */
NODISCARD uint16_t modbus_field_count(const struct modbus_field *field);

/* May this type live at this address? NULL, or a static text: "a coil holds a bool only". */
const char *modbus_field_fault(const struct modbus_field *field);

/* The field's value from a response whose first register or bit is block_address. 0 or -ERANGE. */
NODISCARD int modbus_field_decode(const struct modbus_field *field, uint16_t block_address, struct bytes data,
				  struct value *out);

#endif
