/* SPDX-License-Identifier: MIT */
/* chatschema.c - runs chat.sql. */
#include "chat/store/chatschema.h"

#include "chat/core/base/chatop.h"
#include "chat/store/chat.sql.h"
#include "sys/file/sqlquery.h"

_Static_assert(PV_CHATOP_ROW_BYTES == 512, "the triggers have the number in their text");

int pv_chat_schema(sqlite3 *db)
{
    return pv_query_status(sqlite3_exec(db, pv_chat_sql, NULL, NULL, NULL));
}
