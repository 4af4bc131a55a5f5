/* SPDX-License-Identifier: MIT */
/* hostwall.c - reads the host's firewall as far as it is about all that members begin, and walks
 * its chains. */
#include "ctl/hostwall.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "sys/net/ipcmd.h"

enum {
    LINE = PV_NFTCMD_LINE_MAX,
    IN = 0, /* the two packets */
    OUT = 1,
    DEPTH = 16,          /* of jumps; the kernel refuses more */
    STEPS = 1024 * 4096, /* rules that are looked at in a walk */
};

/* Do the conditions of a rule hold for a packet? In this order: of several the least counts. */
enum holds {
    NOT,
    MAYBE, /* for some of those packets, or nobody can say */
    SURELY,
};

enum verdict {
    NONE,
    ACCEPT, /* or hand on to what is no firewall */
    DROP,
    RETURN,
    JUMP,
    GOTO,
};

/* --- words ------------------------------------------------------------------------------------ */

/* A piece of a line: a word, a quoted text or a set in braces. */
struct piece {
    const char *at;
    size_t len;
};

/* Does text begin with the words? Advances behind them and the blanks after them. */
static bool skip(const char **text, const char *words)
{
    size_t len = strlen(words);
    if (strncmp(*text, words, len) != 0)
        return false;
    *text += len;
    *text += strspn(*text, " ");
    return true;
}

static struct piece take_piece(const char **text)
{
    const char *p = *text, *end = p[0] == '"' ? "\"" : p[0] == '{' ? "}" : " ";
    size_t len = p[0] == '\0' ? 0 : 1 + strcspn(p + 1, end);
    if (end[0] != ' ' && p[0] != '\0' && p[len] != '\0')
        len++;
    *text = p + len + strspn(p + len, " ");
    return (struct piece){.at = p, .len = len};
}

/* Without the blanks, and quotes or braces, around it. */
static struct piece bare(struct piece p, const char *around)
{
    while (p.len > 0 && strchr(around, p.at[0]) != NULL) {
        p.at++;
        p.len--;
    }
    while (p.len > 0 && strchr(around, p.at[p.len - 1]) != NULL)
        p.len--;
    return p;
}

/* The next of "{ a, b }", or of "a,b"; an empty one behind the last. */
static struct piece take_item(struct piece *set)
{
    *set = bare(*set, " ,{}");
    const char *comma = memchr(set->at, ',', set->len);
    struct piece item = {.at = set->at,
                         .len = comma == NULL ? set->len : (size_t)(comma - set->at)};
    set->at += item.len;
    set->len -= item.len;
    return bare(item, " ");
}

/* nft says `new`, and iptables NEW. */
static bool is_word(struct piece p, const char *word)
{
    return p.len == strlen(word) && strncasecmp(p.at, word, p.len) == 0;
}

/* FNV-1a of a name. */
static uint32_t hash_of(struct piece name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (uint8_t)name.at[i]) * 16777619u;
    return h;
}

/* Is it our interface, itself or with a star behind any part of its name? */
static bool is_ours(const struct pv_hostwall *w, struct piece name)
{
    name = bare(name, "\"");
    if (name.len > 1 && name.at[name.len - 1] == '*')
        return strncmp(w->ifname, name.at, name.len - 1) == 0;
    return name.len == strlen(w->ifname) && memcmp(name.at, w->ifname, name.len) == 0;
}

static bool has_ours(const struct pv_hostwall *w, struct piece set)
{
    bool has = false;
    for (struct piece item = take_item(&set); item.len > 0 && !has; item = take_item(&set))
        has = is_ours(w, item);
    return has;
}

/* --- conditions ------------------------------------------------------------------------------- */

/* A rule while it is read. */
struct rule {
    struct pv_hostwall *w;
    enum holds holds[PV_HOSTWALL_WAYS];
    bool names[PV_HOSTWALL_WAYS];
    bool other; /* it is about another protocol than TCP */
};

enum kind {
    BY_WORD,
    BY_FAMILY,
    BY_PROTOCOL,
    BY_INTERFACE,
    BY_ADDRESS,
};

