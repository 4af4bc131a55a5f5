/* SPDX-License-Identifier: MIT */
/*
 * told.h - what people read after a removal, an admission and the like: how many members know, and
 * whether the coordinator and this machine's disk have it; tokens.
 */
#pragma once

#include "ctl/commands.h"

/* A token alone on its line. With --quiet, too: it is what a script wants. Returns 0. */
int pv_cli_print_token(struct pv_cli *cli, const json_t *body);
/* A QR code of a text that may be secret, in at most so many columns. False:
 * none can be shown, and why was said. */
bool pv_cli_print_qr(struct pv_cli *cli, const char *text, unsigned columns, FILE *out);
/* The fate of the open invites of an admin that is one no more, if there were any. keep: the option
 * that leaves them; NULL: there is none. */
void pv_cli_note_invites(struct pv_cli *cli, const json_t *body, const char *keep);
/* The outcome of a leave; forget: of one that was to delete the keys, too. */
void pv_cli_note_left(struct pv_cli *cli, bool forget, const json_t *body);
/* Asks for a change; then people read who knows that it is done (pv_cli_note_told(); done NULL:
 * nothing of that), the fate of the invite, and what more() says (NULL: no more). The exit code
 * says whether all have stored it. */
int pv_cli_ask_and_tell(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *done,
                        pv_cli_print_fn *more);
/* The same of a change of which there is nothing more to say. */
int pv_cli_ask_and_tell_done(struct pv_cli *cli, struct pv_ctlapi_request *req);
/* The same of the member that a word names, which becomes req->peer: NAME and what it is now. */
int pv_cli_ask_and_tell_of(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *word,
                           const char *now, pv_cli_print_fn *more);
