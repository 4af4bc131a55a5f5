/* SPDX-License-Identifier: MIT */
/* peer_session.c - a peer's WireGuard session: the keys that it is made with, how it is configured,
 * what it says, its messages on their way, and trial handshakes without the coordinator. */
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/peer/peer_int.h"

/* --- keys that change ------------------------------------------------------------------------ */

/* Our static key changes, and the peer's (docs/PROTOCOL-PEERS.md "Key change"). The session never
 * notices: keys in use go on, and the next handshake is made with the newest keys of which both
 * sides know. Nobody can be sure of that in time, so each side takes both keys of the other for a
 * while, and the side that asks tries another of its own with each message 1. */

/* The key in use is looked at first: a former one is nearly never meant. */
const struct pv_wg_device *pv_peer_key_addressed(const struct pv_node *n, struct pv_view msg)
{
    if (pv_wgmsg_mac1_ok(n->keys.device, msg))
        return n->keys.device;
    for (size_t i = 0; i < n->keys.n_former; i++)
        if (pv_wgmsg_mac1_ok(n->keys.former[i], msg))
            return n->keys.former[i];
    return n->keys.next != NULL && pv_wgmsg_mac1_ok(n->keys.next, msg) ? n->keys.next : NULL;
}

bool pv_peer_has_key(const struct pv_peer *p, const uint8_t key[static PV_DH_LEN], pv_ns now)
{
    return memcmp(p->transport, key, PV_DH_LEN) == 0 ||
           (p->talk != NULL && now < p->talk->former_until &&
            memcmp(p->talk->former, key, PV_DH_LEN) == 0);
}

int pv_peer_set_transport(struct pv_peer *p, const uint8_t transport[static PV_DH_LEN], pv_ns now)
{
    int r = p->session == NULL ? PV_OK : pv_session_set_remote(p->session, transport);
    if (r != PV_OK)
        return r;
    /* To whom nobody has talked nothing of before can be under way. */
    if (p->talk != NULL) {
        memcpy(p->talk->former, p->transport, sizeof(p->talk->former));
        p->talk->former_until = now + PV_PEER_FORMER_TIME;
    }
    memcpy(p->transport, transport, sizeof(p->transport));
    pv_trace_add(&p->trace, now, "it has another transport key");
    return PV_OK;
}

bool pv_peer_knows_own_key(const struct pv_peer *p)
{
    return p->talk == NULL || p->talk->knows_key == p->node->keys.number;
}

void pv_peer_note_own_key(struct pv_peer *p)
{
    if (p->talk != NULL)
        p->talk->knows_key = p->node->keys.number;
}

void pv_peer_forget_own_key(struct pv_peer *p, const struct pv_wg_device *device)
{
    if (p->session == NULL)
        return;
    pv_session_set_device(p->session, p->node->keys.device);
    pv_session_forget_device(p->session, device);
}

/* Right after a change a peer that has shown nothing takes the former key in any case: it has not
 * heard of the new one, or takes both. Later the new one is the better guess. Each further message
 * of an attempt tries the next, so a wrong guess costs five seconds and nothing more. */
const struct pv_wg_device *pv_peer_own_key(const struct pv_peer *p, pv_ns now)
{
    const struct pv_node *n = p->node;
    size_t k = p->session == NULL ? 0 : pv_session_tries(p->session) % (1 + n->keys.n_former);
    /* A static peer learns of a change by its user. The key by which it was reached last stays
     * first. */
    bool former_first = n->keys.n_former > 0 && !pv_peer_knows_own_key(p) &&
                        (p->is_static || now < n->keys.former_until);
    if (former_first && k < 2)
        k = 1 - k;
    return k == 0 ? n->keys.device : n->keys.former[k - 1];
}

/* --- preshared keys -------------------------------------------------------------------------- */

/* The exchange (pqx.h) goes along in descriptions, and the session learns what came of it. */

/* Ours: halves of a peer that are worked on, a second and at once. Each costs some 150 us, and who
 * begins anew more often is no peer to talk to. */
enum {
    WORK_RATE = 1,
    WORK_BURST = 20,
};

static struct pv_pqx_own own_of(const struct pv_peer *p)
{
    return (struct pv_pqx_own){.id = p->descx.own,
                               .creds = p->talk == NULL ? NULL : &p->talk->creds};
}

/* Does this node do it at all? */
static bool is_able(const struct pv_peer *p)
{
    return p->node->given.kem != NULL && p->node->given.pq != PV_PQ_OFF && !p->is_static;
}

