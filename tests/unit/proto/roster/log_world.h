/* SPDX-License-Identifier: MIT */
/*
 * log_world.h - statements of naive_log.h as real ones, random ones, and what of two states
 * differs.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "proto/roster/fold.h"
#include "tests/test.h"
#include "tests/unit/proto/roster/naive_log.h"

enum {
    INVITE_KEYS = 100, /* numbers of keys from here on are invites' */
    COORD_KEYS = 200,
    SEEDS = 256,
    RAW_MAX = PV_LOGST_SHORT_MAX + NAIVE_CARRIED * (2 + PV_LOGST_SHORT_MAX),
    DAY = 24 * 3600,
};

static const uint8_t network_id[PV_NETWORK_ID_LEN] = {7};
static uint8_t sks[SEEDS][PV_SIGN_SK_LEN], pks[SEEDS][PV_SIGN_PK_LEN];
static uint8_t raws[NAIVE_STS][RAW_MAX];
static struct pv_logst reals[NAIVE_STS];

/* --- chance ---------------------------------------------------------------------------------- */

static uint64_t chance;

static inline uint32_t draw(uint32_t below)
{
    chance += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = chance;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32) % below;
}

static inline int pick(int below)
{
    return (int)draw((uint32_t)below);
}

static inline void fill(void *ctx, uint8_t *dst, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)draw(256);
}
static const struct pv_rng rng = {.fill = fill};

static inline void make_keys(void)
{
    for (int i = 0; i < SEEDS; i++) {
        uint8_t seed[PV_SIGN_SEED_LEN] = {(uint8_t)i, 1};
        pv_sign_keypair(seed, sks[i], pks[i]);
    }
}

static inline struct pv_fold_config config(void)
{
    struct pv_fold_config cfg = {.own_max = NAIVE_OWN, .rng = &rng};
    cfg.range = (struct pv_prefix){.base = pv_addr4_u32(0x0a000000, 0), .bits = 24};
    memcpy(cfg.network_id, network_id, sizeof(network_id));
    memcpy(cfg.root, pks[0], sizeof(cfg.root));
    return cfg;
}

/* --- statements ------------------------------------------------------------------------------ */

static inline void set_about(struct pv_logst *st, const struct naive_st *x)
{
    if (x->kind == PV_LOGST_ADMIT || x->kind == PV_LOGST_END || x->kind == PV_LOGST_TAKE)
        memcpy(st->about, naive_sts[x->about].hash, sizeof(st->about));
    else if (x->about >= 0)
        memcpy(st->about, pks[x->about], sizeof(st->about));
}

static inline size_t put_row(const struct naive_st *x, uint8_t *buf, size_t cap)
{
    struct pv_writer w = pv_writer(buf, cap);
    if (x->flags == PV_ROW_TAG) {
        pv_put_bytes(&w, pks[x->gateway], 32);
        pv_put_view16(&w, pv_view("tag", 3));
    } else {
        pv_put_bytes(&w, pks[x->gateway], 32);
        pv_put_bytes(&w, pks[x->tkey], 32);
    }
    return w.len;
}

static inline size_t put_list(const struct naive_st *x, uint8_t *buf, size_t cap)
{
    struct pv_writer w = pv_writer(buf, cap);
    struct pv_hostport hp = {.host = "192.0.2.1", .port = 1};

    if (x->kind == PV_LOGST_ROW)
        return put_row(x, buf, cap);
    if (x->kind == PV_LOGST_COORDINATORS)
        pv_coordlist_put(&w, pks[x->coord], &hp, 1);
    for (int i = 0; i < x->n_carried; i++)
        pv_carried_put(&w, reals[x->carried[i]].raw);
    return w.len;
}

/* The statement as bytes: x is naive_sts[naive_n]. prev: hash of the entry before, for
 * coordinators. Returns its number. */
