/* SPDX-License-Identifier: MIT */
/*
 * fake_chat.h - the fake node's network for parts of chat: alice (this node) with the machines
 * chatlink and rooms, and bob, a member with a transport key whose secret the test has. Connections
 * of chatlink are byte pipes in the test's hands; jobs of chatlink itself are answered by success.
 */
#pragma once

#include "daemon/core/chat/chatlink.h"
#include "daemon/core/rooms/rooms.h"
#include "tests/unit/daemon/core/chat_jobs.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

struct fake_chat {
    struct fake_peers peers;
    struct pv_jobqueue jobs; /* of chatlink and rooms */
    struct pv_peer *bob, *carol;
    struct keys bob_keys, carol_keys;
    uint8_t bob_sk[32], bob_pk[32]; /* transport */
    uint32_t client;                /* a control client's sid */
};

/* A member with a real transport key. */
static inline struct pv_peer *fake_chat_member(struct fake_chat *c, const struct keys *k,
                                               const uint8_t *transport, const char *name,
                                               uint16_t ip)
{
    struct fake_node *f = &c->peers.f;
    struct pv_st_member fields = member_fields(k, name, ip, 0);
    memcpy(fields.transport, transport, sizeof(fields.transport));
    fake_node_add(f, make_member_f(&f->world, &f->world.creator, k, &fields));
    const struct pv_member *m = pv_roster_by_node(f->node.roster, k->pk);
    assert_non_null(m);
    assert_ok(pv_peers_add_member(f->node.peers, m, f->now));
    return pv_peers_by_pk(f->node.peers, k->pk);
}

/* The part is not made yet: fake_chat_start(). links: chatlink and rooms are made here, because the
 * part under test is not the one that has them. */
static inline void fake_chat_init(struct fake_chat *c, const struct pv_part *part)
{
    struct fake_node *f = &c->peers.f;
    uint8_t pk[32];
    memset(c, 0, sizeof(*c));
    fake_peers_init(&c->peers, part);
    pv_jobqueue_init(&c->jobs, &f->node.rng, NULL);
    pv_dh_keypair(&f->node.rng, f->identity.dh_sk, f->identity.dh_pk);
    pv_wg_device_init(&c->peers.device, f->identity.dh_sk);
    fake_node_enter(f);
    memcpy(f->node.node_name, "alice", 6);
    f->node.iface.state = PV_IFACE_UP;
    c->bob_keys = keys_of(7);
    c->carol_keys = keys_of(8);
    pv_dh_keypair(&f->node.rng, c->bob_sk, c->bob_pk);
    c->bob = fake_chat_member(c, &c->bob_keys, c->bob_pk, "bob", 7);
    pv_dh_keypair(&f->node.rng, pk, pk);
    c->carol = fake_chat_member(c, &c->carol_keys, pk, "carol", 8);
    c->client = fake_ctl_open(f);
}

/* tell: of the part under test, or NULL. */
static inline void fake_chat_make_link(struct fake_chat *c,
                                       void (*tell)(void *node, const struct pv_chatlink_event *ev,
                                                    pv_ns now))
{
    struct pv_node *n = &c->peers.f.node;
    struct pv_chatlink_config cfg = {.rng = n->rng,
                                     .jobs = &c->jobs,
                                     .streams = &n->streams,
                                     .lines = &n->chat.lines,
                                     .tell = tell,
                                     .owner = n};
    memcpy(cfg.own_pk, n->identity->sign_pk, sizeof(cfg.own_pk));
    assert_ok(pv_chatlink_new(&n->chat.link, &cfg, c->peers.f.now));
}

static inline void fake_chat_make_rooms(struct fake_chat *c)
{
    struct pv_node *n = &c->peers.f.node;
    struct pv_rooms_config cfg = {
        .rng = n->rng, .signer = pv_appsigner_of(n->identity->sign_sk), .jobs = &c->jobs};
    memcpy(cfg.own_pk, n->identity->sign_pk, sizeof(cfg.own_pk));
    assert_ok(pv_rooms_new(&n->chat.rooms, &cfg));
}

static inline void fake_chat_start(struct fake_chat *c)
{
    fake_node_start(&c->peers.f);
    fake_peers_settle(&c->peers);
}

/* The objects that the part under test does not own are freed: links tells what the test made. */
static inline void fake_chat_done(struct fake_chat *c, bool link, bool rooms)
{
    struct pv_node *n = &c->peers.f.node;
    fake_peers_done(&c->peers);
    c->peers.f.end = NULL;
    if (link)
        n->chat.link = pv_chatlink_free(n->chat.link);
    if (rooms)
        n->chat.rooms = pv_rooms_free(n->chat.rooms);
    pv_jobqueue_done(&c->jobs);
    fake_node_done(&c->peers.f);
}

/* The next job, which must be one of chat's store of this kind. */
static inline struct pv_job *fake_chat_job(struct fake_chat *c, enum pv_chatjob_kind kind)
{
    struct pv_job *job = fake_node_expect(&c->peers.f, PV_JOB_OPAQUE);
    assert_int_equal(pv_chatjob_of(job)->kind, kind);
    return job;
}

/* The answer to COUNTS and RECOPY when messages wait for pk alone. */
static inline struct pv_chatjob_result *fake_chat_backlog(const uint8_t *pk)
{
    struct pv_chatjob_result *r = test_alloc(sizeof(*r));
    r->backlog = test_alloc(sizeof(*r->backlog));
    r->n_backlog = 1;
    r->backlog[0].queued = 3;
    memcpy(r->backlog[0].peer, pk, sizeof(r->backlog[0].peer));
    return r;
}

/* A stored message from alice to this peer, for a result; owned by the result. */
static inline struct pv_chatjob_result *fake_chat_messages(const uint8_t *peer, size_t n)
{
    struct pv_chatjob_result *r = test_alloc(sizeof(*r));
    r->msgs = calloc(n + 1, sizeof(*r->msgs));
    assert_non_null(r->msgs);
    for (size_t i = 0; i < n; i++) {
        struct pv_chat_record *m = &r->msgs[r->n_msgs++];
        m->id[0] = (uint8_t)(i + 1);
        memcpy(m->peer, peer, sizeof(m->peer));
        memcpy(m->peer_name, "bob", 4);
        m->outgoing = true;
        m->seq = i + 1;
        m->time_ms = 1700000000000;
        m->text = strdup("hello");
    }
    return r;
}

/* The job ends; result may be NULL, and is taken. */
static inline void fake_chat_answer(struct fake_chat *c, struct pv_job *job, int status,
                                    struct pv_chatjob_result *result)
{
    struct pv_job_result r = {.status = status, .answer = pv_chatjob_answer(result)};
    if (result != NULL &&
        pv_chatjob_of(job)->word[0] == '\0') /* else the store found whose it is */
        memcpy(result->peer, pv_chatjob_of(job)->peer, sizeof(result->peer));
    memcpy(r.error, "no room", 8);
    fake_node_answer(&c->peers.f, job, &r);
    fake_peers_settle(&c->peers);
}
