/* SPDX-License-Identifier: MIT */
/* The coordinator's event loop. It feeds all events to the core, and after each turn asks it for
 * orders: bytes to write, connections to close, operations to store, the relay to wake. Each
 * section calls those above it: connections; the sockets that are listened on; the certificate and
 * the settings read again; the store's thread; what the operator asks for; the relay's thread,
 * status, the turn; making and freeing. */
#include "coordinator/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/harmless.h"
#include "base/heap.h"
#include "base/jsonread.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "coordinator/cert.h"
#include "coordinator/core/member/home.h"
#include "coordinator/core/report.h"
#include "coordinator/ctlsock.h"
#include "coordinator/keys.h"
#include "coordinator/leasekeep.h"
#include "coordinator/metricsock.h"
#include "coordinator/peerio.h"
#include "coordinator/relay/relay.h"
#include "coordinator/relay/stunudp.h"
#include "coordinator/relaycfg.h"
#include "coordinator/reload.h"
#include "coordinator/settings/settings_limits.h"
#include "coordinator/url.h"
#include "crypto/ct.h"
#include "proto/control/jsonline.h"
#include "sys/net/stream.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/event.h"
#include "sys/proc/loop.h"
#include "sys/proc/procinfo.h"
#include "sys/proc/worker.h"

enum {
    JOBS_MAX = 1 << 16,  /* ours: operations at the store; a disk that hangs must not fill memory */
    STORE_BATCH = 64,    /* ours: operations a transaction, which share one fsync */
    END_S = 5,           /* ours: seconds that an orderly end may take; systemd gives 90 */
    HAND_OVER_S = 2,     /* ours: of them, to give homes to other coordinators */
    FILES_MAX = 1 << 20, /* descriptors asked for: Linux' fs.nr_open */
    CERT_LOOK_S = 60, /* ours: seconds between two looks whether the certificate's files changed */
    CERT_WARN_S = 86400, /* ours: seconds between two warnings about its dates */
    ACCEPTS_A_TURN = 64, /* ours: connections taken before others get their turn */
    ACCEPTS_BUSY = 1,    /* while strangers wait: each takes two steps to become a member */
    PORT_TRIES = 16,     /* ours: ports tried when the kernel may choose */
};

/* Ours: with nothing to do for so long, the thread has time for everybody. */
#define IDLE PV_MS(1)

/* An operation on its way through the store's thread. */
struct store_job {
    struct pv_storeop *op;
    struct pv_storeop_result result;
};

/* One TCP socket that is listened on. */
struct listener {
    struct pv_coordserver *server;
    int tcp;                    /* owned */
    struct pv_watch *tcp_watch; /* owned */
};

/* One connection that came in; the core knows it by its id. */
struct peer {
    struct pv_coordserver *server;
    uint64_t id; /* never used again, so late answers of the store meet nobody else */
    struct pv_peerio io;
    struct pv_watch *watch;
    struct peer **queue; /* the list in which it waits for its turn; NULL: it does not */
    struct peer *queue_prev, *queue_next;
    unsigned ready; /* for what */
    UT_hash_handle hh;
};

