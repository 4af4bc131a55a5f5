/* SPDX-License-Identifier: MIT */
/*
 * relocation.c - the part that moves a network to another coordinator, and tells and changes where
 * its coordinators are: `p2pvpnctl network coordinators`.
 *
 * The list is a statement (type 8) of root, so its key has to be on this machine. A coordinator
 * that is added is given the network first, all of it, so that members who come there are known;
 * then the former one is told, if it lives, and with it those who only listen there; then the
 * record counts here, gossip takes it to the others, and everybody's connection follows
 * (coordinator.h).
 *
 *   NONE   --add-->                APPLICANT asks the new coordinator in, as for a new network
 *   APPLICANT --welcome-->            FOUND   has asked it to take the network
 *   FOUND  --receipts-->           SEED    a member's connection: every statement is put there
 *   SEED   --all are there-->      TELL    back at the former one: the record is put there
 *   NONE   --remove, address-->    TELL
 *   TELL   --receipt, or 5 s-->    SPREAD  the record counts here
 *   SPREAD --who is there knows, or 3 s-->  NONE, and the client hears it
 *   any    --refused, 10 s of silence, down, leave-->  NONE, all as before
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/remedy.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "daemon/core/admin/rootkey.h"
#include "daemon/core/coord/coordaddrs.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/member/puts.h"
#include "daemon/core/member/refusal.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/node/part.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/remedy.h"
#include "proto/roster/token.h"

extern const struct pv_part pv_part_relocation; /* at the end */

/* --- lists of coordinators ------------------------------------------------------------------- */

/* A network's list of coordinators with one more, one less, or one elsewhere. */
struct coordedit {
    size_t len;
    uint8_t bytes[PV_TOKEN_LIST_MAX]; /* a checked list; an invite's token has to hold it */
};

/* The addresses of one coordinator, as they stand in a list. */
static size_t addrs_of(const struct pv_coordinator *c,
                       struct pv_hostport hosts[static PV_COORDINATOR_ADDRS_MAX])
{
    struct pv_view addrs = c->addrs;
    size_t n = 0;
    while (n < PV_COORDINATOR_ADDRS_MAX && pv_coordlist_next_addr(&addrs, &hosts[n]))
        n++;
    return n;
}

static void put(struct pv_writer *w, const struct pv_coordinator *c)
{
    struct pv_hostport hosts[PV_COORDINATOR_ADDRS_MAX];
    size_t n = addrs_of(c, hosts);
    pv_coordlist_put(w, c->pk, hosts, n);
}

/* The written text is a list only if the rules for lists say so. */
static int finish(const struct pv_writer *w, struct coordedit *ret)
{
    ret->len = w->len;
    if (w->status != PV_OK)
        return w->status;
    return pv_coordlist_check(pv_view(ret->bytes, ret->len), sizeof(ret->bytes));
}

static bool is(const struct pv_coordinator *c, const uint8_t *pk)
{
    return memcmp(c->pk, pk, PV_SIGN_PK_LEN) == 0;
}

/* one, a list of one coordinator, before those of list, which it leaves out if it names the same
 * key. PV_ERR_LIMIT: more than PV_COORDINATORS_MAX; PV_ERR_NO_SPACE, here and below: too many and
 * too long addresses. A coordinator that is in the list already moves to the front, and does not
 * count twice. */
static int coordedit_put_first(struct pv_view list, struct pv_view one, struct coordedit *ret)
{
    struct pv_writer w = pv_writer(ret->bytes, sizeof(ret->bytes));
    struct pv_coordinator first, c;
    size_t n = 1;
    if (!pv_coordlist_next(&one, &first))
        return PV_ERR_MALFORMED;
    put(&w, &first);
    while (pv_coordlist_next(&list, &c)) {
        if (is(&c, first.pk))
            continue;
        if (++n > PV_COORDINATORS_MAX)
            return PV_ERR_LIMIT;
        put(&w, &c);
    }
    return finish(&w, ret);
}

/* PV_ERR_NOT_FOUND: it is not in the list; PV_ERR_STATE: nobody else is. The last one stays: a
 * list names at least one coordinator. */
