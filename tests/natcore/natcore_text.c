/* SPDX-License-Identifier: MIT */
#include "natcore_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "natcore_pkt.h"

/* ---- text that grows ---- */

void pv_nattext_add(struct pv_nattext *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || t->failed)
        return;
    size_t need = t->len + (size_t)n + 1;
    if (need > t->cap) {
        size_t cap = need * 2 < 256 ? 256 : need * 2;
        char *text = realloc(t->text, cap);
        if (text == NULL) {
            t->failed = true;
            return;
        }
        t->text = text;
        t->cap = cap;
    }
    va_start(args, fmt);
    vsnprintf(t->text + t->len, t->cap - t->len, fmt, args);
    va_end(args);
    t->len += (size_t)n;
}

void pv_nattext_done(struct pv_nattext *t)
{
    free(t->text);
    *t = (struct pv_nattext){.text = NULL};
}

/* ---- values ---- */

enum kind {
    ENUM,
    TIME,
    CHANCE,
    RATE,
    NUMBER,
    U16,
    STEP,
    SIZE,
    BOOL,
    ADDR,
    ADDRS,
    RANGE,
    PORTS
};

struct setting {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *words; /* ENUM: "a|b|c" in the order of their values */
};

#define AT(member)   offsetof(struct pv_nat_config, member)
#define LINE(member) offsetof(struct pv_link_config, member)

static const struct setting settings[] = {
    {"mapping", ENUM, AT(mapping), "ei|ad|apd"},
    {"filtering", ENUM, AT(filtering), "ei|ad|apd"},
    {"ports", ENUM, AT(ports), "preserve|sequential|random|block"},
    {"range", RANGE, AT(port_lo), NULL},
    {"step", STEP, AT(step), NULL},
    {"step-random", U16, AT(step_random), NULL},
    {"foreign", CHANCE, AT(foreign), NULL},
    {"block-size", U16, AT(block_size), NULL},
    {"overload", BOOL, AT(overload), NULL},
    {"public", ADDRS, AT(public_ip), NULL},
    {"pool-arbitrary", BOOL, AT(pool_arbitrary), NULL},
    {"inside-ip", ADDR, AT(inside_ip), NULL},
    {"inside-ip6", ADDR, AT(inside_ip6), NULL},
    {"nat64", ADDR, AT(nat64), NULL},
    {"hairpin", ENUM, AT(hairpin), "off|external|internal"},
    {"ipv6", ENUM, AT(ipv6), "off|forward|firewall"},
    {"udp-unreplied", TIME, AT(udp_unreplied), NULL},
    {"udp-replied", TIME, AT(udp_replied), NULL},
    {"stream-after", TIME, AT(stream_after), NULL},
    {"absolute", TIME, AT(absolute), NULL},
    {"tcp-idle", TIME, AT(tcp_idle), NULL},
    {"tcp-closing", TIME, AT(tcp_closing), NULL},
    {"tcp-opening", TIME, AT(tcp_opening), NULL},
    {"icmp", TIME, AT(icmp), NULL},
    {"inbound-refresh", BOOL, AT(inbound_refresh), NULL},
    {"max-mappings", NUMBER, AT(max_mappings), NULL},
    {"full", ENUM, AT(full), "refuse|evict"},
    {"pollution", BOOL, AT(pollution), NULL},
    {"pollution-life", TIME, AT(pollution_life), NULL},
    {"udp", PORTS, AT(udp), NULL},
    {"tcp", PORTS, AT(tcp), NULL},
    {"whole-hello", BOOL, AT(whole_hello), NULL},
    {"reject", BOOL, AT(reject), NULL},
    {"answer-ping", BOOL, AT(answer_ping), NULL},
    {"mtu-in", NUMBER, AT(mtu_in), NULL},
    {"mtu-out", NUMBER, AT(mtu_out), NULL},
    {"mtu-icmp", BOOL, AT(mtu_icmp), NULL},
};

static const struct setting line_settings[] = {
    {"loss", CHANCE, LINE(loss), NULL},       {"duplicate", CHANCE, LINE(duplicate), NULL},
    {"reorder", CHANCE, LINE(reorder), NULL}, {"delay", TIME, LINE(delay), NULL},
    {"jitter", TIME, LINE(jitter), NULL},     {"reorder-by", TIME, LINE(reorder_by), NULL},
    {"rate", RATE, LINE(rate_bps), NULL},     {"queue", SIZE, LINE(queue), NULL},
    {"damage", CHANCE, LINE(damage), NULL},   {"mended", CHANCE, LINE(mended), NULL},
};