struct pv_coordserver {
    struct pv_calmlog *calm;     /* borrowed */
    const struct pv_log *log;    /* its end for writers */
    struct pv_coord *coord;      /* borrowed */
    struct pv_coordstore *store; /* borrowed; the store's thread alone uses it */
    struct pv_loop *loop;
    const struct pv_pgplugin *pg; /* borrowed; NULL: there is no lease */
    struct pv_pg_lease *lease;    /* borrowed; NULL: there is none */
    struct pv_leasekeep keep;
    struct pv_worker *worker; /* the store's thread */
    struct pv_watch *worker_watch;
    int signals; /* signalfd; -1: not open */
    struct pv_watch *signal_watch;
    struct listener listeners[2 * PV_COORDSET_LISTEN_MAX]; /* --listen, --tls-listen */
    size_t n_listeners;
    bool accepting;  /* the listeners are watched */
    uint64_t no_fds; /* how often they were not, for want of descriptors */
    struct pv_spare spare;
    pv_ns accept_at; /* when they are watched again after the system ran out of descriptors */
    struct pv_map map;
    struct peer *peers;     /* open connections, by id */
    uint64_t next_id;       /* of a connection */
    struct pv_stunudp *udp; /* the relay's thread alone uses it once that runs */
    struct pv_relay *relay;
    struct pv_watch *relay_watch;
    struct pv_coordcert cert;
    pv_ns cert_look_at; /* next look at the certificate's files */
    pv_ns cert_warn_at; /* next warning about its dates, if there is cause */
    pv_ns udp_warn_at;  /* next warning that no UDP comes in, if there is cause */
    struct pv_report_udp udp_heard;
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
    bool happened;          /* anything but the timer woke this turn */
    bool more;              /* connections wait for the next turn */
    pv_ns bulk_at;          /* statements wait until then */
    struct peer *members;   /* ready, oldest first: they had no time in the last turn */
    struct peer *strangers; /* the same: of those who are no members (yet) */
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
#define TURN            PV_MS(3)    /* from here on nothing more is begun */
#define TURN_STRANGERS  PV_MS(1)    /* of it for those who are not members (yet) */
#define TURN_BULK       PV_US(1500) /* from here on no more statements are sent */
#define TURN_BULK_LEAST PV_US(300)  /* but for so long, to be worth a turn */
/* Ours: while strangers come in, statements have a third of the time: somebody waits for a join to
 * end, and for its log a little later. */
#define BULK_SHARE 3

/* --- connections --------------------------------------------------------------------------- */

/* The connections of the coordinator: bytes go from their sockets to the core and back, plain or
 * through TLS. Limits and protocols are the core's. */

/* Connections that are not accepted wait in the kernel's queue. */
static void watch_listeners(struct pv_coordserver *s, bool on)
{
    if (s->accepting == on)
        return;
    s->accepting = on;
    for (size_t i = 0; i < s->n_listeners; i++)
        pv_watch_set(s->listeners[i].tcp_watch, on ? PV_LOOP_READ : 0);
}

static void unqueue(struct peer *p)
{
    if (p->queue == NULL)
        return;
    PV_LIST_DEL_BY(*p->queue, p, queue_prev, queue_next);
    p->queue = NULL;
}

/* The core has forgotten it, or is told first (peer_lost). */
static void peer_free(struct peer *p)
{
    struct pv_coordserver *s = p->server;
    PV_MAP_DEL(s->peers, p);
    unqueue(p);
    pv_watch_free(p->watch);
    pv_peerio_done(&p->io);
    free(p);
}

/* Closes a connection whose transport has ended, and tells the core, as its node is offline now. */
static void peer_lost(struct peer *p, pv_ns now)
{
    pv_coord_closed(p->server->coord, p->id, now);
    peer_free(p);
}

/* Writes what the kernel takes and sets what is waited for. False: the connection is gone. TLS may
 * hold bytes of an earlier write, so it is flushed before and after. */
static bool peer_io(struct peer *p, pv_ns now)
{
    struct pv_coordserver *s = p->server;
    int r = pv_peerio_flush(&p->io);
    struct pv_view out = pv_coord_out(s->coord, p->id);
    while (out.len > 0 && r == PV_OK) {
        size_t n = 0;
        r = pv_peerio_write(&p->io, out, pv_coord_reads_stream(s->coord, p->id), &n);
        if (r < 0)
            break;
        pv_ns began = pv_clock_now();
        pv_coord_wrote(s->coord, p->id, n, now);
        pv_coord_bill(s->coord, pv_clock_now() - began, now);
        out = pv_coord_out(s->coord, p->id);
    }
    if (r == PV_OK)
        r = pv_peerio_flush(&p->io);
    if (r < 0 && r != PV_ERR_AGAIN) {
        peer_lost(p, now);
        return false;
    }
    pv_watch_set(p->watch, (p->io.full ? PV_LOOP_WRITE : 0u) |
                               (pv_coord_wants_bytes(s->coord, p->id) ? PV_LOOP_READ : 0u));
    return true;
}

/* A step of a TLS handshake. The core must know that it has begun: it ends whoever says nothing. */
static void handshake_io(struct peer *p, pv_ns now)
{
    if (p->io.tls != NULL)
        pv_coord_speaks_tls(p->server->coord, p->id);
    (void)peer_io(p, now);
}

/* A step in the life of a connection whose descriptor is ready. Writing comes first, as it may make
 * the room that the core wants before it reads on. There is one read a turn, so that no connection
 * keeps the others waiting. */
static void serve_peer(struct peer *p, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = p->server;
    size_t n = 0;
    if ((ready & PV_LOOP_WRITE) != 0 && !peer_io(p, now))
        return;
    if ((ready & PV_LOOP_READ) == 0)
        return;
    if (!pv_coord_wants_bytes(s->coord, p->id)) {
        pv_watch_set(p->watch, p->io.full ? PV_LOOP_WRITE : 0u); /* until the core wants some */
        return;
    }
    int r = pv_peerio_read(&p->io, s->cert.ctx, s->buf, sizeof(s->buf), &n, now);
    if (r == PV_OK) {
        pv_ns began = pv_clock_now();
        pv_coord_handle_bytes(s->coord, p->id, pv_view(s->buf, n), now);
        pv_coord_bill(s->coord, pv_clock_now() - began, now);
    } else if (r == PV_ERR_AGAIN)
        handshake_io(p, now);
    else
        peer_lost(p, now);
    if (r == PV_ERR_LIMIT) {
        s->gate_refused++;
        pv_log(s->log, PV_LOG_WARN, "too many TLS handshakes at once: new ones are turned away");
    }
}

/* --- their turns ----------------------------------------------------------------------------- */

/* The next connection to be served. False: there is none. */
static bool poll_ready(struct pv_coordserver *s, struct pv_coord_ready *ret_ready, pv_ns now)
{
    pv_ns began = pv_clock_now();
    bool found = pv_coord_poll_ready(s->coord, ret_ready, now) == PV_OK;
    pv_coord_bill(s->coord, pv_clock_now() - began, now);
    return found;
}

/* Written to, or closed when the core is done with it. */
static void serve_ready(struct pv_coordserver *s, const struct pv_coord_ready *ready, pv_ns now)
{
    struct peer *p = NULL;
    PV_MAP_FIND(&s->map, s->peers, &ready->id, sizeof(ready->id), p);
    if (p != NULL && ready->kind == PV_COORD_READY_CLOSE)
        peer_free(p);
    else if (p != NULL)
        (void)peer_io(p, now);
}

/* A connection that waits is known to be ready: it is not watched, or the system would say so again
 * each turn of all that wait. */
static void enqueue(struct peer **q, struct peer *p)
{
    pv_watch_set(p->watch, 0);
    p->queue = q;
    PV_LIST_ADD_BY(*q, p, queue_prev, queue_next);
}

/* A member is served at once while the turn has time, whoever else waits. */
static void on_peer(void *ctx, unsigned ready, pv_ns now)
{
    struct peer *p = ctx;
    struct pv_coordserver *s = p->server;
    s->happened = true;
    p->ready |= ready;
    if (p->queue != NULL)
        return;
    if (!pv_coord_is_member(s->coord, p->id))
        enqueue(&s->strangers, p);
    else if (pv_clock_now() - now >= TURN)
        enqueue(&s->members, p);
    else {
        p->ready = 0;
        serve_peer(p, ready, now);
    }
}

/* Serves a queue until this time; the first of it in any case. */
static void serve_queue(struct pv_coordserver *s, struct peer **q, pv_ns until, pv_ns now)
{
    while (*q != NULL) {
        struct peer *p = *q;
        unsigned ready = p->ready;
        unqueue(p);
        pv_watch_set(p->watch, PV_LOOP_READ | (p->io.full ? PV_LOOP_WRITE : 0u));
        p->ready = 0;
        serve_peer(p, ready, now);
        if (pv_clock_now() >= until)
            break;
    }
    s->more |= *q != NULL;
}

/* The answers to members go out before strangers have their part of the turn. */
static void serve_queues(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_ready ready;
    serve_queue(s, &s->members, now + TURN, now);
    while (pv_coord_is_urgent(s->coord) && pv_clock_now() - now < TURN &&
           poll_ready(s, &ready, now))
        serve_ready(s, &ready, now);
    pv_ns until = pv_min_ns(pv_clock_now() + TURN_STRANGERS, now + TURN);
    serve_queue(s, &s->strangers, until, now);
}

/* The core's own deadline is longer, and each handshake costs memory. */
static void end_overdue(struct pv_coordserver *s, pv_ns now)
{
    struct pv_tlsgate_pass *pass;
    while ((pass = pv_tlsgate_overdue(&s->gate, now)) != NULL)
        peer_lost(PV_CONTAINER_OF(pass, struct peer, io.pass), now);
}

/* Every limit is the core's: a connection that it does not accept is closed without a word. */
static void add_peer(struct pv_coordserver *s, int fd, const struct pv_addr *remote,
                     const struct pv_addr *local, pv_ns now)
{
    struct pv_addr source = pv_addr_unmap(*remote);
    struct peer *p = calloc(1, sizeof(*p));
    int r = p == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r == PV_OK) {
        p->server = s;
        p->id = s->next_id++;
        p->io = (struct pv_peerio){.fd = fd,
                                   .gate = &s->gate,
                                   .source = source,
                                   .regular = pv_coord_is_regular(s->coord, &source, now)};
        PV_MAP_ADD(&s->map, s->peers, id, p, r);
    }
    if (r < 0) {
        free(p);
        close(fd);
        return;
    }
    r = pv_watch_new(&p->watch, s->loop, fd, PV_LOOP_READ, on_peer, p);
    if (r == PV_OK)
        r = pv_coord_accept(s->coord, p->id, &source, now);
    if (r < 0)
        peer_free(p);
    else
        pv_coord_came_to(s->coord, p->id, local);
}

/* While strangers wait to be served, others wait in the kernel's queue: there they cost nothing,
 * here they would take each other's places before their turn comes, and all that was done for them
 * would be lost. Those who connect and say nothing are not waited for. */
static int accepts_now(const struct pv_coordserver *s)
{
    return s->strangers != NULL ? ACCEPTS_BUSY : ACCEPTS_A_TURN;
}

/* When the descriptors are used up, the listeners rest for a second: else the loop would spin on a
 * queue that cannot shrink. */
static void on_accept(void *ctx, unsigned ready, pv_ns now)
{
    struct listener *l = ctx;
    l->server->happened = true;
    int most = accepts_now(l->server);
    for (int i = 0; i < most && pv_clock_now() - now < TURN; i++) {
        int fd = -1;
        struct pv_addr remote;
        struct pv_addr local;
        int r = pv_stream_accept(l->tcp, &fd, &remote, &local);
        if (r == PV_ERR_LIMIT) {
            pv_log(l->server->log, PV_LOG_WARN, "out of descriptors: new connections wait");
            l->server->no_fds++;
            watch_listeners(l->server, false);
            l->server->accept_at = now + PV_S(1);
            return;
        }
        if (r < 0)
            return;
        add_peer(l->server, fd, &remote, &local, now);
    }
}

/* Is the turn over? Statements had a little of it, however late they came to be sent. */
static bool is_over(pv_ns spent, bool bulk, pv_ns bulk_time)
{
    return spent > TURN || (bulk && spent > TURN_BULK && bulk_time > TURN_BULK_LEAST);
}

