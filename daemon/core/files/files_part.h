/* SPDX-License-Identifier: MIT */
/*
 * files_part.h - the part around filelink (filelink.h): carries its notices in-band and its
 * connections, tells it who is there, serves the commands about files, and has its table kept. The
 * work of a transfer is the shell's (daemon/io/io_files.c), by operations.
 *
 * A client that offers a file passes an open descriptor with its request. The shell hands it in
 * before the request is read, and gets it back by an operation RELEASE when no offer took it.
 */
#pragma once

#include "daemon/core/files/filelink.h"
#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_files;

/* An open descriptor of a regular file that a control client passed with its next request, and may
 * read; a RELEASE for it is owed. */
struct pv_files_passed {
    int handle;
    uint64_t size; /* bytes */
    struct pv_file_stamp stamp;
};
/* sid: of the control client, as ctlsrv gave it. */
void pv_files_part_passed(struct pv_node *n, uint32_t sid, const struct pv_files_passed *file);

/* By which a FETCH and its sender's daemon know each other (proto/chat/proof.h). */
struct pv_files_proof {
    bool wanted; /* false: the sender's daemon is older than that */
    uint8_t key[PV_PROOF_KEY_LEN];
    uint8_t nonce[PV_PROOF_NONCE_LEN]; /* ours */
    uint8_t opener[PV_SIGN_PK_LEN], acceptor[PV_SIGN_PK_LEN];
};

/* An order to the shell. */
struct pv_files_op {
    struct pv_fileop op;         /* its sid as streams of the engine have it (streams.h) */
    struct pv_addr local;        /* FETCH: own overlay address to bind */
    struct pv_files_proof proof; /* FETCH; wipe it */
};
/* PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_files_part_poll_op(struct pv_node *n, struct pv_files_op *ret_op);
/* How far a transfer came, and that it ended, as filelink.h says it. */
void pv_files_part_progress(struct pv_node *n, uint64_t tag, uint64_t done, pv_ns now);
void pv_files_part_done(struct pv_node *n, uint64_t tag, enum pv_file_why why, uint64_t done,
                        pv_ns now);
