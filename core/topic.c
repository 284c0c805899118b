#include "core/topic.h"

#include <errno.h>
#include <string.h>

#define SHARE_PREFIX "$share/"

/* A template is a row of these: text as it is, and what stands between braces. */
struct piece {
	bool is_key;
	struct bytes text;
};

/* The piece at the cursor, which is not at the end. A brace without its partner is a key without a name. */
static struct piece take_piece(const char **at)
{
	const char *from = *at, *end;
	size_t size = strcspn(from, "{");

	if (size > 0) {
		*at = from + size;
		return (struct piece){.text = bytes_of(from, size)};
	}
	end = strchr(from, '}');
	*at = end ? end + 1 : from + strlen(from);
	return (struct piece){.is_key = true, .text = bytes_of(from + 1, end ? (size_t)(end - from - 1) : 0)};
}

static const char *name_of(const struct topic_names *names, struct bytes key)
{
	const struct {
		const char *key, *name;
	} table[] = {
		{"node", names->node},     {"target", names->target}, {"definition", names->definition},
		{"device", names->device}, {"tag", names->tag},
	};

	for (size_t i = 0; i < ARRAY_COUNT(table); i++)
		if (bytes_equal(key, bytes_of_text(table[i].key)))
			return table[i].name;
	return NULL;
}

static bool has_wildcard(struct bytes text)
{
	return text.size && (memchr(text.ptr, '+', text.size) || memchr(text.ptr, '#', text.size));
}

/* What there is here: a will and a message about losses belong to no definition, a group to no tag. */
static const char *unknown_text(const struct topic_names *names)
{
	if (names->tag)
		return "unknown placeholder: there are {node} {target} {definition} {device} {tag}";
	if (names->definition)
		return "unknown placeholder: here there are only {node}, {target} and {definition}";
	return "unknown placeholder: here there are only {node} and {target}";
}

static int fill_in(const char *pattern, const struct topic_names *names, char *out, const char **why)
{
	struct writer w = writer_of(out, TOPIC_BYTES_MAX);

	for (const char *at = pattern; *at;) {
		struct piece p = take_piece(&at);
		const char *name = p.is_key ? name_of(names, p.text) : NULL;

		if (p.is_key && !name) {
			*why = unknown_text(names);
			return -EINVAL;
		}
		if (p.is_key)
			write_text(&w, name);
		else
			write_bytes(&w, p.text.ptr, p.text.size);
	}
	if (w.failed || w.at == (uint8_t *)out) {
		*why = w.failed ? "the topic is longer than 1024 bytes" : "the topic is empty";
		return -EINVAL;
	}
	return (int)(w.at - (uint8_t *)out);
}

int topic_expand(const char *pattern, const struct topic_names *names, char *out, const char **why)
{
	if (has_wildcard(bytes_of_text(pattern))) { /* names have none */
		*why = "a topic to publish to has no wildcards (+ #)";
		return -EINVAL;
	}
	return fill_in(pattern, names, out, why);
}

static bool is_shared(struct bytes filter)
{
	size_t prefix_bytes = strlen(SHARE_PREFIX);

	return filter.size >= prefix_bytes && !memcmp(filter.ptr, SHARE_PREFIX, prefix_bytes);
}

/* What is wrong with the wildcards' places, or NULL. */
static const char *wildcard_fault(struct bytes filter)
{
	for (size_t i = 0; i < filter.size; i++) {
		bool begins = i == 0 || filter.ptr[i - 1] == '/';
		bool last = i + 1 == filter.size;

		if (filter.ptr[i] == '#' && !(begins && last))
			return "# stands alone on the last level, as in a/b/#";
		if (filter.ptr[i] == '+' && !(begins && (last || filter.ptr[i + 1] == '/')))
			return "+ stands alone on its level, as in a/+/b";
	}
	return NULL;
}

/* What is wrong with $share/NAME/FILTER, or NULL. */
static const char *share_fault(struct bytes filter)
{
	size_t prefix_bytes = strlen(SHARE_PREFIX);
	struct bytes rest = bytes_of(filter.ptr + prefix_bytes, filter.size - prefix_bytes);
	const uint8_t *slash = rest.size ? memchr(rest.ptr, '/', rest.size) : NULL;
	size_t name_bytes = slash ? (size_t)(slash - rest.ptr) : rest.size;

	if (name_bytes == 0 || has_wildcard(bytes_of(rest.ptr, name_bytes)))
		return "the name of a share is not empty and has no wildcards; write $share/NAME/FILTER";
	if (!slash || name_bytes + 1 == rest.size)
		return "a filter follows the name of a share; write $share/NAME/FILTER";
	return NULL;
}

int topic_filter_expand(const char *pattern, const struct topic_names *names, char *out, const char **why)
{
	int size = fill_in(pattern, names, out, why);
	struct bytes filter;
	const char *fault;

	if (size < 0)
		return size;
	filter = bytes_of(out, (size_t)size);
	fault = is_shared(filter) ? share_fault(filter) : NULL;
	if (!fault)
		fault = wildcard_fault(topic_filter_unshared(filter));
	if (fault) {
		*why = fault;
		return -EINVAL;
	}
	return size;
}

