/* SPDX-License-Identifier: MIT */
/* The lease is one row, and each coordinator has one; the functions that change them are in
 * pg.sql. */
#include "coordinator/store/pg/pg_lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "coordinator/store/pg/pg_schema.h"
#include "coordinator/store/statements.sql.h"
#include "sys/proc/clock.h"

enum {
    WAIT_MS = 2000, /* without a sign of the database: it is away */
};

struct pv_pg_lease {
    struct pv_pg_lease_config cfg;
    struct pv_pg *pg;
    int64_t fence;
    uint64_t epoch;
    pv_ns since;  /* of this connection */
    int64_t lost; /* homes that others took, as it was told last */
    bool listed;  /* it was told all on this connection */
};

/* A coordinator that joins keeps others from taking a lease, and none from renewing: ROW EXCLUSIVE
 * conflicts with the mode of take_lease(), and not with itself. */
static const char join_table[] = "LOCK TABLE p2pvpn.coordinators IN ROW EXCLUSIVE MODE";

static const struct pv_pg_statement statements[] = {
    {"belong", "INSERT INTO p2pvpn.installation(pk) VALUES($1) ON CONFLICT DO NOTHING"},
    {"owner", "SELECT pk FROM p2pvpn.installation"},
    {"take", "SELECT got, other FROM p2pvpn.take_lease($1, $2, $3, $4)"},
    {"release", "SELECT p2pvpn.release_lease($1, $2)"},
    /* take_lease() locks the table, which nobody shall wait behind while there are coordinators. */
    {"living", "SELECT NULL::bigint, name FROM p2pvpn.coordinators"
               " WHERE until > clock_timestamp() ORDER BY id LIMIT 1"},
    {"join table", join_table},
    {"join", pv_join_row_sql},
    {"stay", "SELECT got, living, few FROM p2pvpn.renew_member($1, $2, $3, $4)"},
    {"clock", "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"},
    {"mine", "SELECT network, fence FROM p2pvpn.homes WHERE holder = $1"},
    {"leave", "SELECT p2pvpn.leave_cluster($1)"},
};

int pv_pg_lease_new(struct pv_pg_lease **ret_lease, const struct pv_pg_lease_config *cfg,
                    char ret_error[static PV_PG_ERROR_MAX])
{
    const struct pv_pg_config pg = {.conninfo = cfg->conninfo,
                                    .who = "p2pvpn-coordinator lease",
                                    .wait = PV_MS(WAIT_MS),
                                    .statements = statements,
                                    .n_statements = PV_ARRAY_LEN(statements)};
    struct pv_pg_lease *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        snprintf(ret_error, PV_PG_ERROR_MAX, "open the database: out of memory");
        return PV_ERR_NOMEM;
    }
    l->cfg = *cfg;
    int r = pv_pg_new(&l->pg, &pg, ret_error);
    if (r < 0)
        free(l);
    else
        *ret_lease = l;
    return r;
}

struct pv_pg_lease *pv_pg_lease_free(struct pv_pg_lease *l)
{
    if (l != NULL)
        pv_pg_free(l->pg);
    free(l);
    return NULL;
}

int64_t pv_pg_lease_fence(const struct pv_pg_lease *l)
{
    return l->fence;
}

uint64_t pv_pg_lease_epoch(const struct pv_pg_lease *l)
{
    return l->epoch;
}

/* --- asking ---------------------------------------------------------------------------------- */

/* The answer to one question. */
struct answer {
    bool got; /* fence is ours */
    int64_t fence;
    int64_t second, third; /* epoch is the third; how many live, and the fewest homes */
    bool has_third;
    char *other; /* NULL: not wanted */
    uint8_t pk[PV_SIGN_PK_LEN];
    bool has_pk;
};

/* The first column is the number that is ours, or NULL; take and join also say who has it. */
static void take_lease_row(void *ctx, size_t i, PGresult *res)
{
    struct answer *a = ctx;
    if (PQntuples(res) != 1)
        return;
    a->got = !PQgetisnull(res, 0, 0);
    a->fence = pv_pg_get_int(res, 0, 0);
    if (PQnfields(res) > 2) {
        a->second = pv_pg_get_int(res, 0, 1);
        a->third = pv_pg_get_int(res, 0, 2);
        a->has_third = !PQgetisnull(res, 0, 2);
    }
    if (a->other != NULL && PQnfields(res) > 1)
        pv_pg_get_text(res, 0, 1, a->other, PV_PG_NAME_MAX);
}

