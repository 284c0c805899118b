/* proto/mqtt_topic.h - topic names, topic filters, and when one matches the other.
 *
 * Purpose:  the rules of 5.0 4.7 and 4.8.2 (3.1.1: 4.7): wildcards stand alone on a level, '#' last; a filter
 *           that starts with a wildcard does not match a topic that starts with '$'; $share/NAME/FILTER
 *           shares.
 * Threads:  pure.
 * Errors:   enum mqtt_topic_fault; MQTT_TOPIC_OK is 0.
 * Source:   OASIS MQTT Version 5.0, MQTT Version 3.1.1.
 */
#ifndef PROTO_MQTT_TOPIC_H
#define PROTO_MQTT_TOPIC_H

#include "core/bytes.h"
#include "proto/mqtt_type.h"

enum mqtt_topic_fault {
	MQTT_TOPIC_OK,
	MQTT_TOPIC_EMPTY,
	MQTT_TOPIC_TOO_LONG, /* over 65,535 bytes */
	MQTT_TOPIC_NOT_UTF8,
	MQTT_TOPIC_NULL,        /* has U+0000 */
	MQTT_TOPIC_WILDCARD,    /* a topic name with '+' or '#' */
	MQTT_TOPIC_HASH_PLACE,  /* '#' is not alone on the last level */
	MQTT_TOPIC_PLUS_PLACE,  /* '+' is not alone on its level */
	MQTT_TOPIC_SHARE_NAME,  /* $share: the name is empty or has a wildcard */
	MQTT_TOPIC_SHARE_FILTER /* $share: no filter follows the name */
};

/* One sentence for a human. */
NODISCARD const char *mqtt_topic_fault_text(enum mqtt_topic_fault fault);

/* May messages be published to it? */
NODISCARD enum mqtt_topic_fault mqtt_topic_name_check(struct bytes topic);

/* May it be subscribed to? In 3.1.1 there are no shared subscriptions: $share/... is a filter like others. */
NODISCARD enum mqtt_topic_fault mqtt_topic_filter_check(enum mqtt_version v, struct bytes filter);

/* Takes a (valid) shared subscription apart. False: it is not shared, *filter is the whole and *share_name
 * empty. */
NODISCARD bool mqtt_topic_share(struct bytes whole, struct bytes *share_name, struct bytes *filter);

/* Does the valid filter (not shared: take the filter of mqtt_topic_share) match the valid topic name? */
NODISCARD bool mqtt_topic_match(struct bytes filter, struct bytes topic);

#endif
