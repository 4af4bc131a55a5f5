/* SPDX-License-Identifier: MIT */
/* Limits of the coordinator and of networks. The sections may stand in any order, so a network's
 * own values are completed at the end of the file. */
#include "coordinator/settings/settings_limits.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* --- ids of networks ------------------------------------------------------------------------ */

/* Operators type them, so capitals are read, too. */
static const char hex_digits[] = "0123456789abcdef";

const char *pv_netid_format(const uint8_t id[static PV_NETWORK_ID_LEN],
                            char buf[static PV_NETID_BUF])
{
    for (size_t i = 0; i < PV_NETWORK_ID_LEN; i++) {
        buf[2 * i] = hex_digits[id[i] >> 4];
        buf[2 * i + 1] = hex_digits[id[i] & 15];
    }
    buf[2 * PV_NETWORK_ID_LEN] = '\0';
    return buf;
}

int pv_netid_parse(const char *text, uint8_t ret_id[static PV_NETWORK_ID_LEN])
{
    /* In memory of its own: ret_id is written when all digits are good, or not at all. */
    uint8_t id[PV_NETWORK_ID_LEN] = {0};
    if (strlen(text) != 2 * PV_NETWORK_ID_LEN)
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < 2 * PV_NETWORK_ID_LEN; i++) {
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *at = strchr(hex_digits, c);
        if (at == NULL)
            return PV_ERR_MALFORMED;
        id[i / 2] = (uint8_t)(id[i / 2] << 4 | (at - hex_digits));
    }
    memcpy(ret_id, id, sizeof(id));
    return PV_OK;
}

/* --- limits --------------------------------------------------------------------------------- */

enum {
    SEEN_MEMBERS = 1 << 0,
    SEEN_STATEMENTS = 1 << 1,
    SEEN_STORED = 1 << 2,
    SEEN_BANDWIDTH = 1 << 3,
    BANDWIDTH_MIN = 1000, /* as [relay] bandwidth: less would pass nothing */
};

static const char all_section[] = "limits";
static const char net_prefix[] = "network ";

static int bad_limit(char *error, size_t cap, const char *what, const char *value, const char *why)
{
    snprintf(error, cap, "%.40s %.60s: %s", what, value, why);
    return PV_ERR_MALFORMED;
}

/* "1000", or with a unit "10M", up to max. */
static int parse_amount(const char *value, uint64_t max, uint64_t *ret_n)
{
    char digits[16];
    size_t len = strlen(value);
    uint64_t n = 0, unit = 1;
    if (len > 0 && strchr("kMG", value[len - 1]) != NULL) {
        unit = value[len - 1] == 'k' ? 1000 : value[len - 1] == 'M' ? 1000000 : 1000000000;
        len--;
    }
    if (len == 0 || len >= sizeof(digits))
        return PV_ERR_MALFORMED;
    memcpy(digits, value, len);
    digits[len] = '\0';
    if (pv_u64_parse(digits, 0, max, &n) < 0 || n > max / unit)
        return PV_ERR_MALFORMED;
    *ret_n = n * unit;
    return PV_OK;
}

/* Where the values of a section go. bandwidth NULL: not in this one. */
struct section {
    struct pv_netlimits *limits;
    uint32_t *bandwidth;
    unsigned *seen;
};

static int take_value(const struct section *s, unsigned key, const char *name, const char *value,
                      char *error, size_t cap)
{
    uint64_t n = 0;
    int r = parse_amount(value, UINT32_MAX, &n);
    if ((*s->seen & key) != 0)
        return bad_limit(error, cap, name, value, "given twice");
    *s->seen |= key;
    /* 0 is no limit, and no low one. */
    if (key == SEEN_BANDWIDTH && r == PV_OK && n > 0 && n < BANDWIDTH_MIN)
        r = PV_ERR_MALFORMED;
    if (r < 0)
        return bad_limit(
            error, cap, name, value,
            key == SEEN_BANDWIDTH ? "expected 0 (no limit) or 1k to 4G bytes a second, such as 500k"
            : key == SEEN_STORED  ? "expected 0 (no limit) or bytes up to 4G, such as 10M"
                                  : "expected 0 (no limit) or a number, such as 100");
    if (key == SEEN_MEMBERS)
        s->limits->members = (uint32_t)n;
    else if (key == SEEN_STATEMENTS)
        s->limits->statements = (uint32_t)n;
    else if (key == SEEN_STORED)
        s->limits->stored = n;
    else
        *s->bandwidth = (uint32_t)n;
    return PV_OK;
}

