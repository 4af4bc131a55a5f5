/* SPDX-License-Identifier: MIT */
/*
 * prefork - a library for LD_PRELOAD with which a program starts once and then runs once for each
 * request.
 *
 * With sanitizers a program takes 30 ms of a processor before its main() begins, and a scenario
 * asks p2pvpnctl hundreds of times. PV_LAB_PREFORK names a descriptor, a SOCK_SEQPACKET of AF_UNIX.
 * Where main() would begin the process waits for requests there until the other end closes. A
 * request is the process ID of a machine (machine.c) and the arguments, argv[0] first, each with a
 * NUL behind it, and four descriptors: stdin, stdout, stderr, and a socket for the answer. For each
 * a copy of the process enters that machine's namespaces and runs main(); the answer is its process
 * ID, and when it has ended what waitpid(2) says of it (two int32_t). Without the variable nothing
 * changes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REQUEST_MAX = 128 * 1024, /* bytes */
    ARGS_MAX = 1024,          /* with the NULL */
    RUNNING_MAX = 64,         /* more than threads of a scenario */
    FDS = 4,                  /* of a request: the first are stdin, stdout, stderr; */
    ANSWER = 3,               /* and this is where to answer */
};

typedef int main_fn(int, char **, char **);
typedef int start_fn(main_fn *, int, char **, void (*)(void), void (*)(void), void (*)(void),
                     void *);
start_fn __libc_start_main;

static main_fn *program;
static char request[REQUEST_MAX];
static struct {
    pid_t pid; /* 0: free */
    int answer;
} running[RUNNING_MAX];

static _Noreturn void give_up(const char *what)
{
    perror(what);
    _exit(1);
}

static void enter(const char *machine)
{
    static const char *const kinds[] = {"net", "uts", "mnt"};
    int fds[3];
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%.20s/ns/%s", machine, kinds[i]);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    }
    for (int i = 0; i < 3; i++)
        if (fds[i] < 0 || setns(fds[i], 0) < 0)
            give_up(kinds[i]);
}

/* In the copy. */
static _Noreturn void run(size_t len, const int fds[FDS], const sigset_t *mask)
{
    char *argv[ARGS_MAX] = {0};
    int argc = 0;
    enter(request);
    for (char *p = request + strlen(request) + 1; p < request + len; p += strlen(p) + 1) {
        if (argc == ARGS_MAX - 1)
            give_up("too many arguments");
        argv[argc++] = p;
    }
    for (int i = 0; i < ANSWER; i++)
        if (dup2(fds[i], i) < 0)
            give_up("dup2");
    close_range(3, ~0U, 0);
    sigprocmask(SIG_SETMASK, mask, NULL);
    exit(program(argc, argv, environ));
}

/* Nobody may wait for it any more. */
static void answer(int fd, int32_t value)
{
    if (send(fd, &value, sizeof(value), MSG_NOSIGNAL) != sizeof(value) && errno != EPIPE)
        give_up("answer");
}

static void take_ended(int signals)
{
    struct signalfd_siginfo info;
    (void)!read(signals, &info, sizeof(info));
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < RUNNING_MAX; i++)
            if (running[i].pid == pid) {
                answer(running[i].answer, status);
                close(running[i].answer);
                running[i].pid = 0;
            }
}

/* 0: nobody asks any more. */
static size_t take_request(int from, int ret_fds[FDS])
{
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(FDS * sizeof(int))];
    } control;
    struct iovec iov = {request, sizeof(request) - 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (n <= 0)
        return 0;
    if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || c == NULL ||
        c->cmsg_len != CMSG_LEN(FDS * sizeof(int)))
        give_up("request");
    memcpy(ret_fds, CMSG_DATA(c), FDS * sizeof(int));
    request[n] = '\0';
    return (size_t)n;
}

static void begin(size_t len, const int fds[FDS], const sigset_t *mask)
{
    size_t i = 0;
    while (i < RUNNING_MAX && running[i].pid != 0)
        i++;
    if (i == RUNNING_MAX)
        give_up("too many at once");
    pid_t pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid == 0)
        run(len, fds, mask);
    running[i].pid = pid;
    running[i].answer = fds[ANSWER];
    for (int k = 0; k < ANSWER; k++)
        close(fds[k]);
    answer(fds[ANSWER], pid);
}

static int serve(int argc, char **argv, char **env)
{
    (void)argc, (void)argv, (void)env;
    sigset_t child, before;
    int from = (int)strtol(getenv("PV_LAB_PREFORK"), NULL, 10);
    unsetenv("PV_LAB_PREFORK");
    unsetenv("LD_PRELOAD");
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    struct pollfd on[2] = {{from, POLLIN, 0},
                           {signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0}};
    while (poll(on, 2, -1) >= 0 || errno == EINTR) {
        if (on[1].revents != 0)
            take_ended(on[1].fd);
        if (on[0].revents == 0)
            continue;
        int fds[FDS];
        size_t len = take_request(from, fds);
        if (len == 0)
            _exit(0);
        begin(len, fds, &before);
    }
    give_up("poll");
}

int __libc_start_main(main_fn *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end)
{
    start_fn *next;
    *(void **)&next = dlsym(RTLD_NEXT, "__libc_start_main");
    program = main;
    return next(getenv("PV_LAB_PREFORK") == NULL ? main : serve, argc, argv, init, fini, rtld_fini,
                stack_end);
}
