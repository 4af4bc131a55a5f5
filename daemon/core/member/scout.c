/* SPDX-License-Identifier: MIT */
/* scout.c - when which coordinator is visited, what is said there, and whether the network may be
 * in two halves. */
#include "daemon/core/member/scout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/coord/coordaddrs.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer.h"
#include "daemon/core/peer/peers.h"

/* --- a network in two halves ----------------------------------------------------------------- */

/* Two admins who move a network without knowing of each other, or one whose word does not reach
 * everybody before the former coordinator dies, leave members at different coordinators, each
 * content, and nobody can know of both. A node can see that many members have not been there since
 * the list of coordinators is another one. Whether they could find it by themselves is for the
 * scout to know. Networks that are too large for the presence of all are not looked at. */

/* ours: members that are on follow within seconds */
#define APART_AFTER PV_S(60)
#define APART_META  "together" /* the list under which most members were seen, by its hash */

/* Zeroed: nothing is known. */
struct apart {
    uint8_t record[PV_STATEMENT_HASH_LEN]; /* the list of coordinators that this is about */
    uint8_t together[PV_STATEMENT_HASH_LEN];
    pv_ns look_at; /* 0: not yet; PV_NEVER: there is nothing to find out */
    bool apart;
};

enum {
    FEW = 3, /* ours: less than one in so many may just be off */
};

/* The list in force may be another one, or (anew) the connection came or went. */
static void apart_note(struct apart *a, struct pv_node *n, bool anew, pv_ns now)
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
    a->look_at = wanted && n->online ? now + APART_AFTER : PV_NEVER;
}

/* How many of the other members have not been seen since, of how many; 0: too few to speak of. */
static size_t count(const struct pv_node *n, size_t *ret_others)
{
    size_t missing = 0;
    *ret_others = 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(n->peers, p)) != NULL;) {
        const struct pv_peer_notes *notes = pv_peer_notes_of(p);
        bool here = notes->was_here || notes->in_sync || pv_peer_presence(p) != PV_PRESENCE_OFFLINE;
        missing += here ? 0 : 1;
        ++*ret_others;
    }
    return missing * FEW < *ret_others ? 0 : missing;
}

/* When the time is up: looks who was there. True: most were, and a->together is to be kept. */
static bool apart_handle_timeout(struct apart *a, struct pv_node *n, pv_ns now)
{
    size_t others;
    if (a->look_at == 0 || now < a->look_at)
        return false;
    a->apart = count(n, &others) > 0;
    a->look_at = a->apart ? now + APART_AFTER : PV_NEVER;
    if (!a->apart)
        memcpy(a->together, a->record, sizeof(a->together));
    return !a->apart;
}

/* --- the scout ------------------------------------------------------------------------------- */

enum {
    PLACES_MAX = 32,   /* ours: coordinators that are looked after; the list in force has 8 */
    GRANTS_MAX = 3,    /* ours: of one signer; root grants all rights at once */
    ENDS_MAX = 64,     /* ours: removals and ends that one visit tells */
    TELL_ROOM = 30000, /* ours: bytes of what one visit tells; a message takes half as much more */
    DOUBLINGS_MAX = 9, /* PV_SCOUT_TELL to PV_SCOUT_TELL_LAST */
    PER_MEMBER_MS = 5, /* PV_SCOUT_HOME */
};

/* A coordinator that some record names. */
struct place {
    uint8_t pk[PV_SIGN_PK_LEN];
    bool named;                          /* a record still names it */
    bool listed;                         /* the record in force does */
    bool former;                         /* another record does: members may know of it alone */
    bool preferred;                      /* it stands before the one in use in the list in force */
    uint8_t told[PV_STATEMENT_HASH_LEN]; /* what it has been told; zero: not known */
    uint8_t has[PV_STATEMENT_HASH_LEN];  /* the record that it has, likewise */
    uint8_t ends[PV_STATEMENT_HASH_LEN]; /* those that have no receipt of its; zero: none */
    unsigned failures;                   /* of visits, in a row */
    bool as_applicant;                   /* it let no member in, and the next visit only asks */
    pv_ns unknown_since;                 /* when it first did; 0: it did not */
    pv_ns at;                            /* the next visit; PV_NEVER: none is needed */
    bool at_home;                        /* that one is planned for a preferred place */
    pv_ns returned;                      /* when this node went back to it; 0: not lately */
    pv_ns hold;                          /* how long to wait for it, as a preferred one */
};

