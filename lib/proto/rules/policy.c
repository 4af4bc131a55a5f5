/* SPDX-License-Identifier: MIT */
/* policy.c - the rules of a network in order, and who has which tag. */
#include "proto/rules/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/vec.h"

struct tagged {
    uint8_t node[PV_KEY_LEN];
    char tag[PV_NAME_BUF];
};

struct pv_policy {
    struct pv_policy_rule *rules; /* owned */
    size_t n_rules, rules_cap;
    struct tagged *tags; /* owned; once finished ascending by node and tag, each once */
    size_t n_tags, tags_cap;
    pv_policy_came_by *came_by; /* NULL: none came by anything */
    const void *ctx;            /* its */
    bool deny_default;
};

/* --- selectors ---------------------------------------------------------------------------- */

static bool selector_is_good(const struct pv_selector *s)
{
    struct pv_prefix prefix;

    switch ((enum pv_selector_kind)s->kind) {
    case PV_SELECT_ANY:
        return s->len == 0;
    case PV_SELECT_NODE:
        return s->len == PV_KEY_LEN;
    case PV_SELECT_TAG:
        return memchr(s->value, 0, s->len) == NULL && pv_name_is_valid((const char *)s->value);
    case PV_SELECT_PREFIX:
        return pv_selector_prefix(s, &prefix);
    }
    return false;
}

int pv_selector_decode(struct pv_view bytes, struct pv_selector *ret_selector)
{
    struct pv_reader r = pv_reader(bytes);
    struct pv_selector s = {.kind = pv_get_u8(&r)};
    struct pv_view value = pv_get_view16(&r, PV_SELECTOR_MAX);
    if (pv_reader_end(&r) != PV_OK)
        return PV_ERR_MALFORMED;
    s.len = (uint8_t)value.len;
    if (value.len > 0)
        memcpy(s.value, value.ptr, value.len);
    if (!selector_is_good(&s))
        return PV_ERR_MALFORMED;
    *ret_selector = s;
    return PV_OK;
}

size_t pv_selector_encode(const struct pv_selector *s, uint8_t buf[static PV_SELECTOR_BYTES])
{
    struct pv_writer w = pv_writer(buf, PV_SELECTOR_BYTES);
    pv_put_u8(&w, s->kind);
    pv_put_view16(&w, pv_view(s->value, s->len));
    return w.len;
}

bool pv_selector_prefix(const struct pv_selector *s, struct pv_prefix *ret_prefix)
{
    struct pv_prefix p;
    memset(&p, 0, sizeof(p));
    if (s->kind != PV_SELECT_PREFIX || s->len < 2)
        return false;
    p.base.family = s->value[0] == 4 ? PV_AF_INET : s->value[0] == 6 ? PV_AF_INET6 : PV_AF_NONE;
    p.bits = s->value[1];
    size_t len = pv_addr_ip_len(&p.base);
    if (len == 0 || s->len != 2 + len || p.bits > 8 * len)
        return false;
    memcpy(p.base.ip, s->value + 2, len);
    *ret_prefix = p;
    return true;
}

struct pv_selector pv_selector_of_prefix(const struct pv_prefix *p)
{
    size_t len = pv_addr_ip_len(&p->base);
    struct pv_selector s = {.kind = PV_SELECT_PREFIX, .len = (uint8_t)(2 + len)};
    s.value[0] = p->base.family == PV_AF_INET ? 4 : 6;
    s.value[1] = p->bits;
    memcpy(s.value + 2, p->base.ip, len);
    return s;
}

/* --- life --------------------------------------------------------------------------------- */

int pv_policy_new(struct pv_policy **ret_policy)
{
    struct pv_policy *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return PV_ERR_NOMEM;
    *ret_policy = p;
    return PV_OK;
}

struct pv_policy *pv_policy_free(struct pv_policy *p)
{
    if (p == NULL)
        return NULL;
    free(p->rules);
    free(p->tags);
    free(p);
    return NULL;
}

int pv_policy_add(struct pv_policy *p, const struct pv_policy_rule *rule)
{
    if (p->n_rules == PV_RULES_MAX)
        return PV_ERR_LIMIT;
    void *rules = pv_vec_room(p->rules, p->n_rules, &p->rules_cap, 8, sizeof(p->rules[0]));
    if (rules == NULL)
        return PV_ERR_NOMEM;
    p->rules = rules;
    p->rules[p->n_rules++] = *rule;
    return PV_OK;
}

