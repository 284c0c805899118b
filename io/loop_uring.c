#include "io/loop_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/assert.h"

/* A CQE's user_data is the address of its completion, but for these two. */
#define TAG_NONE 0 /* a cancel's own result: says nothing that the cancelled one does not */
#define TAG_WAKE 1

#define PAGE_BYTES         4096u
#define QUEUE_HEADER_BYTES 64u /* of the kernel's, in front of the completions; none needs more than a page */

#define WAIT_NS_MAX        (24 * 3600 * NS_PER_S)
#define CLOSE_RETRY_NS     (10 * NS_PER_MS)
#define TRANSFER_BYTES_MAX ((size_t)INT_MAX & ~(size_t)4095) /* more comes back as a short transfer */

static uint32_t sq_count_of(uint32_t operation_count);
static int ring_open(struct io_uring *ring, uint32_t operation_count);
static void wake_arm(struct loop *l);
static void reap(struct loop *l);
static int run_ready(struct loop *l);
static void cancel_everything(struct loop *l);

int loop_open(struct loop **out, const struct loop_limits *limits)
{
	struct loop *l;
	int rc;

	if (limits->operation_count < 1 || limits->operation_count > LOOP_OPERATIONS_MAX)
		return -EINVAL;
	rc = resolver_start();
	if (rc < 0)
		return rc;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->operation_count_max = limits->operation_count;
	l->ready_tail = &l->ready_head;
	/* Not blocking, so that loop_wake cannot either; the ring polls it all the same. */
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd == -1) {
		rc = -errno;
		goto out_free;
	}
	rc = ring_open(&l->ring, limits->operation_count);
	if (rc < 0)
		goto out_wake;
	*out = l;
	return 0;

out_wake:
	close(l->wake_fd);
out_free:
	free(l);
	return rc;
}

/* Two mappings: a header with both queues, and the SQEs. The queue of SQEs is one of indices into them. */
uint64_t loop_memory_bytes(const struct loop_limits *limits)
{
	uint64_t sq_count = sq_count_of(limits->operation_count);
	uint64_t queues = QUEUE_HEADER_BYTES + 2 * sq_count * sizeof(struct io_uring_cqe) +
			  sq_count * sizeof(uint32_t);

	return align_up(queues, PAGE_BYTES) + align_up(sq_count * sizeof(struct io_uring_sqe), PAGE_BYTES);
}

const char *loop_open_hint(int error)
{
	switch (-error) {
	case EPERM:
	case EACCES:
		return "io_uring is forbidden here: set kernel.io_uring_disabled=0 (or =1 and "
		       "io_uring_group), and allow "
		       "io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp "
		       "profile";
	case ENOSYS:
		return "the kernel has no io_uring (Linux 6.1 or newer is needed), or a seccomp profile "
		       "hides it";
	case ENOMEM: return "not enough memory, or RLIMIT_MEMLOCK is too small for the rings";
	case EMFILE:
	case ENFILE: return "too many open files: raise LimitNOFILE";
	case EAGAIN: return "no thread for name resolution could be started: raise the limit of tasks";
	case EINVAL: return "the number of operations is out of range, or the kernel is older than Linux 6.1";
	default: return "io_uring could not be set up";
	}
}

/* DEFER_TASKRUN runs completions only when this thread waits, so they never interrupt a step; TASKRUN_FLAG lets a
 * look without waiting see that there are some. SUBMIT_ALL: one bad operation does not hold up those behind it.
 *
 * The submission queue holds all that can be queued between two submissions: each operation once, its cancel once,
 * and the wake-up. Completions are twice that, since one that was cancelled may leave two. */
static uint32_t sq_count_of(uint32_t operation_count)
{
	return (uint32_t)pow2_at_least(2ull * operation_count + 2);
}

static int ring_open(struct io_uring *ring, uint32_t operation_count)
{
	uint32_t sq_count = sq_count_of(operation_count);
	unsigned wanted = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED;
	unsigned better = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	unsigned features = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_CQE_SKIP;
	struct io_uring_params params = {.flags = wanted | better, .cq_entries = 2 * sq_count};
	int rc = io_uring_queue_init_params(sq_count, ring, &params);

	if (rc == -EINVAL) {
		params = (struct io_uring_params){.flags = wanted, .cq_entries = 2 * sq_count};
		rc = io_uring_queue_init_params(sq_count, ring, &params);
	}
	if (rc < 0)
		return rc;
	if ((params.features & features) != features) {
		io_uring_queue_exit(ring);
		return -ENOSYS;
	}
	return 0;
}

