/* Names. getaddrinfo blocks for as long as a dead name server likes, so a few threads of the whole process do that, and
 * put their answers where the loop that asked collects them. Jobs are a static table: a lookup that nobody waits for any
 * more leaves its job behind, not a pointer to itself.
 *
 * One lock for all of it, held for the copy of one job at most; priority inheritance, since a sampler may be waiting
 * for a thread of no priority. */
#include "io/loop_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "core/assert.h"

#define RESOLVER_THREADS_MAX 4
#define RESOLVER_JOBS_MAX    64
#define RESOLVER_STACK_BYTES (512 * 1024)

/* free -> queued -> running -> answered -> free; forgotten: queued, answered -> free at once, running -> free when
 * getaddrinfo comes back. */
enum job_state { JOB_FREE, JOB_QUEUED, JOB_RUNNING, JOB_ANSWERED };

struct job {
	enum job_state state;
	uint64_t order;    /* the lowest of the queued is next */
	struct loop *loop; /* NULL: forgotten */
	struct net_lookup *lookup;
	char host[sizeof(((struct net_lookup *)0)->host)];
	uint16_t port;
	int res;
	struct net_address addresses[NET_ADDRESSES_MAX];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock;
static pthread_cond_t queued = PTHREAD_COND_INITIALIZER;
static struct job jobs[RESOLVER_JOBS_MAX]; /* all below: under the lock */
static uint64_t next_order;
static uint32_t queued_count, idle_count, thread_count;

static void *resolver_thread(void *arg);

static void lock_init(void)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	ASSERT(rc == 0);
	rc = pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	ASSERT(rc == 0);
	rc = pthread_mutex_init(&lock, &attr);
	ASSERT(rc == 0);
	pthread_mutexattr_destroy(&attr);
}

static void lock_take(void)
{
	int rc = pthread_mutex_lock(&lock);

	ASSERT(rc == 0);
}

static void lock_release(void)
{
	int rc = pthread_mutex_unlock(&lock);

	ASSERT(rc == 0);
}

/* Under the lock. Signals stay with the threads that expect them. */
static int thread_start(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t id;
	int rc = pthread_attr_init(&attr);

	if (rc != 0)
		return -rc;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, RESOLVER_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&id, &attr, resolver_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return -rc;
	thread_count++;
	return 0;
}

/* The first thread starts here and the others from it, never from loop_lookup: that allocates nothing. */
int resolver_start(void)
{
	int rc = pthread_once(&once, lock_init);

	ASSERT(rc == 0);
	lock_take();
	if (thread_count == 0)
		rc = thread_start();
	lock_release();
	return rc;
}

int resolver_ask(struct loop *l, struct net_lookup *lookup)
{
	struct job *job = NULL;

	lock_take();
	for (uint32_t i = 0; i < RESOLVER_JOBS_MAX && !job; i++)
		if (jobs[i].state == JOB_FREE)
			job = &jobs[i];
	if (job) {
		job->state = JOB_QUEUED;
		job->order = next_order++;
		job->loop = l;
		job->lookup = lookup;
		job->port = lookup->port;
		memcpy(job->host, lookup->host, sizeof(job->host));
		queued_count++;
		pthread_cond_signal(&queued);
	}
	lock_release();
	if (!job)
		return -EAGAIN;
	l->lookup_count++;
	return 0;
}

void resolver_collect(struct loop *l)
{
	if (l->lookup_count == 0)
		return;
	lock_take();
	for (uint32_t i = 0; i < RESOLVER_JOBS_MAX; i++) {
		struct job *job = &jobs[i];

		if (job->state != JOB_ANSWERED || job->loop != l)
			continue;
		if (job->res > 0)
			memcpy(job->lookup->addresses, job->addresses,
			       (size_t)job->res * sizeof(job->addresses[0]));
		loop_finish(l, &job->lookup->completion, job->res);
		l->lookup_count--;
		job->state = JOB_FREE;
	}
	lock_release();
}

/* Under the lock. */
static void job_forget(struct job *job)
{
	switch (job->state) {
	case JOB_FREE: UNREACHABLE();
	case JOB_QUEUED:
		queued_count--;
		job->state = JOB_FREE;
		break;
	case JOB_RUNNING: break;
	case JOB_ANSWERED: job->state = JOB_FREE; break;
	}
	job->loop->lookup_count--;
	job->loop = NULL;
	job->lookup = NULL;
}

void resolver_forget(struct loop *l, struct net_lookup *lookup)
{
	lock_take();
	for (uint32_t i = 0; i < RESOLVER_JOBS_MAX; i++)
		if (jobs[i].state != JOB_FREE && jobs[i].loop == l && jobs[i].lookup == lookup)
			job_forget(&jobs[i]);
	lock_release();
}

void resolver_forget_all(struct loop *l)
{
	lock_take();
	for (uint32_t i = 0; i < RESOLVER_JOBS_MAX; i++) {
		if (jobs[i].state == JOB_FREE || jobs[i].loop != l)
			continue;
		jobs[i].lookup->completion.active = false;
		job_forget(&jobs[i]);
	}
	lock_release();
	ASSERT(l->lookup_count == 0);
}

