"""Why a strategy has selected an item, in words for the person who labels it."""

from dal.labeling.predicted import Prediction

REASONS = {
    "random": "drawn at random",
    "core_set": "far from all that is labeled",
    "k_means": "in the middle of a cluster",
    "typiclust": "typical of a cluster",
    "prob_cover": "close to many items without labels",
    "max_herding": "close to many items without labels",
    "uherding": "close to many uncertain items",
    "margin": "two classes are nearly as likely",
    "entropy": "many classes are likely",
    "least_confidence": "no class is likely",
    "bald": "the model is unsure of its own estimate",
    "batch_bald": "the model is unsure of its own estimate",
}
WITH_HEAD = "its label says much about the model"


def why(strategy: str, prediction: Prediction | None) -> str:
    """A short phrase.

    Args:
        strategy: Its name.
        prediction: The two most probable classes of the item, if there is a head.

    Example:
        >>> why("typiclust", None)
        'typical of a cluster'
        >>> why("margin", Prediction("cat", 0.41, "dog", 0.39))
        'two classes are nearly as likely: cat 41%, dog 39%'
    """
    reason = REASONS.get(strategy, WITH_HEAD if prediction else f"selected by {strategy}")
    if prediction is None:
        return reason
    return (
        f"{reason}: {prediction.first} {prediction.confidence:.0%}, {prediction.second} "
        f"{prediction.runner_up:.0%}"
    )