static bool is_described(const struct pv_peer *p)
{
    return p->descx.theirs.gen != 0 && (pv_peer_theirs(p)->caps & PV_DESC_CAP_PQ) != 0;
}

/* The peer says that it does it, in its signed statement or its description. */
static bool is_announced(const struct pv_peer *p)
{
    return p->agreed.stated || is_described(p);
}

void pv_peer_set_stated(struct pv_peer *p, bool stated)
{
    p->agreed.stated = stated;
}

int pv_peer_pq_make(struct pv_peer *p)
{
    if (!is_able(p) || p->agreed.x != NULL)
        return PV_OK;
    struct pv_pqx_config cfg = {.kem = p->node->given.kem, .rng = p->node->rng};
    memcpy(cfg.network_id, p->node->common->network_id, sizeof(cfg.network_id));
    memcpy(cfg.own_pk, p->node->identity->sign_pk, sizeof(cfg.own_pk));
    memcpy(cfg.peer_pk, p->pk, sizeof(cfg.peer_pk));
    return pv_pqx_new(&p->agreed.x, &cfg);
}

/* An offer to somebody who never answers one would make every description three times as long. */
void pv_peer_pq_begin(struct pv_peer *p)
{
    const struct pv_pqx_own own = own_of(p);
    bool known_unable = p->descx.theirs.gen != 0 && !is_announced(p);
    if (p->agreed.x == NULL)
        return;
    pv_pqx_begin(p->agreed.x, &own, !known_unable);
    pv_session_drop_unproven(p->session); /* the answer with their other half is gone */
}

/* The session learns of what came of the exchange. */
static void take_agreed(struct pv_peer *p, pv_ns now)
{
    struct pv_pqx_key k;
    while (p->session != NULL && pv_pqx_poll_key(p->agreed.x, &k) == PV_OK) {
        if (k.fresh) {
            pv_session_add_psk(p->session, k.key.id, k.key.psk, k.proven, now);
            pv_trace_add(&p->trace, now, "preshared key %06x agreed", (unsigned)k.key.id);
        } else if (k.proven) {
            pv_session_prove_psk(p->session, k.key.id, now);
        }
        pv_wipe(&k, sizeof(k));
    }
}

/* Asked before the description counts as received: it is repeated as long as nobody acknowledges
 * it. A half that was acknowledged and not worked on would be waited for until the next
 * generation. */
bool pv_peer_pq_affords(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    const struct pv_descx_id *had = &p->descx.theirs;
    bool newer = desc->gen > had->gen || (desc->gen == had->gen && desc->rev > had->rev);
    return p->agreed.x == NULL || !newer ||
           !pv_pqx_costs(p->agreed.x, desc, desc->gen != had->gen) ||
           pv_bucket_take(&p->agreed.work, WORK_RATE, WORK_BURST, 1, now);
}

void pv_peer_pq_take(struct pv_peer *p, const struct pv_desc *desc, bool new_gen, pv_ns now)
{
    const struct pv_pqx_own own = own_of(p);
    if (p->agreed.x == NULL)
        return;
    if (pv_pqx_take(p->agreed.x, &own, desc, new_gen, now))
        pv_descx_changed(&p->descx);
    take_agreed(p, now);
    if (pv_pqx_error(p->agreed.x)[0] != '\0')
        pv_trace_add(&p->trace, now, "post-quantum: %s", pv_pqx_error(p->agreed.x));
    pv_peer_pq_settle(p, now); /* what it announces may be new */
}

void pv_peer_pq_again(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    if (p->agreed.x == NULL)
        return;
    pv_pqx_have(p->agreed.x, desc);
    take_agreed(p, now);
}

void pv_peer_pq_used(struct pv_peer *p, pv_ns now)
{
    const struct pv_pqx_own own = own_of(p);
    if (p->agreed.x != NULL && pv_pqx_renew(p->agreed.x, &own, now))
        pv_descx_changed(&p->descx);
}

/* Keys are in use, with that preshared key in them. The time without counts from the first such
 * keys to the first others, however often they were made anew meanwhile. */
static void pq_done(struct pv_peer *p, uint32_t psk, pv_ns now)
{
    struct pv_peer_agreed *a = &p->agreed;
    if (psk == 0) {
        a->hybrid_since = 0;
        if (a->classical_since == 0)
            a->classical_since = now;
    } else {
        if (a->hybrid_since == 0) {
            a->hybrid_since = now;
            a->classical_for = a->classical_since == 0 ? 0 : now - a->classical_since;
        }
        a->classical_since = 0;
    }
    pv_peer_pq_settle(p, now);
}

