/* SPDX-License-Identifier: MIT */
/* The text of the configuration of p2pvpnd: tables of sections and keys, and what is wrong with a
 * value. Files are read by settings_files.c. */
#include "daemon/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/text.h"
#include "crypto/aead.h"
#include "crypto/ct.h"
#include "sys/helper/notify.h"

/* --- values that have units ------------------------------------------------------------------ */

/* --- servers beside the coordinator: [relay] turn (RFC 7065), [traversal] stun --------------- */

enum {
    PORT_TURN = 3478, /* RFC 7065 s3.1 */
    PORT_TURNS = 5349,
};

static bool is_name(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.';
        if (!ok)
            return false;
    }
    return len > 0;
}

/* HOST, ADDRESS or [IPV6] and :PORT of len bytes. */
static bool take_host(const char *text, size_t len, struct pv_relayway_server *s)
{
    struct pv_addr addr;
    const char *end = text + len, *host = text, *colon;
    size_t host_len;
    uint64_t port = 0;
    char number[8];
    if (len > 0 && text[0] == '[') {
        host = text + 1;
        const char *close = memchr(host, ']', len - 1);
        if (close == NULL)
            return false;
        host_len = (size_t)(close - host);
        colon = close + 1;
    } else {
        colon = memchr(text, ':', len);
        colon = colon == NULL ? end : colon;
        host_len = (size_t)(colon - text);
    }
    if (colon < end) {
        size_t digits = (size_t)(end - colon) - 1;
        if (*colon != ':' || digits >= sizeof(number))
            return false;
        memcpy(number, colon + 1, digits);
        number[digits] = '\0';
        if (pv_u64_parse(number, 1, 65535, &port) < 0)
            return false;
        s->port = (uint16_t)port;
    }
    if (host_len >= sizeof(s->host))
        return false;
    memcpy(s->host, host, host_len);
    s->host[host_len] = '\0';
    if (text[0] == '[')
        return pv_addr_parse_ip(s->host, &addr) == PV_OK && addr.family == PV_AF_INET6;
    return is_name(s->host, host_len);
}

/*
 * "turn:HOST[:PORT][?transport=udp|tcp]" (3478) or "turns:HOST[:PORT][?transport=tcp]" (5349, TLS).
 * Without transport turn: means UDP, and TCP where UDP is blocked. PV_ERR_MALFORMED: *ret_why is a
 * sentence.
 */
static int settings_relay_parse(const char *text, struct pv_relayway_server *ret_server,
                                const char **ret_why)
{
    struct pv_relayway_server s = {.port = PORT_TURN, .udp = true, .stream = true};
    const char *query = strchr(text, '?');
    size_t len = query == NULL ? strlen(text) : (size_t)(query - text);
    size_t scheme = 5;
    if (strncmp(text, "turns:", 6) == 0) {
        s.tls = true;
        s.udp = false;
        s.port = PORT_TURNS;
        scheme = 6;
    } else if (strncmp(text, "turn:", 5) != 0) {
        *ret_why = "turn: expected turn:HOST:PORT or turns:HOST:PORT";
        return PV_ERR_MALFORMED;
    }
    if (!take_host(text + scheme, len - scheme, &s)) {
        *ret_why = "turn: expected a name or an address ([IPV6] in brackets), and a port from 1 to "
                   "65535 if any";
        return PV_ERR_MALFORMED;
    }
    if (query != NULL && strcmp(query, "?transport=tcp") == 0) {
        s.udp = false;
    } else if (query != NULL && strcmp(query, "?transport=udp") == 0 && !s.tls) {
        s.stream = false;
    } else if (query != NULL) {
        *ret_why = s.tls ? "turn: turns: goes by ?transport=tcp only"
                         : "turn: expected ?transport=udp or ?transport=tcp";
        return PV_ERR_MALFORMED;
    }
    *ret_server = s;
    return PV_OK;
}

/* "HOST[:PORT]" (3478) of [traversal] stun. PV_ERR_MALFORMED. */
static int settings_stun_parse(const char *text, struct pv_stun_server *ret_server)
{
    struct pv_relayway_server s = {.port = PORT_TURN}; /* also STUN's, RFC 8489 s18.6 */
    if (!take_host(text, strlen(text), &s))
        return PV_ERR_MALFORMED;
    memcpy(ret_server->host, s.host, sizeof(ret_server->host));
    ret_server->port = s.port;
    return PV_OK;
}

/* --- sections and keys ----------------------------------------------------------------------- */

struct ctx;

/* A row of a section. */
struct key {
    const char *name;
    int (*take)(struct ctx *c);
    bool repeats;
    /* KEPT: opened or fixed before rights are given up, so that a reload keeps the old value
     * (reload.c), and only a restart takes the new one. */
    enum {
        TAKEN,
        KEPT
    } reload;
    /* For take_on() and those beside it: where the value goes; of a number what it counts, too. */
    size_t at, size;
    unsigned min, max;
    const char *what;
};

