/* SPDX-License-Identifier: MIT */
/* kinds.c - the table of statements' types, and what no field of one says alone. */
#include "proto/roster/kinds.h"

#include <stddef.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/roster/sshkeys.h"

/* --- what fields say together ---------------------------------------------------------------- */

static bool is_good_network(const struct pv_statement *st)
{
    return pv_ip4_range_is_valid(&st->u.network.range);
}

static bool is_good_admin(const struct pv_statement *st)
{
    const uint8_t rights = st->u.admin.rights;
    return rights >= 1 && rights <= (PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
}

static bool is_good_invite(const struct pv_statement *st)
{
    const struct pv_st_invite *f = &st->u.invite;
    return f->not_before <= f->not_after && f->uses >= 1 && (f->flags & ~PV_INVITE_APPROVAL) == 0;
}

/* An expiry before the time of issue can only be a mistake, and would make the member one that
 * never counted. */
static bool is_good_member(const struct pv_statement *st)
{
    return st->u.member.expires == 0 || st->u.member.expires > st->u.member.issued;
}

/* The list has to ascend strictly, so that the same set of nodes has one encoding. */
static bool is_good_stay(struct pv_view stay)
{
    bool good = stay.len % PV_SIGN_PK_LEN == 0;
    for (size_t i = PV_SIGN_PK_LEN; good && i < stay.len; i += PV_SIGN_PK_LEN)
        good = memcmp(stay.ptr + i - PV_SIGN_PK_LEN, stay.ptr + i, PV_SIGN_PK_LEN) < 0;
    return good;
}

static bool is_good_revocation(const struct pv_statement *st)
{
    const struct pv_st_revocation *f = &st->u.revocation;
    return is_good_stay(f->stay) && (f->kind == PV_REVOKE_NODE || f->kind == PV_REVOKE_INVITE);
}

static bool is_good_end(const struct pv_statement *st)
{
    return is_good_stay(st->u.end.stay);
}

static bool is_good_coordinators(const struct pv_statement *st)
{
    return pv_coordlist_check(st->u.coordinators.list, PV_STATEMENT_LIST_MAX) == PV_OK;
}

static bool is_good_route(const struct pv_statement *st)
{
    const struct pv_st_route *f = &st->u.route;
    return f->kind == PV_ROUTE_ALLOW ||
           (f->kind == PV_ROUTE_NONE && pv_ct_is_zero(f->node, sizeof(f->node)) &&
            f->prefix.bits == 0 && f->prefix.base.family == PV_AF_INET);
}

static bool is_good_tag(const struct pv_statement *st)
{
    const struct pv_st_tag *f = &st->u.tag;
    return f->kind == PV_TAG_SET ||
           (f->kind == PV_TAG_NONE && pv_ct_is_zero(f->node, sizeof(f->node)) &&
            strcmp(f->tag, "none") == 0);
}

/* A rule that is not about ports has one form, too. */
static bool is_good_rule(const struct pv_statement *st)
{
    const struct pv_st_rule *f = &st->u.rule;
    if (f->kind == PV_RULE_ALLOW)
        return pv_logins_fit(&f->logins, &f->ports) &&
               (pv_logins_are_none(&f->logins) || f->to.kind != PV_SELECT_PREFIX);
    return pv_logins_are_none(&f->logins) &&
           (f->kind == PV_RULE_DENY ||
            (f->kind <= PV_RULE_DENY_DEFAULT && f->place == 0 && f->from.kind == PV_SELECT_ANY &&
             f->to.kind == PV_SELECT_ANY && f->ports.v[0].proto == PV_PORTS_PROTO_ALL));
}

static bool is_good_card(const struct pv_statement *st)
{
    const struct pv_st_card *f = &st->u.card;
    return (f->abilities & ~(uint32_t)(PV_ABLE_PQ | PV_ABLE_NO_IP6)) == 0 &&
           (f->kem.len == 0 || f->kem.len == PV_KEM_EK_LEN) &&
           pv_offerlist_check(f->offers) == PV_OK &&
           pv_sshkeys_check(f->hostkeys, PV_SSHKEYS_HOST) == PV_OK &&
           pv_sshkeys_check(f->loginkeys, PV_SSHKEYS_LOGIN) == PV_OK;
}

/* --- the table ------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct pv_statement, member)
#define FIELD(form, member)                                                                  \
    {                                                                                        \
        PV_FIELD_##form, AT(u.member), sizeof(((const struct pv_statement *)NULL)->u.member) \
    }
#define LIST(member, max)                \
    {                                    \
        PV_FIELD_LIST, AT(u.member), max \
    }
/* Anybody with the right; root has both. */
#define BY_INVITERS .by = PV_BY_ROOT | PV_BY_INVITER, .right = PV_RIGHT_INVITE
#define BY_REVOKERS .by = PV_BY_ROOT | PV_BY_REVOKER, .right = PV_RIGHT_REVOKE

/* clang-format off */
static const struct pv_kind kind_NETWORK = {
    .name = "network", .does = PV_DOES_FOUND, .by = PV_BY_ROOT,
    .fields = {FIELD(NAME, network.name), FIELD(RANGE, network.range),
               FIELD(U64, network.created)},
    .is_good = is_good_network, .time = AT(u.network.created),
    .quota = PV_ROSTER_QUOTA_NONE, .owed = PV_OWED_NOT,
};
static const struct pv_kind kind_ADMIN = {
    .name = "admin", .does = PV_DOES_GRANT, .by = PV_BY_ROOT,
    .fields = {FIELD(BYTES, admin.node), FIELD(U8, admin.rights), FIELD(U64, admin.time)},
    .is_good = is_good_admin, .subject = AT(u.admin.node), .time = AT(u.admin.time),
    .quota = PV_ROSTER_QUOTA_NONE, .fits_full = true,
    .owed = PV_OWED_ALWAYS, .told = "~ became an admin",
};
static const struct pv_kind kind_INVITE = {
    .name = "invite", .does = PV_DOES_INVITE, BY_INVITERS,
    .fields = {FIELD(BYTES, invite.invite), FIELD(U64, invite.not_before),
               FIELD(U64, invite.not_after), FIELD(U32, invite.uses), FIELD(U8, invite.flags),
               FIELD(U32, invite.lifetime)},
    .is_good = is_good_invite, .subject = AT(u.invite.invite),
    .quota = PV_ROSTER_QUOTA_NONE, .owed = PV_OWED_NOT,
};
/* Root lets nobody in by itself: it is kept apart from the machines. */
static const struct pv_kind kind_MEMBER = {
    .name = "member", .does = PV_DOES_CLAIM,
    .by = PV_BY_INVITE | PV_BY_INVITER, .right = PV_RIGHT_INVITE,
    .fields = {FIELD(BYTES, member.node), FIELD(TRANSPORT, member.transport),
               FIELD(U64, member.serial), FIELD(NAME, member.name), FIELD(BYTES, member.ip4),
               FIELD(BYTES, member.ip6), FIELD(U64, member.issued), FIELD(U64, member.expires),
               FIELD(BYTES, member.node_sig)},
    .is_good = is_good_member, .subject = AT(u.member.node), .number = AT(u.member.serial),
    .time = AT(u.member.issued),
    .quota = PV_ROSTER_QUOTA_MEMBER, .shows_life = true,
    .owed = PV_OWED_CLAIM, .told = "~ was let in",
};
static const struct pv_kind kind_TRANSPORT = {
    .name = "transport", .does = PV_DOES_TELL, .by = PV_BY_NODE,
    .fields = {FIELD(U64, transport.serial), FIELD(TRANSPORT, transport.transport),
               FIELD(U64, transport.time)},
    .subject = AT(signer), .number = AT(u.transport.serial), .time = AT(u.transport.time),
    .quota = PV_ROSTER_QUOTA_TRANSPORT, .by_receipt = true, .shows_life = true, .fits_full = true,
    .owed = PV_OWED_KEY, .told = "~ is still there",
};
static const struct pv_kind kind_REVOCATION = {
    .name = "revocation", .does = PV_DOES_TAKE, BY_REVOKERS,
    .fields = {FIELD(U8, revocation.kind), FIELD(BYTES, revocation.pk),
               LIST(revocation.stay, PV_STATEMENT_LIST_MAX), FIELD(U64, revocation.time)},
    .is_good = is_good_revocation, .is_long = true,
    .subject = AT(u.revocation.pk), .time = AT(u.revocation.time),
    .quota = PV_ROSTER_QUOTA_NONE, .fits_full = true,
    .owed = PV_OWED_TO_ALL, .told = "~ was removed",
};
static const struct pv_kind kind_LEAVE = {
    .name = "leave", .does = PV_DOES_TELL, .by = PV_BY_NODE,
    .fields = {FIELD(U64, leave.serial), FIELD(U64, leave.time)},
    .subject = AT(signer), .number = AT(u.leave.serial), .time = AT(u.leave.time),
    .quota = PV_ROSTER_QUOTA_LEAVE, .shows_life = true, .fits_full = true,
    .owed = PV_OWED_ALWAYS, .told = "~ left",
};
static const struct pv_kind kind_COORDINATORS = {
    .name = "coordinators", .does = PV_DOES_APPOINT,
    .by = PV_BY_ROOT,
    .fields = {FIELD(U64, coordinators.seq), LIST(coordinators.list, PV_STATEMENT_LIST_MAX)},
    .is_good = is_good_coordinators, .is_long = true, .number = AT(u.coordinators.seq),
    .quota = PV_ROSTER_QUOTA_COORDINATORS,
    .owed = PV_OWED_TO_ALL, .told = "the coordinators changed",
};
static const struct pv_kind kind_END = {
    .name = "end", .does = PV_DOES_TAKE, /* settling looks whether the right is one that allows it */
    .by = PV_BY_ROOT | PV_BY_INVITER | PV_BY_REVOKER, .right = PV_RIGHT_REVOKE,
    .fields = {FIELD(BYTES, end.about), FIELD(BYTES, end.hash),
               LIST(end.stay, PV_END_STAY_MAX * PV_SIGN_PK_LEN), FIELD(U64, end.time)},
    .is_good = is_good_end, .subject = AT(u.end.about), .time = AT(u.end.time),
    .quota = PV_ROSTER_QUOTA_NONE, .fits_full = true,
    .owed = PV_OWED_TO_ALL, .told = "~ is no admin any more",
};
static const struct pv_kind kind_PLACE = {
    .name = "place", .does = PV_DOES_TELL,
    .by = PV_BY_ROOT | PV_BY_NODE | PV_BY_INVITER, .right = PV_RIGHT_INVITE,
    .fields = {FIELD(BYTES, place.node), FIELD(U64, place.serial), FIELD(NAME, place.name),
               FIELD(BYTES, place.ip4), FIELD(U64, place.time)},
    .subject = AT(u.place.node), .number = AT(u.place.serial), .time = AT(u.place.time),
    .quota = PV_ROSTER_QUOTA_PLACE, .by_receipt = true, .shows_life = true,
    .owed = PV_OWED_PLACE, .told = "~ has another place",
};
static const struct pv_kind kind_ADMISSION = {
    .name = "admission", .does = PV_DOES_ADMIT, BY_INVITERS,
    .fields = {FIELD(BYTES, admission.node), FIELD(U64, admission.time)},
    .subject = AT(u.admission.node), .time = AT(u.admission.time),
    .quota = PV_ROSTER_QUOTA_NONE, .shows_life = true, .fits_full = true,
    .owed = PV_OWED_ADMISSION, .told = "~ was admitted",
};
static const struct pv_kind kind_ROUTE = {
    .name = "route", .does = PV_DOES_SLOT, .list = PV_LIST_ROUTES, BY_REVOKERS,
    .fields = {FIELD(SLOT, route.slot), FIELD(U8, route.kind), FIELD(BYTES, route.node),
               FIELD(ROUTE, route.prefix), FIELD(U64, route.time)},
    .is_good = is_good_route, .number = AT(u.route.slot.seq), .time = AT(u.route.time),
    .quota = PV_ROSTER_QUOTA_ROUTES, .by_receipt = true,
    .owed = PV_OWED_TO_ALL, .told = "the routes changed",
};
static const struct pv_kind kind_TAG = {
    .name = "tag", .does = PV_DOES_SLOT, .list = PV_LIST_RULES, BY_REVOKERS,
    .fields = {FIELD(SLOT, tag.slot), FIELD(U8, tag.kind), FIELD(BYTES, tag.node),
               FIELD(NAME, tag.tag), FIELD(U64, tag.time)},
    .is_good = is_good_tag, .number = AT(u.tag.slot.seq), .time = AT(u.tag.time),
    .quota = PV_ROSTER_QUOTA_TAGS, .by_receipt = true,
    .owed = PV_OWED_TO_ALL, .told = "the rules changed",
};
static const struct pv_kind kind_RULE = {
    .name = "rule", .does = PV_DOES_SLOT, .list = PV_LIST_RULES, BY_REVOKERS,
    .fields = {FIELD(SLOT, rule.slot), FIELD(U8, rule.kind), FIELD(U64, rule.place),
               FIELD(SELECTOR, rule.from), FIELD(SELECTOR, rule.to), FIELD(PORTS, rule.ports),
               FIELD(LOGINS, rule.logins), FIELD(U64, rule.time)},
    .is_good = is_good_rule, .number = AT(u.rule.slot.seq), .time = AT(u.rule.time),
    .quota = PV_ROSTER_QUOTA_RULES, .by_receipt = true,
    .owed = PV_OWED_TO_ALL, .told = "the rules changed",
};
static const struct pv_kind kind_CARD = {
    .name = "card", .does = PV_DOES_SHOW, .by = PV_BY_NODE,
    .fields = {FIELD(U64, card.serial), FIELD(U32, card.abilities),
               LIST(card.offers, PV_OFFERS_MAX * PV_OFFER_BYTES), LIST(card.kem, PV_KEM_EK_LEN),
               LIST(card.hostkeys, PV_SSHKEYS_MAX), LIST(card.loginkeys, PV_SSHKEYS_MAX)},
    .is_good = is_good_card, .is_long = true, .number = AT(u.card.serial),
    .quota = PV_ROSTER_QUOTA_CARD, .fits_full = true,
    .owed = PV_OWED_CARD, .told = "this node's card changed",
};
static const struct pv_kind no_kind = {.quota = PV_ROSTER_QUOTA_NONE, .owed = PV_OWED_NOT};
/* clang-format on */

const struct pv_kind *pv_kind_of(uint8_t type)
{
#define ROW(name, number) [number] = &kind_##name,
    static const struct pv_kind *const kinds[UINT8_MAX + 1] = {PV_STATEMENT_TYPES(ROW)};
#undef ROW

    return kinds[type] == NULL ? &no_kind : kinds[type];
}

/* --- what a row says of a statement ---------------------------------------------------------- */

static uint64_t load(const struct pv_statement *st, uint16_t at)
{
    uint64_t v = 0;
    if (at != 0)
        memcpy(&v, (const uint8_t *)st + at, sizeof(v));
    return v;
}

const uint8_t *pv_st_subject(const struct pv_statement *st)
{
    const uint16_t at = pv_kind_of(st->type)->subject;
    return at == 0 ? NULL : (const uint8_t *)st + at;
}

uint64_t pv_st_number(const struct pv_statement *st)
{
    return load(st, pv_kind_of(st->type)->number);
}

uint64_t pv_st_time(const struct pv_statement *st)
{
    return load(st, pv_kind_of(st->type)->time);
}

void pv_st_set_time(struct pv_statement *st, uint64_t time)
{
    const uint16_t at = pv_kind_of(st->type)->time;
    if (at != 0)
        memcpy((uint8_t *)st + at, &time, sizeof(time));
}
