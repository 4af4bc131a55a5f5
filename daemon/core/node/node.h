/* SPDX-License-Identifier: MIT */
/*
 * node.h - what every part of the daemon may see and ask for.
 *
 * The node is plain state that many parts read and one part writes (each field names the writer),
 * and the services that all use: jobs, answers to control clients, facts. It decides nothing. The
 * engine owns it; control thread only.
 */
#pragma once

#include "base/addr.h"
#include "base/fifo.h"
#include "base/log.h"
#include "base/pv.h"
#include "base/repeats.h"
#include "daemon/core/jobs/jobqueue.h"
#include "daemon/core/node/config.h"
#include "daemon/core/node/facts.h"
#include "daemon/core/node/links.h"
#include "daemon/core/node/part.h"
#include "proto/control/appsigner.h"
#include "proto/ice/ice.h"
#include "proto/local/connect.h"
#include "proto/local/ctlsrv.h"
#include "proto/local/events.h"
#include "proto/local/remedy.h"
#include "proto/roster/roster.h"

struct pv_desc_nat;
struct pv_highwater;
struct pv_app_hooks;
struct pv_coordclient;
struct pv_linkkeys;
struct pv_engine;
struct pv_fp_builder;
struct pv_gatherer;
struct pv_relayway;
struct pv_peers;
struct pv_peers_common;
struct pv_stunroute;
struct pv_wg_device;

enum pv_iface_ip6 {
    PV_IFACE_IP6_UNKNOWN, /* it has not been up in this life */
    PV_IFACE_IP6,
    PV_IFACE_NO_IP6, /* this host forbids it */
};

enum pv_iface_state {
    PV_IFACE_DOWN,
    PV_IFACE_RISING,
    PV_IFACE_UP,
};

/* The wall clock as the shell last told it: us Unix microseconds at the monotonic time at. */
struct pv_wall {
    uint64_t us;
    pv_ns at;
};

/* A part and what its make() returned. */
struct pv_part_slot {
    const struct pv_part *part;
    void *self;
};
enum {
    PV_NODE_MAX_PARTS = 57,                       /* ours: more than there are */
    PV_NODE_REPORTS = 16,                         /* ours: newest kept, shown by `status` */
    PV_NODE_SOURCE_REPORTS = PV_NODE_REPORTS / 2, /* ours: of one source */
};

/* Numbers that grow for ever; part "store" keeps their marks (peer/highwater.h). */
enum pv_mark {
    PV_MARK_SIGNAL, /* seq of signals */
    PV_MARK_GEN,    /* of descriptions */
    PV_MARK_TAI,    /* TAI64N of handshakes */
    PV_MARKS,
};

/* The sources of lines in the log and in `status` that nobody here asked for. Each source is
 * bounded by itself (base/repeats.h): one that has a million lines hides no other's. */
enum pv_report_source {
    PV_FROM_STATEMENTS,  /* statements that were refused, whoever brought them */
    PV_FROM_COORDINATOR, /* what it says or does */
    PV_FROM_MEMBERS,     /* what they keep or do */
    PV_FROM_COUNT,
};

/* Something that a person should know of. */
struct pv_report {
    enum pv_report_source source;
    uint64_t more; /* how often the like came again, and stands for itself nowhere */
    char text[PV_ROSTER_TEXT];
};

enum {
    PV_NODE_TOLD = 2, /* ours: addresses of this node that peers see, kept while no server tells */
};

/* The word of a peer's answers to checks about our own address. */
struct pv_told {
    uint32_t peer; /* 0 = nobody said anything */
    struct pv_addr local;
    struct pv_addr mapped;
};

enum {
    /* Bytes of a sentence about it, and of where it was looked for. */
    PV_COORD_WHY_MAX = 360 + PV_CONNECT_AT_BUF + 32,
};

/* As what this node stands with the coordinator, as far as that has said. */
enum pv_coord_standing {
    PV_COORD_NO_COMPLAINT,
    PV_COORD_UNKNOWN,  /* it says that this node is no member */
    PV_COORD_RESIGNED, /* that it left */
    PV_COORD_DENIED,   /* and that it was removed */
};

/* How long a coordinator may have to be told of this node. Ours: members bring it what it lacks
 * within seconds of a connection, and try again for minutes. */
#define PV_COORD_TOLD_BY PV_S(300)

enum pv_coord_keys {
    PV_COORD_CLASSICAL,
    PV_COORD_HYBRID_LOST, /* classical, and once they were not */
    PV_COORD_HYBRID,      /* ML-KEM takes part in them */
};

