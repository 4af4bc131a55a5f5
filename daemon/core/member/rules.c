/* SPDX-License-Identifier: MIT */
/* rules.c - the rules in force: from statements to tables of the packet threads, and answers. */
#include "daemon/core/member/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "daemon/core/node/node.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/peer/peers.h"
#include "proto/rules/flow.h"

#define RETRY PV_S(1) /* ours: until rules that found no memory are made again */

/* Peers about which the same rules are share a table. */
struct shared {
    struct pv_ruletable *table; /* holds a reference */
    size_t n;
    uint16_t *rules; /* owned: numbers of the rules that are about it */
};

struct rules {
    struct pv_node *node;
    const struct pv_ports *firewall; /* of this node; NULL: none; points to own */
    struct pv_ports own;
    struct pv_policy *policy;       /* NULL: there is none */
    uint8_t digest[PV_BLAKE2B_LEN]; /* of the statements that it was made of */
    struct pv_ruleline *lines;      /* owned: room for all rules */
    uint64_t *denied;               /* owned: by each rule before the guard of now; [0]:
                                     * by default, at the end: [firewall] */
    struct shared *shared;          /* owned */
    size_t n_shared;
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
static bool same_lines(const struct shared *s, const struct pv_ruleline *lines, size_t n)
{
    if (s->n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->rules[i] != lines[i].rule)
            return false;
    }
    return true;
}

/* The table of these lines, shared with others that have the same. NULL without memory. */
static struct pv_ruletable *table_of(struct rules *r, const struct pv_ruleline *lines, size_t n,
                                     bool allow_default)
{
    struct shared fresh = {.n = n};
    for (size_t i = 0; i < r->n_shared; i++) {
        if (same_lines(&r->shared[i], lines, n))
            return r->shared[i].table;
    }
    struct shared *all = reallocarray(r->shared, r->n_shared + 1, sizeof(*all));
    if (all == NULL)
        return NULL;
    r->shared = all;
    fresh.rules = malloc((n + 1) * sizeof(*fresh.rules));
    if (fresh.rules == NULL ||
        pv_ruletable_new(lines, n, allow_default, r->firewall, &fresh.table) != PV_OK) {
        free(fresh.rules);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        fresh.rules[i] = lines[i].rule;
    all[r->n_shared++] = fresh;
    return fresh.table;
}

/* Static peers are no members: only [firewall] is about them. */
static int guard_peer(struct rules *r, const struct pv_peer *p)
{
    struct pv_node *n = r->node;
    struct pv_ruletable *table = NULL;
    size_t lines = 0;
    bool allow = true;
    if (r->guarded) {
        if (!pv_peer_is_static(p) && r->policy != NULL) {
            lines = pv_policy_lines(r->policy, pv_peer_pk(p), n->identity->sign_pk, r->lines);
            allow = !pv_policy_denies_by_default(r->policy);
        }
        table = table_of(r, r->lines, lines, allow);
        if (table == NULL)
            return PV_ERR_NOMEM;
    }
    return pv_fp_builder_set_rules(n->fp, pv_peer_id(p), table);
}

/* --- from statements ---------------------------------------------------------------------- */

/* The hash of what is in force, whatever order the roster has it in. */
static void digest_rules(const struct pv_roster *roster, uint8_t digest[static PV_BLAKE2B_LEN])
{
    memset(digest, 0, PV_BLAKE2B_LEN);
    for (const struct pv_roster_entry *e = NULL; (e = pv_roster_next_rule(roster, e)) != NULL;) {
        for (size_t i = 0; i < PV_BLAKE2B_LEN; i++)
            digest[i] ^= e->st.hash[i];
    }
}

/* A statement of the roster in the words of the policy, which knows no signers. */
static int add_statement(struct pv_policy *p, const struct pv_statement *st)
{
    if (st->type == PV_ST_TAG)
        return pv_policy_tag(p, st->u.tag.node, st->u.tag.tag);
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
    };
    memcpy(rule.id, st->hash, sizeof(rule.id));
    return pv_policy_add(p, &rule);
}

