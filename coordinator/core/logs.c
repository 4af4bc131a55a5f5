/* SPDX-License-Identifier: MIT */
/* Requests about logs. A network is in the list of busy ones while it may have a batch for the
 * store, and in the list of timed ones while it waits for a moment. */
#include "coordinator/core/logs.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum {
    RETRY_S = 1,                   /* ours: seconds until a batch is offered again */
    NEWS_MS = 200,                 /* ours: between two pushes of new heads */
    PAGE = PV_CTL_TEXT_MAX - 2048, /* bytes of the entries of a message, as text */
};

_Static_assert((int)PV_CTL_ENTRY_MAX == (int)PV_ENTRY_HEAD_LEN + (int)PV_LOGST_MAX,
               "an entry fits");
_Static_assert((int)PV_CTL_HEAD_MAX >= (int)PV_HEAD_LEN, "a head fits");

/* --- lists ----------------------------------------------------------------------------------- */

static void set_busy(struct pv_logs *l, struct pv_cnet *net)
{
    if (net->ordering.busy)
        return;
    net->ordering.busy = true;
    PV_LIST_ADD_BY(l->busy, net, ordering.prev, ordering.next);
}

static void set_idle(struct pv_logs *l, struct pv_cnet *net)
{
    if (net->ordering.busy)
        PV_LIST_DEL_BY(l->busy, net, ordering.prev, ordering.next);
    net->ordering.busy = false;
}

static void set_due(struct pv_logs *l, struct pv_cnet *net, pv_ns due)
{
    if (net->ordering.due == 0)
        PV_LIST_ADD_BY(l->timed, net, ordering.prev_timed, ordering.next_timed);
    if (net->ordering.due == 0 || due < net->ordering.due)
        net->ordering.due = due == 0 ? 1 : due;
}

static void clear_due(struct pv_logs *l, struct pv_cnet *net)
{
    if (net->ordering.due != 0)
        PV_LIST_DEL_BY(l->timed, net, ordering.prev_timed, ordering.next_timed);
    net->ordering.due = 0;
}

static void set_storing(struct pv_logs *l, struct pv_cnet *net)
{
    net->ordering.op = PV_LOGS_OP | ++l->last_op;
    PV_LIST_ADD_BY(l->storing, net, ordering.prev_storing, ordering.next_storing);
}

static void set_stored(struct pv_logs *l, struct pv_cnet *net)
{
    if (net->ordering.op != 0)
        PV_LIST_DEL_BY(l->storing, net, ordering.prev_storing, ordering.next_storing);
    net->ordering.op = 0;
}

void pv_logs_forget(struct pv_logs *l, struct pv_cnet *net)
{
    set_idle(l, net);
    clear_due(l, net);
    set_stored(l, net);
}

static void end_giving(struct pv_logs *l)
{
    pv_gather_clear(&l->given);
    l->giver = 0;
}

void pv_logs_tick(struct pv_logs *l, uint64_t wall, pv_ns now)
{
    l->wall = wall;
    l->now = now;
}

void pv_logs_done(struct pv_logs *l)
{
    end_giving(l);
    while (l->waits != NULL) {
        struct pv_logs_wait *w = l->waits;
        PV_LIST_DEL(l->waits, w);
        free(w);
    }
}

/* --- submit ---------------------------------------------------------------------------------- */

static uint64_t ticket_of(const struct pv_logs_wait *w, size_t i)
{
    return w->number * PV_CTL_ITEMS_MAX + i;
}

static enum pv_ctl_error error_of(int r)
{
    switch (r) {
    case PV_ERR_AUTH:
        return PV_CTL_E_BAD_SIGNATURE;
    case PV_ERR_UNSUPPORTED:
        return PV_CTL_E_VERSION;
    case PV_ERR_LIMIT:
        return PV_CTL_E_LIMIT;
    case PV_ERR_STATE:
    case PV_ERR_NOMEM:
        return PV_CTL_E_STORAGE;
    default:
        return PV_CTL_E_BAD_REQUEST;
    }
}

/* Statements before the one that is refused are ordered all the same: submitting them again changes
 * nothing. */
static int submit_all(struct pv_logs_wait *w, struct pv_order *order,
                      const struct pv_ctl_submit *sub)
{
    int r = PV_OK;
    for (size_t i = 0; i < sub->n && r == PV_OK; i++)
        r = pv_order_submit(order, sub->statements[i], ticket_of(w, i));
    return r;
}

void pv_logs_submit(struct pv_logs *l, struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    struct pv_cnet *net = s->net;
    struct pv_logs_wait *w = NULL;
    if (net->dropping || l->n_waits >= PV_LOGS_WAITS || (w = calloc(1, sizeof(*w))) == NULL) {
        pv_answer_refuse(s, msg, PV_CTL_E_BUSY, "the coordinator is busy; try again later");
        return;
    }
    w->number = ++l->last_wait;
    w->conn = s->id;
    w->request = msg->id;
    w->n = w->left = msg->u.submit.n;
    int r = submit_all(w, net->order, &msg->u.submit);
    if (r == PV_OK) {
        PV_LIST_ADD(l->waits, w);
        l->n_waits++;
    } else {
        free(w);
        pv_answer_refuse(s, msg, error_of(r),
                         r == PV_ERR_STATE ? "the coordinator does not order this network's log now"
                                           : NULL);
    }
    set_busy(l, net);
}