/* A rule looks at this; and the words are for what the two packets have there, or, by family, those
 * of IPv4 and IPv6. nft -n says most of them by numbers. */
struct selector {
    const char *name;
    enum kind kind;
    int way; /* by interface: the packet that has one there */
    const char *words[2][3];
};

static const struct selector selectors[] = {
    {.name = "iifname ", .kind = BY_INTERFACE, .way = IN},
    {.name = "iif ", .kind = BY_INTERFACE, .way = IN},
    {.name = "oifname ", .kind = BY_INTERFACE, .way = OUT},
    {.name = "oif ", .kind = BY_INTERFACE, .way = OUT},
    {.name = "ip saddr ", .kind = BY_ADDRESS},
    {.name = "ip daddr ", .kind = BY_ADDRESS},
    {.name = "ct state ", .words = {{"new", "8", "0x8"}, {"established", "2", "0x2"}}},
    {.name = "ct direction ", .words = {{"original", "0"}, {"reply", "1"}}},
    {.name = "fib daddr type ", .words = {{"local", "2"}, {"unicast", "1"}}},
    {.name = "meta nfproto ", .kind = BY_FAMILY, .words = {{"ipv4", "2"}, {"ipv6", "10"}}},
    {.name = "meta protocol ",
     .kind = BY_FAMILY,
     .words = {{"ip", "0x0800", "0x800"}, {"ip6", "0x86dd"}}},
    {.name = "ip version ", .kind = BY_FAMILY, .words = {{"4"}}},
    {.name = "meta l4proto ", .kind = BY_PROTOCOL, .words = {{"tcp", "6"}, {"tcp", "6"}}},
    {.name = "ip protocol ", .kind = BY_PROTOCOL, .words = {{"tcp", "6"}, {"tcp", "6"}}},
    {.name = "ip6 nexthdr ", .kind = BY_PROTOCOL, .words = {{"tcp", "6"}, {"tcp", "6"}}},
};

static void name_ours(struct rule *r)
{
    r->names[IN] = r->names[OUT] = true;
}

static void require(struct rule *r, int way, enum holds holds)
{
    if (holds < r->holds[way])
        r->holds[way] = holds;
}

static void require_both(struct rule *r, enum holds holds)
{
    require(r, IN, holds);
    require(r, OUT, holds);
}

static enum holds word_holds(const struct rule *r, const struct selector *s, int way,
                             struct piece item)
{
    const char *const *words = s->words[s->kind == BY_FAMILY ? r->w->ip6 : way];
    enum holds holds = NOT;
    for (size_t i = 0; i < PV_ARRAY_LEN(s->words[0]) && words[i] != NULL; i++)
        if (is_word(item, words[i]))
            holds = SURELY;
    return holds;
}

