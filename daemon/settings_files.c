/* SPDX-License-Identifier: MIT */
/* Reads the files of the configuration: the configuration itself, and the keys and passwords that
 * it names. A mistake in a file is told with the file's name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "daemon/settings.h"
#include "sys/file/file.h"
#include "sys/net/tls.h"

/* The units start the daemon as user p2pvpn. People are in its group, whom settings may concern and
 * keys do not. */
#define GIVE_SETTINGS "not readable for user p2pvpn: chgrp p2pvpn it, and chmod 640"
#define GIVE_SECRET   "not readable for user p2pvpn: chown p2pvpn it, and chmod 400"
#define GIVE_USER     "not readable for this user: chown it to yourself, and chmod 600"

enum {
    FAULTS_LATER = 3, /* of a start, behind those of the peers: notifier, metrics, CA file */
};

static const char *why_unread(int r, bool for_user, const char *give)
{
    return r == PV_ERR_NOT_FOUND ? "no such file: is the path right?"
           : r != -EACCES        ? pv_strstatus(r)
           : for_user            ? GIVE_USER
                                 : give;
}

int pv_settings_load(struct pv_settings *s, const char *file,
                     char ret_error[static PV_SETTINGS_ERROR_MAX])
{
    char *text = NULL;
    size_t len = 0;
    int r = pv_file_read(file, PV_INI_FILE_MAX, &text, &len);
    if (r == PV_ERR_LIMIT)
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "%s: not a regular file of at most 256 KiB",
                 file);
    else if (r < 0)
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "read %s: %s", file,
                 why_unread(r, s->for_user, GIVE_SETTINGS));
    else
        r = pv_settings_parse(s, file, pv_view(text, len), ret_error);
    pv_file_free(text, len);
    return r;
}

/* A small file that what ("key", "password") names was not read; returns r. */
static int tell_unread(const struct pv_settings *s, const char *what, const char *file, int r,
                       char ret_error[static PV_SETTINGS_ERROR_MAX])
{
    snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "read %s file %s: %s", what, file,
             r == PV_ERR_LIMIT ? "longer than one line, or not a regular file"
                               : why_unread(r, s->for_user, GIVE_SECRET));
    return r;
}

int pv_settings_read_key(const struct pv_settings *s, const char *file,
                         uint8_t ret_key[static PV_DH_LEN],
                         char ret_error[static PV_SETTINGS_ERROR_MAX])
{
    char *text = NULL;
    size_t len = 0;
    int r = pv_file_read(file, 256, &text, &len);
    if (r < 0)
        return tell_unread(s, "key", file, r, ret_error);
    /* An editor may have added a line end, also one of another system. */
    text[strcspn(text, "\r\n")] = '\0';
    r = pv_wgkey_parse(text, ret_key);
    if (r < 0)
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX,
                 "read key file %s: not a key: expected one line as `wg genkey` prints it", file);
    pv_file_free(text, len);
    return r;
}

/* The password of the relays, or of a proxy: one line of at most 128 printable characters. */
static int read_password(const struct pv_settings *s, const char *file,
                         char ret_password[static PV_TURNC_TEXT_MAX + 1],
                         char ret_error[static PV_SETTINGS_ERROR_MAX])
{
    _Static_assert((int)PV_CONNECT_USER_MAX == (int)PV_TURNC_TEXT_MAX, "both take what is read");
    char *text = NULL;
    size_t len = 0;
    int r = pv_file_read(file, 1024, &text, &len);
    if (r < 0)
        return tell_unread(s, "password", file, r, ret_error);
    /* Only line ends may follow: a second line means that the file is another one than was
     * meant. */
    size_t n = strcspn(text, "\r\n");
    bool ok = n > 0 && n <= PV_TURNC_TEXT_MAX && n + strspn(text + n, "\r\n") == len;
    /* RFC 8489 would have other characters prepared with OpaqueString (RFC 8265), which the TURN
     * client does not do. */
    for (size_t i = 0; ok && i < n; i++)
        ok = text[i] >= 0x20 && text[i] < 0x7f;
    if (ok) {
        memcpy(ret_password, text, n);
        ret_password[n] = '\0';
    } else {
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX,
                 "read password file %s: expected one line of at most 128 ASCII characters", file);
        r = PV_ERR_MALFORMED;
    }
    pv_file_free(text, len);
    return r;
}

/* The file is read again by who uses it: what is wrong with it is to be said before anything runs.
 */
static int check_ca_file(const char *file, char ret_error[static PV_SETTINGS_ERROR_MAX])
{
    char why[PV_TLS_ERROR_MAX] = "out of memory";
    struct pv_tls_ctx *ctx = NULL;
    int r = pv_tls_ctx_new_client(&ctx, file, why);
    if (r < 0)
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "[relay] ca-file %s", why);
    pv_tls_ctx_free(ctx);
    return r;
}

/* Of the command the program: it runs as its owner, who may have it where we may not look, so only
 * what is surely wrong is an error. */
