/* SPDX-License-Identifier: MIT */
/* Decides which statements, joins and registrations a network lets in. The asking node has proven
 * its key by now; here the network's own statements have to allow the change. Members judge again:
 * a coordinator that lets in too much is caught by them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/member/cnet.h"

enum {
    NAME_TRIES = 64,        /* ours: bob, bob-2, ... bob-64 are tried one by one */
    NAME_NUMBERS = 1 << 20, /* ours: above this the name is taken; no network has as many */
};

/* --- statements ------------------------------------------------------------------------------ */

/* Turns the roster's status about an invite into an error for its holder: revoked, out of its time
 * and used up are three different things to him. */
static enum pv_ctl_error invite_error(const struct pv_cnet *net, const uint8_t *invite_pk,
                                      const uint8_t *node, uint64_t wall, int status)
{
    struct pv_roster_invite invite;
    const struct pv_member *member = pv_roster_known(net->roster, node);
    switch (status) {
    case PV_OK:
        return PV_CTL_E_NONE;
    case PV_ERR_NOT_FOUND:
        return PV_CTL_E_UNKNOWN_INVITE;
    case PV_ERR_REFUSED:
        if (member != NULL && member->state == PV_MEMBER_REVOKED)
            return PV_CTL_E_REVOKED;
        if (pv_roster_invite(net->roster, invite_pk, &invite) != PV_OK)
            return PV_CTL_E_NOT_ALLOWED;
        return invite.revoked ? PV_CTL_E_INVITE_REVOKED : PV_CTL_E_NOT_ALLOWED;
    case PV_ERR_EXPIRED:
        if (pv_roster_invite(net->roster, invite_pk, &invite) != PV_OK)
            return PV_CTL_E_INVITE_EXPIRED;
        if (wall + PV_ROSTER_WINDOW_SLACK < invite.not_before ||
            (wall > invite.not_after && wall - invite.not_after > PV_ROSTER_WINDOW_SLACK))
            return PV_CTL_E_INVITE_EXPIRED;
        return PV_CTL_E_INVITE_USED;
    case PV_ERR_EXISTS:
        return PV_CTL_E_TAKEN;
    case PV_ERR_AUTH:
        return PV_CTL_E_BAD_SIGNATURE;
    case PV_ERR_LIMIT:
        return PV_CTL_E_FULL;
    default:
        return PV_CTL_E_BAD_REQUEST;
    }
}

/* The comparisons are cheap, so the signature is checked last. */
bool pv_cnet_receipt_is_good(const struct pv_cnet *net, struct pv_view statement,
                             struct pv_view receipt)
{
    struct pv_receipt r;
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(statement, hash);
    return pv_receipt_decode(receipt, &r) == PV_OK && memcmp(r.hash, hash, sizeof(hash)) == 0 &&
           memcmp(r.network_id, net->id, PV_NETWORK_ID_LEN) == 0 &&
           pv_roster_is_coordinator(net->roster, r.coordinator) &&
           pv_receipt_verify(receipt) == PV_OK;
}

/* A member statement that was admitted elsewhere comes with a receipt, and is judged at the
 * receipt's time: its invite may have expired since. Without one it must be signed by an admin; a
 * node that joins by an invite has to register. Its own signatures were verified before. */
static enum pv_ctl_error judge_member(const struct pv_cnet *net, const struct pv_statement *st,
                                      struct pv_view receipt_data, uint64_t wall)
{
    struct pv_receipt receipt;
    if (pv_cnet_receipt_is_good(net, st->raw, receipt_data) &&
        pv_receipt_decode(receipt_data, &receipt) == PV_OK) {
        /* It counted somewhere once, so it belongs to the set even where it does not count now, as
         * when word of the node's removal came here first. */
        int r = pv_roster_check_verified(net->roster, st, receipt.time);
        if (r == PV_ERR_EXISTS || r == PV_ERR_REPLAY || r == PV_ERR_EXPIRED || r == PV_ERR_REFUSED)
            return PV_CTL_E_NONE;
        return invite_error(net, st->signer, st->u.member.node, receipt.time, r);
    }
    if ((pv_roster_rights(net->roster, st->signer) & PV_RIGHT_INVITE) == 0)
        return PV_CTL_E_NOT_ALLOWED;
    return invite_error(net, st->signer, st->u.member.node, wall,
                        pv_roster_check_verified(net->roster, st, wall));
}