static void take_owner(void *ctx, size_t i, PGresult *res)
{
    struct answer *a = ctx;
    if (i != 1 || PQntuples(res) != 1)
        return;
    struct pv_view pk = pv_pg_get_bytes(res, 0, 0);
    a->has_pk = pk.len == sizeof(a->pk);
    if (a->has_pk)
        memcpy(a->pk, pk.ptr, pk.len);
}

/* One statement, in a transaction of its own. */
static int ask(struct pv_pg_lease *l, const char *statement, const struct pv_pg_value *values,
               size_t n_values, struct answer *a, char ret_error[static PV_PG_ERROR_MAX])
{
    int r = pv_pg_begin(l->pg, ret_error);
    if (r < 0)
        return r;
    pv_pg_send(l->pg, statement, values, n_values);
    return pv_pg_finish(l->pg, take_lease_row, a, ret_error);
}

/* The first coordinator writes its key into the database, the others must have the same: nodes know
 * all of them by it. */
static int check_owner(struct pv_pg_lease *l, char ret_error[static PV_PG_ERROR_MAX])
{
    const struct pv_pg_value v[] = {pv_pg_bytes(l->cfg.pk, sizeof(l->cfg.pk))};
    struct answer a = {.has_pk = false};
    int r = pv_pg_begin(l->pg, ret_error);
    if (r < 0)
        return r;
    pv_pg_send(l->pg, "belong", v, PV_ARRAY_LEN(v));
    pv_pg_send(l->pg, "owner", NULL, 0);
    r = pv_pg_finish(l->pg, take_owner, &a, ret_error);
    if (r < 0 || (a.has_pk && memcmp(a.pk, l->cfg.pk, sizeof(a.pk)) == 0))
        return r;
    snprintf(ret_error, PV_PG_ERROR_MAX,
             "the database belongs to coordinators with another key: copy coordinator.key and "
             "create.key from the state directory of one of them, or name another database");
    return PV_ERR_EXISTS;
}

/* Each new connection looks at the schema and the owner again: the database may be another one than
 * before, such as a standby that was promoted or a backup that was restored. */
static int get_ready(struct pv_pg_lease *l, char ret_error[static PV_PG_ERROR_MAX])
{
    if (pv_pg_is_connected(l->pg))
        return PV_OK;
    int r = pv_pg_connect(l->pg, ret_error);
    if (r == PV_OK)
        r = pv_pg_make_schema(l->pg, ret_error);
    if (r == PV_OK)
        r = pv_pg_prepare(l->pg, ret_error);
    if (r == PV_OK)
        r = check_owner(l, ret_error);
    if (r < 0)
        pv_pg_disconnect(l->pg);
    l->since = pv_clock_now();
    l->listed = false;
    return r;
}

/* --- one of several ------------------------------------------------------------------------ */

/* The number and the epoch are new with each start: nothing of a former self is taken for ours. */
static int join(struct pv_pg_lease *l, char ret_other[static PV_PG_NAME_MAX],
                char ret_error[static PV_PG_ERROR_MAX])
{
    struct answer a = {.other = ret_other};
    const struct pv_pg_value v[] = {pv_pg_bytes(l->cfg.holder, sizeof(l->cfg.holder)),
                                    pv_pg_text(l->cfg.name), pv_pg_text(l->cfg.addrs),
                                    pv_pg_int(PV_PG_LEASE_MS)};
    int r = pv_pg_begin(l->pg, ret_error);
    if (r < 0)
        return r;
    pv_pg_send(l->pg, "join table", NULL, 0);
    pv_pg_send(l->pg, "join", v, PV_ARRAY_LEN(v));
    r = pv_pg_finish(l->pg, take_lease_row, &a, ret_error);
    if (r < 0)
        return r;
    if (!a.got)
        return PV_ERR_AGAIN;
    l->fence = a.fence;
    l->epoch = (uint64_t)a.third;
    return PV_OK;
}

/* Without memory for the list it is asked for again with the next renewal. */
static void take_home(void *ctx, size_t i, PGresult *res)
{
    struct pv_pg_renewal *re = ctx;
    size_t n = (size_t)PQntuples(res);
    re->list = calloc(n + 1, sizeof(*re->list));
    re->has_list = re->list != NULL;
    for (size_t at = 0; re->has_list && at < n; at++) {
        struct pv_view network = pv_pg_get_bytes(res, (int)at, 0);
        if (network.len != sizeof(re->list->network))
            continue;
        memcpy(re->list[re->n].network, network.ptr, network.len);
        re->list[re->n++].fence = pv_pg_get_int(res, (int)at, 1);
    }
}

