/* SPDX-License-Identifier: MIT */
/* signals.c - descriptions on their way: sealed into signals or in-band out, opened and believed
 * in. */
#include "daemon/core/member/signals.h"

#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "crypto/ct.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/member/sealkeys.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/highwater.h"
#include "daemon/core/peer/peers.h"
#include "proto/control/signal.h"

/* --- signals passed on for others ------------------------------------------------------------ */

/* Where the coordinator cannot bring a signal, a member that has sessions with both sides does
 * (in-band type 5). One hop: a peer passes on what its sender itself sealed, to a member it has a
 * session with, and nothing else; so there are no loops, and a member that was removed neither
 * sends nor receives. The helper sees who talks to whom, as the coordinator does, and no content.
 */

struct forwards {
    struct pv_bucket own;    /* signals of our own given to others */
    struct pv_bucket others; /* signals of others, all in all */
};

enum {
    HELPERS = 3,      /* ours: asked for each signal; others the next time */
    OWN_RATE = 40,    /* ours: signals of our own a second */
    PEER_RATE = 10,   /* ours: a second, for one peer, or from one */
    TOTAL_RATE = 100, /* ours: a second, passed on for others */
};

static bool can_help(const struct pv_peer *q, const struct pv_peer *to)
{
    return q != NULL && q != to && !pv_peer_is_static(q) && pv_peer_notes_of(q)->in_sync &&
           pv_peer_path_state(q) != PV_PATH_STATE_SUSPECT;
}

/* A member that brought something from there surely knows the way; others by turns. */
static unsigned find_helpers(const struct pv_node *n, const struct pv_peer *to,
                             struct pv_peer *helpers[static HELPERS])
{
    unsigned found = 0;
    struct pv_peer *known = pv_peers_by_id(n->peers, pv_peer_notes_of(to)->passed_by);
    if (can_help(known, to))
        helpers[found++] = known;
    /* The random start spreads the load, and a repetition most likely asks others. */
    struct pv_peer *start = pv_peers_random(n->peers), *q = start;
    while (q != NULL && found < HELPERS) {
        if (can_help(q, to) && q != known)
            helpers[found++] = q;
        q = pv_peers_next(n->peers, q);
        if (q == NULL)
            q = pv_peers_next(n->peers, NULL);
        if (q == start)
            break;
    }
    return found;
}

/* Hands a sealed signal for a peer to a few whom in-band messages reach. How many that were. A
 * signal that others pass on for this node costs them, so it has a rate here; and where no member
 * is in sync with the receiver, nobody could pass it on. */
static unsigned forwards_send(struct forwards *f, struct pv_node *n, struct pv_peer *to,
                              struct pv_view box, pv_ns now)
{
    struct pv_peer *helpers[HELPERS];
    struct pv_forward fwd = {.box = box};
    size_t len;
    if (pv_peer_count_in_sync(to) == 0 || !pv_bucket_take(&f->own, OWN_RATE, 2 * OWN_RATE, 1, now))
        return 0;
    unsigned count = find_helpers(n, to, helpers);
    uint8_t *body = count == 0 ? NULL : malloc(PV_FORWARD_MAX);
    memcpy(fwd.to, pv_peer_pk(to), sizeof(fwd.to));
    memcpy(fwd.from, n->identity->sign_pk, sizeof(fwd.from));
    if (body == NULL || pv_forward_build(&fwd, body, PV_FORWARD_MAX, &len) != PV_OK)
        count = 0;
    for (unsigned i = 0; i < count; i++)
        pv_peers_send(n->peers, helpers[i], PV_INBAND_SIGNAL, pv_view(body, len));
    free(body);
    return count;
}

/* from asks this node to pass its signal on: body, as it came. */
static void forwards_pass_on(struct forwards *f, struct pv_node *n, struct pv_peer *from,
                             struct pv_view body, pv_ns now)
{
    struct pv_forward fwd;
    if (pv_forward_parse(body, &fwd) != PV_OK)
        return;
    struct pv_peer *to = pv_peers_by_pk(n->peers, fwd.to);
    /* Only what the sender sealed itself: nobody can have this node send in another's name. */
    if (memcmp(fwd.from, pv_peer_pk(from), sizeof(fwd.from)) != 0 || to == NULL ||
        !pv_peer_notes(to)->in_sync) {
        pv_log(n->log, PV_LOG_DEBUG, "peer=%s what=\"signal not passed on\"", pv_peer_name(from));
        return;
    }
    /* The sender's own budget is asked first: one that floods must not use up the budget that all
     * share. */
    if (!pv_bucket_take(&pv_peer_notes(from)->passed, PEER_RATE, 2 * PEER_RATE, 1, now) ||
        !pv_bucket_take(&f->others, TOTAL_RATE, 2 * TOTAL_RATE, 1, now))
        return;
    pv_peers_send(n->peers, to, PV_INBAND_SIGNAL, body);
}