/* A ring belongs to the thread that enables it (SINGLE_ISSUER), which is the first that waits, not the one that made it. */
static int ring_own(struct loop *l)
{
	if (l->owned)
		return 0;
	/* liburing 2.3 declares io_uring_enable_rings but does not export it. */
	if (syscall(__NR_io_uring_register, l->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == -1)
		return -errno;
	l->owned = true;
	(void)io_uring_register_ring_fd(
		&l->ring); /* spares a file look-up a wait; does without where refused */
	return 0;
}

void loop_quiet(struct loop *l)
{
	struct completion *c;

	ASSERT(!l->running);
	if (l->quiet)
		return;
	l->quiet = true;
	resolver_forget_all(l);
	if (ring_own(l) == 0)
		cancel_everything(l);
	while ((c = l->ready_head)) {
		l->ready_head = c->next;
		if ((c->flags & COMPLETION_HANDLE) && c->res >= 0)
			close(c->res);
		c->active = false;
		c->next = NULL;
	}
	/* The registered descriptor is the thread's, not the ring's: another thread would give back one of its own. */
	if (l->owned)
		(void)io_uring_unregister_ring_fd(&l->ring);
}

void loop_close(struct loop *l)
{
	loop_quiet(l);
	io_uring_queue_exit(&l->ring);
	close(l->wake_fd);
	free(l);
}

/* The callers' memory is theirs again only when no operation in the kernel refers to it, so wait for each. CANCEL_ANY
 * is in 6.1; it is repeated since an operation that has just been handed to a worker thread is missed. */
static void cancel_everything(struct loop *l)
{
	struct __kernel_timespec retry = {.tv_nsec = (long long)CLOSE_RETRY_NS};

	while (l->kernel_count > 0) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);
		struct io_uring_cqe *cqe;
		int rc;

		if (sqe) {
			io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
			io_uring_sqe_set_data64(sqe, TAG_NONE);
		}
		rc = io_uring_submit_and_wait_timeout(&l->ring, &cqe, 1, &retry, NULL);
		reap(l);
		if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
			return; /* the ring is beyond use: its end, which follows, cancels too */
	}
}