bool topic_is_per_tag(const char *pattern)
{
	return strstr(pattern, "{tag}") || strstr(pattern, "{device}");
}

struct bytes topic_filter_unshared(struct bytes filter)
{
	size_t prefix_bytes = strlen(SHARE_PREFIX);
	const uint8_t *name = filter.ptr + prefix_bytes, *slash;

	if (!is_shared(filter) || filter.size == prefix_bytes)
		return filter;
	slash = memchr(name, '/', filter.size - prefix_bytes);
	return slash ? bytes_of(slash + 1, filter.size - (size_t)(slash + 1 - filter.ptr)) : filter;
}

uint32_t topic_wildcard_count(struct bytes filter)
{
	struct bytes plain = topic_filter_unshared(filter);
	uint32_t count = 0;

	for (size_t i = 0; i < plain.size; i++) /* in a valid filter they are nothing else */
		count += plain.ptr[i] == '+' || plain.ptr[i] == '#';
	return count;
}

/* {1} .. {9}, or 0. */
static uint32_t wildcard_number(struct bytes key)
{
	return key.size == 1 && key.ptr[0] >= '1' && key.ptr[0] <= '9' ? key.ptr[0] - (uint32_t)'0' : 0;
}

/* {node} {target} {definition}; NULL for any other, as one message has neither a device nor a tag. */
static const char *forward_name_of(const struct topic_names *names, struct bytes key)
{
	struct topic_names known = {
		.node = names->node, .target = names->target, .definition = names->definition};

	return name_of(&known, key);
}

int topic_forward_check(const char *template, const struct topic_names *names, uint32_t wildcard_count,
			const char **why)
{
	if (!*template) {
		*why = "the topic is empty";
		return -EINVAL;
	}
	for (const char *at = template; *at;) {
		struct piece p = take_piece(&at);
		uint32_t number = p.is_key ? wildcard_number(p.text) : 0;

		*why = NULL;
		if (!p.is_key && has_wildcard(p.text))
			*why = "a topic to publish to has no wildcards (+ #); {1} is what the first one "
			       "stood for";
		else if (number > wildcard_count)
			*why = "a number counts the wildcards of the filter, which has fewer";
		else if (p.is_key && number == 0 && !bytes_equal(p.text, bytes_of_text("topic")) &&
			 !forward_name_of(names, p.text))
			*why = "unknown placeholder: there are {topic} {1} .. {9} {node} {target} "
			       "{definition}";
		if (*why)
			return -EINVAL;
	}
	return 0;
}

/* The level at the cursor without its separator; *more says whether a separator, and so a level, follows. */
static struct bytes take_level(struct reader *r, bool *more)
{
	size_t left_bytes = reader_left(r);
	const uint8_t *slash = left_bytes ? memchr(r->at, '/', left_bytes) : NULL;
	struct bytes level = read_bytes(r, slash ? (size_t)(slash - r->at) : left_bytes);

	*more = slash != NULL;
	if (slash)
		r->at++;
	return level;
}

/* What wildcard number n stands for. "sport/#" matches "sport" too: there the # is nothing. */
static int wildcard_text(struct bytes filter, struct bytes topic, uint32_t n, struct bytes *out)
{
	struct reader f = reader_of(filter), t = reader_of(topic);
	bool filter_more = true, topic_more = true;
	uint32_t seen = 0;

	while (filter_more) {
		struct bytes want = take_level(&f, &filter_more), have;
		bool is_hash = bytes_equal(want, bytes_of_text("#"));

		if (is_hash && ++seen == n) {
			*out = bytes_of(t.at, reader_left(&t));
			return 0;
		}
		if (is_hash || !topic_more)
			return -EINVAL;
		have = take_level(&t, &topic_more);
		if (bytes_equal(want, bytes_of_text("+")) && ++seen == n) {
			*out = have;
			return 0;
		}
	}
	return -EINVAL;
}

static int forward_text(const struct topic_names *names, struct bytes topic, struct bytes filter,
			struct piece p, struct bytes *out)
{
	uint32_t number = p.is_key ? wildcard_number(p.text) : 0;
	const char *name;

	*out = p.text;
	if (!p.is_key)
		return 0;
	if (number > 0)
		return wildcard_text(filter, topic, number, out);
	*out = topic;
	if (bytes_equal(p.text, bytes_of_text("topic")))
		return 0;
	name = forward_name_of(names, p.text);
	if (!name)
		return -EINVAL;
	*out = bytes_of_text(name);
	return 0;
}

int topic_forward_expand(const char *template, const struct topic_names *names, struct bytes topic,
			 struct bytes filter, char *out, size_t room)
{
	struct writer w = writer_of(out, min_size(room, TOPIC_FORWARDED_BYTES_MAX));

	for (const char *at = template; *at;) {
		struct piece p = take_piece(&at);
		struct bytes text;
		int rc = forward_text(names, topic, filter, p, &text);

		if (rc < 0)
			return rc;
		write_bytes(&w, text.ptr, text.size);
	}
	if (w.failed) /* more room would not help the longest that there may be */
		return room < TOPIC_FORWARDED_BYTES_MAX ? -ENOSPC : -EINVAL;
	return w.at == (uint8_t *)out ? -EINVAL : (int)(w.at - (uint8_t *)out);
}