static int coordedit_remove(struct pv_view list, const uint8_t pk[static PV_SIGN_PK_LEN],
                            struct coordedit *ret)
{
    struct pv_writer w = pv_writer(ret->bytes, sizeof(ret->bytes));
    struct pv_coordinator c;
    bool found = false;
    size_t n = 0;
    while (pv_coordlist_next(&list, &c)) {
        bool this_one = is(&c, pk);
        found = found || this_one;
        n += this_one ? 0 : 1;
        if (!this_one)
            put(&w, &c);
    }
    if (!found)
        return PV_ERR_NOT_FOUND;
    return n == 0 ? PV_ERR_STATE : finish(&w, ret);
}

/* "HOST:PORT,tls:HOST:PORT" in parts. */
static int parse_addresses(const char *text,
                           struct pv_hostport hosts[static PV_COORDINATOR_ADDRS_MAX], size_t *ret_n)
{
    size_t n = 0;
    for (;;) {
        size_t len = strcspn(text, ",");
        if (n == PV_COORDINATOR_ADDRS_MAX || pv_hostport_parse(text, len, &hosts[n]) != PV_OK)
            return PV_ERR_MALFORMED;
        n++;
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    *ret_n = n;
    return PV_OK;
}

/* The coordinator is at these addresses and no other: "HOST:PORT", "tls:HOST:PORT", with commas
 * between. PV_ERR_NOT_FOUND; PV_ERR_MALFORMED: not addresses. The others keep their places, since
 * the order is that of preference. */
static int coordedit_move(struct pv_view list, const uint8_t pk[static PV_SIGN_PK_LEN],
                          const char *addresses, struct coordedit *ret)
{
    struct pv_writer w = pv_writer(ret->bytes, sizeof(ret->bytes));
    struct pv_hostport hosts[PV_COORDINATOR_ADDRS_MAX];
    struct pv_coordinator c;
    bool found = false;
    size_t n;
    int r = parse_addresses(addresses, hosts, &n);
    if (r != PV_OK)
        return r;
    while (pv_coordlist_next(&list, &c)) {
        if (is(&c, pk))
            pv_coordlist_put(&w, c.pk, hosts, n);
        else
            put(&w, &c);
        found = found || is(&c, pk);
    }
    return found ? finish(&w, ret) : PV_ERR_NOT_FOUND;
}

/* By its key, by an address as the list writes it, or by the host alone. */
static bool is_meant(const struct pv_coordinator *c, const char *which)
{
    struct pv_hostport hosts[PV_COORDINATOR_ADDRS_MAX];
    uint8_t pk[PV_SIGN_PK_LEN];
    if (which[0] == '\0' || (pv_key_parse(which, pk) == PV_OK && is(c, pk)))
        return true;
    size_t n = addrs_of(c, hosts);
    for (size_t i = 0; i < n; i++)
        if (strcmp(which, hosts[i].host) == 0 || strcmp(which, PV_HOSTPORT_STR(&hosts[i])) == 0)
            return true;
    return false;
}

/* Which of the list somebody means: a key, an address, or a host; "" where there is one only.
 * PV_ERR_NOT_FOUND: none, or several. When several are meant the user has to say it more exactly,
 * so that is as good as none. */
static int coordedit_find(struct pv_view list, const char *which,
                          uint8_t ret_pk[static PV_SIGN_PK_LEN])
{
    struct pv_coordinator c;
    size_t n = 0;
    while (pv_coordlist_next(&list, &c)) {
        if (!is_meant(&c, which))
            continue;
        n++;
        memcpy(ret_pk, c.pk, PV_SIGN_PK_LEN);
    }
    return n == 1 ? PV_OK : PV_ERR_NOT_FOUND;
}

/* --- the part -------------------------------------------------------------------------------- */

enum {
    TAG_FOUND,      /* answer to the request to take the network */
    PUT_SIZE = 16,  /* ours: statements of one put; all of them fit any message */
    GRANTS_MAX = 8, /* ours: grants of one key that go along; root grants all rights at once */
};
#define SILENCE  PV_S(10) /* ours: a coordinator that is there does a step in less */
#define TELL_BY  PV_S(5)  /* ours: the former one may be gone for good */
#define KNOWN_BY PV_S(3)  /* ours: as for removals */

enum step {
    NONE,
    APPLICANT,
    FOUND,
    SEED,
    TELL,
    SPREAD,
};

_Static_assert((int)PV_CTLAPI_COORDINATOR_BUF >= (int)PV_HOSTPORT_BUF, "any address fits");

struct relocation {
    struct pv_node *node;
    struct pv_puts puts;

