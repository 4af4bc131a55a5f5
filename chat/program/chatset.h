/* SPDX-License-Identifier: MIT */
/*
 * chatset.h - the settings that p2pvpn-chatd reads in p2pvpnd.conf: the section [chat], and [log]
 * level. All other sections are p2pvpnd's, which checks the whole file.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "chat/core/base/chatpart.h"

enum {
    PV_CHATSET_MAX_ACCEPT = 256, /* ours: auto-accept lines */
    PV_CHATSET_ERROR_MAX = 512,
};

struct pv_chatset {
    enum pv_log_level level;
    struct pv_chat_given given;
    uint64_t max_size;                  /* bytes of all messages; 0: not given */
    struct pv_auto_accept *auto_accept; /* owned */
    size_t n_auto_accept;
};

/* The defaults. */
struct pv_chatset pv_chatset_default(void);
/* Reads the file on top of what s has. PV_ERR_NOT_FOUND: there is none. Others: ret_error says what
 * is wrong and where. */
PV_MUST_CHECK int pv_chatset_load(struct pv_chatset *s, const char *file,
                                  char ret_error[static PV_CHATSET_ERROR_MAX]);
/* The same of the text of a file. */
PV_MUST_CHECK int pv_chatset_parse(struct pv_chatset *s, const char *file, struct pv_view text,
                                   char ret_error[static PV_CHATSET_ERROR_MAX]);
void pv_chatset_done(struct pv_chatset *s);
