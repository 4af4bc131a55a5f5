/* SPDX-License-Identifier: MIT */
/*
 * ice_agent.h - the inside of one ICE agent, shared by the ice_*.c files only; not an interface.
 *
 *   ice.c        the interface: creation, descriptions in, events and answers to questions out
 *   ice_pair.c   tables of bases, remote candidates and pairs; ranking
 *   ice_check.c  connectivity checks: transactions, requests and answers on the wire
 *   ice_choose.c which pair is used: selecting, nominating, giving up
 *   ice_keep.c   keeping the pair in use: traffic, suspicion, consent, dormancy; timers
 */
#pragma once

#include "base/bucket.h"
#include "proto/ice/ice.h"
#include "proto/ice/rhythm.h"
#include "proto/stun/nat64.h"
#include "proto/stun/stun.h"

enum {
    PV_ICE_NONE = -1,      /* "no pair", "no slot" */
    PV_ICE_PLAN_SENDS = 8, /* transmissions of a check; 0, 20, ... 2540 ms (DESIGN 5) */
    PV_ICE_PRIMERS = 3,    /* ours: a lost one must not decide; none of them reaches the peer */
    PV_ICE_MAX_SENDS = PV_ICE_PLAN_SENDS + PV_ICE_PRIMERS,
    /* Ours: answers waiting to be sent; more are dropped, the peer repeats. */
    PV_ICE_MAX_ANSWERS = 16,
    PV_ICE_MAX_EARLY = 8,      /* ours: checks kept from before the description of their sender */
    PV_ICE_MAX_DESCRIBED = 24, /* remote candidates taken from a description */
    /* Ours: those learnt from packets. A peer behind NATs that forget has another address after
     * each silence, and whoever looks for a path tries all of them. */
    PV_ICE_MAX_LEARNT = PV_ICE_MAX_REMOTE - PV_ICE_MAX_DESCRIBED,
    PV_ICE_MAX_SEEN = 4, /* ours: addresses of our own that the peer saw and we did not know */
    PV_ICE_STANDBY = 2,  /* ours: valid pairs kept ready besides the selected one */
    PV_ICE_MEASURES = 4, /* ours: answers before a change for the RTT's sake */
    PV_ICE_NOMINATION_MAX = 0xffffff, /* 24 bits, DESIGN 5 */
    /* Bytes of IPv4 and UDP headers, RFC 791, RFC 768; for the rule of three. */
    PV_ICE_UDP_OVERHEAD = 28,
    /* Ours: new pairs that are checked at once, without waiting for their turn. */
    PV_ICE_MAX_OPENED = 8,
    PV_ICE_PRIMER_TTL = 2, /* through one NAT and no further, TRAVERSAL 5 (measured) */
    /* Ours: checks answered without data, until the peer is asked in-band for an answer. */
    PV_ICE_NO_DATA_ECHO = 3,
    /* Ours: checks answered without data, until the path counts as one that carries none. */
    PV_ICE_NO_DATA_MAX = 10,
    PV_ICE_MAX_DOUBTS = 3,   /* ours: of one path, after the last data that came in */
    PV_ICE_LOSS_WINDOW = 32, /* ours: checks that the loss estimate looks back; bits of loss_bits */
};

