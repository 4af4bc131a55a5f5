#!/bin/sh
# container: the image of a node, made as the Dockerfile says and run by rootless podman beside members of the lab
# (lab/container), alone and as the examples of dist/container have it. As root. No registry is asked: the base is what
# scripts/chroot has debootstrap make.
#
# usage: tests/install/container.sh BUILD      BUILD has bin/ of a build, for the lab's other machines
set -eu

if ! command -v podman >/dev/null; then
    echo "container: skipped: podman is not installed (scripts/deps long)"
    exit 77
fi
if [ "${CONTAINER_INSIDE:-}" != 1 ]; then
    build=$(realpath "$1")
    script=$(realpath "$0")
    cd "$(dirname "$0")/../.."
    scripts/chroot --fresh trixie true
    mkdir -p build/images
    # podman's mounts and processes end with these namespaces.
    CONTAINER_INSIDE=1 exec unshare -m --pid --fork --kill-child --mount-proc sh "$script" "$build"
fi

work=$(mktemp -d "$PWD/build/images/storage.XXXXXX")
image=$PWD/build/images/p2pvpn-node.tar
# `--isolation chroot` needs no control groups. HEALTHCHECK is nothing that the other format has.
own() {
    podman --root "$work/root" --runroot "$work/run" --cgroup-manager cgroupfs --events-backend none "$@"
}
trap 'umount -l "$work/root/overlay" 2>/dev/null || :; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
tar -C /var/cache/p2pvpn/trixie.bare --one-file-system -c . | own import -q - docker.io/library/debian:trixie-slim
own build --format docker --isolation chroot --network host --pull=never --target node -t p2pvpn-node . \
    >build/images/log 2>&1 || {
    tail -n 40 build/images/log >&2
    echo "container: the image is not made" >&2
    exit 1
}
rm -f "$image"
own save -q --format docker-archive -o "$image" p2pvpn-node
PV_LAB_LONG=1 PV_LAB_IMAGE=$image scripts/lab --build "$1" container.rootless_podman_runs_the_image \
    container.the_examples_for_compose_and_kubernetes_run
