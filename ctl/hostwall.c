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
    IN = 0, /* the packets: by IPv6 with SIX */
    OUT = 1,
    SIX = 2,
    DEPTH = 16,          /* of jumps; the kernel refuses more */
    STEPS = 1024 * 4096, /* rules that are looked at in a walk */
};

/* Do the conditions of a rule hold for a packet? In this order: of several the least counts. */
enum holds {
    NOT,
    PARTLY, /* for some of those packets */
    UNSURE, /* nobody here can say */
    SURELY,
};

/* Does a rule name our interface, or members' addresses? */
enum names {
    NAMES_NONE,
    NAMES_PERHAPS, /* it looks into a set that nobody here can read */
    NAMES_OURS,
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

struct selector;

/* A rule while it is read. */
struct rule {
    struct pv_hostwall *w;
    enum holds holds[PV_HOSTWALL_WAYS];
    enum names names[PV_HOSTWALL_WAYS];
    bool other;                   /* it is about another protocol than TCP */
    const struct selector *first; /* of pairs that are looked for: what they begin with */
};

enum kind {
    BY_WORD,
    BY_FAMILY,
    BY_PROTOCOL,
    BY_INTERFACE,
    BY_ADDRESS,
};

/* A rule looks at this; and the words are for what the packets have there that come in, and go out,
 * or, by family, those of IPv4 and IPv6. nft -n says most of them by numbers. */
struct selector {
    const char *name;
    enum kind kind;
    bool one_way; /* only packets of this direction, or family, have one */
    bool one_family;
    int way;
    const char *set; /* a set of them has this type */
    const char *words[2][3];
};

static const struct selector selectors[] = {
    {.name = "iifname ", .kind = BY_INTERFACE, .one_way = true, .way = IN, .set = "ifname"},
    {.name = "iif ", .kind = BY_INTERFACE, .one_way = true, .way = IN, .set = "iface_index"},
    {.name = "oifname ", .kind = BY_INTERFACE, .one_way = true, .way = OUT, .set = "ifname"},
    {.name = "oif ", .kind = BY_INTERFACE, .one_way = true, .way = OUT, .set = "iface_index"},
    /* ARPHRD_NONE */
    {.name = "meta iiftype ", .one_way = true, .way = IN, .words = {{"65534", "0xfffe"}}},
    {.name = "meta oiftype ", .one_way = true, .way = OUT, .words = {{0}, {"65534", "0xfffe"}}},
    {.name = "ip saddr ", .kind = BY_ADDRESS, .one_family = true, .set = "ipv4_addr"},
    {.name = "ip daddr ", .kind = BY_ADDRESS, .one_family = true, .set = "ipv4_addr"},
    {.name = "ip6 saddr ", .kind = BY_ADDRESS, .one_family = true, .way = SIX, .set = "ipv6_addr"},
    {.name = "ip6 daddr ", .kind = BY_ADDRESS, .one_family = true, .way = SIX, .set = "ipv6_addr"},
    {.name = "ct state ",
     .set = "ct_state",
     .words = {{"new", "8", "0x8"}, {"established", "2", "0x2"}}},
    {.name = "ct direction ", .words = {{"original", "0"}, {"reply", "1"}}},
    {.name = "meta pkttype ", .words = {{"unicast", "host", "0"}, {"unicast", "host", "0"}}},
    {.name = "meta ipsec ", .words = {{"missing", "0"}, {"missing", "0"}}},
    {.name = "meta nfproto ",
     .kind = BY_FAMILY,
     .set = "nf_proto",
     .words = {{"ipv4", "2"}, {"ipv6", "10"}}},
    {.name = "meta protocol ",
     .kind = BY_FAMILY,
     .words = {{"ip", "0x0800", "0x800"}, {"ip6", "0x86dd"}}},
    {.name = "ip version ", .kind = BY_FAMILY, .words = {{"4"}}},
    {.name = "meta l4proto ",
     .kind = BY_PROTOCOL,
     .set = "inet_proto",
     .words = {{"tcp", "6"}, {"tcp", "6"}}},
    {.name = "ip protocol ",
     .kind = BY_PROTOCOL,
     .one_family = true,
     .set = "inet_proto",
     .words = {{"tcp", "6"}, {"tcp", "6"}}},
    {.name = "ip6 nexthdr ",
     .kind = BY_PROTOCOL,
     .one_family = true,
     .way = SIX,
     .set = "inet_proto",
     .words = {{"tcp", "6"}, {"tcp", "6"}}},
};

/* Of the routing table, behind `fib daddr type` and `fib saddr . iif oif`: what members send is for
 * an address of this host, and what they have leads back to them. */
static const struct selector fib_type = {.words = {{"local", "2"}, {"unicast", "1"}}},
                             fib_route = {.words = {{"exists", "1"}, {"exists", "1"}}};

static void name_at_least(struct rule *r, enum names names)
{
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++)
        if (names > r->names[way])
            r->names[way] = names;
}

