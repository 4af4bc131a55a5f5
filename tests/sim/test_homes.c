/* SPDX-License-Identifier: MIT */
/*
 * test_homes.c - several coordinators with one database, which delays, reorders and fails; they are
 * killed, paused and cut off from it, and their networks wander between them. Real cores and real
 * clients meet by pipes, in virtual time. No statement that was acknowledged may be lost, no token
 * used twice, receipts of a network keep their order in its log, and in the end everybody is at the
 * one home of each network.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/world/homes_world.h"

enum {
    SEEDS = 3, /* PV_SIM_SEEDS sets another number */
};

/* --- coordinators ---------------------------------------------------------------------------- */

static void start_coordinator(struct world *w, struct coordinator *c)
{
    struct pv_coord_config cfg = w->cw->cfg;
    cfg.homes = true;
    assert_int_equal(pv_coord_new(&c->core, &cfg, &w->rng, &w->cw->log), PV_OK);
    c->id = ++w->next_id;
    c->row = c->session = true;
    c->until = w->now + PV_MS(LEASE_MS);
    c->steady = w->now;
    c->lost = c->lost_seen = c->homes = 0;
    c->paused = c->cut = 0;
    pv_coord_set_epoch(c->core, ++w->epoch);
}

static void close_pipe(struct world *w, struct pipe *p)
{
    struct person *who = p->p;
    p->p = NULL;
    if (who != NULL)
        pv_coordclient_closed(who->client, p->sid, PV_ERR_CLOSED, w->now);
}

static void kill_coordinator(struct world *w, unsigned i)
{
    struct coordinator *c = &w->coords[i];
    c->core = pv_coord_free(c->core);
    c->session = false;
    for (; c->n_jobs > 0; c->n_jobs--) {
        free_job(&c->jobs[c->first_job]);
        c->first_job = (c->first_job + 1) % JOBS;
    }
    for (size_t k = 0; k < PIPES; k++)
        if (w->pipes[k].p != NULL && w->pipes[k].c == i)
            close_pipe(w, &w->pipes[k]);
    c->back_at = w->now + PV_MS(500 + draw(w, 8000));
}

/* As store/leasekeep does, twice a second. */
static void renew(struct world *w, struct coordinator *c)
{
    struct pv_coord_home list[NETS];
    size_t n = 0;
    if (w->now < c->renew_at || w->now < c->cut)
        return;
    c->renew_at = w->now + PV_MS(500);
    c->steady = c->until < w->now ? w->now : c->steady;
    c->until = w->now + PV_MS(LEASE_MS);
    c->homes = (int64_t)pv_coord_n_homes(c->core);
    uint64_t few = UINT64_MAX;
    for (unsigned i = 0; i < COORDS; i++) {
        const struct coordinator *o = &w->coords[i];
        if (o != c && o->row && o->until >= w->now && (uint64_t)o->homes < few)
            few = (uint64_t)o->homes;
    }
    pv_coord_balance(c->core, few, w->now);
    if (c->lost == c->lost_seen && !pv_coord_homes_came(c->core))
        return;
    c->lost_seen = c->lost;
    for (unsigned i = 0; i < NETS; i++) {
        if (w->homes[i].holder != c->id)
            continue;
        memcpy(list[n].network, w->nets[i], sizeof(list[n].network));
        list[n++].fence = w->homes[i].fence;
    }
    if (!pv_coord_homes_are(c->core, list, n, w->now, w->now))
        c->lost_seen = -1;
}

static void run_coordinator(struct world *w, unsigned i)
{
    struct coordinator *c = &w->coords[i];
    struct pv_coord_ready ready;
    struct pv_storeop *op = NULL;
    if (c->core == NULL && w->now >= c->back_at)
        start_coordinator(w, c);
    if (c->core == NULL || w->now < c->paused)
        return;
    pv_coord_set_wall(c->core, (CW_WALL + c->clock_off) * UINT64_C(1000000) + w->now / 1000,
                      w->now);
    renew(w, c);
    run_jobs(w, c);
    if (pv_coord_next_timeout(c->core) <= w->now)
        pv_coord_handle_timeout(c->core, w->now);
    pv_coord_idle(c->core, w->now);
    while (pv_coord_poll_ready(c->core, &ready, w->now) == PV_OK) {
        for (size_t k = 0; k < PIPES && ready.kind == PV_COORD_READY_CLOSE; k++)
            if (w->pipes[k].p != NULL && w->pipes[k].c == i && w->pipes[k].conn == ready.id)
                close_pipe(w, &w->pipes[k]);
    }
    while (pv_coord_poll_job(c->core, &op) == PV_OK)
        submit(w, c, op);
    struct pv_relaycore *relay = pv_coord_relay(c->core);
    while (pv_relaycore_step(relay, w->now))
        continue;
    while (!pv_coord_handle_relay(c->core, w->now))
        continue;
}

