/* io/stream.h - one TCP connection as a stream of bytes, from a host's name to the last completion.
 *
 * Purpose:  what the MQTT target and the Modbus TCP line stand on. It owns the handle and its operations; its user sees
 *           events. The user's verbs and events have one shape, so that a TLS filter can be the user of a stream and
 *           offer the same to the next above.
 *
 *              stream_open             address             connected          stream_finish, sent
 *     CLOSED -------------> RESOLVING ---------> CONNECTING ---------> OPEN ---------------------> FINISHING
 *       ^                       |                 |  ^  | next            |                            |
 *       |                       |                 |  +--+ address         |                            |
 *       | on_closed             v                 v                       v                            v
 *       +------------------ CLOSING  <---- nothing left to try, peer gone, stream_close, peer's end -----+
 *
 *           on_closed comes exactly once for each stream_open or stream_adopt, as its last event; on_lost at most once
 *           before it, and not after stream_close or stream_finish: they were the user's own wish.
 * Owner:    the loop's thread. The struct, the receive buffer and what is being sent belong to the user and stay put
 *           until on_closed.
 * Threads:  the owner only. Events come from loop_run, never out of a verb; each verb may be called from any event.
 * Memory:   none of its own.
 * Errors:   verbs do not fail: what goes wrong is an on_lost with -errno. Time-outs are the user's: stream_close.
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include "io/loop.h"

enum stream_state {
	STREAM_CLOSED,
	STREAM_RESOLVING,
	STREAM_CONNECTING,
	STREAM_OPEN,
	STREAM_FINISHING,
	STREAM_CLOSING,
};

struct stream;

struct stream_user {
	void (*on_open)(struct stream *s);
	/* All that came in and is not consumed yet; returns how much is now. The rest comes again with more behind it.
	 * A full buffer of which nothing is consumed loses the stream with -EMSGSIZE. */
	size_t (*on_received)(struct stream *s, const uint8_t *bytes, size_t size_bytes);
	/* All of one stream_sendv is with the kernel. */
	void (*on_sent)(struct stream *s, size_t size_bytes);
	/* The connection is over, or could not be: -errno; 0: the peer ended it in order. */
	void (*on_lost)(struct stream *s, int error);
	/* Nothing is under way any more; may open again. */
	void (*on_closed)(struct stream *s);
	/* Optional: may we connect there? 0, or the -errno that is this address's failure. */
	int (*on_address)(struct stream *s, const struct net_address *address);
};

#define STREAM_PEER_TEXT_BYTES (INET6_ADDRSTRLEN + 8)

struct stream {
	/* The user's, may be read. sent_bytes counts to the last byte that the kernel took, and stays until the next open. */
	const struct stream_user *user;
	struct loop *loop;
	enum stream_state state;
	uint64_t sent_bytes;     /* of the present connection */
	uint64_t received_bytes; /* of the present connection */

	/* The stream's own. */
	int handle; /* -1: none */
	int error;  /* of the last address that failed */
	uint32_t user_timeout_ms;
	uint32_t address_idx, address_count;
	uint8_t *buffer;
	size_t buffer_bytes;
	size_t held_bytes; /* at the front of buffer, not consumed */
	bool paused;       /* nothing is received until the present send is done */
	struct iovec *iov; /* what is left of the present send */
	uint32_t iov_count;
	size_t send_bytes; /* of the present send, in all; 0: none */
	struct net_lookup lookup;
	struct completion connect;
	struct completion recv;
	struct net_send send;
	char peer_text[STREAM_PEER_TEXT_BYTES];
};

/* The buffer takes what is received: at least as large as the largest thing that is consumed in one piece. */
void stream_init(struct stream *s, struct loop *loop, const struct stream_user *user, void *buffer,
		 size_t buffer_bytes);

/* CLOSED: looks the host up and tries its addresses in turn. user_timeout_ms: how long the peer may leave bytes
 * unacknowledged, and one address the connection unanswered; 0: as long as the system likes. */
void stream_open(struct stream *s, const char *host, uint16_t port, uint32_t user_timeout_ms);

/* CLOSED: takes over a connected handle of loop_accept; OPEN at once, without on_open. */
void stream_adopt(struct stream *s, int handle);

/* OPEN, with no send under way: sends all of it, in as many steps as it takes. At least one byte. iov is used up on the
 * way; it and the bytes stay put until on_sent or on_closed. */
void stream_sendv(struct stream *s, struct iovec *iov, uint32_t iov_count);

/* Is a send under way? */
static inline bool stream_is_sending(const struct stream *s)
{
	return s->send_bytes > 0;
}

/* In on_received, with a send under way: no more input until that send is done; then what is held comes again. For a user
 * whose answers have no room until they are on their way. */
void stream_pause(struct stream *s);

/* The quiet end: what is being sent goes out, then the peer is told that there is no more, and what it still sends is
 * thrown away until its own end. So the peer gets all of it (a close with unread bytes would reset the connection). The
 * user bounds the wait with stream_close. Not OPEN: the same as stream_close. */
void stream_finish(struct stream *s);

/* The quick end, from any state; on_closed follows. No-op where CLOSED or CLOSING. */
void stream_close(struct stream *s);

/* What on_lost's error means, for a person; in buffer or static. */
const char *stream_error_text(int error, char *buffer, size_t size_bytes);

/* "192.0.2.1:1883", "[2001:db8::1]:8883" of the address that is being tried or was connected; "" before. */
static inline const char *stream_peer_text(const struct stream *s)
{
	return s->peer_text;
}

#endif
