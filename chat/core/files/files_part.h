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

#include "chat/core/base/chat.h"
#include "chat/core/files/filelink.h"

extern const struct pv_chatpart pv_chatpart_files;

/* An open descriptor of a regular file that a control client passed with its next request, and may
 * read; a RELEASE for it is owed. */
struct pv_files_passed {
    int handle;
    uint64_t size; /* bytes */
    struct pv_file_stamp stamp;
};
/* By which a FETCH and its sender's daemon know each other (proto/control/proof.h). */
struct pv_files_proof {
    bool wanted; /* false: the sender's daemon is older than that */
    uint8_t key[PV_PROOF_KEY_LEN];
    uint8_t nonce[PV_PROOF_NONCE_LEN]; /* ours */
    uint8_t opener[PV_SIGN_PK_LEN], acceptor[PV_SIGN_PK_LEN];
};

/* An operation for the shell. */
struct pv_files_op {
    struct pv_fileop op;         /* its sid as streams of the engine have it (streams.h) */
    struct pv_addr local;        /* FETCH: own overlay address to bind */
    struct pv_files_proof proof; /* FETCH; wipe copies of it */
};

enum pv_files_news {
    PV_FILES_PASSED,   /* a control client passed a descriptor */
    PV_FILES_PROGRESS, /* how far a transfer is */
    PV_FILES_DONE,     /* a transfer ended */
};

/* The shell's report. */
struct pv_files_report {
    enum pv_files_news news;
    uint32_t sid;                  /* PASSED: of the client's stream (streams.h) */
    struct pv_files_passed passed; /* PASSED */
    uint64_t tag, done;            /* PROGRESS, DONE: of the transfer, and bytes */
    enum pv_file_why why;          /* DONE */
};

/* The next operation, valid until the next call into chat. Returns false if none waits. */
bool pv_files_part_poll(struct pv_chat *n, const struct pv_files_op **ret_op);
void pv_files_part_report(struct pv_chat *n, const struct pv_files_report *report, pv_ns now);
/* Somebody connected to PV_FILE_PORT of this node. PV_ERR_REFUSED, PV_ERR_LIMIT: close it. */
PV_MUST_CHECK int pv_files_part_accepted(struct pv_chat *n, const struct pv_addr *remote,
                                         uint32_t *ret_sid, pv_ns now);
/* The machine that has its streams; NULL: there is none. */
struct pv_filelink *pv_files_part_link(const struct pv_chat *n);
