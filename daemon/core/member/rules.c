/* SPDX-License-Identifier: MIT */
/* rules.c - the rules in force: from statements to tables of the packet threads, and answers. */
#include "daemon/core/member/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/member/closed.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/rules/flow.h"

#define RETRY PV_S(1) /* ours: until rules that found no memory are made again */

/* The fate of the mark that the store keeps, once the rules are known. A write behind that of the
 * rules shows that these are there: else a start after a crash, or after a full disk that had room
 * for the smaller one of the two, would find neither rules nor a reason to wait for them. */
enum mark {
    MARK_DONE,   /* it is gone, or still needed */
    MARK_BEHIND, /* it is to be written again, behind what is on its way */
    MARK_PROVES, /* that is under way */
    MARK_GOES,   /* it is deleted */
    MARK_FAILED, /* until the store takes something again */
};

/* Peers about which the same rules are share a table. */
struct shared {
    struct pv_ruletable *table; /* holds a reference */
    size_t n;
    uint16_t *rules;   /* owned: numbers of the rules that are about it */
    bool allow, local; /* the default; [firewall] narrows it */
};

struct rules {
    struct pv_node *node;
    const struct pv_ports *firewall; /* of this node; NULL: none; points to own */
    struct pv_ports own;
    struct pv_policy *policy;              /* NULL: there is none */
    uint8_t digest[PV_STATEMENT_HASH_LEN]; /* of the statements that it was made of */
    struct pv_closed unknown;              /* whether there may be others */
    struct pv_ruleline *lines;             /* owned: room for all rules */
    uint64_t *denied;                      /* owned: by each rule before the guard of now; [0]:
                                            * by default, at the end: [firewall] */
    struct shared *shared;                 /* owned */
    size_t n_shared;
    struct pv_ruletable *closed;           /* lets nothing in; holds a reference */
    struct pv_prefix here[PV_FP_MAX_HERE]; /* what this node carries for members */
    size_t n_here;
    /* Parts of it about which rules differ, the longest first; cut: there are more. */
    struct pv_prefix regions[PV_FP_MAX_PARTS];
    size_t n_regions;
    bool cut;
    struct pv_rules_phone phones[PV_FP_MAX_PHONES]; /* that this node carries */
    size_t n_phones;
    enum mark mark;
    bool shut;    /* the packet threads let in answers only, as rules are unknown */
    bool guarded; /* the packet threads have a guard */
    bool started; /* the rules were looked at before: what comes now is news */
    struct pv_fp_doubt doubt;
    pv_ns retry_at; /* memory was missing; PV_NEVER */
};

static struct rules *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_rules);
}

/* --- tables ------------------------------------------------------------------------------- */

static void drop_shared(struct rules *r)
{
    for (size_t i = 0; i < r->n_shared; i++) {
        pv_ruletable_unref(r->shared[i].table);
        free(r->shared[i].rules);
    }
    free(r->shared);
    r->shared = NULL;
    r->n_shared = 0;
}

/* The same rules in the same order make the same table, whoever the peers are. */
static bool same_lines(const struct shared *s, const struct shared *fresh,
                       const struct pv_ruleline *lines)
{
    size_t n = fresh->n;
    if (s->n != n || s->allow != fresh->allow || s->local != fresh->local)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->rules[i] != lines[i].rule)
            return false;
    }
    return true;
}

/* The table of the first n of r->lines, shared with others that have the same. local: as [firewall]
 * narrows it. NULL without memory. */
static struct pv_ruletable *table_of(struct rules *r, size_t n, bool allow_default, bool local)
{
    struct shared fresh = {.n = n, .allow = allow_default, .local = local};
    const struct pv_ruleline *lines = r->lines;
    for (size_t i = 0; i < r->n_shared; i++) {
        if (same_lines(&r->shared[i], &fresh, lines))
            return r->shared[i].table;
    }
    struct shared *all = reallocarray(r->shared, r->n_shared + 1, sizeof(*all));
    if (all == NULL)
        return NULL;
    r->shared = all;
    fresh.rules = malloc((n + 1) * sizeof(*fresh.rules));
    if (fresh.rules == NULL || pv_ruletable_new(lines, n, allow_default, local ? r->firewall : NULL,
                                                &fresh.table) != PV_OK) {
        free(fresh.rules);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        fresh.rules[i] = lines[i].rule;
    all[r->n_shared++] = fresh;
    return fresh.table;
}

static bool is_listed(const struct pv_prefix *list, size_t n, const struct pv_prefix *p)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].bits == p->bits && pv_addr_equal_ip(&list[i].base, &p->base))
            return true;
    }
    return false;
}

