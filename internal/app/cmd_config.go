package app

import (
	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
)

func (c *command) config() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show, check and document the configuration"}
	var asJSON bool
	var role string
	show := &cobra.Command{
		Use: "print", Short: "Every variable in effect and where its value came from; secrets are hidden", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := c.load("")
			if err != nil {
				return err
			}
			if asJSON {
				return cfg.PrintJSON(cmd.OutOrStdout())
			}
			return cfg.Print(cmd.OutOrStdout())
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	check := &cobra.Command{
		Use: "check", Short: "Report all problems at once; exit code 2 if there are any", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := c.load(role); err != nil {
				return err
			}
			cmd.Println("The configuration can be used.")
			return nil
		},
	}
	check.Flags().StringVar(&role, "role", config.RoleUp, "the role whose needs are checked: up, serve, worker, beat, db")
	doc := &cobra.Command{
		Use: "doc", Short: "Print the reference of all variables as Markdown", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return config.WriteDoc(cmd.OutOrStdout()) },
	}
	cmd.AddCommand(show, check, doc)
	return cmd
}
