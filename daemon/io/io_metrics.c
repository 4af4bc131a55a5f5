/* SPDX-License-Identifier: MIT */
/* Prometheus asks for our numbers by HTTP ([metrics] listen, adr/0014). */
#include <stdlib.h>
#include <unistd.h>

#include "daemon/io/io_int.h"
#include "proto/local/scrape.h"

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
        pv_io_begin(io, now);
        pv_io_tell_datapath(io);
        r = pv_engine_metrics(io->cfg.engine, now, &page, &len);
    }
    if (r == PV_OK)
        r = pv_scrape_answer(&scrape, pv_view(page, len), PV_METRICS_CONTENT_TYPE, ret_text,
                             ret_len);
    free(page);
    return r;
}

int pv_io_metrics_init(struct pv_io *io)
{
    const struct pv_oneshot_config cfg = {.fd = io->cfg.metrics_fd, .answer = answer, .ctx = io};
    if (cfg.fd < 0)
        return PV_OK;
    io->cfg.metrics_fd = -1;
    return pv_oneshot_new(&io->metrics, io->loop, &cfg);
}

void pv_io_metrics_done(struct pv_io *io)
{
    io->metrics = pv_oneshot_free(io->metrics);
    if (io->cfg.metrics_fd >= 0) /* it was never served */
        close(io->cfg.metrics_fd);
}
