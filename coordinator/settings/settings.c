/* SPDX-License-Identifier: MIT */
/* The command line, then coordinator.conf. Both go through the same functions for values, so a key
 * and an option of one name cannot differ; every error names its place and what was expected. */
#include "coordinator/settings/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/file/file.h"
#include "sys/file/ini.h"

struct ctx;

enum {
    STATE_ROOM = 80, /* characters that names of files in the state directory need behind it */
};

const char pv_coordset_usage[] =
    "usage: p2pvpn-coordinator [--listen ADDR:PORT]... [--public ADDR]...\n"
    "                          [--alt-address ADDR] [--tls-listen ADDR:PORT]...\n"
    "                          [--relay-ports LO-HI] [--no-relay] [--state DIR]\n"
    "                          [--config FILE] [--open] [--check] [--version]\n"
    "       p2pvpn-coordinator url [--state DIR] [--public ADDR] [--config FILE]\n"
    "                          [--json]\n"
    "       p2pvpn-coordinator status [--state DIR] [--json] [--check]\n"
    "       p2pvpn-coordinator metrics [--state DIR]\n"
    "       p2pvpn-coordinator reload [--state DIR] [--json]\n"
    "       p2pvpn-coordinator networks [--state DIR] [--config FILE] [--names]\n"
    "                          [--json]\n"
    "       p2pvpn-coordinator drop NETWORK [--state DIR] [--config FILE] [--json]\n"
    "       p2pvpn-coordinator secret rotate [--state DIR] [--public ADDR]\n"
    "                          [--config FILE] [--json]\n"
    "       p2pvpn-coordinator backup FILE [--state DIR] [--json]\n"
    "       p2pvpn-coordinator restore FILE [--state DIR] [--json]\n"
    "       p2pvpn-coordinator import [--state DIR] [--config FILE] [--json]\n"
    "       p2pvpn-coordinator export [--state DIR] [--config FILE] [--json]\n"
    "       p2pvpn-coordinator homes [--config FILE] [--json]\n"
    "       p2pvpn-coordinator drain [--state DIR] [--json]\n"
    "       p2pvpn-coordinator web [PLACE] [--state DIR] [--config FILE] [--json]\n"
    "\n"
    "  url             print the URL that `p2pvpnctl create` needs; works before the\n"
    "                  first start\n"
    "  status          show the state of the running coordinator: connections,\n"
    "                  relay, limits, store\n"
    "  metrics         print these numbers and more as text for Prometheus\n"
    "  reload          make the running coordinator read its configuration again. It\n"
    "                  applies all of it or, after a mistake, nothing. Prints what\n"
    "                  changed and what needs a restart\n"
    "  networks        list the networks here with id, size and last use; --names\n"
    "                  adds their names\n"
    "  drop NETWORK    delete the network with this id here, and disconnect its nodes\n"
    "  secret rotate   make a new secret for `create`, and print the new URL; the old\n"
    "                  URL makes no more networks\n"
    "  backup FILE     write database and keys to a file; the coordinator may run\n"
    "  restore FILE    put a backup in place, and keep the present data beside it\n"
    "  import          copy the database of the state directory to the database of\n"
    "                  [store] postgres\n"
    "  export          copy the database of [store] postgres to the state directory\n"
    "  homes           if several coordinators share a database: which coordinator is\n"
    "                  the home of which network, since when, and why\n"
    "  drain           give all networks of the running coordinator to the others;\n"
    "                  use it before you stop the coordinator\n"
    "  web             show the running coordinator as a page in your browser, until\n"
    "                  you press Ctrl-C. Prints a link that works once. PLACE is\n"
    "                  [ADDR:]PORT of loopback, or a PATH with a \"/\"\n"
    "  --listen ADDR:PORT  TCP and UDP address to serve; may be repeated (default:\n"
    "                  port 3478 on every IPv4 and IPv6 address)\n"
    "  --public ADDR   address or name by which nodes reach the coordinator, with\n"
    "                  :PORT if nodes use another port than it listens on. May be\n"
    "                  repeated; the URL has the first\n"
    "  --alt-address ADDR  a second address of this machine, by which nodes can\n"
    "                  measure their NAT fully (RFC 5780); may be given once for\n"
    "                  IPv4 and once for IPv6\n"
    "  --tls-listen ADDR:PORT  one more TCP address, such as 0.0.0.0:443, for nodes\n"
    "                  whose network blocks other ports; may be repeated. Every TCP\n"
    "                  port serves TLS, with the certificate of tls-cert and tls-key\n"
    "                  or with one that the first start makes\n"
    "  --relay-ports LO-HI  UDP ports for phone ports and the relay's static users\n"
    "                  (default 49152-65535); the firewall must accept them\n"
    "  --no-relay      relay nothing, neither for nodes nor for static users\n"
    "  --state DIR     keys and database (default " PV_COORDSET_STATE ")\n"
    "  --config FILE   default " PV_COORDSET_CONFIG ", if it exists\n"
    "  --open          everybody may create networks here, without the URL's secret\n"
    "  --check         check the settings and do nothing else. With status: exit code\n"
    "                  1 unless the coordinator serves and can store\n"
    "  --json          print the answer of a subcommand as JSON\n";

/* --- values: the same on the command line and in the file ------------------------------------ */

