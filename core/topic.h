/* core/topic.h - topic templates: filled in once at start, or, for a message that is passed on, when it comes.
 *
 * Purpose:  "plant/{node}/{device}/{tag}" becomes a topic name or a topic filter. What is published and what is
 *           subscribed to never changes after the start; only the topic of a forwarded message is made at run time.
 * Threads:  pure. Memory: none; the caller's buffers.
 * Errors:   -EINVAL with *why (a static text) for a placeholder that does not exist, a wildcard where none may be, or a
 *           result that is empty or longer than TOPIC_BYTES_MAX.
 * Source:   OASIS MQTT Version 5.0, 4.7 and 4.8.2.
 */
#ifndef CORE_TOPIC_H
#define CORE_TOPIC_H

#include "core/bytes.h"

#define TOPIC_BYTES_MAX           1024  /* of ours; MQTT allows 65,535 */
#define TOPIC_FORWARDED_BYTES_MAX 65535 /* what others publish to may be as long as MQTT allows */

/* What the placeholders stand for; NULL where there is none ({tag} in a group's topic is refused, and *why says which there
 * are). Where there is a tag there are all, where there is a definition all but device and tag. */
struct topic_names {
	const char *node, *target, *definition, *device, *tag;
};

/* Bytes written at out (room TOPIC_BYTES_MAX), or -EINVAL. */
NODISCARD int topic_expand(const char *pattern, const struct topic_names *names, char *out, const char **why);

/* The same for a topic filter: + and # stand alone on their levels, # last; $share/NAME/FILTER shares. */
NODISCARD int topic_filter_expand(const char *pattern, const struct topic_names *names, char *out,
				  const char **why);

/* Does the pattern make one topic a tag ({tag} or {device} in it)? */
bool topic_is_per_tag(const char *pattern);

/* The filter of a shared subscription without $share/NAME/; any other valid filter as it is. */
NODISCARD struct bytes topic_filter_unshared(struct bytes filter);

/* The wildcards of a valid filter. */
NODISCARD uint32_t topic_wildcard_count(struct bytes filter);

/* May the template make the topics of forwarded messages? {topic} is the topic as it came, {1} .. {9} are what the
 * wildcards stood for (# for all the rest, which may be nothing), and there are {node} {target} {definition}. 0, or
 * -EINVAL with *why. */
NODISCARD int topic_forward_check(const char *template, const struct topic_names *names,
				  uint32_t wildcard_count, const char **why);

/* The topic of one forwarded message. The template is checked, the filter is valid and not shared, the topic is a valid
 * name that it matches; of one that it does not match nothing but -EINVAL or text of the topic comes. Bytes written at
 * out (which is neither topic nor filter), -ENOSPC where they need more than room, or -EINVAL for a result that is empty
 * or longer than TOPIC_FORWARDED_BYTES_MAX. It has no wildcard, because the topic has none. */
NODISCARD int topic_forward_expand(const char *template, const struct topic_names *names, struct bytes topic,
				   struct bytes filter, char *out, size_t room);

#endif