/* Zeros behind the tag let two entries be compared as bytes. */
int pv_policy_tag(struct pv_policy *p, const uint8_t node[static PV_KEY_LEN], const char *tag)
{
    if (p->n_tags == PV_POLICY_MAX_TAGS)
        return PV_ERR_LIMIT;
    void *tags = pv_vec_room(p->tags, p->n_tags, &p->tags_cap, 8, sizeof(p->tags[0]));
    if (tags == NULL)
        return PV_ERR_NOMEM;
    p->tags = tags;
    struct tagged *t = &p->tags[p->n_tags++];
    memset(t, 0, sizeof(*t));
    memcpy(t->node, node, sizeof(t->node));
    memcpy(t->tag, tag, strnlen(tag, PV_NAME_MAX));
    return PV_OK;
}

void pv_policy_deny_by_default(struct pv_policy *p)
{
    p->deny_default = true;
}

void pv_policy_set_came_by(struct pv_policy *p, pv_policy_came_by *came_by, const void *ctx)
{
    p->came_by = came_by;
    p->ctx = ctx;
}

/* By place, then by id: all nodes have one order, although two admins chose one place. */
static int cmp_rules(const void *a, const void *b)
{
    const struct pv_policy_rule *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return memcmp(x->id, y->id, sizeof(x->id));
}

static int cmp_tagged(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct tagged));
}

void pv_policy_finish(struct pv_policy *p)
{
    size_t n = 0;
    if (p->n_rules > 0)
        qsort(p->rules, p->n_rules, sizeof(p->rules[0]), cmp_rules);
    if (p->n_tags > 0)
        qsort(p->tags, p->n_tags, sizeof(p->tags[0]), cmp_tagged);
    /* Two admins may have said the same. */
    for (size_t i = 0; i < p->n_tags; i++) {
        if (n == 0 || cmp_tagged(&p->tags[n - 1], &p->tags[i]) != 0)
            p->tags[n++] = p->tags[i];
    }
    p->n_tags = n;
}

/* --- questions ---------------------------------------------------------------------------- */

size_t pv_policy_count(const struct pv_policy *p)
{
    return p->n_rules;
}

const struct pv_policy_rule *pv_policy_at(const struct pv_policy *p, size_t number)
{
    return &p->rules[number - 1];
}

bool pv_policy_denies_by_default(const struct pv_policy *p)
{
    return p->deny_default;
}

bool pv_policy_is_empty(const struct pv_policy *p)
{
    return p->n_rules == 0 && !p->deny_default;
}

/* The first of a node's tags, and how many there are. */
static const struct tagged *tags_of(const struct pv_policy *p, const uint8_t *node, size_t *ret_n)
{
    size_t lo = 0, hi = p->n_tags, n = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(p->tags[mid].node, node, PV_KEY_LEN) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    while (lo + n < p->n_tags && memcmp(p->tags[lo + n].node, node, PV_KEY_LEN) == 0)
        n++;
    *ret_n = n;
    return n == 0 ? NULL : &p->tags[lo];
}

/* A node as selectors see it: looked up once for many rules. */
struct subject {
    const uint8_t *node;
    const struct tagged *tags, *came_with; /* its own, and those of what it came by */
    size_t n_tags, n_came_with;
};

static struct subject subject(const struct pv_policy *p, const uint8_t *node)
{
    struct subject s = {.node = node};
    const uint8_t *by = p->came_by == NULL ? NULL : p->came_by(p->ctx, node);
    s.tags = tags_of(p, node, &s.n_tags);
    if (by != NULL)
        s.came_with = tags_of(p, by, &s.n_came_with);
    return s;
}

const char *pv_policy_tag_of(const struct pv_policy *p, const uint8_t node[static PV_KEY_LEN],
                             size_t i)
{
    const struct subject s = subject(p, node);
    if (i < s.n_tags)
        return s.tags[i].tag;
    return i - s.n_tags < s.n_came_with ? s.came_with[i - s.n_tags].tag : NULL;
}

static bool has_one(const struct tagged *tags, size_t n, const char *tag)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(tags[i].tag, tag) == 0)
            return true;
    }
    return false;
}

bool pv_policy_has_tag(const struct pv_policy *p, const char *tag)
{
    return has_one(p->tags, p->n_tags, tag);
}

/* Is this node one of those that the selector is about? */
static bool means(const struct pv_selector *s, const struct subject *x)
{
    switch ((enum pv_selector_kind)s->kind) {
    case PV_SELECT_ANY:
        return true;
    case PV_SELECT_NODE:
        return memcmp(s->value, x->node, PV_KEY_LEN) == 0;
    case PV_SELECT_TAG:
        return has_one(x->tags, x->n_tags, (const char *)s->value) ||
               has_one(x->came_with, x->n_came_with, (const char *)s->value);
    case PV_SELECT_PREFIX: /* it is about what is behind nodes */
        return false;
    }
    return false;
}

