/* SPDX-License-Identifier: MIT */
/* p2pvpnctl: the program around run.h. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "ctl/run.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlcmd.h"
#include "sys/proc/sandbox.h"

/* Tokens, URLs and messages pass through this memory: no core dump and no debugger of the same user
 * gets them. (The leak checker needs what PR_SET_DUMPABLE takes away.) */
static void keep_memory_private(void)
{
    struct rlimit core;
    /* A program that `run` starts may still ask for its own. */
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)!setrlimit(RLIMIT_CORE, &core);
    }
#ifndef PV_SANITIZED
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* A number below 3 that the caller closed would be that of the next socket or file, and what is
 * printed would go there. Here it can only be read: writing fails, as it should. */
static void fill_closed(void)
{
    int fd = -1;
    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

#ifdef PV_STATIC
/* Those of daemon/main.c and chat/program/main.c, which lie in the same file then
 * (cmake/Static.cmake). */
int pv_daemon_main(int argc, char **argv);
int pv_chatd_main(int argc, char **argv);

/* The file's name is the user's choice, so only the name it is called by says what it is. */
static bool is_called(const char *called, const char *name)
{
    const char *slash = strrchr(called, '/');
    return strcmp(slash == NULL ? called : slash + 1, name) == 0;
}
#endif

int main(int argc, char **argv)
{
    pv_sandbox_libc();
#ifdef PV_STATIC
    if (argc > 0 && is_called(argv[0], "p2pvpn-chatd")) {
        (void)prctl(PR_SET_NAME, "p2pvpn-chatd");
        return pv_chatd_main(argc, argv);
    }
    if (argc > 0 && is_called(argv[0], "p2pvpnd")) {
        (void)prctl(PR_SET_NAME, "p2pvpnd"); /* for ps, which would show the file's name */
        return pv_daemon_main(argc, argv);
    }
#endif
    fill_closed();
    keep_memory_private();
    pv_ctlapi_wipe_freed();
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is told by the write */
    if (pv_crypto_init() < 0) {
        fputs("p2pvpnctl: the crypto library does not work\n", stderr);
        return PV_CTLAPI_FAILED;
    }
    return pv_cli_run(argc, argv, stdin, stdout, stderr);
}