/* Connections that changed. At least one in each turn, however long what came before took. */
static void drain_ready(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_ready ready;
    pv_ns at = pv_clock_now(), bulk_time = 0;
    bool over = false;
    while (!over && (pv_coord_is_urgent(s->coord) || at >= s->bulk_at) &&
           poll_ready(s, &ready, now)) {
        serve_ready(s, &ready, now);
        pv_ns end = pv_clock_now();
        bulk_time += ready.bulk ? end - at : 0;
        at = end;
        over = is_over(at - now, ready.bulk, bulk_time);
    }
    if (bulk_time > 0 && pv_coord_strangers(s->coord) > 0)
        s->bulk_at = at + (BULK_SHARE - 1) * bulk_time;
    s->more |= over && pv_coord_is_urgent(s->coord);
}

/* --- listening ----------------------------------------------------------------------------- */

/* The sockets that the coordinator listens on: TCP for nodes, TLS and TURN, and UDP of the same
 * ports for the relay's thread. Each failure becomes a sentence that says what to do. */

/* Opens a UDP and a TCP socket of one port. When the kernel may choose, a port that is free in one
 * protocol may be taken in the other. */
static int open_pair(const struct pv_addr *addr, struct pv_addr *ret_bound, int *ret_udp,
                     int *ret_tcp)
{
    static const struct pv_udp_opts opts = {0};
    int r = PV_ERR_EXISTS;
    for (int i = 0; r == PV_ERR_EXISTS && i < (addr->port == 0 ? PORT_TRIES : 1); i++) {
        *ret_bound = *addr;
        int udp = -1;
        r = pv_udp_open(addr, &opts, &udp);
        if (r == PV_OK)
            r = pv_udp_local(udp, ret_bound);
        if (r == PV_OK)
            r = pv_stream_listen(ret_bound, NULL, ret_tcp);
        if (r < 0 && udp >= 0)
            close(udp);
        if (r == PV_OK)
            *ret_udp = udp;
    }
    return r;
}

/* Why an address cannot be listened on, and what to do about it; option is the flag or key that
 * named it. */
static void explain_listen(const struct pv_addr *addr, const char *option, int r,
                           char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    char text[PV_ADDR_TEXT];
    pv_addr_format(addr, text);
    if (r == PV_ERR_EXISTS)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                 "listen on %s: the address is in use: stop the program that has it, or choose "
                 "another with %s",
                 text, option);
    else if (r == -EADDRNOTAVAIL)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                 "listen on %s: not an address of this machine: choose another with %s", text,
                 option);
    else if (r == -EACCES)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                 "listen on %s: not permitted: run as root, or choose a port above 1023 with %s",
                 text, option);
    else
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "listen on %s: %s", text, pv_strstatus(r));
}

/* Serves the TCP socket, and owns it from now on. */
static int take_listener(struct pv_coordserver *s, int tcp, const char *prefix,
                         const struct pv_addr *bound)
{
    struct listener *l = &s->listeners[s->n_listeners++];
    size_t used = strlen(s->addresses);
    *l = (struct listener){.server = s, .tcp = tcp};
    snprintf(s->addresses + used, sizeof(s->addresses) - used, "%s%s%s", used > 0 ? " " : "",
             prefix, PV_ADDR_STR(bound));
    return pv_watch_new(&l->tcp_watch, s->loop, tcp, PV_LOOP_READ, on_accept, l);
}

/* The TCP socket is served here, the UDP socket by the relay's thread. Both are owned after this,
 * also when it fails. */
static int open_listener(struct pv_coordserver *s, const struct pv_addr *addr)
{
    struct pv_addr bound;
    int udp = -1;
    int tcp = -1;
    int r = open_pair(addr, &bound, &udp, &tcp);
    if (r < 0)
        return r;
    r = take_listener(s, tcp, "", &bound);
    int r_udp = pv_stunudp_take(s->udp, udp, &bound);
    return r < 0 ? r : r_udp;
}

/* These ports have TCP only: they are for networks that let out nothing but port 443. On failure
 * ret_error is written. */
static int open_tls_listeners(struct pv_coordserver *s, const struct pv_coordset *set,
                              char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < set->n_tls_listen; i++) {
        struct pv_addr bound;
        int tcp = -1;
        r = pv_stream_listen(&set->tls_listen[i], NULL, &tcp);
        if (r == PV_OK) {
            r = pv_stream_local(tcp, &bound);
            int taken = take_listener(s, tcp, "tls:", r == PV_OK ? &bound : &set->tls_listen[i]);
            r = r < 0 ? r : taken;
        }
        if (r < 0)
            explain_listen(&set->tls_listen[i], "--tls-listen", r, ret_error);
    }
    return r;
}

/* A socket for all addresses would take one that is not ours without a word, and nodes would wait
 * for answers from it. */
static int check_ours(const struct pv_addr *addr)
{
    static const struct pv_udp_opts opts = {0};
    struct pv_addr at = *addr;
    int fd = -1;
    at.port = 0;
    int r = pv_udp_open(&at, &opts, &fd);
    if (fd >= 0)
        close(fd);
    return r;
}

/* Opens the second port of everything, and the second address where one was asked for. Without the
 * port STUN answers all the same; without the address the operator's wish would be ignored in
 * silence. */
static int open_alternates(struct pv_coordserver *s, const struct pv_coordset *set,
                           char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    int r = pv_stunudp_open_ports(s->udp);
    if (r < 0)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start: %s", pv_strstatus(r));
    for (size_t i = 0; r == PV_OK && i < set->n_alt; i++) {
        char text[PV_ADDR_TEXT];
        struct pv_addr first;
        struct pv_addr at = set->alt[i];
        r = check_ours(&set->alt[i]);
        if (r == PV_OK)
            r = pv_coordurl_first(set, &set->alt[i], &first);
        if (r == PV_OK)
            r = pv_stunudp_set_second(s->udp, &first, &set->alt[i], &at);
        pv_addr_format(&at, text);
        if (r == -EADDRNOTAVAIL)
            snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                     "alternate address %s: not an address of this machine: give it this address, "
                     "or leave --alt-address out",
                     pv_addr_format_ip(&set->alt[i], text));
        else if (r == PV_ERR_NOT_FOUND)
            snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                     "alternate address %s: no other address of its family is served here: give "
                     "this machine one, or leave --alt-address out",
                     pv_addr_format_ip(&set->alt[i], text));
        else if (r < 0)
            snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                     "alternate address: UDP %s cannot be used: %s%s", text, pv_strstatus(r),
                     pv_unless_exhausted(r, ": free it, or leave --alt-address out"));
    }
    return r;
}

/* An address that was asked for must work; of the default ones IPv6 may be missing. */
static int open_listeners(struct pv_coordserver *s, const struct pv_coordset *set,
                          char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    static const uint8_t any6[16];
    const struct pv_addr standard[] = {pv_addr4(0, 0, 0, 0, PV_COORDSET_PORT),
                                       pv_addr6(any6, PV_COORDSET_PORT)};
    const struct pv_addr *addrs = set->n_listen > 0 ? set->listen : standard;
    size_t n = set->n_listen > 0 ? set->n_listen : PV_ARRAY_LEN(standard);
    for (size_t i = 0; i < n; i++) {
        int r = open_listener(s, &addrs[i]);
        /* A machine without IPv6 still serves IPv4 when it was not asked for more. */
        if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) && set->n_listen == 0 && i > 0) {
            pv_log(s->log, PV_LOG_INFO, "no IPv6 on this machine");
            continue;
        }
        if (r < 0) {
            explain_listen(&addrs[i], "--listen", r, ret_error);
            return r;
        }
    }
    int r = open_tls_listeners(s, set, ret_error);
    if (r < 0)
        return r;
    return open_alternates(s, set, ret_error);
}

/* --- the certificate ----------------------------------------------------------------------- */

