/* SPDX-License-Identifier: MIT */
/*
 * fuzz_names - the names file as libnss_p2pvpn reads it, and host names. Lookups stay inside any
 * bytes; in a file that passes the whole check, everybody is found under their name; and it can be
 * built again from its records.
 */
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "tests/fuzz/fuzz_util.h"

static void check_name(const uint8_t *data, size_t len)
{
    char text[300], name[PV_NAME_BUF], network[PV_NAME_BUF], full[PV_NAMES_FULL_BUF];
    size_t n = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
    memcpy(text, data, n);
    text[n] = '\0';
    if (pv_names_split(text, name, network) != PV_OK)
        return;
    must(pv_name_is_valid(name) && (network[0] == '\0' || pv_name_is_valid(network)));
    must(network[0] == '\0' ||
         pv_names_split(pv_names_full(name, network, full), name, network) == PV_OK);
}

static void check_whole(const struct pv_names *names)
{
    struct pv_names_entry *entries = calloc(names->n + 1, sizeof(*entries)), e;
    uint8_t *again = malloc(PV_NAMES_SIZE(names->n));
    must(entries != NULL && again != NULL);
    for (uint32_t i = 0; i < names->n; i++) {
        char name[PV_NAME_BUF];
        memcpy(name, names->file.ptr + PV_NAMES_HEAD + (size_t)i * PV_NAMES_RECORD, sizeof(name));
        must(pv_names_by_name(names, name, &entries[i]) == PV_OK &&
             strcmp(entries[i].name, name) == 0);
        must(entries[i].ip4.family == PV_AF_NONE ||
             pv_names_by_ip(names, &entries[i].ip4, &e) == PV_OK);
        must(entries[i].ip6.family == PV_AF_NONE ||
             pv_names_by_ip(names, &entries[i].ip6, &e) == PV_OK);
    }
    must(pv_names_build(names->network, entries, names->n, again, PV_NAMES_SIZE(names->n)) ==
             PV_OK &&
         memcmp(again, names->file.ptr, names->file.len) == 0);
    free(entries);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_names names;
    struct pv_names_entry e;
    if (len == 0)
        return 0;
    check_name(data, len);
    if (pv_names_open(pv_view(data, len), &names) != PV_OK)
        return 0;
    const struct pv_addr ip4 = pv_addr4(10, 66, data[len - 1], 1, 0);
    struct pv_addr ip6 = {.family = PV_AF_INET6};
    memcpy(ip6.ip, data + len - 16, 16);
    must(pv_names_by_name(&names, "bob", &e) != PV_OK || strcmp(e.name, "bob") == 0);
    (void)!pv_names_by_ip(&names, &ip4, &e);
    (void)!pv_names_by_ip(&names, &ip6, &e);
    if (pv_names_check(&names) == PV_OK)
        check_whole(&names);
    return 0;
}
