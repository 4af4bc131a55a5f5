/* SPDX-License-Identifier: MIT */
/* Asks the router for an open port, by PCP, then NAT-PMP, then UPnP; has it proven from outside,
 * renews it, and gives it back. A `line` is one address family; IPv6 has PCP only, as a hole in a
 * firewall. */
#include "daemon/core/path/mapper.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "crypto/hash.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/path/gatherer.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/stun/natpmp.h"
#include "proto/stun/portmap.h"
#include "proto/stun/stun.h"
#include "proto/stun/stunc.h"

/* --- does a stranger reach a mapped port? ---------------------------------------------------- */

/* A STUN server is asked to answer from an address that this node has never sent to, to that port
 * of this node's public address (CHANGE-REQUEST and RESPONSE-PORT, RFC 5780 s7).
 *
 * The server can be made to send to nobody but the asker: the answer's address is the request's
 * source. A plain request goes along: when both stay unanswered the server is away, which proves
 * nothing. */

enum verdict {
    NO_VERDICT,
    OPEN,    /* a stranger reaches it */
    SHUT,    /* the server answers, and not through that port */
    UNKNOWN, /* the server does not answer at all */
    UNABLE,  /* it has no second port to answer from */
};

/* A zeroed struct is idle. */
struct mapcheck {
    struct pv_stunc plain, probe;
    struct pv_rng rng;
    struct pv_addr server;
    uint16_t port;
    bool one_ip; /* found out: this server has no second address */
    bool running;
    bool answered;       /* plain */
    struct pv_addr seen; /* our address as the server sees it; PV_AF_NONE: unknown */
};

enum {
    SENDS = 4, /* at 0, 150, 450, 1050 ms; 3.45 s until silence counts */
};
#define RTO PV_MS(150) /* ours */

static void start_probe(struct mapcheck *c, pv_ns now)
{
    const struct pv_stunc_config cfg = {
        .server = c->server,
        .rto = RTO,
        .max_sends = SENDS,
        /* From another address where there is one: an address-restricted NAT lets another port of
         * one we have sent to in, mapped or not. */
        .change = c->one_ip ? PV_STUNC_CHANGE_PORT : PV_STUNC_CHANGE_IP | PV_STUNC_CHANGE_PORT,
        .response_port = c->port,
    };
    pv_stunc_start(&c->probe, &cfg, &c->rng, now);
}

/* port: of our public address. Anything under way is forgotten. */
static void start_check(struct mapcheck *c, const struct pv_addr *server, uint16_t port,
                        const struct pv_rng *rng, pv_ns now)
{
    const struct pv_stunc_config cfg = {.server = *server, .rto = RTO, .max_sends = SENDS};
    /* That a server has one address only is remembered, so that the next proof begins with the
     * port. */
    bool one_ip = c->one_ip && pv_addr_equal(&c->server, server);
    *c = (struct mapcheck){
        .rng = *rng, .server = *server, .port = port, .one_ip = one_ip, .running = true};
    pv_stunc_start(&c->plain, &cfg, rng, now);
    start_probe(c, now);
}

static void stop_check(struct mapcheck *c)
{
    c->running = false;
    pv_stunc_stop(&c->plain);
    pv_stunc_stop(&c->probe);
}

static enum verdict conclude(struct mapcheck *c, enum verdict verdict)
{
    stop_check(c);
    return verdict;
}

/* Acts on what the two transactions have found out. */
static enum verdict settle(struct mapcheck *c, pv_ns now)
{
    struct pv_stunc_event ev;
    if (pv_stunc_poll_event(&c->plain, &ev) == PV_OK && ev.type == PV_STUNC_MAPPED) {
        c->answered = true;
        c->seen = ev.mapped;
    }
    if (pv_stunc_poll_event(&c->probe, &ev) == PV_OK) {
        if (ev.type == PV_STUNC_MAPPED) {
            c->seen = ev.mapped;
            return conclude(c, OPEN);
        }
        if (c->one_ip && ev.status != PV_ERR_TIMEOUT)
            return conclude(c, UNABLE);
        if (!c->one_ip) { /* it has none, or none that can be reached from here */
            c->one_ip = true;
            start_probe(c, now);
        }
    }
    if (!c->running || pv_stunc_is_running(&c->probe))
        return NO_VERDICT;
    /* Silence of the mapped port means "shut" only when the server has answered otherwise. */
    if (c->answered)
        return conclude(c, SHUT);
    return pv_stunc_is_running(&c->plain) ? NO_VERDICT : conclude(c, UNKNOWN);
}

/* --- the mapper ------------------------------------------------------------------------------ */

enum {
    PORT_MIN = 20000, /* of another port, drawn at random */
    PORT_MAX = 60999,
    LIFETIME_MIN = 30,    /* seconds: no renewal is more frequent than every 15 s */
    UPNP_LIFETIME = 3600, /* seconds; IGD:2 allows a week, a lost daemon's should end */
    REASON = 96,
    SENT_MAX = 128, /* bytes of a datagram to a router or a server */
};
/* Ours: longer than a NAT keeps what nobody has answered (30 s in Linux, 60 s in pf); or the last
 * proof's own trail lets the next one in, mapped or not. */
