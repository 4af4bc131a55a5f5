/* SPDX-License-Identifier: MIT */
/*
 * sim_world.h - coordinators and nodes behind NATs in one process, run until something is true.
 */
#pragma once

#include "sim_coord.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_router.h"

enum {
    SIM_WORLD_NODES = 64,
    SIM_WORLD_ROUTERS = 8,
    SIM_WORLD_COORDS = 8, /* beside the first */
    SIM_WORLD_TOKENS = 64,
};

struct sim_world {
    struct sim_net *net;
    struct sim_coord *coord;
    struct sim_coord *coords[SIM_WORLD_COORDS]; /* further ones */
    size_t n_coords;
    struct sim_node *nodes[SIM_WORLD_NODES];
    size_t n_nodes;
    struct sim_router routers[SIM_WORLD_ROUTERS];
    size_t n_routers;
    char *tokens[SIM_WORLD_TOKENS]; /* owned */
    size_t n_tokens;
    char why[1024]; /* what went wrong last, for the test's message */
};

/* The world that there is: from one sim_world_init() to the next, or to the end of the test. */
extern struct sim_world sim;

/* A number below bound, of the world's seed. */
uint32_t sim_draw(uint32_t bound);

/* A network with a coordinator at 198.51.100.10 on a line of that quality. */
void sim_world_init(uint64_t seed, const struct pv_link_config *line);
/* That with two nodes "a" and "b", each behind a NAT with this profile (NULL: public), all lines of
 * 10 ms. */
void sim_world_two(uint64_t seed, const char *profile_a, const char *profile_b);
/* Ends it sooner. */
void sim_world_done(void);

/* A further coordinator, of its own key, at 198.51.100.LAST. */
struct sim_coord *sim_world_coord(uint8_t last, const struct pv_link_config *line);

/* A private zone 192.168.x.0/24 (and 2001:db8:x::/64) behind a NAT with that profile (see
 * pv_nat_set()), whose public address is 203.0.113.x; x counts from 1. */
unsigned sim_world_nat(unsigned outer, const char *profile, const struct pv_link_config *line);
/* The zone's NAT speaks PCP from now on, at 192.168.x.1; its nodes made later have it as their
 * router. */
struct sim_router *sim_world_router(unsigned zone);
/* A node on a new host of the zone; with an IPv6 address when ipv6. */
struct sim_node *sim_world_node(unsigned zone, const char *name, bool ipv6);

/* Goes to the next event and hands it to its owner. False: none until then. */
bool sim_world_step(pv_ns until);
/* Runs for that long. */
void sim_world_run(pv_ns duration);
/* Runs until is_true(ctx) or the time is up; says which. */
bool sim_world_until(pv_ns timeout, bool (*is_true)(void *ctx), void *ctx);

/* Runs for that long: send(ctx) begins each turn of `every`, wrong(ctx) ends it. Returns the fault,
 * or NULL. */
const char *sim_world_traffic(pv_ns duration, pv_ns every, void (*send)(void *ctx),
                              const char *(*wrong)(void *ctx), void *ctx);

/* Its user accepts the invitation to a room ("#dev"), within half a minute. */
bool sim_world_enter(struct sim_node *n, const char *room);
/* Asks a node, as sim_node_ask() does, and runs until its answer is there. NULL (and why) when it
 * does not come in time or is not ok. Valid as long as the node. */
const char *sim_world_ask(struct sim_node *n, pv_ns timeout, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same of what it is told to do: is it done? */
bool sim_world_tell(struct sim_node *n, pv_ns timeout, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Does its answer, within 5 s, have this text (sim_answer_has())? False and why. */
bool sim_world_says(struct sim_node *n, const char *fields, const char *text);
/* Has the node a path of this type ("direct", "relay"), to whomever? */
bool sim_world_path_is(struct sim_node *n, const char *type);
/* The value of a text field of an answer; false when it is not there or does not fit. */
bool sim_world_field(const char *answer, const char *name, char *buf, size_t cap);
/* The token of an invite that it makes ("'uses':1"), within 40 s; as long as the world. NULL and
 * why. */
const char *sim_world_invite(struct sim_node *n, const char *how);
/* It joins by a token, within 60 s, under that name (NULL: its own). Its answer; NULL and why. */
const char *sim_world_join(struct sim_node *n, const char *token, const char *name);
/* The token of `network coordinators token`, from one to another, who joins by it. False and why.
 */
bool sim_world_pass_token(struct sim_node *from, struct sim_node *to);

/* The first node creates a network, the others join it, one after the other. False and why. */
bool sim_world_join_all(void);
/* a pings b (payload 32 bytes) until one of its pings is answered; the time it took, PV_NEVER when
 * the time was up. every = between pings. */
pv_ns sim_world_reach(struct sim_node *a, struct sim_node *b, pv_ns every, pv_ns timeout);

/* The first node pings the second this often for so long; what is under way then has a second to
 * come. How many of its pings were not answered, ever. */
unsigned sim_world_unanswered(pv_ns every, pv_ns duration);

/* Prints what a node remembers about a peer, for the message of a failed run. */
void sim_world_explain(struct sim_node *n, const char *peer);
/* The scenario goes on only when this is so. Else: prints what is wrong, sim.why, and what the
 * first nodes remember about each other, and ends the run of this seed. */
void sim_must(bool is_so, const char *wrong);
/* The same of what took too long (PV_NEVER: it did not come to pass); says how long. */
void sim_must_take(pv_ns took, pv_ns bound, const char *wrong);
