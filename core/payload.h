/* core/payload.h - values as the bytes that go out, written straight into the record.
 *
 * Purpose:  JSON: {"tag":"m.p","value":1.5,"quality":"good","ts":"..."} for one tag,
 *           {"ts":"...","values":{"m.p":{"value":1.5,"quality":"good","ts":"..."},...}} for a group.
 *           Text: the value alone. A value that was never read, or that is not a number (NaN, infinite), is null
 *           in JSON and empty in text.
 * Threads:  pure but for the time cache, which belongs to the calling thread.
 * Units:    sizes in bytes. Errors: none: payload_tag_bytes_max and payload_group_bytes_max are enough by construction.
 */
#ifndef CORE_PAYLOAD_H
#define CORE_PAYLOAD_H

#include "core/bytes.h"
#include "core/config.h"
#include "core/tag.h"
#include "core/time_text.h"

/* Most bytes for a tag with this name, in either format and place. */
static inline uint32_t payload_tag_bytes_max(size_t name_bytes)
{
	return (uint32_t)name_bytes + 144;
}

/* Added once for a group. */
#define PAYLOAD_GROUP_BYTES 64u

/* Added for the number of a message. */
#define PAYLOAD_SEQUENCE_BYTES 80u

struct payload_item {
	struct bytes name;
	struct tag_sample sample;
};

/* Each writes at w and returns nothing: w has the room, or the writer's failed flag is a bug. */
void payload_write_tag(struct writer *w, enum cfg_payload format, const struct payload_item *item,
		       struct time_cache *cache);

/* A group is JSON: the configuration admits text for one value only. */
void payload_group_begin(struct writer *w, struct wall now, struct time_cache *cache);
void payload_group_add(struct writer *w, uint32_t item_idx, const struct payload_item *item,
		       struct time_cache *cache);
void payload_group_end(struct writer *w);

/* After either, where it is JSON: "seq":42,"source":0 as the last keys. */
void payload_add_sequence(struct writer *w, uint64_t sequence, uint32_t lane_idx);

#endif