/* Nodes compare the pin instead of asking an authority. */
static void tell_tls(struct pv_coordserver *s)
{
    const struct pv_coordurl_list *addrs = &s->told->tls;
    struct pv_ctl_tls tls = {.n = addrs->n, .addrs = addrs->texts};
    memcpy(tls.pin, s->cert.is.pin, sizeof(tls.pin));
    pv_coord_set_tls(s->coord, &tls);
}

/* Of a certificate that was read; its dates are looked at soon. */
static void log_cert(struct pv_coordserver *s)
{
    pv_log(s->log, PV_LOG_INFO, "tls certificate=%.200s pin=%s", s->cert.cert_file,
           PV_KEY_STR(s->cert.is.pin));
    s->cert_warn_at = 0;
}

/* --- the settings read again --------------------------------------------------------------- */

/* The settings read again while the coordinator runs. Everything that can fail comes before the
 * first change. */

static struct pv_filestamp password_stamp(const struct pv_coordserver *s, size_t i)
{
    char path[PATH_MAX];
    return pv_filestamp_of(pv_coordset_path(s->set, s->set->relay.users[i].password_file, path));
}

/* When the rights are given up: what is looked at later is looked at with the same. */
static void note_passwords(struct pv_coordserver *s)
{
    for (size_t i = 0; i < s->set->relay.n_users; i++)
        s->passwords[i] = password_stamp(s, i);
}

/* Passwords are read with rights that are gone; that a file has another one can be seen without. */
static void name_passwords(const struct pv_coordserver *s, char *waiting)
{
    for (size_t i = 0; i < s->set->relay.n_users; i++) {
        struct pv_filestamp now = password_stamp(s, i);
        if (!pv_filestamp_equal(&now, &s->passwords[i]))
            pv_coordreload_name(waiting, PV_STR("[turn-user %s]", s->set->relay.users[i].name));
    }
}

/* The certificate comes last: reading it is what may fail, and it is in use from then on. */
static int read_all(struct pv_coordserver *s, struct pv_coordreload *new,
                    char error[static PV_COORDSERVER_ERROR_MAX])
{
    char cert_error[PV_COORDCERT_ERROR_MAX];
    int r = pv_coordreload_read(new, s->set, error);
    if (r < 0)
        return r;
    name_passwords(s, new->waiting);
    bool changed = pv_coordcert_changed(&s->cert);
    r = pv_coordcert_reload(&s->cert, cert_error);
    if (r < 0)
        snprintf(error, PV_COORDSERVER_ERROR_MAX, "%s", cert_error);
    if (r < 0 || !changed)
        return r;
    pv_coordreload_name(new->changed, "certificate");
    log_cert(s);
    return PV_OK;
}

static void change(struct pv_coordserver *s, struct pv_coordreload *new,
                   struct pv_turns_policy *relay)
{
    struct pv_coordreload *old = s->reloaded;
    pv_relaycfg_policy(&new->set, relay);
    pv_coord_set_policy(s->coord, &new->told.policy, relay);
    s->told = &new->told;
    s->set = &new->set;
    s->reloaded = new;
    tell_tls(s);
    free(old); /* the core knows nothing of it any more */
}

static int read_again(struct pv_coordserver *s, char error[static PV_COORDSERVER_ERROR_MAX])
{
    struct pv_coordreload *new = calloc(1, sizeof(*new));
    struct pv_turns_policy *relay = calloc(1, sizeof(*relay));
    int r = PV_ERR_NOMEM;
    if (new == NULL || relay == NULL)
        snprintf(error, PV_COORDSERVER_ERROR_MAX, "out of memory");
    else
        r = read_all(s, new, error);
    if (r < 0) {
        free(new);
        free(relay);
        return r;
    }
    change(s, new, relay);
    return PV_OK;
}

/* Reads all settings and files again, and only then changes anything; logs what came of it. A
 * negative status and ret_error: nothing has changed. */
static int reload(struct pv_coordserver *s, char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    char path[PATH_MAX];
    pv_supervisor_reloading(s->supervisor);
    int r = read_again(s, ret_error);
    if (r < 0) {
        pv_log(s->log, PV_LOG_ERROR, "nothing is changed: %s", ret_error);
    } else {
        pv_log(s->log, PV_LOG_INFO, "settings read again file=%.200s changed=\"%s\"",
               pv_coordset_path(s->set, s->set->config, path), s->reloaded->changed);
        if (s->reloaded->waiting[0] != '\0')
            pv_log(s->log, PV_LOG_WARN, "restart the coordinator for some changes keys=\"%s\"",
                   s->reloaded->waiting);
    }
    pv_supervisor_reloaded(s->supervisor);
    return r;
}

/* --- the store's thread ---------------------------------------------------------------------- */

/* The store's thread: nothing but the store and the jobs is touched here. */
static void run_jobs(void *ctx, void *const *items, size_t n)
{
    struct pv_coordserver *s = ctx;
    struct pv_storeop *ops[STORE_BATCH] = {0};
    struct pv_storeop_result results[STORE_BATCH];
    for (size_t i = 0; i < n; i++)
        ops[i] = ((struct store_job *)items[i])->op;
    pv_coordstore_run(s->store, ops, results, n);
    for (size_t i = 0; i < n; i++)
        ((struct store_job *)items[i])->result = results[i];
}

/* Answers of the store that are not about what was asked for say that it is failing; that another
 * coordinator has this network now is about it. One that succeeds takes it back: a disk that was
 * full may have room again. */
static void note_stored(struct pv_coordserver *s, const struct pv_storeop_result *result, pv_ns now)
{
    bool failed = result->status != PV_OK && result->status != PV_ERR_EXISTS &&
                  result->status != PV_ERR_EXPIRED && result->status != PV_ERR_REFUSED &&
                  result->status != -ESTALE;
    s->store_failures += failed ? 1 : 0;
    if (result->status == PV_ERR_CLOSED) /* the keeper of the lease knows when it is back */
        return;
    snprintf(s->store_error, sizeof(s->store_error), "%s", failed ? result->error : "");
    s->store_error_status = result->status;
    s->store_error_at = now;
}

/* Answers at the control socket are {"version":1, …}: this one when the request failed. */
static json_t *error_json(const char *code, const char *message)
{
    return json_pack("{s:i, s:s, s:s}", "version", PV_REPORT_VERSION, "error", code, "message",
                     message);
}

/* The store has answered an operation PV_STOREOP_DROP. */
static void dropped(struct pv_coordserver *s, const struct pv_storeop *op,
                    const struct pv_storeop_result *result, pv_ns now)
{
    bool done = result->status == PV_OK;
    char id[PV_NETID_BUF];
    pv_coord_drop_end(s->coord, op->copy.network, done, now);
    if (done)
        pv_log(s->log, PV_LOG_INFO, "network dropped id=%s", pv_netid_format(op->copy.network, id));
    pv_ctlsock_answer(&s->ctl, op->id,
                      done ? json_pack("{s:i, s:s}", "version", PV_REPORT_VERSION, "network",
                                       pv_netid_format(op->copy.network, id))
                           : error_json("failed", result->error));
}

/* The core, or who ordered what the core knows nothing of, learns how it ended. */
static void give_result(struct pv_coordserver *s, const struct pv_storeop *op,
                        const struct pv_storeop_result *result, pv_ns now)
{
    pv_ns began = pv_clock_now();
    note_stored(s, result, now);
    if (op->kind == PV_STOREOP_DROP)
        dropped(s, op, result, now);
    else
        pv_coord_handle_job(s->coord, result, now);
    pv_coord_bill(s->coord, pv_clock_now() - began, now);
}

/* Takes an answer of the store. False: there is none. */
static bool take_answer(struct pv_coordserver *s, pv_ns now)
{
    void *item = NULL;
    if (pv_worker_take(s->worker, &item) != PV_OK)
        return false;
    struct store_job *job = item;
    give_result(s, job->op, &job->result, now);
    free(job->result.collected);
    pv_home_answer_free(job->result.home);
    pv_storeop_free(job->op);
    free(job);
    return true;
}

