/* SPDX-License-Identifier: MIT */
/* `p2pvpn-coordinator web`: the page of the running coordinator for this user's browser. Each of
 * its questions is answered by what `status`, `networks` or `homes` prints (docs/adr/0093). */
#include <errno.h>
#include <stdio.h>

#include "coordinator/commands.h"
#include "coordinator/core/report.h"
#include "coordinator/ctlsock.h"
#include "web/host/webhost.h"

struct page {
    const struct pv_coordset *set;
    struct pv_webhost host;
    bool is_later; /* a link was shown before */
};

static void answer(void *ctx, char what)
{
    const struct page *p = ctx;
    struct pv_coordset set = *p->set;
    set.json = true;
    set.names = true; /* the page is the operator's */
    set.action = what == PV_WEBLINK_ASK_HOMES ? PV_COORDSET_HOMES : PV_COORDSET_NETWORKS;
    if (what != PV_WEBLINK_ASK_STATUS)
        (void)pv_coord_command(&set);
    else
        (void)pv_coord_status(&set);
}

static int show_link(void *ctx, const char *link)
{
    struct page *p = ctx;
    const char *path = p->host.gate.path;
    if (p->set->json) {
        (void)pv_coord_print_json(json_pack("{s:i, s:s, s:s?}", "version", PV_REPORT_VERSION,
                                            "link", link, "socket", path));
    } else {
        if (path != NULL && !p->is_later)
            fprintf(
                stderr,
                "p2pvpn-coordinator: the page is at %s: lead a port of where your browser is to "
                "it (ssh -o ExitOnForwardFailure=yes -L 127.0.0.1:%u:PATH)\n",
                path, p->host.port);
        fprintf(stderr, "p2pvpn-coordinator: %s\n",
                p->is_later ? "that link was used; one for another browser:"
                            : "open this in your browser; it works once:");
        printf("%s\n", link);
    }
    p->is_later = true;
    return fflush(stdout) == 0 ? PV_OK : PV_ERR_CLOSED;
}

/* A page of one who may ask nothing would say so in each of its places. One of a coordinator that
 * does not run shows that, and goes on when it does. */
static bool may_ask(const struct pv_coordset *set)
{
    char why[PV_COORDSET_ERROR_MAX];
    json_t *doc = NULL;
    int r = pv_ctlsock_ask(set->state, NULL, &doc, why, sizeof(why));
    json_decref(doc);
    if (r == -EACCES)
        (void)pv_coord_print_error(why);
    return r != -EACCES;
}

int pv_coord_web(const struct pv_coordset *set)
{
    char why[PV_GATE_WHY];
    struct page p = {
        .set = set,
        .host = {.page = PV_WEBLINK_COORDINATOR, .answer = answer, .show = show_link, .ctx = &p}};
    if (!may_ask(set))
        return PV_COORDEXIT_PERMISSION;
    int r = pv_webhost_open(&p.host, set->operand, why);
    int code = r == PV_ERR_MALFORMED ? PV_COORDEXIT_USAGE
               : r == -EACCES        ? PV_COORDEXIT_PERMISSION
                                     : PV_COORDEXIT_FAILED;
    if (r == PV_OK)
        r = pv_webhost_run(&p.host, why);
    if (r == PV_OK)
        return PV_COORDEXIT_DONE;
    (void)pv_coord_print_error(why);
    return code;
}
