/* SPDX-License-Identifier: MIT */
/*
 * cmd_ssh.c - what OpenSSH and p2pvpnd tell each other: the host keys of members for ssh, those of
 * this machine's sshd for members (adr 0126), and the keys of this machine's users (adr 0134).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/netplan.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/sshd.h"
#include "proto/roster/sshkeys.h"
#include "sys/net/sockaddr.h"

enum {
    PATIENCE_S = 1,   /* ours: ssh waits for this command before every host key */
    FILE_MAX = 16384, /* bytes of a file with public keys */
};

/* Options of ssh announce. */
enum {
    OPT_NONE,
    OPT_ALL, /* of ssh disable */
};

/* --- known-hosts ------------------------------------------------------------------------------ */

/* The host that ssh asks about. */
struct host {
    const char *asked;             /* as ssh has it: NAME, an address, or [NAME]:PORT */
    char name[PV_CTLAPI_PEER_BUF]; /* without brackets and port */
    struct addrinfo *resolved;     /* NULL: no resolver of this machine knows the name */
};

/* ssh fails where the command that it runs does: whatever happens, this one succeeds. */
static void give_up(int sig)
{
    _exit(0);
}

/* Takes the name out of "[NAME]:PORT". Only characters of names and addresses may come back to ssh
 * in a line: others have a meaning there. */
static bool read_host(const char *asked, struct host *ret)
{
    size_t len = strlen(asked), from = 0;
    *ret = (struct host){.asked = asked};
    if (strspn(asked, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") != len)
        return false;
    if (asked[0] == '[') {
        const char *end = strchr(asked, ']');
        if (end == NULL || end[1] != ':' || end[2 + strspn(end + 2, "0123456789")] != '\0')
            return false;
        from = 1;
        len = (size_t)(end - asked) - 1;
    }
    if (len == 0 || len >= sizeof(ret->name))
        return false;
    memcpy(ret->name, asked + from, len);
    return strpbrk(ret->name, "[]") == NULL;
}

/* A p2pvpnd that was taken over must not vouch for hosts of the internet, so an address counts only
 * if the helper would give it to the interface without a setting. */
static bool may_be_members(const struct pv_addr *addr)
{
    const struct pv_prefix host = {.base = *addr, .bits = (uint8_t)(8 * pv_addr_ip_len(addr))};
    return pv_netplan_is_own(&host, NULL, 0);
}

/* Likewise of a name that no resolver knows: "pi", or one below ".p2p", which no DNS has. */
static bool may_be_name(const char *name)
{
    static const char zone[] = ".p2p";
    const size_t len = strlen(name), end = sizeof(zone) - 1;
    return strpbrk(name, ".:") == NULL || (len > end && strcmp(name + len - end, zone) == 0);
}

/*
 * Returns true if ssh would connect to this member. The name may lead elsewhere, since DNS comes
 * before short names (adr 0053): a member that calls itself `nas` must not speak for the nas of the
 * LAN. If no resolver knows the name, ssh gets there by a ProxyCommand, which means the member.
 */
static bool leads_to(const struct host *host, const json_t *member)
{
    static const char *const fields[] = {"ip4", "ip6"};
    for (const struct addrinfo *ai = host->resolved; ai != NULL; ai = ai->ai_next) {
        struct sockaddr_storage ss = {0};
        if (ai->ai_addrlen > sizeof(ss))
            continue;
        memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
        struct pv_addr addr = pv_sockaddr_to(&ss);
        addr.port = 0;
        for (size_t i = 0; i < PV_ARRAY_LEN(fields); i++) {
            struct pv_addr own;
            if (pv_addr_parse_ip(pv_json_text(member, fields[i], ""), &own) == PV_OK &&
                pv_addr_equal_ip(&addr, &own) && may_be_members(&own))
                return true;
        }
    }
    return host->resolved == NULL && may_be_name(host->name);
}

/* p2pvpnd checked each key, and so does this program: the line goes into a decision of ssh's. */
static void print_lines(struct pv_cli *cli, const struct host *host, const json_t *keys)
{
    PV_EACH_JSON(keys, key) {
        const char *line = pv_json_string(key);
        struct pv_sshkeys one = {.len = 0};
        struct pv_view list, blob;
        if (pv_sshkeys_read(&one, pv_view(line, strlen(line))) > 0)
            continue;
        list = pv_sshkeys_view(&one);
        while (pv_sshkeys_next(&list, &blob))
            fprintf(cli->out, "%s %s\n", host->asked, PV_SSHKEY_STR(blob));
    }
}

/* Returns true if this node has a member that the host is, be it one without keys. */
static bool ask_node(struct pv_cli *cli, const struct pv_instance *node, const struct host *host)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_SSH_KNOWN_HOSTS);
    json_t *body = NULL;
    memcpy(req.peer, host->name, sizeof(req.peer));
    if (pv_client_ask_for(node->socket, node->is_user, &req, PV_S(PATIENCE_S), &body) < 0)
        return false;
    const bool found = leads_to(host, body);
    if (found)
        print_lines(cli, host, json_object_get(body, "keys"));
    json_decref(body);
    return found;
}

