package app

import (
	"strings"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
)

// refuseWithoutEffect names settings that a role cannot honour: what is asked for
// and silently not done is worse than a refusal.
func refuseWithoutEffect(cfg *config.Config, role string) error {
	var faults []errs.Detail
	refuse := func(asked bool, variable, message string) {
		if asked {
			faults = append(faults, errs.Detail{Location: variable, Message: message})
		}
	}
	if role == config.RoleUp {
		bind := cfg.Server.Bind
		refuse(len(bind) != 1 || strings.HasPrefix(bind[0], "unix:"), "GUNICORN_BIND", "names "+bind.String()+"; llmctl up serves on one host:port")
		refuse(cfg.Server.Certfile != "", "GUNICORN_CERTFILE", "is set; llmctl up serves plain HTTP, put a proxy in front or use llmctl serve")
	}
	if len(faults) == 0 {
		return nil
	}
	return errs.E(errs.Invalid, "config.unsupported_setting", "Some settings cannot be honoured by this release of llmctl "+role+":", faults...)
}
