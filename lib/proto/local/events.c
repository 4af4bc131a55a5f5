/* SPDX-License-Identifier: MIT */
/* events.c - keeps the newest events, and tells clients that listen. */
#include "proto/local/events.h"

#include <stdlib.h>
#include <string.h>

#include "proto/local/ctlapi_pack.h"

enum {
    FIRST_CAP = 16, /* ours: most nodes of a simulation have little to tell */
};

void pv_events_begin(struct pv_events *e, uint64_t wall_us)
{
    if (e->next == 0)
        e->first = e->next = wall_us == 0 ? 1 : wall_us;
}

void pv_events_hand_on(struct pv_events *from, struct pv_events *to)
{
    to->kept = from->kept;
    to->n_kept = from->n_kept;
    to->cap = from->cap;
    to->first = from->first;
    to->next = from->next;
    *from = (struct pv_events){.n = 0};
}

static void forget(struct pv_events *e, size_t i)
{
    struct pv_events_kept *k = &e->kept[i];
    free(k->who != NULL ? k->who : k->text);
    memmove(k, k + 1, (--e->n_kept - i) * sizeof(*k));
}

/* The place of the first that is kept of this number or a later one; n_kept: none is. */
static size_t find(const struct pv_events *e, uint64_t number)
{
    size_t low = 0, high = e->n_kept;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->kept[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t number_at(const struct pv_events *e, size_t i)
{
    return i < e->n_kept ? e->kept[i].number : e->next;
}

void pv_events_done(struct pv_events *e)
{
    while (e->n_kept > 0)
        forget(e, e->n_kept - 1);
    free(e->kept);
    *e = (struct pv_events){.n = 0};
}

/* --- who listens ------------------------------------------------------------------------------ */

static int add(struct pv_events *e, const struct pv_events_listener *l)
{
    if (e->n == PV_EVENTS_LISTENERS)
        return PV_ERR_LIMIT;
    e->listeners[e->n++] = *l;
    return PV_OK;
}

int pv_events_listen(struct pv_events *e, uint64_t handle, bool seen)
{
    return add(e, &(struct pv_events_listener){.handle = handle, .seen = seen});
}

int pv_events_follow(struct pv_events *e, uint64_t handle, uint64_t since_us, uint64_t seq)
{
    struct pv_events_listener l = {.handle = handle, .follows = true, .next = e->next};
    if (seq != 0) {
        l.blind = seq < e->first - 1 || seq >= e->next;
        l.next = l.blind ? number_at(e, 0) : seq + 1;
    } else if (since_us != 0) {
        size_t i = e->n_kept;
        while (i > 0 && e->kept[i - 1].time_us >= since_us)
            i--;
        l.next = number_at(e, i);
        l.blind = i == 0 && (since_us < e->first || l.next > e->first);
    }
    return add(e, &l);
}

/* The last one takes its place: the order in which clients are told does not matter. */
void pv_events_drop(struct pv_events *e, uint64_t handle)
{
    for (size_t i = 0; i < e->n; i++) {
        if (e->listeners[i].handle != handle)
            continue;
        e->listeners[i] = e->listeners[--e->n];
        return;
    }
}

bool pv_events_is_seen(const struct pv_events *e)
{
    for (size_t i = 0; i < e->n; i++) {
        if (e->listeners[i].seen)
            return true;
    }
    return false;
}

/* --- keeping ---------------------------------------------------------------------------------- */

/* The list is full of what there is: it grows, or one goes: of a member that has its share that
 * one's oldest, else the oldest. */
static void make_room(struct pv_events *e, const char *who)
{
    size_t cap = e->cap == 0 ? FIRST_CAP : 2 * e->cap, mine = 0, oldest = 0;
    if (e->n_kept < e->cap)
        return;
    struct pv_events_kept *more =
        cap > PV_EVENTS_KEPT ? NULL : realloc(e->kept, cap * sizeof(*more));
    if (more != NULL) {
        e->kept = more;
        e->cap = cap;
        return;
    }
    for (size_t i = e->n_kept; who != NULL && i > 0; i--) {
        if (e->kept[i - 1].who == NULL || strcmp(e->kept[i - 1].who, who) != 0)
            continue;
        oldest = i - 1;
        mine++;
    }
    if (e->n_kept > 0)
        forget(e, mine >= PV_EVENTS_OF_ONE ? oldest : 0);
}

/* Without memory for a place it is as if it had been pushed out at once; without memory for its
 * texts, followers hear its kind. */
static void keep(struct pv_events *e, uint64_t wall_us, const struct pv_event *event)
{
    size_t who = event->who == NULL ? 0 : strlen(event->who) + 1, text = strlen(event->text) + 1;
    uint64_t number = e->next++;
    make_room(e, event->who);
    if (e->n_kept == e->cap)
        return;
    struct pv_events_kept *k = &e->kept[e->n_kept++];
    char *texts = malloc(who + text);
    *k = (struct pv_events_kept){
        .number = number, .time_us = wall_us, .kind = event->kind, .what = event->what};
    if (texts == NULL)
        return;
    if (who > 0)
        k->who = memcpy(texts, event->who, who);
    k->text = memcpy(texts + who, event->text, text);
}

/* --- telling ---------------------------------------------------------------------------------- */

/* body's fields behind those that all events have; NULL: none. */
static json_t *in_full(const struct pv_events_kept *k, json_t *body)
{
    json_t *all = pv_ctlapi_pack("{s:o, s:f, s:s, s:s?, s:s}", "seq", pv_ctlapi_u64(k->number),
                                 "time", (double)k->time_us / 1e6, "what", k->what, "who", k->who,
                                 "text", k->text == NULL ? "" : k->text);
    if (all != NULL && body != NULL && json_object_update_missing(all, body) != 0) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static void tell_follower(const struct pv_events_kept *k, struct pv_events_listener *l,
                          struct pv_ctlsrv *ctl, json_t *body)
{
    pv_ctlsrv_event(ctl, l->handle, k->kind, in_full(k, body));
    l->next = k->number + 1;
}

static bool reads(struct pv_ctlsrv *ctl, const struct pv_events_listener *l)
{
    return pv_ctlsrv_backlog(ctl, l->handle) < PV_EVENTS_BACKLOG;
}

/* The server adds the request's id to what it sends: each listener needs a copy of its own. */
static void tell_chat(const struct pv_events *e, struct pv_ctlsrv *ctl, const char *name,
                      json_t *body)
{
    for (size_t i = 0; body != NULL && i < e->n; i++) {
        if (!e->listeners[i].follows)
            pv_ctlsrv_event(ctl, e->listeners[i].handle, name, json_copy(body));
    }
}

/* Followers that have heard all before are told in full; the others hear it from the list. */
void pv_events_tell(struct pv_events *e, struct pv_ctlsrv *ctl, uint64_t wall_us,
                    const struct pv_event *event, json_t *body)
{
    if (event->chat != NULL)
        tell_chat(e, ctl, event->chat, body);
    if (event->kind != NULL && e->next != 0) {
        uint64_t number = e->next;
        keep(e, wall_us, event);
        size_t at = find(e, number); /* without memory nothing is there */
        for (size_t i = 0; at < e->n_kept && i < e->n; i++) {
            struct pv_events_listener *l = &e->listeners[i];
            if (l->follows && l->is_here && l->next == number && reads(ctl, l))
                tell_follower(&e->kept[at], l, ctl, body);
        }
    }
    json_decref(body);
}

/* Events that are not kept any more are told as a number, which is not known of the time before the
 * first. Returns the place of what it hears next. */
static size_t tell_missed(const struct pv_events *e, struct pv_events_listener *l,
                          struct pv_ctlsrv *ctl)
{
    size_t at = find(e, l->next);
    uint64_t missed = number_at(e, at) - l->next;
    if (l->blind || missed > 0)
        pv_ctlsrv_event(
            ctl, l->handle, "missed",
            pv_ctlapi_pack("{s:o}", "count", l->blind ? json_null() : pv_ctlapi_u64(missed)));
    l->blind = false;
    l->next += missed;
    return at;
}

void pv_events_want_figures(struct pv_events *e, uint64_t handle, pv_ns every, pv_ns now)
{
    for (size_t i = 0; i < e->n; i++) {
        if (e->listeners[i].handle != handle)
            continue;
        e->listeners[i].figures = every;
        e->listeners[i].figures_at = now;
    }
}

pv_ns pv_events_figures_at(const struct pv_events *e)
{
    pv_ns at = PV_NEVER;
    for (size_t i = 0; i < e->n; i++) {
        if (e->listeners[i].figures > 0)
            at = pv_min_ns(at, e->listeners[i].figures_at);
    }
    return at;
}

void pv_events_tell_figures(struct pv_events *e, struct pv_ctlsrv *ctl, json_t *body, pv_ns now)
{
    for (size_t i = 0; i < e->n; i++) {
        struct pv_events_listener *l = &e->listeners[i];
        if (l->figures == 0 || now < l->figures_at)
            continue;
        l->figures_at = now + l->figures;
        if (body != NULL && reads(ctl, l))
            pv_ctlsrv_event(ctl, l->handle, "figures", json_copy(body));
    }
    json_decref(body);
}

void pv_events_run(struct pv_events *e, struct pv_ctlsrv *ctl)
{
    for (size_t i = 0; i < e->n; i++) {
        struct pv_events_listener *l = &e->listeners[i];
        if (!l->follows || (l->is_here && l->next == e->next))
            continue;
        while ((l->next < e->next || l->blind) && reads(ctl, l)) {
            size_t at = tell_missed(e, l, ctl);
            if (at < e->n_kept)
                tell_follower(&e->kept[at], l, ctl, NULL);
        }
        if (!l->is_here && l->next == e->next && reads(ctl, l)) {
            l->is_here = true;
            pv_ctlsrv_event(ctl, l->handle, "now",
                            pv_ctlapi_pack("{s:o}", "seq", pv_ctlapi_u64(e->next - 1)));
        }
    }
}
