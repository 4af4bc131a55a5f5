/* SPDX-License-Identifier: MIT */
/* Commands that make, join and leave a network. */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "ctl/commands.h"
#include "ctl/lib/cli.h"
#include "ctl/lib/launch.h"
#include "ctl/lib/systemd.h"
#include "ctl/told.h"
#include "proto/roster/statement.h"
#include "proto/roster/token.h"

/* --- whether this machine can run it --------------------------------------------------------- */

/* Both commands look at it before they use anything up: a token that is spent, or a network that
 * was made, does not come back. */

enum {
    PREFLIGHT_WHY = 200, /* bytes of "what: what to do", with the NUL */
};

#define TUN "/dev/net/tun"

/* Can this process open /dev/net/tun? For root on the machine of p2pvpnd. PV_ERR_UNSUPPORTED. */
static int preflight_tun(char ret_why[static PREFLIGHT_WHY])
{
    int fd = open(TUN, O_RDWR | O_CLOEXEC); /* makes no interface yet */
    if (fd >= 0) {
        close(fd);
        return PV_OK;
    }
    snprintf(ret_why, PREFLIGHT_WHY,
             "cannot open " TUN ": %s: load the module (modprobe tun), or pass " TUN
             " into this container",
             strerror(errno));
    return PV_ERR_UNSUPPORTED;
}

/* The IPv4 address of an interface, as `ip addr` shows it. False: it has none. */
static bool addr_of(const struct ifaddrs *i, struct pv_prefix *ret_addr)
{
    struct sockaddr_in addr, mask;
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET || i->ifa_netmask == NULL)
        return false;
    memcpy(&addr, i->ifa_addr, sizeof(addr));
    memcpy(&mask, i->ifa_netmask, sizeof(mask));
    *ret_addr = (struct pv_prefix){
        .base = {.family = PV_AF_INET},
        .bits = (uint8_t)__builtin_popcount(mask.sin_addr.s_addr),
    };
    memcpy(ret_addr->base.ip, &addr.sin_addr, sizeof(addr.sin_addr));
    return true;
}

/* Has no interface but this one, which is p2pvpnd's own, an IPv4 address in this range?
 * PV_ERR_EXISTS. */
static int preflight_range(const struct pv_prefix *range, const char *own,
                           char ret_why[static PREFLIGHT_WHY])
{
    struct ifaddrs *all = NULL;
    struct pv_prefix addr;
    int r = PV_OK;
    if (getifaddrs(&all) < 0)
        return PV_OK; /* p2pvpnd looks again */
    for (const struct ifaddrs *i = all; r == PV_OK && i != NULL; i = i->ifa_next) {
        if (strcmp(i->ifa_name, own) == 0 || !addr_of(i, &addr) ||
            !pv_prefix_overlaps(&addr, range))
            continue;
        snprintf(ret_why, PREFLIGHT_WHY,
                 "%s overlaps %s on %s: choose another range with --cidr, such as 10.99.0.0/16",
                 PV_PREFIX_STR(range), PV_PREFIX_STR(&addr), i->ifa_name);
        r = PV_ERR_EXISTS;
    }
    freeifaddrs(all);
    return r;
}

/* --- commands -------------------------------------------------------------------------------- */

enum {
    JOIN_S = 60, /* create and join talk to the coordinator and bring the interface up */
};

static void print_joined(struct pv_cli *cli, const json_t *body, const char *verb)
{
    pv_cli_note(cli, "%s network %s. This node is %s, %s.", verb,
                pv_json_text(body, "network", "?"), pv_json_text(body, "name", "?"),
                pv_json_text(body, "ip4", pv_json_text(body, "ip6", "?")));
}

/* A token where a URL should be, or the other way round, is told by what it begins with. */
static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_private(const struct pv_hostport *host)
{
    struct pv_addr addr;
    return pv_addr_parse_ip(host->host, &addr) == PV_OK && pv_addr_is_private(&addr);
}

