//go:build !unix

package git

import "os"

// tryLock has no counterpart here: processes do not share repositories.
func tryLock(*os.File) (bool, error) { return true, nil }
