/* SPDX-License-Identifier: MIT */
/* sealkeys.c - to whom boxes are hybrid, and how many were. */
#include "daemon/core/member/sealkeys.h"

#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"

struct sealkeys {
    struct pv_node *node;
    bool has_key;
    uint8_t ek[PV_KEM_EK_LEN];             /* own */
    struct pv_sealing_to to;               /* what pv_sealkeys_to() gave last */
    uint64_t sealed[PV_SEALKEYS_KINDS][2]; /* boxes; [1]: hybrid ones */
};

/* A library that fails here leaves this node without a key; `status` says why it has no KEM. */
static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct sealkeys *k = part;
    k->has_key = cfg->given.kem != NULL && cfg->given.pq != PV_PQ_OFF &&
                 pv_sealing_key(cfg->given.kem, k->node->identity->sign_sk, k->ek) == PV_OK;
    return PV_OK;
}

/* --- transport keys of this node -------------------------------------------------------------- */

struct pv_noise_static pv_ownkeys_current(const struct pv_identity *id)
{
    struct pv_noise_static key = {.sk = id->dh_sk};
    memcpy(key.pk, id->dh_pk, sizeof(key.pk));
    return key;
}

bool pv_ownkeys_next(const struct pv_identity *id, size_t *iter, struct pv_noise_static *ret_key)
{
    if (*iter == 0) {
        *iter = 1;
        *ret_key = pv_ownkeys_current(id);
        return true;
    }
    while (*iter <= PV_ARRAY_LEN(id->others)) {
        const struct pv_other_key *other = &id->others[(*iter)++ - 1];
        if (!other->used)
            continue;
        ret_key->sk = other->sk;
        memcpy(ret_key->pk, other->pk, sizeof(ret_key->pk));
        return true;
    }
    return false;
}

/* --- for other parts -------------------------------------------------------------------------- */

/* NULL where a test has no such part. */
static struct sealkeys *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_sealkeys);
}

struct pv_view pv_sealkeys_own(const struct pv_node *n)
{
    const struct sealkeys *k = of(n);
    return k == NULL || !k->has_key ? pv_view(NULL, 0) : pv_view(k->ek, sizeof(k->ek));
}

const struct pv_sealing_to *pv_sealkeys_to(struct pv_node *n, const struct pv_peer *p)
{
    struct sealkeys *k = of(n);
    const struct pv_st_card *card =
        n->roster == NULL ? NULL : pv_roster_card(n->roster, pv_peer_pk(p));
    if (k == NULL || !k->has_key || card == NULL || card->kem.len == 0)
        return NULL;
    k->to = (struct pv_sealing_to){.kem = n->given.kem, .ek = card->kem.ptr};
    return &k->to;
}

bool pv_sealkeys_secret(const struct pv_node *n, struct pv_view box,
                        uint8_t ret_psk[static PV_NOISE_PSK_LEN])
{
    const struct pv_kem *kem = n->given.kem;
    return kem != NULL && pv_sealing_is(box) &&
           pv_sealing_secret(kem, n->identity->sign_sk, box, ret_psk) == PV_OK;
}

void pv_sealkeys_count(struct pv_node *n, enum pv_sealkeys_kind kind, bool hybrid)
{
    struct sealkeys *k = of(n);
    if (k != NULL)
        k->sealed[kind][hybrid]++;
}

/* --- the part --------------------------------------------------------------------------------- */

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct sealkeys *k = part;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(k->node->peers, p)) != NULL;)
        st->pq.sealing_keys += pv_sealkeys_to(k->node, p) != NULL ? 1 : 0;
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    static const char *const of[PV_SEALKEYS_KINDS] = {
        [PV_SEALKEYS_SIGNAL] = "signal", [PV_SEALKEYS_COPY] = "copy"};
    const struct sealkeys *k = part;
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_boxes_sealed_total",
                      "Signals and stored copies sealed for members, by kind.");
    for (size_t i = 0; i < PV_SEALKEYS_KINDS; i++) {
        pv_metrics_count(m, k->sealed[i][1], "of", of[i], "kind", "hybrid", NULL);
        pv_metrics_count(m, k->sealed[i][0], "of", of[i], "kind", "classical", NULL);
    }
}

const struct pv_part pv_part_sealkeys = {
    .name = "sealkeys",
    .size = PV_PART_SIZE(struct sealkeys),
    .start = start,
    .status = show,
    .metrics = put_metrics,
};
