"""Keeps the longest value; of equally long ones the greatest.

`kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. kinfold.py is the contract.
Import modules up here: there is nothing to import from while a merge runs.
"""

from kinfold import Context, Sibling


def merge(context: Context, siblings: list[Sibling]) -> bytes | None:
    # They come sorted by their bytes, so of equally long ones the last is the greatest.
    longest = b""
    for sibling in siblings:
        if sibling.value is not None and len(sibling.value) >= len(longest):
            longest = sibling.value
    return longest
