/* core/base.h - the handful of names that every file uses.
 *
 * Purpose:  attributes, array sizes, min/max, alignment; nothing that has state.
 * Threads:  everything here is pure.
 * Errors:   functions of this project return 0 or a count, or a negative errno (NODISCARD).
 */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODISCARD    __attribute__((warn_unused_result))
#define UNUSED       __attribute__((unused))
#define NORETURN     __attribute__((noreturn))
#define COLD         __attribute__((cold))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define LIKELY(x)    __builtin_expect(!!(x), 1)
#define UNLIKELY(x)  __builtin_expect(!!(x), 0)

/* Two neighbouring 64-byte lines are fetched together on x86: 128 keeps writers truly apart. */
#define CACHELINE_BYTES   128
#define CACHELINE_ALIGNED __attribute__((aligned(CACHELINE_BYTES)))

#define ARRAY_COUNT(a)                  (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Next multiple of align (a power of two). */
static inline uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/* Smallest power of two that is not below value; value in 1 .. 2^63. */
static inline uint64_t pow2_at_least(uint64_t value)
{
	return value <= 1 ? 1 : 1ull << (64 - __builtin_clzll(value - 1));
}

/* In a loop that waits for another core: leaves more of this one to the other thread on it. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
