package app

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/doctor"
	"github.com/llmctl/studio/internal/errs"
)

const maxCAFile = 1 << 20

type doctorFlags struct {
	url, key, keyFile, caFile string
	long, asJSON              bool
}

func (c *command) doctor() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor --url https://host/prefix/web",
		Short: "Check a deployment from the browser's side; exit code 1 with findings",
		Long: `Looks at a running Studio through whatever stands in front of it, as a browser does, and
names what is wrong, each with its fix: TLS, path prefix, routes and redirects, WebSocket
upgrades, long polling across connections, clock, readiness. With an API key also: what
the server believes about scheme, host and client, buffering and compression of streams,
size of bodies, and the bus. --long measures for how long a silent connection lives.

Give the key in LLMCTL_STUDIO_DOCTOR_API_KEY or --api-key-file; --api-key shows it to
everybody on this machine. Nothing on the server is changed.

Exit codes: 0 nothing found, 1 findings, 2 wrong use.`,
		Example: "  llmctl doctor --url https://studio.example.com/web\n  llmctl doctor --url https://example.com/studio/web --api-key-file key.txt --long --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runDoctor(cmd, f) },
	}
	cmd.Flags().StringVar(&f.url, "url", "", "address of the page (required)")
	cmd.Flags().StringVar(&f.key, "api-key", "", "API key; better in LLMCTL_STUDIO_DOCTOR_API_KEY")
	cmd.Flags().StringVar(&f.keyFile, "api-key-file", "", "file with the API key")
	cmd.Flags().StringVar(&f.caFile, "ca-file", "", "PEM file of further certificate authorities")
	cmd.Flags().BoolVar(&f.long, "long", false, "also measure the proxy's idle time-out; takes up to 130 s")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "as JSON")
	return cmd
}

func (c *command) runDoctor(cmd *cobra.Command, f doctorFlags) error {
	if f.url == "" {
		return usageError{errors.New("--url is missing: the address of the page, such as https://studio.example.com/web")}
	}
	cfg, _, err := c.load("")
	if err != nil {
		return err
	}
	o := doctor.Options{URL: f.url, Long: f.long, Now: c.edge.Now, APIKey: cfg.Operator.DoctorAPIKey.Reveal()}
	if f.key != "" {
		o.APIKey = f.key
	}
	if f.keyFile != "" {
		text, err := smallFile("--api-key-file", f.keyFile, maxPassphrase)
		if err != nil {
			return err
		}
		o.APIKey = string(bytes.TrimSpace(text))
	}
	if o.Roots, err = authorities(f.caFile); err != nil {
		return err
	}
	report, err := doctor.Examine(cmd.Context(), o)
	if errs.HasReason(err, "doctor.url") {
		return usageError{errors.New("--url: " + errs.As(err).Message)}
	}
	if err != nil {
		return err
	}
	if err := c.showReport(cmd.OutOrStdout(), report, f.asJSON); err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return exitError(exitFailed)
	}
	return nil
}

// authorities are the system's with those of a file.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no pool is the system's
	}
	text, err := smallFile("--ca-file", file, maxCAFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, usageError{fmt.Errorf("--ca-file %s holds no certificate in PEM", file)}
	}
	return pool, nil
}

func smallFile(flag, path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > limit) {
		return nil, usageError{fmt.Errorf("%s %s is not a regular file of at most %d bytes", flag, path, limit)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s cannot be read: %w", flag, err)}
	}
	return text, nil
}

func (c *command) showReport(w io.Writer, r *doctor.Report, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	}
	paint := painter(terminal(w))
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.URL)
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, check := range r.Checks {
		// Colours come after the table is laid out; they would count as letters.
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", mark(check.State), check.Name, check.Detail)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	text := paint(b.String())
	b.Reset()
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n%s (%s)\n  seen: %s\n  fix:  %s\n", f.ID, f.Severity, f.Seen, f.Fix)
		if f.Snippet != "" {
			fmt.Fprintf(&b, "  nginx:\n    %s\n", strings.ReplaceAll(f.Snippet, "\n", "\n    "))
		}
	}
	if len(r.Findings) == 0 {
		b.WriteString("\nnothing found\n")
	}
	_, err := io.WriteString(w, text+b.String())
	return err
}

func mark(s doctor.State) string {
	switch s {
	case doctor.Passed:
		return "ok"
	case doctor.Found:
		return "FOUND"
	default:
		return "-"
	}
}

// painter colours the marks at the beginning of lines, on a terminal.
func painter(colours bool) func(string) string {
	if !colours {
		return func(text string) string { return text }
	}
	return strings.NewReplacer("\n  ok ", "\n  \x1b[32mok\x1b[0m ", "\n  FOUND", "\n  \x1b[31mFOUND\x1b[0m").Replace
}