enum step {
    IDLE,
    VISIT,
    TELL,
};

struct scout {
    struct pv_node *node;
    const struct pv_kem *kem;      /* for hybrid keys of a visit; NULL: none */
    struct pv_coordclient *client; /* owned; NULL before the first visit */
    struct pv_fifo events;         /* of it */
    struct pv_coordaddrs addrs;    /* of the place that is visited */
    struct place places[PLACES_MAX];
    size_t n;
    struct apart apart;
    enum step step;
    struct place *at; /* who is visited; NULL: IDLE */
    pv_ns until;      /* the visit ends then */
    bool applicant;   /* the visit is an applicant's, who can only read the record */
    bool brings;      /* and say that it joined at another one */
    uint8_t record[PV_STATEMENT_HASH_LEN];  /* that the visit is about, */
    uint8_t word[PV_STATEMENT_HASH_LEN];    /* and that with all that is told with it */
    size_t at_record;                       /* its place in what was told */
    uint8_t records[PV_STATEMENT_HASH_LEN]; /* all that count, as when it was looked at last */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct scout *s = part;
    s->kem = cfg->given.pq == PV_PQ_OFF ? NULL : cfg->given.kem;
    return PV_OK;
}

static int restore_scout(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct scout *s = part;
    const struct pv_view kept = pv_saved_value(cfg->saved, APART_META);
    if (kept.len == sizeof(s->apart.together))
        memcpy(s->apart.together, kept.ptr, kept.len);
    return PV_OK;
}

static void free_scout(void *part)
{
    struct scout *s = part;
    pv_coordclient_free(s->client);
}

/* --- which ------------------------------------------------------------------------------------ */

static bool is_used(const struct scout *s, const uint8_t *pk)
{
    return memcmp(s->node->coord_info.pk, pk, PV_SIGN_PK_LEN) == 0;
}

static struct place *find(struct scout *s, const uint8_t *pk)
{
    for (size_t i = 0; i < s->n; i++) {
        if (memcmp(s->places[i].pk, pk, PV_SIGN_PK_LEN) == 0)
            return &s->places[i];
    }
    return NULL;
}

/* The coordinators of one list. Those beyond the limit are not looked after. */
static void add_list(struct scout *s, struct pv_view list)
{
    struct pv_coordinator named;
    while (pv_coordlist_next(&list, &named)) {
        struct place *p = find(s, named.pk);
        if (p == NULL && s->n == PLACES_MAX)
            continue;
        if (p == NULL) {
            p = &s->places[s->n++];
            *p = (struct place){.at = PV_NEVER};
            memcpy(p->pk, named.pk, sizeof(p->pk));
        }
        p->named = true;
    }
}

/* A receipt of a place says that it has the statement, whoever brought it there. */
static bool has_receipt(const struct pv_roster_entry *e, const struct place *p)
{
    struct pv_receipt receipt;
    return pv_receipt_decode(e->receipt, &receipt) == PV_OK &&
           memcmp(receipt.coordinator, p->pk, sizeof(p->pk)) == 0;
}

/* Removals, and ends of rights. A removed node is a member, and perhaps an admin, for a coordinator
 * that has not heard of it. */
static bool is_end(const struct pv_roster_entry *e)
{
    return pv_st_does(&e->st, PV_DOES_TAKE) && pv_roster_in_force(e);
}

/* The part of it that each place has not put in order itself. */
static void sum_ends(struct scout *s)
{
    const struct pv_roster *r = s->node->roster;
    for (size_t i = 0; i < s->n; i++)
        memset(s->places[i].ends, 0, sizeof(s->places[i].ends));
    for (const struct pv_roster_entry *e = s->n < 2 ? NULL : pv_roster_next_entry(r, NULL);
         e != NULL; e = pv_roster_next_entry(r, e)) {
        for (size_t i = 0; is_end(e) && i < s->n; i++) {
            struct place *p = &s->places[i];
            for (size_t k = 0; !has_receipt(e, p) && k < sizeof(p->ends); k++)
                p->ends[k] ^= e->st.hash[k];
        }
    }
}

/* All that a place is to be told, as one hash. */
static void sum_word(const struct place *p, const uint8_t *record,
                     uint8_t ret_word[static PV_STATEMENT_HASH_LEN])
{
    for (size_t k = 0; k < PV_STATEMENT_HASH_LEN; k++)
        ret_word[k] = record[k] ^ p->ends[k];
}

