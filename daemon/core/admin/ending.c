/* SPDX-License-Identifier: MIT */
/* ending.c - makes removals and ends, and says before what would fall with an admin's rights. */
#include "daemon/core/admin/ending.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/admin/rootkey.h"
#include "daemon/core/member/membership.h"
#include "proto/local/ctlapi.h"
#include "proto/roster/roster_make.h"

static const uint8_t *own_pk(const struct pv_node *n)
{
    return n->identity->sign_pk;
}

/* --- what an admin leaves behind -------------------------------------------------------------- */

/* Takes what was said again into the roster. A statement without room there, or memory, must not
 * keep anybody from being removed: it stays as it was, and the log says so. */
static void say_again(struct pv_node *n, const struct pv_roster_entry *x, struct pv_signer by,
                      pv_ns now)
{
    struct pv_made_long made;
    int r = pv_make_again(n->roster, by, &x->st, pv_node_wall_s(n, now), &made);
    if (r == PV_OK)
        r = pv_membership_say(n, pv_view(made.raw, made.len), now);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_WARN,
               "what=\"a statement of a former admin could not be signed anew\" why=\"%s\"",
               pv_strstatus(r));
}

/* Does it fall with the rights of its signer? A word about this node itself is not for this node to
 * say again: of two admins who end each other one would end itself. */
static bool would_fall(const struct pv_node *n, const struct pv_roster_entry *x, const uint8_t *pk)
{
    if (pv_st_does(&x->st, PV_DOES_TAKE)
            ? memcmp(pv_st_subject(&x->st), own_pk(n), PV_SIGN_PK_LEN) == 0
            : !pv_st_does(&x->st, PV_DOES_SLOT))
        return false;
    return memcmp(x->st.signer, pk, PV_SIGN_PK_LEN) == 0 && pv_roster_in_force(x) &&
           !pv_roster_is_lasting(n->roster, x);
}

/* The statements of pk that would fall with its rights count by this key from now on. New
 * statements stand behind all others, so the walk meets each once. */
static void inherit(struct pv_node *n, struct pv_signer by, const uint8_t *pk, pv_ns now)
{
    if (pv_roster_rights(n->roster, pk) == 0)
        return;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(n->roster, NULL); x != NULL;
         x = pv_roster_next_entry(n->roster, x)) {
        if (would_fall(n, x, pk))
            say_again(n, x, by, now);
    }
}

/* --- removals and ends ------------------------------------------------------------------------ */

enum {
    RIGHTS = 0, /* beside enum pv_st_revoked_kind */
};

static int make_next(const struct pv_node *n, struct pv_signer by,
                     const struct pv_st_revocation *what, size_t *iter, struct pv_made_long *to)
{
    struct pv_made end;
    if (what->kind != RIGHTS)
        return pv_make_revocation(n->roster, by, what, iter, to);
    int r = pv_make_rights_end(n->roster, by, what->pk, what->time, iter, &end);
    if (r == PV_OK) {
        to->len = end.len;
        memcpy(to->raw, end.raw, end.len);
    }
    return r;
}

/* Takes membership, rights or an invite away by as many statements as it takes: all or none. */
static int take_away(struct pv_node *n, struct pv_signer by, uint8_t kind, const uint8_t *pk,
                     pv_ns now)
{
    struct pv_st_revocation what = {.kind = kind, .time = pv_node_wall_s(n, now)};
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct pv_made_long *made = calloc(PV_CTL_ITEMS_MAX, sizeof(*made));
    size_t iter = 0, n_items = 0;
    int r = made == NULL ? PV_ERR_NOMEM : PV_OK;
    memcpy(what.pk, pk, sizeof(what.pk));
    do {
        if (r == PV_OK && n_items == PV_CTL_ITEMS_MAX)
            r = PV_ERR_LIMIT;
        if (r == PV_OK)
            r = make_next(n, by, &what, &iter, &made[n_items]);
        if (r == PV_OK) {
            items[n_items] =
                (struct pv_ctl_item){.statement = pv_view(made[n_items].raw, made[n_items].len)};
            n_items++;
        }
    } while (r == PV_OK && iter != 0);
    if (r == PV_OK && pv_membership_add(n, items, n_items, now) > 0)
        r = PV_ERR_REFUSED;
    free(made);
    return r;
}

int pv_ending_revoke(struct pv_node *n, struct pv_signer by, enum pv_st_revoked_kind kind,
                     const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    uint8_t copy[PV_SIGN_PK_LEN]; /* it may be the roster's, which changes */
    memcpy(copy, pk, sizeof(copy));
    if (kind == PV_REVOKE_NODE)
        inherit(n, by, copy, now);
    return take_away(n, by, (uint8_t)kind, copy, now);
}

