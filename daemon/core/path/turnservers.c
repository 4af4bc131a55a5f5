/* SPDX-License-Identifier: MIT */
/* turnservers.c - looks up the addresses of the configured TURN servers, and begins with each
 * server at the addresses found. */
#include "daemon/core/path/turnservers.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "crypto/ct.h"

#define ASK_AGAIN PV_S(30) /* ours: after a name was not found, or nobody answered there */

/* Number 0 is the coordinator's relay, so the configured ones begin at 1. */
int pv_turnservers_init(struct pv_turnservers *t, struct pv_node *node,
                        const struct pv_engine_config *cfg, struct pv_relayway **relays)
{
    int r = PV_OK;
    *t = (struct pv_turnservers){.node = node, .relays = relays};
    memcpy(t->user, cfg->relay_user, sizeof(t->user));
    memcpy(t->password, cfg->relay_password, sizeof(t->password));
    while (r == PV_OK && t->n < cfg->n_relays && t->n < PV_ENGINE_MAX_RELAYS) {
        t->list[t->n] = (struct pv_turnserver){.conf = cfg->relays[t->n], .retry_at = PV_NEVER};
        t->n++;
        r = pv_relayway_new(&relays[t->n], (uint16_t)t->n, &node->rng);
    }
    return r;
}

/* Its name has these addresses: the first is tried, the others when it does not answer. The way
 * keeps the NAT's binding itself (`keep`), since the gatherer asks no server at that address. */
static void begin(struct pv_turnservers *t, uint16_t via, const struct pv_job_result *result,
                  pv_ns now)
{
    const struct pv_relayway_server *s = &t->list[via - 1].conf;
    const struct pv_addr *addrs = result->addrs;
    size_t n = result->n_addrs;
    struct pv_relayway_config cfg = {.udp = s->udp, .keep = true};
    cfg.turn.server = addrs[0];
    cfg.n_others = (n < PV_RELAYADDRS_MAX ? n : PV_RELAYADDRS_MAX) - 1;
    memcpy(cfg.others, addrs + 1, cfg.n_others * sizeof(cfg.others[0]));
    /* RFC 8656 s9; only the coordinator's relay needs none between members. */
    cfg.turn.permissions = true;
    memcpy(cfg.turn.user, t->user, sizeof(cfg.turn.user));
    memcpy(cfg.turn.password, t->password, sizeof(cfg.turn.password));
    if (s->stream) {
        cfg.to.addr = addrs[0];
        cfg.to.tls = s->tls;
        memcpy(cfg.to.host, s->host, sizeof(cfg.to.host));
    }
    pv_relayway_set_blocked(t->relays[via], t->node->ways.udp_blocked, now);
    int r = pv_relayway_start(t->relays[via], &cfg, now);
    pv_wipe(&cfg, sizeof(cfg));
    if (r != PV_OK)
        pv_log(t->node->log, PV_LOG_WARN, "relay=%s what=\"not used\" why=\"%s\"", s->host,
               pv_strstatus(r));
}

static pv_job_done resolved;

/* Asks for the addresses of a server that is not in use yet, or not at those it had. One job at a
 * time for each server, and none while one of its addresses may still answer: one that is back when
 * its time comes is not asked for. */
static void look_up(struct pv_turnservers *t, uint16_t via, pv_ns now)
{
    struct pv_turnserver *s = &t->list[via - 1];
    const struct pv_relayway *r = t->relays[via];
    s->retry_at = PV_NEVER;
    if (s->asking || (pv_relayway_is_on(r) && !pv_relayway_is_lost(r)))
        return;
    s->asking = pv_jobqueue_resolve(&t->node->jobs, s->conf.host, s->conf.port, resolved, t, via);
    if (!s->asking)
        s->retry_at = now + ASK_AGAIN;
}

void pv_turnservers_start(struct pv_turnservers *t, pv_ns now)
{
    for (uint16_t via = 1; via <= t->n; via++)
        look_up(t, via, now);
}

void pv_turnservers_stop(struct pv_turnservers *t, pv_ns now)
{
    for (uint16_t via = 1; via <= t->n; via++) {
        t->list[via - 1].retry_at = PV_NEVER;
        pv_relayway_stop(t->relays[via], now);
    }
}

static void resolved(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_turnservers *t = wait->self;
    const uint16_t via = (uint16_t)wait->tag;
    t->list[via - 1].asking = false;
    if (!t->node->up || pv_node_self(t->node) == NULL)
        return; /* taken down meanwhile */
    if (result->status == PV_OK && result->n_addrs > 0) {
        /* A way that runs keeps its allocation and its place in the list where it can. */
        if (pv_relayway_is_on(t->relays[via]))
            pv_relayway_set_addrs(t->relays[via], result->addrs, result->n_addrs, now);
        else
            begin(t, via, result, now);
        return;
    }
    pv_relayway_failed(t->relays[via], PV_STR("its name is not found: %.200s", result->error));
    t->list[via - 1].retry_at = now + ASK_AGAIN;
}

void pv_turnservers_handle_timeout(struct pv_turnservers *t, pv_ns now)
{
    for (uint16_t via = 1; via <= t->n; via++) {
        struct pv_turnserver *s = &t->list[via - 1];
        if (s->retry_at == PV_NEVER && !s->asking && pv_relayway_is_lost(t->relays[via]))
            s->retry_at = now + ASK_AGAIN; /* its name may lead elsewhere by now */
        if (now >= s->retry_at)
            look_up(t, via, now);
    }
}

pv_ns pv_turnservers_next_timeout(const struct pv_turnservers *t)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < t->n; i++)
        next = pv_min_ns(next, t->list[i].retry_at);
    return next;
}

const char *pv_turnservers_name(const struct pv_turnservers *t, uint16_t via,
                                char buf[static PV_TURNSERVERS_NAME])
{
    if (via == 0 || via > t->n)
        return "coordinator";
    const struct pv_relayway_server *s = &t->list[via - 1].conf;
    /* As in a configuration: "turn:[2001:db8::1]:3478". */
    bool is_ip6 = strchr(s->host, ':') != NULL;
    snprintf(buf, PV_TURNSERVERS_NAME, "%s:%s%s%s:%u", s->tls ? "turns" : "turn", is_ip6 ? "[" : "",
             s->host, is_ip6 ? "]" : "", s->port);
    return buf;
}
