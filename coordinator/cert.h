/* SPDX-License-Identifier: MIT */
/*
 * cert.h - the coordinator's TLS certificate: the one of tls-cert and tls-key, or tls.pem of the
 * state directory (key and certificate in one file, mode 0600), which is made at the first start.
 *
 * One thread.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/settings/settings.h"
#include "sys/file/file.h"
#include "sys/net/tls.h"

enum {
    PV_COORDCERT_ERROR_MAX = 400,     /* bytes of "what failed: why: what to do", with the NUL */
    PV_COORDCERT_SOON_S = 14 * 86400, /* ours: seconds before its end that people are warned */
};

struct pv_coordcert {
    char cert_file[PATH_MAX];
    char key_file[PATH_MAX];
    bool own;               /* tls.pem */
    struct pv_tls_ctx *ctx; /* owned */
    struct pv_tls_cert is;  /* of ctx */
    struct pv_filestamp read[2];
};

/*
 * Loads the certificate, making tls.pem when none was given and none is there: for the public
 * addresses, or the one that `url` would name. PV_ERR_REFUSED, PV_ERR_NOMEM, PV_ERR_CRYPTO, -errno;
 * ret_error. Give it back with pv_coordcert_done().
 */
PV_MUST_CHECK int pv_coordcert_open(struct pv_coordcert *ret_cert, const struct pv_coordset *set,
                                    char ret_error[static PV_COORDCERT_ERROR_MAX]);
/* Checks the files of tls-cert and tls-key; nothing when there are none. PV_ERR_REFUSED,
 * PV_ERR_NOMEM; ret_error. */
PV_MUST_CHECK int pv_coordcert_check(const struct pv_coordset *set,
                                     char ret_error[static PV_COORDCERT_ERROR_MAX]);
/* Has one of the files changed since it was read? */
bool pv_coordcert_changed(const struct pv_coordcert *cert);
/* Reads the files again; on failure what was read before stands. As open. */
PV_MUST_CHECK int pv_coordcert_reload(struct pv_coordcert *cert,
                                      char ret_error[static PV_COORDCERT_ERROR_MAX]);
/* A sentence for people about a certificate that is about to expire, has expired or is not valid
 * yet at this time (Unix seconds); NULL: its dates are fine. */
const char *pv_coordcert_warning(const struct pv_coordcert *cert, int64_t wall,
                                 char buf[static PV_COORDCERT_ERROR_MAX]);
void pv_coordcert_done(struct pv_coordcert *cert); /* zeroed memory is fine */