#define CHECK_EVERY   PV_S(90)
#define CHECK_HOLD    PV_S(5) /* between checks that were asked for */
#define UNKNOWN_FIRST PV_S(5) /* the server was away: doubling */
#define UNKNOWN_MAX   PV_S(60)
#define BACKOFF_FIRST PV_S(15) /* no protocol worked: doubling */
#define BACKOFF_MAX   PV_S(3600)
#define NOT_QUEUED    PV_S(1)    /* a job for which there was no memory, or no place: again then */
#define GIVEN_UP      PV_S(1800) /* mapped, and of no use; RFC 6887 s7.4 for lasting errors */

struct line {
    uint16_t family;
    enum pv_mapper_state state;
    enum pv_mapper_protocol protocol;
    struct pv_addr router, local, server; /* PV_AF_NONE: none */
    struct pv_portmap pcp;
    struct pv_portmap_epoch natpmp; /* its clock */

    uint16_t port;   /* outer port to ask for */
    unsigned healed; /* times this protocol was made to begin anew */
    struct pv_addr claimed, external;
    pv_ns expires, renew_at;     /* of what a job got; PCP looks after itself */
    char url[PV_PORTMAPJOB_URL]; /* of the UPnP device */
    char failed[PV_MAPPER_PROTOCOLS][REASON];
    bool lacks_upnp;            /* the library that speaks it, when it was needed last */
    char reason[PV_MAPPER_WHY]; /* WAITING, CHECKING: more than failed[] says */

    struct mapcheck check;
    pv_ns check_at, checked_at, unknown;
    pv_ns retry_at, backoff;

    bool job_release; /* it gives back, else it asks */
    uint64_t job_tag; /* of the one under way; 0 = none */
};

struct mapper {
    struct pv_node *node;
    bool off;      /* nothing is ever asked */
    bool stopping; /* what the router maps is given back */
    bool wanted, changed;
    uint64_t next_tag;
    struct line lines[PV_NODE_ROUTERS];
};

static const char *state_name(enum pv_mapper_state state)
{
    static const char *const names[] = {"off",     "asking",    "checking",
                                        "working", "releasing", "waiting"};
    return names[state];
}

const char *pv_mapper_protocol_name(enum pv_mapper_protocol protocol)
{
    static const char *const names[PV_MAPPER_PROTOCOLS] = {"PCP", "NAT-PMP", "UPnP"};
    return names[protocol];
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct mapper *m = part;
    m->off = cfg->portmap_off;
    m->lines[0].family = PV_AF_INET;
    m->lines[1].family = PV_AF_INET6;
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        m->lines[i].check_at = m->lines[i].renew_at = m->lines[i].retry_at = PV_NEVER;
        m->lines[i].backoff = BACKOFF_FIRST;
    }
    return PV_OK;
}

static void unmake(void *part)
{
    struct mapper *m = part;
    pv_jobqueue_forget(&m->node->jobs, m, NULL);
    pv_wipe(m->lines, sizeof(m->lines)); /* PCP's nonces */
}

static struct line *line_of(struct mapper *m, uint16_t family)
{
    return &m->lines[family == PV_AF_INET6 ? 1 : 0];
}

/* --- asking and giving back ---------------------------------------------------------------- */

/* Returns true if there is a router to ask, and a need to ask it. */
static bool is_useful(const struct mapper *m, const struct line *l)
{
    if (m->off || !m->wanted || l->router.family != l->family || l->local.family != l->family ||
        l->server.family != l->family)
        return false;
    /* A public IPv4 address has nobody in front of it that maps; a public IPv6 address may have a
     * firewall, a private one leads nowhere. */
    return pv_addr_is_private(&l->local) == (l->family == PV_AF_INET);
}

static void withdraw(struct mapper *m, struct line *l)
{
    if (l->external.family != PV_AF_NONE)
        m->changed = true;
    l->external = (struct pv_addr){.family = PV_AF_NONE};
}

static pv_job_done on_job;

/* NAT-PMP and UPnP are left to libraries that block, so they are jobs, and they know IPv4 only. PCP
 * is done here (poll_transmit()). */
static void queue_job(struct mapper *m, struct line *l, bool release, pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_PORTMAP);
    bool upnp = l->protocol == PV_MAPPER_UPNP;
    l->job_release = release;
    l->job_tag = ++m->next_tag; /* an answer to one before is not the one waited for */
    if (job != NULL)
        job->u.portmap = (struct pv_portmapjob){
            .protocol = upnp ? PV_PORTMAPJOB_UPNP : (uint8_t)PV_PORTMAPJOB_NATPMP,
            .release = release,
            .external_port = release ? l->claimed.port : l->port,
            .lifetime = upnp ? UPNP_LIFETIME : PV_PORTMAP_LIFETIME,
            .router = l->router,
            .local = l->local,
        };
    if (job != NULL && upnp)
        memcpy(job->u.portmap.url, l->url, sizeof(l->url));
    if (!pv_jobqueue_submit(&m->node->jobs, job, on_job, m, l->job_tag))
        l->renew_at = now + NOT_QUEUED;
}