/* The facts known of the coordinator beside its messages. */
struct pv_coord_info {
    char error[PV_COORD_WHY_MAX + 1]; /* why there is no connection; "" = nothing is wrong */
    enum pv_coord_standing standing;
    pv_ns unknown_since; /* when it first said that this node is no member; 0: it does not say so */
    bool unknown;        /* it answered, the last time, that it knows no such member */
    bool unserved;       /* it answered, the last time, that it has not this network */
    bool keys_twice;     /* another machine connected with this identity, ever */
    uint64_t connects;   /* as a member, ever */
    pv_ns connected_at;  /* as a member, the last time */
    pv_ns heard_at;      /* something came by the present connection last; 0: never */
    uint8_t pk[PV_SIGN_PK_LEN]; /* of the coordinator that is or shall be connected */
    struct pv_addr addr;        /* its address, in use or tried last; PV_AF_NONE: none */
    bool tls;                   /* is it inside TLS? */
    /* Through an HTTP proxy: */
    struct pv_connect_answer proxy;   /* what the proxy said last; NONE: there is none */
    struct pv_addr via;               /* its address, on the way to addr; PV_AF_NONE: none */
    char proxy_at[PV_CONNECT_AT_BUF]; /* "HOST:PORT" of the settings; "": none */
    char proxy_to[PV_CONNECT_AT_BUF]; /* what it is asked for */
    size_t n_asking;                  /* names of servers that are being looked up */
    enum pv_coord_keys keys;          /* of the connection */
    bool has_pin;                     /* of its certificate, as its welcome says */
    uint8_t pin[PV_CTL_PIN_LEN];
    bool handed_over; /* the one before it gave the network away, and goes on
                         relaying for a moment */
    struct pv_addr
        servers[PV_CTL_ADDRS_MAX]; /* STUN, as its welcome says; a NAT64 may lead there */
    size_t n_servers;
    bool as_member; /* the connection wanted or there is a member's; else an applicant's */
    /* Written by relocation: that connection is to a coordinator that is only being given this
     * network. Nothing is pulled from it, or its list would count before it has everybody. */
    bool visiting;
    struct pv_wall clock; /* the coordinator's, as it last told it; us 0 = never */
    pv_ns rtt;            /* there and back */
};

enum {
    PV_NODE_STUN = 4, /* ours: addresses of the STUN server of the configuration */
};

/* This machine and its networks, as the shell told. */
struct pv_node_host {
    struct pv_link_addr links[PV_NODE_LINKS]; /* its addresses */
    size_t n_links;
    size_t left_out; /* further addresses, which had no place there */
    bool is_known;   /* the shell has told of them */
    struct pv_netplan_host plan;
    pv_ns changed_at; /* routes, rules or tables of the host, as plan.changes counts them */
    struct pv_engine_router routers[PV_NODE_ROUTERS]; /* of the default routes: IPv4, IPv6 */
};

/* Our transport keys; written by part "rotation". All are answered. */
struct pv_node_keys {
    const struct pv_wg_device *device; /* the one in use */
    /* Those that others may still have, the newest first. */
    const struct pv_wg_device *former[PV_IDENTITY_OTHERS];
    size_t n_former;
    const struct pv_wg_device *next; /* not announced yet; NULL = none */
    uint64_t number;                 /* how often the one in use was replaced since the start */
    pv_ns
        former_until; /* a peer that may not have heard of it is asked with the former one first */
    bool forgotten; /* all of them, with the network: the shell makes new ones, and a new engine */
};

