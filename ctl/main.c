/* SPDX-License-Identifier: MIT */
/* p2pvpnctl: the program around run.h. */
#include <signal.h>
#include <stdio.h>

#include "crypto/ct.h"
#include "ctl/run.h"
#include "proto/local/ctlapi.h"

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is told by the write */
    if (pv_crypto_init() < 0) {
        fputs("p2pvpnctl: the crypto library does not work\n", stderr);
        return PV_CTLAPI_FAILED;
    }
    return pv_cli_run(argc, argv, stdin, stdout, stderr);
}
