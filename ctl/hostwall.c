/* SPDX-License-Identifier: MIT */
/* hostwall.c - reads the host's firewall as far as it is about all that comes in. */
#include "ctl/hostwall.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "sys/net/ipcmd.h"

enum {
    QUOTED = 24, /* bytes of an interface's name in quotes, with the NUL */
};

/* Does text begin with the words? Advances behind them and the blanks after them. */
static bool skip(const char **text, const char *words)
{
    size_t len = strlen(words);
    if (strncmp(*text, words, len) != 0)
        return false;
    *text += len;
    *text += strspn(*text, " ");
    return true;
}

/* "\"p2pvpn0\"", or with a star behind any part of it. */
static bool names_interface(const struct pv_hostwall *w, const char *line)
{
    char quoted[QUOTED];
    int len = (int)strlen(w->ifname);
    bool names = false;
    for (int n = 1; n <= len && !names; n++) {
        snprintf(quoted, sizeof(quoted), "\"%.*s%s\"", n, w->ifname, n < len ? "*" : "");
        names = strstr(line, quoted) != NULL;
    }
    return names;
}

/* A rule that drops whatever begins, by any interface or by ours. */
static bool drops_all(const struct pv_hostwall *w, const char *rule)
{
    /* nft -n says states by their bits: 8 is new, 1 invalid. */
    static const char *const general[] = {
        "counter ",          "ct state new ",      "ct state 0x8 ",     "ct state invalid,new ",
        "ct state 0x1,0x8 ", "meta nfproto ipv4 ", "meta nfproto ipv6 "};
    char ours[QUOTED + 16];
    bool more = true;
    snprintf(ours, sizeof(ours), "iifname \"%s\"", w->ifname);
    while (more) {
        more = skip(&rule, ours);
        for (size_t i = 0; i < PV_ARRAY_LEN(general); i++)
            more = skip(&rule, general[i]) || more;
        if (skip(&rule, "packets ")) {
            rule += strspn(rule, "0123456789 ");
            more = skip(&rule, "bytes ");
            rule += strspn(rule, "0123456789 ");
        }
    }
    return strncmp(rule, "drop", 4) == 0 || strncmp(rule, "reject", 6) == 0;
}

static void end_table(struct pv_hostwall *w)
{
    /* An administrator who named the interface decided what passes there. */
    if (w->drops && !w->thought && w->found[0] == '\0')
        memcpy(w->found, w->table, sizeof(w->found));
    w->input = w->drops = w->thought = false;
}

void pv_hostwall_line(struct pv_hostwall *w, const char *line)
{
    char family[16], table[56];
    bool ours = strstr(w->table, " p2pvpn-") != NULL; /* the rules of the network, by p2pvpnd */
    line += strspn(line, " \t");
    if (sscanf(line, "table %15s %55s {", family, table) == 2) {
        end_table(w);
        snprintf(w->table, sizeof(w->table), "%s %s", family, table);
        return;
    }
    if (strncmp(line, "chain ", 6) == 0)
        w->input = false;
    if (strstr(line, "hook input") != NULL) {
        w->input = true;
        w->drops = w->drops || (!ours && strstr(line, "policy drop") != NULL);
    } else if (w->input && !ours) {
        w->drops = w->drops || drops_all(w, line);
    }
    w->thought = w->thought || (names_interface(w, line) && strstr(line, "accept") != NULL);
}

bool pv_hostwall_ends(struct pv_hostwall *w)
{
    end_table(w);
    return w->found[0] != '\0';
}

static void take_line(void *ctx, const char *line)
{
    pv_hostwall_line(ctx, line);
}

bool pv_hostwall_look(const char *ifname, struct pv_hostwall *ret_wall)
{
    static const char *const words[] = {"ruleset"};
    *ret_wall = (struct pv_hostwall){.ifname = ifname};
    return pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_line, ret_wall) == PV_OK &&
           pv_hostwall_ends(ret_wall);
}
