/* SPDX-License-Identifier: MIT */
/*
 * cmd_doctor.c - one page that goes through everything a node needs, from the kernel's TUN to the
 * way through its NAT, and says what to do. It looks at this machine, and at one `status` and
 * `rules` of p2pvpnd; nothing is sent to anybody.
 */
#include <errno.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/hostprobe.h"
#include "ctl/hostwall.h"
#include "ctl/lib/launch.h"
#include "proto/local/remedy.h"
#include "sys/net/ipcmd.h"

#define GROUP PV_INSTANCE_GROUP

enum {
    LOW_DISK_MIB = 64, /* as p2pvpnd's own reserve */
    MIN_MTU = 1280,    /* RFC 8200 s5 */
    SHORT_NAME = 7,    /* columns of a check's name where little is shown, */
    LONG_NAME = 13,    /* and with --long */
    TRIED = 8,         /* used prefixes that a packet is sent to */
    TRIES = 3,         /* of a packet whose rule is not known: the first may come too early */
    LINE = 600,        /* bytes of a sentence with the NUL: a problem of status fits */
};

/* The page while it is made. */
struct page {
    struct pv_cli *cli;
    json_t *checks; /* [{"name","well","text","todo","remedy"}]; NULL: no memory */
    bool well;
};

/* One line of the page. */
static void put(struct page *p, const char *name, bool well, struct pv_remedy todo, const char *fmt,
                ...) PV_PRINTF(5, 6);
