/* SPDX-License-Identifier: MIT */
/* The first request of a connection: who the node is, whether it is let in, and what it is told. */
#include <string.h>

#include "coordinator/core/conn.h"
#include "coordinator/core/coord_int.h"
#include "coordinator/core/member/askers.h"
#include "crypto/ct.h"

/* Judges a hello; *ret_net is set for everybody but the creator of a network. The signature covers
 * the hash of this connection's handshake, so an attacker cannot use a hello from another
 * connection. */
static enum pv_ctl_error judge_hello(struct pv_coord *c, struct pv_conn *s,
                                     const struct pv_ctl_hello *h, pv_ns now,
                                     struct pv_cnet **ret_net)
{
    *ret_net = NULL;
    if (h->v != PV_CTL_VERSION)
        return PV_CTL_E_VERSION;
    if (pv_ctl_hello_verify(h, s->hash) != PV_OK)
        return PV_CTL_E_BAD_SIGNATURE;
    if (!h->has_network)
        return h->role == PV_CTL_GUEST ? PV_CTL_E_NONE : PV_CTL_E_BAD_REQUEST;
    struct pv_cnet *net = pv_registry_find(&c->registry, h->network);
    if (net == NULL || (c->homes.on && net->dropping))
        return PV_CTL_E_UNKNOWN_NETWORK;
    *ret_net = net;
    const struct pv_member *known = pv_roster_known(net->roster, h->node);
    /* The members are not decided yet, and a node would believe that it is none. */
    if (net->unsettled && (known != NULL || h->role == PV_CTL_MEMBER) &&
        pv_roster_enrolled(net->roster, h->node) == NULL)
        return PV_CTL_E_STORAGE;
    /* Removed nodes are told so even as guests: with the same key they cannot come back. */
    if (known != NULL && known->state == PV_MEMBER_REVOKED)
        return PV_CTL_E_REVOKED;
    if (h->role == PV_CTL_GUEST)
        return PV_CTL_E_NONE;
    /* A member that has expired renews its membership by what it puts. */
    const struct pv_member *m = pv_roster_enrolled(net->roster, h->node);
    if (m == NULL)
        return PV_CTL_E_UNKNOWN_NODE;
    /* Both keys have to be the node's: the identity signed, the transport key did the handshake.
     * One that it had before will do: it may be the last that a machine has which was set back to
     * an older state, and how else should it tell its next one? */
    if (memcmp(m->transport, s->transport, sizeof(s->transport)) != 0 &&
        !pv_roster_had_transport(net->roster, h->node, s->transport))
        return PV_CTL_E_NOT_ALLOWED;
    if (m->state != PV_MEMBER_WAITING)
        return PV_CTL_E_NONE;
    /* It asks again from time to time: so it learns of its admission, and costs no place. */
    pv_askers_note(net, h->node, &s->source, pv_coord_wall_us(c, now));
    return PV_CTL_E_WAITING;
}

/* Some errors mean something more exact in an answer to hello. */
static const char *hello_error_text(enum pv_ctl_error error)
{
    switch (error) {
    case PV_CTL_E_VERSION:
        return "this coordinator speaks version 1";
    case PV_CTL_E_UNKNOWN_NETWORK:
        return "this coordinator does not serve that network";
    case PV_CTL_E_UNKNOWN_NODE:
        /* A LEAVE cannot be taken back, and this coordinator may be one that was restored. */
        return "this coordinator knows no such member: wait, others tell it as a rule, or use "
               "another one; `p2pvpnctl leave` gives up this node's place, and a new token is "
               "needed then";
    case PV_CTL_E_WAITING:
        return "no admin has admitted this node yet";
    case PV_CTL_E_NOT_ALLOWED:
        return "the connection's key is not this node's transport key";
    default:
        return pv_answer_text(error);
    }
}

/*
 * Goes over to hybrid keys with a node that offered them, so that the welcome is under these
 * already. Only a hello that was let in gets here: the work is once a connection, and a part of
 * what the handshake cost. A key that is none ends the connection; without memory or with a crypto
 * library that fails it stays as it is, which the node sees.
 */
