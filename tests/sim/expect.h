/* tests/sim/expect.h - what a target's configuration promises to its server.
 *
 * Purpose:  drawn together with the YAML, read by the broker, so that both sides come from the seed and not from the product.
 * Owner:    the world. Memory: inside struct broker; texts end with a zero.
 */
#ifndef TESTS_SIM_EXPECT_H
#define TESTS_SIM_EXPECT_H

#include "tests/sim/wire.h"

#define EXPECT_SUBS_MAX        8
#define EXPECT_DEFINITIONS_MAX 16
#define EXPECT_NOBODY          UINT32_MAX

/* A definition that subscribes. */
struct expect_sub {
	char name[8];
	char filter[48];
	uint8_t options;  /* as in SUBSCRIBE */
	uint32_t tag_idx; /* of the configuration; EXPECT_NOBODY: none */
	char tag[24];
	uint32_t forward_target; /* EXPECT_NOBODY: none */
	char forward_topic[48];  /* the template */
	bool gone;               /* the configuration after a restart has it no more */
};

/* A definition that publishes: d0, d1 ... */
struct expect_definition {
	bool known;
	uint32_t expiry_s;
	char told[WIRE_TOLD_BYTES];
};

struct expect {
	struct expect_sub subs[EXPECT_SUBS_MAX];
	uint32_t sub_count;
	struct expect_definition definitions[EXPECT_DEFINITIONS_MAX];
	bool has_will;
	char will_topic[48], will_payload[24], will_told[WIRE_TOLD_BYTES];
	uint8_t will_qos;
	bool will_retain;
	uint32_t will_delay_s, will_expiry_s;
	char on_connect[24], on_disconnect[24]; /* "": none */
	char user[16];
	uint32_t max_inflight, receive_max, alias_in_max, alias_out_max;
	bool clean_start, cluster, follows, refuses;
	uint8_t level;
	uint32_t keep_alive_s, base_ms;
};

/* The filter of the subscription without $share/NAME/. */
static inline struct bytes expect_filter(const struct expect_sub *s)
{
	struct bytes f = bytes_of_text(s->filter);
	const char *slash = memcmp(s->filter, "$share/", 7) == 0 ? strchr(s->filter + 7, '/') : NULL;

	return slash ? bytes_of_text(slash + 1) : f;
}

static inline bool expect_is_shared(const struct expect_sub *s)
{
	return memcmp(s->filter, "$share/", 7) == 0;
}

#endif
