/* SPDX-License-Identifier: MIT */
/* logins.c - the names of accounts in a rule: their text and their one form. */
#include "proto/rules/logins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

enum {
    NAMES = PV_LOGINS_MAX / 2 + 1, /* as many as fit, of a character each */
};

/* A name in a longer text. */
struct name {
    const char *at;
    size_t len;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool pv_login_is_valid(const char *name, size_t len)
{
    if (len == 0 || len > PV_LOGIN_MAX || !is_letter(name[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!is_letter(name[i]) && !(name[i] >= '0' && name[i] <= '9') && name[i] != '.' &&
            name[i] != '-')
            return false;
    return true;
}

static int cmp_names(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    const size_t n = x->len < y->len ? x->len : y->len;
    const int r = memcmp(x->at, y->at, n);
    return r != 0 ? r : x->len < y->len ? -1 : x->len > y->len;
}

/* Cuts a list of at most PV_LOGINS_MAX bytes. Returns how many names it has; 0: one is none. */
static size_t cut(const char *text, struct name names[static NAMES])
{
    size_t n = 0;
    for (;;) {
        names[n] = (struct name){text, strcspn(text, ",")};
        if (!pv_login_is_valid(names[n].at, names[n].len))
            return 0;
        text += names[n++].len;
        if (*text == '\0')
            return n;
        text++;
    }
}

int pv_logins_decode(struct pv_view bytes, struct pv_logins *ret_logins)
{
    struct pv_logins l = {.names = ""};
    struct name names[NAMES];
    if (bytes.len > PV_LOGINS_MAX || (bytes.len > 0 && memchr(bytes.ptr, 0, bytes.len) != NULL))
        return PV_ERR_MALFORMED;
    if (bytes.len > 0)
        memcpy(l.names, bytes.ptr, bytes.len);
    const size_t n = bytes.len == 0 ? 0 : cut(l.names, names);
    if (bytes.len > 0 && n == 0)
        return PV_ERR_MALFORMED;
    for (size_t i = 1; i < n; i++)
        if (cmp_names(&names[i - 1], &names[i]) >= 0)
            return PV_ERR_MALFORMED;
    *ret_logins = l;
    return PV_OK;
}

bool pv_logins_next(const char **at, char ret_name[static PV_LOGIN_MAX + 1])
{
    const size_t len = strcspn(*at, ",");
    if (len == 0 || len > PV_LOGIN_MAX)
        return false;
    memcpy(ret_name, *at, len);
    ret_name[len] = '\0';
    *at += len + ((*at)[len] == ',' ? 1 : 0);
    return true;
}

bool pv_logins_have(const struct pv_logins *l, const char *name)
{
    char one[PV_LOGIN_MAX + 1];
    for (const char *at = l->names; pv_logins_next(&at, one);)
        if (strcmp(one, name) == 0)
            return true;
    return false;
}

/* --- text ------------------------------------------------------------------------------------- */

bool pv_logins_are_meant(const char *text)
{
    return strncmp(text, "ssh:", 4) == 0 || strncmp(text, "ssh/", 4) == 0;
}

/* Takes "ssh:" or "ssh/2222:" off the text. */
static int read_port(const char **text, uint16_t *ret_port)
{
    char number[8];
    uint64_t port = PV_LOGINS_PORT;
    const char *at = *text, *colon = strchr(at, ':');
    if (!pv_logins_are_meant(at) || colon == NULL)
        return PV_ERR_MALFORMED;
    if (at[3] == '/') {
        const size_t len = (size_t)(colon - at) - 4;
        if (len >= sizeof(number))
            return PV_ERR_MALFORMED;
        memcpy(number, at + 4, len);
        number[len] = '\0';
        if (pv_u64_parse(number, 1, UINT16_MAX, &port) != PV_OK)
            return PV_ERR_MALFORMED;
    }
    *ret_port = (uint16_t)port;
    *text = colon + 1;
    return PV_OK;
}

int pv_logins_parse(const char *text, struct pv_ports *ret_ports, struct pv_logins *ret_logins)
{
    struct pv_logins l = {.names = ""};
    struct pv_text out = pv_text_in(l.names, sizeof(l.names));
    struct name names[NAMES];
    uint16_t port = 0;
    int r = read_port(&text, &port);
    if (r != PV_OK)
        return r;
    if (strlen(text) > PV_LOGINS_MAX)
        return PV_ERR_LIMIT;
    const size_t n = cut(text, names);
    if (n == 0)
        return PV_ERR_MALFORMED;
    qsort(names, n, sizeof(names[0]), cmp_names);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && cmp_names(&names[i - 1], &names[i]) == 0)
            continue;
        pv_text_part(&out, ",");
        pv_text_add(&out, "%.*s", (int)names[i].len, names[i].at);
    }
    *ret_logins = l;
    *ret_ports = (struct pv_ports){.v = {{PV_PORTS_TCP, port, port}}, .n = 1};
    return PV_OK;
}

bool pv_logins_fit(const struct pv_logins *l, const struct pv_ports *ports)
{
    return pv_logins_are_none(l) ||
           (ports->n == 1 && ports->v[0].proto == PV_PORTS_TCP && ports->v[0].first != 0 &&
            ports->v[0].first == ports->v[0].last);
}

const char *pv_logins_format(const struct pv_logins *l, const struct pv_ports *ports,
                             char buf[static PV_LOGINS_TEXT])
{
    const uint16_t port = ports->v[0].first;
    if (port == PV_LOGINS_PORT)
        snprintf(buf, PV_LOGINS_TEXT, "ssh:%s", l->names);
    else
        snprintf(buf, PV_LOGINS_TEXT, "ssh/%u:%s", port, l->names);
    return buf;
}
