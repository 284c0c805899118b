/* What an outage has left, where `replay: {order: live-first}`: it goes beside what is made now, at a rate, and marked.
 *
 * At each connect the ring is split: what is there becomes the backlog. A send takes live messages first; the backlog has
 * what it is due at its rate, or its share of the send, or, with nothing live, the whole of it. The mark is put on when a
 * message is sent for the first time, and stays: the same message is sent again as it was.
 */
#include <errno.h>
#include <string.h>

#include "core/loss.h"
#include "core/memory.h"
#include "core/time_text.h"
#include "io/target_priv.h"

#define ALLOWANCE_MAX_NS (100 * NS_PER_MS) /* what was not sent within that is not made up for */
#define QUANTUM_NS       (10 * NS_PER_MS) /* a high rate goes in groups rather than waking for each message */
#define TRIM_NS          (2 * NS_PER_S)

#define MARK_NAME "replay"

static_assert(1 + 2 + sizeof(MARK_NAME) - 1 + 2 + TIME_TEXT_BYTES - 1 <= CHANNEL_MARK_BYTES,
	      "headroom is for that");

static bool is_live_first(const struct target *t)
{
	return t->config->replay.order == CFG_REPLAY_LIVE_FIRST;
}

int target_replay_open(struct target *t)
{
	const struct definition_port *port = &t->publisher->config.definitions->ports[t->cfg_idx];

	t->replay = (struct target_replay){.deadline = MONO_NEVER, .trim_deadline = MONO_NEVER};
	if (!is_live_first(t))
		return 0;
	/* Topic and properties of one message: each is in its record's headroom, too. */
	t->replay.text_bytes = max_u64(port->headroom_bytes_max, t->ring_record_bytes) + port->header_bytes;
	t->replay.text = memory_alloc(t->replay.text_bytes, 1);
	return t->replay.text ? target_thin_open(t) : -ENOMEM;
}

void target_replay_online(struct target *t)
{
	if (!is_live_first(t))
		return;
	t->replay.split_is_due = true;
	t->replay.live_from = t->replay.allowed_from = target_now(t);
	target_thin_online(t);
}

/* The ring may have to be asked again; and the ledger may have no room, where one outage came after the other: then the
 * messages of the last one are live. */
static void split(struct target *t)
{
	if (!t->replay.split_is_due)
		return;
	if (!loss_can_split(t->losses)) {
		t->replay.split_is_due = false;
	} else if (ring_split(t->ring)) {
		loss_split(t->losses, t->ring);
		t->replay.split_is_due = false;
	}
}

/* --- how much ----------------------------------------------------------------------------------------------------- */

/* Messages of the backlog that may go now, by its rate. */
static uint32_t allowance(struct target *t)
{
	uint64_t interval_ns = t->config->replay.interval_ns;
	struct mono now = target_now(t);
	uint64_t waited_ns = mono_since(now, t->replay.allowed_from);

	if (t->leaving && t->ring_file.handle < 0) /* now or never */
		return UINT32_MAX;
	if (waited_ns > max_u64(ALLOWANCE_MAX_NS, interval_ns)) {
		waited_ns = max_u64(ALLOWANCE_MAX_NS, interval_ns);
		t->replay.allowed_from = (struct mono){.ns = now.ns - waited_ns};
	}
	return (uint32_t)(waited_ns / interval_ns);
}

static uint32_t fill_backlog(struct target *t, uint32_t room)
{
	return target_thins(t) ? target_thin_fill(t, room) : target_fill(t, RING_REPLAY, room);
}

static void fill_by_rate(struct target *t, uint32_t room)
{
	uint64_t interval_ns = t->config->replay.interval_ns;
	uint32_t allowed = allowance(t);
	uint32_t count = fill_backlog(t, (uint32_t)min_u64(room, allowed));

	if (allowed != UINT32_MAX)
		t->replay.allowed_from = mono_add(t->replay.allowed_from, count * interval_ns);
	if (target_backlog_is_done(t))
		t->replay.deadline = MONO_NEVER;
	else if (t->thin.is_interrupted) /* what is due is still to be found */
		t->replay.deadline = target_now(t);
	else
		t->replay.deadline = mono_add(t->replay.allowed_from, max_u64(interval_ns, QUANTUM_NS));
}

