"""Load the family cards: the TOML files beside this one, in the order of their `order` field.

A folder named by AGENT_PROMPTS_DIR may hold a `cards` folder; its files add cards or replace those of the same name.

Limits: data only; who is shown which card is prompts/card.py and the stage that shows them.
"""

from functools import cache
from pathlib import Path

from evaluators.gpu import GpuSpec
from evaluators.problem import ProblemFacts
from prompts.card import Card, figures_of
from prompts.category import categories_in
from prompts.stages import read_toml, user_directory

BUILT_IN_DIR = Path(__file__).parent


def all_cards() -> tuple[Card, ...]:
    """Every card, the plainest family of each kind first; a user's win. A damaged file is an error that names it."""
    user = user_directory()
    folders = [BUILT_IN_DIR] if user is None else [BUILT_IN_DIR, user / "cards"]
    paths = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    cards = [read_toml(path, Card, "card") for path in paths.values()]
    return tuple(sorted(cards, key=lambda card: (card.order, card.key)))


@cache
def built_in_card(key: str) -> Card:
    """The card of this name as it ships."""
    return read_toml(BUILT_IN_DIR / f"{key}.toml", Card, "card")


def cards_for(facts: ProblemFacts | None, gpu: GpuSpec) -> tuple[Card, ...]:
    """The cards that fit a problem on a target; none where nothing is known of the problem."""
    if facts is None:
        return ()
    categories, figures = categories_in(facts), figures_of(facts, gpu)
    return tuple(card for card in all_cards() if card.has_use(categories, figures))
