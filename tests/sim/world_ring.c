/* Rings in files: what a crash leaves in them, and what has to come of it. The segments are walked here, not by core/ring_scan.c,
 * which is what is checked. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/carried.h"
#include "core/ring_layout.h"
#include "tests/sim/world.h"

#define FILE_NAME_BYTES 128

static bool chance(struct world *w, uint32_t thousandths)
{
	return prng_below(&w->ring_prng, 1000) < thousandths;
}

static void file_name(const struct world *w, uint32_t i, const char *ending, char out[static FILE_NAME_BYTES])
{
	snprintf(out, FILE_NAME_BYTES, "%s/target%u.ring%s", w->state_dir, i, ending);
}

/* --- what is in it ------------------------------------------------------------------------------------------------ */

static void keep(struct world_ring *g, struct world_ring_message m)
{
	if (g->count == g->room) {
		g->room = g->room ? 2 * g->room : 256;
		g->messages = realloc(g->messages, g->room * sizeof(g->messages[0]));
		ASSERT(g->messages);
	}
	g->messages[g->count++] = m;
}

static struct world_ring_message message_of(const struct world *w, struct ring_record *rec)
{
	const struct channel *ch;

	if (rec->channel_idx == CHANNEL_CARRIED) {
		struct carried c = carried_read(rec);

		return (struct world_ring_message){
			.key = ledger_key(c.topic, bytes_of(ring_payload(rec), c.payload_bytes)),
			.weak = c.topic.ptr[0] == 'w',
			.qos = c.qos};
	}
	ch = &w->node.definitions->channels[rec->channel_idx];
	return (struct world_ring_message){
		.key = ledger_key(ch->topic, bytes_of(ring_payload(rec), rec->payload_bytes)),
		.weak = ch->topic.ptr[0] == 'w',
		.qos = ch->qos};
}

static bool is_in(struct ring_record *const *list, uint32_t count, const struct ring_record *rec)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i] == rec)
			return true;
	return false;
}

static bool is_in_flight(const struct target *t, const struct ring_record *rec)
{
	for (uint32_t id = 1; id <= t->session.inflight.room; id++) {
		const struct mqtt_inflight_entry *e = &t->session.inflight.entries[id];

		if ((e->state == MQTT_INFLIGHT_PUBLISHED_1 || e->state == MQTT_INFLIGHT_PUBLISHED_2) &&
		    e->token == rec)
			return true;
	}
	return false;
}

/* Taken, and not known to be through: whose is it now? */
static void judge_held(struct world_target *wt, const struct target *t, struct ring_record *rec,
		       struct world_ring_message *m)
{
	struct world_ring *g = &wt->ring;

	if (is_in_flight(t, rec)) {
		if (t->session.store.shape.slot_bytes == 0) { /* no session outlives the process */
			m->pledge = WORLD_PLEDGE_RING;
			g->least++;
			g->most++;
		} else {
			m->pledge = WORLD_PLEDGE_SESSION;
			if (g->mark_count < WORLD_MARKS_MAX)
				g->marks[g->mark_count++] = (uint64_t)((uint8_t *)&rec->flags -
								       (uint8_t *)t->ring_file.memory);
		}
		return;
	}
	if (is_in(t->waiting, t->waiting_count, rec)) {
		m->pledge = WORLD_PLEDGE_RING;
		g->least++;
		g->most++;
	} else if (is_in(t->batch, t->batch_count, rec)) {
		/* The system may have taken it, and nobody has noticed yet: it may come twice. With QoS 1 and 2 it is
		 * acknowledged, or went out with QoS 0. */
		ledger_excuse(&wt->broker.ledger, m->key);
		if (m->qos == 0)
			m->pledge = WORLD_PLEDGE_RING;
		g->least += m->qos == 0;
		g->most++;
	}
}

static void walk(struct world *w, uint32_t i)
{
	struct world_target *wt = &w->targets[i];
	const struct target *t = node_target(&w->node, i);
	const struct ring *r = t->ring;
	struct ring_counts n = ring_counts(r);
	uint64_t resident = 0;

	for (uint32_t idx = 0; idx < r->shape.segment_count; idx++) {
		uint64_t word = atomic_load(&r->segments[idx].word);
		uint64_t position = ring_position(word);
		const struct ring_touched *touched = &r->publisher.touched[idx];
		uint32_t fill = ring_fill_of(r, position, atomic_load(&r->segments[idx].committed)), at = 0;

		while (ring_state(word) != RING_SEG_FREE && at < fill) {
			struct ring_record *rec = ring_record_at(r, idx, at);
			struct world_ring_message m = message_of(w, rec);

			if (touched->mine && touched->position == position && at < touched->taken) {
				judge_held(wt, t, rec, &m);
			} else {
				m.pledge = WORLD_PLEDGE_RING;
				resident++;
			}
			keep(&wt->ring, m);
			at += ring_record_units(rec->headroom_bytes, rec->payload_bytes);
		}
	}
	wt->ring.least += resident;
	wt->ring.most += resident;
	if (resident != n.made - n.taken - n.overwritten - n.expired - n.dropped)
		sim_fail("target%u: %lu messages in the segments, %lu by the counts", i, resident,
			 n.made - n.taken - n.overwritten - n.expired - n.dropped);
}

