/* SPDX-License-Identifier: MIT */
/* The exchange of statements with peers: rostersync's place in the engine. */
#include <stdio.h>

#include "daemon/core/engine_int.h"

void pv_engine_heads_seen(struct pv_engine *e, struct pv_peer *p, const uint8_t *head, pv_ns now)
{
    pv_rostersync_head_seen(e->sync, p->pk, head, now);
    pv_engine_run_sync(e, now);
}

void pv_engine_take_sync(struct pv_engine *e, struct pv_peer *p, struct pv_view body, pv_ns now)
{
    int r = pv_rostersync_handle(e->sync, p->pk, body, now);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"statements dropped\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_engine_run_sync(e, now);
    pv_engine_roster_pump(e, now);
}

void pv_engine_sync_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    bool up = !p->is_static && e->node.roster != NULL && pv_peer_can_talk(p, now);
    if (up == p->notes.in_sync)
        return;
    if (!up)
        pv_rostersync_peer_down(e->sync, p->pk, now);
    else if (pv_rostersync_peer_up(e->sync, p->pk, now) != PV_OK)
        return;
    p->notes.in_sync = up;
    e->env.n_in_sync += up ? 1 : 0;
    e->env.n_in_sync -= up ? 0 : 1;
    /* The first ones that can pass signals on are news for all that wait; later ones are found by
     * the next repetition. */
    if (up && e->env.n_in_sync <= 3 && !e->env.signalling)
        pv_engine_env_changed(e, false, now);
}

void pv_engine_run_sync(struct pv_engine *e, pv_ns now)
{
    struct pv_rostersync_event ev;
    struct pv_rostersync_transmit *tx = e->sync_tx;
    while (pv_rostersync_poll_transmit(e->sync, tx, now) == PV_OK) {
        struct pv_peer *p = pv_engine_peer_by_pk(e, tx->peer);
        if (p != NULL)
            pv_engine_send_inband(e, p, PV_INBAND_STATEMENTS, pv_view(tx->body, tx->len));
    }
    while (pv_rostersync_poll_event(e->sync, &ev) == PV_OK) {
        struct pv_peer *p = pv_engine_peer_by_pk(e, ev.peer);
        if (p == NULL || ev.type != PV_ROSTERSYNC_EV_DISAGREES)
            continue;
        char text[PV_ROSTER_TEXT];
        snprintf(text, sizeof(text),
                 "this node and %s keep different statements although they exchanged them: one of "
                 "them was told something else",
                 p->name);
        pv_node_report(&e->node, text, now);
    }
}