/* May helper hand us the signal of this sender now? */
static bool forwards_may_hand(struct pv_peer *helper, const uint8_t *from, pv_ns now)
{
    /* A peer that has a session with us needs no box. */
    return memcmp(from, pv_peer_pk(helper), PV_SIGN_PK_LEN) != 0 &&
           pv_bucket_take(&pv_peer_notes(helper)->handed, PEER_RATE, 2 * PEER_RATE, 1, now);
}

/* --- signals of this node -------------------------------------------------------------------- */

enum {
    /* Ours: a description sent so often without an acknowledgement takes every way there is. */
    PATIENT_SENDS = 2,
};
#define TAG_TOLD ((uint64_t)1 << 32) /* beside a peer's id: nobody waits for who is away */

struct signals {
    struct pv_node *node;
    struct pv_highwater seq; /* numbers of our signals */
    struct forwards forwards;
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct signals *s = part;
    s->node->store.marks[PV_MARK_SIGNAL] = &s->seq;
    return PV_OK;
}

static void free_signals(void *part)
{
    struct signals *s = part;
    s->node->store.marks[PV_MARK_SIGNAL] = NULL;
}

/* --- out ------------------------------------------------------------------------------------- */

static void put_item(struct pv_signal *sig, const struct pv_roster_entry *entry)
{
    if (sig->n_chain == PV_SIGNAL_CHAIN_MAX)
        return;
    sig->chain[sig->n_chain].statement = entry->st.raw;
    sig->chain[sig->n_chain].receipt = entry->receipt;
    sig->n_chain++;
}

/*
 * The statements that introduce this node to somebody who has only the network record: the
 * coordinators (whose receipts count), the admin and the invite that admitted it, its member
 * statement, the statement of its transport key, and if an admin approved of it, that admin and the
 * admission. In this order, so that each is understood when it comes.
 */
static void put_chain(struct signals *s, struct pv_signal *sig)
{
    const struct pv_member *self = pv_node_self(s->node);
    const uint8_t *own = s->node->identity->sign_pk;
    if (self == NULL)
        return;
    const struct pv_roster_entry *last[7] = {NULL};
    for (const struct pv_roster_entry *x = pv_roster_next_entry(s->node->roster, NULL); x != NULL;
         x = pv_roster_next_entry(s->node->roster, x)) {
        if (x->st.type == PV_ST_COORDINATORS)
            last[0] = x;
        else if (x->st.type == PV_ST_INVITE &&
                 memcmp(x->st.u.invite.invite, self->admitted_by, PV_SIGN_PK_LEN) == 0)
            last[2] = x;
        else if (x->st.type == PV_ST_MEMBER && x->st.u.member.serial == self->serial &&
                 memcmp(x->st.u.member.node, own, PV_SIGN_PK_LEN) == 0)
            last[3] = x;
        else if (x->st.type == PV_ST_TRANSPORT && memcmp(x->st.signer, own, PV_SIGN_PK_LEN) == 0 &&
                 memcmp(x->st.u.transport.transport, self->transport, PV_DH_LEN) == 0)
            last[4] = x;
    }
    const uint8_t *admin = last[2] != NULL ? last[2]->st.signer : self->admitted_by;
    last[6] = pv_roster_admission(s->node->roster, own);
    const uint8_t *approver = last[6] != NULL ? last[6]->st.signer : admin;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(s->node->roster, NULL); x != NULL;
         x = pv_roster_next_entry(s->node->roster, x)) {
        if (x->st.type == PV_ST_ADMIN && memcmp(x->st.u.admin.node, admin, PV_SIGN_PK_LEN) == 0)
            last[1] = x;
        else if (x->st.type == PV_ST_ADMIN &&
                 memcmp(x->st.u.admin.node, approver, PV_SIGN_PK_LEN) == 0)
            last[5] = x;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(last); i++) {
        if (last[i] != NULL)
            put_item(sig, last[i]);
    }
}

