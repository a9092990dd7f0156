# shellcheck shell=bash
# Sourced by the job scripts beside it.

# Runs a command that can be asked to stop and resumed, and requeues the job when it was. SLURM warns
# the job's shell alone before the time limit (--signal=B:...), so the command runs in the background
# and gets its signals from here.
#
# Usage: run_resumable SIGNAL STATUS COMMAND...
#   SIGNAL  asks the command to stop, for example USR1
#   STATUS  with which it ends then; `any` if its status does not tell
run_resumable() {
    local signal=$1 resumable=$2 asked='' interrupted child status
    shift 2
    # As many threads as SLURM gave cores, even where all of the node are in sight.
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"
    echo "job $SLURM_JOB_ID on $(hostname), start $((${SLURM_RESTART_COUNT:-0} + 1)): $*"
    "$@" &
    child=$!
    trap 'asked=yes interrupted=yes; kill -s "$signal" "$child" 2>/dev/null || true' TERM USR1
    while true; do
        # A signal ends the wait; the next one has the command's own status.
        interrupted='' status=0
        wait "$child" || status=$?
        [[ $interrupted ]] || break
    done
    if [[ $resumable == any ]]; then
        [[ $asked ]] || return "$status"
    elif ((status != resumable)); then
        return "$status"
    fi
    # What a user cancels shall stay so; what SLURM has requeued itself needs nothing more.
    case $(scontrol show job "$SLURM_JOB_ID") in
    *JobState=RUNNING*) ;;
    *) return "$status" ;;
    esac
    echo "job $SLURM_JOB_ID goes back to the queue"
    scontrol requeue "$SLURM_JOB_ID"
}
