/* SPDX-License-Identifier: MIT */
/* sealkeys.c - a table of members' sealing keys, on disk by rows. */
#include "daemon/core/member/sealkeys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "crypto/hash.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"

/* One key, as it is stored. */
struct entry {
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t ek[PV_KEM_EK_LEN];
};

struct row {
    struct entry *entries; /* owned; oldest first; NULL: there are none */
    size_t n;
    bool stale; /* what is stored is another row */
};

struct pv_sealkeys {
    struct pv_node *node;
    bool has_cert;
    uint8_t cert[PV_SEALING_CERT_LEN];
    uint8_t row_key[PV_BLAKE2S_LEN]; /* of pv_sealkeys_row() */
    struct row rows[PV_SEALKEYS_ROWS];
    bool stale;                            /* some row is */
    struct pv_sealing_to to;               /* what pv_sealkeys_to() gave last */
    uint64_t sealed[PV_SEALKEYS_KINDS][2]; /* boxes; [1]: hybrid ones */
};

/* A label of its own keeps this key apart from everything else that follows from the identity. */
static void make_row_key(const struct pv_identity *identity, uint8_t ret_key[static PV_BLAKE2S_LEN])
{
    static const char label[] = "p2pvpnd: row of a sealing key, 1";
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(identity->sign_sk, PV_SIGN_SEED_LEN), PV_BLAKE2S_LEN);
    pv_blake2s_update(&s, label, sizeof(label));
    pv_blake2s_final(&s, ret_key);
}

/* A library that fails here leaves this node without a key; `status` says why it has no KEM. */
static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_sealkeys *k = part;
    make_row_key(k->node->identity, k->row_key);
    k->has_cert = cfg->given.kem != NULL && cfg->given.pq != PV_PQ_OFF &&
                  pv_sealing_certify(cfg->given.kem, k->node->identity->sign_sk, k->cert) == PV_OK;
    return PV_OK;
}

static void free_sealkeys(void *part)
{
    struct pv_sealkeys *k = part;
    for (size_t i = 0; i < PV_SEALKEYS_ROWS; i++)
        free(k->rows[i].entries);
    pv_wipe(k->row_key, sizeof(k->row_key));
}

size_t pv_sealkeys_row(const struct pv_sealkeys *k, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    uint8_t mac[PV_MAC_LEN];
    pv_blake2s_mac(mac, pv_view(k->row_key, sizeof(k->row_key)), pv_view(pk, PV_SIGN_PK_LEN));
    return mac[0] % PV_SEALKEYS_ROWS;
}

static void name_row(size_t i, char buf[static PV_JOB_META_NAME])
{
    snprintf(buf, PV_JOB_META_NAME, "sealing-keys-%02zu", i);
}

/* Rows are short, so that a key costs a look at 16 and one write of 19 KB at most. */
static struct entry *find(const struct pv_sealkeys *k, const uint8_t *pk)
{
    const struct row *row = &k->rows[pv_sealkeys_row(k, pk)];
    for (size_t i = 0; i < row->n; i++)
        if (memcmp(row->entries[i].pk, pk, sizeof(row->entries[i].pk)) == 0)
            return &row->entries[i];
    return NULL;
}

/* At the end of its row, where there is room. PV_ERR_NOMEM. */
static int add_stored(struct pv_sealkeys *k, const struct entry *e)
{
    struct row *row = &k->rows[pv_sealkeys_row(k, e->pk)];
    if (row->entries == NULL)
        row->entries = calloc(PV_SEALKEYS_OF_ROW, sizeof(*row->entries));
    if (row->entries == NULL)
        return PV_ERR_NOMEM;
    if (row->n < PV_SEALKEYS_OF_ROW && find(k, e->pk) == NULL)
        row->entries[row->n++] = *e;
    return PV_OK;
}

/* Under another identity a key was stored in another row: both rows are written anew by
 * run_sealkeys(). */
static int restore_sealkeys(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_sealkeys *k = part;
    for (size_t i = 0; i < PV_SEALKEYS_ROWS; i++) {
        char name[PV_JOB_META_NAME];
        name_row(i, name);
        struct pv_view v = pv_saved_value(cfg->saved, name);
        size_t n = v.len / sizeof(struct entry);
        if (n > PV_SEALKEYS_OF_ROW || v.len % sizeof(struct entry) != 0)
            continue;
        for (size_t at = 0; at < n; at++) {
            struct entry e;
            memcpy(&e, v.ptr + at * sizeof(e), sizeof(e));
            if (add_stored(k, &e) != PV_OK)
                return PV_ERR_NOMEM;
            size_t row = pv_sealkeys_row(k, e.pk);
            if (row != i)
                k->stale = k->rows[row].stale = k->rows[i].stale = true;
        }
    }
    return PV_OK;
}

static void store_row(struct pv_sealkeys *k, size_t i)
{
    char name[PV_JOB_META_NAME];
    name_row(i, name);
    pv_node_put_meta(k->node, name,
                     pv_view(k->rows[i].entries, k->rows[i].n * sizeof(struct entry)));
}

/* Puts the key at the end of its row. A row that could not be stored is stored with the next key of
 * it; at worst the key is told again after a restart, when its owner hears that we lack it. */
