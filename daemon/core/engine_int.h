/* SPDX-License-Identifier: MIT */
/*
 * engine_int.h - the inside of the engine, shared by engine*.c only.
 *
 *   engine.c          life, time, polling
 *   engine_peers.c    the table of peers, touching, wanting; datagrams and punts to their owners
 *   engine_desc.c     descriptions: sealed signals and in-band, both ways
 *   engine_inband.c   in-band messages
 *   engine_sync.c     exchange of statements with peers
 *   engine_forward.c  signals through a peer whom both sides know
 *   engine_net.c      membership: roster and its events, presence, interface, up and down
 *   engine_coord.c    what the coordinator says and is told
 *   engine_addrs.c    where the coordinator is
 *   engine_enroll.c   create and join
 *   engine_jobs.c     jobs out, results in, what is stored
 *   engine_stream.c   one space of stream ids over four machines
 *   engine_ctl.c      requests of p2pvpnctl
 *   engine_show.c     what is no part yet has for status and metrics
 *   engine_why.c      why and trace
 *   engine_cause.c    the diagnosis that why begins with
 *   engine_dns.c      the optional name server
 */
#ifndef PV_ENGINE_INT_H
#define PV_ENGINE_INT_H

#include "base/bucket.h"
#include "daemon/core/chat/chatlink.h"
#include "daemon/core/engine.h"
#include "daemon/core/member/coordclient.h"
#include "daemon/core/member/rostersync.h"
#include "daemon/core/nat/mapper.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/nat/udpwatch.h"
#include "daemon/core/node/ctlsrv.h"
#include "daemon/core/node/node.h"
#include "daemon/core/path/bindings.h"
#include "daemon/core/path/portmap.h"
#include "daemon/core/path/relays.h"
#include "daemon/core/peer/peer_int.h" /* until every part has left the engine */
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/peer/recall.h"
#include "proto/roster/roster.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/token.h"
#include "proto/stun/natlife.h"

enum {
    PV_ENGINE_SUBSCRIBE_ALL = 128, /* ours: in networks up to this size presence of all is wanted */
    PV_ENGINE_MAX_HOSTS = 8,       /* addresses of the coordinator as written */
};

/* Why a job was asked for: what its result means. */
enum pv_job_purpose {
    PV_JP_STORE,  /* something to be kept: only failure matters */
    PV_JP_ENROLL, /* create or join waits for it */
    PV_JP_IFACE_UP,
    PV_JP_IFACE_DOWN,
    PV_JP_COORD_HOST, /* arg: 1 = it speaks TLS */
    PV_JP_STUN_HOST,
    PV_JP_FORGET, /* arg: ctl handle of a leave */
};
struct pv_job_wait {
    uint64_t id;
    enum pv_job_purpose purpose;
    uint64_t arg;
    UT_hash_handle hh;
};

/* What a request to the coordinator was for: the top byte of its tag. */
enum pv_coord_purpose {
    PV_CP_NONE,
    PV_CP_PULL,   /* new statements */
    PV_CP_RELIST, /* all statements: what does it lack? */
    PV_CP_SIGNAL, /* arg: peer id */
    PV_CP_PUT,    /* arg: number of a struct pv_put */
    PV_CP_ENROLL,
};
#define PV_CP_TAG(purpose, arg) (((uint64_t)(purpose) << 56) | (arg))

/* Statements on their way to the coordinator, and who waits for the receipts. */
enum pv_put_kind {
    PV_PUT_UPLOAD, /* nobody */
    PV_PUT_INVITE,
    PV_PUT_CREATE_INVITE, /* the first invite, made by create */
    PV_PUT_REVOKE_INVITE,
    PV_PUT_REMOVE,
    PV_PUT_LEAVE,
};
struct pv_put {
    struct pv_put *next;
    uint64_t number;
    enum pv_put_kind kind;
    uint64_t handle; /* ctl */
    bool force;      /* LEAVE: with the keys, and also when the coordinator is away */
    char *token;     /* INVITE: owned, a secret */
    uint8_t invite[32];
    size_t n;
    struct pv_made_long *statements; /* owned */
};

