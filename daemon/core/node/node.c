/* SPDX-License-Identifier: MIT */
/* node.c - questions that many parts ask of the node. */
#include "daemon/core/node/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/local/remedy.h"

int pv_part_make(const struct pv_part *part, struct pv_node *node,
                 const struct pv_engine_config *cfg, pv_ns now, void **ret_self)
{
    if (part->make != NULL)
        return part->make(node, cfg, now, ret_self);
    void *self = part->size == 0 ? node : calloc(1, part->size);
    if (self == NULL)
        return PV_ERR_NOMEM;
    if (part->size != 0)
        memcpy(self, &node, sizeof(node)); /* its first member */
    int r = part->start == NULL ? PV_OK : part->start(self, cfg, now);
    if (r < 0)
        pv_part_free(part, self);
    else
        *ret_self = self;
    return r;
}

void pv_part_free(const struct pv_part *part, void *self)
{
    if (part->free != NULL)
        part->free(self);
    if (part->size != 0)
        free(self);
}

static pv_ns due_of(const struct pv_part *part, const void *self)
{
    const void *due = (const char *)self + part->due;
    return part->due == 0 ? PV_NEVER : *(const pv_ns *)due;
}

pv_ns pv_part_next_timeout(const struct pv_part *part, const void *self)
{
    pv_ns next = part->next_timeout == NULL ? PV_NEVER : part->next_timeout(self);
    return pv_min_ns(next, due_of(part, self));
}

void pv_part_handle_timeout(const struct pv_part *part, void *self, pv_ns now)
{
    if (part->handle_timeout != NULL)
        part->handle_timeout(self, now);
    if (part->on_due != NULL && now >= due_of(part, self))
        part->on_due(self, now);
}

void *pv_node_part(const struct pv_node *n, const struct pv_part *part)
{
    PV_EACH_PART(n, slot) {
        if (slot->part == part)
            return slot->self;
    }
    return NULL;
}

/* A removed node may keep an interface for static peers, without an address of the network. */
bool pv_node_is_on_overlay(const struct pv_node *n)
{
    return n->up && !n->removed && n->iface.state == PV_IFACE_UP;
}

bool pv_node_takes_part(const struct pv_node *n)
{
    return n->up && !n->removed && pv_node_self(n) != NULL;
}

const struct pv_member *pv_node_self(const struct pv_node *n)
{
    return n->roster == NULL ? NULL : pv_roster_by_node(n->roster, n->identity->sign_pk);
}

static bool is_former(const struct pv_member *m)
{
    return m != NULL && (m->state == PV_MEMBER_LEFT || m->state == PV_MEMBER_REVOKED);
}

/* A leave with our signature says so. */
static bool has_left(const struct pv_node *n)
{
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_known(n->roster, n->identity->sign_pk);
    return self != NULL && !n->leaving && !n->removed && self->state == PV_MEMBER_LEFT;
}

bool pv_node_was_left(const struct pv_node *n)
{
    return has_left(n) ||
           (n->roster != NULL && pv_roster_known(n->roster, n->identity->sign_pk) != NULL &&
            !n->leaving && !n->removed && n->coord_info.standing == PV_COORD_RESIGNED);
}

const char pv_node_left_why[] =
    "this node left the network, and not by a command here: its state was copied, or a leave was "
    "cut off";
bool pv_node_waits(const struct pv_node *n)
{
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_enrolled(n->roster, n->identity->sign_pk);
    return self != NULL && self->state == PV_MEMBER_WAITING;
}

bool pv_node_is_stranger(const struct pv_node *n)
{
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_known(n->roster, n->identity->sign_pk);
    /* A node that is leaving has said so, and the network is still there. */
    return n->roster != NULL && !n->removed && !is_former(self) &&
           pv_roster_enrolled(n->roster, n->identity->sign_pk) == NULL;
}

const char *pv_node_denied(const struct pv_node *n)
{
    if (n->roster == NULL || n->removed || n->coord_info.standing != PV_COORD_DENIED)
        return NULL;
    return pv_node_waits(n) ? "an admin denied this machine, the coordinator says"
                            : "this node was removed from the network, the coordinator says";
}

bool pv_node_is_unknown(const struct pv_node *n)
{
    return n->roster != NULL && !n->removed && !n->online && !pv_node_waits(n) &&
           n->coord_info.unknown;
}

unsigned pv_node_told_in(pv_ns since, pv_ns now)
{
    const pv_ns until = since + PV_COORD_TOLD_BY;
    return now >= until ? 0 : (unsigned)((until - now + PV_S(1) - 1) / PV_S(1));
}

