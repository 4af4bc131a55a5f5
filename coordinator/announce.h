/* SPDX-License-Identifier: MIT */
/*
 * announce.h - the coordinator's URL, as its start shows it to a person: text, and a QR code where
 * the terminal can show one.
 */
#ifndef PV_COORD_ANNOUNCE_H
#define PV_COORD_ANNOUNCE_H

#include <stdbool.h>
#include <stdio.h>

/* Shows the URL on a terminal of this many columns. The URL holds a secret: only for a terminal,
 * never for a log. utf8: the terminal knows block characters, which the QR code is made of; it is
 * left out where it does not fit, or where libqrencode was missing when this was built. */
void pv_announce_url(const char *url, unsigned columns, bool utf8, FILE *out);

#endif /* PV_COORD_ANNOUNCE_H */
