# shellcheck shell=bash
# Sourced by the job scripts beside it.

MAX_RESTARTS=${MAX_RESTARTS:-100} # after which a job is not requeued

# Runs a command that can be asked to stop and resumed, and requeues the job when it was. SLURM warns
# the job's shell alone before the time limit (--signal=B:...), so the command runs in the background
# and gets its signals from here.
#
# Usage: run_resumable SIGNAL STATUS COMMAND...
#   SIGNAL  asks the command to stop, for example USR1
#   STATUS  with which it ends then; `any` if its status does not tell that
run_resumable() {
    local signal=$1 resumable=$2 asked='' interrupted child='' status
    shift 2
    trap 'asked=yes interrupted=yes; ask' TERM USR1
    ask() { if [[ $child ]]; then kill -s "$signal" "$child" 2>/dev/null || true; fi; }
    # As many threads as SLURM gave cores, even where all cores of the node are visible.
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"
    echo "job $SLURM_JOB_ID on $(hostname), start $((${SLURM_RESTART_COUNT:-0} + 1)): $*"
    "$@" &
    child=$!
    if [[ $asked ]]; then ask; fi
    while true; do
        # A signal ends the wait; the next one has the command's own status.
        interrupted='' status=0
        wait "$child" || status=$?
        [[ $interrupted ]] || break
    done
    if [[ $resumable == any ]]; then
        [[ $asked ]] || return "$status"
    elif ((status != resumable)); then
        # Asked before it could listen, it ends by the signal itself.
        if ! [[ $asked ]] || ((status <= 128)); then return "$status"; fi
    fi
    if ((${SLURM_RESTART_COUNT:-0} >= MAX_RESTARTS)); then
        echo "job $SLURM_JOB_ID has started $MAX_RESTARTS times: is its time limit too short for a" \
            "cycle? Submit it again to continue." >&2
        return "$status"
    fi
    # A job that a user cancelled stays cancelled; one that SLURM has requeued itself needs no more.
    case $(scontrol show job "$SLURM_JOB_ID") in
    *JobState=RUNNING*) ;;
    *) return "$status" ;;
    esac
    echo "job $SLURM_JOB_ID goes back to the queue"
    # A busy controller may refuse now and accept in some seconds.
    for _ in {1..10}; do
        if scontrol requeue "$SLURM_JOB_ID"; then return 0; fi
        sleep 5
    done
    echo "job $SLURM_JOB_ID cannot be requeued: submit it again to continue." >&2
    return "$status"
}
