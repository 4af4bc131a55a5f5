/* SPDX-License-Identifier: MIT */
/*
 * server_int.h - what the files of the coordinator's shell share. Not for others. Each calls only
 * those above it in this list:
 *
 *   server_peers.c   connections: accepted, read, written, closed
 *   server_listen.c  the sockets that are listened on
 *   server.c         making and freeing, the turn, the threads beside it, status, certificate
 *   server_reload.c  the settings read again
 *   server_ctl.c     what the operator asks for; it and server.c call each other
 */
#pragma once

#include "base/map.h"
#include "coordinator/cert.h"
#include "coordinator/core/member/home.h"
#include "coordinator/core/report.h"
#include "coordinator/ctlsock.h"
#include "coordinator/metricsock.h"
#include "coordinator/peerio.h"
#include "coordinator/relay/relay.h"
#include "coordinator/relay/stunudp.h"
#include "coordinator/reload.h"
#include "coordinator/server.h"
#include "coordinator/store/leasekeep.h"
#include "coordinator/url.h"
#include "sys/proc/loop.h"

/* One TCP socket that is listened on. */
struct pv_server_listener {
    struct pv_coordserver *server;
    int tcp;                    /* owned */
    struct pv_watch *tcp_watch; /* owned */
};

/* One connection that came in; the core knows it by its id. */
struct pv_server_peer {
    struct pv_coordserver *server;
    uint64_t id; /* never used again, so late answers of the store meet nobody else */
    struct pv_peerio io;
    struct pv_watch *watch;
    struct pv_server_peer **queue; /* the list in which it waits for its turn; NULL: it does not */
    struct pv_server_peer *queue_prev, *queue_next;
    unsigned ready; /* for what */
    UT_hash_handle hh;
};

struct pv_coordserver {
    struct pv_calmlog *calm;     /* borrowed */
    const struct pv_log *log;    /* its end for writers */
    struct pv_coord *coord;      /* borrowed */
    struct pv_coordstore *store; /* borrowed; the store's thread alone uses it */
    struct pv_loop *loop;
    struct pv_pg_lease *lease; /* borrowed; NULL: there is none */
    struct pv_leasekeep keep;
    struct pv_worker *worker; /* the store's thread */
    struct pv_watch *worker_watch;
    int signals; /* signalfd; -1: not open */
    struct pv_watch *signal_watch;
    struct pv_server_listener listeners[2 * PV_COORDSET_LISTEN_MAX]; /* --listen, --tls-listen */
    size_t n_listeners;
    bool accepting;  /* the listeners are watched */
    uint64_t no_fds; /* how often they were not, for want of descriptors */
    struct pv_spare spare;
    pv_ns accept_at; /* when they are watched again after the system ran out of descriptors */
    struct pv_map map;
    struct pv_server_peer *peers; /* open connections, by id */
    uint64_t next_id;             /* of a connection */
    struct pv_stunudp *udp;       /* the relay's thread alone uses it once that runs */
    struct pv_relay *relay;
    struct pv_watch *relay_watch;
    struct pv_coordcert cert;
    pv_ns cert_look_at;     /* next look at the certificate's files */
    pv_ns cert_warn_at;     /* next warning about its dates, if there is cause */
    pv_ns udp_warn_at;      /* next warning that no UDP comes in, if there is cause */
    struct pv_tlsgate gate; /* TLS handshakes under way */
    uint64_t gate_refused;  /* handshakes that the gate turned away */
    pv_ns end_by;           /* end of an orderly end; 0: not ending */
    pv_ns bye_at;           /* then connections end; PV_NEVER: they have been told */
    char addresses[PV_COORDSERVER_TEXT_MAX]; /* list of the addresses that are served */
    const char *state;                       /* directory; borrowed */
    const struct pv_coordset *set;           /* of now: that of the start, borrowed, or: */
    const struct pv_coordtold *told;         /* made of set; borrowed, or: */
    struct pv_coordreload *reloaded;         /* owned; NULL: never */
    struct pv_filestamp passwords[PV_TURNS_USERS_MAX]; /* of the relay's users, as they are used */
    struct pv_supervisor *supervisor;                  /* borrowed; NULL: nobody */
    const struct pv_rights *rights;                    /* borrowed */
    pv_ns started;                                     /* the uptime counts from here */
    struct pv_ctlsock status, ctl;
    uint64_t drain_client; /* of ctl: waits until all homes are given away; 0: nobody */
    uint64_t drain_from;   /* homes given before */
    struct pv_metricsock metrics;
    bool happened;                    /* anything but the timer woke this turn */
    bool more;                        /* connections wait for the next turn */
    pv_ns bulk_at;                    /* statements wait until then */
    struct pv_server_peer *members;   /* ready, oldest first: they had no time in the last turn */
    struct pv_server_peer *strangers; /* the same: of who is not a member (yet) */
    pv_ns store_error_at;
    int store_error_status;
    char clock_error[PV_PG_ERROR_MAX]; /* the clock is too far from the database's; empty: not so */
    uint64_t store_failures;           /* store operations that failed */
    char store_error[PV_STOREOP_ERROR_MAX]; /* of the last operation; empty: it succeeded */
    uint8_t buf[PV_PEERIO_READ_MAX];        /* of the read under way */
};

