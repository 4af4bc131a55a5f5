/* SPDX-License-Identifier: MIT */
/*
 * fuzz_hostwall - any text as the kernel's trace of a packet and the rules of the table that drops
 * it, or (where it begins with "-") as the rules of the older iptables, twice: what is found has a
 * name and a remedy.
 */
#include <stdio.h>

#include "ctl/hostwall.h"
#include "tests/fuzz/fuzz_util.h"

static struct pv_hostwall wall;

/* The next line, as long as those that are read. False: there is none. */
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
    const bool legacy = len > 0 && data[0] == '-';
    wall = (struct pv_hostwall){.ifname = "p2pvpn0", .legacy = legacy ? "iptables-legacy" : NULL};
    while (take_line(&in, line)) {
        if (legacy && line[0] == '\0') { /* from here on they are read once more */
            wall.again = true;
            wall.n_counters = 0;
        } else if (legacy) {
            pv_hostwall_counter_line(&wall, line);
        } else if (wall.table[0] == '\0') {
            pv_hostwall_trace_line(&wall, line);
        } else {
            pv_hostwall_rule_line(&wall, line);
        }
        must(wall.n_counters <= PV_HOSTWALL_COUNTERS);
    }
    must(legacy || (wall.table[0] == '\0') == (wall.chain[0] == '\0'));
    must(!legacy || wall.again || wall.chain[0] == '\0');
    must(wall.chain[0] == '\0' ||
         strstr(pv_hostwall_remedy(&wall, remedy, sizeof(remedy)), "p2pvpn0") != NULL);
    return 0;
}