/* A key of the file, or an option of the command line. */
struct key {
    const char *name;
    int (*take)(struct ctx *c);
    size_t at, size; /* of a number: where it goes, in what its function says */
    uint32_t min, max;
    const char *why;
    unsigned unless; /* it does not count where the command line has given that (enum given) */
    bool repeats;
    bool secret; /* an error does not repeat the value */
};

/* The command line has given that, and it stands. */
enum given {
    GIVEN_LISTEN = 1,
    GIVEN_TLS_LISTEN = 2,
    GIVEN_PUBLIC = 4,
    GIVEN_ALT = 8,
    GIVEN_OPEN = 16,
    GIVEN_PORTS = 32,
    GIVEN_NO_RELAY = 64,
};

/* The value being read, and where to say what is wrong with it. */
struct ctx {
    struct pv_coordset *set; /* where it goes */
    const char *config;      /* value of --config; NULL: none */
    const struct key *key;
    const char *value;
    char *error;
    size_t cap;
};

/* Writes "--listen 1.2.3: expected ...". The value is cut, as it may be anything. */
static int bad_value(char *error, size_t cap, const char *what, const char *value, const char *why)
{
    snprintf(error, cap, "%s %.100s: %s", what, value, why);
    return PV_ERR_MALFORMED;
}

static int bad(struct ctx *c, const char *why)
{
    if (!c->key->secret)
        return bad_value(c->error, c->cap, c->key->name, c->value, why);
    snprintf(c->error, c->cap, "%s: %s", c->key->name, why);
    return PV_ERR_MALFORMED;
}

static int take_switch(struct ctx *c, bool *ret_on)
{
    return pv_switch_parse(c->value, ret_on) < 0 ? bad(c, "expected on or off") : PV_OK;
}

/* A plain number, of struct pv_coordset. */
static int take_number(struct ctx *c)
{
    uint64_t n = 0;
    if (pv_u64_parse(c->value, c->key->min, c->key->max, &n) < 0)
        return bad(c, c->key->why);
    *(uint32_t *)(void *)((char *)c->set + c->key->at) = (uint32_t)n;
    return PV_OK;
}

/* "1000", or with a unit "10M", up to the key's largest; into one of 4 or 8 bytes. */
static int put_amount(struct ctx *c, void *place)
{
    char digits[16];
    size_t len = strlen(c->value);
    uint64_t n = 0, unit = 1;
    if (len > 0 && strchr("kMG", c->value[len - 1]) != NULL) {
        char letter = c->value[--len];
        unit = letter == 'k' ? 1000 : letter == 'M' ? 1000000 : 1000000000;
    }
    if (len == 0 || len >= sizeof(digits))
        return bad(c, c->key->why);
    memcpy(digits, c->value, len);
    digits[len] = '\0';
    /* 0 is no limit, and no low one. */
    if (pv_u64_parse(digits, 0, c->key->max, &n) < 0 || n > c->key->max / unit ||
        (n > 0 && n * unit < c->key->min))
        return bad(c, c->key->why);
    if (c->key->size == sizeof(uint64_t))
        *(uint64_t *)place = n * unit;
    else
        *(uint32_t *)place = (uint32_t)(n * unit);
    return PV_OK;
}

/* An amount, of struct pv_coordset. */
static int take_amount(struct ctx *c)
{
    return put_amount(c, (char *)c->set + c->key->at);
}

/* Port 0 may be given twice: the kernel chooses two different ones. */
static bool is_listed(const struct pv_addr *list, size_t n, const struct pv_addr *addr)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_addr_equal(&list[i], addr) && addr->port != 0)
            return true;
    }
    return false;
}

#define LISTED "given twice (TLS is spoken on every TCP port)"

/* TLS is spoken on every TCP port, so an address may stand in one of the two lists only. */
static int add_listen(struct ctx *c, struct pv_addr *list, size_t *n, const char *why)
{
    const struct pv_coordset *set = c->set;
    struct pv_addr addr;
    if (pv_addr_parse(c->value, &addr) < 0)
        return bad(c, why);
    if (is_listed(set->listen, set->n_listen, &addr) ||
        is_listed(set->tls_listen, set->n_tls_listen, &addr))
        return bad(c, LISTED);
    if (*n == PV_COORDSET_LISTEN_MAX)
        return bad(c, "at most 8 are supported");
    list[(*n)++] = addr;
    return PV_OK;
}

static int take_listen(struct ctx *c)
{
    return add_listen(c, c->set->listen, &c->set->n_listen,
                      "expected ADDRESS:PORT, such as 192.0.2.1:3478, 0.0.0.0:3478 or "
                      "[::]:3478");
}

static int take_tls_listen(struct ctx *c)
{
    return add_listen(c, c->set->tls_listen, &c->set->n_tls_listen,
                      "expected ADDRESS:PORT, such as 192.0.2.1:443, 0.0.0.0:443 or [::]:443");
}

/* Reads HOST, ADDRESS or [IPV6], each with or without a port. A bare IPv6 address has colons of its
 * own, so it is tried first; a name without a port is tried with one. */
static bool parse_public(const char *value, struct pv_hostport *ret_hp)
{
    char text[PV_HOSTPORT_BUF];
    struct pv_addr addr;
    size_t len = strlen(value);
    if (pv_addr_parse_ip(value, &addr) == PV_OK) {
        if (pv_addr_is_unspecified(&addr) || pv_addr_is_multicast(&addr) ||
            pv_addr_is_broadcast(&addr))
            return false;
        *ret_hp = (struct pv_hostport){0};
        pv_addr_format_ip(&addr, text);
        memcpy(ret_hp->host, text, strlen(text) + 1);
        return true;
    }
    if (len >= sizeof(text) || strncmp(value, "tls:", 4) == 0)
        return false;
    if (pv_hostport_parse(value, len, ret_hp) == PV_OK)
        return true;
    if (snprintf(text, sizeof(text), "%s:1", value) >= (int)sizeof(text) ||
        pv_hostport_parse(text, strlen(text), ret_hp) < 0)
        return false;
    ret_hp->port = 0;
    return true;
}

