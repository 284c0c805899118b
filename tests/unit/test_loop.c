/* The io_uring loop against real loopback sockets and socket pairs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/loop_op.h"

/* A listening socket of the kernel's choosing on loopback. */
static int listen_loopback(struct net_address *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct net_address){.size_bytes = sizeof(address->v4)};
	address->v4.sin_family = AF_INET;
	address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(bind(fd, &address->any, address->size_bytes), 0);
	EXPECT_EQ(listen(fd, 4), 0);
	EXPECT_EQ(getsockname(fd, &address->any, &address->size_bytes), 0);
	return fd;
}

static int pair_open(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

TEST(limits_out_of_range_are_refused)
{
	struct loop *l;

	EXPECT_EQ(loop_open(&l, &(struct loop_limits){.operation_count = 0}), -EINVAL);
	EXPECT_EQ(loop_open(&l, &(struct loop_limits){.operation_count = LOOP_OPERATIONS_MAX + 1}), -EINVAL);
	EXPECT(loop_open_hint(-EPERM) != NULL);
}

TEST(largest_loop_opens)
{
	loop_close(loop_new(LOOP_OPERATIONS_MAX));
}

TEST(run_with_a_passed_deadline_only_looks)
{
	struct loop *l = loop_new(4);

	EXPECT_EQ(run_now(l), 0);
	EXPECT_EQ(run_now(l), 0);
	loop_close(l);
}

TEST(run_waits_until_the_deadline_and_not_less)
{
	struct loop *l = loop_new(4);

	for (int i = 0; i < 20; i++) {
		struct mono deadline = mono_add(clock_mono(), NS_PER_MS);

		EXPECT_EQ(loop_run(l, deadline), 0);
		EXPECT(mono_reached(clock_mono(), deadline));
	}
	loop_close(l);
}

TEST(wake_before_the_wait_ends_it)
{
	struct loop *l = loop_new(4);

	for (int i = 0; i < 3; i++) {
		loop_wake(l);
		loop_wake(l);
		EXPECT_EQ(loop_run(l, MONO_NEVER), 0);
	}
	loop_close(l);
}

static void *wake_from_thread(void *arg)
{
	loop_wake(arg);
	return NULL;
}

TEST(wake_from_another_thread_ends_a_wait)
{
	struct loop *l = loop_new(4);

	for (int i = 0; i < 50; i++) {
		pthread_t thread;

		EXPECT_EQ(pthread_create(&thread, NULL, wake_from_thread, l), 0);
		EXPECT_EQ(loop_run(l, MONO_NEVER), 0);
		pthread_join(thread, NULL);
	}
	loop_close(l);
}

static void *run_and_leave(void *arg)
{
	struct loop *l = arg;
	int rc = loop_run(l, MONO_NEVER);

	loop_quiet(l);
	return rc == 0 ? arg : NULL;
}

TEST(loop_belongs_to_the_thread_that_waits_first)
{
	struct loop *l = loop_new(4);
	struct op op = op_new();
	pthread_t thread;
	void *result;
	char byte;
	int fds[2];

	EXPECT_EQ(pair_open(fds), 0);
	loop_recv(l, fds[0], &byte, 1, &op.completion); /* queued by its maker, before the owner comes */
	EXPECT_EQ(pthread_create(&thread, NULL, run_and_leave, l), 0);
	loop_wake(l);
	pthread_join(thread, &result);
	EXPECT(result == l);
	EXPECT(!op.completion.active);
	loop_wake(l); /* harmless after loop_quiet */
	loop_close(l);
	EXPECT_EQ(write(fds[1], "q", 1), 1);
	EXPECT_EQ(read(fds[0], &byte, 1), 1);
}

static struct loop *signalled_loop;

static void on_signal(int number UNUSED)
{
	loop_wake(signalled_loop);
}

static void *signal_from_thread(void *arg)
{
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

TEST(wake_from_a_signal_handler_ends_a_wait)
{
	struct loop *l = loop_new(4);
	pthread_t self = pthread_self(), thread;

	signalled_loop = l;
	signal(SIGUSR1, on_signal);
	EXPECT_EQ(pthread_create(&thread, NULL, signal_from_thread, &self), 0);
	EXPECT_EQ(loop_run(l, MONO_NEVER), 0);
	pthread_join(thread, NULL);
	loop_close(l);
}

/* --- operations --------------------------------------------------------------------------------------------------- */

TEST(operation_over_the_limit_completes_enobufs_and_not_nested)
{
	struct loop *l = loop_new(2);
	struct op ops[3] = {op_new(), op_new(), op_new()};
	char bytes[3];
	int fds[2];

	EXPECT_EQ(pair_open(fds), 0);
	for (int i = 0; i < 3; i++)
		loop_recv(l, fds[0], &bytes[i], 1, &ops[i].completion);
	EXPECT_EQ(ops[2].done_count, 0);
	EXPECT_EQ(wait_for(l, &ops[2], 1), -ENOBUFS);
	EXPECT(ops[0].completion.active);
	EXPECT_EQ(write(fds[1], "ab", 2), 2);
	EXPECT_EQ(wait_for(l, &ops[0], 1), 1);
	EXPECT_EQ(wait_for(l, &ops[1], 1), 1);
	loop_recv(l, fds[0], &bytes[2], 1, &ops[2].completion); /* there is room again */
	EXPECT_EQ(write(fds[1], "c", 1), 1);
	EXPECT_EQ(wait_for(l, &ops[2], 2), 1);
	EXPECT_EQ(bytes[2], 'c');
	loop_close(l);
}

TEST(run_calls_at_most_operation_count_and_keeps_the_rest)
{
	struct loop *l = loop_new(2);
	struct op ops[5] = {op_new(), op_new(), op_new(), op_new(), op_new()};
	char bytes[5];
	int fds[2], done_count = 0;

	EXPECT_EQ(pair_open(fds), 0);
	EXPECT_EQ(write(fds[1], "ab", 2), 2);
	for (int i = 0; i < 5; i++)
		loop_recv(l, fds[0], &bytes[i], 1, &ops[i].completion);
	for (struct mono deadline = generous(); done_count < 5 && !mono_reached(clock_mono(), deadline);) {
		int rc = loop_run(l, deadline);

		EXPECT_LE(0, rc);
		EXPECT_LE(rc, 2);
		done_count += rc;
	}
	EXPECT_EQ(done_count, 5);
	loop_close(l);
}

TEST(operation_restarted_in_done_runs_again)
{
	struct loop *l = loop_new(1);
	struct op op = op_new();
	int fds[2];

	EXPECT_EQ(pair_open(fds), 0);
	EXPECT_EQ(write(fds[1], "abcdefgh", 8), 8);
	op.loop = l;
	op.handle = fds[0];
	op.restart_count = 7;
	loop_read(l, fds[0], &op.byte, 1, &op.completion);
	EXPECT_EQ(wait_for(l, &op, 8), 1);
	EXPECT_EQ(op.byte, 'h');
	loop_close(l);
}

TEST(connect_send_and_receive)
{
	struct loop *l = loop_new(8);
	struct net_address address;
	int listener = listen_loopback(&address);
	struct op connected = op_new(), accepted = op_new(), received = op_new(), sent = op_new();
	char first[] = "ring", second[] = "main";
	struct iovec iov[2] = {{.iov_base = first, .iov_len = 4}, {.iov_base = second, .iov_len = 4}};
	char buffer[16] = {0};
	int handle = loop_tcp_open(l, &address, 5000);

	EXPECT_LE(0, handle);
	loop_accept(l, listener, &accepted.completion);
	loop_connect(l, handle, &address, &connected.completion);
	EXPECT(connected.completion.active);
	EXPECT_EQ(wait_for(l, &connected, 1), 0);
	EXPECT(!connected.completion.active);
	EXPECT_LE(0, wait_for(l, &accepted, 1));

	loop_recv(l, accepted.res, buffer, sizeof(buffer), &received.completion);
	EXPECT_EQ(run_now(l), 0); /* armed, nothing there */
	loop_sendv(l, handle, iov, 2, &sent.send);
	EXPECT_EQ(wait_for(l, &sent, 1), 8);
	EXPECT_EQ(wait_for(l, &received, 1), 8);
	EXPECT_MEM(buffer, "ringmain", 8);

	loop_recv(l, accepted.res, buffer, sizeof(buffer), &received.completion);
	loop_shutdown(l, handle);
	EXPECT_EQ(wait_for(l, &received, 2), 0);
	loop_close_handle(l, handle);
	loop_close_handle(l, accepted.res);
	close(listener);
	loop_close(l);
}

TEST(connect_to_a_closed_port_is_refused)
{
	struct loop *l = loop_new(2);
	struct net_address address;
	struct op op = op_new();
	int handle;

	close(listen_loopback(&address));
	handle = loop_tcp_open(l, &address, 0);
	loop_connect(l, handle, &address, &op.completion);
	EXPECT_EQ(wait_for(l, &op, 1), -ECONNREFUSED);
	loop_close_handle(l, handle);
	loop_close(l);
}

TEST(socket_of_an_unknown_family_is_refused)
{
	struct loop *l = loop_new(1);
	struct net_address address = {.any.sa_family = AF_UNIX};

	EXPECT_EQ(loop_tcp_open(l, &address, 0), -EAFNOSUPPORT);
	loop_close(l);
}

/* More pieces than the kernel takes at once, and a peer that is gone: no SIGPIPE. */
TEST(send_is_short_beyond_the_piece_limit_and_epipe_after_the_peer)
{
	struct loop *l = loop_new(2);
	struct op op = op_new();
	static struct iovec iov[1500];
	char byte = 'x';
	int fds[2];

	for (size_t i = 0; i < ARRAY_COUNT(iov); i++)
		iov[i] = (struct iovec){.iov_base = &byte, .iov_len = 1};
	EXPECT_EQ(pair_open(fds), 0);
	loop_sendv(l, fds[0], iov, ARRAY_COUNT(iov), &op.send);
	EXPECT_EQ(wait_for(l, &op, 1), 1024);
	close(fds[1]);
	loop_sendv(l, fds[0], iov, 1, &op.send);
	EXPECT_EQ(wait_for(l, &op, 2), -EPIPE);
	loop_close(l);
}

TEST(cancelled_receive_completes_once)
{
	struct loop *l = loop_new(2);
	struct op op = op_new();
	char byte;
	int fds[2];

	EXPECT_EQ(pair_open(fds), 0);
	loop_cancel(l, &op.completion); /* not active: nothing */
	for (int i = 1; i <= 10; i++) {
		loop_recv(l, fds[0], &byte, 1, &op.completion);
		if (i % 2)
			EXPECT_EQ(run_now(l), 0); /* cancelled in the kernel as well as on the way to it */
		loop_cancel(l, &op.completion);
		loop_cancel(l, &op.completion);
		EXPECT_EQ(wait_for(l, &op, i), -ECANCELED);
	}
	EXPECT_EQ(write(fds[1], "z", 1), 1);
	loop_recv(l, fds[0], &byte, 1, &op.completion);
	EXPECT_EQ(wait_for(l, &op, 11), 1); /* no cancel was left over */
	loop_close(l);
}

/* The memory of what was under way is the caller's again: under ASan this would be seen. */
TEST(close_waits_for_what_the_kernel_holds)
{
	for (int i = 0; i < 20; i++) {
		struct loop *l = loop_new(8);
		struct op *ops = calloc(8, sizeof(*ops));
		char *bytes = calloc(8, 1);
		int fds[2];

		EXPECT_EQ(pair_open(fds), 0);
		for (int k = 0; k < 8; k++) {
			ops[k] = op_new();
			loop_recv(l, fds[0], &bytes[k], 1, &ops[k].completion);
			if (k == 3)
				EXPECT_EQ(run_now(l), 0);
		}
		loop_close(l);
		for (int k = 0; k < 8; k++) {
			EXPECT_EQ(ops[k].done_count, 0);
			EXPECT(!ops[k].completion.active);
		}
		EXPECT_EQ(write(fds[1], "abcdefgh", 8), 8);
		EXPECT_EQ(read(fds[0], bytes, 8), 8); /* nobody else took them */
		free(bytes);
		free(ops);
		close(fds[0]);
		close(fds[1]);
	}
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static struct op lookup_new(const char *host, uint16_t port)
{
	struct op op = op_new();

	op.lookup.port = port;
	snprintf(op.lookup.host, sizeof(op.lookup.host), "%s", host);
	return op;
}

TEST(numeric_addresses_complete_in_the_next_run)
{
	struct loop *l = loop_new(4);
	struct op v4 = lookup_new("192.0.2.7", 502), v6 = lookup_new("2001:db8::1", 1883),
		  lo = lookup_new("::1%lo", 1);
	char text[INET6_ADDRSTRLEN];

	loop_lookup(l, &v4.lookup);
	loop_lookup(l, &v6.lookup);
	loop_lookup(l, &lo.lookup);
	EXPECT_EQ(v4.done_count, 0); /* not nested */
	EXPECT_EQ(run_now(l), 3);
	EXPECT_EQ(v4.res, 1);
	EXPECT_EQ(ntohs(v4.lookup.addresses[0].v4.sin_port), 502);
	inet_ntop(AF_INET, &v4.lookup.addresses[0].v4.sin_addr, text, sizeof(text));
	EXPECT_TEXT(text, "192.0.2.7");
	EXPECT_EQ(v6.res, 1);
	EXPECT_EQ(ntohs(v6.lookup.addresses[0].v6.sin6_port), 1883);
	inet_ntop(AF_INET6, &v6.lookup.addresses[0].v6.sin6_addr, text, sizeof(text));
	EXPECT_TEXT(text, "2001:db8::1");
	EXPECT_EQ(lo.res, 1);
	EXPECT_NE(lo.lookup.addresses[0].v6.sin6_scope_id, 0);
	loop_close(l);
}

TEST(hosts_that_are_no_names_are_refused)
{
	struct loop *l = loop_new(4);
	struct op empty = lookup_new("", 1), endless = lookup_new("", 1);

	memset(endless.lookup.host, 'a', sizeof(endless.lookup.host));
	loop_lookup(l, &empty.lookup);
	loop_lookup(l, &endless.lookup);
	EXPECT_EQ(run_now(l), 2);
	EXPECT_EQ(empty.res, -EINVAL);
	EXPECT_EQ(endless.res, -ENAMETOOLONG);
	loop_close(l);
}

TEST(localhost_is_resolved_off_the_thread)
{
	struct loop *l = loop_new(16);
	struct op ops[16];

	for (int i = 0; i < 16; i++) {
		ops[i] = lookup_new("localhost", (uint16_t)(1000 + i));
		loop_lookup(l, &ops[i].lookup);
	}
	for (int i = 0; i < 16; i++) {
		const struct net_address *first = &ops[i].lookup.addresses[0];

		EXPECT_LE(1, wait_for(l, &ops[i], 1));
		EXPECT_EQ(ntohs(first->any.sa_family == AF_INET ? first->v4.sin_port : first->v6.sin6_port),
			  1000 + i);
	}
	loop_close(l);
}

TEST(cancelled_lookup_completes_at_once_and_its_answer_is_dropped)
{
	struct loop *l = loop_new(4);
	struct op *op = malloc(sizeof(*op));
	struct op after = lookup_new("localhost", 2);

	*op = lookup_new("localhost", 1);
	loop_lookup(l, &op->lookup);
	EXPECT(op->completion.active);
	loop_cancel(l, &op->completion);
	EXPECT_EQ(run_now(l), 1);
	EXPECT_EQ(op->res, -ECANCELED);
	free(op); /* the late answer must not come here */
	loop_lookup(l, &after.lookup);
	EXPECT_LE(1, wait_for(l, &after, 1));
	loop_close(l);
}

TEST(loop_closed_during_a_lookup_is_not_touched_by_its_answer)
{
	for (int i = 0; i < 50; i++) {
		struct loop *l = loop_new(4);
		struct op op = lookup_new("localhost", 1);

		loop_lookup(l, &op.lookup);
		loop_close(l);
		EXPECT(!op.completion.active);
		EXPECT_EQ(op.done_count, 0);
	}
}

TEST(lookups_beyond_the_resolvers_table_are_refused_with_eagain)
{
	enum { COUNT = 300 };
	struct loop *l = loop_new(COUNT);
	struct op *ops = calloc(COUNT, sizeof(*ops));
	int refused_count = 0;

	for (int i = 0; i < COUNT; i++) {
		ops[i] = lookup_new("localhost", 1);
		loop_lookup(l, &ops[i].lookup);
	}
	for (int i = 0; i < COUNT; i++) {
		int res = wait_for(l, &ops[i], 1);

		EXPECT(res > 0 || res == -EAGAIN);
		refused_count += res < 0;
	}
	EXPECT_EQ(refused_count, COUNT - 64); /* none is collected before the loop runs */
	free(ops);
	loop_close(l);
}

/* --- the control socket --------------------------------------------------------------------------------------------- */

static void path_new(char path[64])
{
	snprintf(path, 64, "/tmp/test_loop.XXXXXX");
	EXPECT(mkdtemp(path) != NULL);
	snprintf(path + strlen(path), 64 - strlen(path), "/s");
}

static void path_remove(char path[64])
{
	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	EXPECT_EQ(rmdir(path), 0);
}

TEST(unix_listener_has_its_mode_and_knows_its_peer)
{
	struct loop *l = loop_new(4);
	struct op accepted = op_new();
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct net_peer peer = {0};
	struct stat st;
	char path[64];
	int listener, client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	path_new(path);
	umask(077);
	listener = loop_unix_listen(l, path, 0660);
	EXPECT_LE(0, listener);
	EXPECT_EQ(stat(path, &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0660);
	loop_accept(l, listener, &accepted.completion);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	EXPECT_EQ(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	EXPECT_LE(0, wait_for(l, &accepted, 1));
	EXPECT_EQ(loop_unix_peer(l, accepted.res, &peer), 0);
	EXPECT_EQ(peer.pid, getpid());
	EXPECT_EQ(peer.uid, getuid());
	EXPECT_NE(loop_unix_peer(l, open("/dev/null", O_RDONLY), &peer), 0);
	loop_close(l);
	path_remove(path);
}

TEST(unix_listener_replaces_a_stale_file_but_not_a_live_one)
{
	struct loop *l = loop_new(4);
	char path[64];
	int first, second;

	path_new(path);
	first = loop_unix_listen(l, path, 0600);
	EXPECT_LE(0, first);
	EXPECT_EQ(loop_unix_listen(l, path, 0600), -EADDRINUSE);
	loop_close_handle(l, first); /* as if the process had died: the file stays */
	second = loop_unix_listen(l, path, 0600);
	EXPECT_LE(0, second);
	loop_close_handle(l, second);
	loop_close(l);
	path_remove(path);
}

TEST(unix_listener_leaves_other_files_alone)
{
	struct loop *l = loop_new(4);
	char path[64], too_long[200];
	struct stat st;

	path_new(path);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	EXPECT_EQ(loop_unix_listen(l, path, 0600), -EEXIST);
	EXPECT_EQ(stat(path, &st), 0);
	memset(too_long, 'a', sizeof(too_long));
	too_long[sizeof(too_long) - 1] = '\0';
	EXPECT_EQ(loop_unix_listen(l, too_long, 0600), -ENAMETOOLONG);
	EXPECT_EQ(loop_unix_listen(l, "", 0600), -EINVAL);
	loop_close(l);
	path_remove(path);
}