/* This user's own nodes come first, as for other commands. */
static bool ask_own_nodes(struct pv_cli *cli, const struct host *host)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF];
    const size_t n = pv_instance_list_own(names);
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        struct pv_instance node;
        found = pv_instance_find(names[i], &node) == PV_OK && node.is_user &&
                ask_node(cli, &node, host);
    }
    return found;
}

/* The list begins with "", the first network, as the names of the C library do. */
static void ask_all_nodes(struct pv_cli *cli, const struct host *host)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF];
    const size_t n = pv_instance_list(PV_INSTANCE_RUN, PV_INSTANCE_ETC, names);
    bool found = ask_own_nodes(cli, host);
    for (size_t i = 0; i < n && !found; i++) {
        struct pv_instance node;
        found = pv_instance_named(names[i], &node) == PV_OK && ask_node(cli, &node, host);
    }
}

/* A resolver or a p2pvpnd that does not answer must not hold up ssh, nor may anything else end it:
 * nothing is told, and nothing fails. */
static int known_hosts(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct pv_instance first;
    struct host host;
    if (!read_host(cli->args.word[1], &host))
        return 0;
    void (*before)(int) = signal(SIGALRM, give_up);
    alarm(PATIENCE_S);
    if (getaddrinfo(host.name, NULL, &hints, &host.resolved) != 0)
        host.resolved = NULL;
    if (pv_instance_find("", &first) == PV_OK && strcmp(first.socket, cli->node.socket) == 0)
        ask_all_nodes(cli, &host);
    else
        (void)ask_node(cli, &cli->node, &host);
    (void)fflush(cli->out);
    alarm(0);
    signal(SIGALRM, before);
    if (host.resolved != NULL)
        freeaddrinfo(host.resolved);
    return 0;
}

/* --- announce --------------------------------------------------------------------------------- */

/* Adds the keys of a file, which is read here, with the rights of the user: p2pvpnd gets nothing of
 * it but what is a public key. 0 or an exit code. */
static int add_file(struct pv_cli *cli, const char *path, struct pv_sshkeys *keys)
{
    char *text = malloc(FILE_MAX);
    FILE *f = fopen(path, "re");
    const size_t len = f == NULL || text == NULL ? 0 : fread(text, 1, FILE_MAX, f),
                 before = keys->len;
    int code = 0;
    if (f == NULL || ferror(f) != 0)
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED, "%.200s: %s", path, strerror(errno));
    else if (pv_sshkeys_read(keys, pv_view(text, len)) > 0 || keys->len == before)
        code =
            pv_cli_usage(cli,
                         keys->full ? "%.200s holds more keys than members are told: leave some out"
                         : keys->use == PV_SSHKEYS_HOST
                             ? "%.200s holds no public host key of its own kind: give a .pub "
                               "file of ed25519, ecdsa or RSA with 2,048 to 4,096 bits"
                             : "%.200s holds no other public key: give a .pub file of ed25519, "
                               "ecdsa, a security key, or RSA with 2,048 to 4,096 bits",
                         path);
    if (f != NULL)
        fclose(f);
    explicit_bzero(text, text == NULL ? 0 : FILE_MAX); /* it may be the private key */
    free(text);
    return code;
}