static struct pv_logs_wait *find_wait(const struct pv_logs *l, uint64_t number)
{
    struct pv_logs_wait *w = l->waits;
    while (w != NULL && w->number != number)
        w = w->next;
    return w;
}

static void finish_wait(struct pv_logs *l, struct pv_logs_wait *w, const struct pv_logs_out *out)
{
    struct pv_ctl_msg m = {.kind = PV_CTL_ANSWER, .type = PV_CTL_DECIDED, .id = w->request};
    struct pv_conn *s = out->find(out->ctx, w->conn);
    m.u.decided = (struct pv_ctl_decided){.n = w->n, .whys = w->whys};
    if (s != NULL && s->state == PV_CONN_MEMBER) {
        pv_answer_send(s, &m);
        out->mark(out->ctx, s);
    }
    PV_LIST_DEL(l->waits, w);
    l->n_waits--;
    free(w);
}

static void answer_all(struct pv_logs *l, struct pv_cnet *net, const struct pv_logs_out *out)
{
    struct pv_order_done done;
    while (pv_order_poll_done(net->order, &done)) {
        struct pv_logs_wait *w = find_wait(l, done.ticket / PV_CTL_ITEMS_MAX);
        if (w == NULL) /* the request was refused for another of its statements */
            continue;
        w->whys[done.ticket % PV_CTL_ITEMS_MAX] =
            done.failed ? PV_CTL_NOT_STORED : (uint32_t)done.why;
        if (--w->left == 0)
            finish_wait(l, w, out);
    }
}

/* --- what members have ----------------------------------------------------------------------- */

/* Fills views with entries from number first on, as many as fit in a message. */
static size_t fill_page(const struct pv_order *o, uint64_t first,
                        struct pv_view views[static PV_CTL_ENTRIES_MAX])
{
    size_t n = 0, room = PAGE;
    for (uint64_t i = first; i <= pv_order_n(o) && n < PV_CTL_ENTRIES_MAX; i++) {
        struct pv_view entry = pv_order_entry(o, i);
        size_t need = entry.len * 4 / 3 + 8;
        if (need > room)
            break;
        room -= need;
        views[n++] = entry;
    }
    return n;
}

void pv_logs_log(struct pv_logs *l, struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    struct pv_order *o = s->net->order;
    struct pv_view views[PV_CTL_ENTRIES_MAX];
    const struct pv_ctl_place *place = &msg->u.log;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_ENTRIES);
    enum pv_order_match match = pv_order_compare(o, place->n, place->hash, !place->fetching);
    struct pv_ctl_entries *e = &m.u.entries;
    (void)pv_order_sign_again(o, l->wall);
    *e = (struct pv_ctl_entries){.last = pv_order_n(o), .entries = views};
    if (match != PV_ORDER_DIFFERS)
        e->first = place->n + 1;
    if (match == PV_ORDER_HAS)
        e->n = fill_page(o, e->first, views);
    if (match == PV_ORDER_HAS && e->first + e->n > e->last)
        e->head = pv_order_head(o);
    pv_answer_send(s, &m);
}

/* One member gives at a time, as what it gives is kept in memory until its head is there. */
static int gather(struct pv_logs *l, struct pv_conn *s, const struct pv_ctl_entries *e)
{
    struct pv_order *o = s->net->order;
    bool over = l->giver == 0 || l->now - l->given_at > PV_S(PV_LOGS_GIVE_S);
    if (!over && l->giver != s->id)
        return PV_ERR_AGAIN;
    if (l->giver != s->id)
        end_giving(l);
    l->given.max = PV_LOGS_GIVEN_BYTES;
    bool begins = l->given.n == 0 || e->first <= l->given.first;
    if (begins && (e->first == 0 || e->first - 1 > pv_order_n(o)))
        return PV_ERR_NOT_FOUND;
    if (begins)
        pv_gather_clear(&l->given);
    l->giver = s->id;
    l->given_at = l->now;
    return pv_gather_add(&l->given, e->first, e->entries, e->n,
                         pv_order_hash(o, begins ? e->first - 1 : 0));
}

void pv_logs_entries(struct pv_logs *l, struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    const struct pv_ctl_entries *e = &msg->u.entries;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_DONE);
    int r = gather(l, s, e);
    if (r == PV_ERR_AGAIN) {
        pv_answer_refuse(s, msg, PV_CTL_E_BUSY, "another member gives its log; try again later");
        return;
    }
    if (r == PV_OK && e->first + e->n > e->last) {
        struct pv_netlog_piece piece = pv_gather_piece(&l->given, e->head);
        r = pv_order_take(s->net->order, &piece);
        if (r == PV_OK)
            pv_log(l->log, PV_LOG_INFO, "log taken from a member network=%s entries=%llu",
                   pv_roster_network(s->net->roster)->name, (unsigned long long)e->last);
        end_giving(l);
        set_busy(l, s->net);
    }
    if (r == PV_OK)
        pv_answer_send(s, &m);
    else if (r == PV_ERR_REFUSED || r == PV_ERR_NOT_FOUND)
        pv_answer_refuse(s, msg, PV_CTL_E_NOT_ALLOWED, "the coordinator's log goes before it");
    else
        pv_answer_refuse(s, msg, error_of(r), NULL);
}

