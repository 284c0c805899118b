#include "core/schema.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/trace.h"

#define MS   ((int64_t)NS_PER_MS)
#define S    ((int64_t)NS_PER_S)
#define MIN  (60 * S)
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)
#define KIB  1024
#define MIB  (1024 * KIB)
#define FIELD(object, field) \
	.offset = offsetof(struct object, field), .width = sizeof(((struct object *)0)->field)
#define RANGE(low, high) .min = (low), .max = (high)
#define ANY              .min = INT64_MIN, .max = INT64_MAX

static const struct schema_word kinds[] = {
	{"mqtt", 0, false}, {"easyconnect", 1, true}, {"resma", 2, true}, {NULL, 0, false}};
static const struct schema_word failovers[] = {{"ordered", CFG_FAILOVER_ORDERED, false},
					       {"round-robin", CFG_FAILOVER_ROUND_ROBIN, false},
					       {NULL, 0, false}};
static const struct schema_word syncs[] = {{"never", CFG_SYNC_NEVER, false},
					   {"interval", CFG_SYNC_INTERVAL, false},
					   {"each", CFG_SYNC_EACH, false},
					   {NULL, 0, false}};
static const struct schema_word replay_orders[] = {{"oldest-first", CFG_REPLAY_OLDEST_FIRST, false},
						   {"live-first", CFG_REPLAY_LIVE_FIRST, false},
						   {NULL, 0, false}};
static const struct schema_word thins[] = {{"last", CFG_THIN_LAST, false},
					   {"min-max", CFG_THIN_MIN_MAX, false},
					   {"average", CFG_THIN_AVERAGE, false},
					   {NULL, 0, false}};
static const struct schema_word protocols[] = {{"5", 5, false}, {"3.1.1", 4, false}, {NULL, 0, false}};
static const struct schema_word serial_modes[] = {{"rs232", CFG_SERIAL_RS232, false},
						  {"rs422", CFG_SERIAL_RS422, false},
						  {"rs485", CFG_SERIAL_RS485, false},
						  {NULL, 0, false}};
static const struct schema_word orders[] = {{"ABCD", CFG_ORDER_ABCD, false},
					    {"CDAB", CFG_ORDER_CDAB, false},
					    {"BADC", CFG_ORDER_BADC, false},
					    {"DCBA", CFG_ORDER_DCBA, false},
					    {NULL, 0, false}};
static const struct schema_word types[] = {{"bool", CFG_TAG_BOOL, false},
					   {"int16", CFG_TAG_INT16, false},
					   {"uint16", CFG_TAG_UINT16, false},
					   {"int32", CFG_TAG_INT32, false},
					   {"uint32", CFG_TAG_UINT32, false},
					   {"float32", CFG_TAG_FLOAT32, false},
					   {"int64", 0, true},
					   {"uint64", 0, true},
					   {"float64", CFG_TAG_FLOAT64, false},
					   {"bcd", 0, true},
					   {"string", 0, true},
					   {NULL, 0, false}};
static const struct schema_word modes[] = {{"on-change", CFG_MODE_ON_CHANGE, false},
					   {"periodic", CFG_MODE_PERIODIC, false},
					   {"subscribe", CFG_MODE_SUBSCRIBE, false},
					   {NULL, 0, false}};
static const struct schema_word payloads[] = {{"json", CFG_PAYLOAD_JSON, false},
					      {"text", CFG_PAYLOAD_TEXT, false},
					      {"raw", 0, true},
					      {"csv", 0, true},
					      {"influx", 0, true},
					      {"template", 0, true},
					      {"sparkplug", 0, true},
					      {NULL, 0, false}};
static const struct schema_word server_limits[] = {
	{"lower", CFG_LIMITS_LOWER, false}, {"refuse", CFG_LIMITS_REFUSE, false}, {NULL, 0, false}};
static const struct schema_word payload_formats[] = {
	{"bytes", CFG_FORMAT_BYTES, false}, {"utf8", CFG_FORMAT_UTF8, false}, {NULL, 0, false}};
static const struct schema_word retain_handlings[] = {{"send", CFG_RETAINED_SEND, false},
						      {"new", CFG_RETAINED_NEW, false},
						      {"never", CFG_RETAINED_NEVER, false},
						      {NULL, 0, false}};
static const struct schema_word accesses[] = {{"ro", 0, false}, {"rw", 1, true}, {NULL, 0, false}};

/* What a message carries beside topic and payload: of wills and of definitions. */
/* clang-format off */
#define PROPS(part, object, props, names) \
	{part, "content_type", SCHEMA_TEXT, FIELD(object, props.content_type), RANGE(1, 1024), \
	 .doc = "MQTT 5: such as application/json"}, \
	{part, "payload_format", SCHEMA_WORD, FIELD(object, props.payload_format), \
	 .words = payload_formats, .doc = "MQTT 5: what the server may take the payload for"}, \
	{part, "response_topic", SCHEMA_TEXT, FIELD(object, props.response_topic), \
	 RANGE(1, CFG_TOPIC_BYTES_MAX), .doc = "MQTT 5: " names}, \
	{part, "correlation_data", SCHEMA_TEXT, FIELD(object, props.correlation_data), RANGE(1, 1024), \
	 .doc = "MQTT 5: what a response must repeat"}, \
	{part, "user_properties", SCHEMA_PAIRS, FIELD(object, props.user), .doc = "MQTT 5: {name: text}"}
/* clang-format on */

