/* The immediate half of sockets: making, naming and ending them. Nothing here waits, so nothing goes through the ring. */
#include "io/loop.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/assert.h"

#define UNIX_BACKLOG 16

/* Blocking mode: the ring polls such a socket by itself, and never hands out -EAGAIN. */
int loop_tcp_open(struct loop *l UNUSED, const struct net_address *peer, uint32_t user_timeout_ms)
{
	int on = 1;
	unsigned timeout_ms = user_timeout_ms;
	int handle, rc;

	if (peer->any.sa_family != AF_INET && peer->any.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	handle = socket(peer->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (handle == -1)
		return -errno;
	if (setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
		goto out_close;
	if (timeout_ms > 0 &&
	    setsockopt(handle, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)) == -1)
		goto out_close;
	return handle;

out_close:
	rc = -errno;
	close(handle);
	return rc;
}

int loop_local_address(struct loop *l UNUSED, int handle, struct net_address *out)
{
	*out = (struct net_address){.size_bytes = sizeof(out->v6)};
	return getsockname(handle, &out->any, &out->size_bytes) == -1 ? -errno : 0;
}

void loop_shutdown(struct loop *l UNUSED, int handle)
{
	(void)shutdown(handle, SHUT_WR); /* fails where the peer is gone: the receive says so */
}

void loop_close_handle(struct loop *l UNUSED, int handle)
{
	ASSERT(handle >= 0);
	(void)close(handle); /* Linux gives the descriptor back whatever it answers */
}

/* Is this socket file one that nobody listens on? */
static bool unix_is_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int probe, rc, error;

	if (lstat(address->sun_path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return false; /* somebody's file: not ours to remove */
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe == -1)
		return false;
	rc = connect(probe, (const struct sockaddr *)(const void *)address, sizeof(*address));
	error = errno;
	close(probe);
	return rc == -1 && error == ECONNREFUSED;
}

static int unix_bind(int handle, const struct sockaddr_un *address)
{
	return bind(handle, (const struct sockaddr *)(const void *)address, sizeof(*address)) == -1 ? -errno
												    : 0;
}

int loop_unix_listen(struct loop *l UNUSED, const char *path, uint32_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t path_bytes = strlen(path);
	struct stat st;
	int handle, rc;

	if (path_bytes == 0)
		return -EINVAL; /* would be an abstract name that everybody may connect to */
	if (path_bytes >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, path_bytes);
	handle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (handle == -1)
		return -errno;
	/* Before the bind, Linux takes the file's mode from here (less the umask), so that it is never wider than asked;
	 * the chmod behind it gives what the umask took. */
	if (fchmod(handle, mode & 0777) == -1) {
		rc = -errno;
		goto out_close;
	}
	rc = unix_bind(handle, &address);
	if (rc == -EADDRINUSE && lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		rc = -EEXIST; /* a file or folder of somebody's: not ours to replace */
		goto out_close;
	}
	if (rc == -EADDRINUSE && unix_is_stale(&address)) {
		if (unlink(path) == -1 && errno != ENOENT) {
			rc = -errno;
			goto out_close;
		}
		rc = unix_bind(handle, &address);
	}
	if (rc < 0)
		goto out_close;
	if (chmod(path, mode & 0777) == -1 || listen(handle, UNIX_BACKLOG) == -1) {
		rc = -errno;
		(void)unlink(path);
		goto out_close;
	}
	return handle;

out_close:
	close(handle);
	return rc;
}

int loop_unix_peer(struct loop *l UNUSED, int handle, struct net_peer *peer)
{
	struct ucred cred;
	socklen_t size_bytes = sizeof(cred);

	if (getsockopt(handle, SOL_SOCKET, SO_PEERCRED, &cred, &size_bytes) == -1)
		return -errno;
	*peer = (struct net_peer){.uid = cred.uid, .gid = cred.gid, .pid = cred.pid};
	return 0;
}
