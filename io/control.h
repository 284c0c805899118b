/* io/control.h - the control socket: JSON-RPC 2.0, one object a line, for people and scripts beside the data.
 *
 * Purpose:  accepts clients on a Unix socket, reads their requests, calls the method that a table names, and sends what it
 *           answers. It knows no method by itself.
 * Owner:    the control thread and its loop. Threads: that one.
 * Memory:   a line's buffer a client, at control_open; an answer from the call until it is sent.
 * Units:    sizes in bytes, intervals in nanoseconds.
 * Errors:   a client's mistakes are answered; a client that sends too long a line, or does not read, is cut off. None of it
 *           leaves here.
 * Limits:   CONTROL_CLIENTS_MAX clients, CONTROL_READERS_MAX of them not operators, so that those cannot lock anybody out;
 *           CONTROL_REQUESTS_PER_TURN requests a client and turn; CONTROL_UNREAD_BYTES and one answer of
 *           CONTROL_ANSWER_BYTES_MAX that wait to be read.
 *
 * Roles come from the peer's credentials: root and the daemon's own user are operators; anybody else whom the file's mode
 * lets in may only read. A call that is refused for that is logged.
 *
 *   FREE -accepted-> OPEN -its end of stream, or a line too long-> LAST -all is answered and sent-> ENDING
 *    ^                '------------ lost, or too slow ---------------'-------------------------------^  |
 *    '------------------------------- no operation is left ---------------------------------------------'
 */
#ifndef IO_CONTROL_H
#define IO_CONTROL_H

#include "io/loop.h"
#include "proto/jsonrpc.h"

#define CONTROL_CLIENTS_MAX       16u
#define CONTROL_READERS_MAX       8u
#define CONTROL_REQUESTS_PER_TURN 16u
#define CONTROL_ANSWER_BYTES_MAX  (8u << 20)
#define CONTROL_UNREAD_BYTES      (256u << 10) /* with more than this unread, a client's next request waits */
#define CONTROL_SLOW_NS           (10 * NS_PER_S) /* without taking a byte of what waits for it */

/* What the loop must have room for. */
#define CONTROL_OPERATIONS (1u + 2u * CONTROL_CLIENTS_MAX)

struct control;
struct control_client;

enum control_role { CONTROL_READ_ONLY, CONTROL_OPERATOR };

struct control_method {
	const char *name;
	enum control_role role; /* the least that may call it */
	/* 0 and *result, which is taken over; or a negative errno and *why, if that is filled in. params: an object, or
	 * NULL where there are none. */
	int (*call)(void *context, struct control_client *client, const json_t *params, json_t **result,
		    struct jsonrpc_error *why);
};

/* Something that a client is told about until it has gone: notifications with the params that poll returns. */
struct control_watch {
	const char *notification;
	uint64_t interval_ns;
	void *state;
	json_t *(*poll)(void *state); /* NULL: nothing new */
	void (*close)(void *state);
};

/* What a peer may do. owner_uid: the daemon's own user. */
enum control_role control_role_of(const struct net_peer *peer, uint32_t owner_uid);

/* The path is copied, the methods and their context are borrowed. -errno of loop_unix_listen, -ENOMEM. */
/* Bytes that control_open keeps for the lines of its clients; answers come and go beside them. */
uint64_t control_memory_bytes(void);
NODISCARD int control_open(struct control **out, struct loop *loop, const char *path, uint32_t mode,
			   const struct control_method *methods, size_t method_count, void *context);

/* What is due: watches, requests that waited for their turn, clients that are too slow. */
void control_tick(struct control *c, struct mono now);
/* When control_tick has something to do; until then only the loop has. */
struct mono control_deadline(const struct control *c);

/* Runs the loop until every answer is out, or the deadline. Before something that takes long. */
void control_flush(struct control *c, struct mono deadline);

/* Ends all connections (running the loop until they are) and removes the socket. NULL: nothing. */
void control_close(struct control *c);

/* For methods that need more for some params than the table says: 0, or -EACCES, logged, with *why. */
NODISCARD int control_require(const struct control_client *client, enum control_role role, const char *method,
			      struct jsonrpc_error *why);

/* For methods: the client's watch, in place of the one it had. It is closed with the client, or by the next one. */
void control_watch_set(struct control_client *client, const struct control_watch *watch);
/* Was there one? */
bool control_watch_clear(struct control_client *client);

#endif
