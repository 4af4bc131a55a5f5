/* SPDX-License-Identifier: MIT */
/*
 * store_budget.h - how much others have stored in the chat tables, and whether they may have more;
 * which conversations are muted. Called by store_chat.c and store_room.c, under the rules of
 * store_chat.h.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"
#include "chat/core/base/chatop.h"

/* The room that one author still has in one conversation. */
struct pv_store_budget {
    uint64_t messages, bytes; /* left */
    bool low_disk;            /* nothing is left, because of the disk */
};
/* conversation, author: 32 bytes each, the same outside rooms; a muted conversation has no unread
 * messages that count. -EIO. */
PV_MUST_CHECK int pv_store_budget_read(sqlite3 *db, const uint8_t *conversation,
                                       const uint8_t *author, const struct pv_chatop_terms *terms,
                                       struct pv_store_budget *ret_budget);
/* Takes the room for a message of this many bytes from the budget, or says why not. */
enum pv_chat_later pv_store_budget_take(struct pv_store_budget *budget, size_t text_len);

/* Is the conversation muted? -EIO. */
PV_MUST_CHECK int pv_store_is_muted(sqlite3 *db, const uint8_t *conversation, bool *ret_muted);
/* The operations MUTE and MUTED. -EIO, PV_ERR_NOMEM, PV_ERR_MALFORMED (a damaged row). */
PV_MUST_CHECK int pv_store_mute(sqlite3 *db, const struct pv_chatop *op,
                                struct pv_chatop_result *res);
PV_MUST_CHECK int pv_store_muted(sqlite3 *db, const struct pv_chatop *op,
                                 struct pv_chatop_result *res);
/* The operations CLEAR and PURGE. -EIO. */
PV_MUST_CHECK int pv_store_clear(sqlite3 *db, const struct pv_chatop *op,
                                 struct pv_chatop_result *res);
PV_MUST_CHECK int pv_store_purge(sqlite3 *db, const struct pv_chatop *op,
                                 struct pv_chatop_result *res);
/* Have rooms more than their part, or is everything more than it may be? *ret_through is the row of
 * chat_message up to which texts of rooms have to go then, the oldest first, unread ones only with
 * unread; else 0. -EIO. */
PV_MUST_CHECK int pv_store_rooms_excess(sqlite3 *db, const struct pv_chatop_terms *terms,
                                        bool unread, uint64_t *ret_through);

/* --- age ------------------------------------------------------------------------------------- */

/*
 * The time by which messages and copies grow old (base/ageclock.h), in the daemon's
 * database. All that chat stores has the time of this clock, and is deleted by it.
 */

/* The time by which operations are done, while the wall clock shows wall_s. */
PV_MUST_CHECK int pv_store_age_now(sqlite3 *db, uint64_t wall_s, uint64_t *ret_age_s);
/* Looks at the wall clock, at the start and every hour. The first look begins the clock. */
PV_MUST_CHECK int pv_store_age_look(sqlite3 *db, uint64_t wall_s);
