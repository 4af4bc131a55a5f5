/* SPDX-License-Identifier: MIT */
/* The command line, then coordinator.conf. Both go through the same functions for values, so a key
 * and an option of one name cannot differ; every error names its place and what was expected. */
#include "coordinator/settings/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/file/file.h"
#include "sys/file/ini.h"

enum {
    STATE_ROOM = 80, /* characters that names of files in the state directory need behind it */
};

const char pv_coordset_usage[] =
    "usage: p2pvpn-coordinator [--listen ADDR:PORT]... [--public ADDR]... [--alt-address ADDR]\n"
    "                          [--tls-listen ADDR:PORT]... [--relay-ports LO-HI] [--no-relay]\n"
    "                          [--state DIR] [--config FILE] [--open] [--check] [--version]\n"
    "       p2pvpn-coordinator url [--state DIR] [--public ADDR] [--config FILE] [--json]\n"
    "       p2pvpn-coordinator status [--state DIR] [--json] [--check]\n"
    "       p2pvpn-coordinator metrics [--state DIR]\n"
    "       p2pvpn-coordinator reload [--state DIR] [--json]\n"
    "       p2pvpn-coordinator networks [--state DIR] [--config FILE] [--names] [--json]\n"
    "       p2pvpn-coordinator drop NETWORK [--state DIR] [--config FILE] [--json]\n"
    "       p2pvpn-coordinator secret rotate [--state DIR] [--public ADDR] [--config FILE] "
    "[--json]\n"
    "       p2pvpn-coordinator backup FILE [--state DIR] [--json]\n"
    "       p2pvpn-coordinator restore FILE [--state DIR] [--json]\n"
    "       p2pvpn-coordinator import [--state DIR] [--config FILE] [--json]\n"
    "       p2pvpn-coordinator export [--state DIR] [--config FILE] [--json]\n"
    "       p2pvpn-coordinator homes [--config FILE] [--json]\n"
    "       p2pvpn-coordinator drain [--state DIR] [--json]\n"
    "       p2pvpn-coordinator web [PLACE] [--state DIR] [--config FILE] [--json]\n"
    "\n"
    "  url             prints the URL that `p2pvpnctl create` needs; works before the first start\n"
    "  status          what the running coordinator does: connections, relay, limits, store\n"
    "  metrics         the same and more, as text for Prometheus\n"
    "  reload          the running one reads its configuration again: all of it or, after a "
    "mistake,\n"
    "                  nothing; says what has changed and what waits for a restart\n"
    "  networks        ids, sizes and last use of the networks here; --names: what they are "
    "called\n"
    "  drop NETWORK    ends a network here, by its id: forgets it and sends its nodes away\n"
    "  secret rotate   makes a new secret for `create`, and prints the new URL; the old one is\n"
    "                  refused from now on\n"
    "  backup FILE     writes database and keys to a file, while it runs or not\n"
    "  restore FILE    puts a backup in place; what was there is kept beside it\n"
    "  import          copies the database of the state directory to that of [store] postgres\n"
    "  export          copies that of [store] postgres to the state directory\n"
    "  homes           of several coordinators with one database: which of them is the home of\n"
    "                  which network, since when, and why\n"
    "  drain           gives all networks of the running one to the others: before it is stopped\n"
    "  web             shows the running one as a page in your browser, until it is interrupted; "
    "by a\n"
    "                  link that works once. PLACE: [ADDR:]PORT of loopback, or a PATH with a "
    "\"/\"\n"
    "  --listen ADDR   TCP and UDP address to serve; may be repeated (default: port 3478 on every\n"
    "                  IPv4 and IPv6 address)\n"
    "  --public ADDR   address or name under which nodes reach it, with :PORT if that is not the\n"
    "                  port it listens on; may be repeated, the URL takes the first\n"
    "  --alt-address ADDR  a second address of this machine, so that nodes can measure their NAT\n"
    "                  fully (RFC 5780); may be given once for IPv4 and once for IPv6\n"
    "  --tls-listen ADDR:PORT  one more TCP address, such as 0.0.0.0:443, for nodes whose network\n"
    "                  lets nothing else out; may be repeated. TLS is spoken on every TCP port, by "
    "a\n"
    "                  certificate made at the first start or that of tls-cert and tls-key\n"
    "  --relay-ports LO-HI  UDP ports for the relay's static users (default 49152-65535); nodes\n"
    "                  need none\n"
    "  --no-relay      relay nothing, neither for nodes nor for static users\n"
    "  --state DIR     keys and database (default " PV_COORDSET_STATE ")\n"
    "  --config FILE   default " PV_COORDSET_CONFIG ", if it is there\n"
    "  --open          everybody may create networks here, without the URL's secret\n"
    "  --check         checks the settings and does nothing; with status: exit code 1 unless it\n"
    "                  serves and can store\n"
    "  --json          the answer of a subcommand as JSON\n";