/* The order counts: the URL takes the first. */
static int take_public(struct ctx *c)
{
    struct pv_hostport hp;
    if (!parse_public(c->value, &hp))
        return bad(c, "expected an address that nodes reach or a lower-case host name, with or "
                      "without :PORT");
    if (c->set->n_public == PV_CTL_ADDRS_MAX)
        return bad(c, "at most 8 are supported");
    c->set->public[c->set->n_public++] = hp;
    return PV_OK;
}

/* The addresses of this machine are only asked for when the sockets are opened. */
static int take_alt(struct ctx *c)
{
    struct pv_coordset *set = c->set;
    struct pv_addr addr;
    if (pv_addr_parse_ip(c->value, &addr) < 0 || pv_addr_is_unspecified(&addr) ||
        pv_addr_is_multicast(&addr) || pv_addr_is_broadcast(&addr))
        return bad(c, "expected an address of this machine without a port, such as 192.0.2.2");
    for (size_t i = 0; i < set->n_alt; i++) {
        if (set->alt[i].family == addr.family)
            return bad(c, "given twice for this family");
    }
    set->alt[set->n_alt++] = addr;
    return PV_OK;
}

/* Only the form is checked here; the file is opened later. */
static int put_path(struct ctx *c, char dst[static PATH_MAX])
{
    if (c->value[0] == '\0' || strlen(c->value) >= PATH_MAX)
        return bad(c, "expected the path of a PEM file");
    snprintf(dst, PATH_MAX, "%s", c->value);
    return PV_OK;
}

static int take_tls_cert(struct ctx *c)
{
    return put_path(c, c->set->tls_cert);
}

static int take_tls_key(struct ctx *c)
{
    return put_path(c, c->set->tls_key);
}

static int take_open(struct ctx *c)
{
    return take_switch(c, &c->set->switches.open);
}

/* --- the relay ------------------------------------------------------------------------------- */

enum {
    PORT_MIN = 1024,      /* RFC 8656 s7.2: not the well-known ones */
    BANDWIDTH_MIN = 1000, /* ours: less is a mistake in the unit */
};

static int take_enabled(struct ctx *c)
{
    bool on = true;
    int r = take_switch(c, &on);
    c->set->relay.off = !on;
    return r;
}

/* Both ends are checked as numbers of their own: a range that is upside down is as wrong as a
 * word. */
static int take_ports(struct ctx *c)
{
    char lo[8];
    uint64_t a = 0, b = 0;
    const char *dash = strchr(c->value, '-');
    size_t len = dash == NULL ? 0 : (size_t)(dash - c->value);
    if (len == 0 || len >= sizeof(lo))
        return bad(c, "expected LOW-HIGH, such as 49152-65535");
    memcpy(lo, c->value, len);
    lo[len] = '\0';
    if (pv_u64_parse(lo, PORT_MIN, UINT16_MAX, &a) < 0 ||
        pv_u64_parse(dash + 1, PORT_MIN, UINT16_MAX, &b) < 0 || b < a)
        return bad(c, "expected LOW-HIGH, both within 1024-65535");
    c->set->relay.port_lo = (uint16_t)a;
    c->set->relay.port_hi = (uint16_t)b;
    return PV_OK;
}

/* Adds a range of peers that is let in against the default, such as the operator's own network. */
static int take_allow(struct ctx *c)
{
    struct pv_coordset_relay *r = &c->set->relay;
    if (r->n_allow == PV_TURNS_ALLOW_MAX)
        return bad(c, "at most 16 are supported");
    if (pv_prefix_parse(c->value, &r->allow[r->n_allow]) < 0)
        return bad(c, "expected an address or a range, such as 10.0.0.0/8");
    r->n_allow++;
    return PV_OK;
}

/* A name has no colon: it separates the parts of the hashed text (RFC 8489 s9.2.2), so two users
 * could have one key. It is UTF-8 (s14.3), as all that the report has. */
static int begin_user(struct ctx *c)
{
    struct pv_coordset_relay *r = &c->set->relay;
    size_t len = strlen(c->value);
    if (len == 0 || len > PV_TURNAUTH_USER_MAX || strchr(c->value, ':') != NULL ||
        !pv_utf8_is_valid(pv_view(c->value, len)))
        return bad(c, "expected a name of 1 to 64 bytes in UTF-8, no colon");
    for (size_t i = 0; i < r->n_users; i++) {
        if (strcmp(r->users[i].name, c->value) == 0)
            return bad(c, "given twice");
    }
    if (r->n_users == PV_TURNS_USERS_MAX)
        return bad(c, "at most 64 are supported");
    struct pv_coordset_user *u = &r->users[r->n_users++];
    *u = (struct pv_coordset_user){.password_file = ""};
    memcpy(u->name, c->value, len + 1);
    return PV_OK;
}

