/* SPDX-License-Identifier: MIT */
/* invite.c - draws an invite's key, signs its statement, writes its token. */
#include "daemon/core/member/invite.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rules.h"
#include "proto/roster/token.h"

/* Ours: the coordinator judges windows; a clock that is wrong by some minutes costs nothing. */
#define INVITE_EARLY_S 600

static int make_token(const struct pv_node *n, struct pv_token *token, char *text)
{
    const struct pv_view list = pv_roster_coordinators(n->roster);
    if (list.len > sizeof(token->list))
        return PV_ERR_LIMIT;
    memcpy(token->network_id, pv_roster_network_id(n->roster), sizeof(token->network_id));
    memcpy(token->list, list.ptr, list.len);
    token->list_len = list.len;
    return pv_token_format(token, text, PV_TOKEN_TEXT_BUF);
}

/* The newest time of a receipt, Unix seconds; 0: none. */
static uint64_t newest_receipt(const struct pv_roster *roster)
{
    uint64_t newest = 0;
    for (const struct pv_roster_entry *e = NULL; (e = pv_roster_next_entry(roster, e)) != NULL;) {
        struct pv_receipt r;
        if (e->receipt.len > 0 && pv_receipt_decode(e->receipt, &r) == PV_OK && r.time > newest)
            newest = r.time;
    }
    return newest;
}

uint64_t pv_invite_clock_s(const struct pv_node *n, pv_ns now)
{
    uint64_t theirs = pv_node_coord_us(n, now) / 1000000;
    return theirs != 0 ? theirs : pv_node_wall_s(n, now);
}

/* The receipts of a coordinator whose clock was set back stand still until that has caught up; the
 * window holds this time, too. */
static void set_window(const struct pv_node *n, uint64_t expires_s, pv_ns now,
                       struct pv_st_invite *inv)
{
    uint64_t wall = pv_invite_clock_s(n, now);
    uint64_t receipts = newest_receipt(n->roster);
    uint64_t last = receipts > wall ? receipts : wall;
    inv->not_before = wall > INVITE_EARLY_S ? wall - INVITE_EARLY_S : 0;
    inv->not_after = last < UINT64_MAX - expires_s ? last + expires_s : UINT64_MAX;
}

/* The end of the seed vouches for the rules that are in force here. A closed node does not know
 * them: whoever joins by its token needs an admin's word. */
static void draw_seed(struct pv_node *n, uint8_t seed[static PV_SIGN_SEED_LEN])
{
    uint8_t rules[PV_STATEMENT_HASH_LEN];
    pv_rng_fill(&n->rng, seed, PV_SIGN_SEED_LEN);
    if (!pv_rules_are_known(n))
        return;
    pv_roster_rules(n->roster, rules);
    pv_token_rules(pv_roster_network_id(n->roster), rules,
                   seed + PV_SIGN_SEED_LEN - PV_TOKEN_RULES_LEN);
}

/* The tag is there before the first machine can come by the invite. */
static int add_tag(struct pv_node *n, struct pv_put *put, const char *tag, pv_ns now)
{
    struct pv_made made;
    int r = pv_rules_make_tag(n, put->invite, tag, now, &made);
    if (r == PV_OK)
        r = pv_membership_say(n, pv_made_view(&made), now);
    if (r == PV_OK)
        pv_put_add(put, pv_made_view(&made));
    return r;
}

int pv_invite_make(struct pv_node *n, struct pv_signer by, const struct pv_invite_terms *terms,
                   pv_ns now, struct pv_put **ret_put)
{
    struct pv_token token = {0};
    uint8_t invite_sk[PV_SIGN_SK_LEN];
    struct pv_st_invite inv = {
        .uses = terms->uses, .flags = terms->flags, .lifetime = terms->lifetime};
    struct pv_made made;
    struct pv_put *put = pv_put_new(terms->tag == NULL ? 1 : 2);
    if (put != NULL)
        put->token = calloc(1, PV_TOKEN_TEXT_BUF);
    if (put == NULL || put->token == NULL) {
        pv_put_free(put);
        return PV_ERR_NOMEM;
    }
    do { /* an id that begins with a hyphen would be a flag of `invite revoke` */
        draw_seed(n, token.seed);
        pv_sign_keypair(token.seed, invite_sk, inv.invite);
    } while (PV_KEY_STR(inv.invite)[0] == '-');
    /* Only the public half is needed here: who joins makes the secret one of the token's seed. */
    pv_wipe(invite_sk, sizeof(invite_sk));
    set_window(n, terms->expires_s, now, &inv);
    int r = make_token(n, &token, put->token);
    pv_token_done(&token);
    if (r == PV_OK)
        r = pv_make_invite(pv_roster_network_id(n->roster), by, &inv, &made);
    memcpy(put->invite, inv.invite, sizeof(put->invite));
    if (r == PV_OK && terms->tag != NULL)
        r = add_tag(n, put, terms->tag, now);
    if (r != PV_OK) {
        pv_put_free(put);
        return r;
    }
    pv_put_add(put, pv_made_view(&made));
    *ret_put = put;
    return PV_OK;
}