/* A coordinator's first address that may mean something outside of its LAN; else the first. */
static bool telling_host(struct pv_view addrs, struct pv_hostport *ret_host)
{
    struct pv_hostport next;
    if (!pv_coordlist_next_addr(&addrs, ret_host))
        return false;
    while (is_private(ret_host) && pv_coordlist_next_addr(&addrs, &next))
        if (!is_private(&next))
            *ret_host = next;
    return true;
}

/* No answer may come from there for some seconds. */
static void wait_for_host(struct pv_cli *cli, const struct pv_hostport *host)
{
    snprintf(cli->waits_for, sizeof(cli->waits_for), "waiting for the coordinator at %s",
             PV_HOSTPORT_STR(host));
}

/* --- create -------------------------------------------------------------------------------- */

enum {
    CREATE_NETWORK,
    CREATE_NAME,
    CREATE_CIDR,
    CREATE_NO_BOOT,
};

static int create_arguments(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *const *value = cli->args.value;
    struct pv_prefix range;
    struct pv_url url;
    int code = pv_cli_secret(cli, cli->args.word[0], req);
    /* A user who says "-n work create" means a network called work. */
    const char *network = value[CREATE_NETWORK] != NULL ? value[CREATE_NETWORK] : cli->node.name;
    if (code == 0 && network[0] != '\0')
        code = pv_cli_name(cli, "network", network, req->u.enter.network);
    if (code == 0 && value[CREATE_NAME] != NULL)
        code = pv_cli_name(cli, "name", value[CREATE_NAME], req->u.enter.name);
    if (code != 0)
        return code;
    if (value[CREATE_CIDR] != NULL) {
        if (pv_prefix_parse(value[CREATE_CIDR], &range) < 0 || range.base.family != PV_AF_INET)
            return pv_cli_usage(cli, "--cidr \"%.40s\": give an IPv4 range such as 10.66.0.0/16",
                                value[CREATE_CIDR]);
        if (!pv_ip4_range_is_valid(&range))
            return pv_cli_usage(cli,
                                "--cidr %s: give 8 to 30 bits, such as 10.66.0.0/16; 0/8, 127/8, "
                                "169.254/16 and 224/3 are for no members",
                                value[CREATE_CIDR]);
        pv_prefix_format(&range, req->u.enter.cidr);
        if (!pv_addr_is_private(&range.base))
            pv_cli_note(cli,
                        "%s is no private range: hosts of the internet that have these addresses "
                        "are out of reach for members",
                        req->u.enter.cidr);
    }
    /* The daemon would refuse it as well. Here nothing is started for a URL that was copied in
     * part. */
    if (begins(req->secret, "p2pvpn-"))
        return pv_cli_usage(cli, "that is a token, not a coordinator's URL. To join its network: "
                                 "`sudo p2pvpnctl join TOKEN`");
    if (pv_url_parse(req->secret, strlen(req->secret), &url) < 0 || !pv_url_has_key(&url))
        return pv_cli_usage(cli, "not a coordinator URL: copy it whole, in quotes. "
                                 "On the coordinator `sudo p2pvpn-coordinator url` prints it");
    wait_for_host(cli, &url.addr);
    pv_url_done(&url);
    return 0;
}

/* The daemon gives up a little before the user does: it knows what stands in the way. */
static void set_patience(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    req->u.enter.insist = cli->timeout != 0; /* the user said how long */
    pv_cli_set_timeout(cli, JOIN_S);
    /* A quarter, at most a second: enough for the daemon's reason to arrive before this side's
     * own "timeout". */
    if (cli->timeout != 0)
        req->u.enter.timeout_ms =
            (uint32_t)((cli->timeout - pv_min_ns(cli->timeout / 4, PV_S(1))) / PV_MS(1));
}

/* A fault that would keep the interface from coming up is told before a token is used up or a
 * network is made. Only where p2pvpnd surely is on this machine, and the user may look. */
