/* What did not get through: into the target's ledger, and, where that is wanted, told to its server.
 *
 * A message about a loss goes the way of all messages, through the target's own ring, in the lane of its publisher. It waits
 * a moment, so that a gap is whole and several are told at once, and until the backlog is gone: it must not push a sample
 * out of a full ring. A connection has 64 of them for a start and one more each time; what is not told meanwhile stays in
 * the ledger. One that is refused, or too large, or has expired, is a loss like any other but is not told of.
 */
#include <stdio.h>
#include <string.h>

#include "core/carried.h"
#include "core/loss.h"
#include "core/probe.h"
#include "core/time_text.h"
#include "io/target_priv.h"

#define BURST       64u
#define SETTLE_NS   NS_PER_S
#define PATIENCE_NS (60 * NS_PER_S) /* with a backlog that does not go away */

/* --- the ledger ------------------------------------------------------------------------------------------------------- */

static struct bytes loss_topic(const struct target *t)
{
	return bytes_of_text(target_text(t, t->config->buffer_loss_topic));
}

static bool is_about_losses(const struct target *t, const struct ring_record *rec)
{
	return rec->channel_idx == CHANNEL_CARRIED && t->config->buffer_loss_topic &&
	       bytes_equal(carried_read((struct ring_record *)(uintptr_t)rec).topic, loss_topic(t));
}

void target_lost(struct target *t, const struct ring_record *rec, enum loss_reason reason)
{
	if (rec == t->hello || rec == t->farewell)
		return; /* no sample of anything */
	PROBE5(target__lost, t->name, t->ring, rec, rec->time_ns, reason);
	if (rec->flags & IS_OWN) /* of an earlier process: its numbers are not ours */
		loss_unnumbered(t->losses, reason, 1, (struct mono){.ns = rec->time_ns}, target_now(t));
	else
		loss_record(t->losses, rec, reason, is_about_losses(t, rec));
}

/* --- telling ------------------------------------------------------------------------------------------------------------ */

static void write_time(struct target *t, struct mono time, char out[TIME_TEXT_BYTES])
{
	struct wall wall = turn_wall(&t->publisher->turn);

	wall.ns += (int64_t)time.ns - (int64_t)target_now(t).ns;
	time_text(wall, out);
}

/* Its own number is there so that the lane of these messages, which others may share, can be checked as well. */
static size_t message_write(struct target *t, const struct loss_gap *g, uint64_t gap_count, uint32_t lane_idx,
			    char out[LOSS_MESSAGE_BYTES_MAX])
{
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES], numbers[96] = "";
	int size;

	write_time(t, g->from, from);
	write_time(t, g->to, to);
	if (g->lane_idx != LOSS_NO_LANE)
		snprintf(numbers, sizeof(numbers), ",\"source\":%u,\"first\":%llu,\"last\":%llu", g->lane_idx,
			 (unsigned long long)g->first, (unsigned long long)g->last);
	else if (gap_count > 1)
		snprintf(numbers, sizeof(numbers), ",\"gaps\":%llu", (unsigned long long)gap_count);
	size = snprintf(out, LOSS_MESSAGE_BYTES_MAX,
			"{\"target\":\"%s\",\"reason\":\"%s\",\"count\":%llu%s,\"from\":\"%s\",\"to\":\"%s\","
			"\"own_seq\":%llu,\"own_source\":%u}",
			target_name(t), loss_reason_text(g->reason), (unsigned long long)g->count, numbers,
			from, to, (unsigned long long)ring_next_sequence(t->ring, lane_idx), lane_idx);
	ASSERT(size > 0);
	ASSERT((uint32_t)size < LOSS_MESSAGE_BYTES_MAX); /* a target's name has 64 characters */
	return (size_t)size;
}

