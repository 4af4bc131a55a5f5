/* SPDX-License-Identifier: MIT */
/* server_int.h - what server.c and asked.c share: the server, and one request of a browser. */
#pragma once

#include <microhttpd.h>

#include "proto/local/ctlcmd.h"
#include "proto/local/weblogin.h"
#include "web/server.h"

enum asked_state {
    ASKED_READING,
    ASKED_STORING, /* a file that comes: waits for a place, or has it (passed) */
    ASKED_WAITING, /* for a connection to p2pvpnd; suspended */
    ASKED_TALKING,
    ASKED_GETTING, /* a file, which comes with the answer */
};

/* One request. In the list of those that wait or talk. */
struct asked {
    struct pv_web *web;
    struct MHD_Connection *conn;
    struct asked *next, *prev;
    enum asked_state state;
    uint64_t session; /* with it the answer ends */
    unsigned status;  /* how it was judged when its head had come */
    char *body;       /* n_body bytes of PV_CTLAPI_LINE_MAX; NULL: none came */
    size_t n_body;
    enum pv_ctlapi_code code; /* of p2pvpnctl, where it got no connection */
    char what;                /* PV_WEBLINK_ASK_: the command answers; 0: p2pvpnd */
    int fd;                   /* to p2pvpnd; -1: none */
    struct pv_watch *watch;   /* of fd */
    bool gets_file;
    bool sends_file; /* the body is one, and p2pvpnd has it as long as the connection lasts */
    uint64_t n_file; /* bytes of it so far */
    int passed;      /* the file; -1: none */
    bool suspended, beat, done;
    pv_ns since;    /* when the last sign of life was given */
    char start[32]; /* of the line that is being passed on */
    size_t n_start; /* bytes of it that were seen, at most all of start */
};

/* A browser's connection. */
struct browser {
    int fd; /* MHD's; -1: no connection */
    pv_ns
        since; /* its request has to be whole PV_WEB_PATIENCE later; PV_NEVER: nothing has to be */
};

struct pv_web {
    struct MHD_Daemon *mhd;
    struct pv_loop *loop;
    bool coordinator; /* whose page it is, else a node's */
    int link;
    struct pv_watch *link_watch, *mhd_watch;
    struct pv_rng rng;
    struct pv_weblogin login;
    pv_ns now;
    struct asked *first, *last; /* those that wait, in the order in which they asked, or talk */
    size_t n_asked;
    struct browser browser[PV_WEB_CONNS];
};

/* asked.c: a request of the control socket, from its body to the last byte of its answer. */

/* The whole body is here, or (ASKED_TALKING) the connection to p2pvpnd is: goes on. */
enum MHD_Result asked_go_on(struct asked *a);
/* A piece of a file that comes; *len: what is not taken. */
enum MHD_Result asked_store(struct asked *a, const char *data, size_t *len);
/* The place for a file; fd -1: there is none. */
void asked_place(struct pv_web *w, int fd);
/* A connection came, or code says why none did: the one that asked first has it. fd is its own. */
void asked_connected(struct pv_web *w, int fd, enum pv_ctlapi_code code);
/* Gives signs of life that are due. Returns when the next one is. */
pv_ns asked_beat(struct pv_web *w, pv_ns now);
/* Goes on with all that wait, at the end. */
void asked_wake_all(struct pv_web *w);
/* Frees it and what it has. */
void asked_free(struct asked *a);

/* An answer of the server's own: {"ok":false,"code":c,"error":text}. */
enum MHD_Result web_refuse(struct MHD_Connection *conn, unsigned status, enum pv_ctlapi_code code,
                           const char *text);
/* Sends with the fields that every answer has; response is used up, NULL: no memory. */
enum MHD_Result web_send(struct MHD_Connection *conn, unsigned status,
                         struct MHD_Response *response, const char *type);