/* How this node is reached, and by what it reaches others; each field by the part it names. */
struct pv_node_ways {
    struct pv_gatherer *gatherer; /* of "gatherer", as those below */
    struct pv_ice_cand locals[PV_ICE_MAX_LOCAL];
    size_t n_locals;
    struct pv_prefix nat64;            /* by which this host, without IPv4, writes to IPv4 */
    bool asking_nat64;                 /* it is being looked for */
    bool gathering;                    /* a public address of ours is still being asked for */
    struct pv_addr stun[PV_NODE_STUN]; /* of [traversal] stun, while it answers */
    size_t n_stun;
    bool has_stun;                     /* one is configured */
    unsigned caps;                     /* PV_DESC_CAP_...: what this node says it can */
    uint32_t cost[PV_SUITES];          /* of sealing here, as descriptions tell it; 0 = not told */
    struct pv_told told[PV_NODE_TOLD]; /* recall */
    struct pv_addr portmapped[2];      /* portmap: what our routers mapped; PV_AF_NONE: nothing */
    const struct pv_desc_nat *nat;     /* attempts: our NAT as measured; NULL = never */
    /* bindings: between refreshes that keep a mapping of our NAT; 0 = 25 s */
    pv_ns binding_lifetime;
    struct pv_fifo injects;  /* peers: of struct pv_engine_inject, for the packet threads */
    struct pv_fifo sock_ops; /* any part: of struct pv_hardnat_op, for the shell (nat/hardnat.h) */
    uint16_t sock; /* standby: whose IPv4 binding everybody is told; 0 = the main socket's */
    /* relays; 0: the coordinator's; NULL: none */
    struct pv_relayway *relays[PV_FP_MAX_RELAYS];
    bool udp_blocked; /* relays: nothing comes back by UDP, */
    pv_ns udp_since;  /* since then */
    struct pv_turnc_phone_port
        phone_port;        /* relays: the phone port at the coordinator, while one is wanted */
    bool wants_phone_port; /* phones: one is, beside static peers with `phone-port = on` */
    struct pv_stunroute *stunroute; /* the engine: whose STUN answer it is */
};

/* The state of what is kept on disk; written by part "store". */
struct pv_node_store {
    struct pv_highwater *marks[PV_MARKS]; /* each borrowed from its owner, who sets it */
    char error[PV_JOB_ERROR_MAX];         /* why not all is kept; "" = it is, as far as is known */
    bool failed; /* not all is kept; all is written again, which clears it */
    bool works;  /* the newest write was kept */
};

/* Users are to know of these though nobody asked: pv_node_report(). */
struct pv_node_reports {
    struct pv_report list[PV_NODE_REPORTS]; /* oldest first */
    size_t n;
    struct pv_repeats repeats[PV_FROM_COUNT];
};

struct pv_node {
    struct pv_rng rng;
    const struct pv_log *log;
    struct pv_identity *identity; /* borrowed from the shell */
    struct pv_given given;
    struct pv_fp_builder *fp; /* the packet threads' tables, built here; of the engine */
    struct pv_wall wall;      /* the shell's, by the engine */
    struct pv_node_host host;

    /* this node and its network; written by the membership */
    struct pv_roster *roster; /* owned by the membership; NULL: in no network */
    char node_name[PV_NAME_BUF];
    bool up;      /* the user wants the network up */
    bool removed; /* this node was revoked */
    bool leaving; /* by a command of its user; written by admin */
    struct {
        enum pv_iface_state state;
        char error[PV_JOB_ERROR_MAX]; /* why it is not up; "" = it is, or is not wanted */
        enum pv_iface_ip6 ip6;        /* when it came up last */
    } iface;

    /* the coordinator; written by the coordinator's part */
    struct pv_coordclient *coord;
    bool online; /* a member's connection is there: the coordinator hears this node */
    struct pv_coord_info coord_info;

    /* Number of what members are to know without the coordinator (owed.h); written by owed. */
    uint32_t spread;

    struct pv_node_store store;
    const struct pv_faults *faults; /* of the configuration, for status and why; NULL: none */

    /* Answers of the program that runs over the overlay in this process; of its part. NULL: there
     * is none. */
    const struct pv_app_hooks *app_hooks;

    struct pv_node_keys keys;
    struct pv_node_ways ways;

    /* services */
    struct pv_peers *peers;         /* of the engine */
    struct pv_linkkeys *linkkeys;   /* whose daemons prove themselves, by which key; of linkkeys */
    struct pv_peers_common *common; /* what peers keep together (peer.h); of the peers */
    struct pv_node_reports reports;
    struct pv_jobqueue jobs;
    struct pv_streams streams;
    struct pv_ctlsrv *ctl;
    struct pv_events events;
    unsigned facts; /* enum pv_fact, not delivered yet */

    /* Those that are made, in the order in which facts are delivered; written by the engine. */
    struct pv_part_slot parts[PV_NODE_MAX_PARTS];
    size_t n_parts;
};

/* for each part of node n that is made: slot points at it */
#define PV_EACH_PART(n, slot) \
    for (const struct pv_part_slot *slot = (n)->parts; slot < (n)->parts + (n)->n_parts; slot++)

/* Tells every part, after the call under way, that what these enum pv_fact bits name has changed.
 */
static inline void pv_node_raise(struct pv_node *n, unsigned facts)
{
    n->facts |= facts;
}

