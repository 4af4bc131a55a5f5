/* SPDX-License-Identifier: MIT */
/* hooks.h - chat's answers for the rest of the daemon (node/chathooks.h). */
#pragma once

#include "daemon/core/node/chathooks.h"

extern const struct pv_chat_hooks pv_chat_hooks;