static void add_region(struct rules *r, const struct pv_prefix *p)
{
    if (is_listed(r->regions, r->n_regions, p))
        return;
    if (r->n_regions == PV_FP_MAX_PARTS) {
        r->cut = true;
        return;
    }
    size_t at = r->n_regions++;
    for (; at > 0 && r->regions[at - 1].bits < p->bits; at--)
        r->regions[at] = r->regions[at - 1];
    r->regions[at] = *p;
}

/* Inside a region the same rules are about every address: each prefix that a rule names is one. */
static void make_regions(struct rules *r)
{
    size_t n = r->policy == NULL ? 0 : pv_policy_count(r->policy);
    struct pv_prefix p;
    r->n_regions = 0;
    r->cut = false;
    for (size_t k = 0; k < r->n_here; k++) {
        add_region(r, &r->here[k]);
        for (size_t i = 1; i <= n; i++) {
            if (pv_selector_prefix(&pv_policy_at(r->policy, i)->to, &p) &&
                p.bits > r->here[k].bits && pv_prefix_contains(&r->here[k], &p.base))
                add_region(r, &p);
        }
    }
}

static struct pv_prefix alone(const struct pv_addr *ip)
{
    return (struct pv_prefix){.base = *ip, .bits = (uint8_t)(8 * pv_addr_ip_len(ip))};
}

/* A phone's own machine keeps no rules, so this node, which carries it, keeps them for both of its
 * addresses. */
static int guard_phones(struct rules *r, const struct pv_peer *p, struct pv_fp_region *regions)
{
    bool allow = !r->unknown.is && (r->policy == NULL || !pv_policy_denies_by_default(r->policy));
    for (size_t i = 0; i < r->n_phones; i++) {
        const struct pv_rules_phone *g = &r->phones[i];
        size_t lines = r->policy == NULL || r->unknown.is
                           ? 0
                           : pv_policy_lines(r->policy, pv_peer_pk(p), g->pk, r->lines);
        struct pv_ruletable *table = table_of(r, lines, allow, false);
        if (table == NULL)
            return PV_ERR_NOMEM;
        regions[2 * i] = (struct pv_fp_region){.prefix = alone(&g->ip4), .rules = table};
        regions[2 * i + 1] = (struct pv_fp_region){.prefix = alone(&g->ip6), .rules = table};
    }
    return PV_OK;
}

/* The other members keep the rules about a phone themselves. */
static int open_network(struct rules *r, struct pv_fp_region regions[static 2])
{
    struct pv_ruletable *table = table_of(r, 0, !r->unknown.is, false);
    if (table == NULL || r->node->roster == NULL)
        return PV_ERR_NOMEM;
    regions[0] =
        (struct pv_fp_region){.prefix = pv_roster_network(r->node->roster)->range, .rules = table};
    regions[1] = (struct pv_fp_region){
        .prefix = pv_network_ula(pv_roster_network_id(r->node->roster)), .rules = table};
    return PV_OK;
}

/* Phones and networks behind this node have rules of their own; [firewall] is about this node
 * alone. Of more regions than there is room for nobody knows what holds, so nothing enters any. */
static int guard_beyond(struct rules *r, const struct pv_peer *p)
{
    struct pv_fp_region regions[PV_FP_MAX_REGIONS];
    const uint8_t *self = r->node->identity->sign_pk;
    bool allow =
        !r->cut && !r->unknown.is && (r->policy == NULL || !pv_policy_denies_by_default(r->policy));
    bool guarded = r->guarded && pv_peer_is_member(p);
    size_t first = guarded ? 2 * r->n_phones : 0;
    int status = guarded ? guard_phones(r, p, regions) : PV_OK;
    if (status == PV_OK && guarded && pv_peer_is_phone(p)) {
        status = open_network(r, &regions[first]);
        first += 2;
    }
    if (status != PV_OK)
        return status;
    size_t n = guarded ? first + r->n_regions : 0;
    for (size_t k = 0; guarded && k < r->n_regions; k++) {
        const size_t i = first + k;
        size_t lines =
            r->policy == NULL || r->cut || r->unknown.is
                ? 0
                : pv_policy_lines_beyond(r->policy, pv_peer_pk(p), self, &r->regions[k], r->lines);
        regions[i] = (struct pv_fp_region){.prefix = r->regions[k],
                                           .rules = table_of(r, lines, allow, false)};
        if (regions[i].rules == NULL)
            return PV_ERR_NOMEM;
    }
    return pv_fp_builder_set_regions(r->node->fp, pv_peer_id(p), regions, n);
}