/* --- may packets pass? ----------------------------------------------------------------------- */

/* When the first exchange has had its time; PV_NEVER: nothing is waited for. */
static pv_ns grace_ends(const struct pv_peer *p)
{
    if (!is_able(p) || !is_announced(p) || p->agreed.classical_since == 0)
        return PV_NEVER;
    return p->agreed.classical_since + PV_PEER_PQ_GRACE;
}

/* Chat and files lose nothing by waiting a round trip, so the time without is not theirs. */
static enum pv_fp_strict wants_strict(const struct pv_peer *p, pv_ns now)
{
    if (p->is_static)
        return PV_FP_STRICT_NONE;
    switch (p->node->given.pq) {
    case PV_PQ_REQUIRE:
        return PV_FP_STRICT_ALL;
    case PV_PQ_ON:
        if (now >= grace_ends(p))
            return PV_FP_STRICT_ALL;
        return is_able(p) && is_announced(p) ? PV_FP_STRICT_OWN : PV_FP_STRICT_NONE;
    case PV_PQ_OFF:
        return PV_FP_STRICT_NONE;
    }
    return PV_FP_STRICT_NONE;
}

void pv_peer_pq_settle(struct pv_peer *p, pv_ns now)
{
    enum pv_fp_strict strict = wants_strict(p, now);
    if (strict == p->agreed.strict)
        return;
    if (pv_fp_builder_set_strict(p->node->fp, p->id, strict) != PV_OK)
        return; /* without memory: again with the next occasion */
    p->agreed.strict = strict;
    if (strict == PV_FP_STRICT_ALL && p->node->given.pq == PV_PQ_ON) {
        pv_trace_add(&p->trace, now, "post-quantum: its half does not come: packets wait");
        pv_log(
            p->node->log, PV_LOG_WARN,
            "peer=%s what=\"packets wait\" why=\"it announced post-quantum sessions, and its half "
            "of the exchange does not come\"",
            p->name);
    }
}

pv_ns pv_peer_pq_next(const struct pv_peer *p)
{
    return p->node->given.pq == PV_PQ_ON && p->agreed.strict != PV_FP_STRICT_ALL ? grace_ends(p)
                                                                                 : PV_NEVER;
}

struct pv_peer_pq_view pv_peer_pq(const struct pv_peer *p, pv_ns now)
{
    const struct pv_peer_agreed *a = &p->agreed;
    struct pv_peer_pq_view v = {
        .announced = is_announced(p),
        .contradicts = p->agreed.stated && p->descx.theirs.gen != 0 && !is_described(p),
        .since = a->hybrid_since != 0 ? a->hybrid_since : a->classical_since,
        .classical_for = a->classical_for,
        .error = a->x == NULL ? "" : pv_pqx_error(a->x),
    };
    if (p->is_static || p->session == NULL || !pv_session_has_keys(p->session, now))
        v.state = PV_PEER_PQ_NONE;
    else if (pv_session_psk(p->session) != 0)
        v.state = PV_PEER_PQ_HYBRID;
    else if (p->node->given.pq == PV_PQ_REQUIRE)
        v.state = PV_PEER_PQ_REQUIRED;
    else if (!is_able(p) || !v.announced)
        v.state = PV_PEER_PQ_UNABLE;
    else
        v.state = a->strict == PV_FP_STRICT_ALL ? PV_PEER_PQ_WITHHELD : PV_PEER_PQ_EXCHANGE;
    return v;
}

/* --- the session ----------------------------------------------------------------------------- */

/* Computed from what both sides say, so both come to the same suite without negotiating: the one
 * that costs both ends the least together. A node that tells no costs does without AES-GCM. */
