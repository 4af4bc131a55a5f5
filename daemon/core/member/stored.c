/* SPDX-License-Identifier: MIT */
/* Marks of stored statements: BLAKE2s with a key over statement and receipt, each with its length.
 * The network's id stands in the statement. */
#include "daemon/core/member/stored.h"

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/hash.h"
#include "proto/roster/roster.h"

enum {
    MARK_KEY_LEN = 32,
};

/* A label of its own keeps this key apart from everything else that follows from the identity. */
static void mark_key(const struct pv_identity *identity, uint8_t ret_key[static MARK_KEY_LEN])
{
    static const char label[] = "p2pvpnd: mark of a stored statement, 1";
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(identity->sign_sk, PV_SIGN_SEED_LEN), MARK_KEY_LEN);
    pv_blake2s_update(&s, label, sizeof(label));
    pv_blake2s_final(&s, ret_key);
}

static void add_bytes(struct pv_blake2s *s, struct pv_view v)
{
    uint8_t len[8];
    pv_store_be64(len, v.len);
    pv_blake2s_update(s, len, sizeof(len));
    if (v.len > 0)
        pv_blake2s_update(s, v.ptr, v.len);
}

static void make_mark(const uint8_t key[static MARK_KEY_LEN],
                      const struct pv_stored_statement *item,
                      uint8_t ret_mark[static PV_JOB_MARK_LEN])
{
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(key, MARK_KEY_LEN), PV_JOB_MARK_LEN);
    add_bytes(&s, item->statement);
    add_bytes(&s, item->receipt);
    pv_blake2s_final(&s, ret_mark);
}

void pv_stored_mark(const struct pv_identity *identity, struct pv_stored_statement *item)
{
    uint8_t key[MARK_KEY_LEN];
    mark_key(identity, key);
    make_mark(key, item, item->mark);
    item->has_mark = true;
    pv_wipe(key, sizeof(key));
}

static bool is_marked(const uint8_t key[static MARK_KEY_LEN],
                      const struct pv_stored_statement *item)
{
    uint8_t mark[PV_JOB_MARK_LEN];
    if (!item->has_mark)
        return false;
    make_mark(key, item, mark);
    return pv_ct_equal(mark, item->mark, sizeof(mark));
}

/* A roster grows from the network's record, wherever the store put it. Beside it that of another
 * network may lie, of a join whose last steps failed. */
static int new_roster(const struct pv_node *n, const struct pv_saved *saved,
                      struct pv_roster **ret_roster)
{
    int r = PV_ERR_MALFORMED;
    for (size_t i = 0; i < saved->n_statements; i++) {
        struct pv_statement s;
        if (pv_statement_decode(saved->statements[i].statement, &s) == PV_OK &&
            s.type == PV_ST_NETWORK)
            r = pv_roster_new(saved->statements[i].statement, saved->network_id, &n->rng,
                              ret_roster);
        if (r == PV_OK || r == PV_ERR_NOMEM)
            return r;
    }
    return r;
}

/* A statement that is refused stays in the store without a mark: it would be refused again. */
static int load_one(const struct pv_node *n, struct pv_roster *r,
                    const struct pv_stored_statement *item, bool marked, bool *ret_kept)
{
    enum pv_roster_added added;
    int status = marked ? pv_roster_load(r, item->statement, NULL, item->receipt, &added)
                        : pv_roster_add(r, item->statement, item->receipt, &added);
    *ret_kept = status == PV_OK && added != PV_ROSTER_ORPHAN;
    if (status != PV_OK && status != PV_ERR_NOMEM)
        pv_log(n->log, PV_LOG_WARN, "what=\"stored statement refused\" why=\"%s\"",
               pv_strstatus(status));
    return status == PV_ERR_NOMEM ? status : PV_OK;
}

/* The news of EV_STATEMENT about it is on disk already. */
int pv_stored_load(const struct pv_node *n, const struct pv_saved *saved,
                   struct pv_roster **ret_roster, bool *ret_marked)
{
    struct pv_roster *r = NULL;
    struct pv_roster_event ev;
    uint8_t key[MARK_KEY_LEN];
    int status = new_roster(n, saved, &r);
    *ret_marked = true;
    mark_key(n->identity, key);
    for (size_t i = 0; status == PV_OK && i < saved->n_statements; i++) {
        bool marked = is_marked(key, &saved->statements[i]), kept = false;
        status = load_one(n, r, &saved->statements[i], marked, &kept);
        *ret_marked = *ret_marked && (marked || !kept);
    }
    pv_wipe(key, sizeof(key));
    if (status != PV_OK) {
        pv_roster_free(r); /* what is missing here would be missing until the next start */
        return status;
    }
    while (pv_roster_poll_event(r, &ev) == PV_OK)
        continue;
    *ret_roster = r;
    return PV_OK;
}
