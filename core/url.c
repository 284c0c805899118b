#include "core/url.h"

#include <arpa/inet.h>
#include <errno.h>

#define LABEL_BYTES_MAX 63u
#define ZONE_BYTES_MAX  15u /* IFNAMSIZ without the zero */

static const struct {
	const char *prefix;
	enum url_scheme scheme;
	uint16_t port;
} schemes[] = {
	{"mqtt://", URL_MQTT, 1883},
	{"tcp://", URL_MQTT, 1883},
	{"mqtts://", URL_MQTTS, 8883},
	{"ssl://", URL_MQTTS, 8883},
};

static bool is_letter_or_digit(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool parse_port(struct bytes text, uint16_t *out)
{
	uint32_t port = 0;

	if (text.size == 0 || text.size > 5)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		port = port * 10 + (uint32_t)(text.ptr[i] - '0');
	}
	*out = (uint16_t)port;
	return port >= 1 && port <= UINT16_MAX;
}

/* Nothing but digits and dots is meant as an address, so it must be one. */
static bool looks_like_ipv4(const char *host)
{
	return host[strspn(host, "0123456789.")] == 0;
}

static bool name_is_valid(const char *host)
{
	size_t label_bytes = 0;

	for (const char *c = host; *c; c++) {
		if (*c == '.') {
			if (label_bytes == 0)
				return false;
			label_bytes = 0;
			continue;
		}
		if (!is_letter_or_digit((uint8_t)*c) && *c != '-' && *c != '_')
			return false;
		if (++label_bytes > LABEL_BYTES_MAX)
			return false;
	}
	return host[0] != 0;
}

static bool ipv6_is_valid(const char *host)
{
	char copy[URL_HOST_BYTES_MAX + 1];
	struct in6_addr address;
	char *zone;

	memcpy(copy, host, strlen(host) + 1); /* same size */
	zone = strchr(copy, '%');
	if (zone) {
		size_t zone_bytes = strlen(zone + 1);

		*zone = 0;
		if (zone_bytes == 0 || zone_bytes > ZONE_BYTES_MAX)
			return false;
		for (const char *c = zone + 1; *c; c++)
			if (!is_letter_or_digit((uint8_t)*c) && !strchr("._-", *c))
				return false;
	}
	return inet_pton(AF_INET6, copy, &address) == 1;
}

static bool copy_host(struct bytes text, char *host)
{
	if (text.size > URL_HOST_BYTES_MAX || (text.size && memchr(text.ptr, 0, text.size)))
		return false;
	if (text.size)
		memcpy(host, text.ptr, text.size);
	host[text.size] = 0;
	return true;
}

static int parse_bracketed(struct bytes text, struct url *out, struct bytes *rest, const char **why)
{
	const uint8_t *end = memchr(text.ptr, ']', text.size);

	*why = "write an IPv6 address in brackets, such as [2001:db8::1]:1883";
	if (!end || !copy_host(bytes_of(text.ptr + 1, (size_t)(end - text.ptr) - 1), out->host))
		return -EINVAL;
	*rest = bytes_of(end + 1, text.size - (size_t)(end + 1 - text.ptr));
	return ipv6_is_valid(out->host) ? 0 : -EINVAL;
}

static int parse_plain(struct bytes text, struct url *out, struct bytes *rest, const char **why)
{
	struct in_addr address;
	size_t host_bytes = 0;

	while (host_bytes < text.size && text.ptr[host_bytes] != ':')
		host_bytes++;
	*rest = bytes_of(text.ptr + host_bytes, text.size - host_bytes);
	if (rest->size > 1 && memchr(rest->ptr + 1, ':', rest->size - 1)) {
		*why = "write an IPv6 address in brackets, such as [2001:db8::1]:1883";
		return -EINVAL;
	}
	if (host_bytes == 0) {
		*why = "the host is missing; write host:port";
		return -EINVAL;
	}
	*why = "this is no host name; write a name of letters, digits, - and dots, or an address";
	if (!copy_host(bytes_of(text.ptr, host_bytes), out->host))
		return -EINVAL;
	if (looks_like_ipv4(out->host)) {
		*why = "this is no IPv4 address; write four numbers of 0 .. 255, such as 192.168.0.10";
		return inet_pton(AF_INET, out->host, &address) == 1 ? 0 : -EINVAL;
	}
	return name_is_valid(out->host) ? 0 : -EINVAL;
}

int url_parse_host_port(struct bytes text, uint16_t default_port, struct url *out, const char **why)
{
	struct url url = {.scheme = out->scheme, .port = default_port};
	struct bytes rest;
	int rc;

	if (text.size && memchr(text.ptr, '@', text.size)) {
		*why = "no user or password belongs here; use the keys `user` and `password`";
		return -EINVAL;
	}
	rc = text.size && text.ptr[0] == '[' ? parse_bracketed(text, &url, &rest, why)
					     : parse_plain(text, &url, &rest, why);
	if (rc < 0)
		return rc;
	if (rest.size > 0 &&
	    (rest.ptr[0] != ':' || !parse_port(bytes_of(rest.ptr + 1, rest.size - 1), &url.port))) {
		*why = "this is no port; write a number of 1 .. 65535 after the colon";
		return -EINVAL;
	}
	*out = url;
	return 0;
}

int url_parse(struct bytes text, struct url *out, const char **why)
{
	for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
		struct bytes prefix = bytes_of_text(schemes[i].prefix);
		struct url url = {.scheme = schemes[i].scheme};
		struct bytes rest;
		int rc;

		if (text.size < prefix.size || memcmp(text.ptr, prefix.ptr, prefix.size) != 0)
			continue;
		rest = bytes_of(text.ptr + prefix.size, text.size - prefix.size);
		if (rest.size && rest.ptr[rest.size - 1] == '/')
			rest.size--;
		if (rest.size && (memchr(rest.ptr, '/', rest.size) || memchr(rest.ptr, '?', rest.size)) &&
		    !memchr(rest.ptr, '@', rest.size)) {
			*why = "a path has no meaning here; write mqtt://host:port";
			return -EINVAL;
		}
		rc = url_parse_host_port(rest, schemes[i].port, &url, why);
		if (rc == 0)
			*out = url;
		return rc;
	}
	*why = "write mqtt://host:port (tcp:// is the same)";
	return -EINVAL;
}