/* Passwords stand in files of their own, so that the configuration can be shown to others. */
static int take_password_file(struct ctx *c)
{
    struct pv_coordset_user *u = &c->set->relay.users[c->set->relay.n_users - 1];
    if (c->value[0] == '\0' || strlen(c->value) >= sizeof(u->password_file))
        return bad(c, "expected a path");
    snprintf(u->password_file, sizeof(u->password_file), "%s", c->value);
    return PV_OK;
}

/* --- limits ---------------------------------------------------------------------------------- */

/* Of the coordinator as a whole, one of struct pv_coord_limits: 0 is that it was not given. */
static int take_general(struct ctx *c)
{
    char why[64];
    uint32_t n = 0;
    const struct key key = {
        .name = c->key->name, .max = c->key->max, .why = why, .size = sizeof(n)};
    struct ctx whole = *c;
    snprintf(why, sizeof(why), "expected a number from 1 to %u", c->key->max);
    whole.key = &key;
    int r = put_amount(&whole, &n);
    if (r == PV_OK && n == 0)
        r = bad(&whole, why);
    if (r == PV_OK)
        *(uint32_t *)(void *)((char *)&c->set->limits.general + c->key->at) = n;
    return r;
}

/* The id is the text that `p2pvpn-coordinator networks` prints. */
static int begin_network(struct ctx *c)
{
    struct pv_coordset_limits *l = &c->set->limits;
    uint8_t id[PV_NETWORK_ID_LEN];
    if (pv_netid_parse(c->value, id) < 0)
        return bad(c, "expected an id of 32 digits: `p2pvpn-coordinator networks` lists them");
    for (size_t i = 0; i < l->n; i++) {
        if (memcmp(l->nets[i].id, id, sizeof(id)) == 0)
            return bad(c, "given twice");
    }
    if (l->n == PV_COORDSET_NETS_MAX)
        return bad(c, "at most 256 are supported");
    _Static_assert((int)PV_TURNAUTH_NET_LEN == (int)PV_NETWORK_ID_LEN, "the relay's network id");
    l->nets[l->n] = (struct pv_netlimits_of){.limits = {0}};
    l->relay[l->n] = (struct pv_turns_net){.bandwidth = 0};
    memcpy(l->nets[l->n].id, id, sizeof(id));
    memcpy(l->relay[l->n++].net, id, sizeof(id));
    return PV_OK;
}

/* Of the network that began last, one of struct pv_netlimits. */
static int take_of_network(struct ctx *c)
{
    struct pv_coordset_limits *l = &c->set->limits;
    return put_amount(c, (char *)&l->nets[l->n - 1].limits + c->key->at);
}

static int take_net_bandwidth(struct ctx *c)
{
    struct pv_coordset_limits *l = &c->set->limits;
    return put_amount(c, &l->relay[l->n - 1].bandwidth);
}

/* --- the store ------------------------------------------------------------------------------- */

/* The value may hold a password; libpq checks it when it is used. */
static int take_postgres(struct ctx *c)
{
    struct pv_coordset_store *s = &c->set->store;
    if (c->value[0] == '\0')
        return bad(c, "expected the address of a database, such as host=db.example dbname=p2pvpn");
    if (strlen(c->value) >= sizeof(s->postgres))
        return bad(c, "at most 1023 characters");
    snprintf(s->postgres, sizeof(s->postgres), "%s", c->value);
    return PV_OK;
}

/* --- the file -------------------------------------------------------------------------------- */

#define OF(member) \
    .at = offsetof(struct pv_coordset, member), .size = sizeof(((struct pv_coordset *)NULL)->member)
#define NET(member)                              \
    .at = offsetof(struct pv_netlimits, member), \
    .size = sizeof(((struct pv_netlimits *)NULL)->member)
#define NUMBER .max = UINT32_MAX, .why = "expected 0 (no limit) or a number, such as 100"
#define BYTES  .max = UINT32_MAX, .why = "expected 0 (no limit) or bytes up to 4G, such as 10M"
#define RATE                                 \
    .min = BANDWIDTH_MIN, .max = UINT32_MAX, \
    .why = "expected 0 (no limit) or 1k to 4G bytes a second, such as 500k or 10M"

/* In the order in which an error lists them. */
static const struct key coordinator_keys[] = {
    {"listen", take_listen, .repeats = true, .unless = GIVEN_LISTEN},
    {"public", take_public, .repeats = true, .unless = GIVEN_PUBLIC},
    {"alt-address", take_alt, .repeats = true, .unless = GIVEN_ALT},
    {"tls-listen", take_tls_listen, .repeats = true, .unless = GIVEN_TLS_LISTEN},
    {"tls-cert", .take = take_tls_cert},
    {"tls-key", .take = take_tls_key},
    {"open", take_open, .unless = GIVEN_OPEN},
};
static const struct key relay_keys[] = {
    {"enabled", take_enabled, .unless = GIVEN_NO_RELAY},
    {"ports", take_ports, .unless = GIVEN_PORTS},
    {"allocations-per-user", take_number, OF(relay.per_user), 1, 4096, "expected 1 to 4096"},
    {"bandwidth", take_amount, OF(relay.bandwidth), RATE},
    {"phone-ports", take_number, OF(relay.phone_ports), 0, PV_TURNS_PHONE_PORTS_MAX,
     "expected 0 (none) to 1024"},
    {"phone-ports-per-network", take_number, OF(relay.phone_ports_per_net), 1,
     PV_TURNS_PHONE_PORTS_MAX, "expected 1 to 1024"},
    {"allow-peer", take_allow, .repeats = true},
};
static const struct key user_keys[] = {{"password-file", .take = take_password_file}};
#define GENERAL(member, most) .at = offsetof(struct pv_coord_limits, member), .max = (most)
static const struct key limits_keys[] = {
    {"members", take_amount, OF(limits.all.members), NUMBER},
    {"statements", take_amount, OF(limits.all.statements), NUMBER},
    {"stored", take_amount, OF(limits.all.stored), BYTES},
    {"connections", take_general, GENERAL(conns, 1000000)},
    {"applicants", take_general, GENERAL(applicants, 1000000)},
    {"networks", take_general, GENERAL(networks, 1000000)},
    {"subscriptions", take_general, GENERAL(subscriptions, 16384)},
    {"connections-per-source", take_general, GENERAL(source_rate, 1000000)},
};
/* Their places are the bits of pv_coordset_limits.seen_of. */
static const struct key network_keys[] = {
    [PV_COORDSET_MEMBERS] = {"members", take_of_network, NET(members), NUMBER},
    [PV_COORDSET_STATEMENTS] = {"statements", take_of_network, NET(statements), NUMBER},
    [PV_COORDSET_STORED] = {"stored", take_of_network, NET(stored), BYTES},
    [PV_COORDSET_BANDWIDTH] = {"relay-bandwidth", take_net_bandwidth, RATE},
};
static const struct key store_keys[] = {{"postgres", take_postgres, .secret = true}};

