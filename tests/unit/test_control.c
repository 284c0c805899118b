/* The control socket over a real Unix socket and the real loop, with methods made up here. Time is the test's own: nothing
 * sleeps, a generous deadline is only there to end a failing test. */
#include "io/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/test.h"

#define TURNS_MAX   20000
#define GENEROUS_NS (5 * NS_PER_S)
#define NOBODY      65534u

struct world {
	char folder[64], path[80];
	struct loop *loop;
	struct control *control;
	struct mono now;
	int polled_count, closed_count, called_count;
	int news; /* what a watch has to tell */
};

#define METHOD(name) \
	static int name(void *context UNUSED, struct control_client *client UNUSED, \
			const json_t *params UNUSED, json_t **result UNUSED, \
			struct jsonrpc_error *why UNUSED)

METHOD(echo)
{
	((struct world *)context)->called_count++;
	*result = params ? json_deep_copy(params) : json_null();
	return 0;
}

METHOD(break_down)
{
	return -EIO;
}

METHOD(refuse)
{
	jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "not so");
	return -EINVAL;
}

METHOD(nothing)
{
	return 0;
}

METHOD(operate)
{
	*result = json_true();
	return 0;
}

METHOD(some)
{
	if (json_object_get(params, "set")) {
		int rc = control_require(client, CONTROL_OPERATOR, "some", why);

		if (rc < 0)
			return rc;
	}
	*result = json_true();
	return 0;
}

/* A text of that many bytes. */
METHOD(big)
{
	size_t size_bytes = (size_t)json_integer_value(json_object_get(params, "bytes"));
	char *text = malloc(size_bytes);

	((struct world *)context)->called_count++;
	memset(text, 'a', size_bytes);
	*result = json_stringn(text, size_bytes);
	free(text);
	return 0;
}

static json_t *watch_poll(void *state)
{
	struct world *w = state;

	w->polled_count++;
	return w->news ? json_pack("{s:i}", "news", w->news) : NULL;
}

static void watch_close(void *state)
{
	((struct world *)state)->closed_count++;
}

METHOD(watch)
{
	control_watch_set(client, &(struct control_watch){.notification = "update",
							  .interval_ns = 100 * NS_PER_MS,
							  .state = context,
							  .poll = watch_poll,
							  .close = watch_close});
	*result = json_true();
	return 0;
}

METHOD(unwatch)
{
	*result = json_boolean(control_watch_clear(client));
	return 0;
}

static const struct control_method methods[] = {
	{"echo", CONTROL_READ_ONLY, echo},       {"fail", CONTROL_READ_ONLY, break_down},
	{"refuse", CONTROL_READ_ONLY, refuse},   {"nothing", CONTROL_READ_ONLY, nothing},
	{"operate", CONTROL_OPERATOR, operate},  {"some", CONTROL_READ_ONLY, some},
	{"big", CONTROL_READ_ONLY, big},         {"watch", CONTROL_READ_ONLY, watch},
	{"unwatch", CONTROL_READ_ONLY, unwatch},
};

/* --- the world ------------------------------------------------------------------------------------------------------ */

static void world_open(struct world *w)
{
	*w = (struct world){.now = {.ns = NS_PER_S}};
	snprintf(w->folder, sizeof(w->folder), "/tmp/test_control.XXXXXX");
	EXPECT(mkdtemp(w->folder) != NULL);
	EXPECT_EQ(chmod(w->folder, 0755), 0);
	snprintf(w->path, sizeof(w->path), "%s/s", w->folder);
	EXPECT_EQ(loop_open(&w->loop, &(struct loop_limits){.operation_count = CONTROL_OPERATIONS}), 0);
	EXPECT_EQ(control_open(&w->control, w->loop, w->path, 0666, methods, ARRAY_COUNT(methods), w), 0);
}

static void world_close(struct world *w)
{
	control_close(w->control);
	loop_close(w->loop);
	EXPECT_EQ(access(w->path, F_OK), -1);
	EXPECT_EQ(rmdir(w->folder), 0);
}

