/* SPDX-License-Identifier: MIT */
/* Counters of the packet threads and of the process, in the form the engine wants them. */
#include "daemon/io/io_counts.h"

#include <string.h>

#include "sys/proc/procinfo.h"

/* Ours: reading /proc costs more than a client that asks every few milliseconds should cause. */
#define LOOK_AGAIN PV_MS(500)

/* The engine does not see the packet threads: it shows what it is told here. */
void pv_io_counts_tell(struct pv_io_counts *counts)
{
    const struct pv_datapath_counts c = pv_datapath_counts(counts->datapath);
    const struct pv_relayio_counts relay = pv_relayio_counts(counts->relayio);
    struct pv_engine_datapath d = {
        .workers = c.workers,
        .threads = c.threads,
        .aead = c.aead,
        .tcp_offload = c.tun.tso,
        .udp_offload = c.tun.uso,
        .not_received = c.udp_not_received,
        .not_sent = c.udp_failed + counts->udp.full + counts->udp.too_big + counts->udp.failed,
        .not_written = c.tun_failed,
        .not_handled = c.punts_lost,
        .not_injected = c.injects_lost,
        .not_relayed = relay.dropped + relay.overrun,
        .no_chat = counts->no_chat,
        .no_files = counts->no_files,
    };
    _Static_assert(sizeof(d.drops) == sizeof(c.drops), "the same reasons");
    for (int suite = 0; suite < PV_SUITES; suite++)
        d.aead_ns[suite] = pv_aead_cost((enum pv_suite)suite);
    memcpy(d.drops, c.drops, sizeof(d.drops));
    memcpy(d.off, c.off, sizeof(d.off));
    d.n_off = c.n_off;
    pv_engine_set_datapath(counts->turn->engine, &d);
    if (counts->turn->now < counts->process_at)
        return;
    struct pv_metrics_process process;
    counts->process_at = counts->turn->now + LOOK_AGAIN;
    pv_procinfo_read(&process);
    pv_engine_set_process(counts->turn->engine, &process);
}