/* The nonce follows from this node's identity: after a restart it is the same, so that the router
 * lets us renew our old mapping and does not refuse us as a stranger (RFC 6887 s11.3). */
static void ask_pcp(struct mapper *m, struct line *l, pv_ns now)
{
    static const char context[] = "p2pvpn pcp nonce v1";
    uint8_t secret[PV_BLAKE2B_LEN], hash[PV_BLAKE2B_LEN];
    struct pv_portmap_config cfg = {.router = l->router, .client = l->local};
    cfg.suggested = l->claimed.family == l->family ? l->claimed : (struct pv_addr){0};
    cfg.suggested.family = l->family;
    cfg.suggested.port = l->port;
    pv_blake2b(secret, pv_view(m->node->identity->sign_sk, sizeof(m->node->identity->sign_sk)),
               pv_view(context, sizeof(context)), pv_view(NULL, 0));
    pv_blake2b(hash, pv_view(secret, sizeof(secret)), pv_view(l->router.ip, sizeof(l->router.ip)),
               pv_view(l->local.ip, sizeof(l->local.ip)));
    memcpy(cfg.nonce, hash, sizeof(cfg.nonce));
    pv_wipe(secret, sizeof(secret));
    pv_wipe(hash, sizeof(hash));
    pv_portmap_start(&l->pcp, &cfg, &m->node->rng, now);
}

static void ask(struct mapper *m, struct line *l, pv_ns now)
{
    l->state = PV_MAPPER_ASKING;
    l->renew_at = l->check_at = l->retry_at = PV_NEVER;
    stop_check(&l->check);
    if (l->protocol == PV_MAPPER_PCP)
        ask_pcp(m, l, now);
    else
        queue_job(m, l, false, now);
}

/* From the first protocol on. */
static void begin(struct mapper *m, struct line *l, pv_ns now)
{
    withdraw(m, l);
    l->claimed = (struct pv_addr){.family = PV_AF_NONE};
    l->protocol = PV_MAPPER_PCP;
    l->port = m->node->given.udp_port;
    l->healed = 0;
    l->reason[0] = '\0';
    memset(l->failed, 0, sizeof(l->failed));
    l->lacks_upnp = false;
    ask(m, l, now);
}

static bool holds(const struct line *l)
{
    return l->claimed.family != PV_AF_NONE;
}

/* Given back and not left to expire: a router's table of mappings is small, and the next owner of
 * our address must not inherit an open port. */
static void give_back(struct mapper *m, struct line *l, pv_ns now)
{
    if (l->protocol == PV_MAPPER_PCP)
        pv_portmap_release(&l->pcp, now);
    else if (holds(l))
        queue_job(m, l, true, now);
}

/* Stops asking, and gives back what can be given back. */
static void stop(struct mapper *m, struct line *l, pv_ns now)
{
    if (l->state != PV_MAPPER_OFF && l->state != PV_MAPPER_WAITING)
        give_back(m, l, now);
    withdraw(m, l);
    l->claimed = (struct pv_addr){.family = PV_AF_NONE};
    l->state = PV_MAPPER_OFF;
    l->renew_at = l->check_at = l->retry_at = PV_NEVER;
    l->backoff = BACKOFF_FIRST;
    stop_check(&l->check);
}

static void rest(struct line *l, pv_ns for_ns, pv_ns now)
{
    l->state = PV_MAPPER_WAITING;
    l->retry_at = now + for_ns;
    l->renew_at = l->check_at = PV_NEVER;
    l->claimed = (struct pv_addr){.family = PV_AF_NONE};
    stop_check(&l->check);
}

/* The present protocol has failed for the reason in failed[]. */
static void next_protocol(struct mapper *m, struct line *l, pv_ns now)
{
    withdraw(m, l);
    l->claimed = (struct pv_addr){.family = PV_AF_NONE};
    l->port = m->node->given.udp_port;
    l->healed = 0;
    if (l->protocol == PV_MAPPER_UPNP || l->family == PV_AF_INET6) {
        rest(l, l->backoff, now);
        l->backoff = pv_min_ns(2 * l->backoff, BACKOFF_MAX);
        return;
    }
    l->protocol++;
    ask(m, l, now);
}

/* --- proving ------------------------------------------------------------------------------- */

static void check(struct mapper *m, struct line *l, pv_ns now)
{
    l->check_at = PV_NEVER;
    l->checked_at = now;
    start_check(&l->check, &l->server, l->claimed.port, &m->node->rng, now);
}

/* The router has mapped something, or says so again. */
static void mapped(struct mapper *m, struct line *l, const struct pv_addr *claimed, pv_ns now)
{
    bool same = pv_addr_equal(&l->claimed, claimed) && l->state == PV_MAPPER_WORKING;
    l->claimed = *claimed;
    l->port = claimed->port;
    /* A renewal that changed nothing leaves the candidate in place while the proof is repeated. */
    if (!same) {
        withdraw(m, l);
        l->state = PV_MAPPER_CHECKING;
        l->unknown = UNKNOWN_FIRST;
    }
    check(m, l, now);
}