    /* this change; wiped at its end */
    enum step step;
    uint64_t handle;
    size_t online;        /* members that were when it began */
    pv_ns until;          /* the step ends then */
    bool pausing;         /* SEED: the coordinator asked for it; goes on then instead */
    struct pv_url url;    /* add: of the new coordinator */
    struct coordedit one; /* add: a list of it alone */
    struct coordedit list;
    struct pv_made_long record;
    uint8_t receipt[PV_RECEIPT_LEN]; /* of the record, by who took it first */
    size_t receipt_len;
    size_t n_seeded; /* statements of the roster, in order of arrival, that were put */
    uint8_t changed[PV_SIGN_PK_LEN]; /* remove, address: the coordinator's key */
    bool told;                       /* that one has the record, or (add) the former one */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct relocation *x = part;
    pv_puts_init(&x->puts, x->node, &pv_part_relocation);
    return PV_OK;
}

static void free_relocation(void *part)
{
    struct relocation *x = part;
    pv_puts_done(&x->puts);
    pv_url_done(&x->url);
}

/* --- ends ------------------------------------------------------------------------------------- */

/* Puts under way keep their places: their answers end them. */
static void forget(struct relocation *x)
{
    struct pv_node *n = x->node;
    const struct pv_puts puts = x->puts;
    n->coord_info.visiting = false;
    pv_wipe(x, sizeof(*x));
    x->node = n;
    x->puts = puts;
}

/* Back to the coordinators of the roster, if this node was elsewhere. */
static void go_home(struct relocation *x, pv_ns now)
{
    struct pv_node *n = x->node;
    n->coord_info.visiting = false;
    if (n->up && n->roster != NULL && x->step != SPREAD)
        pv_coord_connect(n, pv_roster_coordinators(n->roster), PV_CTL_MEMBER,
                         pv_roster_network_id(n->roster), now);
}

static void fail(struct relocation *x, enum pv_ctlapi_code code, const char *why,
                 const char *remedy, pv_ns now)
{
    uint64_t handle = x->handle;
    const char *text = PV_STR("network coordinators: %s: %s", why, remedy);
    pv_log(x->node->log, PV_LOG_WARN, "what=\"coordinators not changed\" why=\"%s\"", text);
    go_home(x, now);
    forget(x);
    pv_ctlsrv_fail(x->node->ctl, handle, code, text);
}

static void begin(struct relocation *x, uint64_t handle)
{
    struct pv_owed_told told;
    pv_owed_told(x->node, &told);
    forget(x);
    x->handle = handle;
    x->online = told.online;
}

/* Scripts see how far the list has come; who does not know it yet hears it by and by. A coordinator
 * that has just been reached has not said yet who is online. */
static void succeed(struct relocation *x)
{
    struct pv_owed_told told;
    struct pv_node *n = x->node;
    uint64_t handle = x->handle;
    bool former = x->told;
    pv_owed_told(n, &told);
    const size_t online = told.online > x->online ? told.online : x->online;
    forget(x);
    pv_ctlsrv_answer(n->ctl, handle,
                     pv_ctlapi_pack("{s:i, s:i, s:b}", "online", (int)online, "know",
                                    (int)told.know, "former", former));
}

/* --- signing ---------------------------------------------------------------------------------- */

/* Signed by root: a stolen admin's machine must not lead the network to a coordinator of its own.
 */
static int sign_record(struct relocation *x)
{
    const struct pv_roster *r = x->node->roster;
    const struct pv_roster_entry *record = pv_roster_coordinators_record(r);
    const uint64_t seq = record == NULL ? 0 : record->st.u.coordinators.seq;
    return pv_make_coordinators(pv_roster_network_id(r), pv_rootkey_signer(x->node), seq + 1,
                                pv_view(x->list.bytes, x->list.len), &x->record);
}

static struct pv_view record_view(const struct relocation *x)
{
    return pv_view(x->record.raw, x->record.len);
}

/* --- telling ---------------------------------------------------------------------------------- */

/* Each step has a time of its own, after which it has failed and the reason is told. */
static void enter(struct relocation *x, enum step step, pv_ns limit, pv_ns now)
{
    x->step = step;
    x->pausing = false;
    x->until = now + limit;
}

/* From here on the record counts: connections follow it, gossip spreads it. */
static void publish(struct relocation *x, pv_ns now)
{
    struct pv_node *n = x->node;
    const struct pv_ctl_item item = {.statement = record_view(x),
                                     .receipt = pv_view(x->receipt, x->receipt_len)};
    enter(x, SPREAD, KNOWN_BY, now);
    if (pv_membership_add(n, &item, 1, now) > 0) {
        x->step = TELL; /* go_home() */
        fail(x, PV_CTLAPI_FAILED, "this node does not take the new list", "see its log", now);
        return;
    }
    pv_rostersync_hurry(n, now);
}

/* Has the record been told where its change leaves members behind? A coordinator that is removed,
 * or is elsewhere, need not be the one in use. */
static bool is_told_there(const struct relocation *x)
{
    return x->one.len > 0 || memcmp(x->node->coord_info.pk, x->changed, sizeof(x->changed)) == 0;
}

/* To the coordinator that this node talks to; members hear of it by gossip whatever it answers. */
static void put_record(struct relocation *x, pv_ns now)
{
    struct pv_put *put = pv_put_new(1);
    if (put != NULL)
        pv_put_add(put, record_view(x));
    if (put == NULL || pv_puts_send(&x->puts, put) != PV_CTL_E_NONE) {
        pv_put_free(put);
        publish(x, now);
    }
}

/* The coordinator that members listen to now tells those whom no member reaches. */
static void tell(struct relocation *x, pv_ns now)
{
    struct pv_node *n = x->node;
    n->coord_info.visiting = false;
    enter(x, TELL, TELL_BY, now);
    if (x->one.len > 0) /* this node is at the new one */
        pv_coord_connect(n, pv_roster_coordinators(n->roster), PV_CTL_MEMBER,
                         pv_roster_network_id(n->roster), now);
    else if (n->online)
        put_record(x, now);
    else
        publish(x, now);
}

/* --- giving a new one the network ------------------------------------------------------------- */

/* The statements that a coordinator must have before it believes anybody: who it is, who signs, and
 * why this node is a member. Each statement stands behind what it rests on. */
struct chain {
    size_t n;
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
};

static void add_item(struct chain *c, const struct pv_roster_entry *e)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].statement.ptr == e->st.raw.ptr)
            return;
    if (c->n < PV_CTL_ITEMS_MAX - 1) /* the new record has room, always */
        c->items[c->n++] = (struct pv_ctl_item){.statement = e->st.raw, .receipt = e->receipt};
}

