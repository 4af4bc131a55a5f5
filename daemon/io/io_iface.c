/* SPDX-License-Identifier: MIT */
/* Our interface: set up and taken down by jobs, watched in between, since it is also in the hands
 * of others: `ip link set`, network managers. An address or route that is taken away comes back;
 * what somebody may have wanted, down or a small MTU, is left alone and told. */
#include "daemon/io/io_iface.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/net/inside.h"
#include "sys/net/netroutes.h"
#include "sys/net/tun.h"

enum {
    OWN_ROUTES = 1024, /* routes by our interface looked at; ours */
    MTU_MIN_V6 = 1280, /* bytes, RFC 8200 s5: below, the kernel takes IPv6 away */
    PROBLEM_MAX = 240, /* bytes of the text, with the NUL */
};
#define AGAIN_AFTER PV_S(3) /* a manager that removes what we set is not to be fought harder */
#define HEAR_AFTER  PV_S(3) /* ours: datagrams wait no longer for the interface */

/* The part that is there of all that the interface shall have; bit i: its address i, the network of
 * that, its route i. */
struct had {
    uint64_t addrs, nets, routes;
};

struct pv_io_iface {
    struct pv_io *io;
    struct pv_job_iface *wanted; /* what the TUN was last asked to be; NULL = none */
    unsigned under_way;          /* jobs about it */
    uint32_t index;              /* of the interface; 0 = there is none */
    struct had had;              /* when it was set up last */
    bool known;                  /* had was read since then */
    bool hidden;                 /* it could not be: what is missing now is not known */
    pv_ns again;                 /* not set up again before */
    pv_ns look_at;               /* when it is looked at; PV_NEVER: not until something happens */
    pv_ns hear_at; /* datagrams wait for the interface, but no longer; PV_NEVER: they do not */
};

struct own_addrs {
    const struct pv_job_iface *iface;
    uint64_t has; /* bit i: the address i */
    uint32_t ifindex;
};

static void take_addr(void *ctx, const struct pv_net_addr *addr)
{
    struct own_addrs *own = ctx;
    _Static_assert(PV_IFACE_MAX_PREFIXES <= 64, "a bit for each");
    for (size_t i = 0; i < own->iface->n_addrs; i++) {
        if (strcmp(addr->ifname, own->iface->name) != 0 ||
            !pv_addr_equal_ip(&addr->addr.base, &own->iface->addrs[i].base))
            continue;
        own->has |= (uint64_t)1 << i;
        own->ifindex = addr->ifindex;
    }
}

/* *ret_ifindex: of the interface, when it has one of its addresses. */
static int addresses_of(const struct pv_job_iface *iface, uint64_t *ret_has, uint32_t *ret_ifindex)
{
    struct own_addrs own = {.iface = iface};
    int r = pv_net_each_addr(true, take_addr, &own);
    if (r < 0)
        return r;
    *ret_has = own.has;
    *ret_ifindex = own.ifindex;
    return PV_OK;
}

/* Bit i: one of the routes leads to the whole of prefix i. */
static uint64_t reached(const struct pv_prefix *prefixes, size_t n, const struct pv_net_route *r,
                        size_t n_routes)
{
    uint64_t has = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n_routes; k++) {
            if (r[k].type == PV_NET_ROUTE_UNICAST && r[k].dst.bits == prefixes[i].bits &&
                pv_prefix_contains(&r[k].dst, &prefixes[i].base))
                has |= (uint64_t)1 << i;
        }
    }
    return has;
}

static int look_at(const struct pv_job_iface *iface, struct had *ret_had)
{
    uint32_t ifindex = 0;
    int r = addresses_of(iface, &ret_had->addrs, &ifindex);
    if (r < 0 || ret_had->addrs == 0)
        return r; /* routes go with their addresses */
    struct pv_net_route *routes = calloc(OWN_ROUTES, sizeof(*routes));
    const struct pv_net_route_query own = {
        .table = RT_TABLE_MAIN, .ifindex = ifindex, .inside = pv_inside_is_apart()};
    size_t n = 0;
    r = routes == NULL ? PV_ERR_NOMEM : pv_net_routes(&own, routes, OWN_ROUTES, &n);
    if (r >= 0 && n == OWN_ROUTES)
        r = PV_ERR_LIMIT; /* our interface may be among those that were cut off */
    if (r >= 0) {
        ret_had->nets = reached(iface->addrs, iface->n_addrs, routes, n);
        ret_had->routes = reached(iface->routes, iface->n_routes, routes, n);
    }
    free(routes);
    return r;
}

static bool has_v6(const struct pv_job_iface *iface)
{
    for (size_t i = 0; i < iface->n_addrs; i++) {
        if (iface->addrs[i].base.family == PV_AF_INET6)
            return true;
    }
    return false;
}

static uint64_t addrs_of_v4(const struct pv_job_iface *iface)
{
    uint64_t v4 = 0;
    for (size_t k = 0; k < iface->n_addrs; k++)
        v4 |= (uint64_t)(iface->addrs[k].base.family == PV_AF_INET) << k;
    return v4;
}