enum pv_enroll_step {
    PV_ENROLL_NONE,
    PV_ENROLL_ROOT,     /* create: the root secret is being saved */
    PV_ENROLL_CONNECT,  /* guest connection */
    PV_ENROLL_FETCH,    /* join: record and invite */
    PV_ENROLL_JOIN,     /* join: reservation */
    PV_ENROLL_REGISTER, /* join: member statement */
    PV_ENROLL_CREATE,   /* create: statements */
    PV_ENROLL_SAVE,     /* membership is being stored */
    PV_ENROLL_IFACE,    /* the interface is coming up */
    PV_ENROLL_INVITE,   /* create: the first invite */
};
#define PV_ENROLL_TIME PV_S(30) /* DESIGN 3: a guest has 30 s */

struct pv_enroll {
    enum pv_enroll_step step;
    bool create;
    uint64_t handle; /* ctl */
    pv_ns deadline;
    char name[PV_NAME_BUF]; /* of this node, as asked for */
    bool name_given;        /* by the user: another one will not do */
    char network[PV_NAME_BUF];
    struct pv_prefix range;
    uint8_t secret[PV_URL_SECRET_LEN]; /* create */
    bool has_secret;
    uint8_t invite_sk[PV_SIGN_SK_LEN]; /* join */
    uint8_t invite_pk[PV_SIGN_PK_LEN];
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t coordinator[PV_SIGN_PK_LEN];
    size_t list_len;
    uint8_t list[PV_TOKEN_LIST_MAX]; /* coordinators */
    struct pv_created created;
    struct pv_roster *roster;            /* until membership is certain */
    char why[PV_CTL_ERROR_TEXT_MAX + 1]; /* of the last failure, for the message at the deadline */
    unsigned jobs;                       /* store results still missing */
};

struct pv_engine {
    struct pv_node node;

    /* peers */
    struct pv_wg_device device;
    struct pv_noise_keys noise; /* the transport key again, for signals */
    struct pv_fp_builder *fp;
    struct pv_peer_env env;

    /* the network */
    bool unknown;      /* the coordinator says that it is no member: nothing to sign off from */
    pv_ns teardown_at; /* going down: peers are told, then the interface goes; PV_NEVER */
    char iface_error[PV_JOB_ERROR_MAX];
    pv_ns iface_retry_at;           /* it did not come up; PV_NEVER */
    char overlap[PV_JOB_ERROR_MAX]; /* an address here that is in the network's range; "": none */
    struct pv_prefix overlap_net;   /* its range */
    char iface_problem[PV_JOB_ERROR_MAX]; /* what others did to it; "" = nothing */
    struct pv_highwater signal_seq;
    struct pv_rostersync *sync;
    struct pv_rostersync_transmit *sync_tx; /* owned: too large for the stack */
    struct pv_stored_statement *unsaved;    /* owned array of views into the roster */
    size_t n_unsaved, cap_unsaved;

    /* the coordinator */
    struct pv_hostport hosts[PV_ENGINE_MAX_HOSTS]; /* as written in the record or token */
    size_t n_hosts;
    struct pv_hostport tls_hosts[PV_CTL_ADDRS_MAX]; /* of the last welcome */
    size_t n_tls_hosts;
    bool has_pin; /* of the coordinator's certificate */
    uint8_t pin[PV_CTL_PIN_LEN];
    struct pv_coordclient_addr coord_addrs[PV_COORDCLIENT_MAX_ADDRS];
    size_t n_coord_addrs;
    struct pv_addr stun_addrs[PV_CTL_ADDRS_MAX];
    size_t n_stun_addrs;
    uint8_t coordinator_pk[PV_SIGN_PK_LEN]; /* of the connection wanted or there */
    struct pv_ctl_cursor cursor;
    bool relisted; /* heads were compared by the whole log on this connection */
    uint8_t (*listed)[PV_STATEMENT_HASH_LEN]; /* owned: what the coordinator has, while relisting */
    size_t n_listed, cap_listed;
    char coord_error[PV_CTL_ERROR_TEXT_MAX + 1];
    uint64_t coord_connects;
    struct pv_put *puts;
    uint64_t next_number;
    struct pv_enroll enroll;
    struct pv_put *first_invite; /* of a network just created, until the coordinator is there */
    pv_ns first_invite_by;

