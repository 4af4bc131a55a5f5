/* SPDX-License-Identifier: MIT */
/*
 * roster_fixture.h - a small network for the roster's tests: root, a creator, one coordinator, and
 * ways to make every statement and receipt, honest or not.
 */
#pragma once

#include "crypto/ct.h"
#include "proto/roster/roster_make.h"
#include "tests/unit/test_util.h"

enum {
    T0 = 1700000000
}; /* Unix seconds when the network was created */

struct keys {
    uint8_t sk[PV_SIGN_SK_LEN];
    uint8_t pk[PV_SIGN_PK_LEN];
};

struct item {
    struct pv_made_long s;
    uint8_t r[PV_RECEIPT_LEN];
    size_t r_len;
};

struct world {
    struct test_rng seed; /* see world_rng() */
    struct keys root, creator, coordinator;
    struct pv_created created;
    uint64_t epoch, n, time; /* of the coordinator's next receipt */
};

static inline struct keys keys_of(unsigned seed)
{
    struct keys k;
    uint8_t bytes[PV_SIGN_SEED_LEN] = {(uint8_t)seed, (uint8_t)(seed >> 8), (uint8_t)(seed >> 16),
                                       1};
    pv_sign_keypair(bytes, k.sk, k.pk);
    return k;
}

/* Judges a member statement as a coordinator does before it gives a receipt of that time. */
static inline int check_member(const struct pv_roster *r, const struct item *member, uint64_t wall)
{
    struct pv_statement st;
    int status = pv_statement_decode(pv_view(member->s.raw, member->s.len), &st);
    if (status == PV_OK)
        status = pv_statement_verify(&st);
    return status == PV_OK ? pv_roster_check_verified(r, &st, wall) : status;
}

static inline struct world world_make(unsigned seed)
{
    struct world w = {.seed = {.state = seed}, .epoch = T0, .n = 1, .time = T0};
    uint8_t list[128], transport[32];
    struct pv_hostport hp = {.host = "192.0.2.1", .port = 3478};
    struct pv_create c;

    w.root = keys_of(100 + seed);
    w.creator = keys_of(200 + seed);
    w.coordinator = keys_of(300 + seed);
    struct pv_writer writer = pv_writer(list, sizeof(list));
    pv_coordlist_put(&writer, w.coordinator.pk, &hp, 1);
    memset(transport, 0xa1, sizeof(transport));
    memset(&c, 0, sizeof(c));
    c.root = pv_signer_sk(w.root.sk);
    c.node_sk = w.creator.sk;
    c.transport = transport;
    c.network_name = "home";
    c.node_name = "alice";
    c.range = (struct pv_prefix){.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16};
    c.coordinators = pv_written(&writer);
    c.wall = T0;
    assert_ok(pv_make_create(&c, &w.created));
    return w;
}

/* Draws from this world, which may have been copied here from another place. */
static inline struct pv_rng world_rng(struct world *w)
{
    return (struct pv_rng){.fill = test_rng_fill, .ctx = &w->seed};
}

static inline void receipt_at(const struct world *w, struct item *it, uint64_t epoch, uint64_t n,
                              uint64_t time)
{
    struct pv_receipt f = {.epoch = epoch, .n = n, .time = time};

    memcpy(f.network_id, w->created.network_id, sizeof(f.network_id));
    pv_statement_hash(pv_view(it->s.raw, it->s.len), f.hash);
    assert_ok(pv_receipt_make(&f, w->coordinator.sk, it->r));
    it->r_len = PV_RECEIPT_LEN;
}

/* The next honest receipt. */
static inline void receipt_next(struct world *w, struct item *it)
{
    receipt_at(w, it, w->epoch, w->n++, w->time++);
}

static inline struct item item_of(struct world *w, const struct pv_made *m)
{
    struct item it = {.s.len = m->len};
    memcpy(it.s.raw, m->raw, m->len);
    receipt_next(w, &it);
    return it;
}

static inline struct item item_of_long(struct world *w, const struct pv_made_long *m)
{
    struct item it = {.s = *m};
    receipt_next(w, &it);
    return it;
}

static inline struct item make_invite(struct world *w, const struct keys *signer,
                                      const struct keys *invite, uint32_t uses)
{
    struct pv_st_invite f = {.not_before = T0, .not_after = T0 + 86400, .uses = uses};
    struct pv_made m;
    memcpy(f.invite, invite->pk, sizeof(f.invite));
    assert_ok(pv_make_invite(w->created.network_id, pv_signer_sk(signer->sk), &f, &m));
    return item_of(w, &m);
}

