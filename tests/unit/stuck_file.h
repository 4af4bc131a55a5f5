/* SPDX-License-Identifier: MIT */
/* stuck_file.h - a descriptor whose last close takes for ever, a client that passes it, and
 * processes that are halted until it has. */
#pragma once

#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test_util.h"

/* A connection whose last close waits as long as its owner has said (socket(7), SO_LINGER): what a
 * file system of the client's does by not answering. The peer does not read. */
static int make_tar(int *ret_peer)
{
    static const struct linger wait = {.l_onoff = 1, .l_linger = 3600};
    static uint8_t bytes[1 << 16];
    const int small = 4096;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int l = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(l, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    assert_int_equal(bind(l, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    *ret_peer = accept(l, NULL, NULL);
    close(l);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait)), 0);
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    return fd;
}

/* Passes it, and lets go of it: whoever gets it is the last who has it. */
static void pass_tar(int client, int flags, int *ret_peer)
{
    int tar = make_tar(ret_peer);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } room = {.bytes = {0}};
    char byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = room.bytes,
                         .msg_controllen = sizeof(room.bytes)};
    room.head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(4)};
    memcpy(CMSG_DATA(&room.head), &tar, sizeof(tar));
    assert_int_equal(sendmsg(client, &msg, flags), 1);
    close(tar);
}

struct process {
    int pid, parent;
    char name[32], state;
};

static bool read_process(const char *pid, struct process *p)
{
    *p = (struct process){.pid = 0};
    FILE *f = fopen(PV_STR("/proc/%s/stat", pid), "r");
    if (f == NULL)
        return false;
    int n = fscanf(f, "%d (%31[^)]) %c %d", &p->pid, p->name, &p->state, &p->parent);
    fclose(f);
    return n == 4 && p->state != 'Z';
}

/* The process of that name whose parent this is, 0: none. */
static pid_t find_child(pid_t of, const char *name)
{
    pid_t found = 0;
    struct process p;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (struct dirent *e; (e = readdir(proc)) != NULL;)
        if (read_process(e->d_name, &p) && p.parent == (int)of && strcmp(p.name, name) == 0)
            found = p.pid;
    closedir(proc);
    return found;
}

/* The same, once it has that name. */
static inline pid_t await_child(pid_t of, const char *name)
{
    pid_t found = 0;
    for (int i = 0; i < 2000 && (found = find_child(of, name)) == 0; i++)
        poll(NULL, 0, 10);
    return found;
}

/* It makes no further call before SIGCONT: kill() alone returns while the last one still runs. */
static void halt(pid_t pid)
{
    struct process p;
    const char *name = PV_STR("%d", (int)pid);
    assert_true(pid > 0);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    do
        assert_true(read_process(name, &p));
    while (p.state != 'T');
}
