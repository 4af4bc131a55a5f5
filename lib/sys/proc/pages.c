/* SPDX-License-Identifier: MIT */
/*
 * pages.c - gives pages of code back to the kernel.
 */
#include "sys/proc/pages.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* A segment without PF_W is a private mapping of a file that nobody has written to, unless a
 * debugger has: the linker relocates in the others only. The kernel refuses what is none (the
 * vdso). */
static int drop_object(struct dl_phdr_info *object, size_t size, void *ctx)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &object->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || (h->p_flags & PF_W) != 0)
            continue;
        uintptr_t begin = (object->dlpi_addr + h->p_vaddr) / page * page;
        uintptr_t end = (object->dlpi_addr + h->p_vaddr + h->p_filesz + page - 1) / page * page;
        (void)!madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void pv_pages_drop_code(void)
{
    dl_iterate_phdr(drop_object, NULL);
}
