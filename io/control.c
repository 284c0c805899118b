#include "io/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/log.h"
#include "core/memory.h"
#include "proto/line_framer.h"

#define LINE_BUFFER_BYTES (JSONRPC_LINE_BYTES_MAX + 1)
#define ACCEPT_RETRY_NS   (1 * NS_PER_S)
#define CLOSE_TURNS_MAX   1000
#define CLOSE_TURN_NS     (10 * NS_PER_MS)
#define TURN_NOW          ((struct mono){.ns = 0}) /* a deadline that has always passed */

enum client_state { CLIENT_FREE, CLIENT_OPEN, CLIENT_LAST, CLIENT_ENDING };

/* A line on its way to a client. */
struct answer {
	struct answer *next;
	size_t size_bytes, sent_bytes;
	char text[];
};

struct control_client {
	struct control *control;
	enum client_state state;
	enum control_role role;
	struct net_peer peer;
	int handle;
	struct completion recv;
	struct net_send send; /* of the first answer */
	struct iovec iov;
	struct line_framer framer;
	struct answer *first, **last; /* they stay put while the kernel reads them */
	size_t unread_bytes;
	bool requests_wait;         /* whole lines may be left in the framer */
	struct mono slow_due;       /* when it is cut off; MONO_NEVER: the next tick says */
	struct control_watch watch; /* .poll NULL: none */
	struct mono watch_due;
};

struct control {
	struct loop *loop;
	char *path;
	const struct control_method *methods;
	size_t method_count;
	void *context;
	uint32_t owner_uid;
	int listener;
	struct completion accept;
	struct mono accept_due; /* after a failure; MONO_NEVER: the next tick says */
	bool closing;
	struct control_client clients[CONTROL_CLIENTS_MAX];
	uint8_t *lines; /* LINE_BUFFER_BYTES a client */
};

static void on_accept(struct completion *done, int res);
static void on_recv(struct completion *done, int res);
static void on_send(struct completion *done, int res);
static void client_put(struct control_client *cl, json_t *message);
static void client_pump(struct control_client *cl);
static void client_end(struct control_client *cl);
static void client_tick_slow(struct control_client *cl, struct mono now);
static void client_tick_watch(struct control_client *cl, struct mono now);
static struct mono client_deadline(const struct control_client *cl);
static bool is_busy(const struct control *c);
static bool has_output(const struct control *c);

/* --- the public side ---------------------------------------------------------------------------------------------- */

enum control_role control_role_of(const struct net_peer *peer, uint32_t owner_uid)
{
	return peer->uid == 0 || peer->uid == owner_uid ? CONTROL_OPERATOR : CONTROL_READ_ONLY;
}

uint64_t control_memory_bytes(void)
{
	return align_up((uint64_t)CONTROL_CLIENTS_MAX * LINE_BUFFER_BYTES, MEMORY_PAGE_BYTES);
}

int control_open(struct control **out, struct loop *loop, const char *path, uint32_t mode,
		 const struct control_method *methods, size_t method_count, void *context)
{
	struct control *c = calloc(1, sizeof(*c));
	int rc = -ENOMEM;

	if (!c)
		return -ENOMEM;
	*c = (struct control){
		.loop = loop,
		.path = strdup(path),
		.methods = methods,
		.method_count = method_count,
		.context = context,
		.owner_uid = geteuid(),
		.accept = {.done = on_accept},
		.accept_due = MONO_NEVER,
		.lines = memory_map(control_memory_bytes()),
	};
	if (!c->path || !c->lines)
		goto out_free;
	memset(c->lines, 0, control_memory_bytes()); /* there from now on */
	rc = loop_unix_listen(loop, path, mode);
	if (rc < 0)
		goto out_free;
	c->listener = rc;
	loop_accept(loop, c->listener, &c->accept);
	*out = c;
	return 0;

out_free:
	memory_unmap(c->lines, control_memory_bytes());
	free(c->path);
	free(c);
	return rc;
}

void control_tick(struct control *c, struct mono now)
{
	/* An accept that failed (no descriptors, say) would fail again at once: a pause in between. */
	if (!c->accept.active && c->accept_due.ns == MONO_NEVER.ns)
		c->accept_due = mono_add(now, ACCEPT_RETRY_NS);
	if (!c->accept.active && mono_reached(now, c->accept_due)) {
		c->accept_due = MONO_NEVER;
		loop_accept(c->loop, c->listener, &c->accept);
	}
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *cl = &c->clients[i];

		if (cl->requests_wait)
			client_pump(cl);
		client_tick_watch(cl, now);
		client_tick_slow(cl, now);
	}
}

struct mono control_deadline(const struct control *c)
{
	struct mono next = c->accept.active ? MONO_NEVER : c->accept_due;

