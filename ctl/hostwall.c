/* SPDX-License-Identifier: MIT */
/* hostwall.c - reads what the kernel says of a packet that this host's firewall drops. */
#include "ctl/hostwall.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum {
    QUIET_MS = 200, /* ours: the trace of a packet is there within a few */
};

/* Ours while it is watched. It is no table of a network's: those begin with "p2pvpn-". */
#define TRACE "p2pvpnctl-trace"

static const char *const legacy_tables[] = {"raw", "mangle", "nat", "filter", "security"};

/* --- nftables --------------------------------------------------------------------------------- */

static bool names_ours(const struct pv_hostwall *w, const char *rule)
{
    return strstr(rule, PV_STR("\"%s\"", w->ifname)) != NULL;
}

/* Takes the rule out of `rule ct state new drop (verdict drop)`. */
static void take_drop(struct pv_hostwall *w, const char *table, const char *chain, const char *rule)
{
    const char *end = strstr(rule, " (verdict ");
    snprintf(w->table, sizeof(w->table), "%s", table);
    snprintf(w->chain, sizeof(w->chain), "%s", chain);
    snprintf(w->rule, sizeof(w->rule), "%.*s",
             (int)(end == NULL                      ? 0
                   : strncmp(rule, "rule ", 5) == 0 ? end - rule - 5
                                                    : 0),
             rule + 5);
    w->out = w->is_out;
    /* It came back from a chain for our interface, so somebody decided there what passes. */
    w->in_part = w->was_ours && strcmp(w->ours, PV_STR("%s %s", table, chain)) != 0 &&
                 !names_ours(w, w->rule);
}

void pv_hostwall_trace_line(struct pv_hostwall *w, const char *line)
{
    char family[16], name[56], chain[64];
    int at = 0;
    if (sscanf(line, "trace id %*x %15s %55s %63s %n", family, name, chain, &at) != 3 || at == 0 ||
        w->table[0] != '\0' || strcmp(name, TRACE) == 0)
        return;
    const char *table = PV_STR("%s %s", family, name), *what = line + at;
    const char *jump = strstr(what, "(verdict jump ");
    if (strncmp(what, "packet: ", 8) == 0) {
        w->is_out = strstr(what, "iif \"") == NULL && strstr(what, "oif \"") != NULL;
        w->was_ours = w->was_ours && strncmp(w->ours, PV_STR("%s ", table), strlen(table) + 1) == 0;
    } else if (strstr(what, "(verdict drop)") != NULL || strncmp(what, "policy drop", 11) == 0) {
        take_drop(w, table, chain, what);
    } else if (jump != NULL && names_ours(w, what)) {
        w->was_ours = true;
        snprintf(w->ours, sizeof(w->ours), "%s %.*s", table, (int)strcspn(jump + 14, ")"),
                 jump + 14);
    }
}

/* `iifname "p2pvpn0" tcp dport 22 accept`: what names our interface and goes on with a condition.
 */
void pv_hostwall_rule_line(struct pv_hostwall *w, const char *line)
{
    static const char *const conditions[] = {"dport ", "sport ", "saddr ",  "daddr ",
                                             "type ",  "proto ", "nexthdr "};
    if (!names_ours(w, line) || strstr(line, " accept") == NULL || names_ours(w, w->rule) ||
        strstr(line, " hook ") != NULL) /* the head of a chain at our interface */
        return;
    for (size_t i = 0; i < PV_ARRAY_LEN(conditions); i++)
        w->in_part = w->in_part || strstr(line, conditions[i]) != NULL;
}

/* --- the older iptables ----------------------------------------------------------------------- */

/* `-P INPUT DROP -c 5 300`, `-A INPUT -i p2pvpn0 -c 5 300 -j DROP`: the packet that was tried is
 * the likeliest to have made it grow. */
void pv_hostwall_counter_line(struct pv_hostwall *w, const char *line)
{
    char chain[64];
    const char *count = strstr(line, " -c ");
    const bool is_policy = strncmp(line, "-P ", 3) == 0;
    if (count == NULL || w->n_counters == PV_HOSTWALL_COUNTERS)
        return;
    const uint32_t now = (uint32_t)strtoull(count + 4, NULL, 10);
    const bool grew = w->again && now != w->counters[w->n_counters];
    w->counters[w->n_counters++] = now;
    const bool drops = is_policy
                           ? strstr(line, " DROP ") != NULL
                           : strstr(line, " -j DROP") != NULL || strstr(line, " -j REJECT") != NULL;
    if (!grew || !drops || w->chain[0] != '\0' || sscanf(line, "-%*c %63s", chain) != 1)
        return;
    snprintf(w->chain, sizeof(w->chain), "%s", chain);
    if (!is_policy)
        snprintf(w->rule, sizeof(w->rule), "%.*s%s", (int)(count - line), line,
                 strstr(count, " -j "));
    w->out = w->out || strcmp(chain, "OUTPUT") == 0 || strcmp(chain, "POSTROUTING") == 0 ||
             strstr(line, " -o ") != NULL;
}

