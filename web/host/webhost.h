/* SPDX-License-Identifier: MIT */
/*
 * webhost.h - what a command that shows a page does for p2pvpn-web, which has no rights: it lets
 * its user's browsers in, opens what the page asks for, and shows the links (docs/adr/0091, 0093).
 *
 * p2pvpnctl web and p2pvpn-coordinator web use it. One thread.
 */
#pragma once

#include <sys/types.h>

#include "proto/local/weblogin.h"
#include "sys/net/gate.h"

enum {
    PV_WEBHOST_LINK_BUF = PV_ADDR_TEXT + PV_KEY_TEXT_BUF + 16,
    PV_WEBHOST_ANSWERS = 8,   /* ours: at once; a visit of a page takes two */
    PV_WEBHOST_PATIENCE = 30, /* ours: seconds until an answer has to be whole */
};

struct pv_webhost {
    const char *page; /* PV_WEBLINK_NODE or PV_WEBLINK_COORDINATOR */
    bool files;       /* a browser may send some */
    /* Connects to p2pvpnd, or to p2pvpn-chatd; NULL: there is nothing to connect to. -EACCES, or
     * another error: nobody is there. */
    int (*connect)(void *ctx, bool chat, int *ret_fd);
    /* Prints the answer to a question (PV_WEBLINK_ASK_) on stdout, or on stderr why there is none:
     * in a child, which ends with it. */
    void (*answer)(void *ctx, char what);
    /* Tells the user: the link is for a browser of this machine. -errno ends the page. */
    int (*show)(void *ctx, const char *link);
    const char *links; /* instead: a socket where programs of this user ask (pv_webhost_ask()); or
                          NULL */
    void *ctx;
    /* Its own. */
    struct pv_gate gate;
    uint16_t port;                   /* of the browser's machine, which is led to a path */
    int link;                        /* to p2pvpn-web */
    int signals;                     /* those that end the page; -1: not open */
    int links_fd;                    /* -1: none */
    char offer[PV_WEBHOST_LINK_BUF]; /* the link that was not used yet */
    pid_t child[PV_WEBHOST_ANSWERS]; /* 0: a free place */
};

/* Opens the gate: where as pv_gate_open(), NULL: an origin that no browser knows. With sudo the
 * browser is that of who called it. The errors of pv_gate_open(); PV_ERR_NOT_FOUND: there is no
 * p2pvpn-web; ret_why says what to do. */
PV_MUST_CHECK int pv_webhost_open(struct pv_webhost *h, const char *where,
                                  char ret_why[static PV_GATE_WHY]);
/* The link of a page of this user's that is kept, by its socket: for the browser of this user, with
 * sudo of who called it. PV_ERR_NOT_FOUND, -EACCES: none is there, or not for this user.
 * PV_ERR_REFUSED: somebody else listens there. PV_ERR_CLOSED, PV_ERR_TIMEOUT. */
PV_MUST_CHECK int pv_webhost_ask(const char *links, char ret_link[static PV_WEBHOST_LINK_BUF]);
/* Starts p2pvpn-web and serves it until SIGINT, SIGTERM or SIGHUP (PV_OK), or until it ends:
 * another status, and ret_why says how. Closes the gate. */
PV_MUST_CHECK int pv_webhost_run(struct pv_webhost *h, char ret_why[static PV_GATE_WHY]);