/* A peer that is new stays outside until there is memory for its rules; one that has some keeps
 * them so long. */
static int close_peer(const struct rules *r, const struct pv_peer *p, bool had_rules)
{
    if (!had_rules)
        (void)!pv_fp_builder_set_rules(r->node->fp, pv_peer_id(p), r->closed);
    return PV_ERR_NOMEM;
}

/* This node keeps the rules about what its own programs, and networks around it, send to a phone,
 * whose machine keeps none. */
static int guard_out(struct rules *r, const struct pv_peer *p)
{
    struct pv_ruletable *table = NULL;
    if (r->guarded && pv_peer_is_phone(p)) {
        bool allow =
            !r->unknown.is && (r->policy == NULL || !pv_policy_denies_by_default(r->policy));
        size_t lines =
            r->policy == NULL || r->unknown.is
                ? 0
                : pv_policy_lines(r->policy, r->node->identity->sign_pk, pv_peer_pk(p), r->lines);
        table = table_of(r, lines, allow, false);
        if (table == NULL)
            return PV_ERR_NOMEM;
    }
    return pv_fp_builder_set_out(r->node->fp, pv_peer_id(p), table);
}

/* Static peers are no members: only [firewall] is about them. */
static int guard_peer(struct rules *r, const struct pv_peer *p)
{
    struct pv_node *n = r->node;
    struct pv_ruletable *table = NULL;
    size_t lines = 0;
    bool allow = true, had_rules = pv_fp_builder_has_rules(n->fp, pv_peer_id(p));
    if (r->guarded && r->unknown.is && pv_peer_is_member(p)) {
        table = r->closed;
    } else if (r->guarded) {
        if (pv_peer_is_member(p) && r->policy != NULL) {
            lines = pv_policy_lines(r->policy, pv_peer_pk(p), n->identity->sign_pk, r->lines);
            allow = !pv_policy_denies_by_default(r->policy);
        }
        table = table_of(r, lines, allow, true);
        if (table == NULL)
            return close_peer(r, p, had_rules);
    }
    int status = pv_fp_builder_set_rules(n->fp, pv_peer_id(p), table);
    if (status == PV_OK)
        status = guard_beyond(r, p);
    if (status == PV_OK)
        status = guard_out(r, p);
    return status == PV_ERR_NOMEM && r->guarded ? close_peer(r, p, had_rules) : status;
}

/* --- from statements ---------------------------------------------------------------------- */

/* A statement of the roster in the words of the policy, which knows no signers. */
static int add_statement(struct pv_policy *p, const struct pv_statement *st)
{
    if (st->type == PV_ST_TAG)
        return pv_policy_tag(p, st->u.tag.node, st->u.tag.tag);
    if (st->type != PV_ST_RULE)
        return PV_ERR_UNSUPPORTED;
    if (st->u.rule.kind == PV_RULE_DENY_DEFAULT) {
        pv_policy_deny_by_default(p);
        return PV_OK;
    }
    struct pv_policy_rule rule = {
        .place = st->u.rule.place,
        .allow = st->u.rule.kind == PV_RULE_ALLOW,
        .from = st->u.rule.from,
        .to = st->u.rule.to,
        .ports = st->u.rule.ports,
        .logins = st->u.rule.logins,
    };
    memcpy(rule.id, st->hash, sizeof(rule.id));
    return pv_policy_add(p, &rule);
}

/* The key that a machine was let in by, where that is an invite's and not an admin's. The holder of
 * a token could make a machine of the invite's key, so that nobody has it is no sign. */
const uint8_t *pv_rules_came_by(const struct pv_node *n, const uint8_t node[static PV_SIGN_PK_LEN])
{
    struct pv_roster_invite invite;
    const struct pv_member *m = n->roster == NULL ? NULL : pv_roster_known(n->roster, node);
    return m != NULL && pv_roster_invite(n->roster, m->admitted_by, &invite) == PV_OK
               ? m->admitted_by
               : NULL;
}