/* Returns true if the signer has the right for this statement, or signs it about itself. */
static bool may_sign(const struct pv_cnet *net, const struct pv_statement *st)
{
    const struct pv_kind *kind = pv_kind_of(st->type);
    const uint8_t *about = pv_st_subject(st);
    const struct pv_member *member = pv_roster_known(net->roster, st->signer);
    bool itself = about == NULL || memcmp(st->signer, about, PV_SIGN_PK_LEN) == 0;

    if (kind->does == PV_DOES_TAKE) /* members may know it already, to whom it counts */
        return pv_roster_would_end(net->roster, st);
    if ((pv_roster_rights(net->roster, st->signer) & kind->right) != 0)
        return true;
    if (itself && (kind->by & PV_BY_NODE) != 0)
        return member != NULL && member->state != PV_MEMBER_REVOKED;
    return kind->by == PV_BY_ROOT; /* and it is by root: pv_roster_check_fields() */
}

/* Would a node move itself to an address that is another's, or was until lately? Its word is in
 * order once it has a receipt; an admin who may place others knows what it does. A node that has
 * the address, as by the word of an admin that it stands in for a dead one, keeps it. */
static bool takes_address(const struct pv_cnet *net, const struct pv_statement *st, uint64_t wall)
{
    const struct pv_st_place *p = &st->u.place;
    const struct pv_member *m = pv_roster_by_node(net->roster, p->node);
    return st->type == PV_ST_PLACE && memcmp(st->signer, p->node, PV_SIGN_PK_LEN) == 0 &&
           (pv_roster_rights(net->roster, st->signer) & PV_RIGHT_INVITE) == 0 &&
           (m == NULL || memcmp(m->ip4.ip, p->ip4, sizeof(p->ip4)) != 0) &&
           (!pv_roster_ip4_is_free(net->roster, p->ip4, p->node) ||
            pv_roster_ip4_rests(net->roster, p->ip4, p->node) > wall);
}

/* The operator's limit. */
static bool log_has_room(const struct pv_cnet *net)
{
    return net->limits.statements == 0 || pv_roster_size(net->roster) < net->limits.statements;
}

/* A statement that ends something always has room, or a full network could not get rid of anybody;
 * and a new admin, who may have to; and the admission of a node that has a place already; and the
 * word by which a member stays one, or changes a stolen key: of each the roster keeps a few. One
 * that takes the place of another, as does a rule or route that is taken back, fills nothing. */
static bool statement_has_room(const struct pv_cnet *net, const struct pv_statement *st)
{
    return pv_roster_check_room(net->roster, st) == PV_OK &&
           (log_has_room(net) || pv_kind_of(st->type)->fits_full ||
            pv_roster_replaces(net->roster, st));
}

/* Known statements pass first, so repeating a put is cheap; the signature is checked before
 * anything that depends on who signed, and that of a receipt only where the roster would keep it.
 */
enum pv_ctl_error pv_cnet_judge(const struct pv_cnet *net, struct pv_view statement,
                                struct pv_view receipt, uint64_t wall,
                                enum pv_cnet_known *ret_known)
{
    struct pv_statement st;
    *ret_known = PV_CNET_NEW;
    int r = pv_statement_decode(statement, &st);
    if (r != PV_OK)
        return r == PV_ERR_UNSUPPORTED ? PV_CTL_E_VERSION : PV_CTL_E_BAD_REQUEST;
    if (pv_roster_find(net->roster, st.hash) != NULL) {
        *ret_known = pv_roster_wants_receipt(net->roster, st.hash, receipt) &&
                             pv_cnet_receipt_is_good(net, statement, receipt)
                         ? PV_CNET_BETTER
                         : PV_CNET_KNOWN;
        return PV_CTL_E_NONE;
    }
    r = pv_roster_check_fields(net->roster, &st);
    if (r != PV_OK)
        return r == PV_ERR_REFUSED ? PV_CTL_E_NOT_ALLOWED : PV_CTL_E_BAD_REQUEST;
    if (pv_statement_verify(&st) != PV_OK)
        return PV_CTL_E_BAD_SIGNATURE;
    if (!statement_has_room(net, &st))
        return PV_CTL_E_FULL;
    if (st.type == PV_ST_MEMBER)
        return judge_member(net, &st, receipt, wall);
    /* A statement that counted at another coordinator belongs to the set although its signer is out
     * of office since: a network that moves here brings it in any order. */
    if (pv_cnet_receipt_is_good(net, statement, receipt))
        return PV_CTL_E_NONE;
    if (!may_sign(net, &st))
        return PV_CTL_E_NOT_ALLOWED;
    return takes_address(net, &st, wall) ? PV_CTL_E_TAKEN : PV_CTL_E_NONE;
}