static const struct section {
    const char *name;
    const struct key *keys; /* NULL: pv_scrapeset_take() has them */
    size_t n_keys;
    int (*begin)(struct ctx *c); /* of one that has a name behind its own */
} sections[] = {
    {"coordinator", coordinator_keys, PV_ARRAY_LEN(coordinator_keys), NULL},
    {"relay", relay_keys, PV_ARRAY_LEN(relay_keys), NULL},
    {"turn-user", user_keys, PV_ARRAY_LEN(user_keys), begin_user},
    {"limits", limits_keys, PV_ARRAY_LEN(limits_keys), NULL},
    {"network", network_keys, PV_ARRAY_LEN(network_keys), begin_network},
    {"store", store_keys, PV_ARRAY_LEN(store_keys), NULL},
    {"metrics", NULL, 0, NULL},
};

void pv_coordset_limits_compare(const struct pv_coord_limits *a, const struct pv_coord_limits *b,
                                void (*each)(char *list, const char *key), char *list)
{
    char key[64];
    for (size_t i = 0; i < PV_ARRAY_LEN(limits_keys); i++) {
        const size_t at = limits_keys[i].at;
        snprintf(key, sizeof(key), "[limits] %s", limits_keys[i].name);
        if (limits_keys[i].take == take_general &&
            memcmp((const char *)a + at, (const char *)b + at, sizeof(uint32_t)) != 0)
            each(list, key);
    }
}

struct file {
    struct ctx c;
    struct pv_coordset *set, *unused; /* where values go, and where values go that do not count */
    unsigned given;                   /* enum given */
    unsigned seen[PV_ARRAY_LEN(sections)]; /* bit i: key i was given */
};

static const struct section *find_section(const char *name)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(sections); i++) {
        size_t len = strlen(sections[i].name);
        if (strncmp(name, sections[i].name, len) == 0 &&
            name[len] == (sections[i].begin != NULL ? ' ' : '\0'))
            return &sections[i];
    }
    return NULL;
}

static int begin_section(struct file *f, const struct section *section,
                         const struct pv_ini_item *item)
{
    const struct key named = {.name = section->name};
    if (section->begin == NULL)
        return PV_OK;
    f->seen[section - sections] = 0;
    f->c.set = f->set;
    f->c.key = &named;
    f->c.value = item->section + strlen(section->name) + 1;
    return section->begin(&f->c);
}

/* An unknown key is answered with those there are: most are misspelt, or from another section. */
static int unknown_key(const struct section *section, const struct pv_ini_item *item, char *error,
                       size_t cap)
{
    struct pv_text text = pv_text_in(error, cap);
    pv_text_add(&text, "unknown key %.60s in [%.60s]: there %s", item->key, item->section,
                section->n_keys == 1 ? "is" : "are");
    for (size_t i = 0; i < section->n_keys; i++)
        pv_text_add(&text, "%s %s", i == 0 ? "" : ",", section->keys[i].name);
    return PV_ERR_MALFORMED;
}

/* Values that do not count, because the command line gave others, are checked all the same: a wrong
 * file must not work until an option is dropped. */
static int take_key(struct file *f, const struct section *section, size_t i, const char *value)
{
    const struct key *key = &section->keys[i];
    unsigned *seen = &f->seen[section - sections];
    f->c.key = key;
    f->c.value = value;
    f->c.set = (f->given & key->unless) != 0 ? f->unused : f->set;
    *f->unused = (struct pv_coordset){.n_listen = 0}; /* each is checked by itself */
    if (!key->repeats && (*seen & 1u << i) != 0)
        return bad(&f->c, "given twice");
    *seen |= 1u << i;
    if (section->keys == network_keys)
        f->set->limits.seen_of[f->set->limits.n - 1] = *seen;
    return key->take(&f->c);
}

/* [metrics] is the same in p2pvpnd.conf (proto/local/scrape.h). */
static int metrics_item(struct pv_coordset *set, const struct pv_ini_item *item, char *error,
                        size_t cap)
{
    const char *why = "";
    if (pv_scrapeset_take(&set->metrics, item->key, item->value, &why) == PV_OK)
        return PV_OK;
    snprintf(error, cap, "%s", why);
    return PV_ERR_MALFORMED;
}

