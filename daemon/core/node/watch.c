/* SPDX-License-Identifier: MIT */
/* watch.c - a short list of control clients, told the same thing one after the other. */
#include "daemon/core/node/watch.h"

int pv_watch_add(struct pv_watch *w, uint64_t handle, bool seen)
{
    if (w->n == PV_WATCH_MAX)
        return PV_ERR_LIMIT;
    w->watchers[w->n].handle = handle;
    w->watchers[w->n++].seen = seen;
    return PV_OK;
}

/* The last one takes its place: the order in which clients are told does not matter. */
void pv_watch_drop(struct pv_watch *w, uint64_t handle)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->watchers[i].handle != handle)
            continue;
        w->watchers[i] = w->watchers[--w->n];
        return;
    }
}

void pv_watch_tell(const struct pv_watch *w, struct pv_ctlsrv *ctl, const char *event, json_t *body)
{
    /* The server adds the request's id to what it sends: each watcher needs a copy of its own. */
    for (size_t i = 0; body != NULL && i < w->n; i++)
        pv_ctlsrv_event(ctl, w->watchers[i].handle, event, json_copy(body));
    json_decref(body);
}

bool pv_watch_is_seen(const struct pv_watch *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->watchers[i].seen)
            return true;
    }
    return false;
}
