"""The handwritten digits of scikit-learn: real images without a download."""

import torch

from dal.data.examples import Examples

TEST_FRACTION = 0.3


class Digits:
    """1,797 digits of 8 × 8 pixels in 10 classes, as 64 standardised features.

    A fixed stratified split holds 30% out for testing. Features have mean 0 and variance 1 on
    the train examples; a pixel that never varies is 0.

    References:
        https://archive.ics.uci.edu/dataset/80, the test part.
    """

    def load(self) -> tuple[Examples, Examples]:
        """1,257 train and 540 test examples, float32."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
        from sklearn.preprocessing import StandardScaler

        pixels, labels = load_digits(return_X_y=True)
        train, test, train_labels, test_labels = train_test_split(
            pixels, labels, test_size=TEST_FRACTION, stratify=labels, random_state=0
        )
        scaler = StandardScaler().fit(train)
        return (
            Examples(
                torch.from_numpy(scaler.transform(train)).float(), torch.from_numpy(train_labels)
            ),
            Examples(
                torch.from_numpy(scaler.transform(test)).float(), torch.from_numpy(test_labels)
            ),
        )
