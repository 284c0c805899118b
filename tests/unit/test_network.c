#include "tests/test.h"

#include <arpa/inet.h>

#include "core/network.h"

static void address_of(const char *text, uint8_t out[16])
{
	memset(out, 0, 16);
	if (inet_pton(AF_INET, text, out + 12) == 1)
		out[10] = out[11] = 0xff;
	else
		EXPECT_EQ(inet_pton(AF_INET6, text, out), 1);
}

TEST(loopback_private_and_link_local_addresses_are_ours)
{
	const char *ours[] = {"127.0.0.1",      "127.255.255.255", "10.0.0.1",
			      "10.255.255.255", "172.16.0.1",      "172.31.255.255",
			      "192.168.0.1",    "169.254.1.1",     "::1",
			      "fe80::1",        "fd00::1",         "fc00::1",
			      "::ffff:10.1.1.1"};
	const char *others[] = {
		"126.255.255.255", "128.0.0.1",   "9.255.255.255", "11.0.0.0", "172.15.255.255",
		"172.32.0.0",      "192.167.0.1", "192.169.0.1",   "8.8.8.8",  "169.253.1.1",
		"100.64.0.1",      "::",          "::2",           "fec0::1",  "2001:db8::1",
		"::ffff:8.8.8.8",  "0.0.0.0"};
	uint8_t a[16];

	for (size_t i = 0; i < ARRAY_COUNT(ours); i++) {
		address_of(ours[i], a);
		ck_assert_msg(network_is_local(a), "%s", ours[i]);
	}
	for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
		address_of(others[i], a);
		ck_assert_msg(!network_is_local(a), "%s", others[i]);
	}
}

TEST(a_network_holds_what_shares_its_prefix)
{
	struct network n;
	const char *why;
	uint8_t a[16];

	EXPECT_EQ(network_parse(bytes_of_text("203.0.113.64/26"), &n, &why), 0);
	address_of("203.0.113.127", a);
	EXPECT(network_contains(&n, a));
	address_of("203.0.113.128", a);
	EXPECT(!network_contains(&n, a));
	EXPECT_EQ(network_parse(bytes_of_text("2001:db8::/33"), &n, &why), 0);
	address_of("2001:db8:7fff::1", a);
	EXPECT(network_contains(&n, a));
	address_of("2001:db8:8000::1", a);
	EXPECT(!network_contains(&n, a));
	EXPECT_EQ(network_parse(bytes_of_text("0.0.0.0/0"), &n, &why), 0);
	address_of("8.8.8.8", a);
	EXPECT(network_contains(&n, a));
	address_of("2001:db8::1", a);
	EXPECT(!network_contains(&n, a));
	EXPECT_EQ(network_parse(bytes_of_text("192.0.2.7"), &n, &why), 0);
	EXPECT_EQ(n.prefix_bits, 128);
}

TEST(what_is_no_network_is_refused)
{
	const char *wrong[] = {"",
			       "10.0.0.0/33",
			       "10.0.0.0/",
			       "10.0.0.0/-1",
			       "10.0.0.0/8x",
			       "10.0.0.1/8",
			       "::/129",
			       "2001:db8::1/32",
			       "host",
			       "10.0.0/8",
			       "10.0.0.0/ 8",
			       "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000/32"};
	struct network n;
	const char *why;

	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		ck_assert_msg(network_parse(bytes_of_text(wrong[i]), &n, &why) < 0, "%s", wrong[i]);
}
