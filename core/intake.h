/* core/intake.h - a payload that came by subscription, into tags.
 *
 * Purpose:  reads what a message says and tells it to the definitions as a sampler tells what it has read. For one tag:
 *           a plain number or truth value, or JSON with `value` (and, as we write them, `quality` and `ts`), or the value that a
 *           JSON pointer names. For several tags of a definition: an object whose members are named as the tags are (in full, or
 *           without the device), `values` of such an object (our own group messages), or one tag by `tag` and `value`.
 * Owner:    the lane's source. Threads: that one.
 * Memory:   none is allocated.
 * Errors:   the number of values taken; -EINVAL, -ERANGE, -ENOENT with *why (a static text), and no tag has changed.
 */
#ifndef CORE_INTAKE_H
#define CORE_INTAKE_H

#include "core/definition.h"

/* tag_idx: the one that the message is for, or CFG_NONE: it says so itself. */
NODISCARD int intake(struct definition_lane *lane, uint32_t definition_idx, uint32_t tag_idx,
		     struct bytes payload, struct mono now, struct wall time, const char **why);

#endif
