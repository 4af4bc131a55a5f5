/* SPDX-License-Identifier: MIT */
/* The section [store]. */
#include "coordinator/settings/settings_store.h"

#include <stdio.h>
#include <string.h>

/* The value may hold a password, so an error does not repeat it. */
int pv_coordset_store_item(struct pv_coordset_store *s, const struct pv_ini_item *item, char *error,
                           size_t cap)
{
    const char *why = NULL;
    if (item->key == NULL)
        return PV_OK;
    if (strcmp(item->key, "postgres") != 0) {
        snprintf(error, cap, "unknown key %.60s in [store]: there is postgres", item->key);
        return PV_ERR_MALFORMED;
    }
    if (s->postgres[0] != '\0')
        why = "given twice";
    else if (item->value[0] == '\0')
        why = "expected the address of a database, such as host=db.example dbname=p2pvpn";
    else if (strlen(item->value) >= sizeof(s->postgres))
        why = "at most 1023 characters";
    if (why != NULL) {
        snprintf(error, cap, "postgres: %s", why);
        return PV_ERR_MALFORMED;
    }
    snprintf(s->postgres, sizeof(s->postgres), "%s", item->value);
    return PV_OK;
}
