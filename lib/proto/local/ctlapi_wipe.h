/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_wipe.h - JSON that leaves nothing behind. Requests and answers may carry tokens and URLs,
 * and a parser frees buffers that it has outgrown.
 */
#pragma once

/* From now on jansson wipes what it frees, in this process. Call it before any JSON is made. */
void pv_ctlapi_wipe_freed(void);
