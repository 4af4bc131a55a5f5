/* SPDX-License-Identifier: MIT */
/*
 * cmd_networks.c - the networks that this machine is in: each has a p2pvpnd of its own, which is
 * asked for its status. One that is silent holds the others up for two seconds at most.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "nss/find.h"
#include "sys/net/sockaddr.h"

enum {
    ASK_S = 2, /* ours: for one p2pvpnd's answer */
};

/* Why there is no status, in a word that a script may compare. */
static const char *silence(int status)
{
    return status == PV_ERR_NOT_FOUND ? "not running"
           : status == -EACCES        ? "no permission"
                                      : "no answer";
}

/* {"name","user","state","network","cidr","self","ip4","interface","online","members"}; what is not
 * known is null. NULL: no memory. */
static json_t *describe(const struct pv_instance *node)
{
    json_t *s = NULL;
    int r = pv_client_ask(node->socket, node->is_user, PV_CTLAPI_STATUS, PV_S(ASK_S), &s);
    const json_t *net = json_object_get(s, "network"), *self = json_object_get(s, "self"),
                 *iface = json_object_get(s, "interface"), *roster = json_object_get(s, "roster");
    json_t *row =
        json_pack("{s:s, s:b, s:s, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?}", "name",
                  node->name[0] == '\0' ? PV_INSTANCE_DEFAULT : node->name, "user", node->is_user,
                  "state", s == NULL ? silence(r) : pv_json_text(s, "state", "?"), "network",
                  json_object_get(net, "name"), "cidr", json_object_get(net, "cidr"), "self",
                  json_object_get(self, "name"), "ip4", json_object_get(self, "ip4"), "interface",
                  json_object_get(iface, "name"), "online", json_object_get(roster, "online"),
                  "members", json_object_get(roster, "members"));
    json_decref(s);
    return row;
}

/* A node that did not answer has its name, the reason, and "-" for the rest. */
static void print_row(struct pv_table *t, const json_t *row, bool all)
{
    static const char *const texts[] = {"network", "self", "ip4", "interface"};
    /* "3 of 5": members that are online, of all. */
    char people[PV_SHOW_BUF] = "-";
    const char *state = pv_json_text(row, "state", "?");
    bool up = strcmp(state, "up") == 0 || strcmp(state, "static") == 0;
    if (json_is_number(json_object_get(row, "members")))
        snprintf(people, sizeof(people), "%.0f of %.0f", pv_json_real(row, "online", 0),
                 pv_json_real(row, "members", 0));
    pv_table_cellf(t, PV_BOLD, "%.60s%s", pv_json_text(row, "name", "?"),
                   pv_json_bool(row, "user") ? " (yours)" : "");
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        pv_table_cell(t, PV_PLAIN, pv_json_text(row, texts[i], "-"));
    if (all)
        pv_table_cell(t, PV_PLAIN, pv_json_text(row, "cidr", "-"));
    pv_table_cell(t, PV_PLAIN, people);
    pv_table_cell(t, up ? PV_GREEN : PV_YELLOW, strcmp(state, "none") == 0 ? "not joined" : state);
}

static void long_row(struct pv_table *t, const json_t *row)
{
    print_row(t, row, true);
}

static void short_row(struct pv_table *t, const json_t *row)
{
    print_row(t, row, false);
}

/* On 80 columns an address is worth more than the range that it is of. */
static int print_networks(struct pv_cli *cli, const json_t *list)
{
    static const char *const head[] = {"NAME",       "-NETWORK", "-THIS NODE", "=ADDRESS",
                                       "-INTERFACE", "=ONLINE",  "STATE"};
    static const char *const whole[] = {"NAME",      "NETWORK", "THIS NODE", "ADDRESS",
                                        "INTERFACE", "RANGE",   "ONLINE",    "STATE"};
    return cli->all ? pv_cli_print_list(cli, whole, PV_ARRAY_LEN(whole), list, long_row)
                    : pv_cli_print_list(cli, head, PV_ARRAY_LEN(head), list, short_row);
}

/* Those of p2pvpnd --user that run, or ever have. */
static int add_own(struct pv_cli *cli, json_t *list)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF];
    size_t n = pv_instance_list_own(names);
    for (size_t i = 0; i < n; i++) {
        struct pv_instance node;
        if (pv_instance_find(names[i], &node) == PV_OK && node.is_user &&
            json_array_append_new(list, describe(&node)) != 0)
            return pv_cli_no_memory(cli);
    }
    return 0;
}

static int networks(struct pv_cli *cli)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF];
    size_t n = pv_instance_list(PV_INSTANCE_RUN, PV_INSTANCE_ETC, names);
    json_t *list = json_array();
    int code = list == NULL ? pv_cli_no_memory(cli) : add_own(cli, list);
    const size_t n_own = json_array_size(list);
    for (size_t i = 0; code == 0 && i < n; i++) {
        struct pv_instance node;
        /* The list has only names that make one. A user whose own one runs looks for no other. */
        if (pv_instance_named(names[i], &node) == PV_OK &&
            (n_own == 0 || access(node.socket, F_OK) == 0) &&
            json_array_append_new(list, describe(&node)) != 0)
            code = pv_cli_no_memory(cli);
    }
    if (code == 0)
        code = cli->json ? pv_cli_print_packed(cli, "{s:O}", "networks", list)
                         : print_networks(cli, list);
    json_decref(list);
    return code;
}