/* Answers come in any order; the core brings them into its own. The descriptor stays readable while
 * there are more. */
static void on_worker(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    s->happened = true;
    while (take_answer(s, now) && pv_clock_now() - now < TURN)
        continue;
}

/* An operation that cannot be queued is answered here, as a failure of the store: the core counts
 * on exactly one answer for each. */
static void submit(struct pv_coordserver *s, struct pv_storeop *op, pv_ns now)
{
    struct pv_storeop_result refused = {.id = op->id, .status = PV_ERR_LIMIT};
    struct store_job *job = calloc(1, sizeof(*job));
    if (job != NULL) {
        job->op = op;
        if (pv_worker_submit(s->worker, job) == PV_OK)
            return;
    }
    free(job);
    snprintf(refused.error, sizeof(refused.error), "too many changes wait for the disk");
    give_result(s, op, &refused, now);
    pv_storeop_free(op);
}

static void submit_all(struct pv_coordserver *s, pv_ns now)
{
    struct pv_storeop *op = NULL;
    while (pv_coord_poll_job(s->coord, &op) == PV_OK)
        submit(s, op, now);
}

/* --- the operator's requests: networks ------------------------------------------------------- */

struct listing {
    json_t *list;
    bool names;
};

static void list_network(void *ctx, const struct pv_coord_network *n)
{
    struct listing *l = ctx;
    char id[PV_NETID_BUF];
    json_t *o =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "id", pv_netid_format(n->id, id), "members",
                  (json_int_t)n->members, "online", (json_int_t)n->online, "statements",
                  (json_int_t)n->statements, "bytes", (json_int_t)n->bytes, "seen",
                  n->seen_s == 0 ? json_null() : json_integer((json_int_t)n->seen_s));
    if (l->names)
        pv_jsonline_set(&o, "name", json_string(n->name));
    pv_jsonline_add(&l->list, o);
}

/* Names are the members' own: they are told only when they are asked for. */
static json_t *networks_json(const struct pv_coordserver *s, const json_t *request, pv_ns now)
{
    struct listing l = {.list = json_array(), .names = pv_json_bool(request, "names")};
    pv_coord_networks(s->coord, now, list_network, &l);
    return json_pack("{s:i, s:I, s:b, s:o}", "version", PV_REPORT_VERSION, "uptime",
                     (json_int_t)((now - s->started) / PV_S(1)), "shared", s->lease != NULL,
                     "networks", l.list);
}

/* --- the operator's requests: drop ----------------------------------------------------------- */

/* Behind everything that the core has given to the store: what was under way for the network is
 * deleted too. */
static int order_drop(struct pv_coordserver *s, uint64_t client,
                      const uint8_t id[static PV_NETWORK_ID_LEN], pv_ns now)
{
    struct pv_storeop_copy what = {.wall_s = 0};
    struct pv_storeop *op = NULL;
    memcpy(what.network, id, sizeof(what.network));
    int r = pv_coord_drop_begin(s->coord, id);
    if (r < 0)
        return r;
    r = pv_storeop_new_copy(PV_STOREOP_DROP, &what, pv_view(NULL, 0), &op);
    if (r < 0) {
        pv_coord_drop_end(s->coord, id, false, now);
        return r;
    }
    op->id = client;
    submit_all(s, now);
    submit(s, op, now);
    return PV_OK;
}

static void drop(struct pv_coordserver *s, uint64_t client, const json_t *request, pv_ns now)
{
    const char *text = pv_json_text(request, "network", NULL);
    uint8_t id[PV_NETWORK_ID_LEN];
    int r = text == NULL ? PV_ERR_MALFORMED : pv_netid_parse(text, id);
    if (r == PV_OK)
        r = order_drop(s, client, id, now);
    if (r == PV_OK)
        return; /* answered by dropped() */
    pv_ctlsock_answer(
        &s->ctl, client,
        r == PV_ERR_NOT_FOUND && s->lease != NULL
            ? error_json("elsewhere", "this coordinator is not the home of such a network")
        : r == PV_ERR_NOT_FOUND ? error_json("unknown_network", "no such network")
        : r == PV_ERR_EXISTS    ? error_json("busy", "it is being dropped")
        : r == PV_ERR_MALFORMED ? error_json("bad_request", "not the id of a network")
                                : error_json("failed", "out of memory"));
}

/* --- the operator's requests: the secret ----------------------------------------------------- */

/* On disk first: a coordinator that is killed between the two knows the new one. */
static json_t *rotate_secret(struct pv_coordserver *s)
{
    char error[PV_COORDKEYS_ERROR_MAX];
    uint8_t secret[PV_CTL_SECRET_LEN];
    struct pv_rng rng = pv_entropy();
    if (pv_coordkeys_rotate(s->state, &rng, secret, error) < 0)
        return error_json("failed", error);
    pv_coord_set_secret(s->coord, secret);
    pv_wipe(secret, sizeof(secret));
    pv_log(s->log, PV_LOG_INFO,
           "the URL has a new secret; with the former one nobody makes networks any more");
    return json_pack("{s:i}", "version", PV_REPORT_VERSION);
}

/* --- the operator's requests: settings ------------------------------------------------------- */

/* Takes "a, b, c" apart. The name of a static user may be no UTF-8, as the file may not be. */
static json_t *names_json(const char *names)
{
    json_t *list = json_array();
    char name[PV_COORDRELOAD_TEXT_MAX];
    while (*names != '\0') {
        const char *end = strstr(names, ", ");
        size_t len = end == NULL ? strlen(names) : (size_t)(end - names);
        pv_harmless_text(pv_view(names, len), " ", name, sizeof(name));
        pv_jsonline_add(&list, json_string(name));
        names += len + (end == NULL ? 0 : 2);
    }
    return list;
}

static json_t *answer_reload(struct pv_coordserver *s)
{
    char error[PV_COORDSERVER_ERROR_MAX], path[PATH_MAX];
    if (reload(s, error) < 0) {
        return error_json("settings", PV_STR("nothing is changed: %s", error));
    }
    return json_pack("{s:i, s:s, s:o, s:o}", "version", PV_REPORT_VERSION, "file",
                     pv_coordset_path(s->set, s->set->config, path), "changed",
                     names_json(s->reloaded->changed), "restart", names_json(s->reloaded->waiting));
}

/* --- the operator's requests: drain ---------------------------------------------------------- */

/* A second one takes the place of the first, which waits for the same. */
static void drain(struct pv_coordserver *s, uint64_t client)
{
    struct pv_coord_stats stats;
    if (s->lease == NULL) {
        pv_ctlsock_answer(&s->ctl, client,
                          error_json("alone", "no other coordinator can take its networks, as its "
                                              "database is its own: [store] postgres is one that "
                                              "several share"));
        return;
    }
    if (s->keep.few == UINT64_MAX) {
        pv_ctlsock_answer(&s->ctl, client,
                          error_json("alone",
                                     "no other coordinator with this database takes networks: "
                                     "start one, or restart one that was drained, and then drain "
                                     "this one"));
        return;
    }
    pv_coord_stats(s->coord, &stats);
    s->drain_client = client;
    s->drain_from = stats.homes_given;
    pv_log(s->log, PV_LOG_INFO, "gives its networks to other coordinators networks=%llu",
           (unsigned long long)stats.networks);
    pv_coord_drain(s->coord, true);
    pv_leasekeep_hurry(&s->keep);
}

/* Answers a client that waits until all homes are given away and their members do not use the relay
 * any more. Returns when to be called next. */