/* Beyond the limit nobody knows what was meant, so what no rule within it allows is denied. */
static int make_policy(const struct pv_roster *roster, struct pv_policy **ret_policy)
{
    struct pv_policy *p;
    int status = pv_policy_new(&p);
    if (status != PV_OK)
        return status;
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
    return r->firewall != NULL || (p != NULL && !pv_policy_is_empty(p));
}

/* Flows that the packet threads have not seen begin: at the start of this daemon a peer may have
 * begun what it is allowed to; when the first rule comes, or another one so early, anything. */
static void cast_doubt(struct rules *r, pv_ns now)
{
    if (!r->started)
        r->doubt.allowed_until = now + PV_S(PV_FLOW_LIFE);
    else if (!r->guarded || now < r->doubt.allowed_until)
        r->doubt.until = now + PV_S(PV_FLOW_LIFE);
}

/* Gives every peer its rules, or none. The guard comes before them and goes after them. */
static int guard_all(struct rules *r, pv_ns now)
{
    struct pv_node *n = r->node;
    bool needed = is_needed(r, r->policy);
    int status = PV_OK;
    cast_doubt(r, now);
    drop_shared(r);
    if (needed)
        status = pv_fp_builder_set_guard(n->fp, (uint16_t)count_of(r->policy), &r->doubt, &n->rng);
    if (status != PV_OK)
        return status;
    r->guarded = needed;
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

/* Does nothing while the statements in force are the same ones. */
static void look(struct rules *r, bool anew, pv_ns now)
{
    const struct pv_roster *roster = r->node->roster;
    uint8_t digest[PV_BLAKE2B_LEN] = {0};
    struct pv_policy *policy = NULL;
    int status = PV_OK;
    if (roster != NULL)
        digest_rules(roster, digest);
    if (!anew && r->retry_at == PV_NEVER && (roster == NULL) == (r->policy == NULL) &&
        memcmp(digest, r->digest, sizeof(digest)) == 0)
        return;
    r->retry_at = PV_NEVER;
    if (roster != NULL)
        status = make_policy(roster, &policy);
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
    if (here && r->firewall != NULL && !pv_ports_has(r->firewall, proto, port))
        return (struct pv_verdict){.allow = false, .rule = PV_RULE_LOCAL};
    return r->policy == NULL ? v : pv_policy_decide(r->policy, from, to, proto, port);
}

const char *pv_rules_who(const struct pv_node *n, const struct pv_selector *s,
                         char buf[static PV_RULES_WHO])
{
    const struct pv_member *m;
    snprintf(buf, PV_RULES_WHO, "any");
    if (s->kind == PV_SELECT_TAG) {
        snprintf(buf, PV_RULES_WHO, "tag:%s", (const char *)s->value);
    } else if (s->kind == PV_SELECT_NODE) {
        m = n->roster == NULL ? NULL : pv_roster_known(n->roster, s->value);
        snprintf(buf, PV_RULES_WHO, "%s", m == NULL ? "?" : m->name);
    } else if (s->kind != PV_SELECT_ANY) {
        snprintf(buf, PV_RULES_WHO, "?");
    }
    return buf;
}

/* --- answers ------------------------------------------------------------------------------ */

/* Names are those of today, the rule itself knows keys only. */
static int list_rule(const struct rules *r, size_t number, json_t *out)
{
    const struct pv_policy_rule *rule = pv_policy_at(r->policy, number);
    const struct pv_roster_entry *e = pv_roster_find(r->node->roster, rule->id);
    const struct pv_member *by = e == NULL ? NULL : pv_roster_known(r->node->roster, e->st.signer);
    char from[PV_RULES_WHO], to[PV_RULES_WHO], ports[PV_PORTS_TEXT];
    const struct pv_ctlapi_rule x = {
        .number = (unsigned)number,
        .allow = rule->allow,
        .from = pv_rules_who(r->node, &rule->from, from),
        .to = pv_rules_who(r->node, &rule->to, to),
        .ports = pv_ports_format(&rule->ports, ports),
        .by = by == NULL ? NULL : by->name,
        .denied = denied_by(r, number),
    };
    return pv_ctlapi_rules_add(out, &x);
}

/* Of members only: a tag of somebody who is gone means nobody. */
static int list_tags(const struct rules *r, json_t *out)
{
    const struct pv_roster *roster = r->node->roster;
    int status = PV_OK;
    for (const struct pv_member *m = pv_roster_next(roster, NULL); m != NULL && status == PV_OK;
         m = pv_roster_next(roster, m)) {
        const char *tag;
        for (size_t i = 0;
             status == PV_OK && (tag = pv_policy_tag_of(r->policy, m->node, i)) != NULL; i++)
            status = pv_ctlapi_rules_add_tag(out, m->name, tag);
    }
    return status;
}

/* Any user may ask: who is kept out must be able to see by what. */
static void run_rules(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct rules *r = part;
    char firewall[PV_PORTS_TEXT];
    (void)req;
    (void)p;
    (void)now;
    size_t n = count_of(r->policy);
    json_t *out = pv_ctlapi_rules_new(
        r->policy == NULL || !pv_policy_denies_by_default(r->policy), denied_by(r, 0),
        r->firewall == NULL ? NULL : pv_ports_format(r->firewall, firewall), denied_by(r, n + 1));
    int status = out == NULL ? PV_ERR_NOMEM : PV_OK;
    for (size_t i = 1; i <= n && status == PV_OK; i++)
        status = list_rule(r, i, out);
    if (status == PV_OK && r->policy != NULL && r->node->roster != NULL)
        status = list_tags(r, out);
    if (status != PV_OK) {
        json_decref(out);
        out = NULL;
    }
    pv_ctlsrv_answer(r->node->ctl, handle, out);
}

static const struct pv_command commands[] = {
    {PV_CTLAPI_RULES, PV_NEEDS_NETWORK, run_rules},
};

/* --- life --------------------------------------------------------------------------------- */

static int make_rules(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                      void **ret_part)
{
    struct rules *r = calloc(1, sizeof(*r));
    (void)now;
    if (r == NULL)
        return PV_ERR_NOMEM;
    r->node = node;
    r->own = cfg->firewall;
    r->firewall = cfg->has_firewall ? &r->own : NULL;
    r->retry_at = PV_NEVER;
    *ret_part = r;
    return PV_OK;
}

static void free_rules(void *part)
{
    struct rules *r = part;
    drop_shared(r);
    pv_policy_free(r->policy);
    free(r->lines);
    free(r->denied);
    free(r);
}

/* What the store held is in force from before the first packet on, and older than every flow. */
static int restore_rules(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rules *r = part;
    (void)cfg;
    look(r, true, now);
    r->started = true;
    return PV_OK;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    if ((facts & (PV_FACT_NETWORK | PV_FACT_STATEMENTS | PV_FACT_ROSTER)) != 0)
        look(part, false, now);
}

/* A member that is new has its rules before its first packet can come: the snapshot that lets it in
 * is made afterwards. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct rules *r = part;
    if ((facts & PV_PEER_FACT_MEMBER) != 0 && r->guarded && guard_peer(r, p) != PV_OK)
        r->retry_at = now + RETRY;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct rules *r = part;
    if (now >= r->retry_at)
        look(r, true, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct rules *r = part;
    return r->retry_at;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct rules *r = part;
    (void)now;
    st->s.rules = (unsigned)count_of(r->policy);
    st->s.deny_default = r->policy != NULL && pv_policy_denies_by_default(r->policy);
    if (r->retry_at != PV_NEVER)
        pv_statuspage_problem(st, "the rules of the network do not hold here for want of memory: ",
                              "free some; it is tried again every second");
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct rules *r = part;
    size_t n = count_of(r->policy);
    (void)now;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_rules", "Rules of the network in force.");
    pv_metrics_count(m, n, NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_rules_denied_total",
                      "Packets of peers that were dropped, by the rule that denied them.");
    pv_metrics_count(m, denied_by(r, 0), "rule", "default", NULL);
    pv_metrics_count(m, denied_by(r, n + 1), "rule", "firewall", NULL);
    for (size_t i = 1; i <= n; i++) {
        char number[16];
        snprintf(number, sizeof(number), "%zu", i);
        if (!pv_policy_at(r->policy, i)->allow)
            pv_metrics_count(m, denied_by(r, i), "rule", number, NULL);
    }
}

const struct pv_part pv_part_rules = {
    .name = "rules",
    .make = make_rules,
    .free = free_rules,
    .restore = restore_rules,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
    .metrics = put_metrics,
};
