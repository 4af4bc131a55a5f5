/* SPDX-License-Identifier: MIT */
/*
 * The exchange of preshared keys, with the input as the way between two members: it decides what is
 * said, lost, late, doubled and damaged. Nothing crashes, and when the way is quiet at last both
 * have the same newest key.
 *
 * Each byte is a step: its low three bits what happens, the others which letter, or which byte of
 * it.
 */
#include "crypto/ct.h"
#include "daemon/core/peer/pqx.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/kem_double.h"

enum {
    LETTERS = 8,
    STEPS = 48, /* of an input: each costs a few curve operations */
};

struct side {
    struct pv_pqx *x;
    struct pv_descx_id own, theirs;
    struct pv_ice_creds creds;
    struct pv_hybrid_key newest;
};

struct letter {
    int to; /* -1: the place is free */
    struct pv_desc desc;
    struct pv_desc_pq pq;
};

static struct world {
    uint64_t seed, gen;
    struct pv_rng rng;
    struct side s[2];
    struct letter way[LETTERS];
    size_t next;
} w;

static struct pv_pqx_own own_of(const struct side *s)
{
    return (struct pv_pqx_own){.id = s->own, .creds = &s->creds};
}

static void begin(struct side *s)
{
    pv_ice_make_creds(&w.rng, &s->creds);
    s->own = (struct pv_descx_id){.gen = ++w.gen, .rev = 1};
    const struct pv_pqx_own own = own_of(s);
    pv_pqx_begin(s->x, &own, true);
}

static struct letter describe(int from)
{
    const struct side *s = &w.s[from];
    const struct pv_desc_pq *pq = pv_pqx_say(s->x);
    struct letter l = {.to = 1 - from};
    l.desc.gen = s->own.gen;
    l.desc.rev = s->own.rev;
    l.desc.re_gen = s->theirs.gen;
    l.desc.re_rev = s->theirs.rev;
    l.desc.creds = s->creds;
    l.desc.caps = PV_DESC_CAP_PQ;
    if (pq != NULL)
        l.pq = *pq;
    return l;
}

/* As descx.c takes them: older ones do nothing, and what is new is answered by another revision. */
static void deliver(struct letter *l)
{
    struct side *s = &w.s[l->to];
    struct pv_pqx_key k;
    const struct pv_pqx_own own = own_of(s);
    bool new_gen = l->desc.gen > s->theirs.gen;
    bool same = l->desc.gen == s->theirs.gen && l->desc.rev == s->theirs.rev;
    l->desc.pq = &l->pq;
    if (same)
        pv_pqx_have(s->x, &l->desc);
    if (same || (!new_gen && (l->desc.gen < s->theirs.gen || l->desc.rev < s->theirs.rev)))
        return;
    s->theirs = (struct pv_descx_id){.gen = l->desc.gen, .rev = l->desc.rev};
    if (pv_pqx_take(s->x, &own, &l->desc, new_gen, 1))
        s->own.rev++;
    while (pv_pqx_poll_key(s->x, &k) == PV_OK) {
        must(k.key.id >= 1 && k.key.id <= PV_DESC_PQ_ID_MAX);
        if (k.fresh)
            s->newest = k.key;
    }
}

static void step(uint8_t byte)
{
    struct letter *l = &w.way[(byte >> 3) % LETTERS];
    switch (byte & 7) {
    case 0:
    case 1: /* one of them says what it has to say */
        w.way[w.next++ % LETTERS] = describe(byte & 1);
        return;
    case 2: /* one letter arrives, and stays: it may do so again */
        if (l->to >= 0)
            deliver(l);
        return;
    case 3:
        l->to = -1;
        return;
    case 4: /* of what a member seals nothing is damaged, but members may be malicious */
        l->pq.kem[byte] ^= 1;
        return;
    case 5:
        l->pq.dh[byte >> 3] ^= 1;
        return;
    case 6:
        l->pq.kind = (enum pv_desc_pq_kind)((byte >> 3) % 3);
        return;
    case 7:
        begin(&w.s[byte >> 7]);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    w = (struct world){.seed = 1};
    w.rng = (struct pv_rng){.fill = fuzz_fill_mix, .ctx = &w.seed};
    for (int i = 0; i < 2; i++) {
        struct pv_pqx_config cfg = {.kem = &kem_double, .rng = w.rng};
        cfg.own_pk[0] = (uint8_t)i;
        cfg.peer_pk[0] = (uint8_t)(1 - i);
        must(pv_pqx_new(&w.s[i].x, &cfg) == PV_OK);
        begin(&w.s[i]);
    }
    for (size_t i = 0; i < LETTERS; i++)
        w.way[i].to = -1;
    for (size_t i = 0; i < len && i < STEPS; i++)
        step(data[i]);
    /* Both begin anew, since a malicious word may have spoilt this generation; then all arrives. */
    begin(&w.s[0]);
    begin(&w.s[1]);
    for (int turn = 0; turn < 8; turn++) {
        w.s[turn & 1].own.rev++;
        struct letter l = describe(turn & 1);
        deliver(&l);
    }
    must(memcmp(&w.s[0].newest, &w.s[1].newest, sizeof(w.s[0].newest)) == 0);
    must(w.s[0].newest.id != 0);
    for (int i = 0; i < 2; i++)
        pv_pqx_free(w.s[i].x);
    return 0;
}