static void require(struct rule *r, int way, enum holds holds)
{
    if (holds < r->holds[way])
        r->holds[way] = holds;
}

static void require_all(struct rule *r, enum holds holds)
{
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++)
        require(r, way, holds);
}

/* "0-100": a name has quotes, or begins with a letter. */
static bool is_range(struct piece item)
{
    const size_t digits = strspn(item.at, "0123456789");
    return digits > 0 && digits < item.len && item.at[digits] == '-';
}

static enum holds word_holds(const struct selector *s, int way, struct piece item)
{
    const char *const *words = s->words[s->kind == BY_FAMILY ? way / SIX : way % SIX];
    enum holds holds = is_range(item) ? UNSURE : NOT;
    item = bare(item, "\"");
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
static enum holds addresses_hold(const struct pv_prefix *range, struct piece item, bool *ret_within)
{
    struct pv_addr first, last, end = last_of(range);
    const size_t len = range->base.family == PV_AF_INET6 ? 16 : 4;
    if (range->base.family == PV_AF_NONE || !read_addresses(item, &first, &last) ||
        first.family != range->base.family || last.family != range->base.family)
        return UNSURE;
    int from = memcmp(first.ip, range->base.ip, len), to = memcmp(last.ip, end.ip, len);
    *ret_within = from >= 0 && to <= 0;
    if (memcmp(last.ip, range->base.ip, len) < 0 || memcmp(first.ip, end.ip, len) > 0)
        return NOT;
    return from <= 0 && to >= 0 ? SURELY : PARTLY;
}

static enum holds item_holds(const struct pv_hostwall *w, const struct selector *s, int way,
                             struct piece item, bool *ret_names)
{
    enum holds holds = is_range(item) ? UNSURE : NOT;
    if (s->kind == BY_ADDRESS)
        return addresses_hold(&w->ranges[way / SIX], item, ret_names);
    if (s->kind != BY_INTERFACE)
        return word_holds(s, way, item);
    if (is_ours(w, item))
        holds = SURELY;
    *ret_names = holds == SURELY;
    return holds;
}

/* Is there such a packet for what the rule looks at? */
static bool has_any(const struct selector *s, int way)
{
    return !(s->one_way && way % SIX != s->way) && !(s->one_family && way / SIX != s->way / SIX);
}

/* Adds an element to what is known of a set. */
static void add_item(const struct pv_hostwall *w, const struct selector *s, struct piece item,
                     struct pv_hostwall_set *set)
{
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++) {
        bool names = false;
        /* Sets do not say whether they are about what comes in or goes out. */
        enum holds holds =
            s->one_family && !has_any(s, way) ? NOT : item_holds(w, s, way, item, &names);
        if (holds > set->holds[way])
            set->holds[way] = (uint8_t)holds;
        if (names)
            set->names[way] = NAMES_OURS;
    }
}

/* NULL: not among those that are known. */
static const struct pv_hostwall_set *find_set(const struct pv_hostwall *w, struct piece at_name)
{
    const uint32_t name = hash_of((struct piece){at_name.at + 1, at_name.len - 1});
    const struct pv_hostwall_set *set = NULL;
    for (size_t i = 0; i < w->n_sets; i++)
        if (w->sets[i].name == name)
            set = &w->sets[i];
    return set;
}

