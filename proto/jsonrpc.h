/* proto/jsonrpc.h - the grammar of JSON-RPC 2.0: what a request, an answer and a notification look like.
 *
 * Purpose:  a line of bytes becomes a request or the error that the specification asks for, and back. Both the daemon and
 *           its clients read and write through here.
 * Owner:    the caller. Parsed messages hold one JSON value, let go by jsonrpc_*_free; everything else in them is borrowed
 *           from it. The builders take over what they are given.
 * Threads:  any. Memory: jansson's. It allocates, so this is for the control thread and tools only, never for a data thread;
 *           what one line can cost is bounded by its length and by jansson's limit of depth.
 * Errors:   a code and a text, ready to be sent; NULL from a builder is "out of memory".
 * Source:   JSON-RPC 2.0 Specification (2013-01-04). Batches are not supported: an array is an invalid request.
 */
#ifndef PROTO_JSONRPC_H
#define PROTO_JSONRPC_H

#include <jansson.h>

#include "core/bytes.h"

#define JSONRPC_LINE_BYTES_MAX 65536u /* of a request */

enum jsonrpc_code {
	JSONRPC_PARSE_ERROR = -32700,
	JSONRPC_INVALID_REQUEST = -32600,
	JSONRPC_METHOD_NOT_FOUND = -32601,
	JSONRPC_INVALID_PARAMS = -32602,
	JSONRPC_INTERNAL_ERROR = -32603,
	JSONRPC_FORBIDDEN = -32001, /* ours: the caller's role does not allow it */
};

struct jsonrpc_error {
	enum jsonrpc_code code;
	char text[192]; /* UTF-8 */
};

void jsonrpc_error_set(struct jsonrpc_error *e, enum jsonrpc_code code, const char *format, ...) PRINTF(3, 4);

struct jsonrpc_request {
	json_t *root;
	json_t *id; /* NULL: a notification, which is never answered */
	const char *method;
	size_t method_bytes;
	json_t *params; /* an object or an array; NULL: none */
};

/* 0, or -EPROTO with *why. In both cases out->id is the id as far as one could be seen, and _free is due. */
NODISCARD int jsonrpc_request_parse(struct jsonrpc_request *out, struct bytes line,
				    struct jsonrpc_error *why);
void jsonrpc_request_free(struct jsonrpc_request *r);

/* Of a client: either an answer (result or error is set) or a notification (method is). */
struct jsonrpc_reply {
	json_t *root;
	json_t *id;
	json_t *result;
	json_t *error; /* an object with an integer "code" and a text "message" */
	const char *method;
	json_t *params;
};

NODISCARD int jsonrpc_reply_parse(struct jsonrpc_reply *out, struct bytes line, struct jsonrpc_error *why);
void jsonrpc_reply_free(struct jsonrpc_reply *r);

/* id is borrowed; NULL there becomes null. The others are taken over. */
NODISCARD json_t *jsonrpc_result(json_t *id, json_t *result);
NODISCARD json_t *jsonrpc_failure(json_t *id, const struct jsonrpc_error *e);
NODISCARD json_t *jsonrpc_notification(const char *method, json_t *params);
NODISCARD json_t *jsonrpc_call(json_t *id, const char *method, json_t *params);

#endif