/* --- values: the same on the command line and in the file ------------------------------------ */

/* Writes "--listen 1.2.3: expected ...". The value is cut, as it may be anything. */
static int bad_value(char *error, size_t cap, const char *what, const char *value, const char *why)
{
    snprintf(error, cap, "%s %.100s: %s", what, value, why);
    return PV_ERR_MALFORMED;
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

/* TLS is spoken on every TCP port, so an address may stand in one of the two lists only. */
static int take_listen(struct pv_coordset *set, bool tls, const char *what, const char *value,
                       char *error, size_t cap)
{
    struct pv_addr addr;
    struct pv_addr *list = tls ? set->tls_listen : set->listen;
    size_t *n = tls ? &set->n_tls_listen : &set->n_listen;
    if (pv_addr_parse(value, &addr) < 0)
        return bad_value(
            error, cap, what, value,
            tls ? "expected ADDRESS:PORT, such as 192.0.2.1:443, 0.0.0.0:443 or [::]:443"
                : "expected ADDRESS:PORT, such as 192.0.2.1:3478, 0.0.0.0:3478 or "
                  "[::]:3478");
    if (is_listed(set->listen, set->n_listen, &addr) ||
        is_listed(set->tls_listen, set->n_tls_listen, &addr))
        return bad_value(error, cap, what, value, "given twice (TLS is spoken on every TCP port)");
    if (*n == PV_COORDSET_LISTEN_MAX)
        return bad_value(error, cap, what, value, "at most 8 are supported");
    list[(*n)++] = addr;
    return PV_OK;
}

/* Reads HOST, ADDRESS or [IPV6], each with or without a port. A bare IPv6 address has colons of its
 * own, so it is tried first; a name without a port is tried with one. */
static bool parse_public(const char *value, struct pv_hostport *ret_hp)
{
    char text[PV_HOSTPORT_BUF];
    struct pv_addr addr;
    size_t len = strlen(value);
    if (pv_addr_parse_ip(value, &addr) == PV_OK) {
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
static int take_public(struct pv_coordset *set, const char *what, const char *value, char *error,
                       size_t cap)
{
    struct pv_hostport hp;
    if (!parse_public(value, &hp))
        return bad_value(error, cap, what, value,
                         "expected an address or a lower-case host name, with or without :PORT");
    if (set->n_public == PV_CTL_ADDRS_MAX)
        return bad_value(error, cap, what, value, "at most 8 are supported");
    set->public[set->n_public++] = hp;
    return PV_OK;
}

/* The addresses of this machine are only asked for when the sockets are opened. */
static int take_alt(struct pv_coordset *set, const char *what, const char *value, char *error,
                    size_t cap)
{
    struct pv_addr addr;
    if (pv_addr_parse_ip(value, &addr) < 0 || pv_addr_is_unspecified(&addr) ||
        pv_addr_is_multicast(&addr) || pv_addr_is_broadcast(&addr))
        return bad_value(error, cap, what, value,
                         "expected an address of this machine without a port, such as 192.0.2.2");
    for (size_t i = 0; i < set->n_alt; i++) {
        if (set->alt[i].family == addr.family)
            return bad_value(error, cap, what, value, "given twice for this family");
    }
    set->alt[set->n_alt++] = addr;
    return PV_OK;
}

/* Only the form is checked here; the file is opened later. */
static int take_path(char *dst, const char *what, const char *value, char *error, size_t cap)
{
    if (dst[0] != '\0')
        return bad_value(error, cap, what, value, "given twice");
    if (value[0] == '\0' || strlen(value) >= PATH_MAX)
        return bad_value(error, cap, what, value, "expected the path of a PEM file");
    snprintf(dst, PATH_MAX, "%s", value);
    return PV_OK;
}

/* --- the file -------------------------------------------------------------------------------- */

/* Options of the command line stand; the file only fills the others. */
struct file_settings {
    struct pv_coordset *set;
    bool listen;     /* `listen` lines count */
    bool tls_listen; /* `tls-listen` lines count */
    bool public;     /* `public` lines count */
    bool alt;        /* `alt-address` lines count */
    bool open;       /* `open` counts */
    bool seen_open;  /* `open` has been given */
};

/* A switch that is given twice is an error, as one of the two would be ignored in silence; lists
 * may repeat. */
static int take_open(struct file_settings *f, const char *value, char *error, size_t cap)
{
    if (f->seen_open)
        return bad_value(error, cap, "open", value, "given twice");
    f->seen_open = true;
    bool open = false;
    if (pv_switch_parse(value, &open) < 0)
        return bad_value(error, cap, "open", value, "expected on or off");
    if (f->open)
        f->set->open = open;
    return PV_OK;
}

/* Values that do not count, because the command line gave others, are checked all the same: a wrong
 * file must not work until an option is dropped. */
static int key_listen(struct file_settings *f, const char *value, char *error, size_t cap)
{
    struct pv_coordset unused = {0};
    return take_listen(f->listen ? f->set : &unused, false, "listen", value, error, cap);
}

static int key_tls_listen(struct file_settings *f, const char *value, char *error, size_t cap)
{
    struct pv_coordset unused = {0};
    return take_listen(f->tls_listen ? f->set : &unused, true, "tls-listen", value, error, cap);
}

static int key_public(struct file_settings *f, const char *value, char *error, size_t cap)
{
    struct pv_coordset unused = {0};
    return take_public(f->public ? f->set : &unused, "public", value, error, cap);
}

static int key_alt_address(struct file_settings *f, const char *value, char *error, size_t cap)
{
    struct pv_coordset unused = {0};
    return take_alt(f->alt ? f->set : &unused, "alt-address", value, error, cap);
}

/* The certificate and its key cannot be given on the command line, so the file alone counts. */
static int key_tls_cert(struct file_settings *f, const char *value, char *error, size_t cap)
{
    return take_path(f->set->tls_cert, "tls-cert", value, error, cap);
}

static int key_tls_key(struct file_settings *f, const char *value, char *error, size_t cap)
{
    return take_path(f->set->tls_key, "tls-key", value, error, cap);
}

/* The keys of [coordinator], in the order in which an error lists them. */
static const struct {
    const char *name;
    int (*take)(struct file_settings *f, const char *value, char *error, size_t cap);
} keys[] = {
    {"listen", key_listen},
    {"public", key_public},
    {"alt-address", key_alt_address},
    {"tls-listen", key_tls_listen},
    {"tls-cert", key_tls_cert},
    {"tls-key", key_tls_key},
    {"open", take_open},
};

/* An unknown key is answered with those there are: most are misspelt, or from another section. */
static int coordinator_item(struct file_settings *f, const struct pv_ini_item *item, char *error,
                            size_t cap)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(keys); i++) {
        if (strcmp(item->key, keys[i].name) == 0)
            return keys[i].take(f, item->value, error, cap);
    }
    /* snprintf() returns what it would have written, so n may pass cap: then the list ends. */
    int n = snprintf(error, cap, "unknown key %.60s in [coordinator]: there are", item->key);
    for (size_t i = 0; n > 0 && (size_t)n < cap && i < PV_ARRAY_LEN(keys); i++)
        n += snprintf(error + n, cap - (size_t)n, "%s %s", i == 0 ? "" : ",", keys[i].name);
    return PV_ERR_MALFORMED;
}

/* [metrics] is the same in p2pvpnd.conf (proto/local/scrape.h). */
static int metrics_item(struct pv_coordset *set, const struct pv_ini_item *item, char *error,
                        size_t cap)
{
    const char *why = "";
    if (item->key == NULL ||
        pv_scrapeset_take(&set->metrics, item->key, item->value, &why) == PV_OK)
        return PV_OK;
    snprintf(error, cap, "%s", why);
    return PV_ERR_MALFORMED;
}

/* A section is an item without a key; an empty section is no error. */
static int take_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    struct file_settings *f = ctx;
    if (pv_coordset_relay_is(item->section))
        return pv_coordset_relay_item(&f->set->relay, item, error, cap);
    if (pv_coordset_limits_is(item->section))
        return pv_coordset_limits_item(&f->set->limits, item, error, cap);
    if (strcmp(item->section, "store") == 0)
        return pv_coordset_store_item(&f->set->store, item, error, cap);
    if (strcmp(item->section, "metrics") == 0)
        return metrics_item(f->set, item, error, cap);
    if (item->section[0] == '\0' && item->key != NULL) {
        snprintf(error, cap, "%.60s stands before any section: begin with [coordinator]",
                 item->key);
        return PV_ERR_MALFORMED;
    }
    if (strcmp(item->section, "coordinator") != 0) {
        snprintf(error, cap,
                 "unknown section [%.60s]: there are [coordinator], [relay], [turn-user NAME], "
                 "[limits], [network ID], [store] and [metrics]",
                 item->section);
        return PV_ERR_MALFORMED;
    }
    return item->key == NULL ? PV_OK : coordinator_item(f, item, error, cap);
}