/* In the order in which people read it; of one section all keys stand together. `kind` and `access` have
 * one supported word each and no field (width 0). */
const struct schema_key schema_keys[] = {
	{SCHEMA_ROOT, "node", SCHEMA_NAME, FIELD(cfg, node),
	 .doc = "{node} in topics; default: the host's name"},
	{SCHEMA_ROOT, "samplers", SCHEMA_LIST, .refers = SCHEMA_SAMPLER,
	 .doc = "threads that sample; default: one, sampler0"},
	{SCHEMA_ROOT, "publishers", SCHEMA_LIST, .refers = SCHEMA_PUBLISHER,
	 .doc = "threads that publish; default: one, pub0"},
	{SCHEMA_ROOT, "packages", SCHEMA_LIST, .refers = SCHEMA_PACKAGE,
	 .doc = "targets that are enabled and disabled as one; default: those that targets name"},
	{SCHEMA_ROOT, "targets", SCHEMA_LIST, .refers = SCHEMA_TARGET,
	 .doc = "MQTT servers, each with its own ring"},
	{SCHEMA_ROOT, "lines", SCHEMA_LIST, .refers = SCHEMA_LINE,
	 .doc = "serial buses, TCP connections, load sources"},
	{SCHEMA_ROOT, "devices", SCHEMA_LIST, .refers = SCHEMA_DEVICE,
	 .doc = "units on a line, and holders of subscribed values"},
	{SCHEMA_ROOT, "definitions", SCHEMA_LIST, .refers = SCHEMA_DEFINITION,
	 .doc = "which tags go where or come from where, how, on which topic"},
	{SCHEMA_ROOT, "truststores", SCHEMA_LATER, .doc = ""},
	{SCHEMA_ROOT, "keystores", SCHEMA_LATER, .doc = ""},
	{SCHEMA_ROOT, "parameters", SCHEMA_LATER, .doc = ""},
	{SCHEMA_ROOT, "own_networks", SCHEMA_NETWORKS,
	 .doc = "reachable with allow_cloud: false beside loopback, private and link-local; such as "
		"203.0.113.0/24"},
	{SCHEMA_ROOT, "trace", SCHEMA_GROUP, .refers = SCHEMA_TRACE,
	 .doc = "when the flight recorders of targets and lines stop"},

	{SCHEMA_TRACE, "freeze", SCHEMA_BOOL, FIELD(cfg, trace_freezes), .default_text = "false",
	 .doc = "when a recorded target or line is lost, all of them stop, so that what led to it stays"},
	{SCHEMA_TRACE, "after", SCHEMA_DURATION, FIELD(cfg, trace_after_ns), RANGE(0, HOUR),
	 .default_text = "5s", .doc = "freeze: how much longer they go on then"},

	{SCHEMA_SAMPLER, "name", SCHEMA_NAME, SCHEMA_REQUIRED, FIELD(cfg_sampler, name), .doc = "unique"},
	{SCHEMA_SAMPLER, "cpu", SCHEMA_INTEGER, FIELD(cfg_sampler, cpu), RANGE(-1, 1023),
	 .default_text = "-1", .doc = "pinned to this CPU; -1: not pinned"},
	{SCHEMA_SAMPLER, "priority", SCHEMA_INTEGER, FIELD(cfg_sampler, priority), RANGE(0, 99),
	 .default_text = "0", .doc = "SCHED_FIFO priority; 0: the ordinary scheduler"},

	{SCHEMA_PUBLISHER, "name", SCHEMA_NAME, SCHEMA_REQUIRED, FIELD(cfg_publisher, name), .doc = "unique"},
	{SCHEMA_PUBLISHER, "cpu", SCHEMA_INTEGER, FIELD(cfg_publisher, cpu), RANGE(-1, 1023),
	 .default_text = "-1", .doc = "pinned to this CPU; -1: not pinned"},
	{SCHEMA_PUBLISHER, "flush_bytes", SCHEMA_SIZE, FIELD(cfg_publisher, flush_bytes),
	 RANGE(1 * KIB, 16 * MIB), .default_text = "64KiB", .doc = "a batch goes out when it is this large"},
	{SCHEMA_PUBLISHER, "flush", SCHEMA_DURATION, FIELD(cfg_publisher, flush_ns), RANGE(0, 10 * S),
	 .default_text = "0s", .doc = "or when its oldest message has waited this long; 0s: at once"},
	{SCHEMA_PUBLISHER, "busy_poll", SCHEMA_DURATION, FIELD(cfg_publisher, busy_poll_ns), RANGE(0, S),
	 .default_text = "0s",
	 .doc = "stays awake, on its CPU, so long after each message, and before and after the next one is "
		"expected: a message is on the wire sooner by the time of a wake-up; 0s: only while they "
		"come "
		"within 40us of each other"},

	{SCHEMA_PACKAGE, "name", SCHEMA_NAME, SCHEMA_REQUIRED, FIELD(cfg_package, name), .doc = "unique"},
	{SCHEMA_PACKAGE, "description", SCHEMA_TEXT, FIELD(cfg_package, description), RANGE(0, 1024),
	 .doc = "for people"},
	{SCHEMA_PACKAGE, "enabled", SCHEMA_BOOL, FIELD(cfg_package, enabled), .default_text = "true",
	 .doc = "false: none of its targets is connected"},

	{SCHEMA_TARGET, "name", SCHEMA_NAME, SCHEMA_REQUIRED, FIELD(cfg_target, name),
	 .doc = "unique, never changed"},
	{SCHEMA_TARGET, "description", SCHEMA_TEXT, FIELD(cfg_target, description), RANGE(0, 1024),
	 .doc = "for people"},
	{SCHEMA_TARGET, "kind", SCHEMA_WORD, .words = kinds, .default_text = "mqtt",
	 .doc = "what the server is"},
	{SCHEMA_TARGET, "publisher", SCHEMA_REFERENCE, .refers = SCHEMA_PUBLISHER,
	 FIELD(cfg_target, publisher_idx), .doc = "the thread; default: one after the other"},
	{SCHEMA_TARGET, "urls", SCHEMA_URLS,
	 .doc = "mqtt://host:port, one to 16, tried until one connects; required"},
	{SCHEMA_TARGET, "url", SCHEMA_URLS, .doc = "the same for a single server"},
	{SCHEMA_TARGET, "failover", SCHEMA_WORD, FIELD(cfg_target, failover), .words = failovers,
	 .default_text = "ordered", .doc = "ordered: from the first again each time"},
	{SCHEMA_TARGET, "failback", SCHEMA_DURATION, FIELD(cfg_target, failback_ns), RANGE(0, 7 * DAY),
	 .default_text = "0s",
	 .doc = "ordered: back to the first URL after so long at another; 0s: when that one is lost"},
	{SCHEMA_TARGET, "follow_redirects", SCHEMA_BOOL, FIELD(cfg_target, follow_redirects),
	 .default_text = "true", .doc = "MQTT 5: to the server that this one names"},
	{SCHEMA_TARGET, "cluster", SCHEMA_BOOL, FIELD(cfg_target, cluster), .default_text = "false",
	 .doc = "the URLs are nodes of one server that share its sessions"},
	{SCHEMA_TARGET, "protocol", SCHEMA_WORD, FIELD(cfg_target, protocol), .words = protocols,
	 .default_text = "5", .doc = "version of MQTT"},
	{SCHEMA_TARGET, "enabled", SCHEMA_BOOL, FIELD(cfg_target, enabled), .default_text = "true",
	 .doc = "false: saved, and not connected"},
	{SCHEMA_TARGET, "package", SCHEMA_NAME, FIELD(cfg_target, package), .default_text = "core",
	 .doc = "one of `packages`, where there are any; or core"},
	{SCHEMA_TARGET, "client_id", SCHEMA_TEXT, FIELD(cfg_target, client_id), RANGE(0, 256),
	 .doc = "default: from node and target, the same at each start; \"\": the server chooses one"},
	{SCHEMA_TARGET, "user", SCHEMA_TEXT, FIELD(cfg_target, user), RANGE(0, 1024), .doc = "user name"},
	{SCHEMA_TARGET, "password", SCHEMA_SECRET, FIELD(cfg_target, password), RANGE(0, 1024),
	 .doc = "file:PATH, env:NAME or cred:NAME, never the password itself"},
	{SCHEMA_TARGET, "allow_cloud", SCHEMA_BOOL, FIELD(cfg_target, allow_cloud), .default_text = "true",
	 .doc = "false: only loopback, private, link-local and own_networks, whatever a name resolves to"},
	{SCHEMA_TARGET, "clean_start", SCHEMA_BOOL, FIELD(cfg_target, clean_start), .default_text = "true",
	 .doc = "false: the server keeps the session"},
	{SCHEMA_TARGET, "session_expiry", SCHEMA_DURATION, FIELD(cfg_target, session_expiry_ns),
	 RANGE(0, (int64_t)UINT32_MAX *S), .default_text = "0s",
	 .doc = "MQTT 5: how long the server keeps it; 1h where clean_start is false"},
	{SCHEMA_TARGET, "keep_alive", SCHEMA_DURATION, FIELD(cfg_target, keep_alive_ns),
	 RANGE(0, UINT16_MAX *S), .default_text = "60s", .doc = "whole seconds; 0s: off"},
	{SCHEMA_TARGET, "connect_timeout", SCHEMA_DURATION, FIELD(cfg_target, connect_timeout_ns),
	 RANGE(0, HOUR), .default_text = "30s", .doc = "until the server has accepted; 0s: wait"},
	{SCHEMA_TARGET, "reconnect", SCHEMA_GROUP, .refers = SCHEMA_TARGET_RECONNECT, .doc = "back-off"},
	{SCHEMA_TARGET, "max_inflight", SCHEMA_INTEGER, FIELD(cfg_target, max_inflight), RANGE(1, 65279),
	 .default_text = "256",
	 .doc = "QoS 1 and 2 messages without an acknowledgement; MQTT 5: at most the server's Receive "
		"Maximum; "
		"MQTT 3.1.1: 20 where none is given"},
	{SCHEMA_TARGET, "topic_alias_max", SCHEMA_INTEGER, FIELD(cfg_target, topic_alias_max),
	 RANGE(0, 65535), .default_text = "16", .doc = "MQTT 5: aliases used at most; 0: none"},
	{SCHEMA_TARGET, "max_packet", SCHEMA_SIZE, FIELD(cfg_target, max_packet_bytes), RANGE(256, 256 * MIB),
	 .doc = "largest packet accepted from the server; where none is given 64KiB with subscriptions, "
		"otherwise 4KiB, or 8 bytes for each of max_inflight"},
	{SCHEMA_TARGET, "receive_max", SCHEMA_INTEGER, FIELD(cfg_target, receive_max), RANGE(1, 65535),
	 .default_text = "256",
	 .doc = "QoS 1 and 2 messages of the server under way at a time; MQTT 5: it is told"},
	{SCHEMA_TARGET, "topic_alias_in", SCHEMA_INTEGER, FIELD(cfg_target, topic_alias_in), RANGE(0, 1024),
	 .default_text = "8",
	 .doc = "MQTT 5: aliases that the server may use, where there are subscriptions"},
	{SCHEMA_TARGET, "server_limits", SCHEMA_WORD, FIELD(cfg_target, server_limits),
	 .words = server_limits, .default_text = "lower",
	 .doc = "a message whose QoS or retain the server does not offer: lower it, or refuse and count it"},
	{SCHEMA_TARGET, "user_properties", SCHEMA_PAIRS, FIELD(cfg_target, connect_user),
	 .doc = "MQTT 5: of CONNECT, {name: text}"},
	{SCHEMA_TARGET, "message_buffer_window", SCHEMA_DURATION, FIELD(cfg_target, message_buffer_window_ns),
	 RANGE(0, 30 * S), .default_text = "10s",
	 .doc = "how long messages of a kept session wait for the subscriptions"},
	{SCHEMA_TARGET, "max_buffered_messages", SCHEMA_INTEGER, FIELD(cfg_target, max_buffered_messages),
	 RANGE(0, 300000), .default_text = "20000", .doc = "at most so many of them"},
	{SCHEMA_TARGET, "trace", SCHEMA_GROUP, .refers = SCHEMA_TARGET_TRACE,
	 .doc = "its flight recorder: the last packets, for `ringctl trace`"},
	{SCHEMA_TARGET, "buffer", SCHEMA_GROUP, .refers = SCHEMA_BUFFER, .doc = "the ring"},
	{SCHEMA_TARGET, "will", SCHEMA_GROUP, .refers = SCHEMA_WILL, .doc = "last will"},
	{SCHEMA_TARGET, "tls", SCHEMA_LATER, .doc = ""},
	{SCHEMA_TARGET, "trust_all_certificates", SCHEMA_LATER, .doc = ""},

	{SCHEMA_TARGET_TRACE, "memory", SCHEMA_SIZE, FIELD(cfg_target, trace.memory_bytes),
	 RANGE(0, 1024 * MIB), .default_text = "0",
	 .doc = "16KiB or more, taken at the start; 0: no recorder"},
	{SCHEMA_TARGET_TRACE, "record", SCHEMA_BOOL, FIELD(cfg_target, trace.record), .default_text = "true",
	 .doc = "from the start; false: from `ringctl trace --start` on"},
	{SCHEMA_TARGET_TRACE, "snap", SCHEMA_SIZE, FIELD(cfg_target, trace.snap_bytes),
	 RANGE(32, TRACE_SEGMENT_BYTES), .default_text = "256B",
	 .doc = "kept of each message; other packets are kept whole, up to 1400B"},

	{SCHEMA_TARGET_RECONNECT, "base", SCHEMA_DURATION, FIELD(cfg_target, reconnect_base_ns),
	 RANGE(MS, HOUR), .default_text = "1s", .doc = "first pause"},
	{SCHEMA_TARGET_RECONNECT, "cap", SCHEMA_DURATION, FIELD(cfg_target, reconnect_cap_ns), RANGE(MS, DAY),
	 .default_text = "60s", .doc = "longest pause"},
	{SCHEMA_TARGET_RECONNECT, "stable", SCHEMA_DURATION, FIELD(cfg_target, reconnect_stable_ns),
	 RANGE(0, DAY), .default_text = "30s",
	 .doc = "connected for so long: the next pause is the first one again"},

	{SCHEMA_BUFFER, "messages", SCHEMA_INTEGER, FIELD(cfg_target, buffer_messages), RANGE(1, 10000000),
	 .default_text = "1000", .doc = "the newest that are kept; the first limit reached rules"},
	{SCHEMA_BUFFER, "messages_max", SCHEMA_INTEGER, FIELD(cfg_target, buffer_messages_max),
	 RANGE(1, 10000000),
	 .doc = "memory is made for so many, up to which `ringctl buffer` may raise `messages`; default: "
		"`messages`"},
	{SCHEMA_BUFFER, "bytes", SCHEMA_SIZE, FIELD(cfg_target, buffer_bytes), RANGE(1, 1024ll * 1024 * MIB),
	 .doc = "the newest whose payloads fit are kept, at least one; default: no limit"},
	{SCHEMA_BUFFER, "max_age", SCHEMA_DURATION, FIELD(cfg_target, buffer_max_age_ns),
	 RANGE(0, 3650 * DAY), .default_text = "0s", .doc = "older ones expire; 0s: no limit"},
	{SCHEMA_BUFFER, "path", SCHEMA_TEXT, FIELD(cfg_target, buffer_path), RANGE(1, 1024),
	 .doc = "the ring in a file, which survives the daemon; relative to --state-dir"},
	{SCHEMA_BUFFER, "sync", SCHEMA_WORD, FIELD(cfg_target, buffer_sync), .words = syncs,
	 .default_text = "never",
	 .doc = "never: survives a crash of the daemon; interval, each: also a loss of power, up to the last "
		"sync"},
	{SCHEMA_BUFFER, "sync_interval", SCHEMA_DURATION, FIELD(cfg_target, buffer_sync_interval_ns),
	 RANGE(10 * MS, HOUR), .default_text = "1s", .doc = "with sync: interval"},
	{SCHEMA_BUFFER, "loss_topic", SCHEMA_TEXT, FIELD(cfg_target, buffer_loss_topic),
	 RANGE(1, CFG_TOPIC_BYTES_MAX),
	 .doc = "where lost messages are told of, when the target is connected again; {node} and {target} "
		"are "
		"replaced"},
	{SCHEMA_BUFFER, "loss_qos", SCHEMA_INTEGER, FIELD(cfg_target, buffer_loss_qos), RANGE(0, 2),
	 .default_text = "1", .doc = "of these"},
	{SCHEMA_BUFFER, "replay", SCHEMA_GROUP, .refers = SCHEMA_REPLAY,
	 .doc = "what an outage has left, when the target is connected again"},

	{SCHEMA_REPLAY, "order", SCHEMA_WORD, FIELD(cfg_target, replay.order), .words = replay_orders,
	 .default_text = "oldest-first",
	 .doc = "oldest-first: all in order, at full speed; live-first: what is made now goes first"},
	{SCHEMA_REPLAY, "rate", SCHEMA_TEXT, FIELD(cfg_target, replay.rate_text), RANGE(1, 32),
	 .default_text = "50%",
	 .doc = "live-first: the backlog goes at 200/s, 30/min or 5/h; or 20%: so much of each send while "
		"there is something live"},
	{SCHEMA_REPLAY, "mark", SCHEMA_BOOL, FIELD(cfg_target, replay.mark),
	 .doc = "live-first, MQTT 5: the backlog's messages have the user property `replay`, their original "
		"time; default: true"},
	{SCHEMA_REPLAY, "topic_prefix", SCHEMA_TEXT, FIELD(cfg_target, replay.topic_prefix), RANGE(1, 128),
	 .doc = "live-first: stands before the topics of the backlog's messages; default: none"},
	{SCHEMA_REPLAY, "thin", SCHEMA_GROUP, .refers = SCHEMA_THIN,
	 .doc = "live-first: fewer messages, where the backlog would take too long"},

	{SCHEMA_THIN, "keep", SCHEMA_WORD, SCHEMA_REQUIRED, FIELD(cfg_target, replay.thin), .words = thins,
	 .doc = "of each topic and bucket: the last message, those with the smallest and the largest value, "
		"or one with the average"},
	{SCHEMA_THIN, "bucket", SCHEMA_DURATION, FIELD(cfg_target, replay.thin_bucket_ns),
	 RANGE(10 * MS, 7 * DAY), .default_text = "1min", .doc = "how much time becomes one"},
	{SCHEMA_THIN, "within", SCHEMA_DURATION, FIELD(cfg_target, replay.thin_within_ns),
	 RANGE(0, 365 * DAY), .default_text = "1h",
	 .doc = "only where the backlog would take longer than that at its rate; 0s: always"},

	{SCHEMA_WILL, "topic", SCHEMA_TEXT, SCHEMA_REQUIRED, FIELD(cfg_target, will.topic),
	 RANGE(1, CFG_TOPIC_BYTES_MAX), .doc = "{node} and {target} are replaced"},
	{SCHEMA_WILL, "payload", SCHEMA_TEXT, FIELD(cfg_target, will.payload), RANGE(0, 65535),
	 .doc = "as it is"},
	{SCHEMA_WILL, "qos", SCHEMA_INTEGER, FIELD(cfg_target, will.qos), RANGE(0, 2), .default_text = "0",
	 .doc = ""},
	{SCHEMA_WILL, "retain", SCHEMA_BOOL, FIELD(cfg_target, will.retain), .default_text = "false",
	 .doc = ""},
	{SCHEMA_WILL, "delay", SCHEMA_SECONDS, FIELD(cfg_target, will.delay_s),
	 RANGE(0, (int64_t)UINT32_MAX *S), .default_text = "0s", .doc = "MQTT 5: the server waits this long"},
	{SCHEMA_WILL, "expiry", SCHEMA_SECONDS, FIELD(cfg_target, will.expiry_s),
	 RANGE(0, (int64_t)UINT32_MAX *S), .default_text = "0s", .doc = "MQTT 5: message expiry; 0s: none"},
	PROPS(SCHEMA_WILL, cfg_target, will.props, "{node} and {target} are replaced"),
	{SCHEMA_WILL, "on_connect", SCHEMA_TEXT, FIELD(cfg_target, will.on_connect), RANGE(0, 65535),
	 .doc = "published to the same topic after each connect"},
	{SCHEMA_WILL, "on_disconnect", SCHEMA_TEXT, FIELD(cfg_target, will.on_disconnect), RANGE(0, 65535),
	 .doc = "published to the same topic before an orderly disconnect"},

	{SCHEMA_LINE, "name", SCHEMA_NAME, SCHEMA_REQUIRED, FIELD(cfg_line, name),
	 .doc = "unique; a synthetic line makes a device of this name"},
	{SCHEMA_LINE, "sampler", SCHEMA_REFERENCE, .refers = SCHEMA_SAMPLER, FIELD(cfg_line, sampler_idx),
	 .doc = "the thread; default: the first"},
	{SCHEMA_LINE, "modbus_tcp", SCHEMA_GROUP, .refers = SCHEMA_MODBUS_TCP,
	 .doc = "exactly one of these three"},
	{SCHEMA_LINE, "modbus_rtu", SCHEMA_GROUP, .refers = SCHEMA_MODBUS_RTU,
	 .doc = "exactly one of these three"},
	{SCHEMA_LINE, "synthetic", SCHEMA_GROUP, .refers = SCHEMA_SYNTHETIC,
	 .doc = "exactly one of these three"},
	{SCHEMA_LINE, "gap", SCHEMA_INTEGER, FIELD(cfg_line, gap_registers), RANGE(0, 120),
	 .default_text = "0", .doc = "unused registers that a merged read may span"},
	{SCHEMA_LINE, "trace", SCHEMA_GROUP, .refers = SCHEMA_LINE_TRACE,
	 .doc = "its flight recorder: the last frames, for `ringctl trace`; not of a synthetic line"},
	{SCHEMA_LINE, "reconnect", SCHEMA_GROUP, .refers = SCHEMA_LINE_RECONNECT, .doc = "back-off"},

	{SCHEMA_LINE_TRACE, "memory", SCHEMA_SIZE, FIELD(cfg_line, trace.memory_bytes), RANGE(0, 1024 * MIB),
	 .default_text = "0", .doc = "16KiB or more, taken at the start; 0: no recorder"},
	{SCHEMA_LINE_TRACE, "record", SCHEMA_BOOL, FIELD(cfg_line, trace.record), .default_text = "true",
	 .doc = "from the start; false: from `ringctl trace --start` on"},

	{SCHEMA_MODBUS_TCP, "address", SCHEMA_HOST_PORT, SCHEMA_REQUIRED,
	 .doc = "host:port; default port 502"},
	{SCHEMA_MODBUS_TCP, "outstanding", SCHEMA_INTEGER, FIELD(cfg_line, outstanding_max), RANGE(1, 16),
	 .default_text = "1", .doc = "requests on the way at a time"},
	{SCHEMA_MODBUS_TCP, "connect_timeout", SCHEMA_DURATION, FIELD(cfg_line, connect_timeout_ns),
	 RANGE(MS, HOUR), .default_text = "5s", .doc = ""},

	{SCHEMA_MODBUS_RTU, "path", SCHEMA_TEXT, SCHEMA_REQUIRED, FIELD(cfg_line, path), RANGE(1, 1024),
	 .doc = "/dev/ttyS1"},
	{SCHEMA_MODBUS_RTU, "baud", SCHEMA_INTEGER, FIELD(cfg_line, baud), RANGE(300, 4000000),
	 .default_text = "19200", .doc = ""},
	{SCHEMA_MODBUS_RTU, "format", SCHEMA_FORMAT, .default_text = "8E1",
	 .doc = "data bits 8, parity N E O, stop bits 1 2"},
	{SCHEMA_MODBUS_RTU, "mode", SCHEMA_WORD, FIELD(cfg_line, serial_mode), .words = serial_modes,
	 .default_text = "rs485", .doc = "rs485: with direction control"},

	{SCHEMA_SYNTHETIC, "tags", SCHEMA_INTEGER, FIELD(cfg_line, synthetic_tag_count),
	 RANGE(1, CFG_TAGS_MAX), .default_text = "100", .doc = "t0, t1 ... of type float64"},
	{SCHEMA_SYNTHETIC, "rate", SCHEMA_LONG, FIELD(cfg_line, synthetic_rate_per_s), RANGE(1, 1000000000),
	 .default_text = "1000", .doc = "tag updates a second, over all tags"},

	{SCHEMA_LINE_RECONNECT, "base", SCHEMA_DURATION, FIELD(cfg_line, reconnect_base_ns), RANGE(MS, HOUR),
	 .default_text = "1s", .doc = "first pause"},
	{SCHEMA_LINE_RECONNECT, "cap", SCHEMA_DURATION, FIELD(cfg_line, reconnect_cap_ns), RANGE(MS, DAY),
	 .default_text = "30s", .doc = "longest pause"},

	{SCHEMA_DEVICE, "name", SCHEMA_PLAIN_NAME, SCHEMA_REQUIRED, FIELD(cfg_device, name),
	 .doc = "unique, without dots"},
	{SCHEMA_DEVICE, "line", SCHEMA_REFERENCE, .refers = SCHEMA_LINE, FIELD(cfg_device, line_idx),
	 .doc = "without it the tags get their values by subscription"},
	{SCHEMA_DEVICE, "unit", SCHEMA_INTEGER, FIELD(cfg_device, unit), RANGE(0, 255), .default_text = "1",
	 .doc = "unit identifier; 1 .. 247 on a serial line"},
	{SCHEMA_DEVICE, "every", SCHEMA_DURATION, FIELD(cfg_device, every_ns), RANGE(MS, 7 * DAY),
	 .default_text = "1s", .doc = "cycle of its tags"},
	{SCHEMA_DEVICE, "timeout", SCHEMA_DURATION, FIELD(cfg_device, timeout_ns), RANGE(MS, 10 * MIN),
	 .default_text = "500ms", .doc = "for a response"},
	{SCHEMA_DEVICE, "order", SCHEMA_WORD, FIELD(cfg_device, order), .words = orders,
	 .default_text = "ABCD",
	 .doc = "bytes of a value as the device sends them; A is the most significant"},
	{SCHEMA_DEVICE, "tags", SCHEMA_LIST, .refers = SCHEMA_TAG, .doc = "named values"},

	{SCHEMA_TAG, "name", SCHEMA_NAME, SCHEMA_REQUIRED, FIELD(cfg_tag, name),
	 .doc = "unique in its device"},
	{SCHEMA_TAG, "address", SCHEMA_ADDRESS, FIELD(cfg_tag, address),
	 .doc = "on a line: input:52, holding:100.3 (bit 3), coil:0, discrete:7; zero-based; or 40001"},
	{SCHEMA_TAG, "type", SCHEMA_WORD, FIELD(cfg_tag, type), .words = types,
	 .doc = "required for whole registers; a bit is a bool; float64, the default there, without a line "
		"only"},
	{SCHEMA_TAG, "order", SCHEMA_WORD, FIELD(cfg_tag, order), .words = orders,
	 .doc = "default: the device's"},
	{SCHEMA_TAG, "scale", SCHEMA_NUMBER, FIELD(cfg_tag, scale), ANY, .default_text = "1",
	 .doc = "value = raw * scale + offset; not 0"},
	{SCHEMA_TAG, "offset", SCHEMA_NUMBER, FIELD(cfg_tag, offset), ANY, .default_text = "0", .doc = ""},
	{SCHEMA_TAG, "unit", SCHEMA_TEXT, FIELD(cfg_tag, unit), RANGE(0, 32), .doc = "kW"},
	{SCHEMA_TAG, "every", SCHEMA_DURATION, FIELD(cfg_tag, every_ns), RANGE(MS, 7 * DAY),
	 .doc = "default: the device's"},
	{SCHEMA_TAG, "access", SCHEMA_WORD, .words = accesses, .default_text = "ro", .doc = ""},
	{SCHEMA_TAG, "deadband", SCHEMA_GROUP, .refers = SCHEMA_TAG_DEADBAND,
	 .doc = "for on-change definitions"},
	{SCHEMA_TAG, "limits", SCHEMA_LATER, .doc = ""},

	{SCHEMA_TAG_DEADBAND, "abs", SCHEMA_NUMBER, FIELD(cfg_tag, deadband_size), RANGE(0, INT64_MAX),
	 .doc = "in the value's unit; one of these two"},
	{SCHEMA_TAG_DEADBAND, "percent", SCHEMA_NUMBER, FIELD(cfg_tag, deadband_size), RANGE(0, 100),
	 .doc = "of the last value sent"},

	{SCHEMA_DEFINITION, "name", SCHEMA_NAME, SCHEMA_REQUIRED, FIELD(cfg_definition, name),
	 .doc = "unique in its target"},
	{SCHEMA_DEFINITION, "target", SCHEMA_REFERENCE, SCHEMA_REQUIRED, .refers = SCHEMA_TARGET,
	 FIELD(cfg_definition, target_idx), .doc = ""},
	{SCHEMA_DEFINITION, "mode", SCHEMA_WORD, FIELD(cfg_definition, mode), .words = modes,
	 .default_text = "on-change", .doc = "when a message is made, or that messages come"},
	{SCHEMA_DEFINITION, "cycle", SCHEMA_DURATION, FIELD(cfg_definition, cycle_ns), RANGE(MS, 7 * DAY),
	 .doc = "periodic: how often; required there"},
	{SCHEMA_DEFINITION, "heartbeat", SCHEMA_DURATION, FIELD(cfg_definition, heartbeat_ns),
	 RANGE(0, 7 * DAY), .default_text = "0s",
	 .doc = "on-change: at least so often; 0s: never without a change"},
	{SCHEMA_DEFINITION, "deadband", SCHEMA_GROUP, .refers = SCHEMA_DEFINITION_DEADBAND,
	 .doc = "on-change: instead of each tag's own"},
	{SCHEMA_DEFINITION, "tags", SCHEMA_TAGS,
	 .doc = "device.tag, or patterns with *; subscribe: what takes the value"},
	{SCHEMA_DEFINITION, "topic", SCHEMA_TEXT, SCHEMA_REQUIRED, FIELD(cfg_definition, topic),
	 RANGE(1, CFG_TOPIC_BYTES_MAX),
	 .doc = "{node} {target} {definition} {device} {tag}; the last two give one message a tag; "
		"subscribe: a filter, with + # and $share/NAME/"},
	{SCHEMA_DEFINITION, "payload", SCHEMA_WORD, FIELD(cfg_definition, payload), .words = payloads,
	 .default_text = "json", .doc = ""},
	{SCHEMA_DEFINITION, "sequence", SCHEMA_BOOL, FIELD(cfg_definition, sequence), .default_text = "false",
	 .doc = "payload: json: `seq` and `source` in each message; the numbers of a source leave none out"},
	{SCHEMA_DEFINITION, "qos", SCHEMA_INTEGER, FIELD(cfg_definition, qos), RANGE(0, 2),
	 .default_text = "0", .doc = "subscribe: the most that the server may send with"},
	{SCHEMA_DEFINITION, "retain", SCHEMA_BOOL, FIELD(cfg_definition, retain), .default_text = "false",
	 .doc = ""},
	{SCHEMA_DEFINITION, "expiry", SCHEMA_SECONDS, FIELD(cfg_definition, expiry_s),
	 RANGE(0, (int64_t)UINT32_MAX *S), .default_text = "0s",
	 .doc = "not sent when older; MQTT 5: the server is told what is left; 0s: none"},
	PROPS(SCHEMA_DEFINITION, cfg_definition, props, "{node}, {target} and {definition} are replaced"),
	{SCHEMA_DEFINITION, "value", SCHEMA_TEXT, FIELD(cfg_definition, subscribe.pointer), RANGE(0, 1024),
	 .doc = "subscribe: JSON pointer to the value, such as /data/0; default: `value`, or the payload "
		"itself"},
	{SCHEMA_DEFINITION, "no_local", SCHEMA_BOOL, FIELD(cfg_definition, subscribe.no_local),
	 .default_text = "false", .doc = "subscribe, MQTT 5: not what this client has published itself"},
	{SCHEMA_DEFINITION, "retain_as_published", SCHEMA_BOOL,
	 FIELD(cfg_definition, subscribe.retain_as_published), .default_text = "false",
	 .doc = "subscribe, MQTT 5: keep the sender's retain; true where `forward` is given"},
	{SCHEMA_DEFINITION, "retain_handling", SCHEMA_WORD, FIELD(cfg_definition, subscribe.retain_handling),
	 .words = retain_handlings, .default_text = "send",
	 .doc = "subscribe, MQTT 5: retained messages at each subscribing, at a new one, or never"},
	{SCHEMA_DEFINITION, "forward", SCHEMA_GROUP, .refers = SCHEMA_FORWARD,
	 .doc = "subscribe: pass messages on, as they are, to another target"},

	{SCHEMA_DEFINITION_DEADBAND, "abs", SCHEMA_NUMBER, FIELD(cfg_definition, deadband_size),
	 RANGE(0, INT64_MAX), .doc = "in the value's unit; one of these two"},
	{SCHEMA_DEFINITION_DEADBAND, "percent", SCHEMA_NUMBER, FIELD(cfg_definition, deadband_size),
	 RANGE(0, 100), .doc = "of the last value sent"},

	{SCHEMA_FORWARD, "target", SCHEMA_REFERENCE, SCHEMA_REQUIRED, .refers = SCHEMA_TARGET,
	 FIELD(cfg_definition, subscribe.forward.target_idx), .doc = "not the definition's own"},
	{SCHEMA_FORWARD, "topic", SCHEMA_TEXT, FIELD(cfg_definition, subscribe.forward.topic),
	 RANGE(1, CFG_TOPIC_BYTES_MAX), .default_text = "{topic}",
	 .doc = "{topic} as it came, {1} .. {9} what the wildcards stood for, {node} {target} {definition}"},
	{SCHEMA_FORWARD, "max_bytes", SCHEMA_SIZE, FIELD(cfg_definition, subscribe.forward.max_bytes),
	 RANGE(16, 16 * MIB), .default_text = "4KiB",
	 .doc = "of topic, properties and payload; larger messages are refused and counted"},
};