static int give_to_coordinator(struct signals *s, const struct pv_peer *p, struct pv_view box,
                               uint64_t tag)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_SIGNAL};
    memcpy(msg.u.signal.node, pv_peer_pk(p), sizeof(msg.u.signal.node));
    msg.u.signal.box = box;
    return pv_coord_ask(s->node, &pv_part_signals, &msg, tag);
}

/* Which ways a signal takes. */
struct ways {
    bool coordinator, peers;
};

/* A hybrid box wherever that is possible; *ret_len: of the box. The receiver's key may turn out to
 * be none, or the text, which somebody else's long statements are in, be too long for it. */
static int seal(struct signals *s, const struct pv_peer *p, struct pv_view text, uint8_t *box,
                size_t *ret_len)
{
    struct pv_node *n = s->node;
    const struct pv_noise_static own = pv_ownkeys_current(n->identity);
    const struct pv_sealing_to *to = pv_sealkeys_to(n, p);
    const struct pv_signal_route route =
        pv_signal_route_of(pv_roster_network_id(n->roster), n->identity->sign_pk, pv_peer_pk(p));
    const struct pv_noise_parties keys = {.local = &own, .remote = pv_peer_transport(p)};
    int r = to == NULL ? PV_ERR_UNSUPPORTED
                       : pv_signal_seal_hybrid(&route, to, &keys, &n->rng, text, box);
    const bool hybrid = r == PV_OK;
    if (!hybrid)
        r = pv_signal_seal(&route, &own, pv_peer_transport(p), &n->rng, text, box);
    if (r == PV_OK)
        pv_sealkeys_count(n, PV_SEALKEYS_SIGNAL, hybrid);
    *ret_len = r != PV_OK ? 0 : text.len + (hybrid ? PV_SEALING_OVERHEAD : PV_NOISE_X_OVERHEAD);
    return r;
}

/* Seals the signal for its receiver alone and sends it by the ways chosen. Its number is above all
 * that this node ever used, over restarts too, so that the receiver can drop replays. */
static int send_signal(struct signals *s, struct pv_peer *p, struct pv_signal *sig,
                       struct ways ways, pv_ns now)
{
    struct pv_node *n = s->node;
    sig->seq = pv_highwater_next(&s->seq, pv_node_wall_us(n, now));

    uint8_t *buf = malloc(PV_SIGNAL_TEXT_MAX + PV_SIGNAL_BOX_MAX);
    if (buf == NULL)
        return PV_ERR_NOMEM;
    uint8_t *box = buf + PV_SIGNAL_TEXT_MAX;
    size_t len, box_len = 0;
    int r = pv_signal_write(sig, buf, PV_SIGNAL_TEXT_MAX, &len);
    if (r == PV_OK)
        r = seal(s, p, pv_view(buf, len), box, &box_len);
    const struct pv_view sealed = pv_view(box, box_len);
    if (r == PV_OK && ways.peers)
        (void)forwards_send(&s->forwards, n, p, sealed, now);
    if (r == PV_OK && ways.coordinator)
        r = give_to_coordinator(s, p, sealed, pv_peer_id(p) | (sig->has_desc ? 0 : TAG_TOLD));
    pv_wipe(buf, PV_SIGNAL_TEXT_MAX);
    free(buf);
    return r;
}

static void send_inband(struct signals *s, struct pv_peer *p, struct pv_signal *sig)
{
    uint8_t *buf = malloc(PV_SIGNAL_TEXT_MAX);
    size_t len;
    if (buf == NULL)
        return;
    /* The session already keeps replays out: only signals are numbered. */
    sig->seq = 0;
    if (pv_signal_write(sig, buf, PV_SIGNAL_TEXT_MAX, &len) == PV_OK)
        pv_peers_send(s->node->peers, p, PV_INBAND_DESCRIPTION, pv_view(buf, len));
    pv_wipe(buf, PV_SIGNAL_TEXT_MAX);
    free(buf);
}

static void put_roster(const struct pv_node *n, struct pv_signal *sig)
{
    pv_roster_head(n->roster, sig->head);
    pv_roster_members(n->roster, sig->members);
    pv_roster_rules(n->roster, sig->rules);
    sig->has_rules = pv_rules_are_known(n);
}

