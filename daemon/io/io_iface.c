/* SPDX-License-Identifier: MIT */
/* Our interface in the hands of others: `ip link set`, network managers. An address that is taken
 * away comes back; what somebody may have wanted, down or a small MTU, is left alone and told. */
#include <stdio.h>
#include <string.h>

#include "daemon/io/io_int.h"
#include "sys/net/tun.h"

enum {
    HOST_ADDRS = 256,  /* addresses of this host looked at */
    MTU_MIN_V6 = 1280, /* bytes, RFC 8200 s5: below, the kernel takes IPv6 away */
    PROBLEM_MAX = 240,
};
#define AGAIN_AFTER PV_S(3) /* a manager that removes what we set is not to be fought harder */

/* Bit i: the interface has address i of those it shall have. */
static int addresses_of(const struct pv_job_iface *iface, uint64_t *ret_has)
{
    struct pv_net_addr host[HOST_ADDRS];
    size_t n = 0;
    uint64_t has = 0;
    int r = pv_net_addrs(host, HOST_ADDRS, &n);
    if (r < 0 || n == HOST_ADDRS) /* ours may be among those that were cut off */
        return r < 0 ? r : PV_ERR_LIMIT;
    _Static_assert(PV_IFACE_MAX_PREFIXES <= 64, "a bit for each");
    for (size_t i = 0; i < iface->n_addrs; i++) {
        for (size_t k = 0; k < n; k++) {
            if (strcmp(host[k].ifname, iface->name) == 0 &&
                pv_addr_equal_ip(&host[k].addr.base, &iface->addrs[i].base))
                has |= (uint64_t)1 << i;
        }
    }
    *ret_has = has;
    return PV_OK;
}

static bool has_v6(const struct pv_job_iface *iface)
{
    for (size_t i = 0; i < iface->n_addrs; i++) {
        if (iface->addrs[i].base.family == PV_AF_INET6)
            return true;
    }
    return false;
}

/* What stands in its way and is not ours to change; "" = nothing. */
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

static void look(struct pv_io *io, pv_ns now)
{
    char problem[PROBLEM_MAX];
    const struct pv_job_iface *iface = io->iface;
    unsigned mtu = 0;
    uint64_t has = 0;
    bool up = false;
    if (iface == NULL || io->iface_jobs > 0 || pv_tun_look(iface->name, &up, &mtu) < 0 ||
        addresses_of(iface, &has) < 0)
        return; /* deleted: the packet threads tell */
    find_problem(iface, up, mtu, problem);
    pv_engine_set_iface_problem(io->cfg.engine, problem);
    if (problem[0] != '\0')
        return;
    if (!io->iface_known) { /* IPv6 may be forbidden here: only what was there can be missed */
        io->iface_has = has;
        io->iface_known = true;
    }
    if ((io->iface_has & ~has) == 0)
        return;
    if (now < io->iface_again) {
        io->iface_look_at = io->iface_again;
        return;
    }
    io->iface_again = now + AGAIN_AFTER;
    pv_io_restore_iface(io, (uint16_t)(mtu < UINT16_MAX ? mtu : UINT16_MAX),
                        "an address was removed by somebody else: setting it again");
}

void pv_io_iface_changed(struct pv_io *io)
{
    io->iface_known = false;
    io->iface_look_at = io->now; /* at once: what is there now is what was set */
    pv_engine_set_iface_problem(io->cfg.engine, "");
}

pv_ns pv_io_iface_timeout(struct pv_io *io, pv_ns now)
{
    bool due = pv_net_monitor_own_due(io->monitor, now);
    if (due || now >= io->iface_look_at) {
        io->iface_look_at = PV_NEVER;
        look(io, now);
    }
    return pv_min_ns(io->iface_look_at, pv_net_monitor_next_own(io->monitor));
}
