package app

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/tracing"
)

// executor is the child of the process executor, or the one process of a pod: it runs
// one payload.
func (c *command) executor() *cobra.Command {
	var keepAlive int
	var scripts bool
	var fence string
	cmd := &cobra.Command{
		Use: "executor", Short: "Run one node payload (started by workers, or in a pod)", Args: cobra.NoArgs, Hidden: true,
		Long: `Reads a payload as JSON from standard input, or from the file that
LLMCTL_EXECUTOR_PAYLOAD_FILE names, runs it, and writes events as JSON lines to file
descriptor 3. With LLMCTL_EXECUTOR_TOKEN and LLMCTL_EXECUTOR_API_URL it fetches the payload
from the Studio's API, unless there is a file, and reports there. Exit codes: 0 succeeded,
1 failed, 2 bad payload, 124 timeout, 130 cancelled.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given, err := config.LoadPayload(c.edge.Environ)
			if err != nil {
				return err
			}
			run := func() (int, error) { return c.executorChild(cmd.Context(), given, scripts, keepAlive, fence) }
			if given.Token != "" {
				run = func() (int, error) { return c.executorPod(cmd.Context(), given, scripts) }
			}
			code, err := run()
			if err == nil && code != 0 {
				return exitError(code)
			}
			return err
		},
	}
	cmd.Flags().IntVar(&keepAlive, "keep-alive-fd", 0, "descriptor on which the parent shows that it lives")
	cmd.Flags().StringVar(&fence, "fence", "", "uid:gid to become, in the namespaces that the parent made")
	cmd.Flags().BoolVar(&scripts, "script-nodes", true, "whether script nodes may run")
	return cmd
}

// executorChild works for a parent process.
func (c *command) executorChild(ctx context.Context, given config.Payload, scripts bool, keepAlive int, fence string) (int, error) {
	workspace, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	runner := kind.PayloadRunner(kind.Options{ScriptNodes: scripts, Workspace: workspace})
	o := executor.ChildOptions{
		Payload: c.edge.Stdin, Stderr: c.edge.Stderr, Runner: traced(runner), Workspace: workspace, Now: c.edge.Now,
		Events: executor.OpenInherited(executor.EventsFD, "events"),
	}
	if given.File != "" {
		if o.Payload, err = os.Open(given.File); err != nil {
			return 0, err
		}
	}
	if fence != "" {
		if o.Fence, err = executor.ParseFence(fence); err != nil {
			return 0, err
		}
	}
	if keepAlive > 0 {
		o.KeepAlive = executor.OpenInherited(uintptr(keepAlive), "keep-alive")
	}
	return executor.RunChild(ctx, o), nil
}

// traced makes a span of what the child did. It goes to the parent as an event: the
// child's environment names no collector.
func traced(next executor.Runner) executor.Runner {
	return func(ctx context.Context, p executor.Payload, sink executor.Sink) executor.Result {
		ctx = tracing.InChild(ctx, p.Traceparent, func(raw json.RawMessage) error {
			return sink(executor.Event{Type: executor.EventSpan, Span: raw})
		})
		ctx, span := tracing.Start(ctx, tracing.SpanExecute+" "+p.Kind, trace.SpanKindInternal,
			tracing.NodeKind.String(p.Kind), tracing.ProcessPID.Int(os.Getpid()))
		res := next(ctx, p, sink)
		if res.Error != nil {
			span.SetAttributes(tracing.ErrorType.String(res.Error.Code))
			tracing.End(span, errors.New(res.Error.Message))
			return res
		}
		span.End()
		return res
	}
}
