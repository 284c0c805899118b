#include "proto/jsonrpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static bool is_version_2(const json_t *object)
{
	const json_t *version = json_object_get(object, "jsonrpc");

	return json_is_string(version) && !strcmp(json_string_value(version), "2.0");
}

/* A cut in the middle of a character would be a text that is no UTF-8, which jansson refuses to send. */
static void cut_to_whole_characters(char *text, size_t size_bytes)
{
	size_t at = size_bytes;

	while (at > 0 && ((uint8_t)text[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && ((uint8_t)text[at - 1] & 0x80))
		at--;
	text[at] = '\0';
}

void jsonrpc_error_set(struct jsonrpc_error *e, enum jsonrpc_code code, const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
	if (size >= (int)sizeof(e->text))
		cut_to_whole_characters(e->text, sizeof(e->text) - 1);
	e->code = code;
}

static json_t *parse(struct bytes line, struct jsonrpc_error *why)
{
	json_error_t error;
	json_t *root = json_loadb(line.size ? (const char *)line.ptr : "", line.size,
				  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	/* Not error.text: it repeats what came in, which need not be anything that can be shown. */
	if (!root)
		jsonrpc_error_set(why, JSONRPC_PARSE_ERROR, "this is not JSON, from byte %d on",
				  error.position);
	return root;
}

static int refuse(struct jsonrpc_error *why, const char *text)
{
	jsonrpc_error_set(why, JSONRPC_INVALID_REQUEST, "%s", text);
	return -EPROTO;
}

int jsonrpc_request_parse(struct jsonrpc_request *out, struct bytes line, struct jsonrpc_error *why)
{
	json_t *id, *method;

	*out = (struct jsonrpc_request){.root = parse(line, why)};
	if (!out->root)
		return -EPROTO;
	if (json_is_array(out->root))
		return refuse(why, "batches are not supported: send one request object a line");
	if (!json_is_object(out->root))
		return refuse(why, "a request is an object");
	id = json_object_get(out->root, "id");
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return refuse(why, "id is a text, a number or null");
	out->id = id;
	if (!is_version_2(out->root))
		return refuse(why, "jsonrpc is missing or not \"2.0\"");
	method = json_object_get(out->root, "method");
	if (!json_is_string(method))
		return refuse(why, "method is missing or not a text");
	out->method = json_string_value(method);
	out->method_bytes = json_string_length(method);
	out->params = json_object_get(out->root, "params");
	if (out->params && !json_is_object(out->params) && !json_is_array(out->params))
		return refuse(why, "params is an object or an array");
	return 0;
}

void jsonrpc_request_free(struct jsonrpc_request *r)
{
	json_decref(r->root);
	*r = (struct jsonrpc_request){0};
}

int jsonrpc_reply_parse(struct jsonrpc_reply *out, struct bytes line, struct jsonrpc_error *why)
{
	json_t *method;

	*out = (struct jsonrpc_reply){.root = parse(line, why)};
	if (!out->root)
		return -EPROTO;
	if (!is_version_2(out->root))
		return refuse(why, "the answer is not JSON-RPC 2.0");
	out->id = json_object_get(out->root, "id");
	out->result = json_object_get(out->root, "result");
	out->error = json_object_get(out->root, "error");
	out->params = json_object_get(out->root, "params");
	method = json_object_get(out->root, "method");
	if (method) {
		if (!json_is_string(method) || out->result || out->error)
			return refuse(why, "the notification is malformed");
		out->method = json_string_value(method);
		return 0;
	}
	if (!out->result == !out->error)
		return refuse(why, "the answer has neither result nor error, or both");
	if (out->error && (!json_is_integer(json_object_get(out->error, "code")) ||
			   !json_is_string(json_object_get(out->error, "message"))))
		return refuse(why, "the error has no code or no message");
	return 0;
}

void jsonrpc_reply_free(struct jsonrpc_reply *r)
{
	json_decref(r->root);
	*r = (struct jsonrpc_reply){0};
}

json_t *jsonrpc_result(json_t *id, json_t *result)
{
	return json_pack("{s:s, s:o, s:O}", "jsonrpc", "2.0", "result", result, "id", id ? id : json_null());
}

json_t *jsonrpc_failure(json_t *id, const struct jsonrpc_error *e)
{
	return json_pack("{s:s, s:{s:i, s:s}, s:O}", "jsonrpc", "2.0", "error", "code", (int)e->code,
			 "message", e->text, "id", id ? id : json_null());
}

json_t *jsonrpc_notification(const char *method, json_t *params)
{
	return json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
}

json_t *jsonrpc_call(json_t *id, const char *method, json_t *params)
{
	json_t *call = json_pack("{s:s, s:O, s:s}", "jsonrpc", "2.0", "id", id, "method", method);

	if (params && json_object_set_new(call, "params", params)) { /* takes it in any case */
		json_decref(call);
		return NULL;
	}
	return call;
}
