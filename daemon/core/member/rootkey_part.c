/* SPDX-License-Identifier: MIT */
/* rootkey_part.c - makes admins of those who joined by an invite of root's, as soon as this node
 * hears of them. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/member/rootkey.h"
#include "daemon/core/peer/peers.h"

struct rootkey {
    struct pv_node *node;
    bool pending; /* somebody may be due */
};

static int make_rootkey(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                        void **ret_part)
{
    struct rootkey *k = calloc(1, sizeof(*k));
    (void)cfg;
    (void)now;
    if (k == NULL)
        return PV_ERR_NOMEM;
    k->node = node;
    *ret_part = k;
    return PV_OK;
}

static void free_rootkey(void *part)
{
    free(part);
}

/* --- admins by invite ------------------------------------------------------------------------- */

/* Only once: whose rights have ended is not made an admin again by the same token. An invite that
 * let in more than it allows makes none, for nobody knows whom it was meant for. */
static bool is_due(const struct pv_node *n, const struct pv_member *m)
{
    struct pv_roster_invite inv;
    return !pv_roster_was_admin(n->roster, m->node) &&
           pv_roster_invite(n->roster, m->admitted_by, &inv) == PV_OK && !inv.revoked &&
           inv.used <= inv.uses &&
           memcmp(inv.signer, pv_roster_root(n->roster), sizeof(inv.signer)) == 0;
}

static void run_rootkey(void *part, pv_ns now)
{
    struct rootkey *k = part;
    struct pv_node *n = k->node;
    if (!k->pending)
        return;
    k->pending = false;
    if (!pv_rootkey_is_here(n))
        return;
    for (const struct pv_member *m = pv_roster_next(n->roster, NULL), *next; m != NULL; m = next) {
        next = pv_roster_next(n->roster, m);
        if (!is_due(n, m))
            continue;
        int r = pv_rootkey_grant(n, m->node, now);
        pv_log(n->log, r == PV_OK ? PV_LOG_INFO : PV_LOG_WARN,
               "peer=%s what=\"%s\" why=\"it joined by an invite for admins%s%s\"", m->name,
               r == PV_OK ? "made an admin" : "not made an admin", r == PV_OK ? "" : ": ",
               r == PV_OK ? "" : pv_strstatus(r));
    }
}

/* A newcomer costs one look; all members are gone through only when somebody is due, or when this
 * node may have slept while they came. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct rootkey *k = part;
    const struct pv_node *n = k->node;
    (void)now;
    if ((facts & PV_PEER_FACT_MEMBER) == 0 || !n->identity->has_root || n->roster == NULL)
        return;
    const struct pv_member *m = pv_roster_by_node(n->roster, pv_peer_pk(p));
    k->pending = k->pending || (m != NULL && is_due(n, m));
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct rootkey *k = part;
    (void)now;
    k->pending = k->pending || (facts & (PV_FACT_NETWORK | PV_FACT_ONLINE)) != 0;
}

const struct pv_part pv_part_rootkey = {
    .name = "rootkey",
    .make = make_rootkey,
    .free = free_rootkey,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .run = run_rootkey,
};
