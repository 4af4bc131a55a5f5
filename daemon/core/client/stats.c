/* SPDX-License-Identifier: MIT */
/* stats.c - takes figures of peers once a minute, and answers `stats`. */
#include "daemon/core/client/stats.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/client/series.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

enum {
    MINUTE_S = 60,
    MINUTES = 60,                             /* of an hour */
    KEEP_AT = 59,                             /* the minute of an hour after which all is stored */
    ENTRY = 1 + PV_KEY_LEN + PV_SERIES_BYTES, /* bytes of one in the store */
    ENTRIES = 1 + PV_STATS_PEERS,
};

enum kind {
    KIND_NONE,
    KIND_SELF,   /* the interface */
    KIND_MEMBER, /* key: its identity's */
    KIND_STATIC, /* key: its WireGuard key */
};

struct entry {
    enum kind kind; /* NONE: a free place */
    uint8_t key[PV_KEY_LEN];
    uint64_t used;         /* minute in which it carried something */
    uint64_t rx, tx;       /* its counters a minute ago */
    struct pv_series *all; /* owned */
};

struct stats {
    struct pv_node *node;
    struct entry entries[ENTRIES]; /* the first is the interface's */
    pv_ns look_at;                 /* the next minute of the wall clock */
    bool changed;                  /* since it was stored */
};

/* --- entries ---------------------------------------------------------------------------------- */

static void drop(struct entry *e)
{
    free(e->all);
    *e = (struct entry){.kind = KIND_NONE};
}

static struct entry *find(struct stats *s, enum kind kind, const uint8_t *key)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *e = &s->entries[i];
        if (e->kind == kind && (key == NULL || memcmp(e->key, key, sizeof(e->key)) == 0))
            return e;
    }
    return NULL;
}

/* Returns a new entry, in a free place, or in the place of the peer that was used longest ago if
 * that is an hour. NULL: it has to wait. */
static struct entry *take(struct stats *s, enum kind kind, const uint8_t *key, uint64_t minute)
{
    struct entry *e = &s->entries[0];
    if (kind != KIND_SELF) {
        e = &s->entries[1];
        for (size_t i = 2; i < ENTRIES && e->kind != KIND_NONE; i++) {
            if (s->entries[i].kind == KIND_NONE || s->entries[i].used < e->used)
                e = &s->entries[i];
        }
    }
    if (e->kind != KIND_NONE && e->used + MINUTES >= minute)
        return NULL;
    drop(e);
    if ((e->all = calloc(1, sizeof(*e->all))) == NULL)
        return NULL;
    e->kind = kind;
    if (key != NULL)
        memcpy(e->key, key, sizeof(e->key));
    return e;
}

static enum kind kind_of(const struct pv_peer *p)
{
    return pv_peer_is_static(p) ? KIND_STATIC : KIND_MEMBER;
}

static const uint8_t *key_of(const struct pv_peer *p)
{
    return pv_peer_is_static(p) ? pv_peer_transport(p) : pv_peer_pk(p);
}

/* --- looking ---------------------------------------------------------------------------------- */

/* By how much a counter has grown; one that began anew has no less than it shows. */
static uint64_t grown(uint64_t *was, uint64_t is)
{
    uint64_t by = is >= *was ? is - *was : is;
    *was = is;
    return by;
}

static enum pv_series_path path_of(const struct pv_ctlapi_path *path)
{
    if (path->type == PV_CTLAPI_PATH_NONE)
        return PV_SERIES_NONE;
    return path->type == PV_CTLAPI_PATH_RELAY ? PV_SERIES_RELAY : PV_SERIES_DIRECT;
}

/* Of a peer that was never used nothing is kept. */
static void look_at(struct stats *s, struct pv_peer *p, uint64_t minute, struct pv_series_row *sum,
                    pv_ns now)
{
    struct pv_ctlapi_peer x;
    struct entry *e = find(s, kind_of(p), key_of(p));
    if (e == NULL && !pv_peer_is_used(p))
        return;
    pv_peer_show(p, &x, now);
    bool is_new = e == NULL;
    if (e == NULL && (x.path.type == PV_CTLAPI_PATH_NONE ||
                      (e = take(s, kind_of(p), key_of(p), minute)) == NULL))
        return;
    struct pv_series_row row = {.rx = grown(&e->rx, x.rx_bytes),
                                .tx = grown(&e->tx, x.tx_bytes),
                                .rtt_ms = x.path.rtt_ms,
                                .loss = x.path.loss,
                                .path = path_of(&x.path)};
    if (is_new || row.rx + row.tx > 0)
        e->used = minute;
    sum->rx += row.rx;
    sum->tx += row.tx;
    pv_series_add(e->all, minute, &row);
}