static void put(struct page *p, const char *name, bool well, struct pv_remedy todo, const char *fmt,
                ...)
{
    char said[LINE], text[2 * LINE], what[LINE], remedy[2 * LINE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
    pv_cli_name_commands(p->cli, said, text, sizeof(text));
    pv_remedy_write(&todo, what, sizeof(what));
    pv_cli_name_commands(p->cli, what, remedy, sizeof(remedy));
    /* Without memory for one line the whole page is given up: a part of it might look well. */
    p->well = p->well && well;
    json_t *check =
        json_pack("{s:s, s:b, s:s, s:s?, s:s?}", "name", name, "well", well, "text", text, "todo",
                  what[0] == '\0' ? NULL : remedy, "remedy", pv_remedy_id(todo.id));
    if (p->checks != NULL && json_array_append_new(p->checks, check) != 0) {
        json_decref(p->checks);
        p->checks = NULL;
    }
}

/* --- this machine --------------------------------------------------------------------------- */

/* Only whether it exists: p2pvpnd opens it with rights that this user may lack. */
static void look_at_tun(struct page *p, const json_t *status)
{
    if (pv_json_is(status, "stack", "lwip")) {
        put(p, "tun", true, PV_DO_NOTHING, "lwIP stands in for one, see `p2pvpnctl status`");
        return;
    }
    /* p2pvpnd says so when it could not open it. */
    PV_EACH_JSON(json_object_get(status, "problems"), problem)
        if (strstr(pv_json_string(problem), "/dev/net/tun") != NULL) {
            put(p, "tun", false, PV_DO(see_below), "p2pvpnd cannot use /dev/net/tun");
            return;
        }
    bool there = access("/dev/net/tun", F_OK) == 0;
    bool own = p->cli->node.is_user && access("/dev/net/tun", R_OK | W_OK) != 0;
    put(p, "tun", there, there ? PV_DO_NOTHING : PV_DO(load_tun),
        !there ? "/dev/net/tun is missing: no interface can be made"
        : own  ? "/dev/net/tun is not for this user: lwIP stands in, see `p2pvpnctl status`"
               : "/dev/net/tun is there");
}

/* p2pvpnd has others' programs set up the interface, and finds only then that one is missing. */
static void look_at_programs(struct page *p, const json_t *status)
{
    const bool ip = pv_ipcmd_is_there(), nft = pv_nftcmd_is_there();
    if (pv_json_is(status, "stack", "lwip"))
        put(p, "programs", true, PV_DO_NOTHING, "none is needed for lwIP");
    else if (!ip)
        put(p, "programs", false, nft ? PV_DO(install_ip) : PV_DO(install_ip_and_nft),
            "there is no ip program%s: no interface can be set up", nft ? "" : ", and no nft");
    else if (!nft)
        put(p, "programs", false, PV_DO(install_nft),
            "there is no nft program: who speaks as a member beside the interface is not kept out");
    else
        put(p, "programs", true, PV_DO_NOTHING, "ip and nft are there");
}

/* p2pvpnd alone knows what --state it was given; while it does not run, of one that was started
 * with paths of its own nobody does. NULL: that is so. */
static const char *state_of(const struct pv_instance *node, const json_t *status,
                            struct pv_userdirs *dirs)
{
    const char *told = pv_json_text(status, "directory", NULL);
    if (told != NULL)
        return told;
    if (node->is_user && pv_userdirs_find(node->name, dirs) == PV_OK)
        return dirs->state;
    return node->is_usual ? node->state : NULL;
}

static void look_at_disk(struct page *p, const json_t *status)
{
    struct statvfs fs;
    struct pv_userdirs dirs;
    const char *state = state_of(&p->cli->node, status, &dirs);
    if (state == NULL) {
        put(p, "disk", true, PV_DO_NOTHING,
            "not looked at: p2pvpnd does not say where its state is");
        return;
    }
    if (statvfs(state, &fs) != 0) {
        put(p, "disk", true, PV_DO_NOTHING,
            errno == ENOENT ? "%s does not exist yet" : "%s: this user may not look", state);
        return;
    }
    if ((fs.f_flag & ST_RDONLY) != 0) {
        put(p, "disk", false, PV_DO(mount_for_writing), "%s is read-only", state);
        return;
    }
    if (fs.f_files > 0 && fs.f_favail == 0) { /* of 0: as many as there is room for */
        put(p, "disk", false, PV_DO(delete_small_files),
            "no inodes are free below %s: no file can be made there", state);
        return;
    }
    /* f_bavail: what only root may fill is of no use to p2pvpnd, which is another user. */
    unsigned long long mib = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
    bool well = mib >= LOW_DISK_MIB;
    put(p, "disk", well, well ? PV_DO_NOTHING : PV_DO(free_space), "%llu MiB are free below %s",
        mib, state);
}

/* Does every program know the members' names? */
static void look_at_names(struct page *p)
{
    char line[512];
    bool well = false;
    FILE *f = fopen("/etc/nsswitch.conf", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        well = well || (strncmp(line, "hosts:", 6) == 0 && strstr(line, "p2pvpn") != NULL);
    if (f != NULL)
        fclose(f);
    if (well)
        put(p, "names", true, PV_DO_NOTHING, "every program knows members by name");
#ifdef PV_STATIC
    else
        put(p, "names", true, PV_DO_NOTHING,
            "p2pvpnctl knows members by name (`p2pvpnctl ip NAME`); other programs do by [dns], or "
            "where a package is installed");
#else
    else
        put(p, "names", false, PV_DO(install_names),
            "programs cannot look up members by name: /etc/nsswitch.conf does not ask p2pvpn");
#endif
}

static bool is_in_group(gid_t gid)
{
    gid_t groups[256];
    int n = getgroups((int)PV_ARRAY_LEN(groups), groups);
    bool in = getegid() == gid;
    for (int i = 0; i < n; i++)
        in = in || groups[i] == gid;
    return in;
}

/* May people use p2pvpnd, and this one? */
static void look_at_group(struct page *p)
{
    const struct group *g = getgrnam(GROUP);
    if (g == NULL)
        put(p, "group", false, PV_DO(make_group, pv_instance_group_todo()),
            "there is no group " GROUP ": root alone may use p2pvpnd");
    else if (pv_instance_ignores_group(&p->cli->node))
        put(p, "group", false, PV_DO(restart_p2pvpnd),
            "p2pvpnd began before there was a group " GROUP ": root alone may use it");
    else if (geteuid() != 0 && !is_in_group(g->gr_gid))
        put(p, "group", false,
            pv_instance_group_has_user() ? PV_DO(log_in_again) : PV_DO(join_group),
            pv_instance_group_has_user() ? "this login began before this user was in group " GROUP
                                         : "this user is not in group " GROUP);
    else
        put(p, "group", true, PV_DO_NOTHING,
            "members of group " GROUP " may look, ping, chat and send files");
}

/* --- what p2pvpnd says ---------------------------------------------------------------------- */

/* Starting it again is no remedy for settings that it refuses. */
static void not_running(struct page *p)
{
    char why[PV_LAUNCH_WHY] = "", how[PV_CLI_JOIN_BUF], net[PV_INSTANCE_NAME_BUF];
    if (pv_cli_is_elsewhere(p->cli, net)) {
        put(p, "daemon", false, PV_DO(doctor_there, net),
            "without -n no network is joined here, but there is %s", net);
        return;
    }
    if (p->cli->node.is_usual)
        pv_launch_why(&p->cli->node, why, sizeof(why));
    put(p, "daemon", false,
        p->cli->node.is_user ? PV_DO(start_own, pv_cli_how_to_start_own(p->cli, how))
        : why[0] == '\0' && pv_cli_never_began(p->cli)
            ? PV_DO(join_first, pv_cli_how_to_join(p->cli, how))
        : why[0] == '\0' ? PV_DO(up)
                         : PV_DO(mend_and_up),
        "p2pvpnd does not run%s%s", why[0] == '\0' ? "" : ": ", why);
}

/* Asks p2pvpnd. The page itself says that p2pvpnd does not run, or that this user may not ask it.
 * Another reason stands beside the page, as for any command. */
static int ask_status(struct pv_cli *cli, json_t **ret_status)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_STATUS);
    int r = pv_client_open(&cli->client, cli->node.socket);
    if (r == -EACCES)
        return PV_CTLAPI_PERMISSION;
    if (r == PV_ERR_NOT_FOUND && pv_instance_exists(&cli->node))
        return PV_CTLAPI_NOT_RUNNING;
    return pv_cli_ask(cli, &req, ret_status);
}