/* The value being read and where to say what is wrong with it. */
struct ctx {
    size_t n_accept; /* auto-accept lines */
    struct pv_settings *s;
    struct pv_settings_peer *peer; /* of the present [peer NAME], NULL in other sections */
    unsigned peer_line;
    bool has_public_key; /* the present peer's */
    uint64_t seen;       /* bit i: key i of all sections was given; of [peer], the present one's */
    const struct key *key;
    const char *value;
    char *error;
    size_t cap;
};

static int bad(struct ctx *c, const char *why)
{
    snprintf(c->error, c->cap, "%s", why);
    return PV_ERR_MALFORMED;
}

/* --- values -------------------------------------------------------------------------------- */

static void *place_of(const struct ctx *c)
{
    return (char *)c->s + c->key->at;
}

static int put_switch(struct ctx *c, bool wanted)
{
    bool on = false;
    if (pv_switch_parse(c->value, &on) < 0) {
        snprintf(c->error, c->cap, "%s: expected on or off", c->key->name);
        return PV_ERR_MALFORMED;
    }
    *(bool *)place_of(c) = on == wanted;
    return PV_OK;
}

/* It is somebody else's. */
static int take_switch(struct ctx *c)
{
    bool on;
    if (pv_switch_parse(c->value, &on) < 0) {
        snprintf(c->error, c->cap, "%s: expected on or off", c->key->name);
        return PV_ERR_MALFORMED;
    }
    return PV_OK;
}

/* The place says that it is on. */
static int take_on(struct ctx *c)
{
    return put_switch(c, true);
}

/* The place says that it is off. */
static int take_off(struct ctx *c)
{
    return put_switch(c, false);
}

/* A relative path would depend on the directory in which the daemon was started. */
static int put_path(struct ctx *c, char dst[static PV_SETTINGS_PATH_MAX])
{
    if (c->value[0] != '/' || strlen(c->value) >= PV_SETTINGS_PATH_MAX) {
        snprintf(c->error, c->cap, "%s: expected an absolute path", c->key->name);
        return PV_ERR_MALFORMED;
    }
    snprintf(dst, PV_SETTINGS_PATH_MAX, "%s", c->value);
    return PV_OK;
}

static int take_path(struct ctx *c)
{
    return put_path(c, place_of(c));
}

static int take_number(struct ctx *c)
{
    const struct key *key = c->key;
    uint64_t v = 0;
    if (pv_u64_parse(c->value, key->min, key->max, &v) < 0) {
        snprintf(c->error, c->cap, "%s: expected %s from %u to %u", key->name, key->what, key->min,
                 key->max);
        return PV_ERR_MALFORMED;
    }
    if (key->size == sizeof(uint16_t))
        *(uint16_t *)place_of(c) = (uint16_t)v;
    else
        *(unsigned *)place_of(c) = (unsigned)v;
    return PV_OK;
}

static int take_tun_name(struct ctx *c)
{
    if (!pv_ifname_is_valid(c->value))
        return bad(c, "name: an interface name has 1 to 15 letters, digits, '-', '_' or '.'");
    snprintf(c->s->tun_name, sizeof(c->s->tun_name), "%s", c->value);
    return PV_OK;
}

static int take_address(struct ctx *c)
{
    static const char *const why =
        "address: expected an address with its prefix length, such as 10.0.0.1/24";
    char ip[PV_ADDR_TEXT];
    const char *slash = strchr(c->value, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - c->value);
    struct pv_prefix p = {0};
    uint64_t bits = 0;
    if (slash == NULL || len >= sizeof(ip))
        return bad(c, why);
    memcpy(ip, c->value, len);
    ip[len] = '\0';
    /* The base may have bits beyond the prefix: it is the address of this node as well as the
     * network. */
    if (pv_addr_parse_ip(ip, &p.base) < 0 ||
        pv_u64_parse(slash + 1, 1, pv_addr_ip_len(&p.base) * 8, &bits) < 0)
        return bad(c, why);
    /* Each of these would be accepted by the parser and then fail, or do nothing, on an
     * interface. */
    if (pv_addr_is_unspecified(&p.base) || pv_addr_is_loopback(&p.base) ||
        pv_addr_is_multicast(&p.base) || pv_addr_is_broadcast(&p.base))
        return bad(c, "address: no interface can have this address");
    if (c->s->engine.given.n_own_addrs == PV_ARRAY_LEN(c->s->engine.given.own_addrs))
        return bad(c, "address: at most 4 are supported");
    p.bits = (uint8_t)bits;
    c->s->engine.given.own_addrs[c->s->engine.given.n_own_addrs++] = p;
    return PV_OK;
}

