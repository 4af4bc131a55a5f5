/* SPDX-License-Identifier: MIT */
/*
 * procinfo.c - what the kernel says of this process and its parent; gives pages of code back to it.
 */
#include "sys/proc/procinfo.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys/proc/clock.h"

enum {
    /* Fields of /proc/self/stat behind the name, which may hold blanks: proc(5) counts from 1, and
     * "state" is its third. */
    STAT_START = 22 - 3, /* clock ticks after boot */
    STAT_RSS = 24 - 3,   /* pages */
};

/* The name of the process stands in parentheses and may itself hold blanks and parentheses, so
 * fields are counted behind the last one (proc(5)). */
static bool read_stat(uint64_t *ret_start, uint64_t *ret_rss)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    char *rest = strrchr(text, ')'), *save = NULL;
    char *field = rest == NULL ? NULL : strtok_r(rest + 1, " ", &save);
    for (int i = 0; field != NULL; i++, field = strtok_r(NULL, " ", &save)) {
        if (i == STAT_START)
            *ret_start = strtoull(field, NULL, 10);
        if (i == STAT_RSS) {
            *ret_rss = strtoull(field, NULL, 10);
            return true;
        }
    }
    return false;
}

static uint64_t count_fds(void)
{
    uint64_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.' ? 1 : 0;
    closedir(dir);
    return n - 1; /* the one that reads */
}

void pv_procinfo_read(struct pv_metrics_process *ret_process)
{
    struct pv_metrics_process p = {.cpu_s = 0};
    struct rusage use;
    struct rlimit files;
    uint64_t start = 0, rss = 0;
    if (read_stat(&start, &rss) && getrusage(RUSAGE_SELF, &use) == 0 &&
        getrlimit(RLIMIT_NOFILE, &files) == 0) {
        double up_s = (double)pv_clock_now() / 1e9, wall_s = (double)pv_clock_wall_us() / 1e6;
        p.cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                  (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
        p.start_s = wall_s - up_s + (double)start / (double)sysconf(_SC_CLK_TCK);
        p.resident = rss * (uint64_t)sysconf(_SC_PAGESIZE);
        p.fds = count_fds();
        p.max_fds = files.rlim_cur;
    }
    *ret_process = p;
}

/* The parent is asked for again behind it: its number may be another process' by then. */
int pv_procinfo_watch_parent(pid_t parent, int *ret_fd)
{
    int fd = (int)syscall(SYS_pidfd_open, parent, 0);
    if (getppid() != parent) {
        if (fd >= 0)
            close(fd);
        return PV_ERR_CLOSED;
    }
    *ret_fd = fd;
    return PV_OK;
}

/* --- pages of code --------------------------------------------------------------------------- */

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