/* The command that restarts this node's p2pvpnd. A user's own may have no unit. */
static struct pv_remedy restart_of(const struct pv_cli *cli)
{
    const char *name = cli->node.name;
    return cli->node.is_user ? PV_DO(end_and_start)
                             : PV_DO(restart, name[0] == '\0' ? "" : "@", name);
}

static void no_answer(struct page *p, int code)
{
    if (code == PV_CTLAPI_PERMISSION)
        put(p, "daemon", false, PV_DO(doctor_as_root), "this user may not ask p2pvpnd");
    else if (code == PV_CTLAPI_NOT_RUNNING)
        not_running(p);
    else
        put(p, "daemon", false, restart_of(p->cli), "p2pvpnd did not answer");
}

/* After an update the old p2pvpnd may still run, which no other check would show. */
static void look_at_daemon(struct page *p, const json_t *status)
{
    const char *version = pv_json_text(status, "daemon", "?");
    bool same = strcmp(version, PV_VERSION) == 0;
    put(p, "daemon", true, PV_DO_NOTHING, "p2pvpnd runs, and %s may use it",
        geteuid() == 0 ? "root" : "this user");
    put(p, "versions", same, same ? PV_DO_NOTHING : restart_of(p->cli),
        same ? "p2pvpnd and p2pvpnctl are %s" : "p2pvpnd is %s and p2pvpnctl " PV_VERSION, version);
}

static void look_at_settings(struct page *p)
{
    char why[PV_LAUNCH_WHY] = "";
    if (pv_launch_refuses_next(&p->cli->node, why, sizeof(why)))
        put(p, "settings", false, PV_DO(mend_and_reload), "p2pvpnd would not start again: %s", why);
}

/* Somebody may have renamed it, or set it down, under p2pvpnd. */
static bool is_link_up(const char *name)
{
    struct ifaddrs *list = NULL;
    bool up = false;
    if (getifaddrs(&list) < 0)
        return true; /* nobody knows better */
    for (const struct ifaddrs *i = list; i != NULL && !up; i = i->ifa_next)
        up = strcmp(i->ifa_name, name) == 0 && (i->ifa_flags & IFF_UP) != 0;
    freeifaddrs(list);
    return up;
}

/* p2pvpnd says why there is no interface. If it says nothing, a restart makes one. */
static struct pv_remedy interface_remedy(const struct pv_cli *cli, const json_t *status)
{
    return json_array_size(json_object_get(status, "problems")) > 0 ? PV_DO(see_below)
                                                                    : restart_of(cli);
}

/* A node with static peers alone is well without a network. */
static void look_at_network(struct page *p, const json_t *status)
{
    const json_t *network = json_object_get(status, "network"),
                 *iface = json_object_get(status, "interface");
    const char *state = pv_json_text(status, "state", "none");
    bool in = json_is_object(network), down = strcmp(state, "down") == 0;
    char how[PV_CLI_JOIN_BUF];
    if (!in) {
        put(p, "network", strcmp(state, "static") == 0,
            PV_DO(join_first, pv_cli_how_to_join(p->cli, how)),
            p->cli->node.name[0] == '\0' ? "this machine is in no network"
                                         : "this network is not joined here");
        return;
    }
    put(p, "network", !down, down ? PV_DO(up) : PV_DO_NOTHING,
        down ? "%s, but this machine is down" : "%s", pv_json_text(network, "name", "?"));
    if (down)
        return;
    double mtu = pv_json_real(iface, "mtu", 0);
    if (strcmp(state, "waiting") == 0) {
        put(p, "interface", true, PV_DO_NOTHING,
            "there is none until an admin admits this machine");
        return;
    }
    if (pv_json_is(status, "stack", "lwip")) {
        put(p, "interface", true, PV_DO_NOTHING, "there is none: lwIP stands in");
        return;
    }
    const char *name = pv_json_text(iface, "name", "?");
    /* That of a user's p2pvpnd is in a network of its own, where only that can look. */
    bool up = json_is_object(iface) && (p->cli->node.is_user || is_link_up(name));
    put(p, "interface", up, up ? PV_DO_NOTHING : interface_remedy(p->cli, status),
        up                      ? "%s is up"
        : json_is_object(iface) ? "%s is not there, or is down"
                                : "there is none%s",
        json_is_object(iface) ? name : "");
    /* The configuration allows no less, so another program changed it, which is a problem of
     * p2pvpnd's. */
    if (json_is_object(iface))
        put(p, "mtu", mtu >= MIN_MTU,
            mtu >= MIN_MTU ? PV_DO_NOTHING : interface_remedy(p->cli, status),
            "packets of %.0f bytes", mtu);
}