static int look_ahead(struct pv_cli *cli, const struct pv_ctlapi_request *req)
{
    static const char usual[] = "10.66.0.0/16"; /* as --help says */
    char why[PREFLIGHT_WHY];
    struct pv_prefix range;
    if (geteuid() != 0 || !cli->node.is_usual)
        return 0;
    if (preflight_tun(why) < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", why);
    if (req->cmd == PV_CTLAPI_CREATE &&
        pv_prefix_parse(req->u.enter.cidr[0] == '\0' ? usual : req->u.enter.cidr, &range) ==
            PV_OK &&
        preflight_range(&range, cli->node.tun, why) < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", why);
    return 0;
}

/* No unit came with the static program. */
static void tell_how_to_start_at_boot(struct pv_cli *cli)
{
    const char *name = cli->node.name, *named = name[0] == '\0' ? "" : " --net ";
    char called[PATH_MAX];
    if (!pv_launch_find(called))
        return;
    if (access("/run/systemd/system", F_OK) != 0) { /* sd_booted(3) */
#ifdef PV_STATIC                                    /* a container has its own way */
        pv_cli_note(cli, "p2pvpnd does not start at boot. Have your init system run: %s%s%s",
                    called, named, name);
#endif
        return;
    }
    pv_cli_note(cli, "p2pvpnd does not start at boot. To change that, paste as root:");
    pv_cli_note(cli,
                "`printf '[Service]\\nType=notify\\nExecStart=%s%s%s\\n[Install]\\nWantedBy="
                "multi-user.target\\n' >/etc/systemd/system/%s.service; systemctl enable %s`",
                called, named, name, cli->node.unit, cli->node.unit);
}

/* A machine that has joined is a member after its next start, too, unless somebody wants it
 * otherwise. Failing here does not undo the join: it is told, and that is all. */
static void start_at_boot(struct pv_cli *cli, bool no_boot)
{
    const char *unit = cli->node.unit;
    if (no_boot || geteuid() != 0 || !cli->node.is_usual)
        return;
    if (!pv_systemd_has(unit))
        tell_how_to_start_at_boot(cli);
    else if (pv_systemd_run("enable", unit) == PV_OK)
        pv_cli_note(cli,
                    "p2pvpnd starts at boot from now on. To change that: `systemctl disable "
                    "%s`",
                    unit);
    else
        pv_cli_note(cli, "p2pvpnd does not start at boot: `systemctl enable %s` failed.", unit);
}

/* How create and join tell their user. */
struct telling {
    pv_cli_print_fn *print; /* without --json */
    pv_cli_print_fn *after; /* then, also with --json; NULL: nothing */
};

/* Makes or joins a network, unless the arguments were wrong (code); forgets the secret in req. The
 * exit code. */
static int enter(struct pv_cli *cli, struct pv_ctlapi_request *req, int code, bool no_boot,
                 const struct telling *tell)
{
    json_t *body = NULL;
    if (code == 0)
        code = look_ahead(cli, req);
    if (code == 0)
        code = pv_cli_connect_or_start(cli);
    set_patience(cli, req);
    if (code == 0)
        code = pv_cli_call(cli, req, NULL, NULL, &body);
    /* The secret goes before anything is printed: from here on the process may wait for a pipe. */
    pv_ctlapi_request_done(req);
    if (code == 0)
        start_at_boot(cli, no_boot);
    if (code == 0 && cli->json)
        pv_cli_print_json(cli, body);
    else if (code == 0)
        code = tell->print(cli, body);
    if (code == 0 && tell->after != NULL)
        code = tell->after(cli, body);
    json_decref(body);
    return code;
}

static int print_created(struct pv_cli *cli, const json_t *body)
{
    const char *former = pv_json_text(body, "former_root", NULL);
    pv_cli_note(cli, "Network %s created. This node is %s, %s, its admin.",
                pv_json_text(body, "network", "?"), pv_json_text(body, "name", "?"),
                pv_json_text(body, "ip4", pv_json_text(body, "ip6", "?")));
    if (former != NULL)
        pv_cli_note(cli,
                    "The root key of an earlier network is in %s now. Keep it as long as somebody "
                    "uses that network.",
                    former);
    if (!pv_cli_is_read(cli))
        return pv_cli_print_token(cli, body);
    fputc('\n', cli->out);
    pv_cli_say(cli, "Add a machine: install p2pvpn there, then paste (works once, for 24 hours)");
    (void)pv_cli_print_token(cli, body);
    fprintf(cli->out, "Add a phone:\n    %sp2pvpnctl%s%s export phone --qr\n",
            cli->node.is_user ? "" : "sudo ", cli->flag[0] == '\0' ? "" : " ", cli->flag);
    return 0;
}

static int create(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_CREATE);
    return enter(cli, &req, create_arguments(cli, &req), cli->args.value[CREATE_NO_BOOT] != NULL,
                 &(struct telling){.print = print_created});
}

/* --- join ---------------------------------------------------------------------------------- */

enum {
    JOIN_NAME,
    JOIN_NO_BOOT,
    JOIN_WAIT,
};

/* Such a token tells a member where the coordinator is now. Errors of pv_movetoken_parse(). */
static int check_movetoken(const char *text)
{
    struct pv_movetoken token;
    int r = pv_movetoken_parse(text, strlen(text), &token);
    pv_wipe(&token, sizeof(token)); /* an invite's text is a secret */
    return r;
}

static int join_arguments(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    struct pv_token token;
    const char *name = cli->args.value[JOIN_NAME];
    int code = pv_cli_secret(cli, cli->args.word[0], req);
    if (code == 0 && name != NULL)
        code = pv_cli_name(cli, "name", name, req->u.enter.name);
    if (code != 0)
        return code;
    const int moves = check_movetoken(req->secret);
    if (moves == PV_OK) {
        req->cmd = PV_CTLAPI_COORDINATOR_TAKE;
        return 0;
    }
    /* The parse is only a check, so the parts are wiped at once; the daemon gets the text. */
    int r = pv_token_parse(req->secret, strlen(req->secret), &token);
    if (r == PV_ERR_UNSUPPORTED || moves == PV_ERR_UNSUPPORTED)
        return pv_cli_fail(cli, PV_CTLAPI_BAD_TOKEN,
                           "this token is from a newer p2pvpn: upgrade p2pvpn on this machine");
    if (begins(req->secret, "p2pvpn://"))
        return pv_cli_fail(cli, PV_CTLAPI_BAD_TOKEN,
                           "that is a coordinator's URL, not a token. To make a new network: `sudo "
                           "p2pvpnctl create URL`. To join a network, ask its admin for a token "
                           "(`sudo p2pvpnctl invite`)");
    if (r < 0)
        return pv_cli_fail(cli, PV_CTLAPI_BAD_TOKEN,
                           "not a token, or a damaged one: copy it whole, from p2pvpn- to the "
                           "end, or ask for a new one");
    struct pv_view list = pv_view(token.list, token.list_len);
    struct pv_coordinator first;
    struct pv_hostport host;
    if (pv_coordlist_next(&list, &first) && telling_host(first.addrs, &host))
        wait_for_host(cli, &host);
    pv_token_done(&token);
    return 0;
}

/* A node that joined by an invite with approval is no member before an admin has said so. */
static void note_waiting(struct pv_cli *cli, const json_t *body)
{
    const char *name = pv_json_text(body, "name", "?");
    pv_cli_note(
        cli,
        "Asked to join network %s as %s. An admin has to admit it. On an admin's machine: `sudo "
        "p2pvpnctl admit %s`%s",
        pv_json_text(body, "network", "?"), name, name,
        cli->args.value[JOIN_WAIT] != NULL ? "" : ". Nothing else is to do here.");
}

static int print_join(struct pv_cli *cli, const json_t *body)
{
    if (pv_json_bool(body, "waiting"))
        note_waiting(cli, body);
    else
        print_joined(cli, body, "Joined");
    return 0;
}

/* With --wait until an admin has said something. */
static int wait_for_admin(struct pv_cli *cli, const json_t *body)
{
    json_t *none = NULL;
    if (!pv_json_bool(body, "waiting") || cli->args.value[JOIN_WAIT] == NULL)
        return 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_WAIT);
    pv_cli_set_timeout(cli, 0); /* an admin may be on holiday; --timeout sets an end */
    cli->waits_for[0] = '\0';   /* who is waited for was said */
    snprintf(cli->unanswered, sizeof(cli->unanswered),
             "no admin has said anything yet: `p2pvpnctl wait` waits on");
    int code = pv_cli_call(cli, &req, NULL, NULL, &none);
    json_decref(none);
    if (code == 0)
        print_joined(cli, body, "Admitted to");
    return code;
}