/* One turn as the daemon takes it, but that the time is ours: it waits only for the loop. */
static void turn(struct world *w)
{
	struct mono next;

	control_tick(w->control, w->now);
	next = control_deadline(w->control);
	EXPECT_LE(0,
		  loop_run(w->loop, mono_reached(w->now, next) ? next : mono_add(clock_mono(), GENEROUS_NS)));
}

/* Whatever is ready, without waiting. */
static void look(struct world *w)
{
	for (int i = 0; i < 8; i++) {
		control_tick(w->control, w->now);
		EXPECT_LE(0, loop_run(w->loop, (struct mono){.ns = 0}));
	}
}

static int dial(struct world *w)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", w->path);
	EXPECT_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	EXPECT_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the client receives next; 0: the end of the stream. */
static size_t hear_some(struct world *w, int fd, char *buffer, size_t size_bytes, int flags)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		ssize_t n = recv(fd, buffer, size_bytes, MSG_DONTWAIT | flags);

		if (n >= 0)
			return (size_t)n;
		if (errno == ECONNRESET)
			return 0;
		EXPECT_EQ(errno, EAGAIN);
		turn(w);
	}
	ck_abort_msg("nothing came");
	return 0;
}

/* How many bytes there are until the end of the stream. */
static size_t hear_the_end(struct world *w, int fd)
{
	char buffer[65536];
	size_t total = 0, n;

	while ((n = hear_some(w, fd, buffer, sizeof(buffer), 0)))
		total += n;
	return total;
}

/* The next line, as long as it is; the caller's. */
static char *hear(struct world *w, int fd)
{
	char buffer[65536], *line = NULL, *end = NULL;
	size_t size = 0;

	while (!end) {
		size_t n = hear_some(w, fd, buffer, sizeof(buffer), MSG_PEEK);

		EXPECT_NE(n, 0);
		end = memchr(buffer, '\n', n);
		if (end)
			n = (size_t)(end + 1 - buffer);
		line = realloc(line, size + n);
		EXPECT_EQ(hear_some(w, fd, line + size, n, 0), n);
		size += n;
	}
	line[size - 1] = '\0';
	return line;
}

static void expect_line(struct world *w, int fd, const char *wanted)
{
	char *line = hear(w, fd);

	EXPECT_TEXT(line, wanted);
	free(line);
}

static bool is_silent(struct world *w, int fd)
{
	char byte;

	look(w);
	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == -1 && errno == EAGAIN;
}

#define CALL(id, method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}\n"
#define RESULT(id, value) "{\"jsonrpc\":\"2.0\",\"result\":" value ",\"id\":" id "}"
#define FAILURE(id, code, text) \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":" code ",\"message\":\"" text "\"},\"id\":" id "}"

/* --- requests and answers --------------------------------------------------------------------------------------------- */

TEST(request_is_answered)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, CALL("1", "echo", "{\"a\":[1,\"\xc3\xbc\"]}"));
	expect_line(&w, fd, RESULT("1", "{\"a\":[1,\"\xc3\xbc\"]}"));
	close(fd);
	world_close(&w);
}

TEST(request_that_comes_byte_by_byte_is_answered)
{
	static const char text[] = CALL("\"x\"", "echo", "{}");
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		EXPECT_EQ(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
		look(&w);
	}
	expect_line(&w, fd, RESULT("\"x\"", "{}"));
	close(fd);
	world_close(&w);
}

TEST(requests_in_one_piece_are_answered_in_order)
{
	struct world w;
	char text[8000] = "", wanted[64];

	world_open(&w);
	int fd = dial(&w);
	for (int i = 0; i < 100; i++) /* more than a turn takes */
		snprintf(text + strlen(text), 80, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"operate\"}\n",
			 i);
	say(fd, text);
	for (int i = 0; i < 100; i++) {
		snprintf(wanted, sizeof(wanted), "{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":%d}", i);
		expect_line(&w, fd, wanted);
	}
	close(fd);
	world_close(&w);
}

