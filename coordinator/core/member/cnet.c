/* SPDX-License-Identifier: MIT */
/* One network in memory: its log and the indexes over it. The roster decides what counts; this file
 * only keeps the order in which statements came. */
#include "coordinator/core/member/cnet.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/core/member/askers.h"
#include "proto/control/ctlpage.h"

enum {
    MAX_INDEX = PV_ROSTER_MAX_STATEMENTS, /* a roster has no more statements of any kind */
    LIST_FIRST = 8,                       /* ours: places of a list that grows */
};

struct pv_cnet_invite {
    uint8_t pk[PV_SIGN_PK_LEN];
    const struct pv_roster_entry *entry;
    UT_hash_handle hh;
};

/* Room for one more element of size bytes in a list that doubles. */
static int reserve_place(void **list, size_t len, size_t *cap, size_t size)
{
    if (len < *cap)
        return PV_OK;
    size_t more = *cap == 0 ? (size_t)LIST_FIRST : *cap * 2;
    void *p = realloc(*list, more * size);
    if (p == NULL)
        return PV_ERR_NOMEM;
    *list = p;
    *cap = more;
    return PV_OK;
}

/* --- life ------------------------------------------------------------------------------------ */

/* The record stands in the roster from the start; it comes into the log with its row
 * (pv_cnet_take). */
int pv_cnet_new(struct pv_cnet **ret_net, struct pv_view record, bool verified,
                const struct pv_rng *rng)
{
    struct pv_cnet *net = calloc(1, sizeof(*net));
    if (net == NULL)
        return PV_ERR_NOMEM;
    int r = verified ? pv_roster_new_loaded(record, NULL, rng, &net->roster)
                     : pv_roster_new(record, NULL, rng, &net->roster);
    if (r == PV_OK)
        r = reserve_place((void **)&net->gone, 0, &net->gone_cap, sizeof(*net->gone));
    if (r < 0) {
        pv_cnet_free(net);
        return r;
    }
    memcpy(net->id, pv_roster_network_id(net->roster), PV_NETWORK_ID_LEN);
    net->invite_map = pv_map_make(rng, MAX_INDEX);
    *ret_net = net;
    return PV_OK;
}

/* Connected members are the coordinator's and have left the array by now. */
struct pv_cnet *pv_cnet_free(struct pv_cnet *net)
{
    struct pv_cnet_invite *invite;
    struct pv_cnet_invite *next;
    if (net == NULL)
        return NULL;
    HASH_ITER(hh, net->invites, invite, next) {
        PV_MAP_DEL(net->invites, invite);
        free(invite);
    }
    free(net->members);
    pv_askers_free(net->askers);
    while (net->reservations != NULL) {
        struct pv_cnet_reservation *r = net->reservations;
        net->reservations = r->next;
        free(r);
    }
    pv_roster_free(net->roster);
    pv_order_free(net->order);
    free(net->admins);
    free(net->gone);
    free(net->dropped);
    free(net->log);
    free(net);
    return NULL;
}

/* --- taking in ------------------------------------------------------------------------------- */

/* The first statement of an invite stands, as in the roster: a second one with the same key changes
 * nothing. */
static int index_invite(struct pv_cnet *net, const struct pv_roster_entry *entry)
{
    struct pv_cnet_invite *invite = NULL;
    const uint8_t *pk = entry->st.u.invite.invite;
    PV_MAP_FIND(&net->invite_map, net->invites, pk, PV_SIGN_PK_LEN, invite);
    if (invite != NULL)
        return PV_OK;
    invite = calloc(1, sizeof(*invite));
    if (invite == NULL)
        return PV_ERR_NOMEM;
    memcpy(invite->pk, pk, PV_SIGN_PK_LEN);
    invite->entry = entry;
    int r = PV_OK;
    PV_MAP_ADD(&net->invite_map, net->invites, pk, invite, r);
    if (r < 0)
        free(invite);
    return r;
}

/* Admin statements are few, so the list grows by one place. A joining node has to see them
 * (pv_cnet_chain). */