/* An invite with conditions. */
static inline struct item make_terms(struct world *w, const struct keys *signer,
                                     const struct keys *invite, uint8_t flags, uint32_t lifetime)
{
    struct pv_st_invite f = {
        .not_before = T0, .not_after = T0 + 86400, .uses = 9, .flags = flags, .lifetime = lifetime};
    struct pv_made m;
    memcpy(f.invite, invite->pk, sizeof(f.invite));
    assert_ok(pv_make_invite(w->created.network_id, pv_signer_sk(signer->sk), &f, &m));
    return item_of(w, &m);
}

static inline struct item make_admission(struct world *w, const struct keys *signer,
                                         const struct keys *node)
{
    struct pv_made m;
    assert_ok(
        pv_make_admission(w->created.network_id, pv_signer_sk(signer->sk), node->pk, w->time, &m));
    return item_of(w, &m);
}

/* Name and last two address bytes; the transport key follows from both keys' first bytes. */
static inline struct pv_st_member member_fields(const struct keys *node, const char *name,
                                                uint16_t ip, uint64_t serial)
{
    struct pv_st_member f;
    memset(&f, 0, sizeof(f));
    memcpy(f.transport, node->pk, sizeof(f.transport));
    f.transport[31] ^= 0x5a;
    f.serial = serial;
    memcpy(f.name, name, strlen(name));
    f.ip4[0] = 10;
    f.ip4[1] = 66;
    pv_store_be16(f.ip4 + 2, ip);
    f.issued = T0;
    return f;
}

static inline struct item make_member_f(struct world *w, const struct keys *signer,
                                        const struct keys *node, const struct pv_st_member *f)
{
    struct pv_made m;
    assert_ok(pv_make_member(w->created.network_id, signer->sk, node->sk, f, &m));
    return item_of(w, &m);
}

static inline struct item make_member(struct world *w, const struct keys *signer,
                                      const struct keys *node, const char *name, uint16_t ip)
{
    struct pv_st_member f = member_fields(node, name, ip, 0);
    return make_member_f(w, signer, node, &f);
}

static inline struct item make_leave(struct world *w, const struct keys *node, uint64_t serial)
{
    struct pv_made m;
    assert_ok(pv_make_leave(w->created.network_id, node->sk, serial, T0, &m));
    return item_of(w, &m);
}

/* Any type, by hand. */
static inline struct item make_statement(struct world *w, struct pv_statement *st,
                                         const struct keys *signer)
{
    struct pv_made_long m;
    memcpy(st->network_id, w->created.network_id, sizeof(st->network_id));
    assert_ok(pv_statement_make(st, pv_signer_sk(signer->sk), NULL, m.raw, sizeof(m.raw), &m.len));
    return item_of_long(w, &m);
}

static inline struct item make_revocation(struct world *w, const struct keys *signer, uint8_t kind,
                                          const uint8_t *pk, const uint8_t *stay, size_t n_stay)
{
    struct pv_statement st = {.type = PV_ST_REVOCATION};
    st.u.revocation.kind = kind;
    memcpy(st.u.revocation.pk, pk, PV_SIGN_PK_LEN);
    st.u.revocation.stay = pv_view(stay, n_stay * PV_SIGN_PK_LEN);
    st.u.revocation.time = T0;
    return make_statement(w, &st, signer);
}

static inline struct item make_end(struct world *w, const struct keys *signer, const uint8_t *about,
                                   const uint8_t *hash, const uint8_t *stay, size_t n_stay)
{
    struct pv_statement st = {.type = PV_ST_END};
    memcpy(st.u.end.about, about, PV_SIGN_PK_LEN);
    memcpy(st.u.end.hash, hash, PV_STATEMENT_HASH_LEN);
    st.u.end.stay = pv_view(stay, n_stay * PV_SIGN_PK_LEN);
    st.u.end.time = T0;
    return make_statement(w, &st, signer);
}