/* --- pipes ----------------------------------------------------------------------------------- */

static void take_ops(struct world *w, struct person *p)
{
    struct pv_stream_op op;
    while (pv_streams_next_op(&p->streams, &op) == PV_OK) {
        size_t k = 0;
        if (op.type == PV_STREAM_OPEN) {
            while (k < PIPES && w->pipes[k].p != NULL)
                k++;
            assert_true(k < PIPES);
            w->pipes[k] = (struct pipe){
                .p = p, .sid = op.sid, .c = op.addr.ip[3] - 1u, .at = w->now + PV_MS(draw(w, 30))};
            continue;
        }
        while (k < PIPES && (w->pipes[k].p != p || w->pipes[k].sid != op.sid))
            k++;
        if (k == PIPES)
            continue;
        struct coordinator *c = &w->coords[w->pipes[k].c];
        if (w->pipes[k].conn != 0 && c->core != NULL)
            pv_coord_closed(c->core, w->pipes[k].conn, w->now);
        w->pipes[k].p = NULL;
    }
}

/* A coordinator that is paused is connected to by its kernel, and says nothing. */
static void connect_pipe(struct world *w, struct pipe *p)
{
    struct coordinator *c = &w->coords[p->c];
    struct pv_addr from = pv_addr4(198, 51, 100, (uint8_t)(1 + (p->p - w->people)), 40000);
    if (c->core == NULL) {
        struct person *who = p->p;
        p->p = NULL;
        pv_coordclient_closed(who->client, p->sid, -ECONNREFUSED, w->now);
        return;
    }
    p->conn = ++w->next_conn;
    assert_int_equal(pv_coord_accept(c->core, p->conn, &from, w->now), PV_OK);
    pv_coordclient_connected(p->p->client, p->sid);
}

static bool pump(struct world *w, struct pipe *p)
{
    uint8_t bytes[4096];
    struct coordinator *c = &w->coords[p->c];
    bool moved = false;
    if (p->p == NULL || p->conn == 0 || c->core == NULL || w->now < c->paused)
        return false;
    struct pv_view out = pv_coordclient_out(p->p->client, p->sid);
    if (out.len > 0 && pv_coord_wants_bytes(c->core, p->conn)) {
        size_t n = out.len < sizeof(bytes) ? out.len : sizeof(bytes);
        memcpy(bytes, out.ptr, n);
        pv_coordclient_wrote(p->p->client, p->sid, n);
        pv_coord_handle_bytes(c->core, p->conn, pv_view(bytes, n), w->now);
        moved = true;
    }
    out = pv_coord_out(c->core, p->conn);
    if (out.len > 0) {
        size_t n = out.len < sizeof(bytes) ? out.len : sizeof(bytes);
        memcpy(bytes, out.ptr, n);
        pv_coord_wrote(c->core, p->conn, n, w->now);
        pv_coordclient_handle_bytes(p->p->client, p->sid, pv_view(bytes, n), w->now);
        moved = true;
    }
    return moved;
}

/* --- people ---------------------------------------------------------------------------------- */

static void connect_person(struct world *w, struct person *p)
{
    struct pv_coordclient_addr addrs[COORDS];
    struct pv_coordclient_target t = {
        .role = p->role == RIVAL && !p->is_in ? PV_CTL_GUEST : PV_CTL_MEMBER, .has_network = true};
    memcpy(t.coordinator, w->cw->coordinator.pk, sizeof(t.coordinator));
    memcpy(t.network, w->nets[p->net], sizeof(t.network));
    for (unsigned i = 0; i < COORDS; i++)
        addrs[i] =
            (struct pv_coordclient_addr){.addr = pv_addr4(192, 0, 2, (uint8_t)(i + 1), 3478)};
    p->online = false;
    assert_int_equal(pv_coordclient_start(p->client, &t, addrs, COORDS, w->now), PV_OK);
}

