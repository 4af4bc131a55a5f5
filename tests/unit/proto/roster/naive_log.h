/* SPDX-License-Identifier: MIT */
/*
 * naive_log.h - the rules of a network's log (adr/0118) once more, as plainly as they can be said.
 * Keys, names and addresses are small numbers, statements are places in naive_sts.
 */
#pragma once
#include "proto/roster/fold.h"

/* clang-format off */
enum { NAIVE_STS = 360, NAIVE_KEYS = 24 /* 0: root */, NAIVE_ADDRS = 24, NAIVE_CARRIED = 4 /* in a world */, NAIVE_OWN = 14 };
struct naive_st {
    int kind, by, grant, about;       /* grant and about: a key or a statement; -1: none */
    int name, addr, tkey, num, flags, uses, until, life, gateway;
    int epoch, prev, n, time, coord;  /* coordinators; prev: the entry before, -1: none */
    int n_carried, carried[NAIVE_CARRIED];
    uint8_t hash[PV_LOGST_HASH_LEN];
};
static struct naive_st naive_sts[NAIVE_STS];
static int naive_n, naive_keep_max = 3;
struct naive {
    int epoch, coord, moved, time, version, own, ages, n_rows, rows[NAIVE_STS];
    struct naive_member { bool is, waits, phone; int name, addr, tkey, num, join, life, since; } m[NAIVE_KEYS];
    struct { bool is, ended; int key, rights, age; } g[NAIVE_STS];
    struct { bool is, approval; int uses, until, life, by, grant; } inv[NAIVE_STS];
    struct { bool is; int time, key; } freed[NAIVE_ADDRS];
    bool out[NAIVE_KEYS], done[NAIVE_STS], dead[NAIVE_STS];
};
static inline bool naive_office(const struct naive *s, int by, int grant, int right)  /* R2 */
{
    return by == 0 || (grant >= 0 && s->g[grant].is && s->g[grant].key == by && (s->g[grant].rights & right) != 0 && !s->g[grant].ended);
}
static inline int naive_right(int kind)  /* R2; 0: only root has it */
{
    if (kind == PV_LOGST_INVITE || kind == PV_LOGST_ADMIT || kind == PV_LOGST_PLACE) return PV_GRANT_INVITE;
    return kind == PV_LOGST_REMOVE || kind == PV_LOGST_END || kind == PV_LOGST_TAKE || kind == PV_LOGST_ROW ? PV_GRANT_REMOVE : 0;
}
static inline bool naive_ends_grant(const struct naive *s, const struct naive_st *x, int g)  /* R2, R9 */
{
    if (x->kind == PV_LOGST_END) return g == x->about;
    return (x->kind == PV_LOGST_REMOVE || x->kind == PV_LOGST_LEAVE) && g >= 0 && s->g[g].is && s->g[g].key == x->about && !s->g[g].ended;
}
static inline bool naive_ends(const struct naive *s, const struct naive_st *x)  /* R5 */
{
    for (int g = 0; g < naive_n; g++) if (naive_ends_grant(s, x, g)) return true;
    return false;
}
static inline bool naive_claimed(const struct naive *s, int key, int name, int addr, int tkey, int now)  /* R7, R11 */
{
    for (int k = 0; k < NAIVE_KEYS; k++)
        if (k != key && s->m[k].is && (s->m[k].name == name || s->m[k].addr == addr || s->m[k].tkey == tkey)) return true;
    return addr >= 0 && s->freed[addr].is && s->freed[addr].key != key && now - s->freed[addr].time < (int)PV_FOLD_REST;
}
static inline enum pv_why naive_why_join(const struct naive *s, const struct naive_st *x, int now)  /* R8 */
{
    if (x->grant < 0 || !s->inv[x->grant].is || naive_sts[x->grant].tkey != x->by) return PV_WHY_NO_INVITE;
    if (s->dead[x->grant]) return PV_WHY_REVOKED;
    if (s->inv[x->grant].uses < 1) return PV_WHY_SPENT;
    if (now > s->inv[x->grant].until) return PV_WHY_WINDOW;
    if (!naive_office(s, s->inv[x->grant].by, s->inv[x->grant].grant, PV_GRANT_INVITE)) return PV_WHY_ADMIN_GONE;
    if (s->m[x->about].is) return PV_WHY_MEMBER;
    if (s->out[x->about]) return PV_WHY_REMOVED;  /* R2 */
    if (x->addr == 0) return PV_WHY_RANGE;
    return naive_claimed(s, x->about, x->name, x->addr, x->tkey, now) ? PV_WHY_CLAIMED : PV_WHY_ALLOWED;
}
static inline enum pv_why naive_why(const struct naive *s, int uid, int now)
{
    const struct naive_st *x = &naive_sts[uid];
    const struct naive_member *m = &s->m[x->about < 0 ? 0 : x->about % NAIVE_KEYS];
    bool right = naive_office(s, x->by, x->grant, naive_right(x->kind));
    if (s->done[uid]) return PV_WHY_COUNTED;  /* R1 */
    if (x->kind == PV_LOGST_JOIN) return naive_why_join(s, x, now);
    if (x->kind == PV_LOGST_PLACE || x->kind == PV_LOGST_KEY || x->kind == PV_LOGST_LEAVE) {
        if (!m->is || (x->by != x->about && !(x->kind == PV_LOGST_PLACE && right))) return PV_WHY_RIGHT;
        if (x->kind == PV_LOGST_LEAVE) return PV_WHY_ALLOWED;
        if (x->num != m->num + 1) return PV_WHY_OLD;  /* R7 */
        if (x->by == x->about && s->own >= NAIVE_OWN) return PV_WHY_FULL;  /* R15 */
        if (x->kind == PV_LOGST_KEY) return naive_claimed(s, x->about, -1, -1, x->tkey, now) ? PV_WHY_CLAIMED : PV_WHY_ALLOWED;
        if (x->addr == 0) return PV_WHY_RANGE;
        return naive_claimed(s, x->about, x->name, x->addr, -1, now) ? PV_WHY_CLAIMED : PV_WHY_ALLOWED;
    }
    if (x->kind == PV_LOGST_END && s->g[x->about].is && s->g[x->about].ended) return PV_WHY_ENDED;
    if (x->kind == PV_LOGST_END && s->g[x->about].is && s->g[x->about].key == x->by && x->grant == x->about) return PV_WHY_ALLOWED;  /* its own office */
    if (!right) return PV_WHY_RIGHT;
    if (x->kind == PV_LOGST_GRANT && (s->g[uid].is || s->out[x->about])) return PV_WHY_ENDED;  /* ended first */
    if ((x->kind == PV_LOGST_ROW || x->kind == PV_LOGST_INVITE) && s->dead[uid]) return PV_WHY_TAKEN_BACK;  /* likewise */
    if (x->kind == PV_LOGST_VERSION && x->num <= s->version) return PV_WHY_OLD;  /* R16 */
    if (x->kind == PV_LOGST_ADMIT) {
        for (int k = 0; k < NAIVE_KEYS; k++) if (s->m[k].is && s->m[k].waits && s->m[k].join == x->about) return PV_WHY_ALLOWED;
        return PV_WHY_NOBODY_WAITS;
    }
    return PV_WHY_ALLOWED;
}
static inline void naive_do(struct naive *s, int uid, int now)
{
    const struct naive_st *x = &naive_sts[uid];
    const struct naive before = *s;
    bool self = x->kind == PV_LOGST_PLACE || x->kind == PV_LOGST_KEY;
    s->done[uid] = true;  /* R1 */
    for (int i = 0; i < x->n_carried; i++) {  /* R9 */
        const struct naive_st *y = &naive_sts[x->carried[i]];
        if (naive_ends_grant(&before, x, y->grant) && !naive_ends(s, y) && naive_why(s, x->carried[i], now) == PV_WHY_ALLOWED) naive_do(s, x->carried[i], now);
    }
    for (int g = 0; g < naive_n; g++)
        if (naive_ends_grant(&before, x, g)) {
            if (!s->g[g].is) s->g[g].key = -1;
            s->g[g].is = s->g[g].ended = true;
        }
    struct naive_member *m = &s->m[x->about < 0 ? 0 : x->about % NAIVE_KEYS];
    if (x->kind == PV_LOGST_COORDINATORS) {  /* R3, R7, R12 */
        s->epoch = x->epoch, s->coord = x->coord, s->moved = uid;
        for (int a = 0; a < NAIVE_ADDRS; a++) if (s->freed[a].is && s->freed[a].time > now) s->freed[a].time = now;
        for (int k = 0; k < NAIVE_KEYS; k++) if (s->m[k].is) s->m[k].since = now;
    }
    if (x->kind == PV_LOGST_VERSION) s->version = x->num;  /* R16 */
    if (x->kind == PV_LOGST_GRANT) s->g[uid].is = true, s->g[uid].key = x->about, s->g[uid].rights = x->flags, s->g[uid].age = s->ages++;
    if (x->kind == PV_LOGST_INVITE) s->inv[uid].is = true, s->inv[uid].uses = x->uses, s->inv[uid].until = x->until, s->inv[uid].approval = x->flags, s->inv[uid].life = x->life, s->inv[uid].by = x->by, s->inv[uid].grant = x->grant;
    if (x->kind == PV_LOGST_JOIN) {  /* R8 */
        s->inv[x->grant].uses--;
        s->freed[x->addr].is = false;
        *m = (struct naive_member){true, s->inv[x->grant].approval, x->flags, x->name, x->addr, x->tkey, 0, uid, s->inv[x->grant].life, now};
    }
    if (x->kind == PV_LOGST_ADMIT) for (int k = 0; k < NAIVE_KEYS; k++) if (s->m[k].join == x->about) s->m[k].waits = false;  /* R8 */
    if (self) m->num++;
    if (self && x->by == x->about) s->own++;  /* R15 */
    if (x->kind == PV_LOGST_PLACE) {  /* R7 */
        if (x->addr != m->addr) s->freed[m->addr].is = true, s->freed[m->addr].time = now, s->freed[m->addr].key = x->about;
        s->freed[x->addr].is = false;
        m->name = x->name, m->addr = x->addr;
    }
    if (x->kind == PV_LOGST_KEY) m->tkey = x->tkey;           /* R11 */
    if (x->kind == PV_LOGST_ROW) s->rows[s->n_rows++] = uid;  /* R10 */
    if (x->kind == PV_LOGST_TAKE) {  /* R8, R10 */
        int n = 0;
        s->dead[x->about] = true;
        for (int i = 0; i < s->n_rows; i++) if (s->rows[i] != x->about) s->rows[n++] = s->rows[i];
        s->n_rows = n;
    }
    if (x->kind == PV_LOGST_REMOVE || x->kind == PV_LOGST_LEAVE) {  /* R2, R7 */
        s->out[x->about] = true;
        if (m->is) s->freed[m->addr].is = true, s->freed[m->addr].time = now, s->freed[m->addr].key = x->about;
        *m = (struct naive_member){.join = -1};
    }
}
static const struct naive *naive_sort_by;
static inline int naive_by_hash(const void *a, const void *b)
{
    return memcmp(naive_sts[*(const int *)a].hash, naive_sts[*(const int *)b].hash, PV_LOGST_HASH_LEN);
}
static inline int naive_age(const struct naive_st *x)
{
    return x->grant >= 0 && naive_sort_by->g[x->grant].is && naive_sort_by->g[x->grant].key == x->by ? naive_sort_by->g[x->grant].age : NAIVE_STS;
}
static inline int naive_by_age(const void *a, const void *b)
{
    const struct naive_st *sts[2] = {&naive_sts[*(const int *)a], &naive_sts[*(const int *)b]};
    int x = naive_age(sts[0]), y = naive_age(sts[1]);
    return x != y ? x - y : naive_by_hash(a, b);
}
static inline int naive_keep(const struct naive *s, const bool *known, int *kept)  /* R15; by hash */
{
    int n = 0, order[NAIVE_STS], total = 0;
    for (int row = 0; row < 2; row++, qsort(order + n, (size_t)(total - n), sizeof(int), naive_by_hash), n = total)
        for (int i = 0; i < naive_n; i++) if (known[i] && pv_logst_is_free((uint8_t)naive_sts[i].kind) && (naive_sts[i].kind == PV_LOGST_ROW) == row) order[total++] = i;
    n = 0;
    for (int i = 0, same = 0; i < total; i++, same = 0) {
        const struct naive_st *x = &naive_sts[order[i]];
        enum pv_why why = naive_why(s, order[i], s->time);
        bool leave = x->kind == PV_LOGST_LEAVE, granted = leave || x->by == 0 || (x->grant >= 0 && s->g[x->grant].is && !s->g[x->grant].ended && s->g[x->grant].key == x->by);
        if (!granted && x->grant >= 0 && !s->g[x->grant].is && known[x->grant]) granted = naive_sts[x->grant].kind == PV_LOGST_GRANT && naive_sts[x->grant].by == 0 && naive_sts[x->grant].about == x->by && naive_why(s, x->grant, 0) == PV_WHY_ALLOWED;
        if (!granted || s->done[order[i]] || (x->kind == PV_LOGST_GRANT && x->by != 0) || why == PV_WHY_ENDED || why == PV_WHY_TAKEN_BACK) continue;
        for (int j = 0; j < n; j++) same += leave ? naive_sts[kept[j]].kind == PV_LOGST_LEAVE && naive_sts[kept[j]].by == x->by : naive_sts[kept[j]].kind != PV_LOGST_LEAVE && naive_sts[kept[j]].by != 0 && naive_sts[kept[j]].grant == x->grant;
        if ((!leave && x->by == 0) || same < (leave ? 1 : naive_keep_max)) kept[n++] = order[i];
    }
    qsort(kept, (size_t)n, sizeof(int), naive_by_hash);
    return n;
}
static inline int naive_with_outside(struct naive *s, const bool *known, int *took)  /* R5, R6 */
{
    int kept[NAIVE_STS], ends[NAIVE_STS], n = naive_keep(s, known, kept), n_ends = 0, n_took = 0;
    for (int step = 0; step < 4; step++) {
        if (step == 2) {
            for (int i = 0; i < n; i++) if (naive_ends(s, &naive_sts[kept[i]])) ends[n_ends++] = kept[i];
            struct naive after_root = *s;
            naive_sort_by = &after_root;
            qsort(ends, (size_t)n_ends, sizeof(int), naive_by_age);
        }
        for (int i = 0; i < (step == 2 ? n_ends : n); i++) {
            int u = step == 2 ? ends[i] : kept[i];
            if (step < 2 && (naive_sts[u].by != 0 || (naive_sts[u].kind == PV_LOGST_GRANT) != (step == 0))) continue;
            if (naive_why(s, u, s->time) == PV_WHY_ALLOWED) naive_do(s, u, s->time), took[n_took++] = u;
        }
    }
    return n_took;
}
static inline bool naive_prefer(const struct naive *new, const struct naive *old, bool extends)  /* R4 */
{
    if (new->moved == old->moved) return extends;
    return new->epoch > old->epoch || (new->epoch == old->epoch && memcmp(naive_sts[new->moved].hash, naive_sts[old->moved].hash, 32) < 0);
}
/* clang-format on */