/* Of the words that a rule takes for everybody none is a tag. */
bool pv_rules_may_be_tag(struct pv_node *n, const char *what, const char *tag, uint64_t handle)
{
    const bool all = strcmp(tag, "any") == 0 || strcmp(tag, "all") == 0;
    if (all)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: %s means everybody: choose another word", what, tag);
    return !all;
}

/* A tag takes a slot of this node's, the first that is free. */
int pv_rules_make_tag(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], const char *tag,
                      pv_ns now, struct pv_made *ret_made)
{
    struct pv_st_tag st = {.kind = PV_TAG_SET, .time = pv_node_wall_s(n, now)};
    int r = pv_roster_free_slot(n->roster, n->identity->sign_pk, PV_ST_TAG, &st.slot);
    memcpy(st.node, pk, sizeof(st.node));
    snprintf(st.tag, sizeof(st.tag), "%s", tag);
    return r != PV_OK
               ? r
               : pv_make_tag(pv_roster_network_id(n->roster), n->identity->sign_sk, &st, ret_made);
}

static const uint8_t *came_by(const void *ctx, const uint8_t node[static PV_KEY_LEN])
{
    return pv_rules_came_by(ctx, node);
}

/* Beyond the limit nobody knows what was meant, so what no rule within it allows is denied. */
static int make_policy(const struct pv_node *n, struct pv_policy **ret_policy)
{
    const struct pv_roster *roster = n->roster;
    struct pv_policy *p;
    int status = pv_policy_new(&p);
    if (status != PV_OK)
        return status;
    pv_policy_set_came_by(p, came_by, n);
    for (const struct pv_roster_entry *e = NULL;
         status == PV_OK && (e = pv_roster_next_rule(roster, e)) != NULL;) {
        status = add_statement(p, &e->st);
        if (status == PV_ERR_LIMIT) {
            pv_policy_deny_by_default(p);
            status = PV_OK;
        }
    }
    if (status != PV_OK) {
        pv_policy_free(p);
        return status;
    }
    pv_policy_finish(p);
    *ret_policy = p;
    return PV_OK;
}

/* Without a policy there are no rules, and nothing has to ask for it. */
static size_t count_of(const struct pv_policy *p)
{
    return p == NULL ? 0 : pv_policy_count(p);
}

/* Packets that were denied since this node started: by a rule's number, by default (0), by
 * [firewall] (one above the last rule). */
static uint64_t denied_by(const struct rules *r, size_t number)
{
    size_t n = count_of(r->policy);
    uint16_t rule = number <= n ? (uint16_t)number : PV_RULE_LOCAL;
    if (r->denied == NULL)
        return 0;
    return r->denied[number <= n ? number : n + 1] + pv_fp_builder_denied(r->node->fp, rule);
}

/* A rule keeps what it has counted when others come and go before it. */
static void carry_counts(const struct rules *r, const struct pv_policy *fresh, uint64_t *denied)
{
    size_t n = pv_policy_count(fresh), old = count_of(r->policy);
    denied[0] = denied_by(r, 0);
    denied[n + 1] = denied_by(r, old + 1);
    for (size_t i = 1; i <= n; i++) {
        for (size_t k = 1; k <= old; k++) {
            if (memcmp(pv_policy_at(fresh, i)->id, pv_policy_at(r->policy, k)->id,
                       PV_POLICY_ID_LEN) == 0)
                denied[i] = denied_by(r, k);
        }
    }
}

/* Without anything to keep out no packet is looked at. */
static bool is_needed(const struct rules *r, const struct pv_policy *p)
{
    return r->firewall != NULL || r->unknown.is || (p != NULL && !pv_policy_is_empty(p));
}

/* Flows that the packet threads have not seen begin: at the start of this daemon a peer may have
 * begun what it is allowed to; when the first rule comes, or another one so early, anything. Of a
 * node that has just joined they see all. */
static void cast_doubt(struct rules *r, pv_ns now)
{
    if (!r->started)
        r->doubt.allowed_until = now + PV_S(PV_FLOW_LIFE);
    else if (!r->unknown.is && (!r->guarded || now < r->doubt.allowed_until))
        r->doubt.until = now + PV_S(PV_FLOW_LIFE);
}