/* The grants that make the signer of the record an admin: a node that has not got them does not
 * believe the record. */
static void add_grants(struct chain *c, const struct pv_roster *r, const uint8_t *pk)
{
    const struct pv_roster_entry *e = pv_roster_next_proof(r, pk, NULL);
    for (size_t i = 0; i < GRANTS_MAX && e != NULL; i++, e = pv_roster_next_proof(r, pk, e))
        add_item(c, e);
}

/* The statements by which it joined: one that left and came back has others, which rest
 * on invites of their own. */
static void add_joined(struct chain *c, const struct pv_roster *r, const struct pv_member *self)
{
    for (const struct pv_roster_entry *e = pv_roster_next_entry(r, NULL); e != NULL;
         e = pv_roster_next_entry(r, e)) {
        if (e->st.type == PV_ST_MEMBER &&
            memcmp(e->st.u.member.node, self->node, PV_SIGN_PK_LEN) == 0 &&
            memcmp(e->st.signer, self->admitted_by, PV_SIGN_PK_LEN) == 0)
            add_item(c, e);
    }
}

/* All of this type that are about, or by, this key. */
static void add_all(struct chain *c, const struct pv_roster *r, enum pv_statement_type type,
                    const uint8_t *pk)
{
    for (const struct pv_roster_entry *e = pv_roster_next_entry(r, NULL); e != NULL;
         e = pv_roster_next_entry(r, e)) {
        const struct pv_statement *st = &e->st;
        const uint8_t *about = pv_st_subject(st);
        if (st->type == type && memcmp(about != NULL ? about : st->signer, pk, PV_SIGN_PK_LEN) == 0)
            add_item(c, e);
    }
}