/* The last address of a range that begins so. */
static struct pv_addr last_of(const struct pv_prefix *range)
{
    struct pv_addr last = range->base;
    unsigned n = last.family == PV_AF_INET6 ? 128 : 32;
    for (unsigned bit = range->bits; bit < n; bit++)
        last.ip[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    return last;
}

/* "10.0.0.0/8", "10.0.0.1", "10.0.0.1-10.0.0.9". False: nothing of the kind. */
static bool read_addresses(struct piece item, struct pv_addr *ret_first, struct pv_addr *ret_last)
{
    struct pv_prefix range;
    const char *text = PV_STR("%.*s", (int)item.len, item.at);
    char *dash = strchr(text, '-');
    if (dash != NULL) {
        *dash = '\0';
        return pv_addr_parse_ip(text, ret_first) == PV_OK &&
               pv_addr_parse_ip(dash + 1, ret_last) == PV_OK;
    }
    if (pv_prefix_parse(text, &range) < 0)
        return false;
    *ret_first = range.base;
    *ret_last = last_of(&range);
    return true;
}

/* Surely: the addresses cover the overlay's range; within: they lie in it. */
static enum holds addresses_hold(const struct rule *r, struct piece item, bool *ret_within)
{
    const struct pv_prefix *range = &r->w->range;
    struct pv_addr first, last, end = last_of(range);
    if (range->base.family != PV_AF_INET || !read_addresses(item, &first, &last) ||
        first.family != PV_AF_INET || last.family != PV_AF_INET)
        return MAYBE;
    int from = memcmp(first.ip, range->base.ip, 4), to = memcmp(last.ip, end.ip, 4);
    *ret_within = from >= 0 && to <= 0;
    if (memcmp(last.ip, range->base.ip, 4) < 0 || memcmp(first.ip, end.ip, 4) > 0)
        return NOT;
    return from <= 0 && to >= 0 ? SURELY : MAYBE;
}

static enum holds item_holds(const struct rule *r, const struct selector *s, int way,
                             struct piece item, bool *ret_names)
{
    enum holds holds = NOT;
    if (s->kind == BY_ADDRESS)
        return addresses_hold(r, item, ret_names);
    if (s->kind != BY_INTERFACE)
        return word_holds(r, s, way, item);
    if (is_ours(r->w, item))
        holds = SURELY;
    *ret_names = holds == SURELY;
    return holds;
}

/* A set with a name of its own may have our interface, or members' addresses, in it. */
static void require_named_set(struct rule *r, const struct selector *s, int way)
{
    require(r, way, MAYBE);
    r->names[way] = r->names[way] || s->kind == BY_INTERFACE || s->kind == BY_ADDRESS;
}

/* One of the values, or with inverse none of them, is to be the packet's. */
static void require_value(struct rule *r, const struct selector *s, struct piece value,
                          bool inverse)
{
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++) {
        enum holds best = NOT;
        bool any_named = false;
        struct piece rest = value;
        if (s->kind == BY_INTERFACE && s->way != way) {
            require(r, way, NOT);
            continue;
        }
        if (value.len > 0 && value.at[0] == '@') {
            require_named_set(r, s, way);
            continue;
        }
        for (struct piece i = take_item(&rest); i.len > 0; i = take_item(&rest)) {
            bool names = false;
            enum holds holds = item_holds(r, s, way, i, &names);
            best = holds > best ? holds : best;
            any_named = any_named || names;
        }
        best = inverse ? SURELY - best : best;
        r->names[way] = r->names[way] || (any_named && !inverse);
        r->other = r->other || (s->kind == BY_PROTOCOL && best == NOT);
        if (s->kind != BY_PROTOCOL)
            require(r, way, best);
    }
}

/* --- rules ------------------------------------------------------------------------------------ */

static bool is_same_rule(const struct pv_hostwall_rule *a, const struct pv_hostwall_rule *b)
{
    return a->chain == b->chain && a->target == b->target && a->verdict == b->verdict &&
           memcmp(a->holds, b->holds, sizeof(a->holds)) == 0 &&
           memcmp(a->names, b->names, sizeof(a->names)) == 0;
}

/* Rules for many ports, one behind the other, are as one. */
static void put_rule(const struct rule *r, enum verdict verdict, struct piece target)
{
    struct pv_hostwall *w = r->w;
    struct pv_hostwall_rule rule = {
        .chain = hash_of((struct piece){w->chain, strlen(w->chain)}),
        .target = hash_of(target),
        .verdict = (uint8_t)verdict,
    };
    bool matters = false;
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++) {
        enum holds holds = r->holds[way];
        rule.names[way] = r->names[way];
        if (r->other) /* members may use that by our interface */
            holds = verdict == ACCEPT && r->names[way] && holds > NOT ? MAYBE : NOT;
        if (verdict == DROP && holds == MAYBE)
            holds = NOT;
        rule.holds[way] = (uint8_t)holds;
        matters = matters || holds != NOT;
    }
    if (!matters || (w->n_rules > 0 && is_same_rule(&w->rules[w->n_rules - 1], &rule)))
        return;
    w->too_many = w->too_many || w->n_rules == PV_HOSTWALL_RULES;
    if (!w->too_many)
        w->rules[w->n_rules++] = rule;
}