/* --- reservations ---------------------------------------------------------------------------- */

/* The list is in order of until, so expired reservations stand in front. A pinned one stays until
 * the store has answered: its name must not be given away meanwhile. */
static void drop_expired_reservations(struct pv_cnet *net, pv_ns now)
{
    struct pv_cnet_reservation **at = &net->reservations;
    while (*at != NULL && (*at)->until <= now) {
        struct pv_cnet_reservation *r = *at;
        if (r->pinned > 0) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        net->n_reservations--;
        free(r);
    }
}

/* A node may try two invites, so both keys count. */
static struct pv_cnet_reservation *find_reservation(const struct pv_cnet *net,
                                                    const uint8_t *invite, const uint8_t *node)
{
    struct pv_cnet_reservation *r = net->reservations;
    while (r != NULL && (memcmp(r->invite, invite, PV_SIGN_PK_LEN) != 0 ||
                         memcmp(r->node, node, PV_SIGN_PK_LEN) != 0))
        r = r->next;
    return r;
}

/* r has to be in the list. */
static void unlink_reservation(struct pv_cnet *net, const struct pv_cnet_reservation *r)
{
    struct pv_cnet_reservation **at = &net->reservations;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    net->n_reservations--;
}

/* All reservations last as long, so the end of the list is the place by until. */
static void append_reservation(struct pv_cnet *net, struct pv_cnet_reservation *r, pv_ns now)
{
    struct pv_cnet_reservation **at = &net->reservations;
    while (*at != NULL)
        at = &(*at)->next;
    r->until = now + PV_S(PV_COORD_RESERVE_S);
    r->next = NULL;
    *at = r;
    net->n_reservations++;
}

/* The limit is per invite: the holders of a shared one must not use up the network's places. */
static size_t count_reservations(const struct pv_cnet *net, const uint8_t *invite)
{
    size_t n = 0;
    for (const struct pv_cnet_reservation *r = net->reservations; r != NULL; r = r->next)
        n += memcmp(r->invite, invite, PV_SIGN_PK_LEN) == 0 ? 1u : 0u;
    return n;
}

/* A node that asks for a name and an address. */
struct address_claim {
    const struct pv_cnet *net;
    const uint8_t *node;
};

/* The roster, which chooses the address, calls this back: is it reserved for another node? */
static bool ip4_is_reserved(const void *ctx, uint32_t ip4)
{
    const struct address_claim *c = ctx;
    for (const struct pv_cnet_reservation *r = c->net->reservations; r != NULL; r = r->next) {
        if (r->ip4 == ip4 && memcmp(r->node, c->node, PV_SIGN_PK_LEN) != 0)
            return true;
    }
    return false;
}

static bool name_is_reserved(const struct address_claim *c, const char *name)
{
    for (const struct pv_cnet_reservation *r = c->net->reservations; r != NULL; r = r->next) {
        if (strcmp(r->name, name) == 0 && memcmp(r->node, c->node, PV_SIGN_PK_LEN) != 0)
            return true;
    }
    return false;
}

/* A name is free when no member has it, it is not the network's own name (which DNS knows too), and
 * nobody has reserved it. */
static bool name_is_free(const struct address_claim *c, const char *name)
{
    if (!pv_roster_name_is_free(c->net->roster, name, c->node))
        return false;
    if (strcmp(pv_roster_network(c->net->roster)->name, name) == 0)
        return false;
    return !name_is_reserved(c, name);
}

/* Is the name with this number free: base, base-2, base-3, ... cut so that the number fits? A
 * hyphen at the cut would make a name that is not one (RFC 1123 s2.1). */
static bool number_is_free(const struct address_claim *c, const char *base, unsigned number,
                           char ret_name[static PV_NAME_BUF])
{
    char suffix[16] = "";
    char name[PV_NAME_BUF + sizeof(suffix)];
    if (number > 1)
        snprintf(suffix, sizeof(suffix), "-%u", number);
    size_t keep = strlen(base);
    if (keep + strlen(suffix) > PV_NAME_MAX)
        keep = PV_NAME_MAX - strlen(suffix);
    while (keep > 1 && base[keep - 1] == '-')
        keep--;
    snprintf(name, sizeof(name), "%.*s%s", (int)keep, base, suffix);
    memcpy(ret_name, name, PV_NAME_BUF);
    return name_is_free(c, name);
}

