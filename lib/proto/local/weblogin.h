/* SPDX-License-Identifier: MIT */
/*
 * weblogin.h - who may use a page: a link that works once, and the sessions that follow
 * from it (docs/adr/0091).
 *
 * A link carries a token. A browser that shows it gets a session of two secrets: a cookie, which
 * scripts of a page cannot read, and a key, which the page sends in a field of its own. Either
 * alone is worthless: a browser sends cookies to every port of a host, so other users' servers of
 * this machine may see them; a key no form and no other origin can send.
 *
 * Pure; the caller owns the memory, and wipes it.
 */
#pragma once

#include "base/pv.h"
#include "base/text.h"

enum {
    PV_WEBLOGIN_SESSIONS = 8,      /* ours: browsers at once; the one unused longest makes room */
    PV_WEBLOGIN_COOKIE_MAX = 4096, /* bytes of a Cookie field that are looked at */
};
#define PV_WEBLOGIN_IDLE PV_S(86400) /* ours: a session that was not used for so long has ended */

/* The argument that the server is started with: whose page it is. */
#define PV_WEBLINK_NODE        "node"
#define PV_WEBLINK_COORDINATOR "coordinator"

/* The first byte of each message between the server (web/server.h) and the command that shows its
 * page (web/host/webhost.h), on a SOCK_SEQPACKET pair that is this descriptor of the server. */
enum {
    PV_WEBLINK_FD = 3,
    PV_WEBLINK_BROWSER = 'b', /* to the server: a browser's connection comes along */
    PV_WEBLINK_CONTROL = 'c', /* from it: it wants a connection to p2pvpnd, or, with a second byte,
                                 the answer to that PV_WEBLINK_ASK_; back: it comes along, or an
                                 exit code of p2pvpnctl is the second byte */
    PV_WEBLINK_FILE = 'f',  /* from it: it wants an empty file of the user's; back: one comes along,
                               unless there is no place for one */
    PV_WEBLINK_TOKEN = 't', /* from it: a token in text, for the link to show */

    PV_WEBLINK_ASK_STATUS = 's',
    PV_WEBLINK_ASK_NETWORKS = 'n',
    PV_WEBLINK_ASK_HOMES = 'h',
    PV_WEBLINK_ASK_DOCTOR = 'd', /* of a node's page, as the next */
    PV_WEBLINK_ASK_LOG = 'l',
    PV_WEBLINK_ASK_CHAT = 'm', /* no question: it wants a connection to p2pvpn-chatd */
};

struct pv_weblogin_session {
    uint64_t number; /* 0: not open */
    pv_ns used;      /* last */
    uint8_t cookie[PV_KEY_LEN], key[PV_KEY_LEN];
};

struct pv_weblogin {
    uint64_t last; /* number */
    uint8_t token[PV_KEY_LEN];
    struct pv_weblogin_session session[PV_WEBLOGIN_SESSIONS];
};

/* The fields of a request that count; NULL: it has none. */
struct pv_weblogin_asked {
    const char *host, *origin, *cookie, *key;
};

enum pv_weblogin_what {
    PV_WEBLOGIN_PAGE,  /* a file of the page, the same for everybody */
    PV_WEBLOGIN_ENTER, /* a token for a session */
    PV_WEBLOGIN_USE,   /* everything else */
};

/* No session, and a token that nobody knows. */
void pv_weblogin_init(struct pv_weblogin *l, const struct pv_rng *rng);
/* The token that opens the next session. Returns buf. */
const char *pv_weblogin_token(const struct pv_weblogin *l, char buf[static PV_KEY_TEXT_BUF]);
/*
 * A session for whoever shows the token, which is another one from now on; compared in constant
 * time. Both texts are secrets: the caller's to wipe. PV_ERR_AUTH: it is not the token (any more).
 */
PV_MUST_CHECK int pv_weblogin_enter(struct pv_weblogin *l, struct pv_view token,
                                    const struct pv_rng *rng, pv_ns now,
                                    char ret_cookie[static PV_KEY_TEXT_BUF],
                                    char ret_key[static PV_KEY_TEXT_BUF]);
/*
 * May that be asked? 200, or the status to refuse it with (RFC 9110 s15): 403 where Host is not
 * this machine by an address or as localhost (DNS rebinding), or where what is no file of the page
 * does not come from the page itself (Origin is not http:// and Host); 401 without a session, which
 * only PV_WEBLOGIN_USE needs. now: the session counts as used. *ret_session: its number, 0: none
 * was asked for.
 */
unsigned pv_weblogin_judge(struct pv_weblogin *l, enum pv_weblogin_what what,
                           const struct pv_weblogin_asked *asked, pv_ns now, uint64_t *ret_session);
/* Is the session with this number still open, for an answer that lasts? Then it counts as used. */
bool pv_weblogin_goes_on(struct pv_weblogin *l, uint64_t session, pv_ns now);
