#!/usr/bin/env bash
# A whole Slurm on this machine, for the tests: `start` (installs Debian's packages where they are absent), `stop`.
#
# As root, without systemd. One node with this machine's CPUs and two partitions: `low`, whose jobs are preempted
# and requeued by those of `high`. There is no accounting.
set -euo pipefail

CONFIG=/etc/slurm/slurm.conf
MARK="# written by slurm_on_loopback.sh"
STATE=/var/lib/slurm-on-loopback

fail() {
    echo "error: $*" >&2
    exit 1
}

install() {
    if ! { command -v slurmctld && command -v slurmd && command -v munged; } > /dev/null; then
        command -v apt-get > /dev/null || fail "there is no Slurm and no apt-get: install slurmctld, slurmd and munged"
        apt-get update -q
        apt-get install -y -q --no-install-recommends slurm-wlm munge
    fi
}

configure() {
    # Slurm knows a node by the name that it gives itself.
    local node memory
    node=$(hostname -s)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    mkdir -p /etc/slurm "$STATE/controller" "$STATE/node"
    cat > "$CONFIG" << CONF
$MARK
ClusterName=loopback
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
# What is requeued may begin again when the credentials of its steps have expired.
AuthInfo=cred_expire=5
StateSaveLocation=$STATE/controller
SlurmdSpoolDir=$STATE/node
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/slurmd.log
# No control groups, which a container lacks.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory State=UNKNOWN
PartitionName=low Nodes=$node Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=30 MaxTime=INFINITE State=UP
PartitionName=high Nodes=$node PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
CONF
}

start() {
    [ "$(id -u)" = 0 ] || fail "Slurm's daemons are started as root"
    if [ -e "$CONFIG" ] && ! grep -q "^$MARK" "$CONFIG"; then
        fail "$CONFIG is there already and is not of this script: this machine has a Slurm of its own"
    fi
    if sinfo > /dev/null 2>&1; then
        echo "Slurm is up already"
        return
    fi
    install
    stop
    configure
    [ -s /etc/munge/munge.key ] || (umask 077 && head -c 1024 /dev/urandom > /etc/munge/munge.key)
    mkdir -p /run/munge /var/log/munge
    chown munge: /run/munge /var/log/munge /etc/munge/munge.key
    chmod 755 /run/munge
    if ! pgrep -x munged > /dev/null; then
        runuser -u munge -- munged
        cp /run/munge/munged.pid "$STATE/munged.pid"
    fi
    slurmctld -c
    slurmd
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --format=%T 2> /dev/null | sort -u)" = idle ] && return
        sleep 1
    done
    tail -n 20 "$STATE"/*.log >&2
    fail "the node was not idle after a minute"
}

stop() {
    local daemon pid
    for daemon in slurmd slurmctld munged; do
        if pid=$(cat "$STATE/$daemon.pid" 2> /dev/null) && [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$daemon" ]; then
            kill "$pid"
            # Where nobody reaps processes, one that has ended stays as a zombie.
            for _ in $(seq 100); do
                grep -qs '^State:.[^Z]' "/proc/$pid/status" || break
                sleep 0.1
            done
        fi
    done
}

case "${1:-}" in
    start | stop) "$1" ;;
    *) fail "say $0 start or $0 stop" ;;
esac
