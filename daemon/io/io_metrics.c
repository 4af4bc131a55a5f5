/* SPDX-License-Identifier: MIT */
/* Counters of the packet threads and of the process, in the form the engine wants them; and
 * Prometheus, which asks for our numbers by HTTP ([metrics] listen, adr/0014). */
#include "daemon/io/io_metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/local/scrape.h"
#include "sys/net/oneshot.h"
#include "sys/proc/procinfo.h"

/* --- counters ------------------------------------------------------------------------------- */

/* Ours: reading /proc costs more than a client that asks every few milliseconds should cause. */
#define LOOK_AGAIN PV_MS(500)

/* The engine does not see the packet threads: it shows what it is told here. */
void pv_io_counts_tell(struct pv_io *io)
{
    struct pv_datapath_counts c = pv_datapath_counts(io->datapath);
    const struct pv_relayio_counts relay = pv_relayio_counts(io->relayio);
    c.udp_failed += io->udp.full + io->udp.too_big + io->udp.failed;
    c.not_relayed = relay.dropped + relay.overrun;
    _Static_assert(sizeof(c.no_app) == sizeof(io->no_app), "one of each");
    memcpy(c.no_app, io->no_app, sizeof(c.no_app));
    for (int suite = 0; suite < PV_SUITES; suite++)
        c.aead_ns[suite] = pv_aead_cost((enum pv_suite)suite);
    pv_engine_set_datapath(io->engine, &c);
    if (io->now < io->process_at)
        return;
    struct pv_metrics_process process;
    io->process_at = io->now + LOOK_AGAIN;
    pv_procinfo_read(&process);
    pv_engine_set_process(io->engine, &process);
}

/* --- the page ------------------------------------------------------------------------------- */

/* Numbers are gathered for an answer that has them: a wrong request costs no more than a line. */
static int answer(void *ctx, struct pv_view asked, pv_ns now, char **ret_text, size_t *ret_len)
{
    struct pv_io *io = ctx;
    struct pv_scrape scrape;
    char *page = NULL;
    size_t len = 0;
    int r = pv_scrape_parse(asked, io->cfg.metrics_local, &scrape);
    if (r < 0)
        return r;
    if (scrape.status == 200) {
        pv_io_turn_begin(io, now);
        pv_io_counts_tell(io);
        r = pv_engine_metrics(io->engine, now, &page, &len);
    }
    if (r == PV_OK)
        r = pv_scrape_answer(&scrape, pv_view(page, len), PV_METRICS_CONTENT_TYPE, ret_text,
                             ret_len);
    free(page);
    return r;
}

int pv_io_metrics_serve(struct pv_io *io)
{
    const struct pv_oneshot_config server = {.fd = io->cfg.metrics_fd, .answer = answer, .ctx = io};
    io->cfg.metrics_fd = -1; /* taken */
    return server.fd < 0 ? PV_OK : pv_oneshot_new(&io->metrics, io->loop, &server);
}
