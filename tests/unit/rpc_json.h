/* tests/unit/rpc_json.h - what is in an answer of the control socket's methods.
 *
 * Purpose:  one member of an object, which must be there and of its kind.
 * Owner:    borrowed from the object. Errors: a failed expectation ends the test.
 */
#ifndef TESTS_UNIT_RPC_JSON_H
#define TESTS_UNIT_RPC_JSON_H

#include <jansson.h>

#include "tests/test.h"

static inline const char *text_in(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static inline int64_t number_in(const json_t *object, const char *name)
{
	EXPECT(json_is_integer(json_object_get(object, name)));
	return json_integer_value(json_object_get(object, name));
}

static inline double real_in(const json_t *object, const char *name)
{
	EXPECT(json_is_real(json_object_get(object, name)));
	return json_real_value(json_object_get(object, name));
}

static inline bool flag_in(const json_t *object, const char *name)
{
	EXPECT(json_is_boolean(json_object_get(object, name)));
	return json_is_true(json_object_get(object, name));
}

static inline json_t *item(const json_t *object, const char *list, size_t idx)
{
	return json_array_get(json_object_get(object, list), idx);
}

#endif