/* A section is an item without a key; an empty section is no error. */
static int take_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    struct file *f = ctx;
    const struct section *section = find_section(item->section);
    f->c.error = error;
    f->c.cap = cap;
    if (section == NULL && item->section[0] == '\0' && item->key != NULL) {
        snprintf(error, cap, "%.60s stands before any section: begin with [coordinator]",
                 item->key);
        return PV_ERR_MALFORMED;
    }
    if (section == NULL) {
        snprintf(error, cap,
                 "unknown section [%.60s]: there are [coordinator], [relay], [turn-user NAME], "
                 "[limits], [network ID], [store] and [metrics]",
                 item->section);
        return PV_ERR_MALFORMED;
    }
    if (item->key == NULL)
        return begin_section(f, section, item);
    if (section->keys == NULL)
        return metrics_item(f->set, item, error, cap);
    for (size_t i = 0; i < section->n_keys; i++) {
        if (strcmp(item->key, section->keys[i].name) == 0)
            return take_key(f, section, i, item->value);
    }
    return unknown_key(section, item, error, cap);
}

static unsigned given_by(const struct pv_coordset *set)
{
    return (set->n_listen > 0 ? GIVEN_LISTEN : 0u) |
           (set->n_tls_listen > 0 ? GIVEN_TLS_LISTEN : 0u) |
           (set->n_public > 0 ? GIVEN_PUBLIC : 0u) | (set->n_alt > 0 ? GIVEN_ALT : 0u) |
           (set->switches.open ? GIVEN_OPEN : 0u) | (set->relay.port_lo != 0 ? GIVEN_PORTS : 0u) |
           (set->relay.off ? GIVEN_NO_RELAY : 0u);
}

/* This can only be told at the end of the file: its lines come in any order. */
static int check_whole(const struct pv_coordset *set, char *error, size_t cap)
{
    const char *why = "";
    bool has = set->tls_cert[0] != '\0';
    for (size_t i = 0; i < set->relay.n_users; i++) {
        if (set->relay.users[i].password_file[0] == '\0') {
            snprintf(error, cap, "[turn-user %s] has no password-file", set->relay.users[i].name);
            return PV_ERR_MALFORMED;
        }
    }
    if (pv_scrapeset_check(&set->metrics, &why) < 0)
        snprintf(error, cap, "%s", why);
    else if (has != (set->tls_key[0] != '\0'))
        snprintf(error, cap, "%s without %s: give both, or neither for a certificate of its own",
                 has ? "tls-cert" : "tls-key", has ? "tls-key" : "tls-cert");
    else
        return PV_OK;
    return PV_ERR_MALFORMED;
}

/* The options of the command line are noted before the file adds to the same lists. */
int pv_coordset_parse(struct pv_coordset *set, const char *file, struct pv_view text,
                      char ret_error[static PV_COORDSET_ERROR_MAX])
{
    struct pv_coordset unused = {.n_listen = 0};
    struct file f = {.set = set, .unused = &unused, .given = given_by(set)};
    struct pv_ini_error error = {0};
    int r = pv_ini_parse(text, take_item, &f, &error);
    if (r == PV_ERR_NOMEM)
        snprintf(ret_error, PV_COORDSET_ERROR_MAX, "%.200s: out of memory", file);
    else if (r < 0)
        snprintf(ret_error, PV_COORDSET_ERROR_MAX, "%.200s:%u: %s", file, error.line, error.text);
    if (r < 0)
        return r;
    if (error.line != 0)
        snprintf(set->note, sizeof(set->note), "%.200s:%u: %s", file, error.line, error.text);
    pv_coordset_limits_end(&set->limits, set->relay.bandwidth);
    r = check_whole(set, error.text, sizeof(error.text));
    if (r < 0)
        snprintf(ret_error, PV_COORDSET_ERROR_MAX, "%.200s: %s", file, error.text);
    return r;
}

const char *pv_coordset_path(const struct pv_coordset *set, const char *file,
                             char ret_path[static PATH_MAX])
{
    bool relative = file[0] != '\0' && file[0] != '/' && set->dir[0] != '\0';
    size_t n = relative ? strlen(set->dir) : 0;
    if (n + strlen(file) + 2 > PATH_MAX)
        n = 0; /* too long for any file: it is not found */
    memcpy(ret_path, set->dir, n);
    snprintf(ret_path + n, PATH_MAX - n, "%s%s", n > 0 ? "/" : "", file);
    return ret_path;
}

/* The default file may be missing; one that was named must be there. */
static int load_file(struct pv_coordset *set, const char *file, bool must_exist,
                     char ret_error[static PV_COORDSET_ERROR_MAX])
{
    char *text = NULL, path[PATH_MAX];
    size_t len = 0;
    int r = pv_file_read(pv_coordset_path(set, file, path), PV_INI_FILE_MAX, &text, &len);
    if (r == PV_ERR_NOT_FOUND && !must_exist)
        return PV_OK;
    if (r == PV_OK)
        r = pv_coordset_parse(set, file, pv_view(text, len), ret_error);
    else
        snprintf(ret_error, PV_COORDSET_ERROR_MAX, "read %.200s: %s", file,
                 r == PV_ERR_NOT_FOUND ? "no such file: is the path right?"
                 : r == PV_ERR_LIMIT   ? "not a regular file of at most 256 KiB"
                 : r == -EACCES ? "not permitted: make it readable for the coordinator's user; a "
                                  "directory that is new needs a restart"
                                : pv_strstatus(r));
    pv_file_free(text, len);
    return r < 0 ? PV_ERR_MALFORMED : PV_OK;
}

