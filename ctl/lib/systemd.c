/* SPDX-License-Identifier: MIT */
/* Asks systemctl about p2pvpnd.service. */
#include "ctl/lib/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS "/run/systemd/system" /* exists where systemd is the init (sd_booted(3)) */
#define UNIT "p2pvpnd.service"

/* quiet: what it prints goes nowhere. Its answers never go to our standard output, which is for
 * tokens. */
static int run_systemctl(const char *verb, bool quiet)
{
    char program[] = "systemctl", flag[] = "--quiet", unit[] = UNIT, what[32];
    char *argv[] = {program, flag, what, unit, NULL};
    int status = 0;
    snprintf(what, sizeof(what), "%s", verb);
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

bool pv_systemd_has_unit(void)
{
    return access(RUNS, F_OK) == 0 && run_systemctl("cat", true) == PV_OK;
}

int pv_systemd_run(const char *verb)
{
    return run_systemctl(verb, false);
}
