/* SPDX-License-Identifier: MIT */
/* sealkeys.c - a table of members' sealing keys, on disk by rows. */
#include "daemon/core/member/sealkeys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/peer/peers.h"

/* One key, as it is stored. */
struct entry {
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t ek[PV_KEM_EK_LEN];
};

struct row {
    struct entry *entries; /* owned; oldest first; NULL: there are none */
    size_t n;
};

struct pv_sealkeys {
    struct pv_node *node;
    bool has_cert;
    uint8_t cert[PV_SEALING_CERT_LEN];
    struct row rows[PV_SEALKEYS_ROWS];
    struct pv_sealing_to to;               /* what pv_sealkeys_to() gave last */
    uint64_t sealed[PV_SEALKEYS_KINDS][2]; /* boxes; [1]: hybrid ones */
};

/* A library that fails here leaves this node without a key; `status` says why it has no KEM. */
static int make_sealkeys(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                         void **ret_part)
{
    struct pv_sealkeys *k = calloc(1, sizeof(*k));
    (void)now;
    if (k == NULL)
        return PV_ERR_NOMEM;
    k->node = node;
    k->has_cert = cfg->kem != NULL && cfg->pq != PV_PQ_OFF &&
                  pv_sealing_certify(cfg->kem, node->identity->sign_sk, k->cert) == PV_OK;
    node->sealkeys = k;
    *ret_part = k;
    return PV_OK;
}

static void free_sealkeys(void *part)
{
    struct pv_sealkeys *k = part;
    for (size_t i = 0; i < PV_SEALKEYS_ROWS; i++)
        free(k->rows[i].entries);
    k->node->sealkeys = NULL;
    free(k);
}

static size_t row_of(const uint8_t *pk)
{
    return pk[0] % PV_SEALKEYS_ROWS;
}

static void name_row(size_t i, char buf[static PV_JOB_META_NAME])
{
    snprintf(buf, PV_JOB_META_NAME, "sealing-keys-%02zu", i);
}

static int restore_sealkeys(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_sealkeys *k = part;
    (void)now;
    for (size_t i = 0; i < PV_SEALKEYS_ROWS; i++) {
        char name[PV_JOB_META_NAME];
        name_row(i, name);
        struct pv_view v = pv_saved_value(cfg->saved, name);
        size_t n = v.len / sizeof(struct entry);
        if (n == 0 || n > PV_SEALKEYS_OF_ROW || v.len % sizeof(struct entry) != 0)
            continue;
        k->rows[i].entries = calloc(PV_SEALKEYS_OF_ROW, sizeof(struct entry));
        if (k->rows[i].entries == NULL)
            return PV_ERR_NOMEM;
        memcpy(k->rows[i].entries, v.ptr, v.len);
        k->rows[i].n = n;
    }
    return PV_OK;
}

/* Rows are short, so that a key costs a look at 16 and one write of 19 KB at most. */
static struct entry *find(const struct pv_sealkeys *k, const uint8_t *pk)
{
    const struct row *row = &k->rows[row_of(pk)];
    for (size_t i = 0; i < row->n; i++)
        if (memcmp(row->entries[i].pk, pk, sizeof(row->entries[i].pk)) == 0)
            return &row->entries[i];
    return NULL;
}

static void store_row(struct pv_sealkeys *k, size_t i)
{
    char name[PV_JOB_META_NAME];
    name_row(i, name);
    pv_node_put_meta(k->node, name,
                     pv_view(k->rows[i].entries, k->rows[i].n * sizeof(struct entry)),
                     &pv_part_sealkeys, 0);
}

/* Puts the key at the end of its row. A row that could not be stored is stored with the next key of
 * it; at worst the key is told again after a restart, when its owner hears that we lack it. */
static void learn(struct pv_sealkeys *k, const uint8_t *pk, const uint8_t *ek)
{
    size_t i = row_of(pk);
    struct row *row = &k->rows[i];
    struct entry *e = find(k, pk);
    if (e != NULL && memcmp(e->ek, ek, sizeof(e->ek)) == 0)
        return;
    if (row->entries == NULL)
        row->entries = calloc(PV_SEALKEYS_OF_ROW, sizeof(*row->entries));
    if (row->entries == NULL)
        return; /* it comes again with the next description */
    if (e == NULL && row->n == PV_SEALKEYS_OF_ROW)
        memmove(row->entries, row->entries + 1, --row->n * sizeof(*row->entries));
    if (e == NULL)
        e = &row->entries[row->n++];
    memcpy(e->pk, pk, sizeof(e->pk));
    memcpy(e->ek, ek, sizeof(e->ek));
    store_row(k, i);
}

/* --- for other parts -------------------------------------------------------------------------- */

bool pv_sealkeys_expected(const struct pv_node *n, const struct pv_peer *p)
{
    const struct pv_member *m =
        n->roster == NULL ? NULL : pv_roster_known(n->roster, pv_peer_pk(p));
    return n->sealkeys != NULL && n->sealkeys->has_cert && m != NULL &&
           (m->abilities & PV_ABLE_SEALED) != 0;
}

