/* core/map_guard.h - what is mapped from a file stays usable when the file system gives way under it.
 *
 * Purpose:  after each write-back the kernel write-protects a page of a shared mapping, and asks the file system at the next
 *           store. One that has become read-only (errors=remount-ro), was shut down, has lost its device, or copies on write and is
 *           full, says no, and the thread that stores gets SIGBUS. Here its page, and the block of pages around it, becomes
 *           anonymous memory with the same content, and the store is made again: the process goes on from memory.
 *
 *           fault -> take the guard -> page done? -> PROT_READ on the block -> copy -> mremap over it -> release -> the store again
 *
 *   - The content is read by process_vm_readv, which answers EFAULT where a load would be the next SIGBUS: the page is gone (someone
 *     cut the file off, or it was not in memory and its device is away). There is nothing to go on with then: that is said in
 *     one line, and the signal does what it would have done without us.
 *   - Two threads may fault on one page. One takes the guard; the other waits, finds the page done and only stores again. If it
 *     replaced the page once more, it would take back what the first has stored meanwhile.
 *   - The page that faults is read-only for all threads, but its neighbours in the block are not, and the file system may change
 *     its mind between our copy and our mremap. So the block is made PROT_READ first: from then on a store into it is a SIGSEGV,
 *     whose handler waits until the guard is free, and stores again. No store is lost, no compare-and-swap succeeds twice.
 *     A thread waits at most once a window: one that comes more often than there were windows has a fault of its own.
 *   - mremap unmaps and moves while it holds the lock of the address space: no thread meets a hole.
 *   - Blocks, because each is a mapping of its own, and a process has 65530 of them by default. A block of which some other page
 *     cannot be read is left in the file but for the page that is needed.
 *   - Waiting is poll() with a time-out, not spinning: the thread that waits may have a real-time priority, and the one that
 *     works the same CPU.
 *   - What the kernel sends from the old page (io_uring, a socket's buffer) it goes on sending: it holds the page, and what is
 *     under way is not written to before its completion.
 *   - In the handler there are only system calls and atomics; errno is left as it was.
 *
 * Owner:    whoever owns the mapping. Threads: map_guard_open before any thread that writes to guarded mappings is started,
 *           map_guard_close after all of them have ended, both by the control thread; map_guard_replaced_pages by anyone.
 * Memory:   a bit a page, at open. At a fault the memory of the block, in addition to the file's in the page cache.
 * Errors:   -ENOMEM; -errno of sigaction. Without map_guard_install() guards do nothing.
 * Source:   mremap(2), process_vm_readv(2), signal-safety(7); do_page_mkwrite() in mm/memory.c of Linux.
 */
#ifndef CORE_MAP_GUARD_H
#define CORE_MAP_GUARD_H

#include "core/base.h"

struct map_guard;

/* Once a process, before there are threads. Faults elsewhere get what they had before. */
NODISCARD int map_guard_install(void);
/* What is replaced from now on is locked into memory, as far as that is allowed: after mlockall. */
void map_guard_lock_memory(void);

/* base as mmap returned it; name is for people, cut where it is long. */
NODISCARD int map_guard_open(struct map_guard **out, void *base, uint64_t bytes, const char *name);
/* The mapping may be gone already. NULL: nothing. */
void map_guard_close(struct map_guard *g);

/* As map_guard_open was told: of the file, too. NULL: 0. */
uint64_t map_guard_bytes(const struct map_guard *g);
/* 0: all of it is still the file's. NULL: 0. */
uint64_t map_guard_replaced_pages(const struct map_guard *g);

#endif
