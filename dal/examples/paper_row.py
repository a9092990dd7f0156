# %% [markdown]
# # Reproduce a row of the paper
#
# The paper (Huseljic et al. 2024, "Fast Fishing", ECML PKDD) compares strategies by one number, the
# AUC: the mean test accuracy over all cycles of a run, in percent. A row of its Table 5 is one
# dataset: the AUC of random selection, and how much more the other strategies reach.
#
# This tutorial makes such a row: it runs the experiment, reads the results into pandas, and prints
# them above the paper's. As it is, it needs no network and takes half a minute on two cores: it
# runs scikit-learn's digits, which the paper does not have, and fewer cycles and seeds. The
# settings below turn it into a row of the paper.
#
# Run it with `python -m dal.examples.paper_row`, or open the file as a notebook.

# %%
import subprocess
import sys
from pathlib import Path

import pandas as pd

import dal.report
from dal.examples.pictures import show
from dal.report import figures

# For a row of the paper: one of "cifar10", "stl10", "snacks", "cifar100", "food101", "flowers102",
# "stanford_dogs", "tiny_imagenet", "imagenet". Images and DINOv2 come from the hub then.
EXPERIMENT = "digits"
STRATEGIES = "random,margin,badge,typiclust,bait_exp,bait_binary"  # no bait_exp from cifar100 on
SEEDS = "0,1"  # in the paper ten: "0,1,2,3,4,5,6,7,8,9"
SETTINGS = ["al.num_acq=4"]  # 10 + 4 × 10 labels; [] for the paper's setting
FOLDER = Path("tutorials/paper_row")  # everything is written here

# %% [markdown]
# ## Run the experiment
#
# One command runs all combinations of strategies and seeds. Each is a run in a directory of its
# own, with its learning curve, its configuration and what was labeled in which order. Interrupt it
# whenever you like: when it is started again, it continues after the last finished cycle. With all
# runs complete, it takes seconds.
#
# Everything else is the paper's setting already: DINOv2 ViT-S/14 as the frozen network, and in
# every cycle a new linear head, fitted for 200 epochs by RAdam with a learning rate of 0.2.
# Strategies with equal seeds begin with equal labels, so that their runs are compared in pairs.

# %%
command = [
    *("python", "-m", "dal.train", "-m", f"+experiment={EXPERIMENT}", f"output_root={FOLDER}"),
    *(f"strategy={STRATEGIES}", f"seed={SEEDS}", *SETTINGS),
]
print("$", *command, flush=True)
subprocess.run([sys.executable, *command[1:]], check=True)

# %% [markdown]
# ## Read the results
#
# `dal.report.load` finds all runs below a folder. Everything that a report shows is a property of
# what it returns, as a pandas frame. `low` and `high` are a 95% interval of the mean difference
# from random selection. With two seeds it is wide: hardly anything can be said. That is why the
# paper repeats everything ten times.

# %%
results = dal.report.load(FOLDER)
print(results.comparisons[["strategy", "num_pairs", "difference", "low", "high"]].round(2))

# %% [markdown]
# The differences along the way: how many points more accurate than random selection, after how many
# labels. The paper's Figures 2 and 3 are such curves.

# %%
picture = FOLDER / "improvement.png"
figures.improvement_curves(results).savefig(picture, dpi=150)
show(picture)

# %% [markdown]
# ## The row
#
# AUC of random selection, and differences of the others from it. The paper's row is below where it
# has one. Three things differ from the published runs, and explain a difference in the last digits:
# they took the features of `typiclust` as they are (`strategy.normalize=false`), summed the Fisher
# information of labeled items where the paper's formula has the mean
# (`strategy.fisher_reduction=sum` of BAIT), and drew other random numbers.

# %%
# Table 5 of the paper; it has no BAIT (Exp) from 100 classes on.
COLUMNS = ["random", "margin", "badge", "typiclust", "bait_exp", "bait_binary"]
PAPER = {
    "cifar10": [82.05, 2.38, 2.55, 3.57, 5.43, 5.74],
    "stl10": [85.79, 4.42, 3.91, 3.70, 6.19, 6.45],
    "snacks": [71.93, 3.32, 3.08, 7.29, 7.50, 8.60],
    "cifar100": [67.20, 1.49, 1.48, 3.09, None, 4.73],
    "food101": [68.05, 0.62, 0.99, 3.42, None, 3.54],
    "flowers102": [56.00, 12.05, 10.08, 17.64, None, 18.23],
    "stanford_dogs": [65.79, 2.39, 2.59, 4.22, None, 3.46],
    "tiny_imagenet": [63.71, 0.67, 1.21, 2.52, None, 3.46],
    "imagenet": [60.74, 0.88, 1.34, -5.76, None, 1.48],
}

aucs = results.aucs.set_index("strategy")
rows = {"here": aucs["difference"].fillna(aucs["auc"])}  # random has no difference from itself
if EXPERIMENT in PAPER:
    rows["paper"] = pd.Series(PAPER[EXPERIMENT], COLUMNS)
row = pd.DataFrame(rows).T
print(f"{EXPERIMENT}: AUC of random selection, and gains over it")
print(row[[name for name in COLUMNS if name in row]].round(2).to_string(na_rep="-"))
if EXPERIMENT not in PAPER:
    print(f"The paper has no row of {EXPERIMENT}; its first, CIFAR-10, is:")
    print(pd.DataFrame([PAPER["cifar10"]], ["paper"], COLUMNS).to_string())

# %% [markdown]
# ## Next
#
# `python -m dal.report tutorials/paper_row` writes all tables, figures and tests as one page, and
# the tables for LaTeX. [On a cluster](cluster_sweep.py) the runs are done side by side.
