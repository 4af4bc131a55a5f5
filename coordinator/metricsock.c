/* SPDX-License-Identifier: MIT */
/* The page for Prometheus: an HTTP request in, a new report out. No state is kept between two
 * requests. */
#include "coordinator/metricsock.h"

#include <stdlib.h>

#include "coordinator/core/report.h"
#include "proto/local/scrape.h"
#include "sys/net/stream.h"

/* The report is made only for a request that is right; a wrong one gets its status without that
 * work. */
static int answer_scrape(void *ctx, struct pv_view asked, pv_ns now, char **ret_text,
                         size_t *ret_len)
{
    struct pv_metricsock *s = ctx;
    struct pv_scrape scrape;
    char *page = NULL;
    size_t len = 0;
    int r = pv_scrape_parse(asked, s->local, &scrape);
    if (r < 0)
        return r;
    if (scrape.status == 200) {
        json_t *doc = s->report(s->ctx, now);
        r = doc == NULL ? PV_ERR_NOMEM : pv_report_metrics(doc, &page, &len);
        json_decref(doc);
    }
    if (r == PV_OK)
        r = pv_scrape_answer(&scrape, pv_view(page, len), PV_METRICS_CONTENT_TYPE, ret_text,
                             ret_len);
    free(page);
    return r;
}

/* Whether it listens for this machine only decides which Host names it accepts: a web page must not
 * read it by a name of its own (DNS rebinding). */
int pv_metricsock_open(struct pv_metricsock *s, struct pv_loop *loop, const struct pv_addr *addr)
{
    struct pv_oneshot_config cfg = {.fd = -1, .answer = answer_scrape, .ctx = s};
    if (addr->family == PV_AF_NONE)
        return PV_OK;
    s->local = pv_addr_is_loopback(addr);
    int r = pv_stream_listen(addr, NULL, &cfg.fd);
    return r < 0 ? r : pv_oneshot_new(&s->oneshot, loop, &cfg);
}

pv_ns pv_metricsock_handle_timeout(struct pv_metricsock *s, pv_ns now)
{
    pv_oneshot_handle_timeout(s->oneshot, now);
    return pv_oneshot_next_timeout(s->oneshot);
}

void pv_metricsock_done(struct pv_metricsock *s)
{
    s->oneshot = pv_oneshot_free(s->oneshot);
}
