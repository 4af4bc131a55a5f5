/* SPDX-License-Identifier: MIT */
/*
 * names.c - the names file: written by the daemon, searched in place by libnss_p2pvpn. Every
 * program that resolves a name reads it, so the reader checks what it touches and trusts nothing: a
 * damaged file gives wrong answers at worst, never a crash in somebody else's process. Records are
 * sorted by name; two lists of numbers sort them by address.
 */
#include "base/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const char MAGIC[16] = "p2pvpn names 1\n";

enum {
    AT_COUNT = 16, /* offsets in the file: PROTOCOL-LOCAL.md "Names file" */
    AT_NETWORK = 24,
    AT_IP4 = 64, /* in a record */
    AT_IP6 = 68,
};

/* --- building ------------------------------------------------------------------------------ */

static int cmp_names(const void *a, const void *b)
{
    const struct pv_names_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

struct addr_order {
    const struct pv_names_entry *entries;
    bool v6;
};

static const struct pv_addr *addr_of(const struct pv_names_entry *e, bool v6)
{
    return v6 ? &e->ip6 : &e->ip4;
}

static int cmp_addrs(const void *a, const void *b, void *ctx)
{
    const struct addr_order *o = ctx;
    uint32_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    int r = memcmp(addr_of(&o->entries[x], o->v6)->ip, addr_of(&o->entries[y], o->v6)->ip,
                   o->v6 ? 16 : 4);
    return r != 0 ? r : (x > y) - (x < y);
}

static void put_padded(struct pv_writer *w, const char *name)
{
    char field[PV_NAME_BUF] = "";
    snprintf(field, sizeof(field), "%s", name);
    pv_put_bytes(w, field, sizeof(field));
}

static void put_order(struct pv_writer *w, const struct pv_names_entry *entries, uint32_t *numbers,
                      uint32_t n, bool v6)
{
    struct addr_order o = {.entries = entries, .v6 = v6};
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = i;
    if (n > 1)
        qsort_r(numbers, n, sizeof(*numbers), cmp_addrs, &o);
    for (uint32_t i = 0; i < n; i++)
        pv_put_u32(w, numbers[i]);
}

/* Unused address bytes are zeroed, since they take part in the order. */
static int sort_and_check(const char *network, struct pv_names_entry *entries, size_t n)
{
    if (!pv_name_is_valid(network))
        return PV_ERR_MALFORMED;
    if (n > 1)
        qsort(entries, n, sizeof(*entries), cmp_names);
    for (size_t i = 0; i < n; i++) {
        if (!pv_name_is_valid(entries[i].name))
            return PV_ERR_MALFORMED;
        if (i > 0 && strcmp(entries[i - 1].name, entries[i].name) == 0)
            return PV_ERR_EXISTS;
        if (entries[i].ip4.family == PV_AF_NONE)
            memset(entries[i].ip4.ip, 0, sizeof(entries[i].ip4.ip));
        if (entries[i].ip6.family == PV_AF_NONE)
            memset(entries[i].ip6.ip, 0, sizeof(entries[i].ip6.ip));
    }
    return PV_OK;
}

/* The orders are computed once by the writer: readers only search. */
int pv_names_build(const char *network, struct pv_names_entry *entries, size_t n, uint8_t *buf,
                   size_t cap)
{
    if (n > PV_NAMES_MAX)
        return PV_ERR_LIMIT;
    if (cap < PV_NAMES_SIZE(n))
        return PV_ERR_NO_SPACE;
    int r = sort_and_check(network, entries, n);
    if (r < 0)
        return r;
    uint32_t *numbers = malloc((n + 1) * sizeof(*numbers));
    if (numbers == NULL)
        return PV_ERR_NOMEM;
    struct pv_writer w = pv_writer(buf, cap);
    pv_put_bytes(&w, MAGIC, sizeof(MAGIC));
    pv_put_u32(&w, (uint32_t)n);
    pv_put_u32(&w, 0);
    put_padded(&w, network);
    pv_put_u64(&w, 0);
    for (size_t i = 0; i < n; i++) {
        put_padded(&w, entries[i].name);
        pv_put_bytes(&w, entries[i].ip4.ip, 4);
        pv_put_bytes(&w, entries[i].ip6.ip, 16);
    }
    put_order(&w, entries, numbers, (uint32_t)n, false);
    put_order(&w, entries, numbers, (uint32_t)n, true);
    free(numbers);
    return w.status;
}

/* --- reading ------------------------------------------------------------------------------- */

/* A name in its field: valid, NUL to the end. */
static int take_name(const uint8_t *field, char ret_name[static PV_NAME_BUF])
{
    char name[PV_NAME_BUF];
    memcpy(name, field, sizeof(name));
    size_t len = strnlen(name, sizeof(name));
    for (size_t i = len; i < sizeof(name); i++) {
        if (name[i] != '\0')
            return PV_ERR_MALFORMED;
    }
    if (len == sizeof(name) || !pv_name_is_valid(name))
        return PV_ERR_MALFORMED;
    memcpy(ret_name, name, sizeof(name));
    return PV_OK;
}

/* The whole length must fit the count exactly; from here on every record lies inside the file. */
int pv_names_open(struct pv_view file, struct pv_names *ret_names)
{
    struct pv_names n = {.file = file};
    if (file.len < PV_NAMES_HEAD)
        return PV_ERR_TRUNCATED;
    if (memcmp(file.ptr, MAGIC, sizeof(MAGIC)) != 0)
        return PV_ERR_UNSUPPORTED;
    n.n = pv_load_be32(file.ptr + AT_COUNT);
    if (n.n > PV_NAMES_MAX || pv_load_be32(file.ptr + AT_COUNT + 4) != 0 ||
        pv_load_be64(file.ptr + AT_NETWORK + PV_NAME_BUF) != 0)
        return PV_ERR_MALFORMED;
    if (file.len < PV_NAMES_SIZE(n.n))
        return PV_ERR_TRUNCATED;
    if (file.len > PV_NAMES_SIZE(n.n))
        return PV_ERR_MALFORMED;
    int r = take_name(file.ptr + AT_NETWORK, n.network);
    if (r < 0)
        return r;
    *ret_names = n;
    return PV_OK;
}

static const uint8_t *record_at(const struct pv_names *names, uint32_t i)
{
    return names->file.ptr + PV_NAMES_HEAD + (size_t)i * PV_NAMES_RECORD;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

int pv_names_at(const struct pv_names *names, uint32_t i, struct pv_names_entry *ret_entry)
{
    const uint8_t *p = record_at(names, i);
    struct pv_names_entry e = {0};
    int r = take_name(p, e.name);
    if (r < 0)
        return r;
    if (!all_zero(p + AT_IP4, 4))
        e.ip4 = pv_addr4_u32(pv_load_be32(p + AT_IP4), 0);
    if (!all_zero(p + AT_IP6, 16))
        e.ip6 = pv_addr6(p + AT_IP6, 0);
    *ret_entry = e;
    return PV_OK;
}

/* Binary search over padded names: memcmp() orders them as strcmp() does. */
int pv_names_by_name(const struct pv_names *names, const char *name,
                     struct pv_names_entry *ret_entry)
{
    char want[PV_NAME_BUF] = "";
    uint32_t low = 0, high = names->n;
    if (strlen(name) > PV_NAME_MAX)
        return PV_ERR_NOT_FOUND;
    snprintf(want, sizeof(want), "%s", name);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int r = memcmp(want, record_at(names, mid), sizeof(want));
        if (r == 0)
            return pv_names_at(names, mid, ret_entry);
        if (r < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return PV_ERR_NOT_FOUND;
}

/* The number of the i-th record by address. May be anything in a damaged file: the caller compares
 * it with the count. */
static uint32_t number_at(const struct pv_names *names, uint32_t i, bool v6)
{
    const uint8_t *orders = record_at(names, names->n);
    return pv_load_be32(orders + 4 * ((size_t)i + (v6 ? names->n : 0)));
}

int pv_names_by_ip(const struct pv_names *names, const struct pv_addr *ip,
                   struct pv_names_entry *ret_entry)
{
    bool v6 = ip->family == PV_AF_INET6;
    size_t len = v6 ? 16 : 4, at = v6 ? AT_IP6 : AT_IP4;
    uint32_t low = 0, high = names->n;
    if (ip->family == PV_AF_NONE || pv_addr_is_unspecified(ip))
        return PV_ERR_NOT_FOUND;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2, number = number_at(names, mid, v6);
        if (number >= names->n)
            return PV_ERR_MALFORMED;
        int r = memcmp(ip->ip, record_at(names, number) + at, len);
        if (r == 0)
            return pv_names_at(names, number, ret_entry);
        if (r < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return PV_ERR_NOT_FOUND;
}

/* Returns true if the order by address is ascending, and every number is a record's. */
static bool order_is_good(const struct pv_names *names, bool v6)
{
    size_t len = v6 ? 16 : 4, at = v6 ? AT_IP6 : AT_IP4;
    for (uint32_t i = 0; i < names->n; i++) {
        uint32_t number = number_at(names, i, v6);
        if (number >= names->n)
            return false;
        if (i == 0)
            continue;
        uint32_t before = number_at(names, i - 1, v6);
        int r = memcmp(record_at(names, before) + at, record_at(names, number) + at, len);
        if (r > 0 || (r == 0 && before >= number))
            return false;
    }
    return true;
}

int pv_names_check(const struct pv_names *names)
{
    struct pv_names_entry e;
    for (uint32_t i = 0; i < names->n; i++) {
        int r = pv_names_at(names, i, &e);
        if (r < 0)
            return r;
        if (i > 0 && memcmp(record_at(names, i - 1), record_at(names, i), PV_NAME_BUF) >= 0)
            return PV_ERR_MALFORMED;
    }
    return order_is_good(names, false) && order_is_good(names, true) ? PV_OK : PV_ERR_MALFORMED;
}

/* --- text ---------------------------------------------------------------------------------- */

/* A name without dots belongs to the only network. A name with dots must end in ".p2p"; all others
 * belong to the DNS. */
int pv_names_split(const char *text, char ret_name[static PV_NAME_BUF],
                   char ret_network[static PV_NAME_BUF])
{
    static const char suffix[] = "p2p";
    char name[PV_NAME_BUF], network[PV_NAME_BUF] = "";
    size_t len = strnlen(text, PV_NAMES_FULL_BUF + 1);
    const char *dot = memchr(text, '.', len);
    if (len > PV_NAMES_FULL_BUF)
        return PV_ERR_NOT_FOUND;
    if (dot != NULL) {
        const char *second = strchr(dot + 1, '.');
        if (second == NULL || strncasecmp(second + 1, suffix, 3) != 0 ||
            (second[4] != '\0' && strcmp(second + 4, ".") != 0) ||
            pv_name_parse(dot + 1, (size_t)(second - dot - 1), network) < 0)
            return PV_ERR_NOT_FOUND;
    }
    if (pv_name_parse(text, dot == NULL ? len : (size_t)(dot - text), name) < 0)
        return PV_ERR_NOT_FOUND;
    memcpy(ret_name, name, sizeof(name));
    memcpy(ret_network, network, sizeof(network));
    return PV_OK;
}

bool pv_names_is_address(const char *word, char ret_name[static PV_NAME_BUF])
{
    uint8_t key[PV_KEY_LEN];
    struct pv_addr ip;
    if (pv_name_parse(word, strcspn(word, "."), ret_name) < 0)
        ret_name[0] = '\0';
    return strncmp(word, "key:", 4) == 0 || pv_key_parse(word, key) == PV_OK ||
           pv_addr_parse_ip(word, &ip) == PV_OK;
}

bool pv_names_in_send(const char *line, char ret_name[static PV_NAME_BUF])
{
    char word[PV_NAMES_FULL_BUF + 1];
    ret_name[0] = '\0';
    line += strspn(line, " ");
    if (strncmp(line, "send ", 5) != 0)
        return false;
    line += 5 + strspn(line + 5, " ");
    size_t len = strcspn(line, " ");
    snprintf(word, sizeof(word), "%.*s", (int)len, line);
    return line[len + strspn(line + len, " ")] != '\0' && pv_names_is_address(word, ret_name);
}

const char *pv_names_full(const char *name, const char *network, char buf[static PV_NAMES_FULL_BUF])
{
    snprintf(buf, PV_NAMES_FULL_BUF, "%.63s.%.63s.p2p", name, network);
    return buf;
}
