/* SPDX-License-Identifier: MIT */
/* hostwall.c - reads the host's firewall as far as it is about all that comes in. */
#include "ctl/hostwall.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "sys/net/ipcmd.h"

enum {
    QUOTED = 24, /* bytes of an interface's name in quotes, with the NUL */
    LINE = 512,  /* as PV_NFTCMD_LINE_MAX */
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

/* Is the interface among the quoted names up to end, itself or with a star behind any part of it?
 */
static bool is_among(const struct pv_hostwall *w, const char *names, const char *end)
{
    int len = (int)strlen(w->ifname);
    bool among = false;
    for (int n = 1; n <= len && !among; n++) {
        const char *at = strstr(names, PV_STR("\"%.*s%s\"", n, w->ifname, n < len ? "*" : ""));
        among = at != NULL && at < end;
    }
    return among;
}

/* A rule about what comes in by our interface: `iifname "p2pvpn0" goto trusted`, `iifname {
 * "eth1", "p2pvpn0" } accept`. It may accept, or go where more is decided, as firewalld's zones. */
static bool lets_in_ours(const struct pv_hostwall *w, const char *rule)
{
    const char *names = strstr(rule, "iifname ");
    if (names == NULL)
        names = strstr(rule, "iif ");
    if (names == NULL || strncmp(strchr(names, ' '), " !=", 3) == 0)
        return false;
    const char *open = strchr(names, '{'), *quote = strchr(names, '"');
    if (quote == NULL)
        return false;
    const char *end = open != NULL && open < quote ? strchr(open, '}') : strchr(quote + 1, '"');
    return is_among(w, names, end == NULL ? names + strlen(names) : end + 1) &&
           (strstr(names, "accept") != NULL || strstr(names, "goto ") != NULL ||
            strstr(names, "jump ") != NULL);
}

/* Advances behind an interface or a set of them, where ours is meant. */
static bool skip_ours(const struct pv_hostwall *w, const char **rule)
{
    const char *p = *rule;
    if (!skip(&p, "iifname ") && !skip(&p, "iif "))
        return false;
    bool other = skip(&p, "!= ");
    const char *end = p[0] == '{' ? strchr(p, '}') : p[0] == '"' ? strchr(p + 1, '"') : NULL;
    if (end == NULL || is_among(w, p, end + 1) == other)
        return false;
    *rule = end + 1 + strspn(end + 1, " ");
    return true;
}

/* Advances behind words by which a rule logs: `log prefix "in: " level warn flags all`. */
static bool skip_log(const char **rule)
{
    static const char *const words[] = {"prefix ", "level ",   "flags ",
                                        "group ",  "snaplen ", "queue-threshold "};
    bool more = skip(rule, "log ");
    bool is_log = more;
    while (more) {
        more = false;
        for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
            if (!skip(rule, words[i]))
                continue;
            const char *p = *rule, *end = p[0] == '"' ? strchr(p + 1, '"') : NULL;
            p = end != NULL ? end + 1 : p + strcspn(p, " ");
            *rule = p + strspn(p, " ");
            more = true;
        }
    }
    return is_log;
}

/* A rule that drops whatever begins, by any interface or by ours. */
static bool drops_all(const struct pv_hostwall *w, const char *rule)
{
    /* nft -n says states and protocols by their numbers: 8 is new, 1 invalid; 6 TCP, 17 UDP. */
    static const char *const general[] = {"counter ",
                                          "ct state new ",
                                          "ct state 0x8 ",
                                          "ct state invalid,new ",
                                          "ct state 0x1,0x8 ",
                                          "meta nfproto ipv4 ",
                                          "meta nfproto ipv6 ",
                                          "meta l4proto { tcp, udp } ",
                                          "meta l4proto { 6, 17 } "};
    bool more = true;
    while (more) {
        more = skip_ours(w, &rule);
        more = skip_log(&rule) || more;
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

/* --- chains ----------------------------------------------------------------------------------- */

/* Where jumps begin and end that no chain is called like. */
enum {
    COMES_IN = 0,
    LET_IN = 1,
};

/* FNV-1a of a name, which ends where nft's names do. */
static uint32_t hash_of(const char *name)
{
    size_t len = strcspn(name, " \t,;{}");
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 16777619u;
    return h;
}

static void put_jump(struct pv_hostwall *w, uint32_t from, uint32_t to)
{
    if (w->n_jumps == PV_HOSTWALL_JUMPS && to == LET_IN)
        w->n_jumps--;
    if (w->n_jumps < PV_HOSTWALL_JUMPS)
        w->jumps[w->n_jumps++] = (struct pv_hostwall_jump){.from = from, .to = to};
}

static void put_jumps(struct pv_hostwall *w, const char *rule)
{
    static const char *const verbs[] = {"jump ", "goto "};
    for (size_t i = 0; i < PV_ARRAY_LEN(verbs); i++)
        for (const char *at = strstr(rule, verbs[i]); at != NULL; at = strstr(at + 5, verbs[i]))
            put_jump(w, w->chain, hash_of(at + 5));
}

static bool is_reached(const struct pv_hostwall *w, uint32_t chain)
{
    bool reached = chain == COMES_IN;
    for (size_t i = 0; i < w->n_jumps && !reached; i++)
        reached = w->jumps[i].reached && w->jumps[i].to == chain;
    return reached;
}

/* Does a packet that comes in get to a rule about our interface? A chain of those that are only
 * forwarded may have one, too, which lets nothing in here. */
static bool is_thought_of(struct pv_hostwall *w)
{
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < w->n_jumps; i++) {
            struct pv_hostwall_jump *j = &w->jumps[i];
            if (j->reached || !(is_reached(w, j->from) || w->n_jumps == PV_HOSTWALL_JUMPS))
                continue;
            j->reached = more = true;
        }
    }
    return is_reached(w, LET_IN);
}

