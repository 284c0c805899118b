/* tests/sim/bridge.h - what the client does with messages of others: tags, and messages passed on to another target.
 *
 * Purpose:  every message of every broker has a number of its own. A message that comes to another broker is held against the
 *           one it was: topic, payload, properties, how often, in which order; what the client has acknowledged must arrive,
 *           and a tag holds the value of a message that the client had last.
 * Owner:    the seed: bridge_begin .. bridge_end. Memory: grows. Errors: sim_fail.
 */
#ifndef TESTS_SIM_BRIDGE_H
#define TESTS_SIM_BRIDGE_H

#include "core/tag.h"
#include "tests/sim/broker.h"

void bridge_begin(void);
void bridge_end(void);
void bridge_add(struct broker *b);

/* A number for this message. */
double bridge_number(struct broker *b, uint32_t news_idx);
/* The client has taken it over, for these subscriptions. */
void bridge_taken(struct broker *b, uint32_t news_idx, uint32_t sub_mask);

/* The subscription was refused: what has come for it and waited for the answer is for nobody. */
void bridge_refused(const struct broker *b, uint32_t sub_idx);

/* A message that comes to broker b. True: it was passed on. May it come more than once? */
bool bridge_check(struct broker *b, uint8_t level, const struct wire_packet *p, bool *may_repeat);

/* The daemon is gone, and its rings. */
void bridge_crashed(void);
/* All is quiet: everything taken over has arrived at broker b, unless b's ring has lost something. */
void bridge_check_drained(const struct broker *b, bool ring_lost);
void bridge_check_tags(const struct broker *b, const struct tag_table *tags);

#endif