static enum verdict verdict_of(struct piece word)
{
    static const struct {
        const char *word;
        enum verdict verdict;
    } verdicts[] = {{"accept", ACCEPT},     {"drop", DROP},     {"reject", DROP},
                    {"return", RETURN},     {"jump", JUMP},     {"goto", GOTO},
                    {"queue", ACCEPT},      {"dnat", ACCEPT},   {"snat", ACCEPT},
                    {"redirect", ACCEPT},   {"tproxy", ACCEPT}, {"synproxy", ACCEPT},
                    {"masquerade", ACCEPT}, {"continue", NONE}};
    enum verdict verdict = NONE;
    for (size_t i = 0; i < PV_ARRAY_LEN(verdicts); i++)
        if (is_word(word, verdicts[i].word))
            verdict = verdicts[i].verdict;
    return verdict;
}

/* `drop`, `jump users`. False: the text begins with none, or one that changes nothing. */
static bool put_verdict(const struct rule *r, const char *text)
{
    enum verdict verdict = verdict_of(take_piece(&text));
    struct piece target = {text, 0};
    if (verdict == JUMP || verdict == GOTO)
        target.len = strcspn(text, " ,;}");
    if (verdict != NONE)
        put_rule(r, verdict, target);
    return verdict != NONE;
}

/* `"lo" : accept, "p2pvpn0" : jump x`: each is as a rule of its own. */
static void put_map(const struct rule *r, const struct selector *s, struct piece map)
{
    if (map.len > 0 && map.at[0] == '@') {
        struct rule named = *r;
        require_both(&named, MAYBE);
        if (s != NULL)
            name_ours(&named);
        put_rule(&named, ACCEPT, (struct piece){map.at, 0});
        return;
    }
    for (struct piece i = take_item(&map); i.len > 0; i = take_item(&map)) {
        struct rule one = *r;
        char text[LINE];
        snprintf(text, sizeof(text), "%.*s", (int)i.len, i.at);
        char *colon = strstr(text, " : ");
        if (colon == NULL)
            continue;
        *colon = '\0';
        const char *key = text;
        struct piece first = take_piece(&key);
        if (s != NULL && key[0] == '\0') {
            require_value(&one, s, first, false);
        } else {
            require_both(&one, MAYBE);
            if (is_ours(r->w, first))
                name_ours(&one);
        }
        put_verdict(&one, colon + 3);
    }
}

/* Words that are no condition: a counter, a log, something that is set. */
static bool skip_statement(const char **rule)
{
    static const struct {
        const char *words;
        const char *options[7]; /* each with a value behind it */
    } statements[] = {
        {"counter ", {"packets ", "bytes ", "name "}},
        {"log ", {"prefix ", "level ", "flags ", "group ", "snaplen ", "queue-threshold "}},
        {"notrack ", {NULL}},
        {"xt match \"comment\" ", {NULL}},
    };
    static const char *const sets[] = {"meta nftrace set ", "meta mark set ", "meta priority set ",
                                       "ct mark set "};
    for (size_t i = 0; i < PV_ARRAY_LEN(sets); i++) {
        if (!skip(rule, sets[i]))
            continue;
        take_piece(rule);
        return true;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(statements); i++) {
        if (!skip(rule, statements[i].words))
            continue;
        const char *const *option = statements[i].options;
        while (*option != NULL) {
            if (!skip(rule, *option++))
                continue;
            take_piece(rule);
            option = statements[i].options;
        }
        return true;
    }
    return false;
}

/* The first packet of a connection, as iptables' --syn has it. */
static bool skip_syn(struct rule *r, const char **rule)
{
    static const char *const forms[] = {
        "tcp flags 0x2 / 0x1,0x2,0x4,0x10 ", "tcp flags syn / fin,syn,rst,ack ",
        "tcp flags & 0x17 == 0x2 ", "tcp flags & (fin | syn | rst | ack) == syn "};
    for (size_t i = 0; i < PV_ARRAY_LEN(forms); i++) {
        if (!skip(rule, forms[i]))
            continue;
        require(r, OUT, NOT);
        return true;
    }
    return false;
}

/* Something that nobody here can read. A tun has no Ethernet, and an IPv4 packet nothing of IPv6.
 */
