/* SPDX-License-Identifier: MIT */
/* roster_report.c - says in words why a claim does not count, and what helps. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* --- in words -------------------------------------------------------------------------------- */

static bool is_self(const struct pv_roster_key *k, const uint8_t *self)
{
    return self != NULL && memcmp(k->pk, self, sizeof(k->pk)) == 0;
}

/* Members are known by their names. Any other key has the name of its best member statement: which
 * name it had last depends on the order in which statements came. */
static void say_machine(struct pv_text *t, const struct pv_roster_key *k, const uint8_t *self)
{
    const struct pv_roster_item *claim = pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, NULL);
    const char *name = k->member.name;

    if (!k->claim.wins && claim != NULL)
        name = claim->pub.st.u.member.name;
    else if (name[0] == '\0') /* before it is settled */
        name = "somebody";
    if (is_self(k, self))
        pv_text_add(t, "this machine");
    else if (k->claim.wins)
        pv_text_add(t, "member %s", name);
    else
        pv_text_add(t, "\"%s\" (%s)", name, PV_KEY_STR(k->pk));
}

static const char *name_in(const struct pv_roster_item *e)
{
    return e->pub.st.type == PV_ST_PLACE ? e->pub.st.u.place.name : e->pub.st.u.member.name;
}

static struct pv_addr address_in(const struct pv_roster_item *e, enum pv_roster_binding_kind kind)
{
    if (kind == PV_ROSTER_BIND_IP6)
        return pv_addr6(e->pub.st.u.member.ip6, 0);
    return pv_addr4_u32(pv_load_be32(e->pub.st.type == PV_ST_PLACE ? e->pub.st.u.place.ip4
                                                                   : e->pub.st.u.member.ip4),
                        0);
}

/* The kind of value that another one has. */
static enum pv_roster_binding_kind kind_of(enum pv_roster_refusal why)
{
    switch (why) {
    case PV_ROSTER_REFUSE_NAME:
        return PV_ROSTER_BIND_NAME;
    case PV_ROSTER_REFUSE_IP4:
        return PV_ROSTER_BIND_IP4;
    case PV_ROSTER_REFUSE_IP6:
        return PV_ROSTER_BIND_IP6;
    default:
        return PV_ROSTER_BIND_TRANSPORT;
    }
}

/* The machine that has what the claim lacks. That one is called "b" helps nobody who asks which
 * machine has the name "b". */
static const char *holder(const struct pv_roster_item *e, enum pv_roster_refusal why,
                          const uint8_t *self)
{
    const struct pv_roster_value *v = e->values[kind_of(why)];
    const struct pv_roster_key *k = v == NULL || v->owner == NULL ? NULL : v->owner->key;

    if (k != NULL && is_self(k, self))
        return "this machine";
    if (k == NULL || k->member.name[0] == '\0' ||
        (why == PV_ROSTER_REFUSE_NAME && strcmp(k->member.name, name_in(e)) == 0))
        return "another machine";
    return k->member.name;
}

/* A member that claims something else in vain stays what it is. */
static void say_lost(struct pv_text *t, const struct pv_roster_item *e, enum pv_roster_refusal why,
                     const uint8_t *self)
{
    const bool is_member = e->subject->claim.wins;
    const char *by = holder(e, why, self);

    if (why == PV_ROSTER_REFUSE_TRANSPORT)
        pv_text_add(t,
                    is_member ? " does not get the transport key that it wants, which %s has"
                              : " is no member, as %s has its transport key",
                    by);
    else if (why == PV_ROSTER_REFUSE_NAME && is_member)
        pv_text_add(t, " is not called %s, as %s has that name", name_in(e), by);
    else if (why == PV_ROSTER_REFUSE_NAME)
        pv_text_add(t, " is no member, as %s has the name %s", by, name_in(e));
    else {
        const struct pv_addr ip = address_in(e, kind_of(why));
        pv_text_add(t,
                    is_member ? " is not at %s, as %s has that address"
                              : " is no member, as its address %s is that of %s",
                    PV_IP_STR(&ip), by);
    }
}