static void works(struct mapper *m, struct line *l, const struct pv_addr *seen, pv_ns now)
{
    struct pv_addr external = *seen;
    /* The address is as the STUN server saw it, the port as the router said: a router may not know
     * its outer address, and the server saw another port. */
    external.port = l->claimed.port;
    if (!pv_addr_equal(&external, &l->external))
        m->changed = true;
    l->external = external;
    l->state = PV_MAPPER_WORKING;
    l->healed = 0;
    l->backoff = BACKOFF_FIRST;
    l->unknown = UNKNOWN_FIRST;
    l->reason[0] = '\0';
    l->check_at = now + CHECK_EVERY;
}

/* The router's outer address is not what the world sees: another NAT stands behind it. */
static bool is_inner(const struct line *l, const struct pv_addr *seen)
{
    return l->family == PV_AF_INET && seen->family == PV_AF_INET &&
           l->claimed.family == PV_AF_INET && !pv_addr_is_unspecified(&l->claimed) &&
           !pv_addr_equal_ip(seen, &l->claimed);
}

/* Another NAT behind the router cannot be helped, so that ends at once. Otherwise the mapping is
 * given back and made anew twice, the second time with another outer port: a router may have lost
 * its rule, or let another host use the port. */
static void does_not_work(struct mapper *m, struct line *l, const struct pv_addr *seen, pv_ns now)
{
    const char *claimed = PV_ADDR_STR(&l->claimed);
    withdraw(m, l);
    if (is_inner(l, seen)) {
        snprintf(l->reason, sizeof(l->reason),
                 "the router maps %s by %s, but the world sees us at %s: %s", claimed,
                 pv_mapper_protocol_name(l->protocol), PV_IP_STR(seen),
                 pv_addr_is_private(&l->claimed) ? "another NAT stands behind the router"
                                                 : "traffic takes another way out");
        give_back(m, l, now);
        rest(l, GIVEN_UP, now);
        return;
    }
    snprintf(l->reason, sizeof(l->reason),
             "the router says it maps %s by %s, but nothing comes in through it", claimed,
             pv_mapper_protocol_name(l->protocol));
    if (l->healed == 2) {
        snprintf(l->failed[l->protocol], REASON, "it does not let anything in");
        give_back(m, l, now);
        rest(l, GIVEN_UP, now);
        return;
    }
    if (l->healed++ == 1)
        l->port = (uint16_t)(PORT_MIN + pv_rng_below(&m->node->rng, PORT_MAX - PORT_MIN + 1));
    l->state = PV_MAPPER_RELEASING;
    l->renew_at = l->check_at = PV_NEVER;
    give_back(m, l, now);
}

/* Is the proof done? */
static void checked(struct mapper *m, struct line *l, pv_ns now)
{
    switch (settle(&l->check, now)) {
    case NO_VERDICT:
        return;
    case OPEN:
        works(m, l, &l->check.seen, now);
        return;
    case SHUT:
        does_not_work(m, l, &l->check.seen, now);
        return;
    case UNABLE:
        snprintf(l->reason, sizeof(l->reason),
                 "the coordinator cannot prove it: it has no second port (UDP 3479)");
        break;
    case UNKNOWN: /* what was offered stays so: the server may be away */
        snprintf(l->reason, sizeof(l->reason), "the coordinator does not answer to prove it");
        break;
    }
    l->check_at = now + l->unknown;
    l->unknown = pv_min_ns(2 * l->unknown, UNKNOWN_MAX);
}

/* Looks soon whether it still works. */
static void check_soon(struct line *l, pv_ns now)
{
    if (!holds(l) || l->check.running || l->check_at == PV_NEVER)
        return;
    l->check_at =
        pv_min_ns(l->check_at, now < l->checked_at + CHECK_HOLD ? l->checked_at + CHECK_HOLD : now);
}

/* --- PCP ----------------------------------------------------------------------------------- */

static void pump_pcp(struct mapper *m, struct line *l, pv_ns now)
{
    struct pv_portmap_event ev;
    if (l->state == PV_MAPPER_RELEASING && l->protocol == PV_MAPPER_PCP &&
        l->pcp.state == PV_PORTMAP_IDLE)
        ask(m, l, now);
    if (pv_portmap_poll_event(&l->pcp, &ev) != PV_OK || l->protocol != PV_MAPPER_PCP ||
        l->state == PV_MAPPER_OFF || l->state == PV_MAPPER_WAITING)
        return;
    if (ev.type == PV_PORTMAP_MAPPED) {
        mapped(m, l, &ev.external, now);
        return;
    }
    const char *text = ev.status == PV_ERR_TIMEOUT       ? "no answer"
                       : ev.status == PV_ERR_UNSUPPORTED ? "not spoken there"
                                                         : pv_portmap_code_text(ev.code);
    snprintf(l->failed[PV_MAPPER_PCP], REASON, "%s", text);
    if (ev.retry_in > l->backoff && ev.status == PV_ERR_REFUSED)
        l->backoff = ev.retry_in; /* RFC 6887 s8.3: it shall not be asked before */
    next_protocol(m, l, now);
}