/* --- the command line ------------------------------------------------------------------------ */

/* The file is read at the end, when all options are known: wherever --config stands, it fills what
 * they left out. */
static int option_config(struct ctx *c)
{
    if (c->value[0] == '\0')
        return bad_value(c->error, c->cap, "option", "--config", "its value is empty");
    c->config = c->value;
    return PV_OK;
}

/* An empty value would be the root directory in every path that is made of it. */
static int option_state(struct ctx *c)
{
    if (c->value[0] == '\0')
        return bad_value(c->error, c->cap, "option", "--state", "its value is empty");
    if (strlen(c->value) >= sizeof(c->set->state) - STATE_ROOM)
        return bad(c, "the path is too long");
    snprintf(c->set->state, sizeof(c->set->state), "%s", c->value);
    return PV_OK;
}

/* Options that have a value, which most have in common with a key of the file. The switches are in
 * take_word(). */
static const struct key options[] = {
    {"--listen", .take = take_listen},     {"--public", .take = take_public},
    {"--alt-address", .take = take_alt},   {"--tls-listen", .take = take_tls_listen},
    {"--relay-ports", .take = take_ports}, {"--state", .take = option_state},
    {"--config", .take = option_config},
};

/* Finds the option of an argument, "--name" or "--name=value". NULL: it has no value, or is
 * none. */
static const struct key *find_option(const char *arg)
{
    size_t len = strcspn(arg, "=");
    for (size_t i = 0; i < PV_ARRAY_LEN(options); i++) {
        if (strlen(options[i].name) == len && strncmp(arg, options[i].name, len) == 0)
            return &options[i];
    }
    return NULL;
}

/* Gives the value of --name VALUE or --name=VALUE and advances *i; NULL: it is missing. */
static const char *value_of(int argc, char **argv, int *i)
{
    const char *equals = strchr(argv[*i], '=');
    if (equals != NULL)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

/* Words that say what to do; they may stand anywhere on the line. */
static const struct action {
    const char *name;
    enum pv_coordset_action action;
    const char *operand; /* what has to be behind it, as the usage names it, or, with a [, what may;
                            NULL: nothing */
    bool json;           /* --json goes with it */
    bool alone;          /* the configuration does not matter: a broken file does not stop it */
} actions[] = {
    {"url", PV_COORDSET_URL, NULL, true, false},
    {"status", PV_COORDSET_STATUS, NULL, true, true},
    {"metrics", PV_COORDSET_METRICS, NULL, false, true},
    {"networks", PV_COORDSET_NETWORKS, NULL, true, true},
    {"drop", PV_COORDSET_DROP, "NETWORK", true, true},
    {"secret", PV_COORDSET_SECRET, "rotate", true, false},
    {"backup", PV_COORDSET_BACKUP, "FILE", true, true},
    {"restore", PV_COORDSET_RESTORE, "FILE", true, true},
    {"import", PV_COORDSET_IMPORT, NULL, true, false},
    {"export", PV_COORDSET_EXPORT, NULL, true, false},
    {"reload", PV_COORDSET_RELOAD, NULL, true, true},
    {"homes", PV_COORDSET_HOMES, NULL, true, false},
    {"drain", PV_COORDSET_DRAIN, NULL, true, true},
    {"web", PV_COORDSET_WEB, "[PLACE]", true, true},
    {"--check", PV_COORDSET_CHECK, NULL, false, false},
    {"--version", PV_COORDSET_VERSION, NULL, false, true},
    {"--help", PV_COORDSET_HELP, NULL, false, true},
    {"-h", PV_COORDSET_HELP, NULL, false, true},
};

/* NULL: to run. */
static const struct action *find_action(enum pv_coordset_action action)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(actions); i++) {
        if (actions[i].action == action)
            return &actions[i];
    }
    return NULL;
}

/* Takes a switch, a word that says what to do, or what belongs to that word. */
static int take_word(struct pv_coordset *set, const char *arg,
                     char ret_error[static PV_COORDSET_ERROR_MAX])
{
    const struct action *now = find_action(set->action);
    bool wants = now != NULL && now->operand != NULL && set->operand == NULL;
    set->check = set->check || (!wants && strcmp(arg, "--check") == 0);
    if (set->check && set->action == PV_COORDSET_STATUS && strcmp(arg, "--check") == 0)
        return PV_OK; /* of the status, not of the settings */
    if (set->action == PV_COORDSET_HELP)
        return PV_OK; /* whatever else is said */
    for (size_t i = 0; i < PV_ARRAY_LEN(actions); i++) {
        bool taken = !wants || actions[i].action == PV_COORDSET_HELP;
        if (taken && strcmp(arg, actions[i].name) == 0) {
            set->action = actions[i].action;
            return PV_OK;
        }
    }
    if (strcmp(arg, "--open") == 0)
        set->switches.open = true;
    else if (strcmp(arg, "--no-relay") == 0)
        set->relay.off = true;
    else if (strcmp(arg, "--json") == 0)
        set->json = true;
    else if (strcmp(arg, "--names") == 0)
        set->names = true;
    else if (arg[0] == '\0')
        return bad_value(ret_error, PV_COORDSET_ERROR_MAX, wants ? now->name : "argument",
                         wants ? now->operand : "\"\"",
                         "is an empty word; see p2pvpn-coordinator --help");
    else if (wants && arg[0] != '-')
        set->operand = arg;
    else
        return bad_value(ret_error, PV_COORDSET_ERROR_MAX,
                         arg[0] == '-' ? "option"
                         : now == NULL ? "command"
                                       : "argument",
                         arg, "unknown; without a command it runs; see p2pvpn-coordinator --help");
    return PV_OK;
}

