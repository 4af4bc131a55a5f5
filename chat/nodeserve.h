/* SPDX-License-Identifier: MIT */
/*
 * nodeserve.h - the node's end of the socket to chat: carries out what chat's frames ask of a
 * struct pv_overlay, and sends what the node tells.
 *
 * Chat's program may have been taken over, so its frames are believed in nothing: each field is
 * checked, a wrong frame ends the connection, and what no function of struct pv_overlay does cannot
 * be asked for. The node never waits for chat: of a chat that does not read, the connection ends
 * when PV_NODEPIPE_MAX bytes wait.
 *
 * The owner connects when somebody connects to the socket, moves bytes by the pipe, and calls
 * pv_nodeserve_run() after bytes came. Not thread-safe.
 */
#pragma once

#include "base/log.h"
#include "chat/nodepipe.h"

enum {
    PV_NODESERVE_PORTS = 2, /* of chat and of files */
};

struct pv_nodeserve_config {
    struct pv_overlay overlay; /* of the node */
    const struct pv_log *log;
    uint16_t ports[PV_NODESERVE_PORTS];   /* chat is connected to no others */
    void (*shutter)(void *owner, int fd); /* closes a descriptor */
    void *owner;
};

enum pv_nodeserve_state {
    PV_NODESERVE_AWAY,  /* no connection */
    PV_NODESERVE_THERE, /* chat is connected */
    PV_NODESERVE_ENDED, /* chat broke the rules or did not read: the owner closes the socket */
};

struct pv_nodeserve; /* opaque */

PV_MUST_CHECK int pv_nodeserve_new(struct pv_nodeserve **ret_serve,
                                   const struct pv_nodeserve_config *cfg); /* PV_ERR_NOMEM */
struct pv_nodeserve *pv_nodeserve_free(struct pv_nodeserve *s);            /* returns NULL */

/* Chat connected. An earlier connection has ended by now. It is told how everything is. */
void pv_nodeserve_up(struct pv_nodeserve *s);
/* The connection is closed. */
void pv_nodeserve_down(struct pv_nodeserve *s);
enum pv_nodeserve_state pv_nodeserve_state(const struct pv_nodeserve *s);
/* The bytes of the present connection; NULL: none. */
struct pv_nodepipe *pv_nodeserve_pipe(struct pv_nodeserve *s);
/* Carries out the whole frames that came. */
void pv_nodeserve_run(struct pv_nodeserve *s, pv_ns now);

/* What the node is to call. While chat is away nothing is told, and accepted() is PV_ERR_CLOSED. */
struct pv_overlay_told pv_nodeserve_told(struct pv_nodeserve *s);
