package app

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
)

func (c *command) config() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show, check and document the configuration"}
	var asJSON bool
	show := &cobra.Command{
		Use: "print", Short: "Every variable in effect and where its value came from; secrets are hidden", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := c.load()
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(cfg.Entries())
			}
			return cfg.Print(cmd.OutOrStdout())
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	check := &cobra.Command{
		Use: "check", Short: "Report all problems at once; exit code 2 if there are any", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := c.load()
			if err != nil {
				return err
			}
			// That no database is named is a problem for every role but up.
			if _, err := cfg.Database.Resolve(); err != nil {
				if problems, ok := errors.AsType[config.Problems](err); ok {
					cmd.Printf("configuration is usable by llmctl up; other roles need a database: %s\n", problems[0].Message)
					return nil
				}
				return err
			}
			cmd.Println("configuration is usable")
			return nil
		},
	}
	doc := &cobra.Command{
		Use: "doc", Short: "Print the reference of all variables as Markdown", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return config.WriteDoc(cmd.OutOrStdout()) },
	}
	cmd.AddCommand(show, check, doc)
	return cmd
}