/* The options of the command line are noted before the file adds to the same lists. */
int pv_coordset_parse(struct pv_coordset *set, const char *file, struct pv_view text,
                      char ret_error[static PV_COORDSET_ERROR_MAX])
{
    struct file_settings f = {
        .set = set,
        .listen = set->n_listen == 0,
        .tls_listen = set->n_tls_listen == 0,
        .public = set->n_public == 0,
        .alt = set->n_alt == 0,
        .open = !set->open,
    };
    struct pv_ini_error error = {0};
    int r = pv_ini_parse(text, take_item, &f, &error);
    if (r == PV_OK) {
        pv_coordset_limits_end(&set->limits, set->relay.bandwidth);
        r = pv_coordset_relay_end(&set->relay, error.text, sizeof(error.text));
        const char *why = error.text;
        if (r == PV_OK)
            r = pv_scrapeset_check(&set->metrics, &why);
        if (r < 0) {
            snprintf(ret_error, PV_COORDSET_ERROR_MAX, "%.200s: %s", file, why);
            return r;
        }
    }
    /* Settings that belong together may stand in any order, so they are compared when all has been
     * read. */
    if (r == PV_OK && (set->tls_cert[0] == '\0') != (set->tls_key[0] == '\0')) {
        bool has = set->tls_cert[0] != '\0';
        snprintf(ret_error, PV_COORDSET_ERROR_MAX,
                 "%.200s: %s without %s: give both, or neither for a certificate of its own", file,
                 has ? "tls-cert" : "tls-key", has ? "tls-key" : "tls-cert");
        return PV_ERR_MALFORMED;
    }
    if (r == PV_ERR_NOMEM)
        snprintf(ret_error, PV_COORDSET_ERROR_MAX, "%.200s: out of memory", file);
    else if (r < 0)
        snprintf(ret_error, PV_COORDSET_ERROR_MAX, "%.200s:%u: %s", file, error.line, error.text);
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
                 r == PV_ERR_NOT_FOUND ? "no such file"
                 : r == PV_ERR_LIMIT   ? "not a regular file of at most 256 KiB"
                 : r == -EACCES ? "not permitted: make it readable for the coordinator's user; a "
                                  "directory that is new needs a restart"
                                : pv_strstatus(r));
    pv_file_free(text, len);
    return r < 0 ? PV_ERR_MALFORMED : PV_OK;
}

