/* SPDX-License-Identifier: MIT */
/* apart.c - who has been here since the list of coordinators is another one. */
#include "daemon/core/peer/apart.h"

#include <string.h>

#include "daemon/core/peer/peers.h"

enum {
    FEW = 3, /* ours: less than one in so many may just be off */
};

void pv_apart_restore(struct pv_apart *a, struct pv_view kept)
{
    if (kept.len == sizeof(a->together))
        memcpy(a->together, kept.ptr, kept.len);
}

void pv_apart_note(struct pv_apart *a, struct pv_node *n, bool anew, pv_ns now)
{
    const struct pv_roster_entry *record =
        n->roster == NULL ? NULL : pv_roster_coordinators_record(n->roster);
    if (record != NULL && memcmp(a->record, record->st.hash, sizeof(a->record)) != 0) {
        memcpy(a->record, record->st.hash, sizeof(a->record));
        for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;)
            pv_peer_notes(p)->was_here = false;
        anew = true;
    }
    if (!anew)
        return;
    bool wanted = record != NULL && memcmp(a->record, a->together, sizeof(a->record)) != 0 &&
                  pv_roster_count(n->roster) > 1;
    a->apart = false;
    a->look_at = wanted && n->online ? now + PV_APART_AFTER : PV_NEVER;
}

/* How many members are missing, of how many? */
static size_t count(const struct pv_node *n, size_t *ret_others)
{
    size_t missing = 0;
    *ret_others = 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        const struct pv_peer_notes *notes = pv_peer_notes_of(p);
        bool here = notes->was_here || notes->in_sync || pv_peer_presence(p) != PV_PRESENCE_OFFLINE;
        missing += here ? 0 : 1;
        ++*ret_others;
    }
    return missing * FEW < *ret_others ? 0 : missing;
}

bool pv_apart_handle_timeout(struct pv_apart *a, struct pv_node *n, pv_ns now)
{
    size_t others;
    if (a->look_at == 0 || now < a->look_at)
        return false;
    a->apart = count(n, &others) > 0;
    a->look_at = a->apart ? now + PV_APART_AFTER : PV_NEVER;
    if (!a->apart)
        memcpy(a->together, a->record, sizeof(a->together));
    return !a->apart;
}

size_t pv_apart_missing(const struct pv_apart *a, const struct pv_node *n, size_t *ret_others)
{
    return a->apart ? count(n, ret_others) : 0;
}
