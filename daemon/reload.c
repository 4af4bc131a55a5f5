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

/* The interface's name, the sockets and the notifier are made with rights that are gone; the files
 * of keys and authorities may lie where the daemon cannot read any more. */
static void keep_fixed(struct pv_settings *now, const struct pv_settings *old, char *waiting)
{
    keep_text(now->tun_name, old->tun_name, sizeof(now->tun_name), "[interface] name", waiting);
    if (now->port != old->port)
        add_key(waiting, "[interface] port");
    if (now->workers != old->workers)
        add_key(waiting, "[interface] workers");
    keep_text(now->private_key_file, old->private_key_file, sizeof(now->private_key_file),
              "[interface] private-key-file", waiting);
    keep_text(now->notify, old->notify, sizeof(now->notify), "[chat] notify", waiting);
    keep_text(now->relay_ca_file, old->relay_ca_file, sizeof(now->relay_ca_file), "[relay] ca-file",
              waiting);
    if (!pv_addr_equal(&now->metrics.listen, &old->metrics.listen))
        add_key(waiting, "[metrics] listen");
    now->port = old->port;
    now->workers = old->workers;
    now->metrics = old->metrics;
}

int pv_reload_settings(struct pv_settings *s, const char *file, bool optional,
                       char ret_error[static PV_SETTINGS_ERROR_MAX],
                       char ret_waiting[static PV_RELOAD_TEXT_MAX])
{
    struct pv_settings now;
    ret_waiting[0] = '\0';
    pv_settings_init(&now);
    int r = pv_settings_load(&now, file, ret_error);
    if (r == PV_ERR_NOT_FOUND && optional)
        r = PV_OK;
    if (r >= 0)
        r = pv_settings_load_keys(&now, ret_error);
    if (r < 0) {
        pv_settings_done(&now);
        return r;
    }
    keep_fixed(&now, s, ret_waiting);
    pv_settings_done(s);
    *s = now; /* with what it owns */
    pv_wipe(now.relay_password, sizeof(now.relay_password));
    return PV_OK;
}
