"""The shopping cart of the Dynamo paper, in Python: the same bytes as the one in Rust beside it.

`ITEM<TAB>QUANTITY` a line; of each item the greatest quantity is kept, and the lines are sorted by item.
"""

import re

from kinfold import Context, InvalidSibling, Sibling

# Leading zeros, then at most nine digits.
QUANTITY = re.compile(rb"0*([0-9]{1,9})")


def merge(context: Context, siblings: list[Sibling]) -> bytes | None:
    cart: dict[bytes, int] = {}
    for position, sibling in enumerate(siblings):
        for number, line in enumerate(lines(sibling.value or b""), 1):
            item, tab, digits = line.partition(b"\t")
            if not tab:
                raise malformed(position, number, "there is no tab between item and quantity")
            quantity = QUANTITY.fullmatch(digits)
            if quantity is None:
                raise malformed(position, number, "the quantity is not a number below 1000000000")
            cart[item] = max(int(quantity[1]), cart.get(item, 0))
    return b"".join(b"%b\t%d\n" % line for line in sorted(cart.items()))


def lines(value: bytes) -> list[bytes]:
    """The newline of the last line may be missing; no bytes are no lines."""
    found = value.split(b"\n")
    return found[:-1] if found[-1] == b"" else found


def malformed(position: int, line: int, what: str) -> InvalidSibling:
    return InvalidSibling(position, f"line {line}: {what}")