/* A whole number with the rest of the text behind it; false when there is none. */
static bool number(const char *text, double *ret_value, const char **ret_rest)
{
    char *end = NULL;
    double v = strtod(text, &end);
    if (end == text || !(v >= -1e12 && v <= 1e12))
        return false;
    *ret_value = v;
    *ret_rest = end;
    return true;
}

/* A number and one of the suffixes "a|b|c"; its factor is in the same place of factors. */
static bool scaled(const char *text, const char *const *suffixes, const double *factors,
                   double *ret_value)
{
    const char *rest = NULL;
    double v = 0;
    if (!number(text, &v, &rest) || v < 0)
        return false;
    for (size_t i = 0; suffixes[i] != NULL; i++) {
        if (strcmp(rest, suffixes[i]) == 0) {
            *ret_value = v * factors[i];
            return true;
        }
    }
    return false;
}

static bool parse_time(const char *text, pv_ns *ret_time)
{
    static const char *const suffixes[] = {"", "ms", "s", "us", NULL};
    static const double factors[] = {1e6, 1e6, 1e9, 1e3};
    double v = 0;
    if (!scaled(text, suffixes, factors, &v))
        return false;
    *ret_time = (pv_ns)v;
    return true;
}

static bool parse_word(const char *text, const char *words, uint32_t *ret_value)
{
    size_t len = strlen(text);
    uint32_t value = 0;
    for (const char *w = words; w != NULL; value++) {
        const char *end = strchr(w, '|');
        size_t n = end == NULL ? strlen(w) : (size_t)(end - w);
        if (n == len && strncmp(w, text, n) == 0) {
            *ret_value = value;
            return true;
        }
        w = end == NULL ? NULL : end + 1;
    }
    return false;
}

static bool parse_range(const char *text, uint16_t port[static 2])
{
    unsigned lo = 0;
    unsigned hi = 0;
    char tail = 0;
    if (sscanf(text, "%u-%u%c", &lo, &hi, &tail) != 2 || lo < 1 || hi > 65535 || lo > hi)
        return false;
    port[0] = (uint16_t)lo;
    port[1] = (uint16_t)hi;
    return true;
}