/* The object that the part's make() returned; NULL: it is not there. */
void *pv_node_part(const struct pv_node *n, const struct pv_part *part);
/* This node as a member; NULL: in no network, or no member any more. */
const struct pv_member *pv_node_self(const struct pv_node *n);

/* Signs as this node for programs that run over the overlay. */
static inline struct pv_appsigner pv_node_appsigner(const struct pv_node *n)
{
    return pv_appsigner_of(n->identity->sign_sk);
}
/* This node's own key. */
static inline struct pv_signer pv_node_signer(const struct pv_node *n)
{
    return pv_signer_sk(n->identity->sign_sk);
}
/* Returns true if this node can act as a member. False: pv_node_need_network() says why. */
bool pv_node_is_in(const struct pv_node *n);
/* May connections be made and taken on the overlay? Not while its interface comes or goes, nor from
 * the moment on in which this node says goodbye. */
bool pv_node_is_on_overlay(const struct pv_node *n);
/* Is this node a member that its user wants up, whether its interface is up yet or not? */
bool pv_node_takes_part(const struct pv_node *n);

/* An address of another interface of this machine in this range; NULL: there is none, or this
 * node's interface is inside (GLOSSARY), and so in nobody's way. Two networks that share addresses
 * take each other's packets. */
const struct pv_link_addr *pv_node_link_in(const struct pv_node *n, const struct pv_prefix *range);
/* Returns true if this machine sends packets for the address into its network's interface. False if
 * that is inside. */
bool pv_node_leads_in(const struct pv_node *n, const struct pv_addr *addr);

/* Returns true if the address is of the overlay, or of a plain WireGuard node's own range: a path
 * there would lead into the tunnel. */
bool pv_node_is_own_range(const struct pv_node *n, const struct pv_addr *addr);

/* Has this machine an address of IPv4 that leads anywhere: not a link's, a container's or an idle
 * VPN's? */
bool pv_node_has_ipv4(const struct pv_node *n);

/* Did this node leave, although nobody here had it do so? Another machine has its keys then, or a
 * leave was cut off. */
bool pv_node_was_left(const struct pv_node *n);
/* The same for people. */
extern const char pv_node_left_why[];

/* Does this node wait to be admitted by an admin? */
bool pv_node_waits(const struct pv_node *n);
/* Has no machine of the network this node's key, as its file was replaced? A new machine, which has
 * to join. */
bool pv_node_is_stranger(const struct pv_node *n);
/* Does the coordinator let this node in no more, as an admin removed or denied it? Its word in a
 * sentence; no statement here says so (that is `removed`), and members may not know. NULL: no. */
const char *pv_node_denied(const struct pv_node *n);
/* Returns the proxy of the settings and the place it is asked for; borrows texts of n. */
struct pv_connect_about pv_node_about_proxy(const struct pv_node *n);
/* Returns true if that proxy keeps this node from its coordinator, and what to do about it, which
 * borrows texts of n. coord_info.error says what the proxy answers. */
PV_MUST_CHECK bool pv_node_is_kept_by_proxy(const struct pv_node *n, struct pv_remedy *ret_todo);
/* Returns what to do if the coordinator has lost this network, because its state was lost or an
 * operator dropped it: it takes the network in again only when an admin gives it. NONE: it has not,
 * or that is not known. */
enum pv_remedy_id pv_node_unserved(const struct pv_node *n);
/* Returns true if the coordinator knows no such member, and this node does not wait for an admin.
 */
bool pv_node_is_unknown(const struct pv_node *n);
/* Returns the seconds until a coordinator that has not known this node since then should have been
 * told of it; 0: the time is over. */
unsigned pv_node_told_in(pv_ns since, pv_ns now);

/* A user names a machine to every command in the same ways: NAME, NAME.NETWORK or
 * NAME.NETWORK.p2p, in letters of either case and with or without a final dot; an overlay address,
 * also in brackets; a key, or its short form. */

/* The name, as statements have it. False: the text is no name of this network; ret_name is "". */
bool pv_node_name(const struct pv_node *n, const char *text, char ret_name[static PV_NAME_BUF]);
/* The address, with or without brackets. False: the text is none. */
bool pv_node_ip(const char *text, struct pv_addr *ret_ip);
/* The member that the text means, this node included; NULL: nobody. */
const struct pv_member *pv_node_member(const struct pv_node *n, const char *text);
/* Does it mean this node? */
bool pv_node_is_self(const struct pv_node *n, const char *text);
/* The member that waits to be admitted, or has expired, by its name or key; NULL: nobody. There is
 * a roster. */
