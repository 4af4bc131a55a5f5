/* SPDX-License-Identifier: MIT */
/*
 * resolved.c - tells systemd-resolved which names are asked where. By resolvectl and without a
 * D-Bus library: it runs once for each change of the interface, and a user can repeat it.
 */
#include "sys/net/resolved.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WORDS = PV_RESOLVED_MAX_DOMAINS + 4, /* program, verb, interface, domains, NULL */
};

bool pv_resolved_is_there(void)
{
    return access("/run/systemd/resolve", F_OK) == 0;
}

static const char *find_resolvectl(void)
{
    static const char *const paths[] = {"/usr/bin/resolvectl", "/bin/resolvectl"};
    for (size_t i = 0; i < PV_ARRAY_LEN(paths); i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

/* resolvectl talks over D-Bus, which may hang; then it is killed, because the helper has to
 * answer. */
static int wait_for_resolvectl(pid_t pid)
{
    int status = 0;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = fd < 0 ? 1 : poll(&p, 1, PV_RESOLVED_TIMEOUT_S * 1000);
    if (n <= 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return PV_ERR_TIMEOUT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PV_OK : PV_ERR_REFUSED;
}

/* With default signals: the helper ignores the signals that end the daemon, and a child would
 * inherit that. */
static int run_resolvectl(const char *path, char **argv)
{
    char env0[] = "LC_ALL=C";
    char *envp[] = {env0, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t all, none;
    pid_t pid = 0;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    int e = posix_spawn(&pid, path, &actions, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return e != 0 ? -e : wait_for_resolvectl(pid);
}

int pv_resolved_set(const struct pv_resolved_link *link)
{
    char arg0[] = "resolvectl", dns[] = "dns", domain[] = "domain";
    char ifname[32], server[PV_ADDR_TEXT],
        domains[PV_RESOLVED_MAX_DOMAINS][PV_RESOLVED_DOMAIN_BUF + 1];
    char *argv[WORDS + 1] = {arg0, dns, ifname, server, NULL};
    const char *path = find_resolvectl();
    if (path == NULL)
        return PV_ERR_NOT_FOUND;
    snprintf(ifname, sizeof(ifname), "%s", link->ifname);
    pv_addr_format_ip(&link->server, server);
    int r = run_resolvectl(path, argv);
    argv[1] = domain;
    for (size_t i = 0; i < link->n_domains && i < PV_RESOLVED_MAX_DOMAINS; i++) {
        /* '~': only where to ask, not a suffix to try with every name. */
        snprintf(domains[i], sizeof(domains[i]), "~%s", link->domains[i]);
        argv[3 + i] = domains[i];
        argv[4 + i] = NULL;
    }
    return r < 0 ? r : run_resolvectl(path, argv);
}