static bool parse_addrs(const char *text, struct pv_addr addrs[static PV_NAT_PUBLIC], uint8_t *n)
{
    char copy[512];
    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
        return false;
    *n = 0;
    char *save = NULL;
    for (char *w = strtok_r(copy, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        if (*n == PV_NAT_PUBLIC || pv_addr_parse_ip(w, &addrs[*n]) < 0 ||
            addrs[*n].family != PV_AF_INET)
            return false;
        (*n)++;
    }
    return true;
}

/* "all", "off", or the only ports that pass. */
static bool parse_policy(const char *text, struct pv_nat_policy *policy)
{
    struct pv_nat_policy p = {.blocked = strcmp(text, "all") != 0};
    char copy[128];
    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
        return false;
    char *save = NULL;
    if (p.blocked && strcmp(text, "off") != 0) {
        for (char *w = strtok_r(copy, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
            double v = 0;
            const char *rest = NULL;
            if (p.n_allow == PV_NAT_PORT_LIST || !number(w, &v, &rest) || *rest != '\0' || v < 1 ||
                v > 65535)
                return false;
            p.allow[p.n_allow++] = (uint16_t)v;
        }
    }
    *policy = p;
    return true;
}

/* Numbers of the kinds that are one; `at` is written only on success. */
static bool set_number(enum kind kind, const char *value, uint8_t *at)
{
    static const char *const percent[] = {"", "%", NULL};
    static const double hundredth[] = {1, 0.01};
    static const char *const bits[] = {"", "k", "M", "G", NULL};
    static const double thousands[] = {1, 1e3, 1e6, 1e9};
    double v = 0;
    const char *rest = NULL;
    bool ok = false;
    if (kind == CHANCE) {
        ok = scaled(value, percent, hundredth, &v);
        if (ok)
            memcpy(at, &v, sizeof(v));
        return ok;
    }
    if (kind == STEP) {
        ok = number(value, &v, &rest) && *rest == '\0' && v != 0 && v >= -60000 && v <= 60000;
        int32_t step = (int32_t)v;
        if (ok)
            memcpy(at, &step, sizeof(step));
        return ok;
    }
    ok = scaled(value, bits, thousands, &v);
    uint64_t big = ok ? (uint64_t)v : 0;
    uint32_t middle = (uint32_t)big;
    uint16_t small = (uint16_t)big;
    size_t size = (size_t)big;
    if (!ok)
        return false;
    if (kind == RATE)
        memcpy(at, &big, sizeof(big));
    else if (kind == SIZE)
        memcpy(at, &size, sizeof(size));
    else if (kind == U16 && big <= UINT16_MAX)
        memcpy(at, &small, sizeof(small));
    else if (kind == NUMBER && big <= UINT32_MAX)
        memcpy(at, &middle, sizeof(middle));
    else
        return false;
    return true;
}

static bool set_value(const struct setting *s, const char *value, uint8_t *at)
{
    uint32_t word = 0;
    pv_ns time = 0;
    struct pv_addr addr;
    switch (s->kind) {
    case ENUM:
        if (!parse_word(value, s->words, &word))
            return false;
        memcpy(at, &word, sizeof(word));
        return true;
    case BOOL:
        if (!parse_word(value, "no|yes", &word))
            return false;
        *(bool *)at = word == 1;
        return true;
    case TIME:
        if (!parse_time(value, &time))
            return false;
        memcpy(at, &time, sizeof(time));
        return true;
    case ADDR:
        if (pv_addr_parse_ip(value, &addr) < 0)
            return false;
        memcpy(at, &addr, sizeof(addr));
        return true;
    case RANGE:
        return parse_range(value, (uint16_t *)(void *)at);
    case PORTS:
        return parse_policy(value, (struct pv_nat_policy *)(void *)at);
    default:
        return set_number(s->kind, value, at);
    }
}

/* ---- profiles ---- */

static void profile_rules(struct pv_nat_config *c, enum pv_nat_rule mapping,
                          enum pv_nat_rule filtering, enum pv_nat_ports ports)
{
    c->mapping = mapping;
    c->filtering = filtering;
    c->ports = ports;
}

static bool set_profile(struct pv_nat_config *c, const char *name)
{
    static const struct {
        const char *name;
        enum pv_nat_rule mapping, filtering;
        enum pv_nat_ports ports;
    } profiles[] = {
        {"full-cone", PV_NAT_EI, PV_NAT_EI, PV_NAT_PRESERVE},
        {"address-restricted", PV_NAT_EI, PV_NAT_AD, PV_NAT_PRESERVE},
        {"port-restricted", PV_NAT_EI, PV_NAT_APD, PV_NAT_PRESERVE},
        {"symmetric", PV_NAT_APD, PV_NAT_APD, PV_NAT_RANDOM},
        {"symmetric-sequential", PV_NAT_APD, PV_NAT_APD, PV_NAT_SEQUENTIAL},
        {"symmetric-block", PV_NAT_APD, PV_NAT_APD, PV_NAT_BLOCK},
        {"linux", PV_NAT_EI, PV_NAT_APD, PV_NAT_PRESERVE},
        {"linux-drop", PV_NAT_EI, PV_NAT_APD, PV_NAT_PRESERVE},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(profiles); i++) {
        if (strcmp(profiles[i].name, name) != 0)
            continue;
        profile_rules(c, profiles[i].mapping, profiles[i].filtering, profiles[i].ports);
        bool netfilter = strncmp(name, "linux", 5) == 0;
        c->pollution = strcmp(name, "linux") == 0;
        c->stream_after = netfilter ? PV_S(2) : 0;
        return true;
    }
    return false;
}

static const struct setting *find(const struct setting *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

int pv_nat_set(struct pv_nat_config *config, const char *key, const char *value)
{
    if (strcmp(key, "profile") == 0)
        return set_profile(config, value) ? PV_OK : PV_ERR_MALFORMED;
    if (strcmp(key, "public") == 0) {
        struct pv_addr addrs[PV_NAT_PUBLIC] = {{.family = PV_AF_NONE}};
        uint8_t n = 0;
        if (!parse_addrs(value, addrs, &n))
            return PV_ERR_MALFORMED;
        memcpy(config->public_ip, addrs, sizeof(addrs));
        config->n_public = n;
        return PV_OK;
    }
    const struct setting *s = find(settings, PV_ARRAY_LEN(settings), key);
    if (s != NULL)
        return set_value(s, value, (uint8_t *)config + s->offset) ? PV_OK : PV_ERR_MALFORMED;

    bool in = strncmp(key, "in-", 3) == 0;
    bool out = strncmp(key, "out-", 4) == 0;
    s = find(line_settings, PV_ARRAY_LEN(line_settings), key + (in ? 3 : out ? 4 : 0));
    if (s == NULL)
        return PV_ERR_NOT_FOUND;
    struct pv_nat_config changed = *config;
    bool ok = (in || set_value(s, value, (uint8_t *)&changed.line_out + s->offset)) &&
              (out || set_value(s, value, (uint8_t *)&changed.line_in + s->offset));
    if (!ok)
        return PV_ERR_MALFORMED;
    *config = changed;
    return PV_OK;
}

/* ---- answers ---- */

static const char *proto_name(uint8_t proto)
{
    return proto == PV_NATPKT_UDP ? "udp" : proto == PV_NATPKT_TCP ? "tcp" : "icmp";
}

static void reply_line(struct pv_nattext *t, const char *name, const struct pv_link_stats *s)
{
    pv_nattext_add(t,
                   "\"%s\":{\"packets\":%llu,\"bytes\":%llu,\"lost\":%llu,\"overflow\":%llu,"
                   "\"duplicated\":%llu,\"reordered\":%llu,\"damaged\":%llu,\"mended\":%llu}",
                   name, (unsigned long long)s->packets, (unsigned long long)s->bytes,
                   (unsigned long long)s->lost, (unsigned long long)s->overflow,
                   (unsigned long long)s->duplicated, (unsigned long long)s->reordered,
                   (unsigned long long)s->damaged, (unsigned long long)s->mended);
}

static void reply_stats(struct pv_nat *nat, pv_ns now, struct pv_nattext *t)
{
    const struct pv_nat_stats *s = pv_nat_stats(nat);
    const void *cursor = NULL;
    struct pv_nat_view view;
    unsigned n = 0;
    while (pv_nat_each(nat, now, &cursor, &view))
        n++;
    pv_nattext_add(t,
                   "{\"mappings\":%u,\"made\":%llu,\"from_inside\":%llu,\"from_outside\":%llu,"
                   "\"passed_out\":%llu,\"passed_in\":%llu,\"hairpinned\":%llu,\"polluted\":%llu,"
                   "\"displaced\":%llu,\"drops\":{",
                   n, (unsigned long long)s->mappings_made,
                   (unsigned long long)s->packets[PV_NAT_INSIDE],
                   (unsigned long long)s->packets[PV_NAT_OUTSIDE],
                   (unsigned long long)s->passed[PV_NAT_INSIDE],
                   (unsigned long long)s->passed[PV_NAT_OUTSIDE], (unsigned long long)s->hairpinned,
                   (unsigned long long)s->polluted, (unsigned long long)s->displaced);
    for (unsigned i = 0; i < PV_NAT_DROP_COUNT; i++)
        pv_nattext_add(t, "%s\"%s\":%llu", i == 0 ? "" : ",", pv_nat_drop_name(i),
                       (unsigned long long)s->drops[i]);
    pv_nattext_add(t, "},");
    reply_line(t, "line_out", pv_nat_line_stats(nat, PV_NAT_INSIDE));
    pv_nattext_add(t, ",");
    reply_line(t, "line_in", pv_nat_line_stats(nat, PV_NAT_OUTSIDE));
    pv_nattext_add(t, "}");
}

static void reply_list(struct pv_nat *nat, pv_ns now, struct pv_nattext *t)
{
    const void *cursor = NULL;
    struct pv_nat_view v;
    const char *comma = "";
    pv_nattext_add(t, "{\"mappings\":[");
    while (pv_nat_each(nat, now, &cursor, &v)) {
        pv_nattext_add(t,
                       "%s{\"proto\":\"%s\",\"internal\":\"%s\",\"external\":\"%s\",\"dst\":\"%s\","
                       "\"age\":%.3f,\"left\":%.3f,\"sessions\":%u}",
                       comma, proto_name(v.proto), PV_ADDR_STR(&v.internal),
                       PV_ADDR_STR(&v.external), PV_ADDR_STR(&v.dst),
                       (double)(now - v.created) / 1e9, (double)(v.expires - now) / 1e9,
                       v.sessions);
        comma = ",";
    }
    pv_nattext_add(t, "]}");
}

static void reply_value(struct pv_nattext *t, const struct setting *s, const uint8_t *at)
{
    uint32_t word = 0;
    uint64_t big = 0;
    double real = 0;
    struct pv_addr addr;
    const struct pv_nat_policy *policy = (const void *)at;
    const uint16_t *ports = (const void *)at;
    switch (s->kind) {
    case ENUM:
    case NUMBER:
    case STEP:
        memcpy(&word, at, sizeof(word));
        pv_nattext_add(t, "%d", (int)word);
        break;
    case TIME:
    case RATE:
    case SIZE:
        memcpy(&big, at, sizeof(big));
        pv_nattext_add(t, "%llu", (unsigned long long)big);
        break;
    case CHANCE:
        memcpy(&real, at, sizeof(real));
        pv_nattext_add(t, "%g", real);
        break;
    case U16:
        pv_nattext_add(t, "%u", ports[0]);
        break;
    case BOOL:
        pv_nattext_add(t, "%s", *(const bool *)at ? "true" : "false");
        break;
    case RANGE:
        pv_nattext_add(t, "\"%u-%u\"", ports[0], ports[1]);
        break;
    case ADDR:
    case ADDRS:
        memcpy(&addr, at, sizeof(addr));
        pv_nattext_add(t, "\"%s\"", PV_IP_STR(&addr));
        break;
    case PORTS:
        pv_nattext_add(t, "%s", policy->blocked ? "false" : "true");
        break;
    }
}

static void reply_settings(struct pv_nat *nat, struct pv_nattext *t)
{
    const struct pv_nat_config *config = pv_nat_config(nat);
    pv_nattext_add(t, "{");
    for (size_t i = 0; i < PV_ARRAY_LEN(settings); i++) {
        pv_nattext_add(t, "%s\"%s\":", i == 0 ? "" : ",", settings[i].name);
        reply_value(t, &settings[i], (const uint8_t *)config + settings[i].offset);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(line_settings); i++) {
        pv_nattext_add(t, ",\"out-%s\":", line_settings[i].name);
        reply_value(t, &line_settings[i],
                    (const uint8_t *)&config->line_out + line_settings[i].offset);
        pv_nattext_add(t, ",\"in-%s\":", line_settings[i].name);
        reply_value(t, &line_settings[i],
                    (const uint8_t *)&config->line_in + line_settings[i].offset);
    }
    pv_nattext_add(t, "}");
}

/* ---- commands ---- */

/* All of "KEY=VALUE KEY=VALUE" or nothing. */
static void command_set(struct pv_nat *nat, char *rest, struct pv_nattext *reply)
{
    struct pv_nat_config changed = *pv_nat_config(nat);
    char *save = NULL;
    for (char *word = strtok_r(rest, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '=');
        if (value == NULL) {
            pv_nattext_add(reply, "{\"error\":\"expected KEY=VALUE\"}");
            return;
        }
        *value++ = '\0';
        int r = pv_nat_set(&changed, word, value);
        if (r < 0) {
            pv_nattext_add(reply, "{\"error\":\"%s\"}",
                           r == PV_ERR_NOT_FOUND ? "unknown setting" : "bad value");
            return;
        }
    }
    *pv_nat_config(nat) = changed;
    pv_nattext_add(reply, "{\"ok\":true}");
}

static void command_drop(struct pv_nat *nat, const char *rest, struct pv_nattext *reply)
{
    char proto[8];
    char text[PV_ADDR_TEXT];
    struct pv_addr addr;
    uint32_t word = 0;
    static const uint8_t numbers[] = {PV_NATPKT_UDP, PV_NATPKT_TCP, PV_NATPKT_ICMP};
    if (sscanf(rest, "%7s %55s", proto, text) != 2 || !parse_word(proto, "udp|tcp|icmp", &word) ||
        pv_addr_parse(text, &addr) < 0) {
        pv_nattext_add(reply, "{\"error\":\"expected drop udp|tcp|icmp ADDR:PORT\"}");
        return;
    }
    unsigned n = pv_nat_drop_mapping(nat, numbers[word], &addr);
    pv_nattext_add(reply, "{\"dropped\":%u}", n);
}

void pv_nat_command(struct pv_nat *nat, const char *line, pv_ns now, struct pv_nattext *reply)
{
    char copy[1024];
    if (snprintf(copy, sizeof(copy), "%s", line) >= (int)sizeof(copy)) {
        pv_nattext_add(reply, "{\"error\":\"line too long\"}");
        return;
    }
    copy[strcspn(copy, "\r\n")] = '\0';
    char *rest = strchr(copy, ' ');
    if (rest != NULL)
        *rest++ = '\0';
    if (strcmp(copy, "stats") == 0) {
        reply_stats(nat, now, reply);
    } else if (strcmp(copy, "list") == 0) {
        reply_list(nat, now, reply);
    } else if (strcmp(copy, "get") == 0) {
        reply_settings(nat, reply);
    } else if (strcmp(copy, "flush") == 0) {
        pv_nat_flush(nat);
        pv_nattext_add(reply, "{\"ok\":true}");
    } else if (strcmp(copy, "set") == 0 && rest != NULL) {
        command_set(nat, rest, reply);
    } else if (strcmp(copy, "drop") == 0 && rest != NULL) {
        command_drop(nat, rest, reply);
    } else {
        pv_nattext_add(reply, "{\"error\":\"commands: stats, list, get, set, flush, drop\"}");
    }
}