	if (!c->accept.active && c->accept_due.ns == MONO_NEVER.ns)
		return TURN_NOW;
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		next = mono_min(next, client_deadline(&c->clients[i]));
	return next;
}

void control_flush(struct control *c, struct mono deadline)
{
	while (has_output(c) && !mono_reached(clock_mono(), deadline))
		if (loop_run(c->loop, deadline) < 0)
			return;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	control_flush(c, mono_add(clock_mono(), CLOSE_TURN_NS * 10));
	c->closing = true;
	for (uint32_t turn = 0; is_busy(c) && turn < CLOSE_TURNS_MAX; turn++) {
		loop_cancel(c->loop, &c->accept);
		for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
			if (c->clients[i].state != CLIENT_FREE)
				client_end(&c->clients[i]);
		if (is_busy(c) && loop_run(c->loop, mono_add(clock_mono(), CLOSE_TURN_NS)) < 0)
			break;
	}
	loop_close_handle(c->loop, c->listener);
	(void)unlink(c->path); /* gone already is fine */
	if (is_busy(c)) {
		LOG_ERROR("control", "state=stuck reason=\"the kernel still holds its memory, which stays\"");
		return;
	}
	memory_unmap(c->lines, control_memory_bytes());
	free(c->path);
	free(c);
}

int control_require(const struct control_client *client, enum control_role role, const char *method,
		    struct jsonrpc_error *why)
{
	if (client->role >= role)
		return 0;
	LOG_WARN("control", "call refused method=%s uid=%u gid=%u pid=%d", method, client->peer.uid,
		 client->peer.gid, client->peer.pid);
	jsonrpc_error_set(why, JSONRPC_FORBIDDEN,
			  "%s is for operators: root, or the user that ringmaind runs as", method);
	return -EACCES;
}

void control_watch_set(struct control_client *client, const struct control_watch *watch)
{
	(void)control_watch_clear(client);
	client->watch = *watch;
	client->watch_due = TURN_NOW;
}

bool control_watch_clear(struct control_client *client)
{
	struct control_watch watch = client->watch;

	client->watch = (struct control_watch){0};
	if (!watch.poll)
		return false;
	watch.close(watch.state);
	return true;
}

/* --- clients come and go -------------------------------------------------------------------------------------------- */

static bool client_is_open(const struct control_client *cl)
{
	return cl->state == CLIENT_OPEN || cl->state == CLIENT_LAST;
}

static bool is_busy(const struct control *c)
{
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].state != CLIENT_FREE)
			return true;
	return c->accept.active;
}

static bool has_output(const struct control *c)
{
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (client_is_open(&c->clients[i]) && c->clients[i].first)
			return true;
	return false;
}

/* A place for such a peer, or NULL. */
static struct control_client *place_for(struct control *c, enum control_role role)
{
	struct control_client *place = NULL;
	uint32_t reader_count = 0;

	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *cl = &c->clients[i];

		if (cl->state == CLIENT_FREE)
			place = cl;
		else if (cl->role == CONTROL_READ_ONLY)
			reader_count++;
	}
	return role == CONTROL_READ_ONLY && reader_count >= CONTROL_READERS_MAX ? NULL : place;
}

static void admit(struct control *c, int handle)
{
	struct control_client *cl;
	struct net_peer peer = {0};
	enum control_role role;
	int rc = loop_unix_peer(c->loop, handle, &peer);

	if (rc < 0) {
		LOG_WARN("control", "client refused reason=\"no credentials: %s\"", strerror(-rc));
		loop_close_handle(c->loop, handle);
		return;
	}
	role = control_role_of(&peer, c->owner_uid);
	cl = place_for(c, role);
	if (!cl) {
		LOG_WARN("control", "client refused reason=\"too many clients\" uid=%u pid=%d", peer.uid,
			 peer.pid);
		loop_close_handle(c->loop, handle);
		return;
	}
	*cl = (struct control_client){
		.control = c,
		.state = CLIENT_OPEN,
		.role = role,
		.peer = peer,
		.handle = handle,
		.recv = {.done = on_recv},
		.send = {.completion = {.done = on_send}},
		.last = &cl->first,
		.slow_due = MONO_NEVER,
	};
	line_framer_init(&cl->framer, c->lines + (size_t)(cl - c->clients) * LINE_BUFFER_BYTES,
			 LINE_BUFFER_BYTES);
	client_pump(cl);
}

static void on_accept(struct completion *done, int res)
{
	struct control *c = container_of(done, struct control, accept);

	if (c->closing) {
		if (res >= 0)
			loop_close_handle(c->loop, res);
		return;
	}
	if (res < 0) {
		LOG_WARN("control", "accept failed reason=\"%s\"", strerror(-res));
		return; /* the tick tries again */
	}
	admit(c, res);
	loop_accept(c->loop, c->listener, &c->accept);
}