/* --- the command line ------------------------------------------------------------------------ */

struct command_line {
    struct pv_coordset *set;
    const char *config; /* value of --config; NULL: none */
};

/* One function for each option. Several of them are keys of the file too, and then both end in the
 * same function for the value. */
static int option_listen(struct command_line *c, const char *value, char *error, size_t cap)
{
    return take_listen(c->set, false, "--listen", value, error, cap);
}

static int option_tls_listen(struct command_line *c, const char *value, char *error, size_t cap)
{
    return take_listen(c->set, true, "--tls-listen", value, error, cap);
}

static int option_public(struct command_line *c, const char *value, char *error, size_t cap)
{
    return take_public(c->set, "--public", value, error, cap);
}

static int option_alt_address(struct command_line *c, const char *value, char *error, size_t cap)
{
    return take_alt(c->set, "--alt-address", value, error, cap);
}

/* ports_given keeps the file's `ports` from counting. */
static int option_relay_ports(struct command_line *c, const char *value, char *error, size_t cap)
{
    c->set->relay.ports_given = true;
    return pv_coordset_relay_ports(&c->set->relay, "--relay-ports", value, error, cap);
}

/* The file is read at the end, when all options are known: wherever --config stands, it fills what
 * they left out. */
static int option_config(struct command_line *c, const char *value, char *error, size_t cap)
{
    if (value[0] == '\0')
        return bad_value(error, cap, "option", "--config", "its value is empty");
    c->config = value;
    return PV_OK;
}