const uint32_t schema_key_count = ARRAY_COUNT(schema_keys);

static const struct {
	const char *noun;
	const char *path;
} sections[] = {
	[SCHEMA_ROOT] = {"file", ""},
	[SCHEMA_SAMPLER] = {"sampler", "samplers[]"},
	[SCHEMA_PUBLISHER] = {"publisher", "publishers[]"},
	[SCHEMA_PACKAGE] = {"package", "packages[]"},
	[SCHEMA_TARGET] = {"target", "targets[]"},
	[SCHEMA_TARGET_RECONNECT] = {"reconnect", "targets[].reconnect"},
	[SCHEMA_BUFFER] = {"buffer", "targets[].buffer"},
	[SCHEMA_REPLAY] = {"replay", "targets[].buffer.replay"},
	[SCHEMA_THIN] = {"thin", "targets[].buffer.replay.thin"},
	[SCHEMA_WILL] = {"will", "targets[].will"},
	[SCHEMA_LINE] = {"line", "lines[]"},
	[SCHEMA_MODBUS_TCP] = {"modbus_tcp", "lines[].modbus_tcp"},
	[SCHEMA_MODBUS_RTU] = {"modbus_rtu", "lines[].modbus_rtu"},
	[SCHEMA_SYNTHETIC] = {"synthetic", "lines[].synthetic"},
	[SCHEMA_LINE_RECONNECT] = {"reconnect", "lines[].reconnect"},
	[SCHEMA_DEVICE] = {"device", "devices[]"},
	[SCHEMA_TAG] = {"tag", "devices[].tags[]"},
	[SCHEMA_TAG_DEADBAND] = {"deadband", "devices[].tags[].deadband"},
	[SCHEMA_DEFINITION] = {"definition", "definitions[]"},
	[SCHEMA_DEFINITION_DEADBAND] = {"deadband", "definitions[].deadband"},
	[SCHEMA_FORWARD] = {"forward", "definitions[].forward"},
	[SCHEMA_TRACE] = {"trace", "trace"},
	[SCHEMA_TARGET_TRACE] = {"trace", "targets[].trace"},
	[SCHEMA_LINE_TRACE] = {"trace", "lines[].trace"},
};
static_assert(ARRAY_COUNT(sections) == SCHEMA_SECTION_COUNT, "every section has its words");

const char *schema_section_noun(enum schema_section section)
{
	return sections[section].noun;
}

const char *schema_section_path(enum schema_section section)
{
	return sections[section].path;
}

const struct schema_key *schema_find(enum schema_section section, struct bytes key)
{
	for (uint32_t i = 0; i < schema_key_count; i++)
		if (schema_keys[i].section == section && bytes_equal(key, bytes_of_text(schema_keys[i].key)))
			return &schema_keys[i];
	return NULL;
}
