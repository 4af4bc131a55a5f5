/* SPDX-License-Identifier: MIT */
/* Descriptions on their way: sealed into signals or in-band out, opened and believed in. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "proto/control/signal.h"

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
 * What introduces this node to somebody who has only the network record: the coordinators (whose
 * receipts count), the admin and the invite that admitted it, its member statement, its newest
 * transport key. In this order, so that each is understood when it comes.
 */
static void put_chain(struct pv_engine *e, struct pv_signal *sig)
{
    const struct pv_member *self = pv_node_self(&e->node);
    const uint8_t *own = e->node.identity->sign_pk;
    if (self == NULL)
        return;
    const struct pv_roster_entry *last[5] = {NULL};
    for (const struct pv_roster_entry *x = pv_roster_next_entry(e->node.roster, NULL); x != NULL;
         x = pv_roster_next_entry(e->node.roster, x)) {
        if (x->st.type == PV_ST_COORDINATORS)
            last[0] = x;
        else if (x->st.type == PV_ST_INVITE &&
                 memcmp(x->st.u.invite.invite, self->admitted_by, PV_SIGN_PK_LEN) == 0)
            last[2] = x;
        else if (x->st.type == PV_ST_MEMBER && x->st.u.member.serial == self->serial &&
                 memcmp(x->st.u.member.node, own, PV_SIGN_PK_LEN) == 0)
            last[3] = x;
        else if (x->st.type == PV_ST_TRANSPORT && memcmp(x->st.signer, own, PV_SIGN_PK_LEN) == 0)
            last[4] = x;
    }
    const uint8_t *admin = last[2] != NULL ? last[2]->st.signer : self->admitted_by;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(e->node.roster, NULL); x != NULL;
         x = pv_roster_next_entry(e->node.roster, x)) {
        if (x->st.type == PV_ST_ADMIN && memcmp(x->st.u.admin.node, admin, PV_SIGN_PK_LEN) == 0)
            last[1] = x;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(last); i++) {
        if (last[i] != NULL)
            put_item(sig, last[i]);
    }
}

static int give_to_coordinator(struct pv_engine *e, const struct pv_peer *p, struct pv_view box)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_SIGNAL};
    memcpy(msg.u.signal.node, p->pk, sizeof(msg.u.signal.node));
    msg.u.signal.box = box;
    return pv_coordclient_request(e->node.coord, &msg, PV_CP_TAG(PV_CP_SIGNAL, p->id));
}

/* Which ways a signal takes. */
struct ways {
    bool coordinator, peers;
};

static int send_signal(struct pv_engine *e, struct pv_peer *p, struct pv_signal *sig,
                       struct ways ways, pv_ns now)
{
    struct pv_signal_route route;
    memcpy(route.network_id, pv_roster_network_id(e->node.roster), sizeof(route.network_id));
    memcpy(route.from, e->node.identity->sign_pk, sizeof(route.from));
    memcpy(route.to, p->pk, sizeof(route.to));
    sig->seq = pv_highwater_next(&e->signal_seq, pv_peer_env_wall(&e->env, now));

    uint8_t *buf = malloc(PV_SIGNAL_TEXT_MAX + PV_SIGNAL_BOX_MAX);
    if (buf == NULL)
        return PV_ERR_NOMEM;
    uint8_t *box = buf + PV_SIGNAL_TEXT_MAX;
    size_t len;
    int r = pv_signal_write(sig, buf, PV_SIGNAL_TEXT_MAX, &len);
    if (r == PV_OK)
        r = pv_signal_seal(&route, &e->noise, p->transport, &e->node.rng, pv_view(buf, len), box);
    const struct pv_view sealed = pv_view(box, r == PV_OK ? len + PV_NOISE_X_OVERHEAD : 0);
    if (r == PV_OK && ways.peers)
        (void)pv_engine_forward(e, p, sealed, now);
    if (r == PV_OK && ways.coordinator)
        r = give_to_coordinator(e, p, sealed);
    pv_wipe(buf, PV_SIGNAL_TEXT_MAX);
    free(buf);
    return r;
}

static void send_inband(struct pv_engine *e, struct pv_peer *p, struct pv_signal *sig)
{
    uint8_t *buf = malloc(PV_SIGNAL_TEXT_MAX);
    size_t len;
    if (buf == NULL)
        return;
    sig->seq = 0;
    if (pv_signal_write(sig, buf, PV_SIGNAL_TEXT_MAX, &len) == PV_OK)
        pv_engine_send_inband(e, p, PV_INBAND_DESCRIPTION, pv_view(buf, len));
    pv_wipe(buf, PV_SIGNAL_TEXT_MAX);
    free(buf);
}

