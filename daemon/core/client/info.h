/* SPDX-License-Identifier: MIT */
/*
 * info.h - the part that tells control clients what is so: `version`, `status`, `peers`, `ip`,
 * `log`, `reload` and `metrics`. It knows no other part: each writes its own share of `status` and
 * of `metrics` (part.h), and this one gathers them. Its own share is what the node is, the users'
 * reports, and the packets that were dropped.
 *
 * `status` waits for the store, which counts unread messages; `peers` in a large network for the
 * coordinator, which knows who is connected.
 */
#pragma once

#include "base/metrics.h"
#include "daemon/core/node/node.h"
#include "daemon/core/packets/counts.h"

extern const struct pv_part pv_part_info;

/* The shell's counts, whenever somebody may want to see it. */
void pv_info_set_datapath(struct pv_node *n, const struct pv_datapath_counts *datapath);
void pv_info_set_process(struct pv_node *n, const struct pv_metrics_process *process);
/* How often lwIP's process was started again. */
void pv_info_set_stack_restarts(struct pv_node *n, unsigned restarts);

/* A client wants the settings to be read again: PV_OK once for each, else PV_ERR_AGAIN. The shell
 * owes the answer. */
PV_MUST_CHECK int pv_info_take_reload(struct pv_node *n);
void pv_info_reloaded(struct pv_node *n, const struct pv_engine_reloaded *done);

struct pv_statuspage;
/* The words of all parts about themselves; pv_statuspage_free() it. NULL without memory: the page
 * is far too large for the stack. */
struct pv_statuspage *pv_info_page(const struct pv_node *n, pv_ns now);

/* All numbers as text for Prometheus (metrics.h), with a NUL: free() it. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_info_metrics(struct pv_node *n, pv_ns now, char **ret_text, size_t *ret_len);