/* An admin makes one invite after the other, each a statement of its own. */
static void put_next(struct world *w, struct person *p)
{
    struct cw_keys k = cw_keys_make(w->cw);
    struct pv_st_invite invite = {.not_before = CW_WALL, .not_after = CW_WALL + 86400, .uses = 1};
    memcpy(invite.invite, k.pk, sizeof(invite.invite));
    assert_int_equal(
        pv_make_invite(w->nets[p->net], pv_signer_sk(p->node.id.sk), &invite, &p->made), PV_OK);
    pv_statement_hash(pv_made_view(&p->made), p->hash);
    p->putting = true;
}

static void send_put(struct person *p)
{
    struct pv_ctl_item item = cw_item(pv_made_view(&p->made));
    struct pv_ctl_msg m = {.type = PV_CTL_PUT, .u.put = {.n = 1, .items = &item}};
    (void)!pv_coordclient_request(p->client, &m, 1);
}

static void send_join(struct person *p)
{
    uint8_t hash[PV_CTL_HASH_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_JOIN};
    memcpy(m.u.join.invite, p->invite.pk, PV_SIGN_PK_LEN);
    memcpy(m.u.join.node, p->node.id.pk, PV_SIGN_PK_LEN);
    if (pv_coordclient_handshake_hash(p->client, hash) != PV_OK)
        return;
    assert_int_equal(pv_ctl_join_sign(&m.u.join, hash, p->invite.sk), PV_OK);
    (void)!pv_coordclient_request(p->client, &m, 2);
}

static void send_register(struct world *w, struct person *p, const struct pv_ctl_reservation *r)
{
    struct pv_st_member s = {.serial = r->serial, .issued = CW_WALL};
    memcpy(s.transport, p->node.transport_pk, sizeof(s.transport));
    memcpy(s.ip4, r->ip4, sizeof(s.ip4));
    memcpy(s.ip6, r->ip6, sizeof(s.ip6));
    snprintf(s.name, sizeof(s.name), "%s", r->name);
    assert_int_equal(pv_make_member(w->nets[p->net], p->invite.sk, p->node.id.sk, &s, &p->made),
                     PV_OK);
    struct pv_ctl_msg m = cw_register_msg(&p->made);
    (void)!pv_coordclient_request(p->client, &m, 3);
}

static void ack(struct world *w, const uint8_t *hash)
{
    assert_true(w->n_acked < STATEMENTS);
    memcpy(w->acked[w->n_acked++].hash, hash, PV_STATEMENT_HASH_LEN);
    if (find_row(w, hash) == NULL)
        note_wrong(w, "a statement was acknowledged that is not stored");
}

/* Rivals become members with the answer. A request that failed for the time being is asked
 * again. */
static void take_answer(struct world *w, struct person *p, const struct pv_coordclient_event *ev)
{
    const struct pv_ctl_msg *m = ev->msg;
    enum pv_ctl_error e = m->type == PV_CTL_ERROR ? m->u.failure.error : PV_CTL_E_NONE;
    if (ev->tag == 1) {
        if (m->type == PV_CTL_RECEIPTS && m->u.receipts.results[0].error == PV_CTL_E_NONE) {
            ack(w, p->hash);
            p->putting = false;
        }
    } else if (m->type == PV_CTL_RESERVATION) {
        send_register(w, p, &m->u.reservation);
        return;
    } else if (m->type == PV_CTL_REGISTERED) {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        pv_statement_hash(m->u.registered.item.statement, hash);
        ack(w, hash);
        p->is_in = true;
        connect_person(w, p);
    } else if (e == PV_CTL_E_INVITE_USED) {
        p->refused = true;
        pv_coordclient_stop(p->client);
        p->online = false;
    }
    p->next_at = w->now + PV_MS(200 + draw(w, 800));
}

