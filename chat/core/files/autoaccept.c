/* SPDX-License-Identifier: MIT */
/* autoaccept.c - rules of the configuration over pins of their names. */
#include "chat/core/files/autoaccept.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/sign.h"
#include "proto/roster/pins.h"

/* All lines of the configuration with one name. */
struct rule {
    uint64_t max;
    uint8_t told[PV_SIGN_PK_LEN]; /* the last other machine that the log named; zeros: none */
};

struct pv_autoaccept {
    const struct pv_log *log;
    uint64_t everybody;   /* bytes; 0: there is no such rule */
    struct pv_pins *pins; /* owned; of the names of the rules, in their places */
    struct rule rules[];
};

/* --- life ---------------------------------------------------------------------------------- */

int pv_autoaccept_new(struct pv_autoaccept **ret_rules, const struct pv_auto_accept *rules,
                      size_t n, struct pv_view saved, const struct pv_log *log)
{
    struct pv_autoaccept *a = calloc(1, sizeof(*a) + n * sizeof(a->rules[0]));
    if (a == NULL || pv_pins_new(&a->pins, n, "auto-accept", log) != PV_OK) {
        free(a);
        return PV_ERR_NOMEM;
    }
    a->log = log;
    for (size_t i = 0; i < n; i++) {
        uint64_t *max = rules[i].name[0] == '\0'
                            ? &a->everybody
                            : &a->rules[pv_pins_add(a->pins, rules[i].name)].max;
        *max = rules[i].max > *max ? rules[i].max : *max;
    }
    pv_pins_load(a->pins, saved);
    *ret_rules = a;
    return PV_OK;
}

struct pv_autoaccept *pv_autoaccept_free(struct pv_autoaccept *a)
{
    if (a != NULL)
        pv_pins_free(a->pins);
    free(a);
    return NULL;
}

void pv_autoaccept_enter(struct pv_autoaccept *a, const uint8_t *network_id)
{
    pv_pins_enter(a->pins, network_id);
}

/* --- whose files --------------------------------------------------------------------------- */

/* Another machine is logged once, however often the owner asks about it. */
static void tell(struct pv_autoaccept *a, size_t i, const uint8_t *pk)
{
    struct rule *r = &a->rules[i];
    if (memcmp(r->told, pk, sizeof(r->told)) == 0 || r->max <= a->everybody)
        return;
    memcpy(r->told, pk, sizeof(r->told));
    pv_log(a->log, PV_LOG_WARN,
           "peer=%s what=\"auto-accept does not hold for this machine\" why=\"another one had the "
           "name before: accept a file of it by hand\"",
           pv_pins_name(a->pins, i));
}

/* A rule for everybody still holds for a machine that the rule with its name does not hold for: it
 * takes no more of that one than of a stranger. */
uint64_t pv_autoaccept_max(struct pv_autoaccept *a, const char *name, const uint8_t *pk)
{
    uint64_t max = a->everybody;
    size_t own;
    if (pv_pins_find(a->pins, name, &own)) {
        pv_pins_see(a->pins, own, pk);
        if (!pv_pins_is(a->pins, own, pk))
            tell(a, own, pk);
    }
    for (size_t i = 0; pv_pins_name(a->pins, i) != NULL; i++)
        if (pv_pins_is(a->pins, i, pk) && a->rules[i].max > max)
            max = a->rules[i].max;
    return max;
}

void pv_autoaccept_trust(struct pv_autoaccept *a, const char *name, const uint8_t *pk)
{
    size_t i;
    if (pv_pins_find(a->pins, name, &i))
        pv_pins_move(a->pins, i, pk);
}

const char *pv_autoaccept_name(const struct pv_autoaccept *a, size_t i)
{
    return pv_pins_name(a->pins, i);
}

bool pv_autoaccept_keeps_out(const struct pv_autoaccept *a, size_t i, const uint8_t *pk)
{
    return pv_pins_is_another(a->pins, i, pk) && a->rules[i].max > a->everybody;
}

/* --- what is kept -------------------------------------------------------------------------- */

bool pv_autoaccept_take_dirty(struct pv_autoaccept *a)
{
    return pv_pins_take_dirty(a->pins);
}

uint8_t *pv_autoaccept_save(const struct pv_autoaccept *a, size_t *ret_len)
{
    return pv_pins_save(a->pins, ret_len);
}