/* --- the resolver's threads ------------------------------------------------------------------------------------- */

static int lookup_error(int eai)
{
	switch (eai) {
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY: return -ENOENT;
	case EAI_AGAIN: return -EAGAIN;
	case EAI_MEMORY: return -ENOMEM;
	case EAI_SYSTEM: return errno > 0 ? -errno : -EIO;
	default: return -EIO;
	}
}

static bool address_is_known(const struct job *job, int count, const struct net_address *address)
{
	for (int i = 0; i < count; i++)
		if (job->addresses[i].size_bytes == address->size_bytes &&
		    memcmp(&job->addresses[i].any, &address->any, address->size_bytes) == 0)
			return true;
	return false;
}

/* Without the lock: a running job is its thread's. */
static int job_resolve(struct job *job)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(job->host, NULL, &hints, &list);
	int count = 0;

	if (rc != 0)
		return lookup_error(rc);
	for (struct addrinfo *a = list; a && count < NET_ADDRESSES_MAX; a = a->ai_next) {
		struct net_address address = {.size_bytes = a->ai_addrlen};

		if (a->ai_family == AF_INET && a->ai_addrlen == sizeof(address.v4)) {
			memcpy(&address.v4, a->ai_addr, sizeof(address.v4));
			address.v4.sin_port = htons(job->port);
		} else if (a->ai_family == AF_INET6 && a->ai_addrlen == sizeof(address.v6)) {
			memcpy(&address.v6, a->ai_addr, sizeof(address.v6));
			address.v6.sin6_port = htons(job->port);
		} else {
			continue;
		}
		if (!address_is_known(job, count, &address)) /* a hosts file may say it twice */
			job->addresses[count++] = address;
	}
	freeaddrinfo(list);
	return count > 0 ? count : -ENOENT;
}

/* Under the lock. */
static struct job *job_take(void)
{
	struct job *first = NULL;

	for (uint32_t i = 0; i < RESOLVER_JOBS_MAX; i++)
		if (jobs[i].state == JOB_QUEUED && (!first || jobs[i].order < first->order))
			first = &jobs[i];
	ASSERT(first);
	first->state = JOB_RUNNING;
	queued_count--;
	return first;
}

static void *resolver_thread(void *arg UNUSED)
{
	lock_take();
	for (;;) {
		struct job *job;
		int res;

		while (queued_count == 0) {
			idle_count++;
			pthread_cond_wait(&queued, &lock);
			idle_count--;
		}
		job = job_take();
		/* This one may take long; where nobody is left to look after the rest, somebody comes. Failing that, they
		 * wait for us. */
		if (idle_count == 0 && thread_count < RESOLVER_THREADS_MAX)
			(void)thread_start();
		lock_release();
		res = job_resolve(job);
		lock_take();
		job->res = res;
		job->state = job->loop ? JOB_ANSWERED : JOB_FREE;
		if (job->loop)
			loop_wake(job->loop); /* under the lock: the loop cannot be closed meanwhile */
	}
	return NULL;
}

/* --- the loop's side ------------------------------------------------------------------------------------------------ */

/* A numeric address, IPv6 with or without its scope; false: it is a name, or nothing. */
static bool parse_numeric(const char *host, uint16_t port, struct net_address *out)
{
	const char *percent = strchr(host, '%');
	char text[INET6_ADDRSTRLEN];
	size_t text_bytes = percent ? (size_t)(percent - host) : strlen(host);

	*out = (struct net_address){.size_bytes = sizeof(out->v4)};
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		return true;
	}
	if (text_bytes >= sizeof(text))
		return false;
	memcpy(text, host, text_bytes);
	text[text_bytes] = '\0';
	*out = (struct net_address){.size_bytes = sizeof(out->v6)};
	if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) != 1)
		return false;
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons(port);
	out->v6.sin6_scope_id = percent ? if_nametoindex(percent + 1) : 0;
	return !percent || out->v6.sin6_scope_id != 0; /* "%3" is left to getaddrinfo */
}

void loop_lookup(struct loop *l, struct net_lookup *lookup)
{
	int rc;

	if (!loop_begin(l, &lookup->completion, COMPLETION_LOOKUP))
		return;
	if (lookup->host[0] == '\0') {
		loop_finish(l, &lookup->completion, -EINVAL);
		return;
	}
	if (!memchr(lookup->host, '\0', sizeof(lookup->host))) {
		loop_finish(l, &lookup->completion, -ENAMETOOLONG);
		return;
	}
	if (parse_numeric(lookup->host, lookup->port, &lookup->addresses[0])) {
		loop_finish(l, &lookup->completion, 1);
		return;
	}
	rc = resolver_ask(l, lookup);
	if (rc < 0)
		loop_finish(l, &lookup->completion, rc);
}
