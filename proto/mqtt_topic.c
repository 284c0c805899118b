#include "proto/mqtt_topic.h"

#include "proto/mqtt_utf8.h"

#define SHARE_PREFIX       "$share/"
#define SHARE_PREFIX_BYTES (sizeof(SHARE_PREFIX) - 1)

const char *mqtt_topic_fault_text(enum mqtt_topic_fault fault)
{
	switch (fault) {
	case MQTT_TOPIC_OK: return "valid";
	case MQTT_TOPIC_EMPTY: return "a topic must be at least one character long";
	case MQTT_TOPIC_TOO_LONG: return "a topic must not be longer than 65535 bytes";
	case MQTT_TOPIC_NOT_UTF8: return "the topic is not well-formed UTF-8";
	case MQTT_TOPIC_NULL: return "a topic must not contain U+0000";
	case MQTT_TOPIC_WILDCARD: return "a topic name must not contain the wildcards '+' and '#'";
	case MQTT_TOPIC_HASH_PLACE: return "'#' must be alone on the last level of a topic filter";
	case MQTT_TOPIC_PLUS_PLACE: return "'+' must be alone on its level of a topic filter";
	case MQTT_TOPIC_SHARE_NAME:
		return "the share name after $share/ must not be empty or contain '+' or '#'";
	case MQTT_TOPIC_SHARE_FILTER: return "a topic filter must follow $share/NAME/";
	}
	UNREACHABLE();
}

/* What names and filters have in common. */
static enum mqtt_topic_fault text_check(struct bytes topic)
{
	if (topic.size == 0)
		return MQTT_TOPIC_EMPTY;
	if (topic.size > MQTT_STRING_BYTES_MAX)
		return MQTT_TOPIC_TOO_LONG;
	switch (mqtt_utf8_check(topic)) {
	case MQTT_UTF8_OK: return MQTT_TOPIC_OK;
	case MQTT_UTF8_ILL_FORMED: return MQTT_TOPIC_NOT_UTF8;
	case MQTT_UTF8_NULL: return MQTT_TOPIC_NULL;
	}
	UNREACHABLE();
}

static bool has_wildcard(struct bytes text)
{
	return text.size && (memchr(text.ptr, '+', text.size) || memchr(text.ptr, '#', text.size));
}

static enum mqtt_topic_fault wildcards_check(struct bytes filter)
{
	for (size_t i = 0; i < filter.size; i++) {
		bool begins = i == 0 || filter.ptr[i - 1] == '/';
		bool last = i + 1 == filter.size;

		if (filter.ptr[i] == '#' && !(begins && last))
			return MQTT_TOPIC_HASH_PLACE;
		if (filter.ptr[i] == '+' && !(begins && (last || filter.ptr[i + 1] == '/')))
			return MQTT_TOPIC_PLUS_PLACE;
	}
	return MQTT_TOPIC_OK;
}

static bool starts_as_shared(struct bytes filter)
{
	return filter.size >= SHARE_PREFIX_BYTES && !memcmp(filter.ptr, SHARE_PREFIX, SHARE_PREFIX_BYTES);
}

enum mqtt_topic_fault mqtt_topic_name_check(struct bytes topic)
{
	enum mqtt_topic_fault fault = text_check(topic);

	if (fault != MQTT_TOPIC_OK)
		return fault;
	return has_wildcard(topic) ? MQTT_TOPIC_WILDCARD : MQTT_TOPIC_OK;
}

enum mqtt_topic_fault mqtt_topic_filter_check(enum mqtt_version v, struct bytes whole)
{
	enum mqtt_topic_fault fault = text_check(whole);
	struct bytes share_name, filter;

	if (fault != MQTT_TOPIC_OK)
		return fault;
	if (v != MQTT_5 || !starts_as_shared(whole))
		return wildcards_check(whole);
	if (!mqtt_topic_share(whole, &share_name, &filter))
		return MQTT_TOPIC_SHARE_FILTER; /* no '/' after the name */
	if (share_name.size == 0 || has_wildcard(share_name))
		return MQTT_TOPIC_SHARE_NAME;
	if (filter.size == 0)
		return MQTT_TOPIC_SHARE_FILTER;
	return wildcards_check(filter);
}

bool mqtt_topic_share(struct bytes whole, struct bytes *share_name, struct bytes *filter)
{
	const uint8_t *name, *slash;
	size_t left_bytes;

	*share_name = (struct bytes){0};
	*filter = whole;
	if (!starts_as_shared(whole))
		return false;
	name = whole.ptr + SHARE_PREFIX_BYTES;
	left_bytes = whole.size - SHARE_PREFIX_BYTES;
	slash = left_bytes ? memchr(name, '/', left_bytes) : NULL;
	if (!slash)
		return false;
	*share_name = bytes_of(name, (size_t)(slash - name));
	*filter = bytes_of(slash + 1, left_bytes - share_name->size - 1);
	return true;
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

bool mqtt_topic_match(struct bytes filter, struct bytes topic)
{
	struct reader f = reader_of(filter), t = reader_of(topic);
	bool filter_more = true, topic_more = true;

	if (filter.size == 0 || topic.size == 0)
		return false;
	/* MQTT-4.7.2-1, in both versions: what starts with '$' is not for those who did not ask for it. */
	if (topic.ptr[0] == '$' && (filter.ptr[0] == '#' || filter.ptr[0] == '+'))
		return false;
	while (filter_more) {
		struct bytes want = take_level(&f, &filter_more);
		struct bytes have;

		if (want.size == 1 && want.ptr[0] == '#')
			return true; /* the parent level too: "sport/#" matches "sport" */
		if (!topic_more)
			return false;
		have = take_level(&t, &topic_more);
		if (!(want.size == 1 && want.ptr[0] == '+') && !bytes_equal(want, have))
			return false;
	}
	return !topic_more;
}