    bool dns; /* the name server listens */
    struct pv_bucket_table *dns_rate;

    /* without the coordinator */
    struct pv_bucket forwards;  /* signals of our own given to others */
    struct pv_bucket passed_on; /* signals of others, all in all */

    /* out */
    struct pv_map job_map;
    struct pv_job_wait *job_waits;
    bool forgetting_keys; /* a job that deletes them is under way */
    bool keys_forgotten;
};

/* --- engine.c -------------------------------------------------------------------------------- */

/* What is no part yet: its make() returns the engine. */
int pv_engine_as_part(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                      void **ret_part);
void pv_engine_not_freed(void *part);
extern const struct pv_part pv_part_engine_ctl;
extern const struct pv_part pv_part_engine_show;
extern const struct pv_part pv_part_engine_streams;
extern const struct pv_part pv_part_commands;
/* The coordinator's answer to that part; what the coordinator says of its own accord, to all. */
void pv_engine_answer(struct pv_engine *e, const struct pv_part *owner, uint64_t tag,
                      const struct pv_ctl_msg *msg, pv_ns now);
void pv_engine_push(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now);

/* Hands an in-band message to the part in whose table its type is. False: no part has it. */
bool pv_engine_give_inband(struct pv_engine *e, struct pv_peer *from,
                           const struct pv_inband_message *msg, pv_ns now);
/* Lets what one machine told change the others; after every fact and every timeout. */
void pv_engine_settle(struct pv_engine *e, pv_ns now);

/* --- engine_peers.c -------------------------------------------------------------------------- */

/* For the parts that are still in the engine: as part.h on_peer() and on_peer_gone(). */
void pv_engine_peer_changed(struct pv_engine *e, struct pv_peer *p, pv_ns now);
void pv_engine_peer_gone(struct pv_engine *e, struct pv_peer *p, pv_ns now);
/* PV_FACT_NAT_DOUBT. */
/* Other names of pv_peers_…(), for code that is no part yet. */
static inline void pv_engine_touch(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    pv_peers_touch(e->node.peers, p, now);
}
static inline struct pv_peer *pv_engine_peer_by_id(struct pv_engine *e, uint32_t id)
{
    return pv_peers_by_id(e->node.peers, id);
}
static inline struct pv_peer *pv_engine_peer_by_pk(struct pv_engine *e, const uint8_t *pk)
{
    return pv_peers_by_pk(e->node.peers, pk);
}
static inline struct pv_peer *pv_engine_find_peer(struct pv_engine *e, const char *text)
{
    return pv_peers_find(e->node.peers, text);
}
static inline void pv_engine_env_changed(struct pv_engine *e, bool locals, pv_ns now)
{
    pv_peers_env_changed(e->node.peers, locals, now);
}
/* --- engine_desc.c --------------------------------------------------------------------------- */

void pv_engine_send_desc(struct pv_engine *e, struct pv_peer *p, const struct pv_desc *desc,
                         pv_ns now);
/* Who said it; NULL: it was dropped. */
struct pv_peer *pv_engine_take_signal(struct pv_engine *e, const struct pv_ctl_signal *push,
                                      pv_ns now);
/* In-band type 1. */
void pv_engine_take_inband_desc(struct pv_engine *e, struct pv_peer *p, struct pv_view body,
                                pv_ns now);

/* --- engine_inband.c ------------------------------------------------------------------------- */

/* Another name of pv_peers_send(), for code that is no part yet. */
static inline void pv_engine_send_inband(struct pv_engine *e, struct pv_peer *p,
                                         enum pv_inband_type type, struct pv_view body)
{
    pv_peers_send(e->node.peers, p, type, body);
}
/* Tells every peer that can be told that this node goes down. */
void pv_engine_say_goodbye(struct pv_engine *e, pv_ns now);
void pv_engine_take_inband(struct pv_engine *e, struct pv_peer *p, struct pv_view packet,
                           pv_ns now);
