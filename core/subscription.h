/* core/subscription.h - what one target subscribes to, and for whom.
 *
 * Purpose:  expands the definitions of mode subscribe into distinct filters, each with the definitions (and tags) that its
 *           messages are for. Two definitions with the same filter are one subscription, as they are for a server.
 * Owner:    made at start for a target's publisher; read-only then. Threads: any.
 * Memory:   all of it in subscriptions_open. Units: sizes in bytes. Errors: -ENOMEM.
 */
#ifndef CORE_SUBSCRIPTION_H
#define CORE_SUBSCRIPTION_H

#include "core/config.h"

/* Where a message goes: into one tag, or (CFG_NONE) into all tags of the definition, or to nowhere but another target. */
struct subscription_route {
	uint32_t definition_idx;
	uint32_t tag_idx;
};

struct subscription {
	struct bytes filter; /* as it is asked for */
	struct bytes match;  /* the same without $share/NAME/ */
	bool shared, wildcard;
	uint8_t qos; /* the highest that a definition of it wants */
	bool no_local, retain_as_published;
	enum cfg_retain_handling retain_handling;
	uint32_t
		id; /* from the filter's text, so that it is the same after a change of the file; 1 .. 268,435,455 */
	uint32_t route_first, route_count; /* into subscriptions.routes */
};

struct subscriptions {
	struct subscription *list; /* in the order of the file */
	uint32_t count;
	struct subscription_route *routes;
	uint32_t route_count;
	uint32_t *by_id; /* indices of list, by rising id */
	uint32_t *exact; /* those without wildcards, by their text */
	uint32_t *wild;  /* those with, in the order of the list */
	uint32_t exact_count, wild_count;
	char *text;
	uint64_t text_bytes;
};

NODISCARD int subscriptions_open(struct subscriptions *out, const struct cfg *c, uint32_t target_idx);
void subscriptions_close(struct subscriptions *s);

/* The subscription with that identifier, or CFG_NONE. O(log n). */
uint32_t subscription_by_id(const struct subscriptions *s, uint32_t id);

/* The subscriptions without wildcards that a topic belongs to (one, and shared ones of the same text): the first of them in
 * s->exact, and how many. O(log n). */
uint32_t subscription_exact(const struct subscriptions *s, struct bytes topic, uint32_t *count);

#endif
