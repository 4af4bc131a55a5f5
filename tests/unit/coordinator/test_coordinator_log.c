/* SPDX-License-Identifier: MIT */
/* The log of a network at real coordinators: one whose database is put back from a backup, and two
 * on one PostgreSQL database, each of which is killed in turn. */
#include "coordinator/keys.h"
#include "crypto/dh.h"
#include "proto/roster/netlog.h"
#include "sys/net/stream.h"
#include "tests/unit/coordinator/coord_run.h"
#include "tests/unit/coordinator/core/coord_world.h"
#include "tests/unit/coordinator/store/pg_program.h"

static struct cw *w; /* makes statements; its coordinator never starts */
static char config[96];
static struct pv_netlog *kept; /* as the member keeps it */

static int setup_keys(void **state)
{
    char error[PV_COORDKEYS_ERROR_MAX] = "";
    struct pv_coordkeys keys;
    if (setup(state) < 0)
        return -1;
    struct program url = START("url", "--public", "127.0.0.1");
    assert_int_equal(finish(&url), 0);
    assert_ok(pv_coordkeys_read(PV_STR("%s/s", dir), &keys, error));
    w = cw_new(1);
    memcpy(w->coordinator.sk, keys.sk, sizeof(keys.sk));
    memcpy(w->coordinator.pk, keys.pk, sizeof(keys.pk));
    assert_ok(pv_sign_pk_to_dh(keys.pk, w->coordinator_dh));
    memcpy(w->secret, keys.secret, sizeof(keys.secret));
    cw_make_network(w);
    snprintf(config, sizeof(config), "%s/conf", dir);
    return 0;
}

static int end(void **state)
{
    kept = pv_netlog_free(kept);
    if (server.pid != 0)
        pg_server_stop(&server, SIGQUIT);
    (void)teardown(state);
    return test_teardown(state);
}

PV_TEST_WORLD(setup_keys, end);

/* --- a member -------------------------------------------------------------------------------- */

struct link {
    struct cw_client c;
    int fd;
};

static void link_close(struct link *l)
{
    close(l->fd);
    cw_client_forget(&l->c);
    pv_control_free(l->c.control);
}

/* Moves bytes until there is an answer to request id (0: until the handshake is done). False: the
 * coordinator closed it. */
static bool move_bytes(struct link *l, uint64_t id)
{
    static uint8_t bytes[65536];
    struct pv_view view, out;
    for (;;) {
        size_t n = 0, used = 0;
        if (id == 0 && pv_control_state(l->c.control) == PV_CONTROL_READY)
            return true;
        for (size_t i = 0; i < l->c.n_inbox; i++)
            if (id != 0 && l->c.inbox[i]->id == id && l->c.inbox[i]->kind == PV_CTL_ANSWER)
                return true;
        out = pv_control_out(l->c.control);
        if (out.len > 0) {
            wait_for(l->fd, POLLOUT);
            if (pv_stream_write(l->fd, out, &n) < 0)
                return false;
            pv_control_wrote(l->c.control, n);
            continue;
        }
        wait_for(l->fd, POLLIN);
        if (pv_stream_read(l->fd, bytes, sizeof(bytes), &n) < 0)
            return false;
        for (size_t at = 0; at < n; at += used) {
            assert_ok(pv_control_handle_bytes(l->c.control, pv_view(bytes + at, n - at), &used));
            while (pv_control_poll_message(l->c.control, &view) == PV_OK) {
                assert_true(l->c.n_inbox < CW_INBOX);
                assert_ok(pv_ctl_parse(view, &l->c.inbox[l->c.n_inbox++]));
            }
        }
    }
}

/* The answer to a request; NULL: the connection ended. */
static const struct pv_ctl_msg *ask_link(struct link *l, struct pv_ctl_msg msg)
{
    uint64_t id = cw_send(&l->c, msg);
    return move_bytes(l, id) ? cw_take(&l->c, id) : NULL;
}