struct pv_connect_about pv_node_about_proxy(const struct pv_node *n)
{
    return (struct pv_connect_about){.proxy = n->coord_info.proxy_at,
                                     .to = n->coord_info.proxy_to,
                                     .has_login = n->given.proxy.has_login};
}

bool pv_node_is_kept_by_proxy(const struct pv_node *n, struct pv_remedy *ret_todo)
{
    const struct pv_connect_about about = pv_node_about_proxy(n);
    *ret_todo = pv_connect_todo(&n->coord_info.proxy, &about);
    return !n->online && ret_todo->id != PV_REMEDY_NONE;
}

enum pv_remedy_id pv_node_unserved(const struct pv_node *n)
{
    if (n->roster == NULL || n->online || !n->coord_info.unserved)
        return PV_REMEDY_NONE;
    /* The root key of another network has no rights in this one. */
    bool may = n->identity->has_root &&
               memcmp(n->identity->root.pk, pv_roster_root(n->roster), PV_SIGN_PK_LEN) == 0;
    return may ? PV_REMEDY_serve_again : PV_REMEDY_ask_to_serve_again;
}

/* --- the machine that a text names --------------------------------------------------------- */

/* One label of a name with dots. *text is behind it then, and behind the dot that follows. */
static bool take_label(const char **text, char ret_label[static PV_NAME_BUF])
{
    size_t len = strcspn(*text, ".");
    bool ok = pv_name_parse(*text, len, ret_label) == PV_OK;
    *text += len + ((*text)[len] == '.' ? 1 : 0);
    return ok;
}

bool pv_node_name(const struct pv_node *n, const char *text, char ret_name[static PV_NAME_BUF])
{
    char label[PV_NAME_BUF];
    bool ok = n->roster != NULL && take_label(&text, ret_name);
    if (ok && *text != '\0')
        ok = take_label(&text, label) && strcmp(label, pv_roster_network(n->roster)->name) == 0;
    if (ok && *text != '\0')
        ok = take_label(&text, label) && strcmp(label, "p2p") == 0 && *text == '\0';
    if (!ok)
        ret_name[0] = '\0';
    return ok;
}

bool pv_node_ip(const char *text, struct pv_addr *ret_ip)
{
    /* Brackets are what an address of IPv6 stands in beside a port. */
    return pv_addr_parse_ip(text, ret_ip) == PV_OK ||
           pv_addr_parse(PV_STR("%.*s:0", PV_ADDR_TEXT, text), ret_ip) == PV_OK;
}

const struct pv_member *pv_node_member(const struct pv_node *n, const char *text)
{
    char name[PV_NAME_BUF];
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_addr ip;
    if (n->roster == NULL)
        return NULL;
    if (pv_node_ip(text, &ip))
        return pv_roster_by_ip(n->roster, &ip);
    /* A name may look like a key. */
    if (pv_key_parse(text, pk) == PV_OK && pv_roster_by_node(n->roster, pk) != NULL)
        return pv_roster_by_node(n->roster, pk);
    if (strncmp(text, "key:", 4) == 0) {
        const struct pv_member *m = pv_node_by_short(n, text, NULL);
        return m == NULL ? NULL : pv_roster_by_node(n->roster, m->node);
    }
    return pv_node_name(n, text, name) ? pv_roster_by_name(n->roster, name) : NULL;
}

bool pv_node_is_self(const struct pv_node *n, const char *text)
{
    const struct pv_member *self = pv_node_self(n);
    return self != NULL && pv_node_member(n, text) == self;
}

const struct pv_member *pv_node_aside(const struct pv_node *n, const char *text)
{
    const struct pv_member *m = NULL;
    char name[PV_NAME_BUF];
    uint8_t pk[PV_SIGN_PK_LEN];
    bool is_key = pv_key_parse(text, pk) == PV_OK, is_name = pv_node_name(n, text, name);
    while ((m = pv_roster_next_aside(n->roster, m)) != NULL) {
        if ((is_name && strcmp(m->name, name) == 0) ||
            (is_key && memcmp(m->node, pk, sizeof(pk)) == 0))
            break;
    }
    return m;
}

