/* SPDX-License-Identifier: MIT */
/* secret.h - a token or URL from the command line or standard input. */
#ifndef PV_SECRET_H
#define PV_SECRET_H

#include "ctl/lib/cli.h"

/* The token or URL, "-" from standard input, into req->secret. Overwrites the argument, so that it
 * is not to be seen in the process list any longer than it must. 0 or an exit code. */
PV_MUST_CHECK int pv_cli_secret(struct pv_cli *cli, char *word, struct pv_ctlapi_request *req);

#endif /* PV_SECRET_H */