/* Every record whose check sum is right, also those of earlier laps: what damaged words may lead to. */
static void walk_all(struct world *w, uint32_t i)
{
	struct world_ring *g = &w->targets[i].ring;
	const struct ring *r = node_target(&w->node, i)->ring;
	uint32_t units = r->shape.segment_bytes / RING_UNIT_BYTES;

	for (uint32_t idx = 0; idx < r->shape.segment_count; idx++)
		for (uint32_t at = 0; at + sizeof(struct ring_record) / RING_UNIT_BYTES <= units; at++) {
			struct ring_record *rec = ring_record_at(r, idx, at);

			if (rec->segment_idx == idx && rec->lane_idx < r->limits.lane_count &&
			    rec->headroom_bytes <= r->limits.record_bytes_max &&
			    rec->payload_bytes <= r->limits.record_bytes_max - rec->headroom_bytes &&
			    at + ring_record_units(rec->headroom_bytes, rec->payload_bytes) <= units &&
			    ring_record_crc_of(rec, ring_payload(rec)) == rec->crc32c)
				keep(g, message_of(w, rec));
		}
	for (size_t k = 0; k < g->count; k++)
		ledger_excuse(&w->targets[i].broker.ledger, g->messages[k].key);
}

void world_rings_look(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++) {
		struct world_ring *g = &w->targets[i].ring;
		uint32_t fate = prng_below(&w->ring_prng, 10);

		g->count = 0;
		g->least = g->most = g->known = g->unfit = 0;
		g->mark_count = 0;
		g->fate = fate == 0   ? WORLD_RING_DELETED
			  : fate == 1 ? WORLD_RING_TRUNCATED
			  : fate <= 3 ? WORLD_RING_FLIPPED
				      : WORLD_RING_WHOLE;
		if (!g->in_file || !w->has_files)
			continue;
		walk(w, i);
		if (g->fate == WORLD_RING_FLIPPED)
			walk_all(w, i);
	}
}

/* --- between the runs --------------------------------------------------------------------------------------------- */

/* The machine went down, too, and its disk has the session's pages and not yet all of the ring's. */
static void marks_remove(struct world *w, struct world_ring *g, int fd)
{
	for (uint32_t k = 0; k < g->mark_count; k++) {
		uint32_t flags;

		if (!chance(w, 500))
			continue;
		if (pread(fd, &flags, sizeof(flags), (off_t)g->marks[k]) != sizeof(flags))
			sim_fail("the ring's file is shorter than the ring");
		flags &= ~RING_RECORD_DONE;
		if (pwrite(fd, &flags, sizeof(flags), (off_t)g->marks[k]) != sizeof(flags))
			sim_fail("a ring file cannot be written");
		g->known++;
	}
	sim_covered[COVER_RING_UNMARKED] += g->known;
}

/* A start that was killed while it made the new file. */
static void half_made(const struct world *w, uint32_t i, int fd, uint64_t size)
{
	char name[FILE_NAME_BYTES];
	uint8_t *bytes = calloc(1, size);
	ssize_t n = bytes ? pread(fd, bytes, size, 0) : -1;
	int out;

	file_name(w, i, ".new", name);
	out = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (n < 0 || out < 0 || write(out, bytes, (size_t)n) != n)
		sim_fail("a half-made ring file cannot be written");
	if (out >= 0)
		close(out);
	free(bytes);
	sim_covered[COVER_RING_HALF_MADE]++;
}

void world_ring_damage(struct world *w, uint32_t i, bool session_kept)
{
	struct world_ring *g = &w->targets[i].ring;
	char name[FILE_NAME_BYTES];
	struct stat st;
	int fd;

	if (!g->in_file || !w->has_files)
		return;
	g->session_kept = session_kept;
	file_name(w, i, "", name);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0) {
		sim_fail("target%u has no ring file", i);
	} else if (g->fate == WORLD_RING_DELETED) {
		sim_trace("target%u's ring file is deleted", i);
		(void)unlink(name);
		sim_covered[COVER_RING_DELETED]++;
	} else if (g->fate == WORLD_RING_TRUNCATED) {
		sim_trace("target%u's ring file is truncated", i);
		if (ftruncate(fd, (off_t)prng_below(&w->ring_prng, (uint32_t)st.st_size)) < 0)
			sim_fail("a ring file cannot be truncated");
		sim_covered[COVER_RING_TRUNCATED]++;
	} else if (g->fate == WORLD_RING_FLIPPED) {
		sim_trace("target%u's ring file is damaged", i);
		world_flip(name, st.st_size);
		sim_covered[COVER_RING_FLIPPED]++;
	} else {
		if (chance(w, 150))
			half_made(w, i, fd, prng_below(&w->ring_prng, (uint32_t)st.st_size));
		if (session_kept && chance(w, 400))
			marks_remove(w, g, fd);
	}
	if (fd >= 0)
		close(fd);
}

