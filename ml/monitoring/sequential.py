"""An interval for a share that may be looked at after every answer, as often as one likes.

The usual 95 % interval is right at one look. Looked at every week it leaves out the true share sooner or later, and a
model would be replaced by chance. The confidence sequence here contains the true share p at *all* looks together with
probability 95 % or more: with uniform prior weights the mixture of likelihood ratios

    M(p) = B(1 + right, 1 + wrong) / (p^right (1 - p)^wrong)

is a martingale with mean 1 where p is the share, so by Ville's inequality it ever reaches 1 / alpha with probability
alpha at most (H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical
Statistics 41, 1970; read as a bet in I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by
betting", JRSS B 86, 2024). A share is proved to be below a limit when the whole interval lies below it.
"""

from __future__ import annotations

import math

ALPHA = 0.05
_HALVINGS = 60


def confidence_sequence(right: int, wrong: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Lowest and highest share that `right` and `wrong` answers leave possible; (0, 1) without answers.

    >>> [round(end, 3) for end in confidence_sequence(8, 2)]
    [0.375, 0.973]
    """
    if right + wrong == 0:
        return 0.0, 1.0
    least = math.lgamma(1 + right) + math.lgamma(1 + wrong) - math.lgamma(2 + right + wrong) + math.log(alpha)

    def end(outside: float) -> float:
        inside = right / (right + wrong)
        if _log_likelihood(right, wrong, outside) > least:
            return outside
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if _log_likelihood(right, wrong, middle) > least:
                inside = middle
            else:
                outside = middle
        return outside

    return end(0.0), end(1.0)


def _log_likelihood(right: int, wrong: int, share: float) -> float:
    terms = ((right, share), (wrong, 1 - share))
    return sum(times * math.log(chance) if chance > 0 else -math.inf for times, chance in terms if times)