/* A rule in front passes what the chain drops. */
static const char *firewall_remedy(const struct pv_hostwall *wall, char *buf, size_t cap)
{
    char command[LINE];
    struct pv_text text = pv_text_in(buf, cap);
    const char *ifname = wall->ifname;
    if (!wall->out)
        pv_text_add(&text,
                    "let in what you want members to reach: with ufw `ufw allow in on %s`, with "
                    "firewalld `firewall-cmd --permanent --zone=trusted --add-interface=%s` and "
                    "`firewall-cmd --reload`, else ",
                    ifname, ifname);
    else
        pv_text_add(&text, "let it out: ");
    pv_text_add(&text, "`%s`, in front of what drops (and have it where these rules are kept)",
                pv_hostwall_remedy(wall, command, sizeof(command)));
    return buf;
}

/* Has the kernel say which rule drops the packet; PV_ERR_NOT_FOUND and the like: nft cannot. */
static int name_rule(struct pv_cli *cli, const struct pv_hostprobe *probe, struct pv_hostwall *wall)
{
    int r = pv_hostwall_begin(wall, &probe->here, &probe->there);
    bool found = false;
    for (int i = 0; i < TRIES && !found; i++) {
        pv_hostprobe_again(cli, probe);
        found = pv_hostwall_look(wall);
    }
    pv_hostwall_end(wall);
    return found ? PV_OK : r;
}

/* A packet did not arrive. whom: from or to. */
static void put_dropped(struct page *p, const struct pv_hostprobe *probe, const char *whom,
                        const char *ifname, const char *own)
{
    struct pv_hostwall wall = {
        .ifname = ifname, .out = probe->is == PV_HOSTPROBE_ANSWER || probe->is == PV_HOSTPROBE_OUT};
    char todo[2 * LINE], what[LINE];
    pv_hostprobe_words(probe, whom, what, sizeof(what));
    if (geteuid() != 0) {
        put(p, "firewall", false, PV_DO(doctor_as_root), "this host drops %s%s", what, own);
        return;
    }
    int r = name_rule(p->cli, probe, &wall);
    if (wall.table[0] == '\0' && r < 0)
        put(p, "firewall", false, PV_DO(install_nft),
            "this host drops %s: by which rule is not known, as nft is missing or fails%s", what,
            own);
    else if (wall.table[0] == '\0')
        put(p, "firewall", false, PV_DO(look_at_kernel),
            "this host drops %s, and no rule of nftables or iptables does%s", what, own);
    else if (wall.in_part)
        put(p, "firewall", true, PV_DO_NOTHING,
            "this host's own (table %s, chain %s) lets through some of %s, by ports or members, "
            "and drops the rest%s",
            wall.table, wall.chain, what, own);
    else
        put(p, "firewall", false, PV_DO(open_firewall, firewall_remedy(&wall, todo, sizeof(todo))),
            "this host's own (table %s, chain %s) drops %s, by %s%s%s%s", wall.table, wall.chain,
            what, wall.rule[0] == '\0' ? "its policy" : "the rule \"", wall.rule,
            wall.rule[0] == '\0' ? "" : "\"", own);
}

/* Towards the others [firewall] is the same silence. "": there is none. */
static void own_text(struct pv_cli *cli, const json_t *status, char *buf, size_t cap)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_RULES);
    json_t *rules = NULL;
    if (pv_json_is(status, "state", "up"))
        (void)!pv_cli_ask(cli, &req, &rules);
    const char *allow = pv_json_text(rules, "firewall", "all");
    const bool nothing = strcmp(allow, "none") == 0;
    buf[0] = '\0';
    if (strcmp(allow, "all") != 0)
        snprintf(buf, cap, "this node accepts %s%s ([firewall] allow)",
                 nothing ? "nothing" : "only ", nothing ? "" : allow);
    json_decref(rules);
}

