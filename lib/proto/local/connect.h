/* SPDX-License-Identifier: MIT */
/*
 * connect.h - how a node asks an HTTP proxy for a way to its coordinator: CONNECT (RFC 9110 s9.3.6)
 * with Basic authentication (RFC 7617), and what the proxy answers. proxy.h is the other side.
 *
 *   ASKED --2xx and an empty line--> OPEN, and all bytes behind that line are the coordinator's
 *   ASKED --407--> LOGIN or SCHEME
 *   ASKED --another status--> REFUSED or UNREACHED
 *   ASKED --no HTTP, or a head without an end--> STRANGE
 *   ASKED --the connection ends--> CLOSED
 *
 * Pure: bytes in, bytes out. One thread.
 */
#pragma once

#include "base/pv.h"
#include "base/remedy.h"

enum {
    PV_CONNECT_HEAD_MAX = 16384, /* bytes of an answer up to its empty line; ours */
    PV_CONNECT_LINE_MAX = 512,   /* bytes of a line that are looked at; ours */
    PV_CONNECT_USER_MAX = 128,   /* bytes of a user or a password, without the NUL; ours */
    PV_CONNECT_AT_BUF = 264,     /* "HOST:PORT" with the longest name (253), and the NUL */
    PV_CONNECT_ASK_MAX = 1024,   /* bytes of a request */
    PV_CONNECT_WHY_MAX = 640,    /* bytes of a sentence for people, with the NUL */
};

/* The state of a proxy as far as it is known. Of several answers the later enumerator says more. */
enum pv_connect_state {
    PV_CONNECT_NONE,      /* no proxy is used, or nothing is known of it yet */
    PV_CONNECT_ASKED,     /* it has the request and has not answered it whole */
    PV_CONNECT_OPEN,      /* it connects */
    PV_CONNECT_UNFOUND,   /* its name has no address */
    PV_CONNECT_DOWN,      /* no TCP connection to it */
    PV_CONNECT_SILENT,    /* it took the request and did not answer in time */
    PV_CONNECT_CLOSED,    /* it closed the connection without a whole answer */
    PV_CONNECT_STRANGE,   /* it does not speak HTTP/1, or its answer's head has no end */
    PV_CONNECT_UNREACHED, /* it does not reach the coordinator (5xx) */
    PV_CONNECT_REFUSED,   /* it connects nobody to there (3xx, 4xx, 501) */
    PV_CONNECT_SCHEME,    /* it wants a login, and takes no Basic (407) */
    PV_CONNECT_LOGIN,     /* it wants a user and a password, or others (407) */
};

/* The user that asks. Zeroed: no user. A secret: wipe. */
struct pv_connect_login {
    char user[PV_CONNECT_USER_MAX + 1];
    char password[PV_CONNECT_USER_MAX + 1];
};

/* The proxy's answer so far. */
struct pv_connect_answer {
    enum pv_connect_state state;
    unsigned status; /* of the answer, 100 to 599; 0: it has none */
};

/* One conversation. Begin with pv_connect_begin(). */
struct pv_connect {
    struct pv_connect_answer answer;
    unsigned status;  /* of the head that is being read; 0: its first line is not whole */
    bool takes_basic; /* a Proxy-Authenticate field offers Basic */
    bool takes_other; /* or another scheme */
    size_t taken;     /* bytes of the answer */
    size_t line_len;  /* bytes of the line, also of those that found no room */
    char line[PV_CONNECT_LINE_MAX];
};

void pv_connect_begin(struct pv_connect *c);

/* Writes the request for a connection to "HOST:PORT" ([IPv6] in brackets). login: NULL or one
 * without a user sends none. Returns its length; it holds a secret: wipe. */
size_t pv_connect_ask(const char *to, const struct pv_connect_login *login,
                      uint8_t ask[static PV_CONNECT_ASK_MAX]);

/* Takes bytes of the answer while the state is ASKED. Returns how many were taken: behind the
 * empty line of an answer that opens the way, none. */
size_t pv_connect_hear(struct pv_connect *c, struct pv_view bytes);
/* The connection has ended. Changes the state only if it is ASKED. */
void pv_connect_end(struct pv_connect *c);

/* The subject of an answer, for people. */
struct pv_connect_about {
    const char *proxy; /* "HOST:PORT" */
    const char *to;    /* "HOST:PORT" of the coordinator */
    bool has_login;    /* a user and a password are sent */
};
/* Writes what the proxy says, as one sentence without a full stop: "the HTTP proxy ... refuses
 * ...". Never writes a byte of what the proxy sent. Returns buf. */
const char *pv_connect_why(const struct pv_connect_answer *a, const struct pv_connect_about *about,
                           char buf[static PV_CONNECT_WHY_MAX]);
/* Returns what to do about it; a row of NONE if nothing is wrong. Borrows about's texts. */
struct pv_remedy pv_connect_todo(const struct pv_connect_answer *a,
                                 const struct pv_connect_about *about);
/* Returns the state's word for programs: "open", "refused". Static. */
const char *pv_connect_word(enum pv_connect_state state);
