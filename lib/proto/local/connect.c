/* SPDX-License-Identifier: MIT */
/* connect.c - a request of CONNECT, and a reader of its answer that keeps one line at a time. */
#include "proto/local/connect.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"

#define BEGIN  "HTTP/1."
#define OFFERS "Proxy-Authenticate:"

enum {
    STATUS_AT = 9, /* in "HTTP/1.1 200 OK" */
};

/* --- the request ------------------------------------------------------------------------------ */

/* RFC 7617 s2: base64 of "USER:PASSWORD". Our base64url differs in two letters and the padding. */
static void put_basic(struct pv_writer *out, const struct pv_connect_login *login)
{
    char pair[2 * PV_CONNECT_USER_MAX + 2], text[PV_B64_LEN(sizeof(pair)) + 1];
    int n = snprintf(pair, sizeof(pair), "%s:%s", login->user, login->password);
    const struct pv_view bytes = pv_view(pair, (size_t)n);
    if (pv_b64url_encode(bytes, text, sizeof(text)) == PV_OK) {
        size_t len = strlen(text);
        for (size_t i = 0; i < len; i++)
            text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
        pv_put_bytes(out, "Proxy-Authorization: Basic ", 27);
        pv_put_bytes(out, text, len);
        pv_put_bytes(out, "==", (4 - len % 4) % 4);
        pv_put_bytes(out, "\r\n", 2);
    }
    pv_wipe(pair, sizeof(pair));
    pv_wipe(text, sizeof(text));
}

size_t pv_connect_ask(const char *to, const struct pv_connect_login *login,
                      uint8_t ask[static PV_CONNECT_ASK_MAX])
{
    char head[2 * PV_CONNECT_AT_BUF + 64];
    struct pv_writer out = pv_writer(ask, PV_CONNECT_ASK_MAX);
    int n = snprintf(head, sizeof(head), "CONNECT %.*s HTTP/1.1\r\nHost: %.*s\r\n",
                     PV_CONNECT_AT_BUF - 1, to, PV_CONNECT_AT_BUF - 1, to);
    pv_put_bytes(&out, head, (size_t)n);
    if (login != NULL && login->user[0] != '\0')
        put_basic(&out, login);
    pv_put_bytes(&out, "\r\n", 2);
    return out.len;
}

/* --- the answer ------------------------------------------------------------------------------- */

void pv_connect_begin(struct pv_connect *c)
{
    *c = (struct pv_connect){.answer = {.state = PV_CONNECT_ASKED}};
}

/* RFC 9112 s4: "HTTP/1.1 407 Reason"; the reason may be missing, and so may the blank before it. */
static bool take_status_line(struct pv_connect *c, const char *line, size_t len)
{
    const char *d = line + STATUS_AT;
    if (len < STATUS_AT + 3 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
        (len > STATUS_AT + 3 && d[3] != ' '))
        return false;
    for (size_t i = 0; i < 3; i++)
        if (d[i] < '0' || d[i] > '9')
            return false;
    unsigned status = (unsigned)((d[0] - '0') * 100 + (d[1] - '0') * 10 + (d[2] - '0'));
    if (status < 100 || status >= 600)
        return false;
    c->status = status;
    return true;
}

/* A list may name several schemes with their parameters in one field (RFC 9110 s11.6.1). The word
 * "Basic" at the beginning of an element is the scheme. */
static void take_field(struct pv_connect *c, const char *line, size_t len)
{
    const size_t name = sizeof(OFFERS) - 1;
    if (len < name || strncasecmp(line, OFFERS, name) != 0)
        return;
    bool basic = false, starts = true;
    for (size_t i = name; i < len; i++) {
        bool blank = line[i] == ' ' || line[i] == '\t';
        if (starts && len - i >= 5 && strncasecmp(line + i, "Basic", 5) == 0 &&
            (len - i == 5 || line[i + 5] == ' ' || line[i + 5] == ','))
            basic = true;
        starts = line[i] == ',' || (starts && blank);
    }
    c->takes_basic |= basic;
    c->takes_other |= !basic;
}

static void answered(struct pv_connect *c, enum pv_connect_state state)
{
    c->answer = (struct pv_connect_answer){.state = state, .status = c->status};
}

static enum pv_connect_state wanted_login(const struct pv_connect *c)
{
    return c->takes_other && !c->takes_basic ? PV_CONNECT_SCHEME : PV_CONNECT_LOGIN;
}

/* A refusal is known by its first line. Nobody waits for the rest, which may never come; of 407
 * the fields say which scheme is wanted. */
static void take_first_line(struct pv_connect *c, const char *line, size_t len)
{
    if (!take_status_line(c, line, len))
        answered(c, PV_CONNECT_STRANGE);
    else if (c->status == 501 || (c->status >= 300 && c->status < 500 && c->status != 407))
        answered(c, PV_CONNECT_REFUSED);
    else if (c->status >= 500)
        answered(c, PV_CONNECT_UNREACHED);
}

static void take_end_of_head(struct pv_connect *c)
{
    if (c->status == 407)
        answered(c, wanted_login(c));
    else if (c->status >= 200)
        answered(c, PV_CONNECT_OPEN);
    else
        c->status = 0; /* RFC 9110 s15.2: an interim answer; the final one follows */
}

