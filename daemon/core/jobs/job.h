/* SPDX-License-Identifier: MIT */
/*
 * job.h - slow things the pure core asks the shell to do: store, resolve, interface, files.
 *
 * A job leaves the core as an order (engine.h); the shell runs it elsewhere (store thread, helper
 * process, worker) and hands the result back by handle_job(). Each job is atomic: done or not done.
 * The simulator serves the same list from memory and may delay, fail or lose jobs. A job owns its
 * arguments; the taker frees it with pv_job_free().
 */
#pragma once

#include "base/addr.h"
#include "base/bytes.h"
#include "base/netplan.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/aead.h"
#include "crypto/pwhash.h"
#include "crypto/sign.h"
#include "daemon/core/jobs/portmapjob.h"

enum pv_job_kind {
    PV_JOB_PUT_STATEMENTS, /* store: add statements and receipts of the network, idempotent */
    PV_JOB_PUT_ENTRIES, /* store: entries of the network's log, in place of those from first on */
    PV_JOB_SET_NETWORK, /* store: this node is now in this network (all fields at once) */
    PV_JOB_FORGET_NETWORK, /* store: the roster; and keys as forget says */
    PV_JOB_SET_META,       /* store: one named value (high-water marks, cursors, up) */
    PV_JOB_PUT_ENDPOINTS,  /* store: where one member was reached, in place of what is there */
    PV_JOB_KEEP_ROOT,      /* keeper: makes or takes a root key; wiped from the job after */
    PV_JOB_SAVE_KEYS,      /* file: the transport keys, in place of those there */
    PV_JOB_RESOLVE,        /* worker: host name to addresses */
    PV_JOB_IFACE_UP,       /* helper: open the TUN, set addresses, MTU, routes; idempotent */
    PV_JOB_IFACE_DOWN,     /* helper: remove the TUN */
    PV_JOB_NETPLAN,        /* helper: what the host's network shall be like; whole, idempotent */
    PV_JOB_NOTIFY,         /* notifier: run the configured program for one message */
    PV_JOB_NAMES,          /* file: replace a names file (base/names.h), or remove both */
    PV_JOB_PORTMAP,        /* worker: asks the router by NAT-PMP or UPnP, see portmapjob.h */
    PV_JOB_HOSTKEYS,       /* worker: the public host keys of this machine's sshd */
    PV_JOB_KINDS,          /* no kind: how many there are */
};

enum {
    PV_JOB_ERROR_MAX = 240,     /* bytes of the reason, with the NUL */
    PV_JOB_MAX_ADDRS = 16,      /* addresses of one RESOLVE answer */
    PV_JOB_META_NAME = 32,      /* bytes with the NUL */
    PV_JOB_HOST_MAX = 256,      /* bytes with the NUL, RFC 1035 s2.3.4 */
    PV_JOB_IFNAME = 16,         /* IFNAMSIZ */
    PV_JOB_NETWORK_LEN = 16,    /* bytes of a network id, PV_NETWORK_ID_LEN */
    PV_JOB_NOTIFY_ID = 24,      /* bytes of a message's id as text, with the NUL */
    PV_JOB_MARK_LEN = 16,       /* bytes of a stored statement's mark */
    PV_JOB_HOSTKEYS_MAX = 4096, /* bytes of HOSTKEYS: each file has one line, of RSA below 1,000 */
    PV_JOB_KEYS = 4,            /* transport keys of one node: in use, to come, and of before */
    PV_RECALL_ADDRS = 4,        /* addresses kept of one member, DESIGN 5 */
    PV_IFACE_MAX_PREFIXES = 64, /* addresses, and routes, of one interface */
};

/* An address that proved to work, and when (Unix seconds; orders them, nothing else). */
struct pv_recall_addr {
    struct pv_addr addr;
    uint64_t seen_s;
};

/* One statement and its best receipt (receipt.len 0: none). */
struct pv_stored_statement {
    struct pv_view statement;
    struct pv_view receipt;
    bool forget; /* of PV_JOB_PUT_STATEMENTS: newer ones have replaced it, it goes */
    bool has_mark;
    uint8_t mark[PV_JOB_MARK_LEN]; /* that this node verified both (member/stored.h) */
};

struct pv_job_put_statements {
    struct pv_stored_statement *items; /* owned; the bytes lie behind the array, one allocation */
    size_t n;
};

struct pv_job_put_entries {
    uint64_t first;          /* n of the first entry; what is stored from there on goes */
    struct pv_view *entries; /* owned; the bytes lie behind the array, one allocation */
    size_t n;
    struct pv_view head; /* over the last entry, behind them; empty: there is none */
};

struct pv_job_set_network {
    uint8_t network_id[PV_JOB_NETWORK_LEN];
    char name[PV_NAME_BUF];      /* of the network */
    char node_name[PV_NAME_BUF]; /* of this node */
};