TEST(notification_is_carried_out_and_not_answered)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"refuse\"}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"unknown\"}\n\n\r\n" CALL("2", "operate", "{}"));
	expect_line(&w, fd, RESULT("2", "true"));
	EXPECT_EQ(w.called_count, 1);
	close(fd);
	world_close(&w);
}

TEST(mistakes_have_the_codes_of_the_specification)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, "{\n[]\n" CALL("1", "unknown", "{}") CALL("2", "echo", "[1]") CALL("3", "refuse", "{}")
			CALL("4", "fail", "{}") CALL("5", "nothing", "{}"));
	expect_line(&w, fd, FAILURE("null", "-32700", "this is not JSON, from byte 1 on"));
	expect_line(&w, fd,
		    FAILURE("null", "-32600", "batches are not supported: send one request object a line"));
	expect_line(&w, fd, FAILURE("1", "-32601", "there is no such method"));
	expect_line(&w, fd, FAILURE("2", "-32602", "params have names here: send an object"));
	expect_line(&w, fd, FAILURE("3", "-32602", "not so"));
	expect_line(&w, fd, FAILURE("4", "-32603", "Input/output error"));
	expect_line(&w, fd, FAILURE("5", "-32603", "Cannot allocate memory"));
	close(fd);
	world_close(&w);
}

TEST(client_that_has_sent_its_last_byte_still_gets_its_answers)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, CALL("1", "big", "{\"bytes\":300000}") CALL("2", "operate", "{}"));
	EXPECT_EQ(shutdown(fd, SHUT_WR), 0);
	free(hear(&w, fd));
	expect_line(&w, fd, RESULT("2", "true"));
	EXPECT_EQ(hear_the_end(&w, fd), 0);
	close(fd);
	world_close(&w);
}

/* --- limits ----------------------------------------------------------------------------------------------------------- */

static char *long_line(size_t size_bytes)
{
	char *line = malloc(size_bytes + 2);

	memset(line, ' ', size_bytes);
	memcpy(line, CALL("1", "operate", "{}"), strlen(CALL("1", "operate", "{}")) - 1);
	memcpy(line + size_bytes, "\n", 2);
	return line;
}

TEST(longest_line_is_answered)
{
	struct world w;
	char *line = long_line(JSONRPC_LINE_BYTES_MAX);

	world_open(&w);
	int fd = dial(&w);
	say(fd, line);
	expect_line(&w, fd, RESULT("1", "true"));
	free(line);
	close(fd);
	world_close(&w);
}

TEST(line_that_is_too_long_is_refused_and_ends_the_connection)
{
	struct world w;
	char *line = long_line(JSONRPC_LINE_BYTES_MAX + 1);

	world_open(&w);
	int fd = dial(&w);
	say(fd, line);
	expect_line(&w, fd, FAILURE("null", "-32600", "the line is longer than 65536 bytes"));
	EXPECT_EQ(hear_the_end(&w, fd), 0);
	free(line);
	close(fd);
	world_close(&w);
}

TEST(answer_that_is_too_large_becomes_an_error)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, CALL("1", "big", "{\"bytes\":9000000}") CALL("2", "operate", "{}"));
	expect_line(
		&w, fd,
		FAILURE("1", "-32603", "the answer is too large; ask for less (limit, offset, a pattern)"));
	expect_line(&w, fd, RESULT("2", "true"));
	close(fd);
	world_close(&w);
}

TEST(client_that_asks_faster_than_it_reads_gets_everything_in_the_end)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	for (int i = 0; i < 40; i++)
		say(fd, CALL("1", "big", "{\"bytes\":100000}"));
	look(&w);
	EXPECT_LE(w.called_count, 10); /* what the socket takes, and then a quarter of a megabyte */
	for (int i = 0; i < 40; i++) {
		char *line = hear(&w, fd);

		EXPECT_EQ(strlen(line), 100000 + strlen(RESULT("1", "\"\"")));
		free(line);
	}
	close(fd);
	world_close(&w);
}

