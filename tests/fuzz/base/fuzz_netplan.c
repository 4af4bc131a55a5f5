/* SPDX-License-Identifier: MIT */
/*
 * fuzz_netplan - a plan as the helper reads it from a process that may have been taken over: what
 * is accepted has passed every check and has one form only. And the host's answer the other way.
 */
#include "base/netplan.h"
#include "tests/fuzz/fuzz_util.h"

static void check_plan(struct pv_view v)
{
    uint8_t buf[PV_NETPLAN_BYTES];
    struct pv_netplan p;
    if (pv_netplan_decode(v, &p) != PV_OK)
        return;
    must(pv_netplan_check(&p) == PV_OK);
    must(memchr(p.ifname, '\0', sizeof(p.ifname)) != NULL);
    int n = pv_netplan_encode(&p, buf, sizeof(buf));
    must(n == (int)v.len && memcmp(buf, v.ptr, v.len) == 0);
}

static void check_host(struct pv_view v)
{
    uint8_t buf[PV_NETPLAN_HOST_BYTES];
    struct pv_netplan_host h;
    if (pv_netplan_host_decode(v, &h) != PV_OK)
        return;
    int n = pv_netplan_host_encode(&h, buf, sizeof(buf));
    must(n == (int)v.len && memcmp(buf, v.ptr, v.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] % 2 == 0)
        check_plan(pv_view(data + 1, len - 1));
    else
        check_host(pv_view(data + 1, len - 1));
    return 0;
}
