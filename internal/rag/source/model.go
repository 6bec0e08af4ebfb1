package source

import (
	"encoding/json"
	"time"

	"github.com/llmctl/studio/internal/rag/source/dbsqlc"
)

// Limits of sources.
const (
	MaxSources      = 500
	MaxName         = 200
	MaxFileBytes    = 1 << 30
	minFileBytes    = 1 << 10
	maxToken        = 4000
	maxAccount      = 64 << 10
	minEverySeconds = 60
	maxEverySeconds = 365 * 24 * 3600
)

// UndoTime is for how long a deleted source can be restored.
const UndoTime = time.Hour

// Kinds of secrets.
const (
	CredentialToken   = "token"
	CredentialSSHKey  = "ssh_key"
	CredentialAccount = "service_account"
)

// Row is a source as stored; what is secret in it is sealed.
type Row = dbsqlc.RagSource

// Config is where a source is. Each kind has its own members.
type Config struct {
	Path       string `json:"path,omitempty"`
	URL        string `json:"url,omitempty"`
	Branch     string `json:"branch,omitempty"`
	Subfolder  string `json:"subfolder,omitempty"`
	Submodules bool   `json:"submodules,omitempty"`
	FolderID   string `json:"folder_id,omitempty"`
	Endpoint   string `json:"endpoint,omitempty"`
}

// ConfigOf reads where a source is.
func ConfigOf(r *Row) Config {
	var c Config
	_ = json.Unmarshal(r.Config, &c) // we wrote it
	return c
}

// Fields are what can be set of a source; its kind only once.
type Fields struct {
	Name string
	Kind string
	Config
	Include      []string
	Exclude      []string
	MaxFileBytes *int64
}

func fieldsOf(r *Row) Fields {
	return Fields{Name: r.Name, Kind: r.Kind, Config: ConfigOf(r), Include: r.Include, Exclude: r.Exclude, MaxFileBytes: r.MaxFileBytes}
}

// Given is a secret in a request: nil is not given, "" removes it.
type Given struct{ Token, SSHKey, ServiceAccount *string }

// String keeps values out of logs.
func (Given) String() string { return "…" }

// GoString is String for %#v.
func (Given) GoString() string { return "…" }

// each lists what was given, by kind.
func (g Given) each() []struct {
	kind  string
	value *string
} {
	return []struct {
		kind  string
		value *string
	}{{CredentialToken, g.Token}, {CredentialSSHKey, g.SSHKey}, {CredentialAccount, g.ServiceAccount}}
}

// IndexSchedule is when a source is indexed: by an expression or by an interval.
type IndexSchedule struct {
	ID           int64      `json:"id"`
	Cron         *string    `json:"cron"`
	EverySeconds *int32     `json:"every_seconds"`
	TimeZone     string     `json:"time_zone"`
	Mode         string     `json:"mode" enum:"fresh,delta"`
	Enabled      bool       `json:"enabled"`
	NextDueAt    *time.Time `json:"next_due_at"`
}

// Change is a change of a source. A nil Schedule with SetSchedule removes it.
type Change struct {
	Apply       func(*Fields)
	Secrets     Given
	SetSchedule bool
	Schedule    *IndexSchedule
}
