/* SPDX-License-Identifier: MIT */
/*
 * fake_chat.h - the fake node's network for parts of chat, bound as in the daemon (bind/chat.h):
 * alice (this node) with the machines chatlink and rooms, and bob, a member with a transport key
 * whose secret the test has. Connections of chatlink are byte pipes in the test's hands; jobs of
 * chatlink itself are answered by success.
 */
#pragma once

#include "bind/chat.h"
#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/chatlink.h"
#include "tests/unit/chat/chat_jobs.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

struct fake_chat {
    struct fake_peers peers;
    struct pv_bind_chat_config cfg;
    const struct pv_chatpart *parts[2]; /* under test */
    struct pv_chat *chat;               /* from fake_chat_start() on */
    struct pv_chatqueue jobs;           /* of chatlink and rooms, which the test makes */
    bool makes_link, makes_rooms;
    void (*tell)(void *chat, const struct pv_chatlink_event *ev, pv_ns now);
    struct pv_chatjob_value values[2]; /* that parts had kept; bytes borrowed */
    size_t n_values;
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
static inline void fake_chat_init(struct fake_chat *c, const struct pv_chatpart *part)
{
    struct fake_node *f = &c->peers.f;
    uint8_t pk[32];
    memset(c, 0, sizeof(*c));
    fake_peers_init(&c->peers, &pv_bind_chat);
    c->parts[0] = part;
    c->cfg = (struct pv_bind_chat_config){.parts = c->parts, .n_parts = 1};
    f->cfg.app_config = &c->cfg;
    pv_chatqueue_init(&c->jobs, &f->node.rng, NULL);
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
                                       void (*tell)(void *chat, const struct pv_chatlink_event *ev,
                                                    pv_ns now))
{
    c->makes_link = true;
    c->tell = tell;
}

static inline void fake_chat_make_rooms(struct fake_chat *c)
{
    c->makes_rooms = true;
}

static inline void fake_chat_make_machines(struct fake_chat *c)
{
    struct pv_node *n = &c->peers.f.node;
    struct pv_chatlink_config link = {.rng = n->rng,
                                      .jobs = &c->jobs,
                                      .streams = &c->chat->streams,
                                      .lines = &c->chat->lines,
                                      .tell = c->tell,
                                      .owner = c->chat};
    struct pv_rooms_config rooms = {
        .rng = n->rng, .signer = pv_appsigner_of(n->identity->sign_sk), .jobs = &c->jobs};
    memcpy(link.own_pk, n->identity->sign_pk, sizeof(link.own_pk));
    memcpy(rooms.own_pk, n->identity->sign_pk, sizeof(rooms.own_pk));
    if (c->makes_link)
        assert_ok(pv_chatlink_new(&c->chat->link, &link, c->peers.f.now));
    if (c->makes_rooms)
        assert_ok(pv_rooms_new(&c->chat->rooms, &rooms));
}

/* The next job of chat's parts, which the test frees; NULL: there is none. */
static inline struct pv_chatjob *fake_chat_any(struct fake_chat *c)
{
    struct pv_chatjob *job;
    return pv_chatqueue_poll(&c->chat->jobs, &job) == PV_OK ? job : NULL;
}

/* The same of one that is there and is of this kind. */
static inline struct pv_chatjob *fake_chat_job(struct fake_chat *c, enum pv_chatjob_kind kind)
{
    struct pv_chatjob *job = fake_chat_any(c);
    assert_non_null(job);
    assert_int_equal(job->kind, kind);
    return job;
}

/* The job ends; result may be NULL, and is taken. */
static inline void fake_chat_answer(struct fake_chat *c, struct pv_chatjob *job, int status,
                                    struct pv_chatjob_result *result)
{
    struct pv_chatqueue_result r = {.id = job->number, .status = status, .answer = result};
    if (result != NULL && job->word[0] == '\0') /* else the store found whose it is */
        memcpy(result->peer, job->peer, sizeof(result->peer));
    if (status != PV_OK)
        memcpy(r.error, "no room", 8);
    pv_chatjob_free(job);
    pv_bind_chat.on_report(c->peers.f.self, &(struct pv_bind_report){.result = &r}, c->peers.f.now);
    fake_peers_settle(&c->peers);
}

/* The part is made when the store has given the kept values. */
static inline void fake_chat_start(struct fake_chat *c)
{
    fake_node_start(&c->peers.f);
    c->chat = pv_bind_chat_of(&c->peers.f.node);
    assert_non_null(c->chat);
    fake_chat_make_machines(c);
    struct pv_chatjob_result *r = test_alloc(sizeof(*r));
    r->values = test_alloc(sizeof(*r->values) * PV_ARRAY_LEN(c->values));
    for (size_t i = 0; i < c->n_values; i++) {
        r->values[i] = c->values[i];
        r->values[i].bytes = test_alloc(c->values[i].len + 1);
        if (c->values[i].len > 0)
            memcpy(r->values[i].bytes, c->values[i].bytes, c->values[i].len);
    }
    r->n_values = c->n_values;
    fake_chat_answer(c, fake_chat_job(c, PV_CHATJOB_VALUES), PV_OK, r);
    fake_peers_settle(&c->peers);
}

/* The objects that the part under test does not own are freed: links tells what the test made. */
static inline void fake_chat_done(struct fake_chat *c, bool link, bool rooms)
{
    if (link)
        c->chat->link = pv_chatlink_free(c->chat->link);
    if (rooms)
        c->chat->rooms = pv_rooms_free(c->chat->rooms);
    fake_peers_done(&c->peers);
    c->peers.f.end = NULL;
    pv_chatqueue_done(&c->jobs);
    fake_node_done(&c->peers.f);
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