/* --- NAT-PMP and UPnP ---------------------------------------------------------------------- */

/* A port that another host holds is exchanged for a drawn one, twice. A router that is silent while
 * the old mapping still lives may only be rebooting. */
static void job_failed(struct mapper *m, struct line *l, const struct pv_portmapjob_result *result,
                       pv_ns now)
{
    bool silent = result->status == PV_ERR_TIMEOUT;
    if (l->state != PV_MAPPER_ASKING && silent && now < l->expires) {
        l->renew_at = now + (l->expires - now) / 4 + PV_S(1); /* it may come back in time */
        return;
    }
    if (result->status == PV_ERR_EXISTS && l->healed < 2) {
        l->healed++;
        l->port = (uint16_t)(PORT_MIN + pv_rng_below(&m->node->rng, PORT_MAX - PORT_MIN + 1));
        withdraw(m, l);
        l->claimed = (struct pv_addr){.family = PV_AF_NONE};
        ask(m, l, now);
        return;
    }
    const char *error = result->error[0] != '\0' ? result->error : "it does not work";
    snprintf(l->failed[l->protocol], REASON, "%.*s", REASON - 1, silent ? "no answer" : error);
    l->lacks_upnp = result->status == PV_ERR_NOT_FOUND;
    if (l->protocol == PV_MAPPER_UPNP)
        l->url[0] = '\0'; /* the device may have moved */
    next_protocol(m, l, now);
}

static void job_mapped(struct mapper *m, struct line *l, const struct pv_portmapjob_result *result,
                       pv_ns now)
{
    struct pv_addr claimed = result->external;
    uint32_t life = result->lifetime;
    /* The router's word has limits: a short lifetime would have us ask without end, a long one
     * would outlast a reboot of the router that nobody noticed. */
    if (life < LIFETIME_MIN)
        life = LIFETIME_MIN;
    if (life > PV_PORTMAP_LIFETIME_MAX)
        life = PV_PORTMAP_LIFETIME_MAX;
    if (claimed.family != PV_AF_INET) /* it did not say: the port counts */
        claimed = pv_addr4(0, 0, 0, 0, 0);
    claimed.port = result->external_port;
    l->expires = now + PV_S(life);
    l->renew_at = now + PV_S(life) / 2; /* RFC 6886 s3.3 */
    memcpy(l->url, result->url, sizeof(l->url));
    if (l->protocol == PV_MAPPER_NATPMP)
        (void)pv_portmap_epoch_take(&l->natpmp, result->epoch, now);
    mapped(m, l, &claimed, now);
}

static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct mapper *m = wait->self;
    struct line *l = line_of(m, PV_AF_INET);
    struct pv_portmapjob_result r = result->portmap;
    if (wait->tag != l->job_tag)
        return;
    l->job_tag = 0;
    if (result->status < 0) { /* the shell did not run it at all */
        r = (struct pv_portmapjob_result){.status = result->status};
        memcpy(r.error, result->error, sizeof(r.error));
    }
    /* The result comes out of another process, so its strings are ended here. */
    r.url[sizeof(r.url) - 1] = '\0';
    r.error[sizeof(r.error) - 1] = '\0';
    if (r.status == PV_OK && r.external_port == 0)
        r.status = PV_ERR_MALFORMED;
    if (l->job_release) {
        if (l->state == PV_MAPPER_RELEASING)
            ask(m, l, now);
        return;
    }
    if (l->state == PV_MAPPER_OFF || l->state == PV_MAPPER_WAITING || l->protocol == PV_MAPPER_PCP)
        return;
    if (r.status == PV_OK)
        job_mapped(m, l, &r, now);
    else
        job_failed(m, l, &r, now);
}

/* --- facts --------------------------------------------------------------------------------- */

/* Begins or ends as the facts say now. */
static void apply(struct mapper *m, struct line *l, pv_ns now)
{
    bool useful = is_useful(m, l);
    if (!useful && l->state != PV_MAPPER_OFF)
        stop(m, l, now);
    else if (useful && l->state == PV_MAPPER_OFF)
        begin(m, l, now);
}

/* The same router and address, but perhaps in another network, or after a reboot. */
static void ask_again(struct mapper *m, struct line *l, pv_ns now)
{
    l->backoff = BACKOFF_FIRST;
    if (l->state == PV_MAPPER_WAITING) {
        begin(m, l, now);
    } else if (holds(l) && l->state != PV_MAPPER_RELEASING) {
        if (l->protocol == PV_MAPPER_PCP)
            pv_portmap_again(&l->pcp, now);
        else
            l->renew_at = now;
        check_soon(l, now);
    }
}