/* Packets of programs to prefixes that are used, and to the internet by an exit. */
static void look_at_routes(struct page *p, const char *ifname)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROUTES);
    json_t *body = NULL;
    size_t n = 0;
    if (pv_cli_ask(p->cli, &req, &body) != 0)
        return;
    PV_EACH_JSON(json_object_get(body, "routes"), r) {
        struct pv_hostprobe probe;
        struct pv_prefix prefix;
        const char *text = pv_json_text(r, "prefix", "");
        if (!pv_hostprobe_is_in_place(r) || n++ >= TRIED || pv_prefix_parse(text, &prefix) != PV_OK)
            continue;
        pv_hostprobe_reach(p->cli, &prefix, &probe);
        if (probe.is == PV_HOSTPROBE_OUT)
            put_dropped(p, &probe, prefix.bits == 0 ? "the internet by the exit node" : text,
                        ifname, "");
    }
    json_decref(body);
}

/* Nobody else can find that out: towards the others it is silence. */
static void look_at_firewall(struct page *p, const json_t *status)
{
    const json_t *iface = json_object_get(status, "interface");
    const char *ifname = pv_json_text(iface, "name", "p2pvpn0");
    char own[LINE];
    struct pv_hostprobe probe = {.is = PV_HOSTPROBE_UNTRIED};
    own_text(p->cli, status, own, sizeof(own));
    if (json_is_object(iface) && strlen(ifname) < IF_NAMESIZE)
        pv_hostprobe_run(p->cli, NULL, &probe);
    if (probe.is > PV_HOSTPROBE_OPEN)
        put_dropped(p, &probe, "members", ifname, own[0] == '\0' ? "" : PV_STR("; %s", own));
    else if (probe.is == PV_HOSTPROBE_OPEN)
        put(p, "firewall", true, PV_DO_NOTHING,
            "packets of members reach programs here, and theirs leave (rules for single ports are "
            "not tried)%s%s",
            own[0] == '\0' ? "" : "; ", own);
    else if (own[0] != '\0')
        put(p, "firewall", true, PV_DO_NOTHING, "%s", own);
    if (probe.is == PV_HOSTPROBE_OPEN)
        look_at_routes(p, ifname);
}

struct guard {
    char table[80]; /* that is being listed */
    char found[80]; /* the first that lets nothing out but by an exit, other than own; "": none */
    const char *own;
};

/* Of `nft list chains`. */
static void take_guard_line(void *ctx, const char *line)
{
    struct guard *g = ctx;
    (void)sscanf(line, "table inet p2pvpn-%71s {", g->table);
    if (strstr(line, "chain guard {") != NULL && g->found[0] == '\0' && g->table[0] != '\0' &&
        strcmp(g->table, g->own) != 0)
        memcpy(g->found, g->table, sizeof(g->found));
    else if (strncmp(line, "table ", 6) == 0 && strncmp(line, "table inet p2pvpn-", 18) != 0)
        g->table[0] = '\0';
}

/* The block of an exit outlives its p2pvpnd; nothing else says then why nothing goes out. While
 * this network's own interface is away, whose name is not known then, its own exit is no news. */
static void look_at_block(struct page *p, const json_t *status)
{
    static const char *const words[] = {"chains"};
    const json_t *exit = json_object_get(json_object_get(status, "routes"), "exit");
    const json_t *iface = json_object_get(status, "interface");
    struct guard g = {.own = pv_json_text(iface, "name", "")};
    if (geteuid() != 0 || (!json_is_object(iface) && json_is_object(exit)) ||
        pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_guard_line, &g) != PV_OK ||
        g.found[0] == '\0')
        return;
    const bool runs = if_nametoindex(g.found) != 0;
    put(p, "block", runs && !json_is_object(exit), !runs ? PV_DO(reopen) : PV_DO(exit_off_there),
        "the network with interface %.15s%s lets nothing out but by its exit", g.found,
        runs ? "" : ", whose p2pvpnd does not run,");
}

/* Returns true if the HTTP proxy on the way keeps this machine from its coordinator: then that has
 * no check of its own. */
static bool look_at_proxy(struct page *p, const json_t *coordinator)
{
    const json_t *proxy = json_object_get(coordinator, "proxy");
    const char *todo = pv_json_text(proxy, "remedy", NULL);
    if (!json_is_object(proxy))
        return false;
    if (todo != NULL)
        put(p, "proxy", false, pv_remedy_said(todo), "%s", pv_json_text(proxy, "text", ""));
    else
        put(p, "proxy", true, PV_DO_NOTHING, "%s", pv_json_text(proxy, "text", ""));
    return todo != NULL && !pv_json_bool(coordinator, "connected");
}

