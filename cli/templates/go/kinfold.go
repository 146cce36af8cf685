// Kinfold's contract with plugins, for Go: what `merge` in plugin.go gets and gives. kinfold_wasm.go makes a component of it.

package main

// Sibling is one of the versions to be merged.
type Sibling struct {
	// Value has the bytes, which are not nil where there are none; nil: a delete, which only a plugin with
	// `tombstones = "pass"` is shown.
	Value []byte
	// Time is when it was written: microseconds since 1970, below 2^53.
	Time uint64
}

// Context is what is being merged: equal on every node that merges the same siblings.
type Context struct {
	Bucket string
	Key    []byte
	// Config is what the operator set on the bucket for its plugin.
	Config []byte
}

// InvalidSibling is the error for a sibling that is not a value of the kind that this plugin merges.
type InvalidSibling struct {
	// Position is the sibling's, from 0.
	Position int
	// Reason says what is wrong with it.
	Reason string
}

func (invalid InvalidSibling) Error() string { return invalid.Reason }

// KeepSiblings is the error for siblings that are fine, but a person or an application has to choose; and why.
type KeepSiblings string

func (why KeepSiblings) Error() string { return string(why) }

// Any other error, and any panic, is a fault of the plugin itself and becomes `internal` with its words.

// What `merge` has to be: it folds siblings into one value; nil merges to a delete. There are at least two siblings, sorted
// by their bytes (a delete first), no two with equal bytes. The answer has to depend on the arguments alone, so never on the
// order of a map; ties go by bytes, never by position.
var _ func(Context, []Sibling) ([]byte, error) = merge

// Level is how much a message matters.
type Level uint32

// The levels of messages.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

func main() {}