static int index_admin(struct pv_cnet *net, const struct pv_roster_entry *entry)
{
    const struct pv_roster_entry **admins =
        realloc(net->admins, (net->n_admins + 1) * sizeof(struct pv_roster_entry *));
    if (admins == NULL)
        return PV_ERR_NOMEM;
    net->admins = admins;
    net->admins[net->n_admins++] = entry;
    return PV_OK;
}

/* Indexes a statement for later searches; the other types are only looked up in the roster. */
static int index_entry(struct pv_cnet *net, const struct pv_roster_entry *entry)
{
    if (entry->st.type == PV_ST_NETWORK)
        net->record = entry;
    if (pv_st_does(&entry->st, PV_DOES_INVITE))
        return index_invite(net, entry);
    return pv_st_does(&entry->st, PV_DOES_GRANT) || pv_st_does(&entry->st, PV_DOES_APPOINT)
               ? index_admin(net, entry)
               : PV_OK;
}

static int add_to_roster(struct pv_cnet *net, const struct pv_cnet_row *row, const uint8_t *hash,
                         struct pv_view receipt)
{
    enum pv_roster_added added;
    return row->verified ? pv_roster_load(net->roster, row->statement, hash, receipt, &added)
                         : pv_roster_add(net->roster, row->statement, receipt, &added);
}

/* Room in the log comes first, the roster second: the roster keeps what it has taken, and the
 * network notes as unlisted what got no further, so that the same row goes on from there. A foreign
 * receipt is added after ours; of two the lower time counts, and one that does no good does no harm
 * either. */
int pv_cnet_take(struct pv_cnet *net, const struct pv_cnet_row *row)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(row->statement, hash);
    const struct pv_roster_entry *entry = pv_roster_find(net->roster, hash);
    /* The record is in the roster from the start, and in the log when its row comes. */
    bool listed = entry != NULL && entry != net->unlisted &&
                  (entry->st.type != PV_ST_NETWORK || net->record != NULL);
    int r = reserve_place((void **)&net->log, net->log_len, &net->log_cap, sizeof(*net->log));
    if (r == PV_OK)
        r = add_to_roster(net, row, hash, row->receipt);
    entry = pv_roster_find(net->roster, hash);
    if (!listed)
        net->unlisted = entry;
    if (r == PV_OK && row->foreign.len > 0 &&
        add_to_roster(net, row, hash, row->foreign) == PV_ERR_NOMEM)
        r = PV_ERR_NOMEM;
    if (r < 0)
        return r == PV_ERR_NOMEM ? r : PV_ERR_REFUSED;
    net->head_known = false;
    net->version++;
    net->replaced += listed ? 1 : 0; /* it may have another receipt */
    if (listed)
        return PV_OK;
    if (entry == NULL)
        return PV_ERR_REFUSED; /* put aside: the statement that gives its signer the right is not
                                  here */
    r = index_entry(net, entry);
    if (r < 0)
        return r;
    net->unlisted = NULL;
    net->log[net->log_len++] = (struct pv_cnet_entry){.at = row->at, .entry = entry};
    return PV_OK;
}

/* A newer statement has replaced this one: it leaves the log, where its place stays empty, and the
 * store when the next statements go there. Most were stored lately, so the search begins there. */
static void forget_entry(struct pv_cnet *net, const struct pv_roster_entry *entry)
{
    for (size_t i = net->log_len; i > 0; i--) {
        if (net->log[i - 1].entry != entry)
            continue;
        net->log[i - 1].entry = NULL;
        net->n_empty++;
        net->replaced++;
        break;
    }
    for (size_t i = 0; i < net->n_admins; i++) {
        if (net->admins[i] != entry)
            continue;
        net->n_admins--;
        memmove(net->admins + i, net->admins + i + 1,
                (net->n_admins - i) * sizeof(struct pv_roster_entry *));
        break;
    }
    if (net->unlisted == entry)
        net->unlisted = NULL;
    net->head_known = false;
    net->version++;
    /* Without memory the row stays until the next start. */
    if (reserve_place((void **)&net->dropped, net->n_dropped, &net->dropped_cap,
                      sizeof(*net->dropped)) == PV_OK)
        memcpy(net->dropped[net->n_dropped++], entry->st.hash, PV_STATEMENT_HASH_LEN);
}