static int join(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_JOIN);
    int code = join_arguments(cli, &req);
    if (code == 0 && req.cmd == PV_CTLAPI_COORDINATOR_TAKE) {
        code = pv_cli_change(cli, &req, "this node looks for its network at the new coordinator");
        pv_ctlapi_request_done(&req);
        return code;
    }
    return enter(cli, &req, code, cli->args.value[JOIN_NO_BOOT] != NULL,
                 &(struct telling){.print = print_join, .after = wait_for_admin});
}

/* --- leave, remove ------------------------------------------------------------------------- */

enum {
    LEAVE_FORGET,
    LEAVE_LAST,
    LEAVE_DELETE_ROOT,
    LEAVE_COPY,
};

static int print_left(struct pv_cli *cli, const json_t *body)
{
    pv_cli_note_left(cli, cli->args.value[LEAVE_FORGET] != NULL, body);
    pv_cli_note_invites(cli, body, NULL);
    return 0;
}

static int leave(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_LEAVE);
    /* Without --forget the node keeps its identity and can return under it. */
    req.u.leave.copy = cli->args.value[LEAVE_COPY] != NULL;
    req.u.leave.forget = cli->args.value[LEAVE_FORGET] != NULL || req.u.leave.copy;
    req.u.leave.delete_root = cli->args.value[LEAVE_DELETE_ROOT] != NULL;
    req.u.leave.last = cli->args.value[LEAVE_LAST] != NULL;
    if (req.u.leave.delete_root && !req.u.leave.forget)
        return pv_cli_usage(cli, "--delete-root-key goes with --forget");
    return pv_cli_ask_and_tell(cli, &req, NULL, print_left);
}

