/* SPDX-License-Identifier: MIT */
/*
 * like.h - guesses what a mistyped word was meant to be.
 */
#ifndef PV_LIKE_H
#define PV_LIKE_H

#include <stddef.h>
#include <stdint.h>

#define PV_LIKE_NONE SIZE_MAX /* nobody mistypes the one for the other */

/* How many letters somebody who typed len bytes has to put in, take out, change or swap to have
 * word: at most two, of a word of five letters or fewer one. Else PV_LIKE_NONE. */
size_t pv_like(const char *typed, size_t len, const char *word);

#endif /* PV_LIKE_H */
