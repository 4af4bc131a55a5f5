/* SPDX-License-Identifier: MIT */
/*
 * list.h - lists of structs that others own, in the order in which they were added: utlist's, with
 * members `prev` and `next`. A list is a typed pointer to its first struct, NULL when it is empty;
 * `next` of the last is NULL. A walk that may take out the struct under way reads its
 * `next` before.
 *
 * PV_LIST_ADD(first, item)                     at its end
 * PV_LIST_ADD_FIRST(first, item)
 * PV_LIST_DEL(first, item)                     which is in it
 * PV_LIST_ADD_BY(first, item, prev, next), ... the same by other members, of a struct in two lists
 */
#pragma once

#include <utlist.h>

#define PV_LIST_ADD(first, item)       DL_APPEND(first, item)
#define PV_LIST_ADD_FIRST(first, item) DL_PREPEND(first, item)
#define PV_LIST_DEL(first, item)       DL_DELETE(first, item)

#define PV_LIST_ADD_BY(first, item, prev, next)       DL_APPEND2(first, item, prev, next)
#define PV_LIST_ADD_FIRST_BY(first, item, prev, next) DL_PREPEND2(first, item, prev, next)
#define PV_LIST_DEL_BY(first, item, prev, next)       DL_DELETE2(first, item, prev, next)