/* Tags of both nodes are looked up once, not for each rule. */
size_t pv_policy_lines(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                       const uint8_t to[static PV_KEY_LEN], struct pv_ruleline *lines)
{
    const struct subject f = subject(p, from), t = subject(p, to);
    size_t n = 0;
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct pv_policy_rule *r = &p->rules[i];
        if (means(&r->to, &t) && means(&r->from, &f))
            lines[n++] = (struct pv_ruleline){
                .rule = (uint16_t)(i + 1), .allow = r->allow, .ports = &r->ports};
    }
    return n;
}

/* Asked by people, not for packets, so it reads the rules as they are. */
struct pv_verdict pv_policy_decide(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                                   const uint8_t to[static PV_KEY_LEN], uint8_t proto,
                                   uint16_t port)
{
    const struct subject f = subject(p, from), t = subject(p, to);
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct pv_policy_rule *r = &p->rules[i];
        if (means(&r->to, &t) && means(&r->from, &f) && pv_ports_has(&r->ports, proto, port))
            return (struct pv_verdict){.allow = r->allow, .rule = (uint16_t)(i + 1)};
    }
    return (struct pv_verdict){.allow = !p->deny_default, .rule = PV_RULE_DEFAULT};
}

/* The first rule before `number` about both that denies this port; 0: none does. */
static size_t find_denial(const struct pv_policy *p, const struct subject *f,
                          const struct subject *t, size_t number, uint16_t port)
{
    for (size_t i = 1; i < number; i++) {
        const struct pv_policy_rule *r = &p->rules[i - 1];
        if (!r->allow && means(&r->to, t) && means(&r->from, f) &&
            pv_ports_has(&r->ports, PV_PORTS_TCP, port))
            return i;
    }
    return 0;
}

struct pv_verdict pv_policy_login(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                                  const uint8_t to[static PV_KEY_LEN], const char *account)
{
    const struct subject f = subject(p, from), t = subject(p, to);
    struct pv_verdict no = {.allow = false, .rule = PV_RULE_DEFAULT};
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct pv_policy_rule *r = &p->rules[i];
        if (!pv_logins_have(&r->logins, account) || !means(&r->to, &t) || !means(&r->from, &f))
            continue;
        const size_t denial = find_denial(p, &f, &t, i + 1, r->ports.v[0].first);
        if (denial == 0)
            return (struct pv_verdict){.allow = true, .rule = (uint16_t)(i + 1)};
        if (no.rule == PV_RULE_DEFAULT)
            no.rule = (uint16_t)denial;
    }
    return no;
}

/* Is the rule about what is behind a gateway, in this prefix? */
static bool is_beyond(const struct pv_policy_rule *r, const struct subject *gateway,
                      const struct pv_prefix *prefix)
{
    struct pv_prefix around;
    if (r->to.kind == PV_SELECT_ANY)
        return true;
    if (pv_selector_prefix(&r->to, &around))
        return around.bits <= prefix->bits && pv_prefix_contains(&around, &prefix->base);
    return !r->allow && means(&r->to, gateway);
}

/* As pv_policy_lines(); the gateway's tags count, since denials may be by tag. */
size_t pv_policy_lines_beyond(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                              const uint8_t gateway[static PV_KEY_LEN],
                              const struct pv_prefix *prefix, struct pv_ruleline *lines)
{
    const struct subject f = subject(p, from), g = subject(p, gateway);
    size_t n = 0;
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct pv_policy_rule *r = &p->rules[i];
        if (is_beyond(r, &g, prefix) && means(&r->from, &f))
            lines[n++] = (struct pv_ruleline){
                .rule = (uint16_t)(i + 1), .allow = r->allow, .ports = &r->ports};
    }
    return n;
}

/* The same reading as by the table of these lines, for one port. */
struct pv_verdict pv_policy_decide_beyond(const struct pv_policy *p,
                                          const uint8_t from[static PV_KEY_LEN],
                                          const uint8_t gateway[static PV_KEY_LEN],
                                          const struct pv_prefix *prefix, struct pv_port_range port)
{
    const struct subject f = subject(p, from), g = subject(p, gateway);
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct pv_policy_rule *r = &p->rules[i];
        if (is_beyond(r, &g, prefix) && means(&r->from, &f) &&
            pv_ports_has(&r->ports, port.proto, port.first))
            return (struct pv_verdict){.allow = r->allow, .rule = (uint16_t)(i + 1)};
    }
    return (struct pv_verdict){.allow = !p->deny_default, .rule = PV_RULE_DEFAULT};
}