static void look_at_coordinator(struct page *p, const json_t *status)
{
    const json_t *c = json_object_get(status, "coordinator");
    double rtt = pv_json_real(c, "rtt_ms", -1); /* not yet measured: below 0 */
    /* A node that is down does not connect, and that is no fault. */
    if (!json_is_object(c) || pv_json_is(status, "state", "down") || look_at_proxy(p, c))
        return;
    if (pv_json_bool(c, "connected"))
        put(p, "coordinator", true, PV_DO_NOTHING, "%s%s%s", pv_json_text(c, "address", "?"),
            rtt < 0 ? "" : ", ", rtt < 0 ? "" : PV_MS_STR(rtt));
    else if (pv_json_is(status, "state", "removed"))
        put(p, "coordinator", false, PV_DO(ask_if_removed),
            "%s refuses this machine: an admin removed it", pv_json_text(c, "address", "?"));
    /* Nobody stays connected only to ask. */
    else if (pv_json_is(status, "state", "waiting") && pv_json_text(c, "error", NULL) == NULL)
        put(p, "coordinator", true, PV_DO_NOTHING,
            "%s is asked every half minute whether an admin has said yes",
            pv_json_text(c, "address", "?"));
    else if (pv_json_text(c, "remedy", NULL) != NULL)
        put(p, "coordinator", false, pv_remedy_said(pv_json_text(c, "remedy", "")),
            "%s answers: %s", pv_json_text(c, "address", "?"), pv_json_text(c, "error", ""));
    else
        put(p, "coordinator", false, PV_DO(see_coordinator), "cannot reach %s: %s",
            pv_json_text(c, "address", "?"), pv_json_text(c, "error", "no answer yet"));
}

/* p2pvpnd gives up root's rights by itself, so what is missing here is the system's to allow. */
static void look_at_rights(struct page *p, const json_t *status)
{
    const char *sandbox = pv_json_text(status, "sandbox", "");
    char own[LINE]; /* without the helper's */
    snprintf(own, sizeof(own), "%.*s", (int)strcspn(sandbox, ";"), sandbox);
    bool well = strstr(own, "no capabilities") != NULL && strstr(own, ", seccomp") != NULL;
    if (own[0] != '\0')
        put(p, "rights", well, well ? PV_DO_NOTHING : PV_DO(give_rights), "%s", own);
}

/* Measured where it is in the way only; what the coordinator sees is known always. */
static void look_at_nat(struct page *p, const json_t *status)
{
    const json_t *hard = json_object_get(status, "hard_nat");
    const char *mapping = pv_json_text(hard, "mapping", "unknown");
    const char *seen = json_string_value(json_array_get(json_object_get(status, "public"), 0));
    if (json_is_string(json_object_get(status, "hidden_as")))
        put(p, "nat", false, PV_DO(pass_addresses),
            "the coordinator sees this machine at %s, a private address: something hides addresses",
            pv_json_text(status, "hidden_as", ""));
    else if (pv_json_bool(status, "unseen"))
        put(p, "nat", true, PV_DO_NOTHING,
            "seen as nothing public: the coordinator is in this LAN "
            "([traversal] stun)");
    else if (strcmp(mapping, "unknown") == 0)
        put(p, "nat", true, PV_DO_NOTHING, "seen as %s; `p2pvpnctl netcheck` measures more",
            seen == NULL ? "nobody yet" : seen);
    else
        put(p, "nat", true, PV_DO_NOTHING, "mapping %s, ports %s", mapping,
            pv_json_text(hard, "ports", "unknown"));
}

/* Returns true if p2pvpnd names a problem with UDP. It does so while the coordinator is connected:
 * otherwise nothing passes, and the coordinator's check says so. */
static bool has_udp_problem(const json_t *status)
{
    PV_EACH_JSON(json_object_get(status, "problems"), problem)
        if (strstr(pv_json_string(problem), "UDP") != NULL)
            return true;
    return false;
}

