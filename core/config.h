/* core/config.h - one configuration file as plain data: arrays and indices, nothing that points.
 *
 * Purpose:  struct cfg is what the file says with every default filled in and every reference resolved. It
 *           can be compared, printed and made up by a generator. core/schema.c has the one table of keys
 *           from which parser, documentation and ranges come; core/config_check.c the rules that span
 *           several keys.
 * Owner:    config_load makes it, config_free ends it; read-only in between.
 * Threads:  immutable after config_load, so any.
 * Units:    durations in nanoseconds, sizes in bytes; a text is an offset into cfg.text (0 is the empty
 *           text).
 * Errors:   all mistakes of a file are collected, each "file:line:column: what, and what to write instead".
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include "core/address.h"
#include "core/base.h"
#include "core/bytes.h"
#include "core/network.h"
#include "core/value.h"

/* "No such object" where an index is optional. */
#define CFG_NONE UINT32_MAX

/* Limits of one file. Each has a test at the limit. */
#define CFG_SAMPLERS_MAX          64u
#define CFG_PUBLISHERS_MAX        64u
#define CFG_TARGETS_MAX           4096u
#define CFG_LINES_MAX             16384u
#define CFG_DEVICES_MAX           65536u
#define CFG_TAGS_MAX              1048576u
#define CFG_DEFINITIONS_MAX       65536u
#define CFG_REFS_MAX              4194304u
#define CFG_LINES_PER_SAMPLER     4000u /* what one io_uring of a thread has operations for */
#define CFG_TARGETS_PER_PUBLISHER 4000u
#define CFG_OWN_NETWORKS_MAX      64u
#define CFG_PACKAGES_MAX          256u
#define CFG_PAIRS_PER_OBJECT      64u   /* user properties of one message, will or connection */
#define CFG_PAIR_BYTES_MAX        1024u /* of a name or a value */
#define CFG_URLS_PER_TARGET       16u
#define CFG_TOPIC_BYTES_MAX       1024u /* of a template */
#define CFG_FILE_BYTES_MAX        (64u << 20)

/* Where an object stands in the file, for messages that come later than the parser. */
struct cfg_place {
	uint32_t line;
	uint32_t column;
};

struct cfg_sampler {
	uint32_t name;
	int32_t cpu;      /* -1: not pinned */
	uint8_t priority; /* SCHED_FIFO 1..99; 0: the ordinary scheduler */
	struct cfg_place place;
};

struct cfg_publisher {
	uint32_t name;
	int32_t cpu;           /* -1: not pinned */
	uint32_t flush_bytes;  /* a batch goes out when it is this large ... */
	uint64_t flush_ns;     /* ... or when its oldest message has waited this long; 0: at once */
	uint64_t busy_poll_ns; /* stays awake so long around when messages are expected; 0: sleeps */
	struct cfg_place place;
};

enum cfg_scheme { CFG_SCHEME_MQTT, CFG_SCHEME_MQTTS };

/* mqtt://host:port; the host is a name, an IPv4 address or an IPv6 address without its brackets. */
struct cfg_url {
	enum cfg_scheme scheme;
	uint32_t host;
	uint16_t port;
	uint32_t text; /* as it stands in the file */
};

enum cfg_failover { CFG_FAILOVER_ORDERED, CFG_FAILOVER_ROUND_ROBIN };

/* A User Property. */
struct cfg_pair {
	uint32_t name, value;
};

/* In the order of the file: into cfg.pairs. */
struct cfg_pairs {
	uint32_t first, count;
};

enum cfg_payload_format { CFG_FORMAT_NONE, CFG_FORMAT_BYTES, CFG_FORMAT_UTF8 };

/* What a message carries beside topic and payload; v5. All zero: nothing. */
struct cfg_props {
	uint32_t content_type;
	uint32_t response_topic; /* expanded as the will's topic is: {node} {target} */
	uint32_t correlation_data;
	enum cfg_payload_format payload_format;
	struct cfg_pairs user;
};

