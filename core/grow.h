/* core/grow.h - room for one more item in an array that grows while a configuration is read.
 *
 * Purpose:  doubling with every overflow checked. Not for the data path: nothing there grows.
 * Owner:    the caller; free() the array.
 * Errors:   -ENOMEM, the array is as it was.
 */
#ifndef CORE_GROW_H
#define CORE_GROW_H

#include <errno.h>
#include <stdlib.h>

#include "core/base.h"

/* *array (a pointer to the pointer) has room for count + more items of item_bytes each. New room is zero. */
NODISCARD static inline int grow(void *array, uint32_t *capacity, uint32_t count, uint32_t more,
				 size_t item_bytes)
{
	void *old, *bigger;
	uint64_t wanted = (uint64_t)count + more;

	if (wanted <= *capacity)
		return 0;
	wanted = pow2_at_least(max_u64(wanted, 16));
	if (wanted > UINT32_MAX)
		return -ENOMEM;
	__builtin_memcpy(&old, array,
			 sizeof(old)); /* any pointer type, without breaking the aliasing rules */
	bigger = reallocarray(old, wanted, item_bytes);
	if (!bigger)
		return -ENOMEM;
	__builtin_memset((char *)bigger + *capacity * item_bytes, 0, (wanted - *capacity) * item_bytes);
	__builtin_memcpy(array, &bigger, sizeof(bigger));
	*capacity = (uint32_t)wanted;
	return 0;
}

#endif
