package backup

import (
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

// Format is the number of the file format that this package writes. It reads
// this one and older ones.
const Format = 1

// Names of entries and reasons of errors.
const (
	markEntry     = "llmctl-backup"
	manifestEntry = "manifest.json"
	tablePrefix   = "tables/"
	filePrefix    = "files/"

	ReasonDamaged   = "backup.damaged"
	ReasonNotOurs   = "backup.not_a_backup"
	ReasonNewer     = "backup.newer_release"
	ReasonNotEmpty  = "restore.target_not_empty"
	ReasonInUse     = "restore.target_in_use"
	ReasonKey       = "backup.key"
	ReasonOutput    = "backup.output"
	ReasonRights    = "restore.rights"
	ReasonUnrelated = "restore.another_key"
)

// Manifest describes a backup.
type Manifest struct {
	Format    int               `json:"format"`
	CreatedAt time.Time         `json:"created_at"`
	Binary    string            `json:"binary"` // version of the llmctl that wrote it
	Server    string            `json:"postgresql"`
	Versions  postgres.Versions `json:"versions"`
	Tables    []Table           `json:"tables"`
	Sequences []Sequence        `json:"sequences"`
	Files     []File            `json:"files"`
	KeyID     string            `json:"key_id,omitempty"` // which key the stored secrets need
	Key       *SealedKey        `json:"key,omitempty"`
}

// Table is the content of one table in PostgreSQL's text form of COPY.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Rows    int64    `json:"rows"`
	content
}

// File is one file of the data folder.
type File struct {
	Path string `json:"path"` // below the data folder, with slashes
	Mode uint32 `json:"mode"`
	content
}

// content is what an item's pieces add up to.
type content struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Sequence is a counter and whether its value was given out.
type Sequence struct {
	Name   string `json:"name"`
	Value  int64  `json:"value"`
	Called bool   `json:"called"`
}

// Size is the sum of all contents, uncompressed.
func (m *Manifest) Size() int64 {
	var n int64
	for _, t := range m.Tables {
		n += t.Bytes
	}
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Rows is the sum of all rows.
func (m *Manifest) Rows() int64 {
	var n int64
	for _, t := range m.Tables {
		n += t.Rows
	}
	return n
}
