// The functions that the component exports, after the canonical ABI of the component model.
//
// A fresh instance runs every merge, and starts the Go runtime for it.

//go:build wasip1

package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"unsafe"
)

// Collecting garbage is for merges that would otherwise run out of their 32 MiB.
func init() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(20 << 20)
}

//go:wasmimport kinfold:merge/log@0.1.0 write
//go:noescape
func logWrite(level uint32, message unsafe.Pointer, length uint32)

// Log says something to the operator.
func Log(level Level, message string) {
	logWrite(uint32(level), unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
}

// Blocks that the host has: the garbage collector must not take them.
var blocks [][]uint64

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldLength, _, length uint32) unsafe.Pointer {
	// Words of 8 bytes, which is the greatest alignment that the contract has.
	block := make([]uint64, length/8+1)
	blocks = append(blocks, block)
	start := unsafe.Pointer(unsafe.SliceData(block))
	copy(unsafe.Slice((*byte)(start), length), unsafe.Slice((*byte)(old), min(oldLength, length)))
	return start
}

// A sibling as the host lowers it, in words of 4 bytes: whether it has a value, its bytes, a gap, and its time in two.
type loweredSibling [6]uint32

// result<option<list<u8>>, merge-error> as the host lifts it: what each word says depends on those before it.
var lowered struct {
	isError, which uint32
	words          [3]uint32
}

// What the answer points at.
var kept []byte

//go:wasmexport kinfold:merge/resolver@0.1.0#merge
func kinfoldMerge(
	bucket unsafe.Pointer, bucketLength uint32,
	key unsafe.Pointer, keyLength uint32,
	config unsafe.Pointer, configLength uint32,
	first unsafe.Pointer, count uint32,
) unsafe.Pointer {
	context := Context{
		Bucket: string(bytesAt(bucket, bucketLength)),
		Key:    bytesAt(key, keyLength),
		Config: bytesAt(config, configLength),
	}
	siblings := make([]Sibling, count)
	for n, sibling := range unsafe.Slice((*loweredSibling)(first), count) {
		siblings[n].Time = uint64(sibling[4]) | uint64(sibling[5])<<32
		if sibling[0]&1 != 0 {
			siblings[n].Value = bytesAt(unsafe.Pointer(uintptr(sibling[1])), sibling[2])
		}
	}
	value, err := recovered(context, siblings)
	var invalid InvalidSibling
	var keep KeepSiblings
	switch {
	case err == nil && value == nil:
		lowered.isError, lowered.which = 0, 0
	case err == nil:
		lowered.isError, lowered.which = 0, 1
		lowered.words = [3]uint32{address(value), uint32(len(value)), 0}
	case errors.As(err, &invalid):
		reason := []byte(invalid.Reason)
		lowered.isError, lowered.which = 1, 0
		lowered.words = [3]uint32{uint32(invalid.Position), address(reason), uint32(len(reason))}
	case errors.As(err, &keep):
		reason := []byte(keep)
		lowered.isError, lowered.which = 1, 1
		lowered.words = [3]uint32{address(reason), uint32(len(reason)), 0}
	default:
		reason := []byte(err.Error())
		lowered.isError, lowered.which = 1, 2
		lowered.words = [3]uint32{address(reason), uint32(len(reason)), 0}
	}
	return unsafe.Pointer(&lowered)
}

// Merges, and makes an error of a panic.
func recovered(context Context, siblings []Sibling) (value []byte, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			value, err = nil, fmt.Errorf("panic: %v", panicked)
		}
	}()
	return merge(context, siblings)
}

// The bytes of an argument; never nil.
func bytesAt(start unsafe.Pointer, length uint32) []byte {
	if length == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(start), length)
}

// Where bytes are that the host is about to read.
func address(bytes []byte) uint32 {
	kept = bytes
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))
}