static void end_table(struct pv_hostwall *w)
{
    /* An administrator who named the interface decided what passes there. */
    if (w->drops && w->found[0] == '\0' && !is_thought_of(w))
        memcpy(w->found, w->table, sizeof(w->found));
    w->input = w->drops = false;
    w->n_jumps = 0;
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
    if (skip(&line, "chain ")) {
        w->input = false;
        w->chain = hash_of(line);
        return;
    }
    if (strstr(line, "hook input") != NULL) {
        w->input = true;
        put_jump(w, COMES_IN, w->chain);
        w->drops = w->drops || (!ours && strstr(line, "policy drop") != NULL);
    } else if (w->input && !ours) {
        w->drops = w->drops || drops_all(w, line);
    }
    put_jumps(w, line);
    if (lets_in_ours(w, line))
        put_jump(w, w->chain, LET_IN);
}

/* --- iptables-legacy -------------------------------------------------------------------------- */

/* Writes a word of a rule as nft would say it, with the value behind it. */
static void put_word(char *rule, size_t size, const char *word, const char *value)
{
    size_t len = strlen(rule);
    bool is_target = strcmp(word, "-j") == 0 || strcmp(word, "-g") == 0;
    rule += len;
    size -= len;
    if (strcmp(word, "-i") == 0)
        snprintf(rule, size, "iifname \"%.*s%s\" ", (int)strcspn(value, "+"), value,
                 strchr(value, '+') == NULL ? "" : "*");
    else if (strcmp(word, "--ctstate") == 0 || strcmp(word, "--state") == 0)
        snprintf(rule, size, "ct state %s ", strstr(value, "NEW") != NULL ? "new" : "other");
    else if (is_target && strcmp(value, "ACCEPT") == 0)
        snprintf(rule, size, "accept ");
    else if (is_target && strcmp(value, "DROP") == 0)
        snprintf(rule, size, "drop ");
    else if (is_target && strcmp(value, "REJECT") == 0)
        snprintf(rule, size, "reject ");
    else if (is_target && strcmp(value, "RETURN") != 0 && strstr(value, "LOG") == NULL)
        snprintf(rule, size, "jump %s ", value);
    else if (strcmp(word, "-m") != 0)
        snprintf(rule, size, "%s ", word);
}

void pv_hostwall_legacy_line(struct pv_hostwall *w, const char *line)
{
    char text[LINE], rule[2 * LINE] = "", *save = NULL, *word;
    snprintf(text, sizeof(text), "%s", line);
    const char *kind = strtok_r(text, " ", &save), *chain = strtok_r(NULL, " ", &save);
    if (kind == NULL || chain == NULL || (strcmp(kind, "-P") != 0 && strcmp(kind, "-A") != 0))
        return;
    bool is_policy = kind[1] == 'P';
    snprintf(rule, sizeof(rule), "chain %s", chain);
    pv_hostwall_line(w, rule);
    if (strcmp(chain, "INPUT") == 0)
        pv_hostwall_line(w, is_policy && strstr(line, "DROP") != NULL ? "hook input policy drop"
                                                                      : "hook input");
    rule[0] = '\0';
    while (!is_policy && (word = strtok_r(NULL, " ", &save)) != NULL) {
        static const char *const with_value[] = {"-i", "-j", "-g", "-m", "--ctstate", "--state"};
        const char *value = "";
        if (strcmp(word, "!") == 0)
            return;
        for (size_t i = 0; i < PV_ARRAY_LEN(with_value); i++)
            if (strcmp(word, with_value[i]) == 0 && (value = strtok_r(NULL, " ", &save)) == NULL)
                return;
        put_word(rule, sizeof(rule), word, value);
    }
    pv_hostwall_line(w, rule);
}

bool pv_hostwall_ends(struct pv_hostwall *w)
{
    end_table(w);
    return w->found[0] != '\0';
}

/* --- this host -------------------------------------------------------------------------------- */

static void take_line(void *ctx, const char *line)
{
    pv_hostwall_line(ctx, line);
}

static void take_legacy_line(void *ctx, const char *line)
{
    pv_hostwall_legacy_line(ctx, line);
}

/* The program itself would make the kernel load what nobody uses. */
static bool has_legacy(const char *path)
{
    char line[64];
    bool has = false;
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        has = has || strcmp(line, "filter\n") == 0;
    if (f != NULL)
        fclose(f);
    return has;
}

enum pv_hostwall_is pv_hostwall_look(const char *ifname, struct pv_hostwall *ret_wall)
{
    static const char *const words[] = {"ruleset"};
    const char *unread = NULL;
    *ret_wall = (struct pv_hostwall){.ifname = ifname};
    if (pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_line, ret_wall) != PV_OK)
        unread = "nft";
    for (int i = 0; i < 2; i++) {
        if (!has_legacy(i == 0 ? "/proc/net/ip_tables_names" : "/proc/net/ip6_tables_names"))
            continue;
        end_table(ret_wall);
        snprintf(ret_wall->table, sizeof(ret_wall->table), "filter of ip%stables-legacy",
                 i == 0 ? "" : "6");
        if (pv_iptables_list(i == 1, take_legacy_line, ret_wall) != PV_OK)
            unread = i == 0 ? "iptables-legacy" : "ip6tables-legacy";
    }
    if (pv_hostwall_ends(ret_wall))
        return PV_HOSTWALL_DROPS;
    if (unread == NULL)
        return PV_HOSTWALL_OPEN;
    snprintf(ret_wall->found, sizeof(ret_wall->found), "%s", unread);
    return PV_HOSTWALL_UNREAD;
}
