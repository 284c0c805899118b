/* Serial ports of the io_uring loop, over ptys. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/loop_op.h"

static int pty_open(char path[64])
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	EXPECT_LE(0, master);
	EXPECT_EQ(grantpt(master), 0);
	EXPECT_EQ(unlockpt(master), 0);
	EXPECT_EQ(ptsname_r(master, path, 64), 0);
	return master;
}

static const struct serial_format format_8n1 = {.baud = 19200, .data_bits = 8, .stop_bits = 1};

TEST(serial_port_reads_and_writes_raw_bytes)
{
	struct loop *l = loop_new(4);
	struct op in = op_new(), out = op_new();
	char path[64], buffer[16] = {0};
	int master = pty_open(path);
	int port = loop_serial_open(l, path, &format_8n1);

	EXPECT_LE(0, port);
	loop_read(l, port, buffer, sizeof(buffer), &in.completion);
	EXPECT_EQ(run_now(l), 0); /* nothing there is not a hang-up */
	EXPECT_EQ(write(master, "\x01\x03\r\n\x11\x04", 6), 6);
	EXPECT_EQ(wait_for(l, &in, 1), 6);
	EXPECT_MEM(buffer, "\x01\x03\r\n\x11\x04", 6);
	loop_write(l, port, "\n\x00\x7f", 3, &out.completion);
	EXPECT_EQ(wait_for(l, &out, 1), 3);
	EXPECT_EQ(read(master, buffer, sizeof(buffer)), 3);
	EXPECT_MEM(buffer, "\n\x00\x7f", 3);
	loop_close_handle(l, port);
	close(master);
	loop_close(l);
}

TEST(serial_port_that_hangs_up_reads_zero)
{
	struct loop *l = loop_new(4);
	struct op in = op_new();
	char path[64], buffer[16];
	int master = pty_open(path);
	int port = loop_serial_open(l, path, &format_8n1);

	loop_read(l, port, buffer, sizeof(buffer), &in.completion);
	EXPECT_EQ(run_now(l), 0);
	close(master);
	EXPECT_EQ(wait_for(l, &in, 1), 0);
	loop_read(l, port, buffer, sizeof(buffer), &in.completion);
	EXPECT_EQ(wait_for(l, &in, 2), 0);
	loop_close_handle(l, port);
	loop_close(l);
}

TEST(serial_read_can_be_cancelled)
{
	struct loop *l = loop_new(4);
	struct op in = op_new();
	char path[64], buffer[16];
	int master = pty_open(path);
	int port = loop_serial_open(l, path, &format_8n1);

	loop_read(l, port, buffer, sizeof(buffer), &in.completion);
	EXPECT_EQ(run_now(l), 0);
	loop_cancel(l, &in.completion);
	EXPECT_EQ(wait_for(l, &in, 1), -ECANCELED);
	loop_close_handle(l, port);
	close(master);
	loop_close(l);
}

/* Short writes are normal: nobody reads, so the port fills, and the write that waits can be cancelled. */
TEST(serial_write_into_a_full_port_is_short_then_waits)
{
	struct loop *l = loop_new(4);
	struct op out = op_new();
	static char bytes[1 << 20];
	char path[64];
	int master = pty_open(path);
	int port = loop_serial_open(l, path, &format_8n1);
	int done_count = 0;

	do {
		loop_write(l, port, bytes, sizeof(bytes), &out.completion);
		if (run_now(l) == 0)
			break;
		EXPECT(out.res > 0 && (size_t)out.res < sizeof(bytes));
	} while (++done_count < 1000);
	EXPECT_NE(done_count, 1000);
	loop_cancel(l, &out.completion);
	EXPECT_EQ(wait_for(l, &out, done_count + 1), -ECANCELED);
	loop_close_handle(l, port);
	close(master);
	loop_close(l);
}

TEST(serial_flush_throws_away_what_came_in)
{
	struct loop *l = loop_new(4);
	struct op in = op_new();
	char path[64], buffer[16] = {0};
	int master = pty_open(path);
	int port = loop_serial_open(l, path, &format_8n1);

	EXPECT_EQ(write(master, "stale", 5), 5);
	loop_read(l, port, buffer, 1, &in.completion); /* one is here, so all are */
	EXPECT_EQ(wait_for(l, &in, 1), 1);
	loop_serial_flush(l, port);
	EXPECT_EQ(write(master, "new", 3), 3);
	loop_read(l, port, buffer, sizeof(buffer), &in.completion);
	EXPECT_EQ(wait_for(l, &in, 2), 3);
	EXPECT_MEM(buffer, "new", 3);
	loop_close_handle(l, port);
	close(master);
	loop_close(l);
}

TEST(serial_port_has_one_master_at_a_time)
{
	struct loop *l = loop_new(4);
	char path[64];
	int master = pty_open(path);
	int port = loop_serial_open(l, path, &format_8n1);

	EXPECT_EQ(loop_serial_open(l, path, &format_8n1), -EBUSY);
	loop_close_handle(l, port);
	port = loop_serial_open(l, path, &format_8n1);
	EXPECT_LE(0, port);
	loop_close_handle(l, port);
	close(master);
	loop_close(l);
}

TEST(serial_formats_that_cannot_be_are_refused)
{
	struct loop *l = loop_new(4);
	struct serial_format odd_rate = {
		.baud = 187500, .data_bits = 8, .stop_bits = 2, .mode = SERIAL_RS485};
	char path[64];
	int master = pty_open(path);
	int port;

	EXPECT_EQ(
		loop_serial_open(l, path, &(struct serial_format){.baud = 0, .data_bits = 8, .stop_bits = 1}),
		-EINVAL);
	EXPECT_EQ(loop_serial_open(l, path,
				   &(struct serial_format){.baud = 9600, .data_bits = 5, .stop_bits = 1}),
		  -EINVAL);
	EXPECT_EQ(loop_serial_open(l, path,
				   &(struct serial_format){.baud = 9600, .data_bits = 8, .stop_bits = 3}),
		  -EINVAL);
	port = loop_serial_open(l, path, &odd_rate);
	EXPECT_LE(0, port);
	loop_close_handle(l, port);
	close(master);
	loop_close(l);
}

TEST(serial_path_that_is_no_port_is_refused)
{
	struct loop *l = loop_new(4);

	EXPECT_EQ(loop_serial_open(l, "/nowhere/tty", &format_8n1), -ENOENT);
	EXPECT_EQ(loop_serial_open(l, "/dev/null", &format_8n1), -ENOTTY);
	loop_close(l);
}