#define PV_ICE_TA_OURS          PV_MS(20)    /* DESIGN 5 */
#define PV_ICE_TA_RFC           PV_MS(50)    /* RFC 8445 s14.2 */
#define PV_ICE_RTO_RFC          PV_MS(500)   /* RFC 8445 s14.3 */
#define PV_ICE_RM_RFC           16           /* RFC 8489 s6.2.1 */
#define PV_ICE_RC_RFC           7            /* RFC 8489 s6.2.1 */
#define PV_ICE_RESEND_OURS      PV_MS(20)    /* first interval, doubling: DESIGN 5 */
#define PV_ICE_PATIENCE_OURS    PV_S(10)     /* ours: before FAILED */
#define PV_ICE_PATIENCE_RFC     PV_MS(39500) /* RFC 8863 s4 */
#define PV_ICE_LIFETIME         PV_S(25)     /* default, TRAVERSAL 4 */
#define PV_ICE_CONSENT_EVERY    PV_S(5)      /* RFC 7675 s5.1 */
#define PV_ICE_CONSENT_EXPIRES  PV_S(30)     /* RFC 7675 s5.1 */
#define PV_ICE_IN_USE           PV_S(15)     /* ours: since the last traffic */
#define PV_ICE_IDLE_LIMIT       PV_S(600)    /* DESIGN 5: then dormant */
#define PV_ICE_REVIVED_FOR      PV_S(10)     /* ours: awake without traffic after a peer's check */
#define PV_ICE_STANDBY_EVERY    PV_S(15)     /* ours: below the shortest lifetimes, TRAVERSAL 4 */
#define PV_ICE_RELAY_EVERY      PV_S(30)     /* ours: its binding is kept by refreshes of its own */
#define PV_ICE_MEASURE_EVERY    PV_S(2)     /* ours: a pair that looks quicker, until it is known */
#define PV_ICE_STALE_AFTER      PV_S(45)    /* ours: a valid pair without answer for so long */
#define PV_ICE_SILENCE_MIN      PV_MS(250)  /* DESIGN 5 */
#define PV_ICE_REPLY_MAX        PV_MS(1200) /* ours: what takes longer is no reply */
#define PV_ICE_DEAD_MIN         PV_MS(450)  /* DESIGN 5 */
#define PV_ICE_NOTE_EVERY       PV_MS(100)  /* about; see pv_ice_note_traffic() */
#define PV_ICE_DEFER            PV_MS(300) /* ours, adr/0005: one-way flows are replaced within 1 s */
#define PV_ICE_LATE             PV_MS(20)  /* ours: beside 5/4 of the RTT an answer is late */
#define PV_ICE_HOLD             PV_S(10)   /* ours: for a path that died */
#define PV_ICE_HOLD_MAX_NO_DATA PV_S(300)  /* ours: doubling, for one that carried no data */
#define PV_ICE_RETRY_FIRST      PV_S(30)   /* ours: after a change of path, doubling */
#define PV_ICE_RETRY_MAX        PV_S(600)  /* ours: longest wait between attempts at better pairs */
#define PV_ICE_NOMINATE_BY      PV_S(1)    /* ours: wait for better pairs, foreign agents */
#define PV_ICE_PRIMED_FOR       PV_S(1)    /* ours: then the peer is taken to know us */
#define PV_ICE_PRIMER_EVERY     PV_MS(40)  /* ours: between the packets that open our own NAT */
#define PV_ICE_KICK_MIN         PV_MS(250) /* ours: kicks closer together are one */

/* How a check is repeated. */
enum pv_ice_plan {
    PV_ICE_PLAN_FULL,    /* unproven pair: 20, 40, 80 ... ms (RFC: the RFC's) */
    PV_ICE_PLAN_CONFIRM, /* proven pair: intervals from its RTT, four sends */
    PV_ICE_PLAN_SINGLE,  /* one send, silence proves nothing (consent, RFC 7675 s5.1) */
    PV_ICE_PLAN_PROBE,   /* suspected path: 0, 100, 250 ms, verdict at max(450 ms, 2 RTT) */
};

/* One check. Every transmission has an id of its own, the number of the transmission folded into
 * the second byte, so that each round trip is measured exactly. */
struct pv_ice_txn {
    enum pv_ice_plan plan;
    uint8_t id[PV_STUN_TXID_LEN];
    unsigned sends;               /* transmissions so far */
    unsigned max_sends;           /* transmissions after which it only waits */
    uint32_t answered;            /* a bit for each transmission that was answered */
    pv_ns interval;               /* wait before the next repetition */
    pv_ns sent[PV_ICE_MAX_SENDS]; /* when each transmission left */
    uint32_t nomination;          /* the NOMINATION counter it carries, 0 = none */
    bool use_candidate;           /* it carries USE-CANDIDATE */
    bool triggered;               /* started by the other side's request */
    bool controlling;             /* the role it claims */
};

/* A local address that checks leave from and arrive at (RFC 8445 s3, "base"). */
struct pv_ice_base {
    bool used;
    struct pv_ice_carrier carrier; /* carrier.local is the base's transport address */
    uint32_t priority;             /* highest among the candidates of this base */
    bool extra;                    /* from pv_ice_add_carrier(): no candidate names it */
    bool retiring;                 /* extra, and left as soon as another pair is proven */
};

