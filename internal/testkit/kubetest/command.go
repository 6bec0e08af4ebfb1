package kubetest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
)

// command runs a program to its end and gives what it printed on both outputs.
func command(ctx context.Context, environ []string, input, name string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Env = append(os.Environ(), environ...)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
