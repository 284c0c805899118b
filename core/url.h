/* core/url.h - where a server is: mqtt://host:port, and host:port alone.
 *
 * Purpose:  mqtt:// and its synonym tcp:// (default port 1883), mqtts:// and ssl:// (8883). The host is a
 *           name, an IPv4 address, or an IPv6 address in brackets, with a zone where needed: [fe80::1%eth0].
 * Threads:  pure.
 * Memory:   the caller's struct, no allocation.
 * Errors:   -EINVAL with *why, a static text that never repeats the input: a URL may carry a password.
 */
#ifndef CORE_URL_H
#define CORE_URL_H

#include "core/bytes.h"

/* RFC 1035: a name has at most 253 characters. */
#define URL_HOST_BYTES_MAX 253u

enum url_scheme { URL_MQTT, URL_MQTTS };

struct url {
	enum url_scheme scheme;
	char host[URL_HOST_BYTES_MAX + 1]; /* without brackets */
	uint16_t port;
};

NODISCARD int url_parse(struct bytes text, struct url *out, const char **why);

/* host, host:port or [v6]:port; the scheme of *out is left alone. */
NODISCARD int url_parse_host_port(struct bytes text, uint16_t default_port, struct url *out,
				  const char **why);

#endif