struct cfg_will {
	uint32_t topic; /* 0: no will */
	uint32_t payload;
	uint8_t qos;
	bool retain;
	uint32_t delay_s;  /* v5 */
	uint32_t expiry_s; /* v5; 0: none */
	struct cfg_props props;
	bool has_on_connect, has_on_disconnect; /* payloads that are published to the will's topic */
	uint32_t on_connect, on_disconnect;
};

/* Targets that are enabled and disabled as one. */
struct cfg_package {
	uint32_t name;
	uint32_t description;
	bool enabled;
	struct cfg_place place;
};

/* What becomes of a message whose QoS or retain the server does not offer. */
enum cfg_server_limits { CFG_LIMITS_LOWER, CFG_LIMITS_REFUSE };

/* When a ring file is written to the disk; killed processes lose nothing either way. */
enum cfg_sync { CFG_SYNC_NEVER, CFG_SYNC_INTERVAL, CFG_SYNC_EACH };

enum cfg_replay_order { CFG_REPLAY_OLDEST_FIRST, CFG_REPLAY_LIVE_FIRST };
enum cfg_thin { CFG_THIN_NONE, CFG_THIN_LAST, CFG_THIN_MIN_MAX, CFG_THIN_AVERAGE };

/* What happens after an outage with the messages that it has left. */
struct cfg_replay {
	enum cfg_replay_order order;
	uint32_t rate_text;     /* as written: "200/s" or "20%" */
	uint64_t interval_ns;   /* live first: from one message of the backlog to the next; 0: share */
	uint32_t share_percent; /* of each send, where both wait */
	bool mark;              /* MQTT 5: with user property `replay`, whose value is the original time */
	uint32_t topic_prefix;  /* "": none */
	enum cfg_thin thin;
	uint64_t thin_bucket_ns;
	uint64_t thin_within_ns; /* only where it takes longer than that at this rate; 0: always */
};

/* The flight recorder of a target or line. */
struct cfg_trace {
	uint64_t memory_bytes; /* 0: none */
	uint32_t snap_bytes;   /* target: kept of a message */
	bool record;           /* from the start */
};

struct cfg_target {
	uint32_t name;
	uint32_t description;
	uint32_t package;     /* its name */
	uint32_t package_idx; /* into cfg.packages */
	bool enabled;
	uint32_t publisher_idx;
	uint32_t url_first, url_count; /* into cfg.urls */
	enum cfg_failover failover;
	uint64_t failback_ns; /* ordered: back to the first after so long at another; 0: never */
	bool follow_redirects;
	bool cluster;          /* the URLs share sessions: what is in flight goes on at another of them */
	uint8_t protocol;      /* 4: MQTT 3.1.1, 5: MQTT 5 */
	bool server_client_id; /* the server chooses */
	uint32_t client_id;    /* 0: generated from node and target name, the same at each start */
	uint32_t user;
	bool has_user;
	uint32_t password; /* a reference: file:, env:, cred:; never the secret itself */
	bool allow_cloud;
	bool clean_start;
	uint64_t session_expiry_ns;
	uint64_t keep_alive_ns;      /* 0: off; at most 65535 s */
	uint64_t connect_timeout_ns; /* 0: wait */
	uint64_t reconnect_base_ns, reconnect_cap_ns, reconnect_stable_ns;
	uint32_t max_inflight;     /* QoS 1 and 2 messages without an acknowledgement */
	uint32_t topic_alias_max;  /* aliases we use at most, within the server's limit; 0: none */
	uint32_t max_packet_bytes; /* what we accept from the server */
	/* QoS 1 and 2 messages of the server that we have not finished; v5: announced. */
	uint32_t receive_max;
	uint32_t topic_alias_in; /* aliases that the server may use, where there are subscriptions; v5 */
	enum cfg_server_limits server_limits;
	struct cfg_pairs connect_user;     /* of CONNECT; v5 */
	uint64_t message_buffer_window_ns; /* how long a kept session's messages wait for the subscriptions */
	uint32_t max_buffered_messages;
	uint32_t buffer_messages;
	uint32_t buffer_messages_max; /* that many at run time, if so wanted; memory is made for it */
	uint64_t buffer_bytes;        /* of payload; 0: no limit */
	uint64_t buffer_max_age_ns;   /* 0: no limit */
	struct cfg_replay replay;
	uint32_t buffer_path; /* 0: the ring is in memory; relative to the state directory */
	enum cfg_sync buffer_sync;
	uint64_t buffer_sync_interval_ns;
	uint32_t buffer_loss_topic; /* 0: losses are not published; expanded as the will's topic is */
	uint8_t buffer_loss_qos;
	struct cfg_will will;
	struct cfg_trace trace;
	struct cfg_place place;
};