/* A range that is not private, which the network may have all the same. */
static int take_range(struct ctx *c)
{
    struct pv_prefix p;
    if (pv_prefix_parse(c->value, &p) < 0 || !pv_netplan_is_target(&p))
        return bad(c, "range: expected a network's range, such as 192.0.2.0/24");
    struct pv_given *g = &c->s->engine.given;
    if (g->n_ranges == PV_ARRAY_LEN(g->ranges))
        return bad(c, "range: at most 4 are supported");
    g->ranges[g->n_ranges++] = p;
    return PV_OK;
}

static int take_workers(struct ctx *c)
{
    uint64_t v = 0;
    bool automatic = strcmp(c->value, "auto") == 0, single = strcmp(c->value, "single") == 0;
    if (!automatic && !single && pv_u64_parse(c->value, 0, PV_FP_MAX_WORKERS, &v) < 0)
        return bad(c, "workers: expected auto (or 0), single, or a number of pairs of threads "
                      "from 1 to 8");
    /* A count of 0 threads lets the daemon decide by the processors that it may use. */
    c->s->workers = v == 0 ? 1 : (unsigned)v;
    c->s->threads = single ? 1 : v == 0 ? 0 : 2;
    return PV_OK;
}

static int take_public_key(struct ctx *c)
{
    uint8_t key[PV_KEY_LEN];
    if (pv_wgkey_parse(c->value, key) < 0)
        return bad(c, "public-key: expected 44 characters as `wg pubkey` prints them");
    /* The present peer is the last one. Two peers with one key would share one session, and
     * their allowed-ips would fight for it. */
    for (size_t i = 0; i + 1 < c->s->n_peers; i++)
        if (memcmp(c->s->peers[i].peer.public_key, key, sizeof(key)) == 0)
            return bad(c, "public-key: another [peer] has the same key");
    memcpy(c->peer->peer.public_key, key, sizeof(key));
    c->has_public_key = true;
    return PV_OK;
}

static int take_allowed_ips(struct ctx *c)
{
    struct pv_static_peer *p = &c->peer->peer;
    struct pv_prefix prefix;
    /* Host bits that are not zero are mostly a typing error in the prefix length: guessing would
     * open a wider range than was meant. */
    if (pv_prefix_parse(c->value, &prefix) < 0)
        return bad(c, "allowed-ips: expected one range with zero host bits, such as 10.0.0.0/24; "
                      "repeat the key for more");
    if (p->n_allowed == PV_ENGINE_MAX_ALLOWED)
        return bad(c, "allowed-ips: at most 64 of one peer are supported");
    p->allowed[p->n_allowed++] = prefix;
    return PV_OK;
}

/* Letters, digits, '-', '.', '_': what a resolver takes. */
static bool host_is_sane(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char ch = host[i];
        bool ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                  (ch >= '0' && ch <= '9') || ch == '-' || ch == '.' || ch == '_';
        if (!ok)
            return false;
    }
    return len > 0 && len < PV_JOB_HOST_MAX;
}

static int take_endpoint(struct ctx *c)
{
    static const char *const why = "endpoint: expected HOST:PORT, ADDRESS:PORT or [IPV6]:PORT";
    struct pv_static_peer *p = &c->peer->peer;
    struct pv_addr addr;
    /* The last colon counts: an IPv6 address has others. */
    const char *colon = strrchr(c->value, ':');
    uint64_t port = 0;
    if (colon == NULL || pv_u64_parse(colon + 1, 1, 65535, &port) < 0)
        return bad(c, why);
    size_t len = (size_t)(colon - c->value);
    /* An address is kept as text too, so that the engine has one way to an endpoint, by name or
     * not. */
    if (pv_addr_parse(c->value, &addr) == PV_OK)
        snprintf(p->endpoint_host, sizeof(p->endpoint_host), "%s", PV_IP_STR(&addr));
    else if (host_is_sane(c->value, len))
        snprintf(p->endpoint_host, sizeof(p->endpoint_host), "%.*s", (int)len, c->value);
    else
        return bad(c, why);
    p->endpoint_port = (uint16_t)port;
    return PV_OK;
}

static int take_preshared_key_file(struct ctx *c)
{
    return put_path(c, c->peer->preshared_key_file);
}

static int take_keepalive(struct ctx *c)
{
    uint64_t v = 0;
    if (strcmp(c->value, "off") != 0 && pv_u64_parse(c->value, 0, 65535, &v) < 0)
        return bad(c, "persistent-keepalive: expected seconds from 0 to 65535, or off");
    c->peer->peer.persistent_keepalive = (uint16_t)v;
    return PV_OK;
}