/* No family in the router or in our address towards it: there is none. */
static void set_router(struct mapper *m, struct line *l, const struct pv_addr *router,
                       const struct pv_addr *local, pv_ns now)
{
    struct pv_addr own = *local;
    own.port = own.family == PV_AF_NONE ? 0 : m->node->given.udp_port;
    if (pv_addr_equal_ip(&l->router, router) && pv_addr_equal(&l->local, &own)) {
        ask_again(m, l, now);
        return;
    }
    /* A mapping held there ends by itself: there is no way to it, or no address of ours. */
    stop_check(&l->check);
    withdraw(m, l);
    l->pcp.state = PV_PORTMAP_IDLE;
    l->pcp.event_due = false;
    l->job_tag = 0;
    l->url[0] = '\0';
    l->natpmp.known = false;
    l->claimed = (struct pv_addr){.family = PV_AF_NONE};
    l->state = PV_MAPPER_OFF;
    l->renew_at = l->check_at = l->retry_at = PV_NEVER;
    l->backoff = BACKOFF_FIRST;
    l->router = *router;
    l->local = own;
    apply(m, l, now);
}

/* The first server of the family proves. Without one nothing can be proven, and an unproven mapping
 * is no candidate. */
static void set_server(struct mapper *m, struct line *l, const struct pv_addr *servers, size_t n,
                       pv_ns now)
{
    size_t i = 0;
    while (i < n && servers[i].family != l->family)
        i++;
    if (i == n || pv_addr_equal(&servers[i], &l->server))
        return; /* while none is known the last one may come back */
    l->server = servers[i];
    if (l->check.running)
        check(m, l, now);
    else
        check_soon(l, now);
    apply(m, l, now);
}

/* Our address on the router's link: in one range with it if there is such a one, and for IPv6 one
 * that is valid everywhere (RFC 6887 s8.4). PCP takes the source address of the request for the
 * host that asks, so it must be the one that the mapping is for. */
static struct pv_addr local_towards(const struct pv_node *n, const struct pv_engine_router *r)
{
    struct pv_addr best = {.family = PV_AF_NONE};
    bool best_near = false;
    for (size_t i = 0; i < n->host.n_links; i++) {
        const struct pv_link_addr *l = &n->host.links[i];
        if (r->addr.family == PV_AF_NONE || l->addr.base.family != r->addr.family || !l->up ||
            l->loopback || l->ifindex != r->ifindex)
            continue;
        if (r->addr.family == PV_AF_INET6 && pv_addr_is_private(&l->addr.base))
            continue;
        bool near = pv_prefix_contains(&l->addr, &r->addr);
        if (best.family != PV_AF_NONE && (best_near || !near))
            continue;
        best = l->addr.base;
        best.port = 0;
        best_near = near;
    }
    return best;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct mapper *m = part;
    const struct pv_node *n = m->node;
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        struct line *l = &m->lines[i];
        if ((facts & PV_FACT_LINKS) != 0) {
            struct pv_addr local = local_towards(n, &n->host.routers[i]);
            set_router(m, l, &n->host.routers[i].addr, &local, now);
        }
        if ((facts & PV_FACT_SERVERS) != 0)
            set_server(m, l, n->coord_info.servers, n->coord_info.n_servers, now);
        /* A machine that slept may be in another network behind the same addresses. When something
         * failed, what is offered is looked at. */
        if ((facts & PV_FACT_RESUMED) != 0)
            ask_again(m, l, now);
        else if ((facts & PV_FACT_NAT_DOUBT) != 0)
            check_soon(l, now);
    }
}

/* NAT-PMP tells everybody when its state or outer address is new (RFC 6886 s3.2.1). */
static void take_natpmp_announcement(struct line *l, struct pv_view d, pv_ns now)
{
    struct pv_natpmp_answer a;
    if (pv_natpmp_decode(d, &a) != PV_OK || a.opcode != PV_NATPMP_ADDRESS ||
        a.code != PV_NATPMP_SUCCESS)
        return;
    bool same = pv_portmap_epoch_take(&l->natpmp, a.epoch, now);
    if (l->protocol == PV_MAPPER_NATPMP && !same && l->renew_at != PV_NEVER)
        l->renew_at = now;
    check_soon(l, now);
}

void pv_mapper_handle_router(struct pv_node *n, const struct pv_addr *src, struct pv_view datagram,
                             pv_ns now)
{
    struct mapper *m = pv_node_part(n, &pv_part_mapper);
    struct line *l = line_of(m, src->family);
    if (src->port != PV_PORTMAP_PORT || !pv_addr_equal_ip(src, &l->router))
        return;
    if (pv_portmap_handle_input(&l->pcp, src, datagram, now) == PV_OK)
        pump_pcp(m, l, now);
    else
        take_natpmp_announcement(l, datagram, now);
}

static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct mapper *m = part;
    struct line *l = line_of(m, from->remote.family);
    if (data.len < PV_STUN_HEADER_LEN ||
        pv_stunroute_owner(m->node->ways.stunroute, data.ptr + PV_STUN_TXID_AT) !=
            PV_STUN_OWNER_MAPPER)
        return false;
    if (from->kind != PV_CARRIER_UDP)
        return true;
    int r = pv_stunc_handle_input(&l->check.plain, &from->remote, data, now);
    if (r == PV_ERR_NOT_FOUND)
        r = pv_stunc_handle_input(&l->check.probe, &from->remote, data, now);
    if (r == PV_OK)
        checked(m, l, now);
    else
        pv_log(m->node->log, PV_LOG_DEBUG, "what=\"STUN answer not taken\"");
    return true;
}

