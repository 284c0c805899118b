/* Where a target goes: along its list, or where a server sends it. */
#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "core/url.h"
#include "io/target_priv.h"

void target_place_from_list(struct target *t)
{
	const struct cfg_url *url = &t->publisher->config.cfg->urls[t->config->url_first + t->url_idx];

	t->is_sent = t->sent_for_good = false;
	snprintf(t->place.host, sizeof(t->place.host), "%s", target_text(t, url->host));
	t->place.port = url->port;
	snprintf(t->place.text, sizeof(t->place.text), "%s", target_text(t, url->text));
}

/* A Server Reference is a list of names, each with a port or without, divided by blanks (5.0, 4.11): the first that can be
 * understood. An address is looked at by allow_cloud like any other when it is connected to. */
bool target_place_from_reference(struct target *t, const char *reference)
{
	uint16_t port = t->place.port; /* without one: that of the server that sends us */

	if (!t->config->follow_redirects || t->redirect_count >= TARGET_REDIRECTS_MAX)
		return false;
	for (const char *at = reference; *at;) {
		size_t size = strcspn(at, " ");
		struct url url = {0};
		const char *why;

		if (size && url_parse_host_port(bytes_of(at, size), port, &url, &why) == 0) {
			t->redirect_count++;
			t->is_sent = true;
			snprintf(t->place.host, sizeof(t->place.host), "%s", url.host);
			t->place.port = url.port;
			snprintf(t->place.text, sizeof(t->place.text),
				 strchr(url.host, ':') ? "mqtt://[%s]:%u" : "mqtt://%s:%u", t->place.host,
				 url.port);
			return true;
		}
		at += size;
		at += strspn(at, " ");
	}
	return false;
}

/* Servers of a list share their sessions only where the configuration says so. One that has an old one of ours could take a
 * message in flight for one that it has had: better twice than lost. */
uint64_t target_place_key(const struct target *t)
{
	uint64_t hash = hash_number(hash_text(HASH_START, t->place.host), t->place.port);

	if (t->config->cluster)
		return 1;
	return hash > 1 ? hash : 2;
}
