/* SPDX-License-Identifier: MIT */
/* The log of a network at its coordinator, as members see it: statements that are ordered, entries
 * that are fetched, a database that was put back. */
#include "coord_world.h"
#include "proto/roster/netlog.h"

enum {
    RAW_MAX = PV_CTL_ENTRY_MAX,
    MEMBERS_MAX = 64,
};

static uint8_t raws[MEMBERS_MAX][RAW_MAX];
static size_t n_raws;

/* Signs a statement; the bytes stay until the next test. */
static struct pv_view sign(const struct cw *w, struct pv_logst st, const uint8_t *sk)
{
    uint8_t *raw = raws[n_raws++ % MEMBERS_MAX];
    size_t len = 0;
    memcpy(st.network_id, w->created.network_id, sizeof(st.network_id));
    st.made = CW_WALL + n_raws;
    assert_ok(pv_logst_make(&st, sk, NULL, raw, RAW_MAX, &len));
    return pv_view(raw, len);
}

/* Root names the coordinator, from the beginning of the log on. */
static struct pv_view first_move(const struct cw *w)
{
    static const struct pv_hostport addr = {.host = "coord.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_logst st = {.type = PV_LOGST_COORDINATORS, .number = 1, .time = CW_WALL};
    pv_coordlist_put(&lw, w->coordinator.pk, &addr, 1);
    st.list = pv_view(list, lw.len);
    pv_statement_hash(pv_made_view(&w->created.network), st.about);
    return sign(w, st, w->root.sk);
}

static struct pv_view grant(const struct cw *w, const struct cw_node *to)
{
    struct pv_logst st = {.type = PV_LOGST_GRANT, .flags = PV_GRANT_INVITE | PV_GRANT_REMOVE};
    memcpy(st.about, to->id.pk, sizeof(st.about));
    return sign(w, st, w->root.sk);
}

static struct pv_netlog *netlog(const struct cw *w)
{
    struct pv_fold_config cfg = {.own_max = PV_FOLD_OWN_MAX, .rng = &w->rng};
    struct pv_statement record;
    struct pv_netlog *log = NULL;
    assert_ok(pv_statement_decode(pv_made_view(&w->created.network), &record));
    cfg.range = record.u.network.range;
    memcpy(cfg.network_id, w->created.network_id, sizeof(cfg.network_id));
    memcpy(cfg.root, w->root.pk, sizeof(cfg.root));
    assert_ok(pv_netlog_new(&cfg, record.hash, &log));
    return log;
}

static struct pv_ctl_msg submit_msg(const struct pv_view *statements, size_t n)
{
    return (struct pv_ctl_msg){.type = PV_CTL_SUBMIT,
                               .u.submit = {.n = n, .statements = statements}};
}

/* Submits one statement; what became of it. */
static uint32_t submit(struct cw *w, struct cw_client *c, struct pv_view statement)
{
    uint64_t id = cw_send(c, submit_msg(&statement, 1));
    cw_pump(w);
    cw_sleep(w, 1);
    return cw_answer(c, id, PV_CTL_DECIDED)->u.decided.whys[0];
}

static struct pv_ctl_entries ask(struct cw *w, struct cw_client *c, const struct pv_netlog *log)
{
    struct pv_ctl_msg m = {.type = PV_CTL_LOG, .u.log = {.n = pv_netlog_n(log)}};
    memcpy(m.u.log.hash, pv_netlog_hash(log, m.u.log.n), sizeof(m.u.log.hash));
    return cw_ask(w, c, m, PV_CTL_ENTRIES)->u.entries;
}

/* Fetches everything; the log of who follows. */
static void fetch(struct cw *w, struct cw_client *c, struct pv_netlog *log)
{
    struct pv_ctl_entries e = ask(w, c, log);
    struct pv_netlog_piece piece = {
        .first = e.first, .entries = e.entries, .n = e.n, .head = e.head};
    assert_true(e.last == e.first + e.n - 1);
    if (e.n > 0)
        assert_ok(pv_netlog_take(log, &piece));
}

static void give(struct cw *w, struct cw_client *c, const struct pv_netlog *log, uint64_t first,
                 uint64_t last)
{
    struct pv_view views[8];
    struct pv_ctl_msg m = {.type = PV_CTL_ENTRIES};
    for (uint64_t n = first; n <= last; n++)
        views[n - first] = pv_netlog_entry(log, n);
    m.u.entries = (struct pv_ctl_entries){
        .first = first, .last = pv_netlog_n(log), .n = last - first + 1, .entries = views};
    if (last == pv_netlog_n(log))
        m.u.entries.head = pv_netlog_head(log);
    cw_ask_ok(w, c, m, PV_CTL_DONE);
}

PV_TEST(statements_are_ordered_and_every_member_gets_them)
{
    struct cw *w = cw_home(1);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct cw_client *b = cw_member(w, &bob);
    struct pv_netlog *log = netlog(w);
    struct pv_view move = first_move(w), to_alice = grant(w, &w->alice);
    assert_int_equal(submit(w, alice, move), PV_WHY_ALLOWED);
    assert_int_equal(submit(w, alice, to_alice), PV_WHY_ALLOWED);
    assert_int_equal(submit(w, b, to_alice), PV_WHY_ALLOWED);
    /* An admin names the grant by which it says something; bob has none. */
    struct pv_logst st = {.type = PV_LOGST_REMOVE};
    memcpy(st.about, w->alice.id.pk, sizeof(st.about));
    assert_int_equal(submit(w, b, sign(w, st, bob.id.sk)), PV_WHY_RIGHT);
    cw_sleep(w, PV_S(1));
    struct pv_ctl_msg *news = cw_told(b, PV_CTL_ENTRIES);
    assert_true(news->u.entries.last == 1);
    assert_true(cw_told(b, PV_CTL_ENTRIES)->u.entries.last == 2);
    fetch(w, b, log);
    assert_true(pv_netlog_n(log) == 2);
    assert_int_equal(pv_netlog_head(log).len, PV_HEAD_LEN);
    assert_true(pv_fold_in_office(pv_netlog_state(log), w->alice.id.pk,
                                  pv_fold_key(pv_netlog_state(log), w->alice.id.pk)->grants->hash,
                                  PV_GRANT_INVITE));
    pv_netlog_free(log);
}

PV_TEST(a_store_that_fails_is_told_and_loses_nothing)
{
    struct cw *w = cw_home(2);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct pv_netlog *log = netlog(w);
    assert_int_equal(submit(w, alice, first_move(w)), PV_WHY_ALLOWED);
    struct pv_view st = grant(w, &w->alice);
    w->fail_status = PV_ERR_CLOSED;
    assert_int_equal(submit(w, alice, st), PV_CTL_NOT_STORED);
    fetch(w, alice, log);
    assert_true(pv_netlog_n(log) == 1); /* nobody sees it */
    w->fail_status = 0;
    cw_sleep(w, PV_S(2));
    assert_int_equal(submit(w, alice, st), PV_WHY_ALLOWED);
    fetch(w, alice, log);
    assert_true(pv_netlog_n(log) == 2);
    pv_netlog_free(log);
}

/* The database of last week is put back. Whoever has the longer log is asked for it, in as many
 * messages as it likes; until then nothing is ordered. */
PV_TEST(a_coordinator_from_an_old_backup_takes_the_longer_log)
{
    struct cw *w = cw_home(3);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct pv_netlog *log = netlog(w);
    assert_int_equal(submit(w, alice, first_move(w)), PV_WHY_ALLOWED);
    size_t old = w->n_rows;
    for (int i = 0; i < 4; i++)
        assert_int_equal(submit(w, alice, grant(w, &w->alice)), PV_WHY_ALLOWED);
    fetch(w, alice, log);
    assert_true(pv_netlog_n(log) == 5);
    while (w->n_rows > old)
        pv_storeop_free(w->rows[--w->n_rows]);
    cw_restart(w);
    alice = cw_member(w, &w->alice);
    struct pv_view st = grant(w, &w->alice);
    cw_ask_error(w, alice, submit_msg(&st, 1), PV_CTL_E_STORAGE);
    assert_true(ask(w, alice, log).last == 1);
    give(w, alice, log, 2, 3);
    give(w, alice, log, 4, 5);
    assert_true(ask(w, alice, log).last == 5);
    assert_int_equal(submit(w, alice, st), PV_WHY_ALLOWED);
    fetch(w, alice, log);
    assert_true(pv_netlog_n(log) == 6);
    /* It is stored as well. */
    cw_restart(w);
    alice = cw_member(w, &w->alice);
    assert_true(ask(w, alice, log).last == 6);
    pv_netlog_free(log);
}

/* What does not go on from the log is refused, and so are entries that nobody signed. */
PV_TEST(entries_that_do_not_follow_are_refused)
{
    struct cw *w = cw_home(4);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct pv_netlog *log = netlog(w);
    assert_int_equal(submit(w, alice, first_move(w)), PV_WHY_ALLOWED);
    assert_int_equal(submit(w, alice, grant(w, &w->alice)), PV_WHY_ALLOWED);
    fetch(w, alice, log);
    struct pv_view entry = pv_netlog_entry(log, 2);
    struct pv_ctl_msg m = {.type = PV_CTL_ENTRIES,
                           .u.entries = {.first = 9, .last = 9, .n = 1, .entries = &entry}};
    cw_ask_error(w, alice, m, PV_CTL_E_NOT_ALLOWED);
    m.u.entries.first = m.u.entries.last = 1;
    cw_ask_error(w, alice, m, PV_CTL_E_BAD_SIGNATURE);
    m.u.entries.first = m.u.entries.last = 2;
    cw_ask_error(w, alice, m, PV_CTL_E_BAD_SIGNATURE); /* it has no head */
    pv_netlog_free(log);
}
