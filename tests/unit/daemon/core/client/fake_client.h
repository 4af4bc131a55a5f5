/* SPDX-License-Identifier: MIT */
/*
 * fake_client.h - control clients of a fake node (fake_peers.h), for the commands of the part under
 * test; and peers that in-band messages reach.
 */
#pragma once

#include "daemon/core/peer/peer_show.h"
#include "proto/local/ctlapi_request.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

/* A client of root's; its sid. */
static inline uint32_t fake_client_open(struct fake_peers *x)
{
    return fake_ctl_open(&x->f);
}

static inline const struct pv_command_handler *fake_client_find(const struct pv_part *part,
                                                                enum pv_ctlapi_cmd cmd)
{
    for (size_t i = 0; i < part->n_commands; i++) {
        if (part->commands[i].cmd == cmd)
            return &part->commands[i];
    }
    return NULL;
}

/* The request with these fields (JSON with ' for "), run by the part as the engine does it. */
static inline void fake_client_ask(struct fake_peers *x, uint32_t sid, const char *fields)
{
    struct pv_node *n = &x->f.node;
    struct fake_asked asked =
        fake_node_ask(&x->f, sid, test_quotes(PV_STR("{\"id\":1,%s}\n", fields)));
    const struct pv_command_handler *c = fake_client_find(x->f.part, asked.req.cmd);
    assert_non_null(c);
    struct pv_peer *p = NULL;
    bool ready = c->needs != PV_NEEDS_NETWORK ||
                 pv_node_need_network(n, pv_ctlapi_cmd_name(asked.req.cmd), asked.handle);
    if (c->needs >= PV_NEEDS_PEER) {
        p = pv_peer_need(n, asked.req.peer, pv_ctlapi_cmd_name(asked.req.cmd), c->needs,
                         asked.handle);
        ready = p != NULL;
    }
    if (ready)
        c->run(x->f.self, &asked.req, p, asked.handle, x->f.now);
    pv_ctlapi_request_done(&asked.req);
    fake_peers_settle(x);
}

/* Everything that the client would read now. */
static inline const char *fake_client_read(struct fake_peers *x, uint32_t sid)
{
    return fake_ctl_reply(&x->f, sid);
}

static inline void fake_client_cancelled(void *arg, uint64_t handle)
{
    struct fake_peers *x = arg;
    pv_events_drop(&x->f.node.events, handle);
    if (x->f.part->on_cancel != NULL)
        x->f.part->on_cancel(x->f.self, handle, x->f.now);
}

/* The client goes away: what it waited for is cancelled. */
static inline void fake_client_leave(struct fake_peers *x, uint32_t sid)
{
    pv_ctlsrv_closed(x->f.node.ctl, sid);
    pv_ctlsrv_tidy(x->f.node.ctl, fake_client_cancelled, x);
}

/* --- a member that answers -------------------------------------------------------------------- */

/* A member whose WireGuard keys the test has, so that sessions can be made with it. */
struct fake_far {
    struct pv_wg_device device;
    struct pv_peer *peer;
};

static inline void fake_far_init(struct fake_peers *x, struct fake_far *far, unsigned seed,
                                 const char *name, uint16_t ip)
{
    const struct keys k = keys_of(seed);
    struct pv_st_member m = member_fields(&k, name, ip, 0);
    uint8_t sk[PV_DH_LEN];
    memset(sk, (int)seed, sizeof(sk));
    pv_wg_device_init(&far->device, test_keep_key(sk));
    pv_dh_public(sk, m.transport);
    fake_node_add(&x->f, make_member_f(&x->f.world, &x->f.world.creator, &k, &m));
    const struct pv_member *member = pv_roster_by_name(x->f.node.roster, name);
    assert_non_null(member);
    assert_ok(pv_peers_add_member(x->f.node.peers, member, x->f.now));
    far->peer = pv_peers_by_pk(x->f.node.peers, member->node);
    assert_non_null(far->peer);
}

/* The owner of that key begins a session with this node: message 1 comes by that way. */
static inline void fake_far_begin(struct fake_peers *x, const struct pv_wg_device *device,
                                  struct pv_peer *p, const struct pv_carrier *from)
{
    struct pv_session *s;
    struct pv_session_transmit out;
    struct pv_session_config cfg = {
        .device = device, .member = pv_peer_is_node(p), .rng = x->f.node.rng};
    struct pv_wg_initiation in;
    cfg.takes[PV_SUITE_CHACHA] = true;
    pv_dh_public(x->f.identity.dh_sk, cfg.remote_pk);
    assert_ok(pv_session_new(&s, &cfg));
    pv_session_set_reach(s, PV_SESSION_BY_UDP, x->f.now);
    pv_session_want(s, x->f.now);
    assert_ok(pv_session_poll_transmit(s, 77, x->f.node.wall.us, x->f.now, &out));
    assert_ok(pv_wgmsg_identify(&x->device, pv_view(out.msg, out.len), &in));
    assert_ok(pv_peer_handle_initiation(p, &in, from, x->f.now));
    pv_peers_touch(x->f.node.peers, p, x->f.now);
    pv_session_free(s);
}

/* It makes session keys with this node, from that address: in-band messages reach it then. */
static inline void fake_far_talk(struct fake_peers *x, struct fake_far *far,
                                 const struct pv_addr *at)
{
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = *at};
    struct pv_peer *p = far->peer;
    struct pv_engine_transmit tx;
    fake_far_begin(x, &far->device, p, &from);
    assert_true(pv_part_peers.poll_transmit(x->f.node.peers, &tx));
    pv_session_confirm(p->session, pv_load_le32(tx.buf + 4), x->f.now); /* its index, bytes 4..7 */
    fake_peers_path(x, p, at);
    assert_true(pv_peer_can_talk(p, x->f.now));
}