static void look(struct stats *s, pv_ns now)
{
    struct pv_node *n = s->node;
    uint64_t minute = pv_node_wall_s(n, now) / MINUTE_S - 1; /* the one that is over */
    struct pv_series_row sum = {.rtt_ms = n->online ? (double)n->coord_info.rtt / 1e6 : -1,
                                .loss = -1,
                                .path = n->online ? PV_SERIES_DIRECT : PV_SERIES_NONE};
    for (struct pv_peer *p = NULL; (p = pv_peers_next(n->peers, p)) != NULL;)
        look_at(s, p, minute, &sum, now);
    struct entry *self = find(s, KIND_SELF, NULL);
    if (self == NULL && (n->roster != NULL || sum.rx + sum.tx > 0))
        self = take(s, KIND_SELF, NULL, minute);
    if (self != NULL) {
        pv_series_add(self->all, minute, &sum);
        s->changed = true;
    }
}

/* --- the store -------------------------------------------------------------------------------- */

static void store(struct stats *s)
{
    uint8_t *buf = s->changed ? malloc((size_t)ENTRIES * ENTRY) : NULL, *at = buf;
    if (buf == NULL)
        return;
    for (size_t i = 0; i < ENTRIES; i++) {
        const struct entry *e = &s->entries[i];
        if (e->kind == KIND_NONE)
            continue;
        *at = (uint8_t)e->kind;
        memcpy(at + 1, e->key, sizeof(e->key));
        pv_series_write(e->all, at + 1 + PV_KEY_LEN);
        at += ENTRY;
    }
    s->changed = !pv_node_put_meta(s->node, PV_STATS_META, pv_view(buf, (size_t)(at - buf)));
    free(buf);
}

/* Entries that are not in their form are left out: these are figures, and no more. */
static int restore(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct stats *s = part;
    struct pv_view v = pv_saved_value(cfg->saved, PV_STATS_META);
    for (; v.len >= ENTRY; v = pv_view(v.ptr + ENTRY, v.len - ENTRY)) {
        enum kind kind = v.ptr[0];
        if (kind < KIND_SELF || kind > KIND_STATIC || find(s, kind, v.ptr + 1) != NULL)
            continue;
        struct entry *e = take(s, kind, v.ptr + 1, 1);
        if (e == NULL)
            break;
        pv_series_read(e->all, v.ptr + 1 + PV_KEY_LEN);
        e->used = e->all->minute > 0 ? e->all->minute : 1;
    }
    return PV_OK;
}

/* --- `stats` ---------------------------------------------------------------------------------- */

static json_t *real(double v)
{
    return v < 0 ? json_null() : json_real(v);
}

static struct pv_series_row row_at(const struct pv_series *all, bool hours, uint64_t at)
{
    return hours ? pv_series_hour(all, at) : pv_series_minute(all, at);
}

/* The rows from the first that is known to the last that is over. */
static json_t *rows_json(const struct pv_series *all, bool hours, uint64_t minute)
{
    static const char letters[] = "?-dr";
    size_t n = hours ? PV_SERIES_HOURS : PV_SERIES_MINUTES, from = 0;
    uint64_t end = hours ? (minute + 1) / MINUTES : minute + 1, first = end > n ? end - n : 0;
    char path[PV_SERIES_MINUTES + 1];
    json_t *rx = json_array(), *tx = json_array(), *rtt = json_array(), *loss = json_array();
    while (from < n && row_at(all, hours, first + from).path == PV_SERIES_UNKNOWN)
        from++;
    for (size_t i = from; i < n; i++) {
        const struct pv_series_row row = row_at(all, hours, first + i);
        path[i - from] = letters[row.path];
        pv_jsonline_add(&rx, pv_ctlapi_u64(row.rx));
        pv_jsonline_add(&tx, pv_ctlapi_u64(row.tx));
        pv_jsonline_add(&rtt, real(row.rtt_ms));
        pv_jsonline_add(&loss, real(row.loss));
    }
    path[n - from] = '\0';
    unsigned step = hours ? MINUTE_S * MINUTES : MINUTE_S;
    return pv_ctlapi_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:s}", "step", (int)step, "until",
                          pv_ctlapi_u64(end * step), "rx_bytes", rx, "tx_bytes", tx, "rtt_ms", rtt,
                          "loss", loss, "path", path);
}

static json_t *sum_json(const struct pv_series *all, bool hours, uint64_t end, size_t n)
{
    struct pv_series_sum sum = {.rows = 0};
    for (size_t i = 1; i <= n && i <= end; i++) {
        const struct pv_series_row row = row_at(all, hours, end - i);
        pv_series_sum_add(&sum, &row);
    }
    pv_series_sum_end(&sum);
    return pv_ctlapi_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "rx_bytes", pv_ctlapi_u64(sum.rx),
                          "tx_bytes", pv_ctlapi_u64(sum.tx), "rtt_ms", real(sum.rtt_ms), "loss",
                          real(sum.loss), "direct", real(sum.direct), "relay", real(sum.relay));
}

static json_t *sums_json(const struct pv_series *all, uint64_t minute)
{
    return pv_ctlapi_pack("{s:o, s:o, s:o}", "hour", sum_json(all, false, minute + 1, MINUTES),
                          "day", sum_json(all, false, minute + 1, PV_SERIES_MINUTES), "month",
                          sum_json(all, true, (minute + 1) / MINUTES, PV_SERIES_HOURS));
}