/* Former coordinators come first: the receipts of all that follows are theirs. */
static void build_chain(const struct relocation *x, struct chain *c)
{
    const struct pv_node *n = x->node;
    const struct pv_roster *r = n->roster;
    const struct pv_member *self = pv_roster_enrolled(n->roster, n->identity->sign_pk);
    struct pv_roster_invite invite;
    c->n = 0;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(r, NULL); e != NULL;
         e = pv_roster_next_entry(r, e))
        if (e->st.type == PV_ST_NETWORK)
            add_item(c, e);
    add_all(c, r, PV_ST_COORDINATORS, pv_roster_root(r));
    add_grants(c, r, n->identity->sign_pk);
    if (pv_roster_invite(r, self->admitted_by, &invite) == PV_OK) {
        add_grants(c, r, invite.signer);
        add_all(c, r, PV_ST_INVITE, self->admitted_by);
        const struct pv_roster_entry *yes = pv_roster_admission(r, n->identity->sign_pk);
        if (yes != NULL)
            add_grants(c, r, yes->st.signer);
        add_all(c, r, PV_ST_ADMISSION, n->identity->sign_pk);
    } else {
        add_grants(c, r, self->admitted_by);
    }
    c->items[c->n++] = (struct pv_ctl_item){.statement = record_view(x)};
    add_joined(c, r, self);
    add_all(c, r, PV_ST_TRANSPORT, n->identity->sign_pk);
}

/* The new coordinator says where else it is, in which address family, and where it speaks TLS. */
static void learn_addrs(struct relocation *x, const char *const *texts, size_t n, bool tls)
{
    struct coordedit with;
    const char *kept[PV_CTL_ADDRS_MAX];
    const struct pv_coordlist_more more =
        pv_coordaddrs_sift(&x->node->coord_info.addr, texts, n, tls, kept);
    if (pv_coordlist_with(pv_view(x->one.bytes, x->one.len), &more, with.bytes, sizeof(with.bytes),
                          &with.len) == PV_OK)
        x->one = with;
}

/* The new coordinator was reached: it gets the list that names it, and what shows that this node
 * may sign one. The secret of its URL allows a network to be made there, so the message is wiped.
 */
static void ask_to_take(struct relocation *x, const struct pv_ctl_welcome *w, pv_ns now)
{
    struct pv_node *n = x->node;
    struct pv_ctl_msg msg = {.type = PV_CTL_CREATE};
    struct chain *chain = calloc(1, sizeof(*chain));
    learn_addrs(x, w->stun, w->n_stun, false);
    learn_addrs(x, w->tls.addrs, w->tls.n, true);
    int r = chain == NULL ? PV_ERR_NOMEM
                          : coordedit_put_first(pv_roster_coordinators(n->roster),
                                                pv_view(x->one.bytes, x->one.len), &x->list);
    if (r == PV_OK)
        r = sign_record(x);
    if (r == PV_OK) {
        build_chain(x, chain);
        msg.u.put.has_secret = x->url.has_secret;
        memcpy(msg.u.put.secret, x->url.secret, sizeof(msg.u.put.secret));
        msg.u.put.n = chain->n;
        msg.u.put.items = chain->items;
        r = pv_coord_ask(n, &pv_part_relocation, &msg, TAG_FOUND);
    }
    free(chain);
    pv_wipe(&msg, sizeof(msg));
    if (r == PV_OK)
        enter(x, FOUND, SILENCE, now);
    else
        fail(x, PV_CTLAPI_FAILED, pv_strstatus(r),
             r == PV_ERR_NO_SPACE || r == PV_ERR_LIMIT
                 ? "the list is full: remove a coordinator first"
                 : "try again",
             now);
}

/* Refusals that a user can do something about have words of their own. */
static void explain_refusal(struct relocation *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    const struct pv_refusal *f =
        msg->type == PV_CTL_ERROR ? pv_refusal_find(msg->u.failure.error) : NULL;
    if (f != NULL)
        fail(x, f->code, f->why, f->remedy, now);
    else if (msg->type == PV_CTL_ERROR)
        fail(x, PV_CTLAPI_REFUSED, msg->u.failure.message, "is it the whole URL of that one?", now);
    else
        fail(x, PV_CTLAPI_FAILED, "the new coordinator's answer makes no sense",
             "is it of this version?", now);
}

/* It has the network in name; members are still unknown there, so nobody may come yet. */
static void taken(struct relocation *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_node *n = x->node;
    if (msg->type != PV_CTL_RECEIPTS) {
        explain_refusal(x, msg, now);
        return;
    }
    for (size_t i = 0; i < msg->u.receipts.n; i++) {
        if (msg->u.receipts.results[i].error == PV_CTL_E_NONE)
            continue;
        fail(x, PV_CTLAPI_REFUSED, pv_ctl_error_word(msg->u.receipts.results[i].error),
             "the new coordinator does not take this network: see its log", now);
        return;
    }
    enter(x, SEED, SILENCE, now);
    pv_coord_connect(n, pv_view(x->one.bytes, x->one.len), PV_CTL_MEMBER,
                     pv_roster_network_id(n->roster), now);
}

