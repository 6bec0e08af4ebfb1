//go:build !linux

package git

import "syscall"

func group() *syscall.SysProcAttr { return nil }

func killGroup(int) {}

func opened(dir string) string { return dir }
