/* SPDX-License-Identifier: MIT */
/*
 * list.h - lists of structs that others own, in the order in which they were added: utlist's, with
 * members `prev` and `next`. A list is a typed pointer to its first struct, NULL when it is empty;
 * `next` of the last is NULL. A walk that may take out the struct under way reads its
 * `next` before.
 *
 * PV_LIST_ADD(first, item)  at its end
 * PV_LIST_DEL(first, item)  which is in it
 */
#pragma once

#include <utlist.h>

#define PV_LIST_ADD(first, item) DL_APPEND(first, item)
#define PV_LIST_DEL(first, item) DL_DELETE(first, item)