static bool try_open(struct link *l, const struct pv_addr *at, bool creates)
{
    static const struct pv_stream_bind bind;
    *l = (struct link){.c.next_id = 1};
    assert_ok(
        pv_control_new_client(&l->c.control, w->alice.transport_sk, w->coordinator_dh, &w->rng));
    assert_ok(pv_stream_connect(at, &bind, &l->fd));
    wait_for(l->fd, POLLOUT);
    assert_ok(pv_stream_connected(l->fd));
    if (!move_bytes(l, 0))
        return false;
    const struct pv_ctl_msg *m =
        ask_link(l, cw_hello(&l->c, &w->alice, creates ? NULL : w->created.network_id,
                             creates ? PV_CTL_APPLICANT : PV_CTL_MEMBER));
    return m != NULL && m->type == PV_CTL_WELCOME;
}

/* A coordinator that takes a home over asks the member to come again. */
static struct link open_link(const struct pv_addr *at, bool creates)
{
    struct link l;
    for (int i = 0; i < WAIT_MS / 100; i++) {
        if (try_open(&l, at, creates))
            return l;
        link_close(&l);
        poll(NULL, 0, 100);
    }
    fail_msg("no coordinator lets it in");
    return l;
}

static void create_network(const struct pv_addr *at)
{
    struct pv_ctl_item items[4];
    struct link l = open_link(at, true);
    const struct pv_ctl_msg *m = ask_link(&l, cw_create_msg(w, items));
    assert_non_null(m);
    assert_int_equal(m->type, PV_CTL_RECEIPTS);
    link_close(&l);
    struct pv_fold_config cfg = {.own_max = PV_FOLD_OWN_MAX, .rng = &w->rng};
    struct pv_statement record;
    assert_ok(pv_statement_decode(pv_made_view(&w->created.network), &record));
    cfg.range = record.u.network.range;
    memcpy(cfg.network_id, w->created.network_id, sizeof(cfg.network_id));
    memcpy(cfg.root, w->root.pk, sizeof(cfg.root));
    assert_ok(pv_netlog_new(&cfg, record.hash, &kept));
}

/* --- the log ---------------------------------------------------------------------------------- */

static struct pv_view sign(struct pv_logst st)
{
    static uint8_t raw[PV_LOGST_MAX];
    static uint64_t made;
    size_t len = 0;
    memcpy(st.network_id, w->created.network_id, sizeof(st.network_id));
    st.made = ++made;
    assert_ok(pv_logst_make(&st, w->root.sk, NULL, raw, sizeof(raw), &len));
    return pv_view(raw, len);
}

static struct pv_view first_move(void)
{
    static const struct pv_hostport addr = {.host = "coord.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_logst st = {.type = PV_LOGST_COORDINATORS, .number = 1, .time = CW_WALL};
    pv_coordlist_put(&lw, w->coordinator.pk, &addr, 1);
    st.list = pv_view(list, lw.len);
    memcpy(st.about, pv_netlog_hash(kept, 0), sizeof(st.about));
    return sign(st);
}

static struct pv_view grant(void)
{
    struct pv_logst st = {.type = PV_LOGST_GRANT, .flags = PV_GRANT_REMOVE};
    memcpy(st.about, w->alice.id.pk, sizeof(st.about));
    return sign(st);
}

static const struct pv_ctl_msg *submit(struct link *l, struct pv_view statement)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_SUBMIT, .u.submit = {.n = 1, .statements = &statement}};
    return ask_link(l, msg);
}

static void submit_ok(struct link *l, struct pv_view statement)
{
    const struct pv_ctl_msg *m = submit(l, statement);
    assert_non_null(m);
    assert_int_equal(m->type, PV_CTL_DECIDED);
    assert_int_equal(m->u.decided.whys[0], PV_WHY_ALLOWED);
}

/* Compares logs, and takes what is new; entries of the coordinator's log. */
static uint64_t compare(struct link *l)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_LOG, .u.log.n = pv_netlog_n(kept)};
    memcpy(msg.u.log.hash, pv_netlog_hash(kept, msg.u.log.n), sizeof(msg.u.log.hash));
    const struct pv_ctl_msg *m = ask_link(l, msg);
    assert_non_null(m);
    assert_int_equal(m->type, PV_CTL_ENTRIES);
    const struct pv_ctl_entries *e = &m->u.entries;
    const struct pv_netlog_piece piece = {
        .first = e->first, .entries = e->entries, .n = e->n, .head = e->head};
    assert_true(e->first > 0);
    if (e->n > 0)
        assert_ok(pv_netlog_take(kept, &piece));
    return e->last;
}

