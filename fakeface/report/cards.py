"""What follows from the detectors' cards alone. `fakeface predict` uses it too, so pandas is not imported."""

from typing import Any


def best_on_val(cards: dict[str, dict[str, Any]]) -> str:
    """The best by `val_accuracy`, of equals the one with the lower val loss: the registered model's rule; test has no say.

    One that gives the same answer to all of val comes after all that give both.
    """
    return max(
        cards,
        key=lambda name: (
            not cards[name].get("constant"),
            val_accuracy(cards[name]),
            -cards[name]["metrics"]["val_loss"],
        ),
    )


def val_accuracy(card: dict[str, Any]) -> float:
    """Accuracy on val, balanced where the classes differ in number there."""
    metrics = card["metrics"]
    return float(metrics.get("val_balanced_accuracy", metrics["val_accuracy"]))


def doubts_of(approach: str, card: dict[str, Any]) -> list[str]:
    """A sentence where val says that the detector is no better than guessing (`calibration.doubts`)."""
    if not card.get("guessing"):
        return []
    if card.get("few"):
        return [
            f"The validation set has {card['few']} photos or groups of a class, too few to tell {approach} from guessing "
            "(6 are needed): all its verdicts are unsure. Add photos, or raise split.val."
        ]
    one = f": it calls every image {card['constant']}" if card.get("constant") else ""
    return [f"On the validation set {approach} is no better than guessing{one}. Treat its verdicts as unsure."]
