/* SPDX-License-Identifier: MIT */
/* A descriptor is reserved by having it open: copies of another one, which need no file. */
#include "sys/proc/spare.h"

#include <fcntl.h>
#include <unistd.h>

void pv_spare_open(struct pv_spare *s, int model)
{
    *s = (struct pv_spare){.model = model};
    pv_spare_refill(s);
}

bool pv_spare_lend(struct pv_spare *s)
{
    bool any = s->n > 0;
    while (s->n > 0)
        close(s->fds[--s->n]);
    return any;
}

void pv_spare_refill(struct pv_spare *s)
{
    while (s->n < PV_SPARE_FDS) {
        int fd = fcntl(s->model, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            return;
        s->fds[s->n++] = fd;
    }
}

void pv_spare_done(struct pv_spare *s)
{
    (void)pv_spare_lend(s);
}
