/* core/topic.h - topic templates, filled in once at start.
 *
 * Purpose:  "plant/{node}/{device}/{tag}" becomes a topic name. Nothing is expanded on the data path.
 * Threads:  pure.
 * Errors:   -EINVAL with *why (a static text) for a placeholder that does not exist, a wildcard, or a name that is empty
 *           or longer than TOPIC_BYTES_MAX.
 */
#ifndef CORE_TOPIC_H
#define CORE_TOPIC_H

#include "core/bytes.h"

#define TOPIC_BYTES_MAX 1024 /* of ours; MQTT allows 65,535 */

/* What the placeholders stand for; NULL where there is none ({tag} in a group's topic is refused). */
struct topic_names {
	const char *node, *target, *definition, *device, *tag;
};

/* Bytes written at out (room TOPIC_BYTES_MAX), or -EINVAL. */
NODISCARD int topic_expand(const char *pattern, const struct topic_names *names, char *out, const char **why);

/* Does the pattern make one topic a tag ({tag} or {device} in it)? */
bool topic_is_per_tag(const char *pattern);

#endif
