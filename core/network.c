#include "core/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#define MAPPED 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff

static const struct network local_networks[] = {
	{{MAPPED, 127, 0, 0, 0}, 96 + 8},
	{{MAPPED, 10, 0, 0, 0}, 96 + 8},
	{{MAPPED, 172, 16, 0, 0}, 96 + 12},
	{{MAPPED, 192, 168, 0, 0}, 96 + 16},
	{{MAPPED, 169, 254, 0, 0}, 96 + 16},
	{{[15] = 1}, 128},
	{{0xfe, 0x80}, 10},
	{{0xfc}, 7},
};

bool network_contains(const struct network *n, const uint8_t address[16])
{
	for (uint32_t bit = 0; bit < n->prefix_bits; bit += 8) {
		uint32_t left = n->prefix_bits - bit;
		uint8_t mask = left >= 8 ? 0xff : (uint8_t)(0xff00u >> left);

		if ((n->address[bit / 8] ^ address[bit / 8]) & mask)
			return false;
	}
	return true;
}

bool network_is_local(const uint8_t address[16])
{
	for (size_t i = 0; i < ARRAY_COUNT(local_networks); i++)
		if (network_contains(&local_networks[i], address))
			return true;
	return false;
}

static bool has_bits_behind(const struct network *n)
{
	for (uint32_t bit = n->prefix_bits; bit < 128; bit++)
		if (n->address[bit / 8] & (0x80u >> bit % 8))
			return true;
	return false;
}

int network_parse(struct bytes text, struct network *out, const char **why)
{
	static const uint8_t mapped[12] = {MAPPED};
	char copy[INET6_ADDRSTRLEN + 5];
	struct network n = {.prefix_bits = 128};
	char *slash, *end;
	long most = 128;

	*why = "write it such as 10.20.0.0/16 or 2001:db8::/32";
	if (text.size == 0 || text.size >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text.ptr, text.size);
	copy[text.size] = 0;
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = 0;
	if (inet_pton(AF_INET, copy, n.address + 12) == 1) {
		memcpy(n.address, mapped, sizeof(mapped));
		most = 32;
	} else if (inet_pton(AF_INET6, copy, n.address) != 1) {
		return -EINVAL;
	}
	if (slash) {
		if (*slash < '0' || *slash > '9')
			return -EINVAL;
		long bits = strtol(slash, &end, 10);

		if (*end || bits > most)
			return -EINVAL;
		n.prefix_bits = (uint8_t)(128 - most + bits);
	}
	if (has_bits_behind(&n)) {
		*why = "bits are set behind the prefix: write the network's own address";
		return -EINVAL;
	}
	*out = n;
	return 0;
}