/* Gives every peer its rules, or none. The guard comes before them and goes after them. */
static int guard_all(struct rules *r, pv_ns now)
{
    struct pv_node *n = r->node;
    bool needed = is_needed(r, r->policy);
    int status = PV_OK;
    pv_node_raise(n, PV_FACT_RULES);
    cast_doubt(r, now);
    drop_shared(r);
    make_regions(r);
    if (needed)
        status = pv_fp_builder_set_guard(n->fp, (uint16_t)count_of(r->policy), &r->doubt, &n->rng);
    if (status != PV_OK)
        return status;
    r->guarded = needed;
    r->shut = r->unknown.is;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(n->peers, p)) != NULL;) {
        int one = guard_peer(r, p);
        status = status == PV_OK ? one : status;
    }
    if (!needed && status == PV_OK)
        pv_fp_builder_drop_guard(n->fp);
    return status;
}

/* The new policy takes the old one's place with all that is as large as it. Takes policy. */
static int adopt(struct rules *r, struct pv_policy *policy, pv_ns now)
{
    size_t n = count_of(policy);
    struct pv_ruleline *lines = calloc(n + 1, sizeof(*lines));
    uint64_t *denied = calloc(n + 2, sizeof(*denied));
    if (lines == NULL || denied == NULL) {
        free(lines);
        free(denied);
        pv_policy_free(policy);
        return PV_ERR_NOMEM;
    }
    if (policy != NULL)
        carry_counts(r, policy, denied);
    free(r->lines);
    free(r->denied);
    pv_policy_free(r->policy);
    r->lines = lines;
    r->denied = denied;
    r->policy = policy;
    return guard_all(r, now);
}

static pv_job_done on_job;

static void put_mark(struct rules *r, enum mark mark)
{
    const size_t len = mark == MARK_PROVES ? sizeof(r->unknown.mark) : 0;
    r->mark = mark;
    if (!pv_node_put_meta_for(r->node, PV_CLOSED_META, pv_view(r->unknown.mark, len), on_job, r, 0))
        r->mark = MARK_FAILED;
}

/* Nothing is missing any more. The store forgets that something was. */
static void open_when_known(struct rules *r, pv_ns now)
{
    const struct pv_node *n = r->node;
    if (n->roster == NULL || !pv_closed_opens(&r->unknown, n, now))
        return;
    pv_log(n->log, PV_LOG_INFO, "what=\"the rules of the network are known\"");
    r->mark = MARK_BEHIND;
}

/* Does nothing while the statements in force are the same ones. */
static void look(struct rules *r, bool anew, pv_ns now)
{
    struct pv_roster *roster = r->node->roster;
    uint8_t digest[PV_STATEMENT_HASH_LEN] = {0};
    struct pv_policy *policy = NULL;
    int status = PV_OK;
    if (roster != NULL)
        pv_roster_rules(roster, digest);
    open_when_known(r, now);
    if (!anew && r->retry_at == PV_NEVER && r->shut == r->unknown.is &&
        (roster == NULL) == (r->policy == NULL) && memcmp(digest, r->digest, sizeof(digest)) == 0)
        return;
    r->retry_at = PV_NEVER;
    if (roster != NULL)
        status = make_policy(r->node, &policy);
    if (status == PV_OK)
        status = adopt(r, policy, now);
    memcpy(r->digest, digest, sizeof(r->digest));
    if (status != PV_OK)
        r->retry_at = now + RETRY;
}

const struct pv_policy *pv_rules_policy(const struct pv_node *n)
{
    const struct rules *r = of(n);
    return r == NULL ? NULL : r->policy;
}

