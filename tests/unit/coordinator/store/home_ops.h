/* SPDX-License-Identifier: MIT */
/*
 * home_ops.h - two coordinators with one PostgreSQL, `one` and `two`, and what they ask of it: for
 * tests about homes of networks. A test that includes it starts `server`, and runs each test
 * between setup() and teardown().
 */
#pragma once

#include <poll.h>

#include "coordinator/core/member/home.h"
#include "coordinator/store/pg_lease.h"
#include "coordinator/store/store_pg.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/pg_line.h"
#include "tests/unit/coordinator/store/pg_sql.h"
#include "tests/unit/coordinator/store/store_ops.h"

static struct pg_server server;
static const char *user = "postgres"; /* of the database, as those that join have it */

/* A coordinator as the database knows it. */
struct member {
    struct pv_pg_lease *lease;
    struct pv_coordstore *store;
    struct pv_pg_renewal renewal;
};
static struct member one, two;

static inline struct pv_coordstore *open_ok(void)
{
    return one.store;
}

static inline void run_sql(const char *sql)
{
    (void)pg_sql(&server, sql);
}

static inline struct pv_pg_lease *lease_of(uint8_t number, bool shared)
{
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg_lease *l = NULL;
    struct pv_pg_lease_config cfg = {.conninfo = pg_server_conninfo(&server, user),
                                     .pk = {1},
                                     .holder = {number},
                                     .shared = shared};
    snprintf(cfg.name, sizeof(cfg.name), "machine %u", number);
    snprintf(cfg.addrs, sizeof(cfg.addrs), "192.0.2.%u:3478 [2001:db8::%u]:3478", number, number);
    if (pv_pg_lease_new(&l, &cfg, error) != PV_OK)
        fail_msg("%s", error);
    return l;
}

/* The server may be starting still. The store goes by this address. */
static inline struct member join_by(uint8_t number, const char *conninfo)
{
    struct member m = {.lease = lease_of(number, true)};
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    const pv_ns until = pv_clock_now() + PV_S(60);
    int r;
    while ((r = pv_pg_lease_take(m.lease, other, error)) == PV_ERR_CLOSED && pv_clock_now() < until)
        poll(NULL, 0, 50);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    const struct pv_store_pg_config cfg = {.conninfo = conninfo,
                                           .member = pv_pg_lease_fence(m.lease),
                                           .epoch = pv_pg_lease_epoch(m.lease)};
    r = pv_coordstore_open_pg(&m.store, &cfg, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    return m;
}

static inline struct member join(uint8_t number)
{
    return join_by(number, pg_server_conninfo(&server, user));
}

static inline void leave(struct member *m)
{
    pv_coordstore_close(m->store);
    pv_pg_lease_free(m->lease);
    free(m->renewal.list);
    *m = (struct member){.lease = NULL};
}

static inline int renew(struct member *m, uint64_t homes)
{
    char error[PV_PG_ERROR_MAX] = "";
    free(m->renewal.list);
    m->renewal = (struct pv_pg_renewal){.homes = homes};
    return pv_pg_lease_renew(m->lease, &m->renewal, error);
}

static inline int setup(void **state)
{
    list_begin();
    one = join(1);
    two = join(2);
    return 0;
}

static inline int teardown(void **state)
{
    leave(&one);
    leave(&two);
    run_sql("DROP SCHEMA IF EXISTS p2pvpn CASCADE");
    return test_teardown(state);
}

/* --- operations ------------------------------------------------------------------------------ */

static inline struct pv_storeop_result create(struct member *m, uint64_t n)
{
    struct pv_storeop *op = network_op(n);
    op->fresh = true;
    return run(m->store, op);
}

static uint8_t pleader[PV_SIGN_PK_LEN];

/* HOME, LEAVE or DROP; the answer is the caller's. */
static inline struct pv_storeop_result order(struct member *m, enum pv_storeop_kind kind,
                                             bool pleads)
{
    struct pv_storeop_copy what = {.wall_s = 0};
    struct pv_storeop *op = NULL;
    memcpy(what.network, world->created.network_id, sizeof(what.network));
    assert_int_equal(pv_storeop_new_copy(kind, &what, pv_view(NULL, 0), &op), PV_OK);
    op->id = 3;
    op->pleads = pleads;
    memcpy(op->node, pleader, sizeof(op->node));
    return run(m->store, op);
}

static inline struct pv_home_answer *ask(struct member *m, enum pv_storeop_kind kind, bool pleads)
{
    struct pv_storeop_result res = order(m, kind, pleads);
    if (res.status != PV_OK)
        fail_msg("%d %s", res.status, res.error);
    assert_non_null(res.home);
    return res.home;
}

static inline enum pv_home_verdict verdict(struct member *m, bool pleads)
{
    struct pv_home_answer *a = ask(m, PV_STOREOP_HOME, pleads);
    enum pv_home_verdict v = a->verdict;
    pv_home_answer_free(a);
    return v;
}

static inline int put(struct member *m, uint64_t n)
{
    struct cw_node node = cw_node_make(world);
    struct pv_storeop_result res = run(m->store, member_op(&node, n, 0, 100));
    return res.status;
}

/* Somebody else's clock says so. */
static inline void silence(unsigned machine)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "UPDATE p2pvpn.coordinators SET until = clock_timestamp() - interval '1 second'"
             " WHERE name = 'machine %u'",
             machine);
    run_sql(sql);
}

static inline void hex_of(const uint8_t id[static PV_NETWORK_ID_LEN],
                          char ret_hex[static 2 * PV_NETWORK_ID_LEN + 1])
{
    for (size_t i = 0; i < PV_NETWORK_ID_LEN; i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", id[i]);
}

static inline int keep_one(struct member *m)
{
    struct pv_storeop_copy copy = {.from = {2}, .to = {3}, .key = {4}, .wall_s = 1795161600};
    const uint8_t box[] = {7, 8, 9};
    struct pv_storeop *op = NULL;
    memcpy(copy.network, world->created.network_id, sizeof(copy.network));
    assert_int_equal(pv_storeop_new_copy(PV_STOREOP_KEEP, &copy, pv_view(box, sizeof(box)), &op),
                     PV_OK);
    return run(m->store, op).status;
}