/* The answer to a renewal. */
struct stayed {
    struct answer a;
    struct pv_pg_renewal *re;
};

static void take_stay(void *ctx, size_t i, PGresult *res)
{
    struct stayed *st = ctx;
    struct pv_pg_renewal *re = st->re;
    if (i == 0) {
        take_lease_row(&st->a, i, res);
        return;
    }
    re->wall_us = PQntuples(res) == 1 ? (uint64_t)pv_pg_get_int(res, 0, 0) : 0;
    re->wall_at = pv_clock_now();
}

static int renew_row(struct pv_pg_lease *l, struct stayed *st,
                     char ret_error[static PV_PG_ERROR_MAX])
{
    struct pv_pg_renewal *re = st->re;
    const struct pv_pg_value stay[] = {pv_pg_int(l->fence), pv_pg_int(PV_PG_LEASE_MS),
                                       pv_pg_int((int64_t)re->homes),
                                       pv_pg_int(re->draining ? 1 : 0)};
    int r = pv_pg_begin(l->pg, ret_error);
    if (r < 0)
        return r;
    pv_pg_send(l->pg, "stay", stay, PV_ARRAY_LEN(stay));
    pv_pg_send(l->pg, "clock", NULL, 0);
    return pv_pg_finish(l->pg, take_stay, st, ret_error);
}

/* All homes are listed only after some were taken, or when it may have missed that: a large
 * coordinator has thousands. */
int pv_pg_lease_renew(struct pv_pg_lease *l, struct pv_pg_renewal *re,
                      char ret_error[static PV_PG_ERROR_MAX])
{
    struct stayed st = {.re = re};
    const struct answer *a = &st.a;
    const struct pv_pg_value me = pv_pg_int(l->fence);
    int r = get_ready(l, ret_error);
    if (r == PV_OK)
        r = renew_row(l, &st, ret_error);
    if (r < 0)
        return r;
    if (!a->got) {
        snprintf(ret_error, PV_PG_ERROR_MAX,
                 "another coordinator has taken this one's place in the database");
        return PV_ERR_REFUSED;
    }
    re->living = (uint64_t)a->second;
    re->few = a->has_third ? (uint64_t)a->third : UINT64_MAX;
    if (l->listed && a->fence == l->lost && !re->again)
        return PV_OK;
    r = pv_pg_begin(l->pg, ret_error);
    if (r < 0)
        return r;
    pv_pg_send(l->pg, "mine", &me, 1);
    r = pv_pg_finish(l->pg, take_home, re, ret_error);
    if (r == PV_OK && re->has_list) {
        l->listed = true;
        re->again = false;
        l->lost = a->fence;
    }
    return r;
}

/* --- for both ------------------------------------------------------------------------------- */

int pv_pg_lease_take(struct pv_pg_lease *l, char ret_other[static PV_PG_NAME_MAX],
                     char ret_error[static PV_PG_ERROR_MAX])
{
    struct answer a = {.other = ret_other};
    ret_other[0] = '\0';
    int r = get_ready(l, ret_error);
    if (r == PV_OK && l->cfg.shared)
        return join(l, ret_other, ret_error);
    bool patient = r == PV_OK && pv_clock_now() - l->since >= PV_MS(PV_PG_LEASE_MS);
    const struct pv_pg_value v[] = {pv_pg_bytes(l->cfg.holder, sizeof(l->cfg.holder)),
                                    pv_pg_text(l->cfg.name), pv_pg_int(PV_PG_LEASE_MS),
                                    pv_pg_int(patient ? 1 : 0)};
    if (r == PV_OK)
        r = ask(l, "living", NULL, 0, &a, ret_error);
    if (r == PV_OK && ret_other[0] == '\0')
        r = ask(l, "take", v, PV_ARRAY_LEN(v), &a, ret_error);
    if (r < 0)
        return r;
    if (!a.got)
        return PV_ERR_AGAIN;
    l->fence = a.fence;
    return PV_OK;
}

/* Without it the others wait until the lease is over, so a failure costs seconds and no more. */
void pv_pg_lease_release(struct pv_pg_lease *l)
{
    const struct pv_pg_value v[] = {pv_pg_bytes(l->cfg.holder, sizeof(l->cfg.holder)),
                                    pv_pg_int(l->fence)};
    struct answer a = {.got = false};
    char error[PV_PG_ERROR_MAX];
    if (get_ready(l, error) < 0)
        return;
    if (l->cfg.shared)
        (void)!ask(l, "leave", &v[1], 1, &a, error);
    else
        (void)!ask(l, "release", v, PV_ARRAY_LEN(v), &a, error);
}
