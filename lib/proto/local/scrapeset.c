/* SPDX-License-Identifier: MIT */
/*
 * scrapeset.c - the [metrics] section of both configuration files, checked. An address that others
 * can reach has to be allowed in so many words: the page says who talks to whom.
 */
#include "proto/local/scrapeset.h"

#include <string.h>

static int refuse_setting(const char *why, const char **ret_why)
{
    *ret_why = why;
    return PV_ERR_MALFORMED;
}

int pv_scrapeset_take(struct pv_scrapeset *set, const char *key, const char *value,
                      const char **ret_why)
{
    bool listen = strcmp(key, "listen") == 0;
    if (!listen && strcmp(key, "allow-remote") != 0)
        return refuse_setting("unknown key in [metrics]: there are listen, allow-remote", ret_why);
    if (listen ? set->seen_listen : set->seen_remote)
        return refuse_setting(listen ? "listen: given twice" : "allow-remote: given twice",
                              ret_why);
    if (listen) {
        set->seen_listen = true;
        if (pv_addr_parse(value, &set->listen) == PV_OK && set->listen.port != 0)
            return PV_OK;
        set->listen.family = PV_AF_NONE;
        return refuse_setting("listen: expected ADDRESS:PORT, such as 127.0.0.1:9586 or [::1]:9586",
                              ret_why);
    }
    set->seen_remote = true;
    set->remote = strcmp(value, "on") == 0 || strcmp(value, "yes") == 0;
    if (!set->remote && strcmp(value, "off") != 0 && strcmp(value, "no") != 0)
        return refuse_setting("allow-remote: expected on or off", ret_why);
    return PV_OK;
}

int pv_scrapeset_check(const struct pv_scrapeset *set, const char **ret_why)
{
    if (set->listen.family == PV_AF_NONE || set->remote || pv_addr_is_loopback(&set->listen))
        return PV_OK;
    return refuse_setting(
        "[metrics] listen: anybody who reaches this address reads who talks to whom and how "
        "much: use 127.0.0.1 or [::1], or say allow-remote = on",
        ret_why);
}