/* The keys as lines, which req owns. */
static int put_keys(struct pv_cli *cli, const struct pv_sshkeys *keys,
                    struct pv_ctlapi_request *req)
{
    /* In base64, and a type of 35 characters at most in place of two bytes. */
    const size_t cap = PV_SSHKEYS_MAX * 2 + PV_SSHKEYS_MAX / 51 * 40;
    struct pv_view list = pv_sshkeys_view(keys), key;
    req->text = malloc(cap);
    if (req->text == NULL)
        return pv_cli_no_memory(cli);
    struct pv_text t = pv_text_in(req->text, cap);
    while (pv_sshkeys_next(&list, &key))
        pv_text_add(&t, "%s%s", t.len > 0 ? "\n" : "", PV_SSHKEY_STR(key));
    return 0;
}

static int fill_announce(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    struct pv_sshkeys keys = {.len = 0};
    const bool none = cli->args.value[OPT_NONE] != NULL;
    int code = 0;
    if (cli->args.value[OPT_ALL] != NULL)
        return pv_cli_usage(cli, "--all is said of disable");
    if (none && cli->args.n_words > 1)
        return pv_cli_usage(cli, "--none announces nothing: leave out the files");
    if (none) {
        req->text = strdup("none");
        return req->text == NULL ? pv_cli_no_memory(cli) : 0;
    }
    for (int i = 1; i < cli->args.n_words && code == 0; i++)
        code = add_file(cli, cli->args.word[i], &keys);
    return code != 0 || cli->args.n_words == 1 ? code : put_keys(cli, &keys, req);
}