/* Of IPv6, too. */
static bool has_more(const struct had *has, const struct pv_job_iface *iface)
{
    return (has->addrs & ~addrs_of_v4(iface)) != 0;
}

/* Names a setting of others that keeps the interface from working; "" = none. */
static void find_problem(const struct pv_job_iface *iface, bool up, unsigned mtu,
                         char text[static PROBLEM_MAX])
{
    text[0] = '\0';
    if (!up)
        snprintf(text, PROBLEM_MAX, "%s was set down by somebody: `ip link set %s up`", iface->name,
                 iface->name);
    else if (mtu < MTU_MIN_V6 && has_v6(iface))
        snprintf(text, PROBLEM_MAX,
                 "%s was given an MTU of %u by somebody, and IPv6 needs 1280: `ip link set %s mtu "
                 "%u`",
                 iface->name, mtu, iface->name, iface->mtu);
}

/* Nothing is set under a name that others chose: they put ours back. One that is gone is no matter
 * of names: the packet threads tell, and it is made again. */
static void find_renamed(const struct pv_io_iface *i, char text[static PROBLEM_MAX])
{
    const char *name = i->wanted->name;
    char now[IF_NAMESIZE];
    text[0] = '\0';
    if (i->index != 0 && if_indextoname(i->index, now) != NULL && strcmp(now, name) != 0)
        snprintf(text, PROBLEM_MAX,
                 "%s was renamed to %s by somebody: `ip link set %s down`, `ip link set %s name "
                 "%s`, `ip link set %s up`; [interface] name gives it another name",
                 name, now, now, now, name, name);
}

/* A handshake that is answered while the interface rises brings packets that would find none. */
static void begin_to_wait(struct pv_io_iface *i, pv_ns now)
{
    i->hear_at = now + HEAR_AFTER;
    pv_datapath_hear(i->io->datapath, false);
}

/* It is up, is not wanted, cannot be had, or takes too long. */
static void end_to_wait(struct pv_io_iface *i, pv_ns now)
{
    if (i->hear_at == PV_NEVER || (i->under_way > 0 && i->index == 0 && now < i->hear_at))
        return;
    i->hear_at = PV_NEVER;
    pv_datapath_hear(i->io->datapath, true);
}

/* The job is ours: the engine asked for the interface once and has been answered. */
static void restore(struct pv_io_iface *i, uint16_t mtu, const char *why)
{
    if (i->wanted == NULL)
        return;
    pv_log(i->io->log, PV_LOG_WARN, "interface=%s what=\"%s\"", i->wanted->name, why);
    struct pv_job *job = calloc(1, sizeof(*job));
    struct pv_job_iface *wanted = malloc(sizeof(*wanted));
    if (job == NULL || wanted == NULL) {
        free(job);
        free(wanted);
        return;
    }
    *wanted = *i->wanted;
    wanted->mtu = mtu;
    job->kind = PV_JOB_IFACE_UP;
    job->u.iface = wanted;
    pv_io_dns_listen(i->io->dns, NULL); /* the helper binds the same addresses again */
    if (pv_io_submit(i->io->jobs, job, true, i->io->now) >= 0)
        i->under_way++;
}

/* Compares what there is with what was set up. */
static void look(struct pv_io_iface *i, pv_ns now)
{
    char problem[PROBLEM_MAX];
    unsigned mtu = 0;
    struct had has = {0};
    bool up = false;
    if (i->wanted == NULL || i->under_way > 0)
        return;
    int r = pv_tun_look(i->wanted->name, &up, &mtu);
    if (r == PV_ERR_NOT_FOUND)
        find_renamed(i, problem);
    else if (r == PV_OK && look_at(i->wanted, &has) >= 0)
        find_problem(i->wanted, up, mtu, problem);
    else
        return;
    pv_engine_set_iface_problem(i->io->engine, problem);
    i->hidden = i->hidden || (problem[0] != '\0' && !i->known);
    if (problem[0] != '\0' || r < 0)
        return;
    /* IPv6 may be forbidden here: of it only what was there can be missed. Addresses of IPv4 were
     * set, or the job had failed, and somebody may have removed them before this look. */
    if (!i->known && !i->hidden) {
        i->had = has;
        i->had.addrs |= addrs_of_v4(i->wanted);
        i->known = true;
        pv_engine_set_iface_ip6(i->io->engine, !has_v6(i->wanted) || has_more(&has, i->wanted),
                                now);
    }
    if (!i->hidden && (i->had.addrs & ~has.addrs) == 0 && (i->had.nets & ~has.nets) == 0 &&
        (i->had.routes & ~has.routes) == 0)
        return;
    if (now < i->again) {
        i->look_at = i->again;
        return;
    }
    i->again = now + AGAIN_AFTER;
    i->hidden = false;
    restore(i, (uint16_t)(mtu < UINT16_MAX ? mtu : UINT16_MAX),
            "an address or route was removed by somebody else: setting it again");
}