static void give(struct link *l, uint64_t behind)
{
    struct pv_view views[16];
    struct pv_ctl_msg msg = {.type = PV_CTL_ENTRIES};
    msg.u.entries = (struct pv_ctl_entries){.first = behind + 1,
                                            .last = pv_netlog_n(kept),
                                            .entries = views,
                                            .head = pv_netlog_head(kept)};
    for (uint64_t n = behind + 1; n <= pv_netlog_n(kept); n++)
        views[msg.u.entries.n++] = pv_netlog_entry(kept, n);
    const struct pv_ctl_msg *m = ask_link(l, msg);
    assert_non_null(m);
    assert_int_equal(m->type, PV_CTL_DONE);
}

/* --- tests ----------------------------------------------------------------------------------- */

/* It has ended in order: there is one file. */
static void copy_database(const char *from, const char *to)
{
    assert_int_equal(system(PV_STR("cp -a '%s/%s' '%s/%s'", dir, from, dir, to)), 0);
}

PV_TEST(a_coordinator_from_an_old_backup_orders_nothing_before_it_has_the_longer_log)
{
    struct program p = start_listening();
    struct pv_addr at = listening(&p);
    create_network(&at);
    struct link l = open_link(&at, false);
    submit_ok(&l, first_move());
    for (int i = 0; i < 3; i++)
        submit_ok(&l, grant());
    link_close(&l);
    assert_int_equal(stop(&p), 0);
    copy_database("s/coordinator.db", "backup");
    p = start_listening();
    at = listening(&p);
    l = open_link(&at, false);
    assert_true(compare(&l) == 4);
    const struct pv_ctl_msg *m = submit(&l, grant()); /* who just came has compared nothing */
    assert_int_equal(m->u.failure.error, PV_CTL_E_STORAGE);
    assert_true(compare(&l) == 4);
    for (int i = 0; i < 4; i++)
        submit_ok(&l, grant());
    assert_true(compare(&l) == 8);
    link_close(&l);
    assert_int_equal(stop(&p), 0);
    copy_database("backup", "s/coordinator.db");
    p = start_listening();
    at = listening(&p);
    l = open_link(&at, false);
    m = submit(&l, grant());
    assert_non_null(m);
    assert_int_equal(m->type, PV_CTL_ERROR);
    assert_int_equal(m->u.failure.error, PV_CTL_E_STORAGE);
    assert_true(compare(&l) == 4);
    give(&l, 4);
    submit_ok(&l, grant());
    assert_true(compare(&l) == 9);
    assert_true(pv_netlog_n(kept) == 9);
    link_close(&l);
    assert_int_equal(stop(&p), 0);
}

/* Each is killed behind its last answer; the other one goes on behind that. */
PV_TEST(each_of_two_on_one_database_is_killed_in_turn)
{
    uint64_t n = 1;
    if (server.pid == 0)
        pg_server_start(&server);
    test_write(config, PV_STR("[store]\npostgres = %s\n", pg_server_conninfo(&server, "postgres")));
    assert_int_equal(system(PV_STR("mv '%s/s' '%s/a' && cp -a '%s/a' '%s/b'", dir, dir, dir, dir)),
                     0);
    const char *states[2] = {PV_STR("%s/a", dir), PV_STR("%s/b", dir)};
    struct program two[2];
    struct pv_addr at[2];
    for (int i = 0; i < 2; i++) {
        two[i] = START("--state", states[i], "--config", config, "--listen", "127.0.0.1:0");
        at[i] = listening(&two[i]);
    }
    create_network(&at[0]);
    struct link l = open_link(&at[0], false);
    submit_ok(&l, first_move());
    for (int turn = 0; turn < 4; turn++) {
        int i = turn % 2;
        assert_true(compare(&l) == n);
        for (int k = 0; k < 5; k++, n++)
            submit_ok(&l, grant());
        kill(two[i].pid, SIGKILL);
        (void)finish(&two[i]);
        link_close(&l);
        l = open_link(&at[1 - i], false);
        assert_true(compare(&l) == n);
        assert_true(pv_netlog_n(kept) == n);
        two[i] = START("--state", states[i], "--config", config, "--listen", "127.0.0.1:0");
        at[i] = listening(&two[i]);
    }
    link_close(&l);
    for (int i = 0; i < 2; i++)
        assert_int_equal(stop(&two[i]), 0);
}