static pv_ns check_drain(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_stats stats;
    if (s->drain_client != 0 && pv_coord_n_homes(s->coord) > 0 && s->keep.few == UINT64_MAX) {
        pv_ctlsock_answer(&s->ctl, s->drain_client,
                          error_json("alone",
                                     "no other coordinator takes networks any more: those that "
                                     "are left go as soon as one does, so start one"));
        s->drain_client = 0;
    }
    if (s->drain_client == 0 || pv_coord_n_homes(s->coord) > 0)
        return PV_NEVER;
    if (pv_coord_left_at(s->coord) > now)
        return pv_coord_left_at(s->coord);
    pv_coord_stats(s->coord, &stats);
    pv_ctlsock_answer(&s->ctl, s->drain_client,
                      json_pack("{s:i, s:I}", "version", PV_REPORT_VERSION, "given",
                                (json_int_t)(stats.homes_given - s->drain_from)));
    s->drain_client = 0;
    return PV_NEVER;
}

/* --- the control socket ---------------------------------------------------------------------- */

static void on_request(void *ctx, uint64_t id, const json_t *request, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    const char *what = pv_json_text(request, "do", NULL);
    if (what != NULL && strcmp(what, "drop") == 0)
        drop(s, id, request, now);
    else if (what != NULL && strcmp(what, "networks") == 0)
        pv_ctlsock_answer(&s->ctl, id, networks_json(s, request, now));
    else if (what != NULL && strcmp(what, "secret") == 0)
        pv_ctlsock_answer(&s->ctl, id, rotate_secret(s));
    else if (what != NULL && strcmp(what, "drain") == 0)
        drain(s, id);
    else if (what != NULL && strcmp(what, "reload") == 0)
        pv_ctlsock_answer(&s->ctl, id, answer_reload(s));
    else
        pv_ctlsock_answer(&s->ctl, id, error_json("bad_request", "unknown request"));
}

/* Without the socket everything else goes on. */
static void open_ctl(struct pv_coordserver *s)
{
    s->ctl.spare = &s->spare;
    s->ctl.request = on_request;
    s->ctl.ctx = s;
    int r = pv_ctlsock_open(&s->ctl, s->loop, s->state);
    if (r < 0)
        pv_log(
            s->log, PV_LOG_WARN,
            "`p2pvpn-coordinator networks`, `drop`, `secret`, `drain` and `reload` will not work: "
            "%.200s: %s",
            s->ctl.path,
            r == PV_ERR_NO_SPACE ? "the path is too long for a socket" : pv_strstatus(r));
}

/* --- the relay's thread ---------------------------------------------------------------------- */

/* The eventfd is cleared before the link is read: a message that comes in between raises it
 * again. */
static void on_relay_news(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    int fd = pv_relay_news_fd(s->relay);
    s->happened = true;
    pv_event_clear(fd);
    if (!pv_coord_handle_relay(s->coord, now))
        pv_event_raise(fd); /* there is more; first the others */
}

/* --- status ---------------------------------------------------------------------------------- */

/* The size of the store in the state directory, and the rest of its disk; 0 where it cannot be
 * known. The write-ahead log counts: it may be larger than the database. */
static void measure_disk(const char *state, struct pv_report *r)
{
    static const char *const files[] = {"coordinator.db", "coordinator.db-wal"};
    char path[PATH_MAX];
    struct stat st;
    struct statvfs disk;
    r->store.bytes = r->store.free = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++) {
        if (snprintf(path, sizeof(path), "%s/%s", state, files[i]) < (int)sizeof(path) &&
            stat(path, &st) == 0)
            r->store.bytes += (uint64_t)st.st_size;
    }
    if (statvfs(state, &disk) == 0)
        r->store.free = (uint64_t)disk.f_bavail * disk.f_frsize;
}

static uint64_t count_udp(const struct pv_coordserver *s)
{
    return pv_relaystat_get(pv_coord_relay_stats(s->coord), PV_RELAYSTAT_UDP_RECEIVED);
}

static uint64_t hear_udp(struct pv_coordserver *s, uint64_t online, pv_ns now)
{
    return pv_report_hear_udp(&s->udp_heard, online, count_udp(s), now);
}

/* Gathers a report at the moment it is asked for. It costs a look at each connection, and nobody
 * asks often. */
static json_t *make_report(void *ctx, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    char addrs[PV_COORDSERVER_TEXT_MAX], doubt[PV_COORDURL_NOTE_MAX], *rest = NULL;
    struct pv_loop_stats loop;
    struct pv_report r = {
        .version = PV_VERSION,
        .uptime_s = (now - s->started) / PV_S(1),
        .rights = s->rights->text,
        .handshakes = s->gate.n,
        .tls_refused = s->gate_refused,
        .no_fds = s->no_fds,
        .waiting = s->end_by == 0 && !s->accepting,
        .living = s->keep.living,
        .public_doubt = pv_coordurl_is_doubtful(s->set, doubt) ? doubt : NULL,
        .relay_on = !s->set->relay.off,
        .relay = pv_coord_relay_stats(s->coord),
        .store = {.failed = s->store_failures,
                  .postgres = s->lease != NULL,
                  .error = s->keep.away[0] != '\0'     ? s->keep.away
                           : s->clock_error[0] != '\0' ? s->clock_error
                           : s->store_error[0] == '\0' ? NULL
                                                       : s->store_error},
    };
    _Static_assert((int)PV_TURNS_USERS_MAX == (int)PV_RELAYSTAT_USERS, "each has a place");
    for (; r.n_users < s->set->relay.n_users; r.n_users++)
        r.users[r.n_users] = s->set->relay.users[r.n_users].name;
    memcpy(addrs, s->addresses, sizeof(addrs));
    for (char *a = strtok_r(addrs, " ", &rest); a != NULL && r.n_addrs < PV_REPORT_ADDRS_MAX;
         a = strtok_r(NULL, " ", &rest))
        r.addrs[r.n_addrs++] = a;
    for (const struct peer *p = s->peers; p != NULL; p = p->hh.next)
        r.tls += p->io.tls != NULL ? 1 : 0;
    pv_loop_stats(s->loop, &loop);
    r.loop.turns = loop.turns;
    r.loop.slow = loop.slow;
    r.loop.hard = loop.hard;
    r.loop.busy_us = loop.busy / PV_US(1);
    r.loop.longest_us = loop.longest / PV_US(1);
    pv_coord_stats(s->coord, &r.coord);
    r.udp_silent_s = hear_udp(s, r.coord.online, now);
    pv_coord_kinds(s->coord, &r.kinds);
    measure_disk(s->state, &r);
    pv_procinfo_read(&r.process);
    return pv_report_json(&r);
}

static void on_status(void *ctx, uint64_t id, const json_t *request, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    pv_ctlsock_answer(&s->status, id, make_report(ctx, now));
}

/* Without the socket everything else goes on: it is only for looking. */
static void open_status(struct pv_coordserver *s)
{
    s->started = s->udp_heard.at = pv_clock_now();
    s->status.spare = &s->spare;
    s->status.greets = true;
    s->status.request = on_status;
    s->status.ctx = s;
    int r = pv_ctlsock_open(&s->status, s->loop, s->state);
    if (r < 0)
        pv_log(s->log, PV_LOG_WARN, "`p2pvpn-coordinator status` will not work: %.200s: %s",
               s->status.path,
               r == PV_ERR_NO_SPACE ? "the path is too long for a socket" : pv_strstatus(r));
}

/* --- the turn -------------------------------------------------------------------------------- */

/* Looked at once a minute, said once a day. */
static void look_at_udp(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_stats stats;
    pv_coord_stats(s->coord, &stats);
    uint64_t silent_s = hear_udp(s, stats.online, now), received = count_udp(s);
    if (now < s->udp_warn_at || !pv_report_is_udp_silent(received, silent_s))
        return;
    s->udp_warn_at = now + PV_S(CERT_WARN_S);
    char doubt[PV_COORDURL_NOTE_MAX];
    bool doubtful = pv_coordurl_is_doubtful(s->set, doubt);
    pv_log(s->log, PV_LOG_WARN,
           "no UDP has come in%s%s, all nodes come by TCP only: let UDP in, too, in the firewall "
           "of this machine and in front of it; or all nodes that are here are in networks that "
           "let no UDP out%s%s",
           received == 0 ? "" : " for ", received == 0 ? "" : PV_DURATION_STR((double)silent_s),
           doubtful ? "; note: " : "", doubtful ? doubt : "");
}