static bool is_told(const struct scout *s, const struct place *p)
{
    const struct pv_roster_entry *record = pv_roster_coordinators_record(s->node->roster);
    uint8_t word[PV_STATEMENT_HASH_LEN];
    if (record == NULL)
        return true;
    sum_word(p, record->st.hash, word);
    return memcmp(p->told, word, sizeof(word)) == 0 ||
           (has_receipt(record, p) && pv_ct_is_zero(p->ends, sizeof(p->ends)));
}

/* Those of another list than the one in force. */
static void add_former(struct scout *s, const struct pv_roster_entry *e)
{
    struct pv_view list = e->st.u.coordinators.list;
    struct pv_coordinator named;
    if (e == pv_roster_coordinators_record(s->node->roster))
        return;
    add_list(s, list);
    while (pv_coordlist_next(&list, &named)) {
        struct place *p = find(s, named.pk);
        if (p != NULL)
            p->former = true;
    }
}

/* Which coordinators there are, by all records. Not while one is visited: places move. */
static void collect(struct scout *s)
{
    const struct pv_roster *r = s->node->roster;
    struct pv_view list = pv_roster_coordinators(r);
    struct pv_coordinator named;
    bool before = true;
    for (size_t i = 0; i < s->n; i++)
        s->places[i].named = s->places[i].listed = s->places[i].preferred = s->places[i].former =
            false;
    add_list(s, list); /* the limit does not concern these */
    for (size_t i = 0; i < s->n; i++)
        s->places[i].listed = s->places[i].named;
    for (const struct pv_roster_entry *e = pv_roster_next_record(r, NULL); e != NULL;
         e = pv_roster_next_record(r, e))
        add_former(s, e);
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->places[i].named)
            s->places[kept++] = s->places[i];
    }
    s->n = kept;
    while (pv_coordlist_next(&list, &named)) {
        struct place *p = find(s, named.pk);
        before = before && !is_used(s, named.pk);
        if (p != NULL)
            p->preferred = before;
    }
    sum_ends(s);
}

/* --- when ------------------------------------------------------------------------------------- */

/* At random within the second half of it. */
static pv_ns within(const struct scout *s, pv_ns wait)
{
    return wait / 2 + PV_MS(pv_rng_below(&s->node->rng, (uint32_t)(wait / 2 / PV_MS(1)) + 1));
}

/* One that has just said that it does not know this node is told who that is soon: members who are
 * there do not reach this node. */
static pv_ns wait_home(const struct scout *s, const struct place *p)
{
    if (p->as_applicant && p->failures == 1)
        return within(s, PV_SCOUT_TELL);
    pv_ns least = PV_MS(PER_MEMBER_MS) * pv_roster_count(s->node->roster);
    least = least > PV_SCOUT_HOME ? least : PV_SCOUT_HOME;
    return within(s, p->hold > least ? p->hold : least);
}

/* All members together make about as many visits, however many they are. */
static pv_ns wait_other(const struct scout *s, const struct place *p)
{
    /* A node that waits to be admitted knows of no member. */
    pv_ns wait = PV_SCOUT_TELL * (pv_roster_count(s->node->roster) + 1);
    wait = pv_min_ns(wait, PV_SCOUT_TELL_MAX);
    wait <<= p->failures < DOUBLINGS_MAX ? p->failures : DOUBLINGS_MAX;
    wait = pv_min_ns(wait, PV_SCOUT_TELL_LAST);
    /* The first one may be at once: somebody has to be the first. */
    return p->failures > 0 ? within(s, wait)
                           : PV_MS(pv_rng_below(&s->node->rng, (uint32_t)(wait / PV_MS(1)) + 1));
}

static const struct pv_member *self_of(const struct scout *s)
{
    const struct pv_node *n = s->node;
    return n->roster == NULL ? NULL : pv_roster_enrolled(n->roster, n->identity->sign_pk);
}

/* Admitted by nobody yet: coordinators let it in as an applicant only. */
static bool is_waiting(const struct scout *s)
{
    const struct pv_member *self = self_of(s);
    return self != NULL && self->state == PV_MEMBER_WAITING;
}

/* While no coordinator of the list lets this node in, the others are asked for another list, and
 * those that do not know it as a member, too: they may have been told since. */
static bool is_needed(const struct scout *s, const struct place *p)
{
    if (!s->node->online)
        return !p->listed || s->node->coord_info.standing != PV_COORD_NO_COMPLAINT || is_waiting(s);
    return !is_used(s, p->pk) && (p->preferred || !is_told(s, p));
}