static void take_events(struct world *w, struct person *p)
{
    struct pv_coordclient_event ev;
    while (pv_fifo_take(&p->events, &ev) == PV_OK) {
        switch (ev.type) {
        case PV_COORDCLIENT_EV_ONLINE:
            p->online = true;
            p->next_at = w->now;
            break;
        case PV_COORDCLIENT_EV_OFFLINE:
            p->online = false;
            break;
        case PV_COORDCLIENT_EV_REFUSED:
            p->online = false;
            if (ev.msg->u.failure.error == PV_CTL_E_UNKNOWN_NETWORK ||
                ev.msg->u.failure.error == PV_CTL_E_UNKNOWN_NODE)
                note_wrong(w, "a coordinator did not know a network or a member");
            break;
        case PV_COORDCLIENT_EV_ANSWER:
            take_answer(w, p, &ev);
            break;
        case PV_COORDCLIENT_EV_AWAY:
        case PV_COORDCLIENT_EV_PUSH:
            break;
        }
        pv_ctl_msg_free(ev.msg);
    }
}

static bool is_admin(const struct world *w, const struct person *p)
{
    return memcmp(p->node.id.pk, w->alice[p->net].id.pk, sizeof(p->node.id.pk)) == 0;
}

static void run_person(struct world *w, struct person *p)
{
    pv_coordclient_handle_timeout(p->client, w->now);
    take_events(w, p);
    take_ops(w, p);
    if (!p->online || w->now < p->next_at)
        return;
    p->next_at = w->now + PV_MS(300 + draw(w, 1500));
    if (p->role == RIVAL && !p->is_in && !p->refused) {
        send_join(p);
    } else if (is_admin(w, p)) {
        if (!p->putting && w->now < w->start + PV_S(TROUBLE_S))
            put_next(w, p);
        if (p->putting)
            send_put(p);
    }
}

/* --- trouble --------------------------------------------------------------------------------- */

static void cause_trouble(struct world *w)
{
    unsigned i = draw(w, COORDS);
    struct coordinator *c = &w->coords[i];
    if (c->core == NULL || draw(w, 250) != 0)
        return;
    switch (draw(w, 6)) {
    case 0:
        kill_coordinator(w, i);
        break;
    case 1:
        c->paused = w->now + PV_MS(500 + draw(w, 9000));
        break;
    case 2:
        c->cut = w->now + PV_MS(500 + draw(w, 9000));
        break;
    case 3:
        pv_coord_drain(c->core, !pv_coord_is_draining(c->core));
        break;
    case 4:
        c->clock_off = draw(w, 1200);
        break;
    default: /* members that come back all of a sudden */
        for (size_t k = 0; k < PIPES; k++)
            if (w->pipes[k].p != NULL && w->pipes[k].c == i && draw(w, 3) == 0) {
                pv_coordclient_moved(w->pipes[k].p->client, w->now);
                w->pipes[k].p->online = false;
            }
        break;
    }
}

static void tick(struct world *w)
{
    bool moved = true;
    w->now += PV_MS(TICK_MS);
    for (unsigned i = 0; i < COORDS; i++)
        run_coordinator(w, i);
    for (unsigned i = 0; i < PEOPLE; i++)
        run_person(w, &w->people[i]);
    for (size_t k = 0; k < PIPES; k++)
        if (w->pipes[k].p != NULL && w->pipes[k].conn == 0 && w->pipes[k].at <= w->now)
            connect_pipe(w, &w->pipes[k]);
    for (int turns = 0; moved && turns < 50; turns++) {
        moved = false;
        for (size_t k = 0; k < PIPES; k++)
            moved |= pump(w, &w->pipes[k]);
        for (unsigned i = 0; moved && i < PEOPLE; i++) {
            take_events(w, &w->people[i]);
            take_ops(w, &w->people[i]);
        }
    }
}

/* --- the end --------------------------------------------------------------------------------- */

static void check_tokens(struct world *w)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        const struct person *p = &w->people[i];
        const struct pv_storerow *own;
        if (p->role != RIVAL)
            continue;
        size_t others = uses_of(w, p->invite.pk, p->node.id.pk, &own);
        if (others + (own != NULL ? 1 : 0) != 1)
            note_wrong(w, "a token was not used once");
        if (p->is_in != (own != NULL) || p->refused == p->is_in)
            note_wrong(w, "a rival was told something else than what is stored");
    }
}

static void check_everybody_at_home(struct world *w)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct person *p = &w->people[i];
        const struct pv_addr *at = pv_coordclient_addr(p->client);
        if (p->refused)
            continue;
        if (!p->online)
            note_wrong(w, "somebody is not online");
        else if (w->coords[at->ip[3] - 1u].id != w->homes[p->net].holder)
            note_wrong(w, "somebody is not at the home of the network");
        if (p->putting)
            note_wrong(w, "a statement was never stored");
    }
}

