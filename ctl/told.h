/* SPDX-License-Identifier: MIT */
/*
 * told.h - what people read after a removal, an admission and the like: how many members know, and
 * whether the coordinator and this machine's disk have it; tokens.
 */
#pragma once

#include "ctl/commands.h"

/* Does a person read the answer, on a screen? A script reads a pipe, or says --quiet. */
bool pv_cli_is_read(const struct pv_cli *cli);
/* What is to be said of the exit node behind its name, from `exit` of status or routes; "": packets
 * go by it. */
const char *pv_cli_exit_words(const json_t *exit);
/* The line to paste on the machine that is to join; for a script the token alone. Returns 0. */
int pv_cli_print_token(struct pv_cli *cli, const json_t *body);
/* A QR code of a text that may be secret, in at most so many columns. False:
 * none can be shown, and why was said. */
bool pv_cli_print_qr(struct pv_cli *cli, const char *text, unsigned columns, FILE *out);
/* The fate of the open invites of an admin that is one no more, if there were any. keep: the option
 * that leaves them; NULL: there is none. */
void pv_cli_note_invites(struct pv_cli *cli, const json_t *body, const char *keep);
/* Tells what was done, and who has it unless everybody has: "removed pi (2 of 3 online members have
 * it; the rest will get it)". */
void pv_cli_note_told(struct pv_cli *cli, const char *done, const json_t *body);
/* The outcome of a leave; forget: of one that was to delete the keys, too. */
void pv_cli_note_left(struct pv_cli *cli, bool forget, const json_t *body);
/* Asks for a change; then people read who knows that it is done (pv_cli_note_told(); done NULL:
 * nothing of that), the fate of the invite, and what more() says (NULL: no more). The exit code
 * says whether all have stored it. */
int pv_cli_ask_and_tell(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *done,
                        pv_cli_print_fn *more);
/* "removed pi": a member that a word names, and what was done, before and behind its name. */
struct pv_told_of {
    const char *word, *before, *behind;
};
/* The same of that member, which becomes req->peer. */
int pv_cli_ask_and_tell_of(struct pv_cli *cli, struct pv_ctlapi_request *req,
                           const struct pv_told_of *of, pv_cli_print_fn *more);