static int check_notify(const struct pv_settings *s, char error[static PV_SETTINGS_ERROR_MAX])
{
    const char *command = s->notify;
    char path[PV_SETTINGS_PATH_MAX];
    struct stat st;
    if (command[0] == '\0')
        return PV_OK;
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(command, " \t"), command);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        snprintf(error, PV_SETTINGS_ERROR_MAX,
                 "[chat] notify = %s: no file: give the path of a program", path);
        return PV_ERR_MALFORMED;
    }
    if (access(path, X_OK) == 0)
        return PV_OK;
    bool missing = errno == ENOENT || errno == ENOTDIR;
    if (!missing && (errno != EACCES || geteuid() != 0))
        return PV_OK;
    snprintf(error, PV_SETTINGS_ERROR_MAX, "[chat] notify = %s: %s", path,
             missing ? "no such file: give the path of a program" : "not executable: chmod +x it");
    return PV_ERR_MALFORMED;
}

void pv_settings_add_fault(struct pv_settings *s, struct pv_fault fault)
{
    struct pv_faults *f = &s->faults;
    if (f->n < PV_ARRAY_LEN(f->list))
        f->list[f->n++] = fault;
}

/* Adds a fault of a file; error: what was said of it. */
static void add_file_fault(struct pv_settings *s, const char *what, const char *error)
{
    struct pv_fault fault = {.restart = true};
    snprintf(fault.what, sizeof(fault.what), "%s", what);
    snprintf(fault.why, sizeof(fault.why), "%.*s", PV_FAULT_WHY - 1, error);
    pv_settings_add_fault(s, fault);
}

/* A peer whose key is missing stays, so that its name and its addresses are nobody else's, but no
 * handshake can succeed: see pv_settings_give_peer(). */
static void load_preshared_key(struct pv_settings *s, struct pv_settings_peer *p)
{
    char error[PV_SETTINGS_ERROR_MAX];
    /* The key is optional; all zeros mean none, as in WireGuard. */
    p->locked = p->preshared_key_file[0] != '\0' &&
                pv_settings_read_key(s, p->preshared_key_file, p->peer.preshared_key, error) < 0;
    if (p->locked && s->faults.n >= PV_ENGINE_MAX_FAULTS - FAULTS_LATER)
        s->faults.more++;
    else if (p->locked)
        add_file_fault(s, PV_STR("[peer %s]", p->peer.name), error);
}

/* As curl: the name in lower case counts, also when it says nothing, before the other. */
static const char *of_environment(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    value = value == NULL ? getenv(upper) : value;
    return value == NULL ? "" : value;
}

/* No text of the variable is repeated: it may hold a password. */
static void take_environment(struct pv_settings *s)
{
    struct pv_proxyset *set = &s->engine.given.proxy;
    const char *url = of_environment("https_proxy", "HTTPS_PROXY");
    if (url[0] == '\0')
        return;
    int r = pv_proxyset_parse_env(url, set, &s->proxy_login);
    if (r < 0)
        add_file_fault(s, PV_FAULT_ENV,
                       r == PV_ERR_UNSUPPORTED
                           ? "https_proxy of the environment is not used: it begins not by http://"
                           : "https_proxy of the environment is not used: expected "
                             "http://USER:PASSWORD@HOST:PORT, without user and password if the "
                             "proxy wants none");
    else
        snprintf(set->except, sizeof(set->except), "%s", of_environment("no_proxy", "NO_PROXY"));
}

static void load_proxy(struct pv_settings *s)
{
    char error[PV_SETTINGS_ERROR_MAX];
    struct pv_proxyset *set = &s->engine.given.proxy;
    if (set->host[0] == '\0' && s->for_user)
        take_environment(s);
    if (s->proxy_password_file[0] == '\0')
        return;
    set->has_login =
        read_password(s, s->proxy_password_file, s->proxy_login.password, error) == PV_OK;
    if (set->has_login)
        return;
    add_file_fault(s, PV_FAULT_PROXY, error);
    pv_wipe(&s->proxy_login, sizeof(s->proxy_login));
}

void pv_settings_load_keys(struct pv_settings *s)
{
    char error[PV_SETTINGS_ERROR_MAX];
    s->faults = (struct pv_faults){.n = 0};
    if (s->relay_password_file[0] != '\0' &&
        read_password(s, s->relay_password_file, s->engine.relay_password, error) < 0)
        add_file_fault(s, PV_FAULT_RELAY, error);
    load_proxy(s);
    if (s->relay_ca_file[0] != '\0' && check_ca_file(s->relay_ca_file, error) < 0)
        add_file_fault(s, PV_FAULT_RELAY_CA, error);
    if (check_notify(s, error) < 0) {
        struct pv_fault fault = {.what = PV_FAULT_NOTIFY, .minor = true};
        snprintf(fault.why, sizeof(fault.why), "%.*s", PV_FAULT_WHY - 1, error);
        pv_settings_add_fault(s, fault);
    }
    for (size_t i = 0; i < s->n_peers; i++)
        load_preshared_key(s, &s->peers[i]);
}

bool pv_settings_has_fault(const struct pv_settings *s, const char *what)
{
    for (size_t i = 0; i < s->faults.n; i++)
        if (strcmp(s->faults.list[i].what, what) == 0)
            return true;
    return false;
}

void pv_settings_give_peer(const struct pv_settings_peer *p, const struct pv_rng *rng,
                           struct pv_static_peer *ret_peer)
{
    *ret_peer = p->peer;
    if (!p->locked)
        return;
    /* Nobody has this key. Without the endpoint no handshake is sent for packets that leave. */
    pv_rng_fill(rng, ret_peer->preshared_key, sizeof(ret_peer->preshared_key));
    ret_peer->endpoint_host[0] = '\0';
    ret_peer->persistent_keepalive = 0;
}