static int print_rights_end(struct pv_cli *cli, const json_t *body)
{
    pv_cli_note_invites(cli, body, "--keep-invites");
    return 0;
}

/* Only the root key makes admins, so a grant succeeds on one machine of the network only. */
static int admin(struct pv_cli *cli)
{
    bool keep = cli->args.value[0] != NULL;
    /* --keep-invites means something to revoke only. */
    bool revoke = strcmp(cli->args.word[0], "revoke") == 0;
    if (!revoke && (strcmp(cli->args.word[0], "grant") != 0 || keep))
        return pv_cli_usage(cli, "there is admin grant PEER, and admin revoke PEER "
                                 "[--keep-invites]");
    struct pv_ctlapi_request req =
        pv_ctlapi_request_of(revoke ? PV_CTLAPI_ADMIN_REVOKE : PV_CTLAPI_ADMIN_GRANT);
    req.u.member.keep_invite = keep;
    return pv_cli_ask_and_tell_of(
        cli, &req,
        &(struct pv_told_of){cli->args.word[1], "",
                             revoke ? " is no longer an admin; it stays a member"
                                    : " is an admin now: it may invite and remove members"},
        revoke ? print_rights_end : NULL);
}

static int print_removed(struct pv_cli *cli, const json_t *body)
{
    pv_cli_note_invites(cli, body, "--keep-invite");
    return 0;
}