/* --- names that two networks have ---------------------------------------------------------- */

enum {
    SHARED_MAX = 8, /* that are shown */
};

/* The nodes of this machine as describe() has them. NULL: no memory. */
static json_t *nodes_here(void)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF];
    size_t n = pv_instance_list(PV_INSTANCE_RUN, PV_INSTANCE_ETC, names);
    json_t *nodes = json_array();
    for (size_t i = 0; i < n; i++) {
        struct pv_instance node;
        if (pv_instance_named(names[i], &node) == PV_OK)
            (void)json_array_append_new(nodes, describe(&node));
    }
    return nodes;
}

/* Has this host, which all may be NULL of, one of the two addresses, or a node of it that is down?
 */
static bool is_own(const struct ifaddrs *all, const json_t *nodes, const struct pv_addr *ip4,
                   const struct pv_addr *ip6)
{
    bool is = false;
    PV_EACH_JSON(nodes, node)
        is = is || pv_json_is(node, "ip4", PV_IP_STR(ip4));
    for (const struct ifaddrs *i = all; i != NULL && !is; i = i->ifa_next) {
        if (i->ifa_addr == NULL ||
            (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
        memcpy(&ss, i->ifa_addr,
               i->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                  : sizeof(struct sockaddr_in));
        const struct pv_addr addr = pv_sockaddr_to(&ss);
        is = pv_addr_equal_ip(&addr, ip4) || pv_addr_equal_ip(&addr, ip6);
    }
    return is;
}

/* A machine that is called the same in two of its networks misleads nobody. A user who may not ask
 * a node that is down does not know its address: by two that the host lacks nobody reaches another
 * machine. */
static bool misleads(const struct ifaddrs *all, const json_t *nodes, const struct pv_nss_shared *s,
                     const char *self)
{
    const int own =
        is_own(all, nodes, &s->ip4[0], &s->ip6[0]) + is_own(all, nodes, &s->ip4[1], &s->ip6[1]);
    return own == 1 || (own == 0 && strcmp(s->name, self) != 0);
}

void pv_cli_add_shared_names(json_t *status)
{
    struct pv_nss_shared found[SHARED_MAX];
    const char *self = pv_json_text(json_object_get(status, "self"), "name", "");
    size_t n = pv_nss_find_shared(PV_INSTANCE_RUN, found, SHARED_MAX);
    json_t *list = json_array(), *nodes = n > 0 ? nodes_here() : NULL;
    struct ifaddrs *all = NULL;
    if (n > 0 && getifaddrs(&all) < 0)
        all = NULL;
    for (size_t i = 0; i < n && i < SHARED_MAX; i++) {
        const struct pv_nss_shared *s = &found[i];
        if (misleads(all, nodes, s, self))
            (void)json_array_append_new(list, json_pack("{s:s, s:[s, s], s:s?}", "name", s->name,
                                                        "networks", s->of[0], s->of[1], "means",
                                                        s->means_first ? s->of[0] : NULL));
    }
    freeifaddrs(all);
    json_decref(nodes);
    (void)json_object_set_new(status, "shared_names", list);
}

bool pv_cli_shared_name(const json_t *status, size_t i, char buf[static PV_CLI_SHARED_BUF])
{
    const json_t *s = json_array_get(json_object_get(status, "shared_names"), i),
                 *networks = json_object_get(s, "networks");
    const char *name = pv_json_text(s, "name", "?"), *means = pv_json_text(s, "means", NULL);
    const char *a = json_string_value(json_array_get(networks, 0)),
               *b = json_string_value(json_array_get(networks, 1));
    if (a == NULL || b == NULL)
        return false;
    if (strcmp(a, b) == 0)
        snprintf(buf, PV_CLI_SHARED_BUF,
                 "%s is in two networks called %s: the name means %s, say the address", name, a,
                 means != NULL ? "the first's; for the other" : "nobody");
    else if (means != NULL)
        snprintf(buf, PV_CLI_SHARED_BUF,
                 "%s is in %s and in %s: alone it means %s's, %s.%s.p2p the other", name, a, b,
                 means, name, b);
    else
        snprintf(buf, PV_CLI_SHARED_BUF,
                 "%s is in %s and in %s: alone it means nobody, say %s.%s.p2p or %s.%s.p2p", name,
                 a, b, name, a, name, b);
    return true;
}

const struct pv_command pv_cmds_networks[] = {
    {
        .name = "networks",
        .keeps_root = true,
        .args = "",
        .summary = "the networks of this machine, one node each",
        .details =
            "The first network is called default. \"p2pvpnctl -n work join TOKEN\" adds the\n"
            "network work, which has its own p2pvpnd, state, interface (p2p-work), port and\n"
            "unit. -n work selects it in every command. To remove it for good:\n"
            "  sudo p2pvpnctl -n work leave --forget\n"
            "  sudo systemctl disable --now p2pvpnd@work\n"
            "  sudo rm -r /etc/p2pvpn/work.conf /var/lib/p2pvpn-work\n",
        .example = "p2pvpnctl networks",
        .run = networks,
    },
    {.name = NULL},
};
