/* SPDX-License-Identifier: MIT */
/* The certificate's files: read, made when there are none, and looked at again, as other programs
 * renew them. Nodes go by the pin of the key, so an expired certificate of our own does not lock
 * them out. */
#include "coordinator/cert.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "coordinator/keys.h"
#include "coordinator/url.h"
#include "crypto/ct.h"
#include "sys/file/file.h"
#include "sys/net/tlscert.h"

/* --- our own --------------------------------------------------------------------------------- */

/* Key and certificate in one file, so that there is never one without the other. */
static int write_own(const char *file, const struct pv_tlscert *made,
                     char error[static PV_COORDCERT_ERROR_MAX])
{
    char text[2 * PV_TLSCERT_PEM_MAX];
    int n = snprintf(text, sizeof(text), "%s%s", made->key, made->cert);
    int r = pv_file_write(file, pv_view(text, (size_t)n), 0600);
    pv_wipe(text, sizeof(text));
    if (r < 0)
        snprintf(error, PV_COORDCERT_ERROR_MAX, "write %.200s: %s", file,
                 PV_REASON_STR(pv_coordkeys_unwritten(r)));
    return r;
}

/* The names are for clients other than ours; nodes check the pin. made holds the private
 * key and is wiped. */
static int make_own(const char *file, const struct pv_coordset *set,
                    char error[static PV_COORDCERT_ERROR_MAX])
{
    const char *names[PV_TLSCERT_NAMES_MAX];
    struct pv_hostport guess;
    struct pv_tlscert made;
    char note[PV_COORDURL_NOTE_MAX];
    size_t n = 0;
    for (; n < set->n_public && n < PV_TLSCERT_NAMES_MAX; n++)
        names[n] = set->public[n].host;
    if (n == 0 && pv_coordurl_address(set, &guess, note) == PV_OK)
        names[n++] = guess.host;
    int r = pv_tlscert_make(&made, names, n);
    if (r == PV_OK)
        r = write_own(file, &made, error);
    else
        snprintf(error, PV_COORDCERT_ERROR_MAX, "make a TLS certificate: %s", pv_strstatus(r));
    pv_wipe(&made, sizeof(made));
    return r;
}

/* --- files ----------------------------------------------------------------------------------- */

static void take_stamps(const struct pv_coordcert *c, struct pv_filestamp stamps[static 2])
{
    stamps[0] = pv_filestamp_of(c->cert_file);
    stamps[1] = pv_filestamp_of(c->key_file);
}

bool pv_coordcert_changed(const struct pv_coordcert *cert)
{
    struct pv_filestamp now[2];
    take_stamps(cert, now);
    return !pv_filestamp_equal(&now[0], &cert->read[0]) ||
           !pv_filestamp_equal(&now[1], &cert->read[1]);
}

/* A damaged file of our own has another cure than one of the operator's. */
static int load_cert(const char *cert_file, const char *key_file, bool own,
                     struct pv_tls_ctx **ret_ctx, char error[static PV_COORDCERT_ERROR_MAX])
{
    char why[PV_TLS_ERROR_MAX] = "out of memory";
    int r = pv_tls_ctx_new_server(ret_ctx, cert_file, key_file, why);
    if (r < 0)
        snprintf(error, PV_COORDCERT_ERROR_MAX, "%s%.300s%s%s",
                 own ? "" : "tls-cert, tls-key: ", why, own ? ": " : "",
                 own ? PV_DO_STR(restore_or_delete) : "");
    return r;
}

/* The stamps are taken before the files are read, so that a change behind that is seen the next
 * time. A certificate that does not load leaves the one in use: a renewal gone wrong must not end
 * the service. */
int pv_coordcert_reload(struct pv_coordcert *cert, char ret_error[static PV_COORDCERT_ERROR_MAX])
{
    struct pv_tls_ctx *ctx = NULL;
    take_stamps(cert, cert->read);
    int r = load_cert(cert->cert_file, cert->key_file, cert->own, &ctx, ret_error);
    if (r < 0)
        return r;
    pv_tls_ctx_free(cert->ctx);
    cert->ctx = ctx;
    cert->is = pv_tls_ctx_cert(ctx);
    return PV_OK;
}

int pv_coordcert_open(struct pv_coordcert *ret_cert, const struct pv_coordset *set,
                      char ret_error[static PV_COORDCERT_ERROR_MAX])
{
    struct pv_coordcert c = {.own = set->tls_cert[0] == '\0'};
    struct stat st;
    int r = PV_OK;
    if (c.own) {
        snprintf(c.cert_file, sizeof(c.cert_file), "%.4000s/tls.pem", set->state);
        memcpy(c.key_file, c.cert_file, sizeof(c.key_file));
        if (stat(c.cert_file, &st) < 0)
            r = make_own(c.cert_file, set, ret_error);
    } else {
        memcpy(c.cert_file, set->tls_cert, sizeof(c.cert_file));
        memcpy(c.key_file, set->tls_key, sizeof(c.key_file));
    }
    if (r == PV_OK)
        r = pv_coordcert_reload(&c, ret_error);
    if (r == PV_OK)
        *ret_cert = c;
    return r;
}

/* --check calls this. The certificate of our own is made at the start, so only the operator's can
 * be wrong. */
int pv_coordcert_check(const struct pv_coordset *set, char ret_error[static PV_COORDCERT_ERROR_MAX])
{
    struct pv_tls_ctx *ctx = NULL;
    if (set->tls_cert[0] == '\0')
        return PV_OK;
    int r = load_cert(set->tls_cert, set->tls_key, false, &ctx, ret_error);
    pv_tls_ctx_free(ctx);
    return r;
}

/* Warns of a certificate that has expired, expires soon, or is not valid yet; the last also is the
 * sign of a wrong clock. */
const char *pv_coordcert_warning(const struct pv_coordcert *cert, int64_t wall,
                                 char buf[static PV_COORDCERT_ERROR_MAX])
{
    const char *what = cert->is.not_after <= wall                         ? "it has expired on"
                       : cert->is.not_after <= wall + PV_COORDCERT_SOON_S ? "it expires on"
                       : cert->is.not_before > wall                       ? "it is not valid before"
                                                                          : NULL;
    struct tm tm;
    char day[16];
    if (what == NULL)
        return NULL;
    time_t at = cert->is.not_before > wall ? cert->is.not_before : cert->is.not_after;
    if (gmtime_r(&at, &tm) == NULL || strftime(day, sizeof(day), "%Y-%m-%d", &tm) == 0)
        return NULL;
    snprintf(buf, PV_COORDCERT_ERROR_MAX,
             "tls-cert %.200s: %s %s: renew it (nodes go by its key and do not mind, other clients "
             "will not connect)",
             cert->cert_file, what, day);
    return buf;
}

void pv_coordcert_done(struct pv_coordcert *cert)
{
    cert->ctx = pv_tls_ctx_free(cert->ctx);
}
