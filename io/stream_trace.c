#include "io/stream_trace.h"

void stream_trace_endpoints(const struct stream *s, struct trace_source *source)
{
	struct net_address local = {0}, peer = {0};
	struct writer w = writer_of(source->endpoints, sizeof(source->endpoints));

	if (s->address_count > 0)
		peer = s->lookup.addresses[s->address_idx < s->address_count ? s->address_idx
									     : s->address_count - 1];
	if (s->handle >= 0 && loop_local_address(s->loop, s->handle, &local) < 0)
		local = (struct net_address){0};
	if (local.any.sa_family != peer.any.sa_family)
		local = (struct net_address){0};
	if (peer.any.sa_family == AF_INET6) {
		write_bytes(&w, &local.v6.sin6_addr, 16);
		write_bytes(&w, &peer.v6.sin6_addr, 16);
		write_bytes(&w, &local.v6.sin6_port, 2); /* all of it as on the wire */
		write_bytes(&w, &peer.v6.sin6_port, 2);
	} else {
		write_bytes(&w, &local.v4.sin_addr, 4);
		write_bytes(&w, &peer.v4.sin_addr, 4);
		write_bytes(&w, &local.v4.sin_port, 2);
		write_bytes(&w, &peer.v4.sin_port, 2);
	}
	source->endpoint_bytes = (uint8_t)(w.at - source->endpoints);
}
