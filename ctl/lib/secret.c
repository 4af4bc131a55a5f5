/* SPDX-License-Identifier: MIT */
/* Takes a secret that the user typed or piped, and leaves no second copy of it. */
#include "ctl/lib/secret.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"

enum {
    SECRET_BUF = PV_CTLAPI_SECRET_MAX + 2, /* one more than allowed, to see that it is too long */
};

/* Reads the first line of standard input without blanks around it. */
static void read_secret(struct pv_cli *cli, char *buf, size_t cap)
{
    size_t n = 0;
    int c = fgetc(cli->in);
    while (c == ' ' || c == '\t')
        c = fgetc(cli->in);
    /* One byte more than allowed is kept: the parser then refuses what is too long instead of
     * using a shortened secret. */
    for (; c != EOF && c != '\n' && n + 1 < cap; c = fgetc(cli->in))
        buf[n++] = (char)c;
    while (n > 0 && (buf[n - 1] == ' ' || buf[n - 1] == '\t' || buf[n - 1] == '\r'))
        n--;
    buf[n] = '\0';
}

int pv_cli_secret(struct pv_cli *cli, char *word, struct pv_ctlapi_request *req)
{
    char *secret = calloc(1, SECRET_BUF);
    if (secret == NULL)
        return pv_cli_no_memory(cli);
    req->secret = secret;
    if (strcmp(word, "-") == 0) {
        read_secret(cli, secret, SECRET_BUF);
        return 0;
    }
    size_t len = strlen(word);
    memcpy(secret, word, len < SECRET_BUF ? len : SECRET_BUF - 1);
    /* The length of a secret may stay visible; its text may not. */
    pv_wipe(word, len);
    return 0;
}
