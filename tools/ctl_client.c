#include "tools/ctl_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (16u << 20)

/* A time-out of a socket option is reported as -EAGAIN. */
static int socket_error(void)
{
	return errno == EAGAIN || errno == EINPROGRESS ? -ETIMEDOUT : -errno;
}

static int set_timeouts(int fd, uint32_t timeout_ms)
{
	struct timeval t = {.tv_sec = timeout_ms / 1000, .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) == -1)
		return -errno;
	return 0;
}

int ctl_open(struct ctl_client *c, const char *path, uint32_t timeout_ms)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t path_bytes = strlen(path);
	int rc;

	*c = (struct ctl_client){.fd = -1};
	if (path_bytes >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, path_bytes);
	c->buffer = malloc(ANSWER_BYTES_MAX);
	if (!c->buffer)
		return -ENOMEM;
	line_framer_init(&c->framer, c->buffer, ANSWER_BYTES_MAX);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rc = c->fd == -1 ? -errno : set_timeouts(c->fd, timeout_ms);
	if (rc == 0 && connect(c->fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == -1)
		rc = socket_error();
	if (rc < 0)
		ctl_close(c);
	return rc;
}

void ctl_close(struct ctl_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buffer);
	*c = (struct ctl_client){.fd = -1};
}

static int send_all(struct ctl_client *c, const char *text, size_t size_bytes)
{
	while (size_bytes > 0) {
		ssize_t n = send(c->fd, text, size_bytes, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return socket_error();
		text += n;
		size_bytes -= (size_t)n;
	}
	return 0;
}

static int send_message(struct ctl_client *c, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t size_bytes;
	int rc;

	json_decref(message);
	if (!text)
		return -ENOMEM;
	size_bytes = strlen(text);
	text[size_bytes] = '\n'; /* in place of the final zero */
	rc = send_all(c, text, size_bytes + 1);
	free(text);
	return rc;
}

static int receive_line(struct ctl_client *c, struct bytes *line)
{
	while (!line_framer_next(&c->framer, line)) {
		struct writer room = line_framer_room(&c->framer);
		ssize_t n;

		if (writer_left(&room) == 0)
			return -EMSGSIZE;
		n = recv(c->fd, room.at, writer_left(&room), 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return socket_error();
		if (n == 0)
			return -ECONNRESET;
		line_framer_filled(&c->framer, (size_t)n);
	}
	return 0;
}

/* The answer to our last call; notifications that come before it are passed over. */
static int receive_reply(struct ctl_client *c, struct jsonrpc_reply *out, struct jsonrpc_error *why)
{
	for (;;) {
		struct bytes line;
		int rc = receive_line(c, &line);

		if (rc < 0)
			return rc;
		rc = jsonrpc_reply_parse(out, line, why);
		if (rc < 0) {
			jsonrpc_reply_free(out);
			return rc;
		}
		if (!out->method &&
		    (json_is_null(out->id) || json_integer_value(out->id) == (json_int_t)c->last_id))
			return 0;
		jsonrpc_reply_free(out);
	}
}

int ctl_call(struct ctl_client *c, const char *method, json_t *params, json_t **result,
	     struct jsonrpc_error *why)
{
	json_t *id = json_integer(++c->last_id);
	struct jsonrpc_reply reply;
	int rc = send_message(c, jsonrpc_call(id, method, params));

	json_decref(id);
	if (rc == 0)
		rc = receive_reply(c, &reply, why);
	if (rc < 0)
		return rc;
	if (reply.error) {
		jsonrpc_error_set(why,
				  (enum jsonrpc_code)json_integer_value(json_object_get(reply.error, "code")),
				  "%s", json_string_value(json_object_get(reply.error, "message")));
		rc = -EPROTO;
	} else {
		*result = json_incref(reply.result);
	}
	jsonrpc_reply_free(&reply);
	return rc;
}

int ctl_call_all(struct ctl_client *c, const char *method, json_t *params, const char *list, json_t **result,
		 struct jsonrpc_error *why)
{
	json_t *next;
	int rc = ctl_call(c, method, json_incref(params), result, why);

	while (rc == 0 && json_is_integer(next = json_object_get(*result, "next"))) {
		json_t *page = NULL;

		json_object_set(params, "offset", next);
		rc = ctl_call(c, method, json_incref(params), &page, why);
		if (rc == 0 &&
		    (json_array_extend(json_object_get(*result, list), json_object_get(page, list)) ||
		     json_object_set_new(*result, "next", json_incref(json_object_get(page, "next")))))
			rc = -ENOMEM;
		json_decref(page);
		if (rc < 0) {
			json_decref(*result);
			*result = NULL;
		}
	}
	json_decref(params);
	return rc;
}

int ctl_wait(struct ctl_client *c, const char *notification, json_t **params)
{
	int rc = set_timeouts(c->fd, 0);

	while (rc == 0) {
		struct jsonrpc_reply reply = {0};
		struct jsonrpc_error why;
		struct bytes line;

		rc = receive_line(c, &line);
		if (rc == 0)
			rc = jsonrpc_reply_parse(&reply, line, &why);
		if (rc == 0 && reply.method && !strcmp(reply.method, notification)) {
			*params = json_incref(reply.params);
			jsonrpc_reply_free(&reply);
			return 0;
		}
		jsonrpc_reply_free(&reply);
	}
	return rc;
}