static void take_unknown(struct rule *r, const char **rule)
{
    struct piece word = take_piece(rule);
    bool never = is_word(word, "ether") || is_word(word, "arp") || is_word(word, "vlan") ||
                 (is_word(word, "ip6") && !r->w->ip6);
    require_both(r, never ? NOT : MAYBE);
    if (is_word(word, ".")) { /* what follows belongs to what was before it */
        take_piece(rule);
    } else if (is_word(word, "fib")) {
        while (word.len > 0 && !is_word(word, "type") && strncmp(word.at, "oif", 3) != 0)
            word = take_piece(rule);
    } else if (word.len > 0 && (word.at[0] == '{' || word.at[0] == '"')) {
        for (struct piece i = take_item(&word); i.len > 0; i = take_item(&word)) {
            const char *key = PV_STR("%.*s", (int)i.len, i.at);
            for (struct piece k = take_piece(&key); k.len > 0; k = take_piece(&key))
                if (is_ours(r->w, k))
                    name_ours(r);
        }
    }
}

/* True: a condition was read; and with *ret_ends the rule, since it ends with a map. */
static bool take_selector(struct rule *r, const char **rule, bool *ret_ends)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(selectors); i++) {
        const struct selector *s = &selectors[i];
        if (!skip(rule, s->name))
            continue;
        if (skip(rule, "vmap ")) {
            put_map(r, s, take_piece(rule));
            *ret_ends = true;
        } else if ((*rule)[0] == '.' || (*rule)[0] == '&') {
            take_unknown(r, rule);
        } else {
            bool inverse = skip(rule, "!= ") || skip(rule, "! ");
            require_value(r, s, take_piece(rule), inverse);
        }
        return true;
    }
    if (!skip(rule, "vmap "))
        return false;
    put_map(r, NULL, take_piece(rule));
    *ret_ends = true;
    return true;
}

/* Cut: the line was longer than those that are listed, so that its verdict may be any. */
static void take_rule(struct pv_hostwall *w, const char *rule, bool cut)
{
    struct rule r = {.w = w, .holds = {SURELY, SURELY}};
    bool ends = false;
    while (!ends && rule[0] != '\0') {
        ends = put_verdict(&r, rule);
        if (!ends && !skip_statement(&rule) && !skip_syn(&r, &rule) &&
            !take_selector(&r, &rule, &ends))
            take_unknown(&r, &rule);
    }
    if (ends || !cut)
        return;
    require_both(&r, MAYBE);
    put_rule(&r, ACCEPT, (struct piece){rule, 0});
}

/* --- the walk --------------------------------------------------------------------------------- */

/* How a packet leaves a chain. */
enum left {
    AT_END,   /* or by a return */
    ACCEPTED, /* by a rule for any interface */
    DECIDED,  /* an administrator who named our interface did; or nobody can say */
    DROPPED,
};

struct walk {
    const struct pv_hostwall *w;
    int way;
    unsigned steps;
};

static enum left walk_chain(struct walk *k, uint32_t chain, bool named, unsigned depth);

/* Into the chain that a rule names and back. Rules for some packets alone make no difference there,
 * but for those that name our interface. */
static enum left follow(struct walk *k, const struct pv_hostwall_rule *rule, bool named,
                        unsigned depth)
{
    enum left left = depth == DEPTH ? DECIDED : walk_chain(k, rule->target, named, depth + 1);
    return rule->holds[k->way] == MAYBE && left != DECIDED ? AT_END : left;
}

/* Named: a rule that names our interface led here, so that even what accepts some packets is a
 * decision about it. */
static enum left walk_chain(struct walk *k, uint32_t chain, bool named, unsigned depth)
{
    bool may_return = false;
    enum left left = AT_END;
    for (size_t i = 0; i < k->w->n_rules && left == AT_END; i++) {
        const struct pv_hostwall_rule *rule = &k->w->rules[i];
        const enum holds holds = rule->holds[k->way];
        const bool ours = named || rule->names[k->way];
        if (++k->steps > STEPS)
            return DECIDED;
        if (rule->chain != chain || holds == NOT)
            continue;
        if (rule->verdict == RETURN && holds == SURELY)
            return AT_END;
        may_return = may_return || rule->verdict == RETURN;
        if (rule->verdict == ACCEPT)
            left = ours ? DECIDED : holds == SURELY ? ACCEPTED : AT_END;
        else if (rule->verdict == DROP)
            left = DROPPED;
        else if (rule->verdict != RETURN)
            left = follow(k, rule, ours, depth);
        if (rule->verdict == GOTO && holds == SURELY)
            break;
    }
    /* A return that nobody can read counts as taken where the packet would be dropped otherwise. */
    return left == DROPPED && may_return ? AT_END : left;
}

