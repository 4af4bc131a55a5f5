/* SPDX-License-Identifier: MIT */
/* Keeps the pages that were made last. There are so few that looking through them costs less than
 * a map. */
#include "coordinator/core/pages.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/control/ctlpage.h"

static void drop(struct pv_pages *p, struct pv_page *page)
{
    p->bytes -= page->text == NULL ? 0 : page->len;
    free(page->text);
    *page = (struct pv_page){.net = NULL};
}

void pv_pages_done(struct pv_pages *p)
{
    for (size_t i = 0; i < PV_PAGES_MAX; i++)
        drop(p, &p->pages[i]);
}

void pv_pages_forget(struct pv_pages *p, const struct pv_cnet *net)
{
    for (size_t i = 0; i < PV_PAGES_MAX; i++)
        if (p->pages[i].net == net)
            drop(p, &p->pages[i]);
}

static bool is_good(const struct pv_page *page)
{
    return page->version == (page->more ? page->net->replaced : page->net->version);
}

static struct pv_page *find(struct pv_pages *p, const struct pv_cnet *net, size_t from)
{
    for (size_t i = 0; i < PV_PAGES_MAX; i++) {
        struct pv_page *page = &p->pages[i];
        if (page->net == net && page->from == from)
            return page;
    }
    return NULL;
}

/* The page that was used least lately, of this network; of any for NULL. NULL: there is none. */
static struct pv_page *oldest(struct pv_pages *p, const struct pv_cnet *net)
{
    struct pv_page *found = NULL;
    for (size_t i = 0; i < PV_PAGES_MAX; i++) {
        struct pv_page *page = &p->pages[i];
        if (page->net != NULL && (net == NULL || page->net == net) &&
            (found == NULL || page->used < found->used))
            found = page;
    }
    return found;
}

static size_t bytes_of(const struct pv_pages *p, const struct pv_cnet *net)
{
    size_t bytes = 0;
    for (size_t i = 0; i < PV_PAGES_MAX; i++)
        bytes += p->pages[i].net == net ? p->pages[i].len : 0;
    return bytes;
}

/* Frees old pages until one of len bytes has room. While many join, each asks from where the log
 * ended for it, and a network has no use for more than its log: of a small one such pages would be
 * a good part of what its members take. */
static struct pv_page *make_room(struct pv_pages *p, const struct pv_cnet *net, size_t len)
{
    struct pv_page *old;
    while (bytes_of(p, net) + len > PV_PAGES_SHARE * net->log_len && (old = oldest(p, net)) != NULL)
        drop(p, old);
    while (p->bytes + len > PV_PAGES_BYTES && (old = oldest(p, NULL)) != NULL)
        drop(p, old);
    for (size_t i = 0; i < PV_PAGES_MAX; i++) {
        if (p->pages[i].net == NULL)
            return &p->pages[i];
    }
    old = oldest(p, NULL);
    drop(p, old);
    return old;
}

/* The last page has the head of the roster, by which a node sees whether anything was withheld from
 * it. Texts are made as pushes; pv_pages_text() turns them into answers. */
static int make(struct pv_pages *p, struct pv_page *page, struct pv_cnet *net)
{
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_STATEMENTS};
    struct pv_ctl_statements *st = &m.u.statements;
    page->next = page->from;
    st->items = items;
    st->n = pv_cnet_page(net, &page->next, items);
    st->more = page->more = page->next < net->log_len;
    st->have = pv_cnet_before(net, page->next);
    page->version = page->more ? net->replaced : net->version;
    if (!st->more) {
        st->has_head = true;
        memcpy(st->head, pv_cnet_head(net), PV_CTL_HASH_LEN);
        pv_roster_members(net->roster, st->members);
    }
    return pv_ctl_build(&m, p->made, sizeof(p->made), &page->len);
}

struct pv_page *pv_pages_get(struct pv_pages *p, struct pv_cnet *net, size_t from, pv_ns now)
{
    struct pv_page *page = find(p, net, from);
    if (page != NULL && is_good(page)) {
        page->used = now;
        return page;
    }
    if (page != NULL)
        drop(p, page);
    struct pv_page made = {.net = net, .from = from, .used = now};
    if (make(p, &made, net) < 0)
        return NULL;
    made.text = malloc(made.len);
    if (made.text == NULL)
        return NULL;
    memcpy(made.text, p->made, made.len);
    page = make_room(p, net, made.len);
    *page = made;
    p->bytes += made.len;
    return page;
}

/* An answer differs from a push in its number alone. */
struct pv_view pv_pages_text(struct pv_page *page, uint64_t id)
{
    pv_store_be64(page->text + PV_CTLPAGE_ID, id);
    return pv_view(page->text, page->len);
}

void pv_pages_handle_timeout(struct pv_pages *p, pv_ns now)
{
    for (size_t i = 0; i < PV_PAGES_MAX && p->bytes > 0; i++) {
        if (p->pages[i].net != NULL && p->pages[i].used + PV_PAGES_KEPT <= now)
            drop(p, &p->pages[i]);
    }
}

pv_ns pv_pages_next_timeout(const struct pv_pages *p)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < PV_PAGES_MAX && p->bytes > 0; i++) {
        if (p->pages[i].net != NULL)
            next = pv_min_ns(next, p->pages[i].used + PV_PAGES_KEPT);
    }
    return next;
}