enum pv_suite pv_peer_suite(const struct pv_peer *p)
{
    const uint32_t *ours = p->node->ways.cost, *theirs = pv_peer_theirs(p)->cost;
    const bool aes = pv_desc_has_cost(ours) && pv_desc_has_cost(theirs) &&
                     ours[PV_SUITE_AES] + theirs[PV_SUITE_AES] <=
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
        cfg.takes[PV_SUITE_AES] = pv_desc_has_cost(p->node->ways.cost);
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
        p->last_handshake = now;
        p->wg_len = 0;
        p->node->common->stats.handshakes++;
        /* Only an answer shows that it takes that key. */
        if (ev->initiator && ev->device == p->node->keys.device)
            pv_peer_note_own_key(p);
        pv_trace_add(&p->trace, now, "session keys agreed: %s%s",
                     pv_suite_name(pv_session_suite(p->session)), ev->psk != 0 ? ", hybrid" : "");
        pq_done(p, ev->psk, now);
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

/* --- without the coordinator ----------------------------------------------------------------- */

/* A peer that cannot be asked through the coordinator gets trial handshakes at addresses of before,
 * and one that is answered opens a path on trial until the agents have found their own. */

enum {
    TRIAL_BYTES = 512, /* taken as received from a proven address: enough for checks to begin */
};

/* A trial handshake is a real initiation: the answer gives keys, and no other message has to be
 * invented for it. It takes the next timestamp as every initiation does: the
 * responder refuses one that is not newer than the last (whitepaper s5.1). */
static int make_trial(struct pv_peer *p, pv_ns now, struct pv_session_transmit *ret_tx)
{
    if (p->session == NULL) {
        int made = pv_peer_make_session(p, NULL, now);
        if (made != PV_OK)
            return made;
    }
    uint64_t stamp = pv_highwater_next(&p->node->common->tai, pv_node_wall_us(p->node, now));
    pv_session_set_device(p->session, pv_peer_own_key(p, now));
    int r = pv_session_trial(p->session, pv_peer_fresh_index(p), stamp, now, ret_tx);
    if (r == PV_OK && ret_tx->took_index && pv_peer_add_index(p, ret_tx->index) != PV_OK)
        pv_trace_add(&p->trace, now, "no room for a receiver index");
    return r;
}

int pv_peer_trial(struct pv_peer *p, pv_ns now, uint8_t ret_msg[static PV_WGMSG_INITIATION_LEN])
{
    struct pv_session_transmit tx;
    int r = make_trial(p, now, &tx);
    if (r == PV_OK)
        memcpy(ret_msg, tx.msg, PV_WGMSG_INITIATION_LEN);
    return r;
}

/* Our own initiation takes precedence over the one that was refused, and may have gone to where the
 * peer is no more. It goes again to where the peer's came from. */
void pv_peer_try_back(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    struct pv_session_transmit tx;
    if (p->is_static || pv_peer_path_works(p) || from->kind != PV_CARRIER_UDP ||
        (p->talk != NULL && p->talk->n_out == PV_PEER_MAX_OUT) || make_trial(p, now, &tx) != PV_OK)
        return;
    struct pv_peer_handshake *h = &p->talk->out[p->talk->n_out++];
    h->to = *from;
    h->len = tx.len;
    memcpy(h->msg, tx.msg, tx.len);
}

/* The agent gets credit for the address, as if data had come from there, and begins its checks with
 * it. */
void pv_peer_check_trial(struct pv_peer *p, pv_ns now)
{
    if (p->path_state != PV_PATH_STATE_TRIAL || p->ice == NULL)
        return;
    const struct pv_ice_carrier c = pv_peer_ice_carrier(&p->path);
    pv_ice_note_stray(p->ice, &c, &p->path.remote, TRIAL_BYTES, now);
}

/* Uses the proven address if it is needed now. A handshake proves keys and reachability in one; so
 * data may flow before ICE has checked anything. */
static void try_proven(struct pv_peer *p, pv_ns now)
{
    bool needed = !pv_peer_has_path(p) ||
                  (p->path_state == PV_PATH_STATE_SUSPECT && !p->node->common->signalling);
    if (p->is_static || !needed || p->proven.kind != PV_CARRIER_UDP ||
        (pv_peer_has_path(p) && pv_carrier_same(&p->path, &p->proven)))
        return;
    if (p->ice == NULL || p->state == PV_PEER_IDLE || p->state == PV_PEER_FAILED)
        pv_peer_begin(p, "it answers without the coordinator", now);
    if (p->ice == NULL)
        return;
    pv_peer_set_state(p, PV_PEER_REACHING, "it answers from another address", now);
    p->deadline = now + PV_PEER_REACH_TIME;
    p->recalled = p->proven.remote;
    pv_trace_add(&p->trace, now, "handshake at %s: trying that path", PV_ADDR_STR(&p->recalled));
    pv_peer_use_path(p, &p->proven, now);
    p->path_state = PV_PATH_STATE_TRIAL;
    pv_descx_kick(&p->descx);
    pv_peer_check_trial(p, now);
}

void pv_peer_proven_at(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    p->proven = *from;
    try_proven(p, now);
}

void pv_peer_strayed(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    if (pv_carrier_same(&p->proven, from))
        try_proven(p, now);
}