/* UDP, the NAT, and what the router does about it. A NAT in itself is nothing to be mended. */
static void look_at_way_out(struct page *p, const json_t *status)
{
    const char *udp = pv_json_text(status, "udp", "unknown");
    bool there = strcmp(udp, "blocked-there") == 0;
    bool blocked = there || strcmp(udp, "blocked") == 0;
    if (!json_is_object(json_object_get(status, "network")))
        return;
    const bool bad = blocked && has_udp_problem(status);
    put(p, "udp", !bad, bad ? PV_DO(see_below) : PV_DO_NOTHING, "%s",
        there     ? "closed at the coordinator: UDP from here reaches others"
        : blocked ? "no answer by UDP: everything goes by TCP or TLS"
                  : udp);
    look_at_nat(p, status);
    PV_EACH_JSON(json_object_get(status, "port_mappings"), map) {
        const char *why = pv_json_text(map, "why", "");
        put(p, "port mapping", true, PV_DO_NOTHING, "%s: %s%s%s", pv_json_text(map, "family", "?"),
            pv_json_text(map, "state", "?"), why[0] == '\0' ? "" : ": ", why);
    }
}

/* What /etc/hosts says goes before p2pvpn, so a program that looks for the member finds another
 * machine. A line with the member's own address does no harm. */
static bool hides(const json_t *peer, FILE *hosts)
{
    static const char blanks[] = " \t\r\n";
    const char *name = pv_json_text(peer, "name", "");
    char line[512], *rest = NULL;
    bool there = false, own = false;
    rewind(hosts);
    while (fgets(line, sizeof(line), hosts) != NULL) {
        line[strcspn(line, "#")] = '\0';
        const char *address = strtok_r(line, blanks, &rest);
        for (const char *word = address == NULL ? NULL : strtok_r(NULL, blanks, &rest);
             word != NULL; word = strtok_r(NULL, blanks, &rest)) {
            if (strcasecmp(word, name) != 0)
                continue;
            there = true;
            own = own || strcmp(address, pv_json_text(peer, "ip4", "")) == 0 ||
                  strcmp(address, pv_json_text(peer, "ip6", "")) == 0;
        }
    }
    return there && !own;
}

static void look_at_hosts(struct page *p, const json_t *status)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_PEERS);
    const char *network = pv_json_text(json_object_get(status, "network"), "name", "");
    json_t *peers = NULL;
    FILE *hosts = fopen("/etc/hosts", "re");
    if (hosts == NULL)
        return;
    if (network[0] != '\0' && pv_cli_ask(p->cli, &req, &peers) == 0)
        PV_EACH_JSON(json_object_get(peers, "peers"), peer) {
            const char *name = pv_json_text(peer, "name", "");
            if (name[0] != '\0' && hides(peer, hosts))
                put(p, "names", false, PV_DO(leave_hosts, PV_STR("%.63s.%.63s.p2p", name, network)),
                    "/etc/hosts gives the name %s to another machine than the member", name);
        }
    json_decref(peers);
    fclose(hosts);
}

/* Friends may share two networks, so it is said and no fault. */
static void look_at_shared_names(struct page *p, json_t *status)
{
    char text[PV_CLI_SHARED_BUF];
    pv_cli_add_shared_names(status);
    for (size_t i = 0; pv_cli_shared_name(status, i, text); i++)
        put(p, "names", true, PV_DO_NOTHING, "%s", text);
}

static bool has_bad(const struct page *p, const char *name)
{
    PV_EACH_JSON(p->checks, check)
        if (pv_json_is(check, "name", name) && !pv_json_bool(check, "well"))
            return true;
    return false;
}

/* The problems that p2pvpnd names itself, the clock among them; each sentence says what to do. That
 * of the coordinator stands in its own check, and what sends here in that of the firewall. */
static void look_at_problems(struct page *p, const json_t *status)
{
    const char *away = pv_json_text(json_object_get(status, "coordinator"), "error", NULL);
    bool clock = false;
    PV_EACH_JSON(json_object_get(status, "problems"), problem) {
        const char *text = pv_json_string(problem);
        if (away != NULL && strncmp(text, "cannot reach the coordinator: ", 30) == 0)
            continue;
        if (strstr(text, "p2pvpnctl doctor") != NULL && has_bad(p, "firewall"))
            continue;
        /* A problem is a sentence and has no kind, so the word in it has to do. */
        bool of_clock = strstr(text, "clock") != NULL;
        clock = clock || of_clock;
        put(p, of_clock ? "clock" : "problem", false, PV_DO_NOTHING, "%s", text);
    }
    if (!clock && pv_json_bool(json_object_get(status, "coordinator"), "connected"))
        put(p, "clock", true, PV_DO_NOTHING, "as the coordinator's");
}

/* --- the page ------------------------------------------------------------------------------- */