static void learn(struct pv_sealkeys *k, const uint8_t *pk, const uint8_t *ek)
{
    size_t i = pv_sealkeys_row(k, pk);
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
static struct pv_sealkeys *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_sealkeys);
}

bool pv_sealkeys_expected(const struct pv_node *n, const struct pv_peer *p)
{
    const struct pv_member *m =
        n->roster == NULL ? NULL : pv_roster_known(n->roster, pv_peer_pk(p));
    const struct pv_sealkeys *k = of(n);
    return k != NULL && k->has_cert && m != NULL && (m->abilities & PV_ABLE_SEALED) != 0;
}

/* Its statement may be on its way yet: then its description counts. */
static bool opens_them(const struct pv_node *n, const struct pv_peer *p)
{
    const struct pv_member *m =
        n->roster == NULL ? NULL : pv_roster_known(n->roster, pv_peer_pk(p));
    const struct pv_desc *theirs = pv_peer_remote(p);
    const struct pv_sealkeys *k = of(n);
    return pv_sealkeys_expected(n, p) || (k != NULL && k->has_cert && m != NULL &&
                                          (m->abilities & ~(uint32_t)PV_ABLE_NO_IP6) == 0 &&
                                          theirs != NULL && (theirs->caps & PV_DESC_CAP_PQ) != 0);
}

/* The key of somebody who cannot use it any more stays, and counts again once its owner says so. */
const struct pv_sealing_to *pv_sealkeys_to(struct pv_node *n, const struct pv_peer *p)
{
    if (!opens_them(n, p))
        return NULL;
    struct pv_sealkeys *k = of(n);
    const struct entry *e = find(k, pv_peer_pk(p));
    if (e == NULL)
        return NULL;
    k->to = (struct pv_sealing_to){.kem = n->given.kem, .ek = e->ek};
    return &k->to;
}

struct pv_view pv_sealkeys_cert_for(const struct pv_node *n, struct pv_peer *p)
{
    if (!opens_them(n, p) || pv_peer_notes(p)->has_sealing)
        return pv_view(NULL, 0);
    return pv_view(of(n)->cert, sizeof(of(n)->cert));
}

/* The signature is checked once for each key, though descriptions repeat it until the sender hears
 * that we have it. */
void pv_sealkeys_heard(struct pv_node *n, struct pv_peer *p, struct pv_view cert, bool sealed)
{
    struct pv_sealkeys *k = of(n);
    if (k == NULL || !k->has_cert)
        return;
    pv_peer_notes(p)->has_sealing = sealed;
    const struct entry *e = find(k, pv_peer_pk(p));
    if (cert.len == 0 ||
        (e != NULL && cert.len > sizeof(e->ek) && memcmp(e->ek, cert.ptr, sizeof(e->ek)) == 0))
        return;
    if (pv_sealing_check(cert, pv_peer_pk(p)) == PV_OK)
        learn(k, pv_peer_pk(p), cert.ptr);
    else
        pv_log(n->log, PV_LOG_WARN,
               "peer=%s what=\"its sealing key is not believed\" why=\"wrong signature\"",
               pv_peer_name(p));
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
    struct pv_sealkeys *k = of(n);
    if (k != NULL)
        k->sealed[kind][hybrid]++;
}

/* --- the part --------------------------------------------------------------------------------- */

/* A member that was removed needs no boxes any more. */
static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct pv_sealkeys *k = part;
    struct entry *e = find(k, pk);
    struct row *row = &k->rows[pv_sealkeys_row(k, pk)];
    if (e == NULL)
        return;
    size_t at = (size_t)(e - row->entries);
    memmove(e, e + 1, (--row->n - at) * sizeof(*e));
    store_row(k, (size_t)(row - k->rows));
}

static void run_sealkeys(void *part, pv_ns now)
{
    struct pv_sealkeys *k = part;
    for (size_t i = 0; i < PV_SEALKEYS_ROWS && k->stale; i++) {
        if (k->rows[i].stale)
            store_row(k, i);
        k->rows[i].stale = false;
    }
    k->stale = false;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_sealkeys *k = part;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(k->node->peers, p)) != NULL;)
        st->pq.sealing_keys += pv_sealkeys_to(k->node, p) != NULL ? 1 : 0;
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    static const char *const of[PV_SEALKEYS_KINDS] = {
        [PV_SEALKEYS_SIGNAL] = "signal", [PV_SEALKEYS_COPY] = "copy"};
    const struct pv_sealkeys *k = part;
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_boxes_sealed_total",
                      "Signals and stored copies sealed for members, by kind.");
    for (size_t i = 0; i < PV_SEALKEYS_KINDS; i++) {
        pv_metrics_count(m, k->sealed[i][1], "of", of[i], "kind", "hybrid", NULL);
        pv_metrics_count(m, k->sealed[i][0], "of", of[i], "kind", "classical", NULL);
    }
}

const struct pv_part pv_part_sealkeys = {
    .name = "sealkeys",
    .size = PV_PART_SIZE(struct pv_sealkeys),
    .start = start,
    .free = free_sealkeys,
    .restore = restore_sealkeys,
    .on_member_gone = on_member_gone,
    .run = run_sealkeys,
    .status = show,
    .metrics = put_metrics,
};
