/* SPDX-License-Identifier: MIT */
/* [relay] and [turn-user NAME] of coordinator.conf. Keys are a table, so an unknown one can be
 * answered with those there are. */
#include "coordinator/settings/settings_relay.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char user_prefix[] = "turn-user ";

enum {
    /* Bits of struct pv_coordset_relay.seen. */
    SEEN_ENABLED = 1,
    SEEN_PORTS = 2,
    SEEN_BANDWIDTH = 4,
    SEEN_PER_USER = 8,
    SEEN_DOORS = 16,
    SEEN_DOORS_PER_NET = 32,

    PORT_MIN = 1024,      /* RFC 8656 s7.2: not the well-known ones */
    BANDWIDTH_MIN = 1000, /* ours: less is a mistake in the unit */
};

/* Writes an error as bad_value() of settings.c does. */
static int bad_relay_value(char *error, size_t cap, const char *what, const char *value,
                           const char *why)
{
    snprintf(error, cap, "%s %.100s: %s", what, value, why);
    return PV_ERR_MALFORMED;
}

/* Both ends are checked as numbers of their own: a range that is upside down is as wrong as a
 * word. */
int pv_coordset_relay_ports(struct pv_coordset_relay *r, const char *what, const char *value,
                            char *error, size_t cap)
{
    char lo[8];
    uint64_t a = 0;
    uint64_t b = 0;
    const char *dash = strchr(value, '-');
    size_t len = dash == NULL ? 0 : (size_t)(dash - value);
    if (len == 0 || len >= sizeof(lo))
        return bad_relay_value(error, cap, what, value, "expected LOW-HIGH, such as 49152-65535");
    memcpy(lo, value, len);
    lo[len] = '\0';
    if (pv_u64_parse(lo, PORT_MIN, UINT16_MAX, &a) < 0 ||
        pv_u64_parse(dash + 1, PORT_MIN, UINT16_MAX, &b) < 0 || b < a)
        return bad_relay_value(error, cap, what, value,
                               "expected LOW-HIGH, both within 1024-65535");
    r->port_lo = (uint16_t)a;
    r->port_hi = (uint16_t)b;
    return PV_OK;
}

/* Reads "500k", "10M", "1G" or plain bytes a second. */
static int take_bandwidth(struct pv_coordset_relay *r, const char *value, char *error, size_t cap)
{
    char digits[16];
    uint64_t n = 0;
    uint64_t unit = 1;
    size_t len = strlen(value);
    if (len > 0 && strchr("kMG", value[len - 1]) != NULL) {
        unit = value[len - 1] == 'k' ? 1000 : value[len - 1] == 'M' ? 1000000 : 1000000000;
        len--;
    }
    if (len == 0 || len >= sizeof(digits))
        return bad_relay_value(error, cap, "bandwidth", value,
                               "expected bytes a second, such as 500k or 10M");
    memcpy(digits, value, len);
    digits[len] = '\0';
    if (pv_u64_parse(digits, 0, UINT32_MAX, &n) < 0 || n * unit > UINT32_MAX ||
        (n > 0 && n * unit < BANDWIDTH_MIN))
        return bad_relay_value(
            error, cap, "bandwidth", value,
            "expected 0 (no limit) or 1k to 4G bytes a second, such as 500k or 10M");
    r->bandwidth = (uint32_t)(n * unit);
    return PV_OK;
}

/* Adds a range of peers that is let in against the default, such as the operator's own network. */
static int take_allow(struct pv_coordset_relay *r, const char *value, char *error, size_t cap)
{
    if (r->n_allow == PV_TURNS_ALLOW_MAX)
        return bad_relay_value(error, cap, "allow-peer", value, "at most 16 are supported");
    if (pv_prefix_parse(value, &r->allow[r->n_allow]) < 0)
        return bad_relay_value(error, cap, "allow-peer", value,
                               "expected an address or a range, such as 10.0.0.0/8");
    r->n_allow++;
    return PV_OK;
}

/* --no-relay on the command line stands. */
static int take_enabled(struct pv_coordset_relay *r, const char *value, char *error, size_t cap)
{
    bool on = true;
    if (pv_switch_parse(value, &on) < 0)
        return bad_relay_value(error, cap, "enabled", value, "expected on or off");
    if (!r->off_given)
        r->off = !on;
    return PV_OK;
}

/* A value that the command line overrides is checked all the same. */
static int take_ports(struct pv_coordset_relay *r, const char *value, char *error, size_t cap)
{
    struct pv_coordset_relay unused;
    return pv_coordset_relay_ports(r->ports_given ? &unused : r, "ports", value, error, cap);
}

static int take_per_user(struct pv_coordset_relay *r, const char *value, char *error, size_t cap)
{
    uint64_t n = 0;
    if (pv_u64_parse(value, 1, 4096, &n) < 0)
        return bad_relay_value(error, cap, "allocations-per-user", value, "expected 1 to 4096");
    r->per_user = (uint32_t)n;
    return PV_OK;
}

static int take_doors(struct pv_coordset_relay *r, const char *value, char *error, size_t cap)
{
    uint64_t n = 0;
    if (pv_u64_parse(value, 0, PV_TURNS_DOORS_MAX, &n) < 0)
        return bad_relay_value(error, cap, "doors", value, "expected 0 (none) to 1024");
    r->doors = (uint32_t)n;
    return PV_OK;
}