/* The values of `{ a, b }`, or those in the set that a name stands for. */
static struct pv_hostwall_set values_of(const struct pv_hostwall *w, const struct selector *s,
                                        struct piece value)
{
    struct pv_hostwall_set values = {.about = s};
    if (value.len > 0 && value.at[0] == '@') {
        const struct pv_hostwall_set *set = find_set(w, value);
        const struct selector *about = set == NULL ? NULL : set->about;
        if (about != NULL && about->kind == s->kind)
            return *set;
        bool may_name = s->kind == BY_INTERFACE || s->kind == BY_ADDRESS;
        memset(values.holds, UNSURE, sizeof(values.holds));
        memset(values.names, may_name ? NAMES_PERHAPS : NAMES_NONE, sizeof(values.names));
        return values;
    }
    for (struct piece i = take_item(&value); i.len > 0; i = take_item(&value))
        add_item(w, s, i, &values);
    return values;
}

/* One of the values, or with inverse none of them, is to be the packet's. */
static void require_value(struct rule *r, const struct selector *s, struct piece value,
                          bool inverse)
{
    const struct pv_hostwall_set values = values_of(r->w, s, value);
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++) {
        enum holds holds = values.holds[way];
        if (!has_any(s, way)) {
            require(r, way, NOT);
            continue;
        }
        if (inverse && (holds == NOT || holds == SURELY))
            holds = SURELY - holds;
        if (values.names[way] > r->names[way] && (!inverse || values.names[way] == NAMES_PERHAPS))
            r->names[way] = values.names[way];
        r->other = r->other || (s->kind == BY_PROTOCOL && holds == NOT);
        if (s->kind != BY_PROTOCOL || holds == UNSURE)
            require(r, way, holds);
    }
}

/* `"eth0" . 10.0.0.1, "lo" . 10.0.0.1`: where no first of a pair is the packet's, no pair is. */
static void require_first(struct rule *r, struct piece pairs)
{
    struct pv_hostwall_set firsts = {.about = r->first};
    if (r->first == NULL)
        return;
    for (struct piece i = take_item(&pairs); i.len > 0; i = take_item(&pairs)) {
        const char *pair = PV_STR("%.*s", (int)i.len, i.at);
        add_item(r->w, r->first, take_piece(&pair), &firsts);
    }
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++)
        if (firsts.holds[way] == NOT)
            require(r, way, NOT);
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
        rule.names[way] = (uint8_t)r->names[way];
        if (r->other) /* members may use that by our interface */
            holds = verdict == ACCEPT && r->names[way] != NAMES_NONE && holds > NOT ? PARTLY : NOT;
        if (verdict == DROP && holds == PARTLY)
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

/* A rule that may do anything. */
static void put_unread(struct rule *r)
{
    require_all(r, UNSURE);
    put_rule(r, ACCEPT, (struct piece){"", 0});
    put_rule(r, DROP, (struct piece){"", 0});
}