struct pv_verdict pv_rules_decide(const struct pv_node *n,
                                  const uint8_t from[static PV_SIGN_PK_LEN],
                                  const uint8_t to[static PV_SIGN_PK_LEN], uint8_t proto,
                                  uint16_t port)
{
    const struct rules *r = of(n);
    struct pv_verdict v = {.allow = true, .rule = PV_RULE_DEFAULT};
    if (r == NULL)
        return v;
    bool here = memcmp(to, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0;
    if (here && r->unknown.is)
        return (struct pv_verdict){.allow = false, .rule = PV_RULE_CLOSED};
    if (here && r->firewall != NULL && !pv_ports_has(r->firewall, proto, port))
        return (struct pv_verdict){.allow = false, .rule = PV_RULE_LOCAL};
    return r->policy == NULL ? v : pv_policy_decide(r->policy, from, to, proto, port);
}

static const struct {
    const char *name;
    uint8_t proto;
    uint16_t port;
} services[PV_SERVICES] = {
    [PV_SERVICE_PING] = {"ping", PV_PORTS_ICMP, PV_PORTS_PING},
    [PV_SERVICE_CHAT] = {"chat", PV_PORTS_TCP, PV_PORTS_CHAT},
    [PV_SERVICE_FILES] = {"files", PV_PORTS_TCP, PV_PORTS_FILES},
};

const char *pv_service_name(enum pv_service service)
{
    return services[service].name;
}

struct pv_verdict pv_rules_serve(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                                 enum pv_service service, bool to)
{
    const uint8_t *self = n->identity->sign_pk;
    return pv_rules_decide(n, to ? self : pk, to ? pk : self, services[service].proto,
                           services[service].port);
}

const char *pv_service_is(enum pv_service service)
{
    return service == PV_SERVICE_FILES ? "are" : "is";
}

bool pv_rules_refuse(const struct pv_node *n, const struct pv_peer *p, enum pv_service service,
                     const char *cmd, uint64_t handle)
{
    const struct pv_verdict v = pv_rules_serve(n, pv_peer_pk(p), service, true);
    if (!v.allow)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                        "%s: %s from this node to %s %s denied by %s: `p2pvpnctl rules` lists the "
                        "rules, admins change them",
                        cmd, pv_service_name(service), pv_peer_name(p), pv_service_is(service),
                        PV_RULE_STR(v.rule));
    return !v.allow;
}

struct pv_verdict pv_rules_decide_beyond(const struct pv_node *n,
                                         const uint8_t from[static PV_SIGN_PK_LEN],
                                         const uint8_t gateway[static PV_SIGN_PK_LEN],
                                         const struct pv_prefix *prefix, struct pv_port_range port)
{
    const struct rules *r = of(n);
    if (r == NULL || r->policy == NULL)
        return (struct pv_verdict){.allow = true, .rule = PV_RULE_DEFAULT};
    return pv_policy_decide_beyond(r->policy, from, gateway, prefix, port);
}

int pv_rules_set_carried(struct pv_node *n, const struct pv_prefix *prefixes, size_t count,
                         pv_ns now)
{
    struct rules *r = of(n);
    bool same = r != NULL && r->n_here == count;
    for (size_t i = 0; same && i < count; i++)
        same = is_listed(r->here, r->n_here, &prefixes[i]);
    if (r == NULL || same)
        return PV_OK;
    r->n_here = count < PV_FP_MAX_HERE ? count : PV_FP_MAX_HERE;
    if (r->n_here > 0)
        memcpy(r->here, prefixes, r->n_here * sizeof(prefixes[0]));
    int status = guard_all(r, now);
    if (status != PV_OK)
        r->retry_at = now + RETRY;
    return status;
}

int pv_rules_set_phones(struct pv_node *n, const struct pv_rules_phone *phones, size_t count,
                        pv_ns now)
{
    struct rules *r = of(n);
    if (r == NULL || count > PV_FP_MAX_PHONES ||
        (r->n_phones == count &&
         (count == 0 || memcmp(r->phones, phones, count * sizeof(phones[0])) == 0)))
        return PV_OK;
    r->n_phones = count;
    if (count > 0)
        memcpy(r->phones, phones, count * sizeof(phones[0]));
    int status = guard_all(r, now);
    if (status != PV_OK)
        r->retry_at = now + RETRY;
    return status;
}

const char *pv_rules_who(const struct pv_node *n, const struct pv_selector *s,
                         char buf[static PV_RULES_WHO])
{
    struct pv_prefix prefix;
    _Static_assert((int)PV_RULES_WHO >= (int)PV_ADDR_TEXT, "prefixes, too");
    snprintf(buf, PV_RULES_WHO, "any");
    if (pv_selector_prefix(s, &prefix)) {
        (void)pv_prefix_format(&prefix, buf);
    } else if (s->kind == PV_SELECT_TAG) {
        snprintf(buf, PV_RULES_WHO, "tag:%s", (const char *)s->value);
    } else if (s->kind == PV_SELECT_NODE) {
        (void)pv_node_who(n, s->value, buf);
    } else if (s->kind != PV_SELECT_ANY) {
        snprintf(buf, PV_RULES_WHO, "?");
    }
    return buf;
}

/* --- whether they are known ----------------------------------------------------------------- */

