/* perf/message.h - what bench_ring's producers write, and how its consumer knows that it is whole, once, and in order.
 *
 * Purpose:  64 bytes that follow from producer and number. Every word is written by the maker and read by the judge, and the
 *           judge's verdict ends the program: no compiler can leave any of it out.
 * Owner:    one maker a producer, one judge a consumer. Threads: each by its own. Memory: the caller's.
 * Errors:   none returned; the judge counts.
 */
#ifndef PERF_MESSAGE_H
#define PERF_MESSAGE_H

#include <string.h>

#include "core/base.h"

#define MESSAGE_WORDS         8u
#define MESSAGE_BYTES         (MESSAGE_WORDS * 8u)
#define MESSAGE_NUMBER_BITS   56
#define MESSAGE_PRODUCERS_MAX 4u

struct message {
	uint64_t words[MESSAGE_WORDS]; /* [0]: producer and number */
};

/* Never shared: two makers are a line apart. */
struct message_maker {
	CACHELINE_ALIGNED uint64_t number; /* made so far; the first message has 1 */
	uint32_t producer_idx;
};

struct message_judge {
	CACHELINE_ALIGNED uint64_t last[MESSAGE_PRODUCERS_MAX]; /* number of the newest seen */
	uint64_t taken[MESSAGE_PRODUCERS_MAX];
	uint64_t broken_count;   /* content does not follow from the first word */
	uint64_t disorder_count; /* not after the newest seen of its producer: twice, or out of order */
	uint64_t stranger_count; /* of a producer that there is not */
};

/* A word of a message: different in each place and each message, two instructions. */
static inline uint64_t message_word(uint64_t first, uint32_t idx)
{
	return first + idx * 0x9e3779b97f4a7c15ull;
}

static inline void message_write(struct message_maker *m, void *out)
{
	uint64_t first = (uint64_t)m->producer_idx << MESSAGE_NUMBER_BITS | ++m->number;
	struct message msg;

	for (uint32_t i = 0; i < MESSAGE_WORDS; i++)
		msg.words[i] = message_word(first, i);
	memcpy(out, &msg, sizeof(msg));
}

/* It was made, and there was no room for it. */
static inline void message_skip(struct message_maker *m)
{
	m->number++;
}

static inline void message_judge(struct message_judge *j, const void *in)
{
	struct message msg;
	uint64_t producer_idx, number, differs = 0;

	memcpy(&msg, in, sizeof(msg));
	producer_idx = msg.words[0] >> MESSAGE_NUMBER_BITS;
	number = msg.words[0] & ((1ull << MESSAGE_NUMBER_BITS) - 1);
	for (uint32_t i = 1; i < MESSAGE_WORDS; i++)
		differs |= msg.words[i] ^ message_word(msg.words[0], i);
	j->broken_count += differs != 0;
	if (producer_idx >= MESSAGE_PRODUCERS_MAX) {
		j->stranger_count++;
		return;
	}
	j->disorder_count += number <= j->last[producer_idx];
	j->last[producer_idx] = number;
	j->taken[producer_idx]++;
}

static inline uint64_t message_taken(const struct message_judge *j)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < MESSAGE_PRODUCERS_MAX; i++)
		sum += j->taken[i];
	return sum;
}

#endif