/* Two members' connections of one node push each other out, and those of the list are being tried.
 */
static bool is_for_applicant(const struct scout *s, const struct place *p)
{
    return p->as_applicant || (!s->node->online && (p->listed || is_waiting(s)));
}

static void plan(struct scout *s, struct place *p, pv_ns now)
{
    p->at_home = s->node->online && p->preferred;
    if (!is_needed(s, p))
        p->at = PV_NEVER;
    else
        p->at = now + (p->at_home ? wait_home(s, p) : wait_other(s, p));
}

/* A member that is wanted online. A member that has expired is let in, too, and renews its
 * membership. */
static bool may_visit(const struct scout *s)
{
    const struct pv_node *n = s->node;
    return n->up && n->coord_info.as_member && !n->coord_info.visiting && !n->removed &&
           self_of(s) != NULL;
}

/* Other records count than before: who failed to hear of the last one may be there again, or where
 * another one says. */
static bool has_news(struct scout *s)
{
    const struct pv_roster *r = s->node->roster;
    uint8_t sum[PV_STATEMENT_HASH_LEN] = {0};
    for (const struct pv_roster_entry *e = pv_roster_next_record(r, NULL); e != NULL;
         e = pv_roster_next_record(r, e)) {
        for (size_t i = 0; i < sizeof(sum); i++)
            sum[i] ^= e->st.hash[i];
    }
    if (memcmp(s->records, sum, sizeof(sum)) == 0)
        return false;
    memcpy(s->records, sum, sizeof(sum));
    return true;
}

/* Plans what nobody has planned yet; what has become needless is left out. */
static void look(struct scout *s, pv_ns now)
{
    if (s->step != IDLE || !may_visit(s))
        return;
    bool news = has_news(s);
    collect(s);
    for (size_t i = 0; i < s->n; i++) {
        struct place *p = &s->places[i];
        p->failures = news ? 0 : p->failures;
        if (!is_needed(s, p) || news || p->at == PV_NEVER ||
            p->at_home != (s->node->online && p->preferred))
            plan(s, p, now);
    }
}

/* --- a visit ---------------------------------------------------------------------------------- */

static void end_visit(struct scout *s, pv_ns now)
{
    if (s->client != NULL)
        pv_coordclient_stop(s->client);
    s->step = IDLE;
    s->at = NULL;
    look(s, now);
}

static void fail(struct scout *s, pv_ns now)
{
    s->at->failures++;
    s->at->at = PV_NEVER;
    end_visit(s, now);
}

/* All addresses that records say of it, those of the record in force first: it may have moved since
 * that was made, and another says where to. False: there is none. */
static bool find_hosts(struct scout *s, const uint8_t *pk)
{
    const struct pv_roster *r = s->node->roster;
    const struct pv_roster_entry *e = pv_roster_coordinators_record(r);
    const struct pv_roster_entry *other = pv_roster_next_record(r, NULL);
    pv_coordaddrs_set_hosts(&s->addrs, pv_view(NULL, 0));
    for (; e != NULL; e = other, other = e == NULL ? NULL : pv_roster_next_record(r, e)) {
        struct pv_view list = e->st.u.coordinators.list;
        struct pv_coordinator named;
        while (pv_coordlist_next(&list, &named)) {
            if (memcmp(named.pk, pk, PV_SIGN_PK_LEN) == 0)
                pv_coordaddrs_add_hosts(&s->addrs, named.addrs);
        }
    }
    return s->addrs.n_hosts > 0;
}

static bool need_client(struct scout *s)
{
    struct pv_node *n = s->node;
    const struct pv_coordclient_config cfg = {.rng = n->rng,
                                              .log = n->log,
                                              .sign_sk = n->identity->sign_sk,
                                              .sign_pk = n->identity->sign_pk,
                                              .dh_sk = n->identity->dh_sk,
                                              .kem = s->kem,
                                              .streams = &n->streams,
                                              .kind = PV_STREAM_SCOUT,
                                              .events = &s->events};
    return s->client != NULL || pv_coordclient_new(&s->client, &cfg) == PV_OK;
}

static pv_job_done take_lookup;

