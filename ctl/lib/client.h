/* SPDX-License-Identifier: MIT */
/*
 * client.h - a node's control sockets, as one connection: requests out, replies in, with deadlines.
 *
 * p2pvpnd and p2pvpn-chatd have a socket each. A request goes to the program that serves it;
 * replies come in the order in which they are there. The connection to p2pvpn-chatd is made with
 * the first request for it.
 */
#pragma once

#include "base/pv.h"
#include "proto/local/ctlapi_request.h"

enum {
    PV_CLIENT_PATH = 4096, /* PATH_MAX */
};

/* Fields belong to client.c; .fd = -1 when not connected. The first two are the caller's and
 * outlive a connection. exact: replies are as they came, for output as JSON or into a pipe; else
 * their strings are harmless for a terminal (pv_ctlapi_reply_parse()). own: nobody but a process of
 * this user is spoken to. */
struct pv_client {
    bool exact, own;
    int fd;                    /* to p2pvpnd; -1: none */
    struct pv_client *chat;    /* to p2pvpn-chatd, owned; NULL: none */
    int both;                  /* readable when one of the two is (epoll); with chat alone */
    char path[PV_CLIENT_PATH]; /* of p2pvpnd's socket, from which the other one's follows */
    bool has_passed;
    int passed; /* a descriptor that came, owned */
    char *in;   /* in_cap bytes, owned; in_off..in_len is not yet handed out */
    size_t in_off, in_len, in_cap;
};

/* PV_ERR_NOT_FOUND: nobody listens there. -EPERM: somebody else does. Else -errno. */
PV_MUST_CHECK int pv_client_open(struct pv_client *c, const char *path);
void pv_client_close(struct pv_client *c);
/* Connects to the p2pvpn-chatd of the p2pvpnd behind path, unless that is done; to p2pvpnd nothing
 * is changed. As pv_client_open(). */
PV_MUST_CHECK int pv_client_open_chat(struct pv_client *c, const char *path);
/* The same as a bare descriptor. */
PV_MUST_CHECK int pv_client_connect_chat(const char *path, int *ret_fd);
/* Readable when a reply comes, from either program; -1: there is no connection. Good until the next
 * request. */
int pv_client_poll_fd(const struct pv_client *c);

/* Sends one request; waits while the daemon does not read. PV_ERR_CLOSED, PV_ERR_TIMEOUT,
 * PV_ERR_LIMIT (longer than the daemon takes), PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_client_send(struct pv_client *c, const struct pv_ctlapi_request *req,
                                 pv_ns deadline);
/* The same, and the descriptor pass (unless -1) goes along; it stays the caller's. */
PV_MUST_CHECK int pv_client_send_fd(struct pv_client *c, const struct pv_ctlapi_request *req,
                                    int pass, pv_ns deadline);
/* The descriptor that came with the last reply, the caller's from now on; -1: none came. */
int pv_client_take_fd(struct pv_client *c);
/* Waits until something has come, which is not parsed. *ret_sent_away: it is PV_CTLAPI_BUSY_LINE.
 * The errors of pv_client_next() but PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_client_look(struct pv_client *c, pv_ns deadline, bool *ret_sent_away);
/* The next reply; the caller owns it (pv_ctlapi_reply_done()). deadline 0: only what is there,
 * without waiting. PV_ERR_TIMEOUT, PV_ERR_CLOSED, PV_ERR_MALFORMED (not p2pvpnd), PV_ERR_LIMIT,
 * PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_client_next(struct pv_client *c, pv_ns deadline,
                                 struct pv_ctlapi_reply *ret_reply);

/* Asks one thing of the p2pvpnd behind a socket, on a connection of its own; own: as in struct
 * pv_client. *ret_body: a new reference. PV_ERR_MALFORMED when it refuses; else as the functions
 * above. */
PV_MUST_CHECK int pv_client_ask(const char *socket, bool own, enum pv_ctlapi_cmd cmd,
                                pv_ns patience, json_t **ret_body);
/* The same with fields; sets req->id. */
PV_MUST_CHECK int pv_client_ask_for(const char *socket, bool own, struct pv_ctlapi_request *req,
                                    pv_ns patience, json_t **ret_body);