static bool drops(const struct pv_hostwall *w, const struct pv_hostwall_base *base)
{
    struct walk k = {.w = w, .way = base->hook == PV_HOSTWALL_OUTPUT ? OUT : IN};
    enum left left =
        walk_chain(&k, hash_of((struct piece){base->chain, strlen(base->chain)}), false, 0);
    return left == DROPPED || (left == AT_END && base->drops);
}

/* --- tables ----------------------------------------------------------------------------------- */

static void end_table(struct pv_hostwall *w)
{
    for (size_t i = 0; i < w->n_bases && !w->left_out && !w->too_many && w->found[0] == '\0'; i++) {
        if (!drops(w, &w->bases[i]))
            continue;
        memcpy(w->found, w->table, sizeof(w->found));
        w->found_in = w->bases[i];
        w->found_by = w->legacy;
    }
    w->n_rules = w->n_bases = 0;
    w->left_out = w->too_many = false;
    w->chain[0] = '\0';
}

static void begin_table(struct pv_hostwall *w, const char *family, const char *table)
{
    static const char *const families[] = {"ip", "ip6", "inet", "netdev"};
    end_table(w);
    snprintf(w->table, sizeof(w->table), "%s %s", family, table);
    w->legacy = NULL;
    w->ip6 = strcmp(family, "ip6") == 0;
    w->left_out = true;
    for (size_t i = 0; i < PV_ARRAY_LEN(families); i++)
        if (strcmp(family, families[i]) == 0) /* but for the rules of a network, by p2pvpnd */
            w->left_out = strncmp(table, "p2pvpn-", 7) == 0;
}

/* `type filter hook ingress device "p2pvpn0" priority 0; policy drop;` */
static void put_base(struct pv_hostwall *w, const char *line)
{
    static const struct {
        const char *name;
        enum pv_hostwall_hook hook;
    } hooks[] = {
        {" hook input ", PV_HOSTWALL_INPUT},        {" hook prerouting ", PV_HOSTWALL_EARLIER},
        {" hook ingress ", PV_HOSTWALL_EARLIER},    {" hook output ", PV_HOSTWALL_OUTPUT},
        {" hook postrouting ", PV_HOSTWALL_OUTPUT}, {" hook egress ", PV_HOSTWALL_OUTPUT}};
    struct pv_hostwall_base base = {.drops = strstr(line, "policy drop") != NULL};
    const char *device = strstr(line, " device");
    bool at_hook = false;
    for (size_t i = 0; i < PV_ARRAY_LEN(hooks); i++) {
        if (strstr(line, hooks[i].name) == NULL)
            continue;
        base.hook = hooks[i].hook;
        at_hook = true;
    }
    if (device != NULL) {
        device += strcspn(device, "\"{");
        at_hook = at_hook && has_ours(w, take_piece(&device));
    }
    /* Addresses are translated for the first packet of a connection, which is no answer. */
    if (!at_hook || (base.hook == PV_HOSTWALL_OUTPUT && strstr(line, "type nat ") != NULL))
        return;
    memcpy(base.chain, w->chain, sizeof(base.chain));
    w->too_many = w->too_many || w->n_bases == PV_HOSTWALL_BASES;
    if (!w->too_many)
        w->bases[w->n_bases++] = base;
}

void pv_hostwall_line(struct pv_hostwall *w, const char *line)
{
    char family[16], table[56];
    bool cut = strlen(line) >= LINE - 1;
    line += strspn(line, " \t");
    if (sscanf(line, "table %15s %55s {", family, table) == 2)
        begin_table(w, family, table);
    else if (skip(&line, "chain "))
        snprintf(w->chain, sizeof(w->chain), "%.*s", (int)strcspn(line, " {"), line);
    else if (line[0] == '}') /* of a chain, a set or the table */
        w->chain[0] = '\0';
    else if (w->chain[0] == '\0') /* a dormant table is there, and not in force */
        w->left_out = w->left_out || (skip(&line, "flags ") && strstr(line, "dormant") != NULL);
    else if (strncmp(line, "type ", 5) == 0)
        put_base(w, line);
    else if (!w->left_out)
        take_rule(w, line, cut);
}