static void visit(struct scout *s, struct place *p, pv_ns now)
{
    struct pv_node *n = s->node;
    struct pv_coordclient_target target = {.has_network = true};
    s->at = p;
    s->step = VISIT;
    s->until = now + PV_SCOUT_LIMIT;
    const struct pv_roster_entry *record = pv_roster_coordinators_record(n->roster);
    if (record == NULL || !find_hosts(s, p->pk) || !need_client(s)) {
        fail(s, now);
        return;
    }
    memcpy(s->record, record->st.hash, sizeof(s->record));
    sum_word(p, s->record, s->word);
    memcpy(target.coordinator, p->pk, sizeof(target.coordinator));
    memcpy(target.network, pv_roster_network_id(n->roster), sizeof(target.network));
    target.must_hybrid = pv_coord_must_hybrid(n, p->pk);
    target.role = is_for_applicant(s, p) ? PV_CTL_APPLICANT : PV_CTL_MEMBER;
    s->applicant = target.role == PV_CTL_APPLICANT;
    s->brings = false;
    pv_coordaddrs_find(&s->addrs, n, true, take_lookup, s);
    if (pv_coordclient_start(s->client, &target, s->addrs.addrs, s->addrs.n_addrs, now) != PV_OK)
        fail(s, now);
}

/* It is there, and perhaps knows what there is to know. */
static void done(struct scout *s, bool told, pv_ns now)
{
    struct place *p = s->at;
    uint8_t pk[PV_SIGN_PK_LEN];
    bool home = p->at_home;
    memcpy(pk, p->pk, sizeof(pk));
    if (told) {
        memcpy(p->told, s->word, sizeof(p->told));
        memcpy(p->has, s->record, sizeof(p->has));
    }
    p->failures = s->node->online ? 0 : p->failures + 1; /* it may know more later */
    p->at = PV_NEVER;
    p->returned = home ? now : 0;
    end_visit(s, now);
    if (home)
        pv_coord_return(s->node, pk, now);
}

struct word {
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    size_t n, bytes;
};

static void add_item(struct word *w, const struct pv_roster_entry *e)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->items[i].statement.ptr == e->st.raw.ptr)
            return;
    }
    w->items[w->n++] = (struct pv_ctl_item){.statement = e->st.raw, .receipt = e->receipt};
    w->bytes += e->st.raw.len + e->receipt.len;
}

/* A statement, behind the grants that it rests on; nothing where it has no room. */
static void add_word(struct word *w, const struct pv_roster *r, const struct pv_roster_entry *x)
{
    size_t n = 0;
    if (w->n + GRANTS_MAX + 1 > PV_CTL_ITEMS_MAX || w->bytes > TELL_ROOM)
        return;
    for (const struct pv_roster_entry *e = pv_roster_next_proof(r, x->st.signer, NULL);
         e != NULL && n < GRANTS_MAX; e = pv_roster_next_proof(r, x->st.signer, e), n++)
        add_item(w, e);
    add_item(w, x);
}

/* The ends that the place may not have, the newest if they are many. */
static void add_ends(struct word *w, const struct scout *s)
{
    const struct pv_roster *r = s->node->roster;
    const struct pv_roster_entry *e = NULL;
    size_t lacks = 0, met = 0;
    while ((e = pv_roster_next_entry(r, e)) != NULL)
        lacks += is_end(e) && !has_receipt(e, s->at) ? 1 : 0;
    while ((e = pv_roster_next_entry(r, e)) != NULL) {
        if (is_end(e) && !has_receipt(e, s->at) && ++met + ENDS_MAX > lacks)
            add_word(w, r, e);
    }
}

/* The record, and the ends. */
static void put_word(struct scout *s, const struct pv_roster_entry *record, pv_ns now)
{
    struct word *w = calloc(1, sizeof(*w));
    struct pv_ctl_msg msg = {.type = PV_CTL_PUT};
    s->step = TELL;
    if (w != NULL) {
        add_word(w, s->node->roster, record);
        s->at_record = w->n - 1;
        add_ends(w, s);
        msg.u.put.n = w->n;
        msg.u.put.items = w->items;
    }
    if (w == NULL || pv_coordclient_request(s->client, &msg, 0) != PV_OK)
        fail(s, now);
    free(w);
}

/* The statement by which this node joined, with the receipt of the coordinator where it did; NULL:
 * there is none. */
static const struct pv_roster_entry *own_word(const struct scout *s)
{
    const struct pv_member *self = self_of(s);
    const struct pv_roster_entry *e = NULL;
    while (self != NULL && (e = pv_roster_next_entry(s->node->roster, e)) != NULL) {
        if (e->st.type == PV_ST_MEMBER && e->receipt.len > 0 &&
            memcmp(e->st.u.member.node, self->node, PV_SIGN_PK_LEN) == 0 &&
            memcmp(e->st.signer, self->admitted_by, PV_SIGN_PK_LEN) == 0)
            return e;
    }
    return NULL;
}