void pv_rules_close(struct pv_node *n, const uint8_t mark[static PV_TOKEN_RULES_LEN], pv_ns now)
{
    struct rules *r = of(n);
    if (r == NULL)
        return;
    r->mark = MARK_DONE;
    pv_closed_begin(&r->unknown, n, mark, now);
}

bool pv_rules_are_known(const struct pv_node *n)
{
    const struct rules *r = of(n);
    return r == NULL || !r->unknown.is;
}

void pv_rules_look(struct pv_node *n, pv_ns now)
{
    struct rules *r = of(n);
    if (r != NULL)
        look(r, false, now);
}

void pv_rules_listed(struct pv_node *n, pv_ns now)
{
    struct rules *r = of(n);
    if (r == NULL || !r->unknown.is)
        return;
    r->unknown.listed = true;
    look(r, false, now);
}

bool pv_rules_are_listed(const struct pv_node *n)
{
    const struct rules *r = of(n);
    return r == NULL || !r->unknown.is || r->unknown.listed;
}

void pv_rules_named(struct pv_node *n, struct pv_peer *p,
                    const uint8_t rules[static PV_STATEMENT_HASH_LEN], pv_ns now)
{
    struct rules *r = of(n);
    if (r == NULL || !r->unknown.is)
        return;
    pv_closed_named(&r->unknown, n, p, rules, now);
    look(r, false, now);
}

static void take_word(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct rules *r = part;
    pv_closed_take(&r->unknown, r->node, from, body, now);
    if (r->unknown.is)
        look(r, false, now);
}

/* --- answers ------------------------------------------------------------------------------ */

/* Names are those of today, the rule itself knows keys only. */
static void list_rule(const struct rules *r, size_t number, json_t **out)
{
    const struct pv_policy_rule *rule = pv_policy_at(r->policy, number);
    const struct pv_roster_entry *e = pv_roster_find(r->node->roster, rule->id);
    char from[PV_RULES_WHO], to[PV_RULES_WHO];
    bool known = e != NULL && pv_roster_known(r->node->roster, e->st.signer) != NULL;
    pv_ctlapi_put(out, "rules",
                  pv_ctlapi_pack("{s:i, s:o, s:s, s:s, s:s, s:s, s:s?, s:I}", "number", (int)number,
                                 "id", pv_ctlapi_key(rule->id), "verdict",
                                 rule->allow ? "allow" : "deny", "from",
                                 pv_rules_who(r->node, &rule->from, from), "to",
                                 pv_rules_who(r->node, &rule->to, to), "ports",
                                 PV_ABOUT_STR(&rule->logins, &rule->ports), "by",
                                 known ? PV_WHO_STR(r->node, e->st.signer) : NULL, "denied",
                                 (json_int_t)denied_by(r, number)));
}

/* Of members only: a tag of somebody who is gone means nobody. */
static void list_tags(const struct rules *r, json_t **out)
{
    const struct pv_roster *roster = r->node->roster;
    for (const struct pv_member *m = pv_roster_next(roster, NULL); m != NULL;
         m = pv_roster_next(roster, m)) {
        const char *tag;
        for (size_t i = 0; (tag = pv_policy_tag_of(r->policy, m->node, i)) != NULL; i++)
            pv_ctlapi_put(out, "tags", pv_ctlapi_pack("{s:s, s:s}", "peer", m->name, "tag", tag));
    }
}

/* Any user may ask: who is kept out must be able to see by what. */
static void run_rules(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct rules *r = part;
    size_t n = count_of(r->policy);
    bool allows = !r->unknown.is && (r->policy == NULL || !pv_policy_denies_by_default(r->policy));
    json_t *out = pv_ctlapi_pack("{s:i, s:[], s:s, s:I, s:s?, s:I, s:[]}", "version",
                                 PV_CTLAPI_FORMAT, "rules", "default", allows ? "allow" : "deny",
                                 "default_denied", (json_int_t)denied_by(r, 0), "firewall",
                                 r->firewall == NULL ? NULL : PV_PORTS_STR(r->firewall),
                                 "firewall_denied", (json_int_t)denied_by(r, n + 1), "tags");
    for (size_t i = 1; i <= n; i++)
        list_rule(r, i, &out);
    if (r->policy != NULL && r->node->roster != NULL)
        list_tags(r, &out);
    pv_ctlsrv_answer(r->node->ctl, handle, out);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_RULES, PV_NEEDS_NETWORK, run_rules},
};