/* The program itself would make the kernel load what nobody uses. */
static bool has_legacy(bool v6, const char *table)
{
    char line[64];
    bool has = false;
    FILE *f = fopen(v6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        has = has || strcmp(line, PV_STR("%s\n", table)) == 0;
    if (f != NULL)
        fclose(f);
    return has;
}

static void take_counter_line(void *ctx, const char *line)
{
    pv_hostwall_counter_line(ctx, line);
}

static void look_at_legacy(struct pv_hostwall *w)
{
    w->n_counters = 0;
    for (size_t i = 0; i < 2 * PV_ARRAY_LEN(legacy_tables) && w->table[0] == '\0'; i++) {
        const bool v6 = i >= PV_ARRAY_LEN(legacy_tables);
        const char *table = legacy_tables[i % PV_ARRAY_LEN(legacy_tables)];
        if (!has_legacy(v6, table) || pv_iptables_list(v6, table, take_counter_line, w) != PV_OK ||
            w->chain[0] == '\0')
            continue;
        w->legacy = v6 ? "ip6tables-legacy" : "iptables-legacy";
        snprintf(w->table, sizeof(w->table), "%s of %s", table, w->legacy);
    }
    w->again = true;
}

/* --- this host -------------------------------------------------------------------------------- */

const char *pv_hostwall_remedy(const struct pv_hostwall *w, char *buf, size_t cap)
{
    if (w->legacy != NULL)
        snprintf(buf, cap, "%s -t %.*s -I %s %s %s -j ACCEPT", w->legacy,
                 (int)strcspn(w->table, " "), w->table, w->chain, w->out ? "-o" : "-i", w->ifname);
    else
        snprintf(buf, cap, "nft insert rule %s %s %s \"%s\" accept", w->table, w->chain,
                 w->out ? "oifname" : "iifname", w->ifname);
    return buf;
}

static int set_trace(const struct pv_hostwall *w, const struct pv_addr *here,
                     const struct pv_addr *there)
{
    char error[PV_IPCMD_ERROR_MAX];
    const char *ip = here->family == PV_AF_INET6 ? "ip6" : "ip", *member = PV_IP_STR(there);
    char text[1024];
    return pv_nftcmd_run(
        pv_text_print(
            text, sizeof(text),
            "table netdev " TRACE "\ndelete table netdev " TRACE "\ntable netdev " TRACE
            " {\n chain in {\n  type filter hook ingress device \"%s\" priority "
            "-2147483648; policy accept;\n  %s saddr %s meta l4proto { tcp, udp } th dport "
            "%u meta nftrace set 1\n }\n}\ntable inet " TRACE "\ndelete table inet " TRACE
            "\ntable inet " TRACE " {\n chain out {\n  type filter hook output priority "
            "-2147483648; policy accept;\n  %s daddr %s meta l4proto { tcp, udp } th sport "
            "%u meta nftrace set 1\n }\n}\n",
            w->ifname, ip, member, here->port, ip, member, here->port),
        error);
}

int pv_hostwall_begin(struct pv_hostwall *w, const struct pv_addr *here,
                      const struct pv_addr *there)
{
    w->trace = (struct pv_nftcmd_trace){.fd = -1};
    look_at_legacy(w);
    int r = set_trace(w, here, there);
    return r < 0 ? r : pv_nftcmd_trace_begin(&w->trace);
}

static void take_trace_line(void *ctx, const char *line)
{
    pv_hostwall_trace_line(ctx, line);
}

static void take_rule_line(void *ctx, const char *line)
{
    pv_hostwall_rule_line(ctx, line);
}

bool pv_hostwall_look(struct pv_hostwall *w)
{
    char family[16] = "", name[64] = "";
    pv_nftcmd_trace_read(&w->trace, QUIET_MS, take_trace_line, w);
    if (w->table[0] == '\0') {
        look_at_legacy(w);
    } else if (sscanf(w->table, "%15s %63s", family, name) == 2) {
        const char *const words[] = {"table", family, name};
        (void)!pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_rule_line, w);
    }
    return w->table[0] != '\0';
}

void pv_hostwall_end(struct pv_hostwall *w)
{
    char error[PV_IPCMD_ERROR_MAX];
    pv_nftcmd_trace_end(&w->trace);
    (void)!pv_nftcmd_run("table netdev " TRACE "\ndelete table netdev " TRACE "\ntable inet " TRACE
                         "\ndelete table inet " TRACE "\n",
                         error);
}