/* That member left or was removed for good: every part is told at once. */
void pv_engine_member_gone(struct pv_engine *e, const uint8_t *pk, pv_ns now);

/* --- engine_sync.c --------------------------------------------------------------------------- */

/* The head of a peer's roster was seen: where heads differ, the two exchange what is missing. */
void pv_engine_heads_seen(struct pv_engine *e, struct pv_peer *p, const uint8_t *head, pv_ns now);
/* In-band type 2. */
void pv_engine_take_sync(struct pv_engine *e, struct pv_peer *p, struct pv_view body, pv_ns now);
/* In-band messages reach the peer, or no longer do. */
void pv_engine_sync_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now);
void pv_engine_run_sync(struct pv_engine *e, pv_ns now);

/* --- engine_forward.c ------------------------------------------------------------------------ */

/* Hands a sealed signal for a peer to a few whom in-band messages reach. How many that were. */
unsigned pv_engine_forward(struct pv_engine *e, struct pv_peer *to, struct pv_view box, pv_ns now);
/* In-band type 5: passed on, or for us. */
void pv_engine_take_forward(struct pv_engine *e, struct pv_peer *from, struct pv_view body,
                            pv_ns now);

/* --- engine_net.c ---------------------------------------------------------------------------- */

/* Merges statements from anywhere and acts on what follows. Returns how many were refused. */
size_t pv_engine_add_statements(struct pv_engine *e, const struct pv_ctl_item *items, size_t n,
                                pv_ns now);
/* Acts on the roster's events. */
void pv_engine_roster_pump(struct pv_engine *e, pv_ns now);
/* Becomes a node of this roster's network (taken): peers, interface, coordinator. */
void pv_engine_enter(struct pv_engine *e, struct pv_roster *roster, bool up, pv_ns now);
void pv_engine_leave(struct pv_engine *e, pv_ns now);
/* Interface and coordinator as e->node.up wants them. */
void pv_engine_apply_up(struct pv_engine *e, pv_ns now);
/* The second half of going down, or another attempt to come up, when its time has come. */
void pv_engine_run_iface(struct pv_engine *e, pv_ns now);
/* Is an address of another interface in the network's range? It takes members' packets away. */
void pv_engine_note_overlap(struct pv_engine *e, const struct pv_link_addr *links, size_t n);
void pv_engine_iface_result(struct pv_engine *e, const struct pv_job_result *result, pv_ns now);

/* --- engine_coord.c -------------------------------------------------------------------------- */

/* Connects as a member, or as a guest for enrolling, to the coordinators of list. */
void pv_engine_connect(struct pv_engine *e, struct pv_view list, enum pv_ctl_role role,
                       const uint8_t *network_id, pv_ns now);
void pv_engine_disconnect(struct pv_engine *e, pv_ns now);
void pv_engine_coord_pump(struct pv_engine *e, pv_ns now);
/* Presence of these members is wanted from now on. */
void pv_engine_subscribe(struct pv_engine *e, const uint8_t (*nodes)[PV_SIGN_PK_LEN], size_t n);
/* Sends statements; the put (taken) is told the receipts. */
void pv_engine_put(struct pv_engine *e, struct pv_put *put, pv_ns now);
/* A put is over: error PV_CTL_E_NONE, or the first refusal. Frees it. */
void pv_engine_put_done(struct pv_engine *e, struct pv_put *put, enum pv_ctl_error error,
                        pv_ns now);
struct pv_put *pv_put_free(struct pv_put *put);

/* --- engine_addrs.c -------------------------------------------------------------------------- */

/* Looks for the addresses of hosts: those known at once are in coord_addrs. */
void pv_engine_find_coordinator(struct pv_engine *e);
/* What welcome says of STUN servers and of TLS. */
void pv_engine_take_servers(struct pv_engine *e, const struct pv_ctl_welcome *w, pv_ns now);
/* A name was looked up. */
void pv_engine_coord_resolved(struct pv_engine *e, const struct pv_job_wait *wait,
                              const struct pv_job_result *result, pv_ns now);