/* Another name, and the last two bytes of another address, of a node. */
static inline struct item make_place(struct world *w, const struct keys *signer,
                                     const struct keys *node, const char *name, uint16_t ip,
                                     uint64_t serial)
{
    struct pv_statement st = {.type = PV_ST_PLACE};
    memcpy(st.u.place.node, node->pk, sizeof(st.u.place.node));
    st.u.place.serial = serial;
    memcpy(st.u.place.name, name, strlen(name));
    st.u.place.ip4[0] = 10;
    st.u.place.ip4[1] = 66;
    pv_store_be16(st.u.place.ip4 + 2, ip);
    st.u.place.time = T0;
    return make_statement(w, &st, signer);
}

/* A rule about TCP port `port`, in this slot of its signer. */
static inline struct item make_rule(struct world *w, const struct keys *signer, uint16_t slot,
                                    uint64_t seq, uint8_t kind, uint16_t port)
{
    struct pv_statement st = {.type = PV_ST_RULE};
    st.u.rule.slot = (struct pv_st_slot){.number = slot, .seq = seq};
    st.u.rule.kind = kind;
    st.u.rule.ports = (struct pv_ports){.v = {{PV_PORTS_PROTO_ALL, 0, UINT16_MAX}}, .n = 1};
    st.u.rule.time = T0;
    if (kind == PV_RULE_ALLOW || kind == PV_RULE_DENY) {
        st.u.rule.place = port;
        st.u.rule.ports.v[0] = (struct pv_port_range){PV_PORTS_TCP, port, port};
    }
    return make_statement(w, &st, signer);
}

static inline struct item make_tag(struct world *w, const struct keys *signer, uint16_t slot,
                                   uint64_t seq, const struct keys *node, const char *tag)
{
    struct pv_statement st = {.type = PV_ST_TAG};
    st.u.tag.slot = (struct pv_st_slot){.number = slot, .seq = seq};
    st.u.tag.kind = node != NULL ? PV_TAG_SET : PV_TAG_NONE;
    if (node != NULL)
        memcpy(st.u.tag.node, node->pk, sizeof(st.u.tag.node));
    memcpy(st.u.tag.tag, tag, strlen(tag));
    st.u.tag.time = T0;
    return make_statement(w, &st, signer);
}

/* A permission to carry 192.168.`third`.0/24; node NULL: the slot is empty. */
static inline struct item make_route(struct world *w, const struct keys *signer, uint16_t slot,
                                     uint64_t seq, const struct keys *node, uint8_t third)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    st.u.route.slot = (struct pv_st_slot){.number = slot, .seq = seq};
    st.u.route.kind = node != NULL ? PV_ROUTE_ALLOW : PV_ROUTE_NONE;
    if (node != NULL)
        memcpy(st.u.route.node, node->pk, sizeof(st.u.route.node));
    st.u.route.prefix = (struct pv_prefix){.base = node != NULL ? pv_addr4(192, 168, third, 0, 0)
                                                                : pv_addr4(0, 0, 0, 0, 0),
                                           .bits = node != NULL ? 24 : 0};
    st.u.route.time = T0;
    return make_statement(w, &st, signer);
}

/* The card of node, which offers 192.168.`third`.0/24, or nothing (0). */
static inline struct item make_card(struct world *w, const struct keys *node, uint64_t serial,
                                    uint8_t third, uint32_t abilities)
{
    struct pv_statement st = {.type = PV_ST_CARD};
    struct pv_offer offer = {.prefix = {.base = pv_addr4(192, 168, third, 0, 0), .bits = 24},
                             .flags = PV_OFFER_AUTO};
    uint8_t list[PV_OFFER_BYTES];
    struct pv_writer wr = pv_writer(list, sizeof(list));
    pv_offerlist_put(&wr, &offer, third != 0 ? 1 : 0);
    st.u.card.serial = serial;
    st.u.card.abilities = abilities;
    st.u.card.offers = pv_view(list, wr.len);
    return make_statement(w, &st, node);
}

static inline struct item make_admin(struct world *w, const struct keys *signer,
                                     const struct keys *node, uint8_t rights)
{
    struct pv_statement st = {.type = PV_ST_ADMIN};
    memcpy(st.u.admin.node, node->pk, sizeof(st.u.admin.node));
    st.u.admin.rights = rights;
    st.u.admin.time = T0;
    return make_statement(w, &st, signer);
}