TEST(client_that_does_not_read_is_cut_off)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, CALL("1", "big", "{\"bytes\":4000000}"));
	look(&w);
	w.now = mono_add(w.now, CONTROL_SLOW_NS - 1);
	look(&w);
	EXPECT_LE(0, recv(fd, (char[1]){0}, 1, MSG_DONTWAIT | MSG_PEEK)); /* not yet */
	w.now = mono_add(w.now, 1);
	look(&w);
	int other = dial(&w); /* the daemon has time for others */
	say(other, CALL("2", "operate", "{}"));
	expect_line(&w, other, RESULT("2", "true"));
	EXPECT_LE(hear_the_end(&w, fd), 3999999);
	close(fd);
	close(other);
	world_close(&w);
}

TEST(clients_over_the_limit_are_closed_and_a_place_can_be_had_again)
{
	struct world w;
	int fds[CONTROL_CLIENTS_MAX];

	world_open(&w);
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = dial(&w);
		say(fds[i], CALL("1", "operate", "{}"));
		expect_line(&w, fds[i], RESULT("1", "true"));
	}
	int over = dial(&w);
	EXPECT_EQ(hear_the_end(&w, over), 0);
	close(fds[3]);
	look(&w);
	int again = dial(&w);
	say(again, CALL("2", "operate", "{}"));
	expect_line(&w, again, RESULT("2", "true"));
	world_close(&w); /* with all of them connected */
	EXPECT_EQ(recv(again, (char[1]){0}, 1, 0), 0);
}

/* --- roles ------------------------------------------------------------------------------------------------------------ */

TEST(root_and_the_owner_are_operators_and_nobody_else)
{
	EXPECT_EQ(control_role_of(&(struct net_peer){.uid = 0}, 7), CONTROL_OPERATOR);
	EXPECT_EQ(control_role_of(&(struct net_peer){.uid = 7}, 7), CONTROL_OPERATOR);
	EXPECT_EQ(control_role_of(&(struct net_peer){.uid = 8}, 7), CONTROL_READ_ONLY);
	EXPECT_EQ(control_role_of(&(struct net_peer){.uid = 8, .gid = 7}, 7), CONTROL_READ_ONLY);
}

static int dial_as_nobody(struct world *w)
{
	EXPECT_EQ(seteuid(NOBODY), 0);
	int fd = dial(w);

	EXPECT_EQ(seteuid(0), 0);
	return fd;
}

TEST(reader_may_read_and_not_operate)
{
	struct world w;

	if (geteuid() != 0)
		return; /* cannot be anybody else */
	log_set_level(LOG_LEVEL_ERROR);
	world_open(&w);
	int fd = dial_as_nobody(&w);
	say(fd, CALL("1", "echo", "{}") CALL("2", "operate", "{}") CALL("3", "some", "{}")
			CALL("4", "some", "{\"set\":1}"));
	expect_line(&w, fd, RESULT("1", "{}"));
	expect_line(
		&w, fd,
		FAILURE("2", "-32001", "operate is for operators: root, or the user that ringmaind runs as"));
	expect_line(&w, fd, RESULT("3", "true"));
	expect_line(
		&w, fd,
		FAILURE("4", "-32001", "some is for operators: root, or the user that ringmaind runs as"));
	close(fd);
	world_close(&w);
}

TEST(readers_cannot_lock_an_operator_out)
{
	struct world w;

	if (geteuid() != 0)
		return;
	log_set_level(LOG_LEVEL_ERROR);
	world_open(&w);
	for (uint32_t i = 0; i < CONTROL_READERS_MAX; i++) {
		int fd = dial_as_nobody(&w);

		say(fd, CALL("1", "echo", "{}"));
		expect_line(&w, fd, RESULT("1", "{}"));
	}
	EXPECT_EQ(hear_the_end(&w, dial_as_nobody(&w)), 0);
	int fd = dial(&w);
	say(fd, CALL("2", "operate", "{}"));
	expect_line(&w, fd, RESULT("2", "true"));
	world_close(&w);
}

/* --- watches ---------------------------------------------------------------------------------------------------------- */

#define UPDATE(n) "{\"jsonrpc\":\"2.0\",\"method\":\"update\",\"params\":{\"news\":" n "}}"

