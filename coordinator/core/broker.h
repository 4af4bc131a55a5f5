/* SPDX-License-Identifier: MIT */
/*
 * broker.h - presence of nodes, subscriptions to it, and the way to a node for signals.
 *
 * Presence reaches only those who subscribed to a node; a change marks their subscriptions, and
 * each connection is told when its output has room, the latest state only. Single thread.
 */
#pragma once

#include "base/map.h"
#include "coordinator/core/conn.h"

struct pv_bnode_key {
    uint8_t network[PV_NETWORK_ID_LEN];
    uint8_t node[PV_SIGN_PK_LEN];
};

/* A node that is connected, a phone whose gateway says that it is online, or either of them to
 * which somebody subscribed. */
struct pv_bnode {
    struct pv_bnode_key key;
    struct pv_cnet *net;
    struct pv_conn *conn; /* its newest connection; NULL: none */
    /* Of a phone: the connection of the gateway by whose word it is online; NULL: none. Then it is
     * in net->phones. */
    struct pv_conn *gateway;
    struct pv_bnode *phone_prev, *phone_next;
    uint64_t since_us;     /* wall clock when it came, or went if it is offline; 0: unknown */
    struct pv_conn **subs; /* owned: who subscribed to it, ascending by id */
    uint32_t n_subs, subs_cap;
    UT_hash_handle hh;
};

enum {
    /* Ours: entries of a network beyond the number of its members. A subscription to somebody who
     * is no member is fine, but such entries of one network may fill only a share of the table. */
    PV_BROKER_STRANGE_MAX = 4096,
};

struct pv_broker {
    struct pv_map map;
    size_t max_nodes; /* entries that subscriptions may make; members online always find room */
    struct pv_bnode *nodes; /* by network and node */
    size_t online;          /* nodes with a connection */
};

void pv_broker_init(struct pv_broker *b, size_t max_nodes, const struct pv_rng *rng);
/* No connection may be left in it. */
void pv_broker_done(struct pv_broker *b);

/*
 * s (a member, node and net set) is online from now on; *ret_old is the connection it replaces, or
 * NULL: the caller ends it. PV_ERR_LIMIT, PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_broker_online(struct pv_broker *b, struct pv_conn *s, uint64_t wall_us,
                                   struct pv_conn **ret_old);
/* s goes: its node is offline unless a newer connection stands for it, its subscriptions end. Its
 * phones stay, for the caller to end each by pv_broker_phone(). Harmless for a connection that is
 * not in the broker. */
void pv_broker_leave(struct pv_broker *b, struct pv_conn *s, uint64_t wall_us);
/* The gateway s says whether this phone is online; the caller has checked that s may say so. The
 * phone goes offline only by the word of the gateway by which it is online. Sets *ret_changed if
 * its presence changed. PV_ERR_LIMIT: s has PV_CTL_PHONES_MAX phones online, or the table is full.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_broker_phone(struct pv_broker *b, struct pv_conn *s,
                                  const uint8_t phone[static PV_SIGN_PK_LEN], bool online,
                                  uint64_t wall_us, bool *ret_changed);
/* A phone that is online by the word of s; NULL: none is. */
const struct pv_bnode *pv_broker_phone_of(const struct pv_conn *s);
/* The connection of a node; NULL when it is offline. */
struct pv_conn *pv_broker_find(const struct pv_broker *b, const struct pv_cnet *net,
                               const uint8_t node[static PV_SIGN_PK_LEN]);
/* The state of a node as presence tells it. */
struct pv_ctl_presence pv_broker_presence(const struct pv_broker *b, const struct pv_cnet *net,
                                          const uint8_t node[static PV_SIGN_PK_LEN]);

/* Subscribing twice is harmless. PV_ERR_LIMIT (the network's share or the table), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_broker_subscribe(struct pv_broker *b, struct pv_conn *s,
                                      const uint8_t node[static PV_SIGN_PK_LEN]);
void pv_broker_unsubscribe(struct pv_broker *b, struct pv_conn *s,
                           const uint8_t node[static PV_SIGN_PK_LEN]);
/* Takes up to max changed presences of what s subscribed to; returns how many. */
size_t pv_broker_take_news(struct pv_conn *s, struct pv_ctl_presence *ret_nodes, size_t max);
/* A connection whose n_dirty is above 0 because of this node, one after the other: *iter = 0
 * first. */
struct pv_conn *pv_broker_next_subscriber(const struct pv_broker *b, const struct pv_cnet *net,
                                          const uint8_t node[static PV_SIGN_PK_LEN], size_t *iter);