/* The keys of [limits] alone. */
static const struct {
    const char *name;
    size_t offset; /* in struct pv_coord_limits */
    uint32_t max;
} general_keys[] = {
    {"connections", offsetof(struct pv_coord_limits, conns), 1000000},
    {"guests", offsetof(struct pv_coord_limits, guests), 1000000},
    {"networks", offsetof(struct pv_coord_limits, networks), 1000000},
    {"subscriptions", offsetof(struct pv_coord_limits, subscriptions), 16384},
    {"connections-per-source", offsetof(struct pv_coord_limits, source_rate), 1000000},
};

static uint32_t general_value(const struct pv_coord_limits *g, size_t i)
{
    uint32_t value;
    memcpy(&value, (const char *)g + general_keys[i].offset, sizeof(value));
    return value;
}

/* False: the key is none of these. */
static bool take_general(struct pv_coord_limits *g, const struct pv_ini_item *item, int *ret_r,
                         char *error, size_t cap)
{
    char why[64];
    size_t i = 0;
    uint64_t n = 0;
    while (i < PV_ARRAY_LEN(general_keys) && strcmp(item->key, general_keys[i].name) != 0)
        i++;
    if (i == PV_ARRAY_LEN(general_keys))
        return false;
    *ret_r = PV_OK;
    if (general_value(g, i) != 0) {
        *ret_r = bad_limit(error, cap, item->key, item->value, "given twice");
    } else if (parse_amount(item->value, general_keys[i].max, &n) < 0 || n == 0) {
        snprintf(why, sizeof(why), "expected a number from 1 to %u", general_keys[i].max);
        *ret_r = bad_limit(error, cap, item->key, item->value, why);
    } else {
        const uint32_t value = (uint32_t)n;
        memcpy((char *)g + general_keys[i].offset, &value, sizeof(value));
    }
    return true;
}

void pv_coordset_limits_compare(const struct pv_coord_limits *a, const struct pv_coord_limits *b,
                                void (*each)(char *list, const char *key), char *list)
{
    char key[64];
    for (size_t i = 0; i < PV_ARRAY_LEN(general_keys); i++) {
        snprintf(key, sizeof(key), "[%s] %s", all_section, general_keys[i].name);
        if (general_value(a, i) != general_value(b, i))
            each(list, key);
    }
}

/* The keys of [limits] and of [network ID]. */
static const struct {
    const char *name;
    unsigned key;
} keys[PV_COORDSET_LIMIT_KEYS] = {
    {"members", SEEN_MEMBERS},
    {"statements", SEEN_STATEMENTS},
    {"stored", SEEN_STORED},
    {"relay-bandwidth", SEEN_BANDWIDTH}, /* the last, as [limits] lacks it: [relay] has it */
};

static int take_key(const struct section *s, const struct pv_ini_item *item, char *error,
                    size_t cap)
{
    size_t n_keys = PV_ARRAY_LEN(keys) - (s->bandwidth == NULL ? 1 : 0);
    for (size_t i = 0; i < n_keys; i++) {
        if (strcmp(item->key, keys[i].name) == 0)
            return take_value(s, keys[i].key, keys[i].name, item->value, error, cap);
    }
    int n =
        snprintf(error, cap, "unknown key %.40s in [%.50s]: there are", item->key, item->section);
    for (size_t i = 0; n > 0 && (size_t)n < cap && i < n_keys; i++)
        n += snprintf(error + n, cap - (size_t)n, "%s %s", i == 0 ? "" : ",", keys[i].name);
    for (size_t i = 0; s->bandwidth == NULL && i < PV_ARRAY_LEN(general_keys); i++) {
        if (n > 0 && (size_t)n < cap)
            n += snprintf(error + n, cap - (size_t)n, ", %s", general_keys[i].name);
    }
    return PV_ERR_MALFORMED;
}