const char *pv_node_who(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                        char buf[static PV_NODE_WHO])
{
    const struct pv_member *m = n->roster == NULL ? NULL : pv_roster_known(n->roster, pk);
    if (m == NULL || m->name[0] == '\0')
        snprintf(buf, PV_NODE_WHO, "?");
    else if (m->state == PV_MEMBER_LEFT || m->state == PV_MEMBER_REVOKED)
        snprintf(buf, PV_NODE_WHO, "%s (former, %s)", m->name, PV_KEY_SHORT_STR(PV_KEY_STR(pk)));
    else
        snprintf(buf, PV_NODE_WHO, "%s", m->name);
    return buf;
}

const struct pv_member *pv_node_by_short(const struct pv_node *n, const char *text,
                                         bool *ret_several)
{
    const struct pv_member *found = NULL;
    bool several = false;
    for (const struct pv_roster_entry *x =
             n->roster == NULL ? NULL : pv_roster_next_entry(n->roster, NULL);
         x != NULL; x = pv_roster_next_entry(n->roster, x)) {
        if (x->st.type != PV_ST_MEMBER || !pv_key_is_short(text, x->st.u.member.node))
            continue;
        const struct pv_member *m = pv_roster_known(n->roster, x->st.u.member.node);
        if (m == NULL || m->state == PV_MEMBER_NONE)
            continue;
        several = several || (found != NULL && found != m);
        found = m;
    }
    if (ret_several != NULL)
        *ret_several = several;
    return several ? NULL : found;
}

static const struct pv_member *last_holder(const struct pv_node *n, const char *text)
{
    char name[PV_NAME_BUF];
    return pv_node_name(n, text, name) ? pv_roster_last_holder(n->roster, name) : NULL;
}

const struct pv_member *pv_node_former_member(const struct pv_node *n, const char *text)
{
    uint8_t pk[PV_SIGN_PK_LEN];
    if (n->roster == NULL)
        return NULL;
    const struct pv_member *m = pv_node_by_short(n, text, NULL);
    if (!is_former(m) && pv_key_parse(text, pk) == PV_OK)
        m = pv_roster_known(n->roster, pk);
    if (!is_former(m))
        m = last_holder(n, text);
    return is_former(m) ? m : NULL;
}

const struct pv_member *pv_node_renamed(const struct pv_node *n, const char *text)
{
    const struct pv_member *m = last_holder(n, text);
    return is_former(m) ? NULL : m;
}

uint64_t pv_node_coord_us(const struct pv_node *n, pv_ns now)
{
    const struct pv_wall *c = &n->coord_info.clock;
    return c->us == 0 ? 0 : c->us + (now > c->at ? (now - c->at) / PV_US(1) : 0);
}

/* The shell tells the wall clock once a turn, so that all parts see the same. Between two turns it
 * runs on with `now`. */
uint64_t pv_node_wall_us(const struct pv_node *n, pv_ns now)
{
    return n->wall.us + (now > n->wall.at ? (now - n->wall.at) / PV_US(1) : 0);
}

uint64_t pv_node_wall_ms(const struct pv_node *n, pv_ns now)
{
    return pv_node_wall_us(n, now) / 1000;
}

const struct pv_link_addr *pv_node_link_in(const struct pv_node *n, const struct pv_prefix *range)
{
    for (size_t i = 0; n->given.inside == 0 && i < n->host.n_links; i++) {
        const struct pv_link_addr *link = &n->host.links[i];
        if (link->up && pv_prefix_overlaps(&link->addr, range))
            return link;
    }
    return NULL;
}

bool pv_node_leads_in(const struct pv_node *n, const struct pv_addr *addr)
{
    if (n->roster == NULL || n->given.inside != 0)
        return false;
    const struct pv_prefix ula = pv_network_ula(pv_roster_network_id(n->roster));
    return pv_prefix_contains(&pv_roster_network(n->roster)->range, addr) ||
           pv_prefix_contains(&ula, addr);
}

bool pv_node_is_own_range(const struct pv_node *n, const struct pv_addr *addr)
{
    for (size_t i = 0; i < n->given.n_own_addrs; i++) {
        if (pv_prefix_contains(&n->given.own_addrs[i], addr))
            return true;
    }
    return pv_node_leads_in(n, addr);
}

bool pv_node_has_ipv4(const struct pv_node *n)
{
    for (size_t i = 0; i < n->host.n_links; i++) {
        const struct pv_link_addr *l = &n->host.links[i];
        if (l->addr.base.family == PV_AF_INET && l->up && !l->loopback && !l->container &&
            !pv_addr_is_link_local(&l->addr.base) && (!l->tunnel || l->way_out))
            return true;
    }
    return false;
}