static inline int say(struct naive_st x, const uint8_t *prev)
{
    uint8_t list[RAW_MAX];
    struct pv_logst st = {.type = (uint8_t)x.kind, .made = (uint64_t)naive_n};
    size_t len = 0;

    memcpy(st.network_id, network_id, sizeof(network_id));
    if (x.grant >= 0)
        memcpy(st.grant, naive_sts[x.grant].hash, sizeof(st.grant));
    set_about(&st, &x);
    st.flags = (uint8_t)x.flags;
    st.uses = (uint32_t)x.uses;
    st.lifetime = (uint32_t)x.life;
    st.number = (uint64_t)(x.kind == PV_LOGST_COORDINATORS ? x.epoch : x.num);
    st.time = (uint64_t)(x.kind == PV_LOGST_COORDINATORS ? x.time : x.until);
    st.after = (uint64_t)x.n;
    if (x.kind == PV_LOGST_COORDINATORS && prev != NULL)
        memcpy(st.about, prev, sizeof(st.about));
    memcpy(st.key, pks[x.tkey], sizeof(st.key));
    pv_store_be32(st.ip4, 0x0a000000u + (uint32_t)x.addr);
    snprintf(st.name, sizeof(st.name), "n%d", x.name);
    st.list = pv_view(list, put_list(&x, list, sizeof(list)));
    int r = pv_logst_make(&st, sks[x.by], x.kind == PV_LOGST_JOIN ? sks[x.about] : NULL,
                          raws[naive_n], sizeof(raws[0]), &len);
    assert_ok(r);
    assert_ok(pv_logst_decode(pv_view(raws[naive_n], len), &reals[naive_n]));
    memcpy(x.hash, reals[naive_n].hash, sizeof(x.hash));
    naive_sts[naive_n] = x;
    return naive_n++;
}

/* The newest statement of this kind that a draw meets; -1: none. */
static inline int pick_of(int kind)
{
    for (int i = 0; i < 30 && naive_n > 0; i++) {
        int u = pick(naive_n);
        if (naive_sts[u].kind == kind)
            return u;
    }
    return -1;
}

/* An invite that is open, or a join that waits, if a draw meets one. */
static inline int pick_open(const struct naive *s, int kind)
{
    for (int i = 0; i < 40; i++) {
        int u = pick_of(kind);
        if (u >= 0 && kind == PV_LOGST_INVITE && s->inv[u].is && s->inv[u].uses > 0)
            return u;
        if (u >= 0 && kind == PV_LOGST_JOIN && s->m[naive_sts[u].about].is &&
            s->m[naive_sts[u].about].join == u && s->m[naive_sts[u].about].waits)
            return u;
    }
    return pick_of(kind);
}

/* An address: one that rests if a draw meets one, best one that this key let go. */
static inline int pick_addr(const struct naive *s, int key)
{
    int resting = -1;
    for (int i = 0; i < 40; i++) {
        int a = pick(NAIVE_ADDRS);
        if (s->freed[a].is && s->freed[a].key == key && pick(2) > 0)
            return a;
        if (s->freed[a].is)
            resting = a;
    }
    return resting >= 0 && pick(2) > 0 ? resting : pick(NAIVE_ADDRS);
}

static inline int grant_for(int by)
{
    int g = -1;
    for (int i = 0; i < 6; i++) {
        g = pick_of(PV_LOGST_GRANT);
        if (g >= 0 && naive_sts[g].about == by)
            return g;
    }
    return g;
}

static inline void draw_carried(struct naive_st *x)
{
    int most = pick(3) > 0 ? NAIVE_CARRIED : 0;
    for (int i = 0; i < 12 && x->n_carried < most; i++) {
        int u = pick(naive_n);
        int kind = naive_sts[u].kind;
        if ((kind == PV_LOGST_ROW || kind == PV_LOGST_TAKE || kind == PV_LOGST_REMOVE) &&
            naive_sts[u].n_carried == 0)
            x->carried[x->n_carried++] = u;
    }
}

static inline void draw_fields(struct naive_st *x, const struct naive *s)
{
    x->name = pick(9);
    x->addr = pick(9);
    x->tkey = 1 + pick(8);
    x->num = x->about >= 0 && x->about < NAIVE_KEYS ? s->m[x->about].num + (pick(6) > 0) : 1;
    x->until = s->time + pick(60) * DAY;
    x->uses = 1 + pick(2);
    x->life = pick(3) == 0 ? DAY * (1 + pick(9)) : 0;
}