/* --- life --------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rules *r = part;
    r->own = cfg->firewall;
    r->firewall = cfg->has_firewall ? &r->own : NULL;
    r->retry_at = PV_NEVER;
    if (pv_ruletable_new(NULL, 0, false, NULL, &r->closed) != PV_OK)
        return PV_ERR_NOMEM;
    return PV_OK;
}

static void free_rules(void *part)
{
    struct rules *r = part;
    drop_shared(r);
    pv_ruletable_unref(r->closed);
    pv_policy_free(r->policy);
    free(r->lines);
    free(r->denied);
}

/* The stored rules are in force from before the first packet on, and older than every flow. */
static int restore_rules(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rules *r = part;
    if (cfg->saved->has_network)
        pv_closed_restore(&r->unknown, pv_saved_value(cfg->saved, PV_CLOSED_META), now);
    look(r, true, now);
    r->started = true;
    return PV_OK;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct rules *r = part;
    if (r->node->roster == NULL) { /* the next network writes its own */
        r->unknown.is = false;
        r->mark = MARK_DONE;
    }
    if ((facts & PV_FACT_STORE) != 0 && r->mark != MARK_DONE)
        r->mark = MARK_BEHIND;
    if ((facts & (PV_FACT_NETWORK | PV_FACT_STATEMENTS | PV_FACT_ROSTER)) != 0)
        look(r, false, now);
}

/* A member that is new has its rules before its first packet can come: the snapshot that lets it in
 * is made afterwards. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct rules *r = part;
    pv_closed_meets(&r->unknown, r->node, p, now);
    if ((facts & PV_PEER_FACT_MEMBER) != 0 && r->guarded && guard_peer(r, p) != PV_OK)
        r->retry_at = now + RETRY;
}

static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct rules *r = wait->self;
    pv_node_stored(r->node, result);
    if (result->status != PV_OK || (r->mark == MARK_PROVES && r->node->store.failed))
        r->mark = r->mark == MARK_DONE ? MARK_DONE : MARK_FAILED;
    else if (r->mark == MARK_PROVES)
        put_mark(r, MARK_GOES);
    else if (r->mark == MARK_GOES)
        r->mark = MARK_DONE;
}

/* Not where the rules become known: what brought them may not be on its way to the store yet. */
static void run(void *part, pv_ns now)
{
    struct rules *r = part;
    if (r->mark == MARK_BEHIND)
        put_mark(r, MARK_PROVES);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct rules *r = part;
    pv_closed_handle_timeout(&r->unknown, r->node, now);
    look(r, now >= r->retry_at, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct rules *r = part;
    return pv_min_ns(r->retry_at, pv_closed_next_timeout(&r->unknown));
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct rules *r = part;
    st->s.rules = (unsigned)count_of(r->policy);
    st->s.deny_default = r->policy != NULL && pv_policy_denies_by_default(r->policy);
    /* One that waits to be admitted hears of no rules before, and nobody reaches it. */
    if (r->unknown.is && !pv_node_waits(r->node))
        pv_statuspage_problem(st, "closed, rules are not known yet, only answers come in: ",
                              PV_REASON_STR(pv_closed_why(&r->unknown, r->node, now)));
    if (r->cut)
        pv_statuspage_todo(st,
                           "rules name more than 64 parts of what this node carries, so it "
                           "carries nothing: ",
                           PV_DO(take_rules_back));
    if (r->retry_at != PV_NEVER)
        pv_statuspage_todo(st, "the rules of the network do not hold here for want of memory: ",
                           PV_DO(free_memory));
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct rules *r = part;
    size_t n = count_of(r->policy);
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_rules", "Rules of the network in force.", n);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_rules_denied_total",
                      "Packets of peers that were dropped, by the rule that denied them.");
    pv_metrics_count(m, denied_by(r, 0), "rule", "default", NULL);
    pv_metrics_count(m, denied_by(r, n + 1), "rule", "firewall", NULL);
    for (size_t i = 1; i <= n; i++) {
        if (!pv_policy_at(r->policy, i)->allow)
            pv_metrics_count(m, denied_by(r, i), "rule", PV_STR("%zu", i), NULL);
    }
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_RULES, take_word}};

const struct pv_part pv_part_rules = {
    .name = "rules",
    .after = {"membership"},
    .size = PV_PART_SIZE(struct rules),
    .start = start,
    .free = free_rules,
    .restore = restore_rules,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .run = run,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
    .status = show,
    .metrics = put_metrics,
};
