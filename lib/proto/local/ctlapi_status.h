/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_status.h - the answer to `status` (ctlapi.h), field by field.
 */
#pragma once

#include <jansson.h>

#include "base/addr.h"
#include "base/pv.h"

struct pv_ctlapi_status {
    const char *state;   /* "none" (not joined), "static", "removed", "expired", "waiting", "down",
                            "connecting",   "up" */
    uint64_t uptime_s;   /* of the daemon */
    const char *network; /* NULL: "network" is null */
    const uint8_t *network_id; /* PV_CTLAPI_NETWORK_LEN bytes */
    struct pv_prefix cidr, ula;
    const char *name; /* of this node; NULL: "self" is null */
    struct pv_addr ip4, ip6;
    const uint8_t *key, *wg_key;
    uint64_t wg_key_since_s; /* Unix seconds; 0: null */
    uint64_t wg_key_until_s; /* about then it is replaced by itself; 0: null, it is not */
    uint64_t expires_s;      /* Unix seconds, when its membership ends; 0: null, never */
    bool admin;
    bool root_key;         /* the root key of this network is here */
    const char *interface; /* NULL: "interface" is null */
    unsigned mtu;
    unsigned udp_port;
    const char *sandbox;     /* what rights the daemon has; NULL: not told */
    unsigned inside;         /* a process in the inside of p2pvpnd --user; 0: null */
    const char *stack;       /* "kernel", "lwip"; NULL: null */
    const char *stack_why;   /* NULL: null */
    unsigned stack_restarts; /* of lwIP's process */
    const char *directory;   /* the daemon's state; NULL: null */
    const char *coordinator; /* address as in the record; NULL: "coordinator" is null */
    bool connected;
    double connected_ms;            /* for how long; < 0: null */
    double coordinator_rtt_ms;      /* < 0: null */
    const char *coordinator_error;  /* NULL: null */
    const char *coordinator_remedy; /* it answers, and this is to be done; NULL: null */
    const char *proxy; /* HTTP proxy on the way there, "HOST:PORT"; NULL: null, as those below */
    const char *proxy_state;                 /* pv_connect_word() */
    const char *proxy_text;                  /* what it says */
    const char *proxy_remedy;                /* NULL: null */
    uint64_t away_since_s;                   /* not connected since then; 0: null */
    unsigned reached_without;                /* peers with a path meanwhile */
    const char *relay;                       /* its address; NULL: "relay" is null */
    uint64_t relay_tx_bytes, relay_rx_bytes; /* inner packets that went through all relays */
    const struct pv_addr *public_addrs;      /* as seen from outside */
    size_t n_public;
    size_t left_out; /* own addresses that peers are not offered, as there are too many */
    const struct pv_addr *hidden_as; /* where a public server sees it, privately; NULL: null */
    bool unseen;         /* none, since the coordinator is on this node's side of the NAT */
    const uint8_t *head; /* 32 bytes; NULL: "roster" is null */
    unsigned members, online;
    uint64_t log;                /* entries of the network's log */
    unsigned direct, relayed;    /* of the others: with a path that is direct, or through a relay */
    unsigned rules;              /* of the network, in force */
    bool deny_default;           /* what no rule allows is denied */
    uint64_t unread, queued;     /* chat */
    const char *const *problems; /* sentences */
    const char *const *remedies; /* identifier of each one's remedy (base/remedy.h); NULL: none */
    size_t n_problems;
    uint64_t minor; /* bit i: problem i is about names, chat or files, and packets pass */
    const char *const *drop_names; /* packets thrown away, by reason */
    const uint64_t *drop_counts;
    size_t n_drops;
};
/* {"version":1,"daemon","state","uptime","network":{"name","id","cidr","ip6"},
 *  "self":{"name","ip4","ip6","key","wg_key","wg_key_since","wg_key_until","admin",
 *  "root_key"},"interface":{"name","mtu","port"},
 *  "coordinator":{"address","connected","connected_ms","rtt_ms","error","remedy","away_since","reached_without"},
 *  "relay":{"address","tx_bytes","rx_bytes"},"relayed":{"tx_bytes","rx_bytes"},"public":[…],
 *  "left_out","hidden_as","unseen","roster":{"head","members","online","direct","relayed","log"},"rules":{"count","default"},"chat":{"unread","queued"},"problems":[…],"remedies":[…],"minor":[…],"drops":{…},"sandbox",
 *  "inside","stack","stack_why","stack_restarts","directory"}
 */
json_t *pv_ctlapi_status_json(const struct pv_ctlapi_status *status);
