// The shopping cart of the Dynamo paper, in Go: the same bytes as the one in Rust beside it.
//
// `ITEM<TAB>QUANTITY` a line; of each item the greatest quantity is kept, and the lines are sorted by item.

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

const maxQuantity = 999999999

func merge(_ Context, siblings []Sibling) ([]byte, error) {
	// An item is any bytes, and so is a string.
	cart := map[string]uint64{}
	for position, sibling := range siblings {
		line := 0
		for rest := sibling.Value; len(rest) > 0; {
			var text []byte
			// The newline of the last line may be missing; no bytes are no lines.
			text, rest, _ = bytes.Cut(rest, []byte("\n"))
			line++
			item, digits, found := bytes.Cut(text, []byte("\t"))
			if !found {
				return nil, malformed(position, line, "there is no tab between item and quantity")
			}
			quantity, ok := readQuantity(digits)
			if !ok {
				return nil, malformed(position, line, "the quantity is not a number below 1000000000")
			}
			cart[string(item)] = max(quantity, cart[string(item)])
		}
	}
	items := make([]string, 0, len(cart))
	for item := range cart {
		items = append(items, item)
	}
	slices.Sort(items)
	text := []byte{}
	for _, item := range items {
		text = append(text, item...)
		text = append(text, '\t')
		text = strconv.AppendUint(text, cart[item], 10)
		text = append(text, '\n')
	}
	return text, nil
}

func malformed(position, line int, what string) error {
	return InvalidSibling{Position: position, Reason: fmt.Sprintf("line %d: %s", line, what)}
}

// Reads decimal digits and nothing else: no sign, no blank.
func readQuantity(digits []byte) (uint64, bool) {
	var number uint64
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		if number = number*10 + uint64(digit-'0'); number > maxQuantity {
			return 0, false
		}
	}
	return number, len(digits) > 0
}