/* The next statements in order of arrival. A statement that is there already costs the coordinator
 * little. */
static void put_more(struct relocation *x, pv_ns now)
{
    const struct pv_roster *r = x->node->roster;
    const struct pv_roster_entry *e = pv_roster_next_entry(r, NULL);
    struct pv_put *put = pv_put_new(PUT_SIZE);
    for (size_t i = 0; i < x->n_seeded && e != NULL; i++)
        e = pv_roster_next_entry(r, e);
    if (put == NULL || e == NULL) {
        pv_put_free(put);
        tell(x, now); /* without memory: members bring the rest */
        return;
    }
    for (; e != NULL && put->n < PUT_SIZE; e = pv_roster_next_entry(r, e))
        pv_put_add(put, e->st.raw);
    if (pv_puts_send(&x->puts, put) != PV_CTL_E_NONE) {
        pv_put_free(put);
        return; /* the step's time says so */
    }
    x->until = now + SILENCE;
}

/* --- what comes back -------------------------------------------------------------------------- */

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct relocation *x = part;
    struct pv_put_result result;
    if (tag < PV_PUTS_TAGS) {
        if (x->step == FOUND)
            taken(x, msg, now);
        return;
    }
    struct pv_put *put = pv_puts_take(&x->puts, tag, msg, &result);
    if (put == NULL)
        return;
    if (x->step == SEED) {
        /* A coordinator that has enough for now gets the same again, a moment later. */
        if (result.error == PV_CTL_E_LIMIT) {
            x->until = now + PV_S(1);
            x->pausing = true;
        } else {
            x->n_seeded += put->n;
            put_more(x, now);
        }
    } else if (x->step == TELL) {
        x->told = result.n_items == 1 && is_told_there(x);
        if (result.n_items == 1 && result.items[0].receipt.len == sizeof(x->receipt)) {
            x->receipt_len = sizeof(x->receipt);
            memcpy(x->receipt, result.items[0].receipt.ptr, x->receipt_len);
        }
        publish(x, now);
    }
    pv_put_free(put);
}