/* A phone port lets WireGuard's messages in alone, and those of AES have other types. */
static int check_phone_port(struct ctx *c)
{
    const struct pv_static_peer *p = &c->peer->peer;
    return p->phone_port && p->suite == PV_SUITE_AES
               ? bad(c, "phone-port = on is for suite = chacha only")
               : PV_OK;
}

static int take_suite(struct ctx *c)
{
    bool aes = strcmp(c->value, "aes") == 0;
    if (!aes && strcmp(c->value, "chacha") != 0)
        return bad(c, "suite: expected chacha or aes (aes only with another p2pvpnd)");
    c->peer->peer.suite = aes ? PV_SUITE_AES : PV_SUITE_CHACHA;
    return check_phone_port(c);
}

static int take_phone_port(struct ctx *c)
{
    return pv_switch_parse(c->value, &c->peer->peer.phone_port) < 0
               ? bad(c, "phone-port: expected on or off")
               : check_phone_port(c);
}

static int take_turn(struct ctx *c)
{
    const char *why = "";
    if (c->s->engine.n_relays == PV_ENGINE_MAX_RELAYS)
        return bad(c, "turn: at most 7 servers are supported");
    /* The parser needs the place for its result; the element counts only once it is whole. */
    if (settings_relay_parse(c->value, &c->s->engine.relays[c->s->engine.n_relays], &why) < 0)
        return bad(c, why);
    c->s->engine.n_relays++;
    return PV_OK;
}

static int take_firewall_allow(struct ctx *c)
{
    struct pv_ports *p = &c->s->engine.firewall;
    int r = strcmp(c->value, "none") == 0 ? PV_OK : pv_ports_parse(c->value, p);
    if (r == PV_ERR_LIMIT)
        return bad(c, "allow: at most 16 ranges of ports are supported");
    if (r != PV_OK || pv_ports_have_zero(p))
        return bad(c,
                   "allow: expected none, all, or ports as in \"tcp/22,udp/5000-5010,ping,chat\"");
    c->s->engine.has_firewall = true;
    return PV_OK;
}

static int take_relay_user(struct ctx *c)
{
    if (c->value[0] == '\0' || strlen(c->value) >= sizeof(c->s->engine.relay_user))
        return bad(c, "user: expected 1 to 128 characters");
    snprintf(c->s->engine.relay_user, sizeof(c->s->engine.relay_user), "%s", c->value);
    return PV_OK;
}

static int take_proxy(struct ctx *c)
{
    const char *why = "";
    int r = pv_proxyset_parse(c->value, &c->s->engine.given.proxy, &why);
    return r < 0 ? bad(c, why) : PV_OK;
}

/* RFC 7617 s2: the first colon begins the password, and a control character breaks the request. */
static int take_proxy_user(struct ctx *c)
{
    size_t len = strlen(c->value);
    bool ok = len > 0 && len <= PV_CONNECT_USER_MAX && strchr(c->value, ':') == NULL;
    for (size_t i = 0; ok && i < len; i++)
        ok = (unsigned char)c->value[i] >= ' ' && c->value[i] != 0x7f;
    if (!ok)
        return bad(c, "proxy-user: expected 1 to 128 characters without a colon");
    snprintf(c->s->proxy_login.user, sizeof(c->s->proxy_login.user), "%s", c->value);
    return PV_OK;
}

static int take_level(struct ctx *c)
{
    if (pv_log_level_parse(c->value, &c->s->log_level) < 0)
        return bad(c, "level: expected error, warn, info or debug");
    return PV_OK;
}

static int take_stun(struct ctx *c)
{
    if (settings_stun_parse(c->value, &c->s->engine.stun) < 0)
        return bad(c, "stun: expected a name or an address ([IPV6] in brackets), and a port from 1 "
                      "to 65535 if any");
    return PV_OK;
}

static int take_store(struct ctx *c)
{
    if (strcmp(c->value, "coordinator") != 0 && strcmp(c->value, "off") != 0)
        return bad(c, "store: expected coordinator or off");
    return PV_OK;
}

static int take_keep(struct ctx *c)
{
    uint64_t keep_s;
    if (!pv_age_parse(c->value, "forever", &keep_s))
        return bad(c, "keep: expected forever, or how long, such as 12h, 90d or 52w");
    return PV_OK;
}

static int take_rotate(struct ctx *c)
{
    if (!pv_age_parse(c->value, "off", &c->s->engine.rotate_s))
        return bad(c, "rotate: expected off, or how old a transport key gets, such as 30d");
    return PV_OK;
}

static int take_max_size(struct ctx *c)
{
    /* Less would leave a sender's share without room for a page of messages. */
    const uint64_t least = 16 << 20;
    uint64_t size;
    if (!pv_size_parse(c->value, PV_SETTINGS_FILE_MAX, &size) || size < least)
        return bad(c, "max-size: expected bytes of all messages, at least 16M, such as 1G");
    return PV_OK;
}