/* Takes the roster's events of a whole operation: members that went are noted, refused statements
 * are logged for the operator. An event that was taken does not come again, so there is a place for
 * a member that went before each. */
int pv_cnet_settle(struct pv_cnet *net, size_t steps, const struct pv_log *log)
{
    struct pv_roster_event event;
    net->version++; /* who is a member */
    if (!pv_roster_settle_some(net->roster, steps))
        return PV_ERR_AGAIN;
    for (size_t i = 0; i < steps; i++) {
        int r = reserve_place((void **)&net->gone, net->n_gone, &net->gone_cap, sizeof(*net->gone));
        if (r < 0)
            return r;
        if (pv_roster_poll_event(net->roster, &event) != PV_OK)
            return PV_OK;
        if (event.type == PV_ROSTER_EV_MEMBER_GONE)
            memcpy(net->gone[net->n_gone++], event.member->node, PV_SIGN_PK_LEN);
        else if (event.type == PV_ROSTER_EV_DROPPED)
            forget_entry(net, event.entry);
        else if (event.type == PV_ROSTER_EV_REFUSED || event.type == PV_ROSTER_EV_BREAK)
            pv_log(log, PV_LOG_WARN, "network=%s %s", pv_roster_network(net->roster)->name,
                   event.text);
    }
    return PV_ERR_AGAIN;
}

/* --- reading --------------------------------------------------------------------------------- */

/* The epoch counts first: a coordinator that lost its newest receipts begins a higher one, and
 * cursors of before stay true. */
static bool is_behind(const struct pv_ctl_cursor *at, const struct pv_ctl_cursor *have)
{
    return at->epoch > have->epoch || (at->epoch == have->epoch && at->n > have->n);
}

/* The log is ascending, so the search goes by halves. A cursor whose place does not exist any more
 * finds the first one behind it. */
size_t pv_cnet_seek(const struct pv_cnet *net, const struct pv_ctl_cursor *have)
{
    size_t lo = 0;
    size_t hi = net->log_len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (is_behind(&net->log[mid].at, have))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

struct pv_ctl_cursor pv_cnet_before(const struct pv_cnet *net, size_t index)
{
    return index == 0 ? (struct pv_ctl_cursor){0} : net->log[index - 1].at;
}

struct pv_ctl_cursor pv_cnet_end(const struct pv_cnet *net)
{
    return pv_cnet_before(net, net->log_len);
}

bool pv_cnet_is_sparse(const struct pv_cnet *net)
{
    return net->log_len >= PV_CNET_COMPACT && net->n_empty > net->log_len / 2;
}

/* The last place stays, also when it is empty: nodes were told its cursor as the end of the log,
 * which must not go back. */
void pv_cnet_compact(struct pv_cnet *net)
{
    size_t n = 0;
    net->version++;
    net->replaced++;
    for (size_t i = 0; i < net->log_len; i++) {
        if (net->log[i].entry != NULL || i + 1 == net->log_len)
            net->log[n++] = net->log[i];
    }
    net->log_len = n;
    net->n_empty = n > 0 && net->log[n - 1].entry == NULL ? 1 : 0;
    /* Half as much again is free for what comes next. Where less memory cannot be had, the log
     * keeps what it has. */
    size_t cap = n + n / 2 + LIST_FIRST;
    struct pv_cnet_entry *less =
        cap < net->log_cap ? realloc(net->log, cap * sizeof(*net->log)) : NULL;
    if (less == NULL)
        return;
    net->log = less;
    net->log_cap = cap;
}

bool pv_cnet_place_of(const struct pv_cnet *net, const struct pv_roster_entry *entry,
                      struct pv_ctl_cursor *ret_at)
{
    for (size_t i = net->log_len; i > 0; i--) {
        if (net->log[i - 1].entry != entry)
            continue;
        *ret_at = net->log[i - 1].at;
        return true;
    }
    return false;
}

static struct pv_ctl_item item_of(const struct pv_roster_entry *entry)
{
    return (struct pv_ctl_item){.statement = entry->st.raw, .receipt = entry->receipt};
}

/* A page has whole statements. One is at most 4 KiB, far less than a page, so each page moves
 * on. */
size_t pv_cnet_page(const struct pv_cnet *net, size_t *index,
                    struct pv_ctl_item items[static PV_CTL_ITEMS_MAX])
{
    size_t n = 0, room = PV_CTLPAGE_ROOM;
    for (; *index < net->log_len && n < PV_CTL_ITEMS_MAX; ++*index) {
        if (net->log[*index].entry == NULL)
            continue;
        struct pv_ctl_item item = item_of(net->log[*index].entry);
        size_t need = pv_ctlpage_item_max(&item);
        if (need > room)
            break;
        room -= need;
        items[n++] = item;
    }
    return n;
}

/* The statements of a chain that are chosen so far, and the bytes that a message has left. */
struct chain {
    struct pv_ctl_item *items;
    size_t n, room;
};

static bool has_link(const struct chain *c, const struct pv_roster_entry *entry)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->items[i].statement.ptr == entry->st.raw.ptr)
            return true;
    }
    return false;
}