static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct relocation *x = part;
    if (x->step != APPLICANT || x->node->coord_info.as_member)
        return;
    if (msg->type == PV_CTL_WELCOME)
        ask_to_take(x, &msg->u.welcome, now);
    else if (msg->type == PV_CTL_ERROR)
        explain_refusal(x, msg, now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct relocation *x = part;
    struct pv_put *put;
    /* A put under way is lost with the connection, and is put again on the next one. */
    while ((facts & PV_FACT_OFFLINE) != 0 && (put = pv_puts_take_lost(&x->puts)) != NULL)
        pv_put_free(put);
    if (x->step == NONE)
        return;
    if ((facts & (PV_FACT_UP | PV_FACT_NETWORK)) != 0 &&
        (!x->node->up || x->node->roster == NULL || pv_node_self(x->node) == NULL)) {
        fail(x, PV_CTLAPI_FAILED, "this node went down meanwhile", "`sudo p2pvpnctl up`, and again",
             now);
        return;
    }
    if ((facts & PV_FACT_ONLINE) == 0)
        return;
    if (x->step == SEED)
        put_more(x, now);
    else if (x->step == TELL)
        put_record(x, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct relocation *x = part;
    if (x->step == NONE || now < x->until)
        return;
    if (x->step == SPREAD) {
        succeed(x);
    } else if (x->step == TELL) {
        publish(x, now); /* it is gone, and others tell who listens there */
    } else if (x->pausing && x->node->online) {
        x->pausing = false;
        put_more(x, now);
    } else {
        const char *error = x->node->coord_info.error;
        fail(x, PV_CTLAPI_UNREACHABLE,
             PV_STR("the new coordinator: %s", error[0] == '\0' ? "no answer" : error),
             "does it run, and is the URL right?", now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct relocation *x = part;
    return x->step == NONE ? PV_NEVER : x->until;
}

static void run_relocation(void *part, pv_ns now)
{
    struct relocation *x = part;
    struct pv_owed_told told;
    if (x->step != SPREAD || !x->node->online)
        return;
    /* Done when all members who are there have said that they know, and it is on this disk. */
    pv_owed_told(x->node, &told);
    if (told.done && told.online >= x->online && pv_membership_is_stored(x->node))
        succeed(x);
}

/* --- commands --------------------------------------------------------------------------------- */

/* May this node change the list now? Answers the request itself when not. */
static bool may_begin(struct relocation *x, uint64_t handle)
{
    struct pv_node *n = x->node;
    const char *why = NULL;
    const char *no_key =
        PV_STR("the root key of the network is not on this machine: %s", PV_DO_STR(use_root));
    const char *down = PV_STR("this node is down: %s", PV_DO_STR(up));
    if (!pv_node_need_network(n, "network coordinators", handle))
        return false;
    if (pv_node_self(n) == NULL)
        why = "this node is no member: `p2pvpnctl status` says why";
    else if (!pv_rootkey_is_here(n))
        why = no_key;
    else if (!n->up)
        why = down;
    else if (x->step != NONE)
        why = "another change is under way: wait for it";
    if (why == NULL)
        return true;
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED, "network coordinators: %s", why);
    return false;
}

/* The preferred one comes first. */
static void run_list(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct relocation *x = part;
    struct pv_node *n = x->node;
    json_t *out = pv_ctlapi_list("coordinators");
    struct pv_view list = pv_roster_coordinators(n->roster);
    struct pv_coordinator c;
    while (out != NULL && pv_coordlist_next(&list, &c)) {
        struct pv_hostport host;
        bool used = n->online && memcmp(n->coord_info.pk, c.pk, PV_SIGN_PK_LEN) == 0;
        json_t *shown = pv_ctlapi_pack("{s:o, s:[], s:b}", "key", pv_ctlapi_key(c.pk), "addresses",
                                       "used", used);
        while (pv_coordlist_next_addr(&c.addrs, &host))
            pv_ctlapi_put(&shown, "addresses", json_string(PV_HOSTPORT_STR(&host)));
        pv_ctlapi_put(&out, "coordinators", shown);
    }
    pv_ctlsrv_answer(n->ctl, handle, out);
}

/* The connection to the former coordinator ends for the time being: a node has one control channel.
 * Paths between members do not need it. */
static void run_add(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    struct relocation *x = part;
    struct pv_node *n = x->node;
    if (!may_begin(x, handle))
        return;
    begin(x, handle);
    if (req->secret == NULL || pv_url_parse(req->secret, strlen(req->secret), &x->url) != PV_OK ||
        !pv_url_has_key(&x->url)) {
        x->step = SPREAD; /* nothing was left */
        fail(x, PV_CTLAPI_USAGE, "not a coordinator URL",
             "copy it whole, in quotes. On the coordinator `sudo p2pvpn-coordinator url` prints it",
             now);
        return;
    }
    struct pv_writer w = pv_writer(x->one.bytes, sizeof(x->one.bytes));
    pv_coordlist_put(&w, x->url.pk, &x->url.addr, 1);
    x->one.len = w.len;
    enter(x, APPLICANT, SILENCE, now);
    n->coord_info.visiting = true;
    pv_coord_connect(n, pv_view(x->one.bytes, x->one.len), PV_CTL_APPLICANT, NULL, now);
}

/* The common part of remove and address: which is meant, and what comes of the new list. */
static void run_change(struct relocation *x, struct pv_ctlapi_request *req, uint64_t handle,
                       bool removed, pv_ns now)
{
    uint8_t pk[PV_SIGN_PK_LEN];
    if (!may_begin(x, handle))
        return;
    const struct pv_view list = pv_roster_coordinators(x->node->roster);
    begin(x, handle);
    x->step = SPREAD; /* until it is signed a failure changes nothing */
    if (coordedit_find(list, req->u.coordinator.which, pk) != PV_OK) {
        fail(x, PV_CTLAPI_USAGE, "which one",
             "give its key, or an address of its own: `p2pvpnctl network coordinators` lists them",
             now);
        return;
    }
    memcpy(x->changed, pk, sizeof(x->changed));
    int r = removed ? coordedit_remove(list, pk, &x->list)
                    : coordedit_move(list, pk, req->text == NULL ? "" : req->text, &x->list);
    if (r == PV_OK)
        r = sign_record(x);
    if (r == PV_ERR_STATE)
        fail(x, PV_CTLAPI_REFUSED, "a network needs a coordinator",
             "`sudo p2pvpnctl network coordinators add URL` first", now);
    else if (r == PV_ERR_MALFORMED)
        fail(x, PV_CTLAPI_USAGE, "these are no addresses",
             "give HOST:PORT, or tls:HOST:PORT, with commas between", now);
    else if (r != PV_OK)
        fail(x, PV_CTLAPI_FAILED, pv_strstatus(r),
             r == PV_ERR_NO_SPACE ? "give fewer or shorter addresses" : "try again", now);
    else
        tell(x, now);
}

static void run_remove(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    run_change(part, req, handle, true, now);
}

static void run_address(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                        uint64_t handle, pv_ns now)
{
    run_change(part, req, handle, false, now);
}

/* --- move tokens ------------------------------------------------------------------------------ */

/* Everybody may make one: it says what this node knows, and proves itself. */
static void run_token(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct relocation *x = part;
    struct pv_node *n = x->node;
    struct pv_movetoken *token = calloc(1, sizeof(*token));
    char text[PV_MOVETOKEN_TEXT_BUF];
    const struct pv_roster_entry *record = pv_roster_coordinators_record(n->roster);
    int r = token == NULL || record == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r == PV_OK) {
        memcpy(token->network_id, pv_roster_network_id(n->roster), sizeof(token->network_id));
        token->record = record->st.raw;
        r = pv_movetoken_format(token, text, sizeof(text));
    }
    free(token);
    if (r == PV_OK)
        pv_ctlsrv_answer(n->ctl, handle, pv_ctlapi_pack("{s:s}", "token", text));
    else
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, "out of memory");
}