/* A coordinator of the list that has never heard of this node: it joined by a token of before the
 * network moved there, and nobody else was told. Of a node that waits each but the one where it
 * asked may be one: applicants are let in unasked. And one of another list, which a member has to
 * tell that there is a better one. */
static bool is_unheard_of(const struct scout *s, bool same_record)
{
    const struct pv_roster_entry *own = own_word(s);
    if (!s->applicant || own == NULL)
        return false;
    if (!s->at->listed)
        return s->at->as_applicant && s->node->online && !same_record;
    return s->at->as_applicant || s->node->coord_info.standing != PV_COORD_NO_COMPLAINT ||
           (is_waiting(s) && same_record && !has_receipt(own, s->at));
}

static const struct pv_roster_entry *own_invite(const struct scout *s)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_entry(s->node->roster, e)) != NULL) {
        if (pv_st_does(&e->st, PV_DOES_INVITE) &&
            memcmp(e->st.u.invite.invite, self_of(s)->admitted_by, PV_SIGN_PK_LEN) == 0)
            return e;
    }
    return NULL;
}

/* Does this record name the coordinator that gave the receipt? */
static bool names_giver(const struct pv_roster_entry *record, struct pv_view receipt)
{
    struct pv_view list = record->st.u.coordinators.list;
    struct pv_coordinator named;
    struct pv_receipt r;
    if (pv_receipt_decode(receipt, &r) != PV_OK)
        return false;
    while (pv_coordlist_next(&list, &named)) {
        if (memcmp(named.pk, r.coordinator, PV_SIGN_PK_LEN) == 0)
            return true;
    }
    return false;
}

/* Statements of a piece of the network that the coordinator was not in: the record by which the
 * receipt counts, and the invite. */
static void add_grounds(struct word *w, const struct scout *s, const struct pv_roster_entry *own)
{
    const struct pv_roster *r = s->node->roster;
    const struct pv_roster_entry *e = NULL, *invite = own_invite(s);
    while ((e = pv_roster_next_record(r, e)) != NULL && !names_giver(e, own->receipt))
        ;
    if (e != NULL)
        add_word(w, r, e);
    if (invite != NULL)
        add_word(w, r, invite);
}

/* proven: with what it rests on, behind that. */
static void bring_own(struct scout *s, bool proven, pv_ns now)
{
    const struct pv_roster_entry *own = own_word(s);
    struct word *w = calloc(1, sizeof(*w));
    struct pv_ctl_msg msg = {.type = PV_CTL_PUT};
    s->step = TELL;
    s->brings = true;
    if (w != NULL && own != NULL) {
        if (proven)
            add_grounds(w, s, own);
        add_item(w, own);
        s->at_record = w->n - 1;
        msg.u.put.n = w->n;
        msg.u.put.items = w->items;
    }
    if (w == NULL || own == NULL || (proven && w->n == 1) ||
        pv_coordclient_request(s->client, &msg, 0) != PV_OK)
        fail(s, now);
    free(w);
}

/* Its record may be the better one: then this node follows that, and has nothing to say here. */
static void take_welcome(struct scout *s, const struct pv_ctl_welcome *w, pv_ns now)
{
    const struct pv_ctl_item theirs = {.statement = w->coordinators};
    s->at->unknown_since = s->applicant ? s->at->unknown_since : 0;
    if (theirs.statement.len > 0)
        (void)pv_membership_add(s->node, &theirs, 1, now);
    const struct pv_roster_entry *record =
        s->node->roster == NULL ? NULL : pv_roster_coordinators_record(s->node->roster);
    if (record == NULL || memcmp(s->record, record->st.hash, sizeof(s->record)) != 0) {
        s->at->at = PV_NEVER;
        end_visit(s, now); /* the connection in use follows it, perhaps to here */
        return;
    }
    bool same = pv_view_equal(record->st.raw, theirs.statement);
    if (is_unheard_of(s, same))
        bring_own(s, false, now);
    else if (s->applicant)
        fail(s, now); /* nothing new */
    else if (same && pv_ct_is_zero(s->at->ends, sizeof(s->at->ends)))
        done(s, true, now);
    else
        put_word(s, record, now);
}

