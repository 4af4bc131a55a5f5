/* SPDX-License-Identifier: MIT */
/*
 * fake_node.h - a node without an engine, for the unit test of one part: keys, a roster of alice's
 * network "home" (roster_fixture.h), a job queue, a control server, and facts delivered to that
 * part alone. `f->now` is the test's clock.
 */
#pragma once

#include "base/jsonread.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/path/gatherer.h"
#include "proto/local/ctlapi_request.h"
#include "tests/unit/proto/roster/roster_fixture.h"

struct fake_node {
    struct pv_node node;
    struct pv_identity identity;
    struct world world; /* root, creator (alice, this node), coordinator */
    struct test_rng rng;
    const struct pv_part *part;
    void *self;
    struct pv_engine_config cfg;
    struct pv_saved saved;
    pv_ns now;
    void (*end)(void *arg); /* NULL, or what ends before the node does */
    void *end_arg;
    bool ended;
};

/* Stands in for the keeper. */
static inline int fake_node_sign(void *keeper, struct pv_view body,
                                 uint8_t ret_sig[static PV_SIGN_LEN])
{
    const struct fake_node *f = keeper;
    return pv_statement_sign_as_root(body, f->world.root.sk, ret_sig);
}

/* This machine made the network, or imported its key: other says that of another one. */
static inline void fake_node_give_root(struct fake_node *f, bool other)
{
    memcpy(f->identity.root.pk, f->world.root.pk, sizeof(f->identity.root.pk));
    f->identity.root.pk[0] ^= other;
    f->identity.has_root = true;
}

/* Ends the part and what is around it; the test's teardown calls it. */
static inline void fake_node_done(void *node)
{
    struct fake_node *f = node;
    if (f->ended)
        return;
    f->ended = true;
    f->node.n_parts = 0;
    if (f->end != NULL)
        f->end(f->end_arg);
    if (f->self != NULL)
        pv_part_free(f->part, f->self);
    f->self = NULL;
    pv_jobqueue_done(&f->node.jobs);
    pv_ctlsrv_free(f->node.ctl);
    pv_streams_done(&f->node.streams);
    pv_fifo_clear(&f->node.ways.sock_ops);
}

/* A node in no network; the part is made by fake_node_start(). */
static inline void fake_node_init(struct fake_node *f, const struct pv_part *part)
{
    *f = (struct fake_node){.world = world_make(1), .part = part, .now = PV_S(1000)};
    memcpy(f->identity.sign_sk, f->world.creator.sk, sizeof(f->identity.sign_sk));
    memcpy(f->identity.sign_pk, f->world.creator.pk, sizeof(f->identity.sign_pk));
    memset(f->identity.dh_sk, 7, sizeof(f->identity.dh_sk));
    f->node.rng = test_rng_make(&f->rng, 1);
    f->node.identity = &f->identity;
    f->identity.root = (struct pv_kept_key){.sign = fake_node_sign, .keeper = f};
    f->node.given.mtu = 1420;
    f->node.given.udp_port = 51820;
    f->node.given.started = f->now;
    f->node.up = true;
    f->node.wall = (struct pv_wall){.us = (uint64_t)T0 * 1000000, .at = f->now};
    memcpy(f->node.given.hostname, "alice", 6);
    memcpy(f->node.given.tun_name, "pv0", 4);
    pv_jobqueue_init(&f->node.jobs, &f->node.rng, NULL);
    assert_ok(pv_ctlsrv_new(&f->node.ctl, &f->node.streams, "", false));
    f->cfg = (struct pv_engine_config){
        .rng = f->node.rng, .identity = &f->identity, .saved = &f->saved, .given.mtu = 1420};
    test_defer(fake_node_done, f);
}

static inline void fake_node_end_gatherer(void *node)
{
    struct fake_node *f = node;
    fake_node_done(f);
    if (f->node.ways.gatherer != NULL)
        pv_part_free(&pv_part_gatherer, f->node.ways.gatherer);
}

