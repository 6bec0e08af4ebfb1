//go:build !linux

package socketio

import "errors"

// directIO says whether the functions below are of use.
const directIO = false

func readNow(uintptr, []byte) (n int, again bool, err error) { return 0, false, errors.ErrUnsupported }

func writeNow(uintptr, [][]byte) (n int, err error) { return 0, errors.ErrUnsupported }
