/* SPDX-License-Identifier: MIT */
/* sentries.c - whom to ask, and what follows from an alarm. */
#include "daemon/core/path/sentries.h"

#include <stdlib.h>

#include "daemon/core/coord/coordclient.h"
#include "daemon/core/nat/sentry.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/peer/peers.h"

struct sentries {
    struct pv_node *node;
    uint64_t home; /* number of the coordinator in use; 0: none is, or there are no others */
    struct pv_sentry all[PV_COORD_OTHERS];
    size_t n;
    uint64_t alarms; /* listened to, ever */
    pv_ns calm_until;
};

static int make(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part)
{
    struct sentries *ss = calloc(1, sizeof(*ss));
    (void)cfg;
    (void)now;
    if (ss == NULL)
        return PV_ERR_NOMEM;
    ss->node = node;
    *ret_part = ss;
    return PV_OK;
}

/* --- whom to ask ------------------------------------------------------------------------------ */

static bool is_asked(const struct sentries *ss, const struct pv_addr *addr)
{
    for (size_t i = 0; i < ss->n; i++)
        if (pv_addr_equal(&ss->all[i].server, addr))
            return true;
    return false;
}

static bool is_other(const struct pv_coord_info *info, const struct pv_addr *addr)
{
    for (size_t i = 0; i < info->n_others; i++)
        if (pv_addr_equal(&info->others[i], addr))
            return true;
    return false;
}

/* Those that stay in the list keep what they know, and the others make room for new ones. */
static void follow_list(struct sentries *ss, const struct pv_coord_info *info, pv_ns now)
{
    for (size_t i = 0; i < ss->n; i++)
        if (!is_other(info, &ss->all[i].server))
            ss->all[i--] = ss->all[--ss->n];
    for (size_t i = 0; i < info->n_others && ss->n < PV_COORD_OTHERS; i++)
        if (!is_asked(ss, &info->others[i]))
            pv_sentry_start(&ss->all[ss->n++], &info->others[i], ss->home, &ss->node->rng,
                            now + PV_MS(pv_rng_below(&ss->node->rng, PV_SENTRIES_SPREAD_MS)));
}

static void run(void *part, pv_ns now)
{
    struct sentries *ss = part;
    const struct pv_node *n = ss->node;
    uint64_t home = n->online && !n->udp_blocked ? n->coord_info.number : 0;
    if (home != ss->home)
        ss->n = 0;
    ss->home = home;
    if (home != 0)
        follow_list(ss, &n->coord_info, now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct sentries *ss = part;
    if ((facts & (PV_FACT_MOVED | PV_FACT_RESUMED)) == 0)
        return;
    for (size_t i = 0; i < ss->n; i++)
        pv_sentry_refresh(&ss->all[i], now);
}

static size_t count_known(const struct sentries *ss)
{
    size_t n = 0;
    for (size_t i = 0; i < ss->n; i++)
        n += pv_sentry_is_known(&ss->all[i]) ? 1 : 0;
    return n;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct sentries *ss = part;
    for (size_t i = 0; i < ss->n; i++) {
        struct pv_sentry *s = &ss->all[i];
        if (now < pv_sentry_next_timeout(s))
            continue;
        if (count_known(ss) >= PV_SENTRIES_ENOUGH)
            pv_sentry_rest(s, now);
        pv_sentry_set_interval(s, pv_peers_env(ss->node->peers)->binding_lifetime);
        pv_sentry_handle_timeout(s, now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct sentries *ss = part;
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < ss->n; i++)
        next = pv_min_ns(next, pv_sentry_next_timeout(&ss->all[i]));
    return next;
}

/* --- datagrams -------------------------------------------------------------------------------- */

/* A node that listens to every alarm could be made to ping all the time. */
static bool take_alarm(struct sentries *ss, const struct pv_addr *src,
                       const struct pv_sentry_word *alarm, pv_ns now)
{
    size_t i = 0;
    while (i < ss->n && !pv_sentry_takes_alarm(&ss->all[i], src, alarm))
        i++;
    if (i == ss->n)
        return false;
    if (now < ss->calm_until)
        return true;
    ss->calm_until = now + PV_SENTRIES_CALM;
    ss->alarms++;
    pv_log(ss->node->log, PV_LOG_INFO, "what=\"another coordinator says that ours is silent\"");
    pv_coordclient_alarm(ss->node->coord, now);
    return true;
}

static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct sentries *ss = part;
    struct pv_sentry_word alarm;
    bool known = false;
    if (ss->n == 0 || from->kind != PV_CARRIER_UDP)
        return false;
    if (pv_sentry_read_alarm(data, &alarm) == PV_OK)
        return take_alarm(ss, &from->remote, &alarm, now);
    if (data.len < PV_STUN_HEADER_LEN ||
        pv_stunroute_owner(ss->node->stunroute, data.ptr + PV_STUN_TXID_AT) !=
            PV_STUN_OWNER_SENTRIES)
        return false;
    for (size_t i = 0; i < ss->n && !known; i++)
        known = pv_sentry_handle_input(&ss->all[i], &from->remote, data, now) == PV_OK;
    return true;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct sentries *ss = part;
    uint8_t buf[PV_SENTRY_REQUEST_LEN];
    size_t len;
    for (size_t i = 0; i < ss->n; i++) {
        if (pv_sentry_poll_transmit(&ss->all[i], buf, sizeof(buf), &len) != PV_OK ||
            !pv_transmit_to(ret_tx, &ss->all[i].server, buf, len))
            continue;
        pv_stunroute_sent(ss->node->stunroute, buf + PV_STUN_TXID_AT, PV_STUN_OWNER_SENTRIES);
        return true;
    }
    return false;
}

/* --- shown ------------------------------------------------------------------------------------ */

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct sentries *ss = part;
    (void)now;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_sentries",
                      "Other coordinators that tell this node when its own falls silent.");
    pv_metrics_count(m, count_known(ss), NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_alarms_total", "How often one of them did.");
    pv_metrics_count(m, ss->alarms, NULL);
}

const struct pv_part pv_part_sentries = {
    .name = "sentries",
    .after = {"relays", "bindings", "attempts"},
    .make = make,
    .free = free,
    .on_facts = on_facts,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .metrics = put_metrics,
};
