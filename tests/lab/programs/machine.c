/* SPDX-License-Identifier: MIT */
/*
 * machine - a machine of the lab: namespaces of its own for network, mounts and host name, held
 * until it is ended.
 *
 * usage: machine NAME
 *
 * It says "ready" when /run, /var/lib and /etc/p2pvpn are its own and the kernel forwards for it. A
 * scenario has up to a dozen of them; a shell script would start ten programs for each.
 */
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const own[] = {"/run", "/var/lib", "/etc/p2pvpn"};
static const char *const dirs[] = {"/run/sshd", "/run/lock", "/run/netns"};

/* No waiting for somebody else who has an address, no routes but those that the scenario gives. */
static const struct {
    const char *path, *value;
} settings[] = {
    {"ipv6/conf/all/accept_dad", "0"}, {"ipv6/conf/default/accept_dad", "0"},
    {"ipv6/conf/all/accept_ra", "0"},  {"ipv6/conf/default/accept_ra", "0"},
    {"ipv4/conf/all/rp_filter", "0"},  {"ipv4/conf/default/rp_filter", "0"},
    {"ipv4/ip_forward", "1"},          {"ipv6/conf/all/forwarding", "1"},
};

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    perror(what);
    exit(1);
}

static void set(const char *name, const char *value)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd, path);
    must(write(fd, value, strlen(value)) < 0 ? -1 : 0, path);
    close(fd);
}

static void set_lo_up(void)
{
    struct ifreq lo = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(fd, "socket");
    must(ioctl(fd, SIOCGIFFLAGS, &lo), "lo");
    lo.ifr_flags |= IFF_UP;
    must(ioctl(fd, SIOCSIFFLAGS, &lo), "lo");
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: machine NAME\n", stderr);
        return 2;
    }
    must(unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS), "unshare");
    must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "/");
    must(sethostname(argv[1], strlen(argv[1])), "hostname");
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        must(mount("tmpfs", own[i], "tmpfs", 0, NULL), own[i]);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        must(mkdir(dirs[i], 0755), dirs[i]);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        set(settings[i].path, settings[i].value);
    set_lo_up();
    /* In a container it may not; then programs see the /sys of the lab. */
    (void)!mount("sysfs", "/sys", "sysfs", 0, NULL);
    must(chdir("/"), "/");
    puts("ready");
    must(fflush(stdout) == 0 ? 0 : -1, "ready");
    for (;;)
        pause();
}
