package app

import (
	"context"
	"fmt"
	"maps"
	"os"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/uplink"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/secret"
)

// executorPod works for the Studio's API, as the one process of a pod.
func (c *command) executorPod(ctx context.Context, given config.Payload, scripts bool) (int, error) {
	// What the node starts must not read the token out of this process.
	if err := secret.HideMemory(); err != nil {
		return 0, err
	}
	secrets, err := given.Secrets()
	if err != nil {
		return 0, err
	}
	workspace, err := podWorkspace(given.DefaultCwd)
	if err != nil {
		return 0, err
	}
	runner := kind.PayloadRunner(kind.Options{ScriptNodes: scripts, Workspace: workspace})
	pod := given.PodUID
	if pod == "" {
		pod = uuid.NewString()
	}
	hidden := []string{string(given.Token)}
	for _, s := range secrets {
		hidden = append(hidden, s)
	}
	talk := executor.NewTalk(c.edge.Stdout, c.edge.Now, hidden)
	up, err := uplink.New(uplink.Options{
		URL: given.APIURL, Token: string(given.Token), PodUID: pod, Now: c.edge.Now, Log: func(text string) { talk.Line("", text) },
	})
	if err != nil {
		return 0, err
	}
	return executor.RunPod(ctx, executor.PodOptions{
		Payload: payloadSource(given, up, secrets), Uplink: up, Runner: traced(executor.WatchMemory(executor.CgroupRoot, runner)),
		Log: c.edge.Stdout, Secrets: hidden, Termination: given.TerminationLog, Now: c.edge.Now,
	}), nil
}

// podWorkspace is the folder that a pod works in: the given one, else a new one.
func podWorkspace(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "node-")
		if err != nil {
			return "", fmt.Errorf("make the workspace: %w", err)
		}
		dir = made
	}
	if err := os.Chdir(dir); err != nil {
		return "", fmt.Errorf("enter the workspace: %w", err)
	}
	return os.Getwd()
}

// payloadSource reads the mounted payload, or has it from the API, and adds the
// mounted secrets.
func payloadSource(given config.Payload, up *uplink.Uplink, secrets map[string]string) func(ctx context.Context) (executor.Payload, error) {
	return func(ctx context.Context) (executor.Payload, error) {
		p, err := readPayload(ctx, given.File, up)
		if len(secrets) > 0 {
			if p.Secrets == nil {
				p.Secrets = map[string]string{}
			}
			maps.Copy(p.Secrets, secrets)
		}
		return p, err
	}
}

func readPayload(ctx context.Context, file string, up *uplink.Uplink) (executor.Payload, error) {
	if file == "" {
		return up.Payload(ctx)
	}
	f, err := os.Open(file)
	if err != nil {
		return executor.Payload{}, err
	}
	defer func() { _ = f.Close() }()
	return executor.ReadPayload(f)
}