/* As a newer version may make it. */
static inline struct item make_newer(struct world *w, const struct keys *signer)
{
    struct item it = {.s.len = 50 + 8 + PV_SIGN_LEN};
    it.s.raw[0] = 2;
    it.s.raw[1] = 77;
    memcpy(it.s.raw + 2, w->created.network_id, 16);
    memcpy(it.s.raw + 18, signer->pk, 32);
    assert_ok(pv_sign(it.s.raw + 58, "p2pvpn statement v1", pv_view(it.s.raw, 58), pv_view(NULL, 0),
                      signer->sk));
    receipt_next(w, &it);
    return it;
}

/* Gives a statement a receipt as a newer version may make it. */
static inline void receipt_newer(const struct world *w, struct item *it, const struct keys *by)
{
    const size_t body = PV_RECEIPT_LEN - PV_SIGN_LEN;
    it->r_len = PV_RECEIPT_LEN;
    memset(it->r, 0, it->r_len);
    it->r[0] = 2;
    it->r[1] = PV_ST_RECEIPT;
    memcpy(it->r + 2, w->created.network_id, 16);
    memcpy(it->r + 18, by->pk, 32);
    assert_ok(
        pv_sign(it->r + body, "p2pvpn receipt v1", pv_view(it->r, body), pv_view(NULL, 0), by->sk));
}

static inline int add_status(struct pv_roster *r, const struct item *it,
                             enum pv_roster_added *added)
{
    return pv_roster_add(r, pv_view(it->s.raw, it->s.len), pv_view(it->r, it->r_len), added);
}

/* Adds and expects it to be merged. */
static inline void add(struct pv_roster *r, const struct item *it)
{
    enum pv_roster_added added;
    assert_ok(add_status(r, it, &added));
    assert_int_equal(added, PV_ROSTER_NEW);
}

/* Without its receipt. */
static inline struct item bare(struct item it)
{
    it.r_len = 0;
    return it;
}

static inline void add_item(struct pv_roster *r, struct item it)
{
    add(r, &it);
}

/* The words of a round of events. */
struct heard {
    size_t statements, added, changed, gone, waits, refused, breaks, coordinators;
    char text[PV_ROSTER_TEXT]; /* the last report */
};

static inline struct heard settle(struct pv_roster *r)
{
    struct heard h;
    struct pv_roster_event ev;

    memset(&h, 0, sizeof(h));
    while (pv_roster_poll_event(r, &ev) == PV_OK) {
        h.statements += ev.type == PV_ROSTER_EV_STATEMENT;
        h.added += ev.type == PV_ROSTER_EV_MEMBER_ADDED;
        h.changed += ev.type == PV_ROSTER_EV_MEMBER_CHANGED;
        h.gone += ev.type == PV_ROSTER_EV_MEMBER_GONE;
        h.waits += ev.type == PV_ROSTER_EV_MEMBER_WAITS;
        h.coordinators += ev.type == PV_ROSTER_EV_COORDINATORS;
        h.refused += ev.type == PV_ROSTER_EV_REFUSED;
        h.breaks += ev.type == PV_ROSTER_EV_BREAK;
        if (ev.text[0] != '\0')
            memcpy(h.text, ev.text, sizeof(h.text));
    }
    return h;
}

/* Adds it; the words that follow. */
static inline struct heard learn(struct pv_roster *r, struct item it)
{
    add(r, &it);
    return settle(r);
}

static inline void free_roster(void *ctx)
{
    pv_roster_free(ctx);
}

/* A roster of the world's network that has what `create` made; the caller owns it. */
static inline struct pv_roster *roster_to_own(struct world *w)
{
    struct pv_rng rng = world_rng(w);
    struct pv_roster *r = NULL;
    assert_ok(pv_roster_new(pv_made_view(&w->created.network), w->created.network_id, &rng, &r));
    struct item coordinators = item_of_long(w, &w->created.coordinators);
    struct item admin = item_of(w, &w->created.admin);
    struct item member = item_of(w, &w->created.member);
    add(r, &coordinators);
    add(r, &admin);
    add(r, &member);
    settle(r);
    return r;
}

/* The same, freed by the test's teardown. */
static inline struct pv_roster *roster_of(struct world *w)
{
    struct pv_roster *r = roster_to_own(w);
    test_defer(free_roster, r);
    return r;
}

static inline bool same_head(struct pv_roster *a, struct pv_roster *b)
{
    uint8_t ha[PV_STATEMENT_HASH_LEN], hb[PV_STATEMENT_HASH_LEN];
    pv_roster_head(a, ha);
    pv_roster_head(b, hb);
    return memcmp(ha, hb, sizeof(ha)) == 0;
}
