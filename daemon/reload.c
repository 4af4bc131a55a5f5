/* SPDX-License-Identifier: MIT */
/*
 * reload.c - new settings beside the old ones: checked as a whole, then exchanged.
 */
#include "daemon/reload.h"

#include <stdio.h>
#include <string.h>

#include "crypto/ct.h"

static void add_key(char text[static PV_RELOAD_TEXT_MAX], const char *key)
{
    size_t used = strlen(text);
    snprintf(text + used, PV_RELOAD_TEXT_MAX - used, "%s%s", used == 0 ? "" : ", ", key);
}

static void keep_text(char *now, const char *old, size_t size, const char *key, char *waiting)
{
    if (strcmp(now, old) == 0)
        return;
    memcpy(now, old, size);
    add_key(waiting, key);
}

static bool same_ranges(const struct pv_given *a, const struct pv_given *b)
{
    bool same = a->n_ranges == b->n_ranges;
    for (size_t i = 0; same && i < a->n_ranges; i++)
        same = a->ranges[i].bits == b->ranges[i].bits &&
               pv_addr_equal(&a->ranges[i].base, &b->ranges[i].base);
    return same;
}

/* The keys that are KEPT (settings.c). The interface's name, the sockets and the notifier are made
 * with rights that are gone; the files of keys and authorities may lie where the daemon cannot read
 * any more. */
static void keep_fixed(struct pv_settings *now, const struct pv_settings *old, char *waiting)
{
    keep_text(now->tun_name, old->tun_name, sizeof(now->tun_name), "[interface] name", waiting);
    if (!same_ranges(&now->engine.given, &old->engine.given))
        add_key(waiting, "[interface] range");
    if (now->port != old->port)
        add_key(waiting, "[interface] port");
    if (now->workers != old->workers || now->threads != old->threads)
        add_key(waiting, "[interface] workers");
    keep_text(now->private_key_file, old->private_key_file, sizeof(now->private_key_file),
              "[interface] private-key-file", waiting);
    keep_text(now->notify, old->notify, sizeof(now->notify), "[chat] notify", waiting);
    keep_text(now->relay_ca_file, old->relay_ca_file, sizeof(now->relay_ca_file), "[relay] ca-file",
              waiting);
    /* Metrics that are off are tried again. */
    const bool retries = pv_settings_has_fault(old, PV_FAULT_METRICS);
    if (!retries && !pv_addr_equal(&now->metrics.listen, &old->metrics.listen))
        add_key(waiting, "[metrics] listen");
    if (!retries && now->metrics.remote != old->metrics.remote)
        add_key(waiting, "[metrics] allow-remote");
    memcpy(now->engine.given.ranges, old->engine.given.ranges, sizeof(now->engine.given.ranges));
    now->engine.given.n_ranges = old->engine.given.n_ranges;
    now->port = old->port;
    now->workers = old->workers;
    now->threads = old->threads;
    if (!retries)
        now->metrics = old->metrics;
}

static bool secrets_differ(const struct pv_settings *a, const struct pv_settings *b)
{
    /* Other peers, or other files of theirs, are seen in what the file says. */
    for (size_t i = 0; a->n_peers == b->n_peers && i < a->n_peers; i++) {
        const struct pv_static_peer *p = &a->peers[i].peer, *q = &b->peers[i].peer;
        if (strcmp(p->name, q->name) == 0 &&
            !pv_ct_equal(p->preshared_key, q->preshared_key, sizeof(p->preshared_key)))
            return true;
    }
    return false;
}

/* By what the files say: a key that is there now with its default value counts as changed, and so
 * does a file with a secret that has another one. */
static void name_changed(const struct pv_settings *now, const struct pv_settings *old,
                         char *changed)
{
    char key[PV_SETTINGS_KEY_BUF];
    bool kept = false;
    bool psk = secrets_differ(now, old);
    bool password = strcmp(now->engine.relay_password, old->engine.relay_password) != 0;
    bool login = strcmp(now->proxy_login.password, old->proxy_login.password) != 0;
    for (size_t i = 0; i < PV_SETTINGS_MAX_KEYS && pv_settings_key(i, key, &kept); i++) {
        bool differs = now->said[i] != old->said[i] ||
                       (psk && strcmp(key, "[peer] preshared-key-file") == 0) ||
                       (password && strcmp(key, "[relay] password-file") == 0) ||
                       (login && strcmp(key, "[coordinator] proxy-password-file") == 0);
        if (differs && !kept)
            add_key(changed, key);
    }
    /* The path is kept, but what the file says can be used by now. */
    if (pv_settings_has_fault(old, PV_FAULT_RELAY_CA) &&
        !pv_settings_has_fault(now, PV_FAULT_RELAY_CA))
        add_key(changed, "[relay] ca-file");
}

/* A feature that works keeps its old settings. One that was off before keeps no other change back.
 */
static int refuse_new_fault(const struct pv_settings *now, const struct pv_settings *old,
                            char ret_error[static PV_SETTINGS_ERROR_MAX])
{
    for (size_t i = 0; i < now->faults.n; i++) {
        const struct pv_fault *f = &now->faults.list[i];
        if (pv_settings_has_fault(old, f->what))
            continue;
        snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "%s", f->why);
        return PV_ERR_REFUSED;
    }
    if (now->faults.more <= old->faults.more)
        return PV_OK;
    snprintf(ret_error, PV_SETTINGS_ERROR_MAX, "the preshared keys of too many peers are missing");
    return PV_ERR_REFUSED;
}

int pv_reload_settings(struct pv_settings *s, const char *file, bool optional,
                       char ret_error[static PV_SETTINGS_ERROR_MAX],
                       struct pv_reload_keys *ret_keys)
{
    struct pv_settings now;
    *ret_keys = (struct pv_reload_keys){.changed = ""};
    pv_settings_init(&now);
    now.for_user = s->for_user;
    int r = pv_settings_load(&now, file, ret_error);
    ret_keys->no_file = r == PV_ERR_NOT_FOUND && optional;
    if (ret_keys->no_file)
        r = PV_OK;
    if (r >= 0) {
        pv_settings_load_keys(&now);
        r = refuse_new_fault(&now, s, ret_error);
    }
    if (r < 0) {
        pv_settings_done(&now);
        return r;
    }
    keep_fixed(&now, s, ret_keys->waiting);
    name_changed(&now, s, ret_keys->changed);
    pv_settings_done(s);
    *s = now; /* with what it owns */
    pv_wipe(now.engine.relay_password, sizeof(now.engine.relay_password));
    pv_wipe(&now.proxy_login, sizeof(now.proxy_login));
    return PV_OK;
}
