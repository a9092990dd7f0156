# %% [markdown]
# # A sweep on a cluster
#
# A comparison is many runs: strategies times seeds. They know nothing of each other, so they may
# run side by side, on one machine or on many. This tutorial runs a small sweep here, and shows the
# commands that run a large one on SLURM. What comes out is the same: one directory for each run,
# from which one command makes the report.
#
# Half a minute on two cores, without a network. Run it with `python -m dal.examples.cluster_sweep`,
# or open the file as a notebook.

# %%
import os
import shlex
import subprocess
import sys
from pathlib import Path

import dal
import dal.report
from dal.examples.pictures import show

EXPERIMENT = "digits"  # such as "imagenet"; its images and DINOv2 come from the hub
STRATEGIES = ["random", "margin", "typiclust"]
SEEDS = [0, 1]
SETTINGS = ["al.num_acq=3"]  # 10 + 3 × 10 labels; [] for what the experiment says
LAUNCHER = ""  # "joblib" for several at once, "submitit_slurm" for a cluster: see below
FOLDER = Path("tutorials/cluster_sweep")  # everything is written here


def run(command: str, **environment: str) -> None:
    """Shows a command and runs it, by this Python."""
    print("$", *(f"{name}={shlex.quote(value)}" for name, value in environment.items()), command)
    sys.stdout.flush()
    words = [sys.executable if word == "python" else word for word in shlex.split(command)]
    subprocess.run(words, check=True, env=os.environ | environment)


# %% [markdown]
# ## One command, many runs
#
# `-m` runs all combinations of what is separated by commas. What a launcher does with them is its
# business:
#
# | `LAUNCHER` | runs | after |
# | --- | --- | --- |
# | `""` | one after the other | |
# | `"joblib"` | two at a time, in processes of this machine | `pip install -e ".[joblib]"` |
# | `"submitit_slurm"` | as jobs of a SLURM array, from Python | `pip install -e ".[submitit]"` |
# | `"submitit_local"` | the same without SLURM, to try it | `pip install -e ".[submitit]"` |

# %%
LAUNCHERS = {
    "": "",
    "joblib": " hydra/launcher=joblib hydra.launcher.n_jobs=2",
    "submitit_slurm": " hydra/launcher=submitit_slurm hydra.launcher.timeout_min=240"
    " hydra.launcher.cpus_per_task=4 hydra.launcher.mem_gb=16",
    "submitit_local": " hydra/launcher=submitit_local",
}
strategies, seeds = ",".join(STRATEGIES), ",".join(map(str, SEEDS))
sweep = (
    f"python -m dal.train -m +experiment={EXPERIMENT} strategy={strategies} seed={seeds} "
    f"output_root={FOLDER / 'runs'}{LAUNCHERS[LAUNCHER]}"
)
run(" ".join([sweep, *SETTINGS]))

# %% [markdown]
# Every run is on the disk after each of its cycles. A node that fails, or a time limit, costs one
# cycle: the same command continues where the runs stopped, and leaves complete ones alone.
#
# ## SLURM
#
# The clone has job scripts, which need no launcher, in `slurm/`. One element of `array.sbatch` is
# one run. `--list` says which element is which, and how to submit them. It submits nothing, so you
# can try it anywhere:

# %%
clone = Path(dal.__file__).parents[1]
script = clone / "slurm" / "array.sbatch"
if script.exists():
    names = {"STRATEGIES": " ".join(STRATEGIES), "SEEDS": " ".join(map(str, SEEDS))}
    run(f"bash {shlex.quote(str(script))} --list {EXPERIMENT} {' '.join(SETTINGS)}", **names)
else:
    print("The job scripts are in the clone of the repository, not in the installed package.")

# %% [markdown]
# On the login node, in the clone and its virtual environment, the whole of ImageNet is three
# commands. `$DAL_CACHE`, where the features are, must be a folder that all nodes see.
#
# ```bash
# export DAL_CACHE=/scratch/$USER/dal
# extraction=$(sbatch --parsable --gpus=4 slurm/extract.sbatch imagenet data.path=DIR)
# STRATEGIES="random margin bait_binary" SEEDS="0 1 2" sbatch --dependency=afterok:$extraction \
#     --array=0-8 slurm/array.sbatch imagenet data.path=DIR
# ```
#
# The features are computed once, on four GPUs. Then nine curves run, on as many nodes as are free.
# Two minutes before its time limit a job stops, is queued again, and resumes. For Weights & Biases
# there is `sbatch --array=0-7 slurm/sweep.sbatch ENTITY/PROJECT/ID`: eight agents of one sweep.
#
# ## The report
#
# It reads whatever runs are there, finished or not, and so it can be made while the sweep is at
# work.

# %%
report = FOLDER / "report"
run(f"python -m dal.report {FOLDER / 'runs'} --out {report}")
show(report / "figures" / "learning_curves.png")

# %% [markdown]
# `report.html` has all tables, figures and tests on one page. In Python, the same are pandas
# frames. An experiment takes the number of seeds that its smallest difference of interest asks for;
# the report's table of comparisons says how many that would be.

# %%
results = dal.report.load(FOLDER / "runs")
print(results.times[["strategy", "device", "seconds"]].round(4).to_string(index=False))

# %% [markdown]
# ## Next
#
# In the clone, `slurm/README.md` says what happens to jobs that are stopped, and `sweeps/README.md`
# how Weights & Biases and Optuna choose the runs. [A row of the paper](paper_row.py) is a sweep of
# one of its nine datasets.