pv_ns pv_io_iface_timeout(struct pv_io_iface *i, pv_ns now)
{
    bool due = pv_net_monitor_own_due(i->io->monitor, now);
    end_to_wait(i, now);
    if (due || now >= i->look_at) {
        i->look_at = PV_NEVER;
        look(i, now);
    }
    return pv_min_ns(pv_min_ns(i->look_at, i->hear_at), pv_net_monitor_next_own(i->io->monitor));
}

void pv_io_iface_deleted(struct pv_io_iface *i)
{
    restore(i, i->wanted == NULL ? 0 : i->wanted->mtu,
            pv_inside_is_stack() ? "lwIP's process has ended: starting it again"
                                 : "removed by somebody else: making it again");
}

/* --- set up and taken down ----------------------------------------------------------------- */

/* Takes the TUN's descriptor and listens on its addresses. */
static void use_tun(struct pv_io_iface *i, const struct pv_io_iface_job *done)
{
    int r = pv_datapath_set_tun(i->io->datapath, done->tun);
    if (r < 0) {
        done->result->status = r;
        snprintf(done->result->error, sizeof(done->result->error), "start the packet threads: %s",
                 pv_strstatus(r));
        return;
    }
    struct pv_datapath_counts c = pv_datapath_counts(i->io->datapath);
    pv_log(i->io->log, PV_LOG_INFO,
           "what=\"packets\" workers=%u threads=%u tcp-offload=%s udp-offload=%s aead=%s",
           c.workers, c.threads, c.tcp_offload ? "yes" : "no", c.udp_offload ? "yes" : "no",
           c.aead);
    if (done->result->error[0] != '\0') /* up all the same */
        pv_log(i->io->log, PV_LOG_WARN, "why=\"%s\"", done->result->error);
    i->index = if_nametoindex(done->job->u.iface->name);
    pv_io_streams_listen(i->io->streams, done->job->u.iface);
    pv_io_dns_listen(i->io->dns, done->dns);
}

static void drop_tun(struct pv_io_iface *i)
{
    pv_io_streams_listen(i->io->streams, NULL);
    pv_io_dns_listen(i->io->dns, NULL);
    i->index = 0;
    int r = pv_datapath_set_tun(i->io->datapath, NULL);
    if (r < 0)
        pv_log(i->io->log, PV_LOG_ERROR, "what=\"packet threads not started\" why=\"%s\"",
               pv_strstatus(r));
}

void pv_io_iface_done(struct pv_io_iface *i, const struct pv_io_iface_job *done)
{
    i->under_way--;
    if (done->job->kind == PV_JOB_IFACE_DOWN)
        drop_tun(i); /* again: an UP submitted before the DOWN may have come in between */
    else if (done->result->status >= 0)
        use_tun(i, done);
    if (pv_inside_is_stack()) {
        int pid = 0;
        unsigned restarts = pv_helper_stack_restarts(i->io->cfg.helper, &pid);
        pv_engine_set_stack(i->io->engine, (unsigned)pid, restarts);
    }
    i->known = false;
    i->look_at = i->io->now; /* at once: what is there now is what was set */
    pv_engine_set_iface_problem(i->io->engine, "");
    if (done->own && done->result->status < 0)
        pv_log(i->io->log, PV_LOG_ERROR, "what=\"interface not made again\" why=\"%s\"",
               done->result->error);
}

static void remember(struct pv_io_iface *i, const struct pv_job *job)
{
    free(i->wanted);
    i->wanted = job->kind == PV_JOB_IFACE_UP ? malloc(sizeof(*i->wanted)) : NULL;
    if (i->wanted != NULL)
        *i->wanted = *job->u.iface;
}

void pv_io_iface_submit(struct pv_io_iface *i, struct pv_job *job, pv_ns now)
{
    remember(i, job);
    pv_io_dns_listen(i->io->dns, NULL); /* the helper may bind the same addresses again */
    if (job->kind == PV_JOB_IFACE_DOWN)
        drop_tun(i); /* our descriptor first: the interface goes with the last one */
    else if (i->index == 0 && i->hear_at == PV_NEVER)
        begin_to_wait(i, now);
    if (pv_io_submit(i->io->jobs, job, false, now) >= 0)
        i->under_way++;
}

bool pv_io_iface_is_settled(const struct pv_io_iface *i)
{
    return i->under_way == 0;
}

uint32_t pv_io_iface_index(const struct pv_io_iface *i)
{
    return i->index;
}

int pv_io_iface_new(struct pv_io_iface **ret_iface, struct pv_io *io)
{
    struct pv_io_iface *i = calloc(1, sizeof(*i));
    if (i == NULL)
        return PV_ERR_NOMEM;
    i->io = io;
    i->look_at = PV_NEVER;
    begin_to_wait(i, pv_clock_now()); /* at the start, until it is known what is wanted */
    *ret_iface = i;
    return PV_OK;
}

struct pv_io_iface *pv_io_iface_free(struct pv_io_iface *iface)
{
    if (iface != NULL)
        free(iface->wanted);
    free(iface);
    return NULL;
}