/* A gatherer for parts that tell it what they learn; it ends behind the node. */
static inline void fake_node_gather(struct fake_node *f)
{
    void *gatherer; /* node.ways.gatherer, too */
    assert_ok(pv_part_make(&pv_part_gatherer, &f->node, &f->cfg, f->now, &gatherer));
    test_defer(fake_node_end_gatherer, f);
}

/* Adds a statement to the roster, as if it had come from anywhere. */
static inline void fake_node_add(struct fake_node *f, struct item it)
{
    add(f->node.roster, &it);
    (void)settle(f->node.roster); /* its events are the membership's business */
    pv_node_raise(&f->node, PV_FACT_ROSTER);
}

/* Adds what pv_membership_add() was given, for what stands in for it. How many are refused. */
static inline size_t fake_node_take(struct pv_node *n, const struct pv_ctl_item *items,
                                    size_t n_items)
{
    size_t refused = 0;
    enum pv_roster_added added;
    for (size_t i = 0; i < n_items; i++)
        refused += pv_roster_add(n->roster, items[i].statement, items[i].receipt, &added) != PV_OK;
    (void)settle(n->roster);
    return refused;
}

/* This node becomes alice, who created network home and is its only member. */
static inline void fake_node_enter(struct fake_node *f)
{
    f->node.roster = roster_of(&f->world);
    test_defer(fake_node_done, f); /* before the roster goes */
    pv_node_raise(&f->node, PV_FACT_NETWORK | PV_FACT_ROSTER);
}

/* Another member with the keys keys_of(seed), at 10.66.0.ip. */
static inline void fake_node_member(struct fake_node *f, unsigned seed, const char *name,
                                    uint16_t ip)
{
    const struct keys k = keys_of(seed);
    fake_node_add(f, make_member(&f->world, &f->world.creator, &k, name, ip));
}

/* Facts reach the part until there are none, then it runs, as the engine does it. */
static inline void fake_node_settle(struct fake_node *f)
{
    while (f->node.facts != 0) {
        unsigned facts = f->node.facts;
        f->node.facts = 0;
        if (f->part->on_facts != NULL)
            f->part->on_facts(f->self, facts, f->now);
    }
    if (f->part->run != NULL)
        f->part->run(f->self, f->now);
}

/* The node has the part, and those that the test gave it behind that. */
static inline void fake_node_start(struct fake_node *f)
{
    assert_ok(pv_part_make(f->part, &f->node, &f->cfg, f->now, &f->self));
    if (f->node.n_parts == 0 || f->node.parts[0].part == f->part) {
        f->node.parts[0] = (struct pv_part_slot){.part = f->part, .self = f->self};
        f->node.n_parts = f->node.n_parts == 0 ? 1 : f->node.n_parts;
    }
    if (f->part->restore != NULL)
        assert_ok(f->part->restore(f->self, &f->cfg, f->now));
    fake_node_settle(f);
}

static inline void fake_node_raise(struct fake_node *f, unsigned facts)
{
    pv_node_raise(&f->node, facts);
    fake_node_settle(f);
}

/* Time passes; the part's timeouts are handled when they are due, as the engine does it. */
static inline void fake_node_wait(struct fake_node *f, pv_ns t)
{
    pv_ns end = f->now + t;
    for (;;) {
        pv_ns next = pv_min_ns(pv_jobqueue_next_timeout(&f->node.jobs),
                               pv_part_next_timeout(f->part, f->self));
        if (next > end || f->now > end) /* one that stays due waits for something else */
            break;
        f->now = next > f->now ? next : f->now + PV_MS(1);
        pv_jobqueue_handle_timeout(&f->node.jobs, f->now);
        pv_part_handle_timeout(f->part, f->self, f->now);
        fake_node_settle(f);
    }
    f->now = end > f->now ? end : f->now;
}

/* The next job, which the test frees; NULL: there is none. */
static inline struct pv_job *fake_node_job(struct fake_node *f)
{
    struct pv_job *job;
    return pv_jobqueue_poll(&f->node.jobs, &job) == PV_OK ? job : NULL;
}

/* The same of one that is there and is of this kind. */
static inline struct pv_job *fake_node_expect(struct fake_node *f, enum pv_job_kind kind)
{
    struct pv_job *job = fake_node_job(f);
    assert_non_null(job);
    assert_int_equal(job->kind, kind);
    return job;
}