static int take_notify(struct ctx *c)
{
    if (!pv_notify_command_is_valid(c->value))
        return bad(c, "notify: expected the absolute path of a program and perhaps arguments, "
                      "separated by blanks; there is no shell");
    snprintf(c->s->notify, sizeof(c->s->notify), "%s", c->value);
    return PV_OK;
}

static int take_auto_accept(struct ctx *c)
{
    static const char *const why =
        "auto-accept: expected the name of a peer or *, and perhaps the largest size of a file, "
        "such as bob 2G; repeat the key for more";
    char name[PV_NAME_BUF];
    uint64_t max;
    size_t len = strcspn(c->value, " \t");
    const char *size = c->value + len + strspn(c->value + len, " \t");
    bool all = len == 1 && c->value[0] == '*';
    if ((!all && pv_name_parse(c->value, len, name) < 0) ||
        (*size != '\0' && !pv_size_parse(size, PV_SETTINGS_FILE_MAX, &max)))
        return bad(c, why);
    if (c->n_accept == PV_SETTINGS_MAX_RULES)
        return bad(c, "auto-accept: at most 256 are supported");
    c->n_accept++;
    return PV_OK;
}

static int take_pq(struct ctx *c)
{
    static const char *const words[] = {
        [PV_PQ_ON] = "on", [PV_PQ_REQUIRE] = "require", [PV_PQ_OFF] = "off"};
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
        if (strcmp(c->value, words[i]) == 0) {
            c->s->engine.given.pq = (enum pv_pq_policy)i;
            return PV_OK;
        }
    }
    return bad(c, "pq: expected on, require (no packets without) or off");
}

static int take_broadcast(struct ctx *c)
{
    static const char *const words[] = {
        [PV_LAN_AUTO] = "auto", [PV_LAN_ON] = "on", [PV_LAN_OFF] = "off", [PV_LAN_PEERS] = "peers"};
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
        if (strcmp(c->value, words[i]) != 0)
            continue;
        c->s->engine.lan.broadcast = (enum pv_lan_broadcast)i;
        return PV_OK;
    }
    return bad(c, "broadcast: expected on, off, auto (on while at most 32 members are online) or "
                  "peers (those of the key peer)");
}

static int take_lan_peer(struct ctx *c)
{
    struct pv_lan_config *lan = &c->s->engine.lan;
    if (lan->n_peers == PV_ENGINE_MAX_LAN_PEERS)
        return bad(c, "peer: at most 64 are supported");
    if (pv_name_parse(c->value, strlen(c->value), lan->peers[lan->n_peers]) < 0)
        return bad(c, "peer: expected the name of one member; repeat the key for more");
    lan->n_peers++;
    return PV_OK;
}

static int take_beacon_exclude(struct ctx *c)
{
    struct pv_lan_config *lan = &c->s->engine.lan;
    if (lan->n_excluded == PV_ENGINE_MAX_EXCLUDED)
        return bad(c, "beacon-exclude: at most 8 are supported");
    if (!pv_ifname_is_valid(c->value))
        return bad(c,
                   "beacon-exclude: expected the name of one interface; repeat the key for more");
    snprintf(lan->excluded[lan->n_excluded++], PV_JOB_IFNAME, "%s", c->value);
    return PV_OK;
}

static int take_metrics(struct ctx *c, const char *key)
{
    const char *why = "";
    int r = pv_scrapeset_take(&c->s->metrics, key, c->value, &why);
    return r < 0 ? bad(c, why) : PV_OK;
}

static int take_metrics_listen(struct ctx *c)
{
    return take_metrics(c, "listen");
}

static int take_metrics_remote(struct ctx *c)
{
    return take_metrics(c, "allow-remote");
}

/* For `p2pvpnctl web --keep`, which reads the file itself: here it is only checked. */
static int take_web_listen(struct ctx *c)
{
    struct pv_addr addr;
    bool path = c->value[0] == '/' && strlen(c->value) < 108; /* sun_path, unix(7) */
    return path || (pv_addr_parse(c->value, &addr) == PV_OK && pv_addr_is_loopback(&addr))
               ? PV_OK
               : bad(c, "listen: expected 127.0.0.1:PORT, [::1]:PORT or the path of a Unix socket");
}

/* --- sections ------------------------------------------------------------------------------ */

#define AT(member) .at = offsetof(struct pv_settings, member)
#define NUMBER(member, least, most, counts)                                           \
    AT(member), .size = sizeof(((struct pv_settings *)NULL)->member), .min = (least), \
                .max = (most), .what = (counts)