/* --- time ---------------------------------------------------------------------------------- */

static void tick(struct mapper *m, struct line *l, pv_ns now)
{
    pv_portmap_handle_timeout(&l->pcp, now);
    pump_pcp(m, l, now);
    if (l->check.running) {
        pv_stunc_handle_timeout(&l->check.plain, now);
        pv_stunc_handle_timeout(&l->check.probe, now);
        checked(m, l, now);
    }
    if (now >= l->renew_at) {
        l->renew_at = PV_NEVER; /* the answer sets it */
        queue_job(m, l, false, now);
    }
    if (now >= l->check_at)
        check(m, l, now);
    if (l->state == PV_MAPPER_WAITING && now >= l->retry_at) {
        l->retry_at = PV_NEVER;
        begin(m, l, now);
    }
}

static void handle_timeout(void *part, pv_ns now)
{
    struct mapper *m = part;
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++)
        tick(m, &m->lines[i], now);
}

static pv_ns next_timeout(const void *part)
{
    const struct mapper *m = part;
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        const struct line *l = &m->lines[i];
        next = pv_min_ns(next, pv_portmap_next_timeout(&l->pcp));
        if (l->check.running)
            next = pv_min_ns(next, pv_min_ns(pv_stunc_next_timeout(&l->check.plain),
                                             pv_stunc_next_timeout(&l->check.probe)));
        next = pv_min_ns(next, l->renew_at);
        next = pv_min_ns(next, l->check_at);
        if (l->state == PV_MAPPER_WAITING)
            next = pv_min_ns(next, l->retry_at);
    }
    return next;
}

/* --- in words -------------------------------------------------------------------------------- */

static void explain_off(const struct mapper *m, const struct line *l, char *buf, size_t cap)
{
    const char *why = "";
    if (m->off)
        why = "switched off ([traversal] portmap)";
    else if (!m->wanted)
        why = "this node is not in a network, or down";
    else if (l->router.family == PV_AF_NONE)
        why = "there is no default route with a router";
    else if (l->local.family == PV_AF_NONE)
        why = "no address of ours is on the router's link";
    else if (l->server.family == PV_AF_NONE)
        why = "no coordinator is known that could prove it";
    else if (l->family == PV_AF_INET)
        why = "not needed: our address is public";
    else
        why = "our address is private";
    snprintf(buf, cap, "%s", why);
}

/* Each protocol that was tried has failed for a reason of its own. */
static void explain_failures(const struct line *l, char *buf, size_t cap)
{
    struct pv_text text = pv_text_in(buf, cap);
    pv_text_add(&text, "the router did not open a port (");
    for (size_t i = 0; i < PV_MAPPER_PROTOCOLS; i++) {
        if (l->failed[i][0] != '\0')
            pv_text_add(&text, "%s%s: %s", i == 0 ? "" : "; ",
                        pv_mapper_protocol_name((enum pv_mapper_protocol)i), l->failed[i]);
    }
    pv_text_add(&text, ")");
}

/* The state of a family now, and in words why nothing is offered. */
static struct pv_mapper_view view_of(const struct mapper *m, const struct line *l)
{
    const char *name = pv_mapper_protocol_name(l->protocol);
    struct pv_mapper_view v = {
        .state = l->state,
        .protocol = l->protocol,
        .router = l->router,
        .local = l->local,
        .claimed = l->claimed,
        .external = l->external,
        .expires = l->protocol == PV_MAPPER_PCP ? l->pcp.expires : l->expires,
    };
    switch (l->state) {
    case PV_MAPPER_OFF:
        explain_off(m, l, v.why, sizeof(v.why));
        break;
    case PV_MAPPER_ASKING:
        snprintf(v.why, sizeof(v.why), "the router is being asked by %s", name);
        break;
    case PV_MAPPER_CHECKING:
        snprintf(v.why, sizeof(v.why), "%s",
                 l->reason[0] != '\0' ? l->reason : "it is being proven from outside");
        break;
    case PV_MAPPER_WORKING:
        break;
    case PV_MAPPER_RELEASING:
        snprintf(v.why, sizeof(v.why), "%s", l->reason);
        break;
    case PV_MAPPER_WAITING:
        if (l->reason[0] != '\0')
            snprintf(v.why, sizeof(v.why), "%s", l->reason);
        else
            explain_failures(l, v.why, sizeof(v.why));
        break;
    }
    return v;
}

struct pv_mapper_view pv_mapper_view(const struct pv_node *n, uint16_t family)
{
    struct mapper *m = pv_node_part(n, &pv_part_mapper);
    return view_of(m, line_of(m, family));
}

/* --- what is mapped -------------------------------------------------------------------------- */