/* "group  what is wrong", and "run: COMMAND" below it. */
static void print_check(const struct page *p, const json_t *check, int name_columns)
{
    struct pv_cli *cli = p->cli;
    const bool well = pv_json_bool(check, "well");
    const char *todo = pv_json_text(check, "todo", "");
    const enum pv_colour colour = well ? PV_GREEN : PV_RED;
    size_t at = (size_t)name_columns + 1;
    fputs(pv_colour_on(colour, cli->screen.colour), cli->out);
    if (cli->all) {
        fprintf(cli->out, "%-5s", well ? "ok" : "!!");
        at += 5;
    }
    fprintf(cli->out, "%-*s ", name_columns, pv_json_text(check, "name", "?"));
    fputs(pv_colour_off(colour, cli->screen.colour), cli->out);
    pv_show_text_from(cli->out, pv_json_text(check, "text", ""), at, cli->screen.width);
    fputc('\n', cli->out);
    if (todo[0] == '\0' || well)
        return;
    char line[2 * LINE + 16];
    snprintf(line, sizeof(line), "%s: %s", todo[0] == '`' ? "run" : "to do", todo);
    fprintf(cli->out, "%*s", (int)at, "");
    pv_show_text_from(cli->out, line, at, cli->screen.width);
    fputc('\n', cli->out);
}

/* Prints what is to do, with --long every check; below it how many there were. */
static void print_page(const struct page *p)
{
    struct pv_cli *cli = p->cli;
    size_t todo = 0, all = json_array_size(p->checks);
    int columns = cli->all ? LONG_NAME : SHORT_NAME;
    PV_EACH_JSON(p->checks, check) {
        int len = (int)strlen(pv_json_text(check, "name", "?")) + (cli->all ? 0 : 1);
        bool shown = cli->all || !pv_json_bool(check, "well");
        columns = shown && len > columns ? len : columns;
    }
    PV_EACH_JSON(p->checks, check) {
        bool well = pv_json_bool(check, "well");
        todo += well ? 0 : 1;
        if (cli->all || !well)
            print_check(p, check, columns);
    }
    pv_cli_say(cli, "%zu check%s passed, %s%s", all - todo, all - todo == 1 ? "" : "s",
               todo == 0   ? "nothing to do"
               : todo == 1 ? "1 thing to do"
                           : PV_STR("%zu things to do", todo),
               cli->all ? "" : ". All checks: `p2pvpnctl doctor -l`");
}

static int doctor(struct pv_cli *cli)
{
    struct page p = {.cli = cli, .checks = json_array(), .well = true};
    json_t *status = NULL;
    int code = ask_status(cli, &status);
    look_at_tun(&p, status);
    look_at_programs(&p, status);
    look_at_disk(&p, status);
    if (!cli->node.is_user) { /* its names are for `run`, and it is nobody else's */
        look_at_names(&p);
        look_at_group(&p);
    }
    if (code != 0) {
        no_answer(&p, code);
        look_at_block(&p, NULL);
    } else {
        look_at_daemon(&p, status);
        look_at_settings(&p);
        look_at_rights(&p, status);
        look_at_network(&p, status);
        look_at_firewall(&p, status);
        look_at_block(&p, status);
        look_at_coordinator(&p, status);
        look_at_way_out(&p, status);
        look_at_shared_names(&p, status);
        if (!cli->node.is_user)
            look_at_hosts(&p, status);
        pv_cli_add_web_problem(cli, status);
        look_at_problems(&p, status);
    }
    json_decref(status);
    if (p.checks == NULL)
        return pv_cli_no_memory(cli);
    if (cli->json)
        (void)pv_cli_print_packed(cli, "{s:i, s:b, s:O}", "version", 1, "well", p.well, "checks",
                                  p.checks);
    else
        print_page(&p);
    json_decref(p.checks);
    cli->cached = false; /* that the coordinator is away is one of the lines */
    return p.well ? PV_CTLAPI_DONE : PV_CTLAPI_FAILED;
}

const struct pv_command pv_cmds_doctor[] = {
    {
        .name = "doctor",
        .keeps_root = true,
        .args = "",
        .summary = "check everything that this node needs, and print what to do",
        .details = "Prints what to do; -l shows every check. The checks cover TUN, disk, names,\n"
                   "group, p2pvpnd, versions, rights, network, interface, MTU, coordinator, UDP,\n"
                   "NAT, port mapping, names that two networks have, clock, and the problems of\n"
                   "status. As root, and for your own p2pvpnd --user, doctor also checks the\n"
                   "settings. With packets of its own it tests whether this host's firewall lets\n"
                   "members and programs talk. Root also learns which rule blocks them.\n"
                   "Exit code 0: there is nothing to do.\n",
        .example = "p2pvpnctl doctor",
        .run = doctor,
    },
    {.name = NULL},
};