/*
 * Ours: a turn has 5 ms (PV_LOOP_SLOW). A connection not served in one is served in the next, which
 * comes at once. Members' requests come before strangers' handshakes, each of which costs as much
 * as a hundred signals, and both before statements. Strangers are served in the order in which they
 * came; libev would call the latest first.
 */
#define PV_SERVER_TURN       PV_MS(3)    /* from here on nothing more is begun */
#define PV_SERVER_STRANGERS  PV_MS(1)    /* of it for those who are not members (yet) */
#define PV_SERVER_BULK       PV_US(1500) /* from here on no more statements are sent */
#define PV_SERVER_BULK_LEAST PV_US(300)  /* but for so long, to be worth a turn */
/* Ours: while strangers come in, statements have a third of the time: somebody waits for a join to
 * end, and for its log a little later. */
#define PV_SERVER_BULK_SHARE 3

/* --- server_peers.c -------------------------------------------------------------------------- */

/* Accept connections, or let them wait in the kernel's queue. */
void pv_server_watch_listeners(struct pv_coordserver *s, bool on);
/* A listener is readable; ctx is a struct pv_server_listener. */
void pv_server_on_accept(void *ctx, unsigned ready, pv_ns now);
/* Ends the handshakes of TLS that take too long. */
void pv_server_end_overdue(struct pv_coordserver *s, pv_ns now);
/* Serves connections that wait for their turn. */
void pv_server_serve_queues(struct pv_coordserver *s, pv_ns now);
/* Serves the connections that the core says have changed, as many as the turn has time for. */
void pv_server_drain_ready(struct pv_coordserver *s, pv_ns now);
/* Closes a connection that the core does not know any more. */
void pv_server_peer_free(struct pv_server_peer *p);

/* --- server_listen.c ------------------------------------------------------------------------- */

/* Opens the TCP and UDP sockets that set asks for, the default ones when it names none. Errors of
 * pv_coordserver_new(); ret_error. */
PV_MUST_CHECK int pv_server_open_listeners(struct pv_coordserver *s, const struct pv_coordset *set,
                                           char ret_error[static PV_COORDSERVER_ERROR_MAX]);
/* Why an address cannot be listened on, and what to do about it; option is the flag or key that
 * named it. */
void pv_server_explain_listen(const struct pv_addr *addr, const char *option, int r,
                              char ret_error[static PV_COORDSERVER_ERROR_MAX]);

/* --- server.c -------------------------------------------------------------------------------- */

/* Gives an operation, which it takes, to the store; and all that the core has. */
void pv_server_submit(struct pv_coordserver *s, struct pv_storeop *op, pv_ns now);
void pv_server_submit_all(struct pv_coordserver *s, pv_ns now);

/* Tells the core the certificate in use and the addresses of TLS, for nodes that come. */
void pv_server_tell_tls(struct pv_coordserver *s);
/* Logs a certificate that was read; its dates are looked at soon. */
void pv_server_log_cert(struct pv_coordserver *s);

/* --- server_reload.c ------------------------------------------------------------------------- */

/* To be called when the rights are given up: what is looked at later is looked at with the same. */
void pv_server_note_passwords(struct pv_coordserver *s);
/* Reads all settings and files again, and only then changes anything; logs what came of it. A
 * negative status and ret_error: nothing has changed. */
PV_MUST_CHECK int pv_server_reload(struct pv_coordserver *s,
                                   char ret_error[static PV_COORDSERVER_ERROR_MAX]);

/* --- server_ctl.c ---------------------------------------------------------------------------- */

void pv_server_open_ctl(struct pv_coordserver *s);
/* Answers who waits until all homes are given away and their members do not use the relay any more.
 * Returns when to be called next. */
pv_ns pv_server_check_drain(struct pv_coordserver *s, pv_ns now);
/* The store has answered an operation PV_STOREOP_DROP. */
void pv_server_dropped(struct pv_coordserver *s, const struct pv_storeop *op,
                       const struct pv_storeop_result *result, pv_ns now);