static int print_announced(struct pv_cli *cli, const json_t *body)
{
    const json_t *keys = json_object_get(body, "keys");
    const bool found = pv_json_bool(body, "found");
    PV_EACH_JSON(keys, key)
        pv_cli_say(cli, "%s", pv_json_string(key));
    if (json_array_size(keys) > 0)
        pv_cli_note(cli, "members' ssh knows these keys of this machine%s",
                    found ? ", found in /etc/ssh" : "");
    else
        pv_cli_note(cli, "no host key of this machine is announced%s",
                    found ? ": /etc/ssh has none. Those of another place: `sudo p2pvpnctl ssh "
                            "announce FILE`"
                          : "");
    return 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

/* The files that ssh uses by itself, of whoever runs sudo. */
static int add_own_files(struct pv_cli *cli, struct pv_sshkeys *keys)
{
    static const char *const names[] = {"ed25519", "ecdsa", "rsa", "ed25519_sk", "ecdsa_sk"};
    const char *sudo = geteuid() == 0 ? getenv("SUDO_USER") : NULL;
    const struct passwd *pw = sudo != NULL ? getpwnam(sudo) : getpwuid(geteuid());
    char path[PATH_MAX];
    int code = 0;
    for (size_t i = 0; pw != NULL && i < PV_ARRAY_LEN(names) && code == 0; i++) {
        snprintf(path, sizeof(path), "%s/.ssh/id_%s.pub", pw->pw_dir, names[i]);
        if (access(path, F_OK) == 0)
            code = add_file(cli, path, keys);
    }
    if (code == 0 && keys->len == 0)
        code = pv_cli_usage(cli,
                            "%.60s has no key that ssh uses by itself: name a .pub file, or "
                            "make a key by ssh-keygen",
                            pw == NULL ? "this user" : pw->pw_name);
    return code;
}

static int print_keys(struct pv_cli *cli, const json_t *body)
{
    const json_t *keys = json_object_get(body, "keys");
    PV_EACH_JSON(keys, key)
        pv_cli_say(cli, "%s", pv_json_string(key));
    if (json_array_size(keys) > 0)
        pv_cli_note(cli,
                    "with these keys users of this machine log in to accounts that rules open");
    else
        pv_cli_note(cli, "no key is announced: `sudo p2pvpnctl ssh keys add FILE`");
    return 0;
}

/* keys, keys add [FILE...], keys remove FILE...|all: which it is follows from the second word. */
static int keys_verb(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    struct pv_sshkeys keys = {.use = PV_SSHKEYS_LOGIN};
    const int n = cli->args.n_words;
    const char *word = n > 1 ? cli->args.word[1] : "";
    const bool add = strcmp(word, "add") == 0, drop = strcmp(word, "remove") == 0;
    int code = 0;
    if ((n > 1 && !add && !drop) || (drop && n == 2))
        return pv_cli_usage(cli, "there is ssh keys, ssh keys add [FILE...] and ssh keys remove "
                                 "FILE...|all");
    req->cmd = add ? PV_CTLAPI_SSH_KEYS_ADD : drop ? PV_CTLAPI_SSH_KEYS_REMOVE : PV_CTLAPI_SSH_KEYS;
    if (drop && n == 3 && strcmp(cli->args.word[2], "all") == 0) {
        req->text = strdup("all");
        return req->text == NULL ? pv_cli_no_memory(cli)
                                 : pv_cli_ask_and_print(cli, req, print_keys);
    }
    if (add && n == 2)
        code = add_own_files(cli, &keys);
    for (int i = 2; i < n && code == 0; i++)
        code = add_file(cli, cli->args.word[i], &keys);
    if (code == 0 && (add || drop))
        code = put_keys(cli, &keys, req);
    return code != 0 ? code : pv_cli_ask_and_print(cli, req, print_keys);
}

static int disable_verb(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    if (cli->args.value[OPT_NONE] != NULL)
        return pv_cli_usage(cli, "--none is said of announce");
    return pv_sshd_disable(cli, cli->args.value[OPT_ALL] != NULL);
}

static const struct pv_verb ssh_verbs[] = {
    {"known-hosts", 2, 2, PV_CTLAPI_SSH_KNOWN_HOSTS, .ask = known_hosts},
    {"announce", 1, PV_ARGS_MAX_WORDS, PV_CTLAPI_SSH_ANNOUNCE, fill_announce,
     .print = print_announced, .options = true},
    {"keys", 1, PV_ARGS_MAX_WORDS, PV_CTLAPI_SSH_KEYS, .ask = keys_verb},
    {"enable", 2, PV_ARGS_MAX_WORDS, PV_CTLAPI_SSH_KEYS, .ask = pv_sshd_enable},
    {"disable", 1, 1, PV_CTLAPI_SSH_KEYS, .ask = disable_verb, .options = true},
    {"authorized-keys", 3, 3, PV_CTLAPI_SSH_AUTHORIZED_KEYS, .ask = pv_sshd_authorized_keys},
    {.word = NULL},
};

const struct pv_command pv_cmds_ssh[] = {
    {
        .name = "ssh",
        .keeps_root = true,
        .args =
            "known-hosts HOST | announce [FILE...] [--none] | keys [add|remove [FILE...]] | enable "
            "USER... | disable [--all] | authorized-keys USER FINGERPRINT",
        .summary = "host keys and logins for OpenSSH, so that ssh asks nothing",
        .details =
            "  known-hosts HOST   print the host keys of member HOST for KnownHostsCommand of\n"
            "                     ssh_config; the exit code is 0 whatever happens\n"
            "  announce           tell members the host keys in /etc/ssh, as p2pvpnd does by\n"
            "                     itself within a minute\n"
            "  announce FILE...   tell members the keys in these .pub files instead\n"
            "    --none           tell members no host key\n"
            "  keys               list the keys by which users of this machine log in\n"
            "  keys add [FILE...] tell members these .pub files, or those in your ~/.ssh\n"
            "  keys remove FILE... or all\n"
            "  enable USER...     have sshd ask p2pvpn which keys of members open these\n"
            "                     accounts, and no others; a rule must also name them (allow\n"
            "                     ... ssh:USER)\n"
            "  disable            have sshd ask about no account\n"
            "    --all            of any network of this machine\n"
            "  authorized-keys    for sshd: print the key of this fingerprint if a member may\n"
            "                     log in with it; the exit code is 0 whatever happens\n",
        .example = "p2pvpnctl ssh known-hosts pi",
        .options = {[OPT_NONE] = {"none", 0, false}, [OPT_ALL] = {"all", 0, false}},
        .words = {1, PV_ARGS_MAX_WORDS},
        .verbs = ssh_verbs,
        .there = "there is ssh known-hosts, announce, keys, enable, disable and authorized-keys",
        .misplaced = "--none is said of announce, and --all of disable",
    },
    {.name = NULL},
};