static const struct key interface_keys[] = {
    {.name = "name", .take = take_tun_name, .reload = KEPT},
    {.name = "address", .take = take_address, .repeats = true},
    {.name = "range", .take = take_range, .repeats = true, .reload = KEPT},
    {.name = "port", .take = take_number, .reload = KEPT, NUMBER(port, 1, 65535, "a number")},
    {.name = "mtu",
     .take = take_number,
     NUMBER(engine.given.mtu, PV_SETTINGS_MTU_MIN, PV_FP_INNER_MAX, "a number of bytes")},
    {.name = "private-key-file", .take = take_path, .reload = KEPT, AT(private_key_file)},
    {.name = "workers", .take = take_workers, .reload = KEPT},
};
static const struct key peer_keys[] = {
    {.name = "public-key", .take = take_public_key},
    {.name = "allowed-ips", .take = take_allowed_ips, .repeats = true},
    {.name = "endpoint", .take = take_endpoint},
    {.name = "preshared-key-file", .take = take_preshared_key_file},
    {.name = "persistent-keepalive", .take = take_keepalive},
    {.name = "suite", .take = take_suite},
    {.name = "phone-port", .take = take_phone_port},
};
static const struct key traversal_keys[] = {
    {.name = "predict", .take = take_off, AT(engine.hardnat.predict_off)},
    {.name = "birthday", .take = take_off, AT(engine.hardnat.birthday_off)},
    {.name = "max-mappings",
     .take = take_number,
     NUMBER(engine.hardnat.max_mappings, 1, PV_HARDNAT_MAX_MAPPINGS, "a number")},
    {.name = "max-pps",
     .take = take_number,
     NUMBER(engine.hardnat.max_pps, 1, PV_HARDNAT_MAX_PPS, "packets a second")},
    {.name = "portmap", .take = take_off, AT(engine.portmap_off)},
    {.name = "stun", .take = take_stun},
};
static const struct key chat_keys[] = {
    {.name = "store", .take = take_store},
    {.name = "plain", .take = take_switch},
    {.name = "keep", .take = take_keep},
    {.name = "max-size", .take = take_max_size},
    {.name = "auto-accept", .take = take_auto_accept, .repeats = true},
    {.name = "notify", .take = take_notify, .reload = KEPT},
};
static const struct key dns_keys[] = {
    {.name = "listen", .take = take_on, AT(dns)},
};
static const struct key phones_keys[] = {
    {.name = "gateway", .take = take_on, AT(engine.phones)},
};
static const struct key lan_keys[] = {
    {.name = "broadcast", .take = take_broadcast},
    {.name = "peer", .take = take_lan_peer, .repeats = true},
    {.name = "wake", .take = take_on, AT(engine.lan.wake)},
    {.name = "beacon", .take = take_off, AT(engine.lan.beacon_off)},
    {.name = "beacon-exclude", .take = take_beacon_exclude, .repeats = true},
};
static const struct key relay_keys[] = {
    {.name = "turn", .take = take_turn, .repeats = true},
    {.name = "user", .take = take_relay_user},
    {.name = "password-file", .take = take_path, AT(relay_password_file)},
    {.name = "ca-file", .take = take_path, .reload = KEPT, AT(relay_ca_file)},
};
static const struct key coordinator_keys[] = {
    {.name = "proxy", .take = take_proxy},
    {.name = "proxy-user", .take = take_proxy_user},
    {.name = "proxy-password-file", .take = take_path, AT(proxy_password_file)},
};
static const struct key metrics_keys[] = {
    {.name = "listen", .take = take_metrics_listen, .reload = KEPT},
    {.name = "allow-remote", .take = take_metrics_remote, .reload = KEPT},
};
static const struct key web_keys[] = {
    {.name = "listen", .take = take_web_listen},
};
static const struct key security_keys[] = {
    {.name = "pq", .take = take_pq},
    {.name = "rotate", .take = take_rotate},
};
static const struct key firewall_keys[] = {
    {.name = "allow", .take = take_firewall_allow},
};
static const struct key log_keys[] = {
    {.name = "level", .take = take_level},
};

#undef AT
#undef NUMBER

struct section {
    const char *name;
    const struct key *keys;
    size_t n_keys;
};

static const struct section sections[] = {
    {"interface", interface_keys, PV_ARRAY_LEN(interface_keys)},
    {"peer", peer_keys, PV_ARRAY_LEN(peer_keys)},
    {"traversal", traversal_keys, PV_ARRAY_LEN(traversal_keys)},
    {"chat", chat_keys, PV_ARRAY_LEN(chat_keys)},
    {"dns", dns_keys, PV_ARRAY_LEN(dns_keys)},
    {"phones", phones_keys, PV_ARRAY_LEN(phones_keys)},
    {"lan", lan_keys, PV_ARRAY_LEN(lan_keys)},
    {"relay", relay_keys, PV_ARRAY_LEN(relay_keys)},
    {"coordinator", coordinator_keys, PV_ARRAY_LEN(coordinator_keys)},
    {"metrics", metrics_keys, PV_ARRAY_LEN(metrics_keys)},
    {"web", web_keys, PV_ARRAY_LEN(web_keys)},
    {"security", security_keys, PV_ARRAY_LEN(security_keys)},
    {"firewall", firewall_keys, PV_ARRAY_LEN(firewall_keys)},
    {"log", log_keys, PV_ARRAY_LEN(log_keys)},
};