/* Certificates are renewed by other programs, and run out. Looking is a stat() a minute; a warning
 * comes once a day. */
static void look_at_cert(struct pv_coordserver *s, pv_ns now)
{
    char text[PV_COORDCERT_ERROR_MAX] = "";
    if (now >= s->cert_look_at) {
        s->cert_look_at = now + PV_S(CERT_LOOK_S);
        look_at_udp(s, now);
        if (pv_coordcert_changed(&s->cert) && pv_coordcert_reload(&s->cert, text) == PV_OK) {
            tell_tls(s);
            log_cert(s);
        } else if (text[0] != '\0') {
            pv_log(s->log, PV_LOG_WARN, "%s: the certificate in use stays", text);
        }
    }
    if (now < s->cert_warn_at)
        return;
    s->cert_warn_at = now + PV_S(CERT_WARN_S);
    int64_t wall = (int64_t)(pv_clock_wall_us() / 1000000);
    if (pv_coordcert_warning(&s->cert, wall, text) != NULL)
        pv_log(s->log, PV_LOG_WARN, "%s", text);
}

/* Nodes are told to go elsewhere; what is under way is stored. */
static void begin_end(struct pv_coordserver *s, pv_ns now)
{
    bool others =
        s->lease != NULL && s->keep.few != UINT64_MAX && s->keep.away[0] == '\0' && !s->keep.lost;
    s->end_by = now + PV_S(END_S) + (others ? PV_COORD_LEFT : 0);
    s->bye_at = others ? now + PV_S(HAND_OVER_S) : now;
    watch_listeners(s, false);
    if (others)
        pv_coord_drain(s->coord, true);
}

/* Members of homes that were handed over are gone by now, and do not use the relay any more; the
 * others find a coordinator themselves. */
static void say_bye(struct pv_coordserver *s, pv_ns now)
{
    if (s->end_by == 0 || s->bye_at == PV_NEVER ||
        (now < s->bye_at && pv_coord_n_homes(s->coord) > 0))
        return;
    if (pv_coord_left_at(s->coord) > now) {
        s->bye_at = pv_coord_left_at(s->coord);
        return;
    }
    s->bye_at = PV_NEVER;
    pv_coordstore_stop(s->store);
    pv_coord_shutdown(s->coord, now);
}

/* The first SIGTERM or SIGINT begins an orderly end, later ones do not hurry it. SIGHUP reads the
 * settings again; the log says what came of it. */
static void on_signal(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    char error[PV_COORDSERVER_ERROR_MAX];
    int signal = 0;
    while (pv_signals_read(s->signals, &signal) == PV_OK) {
        if (signal == SIGHUP && s->end_by == 0)
            (void)!reload(s, error);
        if (signal == SIGHUP || s->end_by != 0)
            continue;
        pv_log(s->log, PV_LOG_INFO, "ending signal=%d", signal);
        begin_end(s, now);
    }
}

static void take_list(struct pv_coordserver *s, const struct pv_pg_home *list, size_t n, pv_ns now)
{
    struct pv_coord_home *homes = calloc(n + 1, sizeof(*homes));
    for (size_t i = 0; homes != NULL && i < n; i++) {
        memcpy(homes[i].network, list[i].network, sizeof(homes[i].network));
        homes[i].fence = list[i].fence;
    }
    if (homes == NULL || !pv_coord_homes_are(s->coord, homes, n, s->keep.asked_at, now))
        s->keep.renewal.again = true;
    free(homes);
}

/* A renewal writes to the database, so that one which was asked for after a failure, and went well,
 * says that the failure is over; but for a disk that is full, which may have room for a row that
 * only changes. */
static void forget_failure(struct pv_coordserver *s)
{
    if (s->store_error[0] != '\0' && s->keep.status == PV_OK && s->keep.renewal.wall_us != 0 &&
        s->keep.asked_at > s->store_error_at && s->store_error_status != -ENOSPC)
        s->store_error[0] = '\0';
}

/* Of two clocks that differ nobody knows here which one is right. */
static void look_at_clock(struct pv_coordserver *s, pv_ns now)
{
    bool said = s->clock_error[0] != '\0';
    if (!s->keep.asking && s->keep.renewal.wall_us != 0)
        pv_coord_set_common(s->coord, s->keep.renewal.wall_us, s->keep.renewal.wall_at);
    int64_t ahead = pv_coord_ahead(s->coord, now);
    s->clock_error[0] = '\0';
    if (ahead != 0)
        snprintf(s->clock_error, sizeof(s->clock_error),
                 "this machine's clock is %s %s the database's: set the one that is wrong "
                 "(timedatectl on both); until then nothing that members sign is stored",
                 PV_DURATION_STR(ahead > 0 ? (double)ahead : -(double)ahead),
                 ahead > 0 ? "ahead of" : "behind");
    if (ahead != 0 && !said)
        pv_log(s->log, PV_LOG_WARN, "%s", s->clock_error);
    else if (ahead == 0 && said)
        pv_log(s->log, PV_LOG_INFO, "this machine's clock and the database's agree again");
}

/* The database is told that this coordinator lives, and tells of homes that others took. */
static pv_ns keep_alive(struct pv_coordserver *s, pv_ns now)
{
    struct pv_pg_home *list = NULL;
    size_t n = 0;
    if (s->lease == NULL)
        return PV_NEVER;
    if (s->keep.away[0] == '\0')
        pv_coord_balance(s->coord, s->keep.few, now);
    if (!s->keep.asking && pv_coord_homes_came(s->coord))
        s->keep.renewal.again = true;
    if (!s->keep.asking)
        forget_failure(s);
    look_at_clock(s, now);
    if (pv_leasekeep_take_list(&s->keep, &list, &n)) {
        take_list(s, list, n, now);
        free(list);
    }
    return pv_leasekeep_handle_timeout(&s->keep, pv_coord_n_homes(s->coord),
                                       pv_coord_is_draining(s->coord), now);
}

/* When the loop is to look again, however quiet it is: at once when connections wait, when it is
 * their turn for statements, and soon when a network rests, which it does only while others have
 * something to do. */
static pv_ns wait_a_moment(const struct pv_coordserver *s, pv_ns now)
{
    if (s->more)
        return now;
    return pv_min_ns(pv_coord_has_bulk(s->coord) ? s->bulk_at : PV_NEVER,
                     pv_coord_rests(s->coord) ? pv_clock_now() + IDLE : PV_NEVER);
}

/* One turn of the loop, after the events. Time first, then output: the effects of timers go out at
 * once. Operations may be refused at once, which changes connections again. Returns when to be
 * called next. */