/* Its statement may be on its way yet: earlier versions state what they do, without this. */
static bool opens_them(const struct pv_node *n, const struct pv_peer *p)
{
    const struct pv_member *m =
        n->roster == NULL ? NULL : pv_roster_known(n->roster, pv_peer_pk(p));
    const struct pv_desc *theirs = pv_peer_remote(p);
    return pv_sealkeys_expected(n, p) ||
           (n->sealkeys != NULL && n->sealkeys->has_cert && m != NULL && m->abilities == 0 &&
            theirs != NULL && (theirs->caps & PV_DESC_CAP_PQ) != 0);
}

/* The key of somebody who cannot use it any more stays, and counts again once its owner says so. */
const struct pv_sealing_to *pv_sealkeys_to(struct pv_node *n, const struct pv_peer *p)
{
    if (!opens_them(n, p))
        return NULL;
    const struct entry *e = find(n->sealkeys, pv_peer_pk(p));
    if (e == NULL)
        return NULL;
    n->sealkeys->to = (struct pv_sealing_to){.kem = pv_peers_env(n->peers)->kem, .ek = e->ek};
    return &n->sealkeys->to;
}

struct pv_view pv_sealkeys_cert_for(const struct pv_node *n, struct pv_peer *p)
{
    if (!opens_them(n, p) || pv_peer_notes(p)->has_sealing)
        return pv_view(NULL, 0);
    return pv_view(n->sealkeys->cert, sizeof(n->sealkeys->cert));
}

/* The signature is checked once for each key, though descriptions repeat it until the sender hears
 * that we have it. */
void pv_sealkeys_heard(struct pv_node *n, struct pv_peer *p, struct pv_view cert, bool sealed)
{
    if (n->sealkeys == NULL || !n->sealkeys->has_cert)
        return;
    pv_peer_notes(p)->has_sealing = sealed;
    const struct entry *e = find(n->sealkeys, pv_peer_pk(p));
    if (cert.len == 0 ||
        (e != NULL && cert.len > sizeof(e->ek) && memcmp(e->ek, cert.ptr, sizeof(e->ek)) == 0))
        return;
    if (pv_sealing_check(cert, pv_peer_pk(p)) == PV_OK)
        learn(n->sealkeys, pv_peer_pk(p), cert.ptr);
    else
        pv_log(n->log, PV_LOG_WARN,
               "peer=%s what=\"its sealing key is not believed\" why=\"wrong signature\"",
               pv_peer_name(p));
}

bool pv_sealkeys_secret(const struct pv_node *n, struct pv_view box,
                        uint8_t ret_psk[static PV_NOISE_PSK_LEN])
{
    const struct pv_kem *kem = pv_peers_env(n->peers)->kem;
    return kem != NULL && pv_sealing_is(box) &&
           pv_sealing_secret(kem, n->identity->sign_sk, box, ret_psk) == PV_OK;
}

void pv_sealkeys_count(struct pv_node *n, enum pv_sealkeys_kind kind, bool hybrid)
{
    if (n->sealkeys != NULL)
        n->sealkeys->sealed[kind][hybrid]++;
}

/* --- the part --------------------------------------------------------------------------------- */

/* Who was removed needs no boxes any more. */
static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct pv_sealkeys *k = part;
    struct entry *e = find(k, pk);
    struct row *row = &k->rows[row_of(pk)];
    (void)now;
    if (e == NULL)
        return;
    size_t at = (size_t)(e - row->entries);
    memmove(e, e + 1, (--row->n - at) * sizeof(*e));
    store_row(k, row_of(pk));
}

static void on_job(void *part, uint64_t tag, struct pv_job_result *result, pv_ns now)
{
    struct pv_sealkeys *k = part;
    (void)tag;
    (void)now;
    pv_node_stored(k->node, result);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_sealkeys *k = part;
    (void)now;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(k->node->peers, p)) != NULL;)
        st->pq.sealing_keys += pv_sealkeys_to(k->node, p) != NULL ? 1 : 0;
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    static const char *const of[PV_SEALKEYS_KINDS] = {
        [PV_SEALKEYS_SIGNAL] = "signal", [PV_SEALKEYS_COPY] = "copy"};
    const struct pv_sealkeys *k = part;
    (void)now;
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_boxes_sealed_total",
                      "Signals and stored copies sealed for members, by kind.");
    for (size_t i = 0; i < PV_SEALKEYS_KINDS; i++) {
        pv_metrics_count(m, k->sealed[i][1], "of", of[i], "kind", "hybrid", NULL);
        pv_metrics_count(m, k->sealed[i][0], "of", of[i], "kind", "classical", NULL);
    }
}

const struct pv_part pv_part_sealkeys = {
    .name = "sealkeys",
    .make = make_sealkeys,
    .free = free_sealkeys,
    .restore = restore_sealkeys,
    .on_member_gone = on_member_gone,
    .on_job = on_job,
    .status = show,
    .metrics = put_metrics,
};