/* A preferred one that refuses the record is used all the same: as its member this node brings it
 * all that it lacks. */
static void take_answer(struct scout *s, const struct pv_ctl_msg *msg, pv_ns now)
{
    const struct place *p = s->at;
    enum pv_ctl_error error = PV_CTL_E_BAD_REQUEST;
    if (msg->type == PV_CTL_RECEIPTS && msg->u.receipts.n > s->at_record)
        error = msg->u.receipts.results[s->at_record].error;
    bool taken = error == PV_CTL_E_NONE;
    if (s->brings && taken) { /* it lets this node in from now on */
        s->at->as_applicant = false;
        s->at->unknown_since = 0;
        done(s, false, now);
        return;
    }
    bool groundless = error == PV_CTL_E_UNKNOWN_INVITE || error == PV_CTL_E_NOT_ALLOWED;
    if (s->brings && groundless && s->at_record == 0) {
        bring_own(s, true, now);
        return;
    }
    if (!s->applicant && (taken || p->at_home))
        done(s, taken, now);
    else
        fail(s, now);
}

/* The change for the next visit. */
static void note_refusal(struct scout *s, const struct pv_ctl_msg *msg, pv_ns now)
{
    enum pv_ctl_error e =
        msg != NULL && msg->type == PV_CTL_ERROR ? msg->u.failure.error : PV_CTL_E_NONE;
    bool unknown = e == PV_CTL_E_UNKNOWN_NODE || e == PV_CTL_E_LEFT;
    if (unknown && !s->at->as_applicant)
        s->at->failures = 0;
    s->at->as_applicant = unknown;
    if (unknown && s->at->unknown_since == 0)
        s->at->unknown_since = now;
}

static void run_scout(void *part, pv_ns now)
{
    struct scout *s = part;
    struct pv_coordclient_event ev;
    while (pv_fifo_take(&s->events, &ev) == PV_OK) {
        bool refused = ev.type == PV_COORDCLIENT_EV_REFUSED;
        if (s->step == VISIT && ev.type == PV_COORDCLIENT_EV_ONLINE) {
            take_welcome(s, &ev.msg->u.welcome, now);
        } else if (s->step == TELL && ev.type == PV_COORDCLIENT_EV_ANSWER) {
            take_answer(s, ev.msg, now);
        } else if (s->step != IDLE && (refused || ev.type == PV_COORDCLIENT_EV_OFFLINE)) {
            note_refusal(s, refused ? ev.msg : NULL, now);
            fail(s, now);
        }
        pv_ctl_msg_free(ev.msg);
    }
}

/* --- what happens meanwhile ------------------------------------------------------------------- */

/* Another coordinator is in use than the one that this node went back to: it did not stay. */
static void note_flight(struct scout *s, pv_ns now)
{
    for (size_t i = 0; i < s->n; i++) {
        struct place *p = &s->places[i];
        if (p->returned == 0 || is_used(s, p->pk))
            continue;
        bool soon = now - p->returned < PV_SCOUT_STEADY;
        pv_ns hold = p->hold > PV_SCOUT_HOME ? p->hold : PV_SCOUT_HOME;
        p->hold = soon ? pv_min_ns(2 * hold, PV_SCOUT_HOME_MAX) : 0;
        p->returned = 0;
    }
}

