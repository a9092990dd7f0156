# %% [markdown]
# # A strategy of your own
#
# A strategy is a class with one method, from a question to positions in the pool. This tutorial
# writes one, checks that it keeps the contract, compares it with two others, and uses it to label.
#
# The idea: examples with a small margin, the difference of their two highest probabilities, are
# difficult, but those with the smallest margins resemble each other. So take more of them than are
# needed, and of these the ones that are far from each other.
#
# Half a minute on two cores, without a network. Run it with `python -m dal.examples.own_strategy`,
# or open the file as a notebook.

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

import dal
import dal.report
from dal.data import ALDataModule, Digits
from dal.errors import ConfigError
from dal.examples.pictures import show
from dal.experiment import ALLoop, RunDirectory
from dal.functional import k_centers, uncertainty
from dal.heads import LinearHead
from dal.report import figures
from dal.strategies import Margin, Query, Random, Selection, Strategy
from dal.strategies.testing import check

SEEDS = range(2)  # the more, the smaller the differences that can be seen
NUM_CYCLES, BATCH_SIZE = 5, 10
FOLDER = Path("tutorials/own_strategy")  # everything is written here

# %% [markdown]
# ## The class
#
# `query` holds all that may be known: features, embeddings, logits and probabilities of pool and
# labeled examples, each computed when it is first asked for. It does not hold the labels of the
# pool. Chance comes from `query.generator` alone, and nothing is kept between two calls: so a run
# that was interrupted ends as one that was not.
#
# The numerics are at hand: `dal.functional` is functions from tensors to tensors.


# %%
class SpreadMargin(Strategy):
    """The smallest margins, far from each other.

    Args:
        factor: Candidates for each example that is selected, at least 1.
    """

    def __init__(self, factor: int = 5) -> None:
        super().__init__()
        if factor < 1:
            raise ConfigError(f"Expected `factor` of at least 1, got {factor}.")
        self.factor = factor

    def select(self, query: Query) -> Selection:
        """Positions in the pool, best first."""
        margins = query.map_pool(uncertainty.margin)  # (U,)
        num_candidates = min(self.factor * query.num, len(margins))
        candidates = margins.topk(num_candidates, largest=False).indices
        spread = k_centers.select(
            query.pool_embeddings[candidates],
            query.labeled_embeddings,
            query.num,
            query.generator,
        )
        positions = candidates[spread.positions]
        return Selection(positions, margins[positions], {"num_candidates": num_candidates})


# %% [markdown]
# A strategy may return positions alone. With a `Selection`, the score of each and the number of
# candidates are recorded with every run.
#
# ## The contract
#
# `check` tries it on pools of all kinds: without labels, with equal rows, with probabilities of 0
# and 1, with as many to select as there are. It is silent if all is well, and is made for your
# tests.

# %%
check(SpreadMargin())
print("SpreadMargin keeps the contract.")

# %% [markdown]
# ## The comparison
#
# One run for each strategy and seed. A cycle fits a linear head, selects, and asks for the labels.
# With a `RunDirectory` a run is recorded, and resumes; the configuration says what it is a run of.

# %%
STRATEGIES = {"random": Random(), "margin": Margin(), "spread_margin": SpreadMargin()}

for seed in SEEDS:
    for name, strategy in STRATEGIES.items():
        settings = {"name": "digits", "strategy_name": name, "seed": seed}
        loop = ALLoop(
            ALDataModule(Digits(), scale="none"),
            LinearHead,
            strategy,
            num_init=10,
            acq_size=BATCH_SIZE,
            num_acq=NUM_CYCLES,
            seed=seed,
            record=RunDirectory(
                FOLDER / "runs" / name / str(seed), {**settings, "al": {"num_acq": NUM_CYCLES}}
            ),
        )
        print(f"{name} with seed {seed}: {loop.run()}")

# %% [markdown]
# The report knows strategies of yours like its own. Random selection is the baseline; runs of one
# seed begin with the same labels, and are compared in pairs.

# %%
results = dal.report.load(FOLDER / "runs")
print(results.aucs[["strategy", "num_runs", "auc", "difference"]].round(2).to_string(index=False))
picture = FOLDER / "curves.png"
figures.learning_curves(results).savefig(picture, dpi=150)
show(picture)

# %% [markdown]
# Two seeds show that it works, not that it is better. `low` and `high` are a 95% interval of the
# mean difference from random selection: as long as 0 is in it, more seeds are needed.

# %%
print(results.comparisons[["strategy", "num_pairs", "difference", "low", "high"]].round(2))

# %% [markdown]
# ## Label with it
#
# `dal.select` and `dal.Project` take it as it is.

# %%
embeddings, answers = load_digits(return_X_y=True)
first = dal.select(embeddings, num=20)
labels = pd.Series(np.nan, range(len(embeddings)))
labels[first] = answers[first]
print("Label next:", dal.select(embeddings, labels=labels, num=5, strategy=SpreadMargin(factor=10)))

# %% [markdown]
# ## From the command line
#
# With the class in `mypackage.py` and this file in `FOLDER/strategy/spread_margin.yaml`,
#
# ```yaml
# _target_: mypackage.SpreadMargin
# factor: 5
# ```
#
# it is one of the strategies, with its options to be set, multiplied out and searched:
#
# ```bash
# python -m dal.train -m --config-dir FOLDER strategy=random,spread_margin seed=0,1,2,3,4
# python -m dal.train -m --config-dir FOLDER strategy=spread_margin strategy.factor=2,5,10
# ```
#
# `conf/README.md` in the clone says the same of heads, sources and loggers.