static pv_ns run_turn(void *ctx, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    struct pv_coord_stats stats;
    s->more = false;
    pv_coord_set_wall(s->coord, pv_clock_wall_us(), now);
    if (!s->happened)
        pv_coord_idle(s->coord, now);
    serve_queues(s, now);
    pv_ns began = pv_clock_now();
    pv_coord_handle_timeout(s->coord, now);
    pv_coord_bill(s->coord, pv_clock_now() - began, now);
    end_overdue(s, now);
    look_at_cert(s, now);
    pv_ns renew = keep_alive(s, now);
    if (s->keep.lost && s->end_by == 0)
        begin_end(s, now);
    say_bye(s, now);
    pv_ns drained = check_drain(s, now);
    pv_calmlog_handle_timeout(s->calm, now);
    drain_ready(s, now);
    submit_all(s, now);
    drain_ready(s, now); /* what was refused at once */
    if (pv_coord_wakes_relay(s->coord))
        pv_relay_wake(s->relay);
    if (s->end_by == 0 && !s->accepting && now >= s->accept_at) {
        pv_spare_refill(&s->spare); /* before strangers take what was closed */
        watch_listeners(s, true);
    }
    pv_ns next = pv_min_ns(pv_coord_next_timeout(s->coord), pv_tlsgate_next_timeout(&s->gate));
    next = pv_min_ns(next, pv_metricsock_handle_timeout(&s->metrics, now));
    next = pv_min_ns(next, pv_ctlsock_handle_timeout(&s->status, now));
    next = pv_min_ns(next, pv_ctlsock_handle_timeout(&s->ctl, now));
    next = pv_min_ns(next, s->cert_look_at);
    next = pv_min_ns(next, pv_min_ns(renew, drained));
    next = pv_min_ns(next, pv_calmlog_next_timeout(s->calm));
    next = pv_min_ns(next, wait_a_moment(s, now));
    s->happened = s->more;
    if (s->end_by == 0)
        return pv_min_ns(next, s->accepting ? PV_NEVER : s->accept_at);
    pv_coord_stats(s->coord, &stats);
    if ((s->bye_at == PV_NEVER && stats.conns == 0 && stats.jobs == 0) || now >= s->end_by)
        pv_loop_stop(s->loop);
    return pv_min_ns(next, pv_min_ns(s->end_by, s->bye_at));
}

/* --- opening --------------------------------------------------------------------------------- */

/* Each connection takes a descriptor, so as many are asked for as the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer, connections wait */
}

/* Signals come by a descriptor, so they are handled between two turns and never in the middle of
 * one. */
static int open_loop(struct pv_coordserver *s)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int r = pv_signals_open(signals, PV_ARRAY_LEN(signals), &s->signals);
    if (r == PV_OK)
        r = pv_loop_new(&s->loop);
    if (r == PV_OK)
        r = pv_watch_new(&s->signal_watch, s->loop, s->signals, PV_LOOP_READ, on_signal, s);
    return r;
}

/* The listeners add its sockets later. */
static int open_relay(struct pv_coordserver *s)
{
    int r = pv_stunudp_new(&s->udp);
    if (r == PV_OK)
        r = pv_relay_new(&s->relay, pv_coord_relay(s->coord), s->udp);
    if (r == PV_OK)
        r = pv_watch_new(&s->relay_watch, s->loop, pv_relay_news_fd(s->relay), PV_LOOP_READ,
                         on_relay_news, s);
    return r;
}

/* Rights are each thread's own, so none runs before they were given up. From here on the UDP ports
 * and the relay belong to the relay's thread. */
static int start_threads(struct pv_coordserver *s, char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    const struct pv_worker_config worker = {.name = "store",
                                            .threads = 1,
                                            .limit = JOBS_MAX,
                                            .batch = STORE_BATCH,
                                            .run = run_jobs,
                                            .ctx = s};
    int r = pv_worker_new(&s->worker, &worker);
    if (r == PV_OK)
        r = pv_watch_new(&s->worker_watch, s->loop, pv_worker_fd(s->worker), PV_LOOP_READ,
                         on_worker, s);
    if (r == PV_OK && s->lease != NULL)
        r = pv_leasekeep_start(&s->keep, s->pg, s->lease, s->loop, s->log);
    if (r == PV_OK)
        r = pv_relay_start(s->relay);
    if (r < 0)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start the threads: %s", pv_strstatus(r));
    return r;
}

static int open_metrics(struct pv_coordserver *s, const struct pv_coordset *set,
                        char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    const struct pv_addr *addr = &set->metrics.listen;
    s->metrics = (struct pv_metricsock){.report = make_report, .ctx = s};
    int r = pv_metricsock_open(&s->metrics, s->loop, addr);
    if (r < 0)
        explain_listen(addr, "[metrics] listen", r, ret_error);
    return r;
}

/* The threads start last, when all sockets are open and the rights are given up. */
int pv_coordserver_new(struct pv_coordserver **ret_server, const struct pv_coordset *set,
                       const struct pv_coordserver_parts *parts,
                       char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    struct pv_rng rng = pv_entropy();
    struct pv_coordserver *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start: out of memory");
        return PV_ERR_NOMEM;
    }
    s->calm = parts->calm;
    s->log = &parts->calm->log;
    s->coord = parts->coord;
    s->store = parts->store;
    s->pg = parts->pg;
    s->lease = parts->lease;
    s->state = set->state;
    s->set = set;
    s->rights = parts->rights;
    s->signals = -1;
    s->told = parts->told;
    s->next_id = 1;
    s->accepting = true;
    s->map = pv_map_make(&rng, FILES_MAX);
    raise_file_limit();
    int r = pv_tlsgate_init(&s->gate, &rng);
    if (r == PV_OK)
        r = open_loop(s);
    if (r == PV_OK)
        r = open_relay(s);
    if (r < 0)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start: %s", pv_strstatus(r));
    if (r == PV_OK)
        r = pv_coordcert_open(&s->cert, set, ret_error);
    if (r == PV_OK)
        r = open_listeners(s, set, ret_error);
    if (r == PV_OK)
        r = open_metrics(s, set, ret_error);
    if (r == PV_OK)
        r = pv_rights_close(parts->rights, set, parts->pg, s->log, ret_error);
    if (r == PV_OK)
        r = start_threads(s, ret_error);
    if (r < 0) {
        pv_coordserver_free(s);
        return r;
    }
    note_passwords(s);
    tell_tls(s);
    log_cert(s);
    pv_spare_open(&s->spare, s->signals);
    open_status(s);
    open_ctl(s);
    *ret_server = s;
    return PV_OK;
}

const char *pv_coordserver_addresses(const struct pv_coordserver *server)
{
    return server->addresses;
}

void pv_coordserver_run(struct pv_coordserver *server, struct pv_supervisor *supervisor)
{
    const struct pv_loop_owner owner = {.turn = run_turn, .ctx = server};
    server->supervisor = supervisor;
    pv_supervisor_ready(supervisor, server->loop);
    pv_loop_run(server->loop, &owner);
    pv_supervisor_leave_loop(supervisor);
}

bool pv_coordserver_lost_lease(const struct pv_coordserver *server)
{
    return server->keep.lost;
}

/* Operations that still wait at the store are finished, and their answers taken: changes of before
 * the end are on the disk. The relay's thread ends before its sockets are closed. */
struct pv_coordserver *pv_coordserver_free(struct pv_coordserver *server)
{
    struct pv_coordserver *s = server;
    struct peer *p;
    struct peer *next;
    if (s == NULL)
        return NULL;
    HASH_ITER(hh, s->peers, p, next) {
        peer_free(p);
    }
    for (size_t i = 0; i < s->n_listeners; i++) {
        pv_watch_free(s->listeners[i].tcp_watch);
        close(s->listeners[i].tcp);
    }
    if (s->worker != NULL) {
        pv_coordstore_stop(s->store); /* a bye that came too late has not said so */
        pv_worker_finish(s->worker);
        while (take_answer(s, pv_clock_now()))
            continue;
    }
    pv_leasekeep_stop(&s->keep);
    pv_ctlsock_done(&s->status);
    pv_ctlsock_done(&s->ctl);
    pv_metricsock_done(&s->metrics);
    pv_spare_done(&s->spare);
    pv_watch_free(s->worker_watch);
    pv_worker_free(s->worker);
    pv_watch_free(s->relay_watch);
    pv_relay_free(s->relay);
    pv_stunudp_free(s->udp);
    pv_watch_free(s->signal_watch);
    if (s->signals >= 0)
        close(s->signals);
    if (s->loop != NULL)
        pv_loop_free(s->loop);
    pv_coordcert_done(&s->cert);
    pv_tlsgate_done(&s->gate);
    free(s->reloaded);
    free(s);
    return NULL;
}