void pv_signals_tell(struct pv_node *n, struct pv_peer *p,
                     const struct pv_roster_entry *const *entries, size_t count, pv_ns now)
{
    struct signals *s = pv_node_part(n, &pv_part_signals);
    struct pv_signal *sig = n->roster == NULL ? NULL : calloc(1, sizeof(*sig));
    const struct ways ways = {.coordinator = n->online, .peers = pv_peer_count_in_sync(p) > 0};
    int r = PV_ERR_NO_SPACE;
    if (sig == NULL)
        return;
    put_roster(n, sig);
    for (size_t i = 0; i < count; i++)
        put_item(sig, entries[i]);
    for (; r == PV_ERR_NO_SPACE; sig->n_chain--) {
        r = send_signal(s, p, sig, ways, now);
        if (sig->n_chain == 0)
            break;
    }
    if (r != PV_OK)
        pv_trace_add(pv_peer_trace(p), now, "signal not sent: %s", pv_strstatus(r));
    free(sig);
}

static void send_desc(struct signals *s, struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    struct pv_node *n = s->node;
    if (n->roster == NULL)
        return;
    struct pv_signal *sig = calloc(1, sizeof(*sig));
    if (sig == NULL)
        return;
    put_roster(n, sig);
    sig->has_desc = true;
    sig->desc = *desc;
    const struct pv_descx *x = pv_peer_descx(p);
    bool online = n->online && pv_peer_presence(p) != PV_PRESENCE_OFFLINE;
    /* A NAT may have forgotten a path that rested, also since a check on it was answered: what is
     * said then is mostly about that. */
    bool inband = pv_peer_can_talk(p, now) && pv_peer_path_state(p) != PV_PATH_STATE_SUSPECT &&
                  !(online && pv_peer_rests(p, now));
    /* In-band may go into a path that just died: from the second repetition on both ways. */
    if (inband)
        send_inband(s, p, sig);
    bool unheard = !x->acked && x->sends > PATIENT_SENDS;
    /* A coordinator that died without a word still looks connected: what nobody acknowledges goes
     * through common peers as well. */
    const struct ways ways = {.coordinator = online && (!inband || x->sends > PATIENT_SENDS),
                              .peers = pv_peer_count_in_sync(p) > 0 &&
                                       (unheard || (!online && !inband))};
    if (ways.coordinator || ways.peers) {
        /* Until the peer has shown that it knows the key that sealed this signal, the statement of
         * that key comes along. */
        if (!pv_peer_knows_chain(p) || !pv_peer_knows_own_key(p))
            put_chain(s, sig);
        int r = send_signal(s, p, sig, ways, now);
        if (r != PV_OK)
            pv_trace_add(pv_peer_trace(p), now, "signal not sent: %s", pv_strstatus(r));
    }
    pv_wipe(sig, sizeof(*sig));
    free(sig);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct signals *s = part;
    struct pv_desc desc;
    while (pv_peer_take_desc(p, now, &desc)) {
        send_desc(s, p, &desc, now);
        pv_wipe(&desc, sizeof(desc));
    }
}

/* The coordinator did not bring a signal: it may say that the peer is away. */
static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct signals *s = part;
    struct pv_node *n = s->node;
    struct pv_peer *p = pv_peers_by_id(n->peers, (uint32_t)tag);
    if (p == NULL || msg->type != PV_CTL_ERROR)
        return;
    pv_trace_add(pv_peer_trace(p), now, "signal: %s", pv_ctl_error_word(msg->u.failure.error));
    if (msg->u.failure.error != PV_CTL_E_OFFLINE)
        return;
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, now);
    pv_peers_touch(n->peers, p, now);
    pv_peers_raise(n->peers, p, PV_PEER_FACT_AWAY);
    /* The coordinator then tells when the peer is back. */
    if ((tag & TAG_TOLD) == 0)
        pv_presence_subscribe(n, pv_peer_pk(p));
}

/* --- in -------------------------------------------------------------------------------------- */

static void believe(struct signals *s, struct pv_peer *p, const struct pv_signal *sig, pv_ns now)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    pv_roster_head(s->node->roster, own);
    if (memcmp(own, sig->head, sizeof(own)) == 0)
        pv_peer_notes(p)->spread = s->node->spread;
    pv_rostersync_member_head(s->node, p, sig->head, sig->members, now);
    if (sig->has_rules)
        pv_rules_named(s->node, p, sig->rules, now);
    if (!sig->has_desc || !s->node->up)
        return;
    pv_peer_handle_desc(p, &sig->desc, now);
    pv_peers_touch(s->node->peers, p, now);
}

/* A box proves a transport key, and the roster alone says whose key that is. */
static bool is_sender(const struct pv_peer *p, const uint8_t *transport, pv_ns now)
{
    return p != NULL && pv_peer_has_key(p, transport, now);
}