/* --- iptables-legacy -------------------------------------------------------------------------- */

void pv_hostwall_legacy_table(struct pv_hostwall *w, bool v6, const char *table)
{
    begin_table(w, v6 ? "ip6" : "ip", table);
    w->legacy = v6 ? "ip6tables-legacy" : "iptables-legacy";
    snprintf(w->table, sizeof(w->table), "%s of %s", table, w->legacy);
}

/* Modules whose name alone is no condition. */
static bool is_plain(struct piece module)
{
    static const char *const plain[] = {"comment", "conntrack", "state",  "tcp",
                                        "udp",     "addrtype",  "iprange"};
    bool is = false;
    for (size_t i = 0; i < PV_ARRAY_LEN(plain); i++)
        is = is || is_word(module, plain[i]);
    return is;
}

/* The last words of a rule. */
static void put_target(struct pv_text *rule, bool jumps, struct piece target)
{
    static const char *const words[][2] = {{"ACCEPT", "accept"}, {"DROP", "drop"},
                                           {"REJECT", "reject"}, {"RETURN", "return"},
                                           {"NFQUEUE", "queue"}, {"QUEUE", "queue"},
                                           {"DNAT", "dnat"},     {"REDIRECT", "redirect"},
                                           {"TPROXY", "tproxy"}, {"SYNPROXY", "synproxy"}};
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
        if (!is_word(target, words[i][0]))
            continue;
        pv_text_add(rule, "%s", words[i][1]);
        return;
    }
    /* To one that only logs, or sets a mark: no chain is called so, so that it comes back. */
    pv_text_add(rule, "%s %.*s", jumps ? "jump" : "goto", (int)target.len, target.at);
}

/* Writes an option with its value as nft would say it. */
static void put_option(struct pv_text *rule, const struct pv_hostwall *w, struct piece option,
                       const char **line, bool inverse)
{
    static const char *const options[][3] = {
        {"-i", "iifname", "iifname"},
        {"-o", "oifname", "oifname"},
        {"-s", "ip saddr", "ip6 saddr"},
        {"-d", "ip daddr", "ip6 daddr"},
        {"--src-range", "ip saddr", "ip6 saddr"},
        {"--dst-range", "ip daddr", "ip6 daddr"},
        {"-p", "meta l4proto", "meta l4proto"},
        {"--ctstate", "ct state", "ct state"},
        {"--state", "ct state", "ct state"},
        {"--ctdir", "ct direction", "ct direction"},
        {"--dst-type", "fib daddr type", "fib daddr type"},
    };
    if (!inverse && is_word(option, "--tcp-flags") && skip(line, "FIN,SYN,RST,ACK SYN ")) {
        pv_text_add(rule, "tcp flags syn / fin,syn,rst,ack ");
        return;
    }
    const char *behind = *line;
    struct piece next = take_piece(&behind);
    if (is_word(option, "--comment") || (is_word(option, "-m") && is_plain(next))) {
        *line = behind;
        return;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(options); i++) {
        if (!is_word(option, options[i][0]))
            continue;
        struct piece value = take_piece(line);
        bool any = value.len > 0 && value.at[value.len - 1] == '+';
        pv_text_add(rule, "%s %s%.*s%s ", options[i][w->ip6 ? 2 : 1], inverse ? "!= " : "",
                    (int)(value.len - any), value.at, any ? "*" : "");
        return;
    }
    pv_text_add(rule, "other ");
}