static enum pv_ctl_error become_hybrid(struct pv_coord *c, struct pv_conn *s,
                                       const struct pv_ctl_hello *h)
{
    uint8_t ct[PV_KEM_CT_LEN];
    struct pv_control_keys keys;
    if (c->kem == NULL || h->mlkem768.len == 0)
        return PV_CTL_E_NONE;
    int r = pv_control_answer(s->control, c->kem, &c->rng, h->mlkem768, ct, &keys);
    if (r != PV_OK)
        return r == PV_ERR_MALFORMED ? PV_CTL_E_BAD_REQUEST : PV_CTL_E_NONE;
    struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_HYBRID};
    m.u.hybrid.mlkem768 = pv_view(ct, sizeof(ct));
    pv_answer_send(s, &m);
    pv_control_rekey(s->control, &keys);
    return PV_CTL_E_NONE;
}

/* Several coordinators share the store, and the network is not here: the connection waits until it
 * is known whose it is. */
static void seek(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg *msg, pv_ns now)
{
    s->held = msg;
    c->homes.full = pv_registry_is_full(&c->registry);
    const struct pv_ctl_hello *h = &msg->u.hello;
    const uint8_t *pleader = pv_homes_pleads(&c->homes, s->transport, now) ? h->node : NULL;
    if (pv_homes_seek(&c->homes, h->network, s->id, pleader, now) == PV_OK)
        s->state = PV_CONN_SEEKING;
    else
        pv_coord_refuse(c, s, PV_CTL_E_STORAGE, "too many networks are looked for; try again later",
                        now);
}

/* The answer to a node that is let in. The cursor in a member's hello says how far it has the log;
 * it pulls the rest, and pushes begin where that ends (bulk.c). */
static void welcome(struct pv_coord *c, struct pv_conn *s, const struct pv_ctl_msg *msg,
                    struct pv_cnet *net, pv_ns now)
{
    const struct pv_ctl_hello *h = &msg->u.hello;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_WELCOME);
    struct pv_turnauth_creds creds;
    memcpy(s->node, h->node, sizeof(s->node));
    s->net = net;
    s->able.pages = h->pages;
    m.u.welcome = (struct pv_ctl_welcome){.time_us = pv_coord_wall_us(c, now),
                                          .n_stun = c->n_stun,
                                          .stun = c->stun,
                                          .has_tls = c->has_tls,
                                          .tls = c->tls};
    if (net != NULL)
        m.u.welcome.coordinators = pv_cnet_coordinators(net);
    if (h->role == PV_CTL_GUEST) {
        s->state = PV_CONN_GUEST;
        pv_answer_send(s, &m);
        return;
    }
    m.u.welcome.have = pv_cnet_end(net);
    s->log.at = pv_cnet_seek(net, &h->have);
    if (pv_coord_enter(c, s, now) < 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_FULL, pv_answer_text(PV_CTL_E_FULL));
        pv_coord_end(c, s, PV_CTL_E_FULL, pv_answer_text(PV_CTL_E_FULL), now);
        return;
    }
    /* Without a relay it is told so; everything else goes on. */
    if (pv_relaylink_online(c->link, net->id, s->node, now, &creds) == PV_OK) {
        m.u.welcome.has_turn = true;
        m.u.welcome.turn = (struct pv_ctl_turn){.user = creds.user,
                                                .password = creds.password,
                                                .realm = PV_TURNAUTH_REALM,
                                                .nonce = creds.nonce};
    }
    pv_answer_send(s, &m);
    pv_wipe(&creds, sizeof(creds));
}

/* A wrong hello ends the connection, after the answer that says why. */
void pv_hello_handle(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg **held, pv_ns now)
{
    struct pv_ctl_msg *msg = *held;
    struct pv_cnet *net = NULL;
    enum pv_ctl_error e = judge_hello(c, s, &msg->u.hello, now, &net);
    s->able.follows = msg->u.hello.moved;
    if (e == PV_CTL_E_UNKNOWN_NETWORK && c->homes.on) {
        *held = NULL; /* until the store says whose it is */
        seek(c, s, msg, now);
        return;
    }
    if (e == PV_CTL_E_NONE)
        e = become_hybrid(c, s, &msg->u.hello);
    if (e == PV_CTL_E_NONE) {
        welcome(c, s, msg, net, now);
        return;
    }
    pv_answer_refuse(s, msg, e, hello_error_text(e));
    c->stats.failed++;
    pv_coord_end(c, s, e, hello_error_text(e), now);
}
