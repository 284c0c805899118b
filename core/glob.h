/* core/glob.h - does a name match a pattern, where * stands for any run of characters?
 *
 * Purpose:  patterns of tags, as in "meter1.*". Nothing else is special, and letters count as they are.
 * Threads:  pure. Memory: none.
 * Limits:   at most the product of both sizes in steps.
 */
#ifndef CORE_GLOB_H
#define CORE_GLOB_H

#include "core/bytes.h"

NODISCARD bool glob_matches(struct bytes pattern, struct bytes text);

#endif