/* `"lo" : accept, "p2pvpn0" : jump x`: each is as a rule of its own. */
static void put_map(const struct rule *r, const struct selector *s, struct piece map)
{
    if (map.len > 0 && map.at[0] == '@') {
        struct rule named = *r;
        if (s != NULL)
            name_at_least(&named, NAMES_PERHAPS);
        put_unread(&named);
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
            require_all(&one, UNSURE);
            require_first(&one, (struct piece){text, strlen(text)});
            if (is_ours(r->w, first))
                name_at_least(&one, NAMES_OURS);
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
    static const char *const forms[] = {"tcp flags 0x2 / 0x1,0x2,0x4,0x10 ",
                                        "tcp flags syn / fin,syn,rst,ack ",
                                        "tcp flags & 0x17 == 0x2 ",
                                        "tcp flags & (fin | syn | rst | ack) == syn ",
                                        "tcp flags 0x2 ",
                                        "tcp flags syn "};
    for (size_t i = 0; i < PV_ARRAY_LEN(forms); i++) {
        if (!skip(rule, forms[i]))
            continue;
        require(r, OUT, NOT);
        require(r, OUT | SIX, NOT);
        return true;
    }
    return false;
}

/* Does the rest of a rule begin with what only some packets of a connection, or of some connections
 * only, have? */
static bool is_of_some(const char *rule)
{
    static const char *const words[] = {
        "tcp ", "udp ", "udplite ", "sctp ", "dccp ", "th ", "icmp ", "icmpv6 ", "igmp ", "esp ",
        "ah ", "comp ", "limit ", "ct count ", "ct bytes ", "ct packets ", "ct avgpkt ",
        "ct helper ", "rt ", "exthdr ", "frag ", "hbh ", "dst ", "mh ", "srh ", "ip frag-off ",
        "ip option ", "ip id ", "ip length ", "ip6 length ", "ip ttl ", "ip6 hoplimit ", "ip dscp ",
        "ip6 dscp ", "meta length ", "meta cpu ", "numgen ", "jhash ", "symhash ", "meta random ",
        "meta skuid ", "meta skgid ",
        /* what another rule has translated */
        "ct status 0x20 ", "ct status dnat "};
    static const char *const matches[] = {
        "ah", "connbytes", "connlimit", "dscp",   "esp",    "frag",      "hashlimit", "helper",
        "hl", "icmp",      "icmp6",     "length", "limit",  "multiport", "owner",     "recent",
        "rt", "statistic", "string",    "tcp",    "tcpmss", "tos",       "ttl",       "udp"};
    bool is = false;
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++)
        is = is || strncmp(rule, words[i], strlen(words[i])) == 0;
    if (!skip(&rule, "xt match "))
        return is;
    const struct piece match = bare(take_piece(&rule), "\"");
    for (size_t i = 0; i < PV_ARRAY_LEN(matches); i++)
        is = is || is_word(match, matches[i]);
    return is;
}

/* Something that nobody here can read. A tun has no Ethernet, and an IPv4 packet nothing of IPv6.
 */
static void take_unknown(struct rule *r, const char **rule)
{
    const enum holds holds = is_of_some(*rule) ? PARTLY : UNSURE;
    struct piece word = take_piece(rule);
    bool never = is_word(word, "ether") || is_word(word, "arp") || is_word(word, "vlan");
    for (int way = 0; way < PV_HOSTWALL_WAYS; way++)
        require(r, way, never || is_word(word, way / SIX == 0 ? "ip6" : "ip") ? NOT : holds);
    if (is_word(word, ".")) { /* what follows belongs to what was before it */
        if (is_of_some(*rule))
            require_all(r, PARTLY);
        take_piece(rule);
    } else if (word.len > 0 && word.at[0] == '@') {
        const struct pv_hostwall_set *set = find_set(r->w, word);
        if (set == NULL || set->may_name)
            name_at_least(r, NAMES_PERHAPS);
    } else if (is_word(word, "!=")) {
        r->first = NULL; /* whatever is not among the pairs */
    } else if (word.len > 0 && (word.at[0] == '{' || word.at[0] == '"')) {
        require_first(r, word);
        for (struct piece i = take_item(&word); i.len > 0; i = take_item(&word)) {
            const char *key = PV_STR("%.*s", (int)i.len, i.at);
            for (struct piece k = take_piece(&key); k.len > 0; k = take_piece(&key))
                if (is_ours(r->w, k))
                    name_at_least(r, NAMES_OURS);
        }
    }
}

/* The values behind a selector. *ret_ends: the rule ends with them, since they are a map. */
static void take_values(struct rule *r, const struct selector *s, const char **rule, bool *ret_ends)
{
    if (skip(rule, "vmap ")) {
        put_map(r, s, take_piece(rule));
        *ret_ends = true;
    } else if ((*rule)[0] != '\0' && strchr(".&<>", (*rule)[0]) != NULL) {
        for (int way = 0; way < PV_HOSTWALL_WAYS; way++)
            if (!has_any(s, way))
                require(r, way, NOT);
        r->first = (*rule)[0] == '.' ? s : NULL;
        take_unknown(r, rule);
    } else {
        bool inverse = skip(rule, "!= ") || skip(rule, "! ");
        require_value(r, s, take_piece(rule), inverse);
    }
}