/* Gives back what no operation uses any more. */
static void client_reap(struct control_client *cl)
{
	struct answer *a;

	if (cl->recv.active || cl->send.completion.active)
		return;
	while ((a = cl->first)) {
		cl->first = a->next;
		free(a);
	}
	loop_close_handle(cl->control->loop, cl->handle);
	cl->state = CLIENT_FREE;
}

/* May be called again while it is ending: a cancel that did not get through is repeated. */
static void client_end(struct control_client *cl)
{
	cl->state = CLIENT_ENDING;
	cl->requests_wait = false;
	(void)control_watch_clear(cl);
	loop_cancel(cl->control->loop, &cl->recv);
	loop_cancel(cl->control->loop, &cl->send.completion);
	client_reap(cl);
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

static const struct control_method *method_find(const struct control *c, const struct jsonrpc_request *r)
{
	for (size_t i = 0; i < c->method_count; i++)
		if (!strcmp(c->methods[i].name, r->method))
			return &c->methods[i];
	return NULL;
}

/* The result, or NULL and *why. */
static json_t *call(struct control_client *cl, const struct jsonrpc_request *r, struct jsonrpc_error *why)
{
	const struct control_method *m = method_find(cl->control, r);
	json_t *result = NULL;
	int rc;

	if (!m) {
		jsonrpc_error_set(why, JSONRPC_METHOD_NOT_FOUND, "there is no such method");
		return NULL;
	}
	if (control_require(cl, m->role, m->name, why) < 0)
		return NULL;
	if (r->params && !json_is_object(r->params)) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "params have names here: send an object");
		return NULL;
	}
	rc = m->call(cl->control->context, cl, r->params, &result, why);
	if (rc == 0 && result)
		return result;
	ASSERT(rc <= 0);
	ASSERT(rc == 0 || !result);
	if (why->code == 0)
		jsonrpc_error_set(why, JSONRPC_INTERNAL_ERROR, "%s", strerror(rc ? -rc : ENOMEM));
	return NULL;
}

static void client_answer(struct control_client *cl, struct bytes line)
{
	struct jsonrpc_error why = {0};
	struct jsonrpc_request r;
	json_t *result = NULL;
	bool valid, silent;

	if (line.size == 0 || (line.size == 1 && line.ptr[0] == '\r'))
		return; /* an empty line, from a person at a terminal */
	valid = jsonrpc_request_parse(&r, line, &why) == 0;
	if (valid)
		result = call(cl, &r, &why);
	silent = valid && !r.id;
	if (silent)
		json_decref(result);
	else
		client_put(cl, result ? jsonrpc_result(r.id, result) : jsonrpc_failure(r.id, &why));
	jsonrpc_request_free(&r);
}

static void client_receive(struct control_client *cl)
{
	struct writer room = line_framer_room(&cl->framer);

	ASSERT(writer_left(&room) > 0);
	loop_recv(cl->control->loop, cl->handle, room.at, writer_left(&room), &cl->recv);
}

static void client_send(struct control_client *cl)
{
	struct answer *a = cl->first;

	if (!a || cl->send.completion.active)
		return;
	cl->iov = (struct iovec){.iov_base = a->text + a->sent_bytes,
				 .iov_len = a->size_bytes - a->sent_bytes};
	loop_sendv(cl->control->loop, cl->handle, &cl->iov, 1, &cl->send);
}

static void client_too_long(struct control_client *cl)
{
	struct jsonrpc_error why;

	jsonrpc_error_set(&why, JSONRPC_INVALID_REQUEST, "the line is longer than %u bytes",
			  JSONRPC_LINE_BYTES_MAX);
	client_put(cl, jsonrpc_failure(NULL, &why));
	if (cl->state == CLIENT_OPEN)
		cl->state = CLIENT_LAST;
}

/* Answers what has come in, as much as a turn allows, and keeps both directions going. */
static void client_pump(struct control_client *cl)
{
	struct bytes line;

	if (!client_is_open(cl))
		return;
	cl->requests_wait = true;
	for (uint32_t i = 0; i < CONTROL_REQUESTS_PER_TURN && cl->requests_wait; i++) {
		if (cl->unread_bytes > CONTROL_UNREAD_BYTES || !client_is_open(cl))
			break; /* on_send goes on */
		if (line_framer_next(&cl->framer, &line))
			client_answer(cl, line);
		else
			cl->requests_wait = false;
	}
	if (!client_is_open(cl))
		return;
	if (cl->state == CLIENT_OPEN && !cl->requests_wait) {
		if (line_framer_overflowed(&cl->framer))
			client_too_long(cl);
		else if (!cl->recv.active)
			client_receive(cl);
	}
	if (cl->state == CLIENT_LAST && !cl->requests_wait && !cl->first)
		client_end(cl);
	else
		client_send(cl);
}