/* An address of the other side: described by it, or learnt from its checks. */
struct pv_ice_remote {
    bool used;
    bool described; /* listed in the current description */
    pv_ns learnt;   /* when it was added */
    struct pv_ice_cand cand;
};

enum pv_ice_pair_state {
    PV_ICE_PAIR_WAITING,  /* to be checked in its turn */
    PV_ICE_PAIR_CHECKING, /* a check runs, nothing proven */
    PV_ICE_PAIR_VALID,    /* proven both ways */
    PV_ICE_PAIR_STALE,    /* was valid, not confirmed for a while */
    PV_ICE_PAIR_FAILED,   /* checked without answer */
};

/* A base and a remote address, and everything that checks have shown about the way between. */
struct pv_ice_pair {
    bool used;
    enum pv_ice_pair_state state;
    uint8_t base;           /* index into bases */
    uint8_t remote;         /* index into remotes */
    uint64_t priority;      /* RFC 8445 s6.1.2.3 */
    struct pv_ice_txn cur;  /* the check that runs, or ran last */
    struct pv_ice_txn prev; /* the one before: its late answers still count */
    pv_ns next_send;        /* when cur is sent again; PV_NEVER = no more */
    pv_ns check_end;        /* when cur is over; PV_NEVER while it has sends left */
    pv_ns next_keep;        /* next maintenance check of a valid pair */
    pv_ns last_answer;      /* when a check was last answered; 0 = never */
    pv_ns open_since;       /* when the first one was sent that was answered, since it is valid */
    pv_ns srtt;             /* smoothed round trip time; 0 = unknown */
    pv_ns hold_until;       /* not chosen before, unless nothing else works */
    unsigned holds;         /* times this path died in use */
    uint32_t loss_bits;     /* a bit for each recent check, the newest in bit 0; 1 = lost */
    unsigned loss_n;        /* bits of loss_bits that stand for a check */
    bool stray;             /* known only from data: the rule of three binds */
    uint32_t budget;        /* bytes that may go there while stray */
    bool use_candidate;     /* RFC profile, controlled: nominate when valid */
    bool proven;            /* answered under these credentials */
    /* Primers have opened our NAT for it; the real check waits until the peer knows us. */
    bool primed;
    unsigned primers;      /* primers sent */
    struct pv_addr mapped; /* our address as answers on this pair name it */
    unsigned checks;       /* checks ever sent */
    unsigned answers;      /* answers ever received */
    unsigned unanswered;   /* checks sent since the last answer */
    unsigned heard;        /* the peer's checks, since PV_ICE_DEAF of ours were not answered */
    bool no_data;          /* it answered checks and carried no data, the last time it was used */
};

/* An answer to a request of the other side, to be sent at the next poll. */
struct pv_ice_answer {
    struct pv_ice_carrier carrier;  /* the base that the request came to */
    struct pv_addr dst;             /* who asked */
    uint8_t txid[PV_STUN_TXID_LEN]; /* the request's */
    unsigned code;                  /* error code, 0 = success */
    uint16_t unknown[4];            /* attributes that an error 420 lists */
    size_t n_unknown;               /* attributes in unknown */
};

/* An authenticated request, kept because its sender's description is not here yet. */
struct pv_ice_early {
    bool used;
    uint8_t base;                     /* index of the base it came to */
    struct pv_addr src;               /* who sent it */
    uint32_t priority;                /* PRIORITY: of the sender's candidate, if it is new */
    uint32_t nomination;              /* the NOMINATION counter it carried, 0 = none */
    bool use_candidate;               /* it carried USE-CANDIDATE */
    char ufrag[PV_ICE_UFRAG_MAX + 1]; /* the sender's */
};

struct pv_ice_agent {
    struct pv_ice_config cfg;         /* local credentials and role as they are now */
    struct pv_ice_creds remote_creds; /* with has_remote */
    bool has_remote;                  /* the other side's description is here */
    uint64_t tie_breaker;             /* decides role conflicts (RFC 8445 s7.3.1.1) */
    enum pv_ice_state state;
    pv_ns now;              /* the time given by the last call that had one */
    struct pv_prefix nat64; /* pv_ice_set_nat64() */

