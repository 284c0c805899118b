/* How a target leaves: for good when the daemon stops, or until it is enabled again. */
#include "io/target_priv.h"

#define FAREWELL_WAIT_NS (2 * NS_PER_S) /* for the acknowledgement of on_disconnect */

static void part_begin(struct target *t, uint64_t within_ns)
{
	if (!t->parting)
		t->farewell_said = t->farewell_due = false;
	t->parting = true;
	t->part_deadline = mono_add(target_now(t), within_ns);
}

void target_leave(struct target *t)
{
	t->leaving = true;
	part_begin(t, t->publisher->config.drain_ns / 2);
	target_step(t);
}

void target_want(struct target *t, bool enabled)
{
	atomic_store_explicit(&t->wanted, enabled, memory_order_release); /* pairs with target_wanted */
	publisher_notify(t->publisher, t->slot);
}

/* Somebody has enabled or disabled it. */
static void look_what_is_wanted(struct target *t)
{
	bool wanted = target_wanted(t);

	if (wanted == t->enabled || t->leaving)
		return;
	t->enabled = wanted;
	if (!wanted) {
		if (target_state(t) != TARGET_DISABLED && !t->parting)
			part_begin(t, FAREWELL_WAIT_NS);
		return;
	}
	if (target_state(t) == TARGET_DISABLED) { /* while it still parts, it comes back when that is done */
		target_enter(t, TARGET_CONNECTING, ""); /* DISABLED -> CONNECTING */
		t->tried_count = t->url_idx = t->redirect_count = 0;
		target_place_from_list(t);
		backoff_succeeded(&t->backoff, target_now(t));
		t->link_deadline = target_now(t);
	}
}

static bool is_drained(const struct target *t)
{
	if (!t->leaving) /* what is in the ring stays there until it is enabled again */
		return true;
	/* In a file the backlog is for the next start. */
	return ring_idle(t->ring) && (target_backlog_is_done(t) || t->ring_file.handle >= 0) &&
	       t->waiting_count == 0 && t->session.inflight.count == 0;
}

/* Connected: first what is left, then on_disconnect, then DISCONNECT; each as far as the time goes. */
static void part_online(struct target *t)
{
	bool late = mono_reached(target_now(t), t->part_deadline);

	if (t->farewell && !t->farewell_said && (late || is_drained(t))) {
		t->farewell_said = t->farewell_due =
			true; /* after one of an earlier parting that is in flight */
		t->part_deadline = mono_add(target_now(t), t->leaving ? t->publisher->config.drain_ns / 4
								      : FAREWELL_WAIT_NS);
		target_pump(t);
		return;
	}
	bool is_heard = !t->farewell_due && (!t->farewell || !target_is_held(t->farewell));

	if (!late && (!is_drained(t) || !is_heard))
		return;
	/* A farewell that found no room was not heard: then the will has to say it. */
	mqtt_session_disconnect(&t->session, t->farewell_due ? MQTT_DISCONNECT_WITH_WILL : MQTT_SUCCESS);
	target_finish(t); /* CONNECTED -> CLOSING, its last words */
}

void target_part_step(struct target *t)
{
	look_what_is_wanted(t);
	if (!t->parting || t->left || t->closing || t->close_when_sent)
		return;
	if (t->stream.state == STREAM_CLOSED) {
		target_part_closed(t);
		return;
	}
	if (t->session.state != MQTT_SESSION_ONLINE) {
		target_link_down(t, TARGET_WAITING, t->leaving ? "stopped" : "disabled");
		return;
	}
	if (!stream_is_sending(&t->stream))
		part_online(t);
}

bool target_part_closed(struct target *t)
{
	if (!t->parting)
		return false;
	if (t->leaving) {
		t->left = true;
		return true;
	}
	t->parting = t->farewell_said = t->farewell_due = t->goes_first = false;
	if (t->enabled) /* meanwhile it is wanted again */
		return false;
	t->link_deadline = MONO_NEVER;
	target_enter(t, TARGET_DISABLED, ""); /* CLOSING -> DISABLED */
	return true;
}