const struct pv_member *pv_node_aside(const struct pv_node *n, const char *text);
enum {
    PV_NODE_WHO = PV_NAME_BUF + 24, /* bytes of a name, with what shows that its machine is gone */
};
/* The machine with this key as users are to read it, in buf: "kid", "kid (former, key:dImW)" when
 * another one may have its name today, or "?". Not for commands that are to be copied. */
const char *pv_node_who(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                        char buf[static PV_NODE_WHO]);
#define PV_WHO_STR(n, pk) pv_node_who(n, pk, (char[PV_NODE_WHO]){0})
/* The machine, whatever became of it, whose key begins as the short form "key:AbCd" says; NULL:
 * none or several, *ret_several (may be NULL) says which. Former ones count, for somebody may have
 * made a key that begins as theirs. Walks over all statements. */
const struct pv_member *pv_node_by_short(const struct pv_node *n, const char *text,
                                         bool *ret_several);
/* A former member by its name, where it had it last, or by its key, also the short form that nobody
 * else's begins with; NULL: none. Walks over all statements. */
const struct pv_member *pv_node_former_member(const struct pv_node *n, const char *text);
/* The member, this node or another, that had this name before it was renamed, where it had it last;
 * NULL: none. Walks over all statements. */
const struct pv_member *pv_node_renamed(const struct pv_node *n, const char *text);

/* Wall clock at now: Unix microseconds, milliseconds, seconds. */
uint64_t pv_node_wall_us(const struct pv_node *n, pv_ns now);
uint64_t pv_node_wall_ms(const struct pv_node *n, pv_ns now);
uint64_t pv_node_wall_s(const struct pv_node *n, pv_ns now);

/* The coordinator's clock, Unix microseconds, by which both sides of an attempt start at once; 0:
 * it never told it. */
uint64_t pv_node_coord_us(const struct pv_node *n, pv_ns now);

/* A write to the store ended so: the part that submitted it calls this; the engine does for every
 * job that met a full disk. After a failure PV_FACT_STORE asks every part, a little later, to write
 * again what it keeps. */
void pv_node_stored(struct pv_node *n, const struct pv_job_result *result);
/* A write failed before it could become a job: no memory, or too many jobs are under way. */
void pv_node_not_stored(struct pv_node *n);

/* Something happens now: tells clients that listen (events.h), and takes body. */
void pv_node_tell(struct pv_node *n, const struct pv_event *event, json_t *body);

/* Tells the user something that was nobody's request: log, and `status`. Repetitions are counted
 * there. */
void pv_node_report(struct pv_node *n, enum pv_report_source source, const char *text, pv_ns now);
/* The log alone is told, unless its source has said too much. True: it was. */
bool pv_node_log_report(struct pv_node *n, enum pv_report_source source, const char *text,
                        pv_ns now);
/* Its cause has gone: `status` does not say it any more. */
void pv_node_report_over(struct pv_node *n, enum pv_report_source source, const char *text);
/* Shall a line be logged that the source causes, and that is of the kind that text names? Gives the
 * end of the line: " more=N" when lines of the source were left out since its last one, else "". */
enum {
    PV_NODE_MORE = 28, /* bytes with the NUL */
};
PV_MUST_CHECK bool pv_node_may_log(struct pv_node *n, enum pv_report_source source,
                                   const char *text, pv_ns now, char ret_more[static PV_NODE_MORE]);
/* Logs how many lines were left out of each source that has been silent for a minute. */
void pv_node_log_rest(struct pv_node *n, pv_ns now);
/* When that has something to say; PV_NEVER. */
pv_ns pv_node_next_rest(const struct pv_node *n);

/* The same as what is called when a job has ended (jobqueue.h) of which no more is to be known;
 * self is the node. */
pv_job_done pv_node_job_stored;

/* Has the store keep one named value, which is copied; pv_node_stored() is told the result. False:
 * no job can be made, and there is no result; that counts as a write that failed. */
bool pv_node_put_meta(struct pv_node *n, const char *name, struct pv_view value);
/* The same for a part that wants the result itself, and hands it to pv_node_stored(). */
bool pv_node_put_meta_for(struct pv_node *n, const char *name, struct pv_view value,
                          pv_job_done *done, void *self, uint64_t tag);

/* Answers handle with an error, and is false, when this node is in no network or was removed from
 * it. what: the command, which begins the sentence. */
bool pv_node_need_network(struct pv_node *n, const char *what, uint64_t handle);
