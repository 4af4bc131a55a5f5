/* SPDX-License-Identifier: MIT */
/*
 * ipcmd.h - runs `ip -batch -` of iproute2 and `nft -f -` of nftables: what they did can be
 * repeated by hand.
 *
 * No shell; the lines are ours and made of validated values. Blocks until the program is done, so
 * it is for the helper only.
 */
#pragma once

#include <sys/types.h>

#include "base/pv.h"
#include "base/remedy.h"

enum {
    PV_IPCMD_LINES_MAX = 163840, /* bytes of a batch; ours */
    PV_IPCMD_ERROR_MAX = 160,
    PV_NFTCMD_WORD_MAX = 64,  /* bytes of a word, with the NUL */
    PV_NFTCMD_LINE_MAX = 512, /* bytes of a line that is listed; what follows is cut off */
};

/* Returns true if there is an ip program for these functions, or an nft program. Anybody may call
 * them. */
bool pv_ipcmd_is_there(void);
bool pv_nftcmd_is_there(void);

/* Runs the lines in order until one fails. PV_ERR_NOT_FOUND: no ip program. PV_ERR_REFUSED: ip
 * complained, its first line is in ret_error (always a string). PV_ERR_LIMIT. -errno. */
PV_MUST_CHECK int pv_ipcmd_run(const char *lines, char ret_error[static PV_IPCMD_ERROR_MAX]);
/* The same with `ip -6`: for lines that no address tells the family of. */
PV_MUST_CHECK int pv_ipcmd_run6(const char *lines, char ret_error[static PV_IPCMD_ERROR_MAX]);
/* Runs all lines, whatever fails. PV_ERR_REFUSED: some have failed. */
int pv_ipcmd_force(const char *lines);

/* What ip or nft says where the program or the kernel lacks something; the text is "" for anything
 * else. */
struct pv_reason pv_ipcmd_reason(const char *complaint);
/* Sets what the text says, all or nothing. PV_ERR_NOT_FOUND: no nft program. Else as
 * pv_ipcmd_run(). */
PV_MUST_CHECK int pv_nftcmd_run(const char *text, char ret_error[static PV_IPCMD_ERROR_MAX]);
typedef void pv_nftcmd_line(void *ctx, const char *line);
/* `nft -n list WORD...`, line by line. PV_ERR_NOT_FOUND: no nft program. PV_ERR_REFUSED. -errno. */
PV_MUST_CHECK int pv_nftcmd_list(const char *const *words, size_t n, pv_nftcmd_line *line,
                                 void *ctx);
/* `nft monitor trace` while it runs; fd -1: it does not. */
struct pv_nftcmd_trace {
    int fd; /* its output */
    pid_t pid;
};
/* Starts it: a moment later it hears of packets. Errors as above; nothing runs then. */
PV_MUST_CHECK int pv_nftcmd_trace_begin(struct pv_nftcmd_trace *ret_trace);
/* Reads its lines until none has come for so many milliseconds. */
void pv_nftcmd_trace_read(const struct pv_nftcmd_trace *trace, int quiet_ms, pv_nftcmd_line *line,
                          void *ctx);
void pv_nftcmd_trace_end(struct pv_nftcmd_trace *trace);
/* `iptables-legacy -t TABLE -S -v`, or ip6tables-legacy, line by line; errors as above. */
PV_MUST_CHECK int pv_iptables_list(bool v6, const char *table, pv_nftcmd_line *line, void *ctx);