/* Checks that everything fits the action. Only the whole line shows it, because the words may come
 * in any order. */
static int check_action(const struct pv_coordset *set, const struct action *action,
                        char ret_error[static PV_COORDSET_ERROR_MAX])
{
    if (set->action == PV_COORDSET_HELP)
        return PV_OK;
    if (set->json && (action == NULL || !action->json))
        return bad_value(ret_error, PV_COORDSET_ERROR_MAX, "option", "--json",
                         "not with this: see p2pvpn-coordinator --help");
    if (set->names && set->action != PV_COORDSET_NETWORKS)
        return bad_value(ret_error, PV_COORDSET_ERROR_MAX, "option", "--names",
                         "only with networks");
    if (set->action == PV_COORDSET_SECRET && set->operand != NULL &&
        strcmp(set->operand, "rotate") != 0)
        return bad_value(ret_error, PV_COORDSET_ERROR_MAX, "secret", set->operand,
                         "expected rotate");
    if (action == NULL || action->operand == NULL || set->operand != NULL ||
        action->operand[0] == '[')
        return PV_OK;
    return bad_value(ret_error, PV_COORDSET_ERROR_MAX, action->name, action->operand,
                     "is missing; see p2pvpn-coordinator --help");
}

/* Without a listen line the built-in one has its port on every address. Only the command line and
 * the file together show that. */
static int check_listen(const struct pv_coordset *set, char ret_error[static PV_COORDSET_ERROR_MAX])
{
    for (size_t i = 0; i < set->n_tls_listen && set->n_listen == 0; i++) {
        if (set->tls_listen[i].port == PV_COORDSET_PORT)
            return bad_value(ret_error, PV_COORDSET_ERROR_MAX, "tls-listen",
                             PV_ADDR_STR(&set->tls_listen[i]),
                             LISTED ": without listen it serves this port of every address");
    }
    return PV_OK;
}

static void make_absolute(const struct pv_coordset *set, char file[static PATH_MAX])
{
    char path[PATH_MAX];
    memcpy(file, pv_coordset_path(set, file, path), PATH_MAX);
}

/* set->dir is known. Subcommands that are `alone` in the table ask the running coordinator, which
 * has read its configuration, or work on its files: for them only --state counts, and a broken file
 * does not keep them from working. whole: the file is read for them, too. */
static int load(struct pv_coordset *set, int argc, char **argv, bool whole,
                char ret_error[static PV_COORDSET_ERROR_MAX])
{
    struct ctx c = {.set = set, .error = ret_error, .cap = PV_COORDSET_ERROR_MAX};
    set->argc = argc;
    set->argv = argv;
    set->relay.phone_ports = PV_TURNS_PHONE_PORTS;
    set->relay.phone_ports_per_net = PV_TURNS_PHONE_PORTS_NET;
    snprintf(set->state, sizeof(set->state), "%s", PV_COORDSET_STATE);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        c.key = find_option(arg);
        c.value = c.key == NULL ? NULL : value_of(argc, argv, &i);
        int r = PV_OK;
        if (c.key == NULL)
            r = take_word(set, arg, ret_error);
        else if (c.value == NULL)
            r = bad_value(ret_error, PV_COORDSET_ERROR_MAX, "option", arg, "its value is missing");
        else
            r = c.key->take(&c);
        if (r < 0)
            return r;
    }
    const struct action *action = find_action(set->action);
    int r = check_action(set, action, ret_error);
    if (r < 0 || (action != NULL && action->alone && !whole))
        return r;
    set->config = c.config == NULL ? PV_COORDSET_CONFIG : c.config;
    r = load_file(set, set->config, c.config != NULL, ret_error);
    make_absolute(set, set->tls_cert);
    make_absolute(set, set->tls_key);
    return r < 0 ? r : check_listen(set, ret_error);
}

int pv_coordset_load(struct pv_coordset *ret_set, int argc, char **argv,
                     char ret_error[static PV_COORDSET_ERROR_MAX])
{
    memset(ret_set, 0, sizeof(*ret_set));
    if (getcwd(ret_set->dir, sizeof(ret_set->dir)) == NULL)
        ret_set->dir[0] = '\0'; /* names count from wherever we are */
    return load(ret_set, argc, argv, false, ret_error);
}

int pv_coordset_reload(struct pv_coordset *ret_set, const struct pv_coordset *old,
                       char ret_error[static PV_COORDSET_ERROR_MAX])
{
    memset(ret_set, 0, sizeof(*ret_set));
    memcpy(ret_set->dir, old->dir, sizeof(ret_set->dir));
    return load(ret_set, old->argc, old->argv, true, ret_error);
}

/* Port 0 is the kernel's choice and cannot be told to anybody. */
uint16_t pv_coordset_port(const struct pv_coordset *set)
{
    if (set->n_listen > 0 && set->listen[0].port != 0)
        return set->listen[0].port;
    return PV_COORDSET_PORT;
}
