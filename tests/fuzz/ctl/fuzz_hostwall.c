/* SPDX-License-Identifier: MIT */
/*
 * fuzz_hostwall - any text as the rules of a host's firewall, of nft or (where it begins with "-")
 * of the older iptables: the walk ends, and what is found has a name and a remedy.
 */
#include <stdio.h>

#include "ctl/hostwall.h"
#include "sys/net/ipcmd.h"
#include "tests/fuzz/fuzz_util.h"

static struct pv_hostwall wall;

/* The next line, as long as those that are listed. False: there is none. */
static bool take_line(struct pv_view *in, char line[static PV_NFTCMD_LINE_MAX])
{
    size_t len = 0;
    if (in->len == 0)
        return false;
    for (uint8_t c = fuzz_next(in); c != '\n' && c != '\0'; c = fuzz_next(in))
        if (len < PV_NFTCMD_LINE_MAX - 1)
            line[len++] = (char)c;
    line[len] = '\0';
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_view in = pv_view(data, len);
    char line[PV_NFTCMD_LINE_MAX], remedy[512];
    bool legacy = len > 0 && data[0] == '-';
    memset(&wall, 0, sizeof(wall));
    wall.ifname = "p2pvpn0";
    must(pv_prefix_parse("10.66.0.0/16", &wall.ranges[0]) == PV_OK);
    must(pv_prefix_parse("fd66::/48", &wall.ranges[1]) == PV_OK);
    if (legacy)
        pv_hostwall_legacy_table(&wall, false, "filter");
    while (take_line(&in, line)) {
        if (legacy)
            pv_hostwall_legacy_line(&wall, line);
        else
            pv_hostwall_line(&wall, line);
        must(wall.n_rules <= PV_HOSTWALL_RULES && wall.n_bases <= PV_HOSTWALL_BASES &&
             wall.n_sets <= PV_HOSTWALL_SETS);
    }
    bool drops = pv_hostwall_ends(&wall);
    must(!drops || wall.unclear.table[0] != '\0'); /* the second walk believes less */
    must(drops == (wall.found.table[0] != '\0'));
    must(!drops || strstr(pv_hostwall_remedy(&wall, remedy, sizeof(remedy)), "p2pvpn0") != NULL);
    return 0;
}