/* "interface", or "peer" for "peer NAME"; NULL when there is no such section. */
static const struct section *find_section(const char *name)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(sections); i++) {
        size_t len = strlen(sections[i].name);
        bool named = strcmp(sections[i].name, "peer") == 0;
        if (strncmp(name, sections[i].name, len) == 0 && name[len] == (named ? ' ' : '\0'))
            return &sections[i];
    }
    return NULL;
}

/* The number of a section's key among those of all sections. */
static size_t number_of(const struct section *section, size_t key)
{
    for (const struct section *s = sections; s < section; s++)
        key += s->n_keys;
    return key;
}

static uint64_t bit_of(const struct section *section, size_t key)
{
    _Static_assert(PV_SETTINGS_MAX_KEYS <= 64, "a bit for each key");
    return UINT64_C(1) << number_of(section, key);
}

/* At the end of a section: a peer without its key cannot be meant. */
static int finish_peer(const struct ctx *c, char *error, size_t cap)
{
    if (c->peer == NULL || c->has_public_key)
        return PV_OK;
    snprintf(error, cap, "[peer %s] in line %u has no public-key", c->peer->peer.name,
             c->peer_line);
    return PV_ERR_MALFORMED;
}

static int begin_peer(struct ctx *c, const char *name, unsigned line)
{
    struct pv_settings *s = c->s;
    char canonical[PV_NAME_BUF];
    if (pv_name_parse(name, strlen(name), canonical) < 0)
        return bad(c, "[peer NAME]: a name has 1 to 63 letters, digits and inner hyphens");
    for (size_t i = 0; i < s->n_peers; i++)
        if (strcmp(s->peers[i].peer.name, canonical) == 0)
            return bad(c, "[peer NAME]: this name was given before");
    if (s->n_peers == PV_ENGINE_MAX_STATIC)
        return bad(c, "[peer NAME]: at most 256 are supported");
    struct pv_settings_peer *peers = realloc(s->peers, (s->n_peers + 1) * sizeof(*peers));
    if (peers == NULL)
        return bad(c, "out of memory");
    /* realloc() moves the array: c->peer is valid only until the next [peer]. */
    s->peers = peers;
    c->peer = &peers[s->n_peers++];
    memset(c->peer, 0, sizeof(*c->peer));
    memcpy(c->peer->peer.name, canonical, sizeof(canonical));
    c->peer_line = line;
    c->has_public_key = false;
    /* Each peer has keys of its own; of other sections that stand twice the keys are the same. */
    for (size_t i = 0; i < PV_ARRAY_LEN(peer_keys); i++)
        c->seen &= ~bit_of(find_section("peer "), i);
    return PV_OK;
}

static int begin_section(struct ctx *c, const struct pv_ini_item *item)
{
    const struct section *section = find_section(item->section);
    /* The end of a section is seen only at the beginning of the next one. */
    if (finish_peer(c, c->error, c->cap) < 0)
        return PV_ERR_MALFORMED;
    c->peer = NULL;
    if (section == NULL) {
        snprintf(c->error, c->cap,
                 "unknown section [%.60s]: there are [interface], [peer NAME], [traversal], "
                 "[relay], [lan], [chat], [dns], [phones], [metrics], [web], [security], "
                 "[firewall] and [log]",
                 item->section);
        return PV_ERR_MALFORMED;
    }
    if (section->keys == peer_keys)
        return begin_peer(c, item->section + strlen("peer "), item->line);
    return PV_OK;
}

static int unknown_key(struct ctx *c, const struct section *section, const char *key)
{
    struct pv_text text = pv_text_in(c->error, c->cap);
    pv_text_add(&text, "unknown key %.40s in [%s]: there are", key, section->name);
    for (size_t i = 0; i < section->n_keys; i++)
        pv_text_add(&text, "%s %s", i == 0 ? "" : ",", section->keys[i].name);
    return PV_ERR_MALFORMED;
}

bool pv_settings_key(size_t i, char ret_name[static PV_SETTINGS_KEY_BUF], bool *ret_kept)
{
    for (size_t s = 0; s < PV_ARRAY_LEN(sections); i -= sections[s++].n_keys) {
        if (i >= sections[s].n_keys)
            continue;
        snprintf(ret_name, PV_SETTINGS_KEY_BUF, "[%s] %s", sections[s].name,
                 sections[s].keys[i].name);
        *ret_kept = sections[s].keys[i].reload == KEPT;
        return true;
    }
    return false;
}