static void check_kept(struct world *w)
{
    for (size_t i = 0; i < w->n_acked; i++)
        if (find_row(w, w->acked[i].hash) == NULL)
            note_wrong(w, "an acknowledged statement is lost");
}

/* --- a seed ---------------------------------------------------------------------------------- */

/* Networks, members and tokens are made by one coordinator that has a store of its own. */
static void make_networks(struct world *w)
{
    struct cw *cw = w->cw;
    unsigned at = 0;
    cw_start(cw);
    for (unsigned n = 0; n < NETS; n++) {
        cw_create(cw);
        memcpy(w->nets[n], cw->created.network_id, PV_NETWORK_ID_LEN);
        w->alice[n] = cw->alice;
        struct cw_client *alice = cw_member(cw, &cw->alice);
        struct cw_keys invite = cw_invite(cw, alice, MEMBERS);
        w->people[at++] = (struct person){.role = MEMBER, .net = n, .node = cw->alice};
        for (unsigned i = 1; i < MEMBERS; i++) {
            struct person p = {.role = MEMBER, .net = n, .node = cw_node_make(cw)};
            cw_join(cw, &invite, &p.node, i == 1 ? "bob" : "carol");
            w->people[at++] = p;
        }
        for (unsigned t = 0; t < TOKENS; t++) {
            struct cw_keys token = cw_invite(cw, alice, 1);
            for (unsigned i = 0; i < RIVALS; i++)
                w->people[at++] = (struct person){
                    .role = RIVAL, .net = n, .node = cw_node_make(cw), .invite = token};
        }
        cw_hang_up(cw, alice);
    }
    for (size_t i = 0; i < cw->n_rows; i++)
        for (size_t k = 0; k < cw->rows[i]->n_rows; k++) {
            insert_row(w, &cw->rows[i]->rows[k]);
            w->epoch = cw->rows[i]->rows[k].epoch;
        }
}

static void free_world(struct world *w)
{
    for (unsigned i = 0; i < COORDS; i++)
        if (w->coords[i].core != NULL)
            kill_coordinator(w, i);
    for (unsigned i = 0; i < PEOPLE; i++) {
        pv_coordclient_free(w->people[i].client);
        pv_streams_done(&w->people[i].streams);
    }
    for (size_t i = 0; i < w->n_rows; i++)
        pv_storeop_free(w->rows[i]);
    test_end(w->cw);
    free(w);
}

static int run(uint64_t seed, void *ctx)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned *moves = ctx;
    assert_non_null(w);
    w->cw = cw_new(seed);
    w->rng = test_rng_make(&w->rng_state, seed);
    w->now = w->start = w->cw->now;
    make_networks(w);
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct person *p = &w->people[i];
        const struct pv_coordclient_config cfg = {.rng = w->rng,
                                                  .log = &w->cw->log,
                                                  .sign_sk = p->node.id.sk,
                                                  .sign_pk = p->node.id.pk,
                                                  .dh_sk = p->node.transport_sk,
                                                  .streams = &p->streams,
                                                  .kind = PV_STREAM_COORD,
                                                  .events = &p->events};
        assert_int_equal(pv_coordclient_new(&p->client, &cfg), PV_OK);
        connect_person(w, p);
    }
    while (w->now < w->start + PV_S(TROUBLE_S)) {
        cause_trouble(w);
        tick(w);
    }
    for (unsigned i = 0; i < COORDS; i++) {
        w->coords[i].paused = w->coords[i].cut = 0;
        if (w->coords[i].core != NULL)
            pv_coord_drain(w->coords[i].core, false);
    }
    while (w->now < w->start + PV_S(TROUBLE_S + CALM_S))
        tick(w);
    check_tokens(w);
    check_everybody_at_home(w);
    check_kept(w);
    *moves += w->moves;
    int r = w->wrong != NULL;
    if (r != 0)
        printf("homes, seed %llu: %s\n", (unsigned long long)seed, w->wrong);
    free_world(w);
    return r;
}

PV_TEST(homes_wander_and_nothing_is_lost)
{
    unsigned moves = 0;
    assert_int_equal(sim_seeds("homes", SEEDS, run, &moves), 0);
    assert_true(moves > 0);
    printf("homes changed %u times\n", moves);
}