static bool is_newer(const struct pv_movetoken *token)
{
    struct pv_statement st;
    return pv_statement_decode(token->record, &st) == PV_ERR_UNSUPPORTED;
}

/* A giver of such a token cannot lie: its record is checked like any other, and one that is older
 * than what this node has changes nothing. */
static void run_take(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct relocation *x = part;
    struct pv_node *n = x->node;
    struct pv_ctl_item item;
    struct pv_movetoken *token = calloc(1, sizeof(*token));
    const char *why = NULL;
    const int r =
        token == NULL ? PV_ERR_NOMEM : pv_movetoken_parse(req->secret, strlen(req->secret), token);
    if (r == PV_ERR_UNSUPPORTED || (r == PV_OK && is_newer(token)))
        why = "join: this token is from a newer p2pvpn: upgrade p2pvpn on this machine";
    else if (r != PV_OK)
        why = "join: a damaged token: copy it whole, from p2pvpn- to its end";
    else if (n->roster == NULL)
        why = "join: this token tells members of a network of its new coordinator, and this "
              "machine is in none: ask for an invite (p2pvpnctl invite)";
    else if (memcmp(token->network_id, pv_roster_network_id(n->roster), PV_NETWORK_ID_LEN) != 0)
        why = "join: this token is about another network than this node's";
    if (why == NULL)
        item = (struct pv_ctl_item){.statement = token->record};
    if (why == NULL && pv_membership_add(n, &item, 1, now) > 0)
        why = "join: only the network's root key may move it, and it did not sign this token: ask "
              "an admin for another";
    free(token);
    if (why != NULL)
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_BAD_TOKEN, why);
    else
        pv_ctlsrv_done(n->ctl, handle);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_COORDINATORS, PV_NEEDS_NETWORK, run_list},
    {PV_CTLAPI_COORDINATOR_ADD, PV_NEEDS_NOTHING, run_add},
    {PV_CTLAPI_COORDINATOR_REMOVE, PV_NEEDS_NOTHING, run_remove},
    {PV_CTLAPI_COORDINATOR_ADDRESS, PV_NEEDS_NOTHING, run_address},
    {PV_CTLAPI_COORDINATOR_TOKEN, PV_NEEDS_NETWORK, run_token},
    {PV_CTLAPI_COORDINATOR_TAKE, PV_NEEDS_NOTHING, run_take},
};

const struct pv_part pv_part_relocation = {
    .name = "relocation",
    .size = PV_PART_SIZE(struct relocation),
    .start = start,
    .free = free_relocation,
    .on_facts = on_facts,
    .run = run_relocation,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .on_answer = on_answer,
    .on_push = on_push,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