static int take_doors_per_net(struct pv_coordset_relay *r, const char *value, char *error,
                              size_t cap)
{
    uint64_t n = 0;
    if (pv_u64_parse(value, 1, PV_TURNS_DOORS_MAX, &n) < 0)
        return bad_relay_value(error, cap, "doors-per-network", value, "expected 1 to 1024");
    r->doors_per_net = (uint32_t)n;
    return PV_OK;
}

/* A key may be given once, but for those that make a list. An unknown one is answered with those
 * there are. */
static int relay_item(struct pv_coordset_relay *r, const struct pv_ini_item *item, char *error,
                      size_t cap)
{
    static const struct {
        const char *key;
        unsigned seen; /* 0: may be repeated */
        int (*take)(struct pv_coordset_relay *, const char *, char *, size_t);
    } keys[] = {
        {"enabled", SEEN_ENABLED, take_enabled},
        {"ports", SEEN_PORTS, take_ports},
        {"allocations-per-user", SEEN_PER_USER, take_per_user},
        {"bandwidth", SEEN_BANDWIDTH, take_bandwidth},
        {"doors", SEEN_DOORS, take_doors},
        {"doors-per-network", SEEN_DOORS_PER_NET, take_doors_per_net},
        {"allow-peer", 0, take_allow},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(keys); i++) {
        if (strcmp(item->key, keys[i].key) != 0)
            continue;
        if ((r->seen & keys[i].seen) != 0)
            return bad_relay_value(error, cap, item->key, item->value, "given twice");
        r->seen |= keys[i].seen;
        return keys[i].take(r, item->value, error, cap);
    }
    int n = snprintf(error, cap, "unknown key %.60s in [relay]: there are", item->key);
    for (size_t i = 0; n > 0 && (size_t)n < cap && i < PV_ARRAY_LEN(keys); i++)
        n += snprintf(error + n, cap - (size_t)n, "%s %s", i == 0 ? "" : ",", keys[i].key);
    return PV_ERR_MALFORMED;
}

/* --- users ----------------------------------------------------------------------------------- */

/* A name has no colon: it separates the parts of the hashed text (RFC 8489 s9.2.2), so two users
 * could have one key. */
static int begin_user(struct pv_coordset_relay *r, const char *name, char *error, size_t cap)
{
    size_t len = strlen(name);
    if (len == 0 || len > PV_TURNAUTH_USER_MAX || strchr(name, ':') != NULL)
        return bad_relay_value(error, cap, "turn-user", name,
                               "expected a name of 1 to 64 characters, no colon");
    for (size_t i = 0; i < r->n_users; i++) {
        if (strcmp(r->users[i].name, name) == 0)
            return bad_relay_value(error, cap, "turn-user", name, "given twice");
    }
    if (r->n_users == PV_TURNS_USERS_MAX)
        return bad_relay_value(error, cap, "turn-user", name, "at most 64 are supported");
    memcpy(r->users[r->n_users].name, name, len + 1);
    r->users[r->n_users].password_file[0] = '\0';
    r->n_users++;
    return PV_OK;
}

/* Passwords stand in files of their own, so that the configuration can be shown to others. */
static int user_item(struct pv_coordset_relay *r, const struct pv_ini_item *item, char *error,
                     size_t cap)
{
    struct pv_coordset_user *u = &r->users[r->n_users - 1];
    if (strcmp(item->key, "password-file") != 0) {
        snprintf(error, cap, "unknown key %.60s in [%.60s]: there is password-file", item->key,
                 item->section);
        return PV_ERR_MALFORMED;
    }
    if (u->password_file[0] != '\0')
        return bad_relay_value(error, cap, "password-file", item->value, "given twice");
    if (item->value[0] == '\0' || strlen(item->value) >= sizeof(u->password_file))
        return bad_relay_value(error, cap, "password-file", item->value, "expected a path");
    snprintf(u->password_file, sizeof(u->password_file), "%s", item->value);
    return PV_OK;
}

bool pv_coordset_relay_is(const char *section)
{
    return strcmp(section, "relay") == 0 ||
           strncmp(section, user_prefix, sizeof(user_prefix) - 1) == 0;
}

int pv_coordset_relay_item(struct pv_coordset_relay *r, const struct pv_ini_item *item, char *error,
                           size_t cap)
{
    bool user = strcmp(item->section, "relay") != 0;
    if (item->key == NULL)
        return user ? begin_user(r, item->section + sizeof(user_prefix) - 1, error, cap) : PV_OK;
    return user ? user_item(r, item, error, cap) : relay_item(r, item, error, cap);
}

/* A user without a password can only be told at the end of the file. */
int pv_coordset_relay_end(const struct pv_coordset_relay *r, char *error, size_t cap)
{
    for (size_t i = 0; i < r->n_users; i++) {
        if (r->users[i].password_file[0] == '\0') {
            snprintf(error, cap, "[turn-user %s] has no password-file", r->users[i].name);
            return PV_ERR_MALFORMED;
        }
    }
    return PV_OK;
}