/* Machines of one image ask for one name, thousands of them. So the lowest number is found among
 * the first few only; from there on the search doubles its steps until a number is free, and then
 * halves the way back to one that is taken. */
static enum pv_ctl_error choose_name(const struct address_claim *c, const char *asked,
                                     char ret_name[static PV_NAME_BUF])
{
    const char *base = asked[0] != '\0' ? asked : "node";
    unsigned taken = NAME_TRIES, number = 2 * NAME_TRIES;
    for (unsigned i = 1; i <= NAME_TRIES; i++) {
        if (number_is_free(c, base, i, ret_name))
            return PV_CTL_E_NONE;
    }
    for (; number <= NAME_NUMBERS && !number_is_free(c, base, number, ret_name); number *= 2)
        taken = number;
    if (number > NAME_NUMBERS)
        return PV_CTL_E_TAKEN;
    while (number - taken > 1) {
        unsigned middle = taken + (number - taken) / 2;
        if (number_is_free(c, base, middle, ret_name))
            number = middle;
        else
            taken = middle;
    }
    return number_is_free(c, base, number, ret_name) ? PV_CTL_E_NONE : PV_CTL_E_TAKEN;
}

/* --- joining --------------------------------------------------------------------------------- */

/* The IPv6 address follows from the network and the node's key, so nobody has to reserve it. */
static void fill_reservation(const struct pv_cnet *net, const uint8_t *node, const char *name,
                             uint32_t ip4, uint64_t serial, struct pv_ctl_reservation *ret)
{
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    pv_store_be32(ret->ip4, ip4);
    pv_node_ip6(net->id, node, ret->ip6);
    ret->serial = serial < UINT32_MAX ? (uint32_t)serial : UINT32_MAX;
    ret->seconds = PV_COORD_RESERVE_S;
}

/* Limits are checked first: a reservation costs nothing but an invite, and one can be handed to
 * many. */
static enum pv_ctl_error new_reservation(struct pv_cnet *net, const struct pv_ctl_join *join,
                                         struct pv_cnet_reservation **ret_reservation)
{
    struct address_claim claim = {.net = net, .node = join->node};
    struct pv_roster_invite invite;
    if (pv_roster_invite(net->roster, join->invite, &invite) != PV_OK)
        return PV_CTL_E_UNKNOWN_INVITE;
    if (net->n_reservations >= PV_CNET_RESERVATIONS ||
        count_reservations(net, join->invite) >= (size_t)PV_CNET_INVITE_RESERVATIONS + invite.uses)
        return PV_CTL_E_LIMIT;
    struct pv_cnet_reservation *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_CTL_E_FULL;
    memcpy(r->invite, join->invite, PV_SIGN_PK_LEN);
    memcpy(r->node, join->node, PV_SIGN_PK_LEN);
    enum pv_ctl_error e = choose_name(&claim, join->name, r->name);
    if (e == PV_CTL_E_NONE &&
        pv_roster_free_ip4(net->roster, join->node, ip4_is_reserved, &claim, &r->ip4) != PV_OK)
        e = PV_CTL_E_FULL;
    if (e != PV_CTL_E_NONE) {
        free(r);
        return e;
    }
    *ret_reservation = r;
    return PV_CTL_E_NONE;
}

/* Has node joined by this very invite? Then joining again is a repetition, whose first answer got
 * lost; or the node still waits for an admin's word. */
static const struct pv_member *joined_before(const struct pv_cnet *net, const uint8_t *invite,
                                             const uint8_t *node)
{
    const struct pv_member *m = pv_roster_enrolled(net->roster, node);
    return m != NULL && memcmp(m->admitted_by, invite, PV_SIGN_PK_LEN) == 0 ? m : NULL;
}

/* Applicants have a budget of their own: if they shared the members', strangers with an old token
 * could keep members from removing a node. It is asked last, so that only applicants who may join
 * use it up.
 */
static bool applicants_have_room(struct pv_cnet *net, pv_ns now)
{
    return pv_bucket_take(&net->applicants, PV_CNET_APPLICANT_RATE, PV_CNET_APPLICANT_BURST, 1,
                          now);
}

/* The operator's limit of members, and of what makes one. Nodes that are being registered count:
 * the store may have them already. */