/* Statements verify themselves. The peer of that key afterwards: it may have come or gone by them.
 */
static struct pv_peer *merge_chain(struct pv_node *n, const uint8_t *pk,
                                   const struct pv_signal *sig, pv_ns now)
{
    struct pv_ctl_item items[PV_SIGNAL_CHAIN_MAX];
    for (size_t i = 0; i < sig->n_chain; i++)
        items[i] = (struct pv_ctl_item){.statement = sig->chain[i].statement,
                                        .receipt = sig->chain[i].receipt};
    (void)pv_membership_add(n, items, sig->n_chain, now);
    return n->roster == NULL ? NULL : pv_peers_by_pk(n->peers, pk);
}

/* Statements that introduce the sender are merged before it is looked up. */
static struct pv_peer *sender_of(struct signals *s, const uint8_t *from, const uint8_t *transport,
                                 const struct pv_signal *sig, pv_ns now)
{
    struct pv_node *n = s->node;
    struct pv_peer *p = pv_peers_by_pk(n->peers, from);
    if (!is_sender(p, transport, now))
        p = merge_chain(n, from, sig, now);
    return is_sender(p, transport, now) ? p : NULL;
}

/* A signal of a member, and of nobody else. That of an admin without a description is there for
 * what it carries (owed.h): the admin hears what has become of that. NULL: that ended its
 * membership. */
static struct pv_peer *take_member(struct signals *s, struct pv_peer *p,
                                   const struct pv_signal *sig, pv_ns now)
{
    const bool news =
        !sig->has_desc && sig->n_chain > 0 && pv_roster_rights(s->node->roster, pv_peer_pk(p)) != 0;
    uint8_t pk[PV_SIGN_PK_LEN];
    memcpy(pk, pv_peer_pk(p), sizeof(pk));
    if (news)
        p = merge_chain(s->node, pk, sig, now);
    if (p == NULL)
        return NULL;
    believe(s, p, sig, now);
    if (news)
        pv_signals_tell(s->node, p, NULL, 0, now);
    return p;
}

static struct pv_peer *take_text(struct signals *s, const uint8_t *from, const uint8_t *transport,
                                 struct pv_view text, pv_ns now)
{
    const struct pv_log *log = s->node->log;
    struct pv_signal_parsed *parsed = malloc(sizeof(*parsed));
    if (parsed == NULL)
        return NULL;
    int r = pv_signal_parse(text, parsed);
    if (r != PV_OK) {
        pv_log(log, PV_LOG_DEBUG, "what=\"signal dropped\" why=\"%s\"", pv_strstatus(r));
        free(parsed);
        return NULL;
    }
    /* The number is looked at only for a proven sender: a stranger could else use up a member's
     * numbers. */
    struct pv_peer *p = sender_of(s, from, transport, &parsed->sig, now);
    if (p == NULL) {
        pv_log(log, PV_LOG_DEBUG, "what=\"signal dropped\" why=\"sender is no member\"");
    } else if (!pv_peer_take_seq(p, parsed->sig.seq)) {
        pv_log(log, PV_LOG_DEBUG, "peer=%s what=\"signal dropped\" why=replayed", pv_peer_name(p));
        p = NULL;
    } else {
        p = take_member(s, p, &parsed->sig, now);
    }
    pv_signal_parsed_done(parsed);
    free(parsed);
    return p;
}

/* An opened box. */
struct opened {
    uint8_t sender[PV_DH_LEN]; /* the transport key that sealed it */
    bool to_newest;            /* it was for the key of ours in use */
    size_t text_len;
};

/* Opens it with whichever key of ours it was sealed to. psk: of a hybrid box; NULL: as another one.
 */
static int open_with(const struct pv_node *n, const struct pv_signal_route *route,
                     struct pv_view box, const uint8_t *psk, uint8_t *ret_text,
                     struct opened *ret_opened)
{
    struct pv_noise_static own;
    int r = PV_ERR_AUTH;
    ret_opened->to_newest = true;
    ret_opened->text_len = box.len - (psk == NULL ? PV_NOISE_X_OVERHEAD : PV_SEALING_OVERHEAD);
    for (size_t iter = 0; pv_ownkeys_next(n->identity, &iter, &own);
         ret_opened->to_newest = false) {
        r = psk == NULL
                ? pv_signal_open(route, &own, box, ret_opened->sender, ret_text)
                : pv_signal_open_hybrid(route, psk, &own, box, ret_opened->sender, ret_text);
        if (r != PV_ERR_AUTH)
            break;
    }
    return r;
}

