/* core/thread_memory.h - what the calling thread has allocated so far.
 *
 * Purpose:  data threads allocate nothing after they are ready; this is the proof. Needs jemalloc, 0 without it.
 * Threads:  each asks for itself. Units: bytes since the thread began, frees not subtracted.
 */
#ifndef CORE_THREAD_MEMORY_H
#define CORE_THREAD_MEMORY_H

#include "core/base.h"

uint64_t thread_allocated_bytes(void);
/* Is there a counter at all? */
bool thread_memory_is_counted(void);

#endif