/* `fib daddr . iif type`, `fib saddr . mark . iif oif` */
static void take_fib(struct rule *r, const char **rule, bool *ret_ends)
{
    const struct piece key = take_piece(rule);
    struct piece word = key;
    while (word.len > 0 && !is_word(word, "type") && !is_word(word, "oif") &&
           !is_word(word, "oifname"))
        word = take_piece(rule);
    if (is_word(key, "daddr") && is_word(word, "type"))
        take_values(r, &fib_type, rule, ret_ends);
    else if (is_word(key, "saddr") && is_word(word, "oif"))
        take_values(r, &fib_route, rule, ret_ends);
    else
        require_all(r, UNSURE);
}

/* True: a condition was read; and with *ret_ends the rule. */
static bool take_selector(struct rule *r, const char **rule, bool *ret_ends)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(selectors); i++) {
        if (!skip(rule, selectors[i].name))
            continue;
        take_values(r, &selectors[i], rule, ret_ends);
        return true;
    }
    if (skip(rule, "fib ")) {
        take_fib(r, rule, ret_ends);
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
    struct rule r = {.w = w, .holds = {SURELY, SURELY, SURELY, SURELY}};
    bool ends = false;
    while (!ends && rule[0] != '\0') {
        ends = put_verdict(&r, rule);
        if (!ends && !skip_statement(&rule) && !skip_syn(&r, &rule) &&
            !take_selector(&r, &rule, &ends))
            take_unknown(&r, &rule);
    }
    if (!ends && cut)
        put_unread(&r);
}

/* --- the walk --------------------------------------------------------------------------------- */

/* How a packet leaves a chain. */
enum left {
    AT_END,   /* or by a return */
    ACCEPTED, /* by a rule for any interface */
    PERHAPS,  /* accepted, where what nobody can read holds */
    DECIDED,  /* an administrator who named our interface did; or nobody can say */
    DROPPED,
};

/* Of which packets is it asked whether they are dropped? */
enum asked {
    ALL,   /* of all, where no administrator has decided about our interface */
    MAYBE, /* of all, perhaps: what nobody can say is against us */
    MOST,  /* of those that no rule lets through, which may be for some packets alone */
};

struct walk {
    const struct pv_hostwall *w;
    int way;
    enum asked asked;
    unsigned steps;
};

static enum left walk_chain(struct walk *k, uint32_t chain, bool named, unsigned depth);

/* The walk goes no further. */
static enum left lost(const struct walk *k)
{
    return k->asked == MAYBE ? DROPPED : DECIDED;
}

/* A rule accepts by a condition that nobody can read. */
static enum left perhaps(const struct walk *k)
{
    return k->asked == MAYBE ? AT_END : PERHAPS;
}

/* Into the chain that a rule names and back. Rules for some packets alone make no difference there,
 * but for those that name our interface. */
static enum left follow(struct walk *k, const struct pv_hostwall_rule *rule, bool named,
                        unsigned depth)
{
    const enum holds holds = rule->holds[k->way];
    enum left left = depth == DEPTH ? lost(k) : walk_chain(k, rule->target, named, depth + 1);
    if (holds == UNSURE && left == ACCEPTED)
        left = perhaps(k);
    bool counts = holds == SURELY || left == DECIDED ||
                  (holds == UNSURE && left == (k->asked == MAYBE ? DROPPED : PERHAPS));
    return counts ? left : AT_END;
}

/* Named: a rule that names our interface led here, so that even what accepts some packets is a
 * decision about it. */
