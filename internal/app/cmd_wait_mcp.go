package app

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/mcp/gate"
)

// waitMCP is the gate that holds a start back until MCP servers are ready.
func (c *command) waitMCP() *cobra.Command {
	var anyHTTP bool
	cmd := &cobra.Command{
		Use:   "wait-mcp",
		Short: "Wait until the required MCP servers are ready; for start-up order",
		Long: `Waits until every endpoint in LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS completes MCP's
initialize handshake over streamable HTTP, and exits with 0. All endpoints are tried at
the same time and share one deadline, LLMCTL_STUDIO_MCP_WAIT_TIMEOUT_SECONDS; if it
passes, the exit code is 1 and each endpoint that is missing is named with the reason.
What is still missing is told on standard error every few seconds.

LLMCTL_STUDIO_MCP_WAIT_ENABLED=false bypasses the wait: exit 0 at once.

--any-http is the looser rule of earlier releases: any HTTP status counts as ready,
also that of a proxy in front or of an error page. Use it for servers that need
credentials.`,
		Example: "  llmctl wait-mcp\n  llmctl wait-mcp --endpoints http://localhost:9020/mcp --timeout-seconds 30",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := c.load("")
			if err != nil {
				return err
			}
			return c.runWaitMCP(cmd, cfg.MCP, anyHTTP)
		},
	}
	c.flag(cmd, "endpoints", "LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS", "endpoints to wait for, comma separated")
	c.flag(cmd, "timeout-seconds", "LLMCTL_STUDIO_MCP_WAIT_TIMEOUT_SECONDS", "how long to wait for all of them together")
	cmd.Flags().BoolVar(&anyHTTP, "any-http", false, "any HTTP status counts as ready, without a handshake")
	return cmd
}

func (c *command) runWaitMCP(cmd *cobra.Command, cfg config.MCP, anyHTTP bool) error {
	if !cfg.WaitEnabled {
		cmd.Println("LLMCTL_STUDIO_MCP_WAIT_ENABLED is false: not waiting for MCP servers.")
		return nil
	}
	endpoints := distinct(cfg.RequiredEndpoints)
	if len(endpoints) > gate.MaxEndpoints {
		return errs.Ef(errs.Invalid, "mcp.too_many_endpoints",
			"LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS names %d endpoints; accepted are at most %d.", len(endpoints), gate.MaxEndpoints)
	}
	cmd.PrintErrf("waiting for %s, up to %s\n", count(len(endpoints), "MCP endpoint"), cfg.WaitTimeout)
	report, err := gate.Wait(cmd.Context(), gate.Options{
		Endpoints: endpoints, Timeout: cfg.WaitTimeout, AnyHTTP: anyHTTP, Client: buildVersion(), Now: c.edge.Now,
		Progress: func(left time.Duration, missing []gate.Status) {
			for _, s := range missing {
				cmd.PrintErrf("waiting: %s: %s (%s left)\n", s.Endpoint, why(s), left.Round(time.Second))
			}
		},
	})
	for _, s := range report {
		if s.Ready {
			cmd.Printf("ready: %s after %s (%s)\n", s.Endpoint, s.Took.Round(time.Millisecond), s.Server)
		}
	}
	if errors.Is(err, gate.ErrNotReady) {
		return notReady(report, cfg.WaitTimeout)
	}
	if err != nil {
		return errs.E(errs.Unavailable, "mcp.wait_stopped", "Stopped before every MCP endpoint was ready.", details(report.Missing())...).With(err)
	}
	return nil
}

func notReady(report gate.Report, timeout time.Duration) error {
	missing := report.Missing()
	return errs.E(errs.Timeout, "mcp.not_ready", fmt.Sprintf(
		"%d of %s did not become ready within %s. Start them, or raise LLMCTL_STUDIO_MCP_WAIT_TIMEOUT_SECONDS; "+
			"LLMCTL_STUDIO_MCP_WAIT_ENABLED=false starts without them.", len(missing), count(len(report), "MCP endpoint"), timeout),
		details(missing)...)
}

func details(missing []gate.Status) []errs.Detail {
	out := make([]errs.Detail, 0, len(missing))
	for _, s := range missing {
		out = append(out, errs.Detail{Location: s.Endpoint, Message: fmt.Sprintf("(%s): %s", tried(s.Tries), why(s))})
	}
	return out
}

func why(s gate.Status) string {
	if s.Reason == "" {
		return "no answer yet"
	}
	return s.Reason
}

func tried(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// distinct drops repeated addresses.
func distinct(list []string) []string {
	seen := make(map[string]bool, len(list))
	var out []string
	for _, item := range list {
		if item = strings.TrimSpace(item); item != "" && !seen[item] {
			seen[item] = true
			out = append(out, item)
		}
	}
	return out
}