/* A box that looks hybrid by chance is opened as what it is. */
static int open_box(const struct pv_node *n, const struct pv_signal_route *route,
                    struct pv_view box, uint8_t *ret_text, struct opened *ret_opened)
{
    uint8_t psk[PV_NOISE_PSK_LEN];
    int r = PV_ERR_AUTH;
    if (pv_sealkeys_secret(n, box, psk)) {
        r = open_with(n, route, box, psk, ret_text, ret_opened);
        pv_wipe(psk, sizeof(psk));
    }
    return r == PV_ERR_AUTH ? open_with(n, route, box, NULL, ret_text, ret_opened) : r;
}

/* Opens a box from a member with that identity key. NULL: it is worthless. */
static struct pv_peer *take_box(struct signals *s, const uint8_t *from, struct pv_view box,
                                pv_ns now)
{
    struct pv_node *n = s->node;
    struct pv_peer *p = NULL;
    if (n->roster == NULL || box.len > PV_SIGNAL_BOX_MAX)
        return NULL;
    /* The box was sealed for this route: a helper can neither name another sender nor bring it to
     * another receiver. */
    const struct pv_signal_route route =
        pv_signal_route_of(pv_roster_network_id(n->roster), from, n->identity->sign_pk);
    uint8_t *text = malloc(PV_SIGNAL_TEXT_MAX);
    struct opened o;
    if (text == NULL)
        return NULL;
    int r = open_box(n, &route, box, text, &o);
    if (r == PV_OK)
        p = take_text(s, from, o.sender, pv_view(text, o.text_len), now);
    if (p != NULL && o.to_newest)
        pv_peer_note_own_key(p);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_DEBUG, "what=\"signal dropped\" why=\"%s\"", pv_strstatus(r));
    pv_wipe(text, PV_SIGNAL_TEXT_MAX);
    free(text);
    return p;
}

static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct signals *s = part;
    if (msg->type != PV_CTL_SIGNAL)
        return;
    struct pv_peer *p = take_box(s, msg->u.signal.node, msg->u.signal.box, now);
    if (p != NULL)
        pv_peer_notes(p)->passed_by = 0;
}

/* In-band type 1. */
static void take_description(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct signals *s = part;
    struct pv_signal_parsed *parsed = malloc(sizeof(*parsed));
    if (parsed == NULL)
        return;
    if (pv_signal_parse(body, parsed) == PV_OK) {
        believe(s, from, &parsed->sig, now);
        pv_signal_parsed_done(parsed);
    }
    free(parsed);
}

/* In-band type 5, for this node. */
static void take_own(struct signals *s, struct pv_peer *helper, const struct pv_forward *f,
                     pv_ns now)
{
    uint32_t helper_id = pv_peer_id(helper);
    char name[PV_NAME_BUF];
    if (!forwards_may_hand(helper, f->from, now))
        return;
    memcpy(name, pv_peer_name(helper), sizeof(name));
    /* Statements in it may end the helper's membership. */
    struct pv_peer *p = take_box(s, f->from, f->box, now);
    if (p == NULL || pv_peer_notes(p)->passed_by == helper_id)
        return;
    pv_peer_notes(p)->passed_by = helper_id;
    pv_trace_add(pv_peer_trace(p), now, "its signal came through %s", name);
}

/* In-band type 5. */
static void take_forward(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct signals *s = part;
    struct pv_forward f;
    int r = pv_forward_parse(body, &f);
    if (r != PV_OK)
        pv_log(s->node->log, PV_LOG_DEBUG, "peer=%s what=\"signal dropped\" why=\"%s\"",
               pv_peer_name(from), pv_strstatus(r));
    else if (memcmp(f.to, s->node->identity->sign_pk, sizeof(f.to)) == 0)
        take_own(s, from, &f, now);
    else
        forwards_pass_on(&s->forwards, s->node, from, body, now);
}

static const struct pv_inband_handler inband[] = {
    {PV_INBAND_DESCRIPTION, take_description},
    {PV_INBAND_SIGNAL, take_forward},
};

const struct pv_part pv_part_signals = {
    .name = "signals",
    .after = {"rules", "sealkeys"},
    .size = PV_PART_SIZE(struct signals),
    .start = start,
    .free = free_signals,
    .on_peer = on_peer,
    .on_answer = on_answer,
    .on_push = on_push,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
};
