#!/usr/bin/env bash
# First process of the cluster's namespaces: makes mounts, network and nodes, starts the daemons, then waits.
# Everything it makes lives in these namespaces and ends with them.
# boot.sh FOLDER : FOLDER holds etc/, slurm/, log/, mounts.sh and, where accounts are kept, accounting.sh; "ready" is
# written there at the end.
set -euo pipefail
folder=$1
head_address=$2
shift 2 # what remains: NAME=ADDRESS of each node
umask 022

# shellcheck source=/dev/null
. "$folder/mounts.sh"
for name in passwd group shadow hosts; do
  mount --bind "$folder/etc/$name" "/etc/$name"
done
mkdir -p /etc/slurm
mount --bind "$folder/slurm" /etc/slurm

mkdir -p /run/netns /run/uts /run/slurm/state /run/slurm/device /run/lock
mkdir -m 1777 /run/tmp
for device in $(seq 0 15); do
  mknod -m 666 "/run/slurm/device/gpu$device" c 1 3
done

hostname head
ip link set lo up
ip link add bridge0 type bridge
ip addr add "$head_address/24" dev bridge0
ip link set bridge0 up
for node in "$@"; do
  name=${node%%=*}
  : >"/run/netns/$name"
  : >"/run/uts/$name"
  mkdir "/run/slurm/spool-$name"
  unshare --net="/run/netns/$name" --uts="/run/uts/$name" hostname "$name"
  ip link add "to-$name" type veth peer name eth0 netns "$name"
  ip link set "to-$name" master bridge0 up
  ip -n "$name" addr add "${node#*=}/24" dev eth0
  ip -n "$name" link set lo up
  ip -n "$name" link set eth0 up
done

install -d -o munge -g munge -m 755 /run/munge
head -c 1024 /dev/urandom >/run/munge/key
chown munge:munge /run/munge/key
chmod 400 /run/munge/key
setpriv --reuid=munge --regid=munge --clear-groups munged --key-file=/run/munge/key --pid-file=/run/munge/munged.pid \
  --log-file=/run/munge/munged.log --seed-file=/run/munge/seed --num-threads=2

if [[ -f $folder/accounting.sh ]]; then
  # shellcheck source=/dev/null
  . "$folder/accounting.sh"
fi
slurmctld -i
for node in "$@"; do
  name=${node%%=*}
  nsenter --net="/run/netns/$name" --uts="/run/uts/$name" slurmd -N "$name"
done
: >"$folder/ready"
# bash as the first process reaps the orphans while it waits for a process that never ends.
sleep infinity &
wait $!
