#include "core/metrics.h"

#define ROW(object_, struct_, field, kind_, unit_, help_) \
	{ \
		.name = #field, .object = METRIC_##object_, .kind = METRIC_##kind_, .unit = unit_, \
		.help = help_, .offset = offsetof(struct struct_, field) \
	}
#define TARGET(...)    ROW(TARGET, target_metrics, __VA_ARGS__)
#define RING(...)      ROW(RING, ring_metrics, __VA_ARGS__)
#define LINE(...)      ROW(LINE, line_metrics, __VA_ARGS__)
#define SAMPLER(...)   ROW(SAMPLER, sampler_metrics, __VA_ARGS__)
#define PUBLISHER(...) ROW(PUBLISHER, publisher_metrics, __VA_ARGS__)

const struct metric_row metric_rows[] = {
	TARGET(sent_messages, COUNTER, "messages", "PUBLISH packets that the kernel has taken whole"),
	TARGET(sent_bytes, COUNTER, "bytes", "everything sent to the server, control packets included"),
	TARGET(acknowledged_messages, COUNTER, "messages",
	       "QoS 1 and 2 messages that the server has taken over"),
	TARGET(resent_messages, COUNTER, "messages", "QoS 1 and 2 messages sent again after a reconnect"),
	TARGET(received_messages, COUNTER, "messages", "messages from the server, each once"),
	TARGET(duplicates, COUNTER, "messages", "copies of a message for another filter that it matches"),
	TARGET(unmatched, COUNTER, "messages", "messages from the server that no definition asks for"),
	TARGET(oversized, COUNTER, "messages",
	       "messages from the server that are larger than max_packet (3.1.1)"),
	TARGET(held, GAUGE, "messages", "messages from the server that wait for the subscriptions"),
	TARGET(received_bytes, COUNTER, "bytes", "everything received from the server"),
	TARGET(refused_messages, COUNTER, "messages",
	       "messages that the server or its limits do not admit; they are dropped"),
	TARGET(lost_overwritten, COUNTER, "messages",
	       "gave way to newer ones; in gaps that `buffer` shows, as all that is lost"),
	TARGET(lost_expired, COUNTER, "messages", "were too old when they could have been sent"),
	TARGET(lost_refused, COUNTER, "messages", "the server or its limits did not admit them"),
	TARGET(lost_oversized, COUNTER, "messages", "were larger than the server or the ring takes"),
	TARGET(lost_no_room, COUNTER, "messages", "found every segment of the ring held"),
	TARGET(lost_thinned, COUNTER, "messages", "another of their bucket stands for them: `thin`"),
	TARGET(connects, COUNTER, "connections", "times the server accepted us"),
	TARGET(connect_failures, COUNTER, "connections", "attempts that did not get that far"),
	TARGET(disconnects, COUNTER, "connections", "accepted connections that ended"),
	TARGET(redirects, COUNTER, "connections", "times a server sent us to another one"),
	TARGET(sends, COUNTER, "operations", "gathered sends; sent_messages / sends is the mean batch"),
	TARGET(inflight, GAUGE, "messages", "QoS 1 and 2 messages that wait for an acknowledgement"),
	RING(made, COUNTER, "messages", "committed by samplers, or dropped because no room could be had"),
	RING(taken, COUNTER, "messages", "handed to the publisher"),
	RING(overwritten, COUNTER, "messages", "gave way to newer ones"),
	RING(expired, COUNTER, "messages", "were older than max_age before they could be sent"),
	RING(dropped, COUNTER, "messages", "found every segment held"),
	RING(buffered, GAUGE, "messages", "wait to be sent"),
	RING(buffered_bytes, GAUGE, "bytes", "of payload wait to be sent"),
	RING(limit_messages, GAUGE, "messages", "are kept through an outage, as it is now"),
	RING(limit_bytes, GAUGE, "bytes", "of payload are kept, as it is now; 0: no limit"),
	RING(limit_age_ns, GAUGE, "ns", "after which messages expire, as it is now; 0: never"),
	RING(in_file, GAUGE, "0/1", "what waits is in a file, and would survive the end of the daemon"),
	RING(file_trouble, GAUGE, "0/1", "the ring's file is not as configured: `status` says why"),
	RING(session_trouble, GAUGE, "0/1", "the session's file is not as configured: `status` says why"),
	LINE(requests, COUNTER, "requests", "sent to devices"),
	LINE(responses, COUNTER, "responses", "valid answers"),
	LINE(timeouts, COUNTER, "requests", "requests without an answer in time"),
	LINE(exceptions, COUNTER, "responses", "answers that refuse the request"),
	LINE(crc_errors, COUNTER, "frames", "frames with a wrong check sum"),
	LINE(protocol_errors, COUNTER, "frames", "frames that do not fit their request"),
	LINE(late, COUNTER, "responses", "answers that came after their time-out and were discarded"),
	LINE(missed, COUNTER, "polls", "polls that were skipped because their time had passed"),
	LINE(resyncs, COUNTER, "events", "silences waited for after garbage on the line"),
	LINE(resets, COUNTER, "events", "connections given up because the framing was lost"),
	LINE(bytes_sent, COUNTER, "bytes", "sent to devices"),
	LINE(bytes_received, COUNTER, "bytes", "received from devices"),
	LINE(connects, COUNTER, "connections", "times the line was opened"),
	LINE(connect_failures, COUNTER, "connections", "times it could not be opened"),
	LINE(suspended_devices, GAUGE, "devices", "units that do not answer and are only probed"),
	LINE(values, COUNTER, "values", "tag updates from this line"),
	LINE(connected, GAUGE, "0/1", "the line is open"),
	SAMPLER(steps, COUNTER, "steps", "times the thread had something to do"),
	SAMPLER(values, COUNTER, "values", "tag updates"),
	SAMPLER(messages, COUNTER, "messages", "committed to rings"),
	SAMPLER(missed_cycles, COUNTER, "cycles", "periodic messages skipped because their time had passed"),
	SAMPLER(lateness_p50_ns, GAUGE, "ns", "how late deadlines were met, half of them at most"),
	SAMPLER(lateness_p99_ns, GAUGE, "ns", "how late deadlines were met, 99 % of them at most"),
	SAMPLER(lateness_max_ns, GAUGE, "ns", "the latest of all"),
	SAMPLER(allocated_bytes, GAUGE, "bytes", "allocated by the thread since it was ready: 0"),
	PUBLISHER(steps, COUNTER, "steps", "times the thread had something to do"),
	PUBLISHER(allocated_bytes, GAUGE, "bytes", "allocated by the thread since it was ready: 0"),
};

const size_t metric_row_count = ARRAY_COUNT(metric_rows);
