/* SPDX-License-Identifier: MIT */
/*
 * cmd_sshd.c - has this machine's sshd ask p2pvpnctl which keys of members open an account (adr
 * 0134).
 *
 * The boundary is sshd's own: a file of root's names the accounts, and sshd asks about no other.
 * What runs as user p2pvpn, this program as sshd starts it among it, only chooses keys for these.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/text.h"
#include "ctl/sshd.h"
#include "proto/roster/sshkeys.h"
#include "proto/rules/logins.h"
#include "sys/proc/clock.h"

#define CONFIG_DIR "/etc/ssh/sshd_config.d"
#define CONFIG     "p2pvpn-logins" /* "-NETWORK" and ".conf" follow */
#define MARK       "# Made by `p2pvpnctl ssh enable`"
#define TRIAL      "/run/p2pvpn-ssh-trial" /* the key of a trial login; in a directory of root's */

enum {
    PATIENCE_S = 1,     /* ours: sshd waits for this command at each key that it is offered */
    TRIAL_S = 60,       /* ours: for so long the key of a trial counts */
    PROGRAM_S = 30,     /* ours: for a program of OpenSSH's */
    OUTPUT_MAX = 65536, /* of one; sshd -T prints about 5 KB */
    FILE_MAX = 16384,   /* of our file in sshd_config.d */
    USERS_MAX = 16,     /* ours: accounts of one machine */
};

/* --- authorized-keys -------------------------------------------------------------------------- */

/* sshd goes on without keys, and asks for nothing else. */
static void give_up(int sig)
{
    _exit(0);
}

/* The key of a trial that root is making now: "USER TYPE BASE64". Only root can have made the file.
 */
