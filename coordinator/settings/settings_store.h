/* SPDX-License-Identifier: MIT */
/* settings_store.h - the section [store] of coordinator.conf: where networks are kept. */
#ifndef PV_COORD_SETTINGS_STORE_H
#define PV_COORD_SETTINGS_STORE_H

#include "base/pv.h"
#include "sys/file/ini.h"

enum {
    PV_COORDSET_POSTGRES_MAX = 1024, /* bytes of a conninfo, with the NUL */
};

struct pv_coordset_store {
    char postgres[PV_COORDSET_POSTGRES_MAX]; /* a conninfo of libpq; empty: SQLite */
};

/* One line of the section, or its beginning. The contents of the conninfo are checked by libpq when
 * it is used. PV_ERR_MALFORMED; error. */
PV_MUST_CHECK int pv_coordset_store_item(struct pv_coordset_store *s,
                                         const struct pv_ini_item *item, char *error, size_t cap);

#endif /* PV_COORD_SETTINGS_STORE_H */