uint64_t pv_node_wall_s(const struct pv_node *n, pv_ns now)
{
    return pv_node_wall_us(n, now) / 1000000;
}

bool pv_node_put_meta(struct pv_node *n, const char *name, struct pv_view value)
{
    return pv_node_put_meta_for(n, name, value, pv_node_job_stored, n, 0);
}

bool pv_node_put_meta_for(struct pv_node *n, const char *name, struct pv_view value,
                          pv_job_done *done, void *self, uint64_t tag)
{
    struct pv_job *job = pv_job_new(PV_JOB_SET_META);
    /* One byte more, for malloc(0) may return NULL, which would look like a lack of memory. */
    if (job != NULL)
        job->u.set_meta.value = malloc(value.len + 1);
    if (job == NULL || job->u.set_meta.value == NULL) {
        pv_job_free(job);
        pv_node_not_stored(n);
        return false;
    }
    memcpy(job->u.set_meta.name, name, strlen(name) + 1);
    if (value.len > 0)
        memcpy(job->u.set_meta.value, value.ptr, value.len);
    job->u.set_meta.len = value.len;
    if (pv_jobqueue_submit(&n->jobs, job, done, self, tag))
        return true;
    pv_node_not_stored(n);
    return false;
}

/* A failure is remembered until everything has been written again, so that `status` shows a full
 * disk for as long as it is full: a small write may find room where others found none. */
void pv_node_stored(struct pv_node *n, const struct pv_job_result *result)
{
    if (result->status == PV_OK) {
        n->store.works = true;
        if (!n->store.failed)
            n->store.error[0] = '\0';
        return;
    }
    n->store.works = false;
    /* Many writes fail for one reason, again with every attempt. */
    if (strcmp(n->store.error, result->error) != 0)
        pv_log(n->log, PV_LOG_ERROR, "what=\"not stored\" why=\"%s\"", result->error);
    memcpy(n->store.error, result->error, sizeof(n->store.error));
    n->store.failed = true;
}

void pv_node_job_stored(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    pv_node_stored(wait->self, result);
}

void pv_node_not_stored(struct pv_node *n)
{
    struct pv_job_result failed = {.status = PV_ERR_NOMEM};
    snprintf(failed.error, sizeof(failed.error), "out of memory, or too many writes wait");
    pv_node_stored(n, &failed);
}

/* --- lines that nobody asked for -------------------------------------------------------------- */

static const char *const source_names[PV_FROM_COUNT] = {
    [PV_FROM_STATEMENTS] = "statements",
    [PV_FROM_COORDINATOR] = "coordinator",
    [PV_FROM_MEMBERS] = "members",
};

/* Others can cause these lines as often as they like, so each source has a rate; what was held back
 * is counted in the next line, or by pv_node_log_rest(). */
bool pv_node_may_log(struct pv_node *n, enum pv_report_source source, const char *text, pv_ns now,
                     char ret_more[static PV_NODE_MORE])
{
    uint64_t more;
    if (!pv_repeats_say(&n->reports.repeats[source], text, now, &more))
        return false;
    ret_more[0] = '\0';
    if (more > 0)
        snprintf(ret_more, PV_NODE_MORE, " more=%" PRIu64, more);
    return true;
}

void pv_node_log_rest(struct pv_node *n, pv_ns now)
{
    for (unsigned i = 0; i < PV_FROM_COUNT; i++) {
        uint64_t more;
        if (pv_repeats_take_rest(&n->reports.repeats[i], now, &more))
            pv_log(n->log, PV_LOG_WARN, "what=\"more of the like\" about=%s more=%" PRIu64,
                   source_names[i], more);
    }
}

pv_ns pv_node_next_rest(const struct pv_node *n)
{
    pv_ns next = PV_NEVER;
    for (unsigned i = 0; i < PV_FROM_COUNT; i++)
        next = pv_min_ns(next, pv_repeats_next_timeout(&n->reports.repeats[i]));
    return next;
}

/* The report with this text; text NULL: the newest of the source. NULL: there is none. */
static struct pv_report *find_report(struct pv_node *n, enum pv_report_source source,
                                     const char *text)
{
    for (size_t i = n->reports.n; i > 0; i--) {
        struct pv_report *r = &n->reports.list[i - 1];
        if (r->source == source &&
            (text == NULL || strncmp(r->text, text, sizeof(r->text) - 1) == 0))
            return r;
    }
    return NULL;
}

static void drop_report(struct pv_node *n, size_t at)
{
    memmove(&n->reports.list[at], &n->reports.list[at + 1],
            (n->reports.n - at - 1) * sizeof(n->reports.list[0]));
    n->reports.n--;
}