enum cfg_line_kind { CFG_LINE_MODBUS_TCP, CFG_LINE_MODBUS_RTU, CFG_LINE_SYNTHETIC };
enum cfg_serial_mode { CFG_SERIAL_RS232, CFG_SERIAL_RS422, CFG_SERIAL_RS485 };

struct cfg_line {
	uint32_t name;
	enum cfg_line_kind kind;
	uint32_t sampler_idx;
	uint32_t host; /* modbus_tcp: address "host:port", default port 502 */
	uint16_t port;
	uint32_t path; /* modbus_rtu */
	uint32_t baud;
	char parity; /* 'N' 'E' 'O' */
	uint8_t data_bits, stop_bits;
	enum cfg_serial_mode serial_mode;
	uint32_t outstanding_max; /* modbus_tcp: requests on the way at a time */
	uint32_t gap_registers;   /* unused registers that a merged read may span */
	uint64_t connect_timeout_ns;
	uint64_t reconnect_base_ns, reconnect_cap_ns;
	uint32_t synthetic_tag_count;
	uint64_t synthetic_rate_per_s; /* tag updates a second, over all its tags */
	struct cfg_trace trace;
	struct cfg_place place;
};

/* Letters are the bytes of the value from its most significant (A); written in the order in which the
 * device sends them. */
enum cfg_order { CFG_ORDER_ABCD, CFG_ORDER_CDAB, CFG_ORDER_BADC, CFG_ORDER_DCBA };

struct cfg_device {
	uint32_t name;
	uint32_t line_idx; /* CFG_NONE: its tags get their values by subscription */
	uint8_t unit;      /* 0 for the device that a synthetic line makes */
	uint64_t every_ns;
	uint64_t timeout_ns;
	enum cfg_order order;          /* for tags without one of their own */
	uint32_t tag_first, tag_count; /* its tags stand together in cfg.tags */
	struct cfg_place place;
};

enum cfg_tag_type {
	CFG_TAG_BOOL,
	CFG_TAG_INT16,
	CFG_TAG_UINT16,
	CFG_TAG_INT32,
	CFG_TAG_UINT32,
	CFG_TAG_FLOAT32,
	CFG_TAG_FLOAT64, /* synthetic source, and devices without a line */
};

enum cfg_deadband { CFG_DEADBAND_NONE, CFG_DEADBAND_ABS, CFG_DEADBAND_PERCENT };

struct cfg_tag {
	uint32_t name; /* without the device */
	uint32_t device_idx;
	struct address address;
	enum cfg_tag_type type;
	enum cfg_order order; /* the tag's own, or its device's */
	double scale, offset; /* value = raw * scale + offset */
	bool scaled;          /* false: the raw number as it is, exact */
	uint32_t unit;        /* a text: kW */
	uint64_t every_ns;    /* the tag's own, or its device's */
	enum cfg_deadband deadband;
	double deadband_size;
	struct cfg_place place;
};

enum cfg_mode { CFG_MODE_ON_CHANGE, CFG_MODE_PERIODIC, CFG_MODE_SUBSCRIBE };
enum cfg_payload { CFG_PAYLOAD_JSON, CFG_PAYLOAD_TEXT };

/* When the server sends what it has retained. */
enum cfg_retain_handling { CFG_RETAINED_SEND, CFG_RETAINED_NEW, CFG_RETAINED_NEVER };