static enum left walk_chain(struct walk *k, uint32_t chain, bool named, unsigned depth)
{
    const bool suspects = k->asked == MAYBE;
    const enum names least = suspects ? NAMES_OURS : NAMES_PERHAPS;
    bool may_return = false;
    enum left left = AT_END;
    for (size_t i = 0; i < k->w->n_rules && left == AT_END; i++) {
        const struct pv_hostwall_rule *rule = &k->w->rules[i];
        const enum holds holds = rule->holds[k->way];
        const bool ours = k->asked != MOST && (named || rule->names[k->way] >= least);
        if (++k->steps > STEPS)
            return lost(k);
        if (rule->chain != chain || holds == NOT)
            continue;
        if (rule->verdict == RETURN && holds == SURELY)
            return AT_END;
        may_return = may_return || (rule->verdict == RETURN && !(suspects && holds == UNSURE));
        if (rule->verdict == ACCEPT)
            left = ours              ? DECIDED
                   : holds == SURELY ? ACCEPTED
                   : holds == UNSURE ? perhaps(k)
                                     : AT_END;
        else if (rule->verdict == DROP)
            left = holds == SURELY || suspects ? DROPPED : AT_END;
        else if (rule->verdict != RETURN)
            left = follow(k, rule, ours, depth);
        if (rule->verdict == GOTO && holds == SURELY)
            break;
    }
    /* A return that nobody can read counts as taken where the packet would be dropped otherwise. */
    return left == DROPPED && may_return ? AT_END : left;
}

static bool drops(const struct pv_hostwall *w, const struct pv_hostwall_base *base, int six,
                  enum asked asked)
{
    struct walk k = {
        .w = w, .way = (base->hook == PV_HOSTWALL_OUTPUT ? OUT : IN) | (six * SIX), .asked = asked};
    if (!w->sees[six] || w->too_many)
        return w->sees[six] && asked == MAYBE;
    enum left left =
        walk_chain(&k, hash_of((struct piece){base->chain, strlen(base->chain)}), false, 0);
    return left == DROPPED || (left == AT_END && base->drops);
}

/* --- tables ----------------------------------------------------------------------------------- */

/* Notes that this base does. */
static void note(const struct pv_hostwall *w, const struct pv_hostwall_base *base, enum asked asked,
                 struct pv_hostwall_find *find)
{
    bool four = drops(w, base, 0, asked), six = drops(w, base, 1, asked);
    if (find->table[0] != '\0' || (!four && !six))
        return;
    memcpy(find->table, w->table, sizeof(find->table));
    find->in = *base;
    find->by = w->legacy;
    find->only_ip6 = !four;
}

static void end_table(struct pv_hostwall *w)
{
    for (size_t i = 0; i < w->n_bases && !w->left_out && w->found.table[0] == '\0'; i++) {
        note(w, &w->bases[i], ALL, &w->found);
        note(w, &w->bases[i], MAYBE, &w->unclear);
        note(w, &w->bases[i], MOST, &w->most);
    }
    w->n_rules = w->n_bases = w->n_sets = 0;
    w->left_out = w->too_many = w->in_set = w->in_elements = false;
    w->chain[0] = '\0';
}

static void begin_table(struct pv_hostwall *w, const char *family, const char *table)
{
    static const char *const families[] = {"ip", "ip6", "inet", "netdev"};
    end_table(w);
    snprintf(w->table, sizeof(w->table), "%s %s", family, table);
    w->legacy = NULL;
    w->sees[0] = strcmp(family, "ip6") != 0;
    w->sees[1] = strcmp(family, "ip") != 0;
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

/* `set ok {`; `map m {`, too, which nobody looks into. */
static void begin_set(struct pv_hostwall *w, const char *name)
{
    w->in_elements = false;
    w->in_set = w->n_sets < PV_HOSTWALL_SETS;
    if (w->in_set)
        w->sets[w->n_sets++] = (struct pv_hostwall_set){
            .name = hash_of((struct piece){name, strcspn(name, " {")}), .may_name = true};
}

/* `type ipv4_addr`, `typeof ip saddr` */
static void take_type(struct pv_hostwall_set *set, const char *type)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(selectors) && set->about == NULL; i++) {
        const struct selector *s = &selectors[i];
        if (s->set != NULL &&
            (strcmp(type, s->set) == 0 || strcmp(PV_STR("%s ", type), s->name) == 0))
            set->about = s;
    }
    set->may_name = strstr(type, "if") != NULL || strstr(type, "addr") != NULL;
}