/* An admin may remove this node in turn, and only root's word stands above both. */
int pv_ending_remove(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    return pv_ending_revoke(
        n, pv_roster_rights(n->roster, pk) == 0 ? pv_node_signer(n) : pv_rootkey_signer(n),
        PV_REVOKE_NODE, pk, now);
}

int pv_ending_rights(struct pv_node *n, struct pv_signer by,
                     const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    inherit(n, by, pk, now);
    return take_away(n, by, RIGHTS, pk, now);
}

/* Does it let in somebody yet? The coordinator says so by its own clock, and this machine's may be
 * ahead: the network's is not. */
static bool is_open(const struct pv_node *n, const struct pv_roster_invite *inv, pv_ns now)
{
    const uint64_t here = pv_node_wall_s(n, now), network = pv_roster_time(n->roster);
    return !inv->revoked && inv->used < inv->uses &&
           (here <= inv->not_after || network <= inv->not_after);
}

static bool has_let_in(const struct pv_node *n, const uint8_t *invite, const uint8_t *pk)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_let_in(n->roster, invite, e)) != NULL &&
           memcmp(e->st.u.member.node, pk, PV_SIGN_PK_LEN) != 0)
        continue;
    return e != NULL;
}

int pv_ending_invite_of(struct pv_node *n, const struct pv_member *m, bool keep,
                        struct pv_ctlapi_told *told, pv_ns now)
{
    uint8_t pk[PV_SIGN_PK_LEN], last[PV_SIGN_PK_LEN];
    struct pv_roster_invite inv;
    const void *iter = NULL;
    int r = PV_OK;
    memcpy(pk, m->node, sizeof(pk)); /* m goes with the next statement */
    memcpy(last, m->admitted_by, sizeof(last));
    while (r == PV_OK && pv_roster_next_invite(n->roster, &iter, &inv) == PV_OK) {
        const bool is_last = memcmp(inv.invite, last, sizeof(last)) == 0;
        if (!is_open(n, &inv, now) || !(is_last || has_let_in(n, inv.invite, pk)))
            continue;
        if (is_last || told->invite == PV_CTLAPI_INVITE_NONE)
            memcpy(told->invite_id, inv.invite, sizeof(told->invite_id));
        told->invite = keep ? PV_CTLAPI_INVITE_KEPT : PV_CTLAPI_INVITE_ENDED;
        told->uses_left += inv.uses - inv.used;
        if (!keep)
            r = pv_ending_revoke(n, pv_node_signer(n), PV_REVOKE_INVITE, inv.invite, now);
    }
    return r;
}

void pv_ending_phones(const struct pv_node *n, const struct pv_member *m,
                      struct pv_ctlapi_told *told)
{
    struct pv_text names = pv_text_in(told->phones, sizeof(told->phones));
    for (const struct pv_member *x = pv_roster_next(n->roster, NULL); x != NULL;
         x = pv_roster_next(n->roster, x)) {
        if (pv_roster_gateway(n->roster, x) != m)
            continue;
        pv_text_part(&names, ", ");
        pv_text_add(&names, "%s", x->name);
    }
}

int pv_ending_invites(struct pv_node *n, struct pv_signer by,
                      const uint8_t pk[static PV_SIGN_PK_LEN], bool keep,
                      struct pv_ctlapi_told *told, pv_ns now)
{
    const void *iter = NULL;
    struct pv_roster_invite inv;
    int r = PV_OK;
    told->invites_kept = keep;
    while (r == PV_OK && pv_roster_next_invite(n->roster, &iter, &inv) == PV_OK) {
        const bool of_root = memcmp(inv.signer, pv_roster_root(n->roster), sizeof(inv.signer)) == 0;
        if ((memcmp(inv.signer, pk, sizeof(inv.signer)) != 0 && !of_root) || !is_open(n, &inv, now))
            continue;
        told->invites++;
        if (!keep)
            r = pv_ending_revoke(n, by, PV_REVOKE_INVITE, inv.invite, now);
    }
    return r;
}

/* Nobody says it again for an admin who goes, so one whose word the network still stands on keeps
 * its rights until another admin ends them. */
void pv_ending_resign(struct pv_node *n, struct pv_ctlapi_told *told, pv_ns now)
{
    bool stands = true;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(n->roster, NULL);
         x != NULL && stands; x = pv_roster_next_entry(n->roster, x))
        stands = !would_fall(n, x, own_pk(n));
    if (pv_roster_rights(n->roster, own_pk(n)) == 0)
        return;
    int r = pv_ending_invites(n, pv_node_signer(n), own_pk(n), false, told, now);
    if (r == PV_OK && stands)
        r = take_away(n, pv_node_signer(n), RIGHTS, own_pk(n), now);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_WARN, "what=\"rights not given up\" why=\"%s\"", pv_strstatus(r));
}
