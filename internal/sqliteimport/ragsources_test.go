package sqliteimport

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSourcesOfTheOriginalBecomeOurs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		row    row
		kind   string
		config map[string]any
	}{
		{row{"kind": "local", "local_path": "/srv/docs/"}, "local", map[string]any{"path": "/srv/docs"}},
		{row{"kind": "github", "git_repo": "acme/app", "git_branch": "main", "git_dir": "/docs/"}, "git", map[string]any{"url": "https://github.com/acme/app.git", "branch": "main", "subfolder": "docs"}},
		{row{"kind": "github", "git_repo": "https://tok:en@git.example.org/a/b.git?x#y"}, "git", map[string]any{"url": "https://git.example.org/a/b.git"}},
		{row{"kind": "google_drive", "drive_folder_id": "1abc"}, "google_drive", map[string]any{"folder_id": "1abc"}},
	} {
		kind, config, reason := sourceConfig(c.row)
		require.Empty(t, reason)
		require.Equal(t, c.kind, kind)
		require.Equal(t, c.config, config)
	}
	for _, bad := range []row{
		{"kind": "local", "local_path": "docs"},
		{"kind": "local"},
		{"kind": "github", "git_repo": "x"},
		{"kind": "github", "git_repo": "ext::sh"},
		{"kind": "github", "git_repo": "git@github.com:a/b"},
		{"kind": "google_drive"},
		{"kind": "svn"},
		{},
	} {
		_, _, reason := sourceConfig(bad)
		require.NotEmpty(t, reason, "%v", bad)
	}
}
