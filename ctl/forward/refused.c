/* SPDX-License-Identifier: MIT */
/* refused.c - two notes and a sum. */
#include "ctl/forward/refused.h"

void pv_refused_note(struct pv_refused *r, struct pv_cli *cli, int status)
{
    if (status == PV_ERR_REFUSED) {
        if (!r->told_other)
            pv_cli_note(cli, "%s of another user of this machine were refused", r->what);
        r->told_other = true;
    } else if (r->from_ended++ == 0) {
        pv_cli_note(cli,
                    "%s of a program that had closed them were dropped: this machine has other "
                    "users, and the kernel does not say whose they were. Let the program wait for "
                    "an answer, or forward a PATH",
                    r->what);
    }
}

void pv_refused_sum_up(const struct pv_refused *r, struct pv_cli *cli)
{
    if (r->from_ended > 0)
        pv_cli_note(cli, "dropped %s of programs that had closed them: %llu", r->what,
                    (unsigned long long)r->from_ended);
}