/* "tls:HOST:PORT" and so on, one a line, as it was stored. */
void pv_engine_load_tls_hosts(struct pv_engine *e, struct pv_view text);

/* --- engine_enroll.c ------------------------------------------------------------------------- */

void pv_engine_create(struct pv_engine *e, struct pv_ctlapi_request *req, uint64_t handle,
                      pv_ns now);
void pv_engine_join(struct pv_engine *e, struct pv_ctlapi_request *req, uint64_t handle, pv_ns now);
/* Is the connection to the coordinator that of a guest who creates or joins? */
bool pv_enroll_is_guest(const struct pv_engine *e);
void pv_enroll_online(struct pv_engine *e, const struct pv_ctl_welcome *w);
/* The coordinator refused the guest's hello. False: it may change its mind, go on trying. */
bool pv_enroll_refused(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now);
void pv_enroll_offline(struct pv_engine *e, const char *why);
void pv_enroll_answer(struct pv_engine *e, const struct pv_coordclient_event *ev, pv_ns now);
void pv_enroll_job_done(struct pv_engine *e, const struct pv_job_result *result, pv_ns now);
void pv_enroll_iface_done(struct pv_engine *e, const char *error, pv_ns now);
void pv_enroll_timeout(struct pv_engine *e, pv_ns now);
void pv_enroll_cancel(struct pv_engine *e, pv_ns now);
/* Makes an invite and a put for it. *ret_put has the token. */
PV_MUST_CHECK int pv_engine_make_invite(struct pv_engine *e, uint32_t uses, uint64_t expires_s,
                                        pv_ns now, struct pv_put **ret_put);

/* --- engine_jobs.c --------------------------------------------------------------------------- */

/* Queues a job (taken); false without memory: nothing will come back. */
bool pv_engine_job(struct pv_engine *e, struct pv_job *job, enum pv_job_purpose purpose,
                   uint64_t arg);
void pv_engine_set_meta(struct pv_engine *e, const char *name, struct pv_view value);
void pv_engine_set_meta_u64(struct pv_engine *e, const char *name, uint64_t value);
/* Remembers a roster entry as not yet stored; flush queues one job for all. */
void pv_engine_unsaved(struct pv_engine *e, const struct pv_roster_entry *entry);
void pv_engine_flush_unsaved(struct pv_engine *e, enum pv_job_purpose purpose);
/* A write failed: everything once more (writes are idempotent). */
void pv_engine_save_all(struct pv_engine *e);
void pv_engine_load_meta(struct pv_engine *e, const struct pv_saved *saved);

/* --- engine_dns.c ---------------------------------------------------------------------------- */

PV_MUST_CHECK int pv_engine_dns_new(struct pv_engine *e);
void pv_engine_dns_free(struct pv_engine *e);
/* With [dns] listen = on: what is to be asked here. */
void pv_engine_dns_domains(const struct pv_engine *e, struct pv_job_iface *i);

/* --- engine_ctl.c, engine_show.c, engine_why.c ------------------------------------------------ */

void pv_engine_show_why(struct pv_engine *e, struct pv_peer *p, uint64_t handle, pv_ns now);
void pv_engine_show_trace(struct pv_engine *e, struct pv_peer *p, uint64_t handle, pv_ns now);

/* The coordinator's wall clock, Unix seconds, which judges the windows of invites; our own while it
 * is not known. */
static inline uint64_t pv_engine_coord_s(const struct pv_engine *e, pv_ns now)
{
    uint64_t us = pv_coordclient_time_us(e->node.coord, now);
    return (us == 0 ? pv_peer_env_wall(&e->env, now) : us) / 1000000;
}

/* Wall clock in seconds and milliseconds. */
static inline uint64_t pv_engine_wall_s(const struct pv_engine *e, pv_ns now)
{
    return pv_node_wall_s(&e->node, now);
}
static inline uint64_t pv_engine_wall_ms(const struct pv_engine *e, pv_ns now)
{
    return pv_node_wall_ms(&e->node, now);
}

#endif /* PV_ENGINE_INT_H */
