package app

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/config"
)

// firstStart makes the administrator that the configuration names, or gives the
// token of a setup link while there is no user at all.
func firstStart(ctx context.Context, service *auth.Service, cfg *config.Config) (setup string, err error) {
	if email := cfg.Studio.AdminEmail; email != "" {
		if _, err := service.EnsureAdmin(ctx, email, cfg.Studio.AdminPassword.Reveal()); err != nil {
			return "", err
		}
	}
	return service.EnsureSetup(ctx)
}

// announce prints where to go, last and each on a line of its own.
func (c *command) announce(base, setup string) {
	if setup != "" {
		_, _ = fmt.Fprintf(c.edge.Stdout, "setup: %s/setup?token=%s\n", base, setup)
	}
	_, _ = fmt.Fprintf(c.edge.Stdout, "ready: %s\n", base)
}