static void add_link(struct chain *c, const struct pv_roster_entry *entry)
{
    struct pv_ctl_item item = item_of(entry);
    size_t need = pv_ctlpage_item_max(&item);
    if (c->n == PV_CTL_ITEMS_MAX || need > c->room || has_link(c, entry))
        return;
    c->items[c->n++] = item;
    c->room -= need;
}

static void add_grants(struct chain *c, const struct pv_cnet *net, const struct pv_statement *of)
{
    for (size_t i = 0; i < net->n_admins; i++) {
        const struct pv_statement *st = &net->admins[i]->st;
        if (st->type == PV_ST_ADMIN && memcmp(st->u.admin.node, of->signer, PV_SIGN_PK_LEN) == 0)
            add_link(c, net->admins[i]);
    }
}

/* The statements that prove an invite: the record, the list of coordinators, the statements that
 * made its signers admins, and the invite itself, which comes last. Where the network has moved,
 * the receipts of this coordinator rest on a former list, so these go along, the newest first. */
size_t pv_cnet_chain(const struct pv_cnet *net, const uint8_t invite[static PV_SIGN_PK_LEN],
                     struct pv_ctl_item items[static PV_CTL_ITEMS_MAX])
{
    struct chain c = {.items = items, .room = PV_CTLPAGE_ROOM};
    struct pv_cnet_invite *found = NULL;
    const struct pv_roster_entry *list = pv_roster_coordinators_record(net->roster);
    PV_MAP_FIND(&net->invite_map, net->invites, invite, PV_SIGN_PK_LEN, found);
    if (found == NULL || net->record == NULL)
        return 0;
    struct pv_ctl_item last = item_of(found->entry);
    c.room -= pv_ctlpage_item_max(&last);
    add_link(&c, net->record);
    if (list != NULL)
        add_link(&c, list);
    add_grants(&c, net, &found->entry->st);
    for (size_t i = net->n_admins; i > 0; i--) {
        if (net->admins[i - 1]->st.type == PV_ST_COORDINATORS)
            add_link(&c, net->admins[i - 1]);
    }
    if (c.n == PV_CTL_ITEMS_MAX)
        c.n--;
    items[c.n++] = last;
    return c.n;
}

struct pv_view pv_cnet_coordinators(const struct pv_cnet *net)
{
    const struct pv_roster_entry *entry = pv_roster_coordinators_record(net->roster);
    return entry == NULL ? pv_view(NULL, 0) : entry->st.raw;
}

/* The hash goes over the whole roster, so it is computed only after a change; each page asks for
 * it. */
const uint8_t *pv_cnet_head(struct pv_cnet *net)
{
    if (!net->head_known) {
        pv_roster_head(net->roster, net->head);
        net->head_known = true;
    }
    return net->head;
}