void pv_hostwall_legacy_line(struct pv_hostwall *w, const char *line)
{
    char text[2 * LINE];
    struct pv_text rule = pv_text_in(text, sizeof(text));
    bool cut = strlen(line) >= LINE - 1, is_policy = skip(&line, "-P "), inverse = false;
    if (!is_policy && !skip(&line, "-A "))
        return;
    struct piece chain = take_piece(&line), option = chain;
    pv_hostwall_line(w, PV_STR("chain %.*s", (int)chain.len, chain.at));
    if (is_policy) {
        static const char *const hooks[] = {"prerouting", "input", "output", "postrouting"};
        for (size_t i = 0; i < PV_ARRAY_LEN(hooks); i++)
            if (is_word(chain, hooks[i]))
                pv_hostwall_line(w, PV_STR("type filter hook %s priority 0; policy %s;", hooks[i],
                                           strcmp(line, "DROP") == 0 ? "drop" : "accept"));
        return;
    }
    while (option.len > 0) {
        option = take_piece(&line);
        bool jumps = is_word(option, "-j");
        if (jumps || is_word(option, "-g")) {
            put_target(&rule, jumps, take_piece(&line));
            break;
        }
        if (!is_word(option, "!"))
            put_option(&rule, w, option, &line, inverse);
        inverse = is_word(option, "!");
    }
    take_rule(w, rule.text, cut);
}

bool pv_hostwall_ends(struct pv_hostwall *w)
{
    end_table(w);
    return w->found[0] != '\0';
}

const char *pv_hostwall_remedy(const struct pv_hostwall *w, char *buf, size_t cap)
{
    const bool out = w->found_in.hook == PV_HOSTWALL_OUTPUT;
    if (w->found_by != NULL)
        snprintf(buf, cap, "%s -t %.*s -I %s %s %s -j ACCEPT", w->found_by,
                 (int)strcspn(w->found, " "), w->found, w->found_in.chain, out ? "-o" : "-i",
                 w->ifname);
    else
        snprintf(buf, cap, "nft insert rule %s %s %s \"%s\" accept", w->found, w->found_in.chain,
                 out ? "oifname" : "iifname", w->ifname);
    return buf;
}

/* --- this host -------------------------------------------------------------------------------- */

static void take_line(void *ctx, const char *line)
{
    pv_hostwall_line(ctx, line);
}

static void take_legacy_line(void *ctx, const char *line)
{
    pv_hostwall_legacy_line(ctx, line);
}

/* The program itself would make the kernel load what nobody uses. */
static bool has_legacy(bool v6, const char *table)
{
    char line[64];
    bool has = false;
    FILE *f = fopen(v6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        has = has || strcmp(line, PV_STR("%s\n", table)) == 0;
    if (f != NULL)
        fclose(f);
    return has;
}

/* The program that is missing or fails; NULL: none. */
static const char *look_at_legacy(struct pv_hostwall *w)
{
    static const char *const tables[] = {"filter", "raw", "mangle"};
    const char *unread = NULL;
    for (size_t i = 0; i < 2 * PV_ARRAY_LEN(tables); i++) {
        bool v6 = i >= PV_ARRAY_LEN(tables);
        const char *table = tables[i % PV_ARRAY_LEN(tables)];
        if (!has_legacy(v6, table))
            continue;
        pv_hostwall_legacy_table(w, v6, table);
        if (pv_iptables_list(v6, table, take_legacy_line, w) != PV_OK)
            unread = w->legacy;
    }
    return unread;
}

enum pv_hostwall_is pv_hostwall_look(const char *ifname, const struct pv_prefix *range,
                                     struct pv_hostwall *ret_wall)
{
    static const char *const words[] = {"ruleset"};
    const char *unread = NULL;
    memset(ret_wall, 0, sizeof(*ret_wall));
    ret_wall->ifname = ifname;
    if (range != NULL)
        ret_wall->range = *range;
    if (pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_line, ret_wall) != PV_OK)
        unread = "nft";
    const char *legacy = look_at_legacy(ret_wall);
    if (pv_hostwall_ends(ret_wall))
        return PV_HOSTWALL_DROPS;
    if (legacy == NULL && unread == NULL)
        return PV_HOSTWALL_OPEN;
    snprintf(ret_wall->found, sizeof(ret_wall->found), "%s", legacy != NULL ? legacy : unread);
    return PV_HOSTWALL_UNREAD;
}
