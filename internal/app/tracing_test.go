package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/config"
)

func TestSpansSayWhichRoleMadeThem(t *testing.T) {
	t.Parallel()
	for role, s := range map[string]sides{
		config.RoleUp:     {web: true, page: true, work: true, beat: true},
		config.RoleServe:  {web: true, page: true},
		config.RoleWorker: {work: true},
		config.RoleBeat:   {beat: true},
	} {
		require.Equal(t, role, s.role())
	}
}