/* An empty value would be the root directory in every path that is made of it. */
static int option_state(struct command_line *c, const char *value, char *error, size_t cap)
{
    if (value[0] == '\0')
        return bad_value(error, cap, "option", "--state", "its value is empty");
    if (strlen(value) >= sizeof(c->set->state) - STATE_ROOM)
        return bad_value(error, cap, "--state", value, "the path is too long");
    snprintf(c->set->state, sizeof(c->set->state), "%s", value);
    return PV_OK;
}

/* Options that have a value. The switches, which have none, are in take_switch(). */
static const struct command_option {
    const char *name;
    int (*take)(struct command_line *c, const char *value, char *error, size_t cap);
} options[] = {
    {"--listen", option_listen},           {"--public", option_public},
    {"--alt-address", option_alt_address}, {"--tls-listen", option_tls_listen},
    {"--relay-ports", option_relay_ports}, {"--state", option_state},
    {"--config", option_config},
};

/* Finds the option of an argument, "--name" or "--name=value". NULL: it has no value, or is
 * none. */
static const struct command_option *find_option(const char *arg)
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
static int take_switch(struct pv_coordset *set, const char *arg,
                       char ret_error[static PV_COORDSET_ERROR_MAX])
{
    const struct action *now = find_action(set->action);
    bool wants = now != NULL && now->operand != NULL && set->operand == NULL;
    set->check = set->check || (!wants && strcmp(arg, "--check") == 0);
    if (set->check && set->action == PV_COORDSET_STATUS && strcmp(arg, "--check") == 0)
        return PV_OK; /* of the status, not of the settings */
    for (size_t i = 0; i < PV_ARRAY_LEN(actions) && !wants; i++) {
        if (strcmp(arg, actions[i].name) == 0) {
            set->action = actions[i].action;
            return PV_OK;
        }
    }
    if (strcmp(arg, "--open") == 0)
        set->open = true;
    else if (strcmp(arg, "--no-relay") == 0)
        set->relay.off = set->relay.off_given = true;
    else if (strcmp(arg, "--json") == 0)
        set->json = true;
    else if (strcmp(arg, "--names") == 0)
        set->names = true;
    else if (wants && arg[0] != '-' && arg[0] != '\0')
        set->operand = arg;
    else
        return bad_value(ret_error, PV_COORDSET_ERROR_MAX,
                         arg[0] == '-' ? "option"
                         : now == NULL ? "command"
                                       : "argument",
                         arg, "unknown; see p2pvpn-coordinator --help");
    return PV_OK;
}

/* Does everything fit the action? Only the whole line shows it, since the words may come in any
 * order. */
static int check_action(const struct pv_coordset *set, const struct action *action,
                        char ret_error[static PV_COORDSET_ERROR_MAX])
{
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
    struct command_line c = {.set = set};
    set->argc = argc;
    set->argv = argv;
    snprintf(set->state, sizeof(set->state), "%s", PV_COORDSET_STATE);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        const struct command_option *option = find_option(arg);
        const char *value = option == NULL ? NULL : value_of(argc, argv, &i);
        int r = PV_OK;
        if (option == NULL)
            r = take_switch(set, arg, ret_error);
        else if (value == NULL)
            r = bad_value(ret_error, PV_COORDSET_ERROR_MAX, "option", arg, "its value is missing");
        else
            r = option->take(&c, value, ret_error, PV_COORDSET_ERROR_MAX);
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
    return r;
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

/* --- the section [store] --------------------------------------------------------------------- */

/* The value may hold a password, so an error does not repeat it. */
int pv_coordset_store_item(struct pv_coordset_store *s, const struct pv_ini_item *item, char *error,
                           size_t cap)
{
    const char *why = NULL;
    if (item->key == NULL)
        return PV_OK;
    if (strcmp(item->key, "postgres") != 0) {
        snprintf(error, cap, "unknown key %.60s in [store]: there is postgres", item->key);
        return PV_ERR_MALFORMED;
    }
    if (s->postgres[0] != '\0')
        why = "given twice";
    else if (item->value[0] == '\0')
        why = "expected the address of a database, such as host=db.example dbname=p2pvpn";
    else if (strlen(item->value) >= sizeof(s->postgres))
        why = "at most 1023 characters";
    if (why != NULL) {
        snprintf(error, cap, "postgres: %s", why);
        return PV_ERR_MALFORMED;
    }
    snprintf(s->postgres, sizeof(s->postgres), "%s", item->value);
    return PV_OK;
}
