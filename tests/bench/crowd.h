/* SPDX-License-Identifier: MIT */
/*
 * crowd.h - what the two processes of bench_crowd share: rows of the store, and a box in which
 * bytes go back and forth between the nodes and the coordinator's core.
 *
 * The two take turns. Time is virtual: it goes on by what the coordinator's thread has used, and
 * jumps to the next timer when nobody has anything to do. So what the nodes' handshakes cost on
 * this machine does not count: nodes have machines of their own.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/core/member/storeop.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "proto/control/ctlmsg.h"

enum {
    CROWD_BOX_MAX = 64 << 20, /* bytes of one turn, one way */
    CROWD_WALL = 1795161600,  /* Unix seconds */
};

#define CROWD_START PV_S(1000) /* the coordinator is killed and started again */

enum crowd_frame_kind {
    CROWD_OPEN,      /* by a node: connects */
    CROWD_CONNECTED, /* by the coordinator's kernel */
    CROWD_DATA,
    CROWD_CLOSE,
};

/* Before its bytes. */
struct crowd_frame {
    uint64_t conn; /* the low half is the node's number */
    uint32_t kind;
    uint32_t len; /* DATA: so many bytes follow */
};

struct crowd_box {
    size_t len;
    uint8_t bytes[CROWD_BOX_MAX];
};

/* How soon they were online, seconds after the start, and what was lost on the way. */
struct crowd_result {
    double p50, p90, p99, max;
    uint64_t attempts; /* connections that were tried */
    uint64_t lost;     /* that were refused, or ended before a welcome */
};

/* In memory that both processes have at the same address. */
struct crowd_shared {
    size_t n_nodes, n_nets;
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN]; /* of the coordinator */
    struct pv_storerow *rows;
    size_t n_rows;
    pv_ns now;       /* set by the coordinator before its nodes have their turn */
    pv_ns next;      /* the nodes' next timer */
    size_t n_online; /* nodes */
    bool over;       /* the nodes may end */
    struct crowd_result result;
    struct crowd_box to_nodes, to_coordinator;
};

_Noreturn void crowd_die(const char *what);
void crowd_check(int r, const char *what);

void crowd_put(struct crowd_box *box, uint64_t conn, enum crowd_frame_kind kind,
               struct pv_view data);
/* The next frame at *at; false: there is none. Its bytes stay in the box. */
bool crowd_take(const struct crowd_box *box, size_t *at, struct crowd_frame *ret_frame,
                struct pv_view *ret_data);

/* Makes the nodes' keys and rows, and nothing else. */
void crowd_rows_make(struct crowd_shared *shared);
/* Makes the rows by the keys in a state directory, which it makes too, and stores them there. */
void crowd_store(struct crowd_shared *shared, const char *dir);

/* The nodes' process: makes keys and rows, says so on fd, and then lives by turns: a byte from fd
 * begins one, a byte to it ends it. */
void crowd_nodes_run(struct crowd_shared *shared, int fd);
