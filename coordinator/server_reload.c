/* SPDX-License-Identifier: MIT */
/* The settings read again while the coordinator runs. Everything that can fail comes before the
 * first change. */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/relaycfg.h"
#include "coordinator/server_int.h"

static struct pv_filestamp password_stamp(const struct pv_coordserver *s, size_t i)
{
    char path[PATH_MAX];
    return pv_filestamp_of(pv_coordset_path(s->set, s->set->relay.users[i].password_file, path));
}

void pv_server_note_passwords(struct pv_coordserver *s)
{
    for (size_t i = 0; i < s->set->relay.n_users; i++)
        s->passwords[i] = password_stamp(s, i);
}

/* Passwords are read with rights that are gone; that a file has another one can be seen without. */
static void name_passwords(const struct pv_coordserver *s, char *waiting)
{
    char text[PV_TURNAUTH_USER_BUF + 16];
    for (size_t i = 0; i < s->set->relay.n_users; i++) {
        struct pv_filestamp now = password_stamp(s, i);
        snprintf(text, sizeof(text), "[turn-user %s]", s->set->relay.users[i].name);
        if (!pv_filestamp_equal(&now, &s->passwords[i]))
            pv_coordreload_name(waiting, text);
    }
}

/* The certificate comes last: reading it is what may fail, and it is in use from then on. */
static int read_all(struct pv_coordserver *s, struct pv_coordreload *new,
                    char error[static PV_COORDSERVER_ERROR_MAX])
{
    char cert_error[PV_COORDCERT_ERROR_MAX];
    int r = pv_coordreload_read(new, s->set, error);
    if (r < 0)
        return r;
    name_passwords(s, new->waiting);
    bool changed = pv_coordcert_changed(&s->cert);
    r = pv_coordcert_reload(&s->cert, cert_error);
    if (r < 0)
        snprintf(error, PV_COORDSERVER_ERROR_MAX, "%s", cert_error);
    if (r < 0 || !changed)
        return r;
    pv_coordreload_name(new->changed, "certificate");
    pv_server_log_cert(s);
    return PV_OK;
}

static void change(struct pv_coordserver *s, struct pv_coordreload *new,
                   struct pv_turns_policy *relay)
{
    struct pv_coordreload *old = s->reloaded;
    pv_relaycfg_policy(&new->set, relay);
    pv_coord_set_policy(s->coord, &new->told.policy, relay);
    s->told = &new->told;
    s->set = &new->set;
    s->reloaded = new;
    pv_server_tell_tls(s);
    free(old); /* the core knows nothing of it any more */
}

static int reload(struct pv_coordserver *s, char error[static PV_COORDSERVER_ERROR_MAX])
{
    struct pv_coordreload *new = calloc(1, sizeof(*new));
    struct pv_turns_policy *relay = calloc(1, sizeof(*relay));
    int r = PV_ERR_NOMEM;
    if (new == NULL || relay == NULL)
        snprintf(error, PV_COORDSERVER_ERROR_MAX, "out of memory");
    else
        r = read_all(s, new, error);
    if (r < 0) {
        free(new);
        free(relay);
        return r;
    }
    change(s, new, relay);
    return PV_OK;
}

int pv_server_reload(struct pv_coordserver *s, char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    char path[PATH_MAX];
    pv_supervisor_reloading(s->supervisor);
    int r = reload(s, ret_error);
    if (r < 0) {
        pv_log(s->log, PV_LOG_ERROR, "nothing is changed: %s", ret_error);
    } else {
        pv_log(s->log, PV_LOG_INFO, "settings read again file=%.200s changed=\"%s\"",
               pv_coordset_path(s->set, s->set->config, path), s->reloaded->changed);
        if (s->reloaded->waiting[0] != '\0')
            pv_log(s->log, PV_LOG_WARN, "restart the coordinator for some changes keys=\"%s\"",
                   s->reloaded->waiting);
    }
    pv_supervisor_reloaded(s->supervisor);
    return r;
}
