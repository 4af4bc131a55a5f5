/* SPDX-License-Identifier: MIT */
/*
 * pages.h - memory of this process that nobody needs any more. Any thread.
 */
#pragma once

/* Gives back the pages of the program and its libraries that cannot have been written: code,
 * constants. The kernel still has them in its cache, from which those that are used come back one
 * by one (adr/0098). A debugger's breakpoints in them are gone. */
void pv_pages_drop_code(void);
