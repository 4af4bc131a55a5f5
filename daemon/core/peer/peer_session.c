/* SPDX-License-Identifier: MIT */
/* A peer's WireGuard session: how it is configured, what it says, its messages on their way. */
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/peer/peer_int.h"

/* Computed from what both sides say, so both come to the same suite without negotiating: the one
 * that costs both ends the least together. Where one of them does not tell its costs, AES when both
 * find it the cheaper one. */
enum pv_suite pv_peer_suite(const struct pv_peer *p)
{
    const uint32_t *ours = p->node->ways.cost, *theirs = pv_peer_theirs(p)->cost;
    bool aes = (p->node->ways.caps & pv_peer_theirs(p)->caps & PV_DESC_CAP_AES) != 0;
    if (pv_desc_has_cost(ours) && pv_desc_has_cost(theirs))
        aes = ours[PV_SUITE_AES] + theirs[PV_SUITE_AES] <=
              ours[PV_SUITE_CHACHA] + theirs[PV_SUITE_CHACHA];
    return aes ? PV_SUITE_AES : PV_SUITE_CHACHA;
}

int pv_peer_make_session(struct pv_peer *p, const struct pv_peer_static *conf, pv_ns now)
{
    struct pv_session_config cfg = {
        .device = pv_peer_own_key(p, now),
        .member = !p->is_static,
        .repeat = true,
        .lower_identity =
            !p->is_static && memcmp(p->node->identity->sign_pk, p->pk, sizeof(p->pk)) < 0,
        .rng = p->node->rng,
    };
    memcpy(cfg.remote_pk, p->transport, sizeof(cfg.remote_pk));
    if (conf != NULL) {
        memcpy(cfg.psk, conf->psk, sizeof(cfg.psk));
        cfg.persistent_keepalive = conf->persistent_keepalive;
        cfg.suite = conf->suite;
        cfg.takes[conf->suite] = true;
    } else {
        cfg.suite = pv_peer_suite(p);
        cfg.takes[PV_SUITE_CHACHA] = true;
        cfg.takes[PV_SUITE_AES] =
            (p->node->ways.caps & PV_DESC_CAP_AES) != 0 || pv_desc_has_cost(p->node->ways.cost);
    }
    int r = pv_peer_need_talk(p);
    if (r == PV_OK)
        r = pv_session_new(&p->session, &cfg);
    /* The preshared key was in it. */
    pv_wipe(&cfg, sizeof(cfg));
    return r;
}

void pv_peer_take_wg(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    struct pv_view msg = pv_view(desc->wg, desc->wg_len);
    const struct pv_wg_device *device = NULL;
    uint8_t type;
    int r = pv_wgmsg_type(msg, &type);
    if (r == PV_OK && type != PV_WGMSG_COOKIE && type != PV_WGMSG_DATA)
        device = pv_peer_key_addressed(p->node, msg);
    /* The same checks as for a message by UDP: the coordinator delivers signals and is not trusted
     * with their content. */
    if (r == PV_OK && device == NULL)
        r = PV_ERR_AUTH;
    if (r == PV_OK && type == PV_WGMSG_INITIATION) {
        struct pv_wg_initiation in;
        r = pv_wgmsg_identify(device, msg, &in);
        /* A member may hand us somebody else's initiation inside its own description. */
        if (r == PV_OK && !pv_peer_has_key(p, in.static_pk, now))
            r = PV_ERR_AUTH;
        if (r == PV_OK)
            r = pv_session_handle_initiation(p->session, &in, PV_SESSION_BY_SIGNAL, now);
        pv_wg_initiation_wipe(&in);
        if (r == PV_OK && device == p->node->keys.device)
            pv_peer_note_own_key(p);
    } else if (r == PV_OK && type == PV_WGMSG_RESPONSE) {
        r = pv_session_handle_response(p->session, msg, now);
    }
    if (r != PV_OK && r != PV_ERR_STATE && r != PV_ERR_REPLAY)
        pv_trace_add(&p->trace, now, "handshake in description: %s", pv_strstatus(r));
    /* Ours stands, but it may have gone to the peer's former life: then one for this life goes. */
    if (r == PV_ERR_REFUSED)
        pv_session_want(p->session, now);
}

/* The fast path copies the keys; the caller wipes those of the event. */
static void take_keys(struct pv_peer *p, struct pv_session_event *ev, pv_ns now)
{
    struct pv_fp_key_init init = {
        .local_index = ev->index,
        .remote_index = ev->keys.remote_index,
        .suite = ev->keys.suite,
        .hybrid = ev->psk != 0,
        .birth = ev->born,
    };
    memcpy(init.send_key, ev->keys.send, sizeof(init.send_key));
    memcpy(init.recv_key, ev->keys.recv, sizeof(init.recv_key));
    int r = pv_fp_builder_add_keys(p->node->fp, p->id, &init);
    if (r != PV_OK)
        pv_log(p->node->log, PV_LOG_WARN, "peer=%s what=\"keys not taken\" why=\"%s\"", p->name,
               pv_strstatus(r));
    if (r != PV_OK)
        pv_session_want(p->session, now);
    pv_wipe(&init, sizeof(init));
}

