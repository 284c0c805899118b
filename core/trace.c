#include "core/trace.h"

#include <errno.h>

#include "core/memory.h"

#define WORD_BYTES sizeof(uint64_t)
#define HEAD_WORDS (sizeof(struct trace_record) / WORD_BYTES)
#define WORDS_MAX  (TRACE_RECORD_BYTES_MAX / WORD_BYTES)

static_assert(sizeof(struct trace_record) == 32, "a head is four words, without padding");
static_assert(offsetof(struct trace_record, size_bytes) == 0, "the first word tells the size");
static_assert(TRACE_RECORD_BYTES_MAX % WORD_BYTES == 0, "records are whole words");
static_assert(TRACE_MEMORY_BYTES_MIN >= 8 * TRACE_RECORD_BYTES_MAX, "a ring has room for more than one");

static uint64_t words_of(uint64_t bytes)
{
	return (bytes + WORD_BYTES - 1) / WORD_BYTES;
}

/* --- the switch ------------------------------------------------------------------------------------------------------- */

void trace_switch_init(struct trace_switch *s, bool freezes_after_incident, uint64_t after_ns)
{
	s->freezes_after_incident = freezes_after_incident;
	s->after_ns = after_ns;
	trace_resume(s);
}

void trace_freeze(struct trace_switch *s, struct mono now)
{
	ASSERT(now.ns < MONO_NEVER.ns);
	atomic_store_explicit(&s->until_ns, now.ns, memory_order_relaxed);
}

void trace_resume(struct trace_switch *s)
{
	atomic_store_explicit(&s->cause, TRACE_NO_CHANNEL, memory_order_relaxed);
	atomic_store_explicit(&s->until_ns, MONO_NEVER.ns, memory_order_relaxed);
}

bool trace_incident(struct trace_source *s, struct mono now)
{
	struct trace_switch *shared = s->ring->shared;
	uint64_t never = MONO_NEVER.ns;

	if (!shared->freezes_after_incident)
		return false;
	/* The first one counts, whichever thread has it. Nothing is published by it: relaxed. */
	if (!atomic_compare_exchange_strong_explicit(&shared->until_ns, &never,
						     mono_add(now, shared->after_ns).ns, memory_order_relaxed,
						     memory_order_relaxed))
		return false;
	atomic_store_explicit(&shared->cause, s->channel_idx, memory_order_relaxed);
	return true;
}

void trace_set(struct trace_source *s, bool on)
{
	ASSERT(s->ring || !on);
	atomic_store_explicit(&s->on, on, memory_order_relaxed);
}

/* --- memory ----------------------------------------------------------------------------------------------------------- */