/* The text of a message with its LF, or NULL: no memory, or too large. */
static struct answer *answer_of(const json_t *message)
{
	const size_t flags = JSON_COMPACT;
	size_t size_bytes = json_dumpb(message, NULL, 0, flags);
	struct answer *a;

	if (size_bytes == 0 || size_bytes >= CONTROL_ANSWER_BYTES_MAX)
		return NULL;
	a = malloc(sizeof(*a) + size_bytes + 1);
	if (!a)
		return NULL;
	*a = (struct answer){.size_bytes = size_bytes + 1};
	size_bytes = json_dumpb(message, a->text, size_bytes, flags);
	ASSERT(size_bytes + 1 == a->size_bytes);
	a->text[size_bytes] = '\n';
	return a;
}

/* Takes the message over. One that cannot be sent becomes an error; where not even that can be had, the client goes. */
static void client_put(struct control_client *cl, json_t *message)
{
	struct answer *a = message ? answer_of(message) : NULL;

	if (!a) {
		struct jsonrpc_error why;
		json_t *failure;

		jsonrpc_error_set(&why, JSONRPC_INTERNAL_ERROR,
				  "the answer is too large; ask for less (limit, offset, a pattern)");
		failure = jsonrpc_failure(json_object_get(message, "id"), &why);
		a = failure ? answer_of(failure) : NULL;
		json_decref(failure);
	}
	json_decref(message);
	if (!a) {
		LOG_ERROR("control", "client cut off reason=\"no memory for its answer\" uid=%u pid=%d",
			  cl->peer.uid, cl->peer.pid);
		client_end(cl);
		return;
	}
	*cl->last = a;
	cl->last = &a->next;
	cl->unread_bytes += a->size_bytes;
	client_send(cl);
}

/* --- completions ------------------------------------------------------------------------------------------------------ */

static void on_recv(struct completion *done, int res)
{
	struct control_client *cl = container_of(done, struct control_client, recv);

	if (cl->state == CLIENT_ENDING) {
		client_reap(cl);
		return;
	}
	if (res < 0) {
		client_end(cl);
		return;
	}
	if (res == 0 && cl->state == CLIENT_OPEN)
		cl->state = CLIENT_LAST; /* it may still read */
	line_framer_filled(&cl->framer, (size_t)res);
	client_pump(cl);
}

static void on_send(struct completion *done, int res)
{
	struct control_client *cl = container_of(done, struct control_client, send.completion);
	struct answer *a = cl->first;

	if (cl->state == CLIENT_ENDING) {
		client_reap(cl);
		return;
	}
	if (res < 0) {
		client_end(cl);
		return;
	}
	ASSERT(a);
	a->sent_bytes += (size_t)res; /* may be short: the rest is next */
	cl->unread_bytes -= (size_t)res;
	cl->slow_due = MONO_NEVER;
	if (a->sent_bytes == a->size_bytes) {
		cl->first = a->next;
		if (!cl->first)
			cl->last = &cl->first;
		free(a);
	}
	client_pump(cl);
}

/* --- time --------------------------------------------------------------------------------------------------------------- */

static bool client_may_go_on(const struct control_client *cl)
{
	return cl->requests_wait && cl->unread_bytes <= CONTROL_UNREAD_BYTES;
}

/* Only when nothing waits to be read: a client that is behind is told the newest once it has caught up. */
static void client_tick_watch(struct control_client *cl, struct mono now)
{
	json_t *params;

	if (!cl->watch.poll || cl->state != CLIENT_OPEN || cl->first || !mono_reached(now, cl->watch_due))
		return;
	cl->watch_due = mono_add(now, cl->watch.interval_ns);
	params = cl->watch.poll(cl->watch.state);
	if (params)
		client_put(cl, jsonrpc_notification(cl->watch.notification, params));
}

static void client_tick_slow(struct control_client *cl, struct mono now)
{
	if (!client_is_open(cl) || !cl->first)
		return;
	if (cl->slow_due.ns == MONO_NEVER.ns)
		cl->slow_due = mono_add(now, CONTROL_SLOW_NS);
	if (!mono_reached(now, cl->slow_due))
		return;
	LOG_WARN("control", "client cut off reason=\"does not read\" uid=%u pid=%d", cl->peer.uid,
		 cl->peer.pid);
	client_end(cl);
}

static struct mono client_deadline(const struct control_client *cl)
{
	if (!client_is_open(cl))
		return MONO_NEVER;
	if (client_may_go_on(cl) || (cl->first && cl->slow_due.ns == MONO_NEVER.ns))
		return TURN_NOW;
	if (cl->first)
		return cl->slow_due;
	return cl->watch.poll && cl->state == CLIENT_OPEN ? cl->watch_due : MONO_NEVER;
}