static int remove_peer(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_REMOVE);
    req.u.member.keep_invite = cli->args.value[0] != NULL;
    return pv_cli_ask_and_tell_of(
        cli, &req, &(struct pv_told_of){cli->args.word[0], "removed ", ""}, print_removed);
}

/* --- admit, deny ----------------------------------------------------------------------------- */

static int tell_tag(struct pv_cli *cli, const json_t *body)
{
    const char *tag = cli->args.value[0];
    if (tag != NULL)
        pv_cli_note(cli, "tagged it with %.70s", strncmp(tag, "tag:", 4) == 0 ? tag + 4 : tag);
    return 0;
}

/* One request for both, so that a machine that does not wait gets no tag either. */
static int admit(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ADMIT);
    const char *tag = cli->args.value[0];
    int code = tag == NULL ? 0 : pv_cli_tag(cli, tag, req.u.member.name);
    return code != 0
               ? code
               : pv_cli_ask_and_tell_of(
                     cli, &req, &(struct pv_told_of){cli->args.word[0], "", " may join"}, tell_tag);
}

/* `deny pi server:22`, as `can` takes it. */
static int refuse_two(struct pv_cli *cli)
{
    const char *from = cli->args.word[0], *to = cli->args.word[1], *colon = strrchr(to, ':');
    if (colon != NULL && colon[1] != '\0')
        return pv_cli_usage(cli,
                            "the ports are a word of their own: `sudo p2pvpnctl deny %.60s "
                            "%.*s %.60s`",
                            from, (int)(colon - to), to, colon + 1);
    return pv_cli_usage(cli, "PORTS is missing: `sudo p2pvpnctl deny %.60s %.60s all` denies all",
                        from, to);
}

/* One word for two things that people say so: this machine stays out, and this rule denies. */
static int deny(struct pv_cli *cli)
{
    if (cli->args.n_words == 3)
        return pv_cli_deny_rule(cli);
    if (cli->args.n_words == 2)
        return refuse_two(cli);
    if (cli->args.n_words != 1 || cli->args.value[0] != NULL || cli->args.value[1] != NULL)
        return pv_cli_usage(cli, "there is deny PEER, and deny FROM TO PORTS [--before N] "
                                 "[--keep-invite]");
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_DENY);
    return pv_cli_ask_and_tell_of(
        cli, &req,
        &(struct pv_told_of){cli->args.word[0], "",
                             " may not join; its key can never join this network"},
        NULL);
}

/* --- rename, address, replace ---------------------------------------------------------------- */

/* "rename NAME" is about this node, "rename PEER NAME" about another. */
static int fill_rename(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    int n = cli->args.n_words, code = n == 2 ? pv_cli_fill_peer(cli, req) : 0;
    return code == 0 ? pv_cli_name(cli, "", cli->args.word[n - 1], req->u.member.name) : code;
}

static int rename_it(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    char *const *word = cli->args.word;
    const char *done = cli->args.n_words == 2
                           ? PV_STR("renamed %.100s to %s", word[0], req->u.member.name)
                           : PV_STR("this node is now called %s", req->u.member.name);
    return pv_cli_ask_and_tell(cli, req, done, NULL);
}

static int fill_address(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    struct pv_addr ip4;
    int n = cli->args.n_words;
    const char *text = cli->args.word[n - 1];
    if (strcmp(cli->args.word[0], "set") != 0)
        return pv_cli_usage(cli, "did you mean `sudo p2pvpnctl address set %.60s%s%.60s`?",
                            cli->args.word[0], n == 1 ? "" : " ", n == 1 ? "" : text);
    if (pv_addr_parse_ip(text, &ip4) < 0 || ip4.family != PV_AF_INET)
        return pv_cli_usage(cli, "\"%.60s\": give an IPv4 address of the network, as 10.66.0.9",
                            text);
    snprintf(req->u.member.address, sizeof(req->u.member.address), "%s", text);
    return n == 3 ? pv_cli_peer(cli, req, cli->args.word[1]) : 0;
}

