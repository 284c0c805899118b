/* tools/ctl_client.h - the other end of the control socket: asks, and waits for the answer.
 *
 * Purpose:  plain blocking calls with a time limit, for ringctl and test programs.
 * Owner:    the caller. Threads: one. Memory: one buffer for the longest answer, at ctl_open.
 * Units:    milliseconds. Errors: -errno where the daemon cannot be reached or does not answer (-ETIMEDOUT; -ECONNRESET:
 *           it closed the connection); an error that it answers is -EPROTO with *why.
 */
#ifndef TOOLS_CTL_CLIENT_H
#define TOOLS_CTL_CLIENT_H

#include "proto/jsonrpc.h"
#include "proto/line_framer.h"

struct ctl_client {
	int fd;
	uint8_t *buffer;
	struct line_framer framer;
	uint32_t last_id;
};

NODISCARD int ctl_open(struct ctl_client *c, const char *path, uint32_t timeout_ms);
void ctl_close(struct ctl_client *c);

/* Takes params over (NULL: none). 0 and *result, the caller's. */
NODISCARD int ctl_call(struct ctl_client *c, const char *method, json_t *params, json_t **result,
		       struct jsonrpc_error *why);

/* The same for a list in pages: asks until it is complete; *result is the first answer with all items in it. */
NODISCARD int ctl_call_all(struct ctl_client *c, const char *method, json_t *params, const char *list,
			   json_t **result, struct jsonrpc_error *why);

/* The params of the next notification with this name, however long that takes. */
NODISCARD int ctl_wait(struct ctl_client *c, const char *notification, json_t **params);

#endif