/* --- after them ------------------------------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
	const struct world_ring_message *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

/* Nothing is in the new ring that was not made before. */
static void check_authentic(struct world *w, uint32_t i)
{
	struct world_ring *g = &w->targets[i].ring;
	const struct ring *r = node_target(&w->node, i)->ring;

	if (g->count)
		qsort(g->messages, g->count, sizeof(g->messages[0]), by_key);
	for (uint32_t idx = 0; idx < r->shape.segment_count && !sim.failed; idx++) {
		uint64_t position = ring_position(atomic_load(&r->segments[idx].word));
		uint32_t fill = ring_fill_of(r, position, atomic_load(&r->segments[idx].committed)), at = 0;

		while (at < fill && !sim.failed) {
			struct ring_record *rec = ring_record_at(r, idx, at);
			struct world_ring_message m = message_of(w, rec);

			if (!g->count || !bsearch(&m, g->messages, g->count, sizeof(m), by_key))
				sim_fail("target%u: the ring file brings a message that nobody has made", i);
			at += ring_record_units(rec->headroom_bytes, rec->payload_bytes);
		}
	}
}

void world_rings_opened(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++) {
		struct world_ring *g = &w->targets[i].ring;
		const struct ring_file *f = &node_target(&w->node, i)->ring_file;

		if ((f->handle >= 0) != (g->in_file && w->has_files))
			sim_fail("target%u: the ring is %s a file: %s", i, f->handle >= 0 ? "in" : "not in",
				 f->state);
		if (f->handle < 0 || sim.failed)
			continue;
		check_authentic(w, i);
		g->unfit = f->unfit_count;
		sim_covered[COVER_RING_RESTORED] += f->restored_count;
		sim_covered[COVER_RING_SET_ASIDE] += f->state[0] != '\0';
		if (g->fate != WORLD_RING_WHOLE)
			continue;
		if (f->state[0] || f->broken_count)
			sim_fail("target%u: a whole ring file is not trusted: %s, %lu broken", i, f->state,
				 f->broken_count);
		if (f->restored_count + f->unfit_count < g->least ||
		    f->restored_count + f->unfit_count > g->most)
			sim_fail("target%u: %lu messages are taken over and %lu too large, of %lu to %lu", i,
				 f->restored_count, f->unfit_count, g->least, g->most);
		if (f->known_count != g->known)
			sim_fail("target%u: %lu messages are left out as the session's, not %lu", i,
				 f->known_count, g->known);
	}
}

/* All is quiet: what was pledged at the crash has arrived, but for what gave way or was too old since. */
void world_ring_check_drained(struct world *w, uint32_t i)
{
	struct world_target *t = &w->targets[i];
	struct world_ring *g = &t->ring;
	struct ring_counts n = ring_counts(w->node.rings[i]);
	uint64_t missing = 0, arrived = 0, lost = 0;
	bool judged = g->fate == WORLD_RING_WHOLE && !t->broker.small_packets &&
		      !(t->broker.expect.refuses && t->broker.ever_lowered);

	for (size_t k = 0; k < g->count && judged; k++) {
		const struct world_ring_message *m = &g->messages[k];
		const struct ledger_message *seen = ledger_find(&t->broker.ledger, m->key);
		bool has_arrived = seen && (m->qos == 0 || t->broker.ever_lowered ||
					    seen->delivered_count + seen->refused_count > 0);

		if (m->weak) /* the ledger does not know it */
			continue;
		if (m->pledge == WORLD_PLEDGE_SESSION && g->session_kept)
			lost += !has_arrived;
		if (m->pledge != WORLD_PLEDGE_RING)
			continue;
		missing += !has_arrived;
		arrived += has_arrived;
	}
	g->count = 0;
	sim_covered[COVER_RING_ARRIVED] += arrived;
	if (lost)
		sim_fail("target%u: %lu messages that were in flight at the crash never came", i, lost);
	if (missing > n.overwritten + n.expired + n.dropped + g->unfit)
		sim_fail(
			"target%u: %lu messages of before the crash are missing; overwritten %lu expired %lu "
			"dropped %lu too large %lu",
			i, missing, n.overwritten, n.expired, n.dropped, g->unfit);
}

void world_rings_end(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++)
		free(w->targets[i].ring.messages);
}