static void log_change(const struct mapper *m, const struct pv_mapper_view *v)
{
    if (v->external.family != PV_AF_NONE)
        pv_log(m->node->log, PV_LOG_INFO, "what=\"the router maps our port\" by=%s address=%s",
               pv_mapper_protocol_name(v->protocol), PV_ADDR_STR(&v->external));
    else if (v->why[0] != '\0')
        pv_log(m->node->log, PV_LOG_DEBUG, "what=\"no mapped port\" why=\"%s\"", v->why);
}

/* Both families with every change: the gatherer ignores what is the same. */
static void offer_mapped(struct mapper *m)
{
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        const struct line *l = &m->lines[i];
        struct pv_mapper_view v = view_of(m, l);
        struct pv_addr local = l->local;
        local.port = 0;
        local.family = l->family; /* with no mapped address nothing is offered for this family */
        pv_gatherer_set_mapped(m->node->ways.gatherer, &local, &l->external);
        m->node->ways.portmapped[i] = l->external;
        log_change(m, &v);
    }
}

static void run(void *part, pv_ns now)
{
    struct mapper *m = part;
    const struct pv_node *n = m->node;
    /* A node that is down, or in no network, opens no port to the world. */
    m->wanted = !m->stopping && n->up && !n->removed && pv_node_self(n) != NULL;
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++)
        apply(m, &m->lines[i], now);
    if (m->changed)
        offer_mapped(m);
    m->changed = false;
}

/* Run at once: the engine sends what is due and ends, so the request to give the mapping back must
 * be ready. */
static void on_stop(void *part, pv_ns now)
{
    struct mapper *m = part;
    m->stopping = true;
    run(m, now);
}

/* Requests go to the router; the proof of a mapping goes to the coordinator, by STUN, whose answers
 * come to a socket that many parts use. */
static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct mapper *m = part;
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        struct line *l = &m->lines[i];
        uint8_t buf[SENT_MAX];
        size_t len = PV_PORTMAP_MAP_LEN;
        bool router = pv_portmap_poll_transmit(&l->pcp, buf) == PV_OK;
        if (!router && pv_stunc_poll_transmit(&l->check.plain, buf, sizeof(buf), &len) != PV_OK &&
            pv_stunc_poll_transmit(&l->check.probe, buf, sizeof(buf), &len) != PV_OK)
            continue;
        struct pv_addr dst = router ? l->pcp.cfg.router : l->check.server, local = l->local;
        if (router) {
            dst.port = PV_PORTMAP_PORT;
            local.port = 0;
        } else {
            pv_stunroute_sent(m->node->ways.stunroute, buf + PV_STUN_TXID_AT, PV_STUN_OWNER_MAPPER);
        }
        if (!pv_transmit_to(ret_tx, &dst, buf, len))
            return false;
        ret_tx->router = router;
        ret_tx->local = local;
        return true;
    }
    return false;
}

/* --- shown ----------------------------------------------------------------------------------- */

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct mapper *m = part;
    json_t *list = json_array();
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        const struct pv_mapper_view v = view_of(m, &m->lines[i]);
        bool there = v.claimed.family != PV_AF_NONE;
        /* Before a router was asked no protocol has been chosen. */
        bool asked = v.state != PV_MAPPER_OFF && v.state != PV_MAPPER_WAITING;
        pv_ctlapi_put(&list, NULL,
                      pv_ctlapi_pack("{s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:b, s:s?}", "family",
                                     m->lines[i].family == PV_AF_INET6 ? "ipv6" : "ipv4", "state",
                                     state_name(v.state), "protocol",
                                     asked ? pv_mapper_protocol_name(v.protocol) : NULL, "router",
                                     pv_ctlapi_ip(&v.router), "claimed", pv_ctlapi_addr(&v.claimed),
                                     "external", pv_ctlapi_addr(&v.external), "lifetime",
                                     pv_ctlapi_real(there && v.expires > now
                                                        ? (double)((v.expires - now) / PV_S(1))
                                                        : -1),
                                     "verified", v.external.family != PV_AF_NONE, "why",
                                     v.why[0] != '\0' ? v.why : NULL));
    }
    pv_statuspage_put(st, PV_STATUS_PORT_MAPPINGS, list);
    if (m->lines[0].lacks_upnp)
        pv_statuspage_minor_todo(st,
                                 PV_STR("the router is not asked by UPnP for a way in: %s: ",
                                        m->lines[0].failed[PV_MAPPER_UPNP]),
                                 PV_DO(install_library));
}

/* Only a mapping that was proven from outside counts, not one that a router merely claims. */
static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct mapper *own = part;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_port_mapped",
                      "1: the router maps our port, proven from outside.");
    pv_metrics_count(m, own->lines[0].state == PV_MAPPER_WORKING, "family", "ipv4", NULL);
    pv_metrics_count(m, own->lines[1].state == PV_MAPPER_WORKING, "family", "ipv6", NULL);
}

const struct pv_part pv_part_mapper = {
    .name = "mapper",
    .after = {"relays", "bindings", "hardnat"},
    .size = PV_PART_SIZE(struct mapper),
    .start = start,
    .free = unmake,
    .on_facts = on_facts,
    .on_stop = on_stop,
    .run = run,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
    .metrics = put_metrics,
};