/* --- the store ------------------------------------------------------------------------------- */

static int poll_net(struct pv_logs *l, struct pv_cnet *net, struct pv_storeop **ret_op)
{
    if (net->dropping || l->now < net->ordering.retry_at)
        return PV_ERR_AGAIN;
    int r = pv_order_poll_job(net->order, l->wall, ret_op);
    if (r == PV_ERR_NOMEM) {
        net->ordering.retry_at = l->now + PV_S(RETRY_S);
        set_due(l, net, net->ordering.retry_at);
    }
    if (r != PV_OK)
        return PV_ERR_AGAIN;
    set_storing(l, net);
    (*ret_op)->id = net->ordering.op;
    return PV_OK;
}

/* What was decided without the store waits for pv_logs_handle_timeout(), which is due at once. */
int pv_logs_poll_job(struct pv_logs *l, struct pv_storeop **ret_op)
{
    while (l->busy != NULL) {
        struct pv_cnet *net = l->busy;
        set_idle(l, net);
        if (poll_net(l, net, ret_op) == PV_OK)
            return PV_OK;
        set_due(l, net, l->now);
    }
    return PV_ERR_AGAIN;
}

/* Members fetch what they lack: a push says that there is something. */
static void push_head(struct pv_logs *l, struct pv_cnet *net, const struct pv_logs_out *out)
{
    struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_ENTRIES};
    uint64_t n = pv_order_n(net->order);
    m.u.entries =
        (struct pv_ctl_entries){.first = n + 1, .last = n, .head = pv_order_head(net->order)};
    net->ordering.untold = false;
    net->ordering.told_at = l->now;
    for (size_t i = 0; i < net->n_members; i++) {
        struct pv_conn *s = net->members[i];
        if (!pv_conn_has_push_room(s) || pv_conn_send(s, &m) < 0)
            continue;
        out->mark(out->ctx, s);
    }
}

static void complain(const struct pv_logs *l, const struct pv_cnet *net, int status,
                     const char *error)
{
    bool broken = pv_order_state(net->order) == PV_ORDER_BROKEN;
    pv_log(l->log, PV_LOG_ERROR, "cannot store the log network=%s: %s",
           pv_roster_network(net->roster)->name,
           broken             ? "the database has another log: start the coordinator again"
           : error[0] != '\0' ? error
                              : pv_strstatus(status));
}

/* The first entries after a pause are told at once, those behind them a little later together. */
static void tell(struct pv_logs *l, struct pv_cnet *net, const struct pv_logs_out *out)
{
    pv_ns due = net->ordering.told_at == 0 ? 0 : net->ordering.told_at + PV_MS(NEWS_MS);
    if (l->now >= due) {
        push_head(l, net, out);
        return;
    }
    net->ordering.untold = true;
    set_due(l, net, due);
}

void pv_logs_handle_job(struct pv_logs *l, const struct pv_storeop_result *result,
                        const struct pv_logs_out *out)
{
    struct pv_cnet *net = l->storing;
    while (net != NULL && net->ordering.op != result->id)
        net = net->ordering.next_storing;
    if (net == NULL)
        return;
    set_stored(l, net);
    pv_order_handle_job(net->order, result->status, l->wall);
    answer_all(l, net, out);
    if (result->status == PV_OK) {
        tell(l, net, out);
        set_busy(l, net);
        return;
    }
    complain(l, net, result->status, result->error);
    net->ordering.retry_at = l->now + PV_S(RETRY_S);
    set_due(l, net, net->ordering.retry_at);
}

/* --- time ------------------------------------------------------------------------------------ */

static void net_due(struct pv_logs *l, struct pv_cnet *net, const struct pv_logs_out *out)
{
    clear_due(l, net);
    answer_all(l, net, out);
    if (net->ordering.untold)
        tell(l, net, out);
    if (net->ordering.retry_at == 0)
        return;
    if (l->now < net->ordering.retry_at) {
        set_due(l, net, net->ordering.retry_at);
        return;
    }
    net->ordering.retry_at = 0;
    set_busy(l, net);
}

void pv_logs_handle_timeout(struct pv_logs *l, const struct pv_logs_out *out)
{
    struct pv_cnet *next;
    for (struct pv_cnet *net = l->timed; net != NULL; net = next) {
        next = net->ordering.next_timed;
        if (l->now >= net->ordering.due)
            net_due(l, net, out);
    }
}

pv_ns pv_logs_next_timeout(const struct pv_logs *l)
{
    pv_ns next = PV_NEVER;
    for (const struct pv_cnet *net = l->timed; net != NULL; net = net->ordering.next_timed)
        next = pv_min_ns(next, net->ordering.due);
    return next;
}