void pv_engine_send_desc(struct pv_engine *e, struct pv_peer *p, const struct pv_desc *desc,
                         pv_ns now)
{
    if (e->node.roster == NULL)
        return;
    struct pv_signal *sig = calloc(1, sizeof(*sig));
    if (sig == NULL)
        return;
    pv_roster_head(e->node.roster, sig->head);
    sig->has_desc = true;
    sig->desc = *desc;
    bool inband =
        p->has_path && !p->doubted && p->session != NULL && pv_session_has_keys(p->session, now);
    /* In-band may go into a path that just died: from the second repetition on both ways. */
    if (inband)
        send_inband(e, p, sig);
    bool online = e->node.online && p->presence != PV_PRESENCE_OFFLINE;
    bool unheard = !p->descx.acked && p->descx.sends > 2;
    /* A coordinator that died without a word still looks connected: what nobody acknowledges goes
     * through common peers as well. */
    const struct ways ways = {.coordinator = online && (!inband || p->descx.sends > 2),
                              .peers = e->env.n_in_sync > 0 && (unheard || (!online && !inband))};
    if (ways.coordinator || ways.peers) {
        if (!p->chain_known)
            put_chain(e, sig);
        int r = send_signal(e, p, sig, ways, now);
        if (r != PV_OK)
            pv_trace_add(&p->trace, now, "signal not sent: %s", pv_strstatus(r));
    }
    pv_wipe(sig, sizeof(*sig));
    free(sig);
}

/* --- in -------------------------------------------------------------------------------------- */

static void believe(struct pv_engine *e, struct pv_peer *p, const struct pv_signal *sig, pv_ns now)
{
    pv_engine_heads_seen(e, p, sig->head, now);
    if (!sig->has_desc || !e->node.up)
        return;
    pv_peer_handle_desc(p, &sig->desc, now);
    pv_engine_touch(e, p, now);
}

/* Statements that introduce the sender are merged before it is looked up: they verify themselves.
 */
static struct pv_peer *sender_of(struct pv_engine *e, const uint8_t *from, const uint8_t *transport,
                                 const struct pv_signal *sig, pv_ns now)
{
    struct pv_peer *p = pv_engine_peer_by_pk(e, from);
    if (p == NULL || memcmp(p->transport, transport, sizeof(p->transport)) != 0) {
        struct pv_ctl_item items[PV_SIGNAL_CHAIN_MAX];
        for (size_t i = 0; i < sig->n_chain; i++)
            items[i] = (struct pv_ctl_item){.statement = sig->chain[i].statement,
                                            .receipt = sig->chain[i].receipt};
        (void)pv_engine_add_statements(e, items, sig->n_chain, now);
        p = e->node.roster == NULL ? NULL : pv_engine_peer_by_pk(e, from);
    }
    if (p == NULL || memcmp(p->transport, transport, sizeof(p->transport)) != 0)
        return NULL;
    return p;
}

static struct pv_peer *take_text(struct pv_engine *e, const uint8_t *from, const uint8_t *transport,
                                 struct pv_view text, pv_ns now)
{
    struct pv_signal_parsed *parsed = malloc(sizeof(*parsed));
    if (parsed == NULL)
        return NULL;
    int r = pv_signal_parse(text, parsed);
    if (r != PV_OK) {
        pv_log(e->node.log, PV_LOG_DEBUG, "what=\"signal dropped\" why=\"%s\"", pv_strstatus(r));
        free(parsed);
        return NULL;
    }
    struct pv_peer *p = sender_of(e, from, transport, &parsed->sig, now);
    if (p == NULL) {
        pv_log(e->node.log, PV_LOG_DEBUG, "what=\"signal dropped\" why=\"sender is no member\"");
    } else if (parsed->sig.seq <= p->signal_seq_seen) {
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"signal dropped\" why=replayed", p->name);
        p = NULL;
    } else {
        p->signal_seq_seen = parsed->sig.seq;
        believe(e, p, &parsed->sig, now);
    }
    pv_signal_parsed_done(parsed);
    free(parsed);
    return p;
}

struct pv_peer *pv_engine_take_signal(struct pv_engine *e, const struct pv_ctl_signal *push,
                                      pv_ns now)
{
    struct pv_peer *p = NULL;
    if (e->node.roster == NULL || push->box.len > PV_SIGNAL_BOX_MAX)
        return NULL;
    struct pv_signal_route route;
    memcpy(route.network_id, pv_roster_network_id(e->node.roster), sizeof(route.network_id));
    memcpy(route.from, push->node, sizeof(route.from));
    memcpy(route.to, e->node.identity->sign_pk, sizeof(route.to));

    uint8_t *text = malloc(PV_SIGNAL_TEXT_MAX);
    uint8_t transport[32];
    if (text == NULL)
        return NULL;
    int r = pv_signal_open(&route, &e->noise, push->box, transport, text);
    if (r == PV_OK)
        p = take_text(e, push->node, transport, pv_view(text, push->box.len - PV_NOISE_X_OVERHEAD),
                      now);
    else
        pv_log(e->node.log, PV_LOG_DEBUG, "what=\"signal dropped\" why=\"%s\"", pv_strstatus(r));
    pv_wipe(text, PV_SIGNAL_TEXT_MAX);
    free(text);
    return p;
}

void pv_engine_take_inband_desc(struct pv_engine *e, struct pv_peer *p, struct pv_view body,
                                pv_ns now)
{
    struct pv_signal_parsed *parsed = malloc(sizeof(*parsed));
    if (parsed == NULL)
        return;
    if (pv_signal_parse(body, parsed) == PV_OK) {
        believe(e, p, &parsed->sig, now);
        pv_signal_parsed_done(parsed);
    }
    free(parsed);
}
