/* core/network.h - is an address one of ours?
 *
 * Purpose:  a target that may not reach the cloud connects only to loopback, private and link-local addresses and to the
 *           networks that the configuration calls its own.
 * Threads:  pure. Memory: 17 bytes by value.
 * Errors:   -EINVAL with *why, a static text.
 * Source:   RFC 1918 (private), RFC 3927 and RFC 4291 2.5.6 (link-local), RFC 4193 (unique local), RFC 4291 2.5.5.2
 *           (IPv4-mapped addresses, which are judged as the IPv4 address they carry).
 */
#ifndef CORE_NETWORK_H
#define CORE_NETWORK_H

#include "core/bytes.h"

/* IPv4 as ::ffff:a.b.c.d, so that there is one kind. */
struct network {
	uint8_t address[16];
	uint8_t prefix_bits; /* of 128 */
};

/* "10.20.0.0/16", "2001:db8::/32"; without a length it is the one address. No bits may be set behind the prefix. */
NODISCARD int network_parse(struct bytes text, struct network *out, const char **why);

bool network_contains(const struct network *n, const uint8_t address[16]);

/* Loopback, private, link-local. */
bool network_is_local(const uint8_t address[16]);

#endif