static void take_line(struct pv_connect *c)
{
    size_t len = c->line_len < sizeof(c->line) ? c->line_len : sizeof(c->line);
    bool whole = len == c->line_len;
    c->line_len = 0;
    if (whole && len > 0 && c->line[len - 1] == '\r')
        len--;
    if (c->status == 0)
        take_first_line(c, c->line, len);
    else if (len == 0)
        take_end_of_head(c);
    else
        take_field(c, c->line, len);
}

/* A server that speaks first, or TLS, is found out by its first bytes: no line end may ever come.
 */
static bool may_begin_so(const struct pv_connect *c)
{
    size_t n = c->line_len < sizeof(BEGIN) - 1 ? c->line_len : sizeof(BEGIN) - 1;
    return c->status != 0 || memcmp(c->line, BEGIN, n) == 0;
}

size_t pv_connect_hear(struct pv_connect *c, struct pv_view bytes)
{
    size_t i = 0;
    while (i < bytes.len && c->answer.state == PV_CONNECT_ASKED) {
        char byte = (char)bytes.ptr[i++];
        if (byte == '\n') {
            take_line(c);
        } else {
            if (c->line_len < sizeof(c->line))
                c->line[c->line_len] = byte;
            c->line_len++;
            if (!may_begin_so(c))
                answered(c, PV_CONNECT_STRANGE);
        }
        if (++c->taken == PV_CONNECT_HEAD_MAX && c->answer.state == PV_CONNECT_ASKED)
            answered(c, c->status == 407 ? wanted_login(c) : PV_CONNECT_STRANGE);
    }
    return i;
}

void pv_connect_end(struct pv_connect *c)
{
    if (c->answer.state == PV_CONNECT_ASKED)
        answered(c, c->status == 407 ? wanted_login(c) : PV_CONNECT_CLOSED);
}

/* --- what people are told --------------------------------------------------------------------- */

const char *pv_connect_word(enum pv_connect_state state)
{
    static const char *const words[] = {
        [PV_CONNECT_NONE] = "unknown",        [PV_CONNECT_ASKED] = "asked",
        [PV_CONNECT_OPEN] = "open",           [PV_CONNECT_UNFOUND] = "unfound",
        [PV_CONNECT_DOWN] = "down",           [PV_CONNECT_SILENT] = "silent",
        [PV_CONNECT_CLOSED] = "closed",       [PV_CONNECT_STRANGE] = "strange",
        [PV_CONNECT_UNREACHED] = "unreached", [PV_CONNECT_REFUSED] = "refused",
        [PV_CONNECT_SCHEME] = "scheme",       [PV_CONNECT_LOGIN] = "login",
    };
    return words[state];
}

/* Returns the words between "the HTTP proxy HOST:PORT " and the number of the answer. */
static const char *verdict(enum pv_connect_state state, bool has_login)
{
    switch (state) {
    case PV_CONNECT_NONE:
    case PV_CONNECT_ASKED:
        return "is being asked";
    case PV_CONNECT_OPEN:
        return "connects to ";
    case PV_CONNECT_UNFOUND:
        return "is not found: its name has no address";
    case PV_CONNECT_DOWN:
        return "is not reached: it is off, or refuses the connection";
    case PV_CONNECT_SILENT:
        return "took the connection and does not answer";
    case PV_CONNECT_CLOSED:
        return "closes the connection without an answer";
    case PV_CONNECT_STRANGE:
        return "does not answer as an HTTP proxy does: another program is there";
    case PV_CONNECT_UNREACHED:
        return "does not reach ";
    case PV_CONNECT_REFUSED:
        return "does not allow connections to ";
    case PV_CONNECT_SCHEME:
        return "wants a login, and not by Basic";
    case PV_CONNECT_LOGIN:
        break;
    }
    return has_login ? "refuses this user or this password" : "wants a user and a password";
}

const char *pv_connect_why(const struct pv_connect_answer *a, const struct pv_connect_about *about,
                           char buf[static PV_CONNECT_WHY_MAX])
{
    bool names_it = a->state == PV_CONNECT_OPEN || a->state == PV_CONNECT_UNREACHED ||
                    a->state == PV_CONNECT_REFUSED;
    struct pv_text out = pv_text_in(buf, PV_CONNECT_WHY_MAX);
    pv_text_add(&out, "the HTTP proxy %s %s%s", about->proxy, verdict(a->state, about->has_login),
                names_it ? about->to : "");
    if (a->status != 0 && a->state != PV_CONNECT_OPEN)
        pv_text_add(&out, " (it answers %u)", a->status);
    return buf;
}

struct pv_remedy pv_connect_todo(const struct pv_connect_answer *a,
                                 const struct pv_connect_about *about)
{
    switch (a->state) {
    case PV_CONNECT_NONE:
    case PV_CONNECT_ASKED:
    case PV_CONNECT_OPEN:
        break;
    case PV_CONNECT_UNFOUND:
    case PV_CONNECT_STRANGE:
        return PV_DO(proxy_correct);
    case PV_CONNECT_DOWN:
    case PV_CONNECT_SILENT:
    case PV_CONNECT_CLOSED:
        return PV_DO(proxy_start, about->proxy);
    case PV_CONNECT_UNREACHED:
        return PV_DO(proxy_reach, about->to);
    case PV_CONNECT_REFUSED:
        return PV_DO(proxy_allow, about->to);
    case PV_CONNECT_SCHEME:
        return PV_DO(proxy_basic, about->to);
    case PV_CONNECT_LOGIN:
        return about->has_login ? PV_DO(proxy_login_again) : PV_DO(proxy_login);
    }
    return PV_DO_NOTHING;
}
