/* SPDX-License-Identifier: MIT */
/*
 * remedy.h - what people are told to do: one row of remedies.h, with what it is about. And commands
 * of p2pvpnctl in texts, made right for the network that they are about: typed as they stand they
 * would act on this machine's first network.
 *
 * A command to be typed here stands in backticks: `p2pvpnctl why bob`, `sudo p2pvpnctl up`. One for
 * another machine, where the network may be the first, stands behind "there " or "'s ":
 * "there `p2pvpnctl exit offer`", "an admin's `p2pvpnctl admit bob`".
 */
#pragma once

#include <jansson.h>

#include "base/pv.h"
#include "proto/local/remedies.h"

#define PV_REMEDY_ENUMERATOR(name, text) PV_REMEDY_##name,
enum pv_remedy_id {
    PV_REMEDY_NONE,
    PV_REMEDIES(PV_REMEDY_ENUMERATOR) PV_REMEDY_COUNT,
};
#undef PV_REMEDY_ENUMERATOR

enum {
    PV_REMEDY_ARGS = 3,
    PV_REMEDY_BUF = 640, /* bytes with the NUL: one that an error says is the longest */
};

/* args: what stands for each %s of the text, borrowed. */
struct pv_remedy {
    enum pv_remedy_id id;
    const char *args[PV_REMEDY_ARGS];
};
#define PV_DO_ARGS(name, a, b, c, ...) ((struct pv_remedy){PV_REMEDY_##name, {(a), (b), (c)}})
/* PV_DO(ping, "bob"): the row, and an argument for each %s. */
#define PV_DO(...) PV_DO_ARGS(__VA_ARGS__, NULL, NULL, NULL, NULL)
/* The text alone; it lives as long as the block that it stands in. */
#define PV_DO_STR(...) pv_remedy_write(&PV_DO(__VA_ARGS__), (char[PV_REMEDY_BUF]){0}, PV_REMEDY_BUF)
#define PV_DO_NOTHING  ((struct pv_remedy){PV_REMEDY_NONE, {NULL, NULL, NULL}})

/* The identifier, for programs: "open_udp"; NULL for NONE and what is no identifier. */
const char *pv_remedy_id(enum pv_remedy_id id);
/* The text of a row without %s. */
const char *pv_remedy_text(enum pv_remedy_id id);
/* Writes the text, as much of it as fits, with the NUL; "" for NONE. Returns dst. */
const char *pv_remedy_write(const struct pv_remedy *r, char *dst, size_t cap);

/* Copies text into dst, as much of it as fits, with the NUL; each command that is to be typed here
 * gets the flag behind "p2pvpnctl", such as "-n work" ("": none). One that has a flag there keeps
 * it, so a text that was made right before stays as it is. own: the node is of `p2pvpnd --user`, so
 * such commands lose their "sudo", which would ask root's p2pvpnd. */
void pv_remedy_name(const char *flag, bool own, const char *text, char *dst, size_t cap);
/* The same as the first in all of a reply of p2pvpnd's that p2pvpnd composes; what members wrote
 * stays. A text for which there is no memory stays, too. */
void pv_remedy_name_reply(const char *flag, bool own, json_t *reply);