/* The newest reports are those somebody asks for; but a source that has many may only push out its
 * own. */
static void make_room(struct pv_node *n, enum pv_report_source source)
{
    size_t of_source = 0, oldest = n->reports.n, gone = 0;
    for (size_t i = n->reports.n; i > 0; i--) {
        if (n->reports.list[i - 1].source == source) {
            of_source++;
            oldest = i - 1;
        }
    }
    if (of_source >= PV_NODE_SOURCE_REPORTS)
        gone = oldest;
    else if (n->reports.n < PV_NODE_REPORTS)
        return;
    drop_report(n, gone);
}

/* The shell tells the time of day with every turn. */
void pv_node_tell(struct pv_node *n, const struct pv_event *event, json_t *body)
{
    pv_events_tell(&n->events, n->ctl, n->wall.us, event, body);
}

bool pv_node_log_report(struct pv_node *n, enum pv_report_source source, const char *text,
                        pv_ns now)
{
    char more[PV_NODE_MORE];
    bool say = pv_node_may_log(n, source, text, now, more);
    if (say)
        pv_log(n->log, PV_LOG_WARN, "what=report text=\"%s\"%s", text, more);
    return say;
}

void pv_node_report(struct pv_node *n, enum pv_report_source source, const char *text, pv_ns now)
{
    /* A text that is there already counts up, and so does the newest one for a text that may not be
     * said any more: `status` then shows that there was more. */
    struct pv_report *same = find_report(n, source, text);
    bool say = pv_node_log_report(n, source, text, now);
    if (same == NULL && !say)
        same = find_report(n, source, NULL);
    if (same != NULL) {
        same->more++;
    } else if (say) {
        make_room(n, source);
        struct pv_report *r = &n->reports.list[n->reports.n++];
        r->source = source;
        r->more = 0;
        snprintf(r->text, sizeof(r->text), "%s", text);
    }
}

void pv_node_report_over(struct pv_node *n, enum pv_report_source source, const char *text)
{
    const struct pv_report *r = find_report(n, source, text);
    if (r != NULL)
        drop_report(n, (size_t)(r - n->reports.list));
}

bool pv_node_is_in(const struct pv_node *n)
{
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_enrolled(n->roster, n->identity->sign_pk);
    return n->roster != NULL && !n->removed && !has_left(n) && !pv_node_is_stranger(n) &&
           (self == NULL || (self->state != PV_MEMBER_EXPIRED && self->state != PV_MEMBER_WAITING));
}

bool pv_node_need_network(struct pv_node *n, const char *what, uint64_t handle)
{
    /* A removed node still has its roster, and `join` would not help it: this is asked first. */
    if (n->removed) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                        "%s: this machine was removed from network %s: %s", what,
                        pv_roster_network(n->roster)->name, PV_DO_STR(join_anew));
        return false;
    }
    if (has_left(n)) { /* the coordinator's word alone keeps nobody from what it may do */
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED, "%s: %s: %s", what, pv_node_left_why,
                        PV_DO_STR(join_again));
        return false;
    }
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_enrolled(n->roster, n->identity->sign_pk);
    if (self != NULL && self->state == PV_MEMBER_EXPIRED) {
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_REFUSED,
            "%s: the membership of this machine has expired: it is renewed as soon as the "
            "coordinator is reached: `p2pvpnctl status` says why it is not",
            what);
        return false;
    }
    if (self != NULL && self->state == PV_MEMBER_WAITING && pv_node_denied(n) != NULL) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED, "%s: %s: %s", what, pv_node_denied(n),
                        PV_DO_STR(join_anew));
        return false;
    }
    if (self != NULL && self->state == PV_MEMBER_WAITING) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                        "%s: this machine waits until an admin of network %s admits it. On an "
                        "admin's machine: `sudo p2pvpnctl admit %s`",
                        what, pv_roster_network(n->roster)->name, self->name);
        return false;
    }
    if (pv_node_is_stranger(n)) {
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_REFUSED,
            "%s: identity.key is not the one by which this machine joined network %s: %s", what,
            pv_roster_network(n->roster)->name, PV_DO_STR(former_identity));
        return false;
    }
    if (n->roster != NULL)
        return true;
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_NOT_JOINED,
                    "%s: this machine is in no network: `sudo p2pvpnctl join TOKEN`, or `sudo "
                    "p2pvpnctl create URL`",
                    what);
    return false;
}