/* Completions of a ring that defers them wait behind a flag until it is asked. */
static bool has_deferred(struct loop *l)
{
	return (IO_URING_READ_ONCE(*l->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* Whether a look needs the kernel: what has completed lies in the queue by itself. */
static bool must_enter(struct loop *l)
{
	return io_uring_sq_ready(&l->ring) > 0 || has_deferred(l);
}

/* What the wait came to is seen in the queues, not in the result: after a submission the count of that hides it. */
static int wait_once(struct loop *l, struct mono deadline)
{
	struct mono now = clock_mono();
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	uint64_t left_ns;

	if (l->ready_head || mono_reached(now, deadline))
		return must_enter(l) ? io_uring_submit_and_get_events(&l->ring) : 0;
	left_ns = min_u64(mono_since(deadline, now), WAIT_NS_MAX);
	ts = (struct __kernel_timespec){.tv_sec = (int64_t)(left_ns / NS_PER_S),
					.tv_nsec = (long long)(left_ns % NS_PER_S)};
	return io_uring_submit_and_wait_timeout(&l->ring, &cqe, 1, &ts, NULL);
}

int loop_run(struct loop *l, struct mono deadline)
{
	int rc;

	ASSERT(!l->running);
	ASSERT(!l->quiet);
	rc = ring_own(l);
	if (rc < 0)
		return rc;
	/* Each further turn has eaten a cancel's own result, or a day of a longer wait. */
	do {
		wake_arm(l);
		rc = wait_once(l, deadline);
		reap(l);
		/* EBUSY, EAGAIN: results first, or memory; what was not submitted goes with the next wait. */
		if (rc == -EINTR || rc == -EBUSY || rc == -EAGAIN)
			break;
		if (rc < 0 && rc != -ETIME)
			return rc;
	} while (!l->ready_head && !l->woken && !mono_reached(clock_mono(), deadline));
	if (l->woken) {
		l->woken = false;
		resolver_collect(l);
	}
	return run_ready(l);
}

#define LOOKS_A_CLOCK 16u /* the clock costs more than a look */

void loop_spin(struct loop *l, const _Atomic uint32_t *watched, uint32_t quiet, struct mono until)
{
	/* loop_run says so; and what happens already needs no call of its own */
	if (ring_own(l) < 0 || atomic_load_explicit(watched, memory_order_relaxed) != quiet)
		return;
	wake_arm(l);
	if (io_uring_sq_ready(&l->ring) > 0)
		(void)io_uring_submit(&l->ring); /* what it has not taken goes with loop_run */
	do {
		for (uint32_t i = 0; i < LOOKS_A_CLOCK; i++) {
			if (l->ready_head || io_uring_cq_ready(&l->ring) || has_deferred(l))
				return;
			if (atomic_load_explicit(watched, memory_order_relaxed) != quiet)
				return; /* who acts on it reads it again, in order */
			cpu_relax();
		}
	} while (!mono_reached(clock_mono(), until));
}

/* What becomes ready meanwhile waits for the next run: a bound on the work, and nobody is nested. */
static int run_ready(struct loop *l)
{
	uint32_t count = l->ready_count < l->operation_count_max ? l->ready_count : l->operation_count_max;

	l->running = true;
	for (uint32_t i = 0; i < count; i++) {
		struct completion *c = l->ready_head;
		int res = c->res;

		ASSERT(c->active);
		l->ready_head = c->next;
		if (!l->ready_head)
			l->ready_tail = &l->ready_head;
		l->ready_count--;
		l->active_count--;
		c->next = NULL;
		c->flags = 0;
		c->active = false;
		c->done(c, res); /* may start c again, or free it */
	}
	l->running = false;
	return (int)count;
}

void loop_wake(struct loop *l)
{
	uint64_t one = 1;
	int saved = errno; /* also called by signal handlers */
	ssize_t written = write(l->wake_fd, &one, sizeof(one));

	(void)written; /* fails only where the counter is full: then a wake-up waits already */
	errno = saved;
}

static void wake_arm(struct loop *l)
{
	struct io_uring_sqe *sqe;

	if (l->wake_armed)
		return;
	sqe = io_uring_get_sqe(&l->ring);
	if (!sqe)
		return; /* the queue is full of what the kernel would not take; the next run arms it */
	io_uring_prep_read(sqe, l->wake_fd, &l->wake_value, sizeof(l->wake_value), 0);
	io_uring_sqe_set_data64(sqe, TAG_WAKE);
	l->wake_armed = true;
	l->kernel_count++;
}

/* From the kernel's queue to ours. */
static void reap(struct loop *l)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen_count = 0;

	io_uring_for_each_cqe(&l->ring, head, cqe)
	{
		seen_count++;
		if (cqe->user_data == TAG_NONE)
			continue;
		ASSERT(l->kernel_count > 0);
		l->kernel_count--;
		if (cqe->user_data == TAG_WAKE) {
			l->wake_armed = false;
			l->woken = true;
			continue;
		}
		loop_finish(l, (struct completion *)(uintptr_t)cqe->user_data, cqe->res);
	}
	io_uring_cq_advance(&l->ring, seen_count);
}

bool loop_begin(struct loop *l, struct completion *c, uint8_t flags)
{
	bool fits = l->active_count < l->operation_count_max;

	ASSERT(c->done);
	ASSERT(!c->active);
	c->active = true;
	c->flags = flags;
	c->next = NULL;
	c->res = 0;
	l->active_count++;
	if (!fits)
		loop_finish(l, c, -ENOBUFS);
	return fits;
}

void loop_finish(struct loop *l, struct completion *c, int res)
{
	ASSERT(c->active);
	ASSERT(!(c->flags & COMPLETION_READY));
	c->flags |= COMPLETION_READY;
	c->res = res;
	c->next = NULL;
	*l->ready_tail = c;
	l->ready_tail = &c->next;
	l->ready_count++;
}

void loop_cancel(struct loop *l, struct completion *c)
{
	struct io_uring_sqe *sqe;

	if (!c->active || (c->flags & (COMPLETION_READY | COMPLETION_CANCEL)))
		return;
	c->flags |= COMPLETION_CANCEL;
	if (c->flags & COMPLETION_LOOKUP) {
		resolver_forget(l, container_of(c, struct net_lookup, completion));
		loop_finish(l, c, -ECANCELED);
		return;
	}
	sqe = io_uring_get_sqe(&l->ring);
	if (!sqe) {
		c->flags &=
			(uint8_t)~COMPLETION_CANCEL; /* as below: cannot be full; asking again is allowed */
		return;
	}
	/* No flags in it: before 6.6 the kernel takes those for something else. The queue keeps the order, so it cannot
	 * hit a later operation of the same completion. */
	io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)c, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
	io_uring_sqe_set_data64(sqe, TAG_NONE);
}

/* --- operations ------------------------------------------------------------------------------------------------- */

/* An SQE for this operation, or NULL: it completes with an error. The queue was sized so that it cannot be full, unless
 * the kernel did not take what was submitted. */
static struct io_uring_sqe *begin_sqe(struct loop *l, struct completion *c, uint8_t flags)
{
	struct io_uring_sqe *sqe;

	if (!loop_begin(l, c, flags))
		return NULL;
	sqe = io_uring_get_sqe(&l->ring);
	if (!sqe) {
		(void)io_uring_submit(&l->ring);
		sqe = io_uring_get_sqe(&l->ring);
	}
	if (!sqe) {
		loop_finish(l, c, -EAGAIN);
		return NULL;
	}
	l->kernel_count++;
	return sqe;
}

void loop_connect(struct loop *l, int handle, const struct net_address *peer, struct completion *c)
{
	struct io_uring_sqe *sqe = begin_sqe(l, c, 0);

	if (!sqe)
		return;
	io_uring_prep_connect(sqe, handle, &peer->any, peer->size_bytes);
	io_uring_sqe_set_data(sqe, c);
}

void loop_recv(struct loop *l, int handle, void *buffer, size_t size_bytes, struct completion *c)
{
	struct io_uring_sqe *sqe;

	ASSERT(size_bytes > 0); /* a result of 0 is the end of the stream */
	sqe = begin_sqe(l, c, 0);
	if (!sqe)
		return;
	io_uring_prep_recv(sqe, handle, buffer, min_size(size_bytes, TRANSFER_BYTES_MAX), 0);
	io_uring_sqe_set_data(sqe, c);
}

void loop_sendv(struct loop *l, int handle, struct iovec *iov, uint32_t iov_count, struct net_send *op)
{
	struct io_uring_sqe *sqe = begin_sqe(l, &op->completion, 0);

	if (!sqe)
		return;
	/* The kernel refuses more than IOV_MAX; a short send is a normal answer. */
	op->msg = (struct msghdr){.msg_iov = iov, .msg_iovlen = min_size(iov_count, IOV_MAX)};
	io_uring_prep_sendmsg(sqe, handle, &op->msg, MSG_NOSIGNAL);
	io_uring_sqe_set_data(sqe, &op->completion);
}

/* Offset -1: these have no position. */
void loop_read(struct loop *l, int handle, void *buffer, size_t size_bytes, struct completion *c)
{
	struct io_uring_sqe *sqe;

	ASSERT(size_bytes > 0);
	sqe = begin_sqe(l, c, 0);
	if (!sqe)
		return;
	io_uring_prep_read(sqe, handle, buffer, (unsigned)min_size(size_bytes, TRANSFER_BYTES_MAX),
			   (uint64_t)-1);
	io_uring_sqe_set_data(sqe, c);
}

void loop_write(struct loop *l, int handle, const void *bytes, size_t size_bytes, struct completion *c)
{
	struct io_uring_sqe *sqe = begin_sqe(l, c, 0);

	if (!sqe)
		return;
	io_uring_prep_write(sqe, handle, bytes, (unsigned)min_size(size_bytes, TRANSFER_BYTES_MAX),
			    (uint64_t)-1);
	io_uring_sqe_set_data(sqe, c);
}

void loop_accept(struct loop *l, int handle, struct completion *c)
{
	struct io_uring_sqe *sqe = begin_sqe(l, c, COMPLETION_HANDLE);

	if (!sqe)
		return;
	io_uring_prep_accept(sqe, handle, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(sqe, c);
}