    struct pv_ice_cand locals[PV_ICE_MAX_LOCAL]; /* those given, then peer-reflexive ones */
    size_t n_locals;                             /* candidates in locals */
    size_t n_given;                              /* how many of them were given */
    struct pv_ice_base bases[PV_ICE_MAX_LOCAL];
    struct pv_ice_remote remotes[PV_ICE_MAX_REMOTE];
    struct pv_ice_pair pairs[PV_ICE_MAX_PAIRS];

    struct pv_ice_answer answers[PV_ICE_MAX_ANSWERS];
    size_t n_answers;
    struct pv_ice_early early[PV_ICE_MAX_EARLY];
    size_t next_early; /* the slot to fill next, round robin */

    int selected;        /* pair in use, also while suspect or dormant */
    int nominated;       /* pair the newest nomination names, confirmed or (controlled) received */
    int nominating;      /* controlling: pair whose nomination is under way */
    uint32_t nomination; /* controlling: highest sent; controlled: highest seen */
    int wanted;   /* controlling: pair the other side fell back to, to be nominated when valid */
    int notice;   /* controlled: pair we fell back to, until a nomination answers that */
    bool known;   /* the peer has our candidates */
    bool present; /* the peer is there: the relayed pair may be used unproven */
    bool suspect; /* the selected pair has to prove itself again */
    bool dormant; /* unused for long: nothing is sent until somebody wants the peer */

    pv_ns last_tx;    /* last data sent, by pv_ice_note_traffic() */
    pv_ns last_rx;    /* last packet received on the selected path, by pv_ice_note_traffic() */
    pv_ns heard;      /* last_rx as the counter of checks without data knows it */
    pv_ns active_at;  /* last traffic, or when the path began */
    pv_ns unanswered; /* about the time of the oldest unanswered data; 0 = all is answered */
    pv_ns last_data;  /* last data received on any path, by pv_ice_note_data() */
    bool told_data;   /* that function is called: data is told from messages in-band */
    unsigned doubts;  /* suspicions refuted by an answer since then */
    pv_ns sent_from;  /* about when the first data was sent since; 0 = none was */
    struct pv_rhythm replies; /* from data sent until data came in */
    struct pv_rhythm pauses;  /* between data that came in */
    pv_ns alive_at;           /* the path in use answered a check; what was before is settled */
    unsigned no_data;         /* checks answered since data was last received, while it was sent */
    pv_ns defer_until;        /* no suspicion before */
    bool lapsed;              /* the suspected path was not used when it may have died */
    pv_ns talk_from; /* when traffic, or a kick, came after a rest of PV_ICE_SURE_FOR; 0 = never */
    struct {
        bool runs;
        pv_ns from;     /* when it began */
        pv_ns late_at;  /* when its answer is late, which gives SUSPECT; PV_NEVER: given already */
    } probe;            /* the check of plan PROBE on the selected pair, which is suspected */
    bool in_use;        /* there was traffic lately, and begin_use() has been called for it */
    pv_ns consent_from; /* consent is counted from here at the earliest */
    pv_ns last_switch;  /* of the selected pair */
    pv_ns reset_at;     /* when credentials changed last */
    pv_ns retry_at;     /* when better pairs that failed are tried again, while in use */
    pv_ns retry_wait;   /* wait before the attempt after that, doubling */
    pv_ns patience_until; /* FAILED is not announced before */
    pv_ns last_kick;      /* of pv_ice_kick(): those soon after it do nothing */
    pv_ns next_ta;        /* when the next ordinary check may start (Ta, RFC 8445 s6.1.4) */
    pv_ns blocked_until;  /* the send bucket was empty: when it has something again */
    struct pv_bucket send_bucket;
    struct pv_bucket answer_bucket;

    unsigned events; /* to be told: a bit for each of enum pv_ice_event_type */
};

/* --- ice_pair.c ---------------------------------------------------------------------------- */

void pv_ice_bases_set(struct pv_ice_agent *a, const struct pv_ice_cand *cands, size_t n);
/* Takes an extra base; PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_ice_base_add(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier);
/* The base a datagram arrived on; PV_ICE_NONE. */
int pv_ice_base_find(const struct pv_ice_agent *a, const struct pv_ice_carrier *carrier,
                     uint16_t family);