/* The id is the text that `p2pvpn-coordinator networks` prints. */
static int begin_network(struct pv_coordset_limits *l, const char *text, char *error, size_t cap)
{
    uint8_t id[PV_NETWORK_ID_LEN];
    if (pv_netid_parse(text, id) < 0)
        return bad_limit(error, cap, "network", text,
                         "expected an id of 32 digits: `p2pvpn-coordinator networks` lists them");
    for (size_t i = 0; i < l->n; i++) {
        if (memcmp(l->nets[i].id, id, sizeof(id)) == 0)
            return bad_limit(error, cap, "network", text, "given twice");
    }
    if (l->n == PV_COORDSET_NETS_MAX)
        return bad_limit(error, cap, "network", text, "at most 256 are supported");
    _Static_assert((int)PV_TURNAUTH_NET_LEN == (int)PV_NETWORK_ID_LEN, "the relay's network id");
    l->nets[l->n] = (struct pv_netlimits_of){.limits = {0}};
    l->relay[l->n] = (struct pv_turns_net){.bandwidth = 0};
    memcpy(l->nets[l->n].id, id, sizeof(id));
    memcpy(l->relay[l->n].net, id, sizeof(id));
    l->seen_of[l->n++] = 0;
    return PV_OK;
}

bool pv_coordset_limits_is(const char *section)
{
    return strcmp(section, all_section) == 0 ||
           strncmp(section, net_prefix, sizeof(net_prefix) - 1) == 0;
}

int pv_coordset_limits_item(struct pv_coordset_limits *l, const struct pv_ini_item *item,
                            char *error, size_t cap)
{
    bool all = strcmp(item->section, all_section) == 0;
    if (item->key == NULL)
        return all ? PV_OK : begin_network(l, item->section + sizeof(net_prefix) - 1, error, cap);
    /* A key of a network is always that of the network that began last. */
    size_t last = l->n == 0 ? 0 : l->n - 1;
    const struct section general = {&l->all, NULL, &l->seen};
    const struct section own = {&l->nets[last].limits, &l->relay[last].bandwidth,
                                &l->seen_of[last]};
    int r = PV_OK;
    if (all && take_general(&l->general, item, &r, error, cap))
        return r;
    return take_key(all ? &general : &own, item, error, cap);
}

/* 0 is a value, "no limit": `seen` tells what a network was given from what it lacks. */
void pv_coordset_limits_end(struct pv_coordset_limits *l, uint32_t bandwidth)
{
    l->general.source_burst = 2 * l->general.source_rate;
    for (size_t i = 0; i < l->n; i++) {
        struct pv_netlimits *own = &l->nets[i].limits;
        if ((l->seen_of[i] & SEEN_MEMBERS) == 0)
            own->members = l->all.members;
        if ((l->seen_of[i] & SEEN_STATEMENTS) == 0)
            own->statements = l->all.statements;
        if ((l->seen_of[i] & SEEN_STORED) == 0)
            own->stored = l->all.stored;
        if ((l->seen_of[i] & SEEN_BANDWIDTH) == 0)
            l->relay[i].bandwidth = bandwidth;
    }
}

/* A limit that a network leaves to [limits] and [relay] is theirs, not its own. */
bool pv_coordset_limits_same(const struct pv_coordset_limits *a, size_t i,
                             const struct pv_coordset_limits *b, size_t k)
{
    const struct pv_netlimits *x = &a->nets[i].limits, *y = &b->nets[k].limits;
    unsigned seen = a->seen_of[i];
    return seen == b->seen_of[k] && ((seen & SEEN_MEMBERS) == 0 || x->members == y->members) &&
           ((seen & SEEN_STATEMENTS) == 0 || x->statements == y->statements) &&
           ((seen & SEEN_STORED) == 0 || x->stored == y->stored) &&
           ((seen & SEEN_BANDWIDTH) == 0 || a->relay[i].bandwidth == b->relay[k].bandwidth);
}
