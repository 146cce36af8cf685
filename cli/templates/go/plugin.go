// Keeps the longest value; of equally long ones the greatest.
//
// `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. kinfold.go is the contract.

package main

func merge(_ Context, siblings []Sibling) ([]byte, error) {
	// They come sorted by their bytes, so of equally long ones the last is the greatest.
	longest := []byte{}
	for _, sibling := range siblings {
		if sibling.Value != nil && len(sibling.Value) >= len(longest) {
			longest = sibling.Value
		}
	}
	return longest, nil
}