static void print_trial(struct pv_cli *cli, const char *user, const char *print)
{
    char text[PV_LOGIN_MAX + 1 + PV_SSHKEY_LINE_BUF] = "";
    struct stat st;
    struct pv_sshkeys one = {.use = PV_SSHKEYS_LOGIN};
    struct pv_view list, key;
    const size_t len = strlen(user);
    const int fd = open(TRIAL, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    const bool good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
                      (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
                      time(NULL) - st.st_mtime <= TRIAL_S &&
                      read(fd, text, sizeof(text) - 1) > (ssize_t)len;
    close(fd);
    if (!good || memcmp(text, user, len) != 0 || text[len] != ' ' ||
        pv_sshkeys_read(&one, pv_view(text + len + 1, strlen(text + len + 1))) > 0)
        return;
    list = pv_sshkeys_view(&one);
    while (pv_sshkeys_next(&list, &key))
        if (pv_sshkey_has_print(key, print))
            fprintf(cli->out, "restrict,from=\"127.0.0.1\" %s\n", PV_SSHKEY_STR(key));
}

/* Addresses and keys are read and printed anew: sshd believes every word of a line. */
static void print_member(struct pv_cli *cli, const json_t *member, const char *print)
{
    struct pv_addr ip4, ip6;
    struct pv_sshkeys one = {.use = PV_SSHKEYS_LOGIN};
    struct pv_view list, key;
    const char *line = pv_json_text(member, "key", "");
    if (pv_addr_parse_ip(pv_json_text(member, "ip4", ""), &ip4) != PV_OK ||
        pv_addr_parse_ip(pv_json_text(member, "ip6", ""), &ip6) != PV_OK ||
        pv_sshkeys_read(&one, pv_view(line, strlen(line))) > 0)
        return;
    list = pv_sshkeys_view(&one);
    while (pv_sshkeys_next(&list, &key))
        if (pv_sshkey_has_print(key, print))
            fprintf(cli->out, "from=\"%s,%s\" %s\n", PV_IP_STR(&ip4), PV_IP_STR(&ip6),
                    PV_SSHKEY_STR(key));
}

/* As the other command of OpenSSH's, known-hosts: nothing is told, and nothing fails. */
int pv_sshd_authorized_keys(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *user = cli->args.word[1], *print = cli->args.word[2];
    struct pv_instance node = cli->node;
    json_t *body = NULL;
    if (!pv_login_is_valid(user, strlen(user)) || strlen(print) > 7 + PV_SSHKEY_PRINT_LEN)
        return 0;
    void (*before)(int) = signal(SIGALRM, give_up);
    alarm(PATIENCE_S);
    print_trial(cli, user, print);
    snprintf(req->peer, sizeof(req->peer), "%s", user);
    req->text = strdup(print);
    /* Of the machine's own node, never of one that user p2pvpn could have made for itself. */
    if (req->text != NULL && (!node.is_user || pv_instance_named(node.name, &node) == PV_OK) &&
        pv_client_ask_for(node.socket, false, req, PV_S(PATIENCE_S), &body) == PV_OK) {
        PV_EACH_JSON(json_object_get(body, "members"), member)
            print_member(cli, member, print);
        json_decref(body);
    }
    (void)fflush(cli->out);
    alarm(0);
    signal(SIGALRM, before);
    return 0;
}

/* --- programs of OpenSSH's -------------------------------------------------------------------- */

static void become(const char *const *argv, int in, int out)
{
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(127);
    const union {
        const char *const *given;
        char *const *taken; /* execv() changes no word of it */
    } words = {.given = argv};
    closefrom(3);
    execv(argv[0], words.taken);
    _exit(127);
}

/* Reads to the end, or until the deadline. */
static void read_all(int fd, char *out, size_t cap, pv_ns deadline)
{
    char rest[512];
    size_t len = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const pv_ns now = pv_clock_now();
        if (now >= deadline || poll(&p, 1, pv_poll_ms(deadline, now)) <= 0)
            break;
        const bool full = len + 1 == cap;
        const ssize_t n = full ? read(fd, rest, sizeof(rest)) : read(fd, out + len, cap - 1 - len);
        if (n <= 0)
            break;
        len += full ? 0 : (size_t)n;
    }
    out[len] = '\0';
}

/* Runs a program without input. Returns its exit code; 127: it was not run, 255: it did not end in
 * order. out: what it printed, on both streams. */
static int run(const char *const *argv, char *out, size_t cap)
{
    int ends[2], status = 0;
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    out[0] = '\0';
    if (null < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return 127;
    const pid_t pid = fork();
    if (pid == 0)
        become(argv, null, ends[1]);
    close(null);
    close(ends[1]);
    if (pid > 0)
        read_all(ends[0], out, cap, pv_clock_now() + PV_S(PROGRAM_S));
    close(ends[0]);
    if (pid < 0)
        return 127;
    /* It has closed its output: it is at its end, or at ours. */
    for (int i = 0; i < 20 && waitpid(pid, &status, WNOHANG) == 0; i++) {
        if (i == 19) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        } else {
            usleep(50000);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static const char *find_program(const char *const *places)
{
    while (*places != NULL && access(*places, X_OK) != 0)
        places++;
    return *places;
}

static const char *find_sshd(void)
{
    static const char *const places[] = {"/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd",
                                         NULL};
    return find_program(places);
}

static const char *find_ssh(void)
{
    static const char *const places[] = {"/usr/bin/ssh", "/usr/local/bin/ssh", NULL};
    return find_program(places);
}

static const char *find_keygen(void)
{
    static const char *const places[] = {"/usr/bin/ssh-keygen", "/usr/local/bin/ssh-keygen", NULL};
    return find_program(places);
}

/* Does a line of sshd's say more than that a connection ended? */
static bool is_reason(const char *line)
{
    return strstr(line, "AuthorizedKeysCommand") != NULL || strstr(line, "error:") != NULL ||
           strstr(line, "not allowed") != NULL;
}

/* The last line of a text, or the last that says why. In place. */
static const char *last_line(char *text)
{
    const char *last = "";
    for (char *line; (line = strsep(&text, "\r\n")) != NULL;)
        if (line[0] != '\0' && (!is_reason(last) || is_reason(line)))
            last = line;
    return last;
}

/* --- enable ----------------------------------------------------------------------------------- */

/* What is under way. */
struct enabling {
    struct pv_cli *cli;
    const char *sshd;
    const char *const *users;
    size_t n_users;
    char command[PATH_MAX + 64]; /* AuthorizedKeysCommand, with its arguments */
    char path[PATH_MAX];         /* of our file */
    char dir[64];                /* root's own, for the trial */
    char *out;                   /* OUTPUT_MAX bytes, of the last program */
};

/* The program that lies beside this one under the usual name: a static build has another one. */
static bool set_command(struct enabling *e)
{
    char self[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL || (size_t)(slash - self) + sizeof("/p2pvpnctl") > sizeof(self))
        return false;
    memcpy(slash, "/p2pvpnctl", sizeof("/p2pvpnctl"));
    const char *net = e->cli->node.name;
    snprintf(e->command, sizeof(e->command), "%s%s%s ssh authorized-keys %%u %%f", self,
             net[0] == '\0' ? "" : " -n ", net);
    /* It is written into a file of sshd's, where these mean something. */
    return access(self, X_OK) == 0 && strpbrk(self, " \t\n\"'%#\\") == NULL;
}

static void set_path(const char *net, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, CONFIG_DIR "/" CONFIG "%s%s.conf", net[0] == '\0' ? "" : "-", net);
}

/* What `sshd -T` says of an option. user: NULL: without one. Cut out of e->out; NULL: nothing, and
 * the user is told why. */
static const char *ask_sshd(struct enabling *e, const char *user, const char *option)
{
    char who[128];
    const size_t len = strlen(option);
    snprintf(who, sizeof(who), "user=%s,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22",
             user == NULL ? "" : user);
    const char *const argv[] = {e->sshd, "-T", user == NULL ? NULL : "-C", who, NULL};
    if (run(argv, e->out, OUTPUT_MAX) != 0) {
        (void)pv_cli_fail(e->cli, PV_CTLAPI_FAILED,
                          "sshd -T failed: %.300s. Check the configuration of sshd, and try again",
                          last_line(e->out));
        return NULL;
    }
    for (char *line, *rest = e->out; (line = strsep(&rest, "\n")) != NULL;)
        if (strncasecmp(line, option, len) == 0 && line[len] == ' ')
            return line + len + 1;
    return "none";
}

/* sshd has one such command for an account, and whoever set another one needs it. 0 or an exit
 * code. */
static int check_other(struct enabling *e, const char *user)
{
    const char *command = ask_sshd(e, user, "authorizedkeyscommand");
    if (command == NULL)
        return PV_CTLAPI_FAILED;
    if (strcmp(command, "none") == 0 || strcmp(command, e->command) == 0)
        return 0;
    return pv_cli_fail(e->cli, PV_CTLAPI_REFUSED,
                       "sshd already has AuthorizedKeysCommand %.200s%s%s: take that out, and try "
                       "again",
                       command, user == NULL ? "" : " for ", user == NULL ? "" : user);
}

/* Our file, for one name of users or more. */
static void write_config(const struct enabling *e, FILE *f)
{
    fprintf(f, MARK ", which writes it anew. `p2pvpnctl ssh disable` removes it.\n");
    fprintf(f, "Match User ");
    for (size_t i = 0; i < e->n_users; i++)
        fprintf(f, "%s%s", i > 0 ? "," : "", e->users[i]);
    fprintf(f,
            "\n    AuthorizedKeysCommand %s\n    AuthorizedKeysCommandUser " PV_INSTANCE_GROUP "\n",
            e->command);
}

/* A new file of root's with the text that write() writes. 0 or -errno. */
static int make_file(const char *path, mode_t mode, void (*write)(const struct enabling *, FILE *),
                     const struct enabling *e)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f == NULL) {
        const int r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    write(e, f);
    int r = fflush(f) == 0 && fchmod(fd, mode) == 0 && fsync(fd) == 0 ? 0 : -errno;
    if (fclose(f) != 0 && r == 0)
        r = -errno;
    if (r < 0)
        (void)unlink(path);
    return r;
}

/* The configuration of the trial: ours before the machine's, as sshd_config.d is. */
static void write_trial_config(const struct enabling *e, FILE *f)
{
    fprintf(f, "Include %s/logins.conf\nInclude /etc/ssh/sshd_config\n", e->dir);
}

/* Whatever is left of it, after a failure as well. */
static void end_trial(const struct enabling *e)
{
    static const char *const names[] = {"logins.conf", "sshd_config", "key", "key.pub", "log"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        (void)unlink(PV_STR("%.60s/%s", e->dir, names[i]));
    (void)rmdir(e->dir);
    (void)unlink(TRIAL);
}

/* Puts the public half where `ssh authorized-keys` finds it. 0 or -errno. */
static int publish_trial_key(const struct enabling *e, const char *user)
{
    char line[PV_SSHKEY_LINE_BUF] = "";
    const int in = open(PV_STR("%.60s/key.pub", e->dir), O_RDONLY | O_CLOEXEC);
    const ssize_t n = in < 0 ? -1 : read(in, line, sizeof(line) - 1);
    if (in >= 0)
        close(in);
    if (n <= 0)
        return -EIO;
    (void)unlink(TRIAL);
    const int out = open(TRIAL, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (out < 0)
        return -errno;
    const bool good = dprintf(out, "%s %s", user, line) > 0 && fchmod(out, 0644) == 0;
    close(out);
    return good ? 0 : -EIO;
}

/* A socket of the loopback. Returns its port; 0: there is none. */
static uint16_t listen_here(int *ret_fd)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &len) < 0) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    *ret_fd = fd;
    return ntohs(sin.sin_port);
}

/* One connection to an sshd with the configuration of the trial, and no other. */
static void serve_one(const struct enabling *e, int listener)
{
    const int fd = accept(listener, NULL, NULL);
    const char *const argv[] = {
        e->sshd, "-i", "-f", PV_STR("%.60s/sshd_config", e->dir), "-E", PV_STR("%.60s/log", e->dir),
        NULL};
    if (fd < 0)
        _exit(1);
    become(argv, fd, fd);
}

/* Logs in as the user by a new key. The exit code of ssh: 255 unless sshd let it in. */
static int log_in(struct enabling *e, const char *user, uint16_t port)
{
    const char *const argv[] = {find_ssh(),
                                "-F",
                                "/dev/null",
                                "-i",
                                PV_STR("%.60s/key", e->dir),
                                "-p",
                                PV_STR("%u", port),
                                "-l",
                                user,
                                "-n",
                                "-T",
                                "-oBatchMode=yes",
                                "-oIdentitiesOnly=yes",
                                "-oIdentityAgent=none",
                                "-oPreferredAuthentications=publickey",
                                "-oStrictHostKeyChecking=no",
                                "-oUserKnownHostsFile=/dev/null",
                                "-oGlobalKnownHostsFile=/dev/null",
                                "-oConnectTimeout=10",
                                "-oLogLevel=ERROR",
                                "127.0.0.1",
                                "true",
                                NULL};
    return run(argv, e->out, OUTPUT_MAX);
}

/* The line of sshd's log that says why; "": it says nothing. */
static const char *trial_log(struct enabling *e)
{
    const int fd = open(PV_STR("%.60s/log", e->dir), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, e->out, OUTPUT_MAX - 1);
    if (fd >= 0)
        close(fd);
    e->out[n > 0 ? n : 0] = '\0';
    return last_line(e->out);
}

/* One real login by a key that only this command knows. 0 or an exit code. */
static int try_login(struct enabling *e, const char *user)
{
    int listener = -1, status;
    const uint16_t port = listen_here(&listener);
    if (port == 0 || publish_trial_key(e, user) < 0) {
        if (listener >= 0)
            close(listener);
        return pv_cli_fail(e->cli, PV_CTLAPI_FAILED, "the trial login cannot begin: %s",
                           strerror(errno));
    }
    const pid_t pid = fork();
    if (pid == 0)
        serve_one(e, listener);
    close(listener);
    const int code = pid < 0 ? 255 : log_in(e, user, port);
    if (pid > 0) {
        kill(pid, SIGTERM); /* it is at its end, unless nobody came */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    (void)unlink(TRIAL);
    if (code != 255 && code != 127)
        return 0;
    return pv_cli_fail(e->cli, PV_CTLAPI_FAILED,
                       "a trial login as %s by this configuration failed: %.300s. Nothing was "
                       "changed",
                       user, code == 127 ? "there is no ssh here" : trial_log(e));
}

/* Tries the new configuration beside the machine's sshd, which knows nothing of it. */
static int try_config(struct enabling *e)
{
    char config[96], key[96];
    snprintf(e->dir, sizeof(e->dir), "/run/p2pvpn-ssh.XXXXXX");
    if (mkdtemp(e->dir) == NULL)
        return pv_cli_fail(e->cli, PV_CTLAPI_FAILED, "/run: %s", strerror(errno));
    snprintf(config, sizeof(config), "%s/sshd_config", e->dir);
    snprintf(key, sizeof(key), "%s/key", e->dir);
    int r = make_file(PV_STR("%.60s/logins.conf", e->dir), 0600, write_config, e);
    if (r == 0)
        r = make_file(config, 0600, write_trial_config, e);
    const char *const check[] = {e->sshd, "-t", "-f", config, NULL};
    const char *const make[] = {find_keygen(), "-q", "-t", "ed25519", "-N", "",
                                "-C",          "",   "-f", key,       NULL};
    int code = 0;
    if (r < 0)
        code = pv_cli_fail(e->cli, PV_CTLAPI_FAILED, "%s: %s", e->dir, strerror(-r));
    else if (run(check, e->out, OUTPUT_MAX) != 0)
        code = pv_cli_fail(e->cli, PV_CTLAPI_FAILED, "sshd -t refuses the configuration: %.300s",
                           last_line(e->out));
    else if (make[0] == NULL || find_ssh() == NULL || run(make, e->out, OUTPUT_MAX) != 0)
        code = pv_cli_fail(e->cli, PV_CTLAPI_FAILED,
                           "the trial login needs ssh and ssh-keygen: install openssh-client, and "
                           "try again");
    for (size_t i = 0; i < e->n_users && code == 0; i++)
        code = try_login(e, e->users[i]);
    end_trial(e);
    return code;
}

/* sshd reads its configuration again on this signal (sshd(8)). One that a socket of systemd's
 * starts for each connection has no such file, and reads it anyway. */
static void reload(struct enabling *e)
{
    char text[32] = "", exe[PATH_MAX];
    uint64_t pid;
    const char *file = ask_sshd(e, NULL, "pidfile");
    const int fd = file == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC);
    const ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[len > 0 ? strcspn(text, "\n") : 0] = '\0';
    if (pv_u64_parse(text, 2, INT32_MAX, &pid) != PV_OK) {
        pv_cli_note(e->cli, "no sshd runs by this configuration: it counts when one starts");
        return;
    }
    /* A number in an old file may be another program's by now. */
    const ssize_t n = readlink(PV_STR("/proc/%d/exe", (int)pid), exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(exe, '/');
    if (slash == NULL || strncmp(slash, "/sshd", 5) != 0 || kill((pid_t)pid, SIGHUP) < 0)
        pv_cli_note(e->cli, "sshd does not run: the change counts when it starts");
}

/* Returns true if sshd, by its own files, asks our command about each of the users. */
static bool counts(struct enabling *e)
{
    for (size_t i = 0; i < e->n_users; i++) {
        const char *command = ask_sshd(e, e->users[i], "authorizedkeyscommand");
        if (command == NULL || strcmp(command, e->command) != 0)
            return false;
    }
    return true;
}

/* Puts the file in place, and takes it away again if sshd does not read it so. 0 or an exit code.
 */
static int install(struct enabling *e)
{
    char fresh[PATH_MAX], kept[PATH_MAX];
    snprintf(fresh, sizeof(fresh), CONFIG_DIR "/.p2pvpn-logins.new");
    snprintf(kept, sizeof(kept), CONFIG_DIR "/.p2pvpn-logins.old");
    (void)unlink(fresh);
    (void)unlink(kept);
    const int r = make_file(fresh, 0644, write_config, e);
    if (r < 0)
        return pv_cli_fail(e->cli, PV_CTLAPI_FAILED, CONFIG_DIR ": %s", strerror(-r));
    const bool had = link(e->path, kept) == 0;
    int code = 0;
    if (rename(fresh, e->path) < 0)
        code = pv_cli_fail(e->cli, PV_CTLAPI_FAILED, "%s: %s", e->path, strerror(errno));
    else if (!counts(e))
        code = pv_cli_fail(e->cli, PV_CTLAPI_FAILED,
                           "sshd does not read %s, or something before it decides otherwise: its "
                           "sshd_config has to begin with Include " CONFIG_DIR "/*.conf. Nothing "
                           "was changed",
                           e->path);
    if (code != 0 && had)
        (void)rename(kept, e->path);
    else if (code != 0)
        (void)unlink(e->path);
    (void)unlink(fresh);
    (void)unlink(kept);
    return code;
}

/* Another one's file of that name stays as it is. */
static bool is_ours(const char *path)
{
    char mark[sizeof(MARK)] = "";
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const bool ours = fd >= 0 && read(fd, mark, sizeof(MARK) - 1) == (ssize_t)sizeof(MARK) - 1 &&
                      strcmp(mark, MARK) == 0;
    if (fd >= 0)
        close(fd);
    return ours;
}

/* The accounts that root names, each by itself: no pattern, no group, no account that is not there.
 */
static int check_users(struct enabling *e)
{
    for (size_t i = 0; i < e->n_users; i++) {
        const char *user = e->users[i];
        if (!pv_login_is_valid(user, strlen(user)))
            return pv_cli_usage(e->cli,
                                "\"%.60s\": give names of accounts: 1 to 32 of a-z A-Z 0-9 _ . -, "
                                "a letter or _ first",
                                user);
        if (getpwnam(user) == NULL)
            return pv_cli_fail(e->cli, PV_CTLAPI_FAILED, "this machine has no account %s", user);
    }
    if (getpwnam(PV_INSTANCE_GROUP) == NULL)
        return pv_cli_fail(e->cli, PV_CTLAPI_FAILED,
                           "this machine has no user " PV_INSTANCE_GROUP ", as which sshd asks: "
                           "install the package, or make that user");
    return 0;
}

static int check_place(struct pv_cli *cli)
{
    if (geteuid() != 0)
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "only root opens and closes accounts: use sudo");
    if (!cli->node.is_usual || cli->node.is_user)
        return pv_cli_usage(cli, "sshd asks a p2pvpnd that the machine runs: leave out --socket, "
                                 "or name the network by -n");
    return 0;
}

static int enable(struct enabling *e)
{
    if (e->sshd == NULL)
        return pv_cli_fail(e->cli, PV_CTLAPI_FAILED,
                           "there is no sshd here: install openssh-server, and try again");
    if (!set_command(e))
        return pv_cli_fail(e->cli, PV_CTLAPI_FAILED,
                           "p2pvpnctl is at no place that sshd can run it from");
    struct stat st;
    int code = check_users(e);
    if (code == 0 && lstat(e->path, &st) == 0 && !is_ours(e->path))
        code = pv_cli_fail(e->cli, PV_CTLAPI_REFUSED,
                           "%s was not made by this command: move it away, and try again", e->path);
    if (code == 0)
        code = check_other(e, NULL);
    for (size_t i = 0; i < e->n_users && code == 0; i++)
        code = check_other(e, e->users[i]);
    if (code == 0)
        code = try_config(e);
    if (code == 0)
        code = install(e);
    if (code == 0)
        reload(e);
    return code;
}

int pv_sshd_enable(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    struct enabling e = {.cli = cli,
                         .sshd = find_sshd(),
                         .users = (const char *const *)cli->args.word + 1,
                         .n_users = (size_t)cli->args.n_words - 1};
    int code = check_place(cli);
    if (code != 0)
        return code;
    if (e.n_users > USERS_MAX)
        return pv_cli_usage(cli, "at most %d accounts", (int)USERS_MAX);
    e.out = malloc(OUTPUT_MAX);
    if (e.out == NULL)
        return pv_cli_no_memory(cli);
    set_path(cli->node.name, e.path);
    code = enable(&e);
    free(e.out);
    if (code != 0)
        return code;
    for (size_t i = 0; i < e.n_users; i++)
        pv_cli_say(cli, "%s", e.users[i]);
    pv_cli_note(cli,
                "members log in to these accounts if a rule says so: `sudo p2pvpnctl allow FROM "
                "TO ssh:USER`. Other accounts are as they were");
    return 0;
}

/* --- disable ---------------------------------------------------------------------------------- */

static bool remove_ours(const char *path)
{
    return is_ours(path) && unlink(path) == 0;
}

static bool remove_all(void)
{
    DIR *dir = opendir(CONFIG_DIR);
    bool removed = false;
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (strncmp(e->d_name, CONFIG, sizeof(CONFIG) - 1) == 0 &&
            remove_ours(PV_STR(CONFIG_DIR "/%.200s", e->d_name)))
            removed = true;
    if (dir != NULL)
        closedir(dir);
    return removed;
}

int pv_sshd_disable(struct pv_cli *cli, bool all)
{
    struct enabling e = {.cli = cli, .sshd = find_sshd()};
    const int code = check_place(cli);
    if (code != 0)
        return code;
    set_path(cli->node.name, e.path);
    if (all ? !remove_all() : !remove_ours(e.path)) {
        pv_cli_note(cli, "nothing to do: no account was open");
        return 0;
    }
    e.out = malloc(OUTPUT_MAX);
    if (e.out != NULL && e.sshd != NULL)
        reload(&e);
    free(e.out);
    pv_cli_note(cli, "sshd asks p2pvpn about no account. Who is logged in stays");
    return 0;
}
