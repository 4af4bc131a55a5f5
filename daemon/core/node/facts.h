/* SPDX-License-Identifier: MIT */
/*
 * facts.h - what has changed in the daemon, and is still to be told to every part.
 *
 * A fact says "look again", never "this happened so often": a fact that is raised twice before the
 * engine delivers it is one fact. So facts are bits, nothing is allocated, and nothing can
 * overflow. The part that changes something raises the fact; the engine delivers after the call
 * that caused it, in the order of the parts, until no fact is left (part.h on_facts(), on_peer()).
 * A part that raises a fact while another is delivered is heard in the next round, so nothing
 * re-enters.
 */
#pragma once

#include "base/pv.h"

/* About the node as a whole. */
enum pv_fact {
    PV_FACT_LINKS = 1u << 0,         /* the addresses of this machine: node.host.links */
    PV_FACT_RESUMED = 1u << 1,       /* the machine woke up: every timer of others may be over */
    PV_FACT_CANDIDATES = 1u << 2,    /* the candidates that describe this node */
    PV_FACT_NAT_DOUBT = 1u << 3,     /* our own NAT may have forgotten our bindings */
    PV_FACT_SERVERS = 1u << 4,       /* the STUN servers' addresses */
    PV_FACT_ONLINE = 1u << 5,        /* node.online became true: a member's connection is there */
    PV_FACT_OFFLINE = 1u << 6,       /* node.online became false */
    PV_FACT_NETWORK = 1u << 7,       /* this node entered a network, or left it: node.roster */
    PV_FACT_ROSTER = 1u << 8,        /* the set of members, their names or addresses */
    PV_FACT_UP = 1u << 9,            /* node.up or node.removed */
    PV_FACT_INTERFACE = 1u << 10,    /* node.iface.state */
    PV_FACT_TEARDOWN = 1u << 11,     /* everything that the network has on this machine goes now */
    PV_FACT_STORE = 1u << 12,        /* a write failed: write again all that is to be kept */
    PV_FACT_STATEMENTS = 1u << 13,   /* the roster has statements that it had not before */
    PV_FACT_COORDINATOR = 1u << 14,  /* node.coord_info.error: why there is no connection */
    PV_FACT_MOVED = 1u << 15,        /* our addresses or the NAT are others: measure anew */
    PV_FACT_TOLD = 1u << 16,         /* node.ways.told */
    PV_FACT_HEARD = 1u << 17,        /* a server's answer came by UDP: it gets through */
    PV_FACT_SOCKET = 1u << 18,       /* node.ways.sock */
    PV_FACT_HOSTNET = 1u << 19,      /* node.host.plan: the host's networks and routes */
    PV_FACT_PHONE_PORT = 1u << 21,   /* node.ways.phone_port */
    PV_FACT_RULES = 1u << 20,        /* the rules and tags in force (member/rules.h) */
    PV_FACT_MISSED = 1u << 22,       /* memory lacked for a statement: it has to come again */
    PV_FACT_UDP = 1u << 23,          /* node.ways.udp_blocked */
    PV_FACT_ADDRESS_GONE = 1u << 24, /* one that connections may leave from: they are dead */
    PV_FACT_UDP_DOUBT = 1u << 25,    /* no UDP comes in: is the coordinator heard otherwise? */
};

/* About one peer. */
enum pv_peer_fact {
    PV_PEER_FACT_TOUCHED = 1u << 0,  /* something called into it: look at whatever you care for */
    PV_PEER_FACT_PATH = 1u << 1,     /* its path began, ended, moved, or became suspect */
    PV_PEER_FACT_PRESENCE = 1u << 2, /* the coordinator's word on whether it is online */
    PV_PEER_FACT_MEMBER = 1u << 3,   /* it became a member, or its name or addresses changed */
    PV_PEER_FACT_AWAY = 1u << 4,     /* a signal did not reach it: it is away */
    PV_PEER_FACT_LINK = 1u << 5,     /* whether its daemon proves itself, or by which key */
};
