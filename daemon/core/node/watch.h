/* SPDX-License-Identifier: MIT */
/*
 * watch.h - control clients that listen to what happens: messages, states, presence, files
 * (`chat`, the terminal interface). A part that has news tells all of them at once.
 */
#ifndef PV_WATCH_H
#define PV_WATCH_H

#include "base/pv.h"
#include "daemon/core/node/ctlsrv.h"

enum {
    PV_WATCH_MAX = 64, /* ours: as many as the control socket has connections; more are refused */
};

struct pv_watch {
    struct {
        uint64_t handle; /* ctl */
        bool seen;       /* somebody reads along: what is told counts as read */
    } watchers[PV_WATCH_MAX];
    size_t n;
};

/* PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_watch_add(struct pv_watch *w, uint64_t handle, bool seen);
/* Does nothing when handle does not watch. */
void pv_watch_drop(struct pv_watch *w, uint64_t handle);
/* Sends the event with a copy of body, which is taken (NULL: nothing is sent), to every watcher. */
void pv_watch_tell(const struct pv_watch *w, struct pv_ctlsrv *ctl, const char *event,
                   json_t *body);
/* Does somebody read along? */
bool pv_watch_is_seen(const struct pv_watch *w);

#endif /* PV_WATCH_H */