/* Keys go to the fast path in three steps: first it receives with them, then it sends with them,
 * and at the end their index goes. Keys for which it has no memory carry nothing, so others are
 * agreed on. A wish for keys that was answered or given up is rearmed, so that packets can ask
 * again. */
static void take_session_event(struct pv_peer *p, struct pv_session_event *ev, pv_ns now)
{
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    switch (ev->type) {
    case PV_SESSION_KEYS:
        take_keys(p, ev, now);
        break;
    case PV_SESSION_USE:
        if (pv_fp_builder_send_with(p->node->fp, p->id, ev->index) != PV_OK) {
            pv_log(p->node->log, PV_LOG_WARN, "peer=%s what=\"keys not used\"", p->name);
            pv_session_want(p->session, now);
        }
        if (l != NULL)
            pv_fp_live_rearm_keys(l);
        break;
    case PV_SESSION_INDEX_GONE:
        if (pv_fp_builder_remove_keys(p->node->fp, p->id, ev->index) != PV_OK)
            pv_log(p->node->log, PV_LOG_WARN, "peer=%s what=\"keys not removed\"", p->name);
        pv_peer_drop_index(p, ev->index);
        /* An answer to it could not be taken any more, and by asking for that answer we would make
         * the peer drop a message of its own. */
        if (p->wg_index == ev->index)
            p->wg_len = 0;
        break;
    case PV_SESSION_DONE:
        p->last_handshake_ms = pv_node_wall_us(p->node, now) / 1000;
        p->wg_len = 0;
        p->node->common->stats.handshakes++;
        /* Only an answer shows that it takes that key. */
        if (ev->initiator && ev->device == p->node->keys.device)
            pv_peer_note_own_key(p);
        pv_trace_add(&p->trace, now, "session keys agreed: %s%s",
                     pv_suite_name(pv_session_suite(p->session)), ev->psk != 0 ? ", hybrid" : "");
        pv_peer_pq_done(p, ev->psk, now);
        break;
    case PV_SESSION_GIVE_UP:
        p->node->common->stats.handshakes_failed++;
        pv_trace_add(&p->trace, now, "no answer to handshakes for 90 s");
        if (l != NULL)
            pv_fp_live_rearm_keys(l);
        break;
    case PV_SESSION_SEND_KEEPALIVE:
        p->due |= PV_PEER_DUE_KEEPALIVE;
        break;
    }
    pv_wipe(&ev->keys, sizeof(ev->keys));
}

/* Inside a description the handshake shares its acknowledgement and repetition, and needs no
 * path. */
static void describe_handshake(struct pv_peer *p, const struct pv_session_transmit *tx, pv_ns now)
{
    memcpy(p->talk->wg, tx->msg, tx->len);
    p->wg_len = tx->len;
    p->wg_index = tx->index;
    if (p->descx.own.gen == 0)
        pv_peer_begin(p, "keys are needed", now);
    else
        pv_descx_changed(&p->descx);
}

/* A response goes to where the initiation came from, which need not be the path (whitepaper
 * s2.1). */
static void queue_handshake(struct pv_peer *p, const struct pv_session_transmit *tx)
{
    bool to_source = (tx->type == PV_WGMSG_RESPONSE && !tx->again) || !pv_peer_has_path(p);
    struct pv_peer_handshake *h = &p->talk->out[p->talk->n_out];
    h->to = to_source ? p->talk->last_from : p->path;
    if (h->to.kind == PV_CARRIER_NONE)
        return;
    memcpy(h->msg, tx->msg, tx->len);
    h->len = tx->len;
    p->talk->n_out++;
}

/* Messages for a signal go into our description, the others wait for poll_transmit. */
void pv_peer_pump_session(struct pv_peer *p, pv_ns now)
{
    while (p->talk->n_out < PV_PEER_MAX_OUT) {
        struct pv_session_transmit tx;
        /* Drawn before the session says whether it needs one: it cannot ask back. One that was not
         * taken is forgotten. */
        uint32_t index = pv_peer_fresh_index(p);
        uint64_t stamp = pv_highwater_next(&p->node->common->tai, pv_node_wall_us(p->node, now));
        pv_session_set_device(p->session, pv_peer_own_key(p, now));
        if (pv_session_poll_transmit(p->session, index, stamp, now, &tx) != PV_OK)
            break;
        if (tx.took_index && pv_peer_add_index(p, tx.index) != PV_OK)
            pv_trace_add(&p->trace, now, "no room for a receiver index");
        if (tx.via == PV_SESSION_BY_SIGNAL)
            describe_handshake(p, &tx, now);
        /* A path that is only silent mostly lives, and is quicker; what comes twice is dropped. */
        if (tx.via != PV_SESSION_BY_SIGNAL ||
            (tx.type == PV_WGMSG_INITIATION && pv_peer_path_works(p)))
            queue_handshake(p, &tx);
    }
    struct pv_session_event ev;
    while (pv_session_poll_event(p->session, &ev) == PV_OK)
        take_session_event(p, &ev, now);
}
