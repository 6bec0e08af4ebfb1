package app

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
)

// command is what the commands share.
type command struct {
	edge    Edge
	envFile string
	flags   map[string]string // variable to value, from flags
	logs    *logs             // of a process that stays
}

func newRoot(edge Edge) *cobra.Command {
	c := &command{edge: edge, flags: map[string]string{}}
	root := &cobra.Command{
		Use:   "llmctl",
		Short: "llmctl Studio: draw flowcharts of LLM nodes, run them, see what happens",
		Long: `llmctl Studio is a self-hosted runtime for LLM work.

Start everything on this machine, with a database of its own:

  llmctl up

and open the address that it prints. Everything that can be set is a variable of
the environment; see "llmctl config print" and "llmctl config doc".`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&c.envFile, "env-file", "", "file of NAME=value lines, weaker than the environment")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(c.up(), c.serve(), c.serveWorker(), c.worker(), c.frontend(), c.db(), c.config(), c.executor(), c.version())
	root.AddCommand(c.ctl())
	root.AddCommand(c.waitMCP(), c.doctor())
	root.AddCommand(c.beat())
	root.AddCommand(c.mcp())
	root.AddCommand(c.parseDocuments())
	return root
}

// load reads the configuration for a role and says what is odd about it.
func (c *command) load(role string) (*config.Config, *slog.Logger, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, fmt.Errorf("host name: %w", err)
	}
	cfg, warnings, err := config.Load(c.loadOptions(role, host))
	if err != nil {
		return nil, nil, err
	}
	log := newLogger(c.edge.Stderr, cfg.Server.LogLevel)
	for _, w := range warnings {
		log.Warn("configuration", "variable", w.Variable, "warning", w.Message)
	}
	return cfg, log, nil
}

func (c *command) loadOptions(role, host string) config.LoadOptions {
	return config.LoadOptions{
		Environ: c.edge.Environ, EnvFile: c.envFile, Overrides: c.flags, Role: role, CPUs: runtime.NumCPU(), Hostname: host, Checks: checks(),
	}
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Println(buildVersion())
			return nil
		},
	}
}

// version is what a builder of images or packages calls this build: the linker sets it,
// nothing else does.
var version string

// buildVersion is that, else the module's version, or the revision it was built from.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "devel"
}