static const char *words_of(enum pv_roster_refusal why)
{
    switch (why) {
    case PV_ROSTER_REFUSE_WINDOW:
        return " joined outside the time of its invite";
    case PV_ROSTER_REFUSE_RECEIPT:
        return " was let in by a coordinator that is none here";
    case PV_ROSTER_REFUSE_EXPIRY:
        return " has an expiry without an admin's signature";
    case PV_ROSTER_REFUSE_ADMITTER:
        return " was admitted by a revoked invite or admin";
    case PV_ROSTER_REFUSE_REVOKED:
        return " was removed and claims to be a member";
    default:
        return "";
    }
}

static void say_why(struct pv_text *t, const struct pv_roster_item *e, enum pv_roster_refusal why,
                    const uint8_t *self)
{
    const bool takes = pv_st_does(&e->pub.st, PV_DOES_TAKE);

    say_machine(t, takes ? e->signer : e->subject, self);
    if (takes)
        pv_text_add(t, " revokes something without the right to it, or after it lost that: it has "
                       "no effect");
    else if (why <= PV_ROSTER_REFUSE_TRANSPORT)
        say_lost(t, e, why, self);
    else
        pv_text_add(t, "%s", words_of(why));
}

/* The present name or address can be said again, too: then the other one is wanted no more. */
static void say_other_place(struct pv_text *t, const struct pv_roster_key *k,
                            enum pv_roster_refusal why, const uint8_t *self)
{
    const struct pv_member *m = &k->member;
    const bool by_name = why == PV_ROSTER_REFUSE_NAME, own = is_self(k, self);
    const char *command = by_name ? "rename" : "address set", *what = by_name ? "NAME" : "ADDRESS";

    pv_text_add(t, ": %s`sudo p2pvpnctl %s %s`", own ? "" : "there ", command, what);
    if (!own)
        pv_text_add(t, ", or an admin's `sudo p2pvpnctl %s %s %s`,", command, m->name, what);
    pv_text_add(t, " gives it another one, or %s again", by_name ? m->name : PV_IP_STR(&m->ip4));
}

/* A key that is no member joins by a new one, as its program sees a removal in that. Its old claim
 * would be said for ever. */
static void say_how_to_join(struct pv_text *t, const struct pv_roster_item *e,
                            enum pv_roster_refusal why, const uint8_t *self)
{
    pv_text_add(t, ": %s`sudo p2pvpnctl leave --forget`, then join with a new token",
                is_self(e->subject, self) ? "" : "there ");
    if (why != PV_ROSTER_REFUSE_REVOKED)
        pv_text_add(t, "; an admin's `sudo p2pvpnctl remove %s` ends this",
                    PV_KEY_STR(e->subject->pk));
}

static void say_remedy(struct pv_text *t, const struct pv_roster_item *e,
                       enum pv_roster_refusal why, const uint8_t *self)
{
    const struct pv_roster_key *k = e->subject;
    if (!k->claim.wins)
        say_how_to_join(t, e, why, self);
    else if (e->pub.st.type == PV_ST_MEMBER)
        pv_text_add(t, ": it is a member by what it said before");
    else if (why == PV_ROSTER_REFUSE_TRANSPORT)
        pv_text_add(t, ": %s`sudo p2pvpnctl key rotate`", is_self(k, self) ? "" : "there ");
    else
        say_other_place(t, k, why, self);
}

/* Reported once for each reason: a person wants to know why a machine is not a member, not how
 * often that was computed. */
void pv_roster_report_refusal(struct pv_roster *r, struct pv_roster_item *e,
                              enum pv_roster_refusal why)
{
    char buf[PV_ROSTER_TEXT];
    struct pv_text t = pv_text_in(buf, sizeof(buf));

    if (e->refused == why)
        return;
    e->refused = why;
    if (why == PV_ROSTER_REFUSE_NONE)
        return;
    say_why(&t, e, why, NULL);
    pv_roster_report(r, PV_ROSTER_EV_REFUSED,
                     pv_st_does(&e->pub.st, PV_DOES_TAKE) ? NULL : e->subject, "%s", buf);
}

void pv_roster_explain_refusal(const struct pv_roster_item *e, enum pv_roster_refusal why,
                               const uint8_t *self, char ret_text[static PV_ROSTER_REFUSED])
{
    struct pv_text t = pv_text_in(ret_text, PV_ROSTER_REFUSED);

    say_why(&t, e, why, self);
    say_remedy(&t, e, why, self);
}
