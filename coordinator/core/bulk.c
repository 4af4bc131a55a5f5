/* SPDX-License-Identifier: MIT */
/* Statements for members: whose turn it is, and the page that it gets then (pages.h). */
#include <string.h>

#include "coordinator/core/coord_int.h"

bool pv_bulk_is_behind(const struct pv_conn *s)
{
    return s->log.pull_id != 0 || (s->log.state == PV_CONN_LOG_LIVE && s->log.at < s->net->log_len);
}

/* --- whose turn it is ------------------------------------------------------------------------ */

static void list_net(struct pv_coord *c, struct pv_cnet *net)
{
    if (net->bulk.listed)
        return;
    net->bulk.listed = true;
    net->bulk.next = NULL;
    if (c->bulk_tail == NULL)
        c->bulk_head = net;
    else
        c->bulk_tail->bulk.next = net;
    c->bulk_tail = net;
}

static struct pv_cnet *unlist_first(struct pv_coord *c)
{
    struct pv_cnet *net = c->bulk_head;
    c->bulk_head = net->bulk.next;
    if (c->bulk_head == NULL)
        c->bulk_tail = NULL;
    net->bulk.listed = false;
    return net;
}

void pv_bulk_news(struct pv_coord *c, struct pv_cnet *net)
{
    net->bulk.has_news = true;
    list_net(c, net);
}

void pv_bulk_want(struct pv_coord *c, struct pv_conn *s, bool first)
{
    struct pv_cnet *net = s->net;
    if (s->log.listed)
        return;
    s->log.listed = true;
    s->log.prev = first ? NULL : net->bulk.tail;
    s->log.next = first ? net->bulk.head : NULL;
    if (s->log.prev == NULL)
        net->bulk.head = s;
    else
        s->log.prev->log.next = s;
    if (s->log.next == NULL)
        net->bulk.tail = s;
    else
        s->log.next->log.prev = s;
    list_net(c, net);
}

void pv_bulk_forget(struct pv_conn *s)
{
    struct pv_cnet *net = s->net;
    if (!s->log.listed)
        return;
    if (s->log.prev == NULL)
        net->bulk.head = s->log.next;
    else
        s->log.prev->log.next = s->log.next;
    if (s->log.next == NULL)
        net->bulk.tail = s->log.prev;
    else
        s->log.next->log.prev = s->log.prev;
    s->log.listed = false;
}

/* The first member behind the one that was told last. By key and not by place, as members come and
 * go between two turns. */
static size_t first_untold(const struct pv_cnet *net)
{
    size_t low = 0, high = net->bulk.round == PV_ROUND_GOES_ON ? net->n_members : 0;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(net->members[mid]->node, net->bulk.told, PV_SIGN_PK_LEN) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The next member to be told of the round. A statement that comes during a round is told by it to
 * those who have not had their turn, and by the next one to the others: so the more there is to
 * tell, the more statements share a message. NULL: everybody knows everything. */
static struct pv_conn *next_told(struct pv_cnet *net)
{
    while (net->bulk.round != PV_ROUND_NONE || net->bulk.has_news) {
        if (net->bulk.round == PV_ROUND_NONE) {
            net->bulk.has_news = false;
            net->bulk.round = PV_ROUND_NEW;
        }
        for (size_t i = first_untold(net); i < net->n_members; i++) {
            struct pv_conn *s = net->members[i];
            if (!pv_bulk_is_behind(s))
                continue;
            memcpy(net->bulk.told, s->node, sizeof(net->bulk.told));
            net->bulk.round = PV_ROUND_GOES_ON;
            return s;
        }
        net->bulk.round = PV_ROUND_NONE;
    }
    return NULL;
}

/* Those who ask take turns with the round, and networks with each other. */
struct pv_conn *pv_bulk_next(struct pv_coord *c)
{
    while (c->bulk_head != NULL) {
        struct pv_cnet *net = unlist_first(c);
        struct pv_conn *s = net->bulk.ask_is_next ? NULL : next_told(net);
        if (s == NULL && net->bulk.head != NULL) {
            s = net->bulk.head;
            pv_bulk_forget(s);
        } else if (s == NULL) {
            s = next_told(net);
        }
        net->bulk.ask_is_next = !net->bulk.ask_is_next;
        if (net->bulk.head != NULL || net->bulk.round != PV_ROUND_NONE || net->bulk.has_news)
            list_net(c, net);
        if (s != NULL)
            return s;
    }
    return NULL;
}

/* --- pages ----------------------------------------------------------------------------------- */

/* Sends a page of the log from s->log.at on, and moves it: as a push for id 0. */
static int send_page(struct pv_coord *c, struct pv_conn *s, uint64_t id, pv_ns now)
{
    struct pv_page *page = pv_pages_get(&c->pages, s->net, s->log.at, s->able.pages, now);
    if (page == NULL)
        return PV_ERR_NOMEM;
    int r = pv_control_send(s->control, pv_pages_text(page, id));
    if (r == PV_OK) {
        s->log.at = page->next;
        s->log.state = id != 0 && page->more ? PV_CONN_LOG_PAGING : PV_CONN_LOG_LIVE;
    }
    return r;
}

/* After the last page news are pushed. A push with more behind it is followed by another one when
 * there is room: nobody has to ask. */
void pv_bulk_send_page(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    uint64_t id = s->log.pull_id;
    bool room =
        id != 0 ? pv_control_room(s->control) >= PV_CONN_ROOM_MIN : pv_conn_has_push_room(s);
    s->log.stalled = pv_bulk_is_behind(s) && !room;
    if (s->log.stalled || !pv_bulk_is_behind(s))
        return;
    s->log.pull_id = 0;
    if (send_page(c, s, id, now) < 0)
        s->dead = true;
}
