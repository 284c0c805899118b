/* Serial ports. DESIGN proposed libmodbus's RTU context for the set-up; termios is used directly because that context
 * answers success for a rate it does not know, offers no exclusive use, and opens the port in a mode of its own. The
 * termios2 interface takes any rate as a number, so there is no table of rates either. Its header cannot be included
 * together with <termios.h>. */
#include "io/loop.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Receivers sample in the middle of a bit: 5 % over a frame is the end, and the peer has its share of it. */
#define BAUD_TOLERANCE_PERCENT 3
#define BAUD_MAX               20000000u

#define PTY_SLAVE_MAJOR_FIRST 136
#define PTY_SLAVE_MAJOR_LAST  143

enum port_kind { PORT_REAL, PORT_PTY };

static int format_check(const struct serial_format *format);
static int port_claim(int handle, enum port_kind *kind);
static int port_format(int handle, enum port_kind kind, const struct serial_format *format);
static int port_direction(int handle, enum serial_mode mode);
static void port_low_latency(int handle);

/* Not blocking: the ring then polls the port, where a blocking one would cost a worker thread or, when full, stall the
 * caller. */
int loop_serial_open(struct loop *l UNUSED, const char *path, const struct serial_format *format)
{
	enum port_kind kind = PORT_REAL;
	int rc = format_check(format);
	int handle;

	if (rc < 0)
		return rc;
	handle = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (handle == -1)
		return -errno;
	rc = port_claim(handle, &kind);
	if (rc < 0)
		goto out_close;
	rc = port_format(handle, kind, format);
	if (rc < 0)
		goto out_close;
	rc = port_direction(handle, format->mode);
	if (rc < 0)
		goto out_close;
	port_low_latency(handle);
	(void)ioctl(handle, TCFLSH, TCIOFLUSH);
	return handle;

out_close:
	close(handle);
	return rc;
}

void loop_serial_flush(struct loop *l UNUSED, int handle)
{
	(void)ioctl(handle, TCFLSH, TCIFLUSH); /* a port that is gone has nothing to throw away */
}

static int format_check(const struct serial_format *format)
{
	if (format->baud == 0 || format->baud > BAUD_MAX)
		return -EINVAL;
	if (format->data_bits != 7 && format->data_bits != 8)
		return -EINVAL;
	if (format->stop_bits != 1 && format->stop_bits != 2)
		return -EINVAL;
	return 0;
}

/* Two masters on one line spoil each other's frames. flock keeps our own kind away, TIOCEXCL everybody but root. A pty
 * does without the latter: it would outlive us, for as long as the other end is open. */
static int port_claim(int handle, enum port_kind *kind)
{
	struct termios2 t;
	struct stat st;

	if (fstat(handle, &st) == -1)
		return -errno;
	if (!S_ISCHR(st.st_mode) || ioctl(handle, TCGETS2, &t) == -1)
		return -ENOTTY;
	if (flock(handle, LOCK_EX | LOCK_NB) == -1)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	*kind = major(st.st_rdev) >= PTY_SLAVE_MAJOR_FIRST && major(st.st_rdev) <= PTY_SLAVE_MAJOR_LAST
			? PORT_PTY
			: PORT_REAL;
	if (*kind == PORT_REAL && ioctl(handle, TIOCEXCL) == -1)
		return -errno;
	return 0;
}

static tcflag_t format_cflag(const struct serial_format *format)
{
	tcflag_t cflag = BOTHER | (BOTHER << IBSHIFT) | CREAD | CLOCAL;

	cflag |= format->data_bits == 7 ? CS7 : CS8;
	cflag |= format->stop_bits == 2 ? CSTOPB : 0;
	switch (format->parity) {
	case SERIAL_PARITY_NONE: break;
	case SERIAL_PARITY_EVEN: cflag |= PARENB; break;
	case SERIAL_PARITY_ODD: cflag |= PARENB | PARODD; break;
	}
	return cflag;
}

/* The call succeeds if any part of it could be done, so read back what has become of it. A pty has no line: it keeps
 * eight bits whatever is asked. */
static int port_format(int handle, enum port_kind kind, const struct serial_format *format)
{
	const tcflag_t frame = CSIZE | CSTOPB | PARENB | PARODD;
	struct termios2 t = {0}, got = {0};
	uint64_t off_by;

	t.c_cflag = format_cflag(format);
	t.c_iflag = IGNBRK |
		    (format->parity == SERIAL_PARITY_NONE ? 0u
							  : (unsigned)INPCK); /* wrong parity reads as 0 */
	t.c_ispeed = format->baud;
	t.c_ospeed = format->baud;
	t.c_cc[VMIN] = 1; /* with 0, nothing there would read as 0, which is a hang-up */
	if (ioctl(handle, TCSETS2, &t) == -1 || ioctl(handle, TCGETS2, &got) == -1)
		return -errno;
	off_by = got.c_ospeed > format->baud ? got.c_ospeed - format->baud : format->baud - got.c_ospeed;
	if (off_by * 100 > (uint64_t)format->baud * BAUD_TOLERANCE_PERCENT)
		return -EINVAL;
	if (kind == PORT_REAL && (got.c_cflag & frame) != (t.c_cflag & frame))
		return -EINVAL;
	return 0;
}

/* A driver without RS-485 is an adapter that turns the line by itself, or a pty: go on. Delays that the device tree has
 * set are kept. */
static int port_direction(int handle, enum serial_mode mode)
{
	struct serial_rs485 rs = {0};
	bool wanted = mode == SERIAL_RS485;

	if (ioctl(handle, TIOCGRS485, &rs) == -1)
		return 0;
	if (wanted == !!(rs.flags & SER_RS485_ENABLED))
		return 0;
	if (wanted) {
		rs.flags |= SER_RS485_ENABLED;
		if (!(rs.flags & (SER_RS485_RTS_ON_SEND | SER_RS485_RTS_AFTER_SEND)))
			rs.flags |= SER_RS485_RTS_ON_SEND;
	} else {
		rs.flags &= ~(unsigned)SER_RS485_ENABLED;
	}
	if (ioctl(handle, TIOCSRS485, &rs) == 0)
		return 0;
	return errno == ENOTTY || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
}

/* The driver hands over each byte as it comes; where it cannot, the line is slower, not wrong. */
static void port_low_latency(int handle)
{
	struct serial_struct serial;

	if (ioctl(handle, TIOCGSERIAL, &serial) == -1)
		return;
	serial.flags |= ASYNC_LOW_LATENCY;
	(void)ioctl(handle, TIOCSSERIAL, &serial);
}
