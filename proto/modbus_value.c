#include "proto/modbus_value.h"

#include <errno.h>

static uint16_t type_registers(enum modbus_type type)
{
	switch (type) {
	case MODBUS_BOOL:
	case MODBUS_INT16:
	case MODBUS_UINT16: return 1;
	case MODBUS_INT32:
	case MODBUS_UINT32:
	case MODBUS_FLOAT32: return 2;
	case MODBUS_INT64:
	case MODBUS_UINT64:
	case MODBUS_FLOAT64: return 4;
	}
	UNREACHABLE();
}

uint16_t modbus_field_count(const struct modbus_field *field)
{
	return address_is_bits(field->address.space) ? 1 : type_registers(field->type);
}

const char *modbus_field_fault(const struct modbus_field *field)
{
	if (address_is_bits(field->address.space) && field->type != MODBUS_BOOL)
		return "a coil or discrete input holds a bool only";
	if (field->address.bit >= 0 && field->type != MODBUS_BOOL)
		return "a bit of a register is a bool";
	if ((uint32_t)field->address.offset + modbus_field_count(field) > 65536)
		return "the value reaches past the last register, 65535";
	return NULL;
}

/* The value's bytes, most significant first, as one number. */
static uint64_t assemble(struct bytes wire, enum modbus_order order)
{
	bool words_swapped = order == MODBUS_CDAB || order == MODBUS_DCBA;
	bool bytes_swapped = order == MODBUS_BADC || order == MODBUS_DCBA;
	size_t word_count = wire.size / 2;
	uint64_t number = 0;

	for (size_t i = 0; i < word_count; i++) {
		const uint8_t *word = wire.ptr + 2 * (words_swapped ? word_count - 1 - i : i);
		uint64_t high = word[bytes_swapped ? 1 : 0], low = word[bytes_swapped ? 0 : 1];

		number = number << 16 | high << 8 | low;
	}
	return number;
}

static struct value value_of_raw(const struct modbus_field *field, uint64_t raw)
{
	uint32_t raw32 = (uint32_t)raw;
	float f32;
	double f64;

	switch (field->type) {
	case MODBUS_BOOL:
		return value_of_bool(field->address.bit >= 0 ? raw >> (field->address.bit & 15) & 1
							     : raw != 0);
	case MODBUS_INT16: return value_of_int((int16_t)raw);
	case MODBUS_INT32: return value_of_int((int32_t)raw);
	case MODBUS_INT64: return value_of_int((int64_t)raw);
	case MODBUS_UINT16:
	case MODBUS_UINT32:
	case MODBUS_UINT64: return value_of_uint(raw);
	case MODBUS_FLOAT32: memcpy(&f32, &raw32, sizeof(f32)); return value_of_float32(f32);
	case MODBUS_FLOAT64: memcpy(&f64, &raw, sizeof(f64)); return value_of_float64(f64);
	}
	UNREACHABLE();
}

int modbus_field_decode(const struct modbus_field *field, uint16_t block_address, struct bytes data,
			struct value *out)
{
	size_t offset, size_bytes;

	if (field->address.offset < block_address)
		return -ERANGE;
	offset = (size_t)field->address.offset - block_address;
	if (address_is_bits(field->address.space)) {
		if (offset / 8 >= data.size)
			return -ERANGE;
		*out = value_of_bool(data.ptr[offset / 8] >> (offset % 8) & 1);
		return 0;
	}
	size_bytes = type_registers(field->type) * 2u;
	if (offset * 2 > data.size || data.size - offset * 2 < size_bytes)
		return -ERANGE;
	*out = value_of_raw(field, assemble(bytes_of(data.ptr + offset * 2, size_bytes), field->order));
	return 0;
}