/* Passing messages on, as they are, to another target. */
struct cfg_forward {
	uint32_t target_idx; /* CFG_NONE: no */
	/* Template: {topic}, {1} .. {9} what the wildcards stood for, {node} {target} {definition}. */
	uint32_t topic;
	uint32_t max_bytes; /* of topic, properties and payload; larger ones are refused and counted */
};

/* Of definitions with mode subscribe; topic is the filter there. */
struct cfg_subscribe {
	/* RFC 6901, where in a JSON payload the value is; 0: key `value`, or the payload itself. */
	uint32_t pointer;
	bool no_local, retain_as_published;       /* v5 */
	enum cfg_retain_handling retain_handling; /* v5 */
	struct cfg_forward forward;
};

struct cfg_definition {
	uint32_t name;
	uint32_t target_idx;
	enum cfg_mode mode;
	uint64_t cycle_ns;          /* periodic */
	uint64_t heartbeat_ns;      /* on-change; 0: none */
	enum cfg_deadband deadband; /* on-change; NONE: each tag's own */
	double deadband_size;
	uint32_t ref_first, ref_count; /* its tags, resolved and without repetition: into cfg.refs */
	uint32_t topic;                /* template: {node} {device} {tag} {definition} {target} */
	enum cfg_payload payload;
	bool sequence; /* JSON: each message says which of its source's it is */
	uint8_t qos;   /* subscribe: the most that the server may send with */
	bool retain;
	uint32_t expiry_s; /* 0: none; v5 tells the server what is left of it */
	struct cfg_props props;
	struct cfg_subscribe subscribe;
	struct cfg_place place;
};

struct cfg {
	uint32_t node; /* default: the host's name */
	uint32_t file; /* as it was named */
	struct network own_networks[CFG_OWN_NETWORKS_MAX];
	uint32_t own_network_count;
	bool trace_freezes;      /* all flight recorders stop after an incident of one of them ... */
	uint64_t trace_after_ns; /* ... this long */
	struct cfg_sampler *samplers;
	struct cfg_publisher *publishers;
	struct cfg_target *targets;
	struct cfg_url *urls;
	struct cfg_line *lines;
	struct cfg_device *devices;
	struct cfg_tag *tags;
	struct cfg_definition *definitions;
	struct cfg_package *packages; /* those that are declared, and those that targets name */
	struct cfg_pair *pairs;       /* user properties of all objects */
	uint32_t *refs;               /* tag indices of all definitions */
	char *text;                   /* all texts, each ends with a zero */
	void *block;                  /* what all of these are in */
	uint64_t block_bytes;
	uint32_t sampler_count, publisher_count, target_count, url_count, line_count, device_count, tag_count,
		definition_count, package_count, pair_count, ref_count, text_bytes;
};

static inline const char *cfg_text(const struct cfg *c, uint32_t text)
{
	return c->text + text;
}

/* What was wrong: "file:line:column: message", one a line, in the order of the file. At most
 * CFG_ERRORS_MAX are kept, the rest is counted. */
#define CFG_ERRORS_MAX 200u
struct cfg_errors {
	char **lines;
	uint32_t count; /* kept */
	uint32_t total;
};
void config_errors_free(struct cfg_errors *errors);

/* Reads and checks a file. 0 and *out, or -EINVAL with every mistake in errors, or -errno where the file
 * cannot be read (that is in errors too). */
NODISCARD int config_load(const char *path, struct cfg **out, struct cfg_errors *errors);

/* The same from memory; file is the name for messages. For tests, fuzzers and the simulator. */
NODISCARD int config_parse(const char *file, struct bytes yaml, struct cfg **out, struct cfg_errors *errors);
void config_free(struct cfg *c);
/* Bytes that it takes. */
uint64_t config_memory_bytes(const struct cfg *c);

/* The table of keys as text for people (--print-schema). */
int config_print_schema(int fd);

/* The secret that a reference names, read when it is needed: 0 and its bytes (a final newline is cut off),
 * or -errno. base_dir: where relative file: paths start. The caller wipes the buffer. */
NODISCARD int config_secret(const char *reference, const char *base_dir, char *buffer, size_t size_bytes,
			    size_t *out_bytes);

#endif
