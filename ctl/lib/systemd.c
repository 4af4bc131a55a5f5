/* SPDX-License-Identifier: MIT */
/* Asks systemctl about the units of p2pvpnd. */
#include "ctl/lib/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS "/run/systemd/system" /* exists where systemd is the init (sd_booted(3)) */

/* own: the user's. quiet: what it prints goes nowhere. Its answers never go to our standard output,
 * which is for tokens. */
static int run_systemctl(bool own, const char *verb, const char *unit, bool quiet)
{
    char program[] = "systemctl", flag[] = "--quiet", what[32], which[64], user[] = "--user";
    char *argv[] = {program, flag, what, which, own ? user : NULL, NULL};
    int status = 0;
    snprintf(what, sizeof(what), "%s", verb);
    snprintf(which, sizeof(which), "%s", unit);
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, 0) < 0 || dup2(quiet ? null : STDERR_FILENO, 1) < 0 ||
            (quiet && dup2(null, STDERR_FILENO) < 0))
            _exit(127);
        closefrom(3);
        execvp(program, argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PV_OK : PV_ERR_CLOSED;
}

bool pv_systemd_has(const char *unit)
{
    return access(RUNS, F_OK) == 0 && run_systemctl(false, "cat", unit, true) == PV_OK;
}

bool pv_systemd_has_own(const char *unit)
{
    return access(RUNS, F_OK) == 0 && run_systemctl(true, "cat", unit, true) == PV_OK;
}

int pv_systemd_run(const char *verb, const char *unit)
{
    return run_systemctl(false, verb, unit, false);
}

bool pv_systemd_is(const char *verb, const char *unit)
{
    return run_systemctl(false, verb, unit, true) == PV_OK;
}
