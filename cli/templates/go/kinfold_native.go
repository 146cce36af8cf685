// What `go test` and `go vet` need outside of a component.

//go:build !wasip1

package main

import (
	"fmt"
	"os"
)

// Log says something to the operator; here, to standard error.
func Log(level Level, message string) {
	fmt.Fprintf(os.Stderr, "%d: %s\n", level, message)
}