static int set_address(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    bool other = cli->args.n_words == 3;
    return pv_cli_ask_and_tell(cli, req,
                               PV_STR("%.100s has the address %s now",
                                      other ? cli->args.word[1] : "this node",
                                      req->u.member.address),
                               NULL);
}

static int replace(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(
        cli, req,
        PV_STR("%.100s has taken the place of %.100s", cli->args.word[2], cli->args.word[1]), NULL);
}

static int fill_replace(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *fresh = cli->args.word[2];
    req->u.member.force = cli->args.value[0] != NULL;
    if (strcmp(cli->args.word[0], "replace") != 0)
        return pv_cli_usage(cli, "there is node replace OLD NEW [--force]");
    int code = pv_cli_peer(cli, req, cli->args.word[1]);
    if (code == 0 && pv_name_parse(fresh, strlen(fresh), req->u.member.name) < 0)
        return pv_cli_usage(cli, "\"%.80s\" is not a member's name: see `p2pvpnctl peers`", fresh);
    return code;
}

const struct pv_command pv_cmds_network[] = {
    {
        .name = "create",
        .keeps_root = true,
        .args = "URL|- [--network NAME] [--name NODE] [--cidr RANGE] [--no-boot]",
        .summary = "make a new network; this node becomes its admin",
        .details =
            "URL is what `sudo p2pvpn-coordinator url` prints; - reads standard input.\n"
            "  --network NAME  name of the network (home)\n"
            "  --name NODE     name of this node (the host's name)\n"
            "  --cidr RANGE    IPv4 addresses of the network (10.66.0.0/16)\n"
            "  --no-boot       do not change whether p2pvpnd starts at boot\n"
            "As root this starts p2pvpnd if it is not running, and with systemd also at every\n"
            "boot. Each network gets its own root key. The root key of an earlier network\n"
            "stays here, in a file that create names.\n",
        .example = "sudo p2pvpnctl create 'p2pvpn://198.51.100.7:3478/KEY?c=...' --name pi",
        .options =
            {{"network", 0, true}, {"name", 0, true}, {"cidr", 0, true}, {"no-boot", 0, false}},
        .words = {1, 1},
        .run = create,
    },
    {
        .name = "join",
        .keeps_root = true,
        .args = "TOKEN|- [--name NODE] [--wait] [--no-boot]",
        .summary = "join a network with the token of an invite",
        .details =
            "Waits until this node has its address. - reads the token from standard input.\n"
            "A member also accepts a token of \"network coordinators token\".\n"
            "  --name NODE     name of this node (the host's name)\n"
            "  --wait          also wait until an admin has admitted this node\n"
            "  --no-boot       do not change whether p2pvpnd starts at boot\n"
            "As root this starts p2pvpnd if it is not running, and with systemd also at every\n"
            "boot.\n",
        .example = "sudo p2pvpnctl join p2pvpn-AbC... --name pi",
        .options = {{"name", 0, true}, {"no-boot", 0, false}, {"wait", 0, false}},
        .words = {1, 1},
        .run = join,
    },
    {
        .name = "admit",
        .args = "PEER [--tag TAG]",
        .summary = "admit a machine that waits (invite --approve)",
        .details = "\"p2pvpnctl peers\" shows which machines wait, and their addresses as the\n"
                   "coordinator reports them.\n"
                   "  --tag TAG  give the machine this tag, for rules\n",
        .example = "sudo p2pvpnctl admit pi --tag guest",
        .options = {{"tag", 0, PV_OPTION_ONCE}},
        .words = {1, 1},
        .run = admit,
    },
    {
        .name = "deny",
        .args = "PEER | FROM TO PORTS [--before N] [--keep-invite]",
        .summary = "refuse a machine that waits, or add a rule that denies",
        .details =
            "deny PEER refuses a machine that waits. Its key can never join. With another key\n"
            "and another token it can ask again.\n"
            "With FROM, TO and PORTS it adds a rule that denies: see p2pvpnctl allow -h.\n"
            "  --before N     insert it as rule N instead of last\n"
            "  --keep-invite  do not revoke the invite by which FROM joined\n",
        .example = "sudo p2pvpnctl deny tag:guest any all",
        .options = {{"before", 0, true}, {"keep-invite", 0, false}},
        .words = {1, 3},
        .run = deny,
    },
    {
        .name = "admin",
        .args = "grant PEER | revoke PEER [--keep-invites]",
        .summary = "make another node an admin, or end that",
        .details = "  grant   make PEER an admin; only on the machine that ran create, which has\n"
                   "          the root key\n"
                   "  revoke  PEER stays a member. Its earlier decisions stay; later ones have no\n"
                   "          effect\n"
                   "  --keep-invites  do not revoke its open invites\n"
                   "\"p2pvpnctl peers\" shows who is an admin.\n",
        .example = "sudo p2pvpnctl admin grant desktop",
        .options = {{"keep-invites", 0, false}},
        .words = {2, 2},
        .run = admin,
    },
    {
        .name = "rename",
        .args = "[PEER] NAME",
        .summary = "rename this node, or as an admin another node",
        .details =
            "The first name stays reserved: no other machine can take it. Old messages keep\n"
            "their author.\n",
        .example = "sudo p2pvpnctl rename old-laptop",
        .words = {1, 2},
        .verb = {.cmd = PV_CTLAPI_RENAME, .fill = fill_rename, .ask = rename_it},
    },
    {
        .name = "address",
        .args = "set [PEER] ADDRESS",
        .summary = "change this node's address, or as an admin another node's",
        .details =
            "ADDRESS is a free IPv4 address of the network's range. Connections that use the\n"
            "old address end.\n",
        .example = "sudo p2pvpnctl address set printer 10.66.0.9",
        .words = {2, 3},
        .verb = {.cmd = PV_CTLAPI_ADDRESS_SET, .fill = fill_address, .ask = set_address},
    },
    {
        .name = "node",
        .args = "replace OLD NEW [--force]",
        .summary = "give a reinstalled machine the name, address and rights it had",
        .details =
            "For admins. First the reinstalled machine joins under any name (NEW). Then this\n"
            "removes OLD and revokes its invite. NEW gets the name, address, tags, rules and\n"
            "routes of OLD. On the machine with the root key, NEW also gets its admin rights.\n"
            "  --force  also if OLD is online, or if NEW cannot get its admin rights\n",
        .example = "sudo p2pvpnctl node replace laptop laptop-2",
        .options = {{"force", 0, false}},
        .words = {3, 3},
        .verb = {.cmd = PV_CTLAPI_REPLACE, .fill = fill_replace, .ask = replace},
    },
    {
        .name = "leave",
        .args = "[--copy | --forget [--delete-root-key]] [--last]",
        .summary = "leave the network",
        .details =
            "  --copy             this machine is a copy of another and has its keys:\n"
            "                     delete them here and tell nobody; the original stays\n"
            "  --forget           also delete the keys of this node\n"
            "  --delete-root-key  also delete the root key of the network made here\n"
            "  --last             leave even if nobody else can then invite or remove nodes\n",
        .example = "sudo p2pvpnctl leave",
        .options = {{"forget", 0, false},
                    {"last", 0, false},
                    {"delete-root-key", 0, false},
                    {"copy", 0, false}},
        .run = leave,
    },
    {
        .name = "remove",
        .args = "PEER [--keep-invite]",
        .summary = "remove another node from the network, for good",
        .details =
            "  --keep-invite   do not revoke its invite, if more machines can join with it\n"
            "The members and this node apply the removal at once. p2pvpnd repeats it to the\n"
            "coordinator until the coordinator has stored it.\n",
        .example = "sudo p2pvpnctl remove stolen-phone",
        .options = {{"keep-invite", 0, false}},
        .words = {1, 1},
        .run = remove_peer,
    },
    {.name = NULL},
};