int pv_ice_remote_find(const struct pv_ice_agent *a, const struct pv_addr *addr);
/* Adds a candidate or updates the one with its address; PV_ICE_NONE when there is no room. */
int pv_ice_remote_add(struct pv_ice_agent *a, const struct pv_ice_cand *cand, bool described);
int pv_ice_pair_find(const struct pv_ice_agent *a, int base, int remote);
/* The pair of base and remote, made if need be; PV_ICE_NONE when it may not or there is no room. */
int pv_ice_pair_get(struct pv_ice_agent *a, int base, int remote);
/* Makes every pair that may be made; forgets those whose base or remote is gone. */
void pv_ice_pairs_form(struct pv_ice_agent *a);
void pv_ice_pairs_reprioritise(struct pv_ice_agent *a);
/* Returns true if the pair's base is a relayed address of ours. */
bool pv_ice_base_is_relay(const struct pv_ice_agent *a, const struct pv_ice_pair *p);
/* Through a relay, ours or theirs. */
bool pv_ice_pair_is_relayed(const struct pv_ice_agent *a, const struct pv_ice_pair *p);
/* Through the members' relay (DESIGN 6). */
bool pv_ice_pair_is_members(const struct pv_ice_agent *a, const struct pv_ice_pair *p);
/* The members' relayed pair, unless it has failed; PV_ICE_NONE. */
int pv_ice_pair_relayed(const struct pv_ice_agent *a);
enum pv_ice_cand_type pv_ice_pair_local_type(const struct pv_ice_agent *a,
                                             const struct pv_ice_pair *p);
/* The cost of the path: its RTT plus a handicap for its kind, ns. Lower is better. */
pv_ns pv_ice_pair_cost(const struct pv_ice_agent *a, const struct pv_ice_pair *p);
pv_ns pv_ice_pair_handicap(const struct pv_ice_agent *a, const struct pv_ice_pair *p);
/* The cheapest valid pair other than `except`; pairs held down only when there is no other one.
 * PV_ICE_NONE. */
int pv_ice_pair_best_valid(const struct pv_ice_agent *a, int except);
/* The best pair in the given state other than `except`, in the order of pv_ice_pair_is_better(). */
int pv_ice_pair_best(const struct pv_ice_agent *a, enum pv_ice_pair_state state, int except);
/* Pairs held down come last; then cost decides, then priority. */
bool pv_ice_pair_is_better(const struct pv_ice_agent *a, const struct pv_ice_pair *p,
                           const struct pv_ice_pair *q);
/* Returns the number of valid pairs, apart from the selected one, that are better than this
 * pair. */
unsigned pv_ice_pair_rank(const struct pv_ice_agent *a, int index);
/* "192.0.2.1:5 -> 192.0.2.2:6" for the trace. */
enum {
    PV_ICE_PAIR_TEXT = 2 * PV_ADDR_TEXT + 8
};
const char *pv_ice_pair_text(const struct pv_ice_agent *a, int index,
                             char buf[static PV_ICE_PAIR_TEXT]);
/* what, the pair and its RTT, into the trace. */
void pv_ice_trace_pair(struct pv_ice_agent *a, int index, const char *what);

/* --- ice_check.c --------------------------------------------------------------------------- */

/* Opens our own NAT towards every new pair across NATs at once, because the peer may check it at
 * any moment. */
void pv_ice_check_open(struct pv_ice_agent *a);
/* Starts a check on the pair at once; a running one is superseded. It carries the nomination or
 * notice that is still to be delivered on this pair. */
void pv_ice_check_start(struct pv_ice_agent *a, int index, enum pv_ice_plan plan);
void pv_ice_check_stop(struct pv_ice_pair *p);
/* Forgets all transactions: their credentials are void. */
void pv_ice_check_forget(struct pv_ice_pair *p);
bool pv_ice_check_is_running(const struct pv_ice_pair *p);
/* An authenticated request asks for this pair: check it if it needs proof (RFC 8445 s7.3.1.4). */
void pv_ice_check_trigger(struct pv_ice_agent *a, int index);
/* Acts on an authenticated request of the other side: its source becomes a candidate, the pair is
 * checked in return, a nomination counts. For a request that came before the description, later. */