/* A random statement, as somebody would say it who knows the state, or as a thief would. */
static inline int say_something(const struct naive *s)
{
    static const int kinds[] = {PV_LOGST_GRANT, PV_LOGST_INVITE, PV_LOGST_JOIN,   PV_LOGST_JOIN,
                                PV_LOGST_JOIN,  PV_LOGST_ADMIT,  PV_LOGST_PLACE,  PV_LOGST_PLACE,
                                PV_LOGST_KEY,   PV_LOGST_LEAVE,  PV_LOGST_REMOVE, PV_LOGST_REMOVE,
                                PV_LOGST_END,   PV_LOGST_END,    PV_LOGST_END,    PV_LOGST_TAKE,
                                PV_LOGST_ROW,   PV_LOGST_ROW,    PV_LOGST_REMOVE, PV_LOGST_ROW};
    struct naive_st x = {.kind = kinds[pick(PV_ARRAY_LEN(kinds))], .grant = -1, .prev = -1};

    x.by = pick(5) == 0 ? 0 : 1 + pick(6);
    x.about = 1 + pick(pick(3) > 0 ? 6 : NAIVE_KEYS - 1);
    if (x.by != 0)
        x.grant = grant_for(x.by);
    draw_fields(&x, s);
    switch (x.kind) {
    case PV_LOGST_GRANT:
        x.by = pick(8) > 0 ? 0 : x.by;
        x.flags = pick(3) > 0 ? 3 : 1 + pick(2);
        break;
    case PV_LOGST_INVITE:
        x.flags = pick(2) == 0;
        x.by = pick(3) > 0 ? pick(4) : x.by;
        x.grant = x.by == 0 ? -1 : grant_for(x.by);
        x.tkey = INVITE_KEYS + pick(30);
        x.about = -1;
        break;
    case PV_LOGST_JOIN:
        x.grant = pick_open(s, PV_LOGST_INVITE);
        x.by = x.grant >= 0 && pick(9) > 0 ? naive_sts[x.grant].tkey : INVITE_KEYS;
        x.about = 1 + pick(NAIVE_KEYS - 1);
        x.tkey = 1 + pick(40);
        x.name = pick(30);
        x.addr = pick_addr(s, x.about);
        x.flags = pick(4) == 0;
        break;
    case PV_LOGST_PLACE:
        x.by = pick(3) > 0 ? x.about : x.by;
        x.name = pick(30);
        x.addr = pick_addr(s, x.about);
        break;
    case PV_LOGST_KEY:
        x.by = x.about;
        x.tkey = 1 + pick(40);
        break;
    case PV_LOGST_LEAVE:
        x.by = x.about;
        draw_carried(&x);
        break;
    case PV_LOGST_REMOVE:
        draw_carried(&x);
        break;
    case PV_LOGST_ADMIT:
        x.about = pick(3) > 0 ? pick_open(s, PV_LOGST_JOIN) : pick_of(PV_LOGST_JOIN);
        break;
    case PV_LOGST_END:
        x.about = pick_of(PV_LOGST_GRANT);
        x.by = x.about >= 0 && pick(5) == 0 ? naive_sts[x.about].about : x.by;
        x.grant = x.about >= 0 && pick(5) == 0 ? x.about : x.grant;
        draw_carried(&x);
        break;
    case PV_LOGST_TAKE:
        x.about = pick_of(pick(2) > 0 ? PV_LOGST_ROW : PV_LOGST_INVITE);
        break;
    default: /* PV_LOGST_ROW */
        x.about = -1;
        x.gateway = 1 + pick(8);
        x.tkey = 1 + pick(NAIVE_KEYS - 1);
        x.flags = pick(2) > 0 ? PV_ROW_PHONE : PV_ROW_TAG;
        break;
    }
    if (x.about < 0 &&
        (x.kind == PV_LOGST_ADMIT || x.kind == PV_LOGST_END || x.kind == PV_LOGST_TAKE))
        return -1;
    return say(x, NULL);
}

/* --- two states ------------------------------------------------------------------------------ */

static inline bool same_claim(const struct pv_claim *c, const void *value, size_t len)
{
    return c != NULL && memcmp(c->what + 1, value, len) == 0;
}