/* The connection in use came or went, perhaps to another coordinator, or the records are others. A
 * visit of before may be about something else. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct scout *s = part;
    if ((facts & (PV_FACT_ONLINE | PV_FACT_OFFLINE | PV_FACT_NETWORK | PV_FACT_UP)) != 0 &&
        s->step != IDLE) {
        s->at->at = PV_NEVER;
        end_visit(s, now);
    }
    if ((facts & PV_FACT_NETWORK) != 0)
        s->n = 0;
    if (s->node->roster == NULL || pv_roster_count(s->node->roster) <= PV_PRESENCE_ALL)
        apart_note(&s->apart, s->node, (facts & (PV_FACT_ONLINE | PV_FACT_OFFLINE)) != 0, now);
    if ((facts & PV_FACT_ONLINE) != 0 && s->node->online) {
        note_flight(s, now);
        for (size_t i = 0; i < s->n; i++)
            s->places[i].at = s->places[i].at_home ? PV_NEVER : s->places[i].at;
    }
    if ((facts & (PV_FACT_ONLINE | PV_FACT_OFFLINE | PV_FACT_COORDINATOR | PV_FACT_STATEMENTS |
                  PV_FACT_NETWORK | PV_FACT_UP)) != 0)
        look(s, now);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    if ((facts & PV_PEER_FACT_PRESENCE) != 0 && pv_peer_presence(p) == PV_PRESENCE_ONLINE)
        pv_peer_notes(p)->was_here = true;
}

static void take_lookup(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct scout *s = wait->self;
    if (pv_coordaddrs_take(&s->addrs, s->node, wait, result) && s->step == VISIT &&
        result->status == PV_OK)
        pv_coordclient_set_addrs(s->client, s->addrs.addrs, s->addrs.n_addrs, now);
}

/* The place whose visit comes next; its number is n when none is planned. */
static size_t next_place(const struct scout *s)
{
    size_t next = s->n;
    for (size_t i = 0; i < s->n; i++) {
        if (s->places[i].at != PV_NEVER && (next == s->n || s->places[i].at < s->places[next].at))
            next = i;
    }
    return next;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct scout *s = part;
    size_t next = next_place(s);
    if (apart_handle_timeout(&s->apart, s->node, now))
        pv_node_put_meta(s->node, APART_META,
                         pv_view(s->apart.together, sizeof(s->apart.together)));
    if (s->client != NULL)
        pv_coordclient_handle_timeout(s->client, now);
    if (s->step != IDLE && now >= s->until)
        fail(s, now);
    else if (s->step == IDLE && may_visit(s) && next < s->n && now >= s->places[next].at)
        visit(s, &s->places[next], now);
}

static pv_ns next_timeout(const void *part)
{
    const struct scout *s = part;
    size_t next = next_place(s);
    pv_ns at = next == s->n || !may_visit(s) ? PV_NEVER : s->places[next].at;
    if (s->step != IDLE)
        at = pv_min_ns(s->until, pv_coordclient_next_timeout(s->client));
    return s->apart.look_at == 0 ? at : pv_min_ns(at, s->apart.look_at);
}

/* --- its streams ------------------------------------------------------------------------------ */

static void *client_of(void *part)
{
    const struct scout *s = part;
    return s->client;
}

static const struct pv_stream_handler streams[] = {{
    .kind = PV_STREAM_SCOUT,
    .machine = client_of,
    .proxied = pv_coordclient_proxied,
    .connected = pv_coordclient_connected,
    .bytes = pv_coordclient_handle_bytes,
    .closed = pv_coordclient_closed,
    .out = pv_coordclient_out,
    .wrote = pv_coordclient_wrote,
}};

/* Members are where the list says, and this node is not let in there. */
static void show_unknown(const struct scout *s, struct pv_statuspage *st, pv_ns now)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!s->places[i].preferred || !s->places[i].as_applicant)
            continue;
        const unsigned left = pv_node_told_in(s->places[i].unknown_since, now);
        pv_statuspage_todo(
            st, "the coordinator that the network prefers does not know this machine: ",
            left > 0 ? PV_DO(wait_to_be_told, PV_STR("%u", left)) : PV_DO(prefer_another));
        return;
    }
}

/* Has the network moved from coordinators none of which knows where to? */
static bool is_without_trace(const struct scout *s)
{
    const struct pv_roster_entry *record = pv_roster_coordinators_record(s->node->roster);
    bool moved = false;
    for (size_t i = 0; record != NULL && i < s->n; i++) {
        const struct place *p = &s->places[i];
        if (p->former && (is_used(s, p->pk) || has_receipt(record, p) ||
                          memcmp(p->has, record->st.hash, sizeof(p->has)) == 0))
            return false;
        moved = moved || p->former;
    }
    return moved;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct scout *s = part;
    size_t others = 0;
    if (!s->node->online || s->node->roster == NULL)
        return;
    show_unknown(s, st, now);
    size_t missing = s->apart.apart ? count(s->node, &others) : 0;
    if (missing == 0 || !is_without_trace(s))
        return;
    const char *text =
        PV_STR("%zu of %zu other members have not been seen since the network moved to another "
               "coordinator: ",
               missing, others);
    pv_statuspage_todo(st, text, PV_DO(take_the_token_over));
}

const struct pv_part pv_part_scout = {
    .name = "scout",
    .size = PV_PART_SIZE(struct scout),
    .start = start,
    .free = free_scout,
    .restore = restore_scout,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .run = run_scout,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
    .streams = streams,
    .n_streams = PV_ARRAY_LEN(streams),
};