/* The job ends like this: its result goes to the part that submitted it. Frees the job. */
static inline void fake_node_answer(struct fake_node *f, struct pv_job *job,
                                    struct pv_job_result *result)
{
    result->id = job->id;
    result->kind = job->kind;
    pv_job_free(job);
    assert_true(pv_jobqueue_handle(&f->node.jobs, result, f->now));
    fake_node_settle(f);
}

/* A request of a control client: it is kept in the struct, and its handle. */
struct fake_asked {
    struct pv_ctlapi_request req; /* to be freed */
    uint64_t handle;              /* 0: there was none */
};
static inline void fake_node_keep(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    struct fake_asked *asked = arg;
    assert_int_equal(asked->handle, 0);
    *asked = (struct fake_asked){.req = *req, .handle = handle};
    memset(req, 0, sizeof(*req)); /* what it owned is the caller's now */
}

/* The client sends the line, which is a whole request. */
static inline struct fake_asked fake_node_ask(struct fake_node *f, uint32_t sid, const char *line)
{
    struct fake_asked asked = {.handle = 0};
    pv_ctlsrv_handle_bytes(f->node.ctl, sid, pv_view(line, strlen(line)), fake_node_keep, &asked);
    assert_int_not_equal(asked.handle, 0);
    return asked;
}

/* The part's share of `status`; valid until the next call. */
static inline const struct pv_statuspage *fake_node_status(struct fake_node *f)
{
    static struct pv_statuspage *page;
    pv_statuspage_free(page);
    page = calloc(1, sizeof(*page));
    assert_non_null(page);
    page->s.coordinator_rtt_ms = -1;
    assert_non_null(f->part->status);
    f->part->status(f->self, page, f->now);
    return page;
}

/* A text in its share: field "relays", at 0, key "name". The field has a list. */
static inline const char *fake_node_shown(struct fake_node *f, enum pv_statuspage_field field,
                                          size_t at, const char *key)
{
    const json_t *list = fake_node_status(f)->fields[field];
    return pv_json_text(json_array_get(list, at), key, NULL);
}

/* A value of a field that is no list. */
static inline const json_t *fake_node_value(struct fake_node *f, enum pv_statuspage_field field,
                                            const char *key)
{
    return json_object_get(fake_node_status(f)->fields[field], key);
}

/* Does the part name something wrong that has this text in it? */
static inline bool fake_node_has_problem(struct fake_node *f, const char *text)
{
    const struct pv_statuspage *page = fake_node_status(f);
    for (size_t i = 0; i < page->n_problems; i++) {
        if (strstr(page->problems[i], text) != NULL)
            return true;
    }
    return false;
}

/* Shows what the part names as wrong, a line each. */
static inline void fake_node_show_problems(struct fake_node *f)
{
    const struct pv_statuspage *page = fake_node_status(f);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    for (size_t i = 0; i < page->n_problems; i++)
        fprintf(out, "%s\n", page->problems[i]);
    fclose(out);
    assert_shows("problems", text);
    free(text);
}

/* How often the part threw something away for this reason, which must be one of its own. */
static inline uint64_t fake_node_drops(struct fake_node *f, const char *reason)
{
    const struct pv_statuspage *page = fake_node_status(f);
    for (size_t i = 0; i < page->n_drops; i++) {
        if (strcmp(page->drops[i].reason, reason) == 0)
            return page->drops[i].count;
    }
    fail_msg("no drops are counted as %s", reason);
    return 0;
}

/* Has the part's share of `metrics` exactly this line? */
static inline bool fake_node_has_metric(struct fake_node *f, const char *line)
{
    struct pv_metrics m;
    char *text = NULL;
    size_t len = 0;
    pv_metrics_init(&m);
    assert_non_null(f->part->metrics);
    f->part->metrics(f->self, &m, f->now);
    assert_ok(pv_metrics_take(&m, &text, &len));
    bool whole = false;
    for (const char *at = text; !whole && (at = strstr(at, line)) != NULL; at++)
        whole = (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
    free(text);
    return whole;
}
