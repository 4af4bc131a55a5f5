/* SPDX-License-Identifier: MIT */
/* Three lists out of the database, as they are at one moment each. */
#include "coordinator/store/pg/pg_view.h"

#include <stdio.h>
#include <string.h>

#include <libpq-fe.h>

#include "coordinator/store/pg/pg_schema.h"

enum {
    WAIT_S = 5, /* without a sign of the database */
};

static const struct pv_pg_statement statements[] = {
    {"coordinators", "SELECT c.name, c.addrs, (c.until > clock_timestamp())::int::bigint,"
                     " c.draining::int::bigint, (SELECT count(*) FROM p2pvpn.homes h"
                     "  WHERE h.holder = c.id) FROM p2pvpn.coordinators c ORDER BY c.name, c.id"},
    {"homes", "SELECT h.network, coalesce(c.name, ''),"
              " coalesce(c.until > clock_timestamp(), false)::int::bigint, h.loaded::int::bigint,"
              " extract(epoch FROM h.since)::bigint, h.why FROM p2pvpn.homes h"
              " LEFT JOIN p2pvpn.coordinators c ON c.id = h.holder ORDER BY h.network"},
    {"copies", "SELECT network, bytes FROM p2pvpn.mail_use"},
};

/* Rows come one by one, so that a list of any length needs no memory here. */
static int take_coordinator(void *ctx, PGresult *res)
{
    const struct pv_pgview *view = ctx;
    struct pv_pgview_coordinator c = {.living = pv_pg_get_int(res, 0, 2) != 0,
                                      .draining = pv_pg_get_int(res, 0, 3) != 0,
                                      .homes = (uint64_t)pv_pg_get_int(res, 0, 4)};
    pv_pg_get_text(res, 0, 0, c.name, sizeof(c.name));
    pv_pg_get_text(res, 0, 1, c.addrs, sizeof(c.addrs));
    view->coordinator(view->ctx, &c);
    return PV_OK;
}

/* A row of another form is not ours to show. */
static int take_home(void *ctx, PGresult *res)
{
    const struct pv_pgview *view = ctx;
    struct pv_pgview_home h = {.living = pv_pg_get_int(res, 0, 2) != 0,
                               .loaded = pv_pg_get_int(res, 0, 3) != 0,
                               .since_s = (uint64_t)pv_pg_get_int(res, 0, 4)};
    struct pv_view network = pv_pg_get_bytes(res, 0, 0);
    if (network.len != sizeof(h.network))
        return PV_OK;
    memcpy(h.network, network.ptr, network.len);
    pv_pg_get_text(res, 0, 1, h.name, sizeof(h.name));
    pv_pg_get_text(res, 0, 5, h.why, sizeof(h.why));
    view->home(view->ctx, &h);
    return PV_OK;
}

static int take_copies(void *ctx, PGresult *res)
{
    const struct pv_pgview *view = ctx;
    struct pv_view network = pv_pg_get_bytes(res, 0, 0);
    if (network.len == PV_NETWORK_ID_LEN)
        view->copies(view->ctx, network.ptr, (uint64_t)pv_pg_get_int(res, 0, 1));
    return PV_OK;
}

int pv_pgview_read(const char *conninfo, const struct pv_pgview *view,
                   char ret_error[static PV_PG_ERROR_MAX])
{
    const struct pv_pg_config cfg = {.conninfo = conninfo,
                                     .who = "p2pvpn-coordinator",
                                     .wait = PV_S(WAIT_S),
                                     .statements = statements,
                                     .n_statements = PV_ARRAY_LEN(statements)};
    struct pv_pg *pg = NULL;
    int r = pv_pg_new(&pg, &cfg, ret_error);
    if (r < 0)
        return r;
    r = pv_pg_connect(pg, ret_error);
    if (r == PV_OK)
        r = pv_pg_check_schema(pg, ret_error);
    if (r == PV_OK)
        r = pv_pg_prepare(pg, ret_error);
    if (r == PV_OK && view->coordinator != NULL)
        r = pv_pg_each(pg, "coordinators", take_coordinator, (void *)(uintptr_t)view, ret_error);
    if (r == PV_OK && view->home != NULL)
        r = pv_pg_each(pg, "homes", take_home, (void *)(uintptr_t)view, ret_error);
    if (r == PV_OK && view->copies != NULL)
        r = pv_pg_each(pg, "copies", take_copies, (void *)(uintptr_t)view, ret_error);
    pv_pg_free(pg);
    return r;
}