void target_replay_fill(struct target *t, uint32_t room)
{
	const struct cfg_replay *c = &t->config->replay;
	uint32_t reserved = 0;

	split(t);
	if (target_backlog_is_done(t)) {
		t->replay.deadline = MONO_NEVER;
		(void)target_fill(t, RING_LIVE, room);
		return;
	}
	if (c->interval_ns == 0 && room > 1)
		reserved = (uint32_t)max_u64(1, (uint64_t)room * c->share_percent / 100);
	room -= target_fill(t, RING_LIVE, room - reserved);
	if (c->interval_ns)
		fill_by_rate(t, room);
	else /* with nothing live, all of the rest */
		(void)fill_backlog(t, room);
}

struct mono target_replay_deadline(const struct target *t)
{
	if (!is_live_first(t))
		return MONO_NEVER;
	if (t->replay.split_is_due)
		return ring_idle(t->ring) ? MONO_NEVER : target_now(t);
	/* If not, a release comes back here. */
	if (target_thins(t) ? !target_thin_can_go_on(t) : ring_replay_idle(t->ring))
		return MONO_NEVER;
	return t->config->replay.interval_ns ? t->replay.deadline : target_now(t);
}

/* --- the mark ------------------------------------------------------------------------------------------------------- */

bool target_is_replayed(const struct target *t, const struct ring_record *rec, enum ring_stream_kind kind)
{
	return is_live_first(t) && (kind == RING_REPLAY || rec->time_ns < t->replay.live_from.ns);
}

static void mark_write(const struct target *t, const struct ring_record *rec, struct writer *w)
{
	struct wall wall = turn_wall(&t->publisher->turn);
	char text[TIME_TEXT_BYTES];

	wall.ns += (int64_t)rec->time_ns - (int64_t)target_now(t).ns;
	time_text(wall, text);
	write_u8(w, 38); /* user property */
	write_u16(w, sizeof(MARK_NAME) - 1);
	write_bytes(w, MARK_NAME, sizeof(MARK_NAME) - 1);
	write_u16(w, (uint16_t)strlen(text));
	write_text(w, text);
}

/* Good until the next message is marked: the header is written at once. */
void target_mark(const struct target *t, const struct ring_record *rec, struct mqtt_message *m)
{
	const char *prefix = target_text(t, t->config->replay.topic_prefix);
	struct writer w = writer_of(t->replay.text, t->replay.text_bytes);
	size_t prefix_bytes = strlen(prefix);
	uint8_t *props;

	if (prefix_bytes) {
		write_bytes(&w, prefix, prefix_bytes);
		write_bytes(&w, m->topic.ptr, m->topic.size);
		m->topic = bytes_of(t->replay.text, prefix_bytes + m->topic.size);
		m->channel_idx = UINT32_MAX; /* the channel's alias is for its own topic */
	}
	if (t->config->replay.mark) {
		props = w.at;
		write_bytes(&w, m->props.ptr, m->props.size);
		mark_write(t, rec, &w);
		m->props = bytes_of(props, (size_t)(w.at - props));
	}
	ASSERT(!w.failed);
}

/* --- an outage -------------------------------------------------------------------------------------------------------- */

int target_keep(struct target *t, const struct ring_keeping *keep)
{
	int rc = ring_keep(t->ring, keep->messages, keep->bytes, keep->age_ns);

	if (rc < 0)
		return rc;
	publisher_notify(t->publisher, t->slot);
	return 0;
}

static bool limits_are_new(const struct target *t, const struct ring_keeping *keep)
{
	const struct ring_keeping *old = &t->replay.trimmed_to;

	return keep->messages != old->messages || keep->bytes != old->bytes || keep->age_ns != old->age_ns;
}

/* Nobody takes from the ring: what is past its limits of bytes and age is let go now and then, so that what is said of the
 * ring is true; and what is past any limit when the limits are new, so that it stays gone when they are widened again. */
struct mono target_trim(struct target *t)
{
	struct ring_keeping keep = ring_keeping(t->ring);

	if (limits_are_new(t, &keep)) {
		t->replay.trimmed_to = keep;
		t->replay.trim_deadline = target_now(t);
	} else if ((keep.bytes == 0 && keep.age_ns == 0) || ring_backlog(t->ring) == 0) {
		t->replay.trim_deadline = MONO_NEVER;
		return keep.bytes || keep.age_ns ? mono_add(target_now(t), TRIM_NS) : MONO_NEVER;
	}
	if (t->replay.trim_deadline.ns == MONO_NEVER.ns ||
	    mono_reached(target_now(t), t->replay.trim_deadline)) {
		uint32_t count = ring_take(t->ring, NULL, 0, target_now(t));

		ASSERT(count == 0);
		loss_look(t->losses, t->ring, target_now(t));
		t->replay.trim_deadline = mono_add(target_now(t), TRIM_NS);
	}
	return t->replay.trim_deadline;
}