/* `10.0.0.0/8, 192.0.2.1 timeout 60s comment "x, y",`: the first word of each. */
static void take_elements(const struct pv_hostwall *w, struct pv_hostwall_set *set,
                          const char *text)
{
    bool is_first = true;
    while (text[0] != '\0') {
        struct piece word = take_piece(&text);
        if (is_first)
            add_item(w, set->about, bare(word, ","), set);
        is_first = word.at[word.len - 1] == ',' || skip(&text, ",");
    }
}

static void end_block(struct pv_hostwall *w)
{
    w->chain[0] = '\0';
    w->in_set = false;
}

/* A line of a set. */
static void take_set(struct pv_hostwall *w, const char *line, bool cut)
{
    struct pv_hostwall_set *set = &w->sets[w->n_sets - 1];
    if (skip(&line, "type ") || skip(&line, "typeof "))
        take_type(set, line);
    w->in_elements = w->in_elements || skip(&line, "elements = {");
    if (w->in_elements && cut)
        set->about = NULL;
    if (w->in_elements && set->about != NULL)
        take_elements(w, set, line);
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
        end_block(w);
    else if (w->in_set)
        take_set(w, line, cut);
    else if (w->chain[0] == '\0' && (skip(&line, "set ") || skip(&line, "map ")))
        begin_set(w, line);
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
    static const char *const plain[] = {"comment", "conntrack", "state",   "tcp",
                                        "udp",     "addrtype",  "iprange", "pkttype"};
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
        {"--pkt-type", "meta pkttype", "meta pkttype"},
        {"--dst-type", "fib daddr type", "fib daddr type"},
        {"-m", "xt match", "xt match"},
        {"--dport", "th dport", "th dport"},
        {"--sport", "th sport", "th sport"},
        {"--icmp-type", "icmp type", "icmp type"},
        {"--icmpv6-type", "icmpv6 type", "icmpv6 type"},
        {"--tcp-flags", "tcp flags", "tcp flags"},
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
        pv_text_add(rule, "%s %s%.*s%s ", options[i][w->sees[0] ? 1 : 2], inverse ? "!= " : "",
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
    return w->found.table[0] != '\0';
}

const char *pv_hostwall_remedy(const struct pv_hostwall *w, char *buf, size_t cap)
{
    const struct pv_hostwall_find *f = &w->found;
    const bool out = f->in.hook == PV_HOSTWALL_OUTPUT;
    if (f->by != NULL)
        snprintf(buf, cap, "%s -t %.*s -I %s %s %s -j ACCEPT", f->by, (int)strcspn(f->table, " "),
                 f->table, f->in.chain, out ? "-o" : "-i", w->ifname);
    else
        snprintf(buf, cap, "nft insert rule %s %s %s \"%s\" accept", f->table, f->in.chain,
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

enum pv_hostwall_is pv_hostwall_look(const char *ifname, const struct pv_prefix ranges[static 2],
                                     struct pv_hostwall *ret_wall)
{
    static const char *const words[] = {"ruleset"};
    const char *unread = NULL;
    memset(ret_wall, 0, sizeof(*ret_wall));
    ret_wall->ifname = ifname;
    memcpy(ret_wall->ranges, ranges, sizeof(ret_wall->ranges));
    if (pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_line, ret_wall) != PV_OK)
        unread = "nft";
    const char *legacy = look_at_legacy(ret_wall);
    if (pv_hostwall_ends(ret_wall))
        return PV_HOSTWALL_DROPS;
    if (legacy == NULL && unread == NULL)
        return ret_wall->unclear.table[0] != '\0' ? PV_HOSTWALL_UNCLEAR
               : ret_wall->most.table[0] != '\0'  ? PV_HOSTWALL_DROPS_MOST
                                                  : PV_HOSTWALL_OPEN;
    snprintf(ret_wall->found.table, sizeof(ret_wall->found.table), "%s",
             legacy != NULL ? legacy : unread);
    return PV_HOSTWALL_UNREAD;
}
