"""Tables in Markdown, for people, and the words for each figure, in the order in which tables show them."""

import math
from collections.abc import Iterable, Sequence

Figure = tuple[float, float | None, float | None]  # value and 95 % interval

# Shown in per cent; the others below as they are.
PER_CENT = {
    "accuracy": "accuracy at 0.5",
    "accuracy_real": "reals called real at 0.5",
    "accuracy_fake": "fakes called fake at 0.5",
    "balanced_accuracy": "balanced accuracy at 0.5",
    "false_positive_rate": "reals called fake at 0.5",
    "balanced_accuracy_at_threshold": "balanced accuracy at the val threshold",
    "accuracy_at_threshold": "accuracy at the val threshold",
    "accuracy_real_at_threshold": "reals called real at the val threshold",
    "accuracy_fake_at_threshold": "fakes called fake at the val threshold",
    "false_positive_rate_at_threshold": "reals called fake at the val threshold",
    "eer": "equal error rate",
    "tpr_at_1pct_fpr": "fakes found at 1 % false positives",
    "tpr_at_5pct_fpr": "fakes found at 5 % false positives",
}
PLAIN = {
    "average_precision": "average precision",
    "roc_auc": "ROC-AUC",
    "brier": "Brier score",
    "brier_uncalibrated": "Brier score at temperature 1",
    "ece": "expected calibration error",
    "ece_uncalibrated": "expected calibration error at temperature 1",
    "log_loss": "log loss",
    "log_loss_uncalibrated": "log loss at temperature 1",
    "threshold": "threshold chosen on val",
    "temperature": "temperature fitted on val",
}


def figure_text(figure: Figure, per_cent: bool = True, unit: str = " %") -> str:
    """90.0 % (80.1 to 95.3), or 0.900 (0.801 to 0.953); without brackets where the interval is None or NaN."""
    value, low, high = figure
    factor, digits, unit = (100, 1, unit) if per_cent else (1, 3, "")
    span = ""
    if low is not None and high is not None and not math.isnan(low):
        span = f" ({factor * low:.{digits}f} to {factor * high:.{digits}f})"
    return f"{factor * value:.{digits}f}{unit}{span}"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Without a line end at the end. The texts stand as they are: none may hold a vertical bar or a line break."""
    lines = ["".join(f" {text} |" if text else " |" for text in row) for row in (head, *rows)]
    return "\n".join(f"|{line}" for line in (lines[0], "---|" * len(head), *lines[1:]))