/* False: the ring has no room. */
static bool tell(struct target *t, const struct loss_gap *g, uint64_t gap_count)
{
	struct publisher *p = t->publisher;
	const struct definition_port *port = &p->config.definitions->ports[t->cfg_idx];
	uint32_t lane_idx = port->lane_of_source[p->lane->source_idx];
	struct bytes topic = loss_topic(t);
	char text[LOSS_MESSAGE_BYTES_MAX];
	size_t size = message_write(t, g, gap_count, lane_idx, text);
	uint64_t bytes = carried_bytes(topic.size, 0, size);
	uint8_t *payload = definition_forward_begin(p->lane, t->cfg_idx, port->header_bytes + topic.size,
						    bytes, target_now(t));
	struct writer w;

	if (!payload)
		return false;
	w = writer_of(payload, bytes);
	write_bytes(&w, text, size);
	carried_write_end(&w, topic, 0, 0, t->config->buffer_loss_qos, false);
	ASSERT(!w.failed);
	definition_forward_end(p->lane, t->cfg_idx, (uint32_t)bytes, target_now(t));
	return true;
}

/* How many may go into the ring now, so that there is room for samples. */
static uint32_t room_now(const struct target *t)
{
	uint64_t half = ring_keeping(t->ring).messages / 2, backlog = ring_backlog(t->ring);

	if (backlog <= half)
		return (uint32_t)max_u64(1, half - backlog);
	return mono_since(target_now(t), t->losses_since) >= PATIENCE_NS;
}

void target_losses_online(struct target *t)
{
	t->losses_budget = BURST - 1; /* and one with the first step */
	t->losses_since = t->losses_deadline = MONO_NEVER;
}

/* In a file it is there for the process after this one, however this one ends. */
static void leave(struct target *t)
{
	struct ring_losses losses;

	if (t->ring_file.handle < 0)
		return;
	loss_leaves(t->losses, t->config->buffer_loss_topic != 0, &losses);
	ring_losses_keep(t->ring, &losses);
}

void target_losses_open(struct target *t)
{
	const struct ring_file *f = &t->ring_file;
	struct mono now = target_now(t);

	loss_init(t->losses, t->loss_lanes, ring_lane_count(t->ring), &t->metrics, now);
	if (f->lost_from.ns == 0) /* nothing was taken over */
		return;
	loss_lane_begins(t->losses, ring_lane_count(t->ring) - 1, f->lost_to);
	for (uint32_t i = 0; i < LOSS_REASON_COUNT; i++)
		loss_unnumbered(t->losses, (enum loss_reason)i, f->losses.untold[i], f->lost_from,
				f->lost_to);
	loss_unnumbered(t->losses, LOSS_OVERWRITTEN, f->losses.unlocated_count, f->lost_from, f->lost_to);
	loss_unnumbered(t->losses, LOSS_NO_ROOM, f->losses.dropped_count, f->lost_from, f->lost_to);
	loss_unnumbered(t->losses, LOSS_OVERSIZED, f->unfit_count, f->lost_from, now);
	leave(t);
}

static void tell_losses(struct target *t)
{
	struct mono now = target_now(t);
	struct loss_gap g;
	uint64_t gap_count;

	if (!t->config->buffer_loss_topic)
		return;
	if (t->session.state != MQTT_SESSION_ONLINE || t->parting ||
	    !loss_untold(t->losses, &g, &gap_count)) {
		t->losses_since = t->losses_deadline = MONO_NEVER;
		return;
	}
	if (t->losses_since.ns == MONO_NEVER.ns) {
		t->losses_since = now;
		t->losses_deadline = mono_add(now, SETTLE_NS);
	}
	if (!mono_reached(now, t->losses_deadline))
		return;
	t->losses_budget = (uint32_t)min_u64(BURST, t->losses_budget + 1);
	for (uint32_t room = room_now(t); room > 0 && t->losses_budget > 0; room--, t->losses_budget--) {
		if (!loss_untold(t->losses, &g, &gap_count) || !tell(t, &g, gap_count))
			break;
		loss_told(t->losses, &g);
		t->losses_since = now;
	}
	t->losses_deadline = mono_add(now, SETTLE_NS);
}

void target_losses_step(struct target *t)
{
	tell_losses(t);
	leave(t);
}
