/* tools/ctl_show.h - the answers of the daemon as tables for people.
 *
 * Purpose:  one function a kind of answer; each prints to stdout. What an answer lacks is shown as empty or 0, so that an
 *           older daemon can be asked.
 * Owner:    the answers are borrowed. Threads: one. Errors: the caller looks at stdout's error flag at the end.
 */
#ifndef TOOLS_CTL_SHOW_H
#define TOOLS_CTL_SHOW_H

#include <jansson.h>

#include "tools/ctl_table.h"

void ctl_show_status(const json_t *result);
void ctl_show_target_list(const json_t *result);
void ctl_show_target_enabled(const json_t *result);
void ctl_show_target_disabled(const json_t *result);
void ctl_show_buffer(const json_t *result);
void ctl_show_packages(const json_t *result);
void ctl_show_package_switched(const json_t *result);
void ctl_show_subscriptions(const json_t *result);
void ctl_show_definitions(const json_t *result);
void ctl_show_tags(const json_t *result);
void ctl_show_samples(const json_t *result);
void ctl_show_metrics(const json_t *result);
void ctl_show_descriptions(const json_t *result);
void ctl_show_version(const json_t *result);
void ctl_show_level(const json_t *result);
void ctl_show_stop(const json_t *result);

/* A text in an object; "" where there is none. */
const char *ctl_text_in(const json_t *object, const char *name);
/* A tag's value: shortest, "-" where there is none. */
const char *ctl_value_text(const json_t *value, char out[CTL_TEXT_BYTES]);
/* How long a buffer holds: "3h 20m"; "-" where nothing is made. */
const char *ctl_holds_text(const json_t *seconds, char out[CTL_TEXT_BYTES]);
/* "good"; or "bad: " and why. */
const char *ctl_quality_text(const json_t *sample, char out[CTL_TEXT_BYTES]);

#endif
