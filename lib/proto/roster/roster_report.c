/* SPDX-License-Identifier: MIT */
/* roster_report.c - says in words why a claim does not count. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/roster/roster_int.h"

enum {
    REPORTS_FIRST = 4, /* ours: places of the ring, which doubles */
};

/* Room for one more report in a ring that doubles. */
static void reserve_report(struct pv_roster *r)
{
    size_t cap = r->reports_cap == 0 ? REPORTS_FIRST : r->reports_cap * 2;

    if (r->n_reports < r->reports_cap || cap > PV_ROSTER_MAX_REPORTS)
        return;
    struct pv_roster_report *reports = malloc(cap * sizeof(*reports));
    if (reports == NULL)
        return;
    for (size_t i = 0; i < r->n_reports; i++)
        reports[i] = r->reports[(r->report_first + i) % r->reports_cap];
    free(r->reports);
    r->reports = reports;
    r->reports_cap = cap;
    r->report_first = 0;
}

/* A full ring drops the oldest report: reports are for people, and the newest says more. Without
 * memory for the first one there is none. */
void pv_roster_report(struct pv_roster *r, enum pv_roster_event_type type,
                      struct pv_roster_key *key, const char *fmt, ...)
{
    reserve_report(r);
    if (r->reports_cap == 0)
        return;
    if (r->n_reports == r->reports_cap) {
        r->report_first = (r->report_first + 1) % r->reports_cap;
        r->n_reports--;
    }
    struct pv_roster_report *rep = &r->reports[(r->report_first + r->n_reports++) % r->reports_cap];
    rep->type = type;
    rep->key = key;
    va_list args;
    va_start(args, fmt);
    vsnprintf(rep->text, sizeof(rep->text), fmt, args);
    va_end(args);
}

/* Few networks ever have a report, so the ring goes with its last one. */
int pv_roster_take_report(struct pv_roster *r, struct pv_roster_report *ret_report)
{
    if (r->n_reports == 0)
        return PV_ERR_AGAIN;
    *ret_report = r->reports[r->report_first];
    r->report_first = (r->report_first + 1) % r->reports_cap;
    if (--r->n_reports == 0) {
        free(r->reports);
        r->reports = NULL;
        r->reports_cap = 0;
    }
    return PV_OK;
}

/* The member statement by which a key claims what it claims at present. */
static const struct pv_st_member *claim_of(const struct pv_roster_key *k)
{
    return k->claim.item == NULL ? NULL : &k->claim.item->pub.st.u.member;
}

static const char *owner_name(const struct pv_roster_item *e, enum pv_roster_binding_kind kind)
{
    const struct pv_roster_value *v = e->values[kind];
    const struct pv_roster_key *owner = v == NULL || v->owner == NULL ? NULL : v->owner->key;
    return owner == NULL || owner->member.name[0] == '\0' ? "somebody else" : owner->member.name;
}

/* Reported once for each reason: a person wants to know why a machine is not a member, not how
 * often that was computed. */
void pv_roster_report_refusal(struct pv_roster *r, struct pv_roster_item *e,
                              enum pv_roster_refusal why)
{
    const struct pv_st_member *m =
        e->pub.st.type == PV_ST_MEMBER ? &e->pub.st.u.member : claim_of(e->subject);
    enum pv_roster_event_type type = PV_ROSTER_EV_REFUSED;

    if (e->refused == why || m == NULL)
        return;
    e->refused = why;
    struct pv_addr ip4 = pv_addr4_u32(pv_load_be32(m->ip4), 0);
    const char *who = PV_STR("\"%s\" (%s)", m->name, PV_KEY_STR(e->subject->pk));
    switch (why) {
    case PV_ROSTER_REFUSE_NAME:
        pv_roster_report(r, type, e->subject, "%s claims a name that belongs to another key", who);
        break;
    case PV_ROSTER_REFUSE_ADDRESS:
        pv_roster_report(r, type, e->subject, "%s claims %s, which belongs to \"%s\"", who,
                         PV_IP_STR(&ip4), owner_name(e, PV_ROSTER_BIND_IP4));
        break;
    case PV_ROSTER_REFUSE_TRANSPORT:
        pv_roster_report(r, type, e->subject, "%s claims the transport key of \"%s\"", who,
                         owner_name(e, PV_ROSTER_BIND_TRANSPORT));
        break;
    case PV_ROSTER_REFUSE_WINDOW:
        pv_roster_report(r, type, e->subject, "%s joined outside the time of its invite", who);
        break;
    case PV_ROSTER_REFUSE_RECEIPT:
        pv_roster_report(r, type, e->subject, "%s was let in by a coordinator that is none here",
                         who);
        break;
    case PV_ROSTER_REFUSE_EXPIRY:
        pv_roster_report(r, type, e->subject, "%s has an expiry without an admin's signature", who);
        break;
    case PV_ROSTER_REFUSE_ADMITTER:
        pv_roster_report(r, type, e->subject, "%s was admitted by a revoked invite or admin", who);
        break;
    case PV_ROSTER_REFUSE_REVOKED:
        pv_roster_report(r, type, e->subject, "%s was removed and claims to be a member", who);
        break;
    case PV_ROSTER_REFUSE_TERMS:
        pv_roster_report(r, type, e->subject,
                         "%s joined under conditions that this version does not know: update it",
                         who);
        break;
    case PV_ROSTER_REFUSE_WAITS:
    case PV_ROSTER_REFUSE_NONE:
        break;
    }
}
