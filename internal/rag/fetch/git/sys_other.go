//go:build !linux

package git

import "syscall"

func group() *syscall.SysProcAttr { return nil }

func killGroup(int) {}