TEST(watch_is_told_at_its_interval_and_only_of_news)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	w.news = 1;
	say(fd, CALL("1", "watch", "{}"));
	expect_line(&w, fd, RESULT("1", "true"));
	expect_line(&w, fd, UPDATE("1"));
	EXPECT(is_silent(&w, fd)); /* the time stands still */
	EXPECT_EQ(control_deadline(w.control).ns, w.now.ns + 100 * NS_PER_MS);
	w.news = 2;
	w.now = mono_add(w.now, 100 * NS_PER_MS);
	expect_line(&w, fd, UPDATE("2"));
	w.news = 0;
	w.now = mono_add(w.now, 100 * NS_PER_MS);
	EXPECT(is_silent(&w, fd));
	EXPECT_EQ(w.polled_count, 3);
	close(fd);
	world_close(&w);
	EXPECT_EQ(w.closed_count, 1);
}

TEST(watch_is_replaced_and_ended)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, CALL("1", "unwatch", "{}") CALL("2", "watch", "{}") CALL("3", "watch", "{}"));
	expect_line(&w, fd, RESULT("1", "false"));
	expect_line(&w, fd, RESULT("2", "true"));
	expect_line(&w, fd, RESULT("3", "true"));
	EXPECT_EQ(w.closed_count, 1);
	say(fd, CALL("4", "unwatch", "{}"));
	expect_line(&w, fd, RESULT("4", "true"));
	EXPECT_EQ(w.closed_count, 2);
	EXPECT_EQ(control_deadline(w.control).ns, MONO_NEVER.ns);
	close(fd);
	world_close(&w);
	EXPECT_EQ(w.closed_count, 2);
}

TEST(watch_waits_while_the_client_does_not_read)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	w.news = 1;
	say(fd, CALL("1", "watch", "{}") CALL("2", "big", "{\"bytes\":4000000}"));
	look(&w);
	for (int i = 0; i < 10; i++) {
		w.news = i;
		w.now = mono_add(w.now, 100 * NS_PER_MS);
		look(&w);
	}
	expect_line(&w, fd, RESULT("1", "true"));
	free(hear(&w, fd));
	w.now = mono_add(w.now, 100 * NS_PER_MS);
	expect_line(&w, fd, UPDATE("9")); /* the newest, and only once */
	EXPECT(is_silent(&w, fd));
	close(fd);
	world_close(&w);
}

TEST(watch_ends_with_its_client)
{
	struct world w;

	world_open(&w);
	int fd = dial(&w);
	say(fd, CALL("1", "watch", "{}"));
	expect_line(&w, fd, RESULT("1", "true"));
	close(fd);
	look(&w);
	EXPECT_EQ(w.closed_count, 1);
	world_close(&w);
}

/* --- begin and end ------------------------------------------------------------------------------------------------------ */

TEST(socket_in_use_is_refused_and_one_that_was_closed_is_free)
{
	struct world w;
	struct control *second = NULL;

	world_open(&w);
	EXPECT_EQ(control_open(&second, w.loop, w.path, 0600, methods, ARRAY_COUNT(methods), &w),
		  -EADDRINUSE);
	control_close(w.control);
	EXPECT_EQ(control_open(&w.control, w.loop, w.path, 0600, methods, ARRAY_COUNT(methods), &w), 0);
	world_close(&w);
}

TEST(flush_sends_what_was_answered)
{
	struct world w;
	char text[128] = "";

	world_open(&w);
	int fd = dial(&w);
	look(&w);
	say(fd, CALL("1", "operate", "{}"));
	/* Until the method was called: its answer is queued and no more, as when it stops the daemon. */
	EXPECT_LE(0, loop_run(w.loop, mono_add(clock_mono(), GENEROUS_NS)));
	EXPECT_EQ(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), -1);
	control_flush(w.control, mono_add(clock_mono(), GENEROUS_NS));
	EXPECT_LE(0, recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT));
	EXPECT_TEXT(text, RESULT("1", "true") "\n");
	close(fd);
	world_close(&w);
}