/* FNV-1a, with the NUL: "ab" and "c" differ from "a" and "bc". */
static uint64_t mix(uint64_t digest, const char *text)
{
    if (digest == 0)
        digest = 0xcbf29ce484222325;
    do
        digest = (digest ^ (uint8_t)*text) * 0x100000001b3;
    while (*text++ != '\0');
    return digest;
}

/* Whose peer's it is counts as much as the value. */
static void note_said(struct ctx *c, const struct section *section, size_t key,
                      const struct pv_ini_item *item)
{
    key = number_of(section, key);
    if (key < PV_SETTINGS_MAX_KEYS)
        c->s->said[key] = mix(mix(c->s->said[key], item->section), item->value);
}

static int on_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    struct ctx *c = ctx;
    c->error = error;
    c->cap = cap;
    if (item->key == NULL)
        return begin_section(c, item);
    const struct section *section = find_section(item->section);
    if (section == NULL)
        return bad(c, "a key before the first section: begin with [interface]");
    for (size_t i = 0; i < section->n_keys; i++) {
        const struct key *key = &section->keys[i];
        if (strcmp(key->name, item->key) != 0)
            continue;
        if (!key->repeats && (c->seen & bit_of(section, i)) != 0) {
            snprintf(error, cap, "%s: given twice", key->name);
            return PV_ERR_MALFORMED;
        }
        c->seen |= bit_of(section, i);
        c->key = key;
        c->value = item->value;
        note_said(c, section, i, item);
        return key->take(c);
    }
    return unknown_key(c, section, item->key);
}

/* --- the file ------------------------------------------------------------------------------ */

void pv_settings_init(struct pv_settings *s)
{
    /* Some switches are kept as "off" ones (predict_off, ...) so that zero is the default; these
     * values are the other defaults. */
    *s = (struct pv_settings){.engine.given.mtu = PV_SETTINGS_MTU,
                              .workers = 1,
                              .engine.rotate_s = PV_SETTINGS_ROTATE_S,
                              .log_level = PV_LOG_INFO};
}

void pv_settings_done(struct pv_settings *s)
{
    /* Preshared keys must not stay in freed memory. */
    if (s->peers != NULL)
        pv_wipe(s->peers, s->n_peers * sizeof(*s->peers));
    free(s->peers);
    pv_wipe(s->engine.relay_password, sizeof(s->engine.relay_password));
    pv_wipe(&s->proxy_login, sizeof(s->proxy_login));
    pv_settings_init(s);
}

int pv_settings_parse(struct pv_settings *s, const char *file, struct pv_view text,
                      char ret_error[static PV_SETTINGS_ERROR_MAX])
{
    struct ctx c = {.s = s};
    struct pv_ini_error error = {0};
    int r = pv_ini_parse(text, on_item, &c, &error);
    if (r >= 0 && error.line != 0)
        snprintf(s->note, sizeof(s->note), "%s:%u: %s", file, error.line, error.text);
    if (r >= 0) {
        /* The last section has no section behind it that would end it. */
        r = finish_peer(&c, error.text, sizeof(error.text));
        error.line = c.peer_line;
    }
    /* Keys of one section come in any order, so what belongs together is checked at the end of
     * the file. */
    if (r >= 0 && s->engine.n_relays > 0 &&
        (s->engine.relay_user[0] == '\0' || s->relay_password_file[0] == '\0')) {
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX,
                 "%s: [relay] turn needs user and password-file beside it", file);
        return PV_ERR_MALFORMED;
    }
    const bool user = s->proxy_login.user[0] != '\0',
               file_of_it = s->proxy_password_file[0] != '\0';
    if (r >= 0 && (user != file_of_it || (user && s->engine.given.proxy.host[0] == '\0'))) {
        snprintf(
            ret_error, PV_SETTINGS_ERROR_MAX,
            "%s: [coordinator] proxy-user and proxy-password-file stand together, beside proxy",
            file);
        return PV_ERR_MALFORMED;
    }
    if (r >= 0 && s->engine.lan.broadcast == PV_LAN_PEERS && s->engine.lan.n_peers == 0) {
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX,
                 "%s: [lan] broadcast = peers needs a line peer = NAME beside it for each", file);
        return PV_ERR_MALFORMED;
    }
    const char *why = "";
    if (r >= 0 && pv_scrapeset_check(&s->metrics, &why) < 0) {
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "%s: %s", file, why);
        return PV_ERR_MALFORMED;
    }
    if (r == PV_ERR_NOMEM)
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "%s: out of memory", file);
    else if (r < 0)
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "%s:%u: %s", file, error.line, error.text);
    return r;
}