static json_t *peers_json(struct stats *s, uint64_t minute)
{
    json_t *list = json_array();
    for (struct pv_peer *p = NULL; (p = pv_peers_next(s->node->peers, p)) != NULL;) {
        const struct entry *e = find(s, kind_of(p), key_of(p));
        if (e == NULL)
            continue;
        pv_ctlapi_put(&list, NULL,
                      pv_ctlapi_pack("{s:s, s:o, s:o}", "peer", pv_peer_name(p), "key",
                                     pv_ctlapi_key(pv_peer_is_static(p) ? NULL : pv_peer_pk(p)),
                                     "sums", sums_json(e->all, minute)));
    }
    return list;
}

/* How many of the members that this node talked to it reached directly. */
static json_t *pairs_json(const struct pv_node *n)
{
    struct pv_pathpairs pairs = {0};
    json_t *list = json_array();
    for (struct pv_peer *p = NULL; (p = pv_peers_next(n->peers, p)) != NULL;)
        pv_peer_count_pair(p, &pairs);
    for (unsigned own = 0; own < PV_NATCLASSES; own++) {
        for (unsigned theirs = 0; theirs < PV_NATCLASSES; theirs++) {
            if (pairs.talked[own][theirs] == 0)
                continue;
            pv_ctlapi_put(&list, NULL,
                          pv_ctlapi_pack("{s:s, s:s, s:i, s:i}", "nat",
                                         pv_natclass_name((enum pv_natclass)own), "peer_nat",
                                         pv_natclass_name((enum pv_natclass)theirs), "talked",
                                         (int)pairs.talked[own][theirs], "direct",
                                         (int)pairs.direct[own][theirs]));
        }
    }
    return list;
}

static void do_stats(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    static const struct pv_series nothing;
    struct stats *s = part;
    struct pv_node *n = s->node;
    uint64_t minute = pv_node_wall_s(n, now) / MINUTE_S - 1;
    if (req->peer[0] != '\0' &&
        (p = pv_peer_need(n, req->peer, "stats", PV_NEEDS_PEER, handle)) == NULL)
        return;
    const struct entry *e = p == NULL ? find(s, KIND_SELF, NULL) : find(s, kind_of(p), key_of(p));
    const struct pv_series *all = e == NULL ? &nothing : e->all;
    json_t *body =
        pv_ctlapi_pack("{s:i, s:s?, s:o, s:o}", "version", PV_CTLAPI_FORMAT, "peer",
                       p == NULL ? NULL : pv_peer_name(p), "minutes", rows_json(all, false, minute),
                       "hours", rows_json(all, true, minute));
    if (p == NULL) {
        pv_jsonline_set(&body, "peers", peers_json(s, minute));
        pv_jsonline_set(&body, "pairs", pairs_json(n));
    }
    pv_ctlsrv_answer(n->ctl, handle, body);
}

/* --- life ------------------------------------------------------------------------------------- */

static pv_ns next_minute(const struct pv_node *n, pv_ns now)
{
    const uint64_t minute_us = (uint64_t)MINUTE_S * 1000000;
    return now + (minute_us - pv_node_wall_us(n, now) % minute_us) * 1000;
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct stats *s = part;
    s->look_at = next_minute(s->node, now);
    return PV_OK;
}

static void unmake(void *part)
{
    struct stats *s = part;
    for (size_t i = 0; i < ENTRIES; i++)
        drop(&s->entries[i]);
}

static void on_due(void *part, pv_ns now)
{
    struct stats *s = part;
    look(s, now);
    if ((pv_node_wall_s(s->node, now) / MINUTE_S - 1) % MINUTES == KEEP_AT)
        store(s);
    s->look_at = next_minute(s->node, now);
}

static void on_stop(void *part, pv_ns now)
{
    store(part);
}

/* A network that this node is no longer in is forgotten, also by the store. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct stats *s = part;
    if ((facts & PV_FACT_NETWORK) == 0 || s->node->roster != NULL)
        return;
    for (size_t i = 0; i < ENTRIES; i++) {
        s->changed = s->changed || s->entries[i].kind == KIND_MEMBER;
        if (s->entries[i].kind != KIND_STATIC)
            drop(&s->entries[i]);
    }
    store(s);
}

static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct entry *e = find(part, KIND_MEMBER, pk);
    if (e != NULL)
        drop(e);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_STATS, PV_NEEDS_NOTHING, do_stats},
};

const struct pv_part pv_part_stats = {
    .name = "stats",
    .size = PV_PART_SIZE(struct stats),
    .start = start,
    .restore = restore,
    .free = unmake,
    .on_facts = on_facts,
    .due = PV_PART_DUE(struct stats, look_at),
    .on_due = on_due,
    .on_stop = on_stop,
    .on_member_gone = on_member_gone,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