void pv_ice_check_effects(struct pv_ice_agent *a, const struct pv_ice_early *req);
unsigned pv_ice_pair_loss(const struct pv_ice_pair *p); /* 1/1000 */

/* --- ice_choose.c -------------------------------------------------------------------------- */

void pv_ice_update_state(struct pv_ice_agent *a);
/* A check on this pair was answered. */
void pv_ice_choose_answered(struct pv_ice_agent *a, int index, const struct pv_ice_txn *txn);
/* A check on this pair was not, in all its time. */
void pv_ice_choose_failed(struct pv_ice_agent *a, int index);
/* The other side sees us at a new address on this pair (a NAT began anew). */
void pv_ice_choose_remapped(struct pv_ice_agent *a, int index);
/* NOMINATION came: from the controlling side its choice, from the controlled side its notice. */
void pv_ice_choose_nomination_in(struct pv_ice_agent *a, int index, uint32_t counter);
void pv_ice_choose_use_candidate_in(struct pv_ice_agent *a, int index);
/* Controlling: is there something to nominate? */
void pv_ice_choose_consider(struct pv_ice_agent *a);
/* A nomination under way on this pair comes to nothing. */
void pv_ice_choose_abandon(struct pv_ice_agent *a, int index);
/* The selected pair no longer works; a pair that answered since `since` may take over. final: the
 * old pair is not tried again. */
void pv_ice_choose_died(struct pv_ice_agent *a, pv_ns since, bool final);
/* Data may go over the members' relay before its check is answered (DESIGN 6): where nothing better
 * is proven the relayed pair is selected, suspect. False: there is none, nothing changed. */
bool pv_ice_choose_relay(struct pv_ice_agent *a);
/* The selected pair is gone from the tables: another takes over, or the path is lost. */
void pv_ice_choose_selected_gone(struct pv_ice_agent *a);
/* Every stale or failed pair gets another chance. */
void pv_ice_choose_retry_all(struct pv_ice_agent *a);

/* --- ice_keep.c ---------------------------------------------------------------------------- */

/* When the selected pair is to be checked next. */
void pv_ice_keep_plan(struct pv_ice_agent *a, struct pv_ice_pair *p);
/* How often a valid pair that is not selected is checked, as long as it is worth it. */
pv_ns pv_ice_keep_standby_every(const struct pv_ice_agent *a, const struct pv_ice_pair *p);
void pv_ice_keep_traffic(struct pv_ice_agent *a);
/* Data came in at this time, after last_data. */
void pv_ice_keep_data(struct pv_ice_agent *a, pv_ns at);
void pv_ice_keep_handle_timeout(struct pv_ice_agent *a);
pv_ns pv_ice_keep_next_timeout(const struct pv_ice_agent *a);
/* The other side has news: is our path still good, as it sees it? */
void pv_ice_keep_confirm(struct pv_ice_agent *a);
void pv_ice_keep_kick(struct pv_ice_agent *a);
/* The part of pv_ice_keep_kick() for all pairs but the one in use. */
void pv_ice_keep_try_others(struct pv_ice_agent *a);
/* Credentials of one side changed: every pair has to prove itself again. */
void pv_ice_keep_reset(struct pv_ice_agent *a);

static inline void pv_ice_event_add(struct pv_ice_agent *a, enum pv_ice_event_type type)
{
    a->events |= 1u << type;
}

static inline bool pv_ice_event_take(struct pv_ice_agent *a, enum pv_ice_event_type type)
{
    bool was = (a->events & 1u << type) != 0;
    a->events &= ~(1u << type);
    return was;
}

static inline pv_ns pv_ice_max_ns(pv_ns a, pv_ns b)
{
    return a > b ? a : b;
}

/* An answer that takes longer is late. */
static inline pv_ns pv_ice_late_after(const struct pv_ice_pair *p)
{
    return p->srtt * 5 / 4 + PV_ICE_LATE;
}

static inline bool pv_ice_is_valid(const struct pv_ice_agent *a, int index)
{
    return index != PV_ICE_NONE && a->pairs[index].state == PV_ICE_PAIR_VALID;
}

#define PV_ICE_TRACE(a, ...)                                     \
    do {                                                         \
        if ((a)->cfg.trace != NULL)                              \
            pv_trace_add((a)->cfg.trace, (a)->now, __VA_ARGS__); \
    } while (0)
