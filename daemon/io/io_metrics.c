/* SPDX-License-Identifier: MIT */
/* Prometheus asks for our numbers by HTTP ([metrics] listen, adr/0014). */
#include "daemon/io/io_metrics.h"

#include <stdlib.h>
#include <unistd.h>

#include "proto/local/scrape.h"
#include "sys/net/oneshot.h"

struct pv_io_metrics {
    struct pv_io_metrics_config cfg;
    struct pv_oneshot *server; /* NULL: nobody is served */
};

/* Numbers are gathered for an answer that has them: a wrong request costs no more than a line. */
static int answer(void *ctx, struct pv_view asked, pv_ns now, char **ret_text, size_t *ret_len)
{
    const struct pv_io_metrics_config *cfg = &((struct pv_io_metrics *)ctx)->cfg;
    struct pv_scrape scrape;
    char *page = NULL;
    size_t len = 0;
    int r = pv_scrape_parse(asked, cfg->local, &scrape);
    if (r < 0)
        return r;
    if (scrape.status == 200) {
        pv_io_turn_begin(cfg->turn, now);
        pv_io_counts_tell(cfg->counts);
        r = pv_engine_metrics(cfg->turn->engine, now, &page, &len);
    }
    if (r == PV_OK)
        r = pv_scrape_answer(&scrape, pv_view(page, len), PV_METRICS_CONTENT_TYPE, ret_text,
                             ret_len);
    free(page);
    return r;
}

int pv_io_metrics_new(struct pv_io_metrics **ret_metrics, const struct pv_io_metrics_config *cfg)
{
    struct pv_io_metrics *m = calloc(1, sizeof(*m));
    const struct pv_oneshot_config server = {.fd = cfg->fd, .answer = answer, .ctx = m};
    int r = m == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r < 0 && cfg->fd >= 0)
        close(cfg->fd);
    if (r < 0)
        return r;
    m->cfg = *cfg;
    if (cfg->fd >= 0)
        r = pv_oneshot_new(&m->server, cfg->turn->loop, &server);
    if (r < 0)
        free(m);
    else
        *ret_metrics = m;
    return r;
}

pv_ns pv_io_metrics_timeout(struct pv_io_metrics *metrics, pv_ns now)
{
    pv_oneshot_handle_timeout(metrics->server, now);
    return pv_oneshot_next_timeout(metrics->server);
}

struct pv_io_metrics *pv_io_metrics_free(struct pv_io_metrics *metrics)
{
    if (metrics != NULL)
        pv_oneshot_free(metrics->server);
    free(metrics);
    return NULL;
}
