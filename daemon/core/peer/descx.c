/* SPDX-License-Identifier: MIT */
/* Numbers descriptions, repeats ours until the other side names it, and decides what to do with
 * theirs. The text of a description is the peer's business. */
#include "daemon/core/peer/descx.h"

/* A change begins the repetitions at their shortest interval: the silence so far was about an older
 * revision. */
static void send_anew(struct pv_descx *x)
{
    x->due = x->own.gen != 0;
    x->sends = 0;
    x->backoff = PV_DESCX_FIRST_RESEND;
    x->resend_at = PV_NEVER;
}

/* Revisions of different generations are not comparable: both numbers have to agree. */
static bool same(struct pv_descx_id a, struct pv_descx_id b)
{
    return a.gen == b.gen && a.rev == b.rev;
}

/* A revision that never left can still take a change. One that did is known to the other side by
 * its number alone: it would take new content for a repetition. */
static void next_number(struct pv_descx *x)
{
    if (x->sent)
        x->own.rev++;
    x->sent = false;
    x->acked = false;
}

void pv_descx_begin(struct pv_descx *x, uint64_t gen)
{
    x->own = (struct pv_descx_id){.gen = gen, .rev = 1};
    x->sent = false;
    x->acked = false;
    send_anew(x);
}

void pv_descx_changed(struct pv_descx *x)
{
    if (x->own.gen == 0)
        return;
    next_number(x);
    send_anew(x);
}

void pv_descx_says(struct pv_descx *x, uint64_t content)
{
    if (x->sent && content != x->content) {
        next_number(x);
        send_anew(x);
    }
    x->content = content;
}

void pv_descx_renumber(struct pv_descx *x, uint64_t gen)
{
    x->own = (struct pv_descx_id){.gen = gen, .rev = 1};
    x->sent = false;
}

void pv_descx_end(struct pv_descx *x)
{
    x->own = (struct pv_descx_id){0};
    x->acked = false;
    x->due = false;
    x->resend_at = PV_NEVER;
}

enum pv_descx_verdict pv_descx_receive(struct pv_descx *x, struct pv_descx_id theirs,
                                       struct pv_descx_id re)
{
    bool was_acked = x->acked;
    if (x->own.gen != 0 && same(re, x->own)) {
        x->acked = true;
        x->resend_at = PV_NEVER;
    }

    /* The coordinator and a common peer may deliver signals out of order; an older one must not
     * undo a newer one. */
    if (theirs.gen < x->theirs.gen || (theirs.gen == x->theirs.gen && theirs.rev < x->theirs.rev))
        return PV_DESCX_STALE;
    if (same(theirs, x->theirs)) {
        /* Not the acknowledgement we waited for: they repeat because our answer was lost. */
        if ((was_acked || !x->acked) && x->answers < PV_DESCX_DUP_ANSWERS) {
            x->answers++;
            x->due = x->own.gen != 0;
        }
        return PV_DESCX_DUPLICATE;
    }
    bool new_gen = theirs.gen != x->theirs.gen;
    x->theirs = theirs;
    /* Anything new needs an acknowledgement, which is our description again. */
    x->answers = 0;
    x->due = x->own.gen != 0;
    return new_gen ? PV_DESCX_NEW_GEN : PV_DESCX_NEW_REV;
}

/* The next one leaves no sooner, however much it is due. */
static pv_ns may_send_at(const struct pv_descx *x)
{
    const pv_ns ahead = PV_DESCX_AT_ONCE * PV_DESCX_EVERY;
    return x->spent_until > ahead ? x->spent_until - ahead : 0;
}

bool pv_descx_take_due(struct pv_descx *x, pv_ns now)
{
    if (x->own.gen == 0 || now < may_send_at(x))
        return false;
    bool resend = !x->acked && x->resend_at != PV_NEVER && x->resend_at != 0 && now >= x->resend_at;
    if (!x->due && !resend)
        return false;
    x->due = false;
    x->sent = true;
    x->sends++;
    x->spent_until = (x->spent_until > now ? x->spent_until : now) + PV_DESCX_EVERY;
    /* After PV_DESCX_MAX_SENDS nobody is there to hear it: presence or an attempt begins anew. */
    if (x->acked || x->sends >= PV_DESCX_MAX_SENDS) {
        x->resend_at = PV_NEVER;
    } else {
        if (x->backoff < PV_DESCX_FIRST_RESEND)
            x->backoff = PV_DESCX_FIRST_RESEND;
        x->resend_at = now + x->backoff;
        x->backoff = pv_min_ns(x->backoff * 2, PV_DESCX_MAX_RESEND);
    }
    return true;
}

pv_ns pv_descx_next_timeout(const struct pv_descx *x)
{
    if (x->own.gen == 0)
        return PV_NEVER;
    pv_ns due = x->due ? 0 : x->acked || x->resend_at == 0 ? PV_NEVER : x->resend_at;
    return due > may_send_at(x) ? due : may_send_at(x);
}

void pv_descx_kick(struct pv_descx *x)
{
    if (!x->acked)
        send_anew(x);
}

void pv_descx_insist(struct pv_descx *x, pv_ns now)
{
    if (!x->acked && x->resend_at == PV_NEVER)
        x->resend_at = now + PV_DESCX_MAX_RESEND;
}

/* The peer may have restarted and lost what it had acknowledged. */
void pv_descx_repeat(struct pv_descx *x)
{
    x->acked = false;
    send_anew(x);
}