struct pv_job_set_meta {
    char name[PV_JOB_META_NAME];
    uint8_t *value; /* owned; len bytes */
    size_t len;     /* what its owner keeps has a limit there */
};

struct pv_job_put_endpoints {
    uint8_t node[PV_SIGN_PK_LEN];
    size_t n; /* 0: nothing is known any more */
    struct pv_recall_addr addrs[PV_RECALL_ADDRS];
};

/* Transport keys of this node. */
struct pv_job_keys {
    size_t n; /* 1 at least: the first is in use */
    struct pv_job_key {
        uint8_t sk[PV_SIGN_SEED_LEN]; /* X25519 */
        uint64_t replaced_s;          /* but for the first: Unix seconds; 0: it is not in use yet */
    } keys[PV_JOB_KEYS];
};

struct pv_job_resolve {
    char host[PV_JOB_HOST_MAX];
    uint16_t port;
};

/* The whole names file; NULL: there shall be none. */
struct pv_job_names {
    uint8_t *bytes; /* owned; NULL: remove both files */
    size_t len;
    bool recent; /* the small file of those who came since; else the whole one, which ends it */
};

/* A message that came in, as it is told to a program. */
struct pv_job_notify {
    char from[PV_NAME_BUF], to[PV_NAME_BUF]; /* of nodes */
    char room[PV_NAME_BUF + 1];              /* "" = none */
    char id[PV_JOB_NOTIFY_ID];
    uint64_t time_ms;
    char *text; /* owned */
};

/* The wanted state of the TUN interface. */
struct pv_job_iface {
    char name[PV_JOB_IFNAME];
    struct pv_prefix addrs[PV_IFACE_MAX_PREFIXES]; /* base.ip is the own address, host bits set */
    size_t n_addrs;
    struct pv_prefix routes[PV_IFACE_MAX_PREFIXES]; /* beyond the on-link ones of addrs */
    size_t n_routes;
    uint16_t mtu; /* bytes */
    /* The network whose names are asked at the addresses, where a name server listens; "": none
     * does. */
    char zone[PV_NAME_BUF];
};

/* The files that are deleted with a network. The root key is worth more than the node: it is
 * deleted only for a user who says so. */
enum pv_job_forget {
    PV_FORGET_NETWORK,
    PV_FORGET_KEYS, /* the network, and the identity and transport keys */
    PV_FORGET_ROOT, /* all of these, and the root key */
};

/* A request to the keeper (daemon/store/keeper.h). PV_ERR_AUTH: another passphrase; PV_ERR_REFUSED:
 * of another network; PV_ERR_EXISTS: it keeps that of another network. */
struct pv_job_root {
    bool import; /* a key from outside; else one of its own, made when missing */
    bool anew; /* not import: one that is there makes room, and stays as pv_job_root_aside() says */
    bool back; /* not import: that one takes its place again, and the one made for it is lost */
    uint8_t key[PV_PWHASH_KEY_LEN]; /* import: opens the box (proto/roster/paperkey.h) */
    uint8_t box[PV_SIGN_SEED_LEN + PV_AEAD_TAG_LEN];
    uint8_t pk[PV_SIGN_PK_LEN]; /* import: whose it must be */
};

struct pv_job {
    uint64_t id;
    enum pv_job_kind kind;
    union {
        struct pv_job_put_statements put_statements;
        struct pv_job_put_entries put_entries;
        struct pv_job_set_network set_network;
        enum pv_job_forget forget;
        struct pv_job_set_meta set_meta;
        struct pv_job_put_endpoints put_endpoints;
        struct pv_job_root root;
        struct pv_job_keys keys;
        struct pv_job_resolve resolve;
        struct pv_job_iface *iface; /* owned */
        struct pv_netplan *netplan; /* owned */
        struct pv_job_names names;
        struct pv_job_notify *notify; /* owned */
        struct pv_portmapjob portmap;
    } u;
};

/* status 0, or a negative status and a sentence "what failed: why: what to do" in error. */
struct pv_job_result {
    uint64_t id;
    enum pv_job_kind kind;
    int status;
    char error[PV_JOB_ERROR_MAX];
    struct pv_addr addrs[PV_JOB_MAX_ADDRS]; /* RESOLVE */
    size_t n_addrs;
    struct pv_portmapjob_result portmap; /* PORTMAP, with a status of its own */
    uint8_t root_pk[PV_SIGN_PK_LEN];     /* KEEP_ROOT: of the key that is kept and on disk now */
    struct pv_view hostkeys;             /* HOSTKEYS: the lines of sshd's files; borrowed */
};

/* Where a root key of an earlier network stays: beside file, in which it was. Another key has
 * another place. Cut off where there is no room. */
void pv_job_root_aside(const char *file, const uint8_t pk[static PV_SIGN_PK_LEN], char *ret_path,
                       size_t size);

/* Frees what the job owns (secrets wiped) and the job itself; NULL is fine; returns NULL. */
struct pv_job *pv_job_free(struct pv_job *job);
