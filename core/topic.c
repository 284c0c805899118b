#include "core/topic.h"

#include <errno.h>
#include <string.h>

bool topic_is_per_tag(const char *pattern)
{
	return strstr(pattern, "{tag}") || strstr(pattern, "{device}");
}

static const char *name_of(const struct topic_names *names, const char *key, size_t key_bytes)
{
	const struct {
		const char *key, *name;
	} table[] = {
		{"node", names->node},     {"target", names->target}, {"definition", names->definition},
		{"device", names->device}, {"tag", names->tag},
	};

	for (size_t i = 0; i < ARRAY_COUNT(table); i++)
		if (strlen(table[i].key) == key_bytes && !memcmp(table[i].key, key, key_bytes))
			return table[i].name;
	return NULL;
}

int topic_expand(const char *pattern, const struct topic_names *names, char *out, const char **why)
{
	struct writer w = writer_of(out, TOPIC_BYTES_MAX);

	for (const char *at = pattern; *at;) {
		if (*at == '+' || *at == '#') {
			*why = "a topic to publish to has no wildcards (+ #)";
			return -EINVAL;
		}
		if (*at != '{') {
			write_bytes(&w, at++, 1);
			continue;
		}
		const char *end = strchr(at, '}');
		const char *name = end ? name_of(names, at + 1, (size_t)(end - at - 1)) : NULL;

		if (!name) {
			*why = "unknown placeholder: there are {node} {target} {definition} {device} {tag}";
			return -EINVAL;
		}
		write_text(&w, name);
		at = end + 1;
	}
	if (w.failed || w.at == (uint8_t *)out) {
		*why = w.failed ? "the topic is longer than 1024 bytes" : "the topic is empty";
		return -EINVAL;
	}
	return (int)(w.at - (uint8_t *)out);
}
