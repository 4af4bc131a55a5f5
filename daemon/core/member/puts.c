/* SPDX-License-Identifier: MIT */
/* puts.c - a list of puts that wait for their answers, found again by number. */
#include "daemon/core/member/puts.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/coord/coordinator.h"
#include "proto/roster/roster.h"

struct pv_put *pv_put_new(size_t cap)
{
    struct pv_put *put = calloc(1, sizeof(*put));
    if (put == NULL)
        return NULL;
    put->cap = cap;
    put->statements = calloc(cap, sizeof(*put->statements));
    return put->statements == NULL ? pv_put_free(put) : put;
}

void pv_put_add(struct pv_put *put, struct pv_view statement)
{
    struct pv_made_long *to = &put->statements[put->n];
    if (put->n == put->cap || statement.len > sizeof(to->raw))
        return;
    memcpy(to->raw, statement.ptr, statement.len);
    to->len = statement.len;
    put->n++;
}

struct pv_put *pv_put_free(struct pv_put *put)
{
    if (put == NULL)
        return NULL;
    /* A token admits whoever holds it, so it does not stay in freed memory. */
    if (put->token != NULL)
        pv_wipe(put->token, strlen(put->token));
    free(put->token);
    free(put->statements);
    free(put);
    return NULL;
}

void pv_puts_init(struct pv_puts *ps, struct pv_node *node, const struct pv_part *owner)
{
    *ps = (struct pv_puts){.node = node, .owner = owner, .last_number = PV_PUTS_TAGS};
}

/* Nobody will hear of these any more: their owner is about to be freed. */
void pv_puts_done(struct pv_puts *ps)
{
    struct pv_put *put;
    while ((put = pv_puts_take_lost(ps)) != NULL)
        pv_put_free(put);
}

enum pv_ctl_error pv_puts_send(struct pv_puts *ps, struct pv_put *put)
{
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct pv_ctl_msg msg = {.type = PV_CTL_PUT};
    if (put->n > PV_CTL_ITEMS_MAX)
        return PV_CTL_E_LIMIT;
    for (size_t i = 0; i < put->n; i++) {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        items[i] = (struct pv_ctl_item){
            .statement = pv_view(put->statements[i].raw, put->statements[i].len)};
        pv_statement_hash(items[i].statement, hash);
        /* A coordinator that lost its store learns from old receipts when things happened. */
        const struct pv_roster_entry *x =
            ps->node->roster == NULL ? NULL : pv_roster_find(ps->node->roster, hash);
        if (x != NULL)
            items[i].receipt = x->receipt;
    }
    /* Borrowed for the call only: the message is bytes when it returns. */
    msg.u.put.n = put->n;
    msg.u.put.items = items;
    /* No number comes twice, so a late answer never meets another put. */
    put->number = ++ps->last_number;
    int r = pv_coord_ask(ps->node, ps->owner, &msg, put->number);
    if (r != PV_OK)
        return r == PV_ERR_STATE ? PV_CTL_E_OFFLINE : PV_CTL_E_LIMIT;
    put->next = ps->first;
    ps->first = put;
    return PV_CTL_E_NONE;
}

static struct pv_put *unlink_put(struct pv_puts *ps, uint64_t number)
{
    for (struct pv_put **at = &ps->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->number != number)
            continue;
        struct pv_put *put = *at;
        *at = put->next;
        return put;
    }
    return NULL;
}

struct pv_put *pv_puts_take(struct pv_puts *ps, uint64_t tag, const struct pv_ctl_msg *answer,
                            struct pv_put_result *ret_result)
{
    struct pv_put *put = unlink_put(ps, tag);
    *ret_result = (struct pv_put_result){.error = PV_CTL_E_NONE};
    if (put == NULL)
        return NULL;
    if (answer->type != PV_CTL_RECEIPTS) {
        ret_result->error =
            answer->type == PV_CTL_ERROR ? answer->u.failure.error : PV_CTL_E_BAD_REQUEST;
        return put;
    }
    /* The coordinator decides how many results there are: a statement without one has no
     * receipt. */
    for (size_t i = 0; i < answer->u.receipts.n && i < put->n; i++) {
        const struct pv_ctl_result *res = &answer->u.receipts.results[i];
        /* The first refusal stands for the whole put, but the statements accepted beside it count.
         */
        if (res->error != PV_CTL_E_NONE) {
            if (ret_result->error == PV_CTL_E_NONE)
                ret_result->error = res->error;
            continue;
        }
        ret_result->items[ret_result->n_items++] = (struct pv_ctl_item){
            .statement = pv_view(put->statements[i].raw, put->statements[i].len),
            .receipt = res->receipt};
    }
    return put;
}

struct pv_put *pv_puts_take_lost(struct pv_puts *ps)
{
    struct pv_put *put = ps->first;
    if (put != NULL)
        ps->first = put->next;
    return put;
}