static inline const char *differs_in_member(const struct pv_keyrec *k, const struct naive_member *m)
{
    char name[PV_NAME_BUF];
    uint8_t ip4[4];

    if ((k != NULL && k->is_member) != m->is)
        return "member";
    if (!m->is)
        return NULL;
    snprintf(name, sizeof(name), "n%d", m->name);
    pv_store_be32(ip4, 0x0a000000u + (uint32_t)m->addr);
    if (!same_claim(k->name, name, strlen(name) + 1) || !same_claim(k->ip4, ip4, 4) ||
        !same_claim(k->transport, pks[m->tkey], 32))
        return "claims";
    if (k->waits != m->waits || k->phone != m->phone || k->number != (uint64_t)m->num)
        return "waits, phone, number";
    return k->since == (uint64_t)m->since && k->lifetime == (uint32_t)m->life ? NULL : "life";
}

static inline int naive_carrier(const struct naive *s, int phone)
{
    const struct naive_member *p = &s->m[phone];
    for (int i = 0; p->is && p->phone && !p->waits && i < s->n_rows; i++) {
        const struct naive_st *x = &naive_sts[s->rows[i]];
        const struct naive_member *g = &s->m[x->gateway];
        if (x->flags == PV_ROW_PHONE && x->tkey == phone && g->is && !g->phone && !g->waits)
            return x->gateway;
    }
    return -1;
}

static inline const char *differs_in_statement(const struct pv_fold *f, const struct naive *s,
                                               int u)
{
    const struct pv_said *x = pv_fold_said(f, naive_sts[u].hash);
    bool grant = naive_sts[u].kind == PV_LOGST_GRANT;

    if ((x != NULL && x->counts) != s->done[u])
        return "counted";
    if ((x != NULL && x->taken_back) != s->dead[u])
        return "taken back";
    if ((x != NULL && x->ended) != (s->g[u].is && s->g[u].ended))
        return "ended";
    if (grant && s->done[u] && (x->kind != PV_SAID_GRANT || x->u.grant.rights != s->g[u].rights))
        return "grant";
    if (s->inv[u].is && x->u.invite.uses != (uint32_t)s->inv[u].uses)
        return "uses";
    return NULL;
}

/* Which addresses rest, since when, and after whom. */
static inline const char *differs_in_rest(const struct pv_fold *f, const struct naive *s)
{
    for (int a = 0; a < NAIVE_ADDRS; a++) {
        uint8_t what[1 + PV_NAME_MAX] = {'i'};
        pv_store_be32(what + 1, 0x0a000000u + (uint32_t)a);
        const struct pv_claim *c = pv_fold_claim(f, what);
        if ((c != NULL && c->last != NULL) != s->freed[a].is)
            return "resting";
        if (s->freed[a].is && (c->freed != (uint64_t)s->freed[a].time ||
                               memcmp(c->last->key, pks[s->freed[a].key], 32) != 0))
            return "rest";
    }
    return NULL;
}

/* Names a difference; NULL: there is none. */
static inline const char *differs(const struct pv_fold *f, const struct naive *s)
{
    const struct pv_fold_now *now = pv_fold_now(f);
    const char *what = differs_in_rest(f, s);
    int rows = 0;

    for (int k = 0; what == NULL && k < NAIVE_KEYS; k++) {
        const struct pv_keyrec *key = pv_fold_key(f, pks[k]);
        what = differs_in_member(key, &s->m[k]);
        if (what == NULL && (key != NULL && key->out) != s->out[k])
            what = "out";
        if (what == NULL && s->m[k].is) {
            const struct pv_keyrec *g = pv_fold_carrier(f, key);
            int want = naive_carrier(s, k);
            if ((g == NULL) != (want < 0) || (g != NULL && memcmp(g->key, pks[want], 32) != 0))
                what = "carrier";
        }
    }
    for (int u = 0; what == NULL && u < naive_n; u++)
        what = differs_in_statement(f, s, u);
    for (const struct pv_said *x = now->rows; x != NULL; x = x->u.row.next, rows++)
        if (rows >= s->n_rows || memcmp(x->hash, naive_sts[s->rows[rows]].hash, 32) != 0)
            return "rows";
    if (what == NULL &&
        (rows != s->n_rows || now->own != (uint32_t)s->own || now->version != (uint32_t)s->version))
        what = "rows, own, version";
    if (what == NULL && s->epoch > 0 &&
        (now->move.epoch != (uint64_t)s->epoch ||
         memcmp(now->move.coordinator, pks[s->coord], 32) != 0))
        what = "move";
    return what;
}
