/* tools/rpc.h - the methods of the control socket, over a running node.
 *
 * Purpose:  the table that control_open is given.
 *
 *     version    status    stop
 *     targets.list        [pattern] [limit] [offset]
 *     targets.enable      name                           targets.disable   name
 *     buffer.read         target
 *     buffer.set          target [messages] [bytes: 0, no limit] [max_age_s: 0, none]
 *     packages.list       [pattern] [limit] [offset]
 *     packages.enable     name                           packages.disable  name
 *     subscriptions.list  [target] [limit] [offset]
 *     definitions.list    [pattern] [limit] [offset]
 *     tags.list     [pattern] [limit] [offset]
 *     tags.read     names | pattern [limit] [offset]
 *     tags.watch    [pattern] [interval: ms]          then tags.update comes, until tags.unwatch
 *     metrics       [prefix] [limit] [offset] | describe: true
 *     log.level     [level]
 *     trace.list    [names: names and patterns of targets and lines] [limit] [offset]
 *     trace.start   names                             trace.stop      names
 *     trace.freeze                                    trace.resume    all recorders stop, and go on
 *     trace.read    source: of trace.list [from]      records as in core/trace.h, in hexadecimal
 *
 *           A pattern has * for any run of characters. Lists come in pages of at most RPC_PAGE_MAX; `next` is the offset
 *           of the following one. Setting log.level and buffers, stop, trace.* but its list, and what enables or disables are for operators;
 *           what those change is so until the next start.
 * Owner:    the control thread; the context outlives the control socket. Threads: that one. The parts of the node are
 *           read only through what their headers allow any thread: counters, shared texts, tags.
 * Memory:   jansson's. Errors: -EINVAL with what to write instead.
 */
#ifndef TOOLS_RPC_H
#define TOOLS_RPC_H

#include "io/control.h"
#include "tools/node.h"

#define RPC_PAGE_MAX     1000u
#define RPC_PAGE_DEFAULT 100u
#define RPC_NAMES_MAX    100u   /* in one tags.read */
#define RPC_METRICS_MAX  50000u /* values in one answer */

/* Of `status`, so that it stays small: subscriptions.list has them all. */
#define RPC_STATUS_SUBSCRIPTIONS_MAX   100u       /* a target */
#define RPC_STATUS_SUBSCRIPTIONS_BYTES (1u << 20) /* an answer */
#define RPC_SUBSCRIPTION_NAMES_MAX     32u        /* definitions named beside one subscription */

struct rpc_context {
	struct node *node;
	void (*stop)(void *stop_context); /* asks the daemon to end; returns at once */
	void *stop_context;
	struct mono started; /* for the uptime; 0: the node's wall time is taken */
};

const struct control_method *rpc_methods(void);
size_t rpc_method_count(void);

#endif
