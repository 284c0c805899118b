#include "core/tag.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"

#define KIND_BITS     0xffu
#define QUALITY_SHIFT 8
#define QUALITY_BITS  0xffu
#define VALUED_BIT    (1u << 16)

#define DECIMALS_MAX 9

const char *tag_quality_text(enum tag_quality q)
{
	return q == TAG_GOOD ? "good" : "bad";
}

const char *tag_quality_reason(enum tag_quality q)
{
	switch (q) {
	case TAG_NEVER: return "never read";
	case TAG_GOOD: return "";
	case TAG_BAD_CONNECTION: return "not connected";
	case TAG_BAD_TIMEOUT: return "time-out";
	case TAG_BAD_DEVICE: return "device exception";
	case TAG_BAD_FRAME: return "bad frame";
	}
	UNREACHABLE();
}

/* Smallest decimals so that value = whole / 10^decimals exactly as a double; false where nine are not enough. */
static bool decimals_of(double value, unsigned *decimals)
{
	double power = 1;

	for (unsigned d = 0; d <= DECIMALS_MAX; d++, power *= 10) {
		double whole = nearbyint(value * power);

		if (fabs(whole) < 9007199254740992.0 && whole / power == value) {
			*decimals = d;
			return true;
		}
	}
	return false;
}

static struct tag_scale scale_of(const struct cfg_tag *tag)
{
	unsigned a, b;
	double power = 1;

	if (!tag->scaled)
		return (struct tag_scale){0};
	if (!decimals_of(tag->scale, &a) || !decimals_of(tag->offset, &b))
		return (struct tag_scale){.num = tag->scale, .add = tag->offset, .den = 1};
	for (unsigned d = a > b ? a : b; d > 0; d--)
		power *= 10;
	return (struct tag_scale){
		.num = nearbyint(tag->scale * power), .add = nearbyint(tag->offset * power), .den = power};
}

int tag_table_open(struct tag_table *t, const struct cfg *c)
{
	size_t text_bytes = 0;
	char *at;

	for (uint32_t i = 0; i < c->tag_count; i++)
		text_bytes += strlen(cfg_text(c, c->devices[c->tags[i].device_idx].name)) +
			      strlen(cfg_text(c, c->tags[i].name)) + 2;
	*t = (struct tag_table){.count = c->tag_count};
	t->cells = memory_alloc((uint64_t)c->tag_count + 1, sizeof(t->cells[0]));
	t->names = memory_alloc((uint64_t)c->tag_count + 1, sizeof(t->names[0]));
	t->scales = memory_alloc((uint64_t)c->tag_count + 1, sizeof(t->scales[0]));
	t->text = memory_alloc(text_bytes + 1, 1);
	if (!t->cells || !t->names || !t->scales || !t->text) {
		tag_table_close(t);
		return -ENOMEM;
	}
	at = t->text;
	for (uint32_t i = 0; i < c->tag_count; i++) {
		int n = snprintf(at, (size_t)(t->text + text_bytes - at), "%s.%s",
				 cfg_text(c, c->devices[c->tags[i].device_idx].name),
				 cfg_text(c, c->tags[i].name));

		t->names[i] = bytes_of(at, (size_t)n);
		t->scales[i] = scale_of(&c->tags[i]);
		at += n + 1;
	}
	return 0;
}

void tag_table_close(struct tag_table *t)
{
	memory_free(t->cells);
	memory_free(t->names);
	memory_free(t->scales);
	memory_free(t->text);
	*t = (struct tag_table){0};
}

uint32_t tag_find(const struct tag_table *t, struct bytes name)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (bytes_equal(t->names[i], name))
			return i;
	return CFG_NONE;
}

struct value tag_scaled(const struct tag_table *t, uint32_t tag_idx, struct value raw)
{
	const struct tag_scale *s = &t->scales[tag_idx];

	if (s->den == 0)
		return raw;
	double v = (value_as_double(raw) * s->num + s->add) / s->den;

	if (raw.kind == VALUE_FLOAT32 && s->add == 0)
		return (struct value){.kind = VALUE_FLOAT32, .f = v}; /* still only 24 bits are real */
	return value_of_float64(v);
}

/* Release on every field keeps them behind the odd sequence (T1); pairs with the acquires in tag_read (T2). */
static void cell_write(struct tag_cell *cell, uint32_t kinds, uint64_t bits, struct wall time)
{
	uint32_t sequence = atomic_load_explicit(&cell->sequence, memory_order_relaxed);

	ASSERT(!(sequence & 1)); /* two writers */
	atomic_store_explicit(&cell->sequence, sequence + 1, memory_order_relaxed);
	atomic_store_explicit(&cell->kinds, kinds, memory_order_release); /* T1 */
	atomic_store_explicit(&cell->value_bits, bits, memory_order_release);
	atomic_store_explicit(&cell->time_ns, time.ns, memory_order_release);
	atomic_store_explicit(&cell->sequence, sequence + 2, memory_order_release);
}

void tag_write(struct tag_table *t, uint32_t tag_idx, struct value value, struct wall time)
{
	uint64_t bits = 0;

	ASSERT(tag_idx < t->count);
	switch (value.kind) {
	case VALUE_BOOL: bits = value.b; break;
	case VALUE_INT:
	case VALUE_UINT:
	case VALUE_FLOAT32:
	case VALUE_FLOAT64: memcpy(&bits, &value.u, sizeof(bits)); break;
	}
	cell_write(&t->cells[tag_idx],
		   (uint32_t)value.kind | (uint32_t)TAG_GOOD << QUALITY_SHIFT | VALUED_BIT, bits, time);
}

void tag_write_bad(struct tag_table *t, uint32_t tag_idx, enum tag_quality why, struct wall time)
{
	struct tag_cell *cell = &t->cells[tag_idx];

	ASSERT(tag_idx < t->count);
	ASSERT(why != TAG_GOOD);
	uint32_t kinds = atomic_load_explicit(&cell->kinds, memory_order_relaxed);

	cell_write(cell, (kinds & ~(QUALITY_BITS << QUALITY_SHIFT)) | (uint32_t)why << QUALITY_SHIFT,
		   atomic_load_explicit(&cell->value_bits, memory_order_relaxed), time);
}

struct tag_sample tag_read(const struct tag_table *t, uint32_t tag_idx)
{
	const struct tag_cell *cell = &t->cells[tag_idx];
	uint32_t before, kinds;
	uint64_t bits;
	int64_t time_ns;

	ASSERT(tag_idx < t->count);
	do {
		before = atomic_load_explicit(&cell->sequence, memory_order_acquire);
		kinds = atomic_load_explicit(&cell->kinds, memory_order_acquire); /* T2 */
		bits = atomic_load_explicit(&cell->value_bits, memory_order_acquire);
		time_ns = atomic_load_explicit(&cell->time_ns, memory_order_acquire);
	} while ((before & 1) || atomic_load_explicit(&cell->sequence, memory_order_relaxed) != before);

	struct tag_sample s = {
		.quality = (enum tag_quality)(kinds >> QUALITY_SHIFT & QUALITY_BITS),
		.valued = kinds & VALUED_BIT,
		.time = {.ns = time_ns},
		.version = before,
	};

	s.value.kind = (enum value_kind)(kinds & KIND_BITS);
	if (s.value.kind == VALUE_BOOL)
		s.value.b = bits != 0;
	else
		s.value.u = bits; /* the bits of whichever member it is */
	return s;
}