static bool member_has_room(const struct pv_cnet *net, const uint8_t *node)
{
    if (!log_has_room(net))
        return false;
    if (net->limits.members == 0 || pv_roster_enrolled(net->roster, node) != NULL)
        return true;
    size_t n = pv_roster_count(net->roster) + pv_roster_count_aside(net->roster);
    for (const struct pv_cnet_reservation *r = net->reservations; r != NULL; r = r->next)
        n += r->pinned > 0 && memcmp(r->node, node, PV_SIGN_PK_LEN) != 0 ? 1 : 0;
    return n < net->limits.members;
}

/* Has the invite ended, by this coordinator's clock? The roster's window is wider, because receipts
 * of several coordinators have to agree; but a person who says one hour means it. */
static bool invite_has_ended(const struct pv_cnet *net, const uint8_t *invite_pk, uint64_t wall)
{
    struct pv_roster_invite invite;
    return pv_roster_invite(net->roster, invite_pk, &invite) == PV_OK && wall >= invite.not_after;
}

/* A node that joins again may ask for another name than before, or find free by now what it asked
 * for. Its own reservations are in nobody's way, so where nothing has changed it keeps its name.
 * One that the store has stays as it is. */
static enum pv_ctl_error name_again(const struct pv_cnet *net, const char *asked,
                                    struct pv_cnet_reservation *r)
{
    const struct address_claim claim = {.net = net, .node = r->node};
    char name[PV_NAME_BUF];
    if (r->pinned > 0)
        return PV_CTL_E_NONE;
    enum pv_ctl_error e = choose_name(&claim, asked, name);
    if (e == PV_CTL_E_NONE)
        memcpy(r->name, name, sizeof(r->name));
    return e;
}

/* A repeated join gets the same answer, with its time begun anew: a node whose connection broke
 * gets the name and the address that it was promised. */
enum pv_ctl_error pv_cnet_join(struct pv_cnet *net, const struct pv_ctl_join *join, uint64_t wall,
                               pv_ns now, struct pv_ctl_reservation *ret_reservation)
{
    drop_expired_reservations(net, now);
    const struct pv_member *member = joined_before(net, join->invite, join->node);
    if (member != NULL) {
        fill_reservation(net, join->node, member->name, pv_addr_u32(&member->ip4), member->serial,
                         ret_reservation);
        return PV_CTL_E_NONE;
    }
    enum pv_ctl_error e =
        invite_error(net, join->invite, join->node, wall,
                     pv_roster_check_invite(net->roster, join->invite, join->node, wall));
    if (e == PV_CTL_E_NONE && invite_has_ended(net, join->invite, wall))
        e = PV_CTL_E_INVITE_EXPIRED;
    if (e != PV_CTL_E_NONE)
        return e;
    if (!member_has_room(net, join->node))
        return PV_CTL_E_FULL;
    if (!applicants_have_room(net, now))
        return PV_CTL_E_LIMIT;
    struct pv_cnet_reservation *r = find_reservation(net, join->invite, join->node);
    bool again = r != NULL;
    e = again ? name_again(net, join->name, r) : new_reservation(net, join, &r);
    if (e != PV_CTL_E_NONE)
        return e;
    if (again)
        unlink_reservation(net, r);
    append_reservation(net, r, now);
    fill_reservation(net, r->node, r->name, r->ip4, pv_roster_next_serial(net->roster, r->node),
                     ret_reservation);
    return PV_CTL_E_NONE;
}

/* Holds name and address of a registration while the store has it, whether it was reserved by a
 * join or the coordinator has been restarted in between. */
static enum pv_ctl_error pin_reservation(struct pv_cnet *net, const struct pv_statement *st,
                                         pv_ns now)
{
    const struct pv_st_member *m = &st->u.member;
    struct pv_cnet_reservation *r = find_reservation(net, st->signer, m->node);
    if (r == NULL) {
        if (net->n_reservations >= PV_CNET_RESERVATIONS)
            return PV_CTL_E_LIMIT;
        r = calloc(1, sizeof(*r));
        if (r == NULL)
            return PV_CTL_E_FULL;
        memcpy(r->invite, st->signer, PV_SIGN_PK_LEN);
        memcpy(r->node, m->node, PV_SIGN_PK_LEN);
        append_reservation(net, r, now);
    }
    snprintf(r->name, sizeof(r->name), "%s", m->name);
    r->ip4 = pv_load_be32(m->ip4);
    r->pinned++;
    return PV_CTL_E_NONE;
}

/* Several registrations of one node may be at the store; the last of them that was stored ends the
 * reservation. */
