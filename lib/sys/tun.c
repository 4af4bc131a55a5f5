/* SPDX-License-Identifier: MIT */
#include "sys/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool pv_tun_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= PV_TUN_NAME || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        /* '%' would make the kernel number the interface. */
        if (name[i] <= ' ' || name[i] > '~' || strchr("/%:", name[i]) != NULL)
            return false;
    }
    return true;
}

int pv_tun_open(const char *name, int *ret_fd)
{
    if (!pv_tun_name_is_valid(name))
        return -EINVAL;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENODEV || errno == ENXIO ? PV_ERR_NOT_FOUND : -errno;
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL)};
    memcpy(ifr.ifr_name, name, strlen(name));
    int r = PV_OK;
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        r = errno == EBUSY || errno == EEXIST ? PV_ERR_EXISTS : -errno;
    if (r >= 0 && ioctl(fd, TUNSETOWNER, 0ul) < 0)
        r = -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int pv_tun_read(int fd, void *buf, size_t cap, size_t *ret_n)
{
    ssize_t n = read(fd, buf, cap);
    if (n < 0)
        return errno == EBADFD ? PV_ERR_CLOSED : PV_ERR_AGAIN;
    *ret_n = (size_t)n;
    return PV_OK;
}

int pv_tun_write(int fd, struct pv_view packet)
{
    if (write(fd, packet.ptr, packet.len) >= 0)
        return PV_OK;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
        return PV_ERR_AGAIN;
    return errno == EBADFD ? PV_ERR_CLOSED : -errno;
}
