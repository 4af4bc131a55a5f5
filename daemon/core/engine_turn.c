/* SPDX-License-Identifier: MIT */
/* The TURN servers of the configuration: relays beside the coordinator's, with addresses and
 * permissions as RFC 8656 has them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"

#define ASK_AGAIN PV_S(30) /* ours: after a name was not found, or nobody answered there */

struct pv_turn_servers {
    struct pv_relayway_server list[PV_ENGINE_MAX_RELAYS]; /* number i + 1 */
    size_t n;
    bool asking[PV_ENGINE_MAX_RELAYS];    /* a job looks it up */
    pv_ns retry_at[PV_ENGINE_MAX_RELAYS]; /* when that is done again; PV_NEVER: it is not needed */
    char user[PV_TURNC_TEXT_MAX + 1];
    char password[PV_TURNC_TEXT_MAX + 1]; /* a secret: wiped */
};

int pv_engine_turn_new(struct pv_engine *e, const struct pv_engine_config *cfg)
{
    int r = PV_OK;
    if (cfg->n_relays == 0)
        return PV_OK;
    e->turn_servers = calloc(1, sizeof(*e->turn_servers));
    if (e->turn_servers == NULL)
        return PV_ERR_NOMEM;
    struct pv_turn_servers *t = e->turn_servers;
    t->n = cfg->n_relays < PV_ENGINE_MAX_RELAYS ? cfg->n_relays : PV_ENGINE_MAX_RELAYS;
    memcpy(t->list, cfg->relays, sizeof(t->list));
    memcpy(t->user, cfg->relay_user, sizeof(t->user));
    memcpy(t->password, cfg->relay_password, sizeof(t->password));
    for (uint16_t i = 1; r == PV_OK && i <= t->n; i++) {
        t->retry_at[i - 1] = PV_NEVER;
        r = pv_relayway_new(&e->env.relays[i], i, &e->node.rng);
    }
    return r;
}

void pv_engine_turn_free(struct pv_engine *e)
{
    if (e->turn_servers != NULL)
        pv_wipe(e->turn_servers, sizeof(*e->turn_servers));
    free(e->turn_servers);
    e->turn_servers = NULL;
}

/* Its name has these addresses. */
static void begin(struct pv_engine *e, uint16_t via, const struct pv_addr *addrs, size_t n,
                  pv_ns now)
{
    const struct pv_turn_servers *t = e->turn_servers;
    const struct pv_relayway_server *s = &t->list[via - 1];
    struct pv_relayway_config cfg = {.udp = s->udp, .keep = true};
    cfg.turn.server = addrs[0];
    cfg.n_others = (n < PV_RELAYADDRS_MAX ? n : PV_RELAYADDRS_MAX) - 1;
    memcpy(cfg.others, addrs + 1, cfg.n_others * sizeof(cfg.others[0]));
    cfg.turn.permissions = true;
    memcpy(cfg.turn.user, t->user, sizeof(cfg.turn.user));
    memcpy(cfg.turn.password, t->password, sizeof(cfg.turn.password));
    if (s->stream) {
        cfg.to.addr = addrs[0];
        cfg.to.tls = s->tls;
        memcpy(cfg.to.host, s->host, sizeof(cfg.to.host));
    }
    pv_relayway_set_blocked(e->env.relays[via], pv_udpwatch_is_blocked(&e->udp), now);
    int r = pv_relayway_start(e->env.relays[via], &cfg, now);
    pv_wipe(&cfg, sizeof(cfg));
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_WARN, "relay=%s what=\"not used\" why=\"%s\"", s->host,
               pv_strstatus(r));
    pv_engine_relay_pump(e, now);
}

/* Asks for the addresses of a server that is not in use yet, or not at those it had. */
static void find(struct pv_engine *e, uint16_t via)
{
    struct pv_turn_servers *t = e->turn_servers;
    const struct pv_relayway_server *s = &t->list[via - 1];
    const struct pv_relayway *r = e->env.relays[via];
    if (t->asking[via - 1] || (pv_relayway_is_on(r) && !pv_relayway_is_lost(r)))
        return;
    struct pv_job *job = pv_job_new(PV_JOB_RESOLVE);
    if (job == NULL)
        return;
    memcpy(job->u.resolve.host, s->host, strlen(s->host) + 1);
    job->u.resolve.port = s->port;
    t->asking[via - 1] = true;
    t->retry_at[via - 1] = PV_NEVER;
    pv_engine_job(e, job, PV_JP_RELAY_HOST, via);
}

void pv_engine_turn_start(struct pv_engine *e)
{
    for (uint16_t i = 1; e->turn_servers != NULL && i <= e->turn_servers->n; i++)
        find(e, i);
}

void pv_engine_turn_stop(struct pv_engine *e, pv_ns now)
{
    for (uint16_t i = 1; e->turn_servers != NULL && i <= e->turn_servers->n; i++) {
        e->turn_servers->retry_at[i - 1] = PV_NEVER;
        pv_relayway_stop(e->env.relays[i], now);
    }
}

void pv_engine_turn_resolved(struct pv_engine *e, uint16_t via, const struct pv_job_result *result,
                             pv_ns now)
{
    struct pv_turn_servers *t = e->turn_servers;
    char why[PV_RELAYWAY_ERROR_MAX];
    if (t == NULL || via == 0 || via > t->n)
        return;
    t->asking[via - 1] = false;
    if (!e->node.up || pv_node_self(&e->node) == NULL)
        return;
    if (result->status == PV_OK && result->n_addrs > 0 && pv_relayway_is_on(e->env.relays[via])) {
        pv_relayway_set_addrs(e->env.relays[via], result->addrs, result->n_addrs, now);
        pv_engine_relay_pump(e, now);
        return;
    }
    if (result->status == PV_OK && result->n_addrs > 0) {
        begin(e, via, result->addrs, result->n_addrs, now);
        return;
    }
    snprintf(why, sizeof(why), "its name is not found: %.200s", result->error);
    pv_relayway_failed(e->env.relays[via], why);
    t->retry_at[via - 1] = now + ASK_AGAIN;
    pv_engine_relay_pump(e, now);
}

void pv_engine_turn_timeout(struct pv_engine *e, pv_ns now)
{
    struct pv_turn_servers *t = e->turn_servers;
    for (uint16_t i = 1; t != NULL && i <= t->n; i++) {
        pv_ns *at = &t->retry_at[i - 1];
        if (*at == PV_NEVER && !t->asking[i - 1] && pv_relayway_is_lost(e->env.relays[i]))
            *at = now + ASK_AGAIN; /* its name may lead elsewhere by now */
        if (now >= *at)
            find(e, i);
    }
}

pv_ns pv_engine_turn_next(const struct pv_engine *e)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; e->turn_servers != NULL && i < e->turn_servers->n; i++)
        next = pv_min_ns(next, e->turn_servers->retry_at[i]);
    return next;
}

const char *pv_engine_relay_name(const struct pv_engine *e, uint16_t via,
                                 char buf[static PV_ENGINE_RELAY_NAME])
{
    if (via == 0)
        return "coordinator";
    const struct pv_relayway_server *s = &e->turn_servers->list[via - 1];
    bool is_ip6 = strchr(s->host, ':') != NULL;
    snprintf(buf, PV_ENGINE_RELAY_NAME, "%s:%s%s%s:%u", s->tls ? "turns" : "turn",
             is_ip6 ? "[" : "", s->host, is_ip6 ? "]" : "", s->port);
    return buf;
}