int trace_open(struct trace_ring **out, uint64_t memory_bytes, struct trace_switch *shared)
{
	struct trace_ring *r = memory_alloc(1, sizeof(*r));

	ASSERT(memory_bytes >= TRACE_MEMORY_BYTES_MIN);
	*out = NULL;
	if (!r)
		return -ENOMEM;
	r->word_count = memory_bytes / WORD_BYTES;
	r->words = memory_alloc(r->word_count, WORD_BYTES);
	r->shared = shared;
	if (!r->words) {
		trace_close(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void trace_close(struct trace_ring *r)
{
	if (!r)
		return;
	memory_free(r->words);
	memory_free(r);
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

/* Moves `oldest` over as many records as have to go: their first words are still there. */
static void room_make(struct trace_ring *r, uint64_t made, uint64_t count)
{
	uint64_t oldest = atomic_load_explicit(&r->oldest, memory_order_relaxed);
	uint64_t gone = 0;

	while (made + count - oldest > r->word_count) {
		uint64_t first = atomic_load_explicit(&r->words[oldest % r->word_count],
						      memory_order_relaxed);
		uint32_t size_bytes;

		memcpy(&size_bytes, &first, sizeof(size_bytes));
		ASSERT(size_bytes >= sizeof(struct trace_record));
		ASSERT(size_bytes <= TRACE_RECORD_BYTES_MAX);
		oldest += words_of(size_bytes);
		gone++;
	}
	if (gone == 0)
		return;
	ASSERT(oldest <= made);
	/* W1: ahead of each W2 in the order of the program, whose release keeps it there; pairs with R3. */
	atomic_store_explicit(&r->oldest, oldest, memory_order_relaxed);
	atomic_store_explicit(&r->overwritten_count,
			      atomic_load_explicit(&r->overwritten_count, memory_order_relaxed) + gone,
			      memory_order_relaxed);
}

/* Writes bytes from slot idx on, the last word filled up with zeroes; the slot behind them. */
static uint64_t words_put(struct trace_ring *r, uint64_t idx, const void *bytes, size_t size_bytes)
{
	const uint8_t *at = bytes;

	for (; size_bytes > 0; idx = idx + 1 == r->word_count ? 0 : idx + 1) {
		size_t n = min_size(size_bytes, WORD_BYTES);
		uint64_t word = 0;

		memcpy(&word, at, n);
		atomic_store_explicit(&r->words[idx], word, memory_order_release); /* W2, pairs with R2 */
		at += n;
		size_bytes -= n;
	}
	return idx;
}

void trace_bytes(struct trace_source *s, enum trace_kind kind, struct mono now, uint32_t sequence,
		 uint32_t acknowledged, struct bytes kept, uint32_t length_bytes)
{
	struct trace_ring *r = s->ring;
	uint32_t note_count = r->note_count;
	uint64_t count = HEAD_WORDS + words_of(s->endpoint_bytes) + words_of(kept.size) +
			 words_of(note_count * sizeof(r->notes[0]));
	const struct trace_record head = {
		.size_bytes = (uint32_t)(count * WORD_BYTES),
		.kind = (uint8_t)kind,
		.endpoint_bytes = s->endpoint_bytes,
		.channel_idx = s->channel_idx,
		.time_ns = now.ns,
		.sequence = sequence,
		.acknowledged = acknowledged,
		.length_bytes = length_bytes,
		.kept_bytes = (uint16_t)kept.size,
		.note_count = (uint16_t)note_count,
	};

	ASSERT(kept.size <= TRACE_SEGMENT_BYTES);
	ASSERT(count <= WORDS_MAX);
	r->note_count = 0;
	if (now.ns > trace_until(r->shared).ns)
		return;
	uint64_t made = atomic_load_explicit(&r->made, memory_order_relaxed);
	uint64_t idx = made % r->word_count;

	room_make(r, made, count);
	idx = words_put(r, idx, &head, sizeof(head));
	idx = words_put(r, idx, s->endpoints, s->endpoint_bytes);
	idx = words_put(r, idx, kept.ptr, kept.size);
	(void)words_put(r, idx, r->notes, note_count * sizeof(r->notes[0]));
	atomic_store_explicit(&r->record_count,
			      atomic_load_explicit(&r->record_count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	atomic_store_explicit(&r->made, made + count, memory_order_release); /* W3, pairs with R1 */
}

void trace_text(struct trace_source *s, enum trace_kind kind, struct mono now, uint32_t sequence,
		uint32_t acknowledged, const char *text)
{
	trace_bytes(s, kind, now, sequence, acknowledged, bytes_of(text, strnlen(text, TRACE_SEGMENT_BYTES)),
		    0);
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static void words_get(const struct trace_ring *r, uint64_t from, uint64_t count, uint8_t *out)
{
	uint64_t idx = from % r->word_count;

	for (uint64_t i = 0; i < count; i++, idx = idx + 1 == r->word_count ? 0 : idx + 1) {
		uint64_t word = atomic_load_explicit(&r->words[idx], memory_order_acquire); /* R2 */

		memcpy(out + i * WORD_BYTES, &word, WORD_BYTES);
	}
}

/* The record at `from` into out: its words; 0: it is larger than room, or not one. Good only where `oldest` has not passed. */
static uint64_t record_get(const struct trace_ring *r, uint64_t from, uint64_t made, uint8_t *out,
			   uint64_t room)
{
	uint32_t size_bytes;

	if (made - from < HEAD_WORDS || room < HEAD_WORDS)
		return 0;
	words_get(r, from, 1, out);
	memcpy(&size_bytes, out, sizeof(size_bytes));
	uint64_t count = size_bytes / WORD_BYTES;

	if (size_bytes % WORD_BYTES || count < HEAD_WORDS || count > WORDS_MAX || count > made - from ||
	    count > room)
		return 0;
	words_get(r, from + 1, count - 1, out + WORD_BYTES);
	return count;
}

size_t trace_read(const struct trace_ring *r, uint64_t *from, uint8_t *buffer, size_t room_bytes,
		  uint64_t *lost_bytes)
{
	uint64_t made = atomic_load_explicit(&r->made, memory_order_acquire); /* R1, pairs with W3 */
	uint64_t at = *from, used = 0, lost = 0;

	/* Ends: every round moves on towards `made`, which stays. */
	while (at < made) {
		uint64_t count = record_get(r, at, made, buffer + used * WORD_BYTES,
					    room_bytes / WORD_BYTES - used);
		uint64_t oldest = atomic_load_explicit(&r->oldest, memory_order_relaxed); /* R3 */

		if (oldest > at) { /* what was copied may be a mixture; go on with what there is */
			lost += oldest - at;
			at = oldest;
			continue;
		}
		if (count == 0)
			break;
		at += count;
		used += count;
	}
	*from = at;
	*lost_bytes = lost * WORD_BYTES;
	return used * WORD_BYTES;
}

struct trace_counts trace_counts(const struct trace_ring *r)
{
	/* `oldest` first: it never exceeds a `made` that is read later. */
	uint64_t oldest = atomic_load_explicit(&r->oldest, memory_order_acquire);
	uint64_t made = atomic_load_explicit(&r->made, memory_order_acquire);

	return (struct trace_counts){
		.records = atomic_load_explicit(&r->record_count, memory_order_relaxed),
		.overwritten = atomic_load_explicit(&r->overwritten_count, memory_order_relaxed),
		.used_bytes = min_u64(made - oldest, r->word_count) * WORD_BYTES,
		.memory_bytes = r->word_count * WORD_BYTES,
	};
}

bool trace_next(struct bytes *input, struct trace_record *head, struct bytes *endpoints, struct bytes *kept)
{
	struct bytes notes;

	return trace_next_noted(input, head, endpoints, kept, &notes);
}

bool trace_next_noted(struct bytes *input, struct trace_record *head, struct bytes *endpoints,
		      struct bytes *kept, struct bytes *notes)
{
	if (input->size < sizeof(*head))
		return false;
	memcpy(head, input->ptr, sizeof(*head));
	uint64_t endpoint_bytes = words_of(head->endpoint_bytes) * WORD_BYTES;
	uint64_t kept_bytes = words_of(head->kept_bytes) * WORD_BYTES;
	uint64_t note_bytes = head->note_count * sizeof(uint32_t);

	if (head->size_bytes > input->size || head->kind >= TRACE_KIND_COUNT ||
	    head->size_bytes !=
		    sizeof(*head) + endpoint_bytes + kept_bytes + words_of(note_bytes) * WORD_BYTES ||
	    (head->endpoint_bytes != 0 && head->endpoint_bytes != 12 && head->endpoint_bytes != 36))
		return false;
	*endpoints = bytes_of(input->ptr + sizeof(*head), head->endpoint_bytes);
	*kept = bytes_of(input->ptr + sizeof(*head) + endpoint_bytes, head->kept_bytes);
	*notes = bytes_of(input->ptr + sizeof(*head) + endpoint_bytes + kept_bytes, note_bytes);
	*input = bytes_of(input->ptr + head->size_bytes, input->size - head->size_bytes);
	return true;
}