void pv_cnet_unpin(struct pv_cnet *net, const uint8_t invite[static PV_SIGN_PK_LEN],
                   const uint8_t node[static PV_SIGN_PK_LEN], bool registered)
{
    struct pv_cnet_reservation *r = find_reservation(net, invite, node);
    if (r == NULL)
        return;
    r->pinned -= r->pinned > 0 ? 1 : 0;
    if (registered && r->pinned == 0) {
        unlink_reservation(net, r);
        free(r);
    }
}

/* An address that rests goes only to whom it was promised, when no other was left. */
static bool may_have_address(const struct pv_cnet *net, const struct pv_statement *st,
                             uint64_t wall)
{
    const struct pv_st_member *m = &st->u.member;
    const struct pv_cnet_reservation *r = find_reservation(net, st->signer, m->node);
    return (r != NULL && r->ip4 == pv_load_be32(m->ip4)) ||
           pv_roster_ip4_rests(net->roster, m->ip4, m->node) <= wall;
}

/* The node signed its own member statement with its invite's key, so the coordinator can only
 * refuse it, not change it. Uses of the invite are counted by the store, in one step with the
 * insertion: two registrations at once cannot share the last one. */
enum pv_ctl_error pv_cnet_judge_register(struct pv_cnet *net, struct pv_view member,
                                         const struct pv_cnet_joiner *joiner, uint64_t wall,
                                         pv_ns now, struct pv_cnet_register *ret_register)
{
    struct pv_cnet_register reg = {0};
    struct pv_roster_invite invite;
    const uint8_t *node = joiner->node;
    struct address_claim claim = {.net = net, .node = node};
    drop_expired_reservations(net, now);
    int r = pv_statement_decode(member, &reg.st);
    if (r == PV_ERR_UNSUPPORTED)
        return PV_CTL_E_VERSION;
    if (r != PV_OK || reg.st.type != PV_ST_MEMBER ||
        pv_roster_check_fields(net->roster, &reg.st) != PV_OK ||
        memcmp(reg.st.u.member.node, node, PV_SIGN_PK_LEN) != 0 ||
        memcmp(reg.st.u.member.transport, joiner->transport, PV_DH_LEN) != 0)
        return PV_CTL_E_BAD_REQUEST;
    /* One that is in the set was verified. */
    reg.known = pv_roster_find(net->roster, reg.st.hash) != NULL;
    if (!reg.known && pv_statement_verify(&reg.st) != PV_OK)
        return PV_CTL_E_BAD_SIGNATURE;
    if (pv_roster_invite(net->roster, reg.st.signer, &invite) != PV_OK)
        return PV_CTL_E_UNKNOWN_INVITE;
    reg.uses = invite.uses;
    if (reg.known) {
        *ret_register = reg;
        return PV_CTL_E_NONE;
    }
    if (pv_roster_check_room(net->roster, &reg.st) != PV_OK)
        return PV_CTL_E_FULL;
    /* A repetition with a statement made anew is settled by the store, which has the first one. */
    if (joined_before(net, reg.st.signer, node) == NULL) {
        const struct pv_member *before = pv_roster_known(net->roster, node);
        enum pv_ctl_error e = invite_error(net, reg.st.signer, node, wall,
                                           pv_roster_check_verified(net->roster, &reg.st, wall));
        /* A node that was promised a place in time has the time of the promise to take it. */
        if (e == PV_CTL_E_NONE && wall > PV_COORD_RESERVE_S &&
            invite_has_ended(net, reg.st.signer, wall - PV_COORD_RESERVE_S))
            e = PV_CTL_E_INVITE_EXPIRED;
        if (e != PV_CTL_E_NONE)
            return e;
        if (name_is_reserved(&claim, reg.st.u.member.name) ||
            ip4_is_reserved(&claim, pv_load_be32(reg.st.u.member.ip4)) ||
            !may_have_address(net, &reg.st, wall))
            return PV_CTL_E_TAKEN;
        if (!member_has_room(net, node))
            return PV_CTL_E_FULL;
        if (before != NULL && before->state == PV_MEMBER_LEFT)
            reg.min_serial = reg.st.u.member.serial;
    }
    if (!applicants_have_room(net, now))
        return PV_CTL_E_LIMIT;
    enum pv_ctl_error e = pin_reservation(net, &reg.st, now);
    if (e == PV_CTL_E_NONE)
        *ret_register = reg;
    return e;
}
