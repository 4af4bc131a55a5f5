/* SPDX-License-Identifier: MIT */
/* messages.h - the part that serves the commands about messages: send, inbox, history. */
#pragma once

#include "chat/core/base/chatpart.h"

extern const struct pv_chatpart pv_chatpart_messages;
