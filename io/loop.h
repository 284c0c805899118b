/* io/loop.h - the outside world of one thread: sockets, serial ports, names, wake-ups, and waiting.
 *
 * Purpose:  everything that a thread asks of the system goes through here, as an operation that completes later. With
 *           core/clock.h this is the whole seam to the world: the product links io/loop_uring.c, the simulator a
 *           loop of its own against the same objects of everything else.
 * Owner:    the first thread that calls loop_run. A struct completion, and the memory an operation uses, belong to the caller and
 *           stay put until its last done().
 * Threads:  all calls by the owner, but for loop_wake (any thread, async-signal-safe).
 * Memory:   all of it at loop_open; starting an operation allocates nothing.
 * Errors:   an operation that cannot be started completes with a negative errno like any other. done() is called
 *           exactly once an operation, from loop_run, never nested in the call that started it.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/base.h"
#include "core/clock.h"

struct loop;

/* One operation. Zero is idle; fill done, start it, and do not touch the rest until done() has been called. */
struct completion {
	void (*done)(struct completion *c, int res);
	struct completion *next; /* the loop's own */
	int res;                 /* the loop's own */
	bool active;             /* between start and done(); read-only */
	uint8_t flags;           /* the loop's own */
};

#define LOOP_OPERATIONS_MAX 8192

struct loop_limits {
	uint32_t operation_count; /* operations active at a time, at most; 1..LOOP_OPERATIONS_MAX */
};

NODISCARD int loop_open(struct loop **out, const struct loop_limits *limits);
/* Bytes of the queues that loop_open shares with the kernel. */
uint64_t loop_memory_bytes(const struct loop_limits *limits);
/* What to do about an error of loop_open, for the operator; a static text. */
const char *loop_open_hint(int error);
/* By the owner, before its thread ends: cancels what is left and waits until the kernel has let go of all memory; done() is
 * not called any more. loop_wake stays harmless until loop_close. */
void loop_quiet(struct loop *l);
/* Any thread, after loop_quiet; the owner needs no loop_quiet before. */
void loop_close(struct loop *l);

/* Starts what was queued, waits until something completes, loop_wake, or the deadline (MONO_NEVER: none; one that has
 * passed: only looks), then calls done() of what has completed, one after another; at most operation_count of them. The
 * number of done() calls, or -errno where the system refuses to wait. */
NODISCARD int loop_run(struct loop *l, struct mono deadline);

/* Waits without sleeping, at the cost of the CPU: until the watched word is not `quiet`, something may have completed, or
 * the time is reached; starts what was queued first. loop_run comes next, and only looks. */
void loop_spin(struct loop *l, const _Atomic uint32_t *watched, uint32_t quiet, struct mono until);

/* Ends the present or the next wait of loop_run. Costs a system call: see core/doorbell.h for when to ask. */
void loop_wake(struct loop *l);

/* Asks an operation to end soon; it still completes once, with its result or -ECANCELED. No-op where it is not active. */
void loop_cancel(struct loop *l, struct completion *c);

/* --- names ---------------------------------------------------------------------------------------------------- */

#define NET_ADDRESSES_MAX 16

struct net_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t size_bytes;
};

/* Where a name led: in the order to try. The caller's, filled at res > 0. */
struct net_lookup {
	struct completion
		completion; /* res: number of addresses, or -errno (-ENOENT: no such name, -EAGAIN: later) */
	char host[256];     /* set by the caller: a name or a numeric address */
	uint16_t port;      /* set by the caller */
	struct net_address addresses[NET_ADDRESSES_MAX];
};

/* Off the thread: a dead name server stalls nobody. A numeric address never leaves the thread. */
void loop_lookup(struct loop *l, struct net_lookup *lookup);

/* --- TCP ------------------------------------------------------------------------------------------------------ */

/* A socket for the address's family with TCP_NODELAY and TCP_USER_TIMEOUT (0: the system's): a handle, or -errno. */
NODISCARD int loop_tcp_open(struct loop *l, const struct net_address *peer, uint32_t user_timeout_ms);
void loop_connect(struct loop *l, int handle, const struct net_address *peer, struct completion *c);
/* res: bytes, 0 at the peer's end of stream, or -errno. */
void loop_recv(struct loop *l, int handle, void *buffer, size_t size_bytes, struct completion *c);

/* A gathered send. iov and the bytes stay put until done(); res: bytes taken, may be short. */
struct net_send {
	struct completion completion;
	struct msghdr msg; /* the loop's own */
};
void loop_sendv(struct loop *l, int handle, struct iovec *iov, uint32_t iov_count, struct net_send *op);

/* Where a connected handle is on this machine; 0 or -errno. */
NODISCARD int loop_local_address(struct loop *l, int handle, struct net_address *out);

/* No more will be sent; what is on the way arrives. Immediate. */
void loop_shutdown(struct loop *l, int handle);

/* Gives the handle back. No operation on it may be active. */
void loop_close_handle(struct loop *l, int handle);

/* --- serial ports and other descriptors ------------------------------------------------------------------------- */

enum serial_parity { SERIAL_PARITY_NONE, SERIAL_PARITY_EVEN, SERIAL_PARITY_ODD };
enum serial_mode { SERIAL_RS232, SERIAL_RS422, SERIAL_RS485 };

struct serial_format {
	uint32_t baud;
	uint8_t data_bits; /* 7, 8 */
	uint8_t stop_bits; /* 1, 2 */
	enum serial_parity parity;
	enum serial_mode mode;
};

/* Opens and sets up a serial port, not blocking, raw, with low latency where the driver can: a handle, or -errno
 * (-EINVAL: a rate or format that the port refuses). A pty counts as one. */
NODISCARD int loop_serial_open(struct loop *l, const char *path, const struct serial_format *format);
/* Throws away what has come in. */
void loop_serial_flush(struct loop *l, int handle);

/* For handles of loop_serial_open. res: bytes, 0 at hang-up, or -errno. Short writes are normal. */
void loop_read(struct loop *l, int handle, void *buffer, size_t size_bytes, struct completion *c);
void loop_write(struct loop *l, int handle, const void *bytes, size_t size_bytes, struct completion *c);

/* --- the control socket ------------------------------------------------------------------------------------------- */

struct net_peer {
	uint32_t uid, gid;
	int32_t pid;
};

/* A listening Unix stream socket with this file mode; a stale file of a dead process is replaced, a live one is
 * -EADDRINUSE, what is no socket -EEXIST. */
NODISCARD int loop_unix_listen(struct loop *l, const char *path, uint32_t mode);
/* res: a handle for loop_recv and loop_sendv. */
void loop_accept(struct loop *l, int handle, struct completion *c);
NODISCARD int loop_unix_peer(struct loop *l, int handle, struct net_peer *peer);

#endif
